//! Probes of the kernel and of the tracer itself: wildcards of tracepoints, iterators and their pins, signals, tests, benchmarks.

mod support;

use std::path::Path;
use std::time::Duration;
use support::{eventually, fathom, skipped, Tracer};

#[test]
fn all_system_calls_share_one_attachment() {
    if skipped("all_system_calls_share_one_attachment") {
        return;
    }
    let script = "tracepoint:syscalls:sys_enter_* { @[probe] = count(); } interval:ms:1 { exit(); }";
    let ran = fathom(&["-v", "-c", "cat /proc/self/stat", "-e", script]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let attached: Vec<&str> =
        ran.err.lines().filter(|l| l.starts_with("attached tracepoint:syscalls")).collect();
    assert_eq!(attached.len(), 1, "one attachment for all");
    let micros = attached[0].rsplit(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    eprintln!("sys_enter_* attached in {micros:?} us; all took {:?}", ran.took);
    assert!(micros.is_some_and(|n| n < 50_000), "{attached:?}");
}

#[test]
fn shared_programs_know_which_call_it_is() {
    if skipped("shared_programs_know_which_call_it_is") {
        return;
    }
    let script = r#"tracepoint:syscalls:sys_enter_*, tracepoint:syscalls:sys_exit_* /pid == cpid/ { @[probe] = count(); }"#;
    let ran = fathom(&["-q", "-c", "cat /proc/self/stat", "-e", script]);
    // The command waits in a read() of the tracer's making, whose end alone is seen.
    for call in ["openat", "write", "close", "mmap"] {
        let enter = ran.value(&format!("@[tracepoint:syscalls:sys_enter_{call}]"));
        let exit = ran.value(&format!("@[tracepoint:syscalls:sys_exit_{call}]"));
        assert!(enter.is_some() && enter == exit, "{call}: {ran:?}");
    }
    assert_eq!(ran.value("@[tracepoint:syscalls:sys_enter_exit_group]"), Some(1), "{ran:?}");
    assert_eq!(ran.value("@[tracepoint:syscalls:sys_exit_exit_group]"), None, "{ran:?}");
}

#[test]
fn a_category_of_tracepoints_attaches() {
    if skipped("a_category_of_tracepoints_attaches") {
        return;
    }
    let script = "tracepoint:sched:sched_* { @[probe] = count(); } interval:ms:200 { exit(); }";
    let ran = fathom(&["-q", "-e", script]);
    assert!(ran.code == 0 && ran.value("@[tracepoint:sched:sched_switch]").is_some(), "{ran:?}");
}

#[test]
fn raw_tracepoints_have_typed_arguments() {
    if skipped("raw_tracepoints_have_typed_arguments") {
        return;
    }
    let script = r#"rawtracepoint:sched_switch { @[args.next->pid >= 0, probe] = count(); @n = count(); }
        interval:ms:100 { exit(); }"#;
    let ran = fathom(&["-q", "-e", script]);
    let all = ran.value("@[true, rawtracepoint:vmlinux:sched_switch]");
    assert!(all.is_some() && all == ran.value("@n"), "{ran:?}");
}

#[test]
fn iterators_walk_once() {
    if skipped("iterators_walk_once") {
        return;
    }
    let own = std::process::id();
    let script = format!("iter:task {{ if (ctx.task.tgid == {own}) {{ @[ctx.task.tgid] = count(); }} }}");
    let ran = fathom(&["-q", "-e", &script]);
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) as i64;
    let seen = ran.value(&format!("@[{own}]")).unwrap_or_default();
    // Threads of other tests come and go.
    assert!(seen >= 2 && (seen - threads).abs() < 12, "{seen} of {threads}: {ran:?}");
    let one = fathom(&["-q", "-p", &own.to_string(), "-e", "iter:task { @[ctx.task.tgid] = count(); }"]);
    assert_eq!(one.elements().len(), 1, "{one:?}");
    for object in [
        "task_file",
        "task_vma",
        "bpf_map",
        "bpf_prog",
        "bpf_link",
        "tcp",
        "udp",
        "unix",
        "netlink",
        "cgroup",
    ] {
        let ran = fathom(&["-q", "-e", &format!("iter:{object} {{ @ = count(); }}")]);
        assert_eq!(ran.code, 0, "{object}: {ran:?}");
    }
    let refused = fathom(&["-e", "iter:bpf_map_elem { }"]);
    assert!(refused.code == 1 && refused.err.contains("iter:bpf_map"), "{refused:?}");
}

#[test]
fn pinned_iterators_run_for_whoever_reads_them() {
    if skipped("pinned_iterators_run_for_whoever_reads_them") {
        return;
    }
    let name = format!("fathom_test_{}", std::process::id());
    let path = Path::new("/sys/fs/bpf").join(&name);
    let body = r#"{ @[ctx.task.tgid] = count(); printf("%5d %-16s|%s %x%%\n", ctx.task.pid, ctx.task.comm, "text", 255); }"#;
    let tracer = Tracer::start(&["-e", &format!("iter:task:{name} {body}")]);
    assert!(eventually(|| path.exists()), "the pin appears");
    let taken = fathom(&["-e", &format!("iter:task:{name} {{ }}")]);
    assert!(taken.code == 255 && taken.err.contains(&name), "{taken:?}");
    // The text goes to the reader.
    let read = std::fs::read_to_string(&path).unwrap();
    assert!(read.lines().any(|l| l == "    2 kthreadd        |text ff%"), "{read}");
    let odd = fathom(&["-e", &format!("iter:task:{name} {{ printf(\"%s\", kstack); }}")]);
    assert!(odd.code == 1 && odd.err.contains("integers, pointers and strings"), "{odd:?}");
    tracer.signal("INT");
    let ran = tracer.finish();
    assert!(ran.value(&format!("@[{}]", std::process::id())).is_some(), "{ran:?}");
    assert!(!path.exists(), "the pin is removed");
}

#[test]
fn signals_run_probes_of_the_tracer() {
    if skipped("signals_run_probes_of_the_tracer") {
        return;
    }
    let script = r#"begin { printf("ready\n"); } self:signal:SIGUSR1 { printf("signalled\n"); exit(5); }"#;
    let tracer = Tracer::start(&["-q", "-e", script]);
    std::thread::sleep(Duration::from_millis(500));
    tracer.signal("USR1");
    let ran = tracer.finish();
    assert_eq!((ran.code, ran.out.contains("signalled")), (5, true), "{ran:?}");
}

#[test]
fn tests_and_benchmarks_of_scripts_run() {
    if skipped("tests_and_benchmarks_of_scripts_run") {
        return;
    }
    let script = "test:good { return 0; } test:bad { return 1; } bench:counting { @ = count(); }";
    let tests = fathom(&["--test", "-e", script]);
    assert_eq!(tests.code, 1, "{tests:?}");
    let lines = |word: &str| tests.out.lines().chain(tests.err.lines()).filter(|l| l.contains(word)).count();
    assert!(lines("good") >= 1 && lines("bad") >= 1 && lines("FAILED") >= 1, "{tests:?}");
    let bench = fathom(&["--bench", "-e", script]);
    assert!(bench.code == 0 && bench.out.contains("counting"), "{bench:?}");
}

#[test]
fn what_exit_leaves_behind_is_not_printed() {
    if skipped("what_exit_leaves_behind_is_not_printed") {
        return;
    }
    let script = r#"tracepoint:raw_syscalls:sys_enter { @n++; printf("call %d\n", 1); if (@n >= 5) { exit(); } }
        end { printf("end\n"); }"#;
    let ran = fathom(&["-q", "-e", script]);
    // Another CPU may be in the middle of the fifth call.
    let calls = ran.out.matches("call 1\n").count();
    assert!((5..=6).contains(&calls) && ran.out.contains("end\n"), "{ran:?}");
}

#[test]
fn counters_that_the_machine_lacks_are_named() {
    if skipped("counters_that_the_machine_lacks_are_named")
        || Path::new("/sys/bus/event_source/devices/cpu").exists()
    {
        return;
    }
    let ran = fathom(&["-e", "hardware:cycles:1000 { }"]);
    assert!(ran.code == 1 && ran.err.contains("no performance counters"), "{ran:?}");
}
