//! What the live tests of the binary share: the check for privileges, a tracer as a child, what exists in the kernel.
#![allow(dead_code, reason = "each test binary uses a part")]

use fathom_kernel::caps::Privileges;
use fathom_kernel::{link, map, prog, Root};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Printed by the tracer once everything is attached.
const ATTACHED: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// False, with the reason printed, where BPF can't be used.
pub fn live(test: &str) -> bool {
    let p = Privileges::read(&Root::host());
    if p.can_trace() {
        return true;
    }
    eprintln!("skipped: {test}: needs CAP_BPF and CAP_PERFMON");
    false
}

/// The binary with these arguments.
pub fn fathom(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fathom"));
    command.args(args).stdin(Stdio::null()).env_remove("BPFTRACE_COLOR");
    command
}

/// Runs to the end; an error when that takes longer than `limit`.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let mut tracer = Tracer::from(child);
    if !tracer.wait(limit) {
        tracer.signal("KILL");
        return Err(format!("still running after {limit:?}"));
    }
    Ok(tracer.output())
}

/// A running tracer. Both its outputs are read all the time.
pub struct Tracer {
    child: Child,
    out: Option<JoinHandle<Vec<u8>>>,
    err: Option<JoinHandle<Vec<u8>>>,
}

fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}

impl Tracer {
    /// Starts a tracer with these arguments and goes on.
    pub fn spawn(args: &[&str]) -> Tracer {
        let child = fathom(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Tracer::from(child)
    }

    /// Starts a tracer and waits until its probes are attached.
    pub fn attached(args: &[&str]) -> Tracer {
        let mut child =
            fathom(args).env(ATTACHED, "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let err = child.stderr.take().map(reader);
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 && line.trim_end() != ATTACHED {
            line.clear();
        }
        let mut tracer = Tracer { child, out: Some(reader(out)), err };
        if line.trim_end() != ATTACHED {
            let output = tracer.output();
            panic!("the tracer ended early: {}", String::from_utf8_lossy(&output.stderr));
        }
        tracer
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-s", name, &pid]).stderr(Stdio::null()).status();
    }

    /// Waits for the end; false when it does not come in time.
    pub fn wait(&mut self, limit: Duration) -> bool {
        let started = Instant::now();
        while started.elapsed() < limit {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// What it printed, after its end.
    pub fn output(&mut self) -> Output {
        let status = self.child.wait().unwrap();
        let take = |h: &mut Option<JoinHandle<Vec<u8>>>| h.take().map_or(Vec::new(), |h| h.join().unwrap());
        Output { status, stdout: take(&mut self.out), stderr: take(&mut self.err) }
    }
}

impl From<Child> for Tracer {
    fn from(mut child: Child) -> Tracer {
        let out = child.stdout.take().map(|o: ChildStdout| reader(o));
        let err = child.stderr.take().map(|e: ChildStderr| reader(e));
        Tracer { child, out, err }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|s| s.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What tracing leaves traces in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    objects: BTreeSet<(&'static str, u32)>,
    texts: Vec<(&'static str, BTreeSet<String>)>,
}

/// Files and directories that list what was made by hand.
const LISTS: &[&str] = &[
    "/sys/kernel/tracing/uprobe_events",
    "/sys/kernel/tracing/kprobe_events",
    "/sys/kernel/tracing/dynamic_events",
    "/sys/kernel/tracing/instances",
    "/sys/fs/bpf",
];

fn list(path: &str) -> BTreeSet<String> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect(),
        Err(_) => fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect(),
    }
}

impl Snapshot {
    /// What exists now.
    pub fn take() -> Snapshot {
        let mut objects = BTreeSet::new();
        objects.extend(prog::ids().unwrap_or_default().into_iter().map(|id| ("program", id)));
        objects.extend(map::ids().unwrap_or_default().into_iter().map(|id| ("map", id)));
        objects.extend(link::ids().unwrap_or_default().into_iter().map(|id| ("link", id)));
        Snapshot { objects, texts: LISTS.iter().map(|p| (*p, list(p))).collect() }
    }

    /// What is there now, was not then, and is held by no process: other tracers on the machine hold what is theirs. Waits for the kernel,
    /// which frees objects a little later.
    pub fn left_behind(&self) -> Vec<String> {
        let started = Instant::now();
        loop {
            let left = self.difference();
            if left.is_empty() || started.elapsed() > Duration::from_secs(2) {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn difference(&self) -> Vec<String> {
        // The order matters: what another tracer makes meanwhile is held by the time that holders are looked for.
        let now = Snapshot::take();
        let new: Vec<_> = now.objects.difference(&self.objects).copied().collect();
        let mut left = Vec::new();
        if !new.is_empty() {
            let held = held();
            let after = Snapshot::take();
            let lost = new.iter().filter(|o| !held.contains(o) && after.objects.contains(o));
            left.extend(lost.map(|(kind, id)| format!("{kind} {id}")));
        }
        for ((path, now), (_, before)) in now.texts.iter().zip(&self.texts) {
            left.extend(now.difference(before).map(|line| format!("{path}: {line}")));
        }
        left
    }
}

/// Objects that file descriptors of any process stand for.
fn held() -> BTreeSet<(&'static str, u32)> {
    let mut held = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        for fd in fs::read_dir(process.path().join("fdinfo")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(fd.path()).unwrap_or_default();
            for line in text.lines() {
                let Some((key, value)) = line.split_once(':') else { continue };
                let kind = match key {
                    "prog_id" => "program",
                    "map_id" => "map",
                    "link_id" => "link",
                    _ => continue,
                };
                held.extend(value.trim().parse().ok().map(|id| (kind, id)));
            }
        }
    }
    held
}
