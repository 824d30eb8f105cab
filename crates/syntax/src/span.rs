//! Places in source text: files, byte ranges, and the macro expansions they went through.

/// Index of a source file in a [`crate::source::SourceMap`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct FileId(pub u16);

/// Index of a macro expansion in an [`Expansions`] table; 0 means "written as it stands".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct ExpansionId(pub u32);

/// A half-open byte range of one file, with the macro expansion that copied it (if any).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Span {
    /// The file the text stands in.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
    /// The expansion that put the text here.
    pub expansion: ExpansionId,
}

impl Span {
    /// A span of text that no macro produced.
    pub fn new(file: FileId, start: usize, end: usize) -> Span {
        Span { file, start: start as u32, end: end as u32, expansion: ExpansionId(0) }
    }

    /// The smallest span that holds both; keeps the file and expansion of `self`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end), ..self }
    }
}

/// One macro expansion: what was expanded, and where the call stands (which may itself be expanded text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// Name of the macro.
    pub name: String,
    /// The call.
    pub call: Span,
}

/// All macro expansions of a script; diagnostics print the chain as "expanded from".
#[derive(Clone, Debug, Default)]
pub struct Expansions {
    list: Vec<Expansion>,
}

impl Expansions {
    /// Records an expansion and gives its id.
    pub fn add(&mut self, expansion: Expansion) -> ExpansionId {
        self.list.push(expansion);
        ExpansionId(self.list.len() as u32)
    }

    /// The expansion with this id; `None` for text that stands as written.
    pub fn get(&self, id: ExpansionId) -> Option<&Expansion> {
        (id.0 as usize).checked_sub(1).and_then(|i| self.list.get(i))
    }

    /// Call sites from the innermost expansion outwards.
    pub fn chain(&self, mut id: ExpansionId) -> Vec<&Expansion> {
        let mut out = Vec::new();
        while let Some(e) = self.get(id) {
            out.push(e);
            id = e.call.expansion;
        }
        out
    }
}
