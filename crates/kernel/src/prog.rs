//! BPF programs: load with the verifier's log, test runs, statistics.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use fathom_bpf::insn::Insn;
use fathom_bpf::kinds::{AttachKind, ProgKind};

use crate::error::{Error, Result};
use crate::sys::attr::{self, Cmd};
use crate::sys::call::{bpf, bpf_fd, fd_u32, mut_ptr_of, obj_name, ptr_of, text_of};
use crate::sys::objects;

/// BTF that goes with a program: loaded by [`crate::btf::load`], and records as the kernel lays them out
/// (`struct bpf_func_info`, `struct bpf_line_info`).
#[derive(Debug, Clone, Copy)]
pub struct ProgTypes<'a> {
    /// The loaded BTF.
    pub btf: BorrowedFd<'a>,
    /// Packed `bpf_func_info` records of 8 bytes: instruction offset, type id. Empty for none.
    pub func_info: &'a [u8],
    /// Packed `bpf_line_info` records of 16 bytes. Empty for none.
    pub line_info: &'a [u8],
}

/// What to load.
#[derive(Debug, Clone, Copy)]
pub struct ProgSpec<'a> {
    /// Name shown by `bpftool`; cut to 15 characters.
    pub name: &'a str,
    /// Kind.
    pub kind: ProgKind,
    /// Expected attach type; 0 where the kind has none.
    pub attach: AttachKind,
    /// The instructions, map descriptors filled in.
    pub insns: &'a [Insn],
    /// `BPF_F_*`, e.g. sleepable.
    pub flags: u32,
    /// Kernel function, tracepoint type or iterator function in BTF; 0 for none.
    pub attach_btf_id: u32,
    /// BTF of the module that `attach_btf_id` is in; `None` for the kernel itself.
    pub attach_btf: Option<BorrowedFd<'a>>,
    /// BTF with functions and lines.
    pub types: Option<ProgTypes<'a>>,
    /// Descriptors that kfunc calls refer to by index in `off` (module BTFs). Slot 0 is unused by the kernel.
    pub fd_array: &'a [BorrowedFd<'a>],
    /// Ask for the verifier's log also when the load succeeds.
    pub want_log: bool,
}

impl<'a> ProgSpec<'a> {
    /// A program without attach target, BTF and flags.
    pub fn new(name: &'a str, kind: ProgKind, insns: &'a [Insn]) -> ProgSpec<'a> {
        ProgSpec {
            name,
            kind,
            attach: AttachKind(0),
            insns,
            flags: 0,
            attach_btf_id: 0,
            attach_btf: None,
            types: None,
            fd_array: &[],
            want_log: false,
        }
    }
}

/// A loaded program; it lives as long as a descriptor, link or map holds it.
#[derive(Debug)]
pub struct Prog {
    fd: OwnedFd,
    name: String,
    kind: ProgKind,
    attach: AttachKind,
    log: String,
}

/// Most bytes of verifier log that are asked for. Of a longer one, newer kernels (6.4) keep the end.
const LOG_BYTES_MAX: usize = 16 << 20;

impl Prog {
    /// Loads a program. First without a log (cheaper); when refused, again with a log buffer that grows as needed, and
    /// the error carries the log. The licence is always GPL, as the helpers demand.
    pub fn load(spec: &ProgSpec<'_>) -> Result<Prog> {
        let object = format!("`{}` ({})", spec.name, spec.kind);
        let (done, log) =
            if spec.want_log { load_with_log(spec) } else { (load_once(spec, &mut []), String::new()) };
        let errno = match done {
            Ok(fd) => {
                return Ok(Prog {
                    fd,
                    name: spec.name.to_string(),
                    kind: spec.kind,
                    attach: spec.attach,
                    log,
                });
            }
            Err(e) => e,
        };
        let log = if spec.want_log { log } else { load_with_log(spec).1 };
        let mut error = Error::new("load program", object, errno);
        if let Some(line) = verdict(&log) {
            error.cause = format!("the verifier says: {line}");
        }
        error.log = log;
        Err(error)
    }

    /// Opens a program by its id. Needs CAP_SYS_ADMIN.
    pub fn by_id(id: u32) -> Result<Prog> {
        let fd = objects::fd_by_id(Cmd::ProgGetFdById, "open program", id)?;
        let info = info_of(fd.as_fd())?;
        Ok(Prog { fd, name: info.name, kind: info.kind, attach: AttachKind(0), log: String::new() })
    }

