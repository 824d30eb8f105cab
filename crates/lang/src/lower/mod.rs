//! Lowering: the typed script to the functions of each BPF program, the maps, and what user space does with records.
//!
//! [`lower`] is the whole stage. [`Lower`] is the state while one unit (BPF program) is written; builtins get it. Its methods are
//! spread over the files beside this one by subject.

pub mod operand;
pub mod shapes;

pub mod aggregate;
mod arch;
mod args;
mod arith;
mod expr;
mod flow;
mod forloop;
mod maps;
mod memory;
mod output;
mod pairs;
mod print;
mod scratch;
mod service;
mod stack;
mod stmt;
mod strings;
mod subprog;
pub mod units;
mod walk;

pub use arch::x86_64 as machine;
pub use operand::{LowerError, Operand, Place};
pub use output::Output;

use crate::analyse::store::TypeStore;
use crate::facts::{Context, Facts, Feature};
use crate::typed::{Const, Typed, TypedProbe};
use crate::types::Type;
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::compile::{
    compile_unit, CodegenError, CodegenErrorKind, CodegenOptions, CompiledCode, Trace,
};
use fathom_codegen::ir::{Effect, Func, SrcLoc, Ty, Value};
use fathom_codegen::program::{Program, Unit};
use fathom_codegen::FuncBuilder;
use fathom_syntax::ast::Expr;
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::source::SourceMap;
use fathom_syntax::span::Span;
use scratch::FuncState;
use std::sync::Arc;

/// Bytes of `comm` (`TASK_COMM_LEN`).
pub const COMM_LEN: u32 = 16;

/// What the lowering has to know beside the script.
#[derive(Clone, Copy, Debug)]
pub struct LowerOptions {
    /// `-k`: failed helpers are reported.
    pub helper_warnings: bool,
    /// `-p`: probes fire for this process only.
    pub pid: Option<u32>,
    /// How instructions are made.
    pub codegen: CodegenOptions,
}

/// State of the unit being written: see the fields of the carrier that was chosen.
pub struct UnitState {
    /// Number of the unit in the program.
    pub index: u32,
    /// Program type.
    pub kind: ProgKind,
    /// What the program's context is.
    pub context: Context,
    /// May call sleeping helpers.
    pub sleepable: bool,
    /// An iterator with a name in the bpf file system: what it prints goes to who reads that.
    pub is_pinned: bool,
    /// How `probe` and `func` are known.
    pub names: units::Names,
}

/// One unit being written.
pub struct Lower<'a> {
    /// The function being written.
    pub b: FuncBuilder,
    /// The script.
    pub typed: &'a Typed,
    /// Struct definitions.
    pub store: &'a TypeStore<'a>,
    /// The kernel.
    pub facts: &'a dyn Facts,
    /// Options.
    pub options: &'a LowerOptions,
    /// The clause.
    pub probe: &'a TypedProbe,
    /// The unit.
    pub unit: UnitState,
    /// Maps, actions, locations of the whole program.
    pub out: &'a mut Output,
    /// Finished functions beside the one being written: `None` until finished.
    funcs: Vec<Option<Func>>,
    /// The function being written.
    func: FuncState,
    sources: &'a SourceMap,
    /// Statements that were written, each repetition of `unroll` and each call of a function counted.
    spent: u32,
}

/// Most statements of a unit, repetitions counted.
const STATEMENTS_MAX: u32 = 200_000;
/// Most operations of a function; the kernel takes a million instructions.
const OPERATIONS_MAX: usize = 500_000;

