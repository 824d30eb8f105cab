//! The eBPF machine: instructions, assembler, disassembler, tables of helpers and kinds, interpreter. Pure: no I/O.
#![forbid(unsafe_code)]

pub mod asm;
pub mod check;
pub mod disasm;
pub mod eval;
pub mod helpers;
pub mod insn;
pub mod interp;
pub mod isa;
pub mod kinds;
pub mod op;
