//! Chooses machine operations for a function: immediates, addresses relative to the frame pointer, fixed registers of calls.
//!
//! Numbers, addresses of slots, maps and functions are not kept in registers over calls: they are made again where they
//! are used, which costs one instruction and no spill.

use crate::compile::CodegenOptions;
use crate::ir::flow::{split_critical_edges, Flow};
use crate::ir::{AtomicOp, BinOp, Cond, Func, Inst, Jump, Op, Size, SrcLoc, Terminator, Ty, Value, Width};
use crate::machine::{
    Addr, Base, Callee, MachineBlock, MachineFunc, MachineInst, MachineOp, MachineSlot, Wide,
};
use fathom_bpf::isa;
use regalloc2::{Operand, PReg, RegClass, VReg};
use std::collections::HashMap;

/// Copies and clears longer than this many accesses become loops.
const UNROLL_ACCESSES: u32 = 64;

/// The machine form of a well-formed function.
pub(crate) fn select(mut func: Func, options: &CodegenOptions) -> MachineFunc {
    split_critical_edges(&mut func);
    let flow = Flow::of(&func);
    let mut selector = Selector::new(&func, &flow, options);
    for (at, block) in flow.order.iter().enumerate() {
        selector.block(at, &func, *block);
    }
    selector.out
}

/// The machine register.
pub(crate) fn preg(register: isa::Reg) -> PReg {
    PReg::new(usize::from(register.index()), RegClass::Int)
}

struct Selector<'a> {
    options: &'a CodegenOptions,
    flow: &'a Flow,
    /// Operations that are made again at each use, by their result.
    again: HashMap<Value, Op>,
    /// Pointers that are another pointer plus a number: the number goes into the access, for the kernel allows none
    /// through a context pointer that was changed.
    moved: HashMap<Value, (Value, i64)>,
    /// Uses of each value.
    uses: Vec<u32>,
    /// Results of such operations since the last call or start of block.
    recent: HashMap<Value, VReg>,
    out: MachineFunc,
    loc: SrcLoc,
    has_calls: bool,
}

