//! Functions as machine operations over virtual registers: what selection makes, the allocator reads and emission writes.
//!
//! An operation's operands are a range of [`MachineFunc::operands`], in the order that its variant's comment gives;
//! an operand in brackets is there only for a base in a register.

use crate::ir::{FuncId, LoadConst, MapId, Size, Slot, SrcLoc};
use fathom_bpf::helpers::Helper;
use fathom_bpf::isa::{Alu, AtomicOp, Cond, Swap, Width};
use regalloc2::{Operand, VReg};

/// Where a memory access starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// In a register: an operand.
    Reg,
    /// A stack slot, relative to the frame pointer.
    Slot(Slot),
}

/// Base and constant offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addr {
    pub(crate) base: Base,
    pub(crate) offset: i32,
}

/// A 64-bit immediate that takes two instruction slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wide {
    Number(i64),
    LoadConst(LoadConst),
    Map(MapId),
    MapValue(MapId, u32),
    Func(FuncId),
    KernelSymbol(String),
}

/// Who is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    Helper(Helper),
    Kfunc(String),
    Local(FuncId),
}

/// A machine operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MachineOp {
    /// Parameters of the function; defs in r1 and up.
    Params,
    /// def.
    Imm(i32),
    /// def.
    Wide(Wide),
    /// def.
    SlotAddr { slot: Slot, offset: i32 },
    /// def, use: 64 bits.
    Move,
    /// def, use: the lower 32 bits.
    MoveLow,
    /// def, use.
    MoveSigned(Size),
    /// def = a, a, b.
    Alu { op: Alu, width: Width },
    /// def = a, a.
    AluImm { op: Alu, width: Width, imm: i32 },
    /// def = a, a.
    Neg(Width),
    /// def = a, a.
    Swap { kind: Swap, size: Size },
    /// def, [base].
    Load { addr: Addr, size: Size, signed: bool },
    /// [base], value.
    Store { addr: Addr, size: Size },
    /// [base].
    StoreImm { addr: Addr, size: Size, imm: i32 },
    /// [base], value.
    Atomic { op: AtomicOp, addr: Addr, size: Size },
    /// def = value, [base], value.
    AtomicFetch { op: AtomicOp, addr: Addr, size: Size },
    /// def (r0), expected (r0), [base], new.
    CompareExchange { addr: Addr, size: Size },
    /// def (r0), arguments (r1 to r5).
    Call(Callee),
    /// temporary, [dst], [src].
    Copy { dst: Addr, src: Addr, len: u32, align: u8 },
    /// temporary, moving dst, moving src, counter, [dst], [src].
    CopyLoop { dst: Addr, src: Addr, len: u32, align: u8 },
    /// [dst].
    Zero { dst: Addr, len: u32, align: u8 },
    /// moving dst, counter, [dst].
    ZeroLoop { dst: Addr, len: u32, align: u8 },
    /// def, a, b.
    SetCond { cond: Cond, width: Width },
    /// def, a.
    SetCondImm { cond: Cond, width: Width, imm: i32 },
    /// To the only successor.
    Jump,
    /// a, b; to the first successor, else the second.
    Branch { cond: Cond, width: Width },
    /// a.
    BranchImm { cond: Cond, width: Width, imm: i32 },
    /// To the first successor, to the second when the budget is used up.
    Guard,
    /// value (r0).
    Return,
    /// No operand.
    Unreachable,
}

/// A machine operation with the place of its operands.
#[derive(Clone, Debug)]
pub(crate) struct MachineInst {
    pub(crate) op: MachineOp,
    pub(crate) operands: (u32, u32),
    pub(crate) loc: SrcLoc,
}

/// A block: a range of operations.
#[derive(Clone, Debug, Default)]
pub(crate) struct MachineBlock {
    pub(crate) insts: (u32, u32),
    pub(crate) succs: Vec<regalloc2::Block>,
    pub(crate) preds: Vec<regalloc2::Block>,
    pub(crate) params: Vec<VReg>,
    /// Arguments of the jump at the end; branches have none, for their edges are split.
    pub(crate) args: Vec<VReg>,
}

/// A stack slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MachineSlot {
    pub(crate) size: u32,
    /// Its address goes where accesses cannot be seen: the slot lives as long as the function.
    pub(crate) escapes: bool,
}

/// A function; blocks are in the order in which they will lie.
#[derive(Clone, Debug)]
pub(crate) struct MachineFunc {
    pub(crate) name: String,
    pub(crate) params: u8,
    pub(crate) loc: SrcLoc,
    pub(crate) blocks: Vec<MachineBlock>,
    pub(crate) insts: Vec<MachineInst>,
    pub(crate) operands: Vec<Operand>,
    pub(crate) vregs: u32,
    /// The stack slots.
    pub(crate) slots: Vec<MachineSlot>,
}

impl MachineFunc {
    pub(crate) fn operands_of(&self, inst: usize) -> &[Operand] {
        let (start, end) = self.insts[inst].operands;
        &self.operands[start as usize..end as usize]
    }
}

impl MachineOp {
    /// Ends a block.
    pub(crate) fn is_terminator(&self) -> bool {
        self.is_return()
            || matches!(
                self,
                MachineOp::Jump | MachineOp::Branch { .. } | MachineOp::BranchImm { .. } | MachineOp::Guard
            )
    }

    /// Ends the function.
    pub(crate) fn is_return(&self) -> bool {
        matches!(self, MachineOp::Return | MachineOp::Unreachable)
    }

    /// The stack slots that it accesses or takes the address of.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        let of = |addr: &Addr| match addr.base {
            Base::Slot(slot) => Some(slot),
            Base::Reg => None,
        };
        let (first, second) = match self {
            MachineOp::SlotAddr { slot, .. } => (Some(*slot), None),
            MachineOp::Load { addr, .. }
            | MachineOp::Store { addr, .. }
            | MachineOp::StoreImm { addr, .. }
            | MachineOp::Atomic { addr, .. }
            | MachineOp::AtomicFetch { addr, .. }
            | MachineOp::CompareExchange { addr, .. } => (of(addr), None),
            MachineOp::Copy { dst, src, .. } | MachineOp::CopyLoop { dst, src, .. } => (of(dst), of(src)),
            MachineOp::Zero { dst, .. } | MachineOp::ZeroLoop { dst, .. } => (of(dst), None),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}
