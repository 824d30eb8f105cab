//! Command lines, files and streams that are wrong: an error that says what, at once, with the right status.

mod tracer;

use std::process::{Command, Stdio};
use std::time::Duration;
use tracer::{fathom, finish};

const LIMIT: Duration = Duration::from_secs(20);

/// Status and standard error.
fn run(args: &[&str]) -> (i32, String) {
    let output = finish(&mut fathom(args), LIMIT).unwrap_or_else(|e| panic!("{args:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn options_without_or_with_odd_values_are_named() {
    for option in ["-e", "-p", "-c", "-o", "-f", "-B", "-I", "--include", "-d", "--mode", "--probe-filter"] {
        let (code, text) = run(&[option]);
        assert!(code == 1 && text.contains(option), "{option}: {code} {text}");
    }
    for (args, said) in [
        (&["-p", "", "-e", "begin {}"][..], "pid"),
        (&["-p", "0", "-e", "begin {}"], "pid"),
        (&["-p", "99999999999999999999", "-e", "begin {}"], "99999999999999999999"),
        (&["-p", "4194302", "-e", "begin {}"], "4194302"),
        (&["-f", "xml", "-e", "begin {}"], "xml"),
        (&["-B", "some", "-e", "begin {}"], "some"),
        (&["--mode", "odd", "-e", "begin {}"], "odd"),
        (&["--probe-filter", "(", "-e", "begin {}"], "("),
        (&["-c", "/nonexistent/command", "-e", "begin {}"], "/nonexistent/command"),
        (&["-c", "", "-e", "begin {}"], "empty"),
        (&["-c", "'", "-e", "begin {}"], "not closed"),
        (&["--unheard-of"], "--unheard-of"),
        (&[], "no script"),
        (&["fmt", "/nonexistent"], "/nonexistent"),
    ] {
        let (code, text) = run(args);
        assert!(code == 1 && text.contains(said), "{args:?}: {code} {text}");
    }
}

#[test]
fn files_that_are_no_scripts_are_named() {
    for file in ["/nonexistent", "/", "/proc/self/mem", "/dev/zero", ""] {
        let (code, text) = run(&[file]);
        assert!(
            code == 1 && text.contains(&format!("failed to open file '{file}'")),
            "{file}: {code} {text}"
        );
    }
    let (code, text) = run(&["/bin/true"]);
    assert!(code == 1 && text.contains("ERROR: syntax") && text.len() < 10_000, "{text}");
    let (code, text) = run(&["/dev/null"]);
    assert!(code == 1 && text.contains("No probes"), "{text}");
}

#[test]
fn type_information_that_is_none_is_told_of() {
    for file in ["/nonexistent", "/tmp", "/etc/passwd", "/dev/zero"] {
        let mut command = fathom(&["--mode", "codegen", "-e", "begin { exit() }"]);
        let output = finish(command.env("BPFTRACE_BTF", file), LIMIT).unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(&format!("BPFTRACE_BTF={file} is not used: ")), "{text}");
    }
}

#[test]
fn help_needs_no_privileges_and_no_reader() {
    for args in [&["--help"][..], &["--version"], &["man"], &["completions", "bash"]] {
        assert_eq!(run(args).0, 0, "{args:?}");
        let mut child = fathom(args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
    let full = |args: &str| {
        let line = format!("{} {args} > /dev/full", env!("CARGO_BIN_EXE_fathom"));
        Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status().unwrap().code()
    };
    assert_eq!((full("--help"), full("man")), (Some(1), Some(1)));
}

/// Scripts that would make endless code, types, text or imports end with an error, soon.
#[test]
fn scripts_that_explode_are_stopped() {
    let doubling = (0..60).map(|i| format!("$a{} = ($a{i}, $a{i}); ", i + 1)).collect::<String>();
    let macros = (0..60).map(|i| format!("macro a{}(x) {{ a{i}(x) + a{i}(x) }} ", i + 1)).collect::<String>();
    let structs = (0..64)
        .map(|i| format!("struct A{} {{ struct A{i} a; struct A{i} b; }};\n", i + 1))
        .collect::<String>();
    let live: String = (0..2000).map(|i| format!("$v{i} = nsecs; ")).collect();
    let used: String = (0..2000).map(|i| format!("print($v{i}); ")).collect();
    for (script, said) in [
        (format!("begin {{ {}@x++; {} }}", "unroll(100) { ".repeat(5), "}".repeat(5)), "too large"),
        (format!("begin {{ {}{} }}", "unroll(100) { ".repeat(9), "}".repeat(9)), "too large"),
        (format!("macro a0(x) {{ x + x }} {macros} begin {{ print(a60(1)); }}"), "too much code"),
        (format!("begin {{ $a0 = (1, 1); {doubling} print($a60); }}"), "at most"),
        (format!("struct A0 {{ int x; }};\n{structs} begin {{ print(sizeof(struct A64)); }}"), "too large"),
        (format!("begin {{ {live}{used} }}"), "too large"),
        ("#include \"/dev/zero\"\nbegin {}".into(), "not a regular file"),
        ("import \"/dev/zero\";\nbegin {}".into(), "not a regular file"),
        ("begin { $x = (uint8[1000000000])pid; }".into(), "1048576"),
        ("struct A { long x[2305843009213693952]; }; begin { @ = sizeof(struct A); }".into(), "4294967295"),
        (format!("begin {{ $x = {}1{}; }}", "(".repeat(50_000), ")".repeat(50_000)), "nested too deeply"),
    ] {
        let path = std::env::temp_dir().join(format!("fathom-explode-{}.bt", std::process::id()));
        std::fs::write(&path, &script).unwrap();
        let (code, text) = run(&["--mode", "codegen", &path.to_string_lossy()]);
        let _ = std::fs::remove_file(&path);
        let head: String = script.chars().take(80).collect();
        assert!(code == 1 && text.contains(said), "{head}: {code} {}", text.lines().next().unwrap_or(""));
    }
}
