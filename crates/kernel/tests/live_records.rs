//! Records that reach user space on the running kernel: ring buffer, perf buffers, side-band records, kernel names.

mod support;

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use fathom_bpf::kinds::{MapKind, ProgKind};
use fathom_kernel::ksyms::KernelNames;
use fathom_kernel::link::Link;
use fathom_kernel::map::{Map, MapSpec};
use fathom_kernel::perf_ring::PerfBuffers;
use fathom_kernel::poll::PollSet;
use fathom_kernel::prog::{Prog, ProgSpec, TestRun};
use fathom_kernel::ringbuf::{RecordSource, RingBuf};
use fathom_kernel::task_events::{TaskEvents, What};
use fathom_kernel::{cpu, Root};
use support::{getppid, live, perf_write, ringbuf_write};

const VALUE: u64 = 0x1122_3344_5566_7788;

#[test]
fn the_ring_buffer_carries_records_in_order() {
    if !live("the_ring_buffer_carries_records_in_order") {
        return;
    }
    let map = Map::create(&MapSpec::new("ring", MapKind::RINGBUF, 0, 0, 4096)).unwrap();
    let mut ring = RingBuf::open(&map).unwrap();
    let insns = ringbuf_write(map.as_fd().as_raw_fd(), VALUE, 40);
    let p = Prog::load(&ProgSpec::new("writer", ProgKind::RAW_TRACEPOINT, &insns)).unwrap();
    // Many times round the ring, so that records wrap.
    for round in 0..200 {
        let writes = 1 + round % 50;
        for _ in 0..writes {
            assert_eq!(p.test_run(&mut TestRun::default()).unwrap().retval, 0);
        }
        assert_eq!(ring.pending_bytes(), 48 * writes as u64);
        let mut seen = 0;
        let n = ring.consume(&mut |bytes| {
            assert_eq!(bytes.len(), 40);
            assert!(bytes.chunks(8).all(|c| c == VALUE.to_ne_bytes()));
            seen += 1;
        });
        assert_eq!((n, seen), (writes, writes));
        assert_eq!(ring.pending_bytes(), 0);
    }
    assert_eq!(ring.consume(&mut |_| panic!("nothing is there")), 0);
    // A full ring refuses, and the refused records don't appear.
    let refused = (0..200).filter(|_| p.test_run(&mut TestRun::default()).unwrap().retval != 0).count();
    assert!(refused > 0);
    assert_eq!(ring.consume(&mut |_| {}), 200 - refused);
}

#[test]
fn the_ring_buffer_wakes_its_reader() {
    if !live("the_ring_buffer_wakes_its_reader") {
        return;
    }
    let map = Map::create(&MapSpec::new("ring", MapKind::RINGBUF, 0, 0, 1 << 16)).unwrap();
    let mut ring = RingBuf::open(&map).unwrap();
    let insns = ringbuf_write(map.as_fd().as_raw_fd(), VALUE, 8);
    let p = Prog::load(&ProgSpec::new("writer", ProgKind::RAW_TRACEPOINT, &insns)).unwrap();
    let link = Link::raw_tracepoint(&p, "sys_enter", 0).unwrap();
    getppid();
    let mut set = PollSet::new();
    let i = set.add(ring.as_fd());
    assert!(set.wait(Some(Duration::from_secs(5))).unwrap() > 0 && set.is_ready(i));
    drop(link);
    assert!(ring.consume(&mut |b| assert_eq!(b, VALUE.to_ne_bytes())) > 0);
}

#[test]
fn no_record_is_lost_or_torn_while_both_sides_run() {
    if !live("no_record_is_lost_or_torn_while_both_sides_run") {
        return;
    }
    let (counter, written) = support::counter();
    let map = Map::create(&MapSpec::new("ring", MapKind::RINGBUF, 0, 0, 8192)).unwrap();
    let mut ring = RingBuf::open(&map).unwrap();
    let insns =
        support::ringbuf_write_counted(map.as_fd().as_raw_fd(), counter.as_fd().as_raw_fd(), VALUE, 64);
    let p = Prog::load(&ProgSpec::new("writer", ProgKind::RAW_TRACEPOINT, &insns)).unwrap();
    let link = Link::raw_tracepoint(&p, "sys_enter", 0).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut seen = 0;
    let mut check = |bytes: &[u8]| {
        assert_eq!(bytes.len(), 64);
        assert!(bytes.chunks(8).all(|c| c == VALUE.to_ne_bytes()));
    };
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    getppid();
                }
            });
        }
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(500) {
            seen += ring.consume(&mut check);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drop(link);
    seen += ring.consume(&mut check);
    assert!(seen > 1000, "{seen}");
    assert_eq!(seen as u64, written.load_u64(0).unwrap());
}

