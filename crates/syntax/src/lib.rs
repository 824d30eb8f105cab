//! Source text of a script: spans, diagnostics, lexer, parser, syntax tree, formatter. Pure: no I/O.
#![forbid(unsafe_code)]

pub mod ast;
pub mod diag;
pub mod dump;
pub mod fmt;
pub mod lexer;
pub mod literal;
pub mod parse;
pub mod render;
pub mod source;
pub mod span;
pub mod token;

pub use diag::{has_errors, Diagnostic, Severity};
pub use dump::dump;
pub use fmt::format;
pub use parse::{parse, parse_after, parse_expr, parse_type};
pub use render::render;
pub use source::{Position, SourceFile, SourceMap};