impl<'a> Selector<'a> {
    fn new(func: &Func, flow: &'a Flow, options: &'a CodegenOptions) -> Selector<'a> {
        let mut again = HashMap::new();
        let mut moved = HashMap::new();
        let mut uses = vec![0u32; func.values.len()];
        let mut has_calls = false;
        for block in flow.order.iter().map(|block| func.block(*block)) {
            for inst in &block.insts {
                inst.op.for_each_operand(|value| uses[value.0 as usize] += 1);
                has_calls |= matches!(inst.op, Op::Call { .. } | Op::CallKfunc { .. } | Op::CallLocal { .. });
                if let (Some(result), true) = (inst.result, is_made_again(&inst.op)) {
                    again.insert(result, inst.op.clone());
                }
                if let (Some(result), Op::Binary { op: BinOp::Add, width: Width::W64, a, b }) =
                    (inst.result, &inst.op)
                {
                    if let (Ty::Ptr, Some(Op::Const(number))) = (func.ty(*a), again.get(b)) {
                        let (base, start) = moved.get(a).copied().unwrap_or((*a, 0i64));
                        moved.insert(result, (base, start.saturating_add(*number)));
                    }
                }
            }
            block.terminator.iter().for_each(|t| t.for_each_operand(|value| uses[value.0 as usize] += 1));
        }
        let mut out = MachineFunc {
            name: func.name.clone(),
            params: func.blocks.first().map_or(0, |entry| entry.params.len()) as u8,
            loc: func.loc,
            blocks: Vec::with_capacity(flow.order.len()),
            insts: Vec::new(),
            operands: Vec::new(),
            vregs: func.values.len() as u32,
            slots: func.slots.iter().map(|slot| MachineSlot { size: slot.size, escapes: false }).collect(),
        };
        mark_escapes(func, flow, &again, &mut out.slots);
        Selector {
            options,
            flow,
            again,
            moved,
            uses,
            recent: HashMap::new(),
            out,
            loc: SrcLoc::NONE,
            has_calls,
        }
    }

    fn block(&mut self, at: usize, func: &Func, block: crate::ir::Block) {
        let data = func.block(block);
        let start = self.out.insts.len() as u32;
        self.recent.clear();
        let params: Vec<VReg> = data.params.iter().map(|value| vreg(*value)).collect();
        self.loc = func.loc;
        if at == 0 {
            self.params(&params);
        }
        for inst in &data.insts {
            self.loc = inst.loc;
            self.inst(inst);
        }
        self.loc = data.terminator_loc.unwrap_or(SrcLoc::NONE);
        let args = self.terminator(data.terminator.as_ref());
        let machine_block = |block: crate::ir::Block| {
            regalloc2::Block::new(self.flow.position[block.0 as usize].unwrap_or(0) as usize)
        };
        let succs = data.terminator.iter().flat_map(Terminator::successors).map(machine_block).collect();
        let preds = self.flow.preds[block.0 as usize].iter().map(|(pred, _)| machine_block(*pred)).collect();
        let end = self.out.insts.len() as u32;
        let params = if at == 0 { Vec::new() } else { params };
        self.out.blocks.push(MachineBlock { insts: (start, end), succs, preds, params, args });
    }

    /// Parameters arrive in fixed registers. They are copied at once where calls follow: the allocator would else try to
    /// bring them back to where they came from.
    fn params(&mut self, params: &[VReg]) {
        let arrive: Vec<VReg> =
            params.iter().map(|param| if self.has_calls { self.temporary() } else { *param }).collect();
        let def = |(i, param): (usize, &VReg)| Operand::reg_fixed_def(*param, preg(argument(i)));
        let defs: Vec<Operand> = arrive.iter().enumerate().map(def).collect();
        self.push(MachineOp::Params, &defs);
        for (to, from) in params.iter().zip(&arrive).filter(|(to, from)| to != from) {
            if self.uses.get(to.vreg()).is_some_and(|uses| *uses > 0) {
                self.push(MachineOp::Move, &[Operand::reg_def(*to), Operand::reg_use(*from)]);
            }
        }
    }

    fn push(&mut self, op: MachineOp, operands: &[Operand]) {
        let start = self.out.operands.len() as u32;
        self.out.operands.extend_from_slice(operands);
        let end = self.out.operands.len() as u32;
        self.out.insts.push(MachineInst { op, operands: (start, end), loc: self.loc });
    }

    fn temporary(&mut self) -> VReg {
        let vreg = VReg::new(self.out.vregs as usize, RegClass::Int);
        self.out.vregs += 1;
        vreg
    }

    /// The value as a number, if it is one.
    fn number(&self, value: Value) -> Option<i64> {
        match self.again.get(&value) {
            Some(Op::Const(number)) => Some(*number),
            _ => None,
        }
    }

    /// The value as the immediate of an operation of this width.
    fn immediate(&self, width: Width, value: Value) -> Option<i32> {
        let number = self.number(value)?;
        match width {
            Width::W32 => Some(number as i32),
            Width::W64 => i32::try_from(number).ok(),
        }
    }

    /// The value in some register.
    fn reg(&mut self, value: Value) -> VReg {
        if let Some(vreg) = self.recent.get(&value) {
            return *vreg;
        }
        if !self.again.contains_key(&value) {
            return vreg(value);
        }
        let made = self.fresh(value);
        if self.immediate(Width::W64, value).is_none() {
            self.recent.insert(value, made);
        }
        made
    }

    /// The value in a register that nothing else reads, where it is made again; else as it is.
    fn fresh(&mut self, value: Value) -> VReg {
        let Some(op) = self.again.get(&value).cloned() else { return vreg(value) };
        let to = self.temporary();
        let machine = match op {
            Op::Const(number) => match i32::try_from(number) {
                Ok(imm) => MachineOp::Imm(imm),
                Err(_) => MachineOp::Wide(Wide::Number(number)),
            },
            Op::LoadConst(which) => MachineOp::Wide(Wide::LoadConst(which)),
            Op::SlotAddr { slot, offset } => MachineOp::SlotAddr { slot, offset },
            Op::MapRef(map) => MachineOp::Wide(Wide::Map(map)),
            Op::MapValueAddr { map, offset } => MachineOp::Wide(Wide::MapValue(map, offset)),
            Op::FuncAddr(func) => MachineOp::Wide(Wide::Func(func)),
            Op::KernelSymbol(name) => MachineOp::Wide(Wide::KernelSymbol(name)),
            _ => return vreg(value),
        };
        self.push(machine, &[Operand::reg_def(to)]);
        to
    }

    /// A memory operand: its form, and the base if that is in a register.
    fn addr(&mut self, mut ptr: Value, mut offset: i32) -> (Addr, Option<VReg>) {
        if let Some((base, start)) = self.moved.get(&ptr) {
            // Room for the rest of a long copy stays below the limit of 16 bits.
            let sum = start.saturating_add(i64::from(offset));
            if let (Ok(sum), false) = (i32::try_from(sum), sum.unsigned_abs() > 1 << 14) {
                (ptr, offset) = (*base, sum);
            }
        }
        match self.again.get(&ptr) {
            Some(Op::SlotAddr { slot, offset: start }) => {
                (Addr { base: Base::Slot(*slot), offset: start.saturating_add(offset) }, None)
            }
            _ => (Addr { base: Base::Reg, offset }, Some(self.reg(ptr))),
        }
    }

    fn inst(&mut self, inst: &Inst) {
        let to = inst.result.map(vreg);
        match (&inst.op, to) {
            (op, _) if is_made_again(op) => {}
            (Op::Store { ptr, offset, size, value }, _) => self.store(*ptr, *offset, *size, *value),
            (Op::MemCopy { dst, dst_offset, src, src_offset, len, align }, _) => {
                let (dst, dst_base) = self.addr(*dst, *dst_offset);
                let (src, src_base) = self.addr(*src, *src_offset);
                self.copy((dst, dst_base), (src, src_base), *len, *align);
            }
            (Op::MemZero { dst, offset, len, align }, _) => self.zero(*dst, *offset, *len, *align),
            (Op::Atomic { op, ptr, offset, size, value, .. }, to) => {
                self.atomic(*op, (*ptr, *offset), *size, *value, to)
            }
            (op, Some(to)) => self.value(op, to),
            // Every operation left has a result.
            (_, None) => {}
        }
    }

    /// Operations with a result.
    fn value(&mut self, op: &Op, to: VReg) {
        match op {
            Op::Binary { op, width, a, b } => self.binary(*op, *width, *a, *b, to),
            Op::Extend { size, signed, a } => self.extend(*size, *signed, *a, to),
            Op::ByteSwap { size, a } => {
                let a = self.reg(*a);
                let kind = if cfg!(target_endian = "little") { isa::Swap::Be } else { isa::Swap::Le };
                self.push(MachineOp::Swap { kind, size: *size }, &two_address(to, a));
            }
            Op::Compare { cond, width, a, b } => {
                let (cond, a, b) = self.compared(*cond, *a, *b);
                let def = Operand::reg_def_at_start(to);
                let left = Operand::reg_use(self.reg(a));
                let cond = machine_cond(cond);
                match self.immediate(*width, b) {
                    Some(imm) => {
                        let op = MachineOp::SetCondImm { cond, width: machine_width(*width), imm };
                        self.push(op, &[def, left]);
                    }
                    None => {
                        let right = Operand::reg_use(self.reg(b));
                        let op = MachineOp::SetCond { cond, width: machine_width(*width) };
                        self.push(op, &[def, left, right]);
                    }
                }
            }
            Op::Load { ptr, offset, size, signed, .. } => self.load((*ptr, *offset), *size, *signed, to),
            Op::CompareExchange { ptr, offset, size, expected, new } => {
                let (addr, base) = self.addr(*ptr, *offset);
                let expected = self.fresh(*expected);
                let new = self.reg(*new);
                let mut operands = vec![
                    Operand::reg_fixed_def(to, preg(isa::Reg::R0)),
                    Operand::reg_fixed_use(expected, preg(isa::Reg::R0)),
                ];
                operands.extend(base.map(Operand::reg_use_at_end));
                operands.push(Operand::reg_use_at_end(new));
                self.push(MachineOp::CompareExchange { addr, size: *size }, &operands);
            }
            Op::Call { helper, args, .. } => self.call(Callee::Helper(*helper), args, to),
            Op::CallKfunc { name, args, .. } => self.call(Callee::Kfunc(name.clone()), args, to),
            Op::CallLocal { func, args } => self.call(Callee::Local(*func), args, to),
            _ => {}
        }
    }

    fn binary(&mut self, op: BinOp, width: Width, mut a: Value, mut b: Value, to: VReg) {
        let swap_for_immediate = self.number(a).is_some() && self.number(b).is_none();
        // The first operand's register is overwritten: better that of a value that is used here only.
        let swap_for_last_use = self.number(b).is_none() && self.used_once(b) && !self.used_once(a);
        if op.is_commutative() && (swap_for_immediate || swap_for_last_use) {
            (a, b) = (b, a);
        }
        let machine = machine_alu(op);
        let machine_width = machine_width(width);
        match self.immediate(width, b) {
            Some(0) if matches!(op, BinOp::UDiv | BinOp::SDiv) => {
                self.push(MachineOp::Imm(0), &[Operand::reg_def(to)]);
            }
            Some(0) if matches!(op, BinOp::UMod | BinOp::SMod) => {
                let a = self.reg(a);
                let op = if width == Width::W32 { MachineOp::MoveLow } else { MachineOp::Move };
                self.push(op, &[Operand::reg_def(to), Operand::reg_use(a)]);
            }
            Some(imm) => {
                // A shift by the width or more is rejected by the kernel as an immediate.
                let mask = if width == Width::W32 { 31 } else { 63 };
                let is_shift = matches!(op, BinOp::Shl | BinOp::LShr | BinOp::AShr);
                let imm = if is_shift { imm & mask } else { imm };
                let a = self.reg(a);
                let op = MachineOp::AluImm { op: machine, width: machine_width, imm };
                self.push(op, &two_address(to, a));
            }
            None if op == BinOp::Sub && self.number(a) == Some(0) => {
                let b = self.reg(b);
                self.push(MachineOp::Neg(machine_width), &two_address(to, b));
            }
            None => {
                let a = self.reg(a);
                let b = self.reg(b);
                let [def, first] = two_address(to, a);
                let op = MachineOp::Alu { op: machine, width: machine_width };
                self.push(op, &[def, first, Operand::reg_use(b)]);
            }
        }
    }

    fn used_once(&self, value: Value) -> bool {
        self.uses.get(value.0 as usize) == Some(&1)
    }

    fn extend(&mut self, size: Size, signed: bool, a: Value, to: VReg) {
        let a = self.reg(a);
        let plain = [Operand::reg_def(to), Operand::reg_use(a)];
        let bits = 64 - 8 * size.bytes() as i32;
        let shift = |op| MachineOp::AluImm { op, width: isa::Width::W64, imm: bits };
        let and = |imm| MachineOp::AluImm { op: isa::Alu::And, width: isa::Width::W64, imm };
        match (size, signed) {
            (Size::B8, _) => self.push(MachineOp::Move, &plain),
            (Size::B4, false) => self.push(MachineOp::MoveLow, &plain),
            (Size::B2, false) => self.push(and(0xffff), &two_address(to, a)),
            (Size::B1, false) => self.push(and(0xff), &two_address(to, a)),
            (_, true) if self.options.cpu_v4 => self.push(MachineOp::MoveSigned(size), &plain),
            (_, true) => {
                let high = self.temporary();
                self.push(shift(isa::Alu::Lsh), &two_address(high, a));
                self.push(shift(isa::Alu::Arsh), &two_address(to, high));
            }
        }
    }

    fn load(&mut self, (ptr, offset): (Value, i32), size: Size, signed: bool, to: VReg) {
        let (addr, base) = self.addr(ptr, offset);
        let mut operands = vec![Operand::reg_def(to)];
        operands.extend(base.map(Operand::reg_use));
        let signed = signed && size != Size::B8;
        if signed && !self.options.cpu_v4 {
            let narrow = self.temporary();
            let high = self.temporary();
            operands[0] = Operand::reg_def(narrow);
            self.push(MachineOp::Load { addr, size, signed: false }, &operands);
            let imm = 64 - 8 * size.bytes() as i32;
            let shift = |op| MachineOp::AluImm { op, width: isa::Width::W64, imm };
            self.push(shift(isa::Alu::Lsh), &two_address(high, narrow));
            self.push(shift(isa::Alu::Arsh), &two_address(to, high));
        } else {
            self.push(MachineOp::Load { addr, size, signed }, &operands);
        }
    }

    fn store(&mut self, ptr: Value, offset: i32, size: Size, value: Value) {
        let (addr, base) = self.addr(ptr, offset);
        let mut operands: Vec<Operand> = base.map(Operand::reg_use).into_iter().collect();
        // A narrow store takes the low bytes of the immediate.
        let width = if size == Size::B8 { Width::W64 } else { Width::W32 };
        match self.immediate(width, value) {
            Some(imm) => self.push(MachineOp::StoreImm { addr, size, imm }, &operands),
            None => {
                operands.push(Operand::reg_use(self.reg(value)));
                self.push(MachineOp::Store { addr, size }, &operands);
            }
        }
    }

    fn atomic(&mut self, op: AtomicOp, at: (Value, i32), size: Size, value: Value, to: Option<VReg>) {
        let (addr, base) = self.addr(at.0, at.1);
        let base = base.map(Operand::reg_use);
        match to {
            None => {
                let mut operands: Vec<Operand> = base.into_iter().collect();
                operands.push(Operand::reg_use(self.reg(value)));
                self.push(MachineOp::Atomic { op: machine_atomic(op, false), addr, size }, &operands);
            }
            Some(to) => {
                let value = self.fresh(value);
                let reuse = 1 + usize::from(base.is_some());
                let mut operands = vec![Operand::reg_reuse_def(to, reuse)];
                operands.extend(base);
                operands.push(Operand::reg_use(value));
                self.push(MachineOp::AtomicFetch { op: machine_atomic(op, true), addr, size }, &operands);
            }
        }
    }

    fn call(&mut self, callee: Callee, args: &[Value], to: VReg) {
        let mut operands = vec![Operand::reg_fixed_def(to, preg(isa::Reg::R0))];
        for (i, arg) in args.iter().enumerate().take(5) {
            let arg = self.fresh(*arg);
            operands.push(Operand::reg_fixed_use(arg, preg(argument(i))));
        }
        self.push(MachineOp::Call(callee), &operands);
        self.recent.clear();
    }

    fn copy(&mut self, dst: (Addr, Option<VReg>), src: (Addr, Option<VReg>), len: u32, align: u8) {
        let is_loop = len / u32::from(align.clamp(1, 8)) > UNROLL_ACCESSES;
        let mut operands: Vec<Operand> = Vec::new();
        for _ in 0..if is_loop { 4 } else { 1 } {
            let temporary = self.temporary();
            operands.push(Operand::reg_def_at_start(temporary));
        }
        operands.extend(dst.1.map(Operand::reg_use_at_end));
        operands.extend(src.1.map(Operand::reg_use_at_end));
        let (dst, src) = (dst.0, src.0);
        let op = if is_loop {
            MachineOp::CopyLoop { dst, src, len, align }
        } else {
            MachineOp::Copy { dst, src, len, align }
        };
        self.push(op, &operands);
    }

    fn zero(&mut self, dst: Value, offset: i32, len: u32, align: u8) {
        let (dst, base) = self.addr(dst, offset);
        if len / u32::from(align.clamp(1, 8)) > UNROLL_ACCESSES {
            let mut operands = Vec::new();
            for _ in 0..2 {
                operands.push(Operand::reg_def_at_start(self.temporary()));
            }
            operands.extend(base.map(Operand::reg_use_at_end));
            self.push(MachineOp::ZeroLoop { dst, len, align }, &operands);
        } else {
            let operands: Vec<Operand> = base.map(Operand::reg_use).into_iter().collect();
            self.push(MachineOp::Zero { dst, len, align }, &operands);
        }
    }

    /// A number on the left goes to the right.
    fn compared(&self, cond: Cond, a: Value, b: Value) -> (Cond, Value, Value) {
        if self.number(a).is_some() && self.number(b).is_none() {
            (cond.swapped(), b, a)
        } else {
            (cond, a, b)
        }
    }

    /// The arguments of the jump, if there is exactly one.
    fn terminator(&mut self, terminator: Option<&Terminator>) -> Vec<VReg> {
        match terminator {
            Some(Terminator::Jump(Jump { args, .. })) => {
                let args = args.iter().map(|arg| self.fresh(*arg)).collect();
                self.push(MachineOp::Jump, &[]);
                return args;
            }
            Some(Terminator::Branch { cond, width, a, b, .. }) => {
                let (cond, a, b) = self.compared(*cond, *a, *b);
                let cond = machine_cond(cond);
                let left = Operand::reg_use(self.reg(a));
                match self.immediate(*width, b) {
                    Some(imm) => {
                        let op = MachineOp::BranchImm { cond, width: machine_width(*width), imm };
                        self.push(op, &[left]);
                    }
                    None => {
                        let right = Operand::reg_use(self.reg(b));
                        self.push(MachineOp::Branch { cond, width: machine_width(*width) }, &[left, right]);
                    }
                }
            }
            Some(Terminator::LoopGuard { .. }) => self.push(MachineOp::Guard, &[]),
            Some(Terminator::Return(value)) => {
                let value = self.fresh(*value);
                self.push(MachineOp::Return, &[Operand::reg_fixed_use(value, preg(isa::Reg::R0))]);
            }
            Some(Terminator::Unreachable) | None => self.push(MachineOp::Unreachable, &[]),
        }
        Vec::new()
    }
}

