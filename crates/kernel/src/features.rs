//! What the running kernel has: asked of the kernel itself, only when somebody wants to know, once.
//!
//! A row is one facility. A probe answers `Ok(false)` only when the kernel gives exactly the answer of a kernel without
//! the facility (or refuses it to a process that has all capabilities: locked down); any other failure is an error.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, OnceLock, PoisonError};

use fathom_bpf::helpers::Helper;
use fathom_bpf::insn::Insn;
use fathom_bpf::kinds::{map_flags, prog_flags, AttachKind, MapKind, ProgKind};

use crate::btf::{self, KernelBtf};
use crate::caps::Privileges;
use crate::error::{Error, Result, ENOTSUPP};
use crate::link::Link;
use crate::map::{Map, MapSpec, MapTypes};
use crate::perf::{self, breakpoint, EventSpec, Hardware, PerfEvent, Scope, Software};
use crate::probe_programs as programs;
use crate::prog::{self, Prog, ProgSpec};
use crate::root::Root;
use crate::sys::attr::{self, Cmd, LinkHead};
use crate::sys::call::{bpf_fd, fd_u32, Attr};
use crate::tracefs::Tracefs;

/// One facility.
#[derive(Debug)]
pub struct Feature {
    /// Short name, e.g. `kprobe_multi`.
    pub name: &'static str,
    /// What it is good for, one line.
    pub doc: &'static str,
    probe: fn(&Features) -> Result<bool>,
}

/// What a program is and hooks into, as far as the verifier's rules depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProgClass {
    /// `TRACEPOINT`.
    Tracepoint,
    /// `RAW_TRACEPOINT`.
    RawTracepoint,
    /// `TRACING` on a typed raw tracepoint (`sched_switch`).
    TypedTracepoint,
    /// `KPROBE`: kprobes and uprobes.
    Kprobe,
    /// `KPROBE` that may sleep: uprobes.
    SleepableUprobe,
    /// `PERF_EVENT`.
    PerfEvent,
    /// `TRACING` on a function's entry.
    Fentry,
    /// `TRACING` iterator over files of tasks.
    Iter,
    /// `SYSCALL`.
    Syscall,
}

macro_rules! features {
    ($($id:ident $name:literal $doc:literal $probe:expr;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $doc)] pub static $id: Feature = Feature { name: $name, doc: $doc, probe: $probe };)*
        /// Every facility, in the order in which `fathom info` shows them.
        pub static ALL: &[&Feature] = &[$(&$id),*];
    };
}

use ProgClass as C;

