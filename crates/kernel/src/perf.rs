//! Perf events: what fires them, where they count, programs on them.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::error::{Error, Result};
use crate::link::Link;
use crate::prog::Prog;
use crate::root::Root;
use crate::sys::attr::{perf_flag, perf_ioc, PerfEventAttr};
use crate::sys::call::{fd_u32, ioctl, ioctl_ptr_u64, perf_event_open};
use crate::sys::objects::{c_path, c_str};

/// Software events (`PERF_COUNT_SW_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Software {
    /// Nanoseconds of the CPU, by a high-resolution timer.
    CpuClock = 0,
    /// Nanoseconds of the task.
    TaskClock = 1,
    /// Page faults.
    PageFaults = 2,
    /// Context switches.
    ContextSwitches = 3,
    /// Moves to another CPU.
    CpuMigrations = 4,
    /// Faults without I/O.
    PageFaultsMin = 5,
    /// Faults with I/O.
    PageFaultsMaj = 6,
    /// Unaligned accesses that the kernel mended.
    AlignmentFaults = 7,
    /// Instructions that the kernel emulated.
    EmulationFaults = 8,
    /// Counts nothing; carries side-band records.
    Dummy = 9,
    /// Output of `perf_event_output`.
    BpfOutput = 10,
    /// Switches to a task of another cgroup.
    CgroupSwitches = 11,
}

/// Generalised hardware events (`PERF_COUNT_HW_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Hardware {
    /// Cycles.
    CpuCycles = 0,
    /// Retired instructions.
    Instructions = 1,
    /// Last-level cache accesses.
    CacheReferences = 2,
    /// Last-level cache misses.
    CacheMisses = 3,
    /// Retired branches.
    BranchInstructions = 4,
    /// Mispredicted branches.
    BranchMisses = 5,
    /// Bus cycles.
    BusCycles = 6,
    /// Cycles without issue.
    StalledCyclesFrontend = 7,
    /// Cycles without retirement.
    StalledCyclesBackend = 8,
    /// Cycles at a constant frequency.
    RefCpuCycles = 9,
}

/// When a sampling event fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampling {
    /// It only counts.
    #[default]
    Counting,
    /// Every so many occurrences (for the clocks: nanoseconds).
    Period(u64),
    /// About so often per second.
    Frequency(u64),
}

/// Accesses that fire a breakpoint (`HW_BREAKPOINT_*`, or-ed).
pub mod breakpoint {
    /// Read.
    pub const READ: u32 = 1;
    /// Write.
    pub const WRITE: u32 = 2;
    /// Execute.
    pub const EXECUTE: u32 = 4;
}

/// Whom an event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every process, on one CPU. Probes (tracepoint, kprobe, uprobe) fire on all CPUs nevertheless.
    Cpu(u32),
    /// One process or thread on any CPU.
    Task(i32),
    /// One process or thread on one CPU.
    TaskOnCpu(i32, u32),
}

/// Which event to open.
#[derive(Debug, Clone)]
pub struct EventSpec {
    attr: PerfEventAttr,
    /// The string that `attr.config1` points to, for kprobe and uprobe.
    text: Option<CString>,
    object: String,
}

const TYPE_HARDWARE: u32 = 0;
const TYPE_SOFTWARE: u32 = 1;
const TYPE_TRACEPOINT: u32 = 2;
const TYPE_HW_CACHE: u32 = 3;
const TYPE_BREAKPOINT: u32 = 5;

impl EventSpec {
    fn of(kind: u32, config: u64, object: String) -> EventSpec {
        let size = u32::try_from(std::mem::size_of::<PerfEventAttr>()).unwrap_or(128);
        let attr = PerfEventAttr { kind, size, config, ..Default::default() };
        EventSpec { attr, text: None, object }
    }

    /// A tracepoint by the number in its `id` file.
    pub fn tracepoint(id: u64, name: &str) -> EventSpec {
        EventSpec::of(TYPE_TRACEPOINT, id, format!("tracepoint {name}")).sampling(Sampling::Period(1))
    }

    /// A software event.
    pub fn software(event: Software) -> EventSpec {
        EventSpec::of(TYPE_SOFTWARE, event as u64, format!("software event {event:?}"))
    }

    /// A generalised hardware event.
    pub fn hardware(event: Hardware) -> EventSpec {
        EventSpec::of(TYPE_HARDWARE, event as u64, format!("hardware event {event:?}"))
    }

