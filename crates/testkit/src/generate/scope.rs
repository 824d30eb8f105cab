//! What a script can name at a place.

use super::node::Ty;

/// A variable.
#[derive(Clone, Debug)]
pub struct Var {
    /// Name with `$`.
    pub name: String,
    /// Type.
    pub ty: Ty,
    /// The written integer type that it was declared with.
    pub declared: Option<&'static str>,
    /// May not be assigned to: loop variables, and what memory pointers point to.
    pub fixed: bool,
}

/// What a map's values are.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Plain values.
    Plain(Ty),
    /// Readable as a number: the function.
    Number(&'static str),
    /// Only printed: the call with `{}` for the number.
    Graph(&'static str),
}

/// A map.
#[derive(Clone, Debug)]
pub struct MapVar {
    /// Name with `@`.
    pub name: String,
    /// Key, unless it is scalar.
    pub key: Option<Ty>,
    /// Values.
    pub content: Content,
}

/// A struct of the script.
#[derive(Clone, Debug)]
pub struct StructVar {
    /// Tag.
    pub name: String,
    /// Members that are read as values.
    pub members: Vec<(String, Ty)>,
    /// Members that have an offset in bytes.
    pub plain: Vec<String>,
    /// At least its size.
    pub room: u32,
}

/// A macro or subprogram with integers in and out.
#[derive(Clone, Debug)]
pub struct Callable {
    /// Name.
    pub name: String,
    /// `e` expression, `$` variable, `@` map with integer key and value.
    pub params: Vec<char>,
}

/// Names.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    blocks: Vec<Vec<Var>>,
    /// Maps.
    pub maps: Vec<MapVar>,
    /// Structs.
    pub structs: Vec<StructVar>,
    /// Constants of the enum.
    pub enumerators: Vec<String>,
    /// Macros and subprograms.
    pub callables: Vec<Callable>,
    last: u32,
}

impl Scope {
    /// A name that nothing else has.
    pub fn fresh(&mut self, prefix: &str) -> String {
        self.last += 1;
        format!("{prefix}{}", self.last)
    }

    /// Goes into a block.
    pub fn enter(&mut self) {
        self.blocks.push(Vec::new());
    }

    /// Leaves a block.
    pub fn leave(&mut self) {
        self.blocks.pop();
    }

    /// Leaves a clause: no variable goes on.
    pub fn leave_clause(&mut self) {
        self.blocks.clear();
    }

    /// Hides all variables, for the body of a macro; gives them back to [`Scope::unhide`].
    pub fn hide(&mut self) -> Vec<Vec<Var>> {
        std::mem::take(&mut self.blocks)
    }

    /// Shows hidden variables again.
    pub fn unhide(&mut self, hidden: Vec<Vec<Var>>) {
        self.blocks = hidden;
    }

    /// Makes a variable known in the innermost block.
    pub fn declare(&mut self, var: Var) {
        if self.blocks.is_empty() {
            self.enter();
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(var);
        }
    }

    /// Visible variables.
    pub fn vars(&self) -> impl Iterator<Item = &Var> {
        self.blocks.iter().flatten()
    }

    /// Variables of the innermost block.
    pub fn innermost(&self) -> &[Var] {
        self.blocks.last().map_or(&[], Vec::as_slice)
    }
}
