//! The steps, except conformance.

use super::{libtest, process, Context, Tally};
use crate::workspace::Executable;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Most bytes of the release binary.
const BINARY_BYTES_MAX: u64 = 10 << 20;
/// What a one-liner of the smoke step may take.
const SMOKE_LIMIT: Duration = Duration::from_secs(20);

/// One check: a cargo command that must succeed.
fn cargo(context: &Context, args: &[&str]) -> Tally {
    let shown = format!("cargo {}", args.join(" "));
    match context.workspace.cargo().args(args).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Tally::pass(),
        Ok(status) => Tally::fail(format!("{shown}: {status}")),
        Err(e) => Tally::fail(format!("{shown}: {e}")),
    }
}

/// Formatting.
pub fn fmt(context: &Context) -> Tally {
    cargo(context, &["fmt", "--all", "--check"])
}

/// Lints.
pub fn clippy(context: &Context) -> Tally {
    cargo(context, &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn is_live(test: &Executable) -> bool {
    test.kind == "test" && test.name.starts_with("live_")
}

fn run_tests(context: &Context, live: bool) -> Tally {
    let mut tally = Tally::default();
    let (tests, error) = context.tests();
    for test in tests.iter().filter(|t| t.is_test && is_live(t) == live) {
        tally.add(libtest::run(test, live));
    }
    if let Some(error) = error {
        tally.add(Tally::fail(error));
    }
    tally
}

/// Tests that need no root.
pub fn rootless(context: &Context) -> Tally {
    run_tests(context, false)
}

/// Tests on the running kernel, one at a time. Where the kernel cannot be traced, each says so itself.
pub fn live(context: &Context) -> Tally {
    run_tests(context, true)
}

/// Documentation examples.
pub fn doc(context: &Context) -> Tally {
    let output = context
        .workspace
        .cargo()
        .args(["test", "--quiet", "--workspace", "--doc"])
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let mut tally = libtest::read(&text, "doc");
            if !output.status.success() && tally.failed == 0 {
                print!("{text}{}", String::from_utf8_lossy(&output.stderr));
                tally.add(Tally::fail(format!("cargo test --doc: {}", output.status)));
            }
            tally
        }
        Err(e) => Tally::fail(format!("cargo test --doc: {e}")),
    }
}

/// The release binary: that it builds, is one static file, and is small.
pub fn build(context: &Context) -> Tally {
    let binary = match context.binary() {
        Ok(binary) => binary,
        Err(e) => return Tally::fail(e),
    };
    let mut tally = Tally::pass();
    let bytes = binary.metadata().map_or(0, |m| m.len());
    println!("   {}: {:.2} MiB", binary.display(), bytes as f64 / f64::from(1 << 20));
    tally.add(match bytes {
        1..=BINARY_BYTES_MAX => Tally::pass(),
        _ => Tally::fail(format!(
            "the release binary has {bytes} bytes, at most {BINARY_BYTES_MAX} are allowed"
        )),
    });
    tally.add(match needs_loader(binary) {
        Ok(false) => Tally::pass(),
        Ok(true) => Tally::fail("the release binary is linked dynamically"),
        Err(e) => Tally::fail(format!("{}: {e}", binary.display())),
    });
    tally
}

/// Whether an ELF file names a dynamic loader (a program header `PT_INTERP`).
pub fn needs_loader(path: &Path) -> Result<bool, String> {
    const PT_INTERP: u32 = 3;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(1 << 20).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let number = |at: usize, len: usize| {
        let raw = bytes.get(at..at + len)?;
        Some(raw.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)))
    };
    let headers = || Some((number(32, 8)? as usize, number(54, 2)? as usize, number(56, 2)? as usize));
    let (start, size, count) =
        headers().filter(|_| bytes.starts_with(b"\x7fELF\x02")).ok_or("no 64-bit ELF file")?;
    Ok((0..count).any(|i| number(start + i * size, 4) == Some(u64::from(PT_INTERP))))
}

/// Generated documents.
pub fn gen(context: &Context) -> Tally {
    let binary = match context.binary() {
        Ok(binary) => binary,
        Err(e) => return Tally::fail(e),
    };
    let mut tally = Tally::default();
    match crate::gen::documents(&context.workspace, binary) {
        Ok(documents) => {
            for document in documents {
                tally.add(match document.is_up_to_date() {
                    true => Tally::pass(),
                    false => Tally::fail(format!(
                        "{} is out of date: run `cargo xtask gen`",
                        document.path.display()
                    )),
                });
            }
        }
        Err(e) => tally.add(Tally::fail(e)),
    }
    tally
}

/// A one-liner and what it prints.
struct Smoke {
    args: &'static [&'static str],
    wants: &'static str,
}

static SMOKES: &[Smoke] = &[
    Smoke { args: &["-e", "BEGIN { printf(\"ok\\n\"); exit(); }"], wants: "ok\n" },
    Smoke {
        args: &["-e", "tracepoint:raw_syscalls:sys_enter { @[comm] = count() } interval:ms:200 { exit() }"],
        wants: "]: ",
    },
    Smoke { args: &["-e", "interval:ms:50 { @ = hist(5); print(@); clear(@); exit() }"], wants: "[4, 8)" },
    Smoke { args: &["-f", "json", "-e", "BEGIN { @a[1] = 2; exit() }"], wants: r#""@a": {"1": 2}"# },
];

/// One-liners with the release binary.
pub fn smoke(context: &Context) -> Tally {
    let mut tally = Tally::default();
    let binary = match context.binary() {
        Ok(binary) => binary,
        Err(e) => return Tally::fail(e),
    };
    for smoke in SMOKES {
        if let Some(why) = context.environment.obstacle() {
            tally.add(Tally::skip(why));
            continue;
        }
        let done = match process::run(Command::new(binary).args(smoke.args), SMOKE_LIMIT) {
            Ok(done) => done,
            Err(e) => {
                tally.add(Tally::fail(format!("{}: {e}", smoke.args.join(" "))));
                continue;
            }
        };
        tally.add(match done.code == 0 && done.text.contains(smoke.wants) {
            true => Tally::pass(),
            false => Tally::fail(format!(
                "{}: exit code {}, printed {:?}",
                smoke.args.join(" "),
                done.code,
                done.text
            )),
        });
    }
    tally
}

/// Damaged input for a minute over all targets.
pub fn fuzz(_: &Context) -> Tally {
    const SECONDS: u64 = 60;
    let mut tally = Tally::default();
    match crate::fuzz::campaign(&crate::fuzz::Plan { seconds: SECONDS, ..crate::fuzz::Plan::default() }) {
        Ok(reports) => {
            for report in reports {
                println!("   {}", report.line());
                tally.add(match report.crashes.first() {
                    None => Tally::pass(),
                    Some(crash) => Tally::fail(format!("fuzz {}: {crash}", report.target)),
                });
            }
        }
        Err(e) => tally.add(Tally::fail(e)),
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_file_names_no_loader() {
        // Tests are linked like the binary itself.
        let own = std::env::current_exe().unwrap();
        assert_eq!(needs_loader(&own), Ok(false));
        assert!(needs_loader(Path::new("/proc/self/status")).is_err());
    }
}