    /// A hardware cache event: `id | op << 8 | result << 16` of perf_event_open(2).
    pub fn hardware_cache(config: u64) -> EventSpec {
        EventSpec::of(TYPE_HW_CACHE, config, format!("hardware cache event {config:#x}"))
    }

    /// An event of a PMU by its dynamic type (`/sys/bus/event_source/devices/NAME/type`) and configuration.
    pub fn raw(kind: u32, config: u64, config1: u64, config2: u64, name: &str) -> EventSpec {
        let mut spec = EventSpec::of(kind, config, format!("event {name}"));
        spec.attr.config1 = config1;
        spec.attr.config2 = config2;
        spec
    }

    /// A watchpoint on `len` (1, 2, 4, 8) bytes at an address; `access` of [`breakpoint`].
    pub fn breakpoint(address: u64, len: u64, access: u32) -> EventSpec {
        let mut spec = EventSpec::of(TYPE_BREAKPOINT, 0, format!("watchpoint at {address:#x}"));
        spec.attr.bp_type = access;
        spec.attr.config1 = address;
        spec.attr.config2 = len;
        spec.sampling(Sampling::Period(1))
    }

    /// A kprobe on `symbol + offset`, by the kprobe PMU (4.17).
    pub fn kprobe(root: &Root, symbol: &str, offset: u64, on_return: bool) -> Result<EventSpec> {
        let pmu = Pmu::read(root, "kprobe")?;
        let mut spec =
            EventSpec::of(pmu.kind, pmu.retprobe(on_return), format!("kprobe {symbol}+{offset:#x}"));
        let text = c_str("open kprobe", symbol)?;
        spec.attr.config1 = text.as_ptr() as u64;
        spec.attr.config2 = offset;
        spec.text = Some(text);
        Ok(spec)
    }

    /// A kprobe on an address.
    pub fn kprobe_address(root: &Root, address: u64, on_return: bool) -> Result<EventSpec> {
        let pmu = Pmu::read(root, "kprobe")?;
        let mut spec = EventSpec::of(pmu.kind, pmu.retprobe(on_return), format!("kprobe {address:#x}"));
        spec.attr.config2 = address;
        Ok(spec)
    }

    /// A uprobe on a file offset of a binary; `ref_ctr_offset` is the file offset of a USDT semaphore, 0 for none.
    pub fn uprobe(
        root: &Root,
        binary: &Path,
        offset: u64,
        ref_ctr_offset: u64,
        on_return: bool,
    ) -> Result<EventSpec> {
        let pmu = Pmu::read(root, "uprobe")?;
        let object = format!("uprobe {}:{offset:#x}", binary.display());
        let mut config = pmu.retprobe(on_return);
        if ref_ctr_offset != 0 {
            let shift = pmu.ref_ctr_shift.ok_or_else(|| {
                Error::other(
                    "open",
                    object.clone(),
                    "this kernel's uprobes have no reference counters (before 4.20)",
                )
            })?;
            config |= ref_ctr_offset.checked_shl(shift).unwrap_or(0);
        }
        let mut spec = EventSpec::of(pmu.kind, config, object);
        let text = c_path("open uprobe", binary)?;
        spec.attr.config1 = text.as_ptr() as u64;
        spec.attr.config2 = offset;
        spec.text = Some(text);
        Ok(spec)
    }

    /// When it fires.
    pub fn sampling(mut self, sampling: Sampling) -> EventSpec {
        self.attr.flags &= !perf_flag::FREQ;
        self.attr.sample_period = match sampling {
            Sampling::Counting => 0,
            Sampling::Period(n) => n,
            Sampling::Frequency(hz) => {
                self.attr.flags |= perf_flag::FREQ;
                hz
            }
        };
        self
    }

    /// Start disabled; [`PerfEvent::enable`] starts it.
    pub fn disabled(mut self) -> EventSpec {
        self.attr.flags |= perf_flag::DISABLED;
        self
    }

    /// Don't count in the kernel.
    pub fn exclude_kernel(mut self) -> EventSpec {
        self.attr.flags |= perf_flag::EXCLUDE_KERNEL | perf_flag::EXCLUDE_HV;
        self
    }

    /// Don't count in user space.
    pub fn exclude_user(mut self) -> EventSpec {
        self.attr.flags |= perf_flag::EXCLUDE_USER;
        self
    }

