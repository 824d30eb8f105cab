//! The machine: registers, frames, and one step per instruction.

use super::fault::{Fault, RunError};
use super::memory::{Memory, Space};
use super::Host;
use crate::disasm;
use crate::eval;
use crate::helpers::{Arg, Helper, Ret};
use crate::insn::Insn;
use crate::isa::{AtomicOp, Reg, Size, MAX_FRAMES, STACK_SIZE};
use crate::op::{Imm64, Op, OpError, Src};
use std::sync::Arc;

/// Address of the function at slot 0; each slot further adds 8.
pub const FUNCTION_BASE: u64 = 0xffff_ffff_c000_0000;
/// Lowest address of the outermost stack frame; each frame further in lies 4096 lower.
const STACK_BASE: u64 = 0xffff_c900_0010_0000;
/// What fresh stack bytes hold, so that a program that relies on zeros is seen.
const STACK_FILL: u8 = 0xa5;
/// Instructions per run unless the user says otherwise.
const DEFAULT_BUDGET: u64 = 50_000_000;

/// A program, decoded once; cheap to clone.
#[derive(Clone, Debug)]
pub struct Code {
    insns: Arc<[Insn]>,
    ops: Arc<[Result<Op, OpError>]>,
}

impl Code {
    /// Decodes every slot; a slot that is no instruction faults only when control reaches it.
    pub fn new(insns: &[Insn]) -> Code {
        let ops = (0..insns.len()).map(|at| Op::decode(insns, at)).collect();
        Code { insns: insns.into(), ops }
    }
}

/// State of a caller.
struct Frame {
    /// Slot to go on at; `None` when the frame was entered from the host.
    return_to: Option<usize>,
    /// r6 to r10 of the caller, and which of r0 to r10 were set.
    saved: [u64; 5],
    saved_set: u16,
    /// Lowest address of this frame's stack.
    stack: u64,
    may_goto: Option<u32>,
}

/// Registers and frames of a running program; hosts use it to call back.
pub struct Core {
    code: Code,
    regs: [u64; 11],
    /// Bit per register that has a value.
    set: u16,
    slot: usize,
    frames: Vec<Frame>,
    executed: u64,
    budget: u64,
}

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
const CALLEE_SAVED: std::ops::Range<usize> = 6..11;

fn bit(reg: Reg) -> u16 {
    1 << reg.index()
}

impl Core {
    fn new(code: Code) -> Core {
        let budget = DEFAULT_BUDGET;
        Core { code, regs: [0; 11], set: 0, slot: 0, frames: Vec::new(), executed: 0, budget }
    }

    /// Instructions executed in this run so far.
    pub fn executed(&self) -> u64 {
        self.executed
    }

    /// Calls a function of the program whose address `ld_imm64 func` gave; at most 5 arguments count.
    ///
    /// # Errors
    /// Any fault in the function; an address that is none.
    pub fn call(&mut self, host: &mut dyn Host, function: u64, args: &[u64]) -> Result<u64, Fault> {
        let slot = self.function_slot(function).ok_or(Fault::BadFunction(function))?;
        let (regs, set, back) = (self.regs, self.set, self.slot);
        let result = self.enter(host, slot, args)?;
        (self.regs, self.set, self.slot) = (regs, set, back);
        Ok(result)
    }

    fn function_slot(&self, function: u64) -> Option<usize> {
        let distance = function.checked_sub(FUNCTION_BASE)?;
        let slot = usize::try_from(distance / 8).ok()?;
        (distance % 8 == 0 && slot < self.code.ops.len()).then_some(slot)
    }

    /// Runs a function from the host until it returns.
    fn enter(&mut self, host: &mut dyn Host, slot: usize, args: &[u64]) -> Result<u64, Fault> {
        let depth = self.frames.len();
        self.push_frame(host.memory(), None)?;
        self.set &= bit(Reg::R10);
        for (reg, value) in ARGUMENTS.into_iter().zip(args) {
            self.put(reg, *value);
        }
        self.slot = slot;
        while self.frames.len() > depth {
            self.step(host)?;
        }
        self.get(Reg::R0)
    }

