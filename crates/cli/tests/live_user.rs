//! Probes in programs: functions, offsets, addresses, wildcards, libraries, static probes and their semaphores.

mod support;

use fathom_symbols::elf::Elf;
use std::time::Duration;
use support::{fathom, live_target, skipped, Ran, Target};

/// The target, unless this cannot be tested here.
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

/// Traces some rounds of the target, which is started by the tracer.
fn trace_rounds(target: &str, script: &str, rounds: u32) -> Ran {
    let ran = fathom(&["-q", "-c", &format!("{target} {rounds} 0"), "-e", &script.replace("BIN", target)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

#[test]
fn arguments_come_from_registers_and_stack() {
    let Some(target) = target("arguments_come_from_registers_and_stack") else { return };
    let script = r#"uprobe:BIN:*traced_add* /pid == cpid/ { printf("%d %d %s\n", (int32)arg0, arg1, str(arg2)); }
        uprobe:BIN:*traced_many* /pid == cpid/ { @stack[arg5, arg6, arg7, reg("di")] = count(); }"#;
    let ran = trace_rounds(&target, script, 3);
    assert_eq!(ran.out.matches("-7 40 hello\n").count(), 3, "{ran:?}");
    assert_eq!(ran.value("@stack[6, 7, 8, 1]"), Some(3), "{ran:?}");
}

#[test]
fn a_pattern_is_one_attachment_that_knows_its_functions() {
    let Some(target) = target("a_pattern_is_one_attachment_that_knows_its_functions") else { return };
    let ran =
        trace_rounds(&target, "uprobe:BIN:*live_target*traced_* /pid == cpid/ { @[func] = count(); }", 5);
    let counts = ran.elements();
    assert_eq!(counts.len(), 3, "{ran:?}");
    assert!(counts.iter().all(|(name, n)| name.contains("traced_") && *n == 5), "{ran:?}");
    let script = "uretprobe:BIN:*live_target*traced_* /pid == cpid/ { @[func, retval] = count(); }";
    let ran = trace_rounds(&target, script, 2);
    let has = |function: &str, value: u64| {
        ran.elements()
            .iter()
            .any(|(name, n)| name.contains(function) && name.ends_with(&format!(", {value}]")) && *n == 2)
    };
    assert!(has("traced_add", 33) && has("traced_many", 36), "{ran:?}");
}

#[test]
fn demangled_names_offsets_and_addresses_are_places() {
    let Some(target) = target("demangled_names_offsets_and_addresses_are_places") else { return };
    let bytes = std::fs::read(&target).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    let function = elf.functions().find(|f| f.symbol.name.contains("traced_many")).expect("the function");
    let (name, address) = (function.symbol.name, function.symbol.address);
    let script = format!(
        r#"uprobe:BIN:{address} /pid == cpid/ {{ @address[probe, func] = count(); }}
           uprobe:BIN:"{name}"+0 /pid == cpid/ {{ @offset[func] = count(); }}
           uprobe:BIN:cpp:"live_target::traced_many" /pid == cpid/ {{ @demangled[func] = count(); }}"#
    );
    let ran = trace_rounds(&target, &script, 4);
    assert_eq!(ran.value(&format!("@address[uprobe:{target}:{address}, {name}]")), Some(4), "{ran:?}");
    assert_eq!(ran.value(&format!("@demangled[{name}]")), Some(4), "{ran:?}");
    assert_eq!(ran.value(&format!("@offset[{name}]")), Some(4), "{ran:?}");
    let beyond = fathom(&["-e", &format!("uprobe:{target}:{name}+100000 {{ }}")]);
    assert!(beyond.code == 1 && beyond.err.contains("Offset outside the function bounds"), "{beyond:?}");
}

#[test]
fn files_are_found_as_the_shell_and_the_loader_do() {
    if skipped("files_are_found_as_the_shell_and_the_loader_do") {
        return;
    }
    let script = r#"uprobe:libc:getpid, uprobe:libc:getppid, uprobe:libc:write { @[comm] = count(); }"#;
    let ran = fathom(&["-q", "-c", "echo something", "-e", script]);
    assert!(ran.code == 0 && ran.value("@[echo]").is_some_and(|n| n > 0), "{ran:?}");
    let listed = fathom(&["-l", "uprobe:libc:getp*id"]);
    assert!(listed.out.contains(":getppid\n") && listed.out.contains("libc.so"), "{listed:?}");
    let missing = fathom(&["-e", "uprobe:no_such_program_here:main { }"]);
    assert!(missing.code == 1 && missing.err.contains("does not exist"), "{missing:?}");
}

#[test]
fn a_process_needs_no_file_and_others_do_not_fire() {
    let Some(target) = target("a_process_needs_no_file_and_others_do_not_fire") else { return };
    let (one, other) = (Target::start(target.as_ref(), &["100000", "1000"]), other(&target));
    let script = "uprobe:*traced_add* { @[pid] = count(); } interval:ms:200 { exit(); }";
    let ran = fathom(&["-q", "-p", &one.pid(), "-e", script]);
    assert_eq!(ran.elements().len(), 1, "{ran:?}");
    assert!(ran.value(&format!("@[{}]", one.pid())).is_some_and(|n| n > 5), "{ran:?}");
    drop(other);
}

fn other(target: &str) -> Target {
    Target::start(target.as_ref(), &["100000", "1000"])
}

#[test]
fn static_probes_of_a_command_lose_no_event() {
    let Some(target) = target("static_probes_of_a_command_lose_no_event") else { return };
    let noise = other(&target);
    let script = r#"usdt:BIN:live_target:round { @sum = sum(arg0); @text[str(arg1)] = count(); }
        usdt:BIN:twice { @twice[probe, arg0] = count(); }
        usdt:BIN:live_target:guarded { @guarded = count(); }"#;
    let ran = trace_rounds(&target, script, 10);
    assert_eq!(ran.value("@sum"), Some(45), "{ran:?}");
    assert_eq!(ran.value("@text[from a probe]"), Some(10), "{ran:?}");
    for place in [1, 2] {
        let element = format!("@twice[usdt:{target}:live_target:twice, {place}]");
        assert_eq!(ran.value(&element), Some(10), "{ran:?}");
    }
    assert_eq!(ran.value("@guarded"), Some(10), "{ran:?}");
    drop(noise);
}

#[test]
fn semaphores_are_raised_only_while_somebody_traces() {
    let Some(target) = target("semaphores_are_raised_only_while_somebody_traces") else { return };
    let running = Target::start(target.as_ref(), &["100000", "1000"]);
    for probe in ["usdt::live_target:guarded", "usdt:guarded", "usdt:*:live_target:guard*"] {
        let script = format!("{probe} {{ @[pid] = count(); }} interval:ms:100 {{ exit(); }}");
        let ran = fathom(&["-q", "-p", &running.pid(), "-e", &script]);
        let element = format!("@[{}]", running.pid());
        assert!(ran.value(&element).is_some_and(|n| n > 5), "{probe}: {ran:?}");
    }
    std::thread::sleep(Duration::from_millis(50));
    let said = running.stop();
    let states: Vec<&str> = said.lines().collect();
    let (on, off) = ("guarded on", "guarded off");
    assert_eq!(states, [off, on, off, on, off, on, off], "{said}");
}

#[test]
fn many_places_detach_at_once() {
    if skipped("many_places_detach_at_once") {
        return;
    }
    let begun = fathom(&["-q", "-e", "begin { exit(); }"]);
    let script = "uprobe:libc:str* { @ = count(); } interval:ms:1 { exit(); }";
    let ran = fathom(&["-q", "-v", "-e", script]);
    let more = ran.took.saturating_sub(begun.took);
    eprintln!("uprobe:libc:str* took {more:?} longer than nothing");
    assert!(ran.code == 0 && more < Duration::from_secs(5), "{ran:?}");
}
