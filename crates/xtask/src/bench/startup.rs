//! How long until something is traced, what it takes, and how long until it is gone again.

use super::stats::{median, number, ratio, Table};
use super::tracer::Tracer;
use super::{child, Setting};

/// Kernel types, four maps, a kernel stack.
const TYPED: &str =
    "tracepoint:sched:sched_switch { $t = (struct task_struct *)curtask; @a[$t->pid, $t->comm] = count(); \
     @b[$t->real_parent->pid] = sum($t->prio); @c = hist(args.next_prio); @d[kstack] = count(); }";

/// Twenty tracepoints.
const TWENTY: &str = "tracepoint:sched:sched_switch, tracepoint:sched:sched_wakeup, tracepoint:sched:sched_waking, \
     tracepoint:sched:sched_process_fork, tracepoint:sched:sched_process_exec, tracepoint:sched:sched_process_exit, \
     tracepoint:sched:sched_migrate_task, tracepoint:sched:sched_process_free, tracepoint:sched:sched_wakeup_new, tracepoint:sched:sched_process_wait, \
     tracepoint:irq:irq_handler_entry, tracepoint:irq:irq_handler_exit, tracepoint:irq:softirq_entry, tracepoint:irq:softirq_exit, \
     tracepoint:timer:timer_start, tracepoint:timer:timer_cancel, tracepoint:timer:hrtimer_start, tracepoint:timer:hrtimer_cancel, \
     tracepoint:timer:timer_init, tracepoint:timer:hrtimer_init { @[probe] = count(); }";
/// The same where the kernel has renamed the last one.
const TWENTY_RENAMED: (&str, &str) = ("tracepoint:timer:hrtimer_init", "tracepoint:timer:hrtimer_setup");

/// The section.
pub fn run(setting: &Setting) -> Result<String, String> {
    let mut table = Table::new(&["", "fathom", "bpftrace", "ratio"]);
    let runs = setting.rounds(20);
    let begin: Vec<Option<(f64, f64)>> = begin(setting, runs)?;
    let column = |rows: &[Option<(f64, f64)>], pick: fn((f64, f64)) -> f64| -> Vec<f64> {
        rows.iter().map(|r| r.map_or(f64::NAN, pick)).collect()
    };
    let mut add = |what: &str, unit: &str, values: &[f64], digits: usize| {
        let (own, peer) =
            (values.first().copied().unwrap_or(f64::NAN), values.get(1).copied().unwrap_or(f64::NAN));
        let with_unit =
            |v: f64| if v.is_finite() { format!("{} {unit}", number(v, digits)) } else { "-".into() };
        table.row(&[what.to_owned(), with_unit(own), with_unit(peer), ratio(peer, own)]);
    };
    add("`BEGIN { exit(); }`, wall", "ms", &column(&begin, |r| r.0), 2);
    add("`BEGIN { exit(); }`, peak memory", "MiB", &column(&begin, |r| r.1), 2);
    let typed = sessions(setting, TYPED)?;
    add("BTF structs, four maps, kstack: start to attached", "ms", &column(&typed, |r| r.0), 2);
    let twenty = match fathom_kernel::tracefs::Tracefs::find_or_mount(&fathom_kernel::Root::host()) {
        Ok(t) if !t.has_event("timer", "hrtimer_init") => TWENTY.replace(TWENTY_RENAMED.0, TWENTY_RENAMED.1),
        _ => TWENTY.to_owned(),
    };
    let twenty = sessions(setting, &twenty)?;
    add("20 tracepoints: start to attached", "ms", &column(&twenty, |r| r.0), 2);
    add("20 tracepoints: Ctrl-C to the end", "ms", &column(&twenty, |r| r.1), 2);
    let sizes: Vec<f64> = setting
        .tracers()
        .map(|t| t.path.metadata().map_or(f64::NAN, |m| m.len() as f64 / 1048576.0))
        .collect();
    add("binary", "MiB", &sizes, 2);
    let mut text = table.finish();
    text.push('\n');
    for tracer in setting.tracers() {
        let linked = match crate::test::needs_loader(&tracer.path) {
            Ok(false) => "static: no other file is needed".to_owned(),
            Ok(true) => "linked dynamically".to_owned(),
            Err(e) => e,
        };
        text.push_str(&format!("- {}: {linked}\n", tracer.name));
    }
    Ok(text)
}

/// Wall time (ms) and memory (MiB) of the smallest script, for each tracer.
fn begin(setting: &Setting, rounds: usize) -> Result<Vec<Option<(f64, f64)>>, String> {
    const ARGS: [&str; 2] = ["-e", "BEGIN { exit(); }"];
    let tracers: Vec<&Tracer> = setting.tracers().collect();
    let mut samples: Vec<Vec<(f64, f64)>> = vec![Vec::new(); tracers.len()];
    for _ in 0..rounds {
        for (tracer, into) in tracers.iter().zip(&mut samples) {
            into.extend(child::usage(&tracer.path, &ARGS, if tracer.name == "fathom" { 5 } else { 1 })?);
        }
    }
    let middle =
        |s: &Vec<(f64, f64)>, pick: fn(&(f64, f64)) -> f64| median(&s.iter().map(pick).collect::<Vec<_>>());
    Ok(samples.iter().map(|s| Some((middle(s, |r| r.0), middle(s, |r| r.1)))).collect())
}

/// Time to attached and to the end (ms) of a script, for each tracer; `None` where it does not run.
fn sessions(setting: &Setting, script: &str) -> Result<Vec<Option<(f64, f64)>>, String> {
    let tracers: Vec<&Tracer> = setting.tracers().collect();
    let mut samples: Vec<Vec<(f64, f64)>> = vec![Vec::new(); tracers.len()];
    for round in 0..setting.rounds(12) {
        for (tracer, into) in tracers.iter().zip(&mut samples) {
            // The slow side says the same after a few rounds.
            if tracer.name != "fathom" && round >= 4 {
                continue;
            }
            let script = tracer.spelling(script);
            match tracer.start(&["-e", &script], None) {
                Ok(session) => {
                    let attach_ms = session.attach_ms;
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    into.push((attach_ms, session.end()?));
                }
                Err(e) if tracer.name == "fathom" => return Err(e),
                Err(e) => eprintln!("{e}"),
            }
        }
    }
    let middle =
        |s: &Vec<(f64, f64)>, pick: fn(&(f64, f64)) -> f64| median(&s.iter().map(pick).collect::<Vec<_>>());
    Ok(samples.iter().map(|s| (!s.is_empty()).then(|| (middle(s, |r| r.0), middle(s, |r| r.1)))).collect())
}
