//! One file per command.

pub mod format;
pub mod generate;
pub mod info;
pub mod list;
pub mod trace;

use crate::args::{KernelOptions, Script};
use crate::output::complain;
use fathom_kernel::{caps, Root};
use fathom_probes::facts::FactsOptions;
use fathom_probes::KernelFacts;
use fathom_symbols::btf::Btf;
use std::io::Read;
use std::path::PathBuf;

/// Facts of the running kernel as the command line wants them.
fn kernel_facts(options: &KernelOptions, child_pid: Option<u32>) -> KernelFacts {
    let facts = FactsOptions {
        btf_path: btf_file(),
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

/// Most bytes of a file with type information; the kernel's own has 5 MB, with all modules 20.
const BTF_BYTES_MAX: u64 = 1 << 30;

/// The file with the kernel's types that `BPFTRACE_BTF` names; one that cannot be read is told of and left out.
fn btf_file() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("BPFTRACE_BTF")?);
    let check = || -> Result<(), String> {
        let meta = std::fs::metadata(&path).map_err(|e| e.to_string())?;
        if !meta.is_file() || meta.len() > BTF_BYTES_MAX {
            return Err("it is no file of type information".into());
        }
        let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
        Btf::parse(bytes).map(drop).map_err(|e| e.to_string())
    };
    match check() {
        Ok(()) => Some(path),
        Err(why) => {
            complain(format_args!("WARNING: BPFTRACE_BTF={} is not used: {why}", path.display()));
            None
        }
    }
}

/// Most bytes of a script.
const SCRIPT_BYTES_MAX: u64 = 64 << 20;

fn read_text(from: impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.take(SCRIPT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SCRIPT_BYTES_MAX {
        return Err(std::io::Error::other("it is longer than 64 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Name (as diagnostics show it) and text of a script.
fn read_script(script: &Script) -> Result<(String, String), String> {
    match script {
        Script::Text(text) => Ok(("stdin".into(), text.clone())),
        Script::Stdin => {
            let text =
                read_text(std::io::stdin()).map_err(|e| format!("ERROR: cannot read standard input: {e}"))?;
            Ok(("stdin".into(), text))
        }
        Script::File(path) => {
            let shown = path.display().to_string();
            let text = std::fs::File::open(path)
                .and_then(read_text)
                .map_err(|e| format!("ERROR: failed to open file '{shown}': {e}"))?;
            Ok((shown, text))
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