    /// Count children of the task, too (counting only).
    pub fn inherit(mut self) -> EventSpec {
        self.attr.flags |= perf_flag::INHERIT;
        self
    }

    /// Go over to threads that the task makes, but not to processes (5.13; older kernels refuse the event).
    pub fn inherit_threads(mut self) -> EventSpec {
        self.attr.flags |= perf_flag::INHERIT | perf_flag::INHERIT_THREAD;
        self
    }

    /// The attributes, for the rings of this crate.
    pub(crate) fn attr_mut(&mut self) -> &mut PerfEventAttr {
        &mut self.attr
    }
}

/// What sysfs says about a dynamic PMU.
struct Pmu {
    kind: u32,
    retprobe_bit: u32,
    ref_ctr_shift: Option<u32>,
}

impl Pmu {
    fn read(root: &Root, name: &str) -> Result<Pmu> {
        let kind = pmu_type(root, name)?;
        let format = |field: &str| -> Option<u32> {
            let text = root.read_text(format!("/sys/bus/event_source/devices/{name}/format/{field}")).ok()?;
            first_bit(&text)
        };
        Ok(Pmu {
            kind,
            retprobe_bit: format("retprobe").unwrap_or(0),
            ref_ctr_shift: format("ref_ctr_offset"),
        })
    }

    fn retprobe(&self, on_return: bool) -> u64 {
        if on_return {
            1u64.checked_shl(self.retprobe_bit).unwrap_or(0)
        } else {
            0
        }
    }
}

/// The first bit of a format such as `config:32-63`.
fn first_bit(format: &str) -> Option<u32> {
    let bits = format.trim().strip_prefix("config:")?;
    bits.split(['-', ',']).next()?.parse().ok()
}

/// The dynamic type of a PMU: `kprobe`, `uprobe`, `cpu`, `msr`, ...
pub fn pmu_type(root: &Root, name: &str) -> Result<u32> {
    let path = format!("/sys/bus/event_source/devices/{name}/type");
    let text = root.read_text(&path).map_err(|e| {
        Error { op: "find PMU", object: format!("`{name}`"), ..e }
            .with_hint(format!("this kernel or machine has no {name} events"))
    })?;
    text.trim().parse().map_err(|_| Error::other("parse", path, format!("`{}` is no number", text.trim())))
}

/// Names of the PMUs.
pub fn pmus(root: &Root) -> Result<Vec<String>> {
    root.list("/sys/bus/event_source/devices")
}

/// A counter's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Occurrences.
    pub value: u64,
    /// Time it was enabled, ns.
    pub enabled_ns: u64,
    /// Time it really counted, ns; less than `enabled_ns` when the PMU was shared.
    pub running_ns: u64,
}

/// An open perf event; closing it ends it.
#[derive(Debug)]
pub struct PerfEvent {
    fd: OwnedFd,
    object: String,
}

impl PerfEvent {
    /// Opens an event. perf_event_open(2).
    pub fn open(spec: &EventSpec, scope: Scope) -> Result<PerfEvent> {
        const READ_TIMES: u64 = 3;
        let (pid, cpu) = match scope {
            Scope::Cpu(cpu) => (-1, i32::try_from(cpu).unwrap_or(i32::MAX)),
            Scope::Task(pid) => (pid, -1),
            Scope::TaskOnCpu(pid, cpu) => (pid, i32::try_from(cpu).unwrap_or(i32::MAX)),
        };
        let mut attr = spec.attr;
        attr.read_format = READ_TIMES;
        // SAFETY: where `config1` is a pointer it points into `spec.text`, which lives for the call.
        let fd = unsafe { perf_event_open(&attr, pid, cpu) }.map_err(|e| open_error(spec, e, pid))?;
        Ok(PerfEvent { fd, object: spec.object.clone() })
    }

    /// What it counts, for messages.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Starts counting.
    pub fn enable(&self) -> Result<()> {
        self.control("enable", perf_ioc::ENABLE, 0)
    }

    /// Stops counting.
    pub fn disable(&self) -> Result<()> {
        self.control("disable", perf_ioc::DISABLE, 0)
    }

    /// Sets the count to 0.
    pub fn reset(&self) -> Result<()> {
        self.control("reset", perf_ioc::RESET, 0)
    }

    /// Changes the period.
    pub fn set_period(&self, period: u64) -> Result<()> {
        let mut value = period;
        ioctl_ptr_u64(self.fd.as_fd(), perf_ioc::PERIOD, &mut value)
            .map_err(|e| Error::new("change the period of", self.object.clone(), e))
    }

