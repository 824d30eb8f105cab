//! The text form of diagnostics: location, message, source line, marker, hints.

use std::fmt::Write;

use crate::diag::{Diagnostic, Severity};
use crate::source::SourceMap;
use crate::span::{Expansions, Span};

const TAB: &str = "    ";
const RESET: &str = "\x1b[0m";
/// Most diagnostics of a severity that are shown; behind these stands how many there are more.
const SHOWN_MAX: usize = 100;
/// Longest line that is shown whole, in bytes. Of a longer one the part around the marker is.
const LINE_MAX: usize = 512;
/// How much of a longer line is shown before and from the marker on.
const BEFORE_MARKER: usize = 100;
const FROM_MARKER: usize = 200;
/// What stands for the rest of a line.
const CUT: &str = "...";

/// The text of all diagnostics, errors before warnings and otherwise in their order; each ends with a line end.
///
/// A place in expanded text is followed by the calls that put it there ("expanded from"), innermost first.
pub fn render(
    diagnostics: &[Diagnostic],
    sources: &SourceMap,
    expansions: &Expansions,
    color: bool,
) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|d| d.severity);
    let mut out = Renderer { out: String::new(), sources, expansions, color };
    for severity in [Severity::Error, Severity::Warning] {
        let of_this = || sorted.iter().filter(|d| d.severity == severity);
        for diagnostic in of_this().take(SHOWN_MAX) {
            out.diagnostic(diagnostic);
        }
        let more = of_this().count().saturating_sub(SHOWN_MAX);
        if more > 0 {
            out.label(severity, &format!("{more} more like these are not shown"));
        }
    }
    out.out
}

struct Renderer<'a> {
    out: String,
    sources: &'a SourceMap,
    expansions: &'a Expansions,
    color: bool,
}

impl Renderer<'_> {
    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        match diagnostic.span {
            Some(span) => self.place(diagnostic.severity, span, &diagnostic.message),
            None => {
                self.label(diagnostic.severity, &diagnostic.message);
            }
        }
        for (span, text) in &diagnostic.notes {
            self.place(diagnostic.severity, *span, text);
        }
        for hint in &diagnostic.hints {
            let (on, off) = if self.color { ("\x1b[36m", RESET) } else { ("", "") };
            let _ = writeln!(self.out, "{on}HINT: {off}{hint}");
        }
        for line in &diagnostic.context {
            let _ = writeln!(self.out, "{line}");
        }
    }

    /// One place with its source line, then the calls of the macros that it came through.
    fn place(&mut self, severity: Severity, span: Span, text: &str) {
        self.one_place(severity, span, text);
        for expansion in self.expansions.chain(span.expansion) {
            self.one_place(severity, expansion.call, "expanded from");
        }
    }

    fn one_place(&mut self, severity: Severity, span: Span, text: &str) {
        let location = self.sources.location(span);
        let _ = write!(self.out, "{location}: ");
        self.label(severity, text);
        let Some(file) = self.sources.file(span.file) else { return };
        let (start, end) = (self.sources.start(span), self.sources.end(span));
        let line = file.line(start.line);
        // A span of several lines is shown by its first.
        let end_column = if start.line == end.line { end.column } else { line.len() + 1 };
        let (shown, offset, width) = clipped_line(line, start.column - 1, end_column.saturating_sub(1));
        let (on, off) = if self.color { (color_of(severity), RESET) } else { ("", "") };
        let _ = writeln!(self.out, "{shown}\n{}{on}{}{off}", " ".repeat(offset), "~".repeat(width));
    }

    fn label(&mut self, severity: Severity, text: &str) {
        let word = match severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
        };
        let (on, off) = if self.color { (color_of(severity), RESET) } else { ("", "") };
        let _ = writeln!(self.out, "{on}{word}: {text}{off}");
    }
}

fn color_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "\x1b[31m",
        Severity::Warning => "\x1b[33m",
    }
}