    fn push_frame(&mut self, memory: &mut Memory, return_to: Option<usize>) -> Result<(), Fault> {
        if self.frames.len() >= MAX_FRAMES {
            return Err(Fault::TooDeep);
        }
        let depth = u64::try_from(self.frames.len()).unwrap_or_default();
        let stack = STACK_BASE - depth * 4096;
        memory.map_at(stack, Space::Stack, vec![STACK_FILL; STACK_SIZE], true)?;
        let mut saved = [0; 5];
        saved.copy_from_slice(&self.regs[CALLEE_SAVED]);
        self.frames.push(Frame { return_to, saved, saved_set: self.set, stack, may_goto: None });
        let top = stack + u64::try_from(STACK_SIZE).unwrap_or_default();
        self.regs[usize::from(Reg::R10.index())] = top;
        self.set |= bit(Reg::R10);
        Ok(())
    }

    /// Takes the innermost frame away and restores the caller's registers.
    fn pop_frame(&mut self, memory: &mut Memory) {
        let Some(frame) = self.frames.pop() else { return };
        memory.unmap(frame.stack);
        self.regs[CALLEE_SAVED].copy_from_slice(&frame.saved);
        // r0 is the callee's; r1 to r5 are spoilt.
        let kept = !0u16 << 6;
        self.set = (self.set & 1) | (frame.saved_set & kept);
        if let Some(slot) = frame.return_to {
            self.slot = slot;
        }
    }

    fn get(&self, reg: Reg) -> Result<u64, Fault> {
        if self.set & bit(reg) == 0 {
            return Err(Fault::Unset(reg));
        }
        Ok(self.regs[usize::from(reg.index())])
    }

    fn put(&mut self, reg: Reg, value: u64) {
        self.regs[usize::from(reg.index())] = value;
        self.set |= bit(reg);
    }

    fn assign(&mut self, reg: Reg, value: u64) -> Result<(), Fault> {
        if reg == Reg::R10 {
            return Err(Fault::FramePointer);
        }
        self.put(reg, value);
        Ok(())
    }

    fn operand(&self, src: Src) -> Result<u64, Fault> {
        match src {
            Src::Reg(reg) => self.get(reg),
            Src::Imm(imm) => Ok(i64::from(imm) as u64),
        }
    }

    fn address(&self, base: Reg, off: i16) -> Result<u64, Fault> {
        Ok(self.get(base)?.wrapping_add_signed(off.into()))
    }

    /// The slot `off` slots behind the next one.
    fn target(&self, off: i32) -> Result<usize, Fault> {
        let aim = i64::try_from(self.slot).unwrap_or(i64::MAX).saturating_add(1).saturating_add(off.into());
        let slot = usize::try_from(aim).ok().filter(|slot| *slot < self.code.ops.len());
        slot.ok_or(Fault::BadJump(aim))
    }

