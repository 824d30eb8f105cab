//! Processes that are measured: this program started again, pinned to a CPU by `taskset`.

use super::stats::median;
use crate::args::Args;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use wait4::Wait4;

/// Batches of a run of the loop, and system calls of a batch: short enough (0.1 ms) that most see no other process.
const BATCHES: usize = 410;
const BATCH: u32 = 500;

/// A command that runs this program's task, on one CPU where `taskset` is installed.
pub fn pinned(cpu: u32, task: &str) -> Result<Command, String> {
    let own = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
    let mut command = on_cpu(cpu, own.as_os_str());
    command.arg(task);
    Ok(command)
}

/// A command on one CPU.
pub fn on_cpu(cpu: u32, program: &std::ffi::OsStr) -> Command {
    if crate::test::find_program("taskset").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}

/// Nanoseconds per system call of a fresh pinned process.
pub fn loop_ns(cpu: u32) -> Result<f64, String> {
    let output = pinned(cpu, "loop")?.stdin(Stdio::null()).output().map_err(|e| format!("loop: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("the loop printed {text:?}"))
}

/// `xtask loop`: prints the median time of a cheap system call over many batches.
pub fn run_loop(args: &mut Args) -> Result<ExitCode, String> {
    args.done()?;
    let batch = || {
        let started = Instant::now();
        for _ in 0..BATCH {
            std::hint::black_box(std::os::unix::process::parent_id());
        }
        started.elapsed().as_nanos() as f64 / f64::from(BATCH)
    };
    batch();
    let times: Vec<f64> = (0..BATCHES).map(|_| batch()).collect();
    println!("{}", median(&times));
    Ok(ExitCode::SUCCESS)
}

/// `xtask load --rate N --ms N`: makes system calls at a rate (0: as fast as it can) and prints how many, and in how many ns.
pub fn run_load(args: &mut Args) -> Result<ExitCode, String> {
    let rate = args.number("--rate")?.unwrap_or(0);
    let duration = Duration::from_millis(args.number("--ms")?.unwrap_or(1000));
    args.done()?;
    // Small bursts: their distance is the rate, and the clock is read seldom enough.
    let burst: u64 = if rate == 0 { 1000 } else { (rate / 20_000).clamp(1, 1000) };
    let started = Instant::now();
    let mut done = 0u64;
    loop {
        let passed = started.elapsed();
        if passed >= duration {
            break;
        }
        let due = passed.as_nanos().saturating_mul(u128::from(rate)) / 1_000_000_000;
        if rate != 0 && u128::from(done) > due {
            std::hint::spin_loop();
            continue;
        }
        for _ in 0..burst {
            std::hint::black_box(std::os::unix::process::parent_id());
        }
        done += burst;
    }
    println!("{done} {}", started.elapsed().as_nanos());
    Ok(ExitCode::SUCCESS)
}

/// `xtask usage --runs N -- COMMAND`: runs a command and prints wall time (us) and peak memory (KiB) of each run.
///
/// A process of its own, because a child's peak counts the memory of whoever started it.
pub fn run_usage(args: &mut Args) -> Result<ExitCode, String> {
    let words = args.behind_dashes();
    let runs = args.number("--runs")?.unwrap_or(1);
    args.done()?;
    let (program, rest) = words.split_first().ok_or("no command")?;
    for _ in 0..runs {
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(rest)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let used = child.wait4().map_err(|e| format!("{program}: {e}"))?;
        let wall = started.elapsed();
        if !used.status.success() {
            return Err(format!("{program}: {}", used.status));
        }
        println!("{} {}", wall.as_micros(), used.rusage.maxrss / 1024);
    }
    Ok(ExitCode::SUCCESS)
}

/// Wall time in ms and peak memory in MiB of each run of a command.
pub fn usage(program: &std::path::Path, args: &[&str], runs: usize) -> Result<Vec<(f64, f64)>, String> {
    let own = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
    let output = Command::new(own)
        .args(["usage", "--runs", &runs.to_string(), "--"])
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("usage: {e}"))?;
    if !output.status.success() {
        return Err(format!("{} {}: failed", program.display(), args.join(" ")));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |l: &str| {
        let (us, kib) = l.split_once(' ')?;
        Some((us.parse::<f64>().ok()? / 1000.0, kib.parse::<f64>().ok()? / 1024.0))
    };
    Ok(text.lines().filter_map(line).collect())
}