features! {
    BTF "btf" "types of the kernel, for typed probes and structs" |f| f.has_btf();
    MODULE_BTF "module_btf" "types of modules" |f| Ok(!btf::modules(&f.root).unwrap_or_default().is_empty());
    TRACEFS "tracefs" "list of tracepoints and their fields" |f| Ok(Tracefs::find(&f.root).is_ok());
    FILTER_FUNCTIONS "filter_functions" "list of functions that can be probed"
        |f| Ok(Tracefs::find(&f.root).is_ok_and(|t| t.dir().join("available_filter_functions").exists()));

    RINGBUF "ringbuf" "records of all CPUs in order (5.8)" |f| f.map_kind(MapKind::RINGBUF);
    PERCPU_HASH "percpu_hash" "hash with a value per CPU" |f| f.map_kind(MapKind::PERCPU_HASH);
    HASH_ON_DEMAND "hash_on_demand" "hashes that programs of any kind may let grow (6.1)" Features::hash_on_demand;
    STACK_TRACE "stack_trace" "stacks by number" |f| f.map_kind(MapKind::STACK_TRACE);
    TASK_STORAGE "task_storage" "a value per thread (5.11)" |f| f.map_kind(MapKind::TASK_STORAGE);
    BLOOM_FILTER "bloom_filter" "set of keys, approximately (5.16)" |f| f.map_kind(MapKind::BLOOM_FILTER);
    ARENA "arena" "memory shared with programs (6.9)" |f| f.map_kind(MapKind::ARENA);
    MAP_MMAP "map_mmap" "arrays in shared memory (5.5)" |f| f.map_with(MapSpec::new("f", MapKind::ARRAY, 4, 8, 1).flags(map_flags::BPF_F_MMAPABLE));
    STACK_BUILD_ID "stack_build_id" "user stacks as build ids (4.17)" |f| f.map_with(MapSpec::new("f", MapKind::STACK_TRACE, 4, 32, 1).flags(map_flags::BPF_F_STACK_BUILD_ID));
    MAP_BATCH "map_batch" "many elements of a hash in one call (5.6)" |f| f.batch(MapKind::HASH);
    MAP_BATCH_PERCPU "map_batch_percpu" "the same with values per CPU (5.6)" |f| f.batch(MapKind::PERCPU_HASH);

    TRACEPOINT "tracepoint" "programs on tracepoints" |f| f.loads(C::Tracepoint, &programs::returns(0));
    RAW_TP "raw_tp" "programs on raw tracepoints (4.17)" |f| f.loads(C::RawTracepoint, &programs::returns(0));
    TP_BTF "tp_btf" "programs on typed raw tracepoints (5.5)" |f| f.loads(C::TypedTracepoint, &programs::returns(0));
    RAW_TP_COOKIE "raw_tp_cookie" "cookies of raw tracepoints (6.10)" Features::raw_tp_cookie;
    TRACING_COOKIE "tracing_cookie" "cookies of typed raw tracepoints and fentry (5.19)" Features::tracing_cookie;
    FENTRY "fentry" "programs on function entry and exit by BTF (5.5)" Features::fentry;
    ITER "iter" "programs that walk kernel objects (5.8)" |f| f.loads(C::Iter, &programs::returns(0));
    SYSCALL_PROG "syscall_prog" "programs run by a system call (5.14)" |f| f.loads(C::Syscall, &programs::returns(0));
    SLEEPABLE_UPROBE "sleepable_uprobe" "uprobes that may fault in memory (6.0)" |f| f.loads(C::SleepableUprobe, &programs::returns(0));

    PERF_LINK "perf_link" "links of perf events, with cookies (5.15)" Features::perf_link;
    KPROBE_PMU "kprobe" "probes on kernel instructions" |f| Ok(perf::pmu_type(&f.root, "kprobe").is_ok());
    UPROBE_PMU "uprobe" "probes on user instructions" |f| Ok(perf::pmu_type(&f.root, "uprobe").is_ok());
    KPROBE_MULTI "kprobe_multi" "many kernel functions in one link (5.18)" |f| f.kprobe_multi(AttachKind::TRACE_KPROBE_MULTI);
    KPROBE_SESSION "kprobe_session" "entry and return of kernel functions at once (6.10)" |f| f.kprobe_multi(AttachKind::TRACE_KPROBE_SESSION);
    UPROBE_MULTI "uprobe_multi" "many places of a binary in one link (6.6)" |f| f.uprobe_multi(AttachKind::TRACE_UPROBE_MULTI);
    UPROBE_SESSION "uprobe_session" "entry and return of user functions at once (6.13)" |f| f.uprobe_multi(AttachKind::TRACE_UPROBE_SESSION);

    HARDWARE_COUNTERS "hardware_counters" "cycles, instructions and so on" |_| opens(EventSpec::hardware(Hardware::CpuCycles));
    SOFTWARE_COUNTERS "software_counters" "page faults, context switches, clocks" |_| opens(EventSpec::software(Software::CpuClock));
    WATCHPOINTS "watchpoints" "breakpoints of the CPU on memory" |_| watchpoint();

    BOUNDED_LOOPS "bounded_loops" "loops that the verifier walks (5.3)" |f| f.loads(C::RawTracepoint, &programs::bounded_loop());
    MAY_GOTO "may_goto" "loops without a known bound (6.9)" |f| f.loads(C::RawTracepoint, &programs::may_goto());
    ATOMICS "atomics" "atomic operations that return the old value (5.12)" |f| f.loads(C::RawTracepoint, &programs::atomic_fetch());
    ISA_V4 "isa_v4" "sign extension, byte swaps, signed division (6.6)" |f| f.loads(C::RawTracepoint, &programs::isa_v4());
    LOAD_ACQUIRE "load_acquire" "ordered loads and stores (6.15)" |f| f.loads(C::RawTracepoint, &programs::load_acquire());

    LOOKUP_PERCPU "lookup_percpu_elem" "values of another CPU (5.19)" |f| f.helper(C::Tracepoint, Helper::MAP_LOOKUP_PERCPU_ELEM);
    FOR_EACH_MAP_ELEM "for_each_map_elem" "walking a map in a program (5.13)" |f| f.helper(C::Tracepoint, Helper::FOR_EACH_MAP_ELEM);
    LOOP "bpf_loop" "loops with a callback (5.17)" |f| f.helper(C::Tracepoint, Helper::LOOP);
    GET_FUNC_IP "get_func_ip" "address of the probed function (5.15)" |f| f.helper(C::Kprobe, Helper::GET_FUNC_IP);
    BPF_COOKIE "bpf_cookie" "value of an attachment, read in the program (5.15)" |f| f.helper(C::Kprobe, Helper::GET_ATTACH_COOKIE);
    SNPRINTF "snprintf" "formatted text in programs (5.13)" |f| f.helper(C::Tracepoint, Helper::SNPRINTF);
    STRNCMP "strncmp" "comparing text (5.17)" |f| f.helper(C::Tracepoint, Helper::STRNCMP);
    D_PATH "d_path" "names of open files (5.10)" |f| f.helper(C::Iter, Helper::D_PATH);
    PROBE_READ_KERNEL "probe_read_kernel" "kernel memory apart from user memory (5.5)" |f| f.helper(C::Tracepoint, Helper::PROBE_READ_KERNEL);
    CURRENT_TASK_BTF "get_current_task_btf" "the running task, typed (5.11)" |f| f.helper(C::Tracepoint, Helper::GET_CURRENT_TASK_BTF);
    BOOT_TIME "ktime_get_boot_ns" "time with suspends (5.8)" |f| f.helper(C::Tracepoint, Helper::KTIME_GET_BOOT_NS);
    TAI_TIME "ktime_get_tai_ns" "atomic time (6.1)" |f| f.helper(C::Tracepoint, Helper::KTIME_GET_TAI_NS);
    JIFFIES64 "jiffies64" "ticks (5.6)" |f| f.helper(C::Tracepoint, Helper::JIFFIES64);
    NS_PID "get_ns_current_pid_tgid" "process number in a container (5.7)" |f| f.helper(C::Tracepoint, Helper::GET_NS_CURRENT_PID_TGID);
    CGROUP_ID "get_current_cgroup_id" "cgroup of the running task (4.18)" |f| f.helper(C::Tracepoint, Helper::GET_CURRENT_CGROUP_ID);
    COPY_FROM_USER "copy_from_user" "user memory with faults, in sleepable programs (5.10)" |f| f.helper(C::SleepableUprobe, Helper::COPY_FROM_USER);
    SKB_OUTPUT "skb_output" "packets in typed tracepoints (5.5)" |f| f.helper(C::TypedTracepoint, Helper::SKB_OUTPUT);
    SEND_SIGNAL "send_signal" "signals from programs (5.3)" |f| f.helper(C::Tracepoint, Helper::SEND_SIGNAL);
    OVERRIDE_RETURN "override_return" "error injection into kernel functions (4.16)" |f| f.helper(C::Kprobe, Helper::OVERRIDE_RETURN);
    PROBE_WRITE_USER "probe_write_user" "writes to user memory; off when locked down" |f| f.helper(C::Tracepoint, Helper::PROBE_WRITE_USER);

    ITER_NUM "kfunc_iter_num" "counted loops of any length (6.4)" |f| f.kfunc(C::Tracepoint, "bpf_iter_num_new");
    USER_STR_SLEEPABLE "kfunc_copy_from_user_str" "user text with faults (6.12)" |f| f.kfunc(C::SleepableUprobe, "bpf_copy_from_user_str");
    RDONLY_CAST "kfunc_rdonly_cast" "typed reads through any pointer (6.2)" |f| f.kfunc(C::Tracepoint, "bpf_rdonly_cast");

    STATS "stats" "time in programs (5.8)" |f| f.verdict(prog::enable_stats().map(drop), &[libc::EINVAL]);
}

