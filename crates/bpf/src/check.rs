//! Structural checks of a program before any load: what the kernel's verifier refuses without following a value.
//!
//! Mirrors `check_subprogs`, `check_cfg` and the reserved-field checks of `kernel/bpf/verifier.c`.

use crate::disasm::{line, target};
use crate::helpers::Helper;
use crate::insn::Insn;
use crate::isa::*;
use crate::op::{walk, Imm64, Op, OpError, Src};
use std::collections::BTreeSet;
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The slot.
    pub slot: usize,
    /// What is wrong there.
    pub what: What,
    /// The instruction as text.
    pub text: String,
}

/// Kinds of structural faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// There is no instruction at all.
    Empty,
    /// More instructions than the kernel takes.
    TooLong(usize),
    /// Bits that are no instruction.
    NoInsn(OpError),
    /// A jump, call or function address leads out of the program.
    TargetOutside(i64),
    /// A jump, call or function address leads into the second half of a 16-byte load.
    TargetInLoad(usize),
    /// A jump leads to another function.
    TargetInOtherFunction(usize),
    /// Control can run past the end of a function.
    FallsOff,
    /// No path leads here.
    Unreachable,
    /// r10 cannot be written.
    WritesFramePointer,
    /// A shift by a constant distance outside the width.
    ShiftTooFar(i32),
    /// A division by the constant 0.
    DivisionByZero,
    /// Helpers are numbered from 1.
    BadHelper(Helper),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Empty => write!(f, "the program has no instructions; it needs at least `exit`"),
            What::TooLong(len) => write!(f, "{len} instructions; the kernel takes at most {MAX_INSNS}"),
            What::NoInsn(error) => write!(f, "{error}"),
            What::TargetOutside(target) => write!(f, "the target, slot {target}, is outside the program"),
            What::TargetInLoad(target) => {
                write!(f, "the target, slot {target}, is the second half of a 16-byte load")
            }
            What::TargetInOtherFunction(target) => {
                write!(f, "the target, slot {target}, is in another function; only calls may go there")
            }
            What::FallsOff => write!(f, "a function must end in `exit` or `goto`, not here"),
            What::Unreachable => write!(f, "no path leads to this instruction; the kernel refuses dead code"),
            What::WritesFramePointer => write!(f, "r10 is the frame pointer and cannot be written"),
            What::ShiftTooFar(by) => write!(f, "a shift by {by} leaves the register's width"),
            What::DivisionByZero => write!(f, "a division by the constant 0"),
            What::BadHelper(helper) => write!(f, "helper number {} does not exist", helper.0),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} (`{}`): {}", self.slot, self.text, self.what)
    }
}

impl std::error::Error for Problem {}

/// First slots of all functions: 0 and each target of a local call or function address.
pub fn functions(insns: &[Insn]) -> BTreeSet<usize> {
    let mut starts: BTreeSet<usize> = walk(insns)
        .filter_map(|(at, op)| target(at, callee(&op.ok()?)?))
        .filter(|start| *start < insns.len())
        .collect();
    starts.insert(0);
    starts
}