    /// Name it was loaded with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kind.
    pub fn kind(&self) -> ProgKind {
        self.kind
    }

    /// Expected attach type.
    pub fn attach_kind(&self) -> AttachKind {
        self.attach
    }

    /// The verifier's log when it was asked for; else empty.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// What the kernel says about it.
    pub fn info(&self) -> Result<ProgInfo> {
        info_of(self.fd.as_fd())
    }

    /// Pins the program at a path of a bpf file system.
    pub fn pin(&self, path: &Path) -> Result<()> {
        objects::pin("pin program", self.fd.as_fd(), path)
    }

    /// Runs the program (`BPF_PROG_TEST_RUN`): raw tracepoints with arguments as context, syscall programs with a
    /// context that they may change. `ctx` is both input and output.
    pub fn test_run(&self, run: &mut TestRun<'_>) -> Result<TestResult> {
        let size = u32::try_from(run.ctx.len()).unwrap_or(u32::MAX);
        let mut a = attr::TestRun {
            prog_fd: fd_u32(self.fd.as_fd()),
            data_in: ptr_of(run.data),
            data_size_in: u32::try_from(run.data.len()).unwrap_or(u32::MAX),
            repeat: run.repeat,
            ctx_size_in: size,
            ctx_in: mut_ptr_of(run.ctx),
            flags: if run.cpu.is_some() { 1 } else { 0 },
            cpu: run.cpu.unwrap_or(0),
            ..Default::default()
        };
        // SAFETY: `ctx_in` and `data_in` point to buffers of the given sizes; a syscall program's context is written
        // back to `ctx_in`, which is mutable; no output pointers are given.
        unsafe { bpf(Cmd::ProgTestRun, &mut a) }
            .map_err(|e| Error::new("test-run program", format!("`{}` ({})", self.name, self.kind), e))?;
        Ok(TestResult { retval: a.retval, duration_ns: a.duration })
    }
}

impl AsFd for Prog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Input of a test run.
#[derive(Debug, Default)]
pub struct TestRun<'a> {
    /// Context: for a raw tracepoint its arguments as u64; for a syscall program any bytes, changed by the run.
    pub ctx: &'a mut [u8],
    /// Packet data for network kinds; empty otherwise.
    pub data: &'a [u8],
    /// Repetitions; 0 is one. Raw tracepoints and syscall programs take only 0.
    pub repeat: u32,
    /// CPU to run on (raw tracepoints only).
    pub cpu: Option<u32>,
}

/// Outcome of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestResult {
    /// What the program returned.
    pub retval: u32,
    /// Time of one run in ns; 0 where the kernel doesn't measure.
    pub duration_ns: u32,
}

/// What the kernel says about a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgInfo {
    /// Id, unique while it exists.
    pub id: u32,
    /// Kind.
    pub kind: ProgKind,
    /// Name.
    pub name: String,
    /// Time in its runs, in ns; counted only while [`enable_stats`] is held by somebody.
    pub run_time_ns: u64,
    /// Number of runs, counted as the time.
    pub run_count: u64,
    /// Runs that were skipped because the program was already running on the CPU.
    pub recursion_misses: u64,
    /// Instructions that the verifier walked through (5.16); 0 when unknown.
    pub verified_insns: u32,
    /// Bytes of instructions after the verifier's rewrites.
    pub xlated_bytes: u32,
    /// Bytes of machine code; 0 when interpreted.
    pub jited_bytes: u32,
    /// Number of maps it uses.
    pub map_count: u32,
    /// Load time, CLOCK_BOOTTIME ns.
    pub load_time_ns: u64,
}

/// Ids of all programs of the system. Needs CAP_SYS_ADMIN.
pub fn ids() -> Result<Vec<u32>> {
    objects::ids(Cmd::ProgGetNextId, "list programs")
}

