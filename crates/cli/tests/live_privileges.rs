//! Users without all privileges are told which they lack; those that have what is needed can trace.

mod tracer;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tracer::{finish, live};

const LIMIT: Duration = Duration::from_secs(20);
const TRACEPOINT: &str = "tracepoint:raw_syscalls:sys_enter { @ = count(); } interval:ms:50 { exit(); }";
const RAW: &str = "rawtracepoint:sched_switch { @ = count(); } interval:ms:50 { exit(); }";

/// A copy of the binary where any user may run it, removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn make(test: &str) -> Copy {
        let path = std::env::temp_dir().join(format!("fathom-{test}-{}", std::process::id()));
        std::fs::copy(env!("CARGO_BIN_EXE_fathom"), &path).unwrap();
        Copy(path)
    }

    /// Runs it as nobody with these capabilities (`-all`, `+bpf,+perfmon`); gives status, output and errors.
    fn run(&self, capabilities: &str, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]);
        command.arg(&self.0).args(args).current_dir("/");
        let output = finish(&mut command, LIMIT).unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn can_change_user(test: &str) -> bool {
    let works =
        Command::new("setpriv").args(["--reuid", "65534", "true"]).status().is_ok_and(|s| s.success());
    if !works {
        eprintln!("skipped: {test}: needs setpriv(1) and root");
    }
    works && live(test)
}

#[test]
fn what_is_missing_is_named() {
    if !can_change_user("what_is_missing_is_named") {
        return;
    }
    let copy = Copy::make("missing");
    for (capabilities, said) in [
        ("-all", "CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) are missing"),
        ("+bpf", "ERROR: CAP_PERFMON (or CAP_SYS_ADMIN) is missing"),
        ("+perfmon", "ERROR: CAP_BPF (or CAP_SYS_ADMIN) is missing"),
    ] {
        for script in ["begin { printf(\"x\"); exit(); }", RAW] {
            let (code, _, err) = copy.run(capabilities, &["-e", script]);
            assert!(code == Some(255) && err.contains(said) && err.contains("sudo"), "{capabilities}: {err}");
        }
    }
    // tracefs is for root unless it was mounted otherwise.
    let (code, out, err) = copy.run("+bpf,+perfmon", &["-e", TRACEPOINT]);
    assert!(code == Some(0) && out.contains("@: ") || err.contains("CAP_DAC_READ_SEARCH"), "{err}");
}

#[test]
fn two_capabilities_are_enough_to_trace() {
    if !can_change_user("two_capabilities_are_enough_to_trace") {
        return;
    }
    let copy = Copy::make("enough");
    for (capabilities, script) in [
        ("+bpf,+perfmon", RAW),
        ("+bpf,+perfmon", "begin { printf(\"x\"); @ = 1; exit(); }"),
        ("+bpf,+perfmon,+dac_read_search", TRACEPOINT),
    ] {
        let (code, out, err) = copy.run(capabilities, &["-e", script]);
        assert!(code == Some(0) && out.contains("@: "), "{capabilities}: {script}: {err}");
    }
}

#[test]
fn what_does_not_trace_needs_no_privileges() {
    if !can_change_user("what_does_not_trace_needs_no_privileges") {
        return;
    }
    let copy = Copy::make("plain");
    let script = std::env::temp_dir().join(format!("fathom-plain-{}.bt", std::process::id()));
    std::fs::write(&script, "begin{exit()}").unwrap();
    let script = script.to_string_lossy().into_owned();
    for args in [
        &["--help"][..],
        &["info"],
        &["man"],
        &["fmt", &script],
        &["list", "interval"],
        &["--mode", "codegen", "-e", "begin { exit() }"],
    ] {
        let (code, out, err) = copy.run("-all", args);
        assert!(code == Some(0) && (!out.is_empty() || args.contains(&"codegen")), "{args:?}: {err}");
    }
    let _ = std::fs::remove_file(&script);
    let (_, _, err) = copy.run("-all", &["list", "tracepoint:sched:*"]);
    assert!(err.is_empty() || err.contains("tracepoints are not listed"), "{err}");
}
