//! How many events a second reach a file as text, and how many are lost.

use super::stats::Table;
use super::tracer::Tracer;
use super::{child, Setting};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const SCRIPT: &str = "tracepoint:raw_syscalls:sys_enter { printf(\"%d %s %d\\n\", pid, comm, args.id); }";
/// Offered events per second; 0 is as fast as one CPU can.
const RATES: &[u64] = &[100_000, 300_000, 1_000_000, 2_000_000, 0];
/// The system call of the load.
const GETPPID: &str = "110";

/// The section.
pub fn run(setting: &Setting) -> Result<String, String> {
    let mut table = Table::new(&["tracer", "asked for", "offered/s", "delivered", "lost", "delivered/s"]);
    for rate in RATES {
        for tracer in setting.tracers() {
            let name = tracer.name.to_owned();
            let asked = if *rate == 0 { "all that one CPU makes".to_owned() } else { rate.to_string() };
            match once(setting, tracer, *rate) {
                Ok(r) => {
                    let share = 100.0 * r.delivered as f64 / r.offered.max(1) as f64;
                    table.row(&[
                        name,
                        asked,
                        format!("{:.0}", r.offered as f64 / r.seconds),
                        format!("{share:.2} %"),
                        r.offered.saturating_sub(r.delivered).to_string(),
                        format!("{:.0}", r.delivered as f64 / r.seconds),
                    ]);
                }
                Err(e) => table.row(&[name, asked, e.lines().next().unwrap_or_default().to_owned()]),
            }
        }
    }
    let note = format!(
        "\n`{SCRIPT}` into a file; the load is `getppid` on CPU {}, the tracer runs on CPU {}. Delivered are the lines of the load's process.\n",
        setting.cpu, setting.tracer_cpu
    );
    Ok(table.finish() + &note)
}

struct Outcome {
    offered: u64,
    delivered: u64,
    seconds: f64,
}

fn once(setting: &Setting, tracer: &Tracer, rate: u64) -> Result<Outcome, String> {
    let file = setting.scratch.join(format!("throughput-{}.txt", tracer.name));
    let path = file.display().to_string();
    let script = tracer.spelling(SCRIPT);
    let session = tracer.start(&["-o", &path, "-e", &script], Some(setting.tracer_cpu))?;
    let ms = if setting.quick { 500 } else { 2000 };
    let load = child::pinned(setting.cpu, "load")?
        .args(["--rate", &rate.to_string(), "--ms", &ms.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("load: {e}"))?;
    // taskset becomes the load: the process id stays.
    let pid = load.id();
    let output = load.wait_with_output().map_err(|e| format!("load: {e}"))?;
    // What is in the ring is to be read before the end.
    std::thread::sleep(Duration::from_millis(if tracer.name == "fathom" { 200 } else { 1500 }));
    session.end()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (offered, ns) = text.trim().split_once(' ').ok_or_else(|| format!("the load printed {text:?}"))?;
    let parsed = (offered.parse::<u64>(), ns.parse::<f64>());
    let (Ok(offered), Ok(ns)) = parsed else { return Err(format!("the load printed {text:?}")) };
    let delivered = count(&file, pid)?;
    // Hundreds of megabytes.
    let _ = std::fs::remove_file(&file);
    Ok(Outcome { offered, delivered, seconds: ns / 1e9 })
}

/// Lines of a process's system calls.
fn count(file: &Path, pid: u32) -> Result<u64, String> {
    let opened = std::fs::File::open(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut reader = BufReader::with_capacity(1 << 20, opened);
    let (start, end) = (format!("{pid} "), format!(" {GETPPID}\n"));
    let mut line = Vec::new();
    let mut count = 0;
    while reader.read_until(b'\n', &mut line).map_err(|e| e.to_string())? > 0 {
        count += u64::from(line.starts_with(start.as_bytes()) && line.ends_with(end.as_bytes()));
        line.clear();
    }
    Ok(count)
}
