//! Builtin values, functions and aggregations as rows: one row is the whole of a builtin. Families are files beside this one.

mod addresses;
mod aggregations;
mod bytes;
mod check;
mod format;
mod maps;
mod meta;
mod names;
mod network;
mod output;
mod params;
mod process;
mod search;
mod stream;
mod strings;
mod system;
mod task;
mod time;

use crate::analyse::call::CallContext;
use crate::lower::{Lower, LowerError, Operand};
use crate::types::Type;
use fathom_syntax::ast::Expr;

/// How a builtin may be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `name` or `name()`.
    Value,
    /// `name(args)` only.
    Function,
    /// `name`, or `name(args)` with optional arguments (`kstack`, `nsecs`, `pid`).
    Either,
    /// `@m = name(args)` only.
    Aggregation,
}

/// One builtin.
pub struct Builtin {
    /// Name as written in scripts.
    pub name: &'static str,
    /// How it may be written.
    pub form: Form,
    /// Signatures in the language's own syntax, e.g. `string str(ptr[, len])`; shown in docs and in errors.
    pub signature: &'static str,
    /// Fewest and most arguments.
    pub args: (u8, u8),
    /// Changes the system: needs `--unsafe`.
    pub is_unsafe: bool,
    /// The result is of no use without a side effect (a warning `Return value discarded.` when a statement drops the value of a pure one).
    pub pure_value: bool,
    /// Checks the arguments and gives the result's type. Argument types are in the context; `Type::Unknown` ones are not complained about.
    /// Called again in each round of inference.
    pub infer: fn(&mut CallContext<'_>) -> Type,
    /// Emits code and gives the result.
    pub lower: fn(&mut Lower<'_>, &Expr, &[Expr]) -> Result<Operand, LowerError>,
    /// One paragraph for the docs.
    pub doc: &'static str,
    /// A script that shows it, run as a test.
    pub example: &'static str,
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Builtin({})", self.name)
    }
}

/// Looks a builtin up by name (`__builtin_NAME` is the same as `NAME`).
pub fn find(name: &str) -> Option<&'static Builtin> {
    let name = name.strip_prefix("__builtin_").unwrap_or(name);
    let name = if is_argument(name) { "argN" } else { name };
    rows().find(|b| b.name == name)
}

/// Whether a name is `arg0`, `arg1`, ...: all are one row.
fn is_argument(name: &str) -> bool {
    name.strip_prefix("arg").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// All builtins, family by family.
pub fn rows() -> impl Iterator<Item = &'static Builtin> {
    FAMILIES.iter().flat_map(|f| f.iter())
}

/// The families; each is a file.
static FAMILIES: &[&[Builtin]] = &[
    process::ROWS,
    task::ROWS,
    time::ROWS,
    output::ROWS,
    system::ROWS,
    strings::ROWS,
    search::ROWS,
    addresses::ROWS,
    network::ROWS,
    names::ROWS,
    maps::ROWS,
    aggregations::ROWS,
    meta::ROWS,
    params::ROWS,
];

#[cfg(test)]
mod tests;
