//! A probe that fires far more often than can be printed: memory stays bounded, and the user is answered at once.

mod tracer;

use std::os::unix::process::parent_id;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracer::{fathom, live, Tracer};

/// Ends well within this, in builds without optimisation on a busy machine.
const SOON: Duration = Duration::from_secs(3);
const MEMORY_KB_MAX: u64 = 300_000;

/// Threads that make system calls until dropped.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let work = |stop: Arc<AtomicBool>| {
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..1000 {
                        std::hint::black_box(parent_id());
                    }
                }
            })
        };
        let threads = (0..2).map(|_| work(stop.clone())).collect();
        Load { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for t in self.threads.drain(..) {
            let _ = t.join();
        }
    }
}

fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn signals_are_answered_in_a_flood() {
    if !live("signals_are_answered_in_a_flood") {
        return;
    }
    let _load = Load::start();
    for clause in [
        "printf(\"%d %s %d\\n\", pid, comm, nsecs);",
        "printf(\"%s %s\\n\", kstack, ustack);",
        "@[tid, nsecs % 1000]++; print(@);",
        "@[nsecs] = count();",
    ] {
        let script = format!("tracepoint:raw_syscalls:sys_enter {{ {clause} }}");
        let mut tracer = Tracer::attached(&["-o", "/dev/null", "-e", &script]);
        std::thread::sleep(Duration::from_millis(500));
        let peak = peak_kb(tracer.pid());
        let asked = Instant::now();
        tracer.signal("INT");
        assert!(tracer.wait(SOON), "`{clause}` does not end");
        eprintln!("`{clause}` ended {:?} after SIGINT, {peak} kB at most", asked.elapsed());
        assert_eq!(tracer.output().status.code(), Some(0));
        assert!(peak < MEMORY_KB_MAX, "`{clause}` took {peak} kB");
    }
}

#[test]
fn an_exit_in_a_flood_takes_effect() {
    if !live("an_exit_in_a_flood_takes_effect") {
        return;
    }
    let _load = Load::start();
    let script =
        "tracepoint:raw_syscalls:sys_enter { printf(\"%d\\n\", nsecs); } interval:ms:300 { exit(); }";
    let mut tracer = Tracer::attached(&["-o", "/dev/null", "-e", script]);
    assert!(tracer.wait(SOON), "exit() has no effect");
    assert_eq!(tracer.output().status.code(), Some(0));
}

#[test]
fn a_reader_that_stopped_reading_holds_nobody() {
    if !live("a_reader_that_stopped_reading_holds_nobody") {
        return;
    }
    let _load = Load::start();
    let script = "tracepoint:raw_syscalls:sys_enter { printf(\"%d %s\\n\", nsecs, comm); }";
    // The pipe's other end is open, and never read.
    let mut child = fathom(&["-e", script]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let _unread = child.stdout.take();
    std::thread::sleep(Duration::from_millis(700));
    let mut tracer = Tracer::from(child);
    tracer.signal("INT");
    assert!(tracer.wait(SOON), "the tracer waits for a reader that does not read");
    assert_eq!(tracer.output().status.code(), Some(1));
}
