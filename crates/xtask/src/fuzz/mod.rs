//! `cargo xtask fuzz`: damaged input for everything that reads what it did not write, on the stable compiler.
//!
//! Each target is a pure function. An input is a seed that was changed at random a few times; a panic, a run that takes too long, or memory that
//! grows without end is a crash: the input is saved below `target/fuzz-crashes/` and can be run again with `--replay`.

mod mutate;
mod rng;
mod targets;

use crate::args::Args;
use rng::Rng;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use targets::{Target, TARGETS};

/// An input that takes longer is taken for a hang (debug builds on a busy machine included).
const SLOW: Duration = Duration::from_secs(5);
/// Resident memory that a target may add to what it began with.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// How often memory is looked at, in inputs.
const MEMORY_EVERY: u64 = 64;
/// Good inputs that are kept to make further ones from, beside the seeds.
const GOOD_KEPT: usize = 300;
/// Crashes of one target after which it is left.
const CRASHES_MAX: usize = 10;

/// What to run.
#[derive(Default)]
pub struct Plan {
    /// For how long, over all targets.
    pub seconds: u64,
    /// Names of targets; empty: all.
    pub targets: Vec<String>,
    /// Where the random numbers begin; `None`: the clock.
    pub seed: Option<u64>,
}

/// What came of a target.
pub struct Report {
    /// Its name.
    pub target: &'static str,
    /// How many inputs.
    pub inputs: u64,
    /// How many of them were accepted.
    pub accepted: u64,
    /// The slowest input.
    pub slowest: Duration,
    /// Where the random numbers began.
    pub seed: u64,
    /// What went wrong, with the saved input's path.
    pub crashes: Vec<String>,
}

impl Report {
    /// One line.
    pub fn line(&self) -> String {
        format!(
            "{:<10} {:>8} inputs, {:>7} accepted, slowest {:>5} ms, seed {:#x}, {} crashes",
            self.target,
            self.inputs,
            self.accepted,
            self.slowest.as_millis(),
            self.seed,
            self.crashes.len()
        )
    }
}

/// Runs the task.
pub fn run(args: &mut Args) -> Result<ExitCode, String> {
    let replay = args.value("--replay")?;
    let seconds = args.number("--seconds")?.unwrap_or(60);
    let plan = Plan { seconds, targets: args.values("--target")?, seed: args.number("--seed")? };
    args.done()?;
    if let Some(file) = replay {
        return replay_file(Path::new(&file), &plan.targets);
    }
    let reports = campaign(&plan)?;
    let mut failed = false;
    for report in &reports {
        println!("{}", report.line());
        for crash in &report.crashes {
            failed = true;
            println!("    {crash}");
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>, String> {
    if let Some(wrong) = names.iter().find(|n| TARGETS.iter().all(|t| t.name != **n)) {
        let all: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
        return Err(format!("no target `{wrong}`; targets are {}", all.join(", ")));
    }
    Ok(TARGETS.iter().filter(|t| names.is_empty() || names.iter().any(|n| n == t.name)).collect())
}

/// Runs an input again, without catching anything.
fn replay_file(file: &Path, names: &[String]) -> Result<ExitCode, String> {
    let input = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    // The name of a saved input begins with its target's.
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    for target in chosen(names)?.into_iter().filter(|t| !names.is_empty() || name.starts_with(t.name)) {
        let started = Instant::now();
        (target.run)(&input);
        println!("{}: {} ms", target.name, started.elapsed().as_millis());
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the chosen targets one after the other, each for its share of the time.
///
/// # Errors
/// An unknown target.
pub fn campaign(plan: &Plan) -> Result<Vec<Report>, String> {
    let targets = chosen(&plan.targets)?;
    let share = Duration::from_secs(plan.seconds) / u32::try_from(targets.len().max(1)).unwrap_or(1);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
    let seed = plan.seed.unwrap_or(clock);
    // Panics are what is looked for: one line each says enough.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    // Deep input needs no more stack than the binary's main thread has.
    let reports = targets.into_iter().map(|t| drive(t, seed, share)).collect();
    std::panic::set_hook(hook);
    Ok(reports)
}

fn drive(target: &'static Target, seed: u64, share: Duration) -> Report {
    let mut rng = Rng::new(seed);
    let mut seeds = (target.seeds)();
    let first_made = seeds.len();
    let mut report = Report {
        target: target.name,
        inputs: 0,
        accepted: 0,
        slowest: Duration::ZERO,
        seed,
        crashes: Vec::new(),
    };
    let memory_before = resident_bytes();
    let started = Instant::now();
    // The seeds themselves first.
    let mut untouched = seeds.clone().into_iter();
    while started.elapsed() < share && report.crashes.len() < CRASHES_MAX {
        let input = untouched.next().unwrap_or_else(|| mutate::input(&mut rng, &seeds, target.words));
        let begun = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let took = begun.elapsed();
        report.inputs += 1;
        report.slowest = report.slowest.max(took);
        report.accepted += u64::from(matches!(ended, Ok(true)));
        match ended {
            Ok(true) if seeds.len() < first_made + GOOD_KEPT => seeds.push(input.clone()),
            Ok(true) => {
                let at = first_made + rng.below(GOOD_KEPT);
                if let Some(place) = seeds.get_mut(at) {
                    place.clone_from(&input);
                }
            }
            Ok(false) => {}
            Err(panic) => report.crashes.push(save(target, &input, &panic_text(panic.as_ref()))),
        }
        if took > SLOW {
            report.crashes.push(save(target, &input, &format!("took {} ms", took.as_millis())));
        }
        if report.inputs.is_multiple_of(MEMORY_EVERY)
            && resident_bytes().saturating_sub(memory_before) > MEMORY_BYTES_MAX
        {
            report.crashes.push(save(target, &input, "memory grew by more than 1 GiB up to this input"));
            break;
        }
    }
    report
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_else(|| "panic".into())
}

/// Saves an input; gives what to tell.
fn save(target: &Target, input: &[u8], what: &str) -> String {
    let folder = crate::workspace::Workspace::find()
        .map_or(PathBuf::from("target"), |w| w.target)
        .join("fuzz-crashes");
    let hash =
        input.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    let path = folder.join(format!("{}-{hash:016x}", target.name));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    match written {
        Ok(()) => format!("{what}; run again: cargo xtask fuzz --replay {}", path.display()),
        Err(e) => format!("{what}; the input could not be saved: {e}"),
    }
}

/// Resident memory of this process; 0 where it cannot be read.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_takes_its_seeds_and_some_damage() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            let mut rng = Rng::new(7);
            for seed in &seeds {
                (target.run)(seed);
            }
            for _ in 0..20 {
                (target.run)(&mutate::input(&mut rng, &seeds, target.words));
            }
        }
    }

    #[test]
    fn wrong_targets_are_named() {
        assert!(chosen(&["nothing".into()]).is_err_and(|e| e.contains("`nothing`") && e.contains("parse")));
    }
}
