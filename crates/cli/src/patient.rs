//! Standard output that does not hang: a reader that has stopped reading holds the tracer only until the user asks for the end.
//!
//! While tracing, SIGINT and SIGTERM do not interrupt system calls (they are taken as input), so that a write to a full pipe would wait for
//! ever.

use fathom_kernel::{poll, signals};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// A pipe that is ready takes this much at once (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;
/// How often the signals are looked at.
const PATIENCE: Duration = Duration::from_millis(50);
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Writes when the other end is ready.
pub struct Patient<W> {
    inner: W,
    /// Files are always ready.
    is_file: bool,
    /// The user asked for the end while nobody read: what is still buffered is given up.
    is_given_up: bool,
}

impl Patient<std::fs::File> {
    /// Standard output, unbuffered. Where it is closed, nothing is written.
    pub fn stdout() -> Box<dyn Write> {
        match std::io::stdout().as_fd().try_clone_to_owned() {
            Ok(fd) => {
                let inner = std::fs::File::from(fd);
                let is_file = inner.metadata().is_ok_and(|m| m.is_file());
                Box::new(Patient { inner, is_file, is_given_up: false })
            }
            Err(_) => Box::new(std::io::sink()),
        }
    }
}

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.is_file {
            return self.inner.write(bytes);
        }
        while !poll::wait_writable(self.inner.as_fd(), PATIENCE) {
            self.is_given_up |= signals::is_pending(&[SIGINT, SIGTERM]);
            if self.is_given_up {
                return Err(Error::new(ErrorKind::TimedOut, "the reader has stopped reading"));
            }
        }
        self.inner.write(bytes.get(..AT_ONCE).unwrap_or(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn all_arrives_at_a_slow_reader() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let text: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
        let copy = text.clone();
        let thread = std::thread::spawn(move || {
            let mut out = Patient { inner: writer, is_file: false, is_given_up: false };
            out.write_all(&copy).unwrap();
        });
        std::thread::sleep(Duration::from_millis(120));
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        thread.join().unwrap();
        assert_eq!(got, text);
    }
}
