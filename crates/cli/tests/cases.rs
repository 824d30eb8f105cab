//! The language as its users see it: every case of `tests/cases/*.case` is run with the tracer, and what it prints is compared.
//!
//! A case is a paragraph of lines, each beginning with what it is:
//!
//! ```text
//! == name
//! > script, one line after the other        or    $ shell command (with `fathom` and `bpftrace` on its PATH)
//! opts options of the tracer, those behind ` -- ` come last
//! env NAME=value
//! needs kprobe | btf | a command            the case is passed over without it
//! exit 1                                    exit status, 0 unless given
//! = a line of the output, those given come in this order
//! ~ a regular expression that matches the output
//! ! text that must not be in the output
//! ```
//!
//! Standard output and standard error go to the same place. `FATHOM_CASES=text` runs the cases whose name contains the text.

use regex_lite::RegexBuilder;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::{symlink, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const WORKERS: usize = 2;
const TIME_MAX: Duration = Duration::from_secs(10);

enum Expect {
    Line(String),
    Match(String),
    Without(String),
}

#[derive(Default)]
struct Case {
    file: String,
    name: String,
    script: Vec<String>,
    command: Option<String>,
    options: String,
    env: Vec<(String, String)>,
    needs: Vec<String>,
    exit: i32,
    expect: Vec<Expect>,
}

/// Where the binary can be called by its names, and where cases run, each in a folder of its own.
struct Bench {
    root: PathBuf,
    path: String,
}

impl Bench {
    fn new() -> Bench {
        let root = std::env::temp_dir().join(format!("fathom-cases-{}", std::process::id()));
        let bin = root.join("bin");
        fs::create_dir_all(&bin).expect("a folder for the cases");
        for name in ["fathom", "bpftrace"] {
            let _ = symlink(env!("CARGO_BIN_EXE_fathom"), bin.join(name));
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        Bench { root, path }
    }

    /// Output and exit status; signals count as 128 + their number, as in shells.
    fn run(&self, case: &Case, number: usize) -> (String, i32) {
        let folder = self.root.join(format!("case-{number}"));
        fs::create_dir_all(&folder).expect("a folder for the case");
        let output = folder.join("output");
        let file = File::create(&output).expect("a file for the output");
        let mut command = Command::new("sh");
        match &case.command {
            Some(line) => command.args(["-c", line]),
            None => {
                let (before, after) = case.options.split_once(" -- ").unwrap_or((&case.options, ""));
                let dashes = if after.is_empty() { "" } else { "--" };
                let line = format!("exec bpftrace {before} -e \"$0\" {dashes} {after}");
                command.args(["-c", &line, &case.script.join("\n")])
            }
        };
        let mut child = command
            .env("PATH", &self.path)
            .envs(case.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("a shell");
        let started = Instant::now();
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                break code(status);
            }
            if started.elapsed() > TIME_MAX {
                let _ = child.kill();
                let _ = child.wait();
                break -1;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        let text = fs::read(&output).unwrap_or_default();
        let _ = fs::remove_dir_all(&folder);
        (String::from_utf8_lossy(&text).into_owned(), status)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn parse(path: &Path, cases: &mut Vec<Case>) {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).expect("a file of cases");
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.to_owned();
        if kind == "==" {
            cases.push(Case { file: file.clone(), name: rest, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("{file}:{}: no case begun", number + 1));
        match kind {
            ">" => case.script.push(rest),
            "$" => case.command = Some(rest),
            "opts" => case.options = rest,
            "env" => {
                let (name, value) = rest.split_once('=').expect("env NAME=value");
                case.env.push((name.into(), value.into()));
            }
            "needs" => case.needs.push(rest),
            "exit" => case.exit = rest.parse().expect("exit NUMBER"),
            "=" => case.expect.push(Expect::Line(rest)),
            "~" => case.expect.push(Expect::Match(rest)),
            "!" => case.expect.push(Expect::Without(rest)),
            _ => panic!("{file}:{}: unknown line '{line}'", number + 1),
        }
    }
}

fn all_cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("tests/cases")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "case"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in &files {
        parse(file, &mut cases);
    }
    if let Ok(filter) = std::env::var("FATHOM_CASES") {
        cases.retain(|c| c.name.contains(&filter) || c.file.contains(&filter));
    }
    cases
}

/// What differs from what the case says.
fn differences(case: &Case, output: &str, status: i32) -> Vec<String> {
    let mut wrong = Vec::new();
    if status != case.exit {
        wrong.push(format!("exit status {status}, expected {}", case.exit));
    }
    let mut rest = output.lines();
    for expect in &case.expect {
        match expect {
            Expect::Line(line) if !rest.any(|l| l == line) => {
                wrong.push(format!("no such line (or not in this place): {line}"));
                rest = output.lines();
            }
            Expect::Match(pattern) => {
                let pattern =
                    RegexBuilder::new(pattern).multi_line(true).build().expect("a regular expression");
                if !pattern.is_match(output) {
                    wrong.push(format!("nothing matches: {}", pattern.as_str()));
                }
            }
            Expect::Without(text) if output.contains(text) => {
                wrong.push(format!("must not be there: {text}"))
            }
            Expect::Line(_) | Expect::Without(_) => {}
        }
    }
    wrong
}

fn is_there(need: &str) -> bool {
    match need {
        "kprobe" => Path::new("/sys/bus/event_source/devices/kprobe").exists(),
        "btf" => Path::new("/sys/kernel/btf/vmlinux").exists(),
        command => std::env::var("PATH")
            .is_ok_and(|path| std::env::split_paths(&path).any(|folder| folder.join(command).exists())),
    }
}

/// Why cases can't be run here.
fn obstacle(bench: &Bench) -> Option<String> {
    if fs::metadata("/proc/self").map_or(0, |m| m.uid()) != 0 {
        return Some("tracing needs root".into());
    }
    let script = vec!["begin { print(1); }".to_owned()];
    let (output, status) = bench.run(&Case { script, ..Case::default() }, 0);
    (status != 0).then(|| format!("the smallest script does not run here: {}", output.trim()))
}

#[test]
fn scripts_do_what_the_language_says() {
    let bench = Bench::new();
    if let Some(why) = obstacle(&bench) {
        eprintln!("skipped: {why}");
        return;
    }
    let cases = all_cases();
    assert!(!cases.is_empty(), "no cases");
    let (next, passed_over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some((number, case)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, cases.get(n)?)))
        {
            if !case.needs.iter().all(|n| is_there(n)) {
                passed_over.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let (output, status) = bench.run(case, number + 1);
            let wrong = differences(case, &output, status);
            if !wrong.is_empty() {
                failures.lock().expect("no worker panicked").push((number, report(case, &wrong, &output)));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().expect("no worker panicked");
    failures.sort();
    eprintln!("{} cases, {} passed over", cases.len(), passed_over.into_inner());
    let text: String = failures.iter().map(|(_, text)| text.as_str()).collect();
    assert!(failures.is_empty(), "{} of {} cases fail:\n{text}", failures.len(), cases.len());
}

fn report(case: &Case, wrong: &[String], output: &str) -> String {
    let mut text = format!("\n{}: {}\n", case.file, case.name);
    for line in case.command.iter().chain(&case.script) {
        let _ = writeln!(text, "  > {line}");
    }
    for w in wrong {
        let _ = writeln!(text, "  {w}");
    }
    for line in output.lines().take(30) {
        let _ = writeln!(text, "  | {line}");
    }
    text
}
