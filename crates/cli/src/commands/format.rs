//! `fathom fmt`: a script in its standard layout.

use super::{color, read_script};
use crate::args::{FormatOptions, Script};
use crate::{exit, output};
use fathom_syntax::source::SourceMap;
use fathom_syntax::span::Expansions;

/// Runs the command.
pub fn run(options: &FormatOptions) -> u8 {
    let (name, text) = match read_script(&options.script) {
        Ok(script) => script,
        Err(message) => {
            output::complain(message);
            return exit::USAGE;
        }
    };
    let mut sources = SourceMap::default();
    sources.add_file(&name, &text);
    let formatted = match fathom_syntax::format(&text) {
        Ok(formatted) => formatted,
        Err(diagnostics) => {
            output::complain(fathom_syntax::render::render(
                &diagnostics,
                &sources,
                &Expansions::default(),
                color(),
            ));
            return exit::USAGE;
        }
    };
    if options.check {
        return if formatted == text { exit::SUCCESS } else { exit::USAGE };
    }
    match (&options.script, options.in_place) {
        (Script::File(path), true) => match std::fs::write(path, formatted) {
            Ok(()) => exit::SUCCESS,
            Err(e) => {
                output::complain(format_args!("ERROR: cannot write {}: {e}", path.display()));
                exit::USAGE
            }
        },
        _ => output::print(&formatted),
    }
}
