//! Programs of the running kernel: loading, the verifier's log, test runs, every way to attach that this kernel has.

mod support;

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use fathom_bpf::insn::Insn;
use fathom_bpf::isa::Reg;
use fathom_bpf::kinds::{AttachKind, LinkKind, ProgKind};
use fathom_kernel::btf::{self, KernelBtf};
use fathom_kernel::features::{self, Features};
use fathom_kernel::link::{IterTarget, Link, UprobeMulti};
use fathom_kernel::perf::{EventSpec, PerfEvent, Sampling, Scope, Software};
use fathom_kernel::prog::{self, Prog, ProgSpec, TestRun};
use fathom_kernel::tracefs::Tracefs;
use fathom_kernel::Root;
use support::{count_in_array, counter, getppid, live, store_cookie};

fn load(kind: ProgKind, attach: AttachKind, btf_id: u32, insns: &[Insn]) -> Prog {
    let spec = ProgSpec { attach, attach_btf_id: btf_id, ..ProgSpec::new("live_test", kind, insns) };
    Prog::load(&spec).unwrap_or_else(|e| panic!("{e}\n{}", e.log))
}

#[test]
fn programs_run_and_are_described() {
    if !live("programs_run_and_are_described") {
        return;
    }
    let insns = [Insn::mov64_imm(Reg::R0, 42), Insn::exit()];
    let p = load(ProgKind::RAW_TRACEPOINT, AttachKind(0), 0, &insns);
    let stats = prog::enable_stats().unwrap();
    let got = p.test_run(&mut TestRun { ctx: &mut [0; 16], ..Default::default() }).unwrap();
    assert_eq!(got.retval, 42);
    drop(stats);
    let info = p.info().unwrap();
    assert_eq!((info.kind, info.name.as_str()), (ProgKind::RAW_TRACEPOINT, "live_test"));
    assert!(info.xlated_bytes >= 16);
    assert!(prog::ids().unwrap().contains(&info.id));
    assert_eq!(Prog::by_id(info.id).unwrap().name(), "live_test");
}

#[test]
fn a_rejection_carries_the_log() {
    if !live("a_rejection_carries_the_log") {
        return;
    }
    let e = Prog::load(&ProgSpec::new("bad", ProgKind::RAW_TRACEPOINT, &[Insn::exit()])).unwrap_err();
    assert!(e.to_string().contains("R0 !read_ok"), "{e}");
    assert!(e.log.contains("processed"), "{}", e.log);
    let insns = [Insn::mov64_imm(Reg::R0, 0), Insn::exit()];
    let spec = ProgSpec { want_log: true, ..ProgSpec::new("good", ProgKind::RAW_TRACEPOINT, &insns) };
    assert!(Prog::load(&spec).unwrap().log().contains("processed 2 insns"));
}

#[test]
fn raw_and_typed_tracepoints_count() {
    if !live("raw_and_typed_tracepoints_count") {
        return;
    }
    let (map, memory) = counter();
    let insns = count_in_array(map.as_fd().as_raw_fd(), 0);
    let p = load(ProgKind::RAW_TRACEPOINT, AttachKind(0), 0, &insns);
    let link = Link::raw_tracepoint(&p, "sys_enter", 0).unwrap();
    (0..10).for_each(|_| getppid());
    assert!(memory.swap_u64(0, 0).unwrap() >= 10);
    assert_eq!(link.info().unwrap().unwrap().kind, LinkKind::RAW_TRACEPOINT);
    drop(link);
    let e = Link::raw_tracepoint(&p, "no_such", 0).unwrap_err();
    assert!(e.to_string().contains("`no_such`") && e.to_string().contains("fathom list"), "{e}");

    let btf = KernelBtf::vmlinux(&Root::host()).unwrap();
    let id = btf::find(&btf, btf::kind::TYPEDEF, "btf_trace_sys_enter").unwrap();
    let p = load(ProgKind::TRACING, AttachKind::TRACE_RAW_TP, id, &insns);
    memory.store_u64(0, 0);
    let link = Link::tracing(&p, 0).unwrap();
    (0..10).for_each(|_| getppid());
    assert!(memory.load_u64(0).unwrap() >= 10);
    // The kernel files typed raw tracepoints under raw ones.
    assert_eq!(link.info().unwrap().unwrap().kind, LinkKind::RAW_TRACEPOINT);
}

#[test]
fn cookies_reach_the_program() {
    if !live("cookies_reach_the_program") || !Features::default().has(&features::RAW_TP_COOKIE) {
        return;
    }
    let (map, memory) = counter();
    let p = load(ProgKind::RAW_TRACEPOINT, AttachKind(0), 0, &store_cookie(map.as_fd().as_raw_fd()));
    let _link = Link::raw_tracepoint(&p, "sys_enter", 0xabcd).unwrap();
    getppid();
    assert_eq!(memory.load_u64(0), Some(0xabcd));
}