/// Slots whose address is used other than as the place of an access or as argument of a helper or local function.
fn mark_escapes(func: &Func, flow: &Flow, again: &HashMap<Value, Op>, slots: &mut [MachineSlot]) {
    let mut escape = |value: Value| {
        if let Some(Op::SlotAddr { slot, .. }) = again.get(&value) {
            if let Some(slot) = slots.get_mut(slot.0 as usize) {
                slot.escapes = true;
            }
        }
    };
    for block in flow.order.iter().map(|block| func.block(*block)) {
        for inst in &block.insts {
            match &inst.op {
                Op::Load { .. }
                | Op::MemCopy { .. }
                | Op::MemZero { .. }
                | Op::Call { .. }
                | Op::CallLocal { .. } => {}
                Op::Store { value, .. } | Op::Atomic { value, .. } => escape(*value),
                Op::CompareExchange { expected, new, .. } => {
                    escape(*expected);
                    escape(*new);
                }
                // Kernel functions keep state in the slots of iterators and give out pointers to it.
                other => other.for_each_operand(&mut escape),
            }
        }
        block.terminator.iter().for_each(|terminator| terminator.for_each_operand(&mut escape));
    }
}

fn vreg(value: Value) -> VReg {
    VReg::new(value.0 as usize, RegClass::Int)
}