    /// The id that records of this event carry.
    pub fn id(&self) -> Result<u64> {
        let mut id = 0;
        ioctl_ptr_u64(self.fd.as_fd(), perf_ioc::ID, &mut id)
            .map_err(|e| Error::new("get the id of", self.object.clone(), e))?;
        Ok(id)
    }

    /// Lets the event run a program: by a link where the kernel has them (5.15; a cookie needs it), else by ioctl.
    /// The event is enabled. The same program can be only once on one tracepoint: load it again for another.
    pub fn attach(self, prog: &Prog, cookie: u64) -> Result<Link> {
        let link = match Link::perf_event(prog, self, cookie) {
            Ok(link) => link,
            Err((event, errno)) => {
                let fail = |errno| explain_attach(Error::new("attach to", event.object.clone(), errno));
                if errno != libc::EINVAL || cookie != 0 {
                    return Err(fail(errno));
                }
                let arg = u64::from(fd_u32(prog.as_fd()));
                ioctl(event.fd.as_fd(), perf_ioc::SET_BPF, arg).map_err(fail)?;
                let object = event.object.clone();
                Link::new(None, Some(event), object)
            }
        };
        if let Some(event) = link.event() {
            event.enable()?;
        }
        Ok(link)
    }

    /// The count and its times.
    pub fn read(&self) -> Result<Reading> {
        let mut words = [0u64; 3];
        let size = std::mem::size_of_val(&words);
        // SAFETY: the buffer is the array with its size.
        let n = unsafe { libc::read(self.fd.as_raw_fd(), words.as_mut_ptr().cast(), size) };
        if n < 0 {
            return Err(Error::last_os("read", self.object.clone()));
        }
        // An event in error state (e.g. one that could not be scheduled) reads as nothing: zeros.
        let [value, enabled_ns, running_ns] = words;
        Ok(Reading { value, enabled_ns, running_ns })
    }

    fn control(&self, op: &'static str, request: u64, arg: u64) -> Result<()> {
        ioctl(self.fd.as_fd(), request, arg).map(drop).map_err(|e| Error::new(op, self.object.clone(), e))
    }
}

impl AsFd for PerfEvent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens an event on each of the CPUs.
pub fn open_on_cpus(spec: &EventSpec, cpus: &[u32]) -> Result<Vec<PerfEvent>> {
    cpus.iter().map(|cpu| PerfEvent::open(spec, Scope::Cpu(*cpu))).collect()
}

fn open_error(spec: &EventSpec, errno: i32, pid: i32) -> Error {
    let error = Error::new("open", spec.object.clone(), errno);
    let counter = matches!(spec.attr.kind, TYPE_HARDWARE | TYPE_HW_CACHE) || spec.attr.kind > TYPE_BREAKPOINT;
    match errno {
        libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV if spec.text.is_some() => {
            error.with_hint("the symbol or file doesn't exist, or may not be probed there")
        }
        libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV if counter => error.with_hint(
            "this machine has no such counter (virtual machines often have no PMU); try a software event",
        ),
        libc::ENOSPC => error.with_hint("all breakpoint registers are in use"),
        libc::ESRCH => error.with_hint(format!("no process {pid}")),
        libc::EMFILE => error,
        libc::EILSEQ => error.with_hint("no instruction begins at this offset"),
        libc::EADDRNOTAVAIL => {
            error.with_hint("several functions have this name; give the module, or an address")
        }
        libc::EINVAL if spec.text.is_some() => {
            error.with_hint("the place is no instruction boundary, or this kernel may not probe it")
        }
        _ => error,
    }
}

fn explain_attach(error: Error) -> Error {
    match error.errno {
        libc::EEXIST => error.with_hint("the same program is attached there already; load it a second time"),
        libc::EACCES => error.with_hint("the program reads behind the end of the tracepoint's record"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_give_their_first_bit() {
        assert_eq!(first_bit("config:0\n"), Some(0));
        assert_eq!(first_bit("config:32-63\n"), Some(32));
        assert_eq!(first_bit("config1:0-7"), None);
    }

    #[test]
    fn missing_pmus_are_named() {
        let e = pmu_type(&Root::at("/nonexistent-fixture"), "kprobe").unwrap_err();
        assert!(e.to_string().contains("no kprobe events"), "{e}");
    }
}