/// Lowers a script to a program.
///
/// # Errors
/// Diagnostics, when something can't be expressed on this kernel or is too large for a BPF program.
pub fn lower(
    typed: &Typed,
    store: &TypeStore<'_>,
    facts: &dyn Facts,
    sources: &SourceMap,
    options: &LowerOptions,
    trace: &mut dyn Trace,
) -> Result<Program, Vec<Diagnostic>> {
    let mut out = Output::new();
    maps::declare(typed, store, &mut out);
    let input = Input { typed, store, facts, sources, options, thrifty: false };
    let mut diagnostics = Vec::new();
    let mut units = Vec::new();
    for probe in &typed.probes {
        for plan in units::plan(probe, facts) {
            match lower_fitting(&input, probe, &plan, units.len() as u32, &mut out, trace) {
                Ok(code) => units.push(Unit {
                    insns: code.insns,
                    relocs: code.relocs,
                    funcs: code.funcs,
                    lines: code.lines,
                    stack_bytes: code.stack_bytes,
                    ..plan.unit()
                }),
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
    }
    if diagnostics.is_empty() {
        Ok(out.finish(units, typed, facts.possible_cpus()))
    } else {
        Err(diagnostics)
    }
}

/// What the stage is given.
#[derive(Clone, Copy)]
struct Input<'a> {
    typed: &'a Typed,
    store: &'a TypeStore<'a>,
    facts: &'a dyn Facts,
    sources: &'a SourceMap,
    options: &'a LowerOptions,
    /// As little stack as possible is used.
    thrifty: bool,
}

/// Lowers and compiles a unit; once more with variables in memory when they do not fit registers and stack.
fn lower_fitting(
    input: &Input<'_>,
    probe: &TypedProbe,
    plan: &units::Plan,
    index: u32,
    out: &mut Output,
    trace: &mut dyn Trace,
) -> Result<CompiledCode, Diagnostic> {
    let start = out.begin_unit();
    let funcs = lower_sized(input, probe, plan, index, out).map_err(LowerError::into_diagnostic)?;
    match compile_unit(funcs, &input.options.codegen, trace) {
        Ok(code) => return Ok(code),
        Err(CodegenError { kind: CodegenErrorKind::StackTooLarge { .. }, .. }) => {}
        Err(error) => return Err(Diagnostic::error(probe.span, error.to_string())),
    }
    out.rewind(start);
    let input = Input { thrifty: true, ..*input };
    let funcs = lower_sized(&input, probe, plan, index, out).map_err(LowerError::into_diagnostic)?;
    compile_unit(funcs, &input.options.codegen, trace)
        .map_err(|error| Diagnostic::error(probe.span, error.to_string()))
}

/// Lowers a unit; once more with the large kind of scratch map when its values do not fit a per-CPU one.
fn lower_sized(
    input: &Input<'_>,
    probe: &TypedProbe,
    plan: &units::Plan,
    index: u32,
    out: &mut Output,
) -> Result<Vec<Func>, LowerError> {
    out.big = false;
    let start = out.begin_unit();
    let funcs = lower_unit(input, probe, plan, index, out)?;
    if out.scratch_overflow().is_none() {
        out.end_unit();
        return Ok(funcs);
    }
    out.rewind(start);
    out.big = true;
    let funcs = lower_unit(input, probe, plan, index, out)?;
    if let Some(bytes) = out.scratch_overflow() {
        return Err(LowerError::new(
            probe.span,
            format!("The values of this probe take {bytes} bytes of memory"),
        )
        .hint("use smaller strings (max_strlen) or fewer large values"));
    }
    out.end_unit();
    Ok(funcs)
}

fn lower_unit(
    input: &Input<'_>,
    probe: &TypedProbe,
    plan: &units::Plan,
    index: u32,
    out: &mut Output,
) -> Result<Vec<Func>, LowerError> {
    let Input { typed, store, facts, sources, options, thrifty } = *input;
    let loc = out.location(sources, &typed.expansions, probe.span);
    let b = FuncBuilder::new(&plan.program_name(), &[Ty::Ptr], loc);
    let ctx = b.param(0);
    let limit = u32::try_from(typed.config.on_stack_limit).unwrap_or(32);
    let unit = plan.state(index, out);
    let mut l = Lower {
        b,
        typed,
        store,
        facts,
        options,
        probe,
        unit,
        out,
        funcs: vec![None],
        func: FuncState::entry(limit, ctx, thrifty),
        sources,
        spent: 0,
    };
    l.unit_head(&plan.numbers, plan.is_filtered())?;
    l.prepare_variables()?;
    l.unit_body()?;
    l.finish_unit()
}

/// Questions about expressions, and small things that everything uses.
impl Lower<'_> {
    /// The program's context pointer.
    pub fn ctx(&self) -> Value {
        self.func.ctx
    }

    /// Type of an expression.
    pub fn ty(&self, e: &Expr) -> Type {
        self.typed.ty(e).clone()
    }

    /// The expression's value when it is an integer constant.
    pub fn const_int(&self, e: &Expr) -> Option<i64> {
        match self.typed.constant(e) {
            Some(Const::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// The expression's value when it is a string constant.
    pub fn const_str(&self, e: &Expr) -> Option<Arc<[u8]>> {
        match self.typed.constant(e) {
            Some(Const::Str(s)) => Some(s.clone()),
            _ => None,
        }
    }

    /// Whether the kernel has a facility.
    pub fn has(&self, feature: Feature) -> bool {
        self.facts.has(feature)
    }

    /// What follows belongs to this source text.
    pub fn set_span(&mut self, span: Span) {
        let loc = self.loc_of(span);
        self.b.set_loc(loc);
    }

    /// The location of a span in the program's table.
    pub fn loc_of(&mut self, span: Span) -> SrcLoc {
        self.out.location(self.sources, &self.typed.expansions, span)
    }

    /// Counts a statement; an error when repetitions made the program larger than the kernel takes one.
    fn spend(&mut self, span: Span) -> Result<(), LowerError> {
        self.spent = self.spent.saturating_add(1);
        if self.spent <= STATEMENTS_MAX && self.b.op_count() <= OPERATIONS_MAX {
            return Ok(());
        }
        Err(LowerError::new(span, "The program becomes too large for the kernel").hint(
            "use a loop (while, for) instead of unroll, fewer calls of large functions, or split the probe",
        ))
    }

    /// Evaluates an expression to one register.
    ///
    /// # Errors
    /// When it has no value of one register.
    pub fn scalar(&mut self, e: &Expr) -> Result<Value, LowerError> {
        let operand = self.expr(e)?;
        self.to_scalar(operand, e.span)
    }

    /// Whether this call of `print` is of a map that is cleared for sure right behind.
    pub fn is_cleared_behind(&self, print: &Expr) -> bool {
        self.func.cleared.contains(&print.id)
    }

    /// Calls a helper without arguments whose result is the same for the whole run; equal calls are merged.
    pub fn once_call(&mut self, helper: Helper) -> Value {
        self.b.call(helper, &[], Effect::Once)
    }

    /// Calls a helper without arguments that reads changing state.
    pub fn read_call(&mut self, helper: Helper) -> Value {
        self.b.call(helper, &[], Effect::Read)
    }
}

#[cfg(test)]
mod tests;