fn is_made_again(op: &Op) -> bool {
    matches!(
        op,
        Op::Const(_)
            | Op::LoadConst(_)
            | Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValueAddr { .. }
            | Op::FuncAddr(_)
            | Op::KernelSymbol(_)
    )
}

/// A result that overwrites its operand.
fn two_address(to: VReg, a: VReg) -> [Operand; 2] {
    [Operand::reg_reuse_def(to, 1), Operand::reg_use(a)]
}

fn argument(i: usize) -> isa::Reg {
    [isa::Reg::R1, isa::Reg::R2, isa::Reg::R3, isa::Reg::R4, isa::Reg::R5][i.min(4)]
}

fn machine_width(width: Width) -> isa::Width {
    match width {
        Width::W32 => isa::Width::W32,
        Width::W64 => isa::Width::W64,
    }
}

fn machine_cond(cond: Cond) -> isa::Cond {
    match cond {
        Cond::Eq => isa::Cond::Eq,
        Cond::Ne => isa::Cond::Ne,
        Cond::Ult => isa::Cond::Lt,
        Cond::Ule => isa::Cond::Le,
        Cond::Ugt => isa::Cond::Gt,
        Cond::Uge => isa::Cond::Ge,
        Cond::Slt => isa::Cond::Slt,
        Cond::Sle => isa::Cond::Sle,
        Cond::Sgt => isa::Cond::Sgt,
        Cond::Sge => isa::Cond::Sge,
        Cond::Test => isa::Cond::Set,
    }
}

