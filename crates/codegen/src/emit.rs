//! Machine operations with their registers become instructions, block by block; jumps stay open until `layout_code`.

use crate::frame::Frame;
use crate::ir::{FuncId, Size, SrcLoc};
use crate::machine::{Addr, Base, Callee, MachineFunc, MachineOp, Wide};
use crate::program::RelocTarget;
use crate::regalloc::View;
use fathom_bpf::insn::Insn;
use fathom_bpf::isa::{self, Alu, Cond, Reg, Width};
use regalloc2::{Allocation, AllocationKind, Edit, InstOrEdit, Output};

/// What an instruction waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// The loader.
    Load(RelocTarget),
    /// The place of a function of the unit: a call, or the first half of a 64-bit load.
    Func(FuncId),
}

/// The right operand of an open jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Reg(Reg),
    Imm(i32),
}

/// The end of a block, targets being indices of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Jump(usize),
    Branch {
        cond: Cond,
        width: Width,
        left: Reg,
        right: Right,
        then: usize,
        otherwise: usize,
    },
    Guard {
        body: usize,
        exhausted: usize,
    },
    /// The block's last instruction is `exit`.
    Exit,
}

/// The code of a block without its jumps.
#[derive(Clone, Debug)]
pub(crate) struct CodeBlock {
    pub(crate) insns: Vec<Insn>,
    /// Source of each instruction from this one on.
    pub(crate) lines: Vec<(u32, SrcLoc)>,
    pub(crate) pending: Vec<(u32, Pending)>,
    pub(crate) end: End,
    pub(crate) end_loc: SrcLoc,
}

/// The code of each block, and the bytes of stack.
pub(crate) fn emit(func: &MachineFunc, allocated: &Output, frame: &Frame) -> (Vec<CodeBlock>, u32) {
    let spill_bytes = u32::try_from(allocated.num_spillslots).unwrap_or(u32::MAX).saturating_mul(8);
    let stack_bytes = frame.slot_bytes.saturating_add(spill_bytes);
    let view = View::of(func);
    let blocks = (0..func.blocks.len()).map(|at| emit_block(&view, allocated, frame, at)).collect();
    (blocks, stack_bytes)
}

fn emit_block(view: &View<'_>, allocated: &Output, frame: &Frame, at: usize) -> CodeBlock {
    let func = view.func;
    let code = CodeBlock {
        insns: Vec::new(),
        lines: Vec::new(),
        pending: Vec::new(),
        end: End::Exit,
        end_loc: SrcLoc::NONE,
    };
    let mut emitter = Emitter { frame, code, allocs: &[], next: 0 };
    let succs: Vec<usize> = func.blocks[at].succs.iter().map(|succ| succ.index()).collect();
    let succ = |i: usize| succs.get(i).copied().unwrap_or(at);
    // Moves before an operation belong to its line.
    let mut moves: Vec<&Edit> = Vec::new();
    for item in allocated.block_insts_and_edits(view, regalloc2::Block::new(at)) {
        match item {
            InstOrEdit::Edit(edit) => moves.push(edit),
            InstOrEdit::Inst(inst) => {
                let machine = &func.insts[inst.index()];
                emitter.line(machine.loc);
                moves.drain(..).for_each(|edit| emitter.edit(edit));
                emitter.allocs = allocated.inst_allocs(inst);
                emitter.next = 0;
                if machine.op.is_terminator() {
                    emitter.code.end_loc = machine.loc;
                    emitter.end(&machine.op, succ(0), succ(1));
                } else {
                    emitter.op(&machine.op);
                }
            }
        }
    }
    emitter.code
}

struct Emitter<'a> {
    frame: &'a Frame,
    code: CodeBlock,
    /// Places of the current operation's operands, and how many were taken.
    allocs: &'a [Allocation],
    next: usize,
}

