//! Tracing: compile, load, attach, print until the end.

use super::{color, kernel_facts, read_script};
use crate::args::TraceOptions;
use crate::patient::Patient;
use crate::{exit, output, words};
use fathom_codegen::compile::Trace;
use fathom_codegen::ir::Func;
use fathom_codegen::program::Program;
use fathom_kernel::caps::{self, Finding, Privileges};
use fathom_kernel::child::Child;
use fathom_kernel::Root;
use fathom_lang::compile::{self, Compilation, Source};
use fathom_probes::KernelFacts;
use fathom_report::{JsonOutput, Output, TextOutput};
use fathom_runtime::options::{Buffering, Mode};
use fathom_runtime::{Error, Options, Session};
use std::fmt::Write as _;
use std::io::{BufWriter, Write};

/// Runs the command.
pub fn run(options: &TraceOptions) -> u8 {
    match try_run(options) {
        Ok(code) => code,
        Err((code, message)) => {
            output::complain(message);
            code
        }
    }
}

/// Exit code and message of what ended the command.
type Failure = (u8, String);

fn usage(message: impl Into<String>) -> Failure {
    (exit::USAGE, message.into())
}

/// What can be told to be wrong before anything is compiled: a process that is not there, features that nobody knows.
fn check_targets(options: &TraceOptions) -> Result<(), Failure> {
    if let Some(pid) = options.pid.filter(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
        return Err(usage(format!("ERROR: Failed to watch process {pid}: no such process")));
    }
    match options.kernel.disabled.iter().find(|name| fathom_kernel::features::by_name(name).is_none()) {
        Some(name) => {
            Err(usage(format!("ERROR: --no-feature: there is no feature '{name}'; `--info` lists them")))
        }
        None => Ok(()),
    }
}

fn try_run(options: &TraceOptions) -> Result<u8, Failure> {
    let (name, text) = read_script(&options.script).map_err(usage)?;
    check_targets(options)?;
    // The command is started (stopped before its exec) first: watchpoints need to know the process.
    let child = start_child(options)?;
    let facts = kernel_facts(&options.kernel, child.as_ref().map(Child::pid));
    let source = Source { name, text };
    let mut passes =
        PassDump { wanted: wants(options, &["ir", "codegen", "codegen-opt"]), text: String::new() };
    let compilation = compile::compile_traced(&source, &facts, &compile_options(options), &mut passes);
    let diagnostics = fathom_syntax::render::render(
        &compilation.diagnostics,
        &compilation.sources,
        &compilation.expansions,
        color(),
    );
    if !options.no_warnings || compilation.failed() {
        output::complain(diagnostics);
    }
    dump(options, &compilation, &passes.text);
    let program = match (&compilation.program, compilation.failed()) {
        (Some(program), false) => program,
        _ => return Err(usage("")),
    };
    if options.mode == "codegen" || options.mode == "compiler-bench" {
        return Ok(exit::SUCCESS);
    }
    if let Some(lack) = missing_privileges() {
        return Err((exit::KERNEL, format!("ERROR: {}; {}", lack.what, lack.remedy)));
    }
    session(options, program, &facts, child)
}

/// What this user lacks. Root is not asked for: what root lacks in a container, the kernel tells by name.
fn missing_privileges() -> Option<Finding> {
    if caps::is_root() {
        return None;
    }
    Privileges::read(&Root::host()).missing()
}

/// Forks the command of `-c`; it waits before its exec.
fn start_child(options: &TraceOptions) -> Result<Option<Child>, Failure> {
    let Some(command) = &options.command else { return Ok(None) };
    let argv = words::split(command).map_err(|e| usage(format!("ERROR: -c {command}: {e}")))?;
    Child::spawn_stopped(&argv).map(Some).map_err(|e| usage(format!("ERROR: {e}")))
}

