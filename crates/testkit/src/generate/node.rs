//! The tree of a generated script: text with expressions and blocks in it.

/// What a piece of a script is, as far as the generator has to know: integers of all widths go for one another.
#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    /// A statement or declaration.
    Stmt,
    /// Any integer.
    Int,
    /// `bool`
    Bool,
    /// A string of any capacity.
    Str,
    /// A tuple.
    Tuple(Vec<Ty>),
    /// A record.
    Record(Vec<(String, Ty)>),
    /// An array of integers.
    Array {
        /// Bytes of an element.
        size: u32,
        /// Elements have signs.
        signed: bool,
        /// Elements.
        count: u32,
    },
    /// A struct of the script, by its number.
    Struct(usize),
    /// A pointer to a struct of the script.
    Pointer(usize),
    /// The enum of the script.
    Enum,
}

/// A piece of a script.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub ty: Ty,
    /// Only literals below: the compiler may know its value.
    pub constant: bool,
    /// Its text.
    pub parts: Vec<Part>,
}

/// A part of a piece.
#[derive(Clone, Debug)]
pub enum Part {
    /// Text.
    Text(String),
    /// A smaller piece.
    Node(Node),
    /// Statements in braces.
    Block(Vec<Node>),
}

impl Node {
    /// A piece without smaller ones.
    pub fn leaf(ty: Ty, constant: bool, text: impl Into<String>) -> Node {
        Node { ty, constant, parts: vec![Part::Text(text.into())] }
    }

    /// Text with pieces in the places of `{}`; constant if all pieces are.
    pub fn of(ty: Ty, template: &str, pieces: Vec<Node>) -> Node {
        let constant = pieces.iter().all(|p| p.constant);
        let mut parts = Vec::new();
        let mut pieces = pieces.into_iter();
        for (i, text) in template.split("{}").enumerate() {
            if i > 0 {
                parts.extend(pieces.next().map(Part::Node));
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
        }
        Node { ty, constant, parts }
    }

    /// The same with a block behind it.
    #[must_use]
    pub fn block(mut self, body: Vec<Node>) -> Node {
        self.constant = false;
        self.parts.push(Part::Block(body));
        self
    }

    /// The same with text behind it.
    #[must_use]
    pub fn text(mut self, text: &str) -> Node {
        self.parts.push(Part::Text(text.to_owned()));
        self
    }

    /// The same as something that is not known when compiling.
    #[must_use]
    pub fn dynamic(mut self) -> Node {
        self.constant = false;
        self
    }

    /// Writes the text.
    pub fn write(&self, indent: usize, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Node(node) => node.write(indent, out),
                Part::Block(body) => write_block(body, indent, out),
            }
        }
    }
}

/// Writes statements in braces.
pub fn write_block(body: &[Node], indent: usize, out: &mut String) {
    out.push_str("{\n");
    for stmt in body {
        (0..=indent).for_each(|_| out.push_str("  "));
        stmt.write(indent + 1, out);
        out.push('\n');
    }
    (0..indent).for_each(|_| out.push_str("  "));
    out.push('}');
}
