//! `cargo xtask test`: everything that says whether the project works, as one ordered list of steps with exact counts.
//!
//! What cannot run here is counted as skipped, with its reason, and never as passed. The last line alone is
//! `N passed, N failed, N skipped`.

mod conformance;
mod environment;
mod libtest;
mod process;
mod steps;

use crate::args::Args;
use crate::workspace::{Executable, Workspace};
pub use environment::find_program;
use environment::Environment;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
pub use steps::needs_loader;

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Why something was skipped, what failed.
    notes: Vec<String>,
}

impl Tally {
    /// One check that passed.
    fn pass() -> Tally {
        Tally { passed: 1, ..Tally::default() }
    }

    /// One check that failed.
    fn fail(why: impl Into<String>) -> Tally {
        Tally { failed: 1, notes: vec![why.into()], ..Tally::default() }
    }

    /// One check that cannot run here.
    fn skip(why: impl Into<String>) -> Tally {
        Tally { skipped: 1, notes: vec![format!("skipped: {}", why.into())], ..Tally::default() }
    }

    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.notes.extend(other.notes);
    }

    fn line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What steps share.
pub struct Context {
    workspace: Workspace,
    environment: Environment,
    binary: OnceCell<Result<PathBuf, String>>,
    tests: OnceCell<(Vec<Executable>, Option<String>)>,
}

impl Context {
    /// The release binary.
    fn binary(&self) -> Result<&PathBuf, String> {
        self.binary.get_or_init(|| self.workspace.release_binary()).as_ref().map_err(Clone::clone)
    }

    /// All test executables that build, and what stands against the others.
    fn tests(&self) -> &(Vec<Executable>, Option<String>) {
        self.tests.get_or_init(|| {
            self.workspace.build_what_can_be(&[
                "test",
                "--workspace",
                "--all-targets",
                "--no-run",
                "--no-fail-fast",
            ])
        })
    }
}

/// A step.
struct Step {
    name: &'static str,
    doc: &'static str,
    run: fn(&Context) -> Tally,
    /// Left out by `--quick`.
    slow: bool,
}

/// In the order they run: cheap and telling ones first.
static STEPS: &[Step] = &[
    Step { name: "fmt", doc: "cargo fmt --check", run: steps::fmt, slow: false },
    Step { name: "clippy", doc: "cargo clippy, warnings are errors", run: steps::clippy, slow: false },
    Step { name: "test", doc: "tests that need no root", run: steps::rootless, slow: false },
    Step { name: "doc", doc: "examples in documentation comments", run: steps::doc, slow: false },
    Step { name: "live", doc: "tests on the running kernel", run: steps::live, slow: false },
    Step { name: "build", doc: "the release binary: one static file", run: steps::build, slow: false },
    Step { name: "gen", doc: "generated documents are up to date", run: steps::gen, slow: false },
    Step { name: "smoke", doc: "one-liners end to end", run: steps::smoke, slow: false },
    Step { name: "conformance", doc: "cases of the language", run: conformance::run, slow: true },
    Step { name: "fuzz", doc: "a minute of damaged input", run: steps::fuzz, slow: true },
];

/// Runs the task.
pub fn run(args: &mut Args) -> Result<ExitCode, String> {
    let quick = args.flag("--quick");
    let only = args.values("--only")?;
    args.done()?;
    if let Some(wrong) = only.iter().find(|o| STEPS.iter().all(|s| s.name != **o)) {
        let names: Vec<&str> = STEPS.iter().map(|s| s.name).collect();
        return Err(format!("no step `{wrong}`; steps are {}", names.join(", ")));
    }
    let workspace = Workspace::find()?;
    let environment = Environment::prepare();
    environment.print();
    let context = Context { workspace, environment, binary: OnceCell::new(), tests: OnceCell::new() };
    let chosen =
        |s: &&Step| if only.is_empty() { !(quick && s.slow) } else { only.iter().any(|o| o == s.name) };
    let mut total = Tally::default();
    let mut table = Vec::new();
    for step in STEPS.iter().filter(chosen) {
        println!("\n== {}: {}", step.name, step.doc);
        let started = Instant::now();
        let tally = (step.run)(&context);
        for note in &tally.notes {
            println!("   {note}");
        }
        let line = format!("{:<12} {:>6.1} s  {}", step.name, started.elapsed().as_secs_f32(), tally.line());
        println!("   {}", tally.line());
        table.push(line);
        total.add(tally);
    }
    println!("\n{}", table.join("\n"));
    if !total.notes.is_empty() && total.failed > 0 {
        println!("\nFailures:");
        for note in total.notes.iter().filter(|n| !n.starts_with("skipped:")) {
            println!("   {note}");
        }
    }
    println!("\n{}", total.line());
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
