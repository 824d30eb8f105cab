//! `test:` and `bench:` probes.

use crate::error::Result;
use crate::session::{run_once, Running};
use fathom_kernel::prog::{self, Prog};
use fathom_report::{BenchResult, Output, TestResult, TextOutput};
use std::time::{Duration, Instant};

/// How long one benchmark is run.
const BENCH_TIME: Duration = Duration::from_millis(200);
/// Runs between looks at the clock.
const BENCH_BATCH: u32 = 1000;

/// Mean time and number of runs.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Of one run, as the kernel measures it.
    pub average_ns: u64,
    /// Number of runs.
    pub iterations: u64,
}

/// Runs a program many times. The kernel's own statistics leave out the cost of the system call around each run.
pub fn measure(prog: &Prog) -> Result<Measured> {
    let _stats = prog::enable_stats()?;
    let before = prog.info()?;
    let started = Instant::now();
    while started.elapsed() < BENCH_TIME {
        for _ in 0..BENCH_BATCH {
            run_once(prog)?;
        }
    }
    let after = prog.info()?;
    let iterations = after.run_count.saturating_sub(before.run_count);
    let time = after.run_time_ns.saturating_sub(before.run_time_ns);
    Ok(Measured { average_ns: time.checked_div(iterations).unwrap_or(0), iterations })
}

/// Prints the table of benchmarks.
pub fn print(results: &[(String, Measured)], out: &mut dyn Output) -> Result<()> {
    let rows: Vec<BenchResult<'_>> = results
        .iter()
        .map(|(name, m)| BenchResult {
            name: name.strip_prefix("bench:").unwrap_or(name),
            average_ns: m.average_ns,
            iterations: m.iterations,
        })
        .collect();
    out.benchmarks(&rows)?;
    Ok(())
}

/// Runs one test and prints its verdict: it passes if it returns 0, exits with 0 or not at all, and reports no error.
pub(crate) fn run_test(
    running: &mut Running<'_, '_>,
    index: usize,
    name: &str,
    out: &mut dyn Output,
) -> Result<bool> {
    let Some(prog) = running.loaded.progs.get(index) else { return Ok(false) };
    let errors_before = running.errors_reported();
    let mut caught = TextOutput::new(Vec::new(), Vec::new());
    let started = Instant::now();
    let value = run_once(prog)?;
    let duration_ns = started.elapsed().as_nanos() as u64;
    running.drain(&mut caught)?;
    let code = running.take_exit().unwrap_or(0);
    let passed = value == 0 && code == 0 && running.errors_reported() == errors_before;
    let (mut output, errors) = caught.into_inner();
    output.extend_from_slice(&errors);
    out.test_result(&TestResult { name, duration_ns, passed, output: &output })?;
    Ok(passed)
}
