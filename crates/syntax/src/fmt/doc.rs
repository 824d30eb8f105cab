//! Layout: documents of text and possible line breaks, printed so that a group stays on one line when it fits.

/// The width that groups are broken at, in columns.
pub(super) const WIDTH: usize = 100;
/// Columns of one level of indentation.
const INDENT: usize = 4;

/// A piece of output.
#[derive(Debug)]
pub(super) enum Doc {
    /// Text without a line end.
    Text(String),
    /// Text that may have line ends, printed as it is.
    Raw(String),
    /// A space, or a line end in a broken group.
    Line,
    /// Nothing, or a line end in a broken group.
    Soft,
    /// A line end.
    Hard,
    /// Pieces one behind the other.
    Concat(Vec<Doc>),
    /// Pieces one level deeper if the group around them is broken.
    Indent(Vec<Doc>),
    /// Pieces one level deeper in any case: the lines of a block.
    Lines(Vec<Doc>),
    /// Pieces that are broken together: when `force` is set or they do not fit.
    Group {
        /// The pieces.
        parts: Vec<Doc>,
        /// Break in any case.
        force: bool,
    },
}

impl Doc {
    pub(super) fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    pub(super) fn group(parts: Vec<Doc>) -> Doc {
        Doc::Group { parts, force: false }
    }

    pub(super) fn nothing() -> Doc {
        Doc::Concat(Vec::new())
    }
}

type Work<'a> = (usize, bool, &'a Doc);

/// Prints a document.
pub(super) fn print(doc: &Doc) -> String {
    let mut out = Printer { out: String::new(), column: 0, pending_indent: 0 };
    let mut work: Vec<Work> = vec![(0, true, doc)];
    while let Some((indent, broken, doc)) = work.pop() {
        match doc {
            Doc::Text(text) => out.text(text),
            Doc::Raw(text) => out.raw(text),
            Doc::Hard => out.line_end(indent),
            Doc::Line | Doc::Soft if broken => out.line_end(indent),
            Doc::Line => out.text(" "),
            Doc::Soft => {}
            Doc::Concat(parts) => work.extend(parts.iter().rev().map(|p| (indent, broken, p))),
            Doc::Indent(parts) | Doc::Lines(parts) => {
                let deeper = broken || matches!(doc, Doc::Lines(_));
                let indent = if deeper { indent + INDENT } else { indent };
                work.extend(parts.iter().rev().map(|p| (indent, broken, p)));
            }
            Doc::Group { parts, force } => {
                let room = WIDTH.saturating_sub(out.column.max(out.pending_indent));
                let broken = *force || !fits(room, parts, &work);
                work.extend(parts.iter().rev().map(|p| (indent, broken, p)));
            }
        }
    }
    out.out
}

/// Whether the parts on one line, and what follows up to the next line end, need no more than `room` columns.
fn fits(room: usize, parts: &[Doc], behind: &[Work]) -> bool {
    let mut room = room;
    let mut work: Vec<(bool, &Doc)> = parts.iter().rev().map(|p| (false, p)).collect();
    let mut behind = behind.iter().rev();
    loop {
        let Some((broken, doc)) =
            work.pop().or_else(|| behind.next().map(|(_, broken, doc)| (*broken, *doc)))
        else {
            return true;
        };
        match doc {
            Doc::Text(text) => match room.checked_sub(columns(text)) {
                Some(rest) => room = rest,
                None => return false,
            },
            Doc::Raw(text) => {
                let first = text.lines().next().unwrap_or("");
                if text.contains('\n') {
                    return columns(first) <= room;
                }
                match room.checked_sub(columns(first)) {
                    Some(rest) => room = rest,
                    None => return false,
                }
            }
            Doc::Hard => return true,
            Doc::Line | Doc::Soft if broken => return true,
            Doc::Line => match room.checked_sub(1) {
                Some(rest) => room = rest,
                None => return false,
            },
            Doc::Soft => {}
            Doc::Concat(parts) | Doc::Indent(parts) | Doc::Lines(parts) => {
                work.extend(parts.iter().rev().map(|p| (broken, p)))
            }
            Doc::Group { parts, force } => work.extend(parts.iter().rev().map(|p| (*force, p))),
        }
    }
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

struct Printer {
    out: String,
    column: usize,
    /// Indentation that the next text of a new line gets, so that empty lines stay empty.
    pending_indent: usize,
}

impl Printer {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.out.extend(std::iter::repeat_n(' ', self.pending_indent));
        self.out.push_str(text);
        self.column += self.pending_indent + columns(text);
        self.pending_indent = 0;
    }

    fn raw(&mut self, text: &str) {
        self.text(text);
        if let Some((_, last)) = text.rsplit_once('\n') {
            self.column = columns(last);
        }
    }

    fn line_end(&mut self, indent: usize) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
        self.column = 0;
        self.pending_indent = indent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(args: &[&str], force: bool) -> Doc {
        let mut inner = vec![Doc::Soft];
        for (i, arg) in args.iter().enumerate() {
            if i > 0 {
                inner.extend([Doc::text(","), Doc::Line]);
            }
            inner.push(Doc::text(*arg));
        }
        let parts = vec![Doc::text("f("), Doc::Indent(inner), Doc::Soft, Doc::text(")")];
        Doc::Group { parts, force }
    }

    #[test]
    fn groups_break_only_when_they_must() {
        assert_eq!(print(&call(&["a", "b"], false)), "f(a, b)");
        assert_eq!(print(&call(&["a", "b"], true)), "f(\n    a,\n    b\n)");
        let long = "x".repeat(60);
        assert_eq!(print(&call(&[&long, &long], false)), format!("f(\n    {long},\n    {long}\n)"));
    }

    #[test]
    fn empty_lines_have_no_indentation() {
        let doc = Doc::Concat(vec![
            Doc::text("{"),
            Doc::Lines(vec![Doc::Hard, Doc::text("a"), Doc::Hard, Doc::Hard, Doc::text("b")]),
            Doc::Hard,
            Doc::text("}"),
        ]);
        assert_eq!(print(&doc), "{\n    a\n\n    b\n}");
    }
}