fn session(
    options: &TraceOptions,
    program: &Program,
    facts: &KernelFacts,
    child: Option<Child>,
) -> Result<u8, Failure> {
    let sink: Box<dyn Write> = match &options.output {
        None => Patient::stdout(),
        Some(path) => Box::new(
            std::fs::File::create(path)
                .map_err(|e| usage(format!("ERROR: cannot write {}: {e}", path.display())))?,
        ),
    };
    let sink = BufWriter::with_capacity(OUTPUT_BYTES, sink);
    let mut out: Box<dyn Output> = match options.json {
        true => Box::new(JsonOutput::new(sink)),
        false => Box::new(TextOutput::new(sink, std::io::stderr())),
    };
    let runtime = runtime_options(options);
    let ended = Session::new(program, facts, &runtime, child).run(out.as_mut());
    // What was printed before a failure is not lost.
    let flushed = out.flush();
    match (ended, flushed) {
        (Ok(outcome), Ok(())) => Ok((outcome.code & 0xff) as u8),
        (Err(Error::Output(e)), _) | (Ok(_), Err(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(exit::SUCCESS)
        }
        (Err(Error::Output(e)), _) | (Ok(_), Err(e)) => {
            Err(usage(format!("ERROR: cannot write output: {e}")))
        }
        (Err(Error::Rejected(text)), _) => Err((exit::KERNEL, text)),
        (Err(e), _) => Err((exit::KERNEL, format!("ERROR: {e}"))),
    }
}

/// Bytes of output that are gathered before they are written.
const OUTPUT_BYTES: usize = 256 << 10;

fn runtime_options(options: &TraceOptions) -> Options {
    Options {
        mode: match options.mode.as_str() {
            "test" => Mode::Test,
            "bench" => Mode::Bench,
            _ => Mode::Run,
        },
        pid: options.pid,
        quiet: options.quiet,
        verbose: options.verbose,
        helper_warnings: options.helper_warnings,
        no_warnings: options.no_warnings,
        dry_run: options.dry_run,
        notify_attached: std::env::var_os(NOTIFY).map(|_| NOTIFY.to_owned()),
        ring_bytes: 0,
        verifier_log: wants(options, &["verifier", "libbpf"]),
        debug_dirs: options.kernel.debug_dirs.clone(),
        color: color(),
        buffering: match options.buffering.as_str() {
            "full" => Buffering::Full,
            "none" => Buffering::None,
            _ => Buffering::Line,
        },
    }
}

/// Set by test harnesses; the word is printed once all probes are attached.
const NOTIFY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

fn compile_options(options: &TraceOptions) -> compile::Options {
    let from_environment = std::env::vars().filter(|(key, _)| {
        let key = key.strip_prefix("BPFTRACE_").unwrap_or_default().to_ascii_lowercase();
        fathom_lang::config::find(&key).is_some()
    });
    compile::Options {
        positional: options.positional.clone(),
        named: options.named.clone(),
        allow_unsafe: options.allow_unsafe,
        pid: options.pid,
        probe_filter: options.probe_filter.clone(),
        mode: match options.mode.as_str() {
            "test" => compile::Mode::Test,
            "bench" => compile::Mode::Bench,
            _ => compile::Mode::Run,
        },
        config: from_environment.collect(),
        includes: options.includes.clone(),
        helper_warnings: options.helper_warnings,
        no_optimise: options.dump.iter().any(|d| d == "codegen"),
    }
}

fn wants(options: &TraceOptions, stages: &[&str]) -> bool {
    options.dump.iter().any(|d| d == "all" || stages.contains(&d.as_str()))
}

/// Prints the stages that `-d` asks for.
fn dump(options: &TraceOptions, compilation: &Compilation, passes: &str) {
    let mut text = String::new();
    if wants(options, &["ast", "parse"]) {
        let _ = writeln!(text, "AST\n---\n{}", fathom_syntax::dump::dump(&compilation.script));
    }
    if wants(options, &["types"]) {
        if let Some(typed) = &compilation.typed {
            let _ = writeln!(
                text,
                "Types\n-----\n{}",
                fathom_lang::analyse::dump::dump(typed, &compilation.sources)
            );
        }
    }
    text.push_str(passes);
    if let (Some(program), true) = (&compilation.program, wants(options, &["bpf", "dis"])) {
        for unit in &program.units {
            let _ =
                writeln!(text, "BPF {}\n---\n{}", unit.name, fathom_codegen::listing::of_unit(unit, program));
        }
    }
    if !text.is_empty() {
        output::print(&text);
    }
}

/// Gathers the text of functions after each pass.
struct PassDump {
    wanted: bool,
    text: String,
}

impl Trace for PassDump {
    fn after(&mut self, pass: &'static str, func: &Func) {
        if self.wanted {
            let _ = writeln!(self.text, "IR after {pass}\n---\n{}", func);
        }
    }
}
