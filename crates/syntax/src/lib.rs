//! Source text of a script: spans, diagnostics, lexer, parser, syntax tree, formatter. Pure: no I/O.
#![forbid(unsafe_code)]

pub mod ast;
pub mod span;