/// The facility with this name.
pub fn by_name(name: &str) -> Option<&'static Feature> {
    ALL.iter().copied().find(|f| f.name == name)
}

/// The answers of a kernel, found when asked for the first time.
#[derive(Debug)]
pub struct Features {
    root: Root,
    answers: Mutex<HashMap<Question, Result<bool>>>,
    btf: OnceLock<Result<KernelBtf>>,
    privileges: OnceLock<Privileges>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    Feature(&'static str),
    Map(u32),
    Helper(ProgClass, i32),
    Kfunc(ProgClass, String),
}

impl Default for Features {
    fn default() -> Features {
        Features::new(Root::host())
    }
}

impl Features {
    /// Nothing is asked yet. Files are read below `root`; system calls always go to the running kernel.
    pub fn new(root: Root) -> Features {
        Features {
            root,
            answers: Mutex::new(HashMap::new()),
            btf: OnceLock::new(),
            privileges: OnceLock::new(),
        }
    }

    /// Whether the kernel has it; failures of the probe count as no.
    pub fn has(&self, feature: &'static Feature) -> bool {
        self.ask(feature).unwrap_or(false)
    }

    /// Whether the kernel has it, or why that can't be found out.
    pub fn ask(&self, feature: &'static Feature) -> Result<bool> {
        self.once(Question::Feature(feature.name), || (feature.probe)(self))
    }

