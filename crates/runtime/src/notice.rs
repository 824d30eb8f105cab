//! Messages about a place of the script while it runs, in the layout of the compiler's diagnostics.

use fathom_codegen::program::Location;
use std::fmt::Write;

/// The message with its place, source line and marker; no line end at the end.
pub fn render(location: Option<&Location>, severity: &str, message: &str, color: bool) -> String {
    let mut out = String::new();
    let Some(l) = location else {
        let _ = write!(out, "{}: {message}", paint(severity, color));
        return out;
    };
    entry(&mut out, l, severity, message, color);
    for from in &l.expanded_from {
        out.push('\n');
        entry(&mut out, from, severity, "expanded from", color);
    }
    out
}

fn entry(out: &mut String, l: &Location, severity: &str, message: &str, color: bool) {
    let _ = write!(
        out,
        "{}:{}:{}-{}: {}: {message}\n{}{}\n",
        l.file,
        l.line,
        l.column,
        l.column_end,
        paint(severity, color),
        cut(l),
        l.text.replace('\t', "    ")
    );
    let start = cut(l).len() + width(l, l.column);
    let end = (cut(l).len() + width(l, l.column_end)).max(start + 1);
    out.extend(std::iter::repeat_n(' ', start));
    out.extend(std::iter::repeat_n('~', end - start));
}

/// What stands for the beginning of a long line.
fn cut(l: &Location) -> &'static str {
    if l.text_column > 1 {
        "..."
    } else {
        ""
    }
}

/// Width of the text before a column, tabs as four blanks.
fn width(l: &Location, column: u32) -> usize {
    let before = column.saturating_sub(l.text_column.max(1)) as usize;
    l.text.bytes().take(before).map(|b| if b == b'\t' { 4 } else { 1 }).sum()
}

fn paint(severity: &str, color: bool) -> String {
    match (color, severity) {
        (true, "ERROR") => format!("\x1b[31m{severity}\x1b[0m"),
        (true, _) => format!("\x1b[33m{severity}\x1b[0m"),
        (false, _) => severity.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_line_and_marker() {
        let l = Location {
            file: "stdin".into(),
            line: 1,
            column: 9,
            column_end: 12,
            text: "begin { f() }".into(),
            ..Location::default()
        };
        let want = "stdin:1:9-12: ERROR: no\nbegin { f() }\n        ~~~";
        assert_eq!(render(Some(&l), "ERROR", "no", false), want);
        assert_eq!(render(None, "WARNING", "no", false), "WARNING: no");
    }

    #[test]
    fn of_long_lines_a_part_is_shown() {
        let l = Location {
            file: "stdin".into(),
            line: 1,
            column: 1003,
            column_end: 1006,
            text: "x;f();".into(),
            text_column: 1001,
            ..Location::default()
        };
        assert_eq!(
            render(Some(&l), "ERROR", "no", false),
            "stdin:1:1003-1006: ERROR: no\n...x;f();\n     ~~~"
        );
    }

    #[test]
    fn expansions_follow() {
        let call = Location {
            file: "a.bt".into(),
            line: 2,
            column: 1,
            column_end: 3,
            text: "m()".into(),
            ..Location::default()
        };
        let l = Location {
            file: "a.bt".into(),
            line: 1,
            column: 1,
            column_end: 2,
            text: "x".into(),
            expanded_from: vec![call],
            ..Location::default()
        };
        let want = "a.bt:1:1-2: ERROR: no\nx\n~\na.bt:2:1-3: ERROR: expanded from\nm()\n~~";
        assert_eq!(render(Some(&l), "ERROR", "no", false), want);
    }
}
