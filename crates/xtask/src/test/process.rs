//! A command with a limit of time and everything that it printed, also when it had to be ended.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What came of a command.
pub struct Done {
    /// Standard output, then standard error.
    pub text: String,
    /// Exit code; -1 after a signal.
    pub code: i32,
    /// It took too long and was killed.
    pub timed_out: bool,
}

/// Runs a command without input.
///
/// # Errors
/// If it cannot be started or waited for.
pub fn run(command: &mut Command, limit: Duration) -> Result<Done, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let out = Pipe::read(child.stdout.take());
    let err = Pipe::read(child.stderr.take());
    let started = Instant::now();
    let (status, timed_out) = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break (status, false),
            None if started.elapsed() > limit => {
                child.kill().map_err(|e| e.to_string())?;
                break (child.wait().map_err(|e| e.to_string())?, true);
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let text = out.finish() + &err.finish();
    Ok(Done { text, code: status.code().unwrap_or(-1), timed_out })
}

/// A pipe that is read in a thread.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Pipe {
    fn read<R: Read + Send + 'static>(pipe: Option<R>) -> Pipe {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let Some(mut pipe) = pipe else { return };
            let mut chunk = [0u8; 8192];
            while let Ok(n @ 1..) = pipe.read(&mut chunk) {
                if let Ok(mut all) = shared.lock() {
                    all.extend_from_slice(chunk.get(..n).unwrap_or(&[]));
                }
            }
        });
        Pipe { bytes, reader }
    }

    /// What was read. A process that the command left behind may hold the pipe open: it is not waited for.
    fn finish(self) -> String {
        const LEFT_BEHIND: Duration = Duration::from_secs(1);
        let started = Instant::now();
        while !self.reader.is_finished() && started.elapsed() < LEFT_BEHIND {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.bytes.lock().map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_code_are_kept_and_time_is_limited() {
        let done =
            run(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]), Duration::from_secs(20))
                .unwrap();
        assert_eq!((done.text.as_str(), done.code, done.timed_out), ("a\nb\n", 3, false));
        let late =
            run(Command::new("sh").args(["-c", "echo a; sleep 10"]), Duration::from_millis(200)).unwrap();
        assert_eq!((late.text.as_str(), late.timed_out), ("a\n", true));
    }
}
