//! A tracing session: load, attach, consume, decode, symbolise, print.
//!
//! [`session::Session`] takes a compiled [`fathom_codegen::program::Program`] through its life; everything else here serves it.
#![forbid(unsafe_code)]

pub mod actions;
pub mod bench;
pub mod decode;
pub mod error;
pub mod load;
pub mod notice;
pub mod options;
pub mod processes;
pub mod repeats;
pub mod session;
pub mod shell;
pub mod symbols;
pub mod take;
pub mod types;
pub mod user_maps;

pub use error::{Error, Result};
pub use options::Options;
pub use session::{Outcome, Session};