    /// Whether maps of this kind can be made.
    pub fn map_kind(&self, kind: MapKind) -> Result<bool> {
        self.once(Question::Map(kind.0), || self.probe_map(kind))
    }

    /// Whether programs of this class may call the helper.
    pub fn helper(&self, class: ProgClass, helper: Helper) -> Result<bool> {
        self.once(Question::Helper(class, helper.0), || self.probe_call(class, &programs::bare_call(helper)))
    }

    /// Whether the kernel has this kernel function for programs and the class may call it.
    pub fn kfunc(&self, class: ProgClass, name: &str) -> Result<bool> {
        self.once(Question::Kfunc(class, name.to_string()), || match self.btf_id(btf::kind::FUNC, name)? {
            Some(id) => self.probe_call(class, &programs::bare_kfunc(id)),
            None => Ok(false),
        })
    }

    fn once(&self, question: Question, find: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers().get(&question) {
            return known.clone();
        }
        // Not under the lock: a probe may ask other questions.
        let answer = find();
        answers().insert(question, answer.clone());
        answer
    }

    fn kernel_btf(&self) -> Result<&KernelBtf> {
        self.btf.get_or_init(|| KernelBtf::vmlinux(&self.root)).as_ref().map_err(Clone::clone)
    }

    fn has_btf(&self) -> Result<bool> {
        match self.kernel_btf() {
            Ok(_) => Ok(true),
            Err(e) if e.errno == libc::ENOENT => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn btf_id(&self, kind: u32, name: &str) -> Result<Option<u32>> {
        if !self.has_btf()? {
            return Ok(None);
        }
        Ok(btf::find(self.kernel_btf()?, kind, name))
    }

    /// `Ok(false)` for the errnos of a kernel without the facility, and for EPERM in spite of all capabilities.
    fn verdict<T>(&self, done: Result<T>, absent: &[i32]) -> Result<bool> {
        match done {
            Ok(_) => Ok(true),
            Err(e) if absent.contains(&e.errno) => Ok(false),
            Err(e) if e.errno == libc::EPERM && self.may_trace() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn may_trace(&self) -> bool {
        self.privileges.get_or_init(|| Privileges::read(&self.root)).can_trace()
    }

    /// Loads a program of a class. `Ok(None)` when this kernel has nothing that the class could hook into.
    fn load(&self, class: ProgClass, insns: &[Insn]) -> Result<Option<Prog>> {
        let mut spec = ProgSpec::new("feature", ProgKind::TRACING, insns);
        let mut target = None;
        match class {
            C::Tracepoint => spec.kind = ProgKind::TRACEPOINT,
            C::RawTracepoint => spec.kind = ProgKind::RAW_TRACEPOINT,
            C::Kprobe => spec.kind = ProgKind::KPROBE,
            C::PerfEvent => spec.kind = ProgKind::PERF_EVENT,
            C::SleepableUprobe => {
                spec.kind = ProgKind::KPROBE;
                spec.flags = prog_flags::BPF_F_SLEEPABLE;
            }
            C::Syscall => {
                spec.kind = ProgKind::SYSCALL;
                spec.flags = prog_flags::BPF_F_SLEEPABLE;
            }
            C::TypedTracepoint => {
                target = Some((AttachKind::TRACE_RAW_TP, btf::kind::TYPEDEF, "btf_trace_sched_switch"));
            }
            // A function of the kernel's own test runs: nothing else ever calls it.
            C::Fentry => target = Some((AttachKind::TRACE_FENTRY, btf::kind::FUNC, "bpf_fentry_test1")),
            C::Iter => target = Some((AttachKind::TRACE_ITER, btf::kind::FUNC, "bpf_iter_task_file")),
        }
        if let Some((attach, kind, name)) = target {
            let Some(id) = self.btf_id(kind, name)? else { return Ok(None) };
            spec.attach = attach;
            spec.attach_btf_id = id;
        }
        Prog::load(&spec).map(Some)
    }

    fn loads(&self, class: ProgClass, insns: &[Insn]) -> Result<bool> {
        match self.load(class, insns) {
            Ok(prog) => Ok(prog.is_some()),
            Err(e) => self.verdict(Err::<(), _>(e), &[libc::EINVAL, ENOTSUPP]),
        }
    }

    /// Whether the verifier lets a class make a bare call: a complaint about arguments means that it does.
    fn probe_call(&self, class: ProgClass, insns: &[Insn]) -> Result<bool> {
        const REFUSALS: &[&str] = &[
            "invalid func ",
            "unknown func ",
            "program of this type cannot use helper",
            "not supported for program type",
            "supported only for ",
            "helper call might sleep",
            "is not allowed",
            "is not a function",
            "must be sleepable",
            "calling kernel function",
        ];
        match self.load(class, insns) {
            Ok(prog) => Ok(prog.is_some()),
            Err(e) if REFUSALS.iter().any(|r| e.log.contains(r)) => Ok(false),
            Err(e) if e.log.is_empty() => self.verdict(Err::<(), _>(e), &[libc::EINVAL, ENOTSUPP]),
            Err(e) if matches!(e.errno, libc::EINVAL | libc::EACCES) => Ok(true),
            Err(e) if e.errno == ENOTSUPP => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn map_with(&self, spec: MapSpec<'_>) -> Result<bool> {
        self.verdict(Map::create(&spec), &[libc::EINVAL, libc::EOPNOTSUPP, ENOTSUPP])
    }

    fn probe_map(&self, kind: MapKind) -> Result<bool> {
        let page = crate::sys::mmap::page_size() as u32;
        let mut spec = MapSpec::new("feature", kind, 4, 8, 1);
        let types;
        let inner;
        match kind {
            MapKind::RINGBUF | MapKind::USER_RINGBUF => {
                (spec.key_size, spec.value_size, spec.max_entries) = (0, 0, page);
            }
            MapKind::QUEUE | MapKind::STACK | MapKind::BLOOM_FILTER => spec.key_size = 0,
            MapKind::PROG_ARRAY | MapKind::PERF_EVENT_ARRAY | MapKind::CGROUP_ARRAY => spec.value_size = 4,
            MapKind::LPM_TRIE => {
                (spec.key_size, spec.flags) = (8, map_flags::BPF_F_NO_PREALLOC);
            }
            MapKind::ARENA => {
                (spec.key_size, spec.value_size, spec.flags) = (0, 0, map_flags::BPF_F_MMAPABLE);
            }
            MapKind::ARRAY_OF_MAPS | MapKind::HASH_OF_MAPS => {
                inner = Map::create(&MapSpec::new("inner", MapKind::ARRAY, 4, 8, 1))?;
                spec.value_size = 4;
                spec.inner = Some(inner.as_fd());
            }
            MapKind::TASK_STORAGE | MapKind::INODE_STORAGE | MapKind::SK_STORAGE | MapKind::CGRP_STORAGE => {
                types = btf::load(&btf::two_ints())?;
                (spec.max_entries, spec.flags) = (0, map_flags::BPF_F_NO_PREALLOC);
                spec.types = Some(MapTypes { btf: types.as_fd(), key_type_id: 1, value_type_id: 2 });
            }
            _ => {}
        }
        self.map_with(spec)
    }

    fn batch(&self, kind: MapKind) -> Result<bool> {
        Map::create(&MapSpec::new("feature", kind, 4, 8, 1))?.has_batches()
    }

    /// Perf event programs are the pickiest: before 6.1 the verifier refuses them such a map.
    fn hash_on_demand(&self) -> Result<bool> {
        let spec = MapSpec::new("feature", MapKind::HASH, 4, 8, 1).flags(map_flags::BPF_F_NO_PREALLOC);
        let map = Map::create(&spec)?;
        self.loads(C::PerfEvent, &programs::refers_to(map.as_fd().as_raw_fd()))
    }

    fn fentry(&self) -> Result<bool> {
        match self.load(C::Fentry, &programs::returns(0)) {
            Ok(None) => Ok(false),
            Ok(Some(prog)) => {
                self.verdict(Link::tracing(&prog, 0), &[libc::EINVAL, libc::EOPNOTSUPP, ENOTSUPP])
            }
            Err(e) => {
                self.verdict(Err::<(), _>(e), &[libc::EINVAL, libc::ENOENT, libc::EOPNOTSUPP, ENOTSUPP])
            }
        }
    }

    fn tracing_cookie(&self) -> Result<bool> {
        match self.load(C::TypedTracepoint, &programs::returns(0))? {
            // Attached to sched_switch for some microseconds.
            Some(prog) => self.verdict(Link::tracing(&prog, 1), &[libc::EINVAL, libc::E2BIG]),
            None => Ok(false),
        }
    }

    fn raw_tp_cookie(&self) -> Result<bool> {
        let Some(prog) = self.load(C::RawTracepoint, &programs::returns(0))? else { return Ok(false) };
        match Link::raw_tracepoint(&prog, "no such tracepoint", 1) {
            Err(e) if e.errno == libc::ENOENT => Ok(true),
            other => self.verdict(other, &[libc::EINVAL, libc::E2BIG]),
        }
    }

    /// Links a program where it can't be linked and tells by the errno whether the kernel got that far.
    fn link_errno<T: Attr>(
        &self,
        class: ProgClass,
        attach: AttachKind,
        fill: impl FnOnce(LinkHead) -> T,
    ) -> Result<i32> {
        let insns = programs::returns(0);
        let prog = match class {
            C::PerfEvent => Prog::load(&ProgSpec::new("feature", ProgKind::PERF_EVENT, &insns))?,
            _ => Prog::load(&ProgSpec { attach, ..ProgSpec::new("feature", ProgKind::KPROBE, &insns) })?,
        };
        let mut a =
            fill(LinkHead { prog_fd: fd_u32(prog.as_fd()), attach_type: attach.0, ..Default::default() });
        // SAFETY: the pointers that `fill` sets are null, invalid (the kernel checks) or to static memory.
        Ok(unsafe { bpf_fd(Cmd::LinkCreate, &mut a) }.err().unwrap_or(0))
    }

    fn link_verdict(&self, found: Result<i32>, reached: i32) -> Result<bool> {
        match found {
            Ok(errno) if errno == reached => Ok(true),
            Ok(libc::EINVAL | libc::EOPNOTSUPP | libc::E2BIG | ENOTSUPP) => Ok(false),
            Ok(errno) => self.verdict(Err::<(), _>(Error::new("probe", "links", errno)), &[]),
            Err(e) => self.verdict(Err::<(), _>(e), &[libc::EINVAL]),
        }
    }

    fn perf_link(&self) -> Result<bool> {
        let found = self.link_errno(C::PerfEvent, AttachKind::PERF_EVENT, |head| attr::LinkPerfEvent {
            head: LinkHead { target_fd: u32::MAX, ..head },
            cookie: 0,
        });
        self.link_verdict(found, libc::EBADF)
    }

    fn kprobe_multi(&self, attach: AttachKind) -> Result<bool> {
        // Address 8 isn't mapped: a kernel with the facility fails when it copies the array from there.
        let found = self.link_errno(C::Kprobe, attach, |head| attr::LinkKprobeMulti {
            head,
            cnt: 1,
            addrs: 8,
            ..Default::default()
        });
        self.link_verdict(found, libc::EFAULT)
    }

    fn uprobe_multi(&self, attach: AttachKind) -> Result<bool> {
        static OFFSETS: [u64; 1] = [0];
        // A folder is no binary: a kernel with the facility says EBADF.
        let found = self.link_errno(C::Kprobe, attach, |head| attr::LinkUprobeMulti {
            head,
            path: c"/".as_ptr() as u64,
            offsets: OFFSETS.as_ptr() as u64,
            cnt: 1,
            ..Default::default()
        });
        self.link_verdict(found, libc::EBADF)
    }
}

/// Whether an event can be opened for this process.
fn opens(spec: EventSpec) -> Result<bool> {
    match PerfEvent::open(&spec.disabled(), Scope::Task(0)) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.errno, libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => Ok(false),
        Err(e) => Err(e),
    }
}

fn watchpoint() -> Result<bool> {
    static WATCHED: u64 = 0;
    let address = std::ptr::from_ref(&WATCHED) as u64;
    match opens(EventSpec::breakpoint(address, 8, breakpoint::WRITE)) {
        // All registers are in use: there are some.
        Err(e) if e.errno == libc::ENOSPC => Ok(true),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented() {
        let mut names: Vec<&str> = ALL.iter().map(|f| f.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|f| !f.doc.is_empty()));
        assert!(by_name("ringbuf").is_some() && by_name("nope").is_none());
    }

    #[test]
    fn files_come_from_the_fixture() {
        let f = Features::new(Root::at("/nonexistent-fixture"));
        assert_eq!(f.ask(&BTF), Ok(false));
        assert_eq!(f.ask(&KPROBE_PMU), Ok(false));
        assert_eq!(f.ask(&TRACEFS), Ok(false));
    }
}
