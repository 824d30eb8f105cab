//! A tracer as a process: started, waited for until it is attached, ended by a signal.

use super::child;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Printed on standard output once all probes are attached, if an environment variable of this name is set.
const ATTACHED: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";
/// What starting or ending may take.
const LIMIT: Duration = Duration::from_secs(30);
/// After this long the signal is sent again.
const PATIENCE: Duration = Duration::from_secs(5);
const SIGINT: i32 = 2;

/// A tracer that is installed.
pub struct Tracer {
    /// How tables call it.
    pub name: &'static str,
    /// The binary.
    pub path: PathBuf,
    /// What `--version` prints.
    pub version: String,
}

/// A running session.
pub struct Session {
    child: Child,
    /// From start to all probes attached, ms.
    pub attach_ms: f64,
}

impl Tracer {
    /// Looks whether it runs.
    ///
    /// # Errors
    /// If it does not.
    pub fn open(name: &'static str, path: PathBuf) -> Result<Tracer, String> {
        let output =
            Command::new(&path).arg("--version").output().map_err(|e| format!("{}: {e}", path.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Tracer { name, path, version })
    }

    /// A script in the spelling that this tracer knows: older ones have no `args.x`.
    pub fn spelling(&self, script: &str) -> String {
        if self.name == "fathom" {
            script.to_owned()
        } else {
            script.replace("args.", "args->")
        }
    }

    /// Starts a session on a CPU (`None`: anywhere) and waits until it is attached.
    ///
    /// # Errors
    /// If it ends before, or takes too long.
    pub fn start(&self, args: &[&str], cpu: Option<u32>) -> Result<Session, String> {
        let mut command = match cpu {
            Some(cpu) => child::on_cpu(cpu, self.path.as_os_str()),
            None => Command::new(&self.path),
        };
        command
            .args(args)
            .env(ATTACHED, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", self.path.display()))?;
        let (tell, attached) = mpsc::channel();
        // Older versions say it on standard error.
        let out = watch(child.stdout.take().ok_or("no pipe")?, tell.clone());
        let errors = watch(child.stderr.take().ok_or("no pipe")?, tell);
        match attached.recv_timeout(LIMIT) {
            Ok(at) => {
                let attach_ms = (at - started).as_secs_f64() * 1e3;
                Ok(Session { child, attach_ms })
            }
            Err(_) => {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                let said = [out, errors].map(|t| t.join().unwrap_or_default()).concat();
                Err(format!("{} {}: not attached: {}", self.name, args.join(" "), said.trim()))
            }
        }
    }
}

/// Reads a pipe to its end, so that the tracer never waits for its reader; tells when the word comes. Gives the first lines.
fn watch(pipe: impl Read + Send + 'static, tell: mpsc::Sender<Instant>) -> std::thread::JoinHandle<String> {
    const KEPT_BYTES: usize = 4096;
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let (mut line, mut kept) = (Vec::new(), String::new());
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if line.starts_with(ATTACHED.as_bytes()) {
                // Nobody waits any more once the session has begun.
                let _ = tell.send(Instant::now());
            } else if kept.len() < KEPT_BYTES {
                kept.push_str(&String::from_utf8_lossy(&line));
            }
            line.clear();
        }
        kept
    })
}

impl Session {
    /// Ends the session as Ctrl-C does; gives how long that took, ms.
    ///
    /// # Errors
    /// If it does not end.
    pub fn end(mut self) -> Result<f64, String> {
        let started = Instant::now();
        let process = fathom_kernel::proc::PidFd::open(self.child.id()).map_err(|e| e.to_string())?;
        process.signal(SIGINT).map_err(|e| e.to_string())?;
        let mut asked = started;
        while self.child.try_wait().map_err(|e| e.to_string())?.is_none() {
            if started.elapsed() > LIMIT {
                return Err("the tracer does not end".into());
            }
            if asked.elapsed() > PATIENCE {
                // A signal between attaching and the tracer's main loop may have been lost.
                asked = Instant::now();
                process.signal(SIGINT).map_err(|e| e.to_string())?;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Left on the way of an error.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
