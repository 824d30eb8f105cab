//! From source text to a program: the stages in order, each of which can be the last.

use crate::analyse;
use crate::analyse::store::TypeStore;
use crate::facts::{Facts, Feature};
use crate::lower::{self, LowerOptions};
use crate::typed::Typed;
use fathom_codegen::compile::{CodegenOptions, Trace};
use fathom_codegen::program::Program;
use fathom_syntax::ast::Script;
use fathom_syntax::diag::{has_errors, Diagnostic};
use fathom_syntax::source::SourceMap;
use fathom_syntax::span::Expansions;

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// What diagnostics call it: a path, or `stdin` for `-e` and `-`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a script is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// To trace.
    #[default]
    Run,
    /// `--test`: `test:` probes.
    Test,
    /// `--bench`: `bench:` probes.
    Bench,
}

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `$1`, `$2`, ...
    pub positional: Vec<String>,
    /// `--name[=value]` behind `--`.
    pub named: Vec<(String, Option<String>)>,
    /// `--unsafe`.
    pub allow_unsafe: bool,
    /// `-p PID`.
    pub pid: Option<u32>,
    /// `--probe-filter`: a regular expression that names of probes must contain a match of.
    pub probe_filter: Option<String>,
    /// What for.
    pub mode: Mode,
    /// Settings from the environment, by key (`max_strlen`, or `BPFTRACE_MAX_STRLEN`); they win over the script's.
    pub config: Vec<(String, String)>,
    /// `--include FILE`.
    pub includes: Vec<String>,
    /// `-k`: failed helpers are reported.
    pub helper_warnings: bool,
    /// Emit code without optimising (`fathom -d`).
    pub no_optimise: bool,
}

impl Options {
    /// The text of `$n`, counted from 1.
    pub fn positional(&self, n: u32) -> Option<&str> {
        self.positional.get((n as usize).checked_sub(1)?).map(String::as_str)
    }
}

/// What came of a script, stage by stage.
#[derive(Debug, Default)]
pub struct Compilation {
    /// All source files: the script is the first.
    pub sources: SourceMap,
    /// Errors first, then warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Macro expansions that the diagnostics' spans refer to.
    pub expansions: Expansions,
    /// The syntax tree as written.
    pub script: Script,
    /// The analysed script; `None` if there were syntax errors.
    pub typed: Option<Typed>,
    /// The program; `None` if there were errors.
    pub program: Option<Program>,
}

impl Compilation {
    /// Whether there are errors.
    pub fn failed(&self) -> bool {
        has_errors(&self.diagnostics)
    }
}

/// Compiles a script.
pub fn compile(source: &Source, facts: &dyn Facts, options: &Options) -> Compilation {
    compile_traced(source, facts, options, &mut ())
}

/// Compiles a script; `trace` sees the code after each pass.
pub fn compile_traced(
    source: &Source,
    facts: &dyn Facts,
    options: &Options,
    trace: &mut dyn Trace,
) -> Compilation {
    let mut store = TypeStore::new(facts);
    let mut out = front(source, &mut store, facts, options);
    let Some(typed) = out.typed.as_ref().filter(|_| !out.failed()) else { return out };
    let lowering = LowerOptions {
        helper_warnings: options.helper_warnings,
        pid: options.pid,
        codegen: CodegenOptions {
            optimise: !options.no_optimise,
            may_goto: facts.has(Feature::MayGoto),
            cpu_v4: facts.has(Feature::CpuV4),
            ..CodegenOptions::default()
        },
    };
    match lower::lower(typed, &store, facts, &out.sources, &lowering, trace) {
        Ok(program) => {
            if let Some(d) = too_many(typed, &program) {
                out.diagnostics.push(d);
            } else {
                out.program = Some(program);
            }
        }
        Err(mut diagnostics) => out.diagnostics.append(&mut diagnostics),
    }
    out.diagnostics.sort_by_key(|d| d.severity);
    out
}

/// More BPF programs than the settings allow: an error at the clause that went over the limit.
fn too_many(typed: &Typed, program: &Program) -> Option<Diagnostic> {
    let limit = typed.config.max_bpf_progs;
    let over = program.units.get(usize::try_from(limit).ok()?)?;
    let span = typed.probes.iter().find(|p| p.clause == over.clause).map(|p| p.span)?;
    let text = format!(
        "Your program is trying to generate more than {} BPF programs, which exceeds the current limit of {limit}",
        program.units.len()
    );
    let hint = "raise max_bpf_progs in the config block or BPFTRACE_MAX_BPF_PROGS";
    Some(Diagnostic::error(span, text).hint(hint))
}

/// Parses and analyses a script, without making a program.
pub fn check(source: &Source, facts: &dyn Facts, options: &Options) -> Compilation {
    let mut store = TypeStore::new(facts);
    front(source, &mut store, facts, options)
}

fn front(source: &Source, store: &mut TypeStore<'_>, facts: &dyn Facts, options: &Options) -> Compilation {
    let mut out = Compilation::default();
    let file = out.sources.add_file(&source.name, &source.text);
    let (script, diagnostics) = fathom_syntax::parse(&source.text, file);
    out.diagnostics = diagnostics;
    out.script = script;
    if out.failed() {
        return out;
    }
    let (typed, mut diagnostics) = analyse::analyse(&out.script, &mut out.sources, store, facts, options);
    out.diagnostics.append(&mut diagnostics);
    out.expansions = typed.expansions.clone();
    out.typed = Some(typed);
    out.diagnostics.sort_by_key(|d| d.severity);
    out
}