/// Keeps run-time statistics of all programs switched on while it lives (`BPF_ENABLE_STATS`, 5.8).
#[derive(Debug)]
pub struct Stats(#[allow(dead_code, reason = "held for its drop")] OwnedFd);

/// Switches run-time statistics on. Costs about 25 ns per program run.
pub fn enable_stats() -> Result<Stats> {
    let mut a = attr::GetId { id: 0, ..Default::default() };
    // SAFETY: the attribute is one number (BPF_STATS_RUN_TIME is 0); the command returns a descriptor.
    unsafe { bpf_fd(Cmd::EnableStats, &mut a) }
        .map(Stats)
        .map_err(|e| Error::new("enable program statistics", "", e))
}

fn info_of(fd: BorrowedFd<'_>) -> Result<ProgInfo> {
    let mut raw = attr::ProgInfo::default();
    objects::info(fd, &mut raw, "inspect program")?;
    Ok(ProgInfo {
        id: raw.id,
        kind: ProgKind(raw.prog_type),
        name: text_of(&raw.name),
        run_time_ns: raw.run_time_ns,
        run_count: raw.run_cnt,
        recursion_misses: raw.recursion_misses,
        verified_insns: raw.verified_insns,
        xlated_bytes: raw.xlated_prog_len,
        jited_bytes: raw.jited_prog_len,
        map_count: raw.nr_map_ids,
        load_time_ns: raw.load_time,
    })
}

/// One load; an empty `log` asks for none.
fn load_once(spec: &ProgSpec<'_>, log: &mut [u8]) -> std::result::Result<OwnedFd, i32> {
    const FUNC_INFO_BYTES: usize = 8;
    const LINE_INFO_BYTES: usize = 16;
    let fds: Vec<i32> = spec.fd_array.iter().map(|f| f.as_raw_fd()).collect();
    let mut a = attr::ProgLoad {
        prog_type: spec.kind.0,
        insn_cnt: u32::try_from(spec.insns.len()).map_err(|_| libc::E2BIG)?,
        insns: ptr_of(spec.insns),
        license: c"GPL".as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(|_| libc::E2BIG)?,
        log_buf: mut_ptr_of(log),
        prog_flags: spec.flags,
        prog_name: obj_name(spec.name),
        expected_attach_type: spec.attach.0,
        attach_btf_id: spec.attach_btf_id,
        attach_fd: spec.attach_btf.map_or(0, fd_u32),
        fd_array: ptr_of(&fds),
        ..Default::default()
    };
    if let Some(t) = &spec.types {
        a.prog_btf_fd = fd_u32(t.btf);
        a.func_info_rec_size = FUNC_INFO_BYTES as u32;
        a.func_info = ptr_of(t.func_info);
        a.func_info_cnt = u32::try_from(t.func_info.len() / FUNC_INFO_BYTES).map_err(|_| libc::E2BIG)?;
        a.line_info_rec_size = LINE_INFO_BYTES as u32;
        a.line_info = ptr_of(t.line_info);
        a.line_info_cnt = u32::try_from(t.line_info.len() / LINE_INFO_BYTES).map_err(|_| libc::E2BIG)?;
    }
    // SAFETY: every pointer is to a live slice or literal whose element count and size are in the attribute; kfunc
    // calls index `fd_array` from user memory: the kernel copies with faults checked.
    unsafe { bpf_fd(Cmd::ProgLoad, &mut a) }
}

/// Loads with a log, growing the buffer while the kernel says that it was too small.
fn load_with_log(spec: &ProgSpec<'_>) -> (std::result::Result<OwnedFd, i32>, String) {
    let mut size = 256 << 10;
    loop {
        let mut log = vec![0u8; size];
        let done = load_once(spec, &mut log);
        if matches!(done, Err(libc::ENOSPC)) && size < LOG_BYTES_MAX {
            size *= 4;
            continue;
        }
        return (done, text_of(&log));
    }
}

/// The line of a log that says why: the last that is not statistics.
fn verdict(log: &str) -> Option<&str> {
    log.lines().rev().map(str::trim).find(|l| {
        !l.is_empty()
            && !l.starts_with("processed ")
            && !l.starts_with("verification time ")
            && !l.starts_with("stack depth ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_last_real_line() {
        let log = "0: (95) exit\nR0 !read_ok\nprocessed 1 insns (limit 1000000)\nverification time 3 usec\n";
        assert_eq!(verdict(log), Some("R0 !read_ok"));
        assert_eq!(verdict(""), None);
    }
}