    fn step(&mut self, host: &mut dyn Host) -> Result<(), Fault> {
        if self.executed >= self.budget {
            return Err(Fault::Budget(self.budget));
        }
        self.executed += 1;
        let op = match self.code.ops.get(self.slot) {
            Some(Ok(op)) => *op,
            Some(Err(error)) => return Err(Fault::NoInsn(*error)),
            None => return Err(Fault::NoInsn(OpError::PastEnd)),
        };
        let mut next = self.slot.saturating_add(op.slots());
        match op {
            Op::Alu { width, op, dst, src } => {
                let right = self.operand(src)?;
                // A move does not read its destination.
                let left = if op == crate::isa::Alu::Mov { 0 } else { self.get(dst)? };
                self.assign(dst, eval::alu(width, op, left, right))?;
            }
            Op::MovSx { width, dst, src, from } => {
                self.assign(dst, eval::movsx(width, from, self.get(src)?))?
            }
            Op::Neg { width, dst } => self.assign(dst, eval::neg(width, self.get(dst)?))?,
            Op::Swap { kind, dst, size } => self.assign(dst, eval::swap(kind, size, self.get(dst)?))?,
            Op::AddrSpaceCast { .. } => return Err(Fault::Unsupported("arenas")),
            Op::LoadImm { dst, imm } => {
                let value = self.imm64(host, imm)?;
                self.assign(dst, value)?;
            }
            Op::Load { dst, base, off, size, signed } => {
                let value = host.memory().load_uint(self.address(base, off)?, size)?;
                self.assign(dst, if signed { eval::sign_extend(size, value) } else { value })?;
            }
            Op::LoadPacket { .. } => return Err(Fault::Unsupported("packet loads")),
            Op::Store { base, off, size, src } => {
                let (addr, value) = (self.address(base, off)?, self.operand(src)?);
                host.memory().store_uint(addr, size, value)?;
            }
            Op::Atomic { op, size, base, off, reg } => {
                self.atomic(host.memory(), op, size, base, off, reg)?
            }
            Op::Goto { off, .. } => next = self.target(off)?,
            Op::Branch { width, cond, dst, src, off } => {
                if cond.holds(width, self.get(dst)?, self.operand(src)?) {
                    next = self.target(off.into())?;
                }
            }
            Op::MayGoto { off } => {
                if self.loop_budget_spent(host) {
                    next = self.target(off.into())?;
                }
            }
            Op::CallHelper(helper) => self.call_helper(host, helper)?,
            Op::CallKfunc { btf_id, fd_index } => {
                let args = ARGUMENTS.map(|reg| self.regs[usize::from(reg.index())]);
                let result = host.kfunc(self, btf_id, fd_index, args)?;
                self.after_call(Some(result));
            }
            Op::CallLocal { off } => {
                let target = self.target(off)?;
                self.push_frame(host.memory(), Some(next))?;
                // The callee sees the arguments only; what was in r0 and r6 to r9 is not its business.
                self.set &= 0b100_0011_1110;
                next = target;
            }
            Op::Exit => {
                self.pop_frame(host.memory());
                return Ok(());
            }
        }
        self.slot = next;
        Ok(())
    }

    fn loop_budget_spent(&mut self, host: &mut dyn Host) -> bool {
        let Some(frame) = self.frames.last_mut() else { return true };
        let left = frame.may_goto.get_or_insert_with(|| host.may_goto_fuel());
        match left.checked_sub(1) {
            Some(rest) => {
                *left = rest;
                false
            }
            None => true,
        }
    }

    fn imm64(&self, host: &mut dyn Host, imm: Imm64) -> Result<u64, Fault> {
        match imm {
            Imm64::Value(value) => Ok(value),
            Imm64::MapFd(fd) => host.map(fd).ok_or(Fault::NoMap(fd)),
            Imm64::MapValue { fd, offset } => {
                let base = host.map_value(fd).ok_or(Fault::NoMap(fd))?;
                Ok(base.wrapping_add(u64::from(offset as u32)))
            }
            Imm64::BtfId { id, fd } => host.variable(id, fd).ok_or(Fault::NoVariable(id)),
            Imm64::Func(off) => {
                let slot = u64::try_from(self.target(off)?).unwrap_or(u64::MAX);
                Ok(FUNCTION_BASE.wrapping_add(slot.wrapping_mul(8)))
            }
            Imm64::MapIdx(_) | Imm64::MapIdxValue { .. } => Err(Fault::Unsupported("maps by index")),
        }
    }

