//! What an operation reads, jumps to and results in: the generic views that builder, verifier and passes share.

use super::{AtomicOp, BinOp, Block, Cond, Effect, Func, Jump, Op, Terminator, Ty, Value};
use fathom_bpf::helpers::{Arg, Helper};

impl Op {
    /// Calls `f` with every operand, in order.
    pub fn for_each_operand(&self, mut f: impl FnMut(Value)) {
        match self {
            Op::Const(_)
            | Op::LoadConst(_)
            | Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValueAddr { .. }
            | Op::FuncAddr(_)
            | Op::KernelSymbol(_) => {}
            Op::Binary { a, b, .. } | Op::Compare { a, b, .. } => {
                f(*a);
                f(*b);
            }
            Op::Extend { a, .. } | Op::ByteSwap { a, .. } => f(*a),
            Op::Load { ptr, .. } => f(*ptr),
            Op::Store { ptr, value, .. } | Op::Atomic { ptr, value, .. } => {
                f(*ptr);
                f(*value);
            }
            Op::CompareExchange { ptr, expected, new, .. } => {
                f(*ptr);
                f(*expected);
                f(*new);
            }
            Op::MemCopy { dst, src, .. } => {
                f(*dst);
                f(*src);
            }
            Op::MemZero { dst, .. } => f(*dst),
            Op::Call { args, .. } | Op::CallKfunc { args, .. } | Op::CallLocal { args, .. } => {
                args.iter().copied().for_each(f)
            }
        }
    }

    /// Calls `f` with every operand to be changed in place, in order.
    pub fn for_each_operand_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Op::Const(_)
            | Op::LoadConst(_)
            | Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValueAddr { .. }
            | Op::FuncAddr(_)
            | Op::KernelSymbol(_) => {}
            Op::Binary { a, b, .. } | Op::Compare { a, b, .. } => {
                f(a);
                f(b);
            }
            Op::Extend { a, .. } | Op::ByteSwap { a, .. } => f(a),
            Op::Load { ptr, .. } => f(ptr),
            Op::Store { ptr, value, .. } | Op::Atomic { ptr, value, .. } => {
                f(ptr);
                f(value);
            }
            Op::CompareExchange { ptr, expected, new, .. } => {
                f(ptr);
                f(expected);
                f(new);
            }
            Op::MemCopy { dst, src, .. } => {
                f(dst);
                f(src);
            }
            Op::MemZero { dst, .. } => f(dst),
            Op::Call { args, .. } | Op::CallKfunc { args, .. } | Op::CallLocal { args, .. } => {
                args.iter_mut().for_each(f)
            }
        }
    }

    /// What the result is, `None` where there is none. `is_ptr` tells about operands: pointer plus number is a pointer.
    pub fn result_ty(&self, is_ptr: impl Fn(Value) -> bool) -> Option<Ty> {
        Some(match self {
            Op::Store { .. } | Op::MemCopy { .. } | Op::MemZero { .. } => return None,
            Op::Atomic { op, fetch, .. } => {
                if *fetch || *op == AtomicOp::Xchg {
                    Ty::Int
                } else {
                    return None;
                }
            }
            Op::Binary { op: BinOp::Add, a, b, .. } if is_ptr(*a) || is_ptr(*b) => Ty::Ptr,
            Op::Binary { op: BinOp::Sub, a, .. } if is_ptr(*a) => Ty::Ptr,
            Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValueAddr { .. }
            | Op::FuncAddr(_)
            | Op::KernelSymbol(_) => Ty::Ptr,
            Op::Load { ty, .. } | Op::Call { ty, .. } | Op::CallKfunc { ty, .. } => *ty,
            Op::Const(_)
            | Op::LoadConst(_)
            | Op::Binary { .. }
            | Op::Extend { .. }
            | Op::ByteSwap { .. }
            | Op::Compare { .. }
            | Op::CompareExchange { .. }
            | Op::CallLocal { .. } => Ty::Int,
        })
    }

    /// May be dropped when the result is not used.
    pub fn is_removable(&self) -> bool {
        match self {
            Op::Store { .. }
            | Op::Atomic { .. }
            | Op::CompareExchange { .. }
            | Op::MemCopy { .. }
            | Op::MemZero { .. }
            | Op::CallLocal { .. } => false,
            Op::Call { helper, effect, .. } => *effect != Effect::Write && !fills_memory(*helper),
            Op::CallKfunc { effect, .. } => *effect != Effect::Write,
            _ => true,
        }
    }

    /// Gives the same result wherever and however often it is done with the same operands: may be merged with an equal
    /// operation that dominates it.
    pub fn is_mergeable(&self) -> bool {
        match self {
            Op::Load { invariant, .. } => *invariant,
            Op::Call { helper, effect, .. } => *effect == Effect::Once && !fills_memory(*helper),
            Op::CallKfunc { effect, .. } => *effect == Effect::Once,
            Op::Store { .. }
            | Op::Atomic { .. }
            | Op::CompareExchange { .. }
            | Op::MemCopy { .. }
            | Op::MemZero { .. }
            | Op::CallLocal { .. } => false,
            _ => true,
        }
    }

    /// May write memory that a later load sees.
    pub fn writes_memory(&self) -> bool {
        matches!(
            self,
            Op::Store { .. }
                | Op::Atomic { .. }
                | Op::CompareExchange { .. }
                | Op::MemCopy { .. }
                | Op::MemZero { .. }
                | Op::CallLocal { .. }
                | Op::Call { .. }
                | Op::CallKfunc { .. }
        )
    }
}

