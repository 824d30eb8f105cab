//! `cargo xtask TASK`: the project's own tasks. Each row of [`TASKS`] is one, with its usage.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a task talks to whoever started it")]

mod args;
mod bench;
mod fuzz;
mod gen;
mod test;
mod workspace;

use args::Args;
use std::process::ExitCode;

/// What a task does with its arguments; the error is printed and ends with exit code 1.
type Run = fn(&mut Args) -> Result<ExitCode, String>;

/// A task.
struct Task {
    name: &'static str,
    usage: &'static str,
    doc: &'static str,
    run: Run,
    /// Part of another task, so not shown in the help.
    hidden: bool,
}

const fn task(name: &'static str, usage: &'static str, doc: &'static str, run: Run) -> Task {
    Task { name, usage, doc, run, hidden: false }
}

static TASKS: &[Task] = &[
    task(
        "test",
        "[--quick] [--only STEP]...",
        "set up what the tests need and run all of them; --quick leaves out conformance and fuzzing",
        test::run,
    ),
    task(
        "bench",
        "[--peer PATH] [--quick] [--only SECTION]...",
        "measure against another tracer and hand-made programs; prints Markdown (as root)",
        bench::run,
    ),
    task(
        "fuzz",
        "[--seconds N] [--target T]... [--seed N] [--replay FILE]",
        "feed damaged input to the parsers and the compiler",
        fuzz::run,
    ),
    task("gen", "[--check]", "write (or check) the generated documents", gen::run),
    Task { hidden: true, ..task("loop", "", "the measured loop of the benchmark", bench::child::run_loop) },
    Task { hidden: true, ..task("load", "", "the load of the benchmark", bench::child::run_load) },
    Task {
        hidden: true,
        ..task("usage", "", "wall time and peak memory of a command", bench::child::run_usage)
    },
];

fn main() -> ExitCode {
    let mut args = Args::new(std::env::args().skip(1));
    let name = args.word().unwrap_or_default();
    let Some(task) = TASKS.iter().find(|t| t.name == name) else {
        println!("{}", help());
        return ExitCode::from(u8::from(!matches!(name.as_str(), "help" | "--help" | "-h")));
    };
    if args.flag("--help") || args.flag("-h") {
        println!("cargo xtask {} {}\n    {}", task.name, task.usage, task.doc);
        return ExitCode::SUCCESS;
    }
    match (task.run)(&mut args) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask {}: {message}", task.name);
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut text = "cargo xtask TASK\n".to_owned();
    for t in TASKS.iter().filter(|t| !t.hidden) {
        text.push_str(&format!("    {} {}\n        {}\n", t.name, t.usage, t.doc));
    }
    text.trim_end().to_owned()
}
