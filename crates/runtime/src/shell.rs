//! Commands that a script runs by `system()`.

use fathom_kernel::child;
use std::process::Stdio;

/// Runs a command by the shell and gives what it printed on standard output; its errors go to ours.
///
/// # Errors
/// The shell could not be started.
pub fn run(command: &[u8]) -> Result<Vec<u8>, String> {
    use std::os::unix::ffi::OsStrExt;
    let text = std::ffi::OsStr::from_bytes(command);
    let done =
        child::command("/bin/sh").arg("-c").arg(text).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    match done {
        Ok(output) => Ok(output.stdout),
        Err(e) => Err(format!("cannot run `{}`: {e}", text.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_caught() {
        assert_eq!(run(b"echo a b").unwrap(), b"a b\n");
        assert_eq!(run(b"exit 3").unwrap(), b"");
    }
}