    fn atomic(
        &mut self,
        memory: &mut Memory,
        op: AtomicOp,
        size: Size,
        base: Reg,
        off: i16,
        reg: Reg,
    ) -> Result<(), Fault> {
        let addr = self.address(base, off)?;
        let len = u64::from(size.bytes());
        if addr % len != 0 {
            return Err(Fault::Misaligned { addr, len });
        }
        if op == AtomicOp::LoadAcquire {
            let value = memory.load_uint(addr, size)?;
            return self.assign(reg, value);
        }
        let operand = self.get(reg)?;
        let expected = if op == AtomicOp::Cmpxchg { self.get(Reg::R0)? } else { 0 };
        // A store needs no readable memory, and lenient loads must not hide a missing region.
        memory.write(addr, len)?;
        let old = memory.load_uint(addr, size)?;
        memory.store_uint(addr, size, eval::atomic(op, size, old, operand, expected))?;
        match op {
            AtomicOp::Cmpxchg => self.assign(Reg::R0, old),
            AtomicOp::FetchAdd
            | AtomicOp::FetchOr
            | AtomicOp::FetchAnd
            | AtomicOp::FetchXor
            | AtomicOp::Xchg => self.assign(reg, old),
            _ => Ok(()),
        }
    }

    fn call_helper(&mut self, host: &mut dyn Host, helper: Helper) -> Result<(), Fault> {
        let row = helper.row().ok_or(Fault::NoHelper(helper))?;
        // The format's arguments of `trace_printk` may be fewer.
        let wanted = if helper == Helper::TRACE_PRINTK { 2 } else { row.args.len() };
        let mut args = [0; 5];
        for ((place, reg), (at, kind)) in args.iter_mut().zip(ARGUMENTS).zip(row.args.iter().enumerate()) {
            match self.get(reg) {
                Ok(value) => *place = value,
                Err(fault) if at < wanted => return Err(fault),
                Err(_) => {}
            }
            if *kind == Arg::Len && *place == 0 {
                return Err(Fault::misuse(helper.to_string(), format!("the length in {reg} is 0")));
            }
        }
        let result = host.helper(self, helper, args)?;
        self.after_call((row.ret != Ret::Void).then_some(result));
        Ok(())
    }

    fn after_call(&mut self, result: Option<u64>) {
        self.set &= !0b11_1111;
        if let Some(result) = result {
            self.put(Reg::R0, result);
        }
    }
}

/// A program with its host.
pub struct Interp<'h> {
    core: Core,
    host: &'h mut dyn Host,
}

impl<'h> Interp<'h> {
    /// Prepares a program.
    pub fn new(insns: &[Insn], host: &'h mut dyn Host) -> Interp<'h> {
        Interp::of_code(&Code::new(insns), host)
    }

    /// Prepares a program that is decoded already.
    pub fn of_code(code: &Code, host: &'h mut dyn Host) -> Interp<'h> {
        Interp { core: Core::new(code.clone()), host }
    }

    /// Sets the most instructions of a run.
    #[must_use]
    pub fn budget(mut self, instructions: u64) -> Self {
        self.core.budget = instructions;
        self
    }

    /// Instructions that the last run executed.
    pub fn executed(&self) -> u64 {
        self.core.executed
    }

    /// Runs from slot 0 with up to 5 arguments in r1 and on; the result is r0.
    ///
    /// # Errors
    /// The fault and its instruction. Map contents and everything else in the host keep what was done before.
    pub fn run(&mut self, args: &[u64]) -> Result<u64, RunError> {
        self.core.executed = 0;
        self.core.slot = 0;
        self.core.set = 0;
        self.core.frames.clear();
        let result = self.core.enter(self.host, 0, args);
        while !self.core.frames.is_empty() {
            let slot = self.core.slot;
            self.core.pop_frame(self.host.memory());
            self.core.slot = slot;
        }
        self.host.end_of_run();
        result.map_err(|fault| RunError {
            slot: self.core.slot,
            text: disasm::line(&self.core.code.insns, self.core.slot),
            fault,
        })
    }

    /// Runs with r1 at a context of these bytes, which come back as the program left them (read-only unless `writable`).
    ///
    /// # Errors
    /// As [`Interp::run`].
    pub fn run_ctx(&mut self, ctx: &mut Vec<u8>, writable: bool) -> Result<u64, RunError> {
        let addr = self.host.memory().map(Space::Ctx, std::mem::take(ctx), writable);
        let result = self.run(&[addr]);
        *ctx = self.host.memory().unmap(addr).unwrap_or_default();
        result
    }
}
