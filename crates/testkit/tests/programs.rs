//! Whole programs without root: recorded facts, the interpreter, scripted events, the runtime's decoder, exact output.

use fathom_testkit::{seeds, Event, FixtureFacts, Sim};

fn run(script: &str, events: &[Event]) -> String {
    let sim = Sim::new(script, &FixtureFacts::new()).unwrap_or_else(|e| panic!("{script}\n{e}"));
    sim.session(events).unwrap_or_else(|e| panic!("{script}\n{e}"))
}

fn syscall(id: i64) -> Event {
    Event::new("tracepoint:raw_syscalls:sys_enter").with("id", id)
}

#[test]
fn begin_prints_and_exits() {
    assert_eq!(run("BEGIN { printf(\"hello %d\\n\", 42); exit(); }", &[]), "hello 42\n\n\n");
    assert_eq!(run("BEGIN { printf(\"a\\n\") } END { printf(\"z\\n\") }", &[]), "a\nz\n\n\n");
}

#[test]
fn counts_by_command_are_sorted_and_exact() {
    let events = [
        syscall(0).task(7, "cat"),
        syscall(1).task(8, "bash").cpu(1),
        syscall(1).task(8, "bash"),
        syscall(3).task(8, "bash"),
    ];
    let text = run("tracepoint:raw_syscalls:sys_enter { @[comm] = count() }", &events);
    assert_eq!(text, "\n\n@[cat]: 1\n@[bash]: 3\n");
    let text = run("tracepoint:raw_syscalls:sys_enter /args.id == 1/ { @ = count() }", &events);
    assert_eq!(text, "\n\n@: 2\n");
}

#[test]
fn arguments_of_system_calls_come_from_the_registers() {
    let open =
        Event::new("tracepoint:syscalls:sys_enter_openat").text("filename", "/etc/passwd").with("flags", 2);
    let script = "tracepoint:syscalls:sys_enter_openat { printf(\"%s %s %d\\n\", comm, str(args.filename), args.flags) }";
    assert_eq!(run(script, &[open]), "bash /etc/passwd 2\n\n\n");
}

#[test]
fn fields_of_records_are_read() {
    let switch = |prev: &str, prio: i64| {
        Event::new("tracepoint:sched:sched_switch").text("prev_comm", prev).with("prev_prio", prio)
    };
    let script = "tracepoint:sched:sched_switch { @[args.prev_comm] = stats(args.prev_prio) }";
    let text = run(script, &[switch("sh", 120), switch("sh", 100)]);
    assert_eq!(text, "\n\n@[sh]: { .count = 2, .average = 110, .total = 220 }\n");
}

#[test]
fn strings_behind_a_location_word_are_read() {
    let exec = Event::new("tracepoint:sched:sched_process_exec").text("filename", "/bin/true").with("pid", 9);
    let script = "tracepoint:sched:sched_process_exec { printf(\"%s %d\\n\", str(args.filename), args.pid) }";
    assert_eq!(run(script, &[exec]), "/bin/true 9\n\n\n");
}

#[test]
fn latency_by_a_start_map() {
    let events = [
        Event::new("tracepoint:syscalls:sys_enter_openat"),
        Event::new("tracepoint:syscalls:sys_exit_openat").after_ns(5_000),
    ];
    let script = "tracepoint:syscalls:sys_enter_openat { @start[tid] = nsecs }
        tracepoint:syscalls:sys_exit_openat /@start[tid]/ { @us = sum((nsecs - @start[tid]) / 1000); delete(@start, tid) }";
    assert_eq!(run(script, &events), "\n\n@us: 5\n");
}

#[test]
fn loops_tuples_and_strings() {
    let script =
        "BEGIN { for $i : 0..3 { @a[$i] = $i * $i } $t = (1, \"two\"); printf(\"%s\\n\", $t.1); exit() }";
    assert_eq!(run(script, &[]), "two\n\n\n@a[0]: 0\n@a[1]: 1\n@a[2]: 4\n");
}

#[test]
fn functions_get_their_arguments() {
    let read = Event::new("kprobe:vfs_read").with("arg2", 512);
    assert_eq!(run("kprobe:vfs_read { @ = sum(arg2) }", &[read.clone(), read]), "\n\n@: 1024\n");
}

#[test]
fn kernel_structs_are_walked() {
    let script = "tracepoint:raw_syscalls:sys_enter { $t = (struct task_struct *)curtask;
        printf(\"%s %d %s\\n\", $t->comm, $t->real_parent->pid, str($t->mm->exe_file->f_path.dentry->d_name.name)) }";
    assert_eq!(run(script, &[syscall(0).task(9, "cat")]), "cat 9 bash\n\n\n");
}

#[test]
fn every_seed_compiles_and_runs_begin_to_end() {
    for script in seeds::SCRIPTS {
        let facts = FixtureFacts::new();
        let sim = Sim::new(script, &facts).unwrap_or_else(|e| panic!("{script}\n{e}"));
        sim.session(&[syscall(0)]).unwrap_or_else(|e| panic!("{script}\n{e}"));
    }
}
