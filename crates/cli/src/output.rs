//! Text on the standard streams: a reader that has gone away is no error.

use crate::exit;
use std::io::Write;

/// Prints a text; a reader that has gone away is no error.
pub fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit::SUCCESS,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => exit::SUCCESS,
        Err(e) => {
            complain(format_args!("ERROR: cannot write to standard output: {e}"));
            exit::USAGE
        }
    }
}

/// Prints a message to standard error, with an end of line. Nothing can be done where that is closed (`eprintln` would panic).
pub fn complain(message: impl std::fmt::Display) {
    let mut text = message.to_string();
    if text.is_empty() {
        return;
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