#[test]
fn perf_buffers_carry_records() {
    if !live("perf_buffers_carry_records") {
        return;
    }
    let cpus = cpu::online(&Root::host()).unwrap();
    let entries = cpus.iter().max().unwrap() + 1;
    let map = Map::create(&MapSpec::new("perf", MapKind::PERF_EVENT_ARRAY, 4, 4, entries)).unwrap();
    let mut buffers = PerfBuffers::open(&map, &cpus, 1).unwrap();
    let insns = perf_write(map.as_fd().as_raw_fd(), VALUE);
    let p = Prog::load(&ProgSpec::new("writer", ProgKind::RAW_TRACEPOINT, &insns)).unwrap();
    for _ in 0..100 {
        for _ in 0..7 {
            assert_eq!(
                p.test_run(&mut TestRun { ctx: &mut [0; 8], ..Default::default() }).unwrap().retval,
                0
            );
        }
        assert_eq!(buffers.consume(&mut |b| assert_eq!(b.get(..8), Some(&VALUE.to_ne_bytes()[..]))), 7);
    }
    assert_eq!(buffers.lost(), 0);
    let pinned = cpus[0];
    (0..1000).for_each(|_| {
        let _ = p.test_run(&mut TestRun { ctx: &mut [0; 8], cpu: Some(pinned), ..Default::default() });
    });
    let got = buffers.consume(&mut |_| {});
    assert!(got > 0 && got < 1000);
    // The lost record comes with the next write.
    let _ = p.test_run(&mut TestRun { ctx: &mut [0; 8], cpu: Some(pinned), ..Default::default() });
    buffers.consume(&mut |_| {});
    assert_eq!(buffers.lost() as usize, 1000 - got);
}

#[test]
fn side_band_records_tell_of_short_processes() {
    if !live("side_band_records_tell_of_short_processes") {
        return;
    }
    let cpus = cpu::online(&Root::host()).unwrap();
    let mut events = TaskEvents::open(&cpus, 128).unwrap();
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let (mut named, mut mapped, mut ended, mut build_ids) = (false, 0, false, 0);
    events.consume(&mut |e| {
        if e.pid != pid {
            return;
        }
        assert!(e.time_ns > 0);
        match e.what {
            What::Named { exec: true, comm } => named |= comm == b"true",
            What::Mapped { path, build_id, len, .. } => {
                assert!(len > 0);
                mapped += usize::from(path.ends_with(b"/true"));
                build_ids += usize::from(build_id.is_some());
            }
            What::Ended => ended = true,
            _ => {}
        }
    });
    assert!(named && ended && mapped > 0, "named {named} ended {ended} mapped {mapped}");
    assert!(build_ids > 0);
}

#[test]
fn the_kernel_names_its_addresses() {
    if !live("the_kernel_names_its_addresses") {
        return;
    }
    let mut names = match KernelNames::open() {
        Ok(names) => names,
        Err(e) => panic!("{e}\n{}", e.log),
    };
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let symbols: Vec<(u64, &str)> = text
        .lines()
        .filter_map(|l| {
            let mut f = l.split_whitespace();
            let address = u64::from_str_radix(f.next()?, 16).ok()?;
            (f.next()? == "T" && address > 0).then_some((address, f.next()?))
        })
        .step_by(97)
        .take(200)
        .collect();
    if symbols.is_empty() {
        eprintln!("skipped: kallsyms hides addresses");
        return;
    }
    let addresses: Vec<u64> = symbols.iter().map(|(a, _)| a + 1).collect();
    let mut right = 0;
    let mut order = Vec::new();
    names
        .resolve(&addresses, &mut |i, name| {
            order.push(i);
            // Aliases of one address have one name.
            if name.is_some_and(|n| n.offset == 1 && n.symbol == symbols[i].1) {
                right += 1;
            }
        })
        .unwrap();
    assert_eq!(order, (0..addresses.len()).collect::<Vec<_>>());
    assert!(right > addresses.len() / 2, "{right} of {}", addresses.len());
    assert_eq!(names.name(1).unwrap(), None);
}