#[test]
fn perf_tracepoints_and_software_events_fire() {
    if !live("perf_tracepoints_and_software_events_fire") {
        return;
    }
    let (map, memory) = counter();
    let insns = count_in_array(map.as_fd().as_raw_fd(), 0);
    let tracefs = Tracefs::find(&Root::host()).unwrap();
    let id = tracefs.event_id("syscalls", "sys_enter_getppid").unwrap();
    let event =
        PerfEvent::open(&EventSpec::tracepoint(id, "syscalls:sys_enter_getppid"), Scope::Cpu(0)).unwrap();
    let p = load(ProgKind::TRACEPOINT, AttachKind(0), 0, &insns);
    let link = event.attach(&p, 0).unwrap();
    (0..10).for_each(|_| getppid());
    assert!(memory.swap_u64(0, 0).unwrap() >= 10);
    drop(link);

    let spec = EventSpec::software(Software::TaskClock).sampling(Sampling::Period(100_000));
    let event = PerfEvent::open(&spec, Scope::Task(0)).unwrap();
    let p = load(ProgKind::PERF_EVENT, AttachKind(0), 0, &insns);
    memory.store_u64(0, 0);
    let link = event.attach(&p, 0).unwrap();
    let start = std::time::Instant::now();
    while memory.load_u64(0) == Some(0) && start.elapsed().as_secs() < 10 {
        std::hint::black_box((0..10_000u64).sum::<u64>());
    }
    assert!(memory.load_u64(0).unwrap() > 0);
    let reading = link.event().unwrap().read().unwrap();
    assert!(reading.value > 0 && reading.enabled_ns > 0);
}

#[test]
fn absent_counters_are_explained() {
    if !live("absent_counters_are_explained") || Features::default().has(&features::HARDWARE_COUNTERS) {
        return;
    }
    let spec = EventSpec::hardware(fathom_kernel::perf::Hardware::CpuCycles);
    let e = PerfEvent::open(&spec, Scope::Cpu(0)).unwrap_err();
    assert!(e.to_string().contains("no such counter"), "{e}");
}

/// A function to probe. Its file offset comes from the mapping that it lies in.
#[inline(never)]
extern "C" fn probed(n: u64) -> u64 {
    std::hint::black_box(n.wrapping_mul(3))
}

fn offset_of_probed() -> u64 {
    let address = probed as extern "C" fn(u64) -> u64 as usize as u64;
    let maps = fathom_kernel::proc::maps(&Root::host(), std::process::id()).unwrap();
    maps.lines()
        .find_map(|line| {
            let mut fields = line.split_whitespace();
            let (from, to) = fields.next()?.split_once('-')?;
            let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
            let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
            (from..to).contains(&address).then(|| address - from + offset)
        })
        .unwrap()
}

#[test]
fn user_probes_fire() {
    let f = Features::default();
    if !live("user_probes_fire") || !f.has(&features::UPROBE_PMU) {
        return;
    }
    let (map, memory) = counter();
    let insns = count_in_array(map.as_fd().as_raw_fd(), 0);
    let (offset, exe) = (offset_of_probed(), std::env::current_exe().unwrap());
    let hits = || {
        memory.store_u64(0, 0);
        (0..5).for_each(|i| {
            probed(i);
        });
        memory.load_u64(0).unwrap()
    };
    for on_return in [false, true] {
        let spec = EventSpec::uprobe(&Root::host(), &exe, offset, 0, on_return).unwrap();
        let p = load(ProgKind::KPROBE, AttachKind(0), 0, &insns);
        let link = PerfEvent::open(&spec, Scope::Task(0)).unwrap().attach(&p, 7).unwrap();
        assert_eq!(hits(), 5);
        drop(link);
        assert_eq!(hits(), 0);
    }
    if !f.has(&features::UPROBE_MULTI) {
        return;
    }
    let p = load(ProgKind::KPROBE, AttachKind::TRACE_UPROBE_MULTI, 0, &insns);
    let offsets = [offset];
    let spec = UprobeMulti { offsets: &offsets, pid: std::process::id(), ..Default::default() };
    let link = Link::uprobe_multi(&p, &exe, &spec).unwrap();
    assert_eq!(hits(), 5);
    drop(link);
    let wrong = UprobeMulti { cookies: &[1, 2], ..spec };
    assert!(Link::uprobe_multi(&p, &exe, &wrong).unwrap_err().to_string().contains("1 places but 2"));
    let e = Link::uprobe_multi(&p, Path::new("/no/such"), &spec).unwrap_err();
    assert!(e.to_string().contains("no such file"), "{e}");
    if !f.has(&features::UPROBE_SESSION) {
        return;
    }
    let p = load(ProgKind::KPROBE, AttachKind::TRACE_UPROBE_SESSION, 0, &insns);
    let _link = Link::uprobe_multi(&p, &exe, &spec).unwrap();
    assert_eq!(hits(), 10);
}

#[test]
fn iterators_run_over_tasks() {
    if !live("iterators_run_over_tasks") || !Features::default().has(&features::ITER) {
        return;
    }
    let (map, memory) = counter();
    let btf = KernelBtf::vmlinux(&Root::host()).unwrap();
    let id = btf::find(&btf, btf::kind::FUNC, "bpf_iter_task").unwrap();
    let p = load(ProgKind::TRACING, AttachKind::TRACE_ITER, id, &count_in_array(map.as_fd().as_raw_fd(), 0));
    let link = Link::iter(&p, IterTarget::All).unwrap();
    let mut out = Vec::new();
    assert_eq!(link.read_iter(&mut out).unwrap(), 0);
    let all = memory.swap_u64(0, 0).unwrap();
    assert!(all > 10, "{all}");
    let link = Link::iter(&p, IterTarget::Thread(std::process::id())).unwrap();
    link.read_iter(&mut out).unwrap();
    // One task and the call at the end.
    assert_eq!(memory.load_u64(0), Some(2));
}