/// The result of the helper is not all that it gives: it must not go, whatever its call says.
fn fills_memory(helper: Helper) -> bool {
    let is_out =
        |arg: &Arg| matches!(arg, Arg::MemOut | Arg::MemOutOrNull | Arg::MapValueOut | Arg::DynptrOut);
    helper.row().is_some_and(|row| row.args.iter().any(is_out))
}

impl Terminator {
    /// The jumps, in order: `then` before `otherwise`, `body` before `exhausted`.
    pub fn jumps(&self) -> impl Iterator<Item = &Jump> {
        let (first, second) = match self {
            Terminator::Jump(jump) => (Some(jump), None),
            Terminator::Branch { then, otherwise, .. } => (Some(then), Some(otherwise)),
            Terminator::LoopGuard { body, exhausted } => (Some(body), Some(exhausted)),
            Terminator::Return(_) | Terminator::Unreachable => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The jumps, to be changed in place.
    pub fn jumps_mut(&mut self) -> impl Iterator<Item = &mut Jump> {
        let (first, second) = match self {
            Terminator::Jump(jump) => (Some(jump), None),
            Terminator::Branch { then, otherwise, .. } => (Some(then), Some(otherwise)),
            Terminator::LoopGuard { body, exhausted } => (Some(body), Some(exhausted)),
            Terminator::Return(_) | Terminator::Unreachable => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// Blocks that may come next.
    pub fn successors(&self) -> impl Iterator<Item = Block> + '_ {
        self.jumps().map(|jump| jump.block)
    }

    /// Calls `f` with every value read: compared or returned values, then the arguments of jumps.
    pub fn for_each_operand(&self, mut f: impl FnMut(Value)) {
        match self {
            Terminator::Branch { a, b, .. } => {
                f(*a);
                f(*b);
            }
            Terminator::Return(value) => f(*value),
            _ => {}
        }
        for jump in self.jumps() {
            jump.args.iter().copied().for_each(&mut f);
        }
    }

    /// Like [`Terminator::for_each_operand`], to be changed in place.
    pub fn for_each_operand_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Terminator::Branch { a, b, .. } => {
                f(a);
                f(b);
            }
            Terminator::Return(value) => f(value),
            _ => {}
        }
        for jump in self.jumps_mut() {
            jump.args.iter_mut().for_each(&mut f);
        }
    }
}

impl Cond {
    /// The condition that holds when this one does not; `None` for `Test`, which has no opposite on the machine.
    pub fn inverted(self) -> Option<Cond> {
        Some(match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Ult => Cond::Uge,
            Cond::Uge => Cond::Ult,
            Cond::Ule => Cond::Ugt,
            Cond::Ugt => Cond::Ule,
            Cond::Slt => Cond::Sge,
            Cond::Sge => Cond::Slt,
            Cond::Sle => Cond::Sgt,
            Cond::Sgt => Cond::Sle,
            Cond::Test => return None,
        })
    }

    /// The condition that holds for exchanged operands.
    pub fn swapped(self) -> Cond {
        match self {
            Cond::Ult => Cond::Ugt,
            Cond::Ugt => Cond::Ult,
            Cond::Ule => Cond::Uge,
            Cond::Uge => Cond::Ule,
            Cond::Slt => Cond::Sgt,
            Cond::Sgt => Cond::Slt,
            Cond::Sle => Cond::Sge,
            Cond::Sge => Cond::Sle,
            same @ (Cond::Eq | Cond::Ne | Cond::Test) => same,
        }
    }

    /// Compares signed.
    pub fn is_signed(self) -> bool {
        matches!(self, Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge)
    }
}

impl BinOp {
    /// `a op b == b op a`.
    pub fn is_commutative(self) -> bool {
        matches!(self, BinOp::Add | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor)
    }
}

impl Func {
    /// The data of a block.
    ///
    /// Panics when the block is not of this function.
    pub fn block(&self, block: Block) -> &super::BlockData {
        &self.blocks[block.0 as usize]
    }

    /// The type of a value; `Int` for one that is not of this function.
    pub fn ty(&self, value: Value) -> Ty {
        self.values.get(value.0 as usize).copied().unwrap_or(Ty::Int)
    }

    /// Makes a value of this type, without definition yet.
    pub fn new_value(&mut self, ty: Ty) -> Value {
        let value = Value(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        self.values.push(ty);
        value
    }
}
