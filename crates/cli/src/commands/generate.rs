//! `fathom completions` and `fathom man`: made from the definition of the command line.

use crate::{args, exit, output};
use clap_complete::Shell;

/// Prints the completions of a shell.
pub fn completions(shell: &str) -> u8 {
    let Ok(shell) = shell.parse::<Shell>() else {
        output::complain(format_args!("ERROR: no completions for {shell}"));
        return exit::USAGE;
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::whole_command(), "fathom", &mut text);
    output::print(&String::from_utf8_lossy(&text))
}

/// Prints the manual page (roff).
pub fn man() -> u8 {
    let mut text = Vec::new();
    if let Err(e) = clap_mangen::Man::new(args::whole_command()).render(&mut text) {
        output::complain(format_args!("ERROR: cannot make the manual page: {e}"));
        return exit::USAGE;
    }
    output::print(&String::from_utf8_lossy(&text))
}
