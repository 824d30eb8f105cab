//! From the functions of one BPF program to its instructions: passes, register allocation, emission, in this order.

use crate::emit::{self, Pending};
use crate::ir::{Func, SrcLoc};
use crate::passes;
use crate::place::{self, PlacedCode};
use crate::program::{FuncInfo, Reloc};
use crate::select::select;
use crate::{frame, regalloc};
use fathom_bpf::insn::Insn;
use std::collections::BTreeSet;
use std::fmt;

/// Bytes of a stack frame (`MAX_BPF_STACK` of `include/linux/filter.h`).
const STACK_LIMIT: u32 = fathom_bpf::isa::STACK_SIZE as u32;

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
    /// Functions call each other deeper than the machine allows (8), or themselves.
    CallsTooDeep,
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
            CodegenErrorKind::CallsTooDeep => {
                write!(f, "{}: functions may call each other 8 deep at most, and never themselves", self.func)
            }
            CodegenErrorKind::TooLarge { insns } => {
                write!(f, "{}: {insns} instructions are too many for one BPF program on this kernel; split the probe", self.func)
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
    let mut placed = Vec::with_capacity(funcs.len());
    for mut func in funcs {
        trace.after("lower", &func);
        passes::run(&mut func, options, trace)?;
        placed.push(compile_func(func, options)?);
    }
    check_depth(&placed)?;
    let code = link(placed)?;
    if options.verify {
        check_structure(&code)?;
    }
    Ok(code)
}

fn check_structure(code: &CompiledCode) -> Result<(), CodegenError> {
    fathom_bpf::check::check(&code.insns).map_err(|problems| {
        let first = problems.first();
        let slot = first.map_or(0, |problem| problem.slot as u32);
        let func = code.funcs.iter().rev().find(|func| func.insn <= slot);
        let problem = first.map(ToString::to_string).unwrap_or_default();
        CodegenError {
            func: func.map(|func| func.name.clone()).unwrap_or_default(),
            kind: CodegenErrorKind::Malformed { pass: "emit", problem },
        }
    })
}

/// A function before its calls are linked.
struct Compiled {
    name: String,
    params: u8,
    code: PlacedCode,
    stack_bytes: u32,
}

impl Compiled {
    /// Functions of the unit that it calls or takes the address of, each once.
    fn callees(&self) -> BTreeSet<usize> {
        let callee = |(_, pending): &(u32, Pending)| match pending {
            Pending::Func(callee) => Some(callee.0 as usize),
            Pending::Load(_) => None,
        };
        self.code.pending.iter().filter_map(callee).collect()
    }
}

fn compile_func(func: Func, options: &CodegenOptions) -> Result<Compiled, CodegenError> {
    let machine = select(func, options);
    let fail = |kind| CodegenError { func: machine.name.clone(), kind };
    let allocated = regalloc::allocate(&machine)
        .map_err(|error| fail(CodegenErrorKind::Malformed { pass: "select", problem: error.to_string() }))?;
    let frame = frame::lay_out(&machine);
    let (blocks, stack_bytes) = emit::emit(&machine, &allocated, &frame);
    if stack_bytes > STACK_LIMIT {
        return Err(fail(CodegenErrorKind::StackTooLarge { used: stack_bytes, limit: STACK_LIMIT }));
    }
    let code = place::place(blocks, machine.loc, options.cpu_v4)
        .map_err(|too_far| fail(CodegenErrorKind::TooLarge { insns: too_far.insns }))?;
    Ok(Compiled { name: machine.name.clone(), params: machine.params, code, stack_bytes })
}

/// Frames of callers and callees share the stack, each rounded up to 32 bytes (`check_max_stack_depth` of the kernel's
/// verifier).
fn check_depth(funcs: &[Compiled]) -> Result<(), CodegenError> {
    fn deepest(funcs: &[Compiled], at: usize, above: u32, frames: usize) -> Result<u32, CodegenError> {
        let Some(func) = funcs.get(at) else { return Ok(above) };
        if frames > fathom_bpf::isa::MAX_FRAMES {
            return Err(CodegenError { func: func.name.clone(), kind: CodegenErrorKind::CallsTooDeep });
        }
        let depth = above.saturating_add(func.stack_bytes.max(1).next_multiple_of(32));
        let mut most = depth;
        for callee in func.callees() {
            most = most.max(deepest(funcs, callee, depth, frames + 1)?);
        }
        Ok(most)
    }
    let used = deepest(funcs, 0, 0, 1)?;
    let func = funcs.first().map(|func| func.name.clone()).unwrap_or_default();
    if used > STACK_LIMIT {
        return Err(CodegenError {
            func,
            kind: CodegenErrorKind::StackTooLarge { used, limit: STACK_LIMIT },
        });
    }
    Ok(())
}

/// Functions that the entry reaches by calls or addresses; the kernel refuses others as dead code.
fn referenced(funcs: &[Compiled]) -> Vec<bool> {
    let mut seen = vec![false; funcs.len()];
    let mut stack = vec![0usize];
    while let Some(at) = stack.pop() {
        if seen.get(at).is_none_or(|seen| *seen) {
            continue;
        }
        seen[at] = true;
        stack.extend(funcs[at].callees());
    }
    seen
}

/// Puts functions behind each other and closes the calls between them.
fn link(funcs: Vec<Compiled>) -> Result<CompiledCode, CodegenError> {
    let referenced = referenced(&funcs);
    let mut starts = Vec::with_capacity(funcs.len());
    let mut total = 0usize;
    for (func, referenced) in funcs.iter().zip(&referenced) {
        starts.push(total);
        total += if *referenced { func.code.insns.len() } else { 0 };
    }
    let name = funcs.first().map(|func| func.name.clone()).unwrap_or_default();
    if total > fathom_bpf::isa::MAX_INSNS {
        return Err(CodegenError { func: name, kind: CodegenErrorKind::TooLarge { insns: total } });
    }
    let mut out = CompiledCode {
        stack_bytes: funcs.first().map_or(0, |func| func.stack_bytes),
        insns: Vec::with_capacity(total),
        ..CompiledCode::default()
    };
    for ((func, start), _) in
        funcs.into_iter().zip(&starts).zip(referenced).filter(|(_, referenced)| *referenced)
    {
        let at = *start as u32;
        out.insns.extend(func.code.insns);
        out.lines.extend(func.code.lines.into_iter().map(|(offset, loc)| (at + offset, loc)));
        for (offset, pending) in func.code.pending {
            let insn = at + offset;
            match pending {
                Pending::Load(target) => out.relocs.push(Reloc { insn, target }),
                Pending::Func(callee) => {
                    let Some(to) = starts.get(callee.0 as usize) else {
                        let problem = format!("calls function {}, which the unit does not have", callee.0);
                        let kind = CodegenErrorKind::Malformed { pass: "link", problem };
                        return Err(CodegenError { func: func.name, kind });
                    };
                    // Relative to the next slot, for calls and for the first half of a load.
                    out.insns[insn as usize].imm = (*to as i64 - i64::from(insn) - 1) as i32;
                }
            }
        }
        out.funcs.push(FuncInfo { insn: at, name: func.name, params: func.params });
    }
    Ok(out)
}
