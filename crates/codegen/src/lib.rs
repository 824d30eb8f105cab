//! Intermediate representation, optimiser passes, register allocation, eBPF emission, the compiled program as plain data.
#![forbid(unsafe_code)]

pub mod compile;
mod emit;
mod frame;
pub mod ir;
pub mod layout;
pub mod listing;
mod machine;
mod opt;
pub mod passes;
mod place;
pub mod program;
mod regalloc;
mod select;

pub use compile::{compile_unit, CodegenError, CodegenErrorKind, CodegenOptions, CompiledCode, Trace};
pub use ir::builder::{FuncBuilder, Var};