/// Checks the structure of a program.
///
/// # Errors
/// Every problem, in the order of the slots.
pub fn check(insns: &[Insn]) -> Result<(), Vec<Problem>> {
    let at_start = |what| Err(vec![Problem { slot: 0, what, text: line(insns, 0) }]);
    if insns.is_empty() {
        return at_start(What::Empty);
    }
    if insns.len() > MAX_INSNS {
        return at_start(What::TooLong(insns.len()));
    }
    let mut checker = Checker::new(insns);
    for (at, op) in walk(insns) {
        match op {
            Ok(op) => checker.op(at, &op),
            Err(error) => checker.report(at, What::NoInsn(error)),
        }
    }
    // Paths mean something only when every instruction and target is sound.
    if checker.problems.is_empty() {
        checker.reachability();
    }
    let mut problems = checker.problems;
    problems.sort_by_key(|problem| problem.slot);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Distance to the function that the instruction calls or names.
fn callee(op: &Op) -> Option<i32> {
    match *op {
        Op::CallLocal { off } | Op::LoadImm { imm: Imm64::Func(off), .. } => Some(off),
        _ => None,
    }
}

struct Checker<'a> {
    insns: &'a [Insn],
    functions: BTreeSet<usize>,
    /// First slots of instructions.
    starts: BTreeSet<usize>,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn new(insns: &'a [Insn]) -> Self {
        // A bad slot counts as a start, so that it is reported once, for itself.
        let starts = walk(insns).map(|(at, _)| at).collect();
        Checker { insns, functions: functions(insns), starts, problems: Vec::new() }
    }

    fn report(&mut self, slot: usize, what: What) {
        self.problems.push(Problem { slot, what, text: line(self.insns, slot) });
    }

    fn op(&mut self, at: usize, op: &Op) {
        if op.written() == Some(Reg::R10) {
            self.report(at, What::WritesFramePointer);
        }
        match *op {
            Op::Alu { width, op: Alu::Lsh | Alu::Rsh | Alu::Arsh, src: Src::Imm(by), .. } => {
                let bits = if width == Width::W32 { 32 } else { 64 };
                if !(0..bits).contains(&by) {
                    self.report(at, What::ShiftTooFar(by));
                }
            }
            Op::Alu { op: Alu::Div | Alu::Sdiv | Alu::Mod | Alu::Smod, src: Src::Imm(0), .. } => {
                self.report(at, What::DivisionByZero);
            }
            Op::CallHelper(helper) if helper.0 <= 0 => self.report(at, What::BadHelper(helper)),
            _ => {}
        }
        if let Some(off) = op.jump() {
            if let Some(target) = self.sound_target(at, off) {
                if self.function_of(target) != self.function_of(at) {
                    self.report(at, What::TargetInOtherFunction(target));
                }
            }
        }
        if let Some(off) = callee(op) {
            self.sound_target(at, off);
        }
        let next = at.saturating_add(op.slots());
        let last_of_function = next >= self.insns.len() || self.functions.contains(&next);
        if last_of_function && !op.ends_flow() {
            self.report(at, What::FallsOff);
        }
    }

    fn function_of(&self, slot: usize) -> Option<usize> {
        self.functions.range(..=slot).next_back().copied()
    }

    /// The target if it is the start of an instruction, else reports.
    fn sound_target(&mut self, at: usize, off: i32) -> Option<usize> {
        match target(at, off) {
            Some(target) if self.starts.contains(&target) => Some(target),
            Some(target) if target < self.insns.len() => {
                self.report(at, What::TargetInLoad(target));
                None
            }
            _ => {
                let at_signed = i64::try_from(at).unwrap_or(i64::MAX);
                let aim = at_signed.saturating_add(1).saturating_add(off.into());
                self.report(at, What::TargetOutside(aim));
                None
            }
        }
    }

    fn reachability(&mut self) {
        let mut reached = BTreeSet::new();
        let mut pending = vec![0];
        while let Some(at) = pending.pop() {
            let Ok(op) = Op::decode(self.insns, at) else { continue };
            if !reached.insert(at) {
                continue;
            }
            if !op.ends_flow() {
                pending.push(at.saturating_add(op.slots()));
            }
            let offs = [op.jump(), callee(&op)];
            pending.extend(offs.into_iter().flatten().filter_map(|off| target(at, off)));
        }
        let dead: Vec<usize> = self.starts.difference(&reached).copied().collect();
        for slot in dead {
            self.report(slot, What::Unreachable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asm::assemble;

    fn whats(text: &str) -> Vec<(usize, What)> {
        let insns = assemble(text).unwrap();
        check(&insns).err().unwrap_or_default().into_iter().map(|p| (p.slot, p.what)).collect()
    }

    #[test]
    fn sound_programs_pass() {
        for text in [
            "r0 = 0\nexit",
            "r6 = 5 ll\nl: r6 += -1\nif r6 != 0 goto l\nr0 = 0\nexit",
            "r1 = 1\ncall local f\nexit\nf: r0 = r1\nexit",
            "r2 = func f\nr1 = 3\nr3 = 0\nr4 = 0\ncall loop\nr0 = 0\nexit\nf: r0 = 0\nexit",
            "l: may_goto out\ngotol l\nout: r0 = 0\nexit",
        ] {
            assert_eq!(whats(text), [], "{text}");
        }
    }

    #[test]
    fn each_fault_is_found() {
        use What::*;
        let rows: &[(&str, &[(usize, What)])] = &[
            ("", &[(0, Empty)]),
            ("r0 = 0", &[(0, FallsOff)]),
            ("r0 = 0\ngoto +5", &[(1, TargetOutside(7))]),
            ("r0 = 0\ngoto -9", &[(1, TargetOutside(-7))]),
            ("if r1 == 0 goto +1\nr0 = 1 ll\nexit", &[(0, TargetInLoad(2))]),
            ("call local f\nif r0 == 0 goto g\nexit\nf: r0 = 0\ng: exit", &[(1, TargetInOtherFunction(4))]),
            ("goto end\nr0 = 1\nend: exit", &[(1, Unreachable)]),
            ("r10 += 8\nexit", &[(0, WritesFramePointer)]),
            (
                "r1 <<= 64\nw1 >>= 32\nr1 s>>= -1\nexit",
                &[(0, ShiftTooFar(64)), (1, ShiftTooFar(32)), (2, ShiftTooFar(-1))],
            ),
            ("r1 /= 0\nw1 s%= 0\nexit", &[(0, DivisionByZero), (1, DivisionByZero)]),
            ("call #0\nexit", &[(0, BadHelper(Helper(0)))]),
            (".insn 0xb7 0x21 0 0\nexit", &[(0, NoInsn(OpError::Reserved { field: "src", value: 2 }))]),
            (".insn 0x18 0x01 0 0", &[(0, NoInsn(OpError::HalfLoad))]),
            ("call local f\nexit\nf: r0 = 1", &[(2, FallsOff)]),
        ];
        for (text, want) in rows {
            assert_eq!(whats(text), *want, "{text}");
        }
    }

    #[test]
    fn messages_name_slot_instruction_and_cause() {
        let problems = check(&assemble("r0 = 0\nw1 <<= 40\nexit").unwrap()).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "slot 1 (`w1 <<= 40`): a shift by 40 leaves the register's width"
        );
    }
}
