//! Source files of a script: their text, and the way from byte offsets to lines and columns.

use crate::span::{FileId, Span};

/// A line and a column, both from 1. Columns count bytes, a tab is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
}

/// One file: the script, an imported script, or a part of the standard library.
#[derive(Clone, Debug)]
pub struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<u32>,
}

impl SourceFile {
    fn new(name: String, text: String) -> SourceFile {
        let after_line_end = |(i, b): (usize, u8)| (b == b'\n').then_some(i as u32 + 1);
        let line_starts =
            std::iter::once(0).chain(text.bytes().enumerate().filter_map(after_line_end)).collect();
        SourceFile { name, text, line_starts }
    }

    /// The name that diagnostics show: a path, or `stdin`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset; an offset behind the text counts as its end.
    pub fn position(&self, offset: u32) -> Position {
        let offset = offset.min(self.text.len() as u32);
        let line = self.line_starts.partition_point(|&start| start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        Position { line, column: (offset - start) as usize + 1 }
    }

    /// The text of a line (from 1) without its line end; empty for a line that does not exist.
    pub fn line(&self, line: usize) -> &str {
        let Some(&start) = line.checked_sub(1).and_then(|i| self.line_starts.get(i)) else { return "" };
        let end = self.line_starts.get(line).map_or(self.text.len(), |&next| next as usize);
        self.text.get(start as usize..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }
}

/// All source files of a run; [`FileId`]s index it.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// An empty map.
    pub fn new() -> SourceMap {
        SourceMap::default()
    }

    /// Adds a file. `name` is what diagnostics show (`stdin` for `-e` and `-`). No more than 65536 files have an
    /// identity of their own; later ones share the last.
    pub fn add_file(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.files.push(SourceFile::new(name.into(), text.into()));
        FileId(u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX))
    }

    /// The file with this id.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The text that a span covers; empty when it covers none of a known file.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).and_then(|f| f.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    /// Where a span begins.
    pub fn start(&self, span: Span) -> Position {
        self.file(span.file).map_or(Position { line: 1, column: 1 }, |f| f.position(span.start))
    }

    /// Where a span ends: the position behind its last byte, and at least one column wide when it is empty.
    pub fn end(&self, span: Span) -> Position {
        let end = self.file(span.file).map_or(Position { line: 1, column: 1 }, |f| f.position(span.end));
        if span.end <= span.start {
            return Position { column: end.column + 1, ..end };
        }
        end
    }

    /// The name of the span's file; `?` when it is not in the map.
    pub fn name(&self, span: Span) -> &str {
        self.file(span.file).map_or("?", SourceFile::name)
    }

    /// `FILE:LINE:C1-C2`, or `FILE:L1-L2` for a span of several lines: the form that every message uses.
    pub fn location(&self, span: Span) -> String {
        let (start, end) = (self.start(span), self.end(span));
        if start.line == end.line {
            format!("{}:{}:{}-{}", self.name(span), start.line, start.column, end.column)
        } else {
            format!("{}:{}-{}", self.name(span), start.line, end.line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> (SourceMap, FileId) {
        let mut map = SourceMap::new();
        let id = map.add_file("stdin", text);
        (map, id)
    }

    #[test]
    fn positions_are_one_based_bytes() {
        let (map, id) = map("ab\n\tc\r\n");
        let file = map.file(id).unwrap();
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
        assert_eq!(file.position(2), Position { line: 1, column: 3 });
        assert_eq!(file.position(3), Position { line: 2, column: 1 });
        assert_eq!(file.position(4), Position { line: 2, column: 2 });
        assert_eq!(file.position(99), Position { line: 3, column: 1 });
        assert_eq!(
            (file.line(0), file.line(1), file.line(2), file.line(3), file.line(4)),
            ("", "ab", "\tc", "", "")
        );
    }

    #[test]
    fn locations_name_columns_or_lines() {
        let (map, id) = map("begin { $x }\nend {}\n");
        assert_eq!(map.location(Span::new(id, 8, 10)), "stdin:1:9-11");
        assert_eq!(map.location(Span::new(id, 8, 15)), "stdin:1-2");
        assert_eq!(map.location(Span::new(id, 8, 8)), "stdin:1:9-10");
        assert_eq!(map.location(Span::new(FileId(7), 8, 9)), "?:1:1-1");
        assert_eq!(map.text(Span::new(id, 8, 10)), "$x");
        assert_eq!(map.text(Span::new(id, 8, 1000)), "");
    }
}
