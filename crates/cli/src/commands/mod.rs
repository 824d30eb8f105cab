//! One file per command.

pub mod format;
pub mod generate;
pub mod info;
pub mod list;
pub mod trace;

use crate::args::{KernelOptions, Script};
use fathom_kernel::{caps, Root};
use fathom_probes::facts::FactsOptions;
use fathom_probes::KernelFacts;
use std::io::Read;

/// Facts of the running kernel as the command line wants them.
fn kernel_facts(options: &KernelOptions, child_pid: Option<u32>) -> KernelFacts {
    let facts = FactsOptions {
        btf_path: std::env::var_os("BPFTRACE_BTF").map(Into::into),
        traceable_functions: options.traceable_functions.clone(),
        disabled: options.disabled.iter().cloned().collect(),
        debug_dirs: options.debug_dirs.clone(),
        include_dirs: options.include_dirs.clone(),
        child_pid,
    };
    // Behind the start of the command of `-c`, which keeps the limits it would have without the tracer.
    caps::raise_memlock();
    caps::raise_nofile();
    KernelFacts::new(Root::host(), facts)
}

/// Name (as diagnostics show it) and text of a script.
fn read_script(script: &Script) -> Result<(String, String), String> {
    match script {
        Script::Text(text) => Ok(("stdin".into(), text.clone())),
        Script::Stdin => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|e| format!("ERROR: cannot read standard input: {e}"))?;
            Ok(("stdin".into(), String::from_utf8_lossy(&bytes).into_owned()))
        }
        Script::File(path) => {
            let shown = path.display().to_string();
            let bytes =
                std::fs::read(path).map_err(|e| format!("ERROR: failed to open file '{shown}': {e}"))?;
            Ok((shown, String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

/// Whether messages are coloured: `BPFTRACE_COLOR`, else on a terminal.
fn color() -> bool {
    use std::io::IsTerminal;
    match std::env::var("BPFTRACE_COLOR").as_deref() {
        Ok("always") => true,
        Ok("never") => false,
        _ => std::io::stderr().is_terminal(),
    }
}