/// [`marked_line`] of the line, or of the part around the marker when it is long.
pub fn clipped_line(line: &str, start: usize, end: usize) -> (String, usize, usize) {
    if line.len() <= LINE_MAX {
        return marked_line(line, start, end);
    }
    let boundary = |mut at: usize| {
        at = at.min(line.len());
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = boundary(start.saturating_sub(BEFORE_MARKER));
    let to = boundary(start.saturating_add(FROM_MARKER));
    let part = line.get(from..to).unwrap_or("");
    let (mut shown, mut offset, width) =
        marked_line(part, start.saturating_sub(from), end.min(to).saturating_sub(from));
    if from > 0 {
        shown.insert_str(0, CUT);
        offset += CUT.len();
    }
    if to < line.len() {
        shown.push_str(CUT);
    }
    (shown, offset, width)
}

/// The line as shown, and offset and width of the marker in it, for the bytes from `start` to before `end`.
/// Control characters other than a tab are shown as one `?`, so that a terminal stays in order.
fn marked_line(line: &str, start: usize, end: usize) -> (String, usize, usize) {
    let (mut shown, mut columns) = (String::with_capacity(line.len()), 0);
    let (mut from, mut to) = (None, None);
    for (i, c) in line.char_indices() {
        if i >= start && from.is_none() {
            from = Some(columns);
        }
        if i >= end && to.is_none() {
            to = Some(columns);
        }
        match c {
            '\t' => shown.push_str(TAB),
            c if c.is_control() => shown.push('?'),
            c => shown.push(c),
        }
        columns += if c == '\t' { TAB.len() } else { 1 };
    }
    let from = from.unwrap_or(columns);
    (shown, from, to.unwrap_or(columns).saturating_sub(from).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{Expansion, FileId};

    fn one(text: &str, diagnostic: Diagnostic) -> String {
        let mut sources = SourceMap::new();
        sources.add_file("stdin", text);
        render(&[diagnostic], &sources, &Expansions::default(), false)
    }

    fn span(start: usize, end: usize) -> Span {
        Span::new(FileId(0), start, end)
    }

    #[test]
    fn shows_line_and_marker() {
        let d =
            Diagnostic::error(span(8, 10), "Undefined or undeclared variable: $x").hint("assign it first");
        assert_eq!(
            one("begin { $x }\n", d),
            "stdin:1:9-11: ERROR: Undefined or undeclared variable: $x\nbegin { $x }\n        ~~\nHINT: assign it first\n"
        );
    }

    #[test]
    fn tabs_take_four_columns_and_the_marker_follows() {
        let d = Diagnostic::warning(span(2, 4), "odd");
        assert_eq!(one("\t\t$x\n", d), "stdin:1:3-5: WARNING: odd\n        $x\n        ~~\n");
        let d = Diagnostic::warning(span(3, 5), "odd");
        assert_eq!(one("\u{e9} $x\n", d), "stdin:1:4-6: WARNING: odd\n\u{e9} $x\n  ~~\n");
        let d = Diagnostic::warning(span(0, 1), "odd");
        assert_eq!(one("\x1b[2J", d), "stdin:1:1-2: WARNING: odd\n?[2J\n~\n");
    }

    #[test]
    fn of_long_lines_the_part_around_the_marker_is_shown() {
        let text = format!("{}$bad{}", "\u{e9}".repeat(1000), "x".repeat(1_000_000));
        let d = Diagnostic::error(span(2000, 2004), "odd");
        let shown = one(&text, d);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "stdin:1:2001-2005: ERROR: odd");
        assert_eq!(lines[1], format!("...{}$bad{}...", "\u{e9}".repeat(50), "x".repeat(196)));
        assert_eq!(lines[2], format!("{}~~~~", " ".repeat(53)));
    }

    #[test]
    fn many_diagnostics_are_counted() {
        let all: Vec<Diagnostic> = (0..150).map(|i| Diagnostic::error_anywhere(format!("e{i}"))).collect();
        let text = render(&all, &SourceMap::new(), &Expansions::default(), false);
        assert!(text.ends_with("ERROR: e99\nERROR: 50 more like these are not shown\n"), "{text}");
    }

    #[test]
    fn several_lines_and_no_place() {
        let d = Diagnostic::error(span(6, 11), "long");
        assert_eq!(one("begin { \n }\n", d), "stdin:1-2: ERROR: long\nbegin { \n      ~~\n");
        assert_eq!(
            one("", Diagnostic::error_anywhere("No probes to attach")),
            "ERROR: No probes to attach\n"
        );
        assert_eq!(one("", Diagnostic::error(span(0, 0), "empty")), "stdin:1:1-2: ERROR: empty\n\n~\n");
    }

    #[test]
    fn expansions_follow_from_the_inside_out() {
        let text = "macro a() { fail() } macro b() { a() } begin { b() }";
        let mut sources = SourceMap::new();
        sources.add_file("stdin", text);
        let mut expansions = Expansions::default();
        let outer = expansions.add(Expansion { name: "b".into(), call: span(47, 50) });
        let call = Span { expansion: outer, ..span(33, 36) };
        let inner = expansions.add(Expansion { name: "a".into(), call });
        let d = Diagnostic::error(Span { expansion: inner, ..span(12, 18) }, "boom");
        let shown = render(&[d], &sources, &expansions, false);
        let heads: Vec<&str> = shown.lines().step_by(3).collect();
        assert_eq!(
            heads,
            [
                "stdin:1:13-19: ERROR: boom",
                "stdin:1:34-37: ERROR: expanded from",
                "stdin:1:48-51: ERROR: expanded from"
            ]
        );
    }

    #[test]
    fn errors_come_first_and_may_be_red() {
        let sources = SourceMap::new();
        let list = [
            Diagnostic::warning_anywhere("w1"),
            Diagnostic::error_anywhere("e1"),
            Diagnostic::warning_anywhere("w2"),
            Diagnostic::error_anywhere("e2").context("  --cc"),
        ];
        let text = render(&list, &sources, &Expansions::default(), false);
        assert_eq!(text, "ERROR: e1\nERROR: e2\n  --cc\nWARNING: w1\nWARNING: w2\n");
        let text = render(&list[1..2], &sources, &Expansions::default(), true);
        assert_eq!(text, "\x1b[31mERROR: e1\x1b[0m\n");
    }
}
