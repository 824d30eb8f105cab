//! What the live tests share: running the tracer with a limit of time, programs to trace that end with their test.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest run of the tracer.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Says why a live test cannot run here; `true` if so.
pub fn skipped(test: &str) -> bool {
    if !fathom_kernel::caps::is_root() {
        eprintln!("skipped: {test}: needs root");
        return true;
    }
    false
}

/// What a run of the tracer gave.
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit status, negative for a signal or the end of patience.
    pub code: i32,
    /// From start to end.
    pub took: Duration,
}

impl Ran {
    /// The value of the map element that is printed as `@name[key]`, or of `@name`.
    pub fn value(&self, element: &str) -> Option<i64> {
        let line = self.out.lines().find_map(|l| l.strip_prefix(element)?.strip_prefix(": "))?;
        line.trim().parse().ok()
    }

    /// All elements of maps: (as printed, value).
    pub fn elements(&self) -> Vec<(String, i64)> {
        let lines = self.out.lines().filter(|l| l.starts_with('@'));
        lines
            .filter_map(|l| {
                let (name, value) = l.rsplit_once(": ")?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect()
    }
}

/// Runs the tracer to its end.
pub fn fathom(args: &[&str]) -> Ran {
    Tracer::start(args).finish()
}

/// A tracer that runs.
pub struct Tracer {
    child: Option<Child>,
    started: Instant,
}

impl Tracer {
    /// Starts it.
    pub fn start(args: &[&str]) -> Tracer {
        let child = Command::new(env!("CARGO_BIN_EXE_fathom"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tracer starts");
        Tracer { child: Some(child), started: Instant::now() }
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let _ = Command::new("kill").args(["-s", name, &pid]).status();
    }

    /// Waits for its end; ends it when that takes too long.
    pub fn finish(mut self) -> Ran {
        let mut child = self.child.take().expect("it runs");
        let read = |stream: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stream.map(|mut s| s.read_to_end(&mut text));
                String::from_utf8_lossy(&text).into_owned()
            })
        };
        let out = read(child.stdout.take().map(|s| Box::new(s) as _));
        let err = read(child.stderr.take().map(|s| Box::new(s) as _));
        let code = loop {
            if let Ok(Some(status)) = child.try_wait() {
                break status.code().unwrap_or(-1);
            }
            if self.started.elapsed() > TIME_MAX {
                let _ = child.kill();
                let _ = child.wait();
                break -2;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.started.elapsed();
        let text = |handle: std::thread::JoinHandle<String>| handle.join().unwrap_or_default();
        Ran { out: text(out), err: text(err), code, took }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program that is traced; it ends with the test.
pub struct Target {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// The first line that it printed.
    pub ready: String,
}

impl Target {
    /// Starts a program and waits for its first line.
    pub fn start(program: &Path, args: &[&str]) -> Target {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the target starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut ready = String::new();
        lines.read_line(&mut ready).expect("its first line");
        Target { child, lines, ready: ready.trim().to_owned() }
    }

    /// Process id.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// A value of the first line: `name=value`.
    pub fn told(&self, name: &str) -> String {
        let words = self.ready.split_whitespace();
        words
            .filter_map(|w| w.split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.to_owned())
            .unwrap_or_else(|| panic!("{name} in {}", self.ready))
    }

    /// Ends it and gives what else it printed.
    pub fn stop(mut self) -> String {
        let _ = self.child.kill();
        let mut rest = String::new();
        let _ = self.lines.read_to_string(&mut rest);
        rest
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example program `live_target`, which cargo builds with the tests.
pub fn live_target() -> PathBuf {
    let bin = Path::new(env!("CARGO_BIN_EXE_fathom"));
    bin.parent().expect("a folder").join("examples/live_target")
}

/// A folder of a test for its files.
pub fn folder(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&dir).expect("a folder for the test");
    dir
}

/// Compiles `tests/targets/SOURCE.c` as `NAME`; `None`, said once, where there is no C compiler.
pub fn compile(dir: &Path, source: &str, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let to = dir.join(name);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(source);
    let ran = Command::new("cc").args(flags).arg("-o").arg(&to).arg(&from).output();
    match ran {
        Ok(out) if out.status.success() => Some(to),
        Ok(out) => {
            eprintln!("skipped: cc refuses {source}: {}", String::from_utf8_lossy(&out.stderr));
            None
        }
        Err(_) => {
            eprintln!("skipped: no C compiler for {source}");
            None
        }
    }
}

/// Runs a tool of the system; `None` where it is missing or fails.
pub fn tool(name: &str, args: &[&str]) -> Option<()> {
    let done = Command::new(name).args(args).status().is_ok_and(|s| s.success());
    if !done {
        eprintln!("skipped: {name} is missing or failed");
    }
    done.then_some(())
}

/// Waits until something is so, at most some seconds.
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