impl Emitter<'_> {
    fn push(&mut self, insn: Insn) {
        self.code.insns.push(insn);
    }

    fn line(&mut self, loc: SrcLoc) {
        if loc != SrcLoc::NONE && self.code.lines.last().map(|(_, last)| *last) != Some(loc) {
            let at = self.code.insns.len() as u32;
            match self.code.lines.last_mut() {
                Some((last_at, last)) if *last_at == at => *last = loc,
                _ => self.code.lines.push((at, loc)),
            }
        }
    }

    /// The register of the next operand.
    fn reg(&mut self) -> Reg {
        let allocation = self.allocs.get(self.next).copied().unwrap_or(Allocation::none());
        self.next += 1;
        register(allocation)
    }

    /// Base register and offset of a memory operand.
    fn place(&mut self, addr: Addr) -> (Reg, i32) {
        match addr.base {
            Base::Reg => (self.reg(), addr.offset),
            Base::Slot(slot) => {
                let start = self.frame.slots.get(slot.0 as usize).copied().unwrap_or(0);
                (Reg::R10, start.saturating_add(addr.offset))
            }
        }
    }

    fn spill(&self, index: usize) -> i16 {
        let below = self.frame.slot_bytes.saturating_add(8 * (index as u32 + 1));
        i16::try_from(-i64::from(below)).unwrap_or(i16::MIN)
    }

    fn edit(&mut self, edit: &Edit) {
        let Edit::Move { from, to } = edit;
        match (from.kind(), to.kind()) {
            (AllocationKind::Reg, AllocationKind::Reg) if from == to => {}
            (AllocationKind::Reg, AllocationKind::Reg) => {
                self.push(Insn::mov64_reg(register(*to), register(*from)));
            }
            (AllocationKind::Reg, AllocationKind::Stack) => {
                let offset = self.spill(to.as_stack().map_or(0, |slot| slot.index()));
                self.push(Insn::stx(isa::Size::DW, Reg::R10, offset, register(*from)));
            }
            (AllocationKind::Stack, AllocationKind::Reg) => {
                let offset = self.spill(from.as_stack().map_or(0, |slot| slot.index()));
                self.push(Insn::ldx(isa::Size::DW, register(*to), Reg::R10, offset));
            }
            // The allocator moves through a register and never from or to nothing.
            _ => {}
        }
    }

    fn wide(&mut self, to: Reg, wide: &Wide) {
        let at = self.code.insns.len() as u32;
        let (insns, pending) = match wide {
            Wide::Number(number) => (Insn::ld_imm64(to, *number as u64), None),
            Wide::LoadConst(which) => {
                (Insn::ld_imm64(to, 0), Some(Pending::Load(RelocTarget::Const(*which))))
            }
            Wide::Map(map) => (Insn::ld_map_fd(to, 0), Some(Pending::Load(RelocTarget::Map(*map)))),
            Wide::MapValue(map, offset) => {
                (Insn::ld_map_value(to, 0, *offset as i32), Some(Pending::Load(RelocTarget::MapValue(*map))))
            }
            Wide::Func(func) => (Insn::ld_func(to, 0), Some(Pending::Func(*func))),
            Wide::KernelSymbol(name) => {
                (Insn::ld_btf_id(to, 0, 0), Some(Pending::Load(RelocTarget::KernelSymbol(name.clone()))))
            }
        };
        self.code.insns.extend(insns);
        self.code.pending.extend(pending.map(|pending| (at, pending)));
    }

    fn call(&mut self, callee: &Callee) {
        let at = self.code.insns.len() as u32;
        match callee {
            Callee::Helper(helper) => self.push(Insn::call(*helper)),
            Callee::Kfunc(name) => {
                self.push(Insn::call_kfunc(0, 0));
                self.code.pending.push((at, Pending::Load(RelocTarget::Kfunc(name.clone()))));
            }
            Callee::Local(func) => {
                self.push(Insn::call_local(0));
                self.code.pending.push((at, Pending::Func(*func)));
            }
        }
    }

    /// Operations but terminators.
    fn op(&mut self, op: &MachineOp) {
        match op {
            MachineOp::Params => {}
            MachineOp::Imm(imm) => {
                let to = self.reg();
                self.push(Insn::mov64_imm(to, *imm));
            }
            MachineOp::Wide(wide) => {
                let to = self.reg();
                self.wide(to, wide);
            }
            MachineOp::SlotAddr { slot, offset } => {
                let to = self.reg();
                let (base, offset) = self.place(Addr { base: Base::Slot(*slot), offset: *offset });
                self.address(to, base, offset);
            }
            MachineOp::Move => {
                let (to, from) = (self.reg(), self.reg());
                if to != from {
                    self.push(Insn::mov64_reg(to, from));
                }
            }
            MachineOp::MoveLow => {
                let (to, from) = (self.reg(), self.reg());
                self.push(Insn::mov32_reg(to, from));
            }
            MachineOp::MoveSigned(size) => {
                let (to, from) = (self.reg(), self.reg());
                self.push(Insn::movsx(Width::W64, to, from, machine_size(*size)));
            }
            MachineOp::Alu { op, width } => {
                let (to, _, b) = (self.reg(), self.reg(), self.reg());
                self.push(match width {
                    Width::W32 => Insn::alu32_reg(*op, to, b),
                    Width::W64 => Insn::alu64_reg(*op, to, b),
                });
            }
            MachineOp::AluImm { op, width, imm } => {
                let to = self.reg();
                self.push(match width {
                    Width::W32 => Insn::alu32_imm(*op, to, *imm),
                    Width::W64 => Insn::alu64_imm(*op, to, *imm),
                });
            }
            MachineOp::Neg(width) => {
                let to = self.reg();
                self.push(Insn::neg(*width, to));
            }
            MachineOp::Swap { kind, size } => {
                let to = self.reg();
                self.push(Insn::swap(*kind, to, machine_size(*size)));
            }
            MachineOp::SetCond { cond, width } => {
                let (to, a, b) = (self.reg(), self.reg(), self.reg());
                self.set_cond(to, Insn::jmp_reg(*width, *cond, a, b, 1));
            }
            MachineOp::SetCondImm { cond, width, imm } => {
                let (to, a) = (self.reg(), self.reg());
                self.set_cond(to, Insn::jmp_imm(*width, *cond, a, *imm, 1));
            }
            MachineOp::Call(callee) => self.call(callee),
            _ => self.memory(op),
        }
    }

    /// Operations on memory.
    fn memory(&mut self, op: &MachineOp) {
        match op {
            MachineOp::Load { addr, size, signed } => {
                let to = self.reg();
                let (base, offset) = self.place(*addr);
                let size = machine_size(*size);
                self.push(if *signed {
                    Insn::ldsx(size, to, base, offset as i16)
                } else {
                    Insn::ldx(size, to, base, offset as i16)
                });
            }
            MachineOp::Store { addr, size } => {
                let (base, offset) = self.place(*addr);
                let value = self.reg();
                self.push(Insn::stx(machine_size(*size), base, offset as i16, value));
            }
            MachineOp::StoreImm { addr, size, imm } => {
                let (base, offset) = self.place(*addr);
                self.push(Insn::st(machine_size(*size), base, offset as i16, *imm));
            }
            MachineOp::Atomic { op, addr, size } => {
                let (base, offset) = self.place(*addr);
                let value = self.reg();
                self.push(Insn::atomic(*op, machine_size(*size), base, offset as i16, value));
            }
            MachineOp::AtomicFetch { op, addr, size } => {
                let to = self.reg();
                let (base, offset) = self.place(*addr);
                self.push(Insn::atomic(*op, machine_size(*size), base, offset as i16, to));
            }
            MachineOp::CompareExchange { addr, size } => {
                let (_, _) = (self.reg(), self.reg());
                let (base, offset) = self.place(*addr);
                let new = self.reg();
                let op = isa::AtomicOp::Cmpxchg;
                self.push(Insn::atomic(op, machine_size(*size), base, offset as i16, new));
            }
            _ => self.bulk(op),
        }
    }

    /// Copies and clears.
    fn bulk(&mut self, op: &MachineOp) {
        match op {
            MachineOp::Copy { dst, src, len, align } => {
                let through = self.reg();
                let (dst, src) = (self.place(*dst), self.place(*src));
                self.copy(through, dst, src, *len, *align);
            }
            MachineOp::CopyLoop { dst, src, len, align } => {
                let (through, to, from, count) = (self.reg(), self.reg(), self.reg(), self.reg());
                let (dst, src) = (self.place(*dst), self.place(*src));
                self.address(to, dst.0, dst.1);
                self.address(from, src.0, src.1);
                let step = 8 * u32::from(*align);
                self.counted(count, len / step, |emitter| {
                    emitter.copy(through, (to, 0), (from, 0), step, *align);
                    emitter.push(Insn::alu64_imm(Alu::Add, to, step as i32));
                    emitter.push(Insn::alu64_imm(Alu::Add, from, step as i32));
                });
                self.copy(through, (to, 0), (from, 0), len % step, *align);
            }
            MachineOp::Zero { dst, len, align } => {
                let dst = self.place(*dst);
                self.zero(dst, *len, *align);
            }
            MachineOp::ZeroLoop { dst, len, align } => {
                let (to, count) = (self.reg(), self.reg());
                let dst = self.place(*dst);
                self.address(to, dst.0, dst.1);
                let step = 8 * u32::from(*align);
                self.counted(count, len / step, |emitter| {
                    emitter.zero((to, 0), step, *align);
                    emitter.push(Insn::alu64_imm(Alu::Add, to, step as i32));
                });
                self.zero((to, 0), len % step, *align);
            }
            _ => {}
        }
    }

    fn set_cond(&mut self, to: Reg, over: Insn) {
        self.push(Insn::mov64_imm(to, 1));
        self.push(over);
        self.push(Insn::mov64_imm(to, 0));
    }

    fn address(&mut self, to: Reg, base: Reg, offset: i32) {
        if to != base {
            self.push(Insn::mov64_reg(to, base));
        }
        if offset != 0 {
            self.push(Insn::alu64_imm(Alu::Add, to, offset));
        }
    }

    /// Repeats the body; the verifier knows the counter, so that it sees the end.
    fn counted(&mut self, count: Reg, times: u32, body: impl FnOnce(&mut Self)) {
        self.push(Insn::mov64_imm(count, times as i32));
        let start = self.code.insns.len();
        body(self);
        self.push(Insn::alu64_imm(Alu::Sub, count, 1));
        let back = start as i64 - self.code.insns.len() as i64 - 1;
        self.push(Insn::jmp_imm(Width::W64, Cond::Ne, count, 0, back as i16));
    }

    fn copy(&mut self, through: Reg, dst: (Reg, i32), src: (Reg, i32), len: u32, align: u8) {
        for (at, size) in accesses(len, align) {
            let at = at as i32;
            self.push(Insn::ldx(size, through, src.0, (src.1 + at) as i16));
            self.push(Insn::stx(size, dst.0, (dst.1 + at) as i16, through));
        }
    }

    fn zero(&mut self, dst: (Reg, i32), len: u32, align: u8) {
        for (at, size) in accesses(len, align) {
            self.push(Insn::st(size, dst.0, (dst.1 + at as i32) as i16, 0));
        }
    }

    fn end(&mut self, op: &MachineOp, first: usize, second: usize) {
        self.code.end = match op {
            MachineOp::Jump => End::Jump(first),
            MachineOp::Branch { cond, width } => {
                let (left, right) = (self.reg(), Right::Reg(self.reg()));
                End::Branch { cond: *cond, width: *width, left, right, then: first, otherwise: second }
            }
            MachineOp::BranchImm { cond, width, imm } => {
                let (left, right) = (self.reg(), Right::Imm(*imm));
                End::Branch { cond: *cond, width: *width, left, right, then: first, otherwise: second }
            }
            MachineOp::Guard => End::Guard { body: first, exhausted: second },
            MachineOp::Unreachable => {
                // The verifier wants every way to end in an exit with a result.
                self.push(Insn::mov64_imm(Reg::R0, 0));
                self.push(Insn::exit());
                End::Exit
            }
            _ => {
                self.push(Insn::exit());
                End::Exit
            }
        };
    }
}

/// The widest aligned accesses that cover `len` bytes.
fn accesses(len: u32, align: u8) -> impl Iterator<Item = (u32, isa::Size)> {
    let widest = u32::from(align.clamp(1, 8));
    let mut at = 0;
    std::iter::from_fn(move || {
        let left = len - at;
        let size = [8, 4, 2, 1].into_iter().find(|size| *size <= widest && *size <= left)?;
        let place = at;
        at += size;
        Some((place, isa::Size::of_bytes(size as usize)?))
    })
}

fn register(allocation: Allocation) -> Reg {
    allocation.as_reg().and_then(|preg| Reg::new(preg.hw_enc() as u8)).unwrap_or(Reg::R0)
}

fn machine_size(size: Size) -> isa::Size {
    match size {
        Size::B1 => isa::Size::B,
        Size::B2 => isa::Size::H,
        Size::B4 => isa::Size::W,
        Size::B8 => isa::Size::DW,
    }
}
