//! However a tracer ends, nothing of it stays in the kernel.

mod tracer;

use std::time::Duration;
use tracer::{fathom, finish, live, Snapshot, Tracer};

const LIMIT: Duration = Duration::from_secs(30);

/// Attaches in each way that every kernel has.
const SCRIPT: &str = "begin { @started = nsecs; } \
    tracepoint:raw_syscalls:sys_enter { @calls[comm] = count(); } \
    tracepoint:syscalls:sys_enter_execve { @execs++; } \
    rawtracepoint:sched_switch { @switches = count(); } \
    uprobe:libc:sethostname { @names[ustack] = count(); } \
    uretprobe:libc:sethostname { @returned[retval] = count(); } \
    software:page-faults:1000 { @faults[pid]++; } \
    profile:hz:99 { @stacks[kstack] = count(); } \
    interval:ms:10 { printf(\"%d\\n\", nsecs); print(@switches); clear(@switches); } \
    end { clear(@calls); clear(@stacks); }";

/// Runs something between two looks at the kernel.
fn leaves_nothing(what: &str, run: impl FnOnce()) {
    let before = Snapshot::take();
    run();
    let left = before.left_behind();
    assert!(left.is_empty(), "{what} left behind: {left:?}");
}

fn code(args: &[&str]) -> (Option<i32>, String) {
    let output = finish(&mut fathom(args), LIMIT).unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ends_of_its_own_leave_nothing() {
    if !live("ends_of_its_own_leave_nothing") {
        return;
    }
    leaves_nothing("exit()", || {
        let script = format!("{SCRIPT} interval:ms:50 {{ exit(); }}");
        let (code, stderr) = code(&["-q", "-e", &script]);
        assert_eq!(code, Some(0), "{stderr}");
    });
    leaves_nothing("the end of a command", || {
        assert_eq!(code(&["-q", "-c", "/bin/true", "-e", SCRIPT]).0, Some(0));
    });
    leaves_nothing("a syntax error", || assert_eq!(code(&["-e", "begin {"]).0, Some(1)));
    leaves_nothing("a map that the kernel refuses", || {
        let script = "config = { max_map_keys = 4294967295; } begin { @first = 1; @refused[1] = count(); }";
        assert_eq!(code(&["-e", script]).0, Some(255));
    });
    leaves_nothing("a probe that cannot be attached", || {
        let script = format!("{SCRIPT} profile:hz:1000000 {{ @never = count(); }}");
        let (code, stderr) = code(&["-e", &script]);
        assert_eq!(code, Some(255), "{stderr}");
        assert!(stderr.contains("profile:hz:1000000"), "{stderr}");
    });
}

#[test]
fn signals_leave_nothing_and_print_the_maps() {
    if !live("signals_leave_nothing_and_print_the_maps") {
        return;
    }
    for signal in ["INT", "TERM"] {
        leaves_nothing(signal, || {
            let mut tracer = Tracer::attached(&["-e", SCRIPT]);
            std::thread::sleep(Duration::from_millis(30));
            tracer.signal(signal);
            assert!(tracer.wait(LIMIT), "the tracer does not end at SIG{signal}");
            let output = tracer.output();
            assert_eq!(output.status.code(), Some(0));
            assert!(String::from_utf8_lossy(&output.stdout).contains("@started: "));
        });
    }
}

#[test]
fn kills_at_any_moment_leave_nothing() {
    if !live("kills_at_any_moment_leave_nothing") {
        return;
    }
    // From before the compiler has run to well behind the first output; another spread each time.
    let mut random = u64::from(std::process::id()) | 1;
    for round in 0..30u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_micros((random >> 33) % (4_000 * (round + 1)));
        leaves_nothing(&format!("SIGKILL after {delay:?}"), || {
            let mut tracer = Tracer::spawn(&["-e", SCRIPT]);
            std::thread::sleep(delay);
            tracer.signal("KILL");
            assert!(tracer.wait(LIMIT));
        });
    }
}
