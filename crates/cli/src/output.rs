//! Standard output of commands that print text: a closed pipe ends them quietly.

use crate::exit;
use std::io::Write;

/// Prints a text; a reader that has gone away is no error.
pub fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit::SUCCESS,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => exit::SUCCESS,
        Err(e) => {
            eprintln!("ERROR: cannot write to standard output: {e}");
            exit::USAGE
        }
    }
}
