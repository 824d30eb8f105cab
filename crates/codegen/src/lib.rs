//! Intermediate representation, optimiser passes, register allocation, eBPF emission, the compiled program as plain data.
#![forbid(unsafe_code)]

pub mod compile;
pub mod ir;
pub mod layout;
pub mod program;

pub use compile::{compile_unit, CodegenError, CodegenErrorKind, CodegenOptions, CompiledCode, Trace};
pub use ir::builder::{FuncBuilder, Var};