fn machine_alu(op: BinOp) -> isa::Alu {
    match op {
        BinOp::Add => isa::Alu::Add,
        BinOp::Sub => isa::Alu::Sub,
        BinOp::Mul => isa::Alu::Mul,
        BinOp::UDiv => isa::Alu::Div,
        BinOp::SDiv => isa::Alu::Sdiv,
        BinOp::UMod => isa::Alu::Mod,
        BinOp::SMod => isa::Alu::Smod,
        BinOp::And => isa::Alu::And,
        BinOp::Or => isa::Alu::Or,
        BinOp::Xor => isa::Alu::Xor,
        BinOp::Shl => isa::Alu::Lsh,
        BinOp::LShr => isa::Alu::Rsh,
        BinOp::AShr => isa::Alu::Arsh,
    }
}

fn machine_atomic(op: AtomicOp, fetch: bool) -> isa::AtomicOp {
    match (op, fetch) {
        (AtomicOp::Add, false) => isa::AtomicOp::Add,
        (AtomicOp::Add, true) => isa::AtomicOp::FetchAdd,
        (AtomicOp::And, false) => isa::AtomicOp::And,
        (AtomicOp::And, true) => isa::AtomicOp::FetchAnd,
        (AtomicOp::Or, false) => isa::AtomicOp::Or,
        (AtomicOp::Or, true) => isa::AtomicOp::FetchOr,
        (AtomicOp::Xor, false) => isa::AtomicOp::Xor,
        (AtomicOp::Xor, true) => isa::AtomicOp::FetchXor,
        (AtomicOp::Xchg, _) => isa::AtomicOp::Xchg,
    }
}
