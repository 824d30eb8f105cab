//! Compile time by script length: it has to grow no faster than the script.

use super::stats::{median, number, Table};
use super::Setting;
use std::fmt::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Lines of the scripts.
const SIZES: &[usize] = &[500, 1000, 2500, 5000];
/// Lines of a clause.
const CLAUSE_LINES: usize = 25;

/// The section.
pub fn run(setting: &Setting) -> Result<String, String> {
    let mut table = Table::new(&["lines", "ms", "us per line"]);
    for size in SIZES {
        let file = setting.scratch.join(format!("script-{size}.bt"));
        std::fs::write(&file, script(*size)).map_err(|e| format!("{}: {e}", file.display()))?;
        let mut times = Vec::new();
        for _ in 0..setting.rounds(8) {
            let started = Instant::now();
            let output = Command::new(&setting.fathom.path)
                .args(["--mode", "codegen"])
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .output()
                .map_err(|e| e.to_string())?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            if !output.status.success() {
                return Err(format!("{}: {}", file.display(), String::from_utf8_lossy(&output.stderr)));
            }
        }
        let ms = median(&times);
        table.row(&[size.to_string(), number(ms, 1), number(ms * 1e3 / *size as f64, 1)]);
    }
    Ok(table.finish()
        + "\n`fathom --mode codegen FILE`: the whole compiler without the kernel; clauses of 25 lines.\n")
}

/// A script of so many lines: arithmetic, branches, maps, printing, on one tracepoint.
fn script(lines: usize) -> String {
    let mut out = String::new();
    for clause in 0..lines / CLAUSE_LINES {
        out.push_str("tracepoint:raw_syscalls:sys_enter {\n");
        for line in 0..CLAUSE_LINES - 2 {
            let n = clause * CLAUSE_LINES + line;
            let _ = match line % 6 {
                0 => writeln!(out, "    $a{line} = args.id * {} + {n};", n % 7 + 1),
                1 => writeln!(out, "    @count{}[pid, $a{}] = count();", clause % 50, line - 1),
                2 => writeln!(
                    out,
                    "    if ($a{} > {n}) {{ @sum{} = sum($a{}); }}",
                    line - 2,
                    clause % 50,
                    line - 2
                ),
                3 => writeln!(out, "    @last{}[comm] = nsecs - {n};", clause % 50),
                4 => writeln!(
                    out,
                    "    if (args.id == {}) {{ printf(\"%d %s %d\\n\", pid, comm, $a{}); }}",
                    n % 400,
                    line - 4
                ),
                _ => writeln!(out, "    @hist{} = hist($a{} >> 3);", clause % 50, line - 5),
            };
        }
        out.push_str("}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_scripts_have_their_length_and_parse() {
        let text = script(100);
        assert_eq!(text.lines().count(), 100);
        let (_, diagnostics) = fathom_syntax::parse(&text, fathom_syntax::span::FileId::default());
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
    }
}
