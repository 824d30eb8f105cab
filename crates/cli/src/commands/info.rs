//! `fathom info`: the system, and what its kernel offers.

use super::kernel_facts;
use crate::args::InfoOptions;
use crate::output;
use fathom_kernel::features;
use fathom_kernel::uname::Uname;
use fathom_probes::provider::PROVIDERS;
use std::fmt::Write;

/// Runs the command.
pub fn run(options: &InfoOptions) -> u8 {
    let facts = kernel_facts(&options.kernel, None);
    let mut text = String::from("System\n");
    let u = Uname::of_host();
    let _ = writeln!(text, "  OS: {} {} {}\n  Arch: {}", u.sysname, u.release, u.version, u.machine);
    let _ = writeln!(text, "\nBuild\n  version: fathom {}", env!("CARGO_PKG_VERSION"));
    for (what, has) in [
        ("libdw (DWARF support)", true),
        ("blazesym (advanced symbolization)", true),
        ("dwunwind (DWARF stack unwinding)", false),
        ("bcc library path resolution", true),
    ] {
        let _ = writeln!(text, "  {what}: {}", yes(has));
    }
    text.push_str("\nKernel features\n");
    for feature in features::ALL {
        let answer = match facts.features().ask(feature) {
            Ok(has) => yes(has && !options.kernel.disabled.iter().any(|d| d == feature.name)).to_owned(),
            Err(e) => format!("unknown ({e})"),
        };
        let _ = writeln!(text, "  {}: {answer}  # {}", feature.name, feature.doc);
    }
    text.push_str("\nProbe types\n");
    for provider in PROVIDERS {
        let _ = writeln!(text, "  {}: {}", provider.name, provider.forms.join(", "));
    }
    output::print(&text)
}

fn yes(has: bool) -> &'static str {
    if has {
        "yes"
    } else {
        "no"
    }
}
