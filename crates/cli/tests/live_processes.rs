//! Tracing of processes: `-c`, `-p`, threads, hardware breakpoints, names of processes that have ended.

mod support;

use std::time::{Duration, Instant};
use support::{compile, fathom, folder, live_target, skipped, Target, Tracer};

fn target(test: &str) -> Option<String> {
    if skipped(test) {
        return None;
    }
    let path = live_target();
    if !path.exists() {
        eprintln!("skipped: {test}: {} was not built (it is with all tests of the package)", path.display());
        return None;
    }
    Some(path.display().to_string())
}

#[test]
fn a_command_is_traced_from_its_first_instruction_to_its_end() {
    let Some(target) = target("a_command_is_traced_from_its_first_instruction_to_its_end") else { return };
    let script = format!(
        "uprobe:{target}:*traced_add* /pid == cpid/ {{ @calls = count(); }}
         tracepoint:syscalls:sys_enter_exit_group /pid == cpid/ {{ @exits = count(); }}"
    );
    let ran = fathom(&["-q", "-c", &format!("{target} 7 0"), "-e", &script]);
    assert_eq!((ran.code, ran.value("@calls"), ran.value("@exits")), (0, Some(7), Some(1)), "{ran:?}");
    assert!(ran.out.contains("guarded off"), "the command's own output: {ran:?}");
}

#[test]
fn a_script_that_exits_ends_its_command() {
    if skipped("a_script_that_exits_ends_its_command") {
        return;
    }
    let script = "interval:ms:50 { printf(\"%d\\n\", cpid); exit(3); }";
    let ran = fathom(&["-q", "-c", "sleep 100", "-e", script]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let pid = ran.out.lines().next().unwrap_or_default().to_owned();
    let is_gone = || std::fs::read_to_string(format!("/proc/{pid}/comm")).map_or(true, |c| c != "sleep\n");
    assert!(support::eventually(is_gone), "{pid} still runs");
    let missing = fathom(&["-c", "/no/such/program", "-e", "interval:s:1 { }"]);
    assert!(missing.code != 0 && missing.err.contains("/no/such/program"), "{missing:?}");
}

#[test]
fn tracing_a_process_ends_with_it() {
    let Some(target) = target("tracing_a_process_ends_with_it") else { return };
    let running = Target::start(target.as_ref(), &["200", "1000"]);
    let started = Instant::now();
    let ran = fathom(&["-q", "-p", &running.pid(), "-e", "interval:s:100 { } end { printf(\"ended\\n\"); }"]);
    assert!(ran.code == 0 && ran.out.contains("ended"), "{ran:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(running);
    let gone = fathom(&["-p", "4194303", "-e", "interval:s:1 { }"]);
    assert!(gone.code != 0 && gone.err.contains("4194303"), "{gone:?}");
}

#[test]
fn every_kind_of_probe_keeps_to_the_process() {
    let Some(target) = target("every_kind_of_probe_keeps_to_the_process") else { return };
    let running = Target::start(target.as_ref(), &["1000000", "500"]);
    let noise = Target::start(target.as_ref(), &["1000000", "500"]);
    let probes = [
        "tracepoint:syscalls:sys_enter_*",
        "tracepoint:syscalls:sys_exit_clock_nanosleep",
        "tracepoint:raw_syscalls:sys_enter",
        "tracepoint:sched:sched_switch",
        "rawtracepoint:sched_switch",
        "software:context-switches:1",
        "profile:hz:4999",
        "uprobe:*traced_write*",
        "uretprobe:*traced_write*",
        "usdt:*:round",
    ];
    for probe in probes {
        let script = format!("{probe} {{ @[pid] = count(); }} interval:ms:300 {{ exit(); }}");
        let ran = fathom(&["-q", "-p", &running.pid(), "-e", &script]);
        let elements = ran.elements();
        assert_eq!(elements.len(), 1, "{probe}: {ran:?}");
        assert_eq!(elements[0].0, format!("@[{}]", running.pid()), "{probe}: {ran:?}");
    }
    drop(noise);
}

#[test]
fn watchpoints_see_all_threads() {
    let Some(target) = target("watchpoints_see_all_threads") else { return };
    let running = Target::start(target.as_ref(), &["threads"]);
    let (cell, function) = (running.told("cell"), running.told("function"));
    for probe in [
        format!("watchpoint:{cell}:8:w"),
        format!("watchpoint:{cell}:8:rw"),
        format!("watchpoint:{function}:8:x"),
    ] {
        // The second thread begins while this runs, or has begun before.
        let script = format!("{probe} {{ @[tid] = count(); }} interval:ms:800 {{ exit(); }}");
        let ran = fathom(&["-q", "-p", &running.pid(), "-e", &script]);
        assert_eq!(ran.elements().len(), 2, "{probe}: {ran:?}");
    }
    let script = format!(
        "watchpoint:{cell}:8:w {{ @n = count(); if ((int64)@n == 3) {{ unwatch({cell}); }} }}
         interval:ms:400 {{ exit(); }}"
    );
    let ran = fathom(&["-q", "-p", &running.pid(), "-e", &script]);
    assert!(ran.value("@n").is_some_and(|n| (3..60).contains(&n)), "{ran:?}");
}

#[test]
fn wrong_watchpoints_say_why() {
    for (probe, why) in [
        ("watchpoint:0x1000:3:w", "length"),
        ("watchpoint:0x1001:8:w", "multiple"),
        ("watchpoint:0x1000:8:r", "rw"),
        ("watchpoint:0x1000:8", "forms"),
    ] {
        let ran = fathom(&["-e", &format!("{probe} {{ }}")]);
        assert!(ran.code == 1 && ran.err.contains(why), "{probe}: {ran:?}");
    }
}

/// With frame pointers everywhere.
const FRAMES: &[&str] = &["-O0", "-fno-omit-frame-pointer"];

#[test]
fn processes_that_have_ended_keep_their_names() {
    let test = "processes_that_have_ended_keep_their_names";
    if skipped(test) {
        return;
    }
    let Some(short) = compile(&folder(test), "short.c", "short", FRAMES) else { return };
    let script = r#"tracepoint:syscalls:sys_enter_getppid /comm == "short"/ { @[ustack(4)] = count(); }
        interval:ms:1500 { exit(); }"#;
    let tracer = Tracer::start(&["-e", script]);
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..3 {
        let _ = std::process::Command::new(&short).status();
    }
    let ran = tracer.finish();
    // Three processes and their children, which never call exec.
    assert_eq!(ran.out.matches("deep_inner+").count(), 6, "{ran:?}");
    assert_eq!(ran.out.matches("deep_outer+").count(), 6, "{ran:?}");
    assert!(!ran.out.contains("0x"), "{ran:?}");
}
