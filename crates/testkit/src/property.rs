//! One script, run in every way there is: optimised and not, in the interpreter and in the kernel. All must print the same.

use crate::generate::{self, Script};
use crate::Sim;
use fathom_codegen::program::Program;
use fathom_lang::compile::{self, Options, Source};
use fathom_lang::facts::Facts;
use fathom_probes::KernelFacts;
use fathom_report::TextOutput;
use fathom_runtime::Session;
use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

/// What went wrong with a script that is well-typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It does not compile: the diagnostics.
    Compile(String),
    /// The compiler, the interpreter or the runtime panicked.
    Panic(String),
    /// The kernel refused it: verdict and log.
    Kernel(String),
    /// The interpreter stopped at a fault, or lacks something.
    Interpreter(String),
    /// Two ways of running it print different texts.
    Differ {
        /// The first way and what it printed.
        one: (&'static str, String),
        /// The other.
        other: (&'static str, String),
    },
}

impl Failure {
    /// What failures have in common that have the same cause: words without names and numbers.
    pub fn class(&self) -> String {
        let (kind, text) = match self {
            Failure::Compile(t) => ("compile", t.as_str()),
            Failure::Panic(t) => ("panic", t.as_str()),
            Failure::Kernel(t) => ("kernel", verdict(t)),
            Failure::Interpreter(t) => ("interpreter", t.as_str()),
            Failure::Differ { one, other } => return format!("differ: {} and {}", one.0, other.0),
        };
        let line = text.lines().find(|l| l.contains("ERROR")).or(text.lines().next()).unwrap_or_default();
        let line = line.split_once("ERROR: ").map_or(line, |l| l.1);
        let words: String = line.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        format!("{kind}: {words}")
    }
}

/// The line of a verifier's log that says why.
fn verdict(text: &str) -> &str {
    text.split("the verifier says: ").nth(1).unwrap_or(text)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Compile(t) => write!(f, "does not compile:\n{t}"),
            Failure::Panic(t) => write!(f, "panics: {t}"),
            Failure::Kernel(t) => write!(f, "the kernel refuses it:\n{t}"),
            Failure::Interpreter(t) => write!(f, "the interpreter stops: {t}"),
            Failure::Differ { one, other } => {
                writeln!(f, "{} and {} differ:", one.0, other.0)?;
                let (mut a, mut b) = (one.1.lines(), other.1.lines());
                loop {
                    match (a.next(), b.next()) {
                        (None, None) => return Ok(()),
                        (x, y) if x == y => {}
                        (x, y) => writeln!(f, "  {:?}\n  {:?}", x.unwrap_or(""), y.unwrap_or(""))?,
                    }
                }
            }
        }
    }
}

/// Where scripts are run.
pub enum Target<'a> {
    /// In the interpreter alone, compiled for these facts.
    Interpreter(&'a dyn Facts),
    /// In the running kernel too. Needs root.
    Kernel(&'a KernelFacts),
}

/// Runs a script in every way.
///
/// # Errors
/// The first that is wrong.
pub fn check(text: &str, target: &Target<'_>) -> Result<(), Failure> {
    caught(|| {
        let facts: &dyn Facts = match target {
            Target::Interpreter(facts) => *facts,
            Target::Kernel(facts) => *facts,
        };
        let optimised = compiled(text, facts, false)?;
        let plain = compiled(text, facts, true)?;
        let first = interpreted(optimised.clone())?;
        let same = |way: &'static str, printed: String| match printed == first {
            true => Ok(()),
            false => Err(Failure::Differ { one: ("interpreter", first.clone()), other: (way, printed) }),
        };
        same("interpreter, not optimised", interpreted(plain.clone())?)?;
        if let Target::Kernel(facts) = target {
            same("kernel", loaded(&optimised, facts)?)?;
            same("kernel, not optimised", loaded(&plain, facts)?)?;
        }
        Ok(())
    })
}

/// The smallest script that was found in `time` to fail for the same cause, with why.
pub fn minimised(
    script: &Script,
    failure: &Failure,
    target: &Target<'_>,
    time: Duration,
) -> (Script, Failure) {
    const TRIES: u32 = 5000;
    let class = failure.class();
    let started = Instant::now();
    let same =
        |s: &Script| started.elapsed() < time && check(&s.text(), target).is_err_and(|f| f.class() == class);
    let small = generate::shrink(script, TRIES, same);
    let failure = check(&small.text(), target).err().unwrap_or_else(|| failure.clone());
    (small, failure)
}

fn caught(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(why) => Err(Failure::Panic(panic_text(why.as_ref()))),
    }
}

fn panic_text(why: &(dyn Any + Send)) -> String {
    match (why.downcast_ref::<String>(), why.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "of something without words".into(),
    }
}

fn compiled(text: &str, facts: &dyn Facts, no_optimise: bool) -> Result<Program, Failure> {
    let source = Source { name: "stdin".into(), text: text.to_owned() };
    let options = Options { no_optimise, ..Options::default() };
    let c = compile::compile(&source, facts, &options);
    let shown = || fathom_syntax::render::render(&c.diagnostics, &c.sources, &c.expansions, false);
    c.program.clone().ok_or_else(|| Failure::Compile(shown()))
}

fn interpreted(program: Program) -> Result<String, Failure> {
    let mut sim = Sim::of_program(program).map_err(Failure::Interpreter)?;
    let task = &mut sim.host().task;
    task.tgid = std::process::id();
    task.pid = thread_id();
    task.comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap_or_default().trim_end().to_owned();
    (task.uid, task.gid) = (0, 0);
    sim.session(&[]).map_err(Failure::Interpreter)
}

/// Number of the running thread.
fn thread_id() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    link.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn loaded(program: &Program, facts: &KernelFacts) -> Result<String, Failure> {
    let options = fathom_runtime::Options { quiet: true, ..Default::default() };
    let mut text = Vec::new();
    let mut out = TextOutput::new(&mut text, std::io::sink());
    let done = Session::new(program, facts, &options, None).run(&mut out);
    drop(out);
    match done {
        Ok(_) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(e) => Err(Failure::Kernel(e.to_string())),
    }
}
