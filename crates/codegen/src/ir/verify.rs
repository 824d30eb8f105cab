//! Checks that a function is well-formed. A violation is always a bug of what made the function.
//!
//! 1. There is an entry block, and no jump goes to it.
//! 2. Every reachable block has a terminator; its targets exist.
//! 3. A value is defined once, by an operation that has a result or as a parameter, and its definition dominates its uses.
//! 4. Operations have a result exactly if their kind has one.
//! 5. A jump passes as many arguments as the target has parameters.
//! 6. Accesses to stack slots lie within them; slots exist.
//! 7. Calls have at most five arguments, functions at most five parameters.
//! 8. Offsets of memory accesses, up to their last byte, fit 16 bits; alignments are 1, 2, 4 or 8; atomic accesses have
//!    4 or 8 bytes.
//! 9. Arithmetic on pointers is addition or subtraction of a number, 64 bits wide.

use super::flow::Flow;
use super::{BinOp, Block, Func, Op, Size, Slot, Terminator, Ty, Value, Width};
use std::fmt;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which block.
    pub block: Block,
    /// At which operation; `None`: at the parameters or the terminator.
    pub inst: Option<usize>,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inst {
            Some(inst) => write!(f, "block {}, operation {inst}: {}", self.block.0, self.what),
            None => write!(f, "block {}: {}", self.block.0, self.what),
        }
    }
}

impl std::error::Error for Problem {}

/// Checks a function; unreachable blocks may hold anything.
///
/// # Errors
/// The first violation of the module's list.
pub fn verify(func: &Func) -> Result<(), Problem> {
    let mut checker = Checker { func, at: Block(0), inst: None, defined: vec![None; func.values.len()] };
    let Some(entry) = func.blocks.first() else { return checker.fail("there is no entry block") };
    if entry.params.len() > 5 {
        return checker.fail(format!("{} parameters; at most 5 are possible", entry.params.len()));
    }
    checker.targets()?;
    let flow = Flow::of(func);
    for block in &flow.order {
        checker.definitions(*block)?;
    }
    for block in &flow.order {
        checker.uses(*block, &flow)?;
    }
    Ok(())
}

struct Checker<'a> {
    func: &'a Func,
    at: Block,
    inst: Option<usize>,
    /// Block and number of the operation that defines a value; parameters are at 0, operation `i` at `i + 1`.
    defined: Vec<Option<(Block, usize)>>,
}

impl Checker<'_> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, Problem> {
        Err(Problem { block: self.at, inst: self.inst, what: what.into() })
    }

    fn require(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), Problem> {
        if holds {
            Ok(())
        } else {
            self.fail(what())
        }
    }

    /// All blocks: jumps must not lead outside, or nothing else could be looked at.
    fn targets(&mut self) -> Result<(), Problem> {
        for (at, block) in self.func.blocks.iter().enumerate() {
            self.at = Block(at as u32);
            for jump in block.terminator.iter().flat_map(Terminator::jumps) {
                let Some(target) = self.func.blocks.get(jump.block.0 as usize) else {
                    return self.fail(format!("jump to block {}, which does not exist", jump.block.0));
                };
                self.require(jump.block.0 != 0, || "jump to the entry block".into())?;
                self.require(jump.args.len() == target.params.len(), || {
                    format!(
                        "jump to block {} with {} arguments for {} parameters",
                        jump.block.0,
                        jump.args.len(),
                        target.params.len()
                    )
                })?;
            }
        }
        Ok(())
    }

    fn definitions(&mut self, block: Block) -> Result<(), Problem> {
        self.at = block;
        self.inst = None;
        let data = self.func.block(block);
        for param in &data.params {
            self.define(*param, 0)?;
        }
        for (i, inst) in data.insts.iter().enumerate() {
            self.inst = Some(i);
            let ty = inst.op.result_ty(|value| self.func.ty(value) == Ty::Ptr);
            self.require(ty.is_some() == inst.result.is_some(), || {
                if ty.is_some() {
                    "an operation with a result defines none"
                } else {
                    "an operation without result defines one"
                }
                .into()
            })?;
            if let Some(result) = inst.result {
                self.define(result, i + 1)?;
            }
            self.shape(&inst.op)?;
        }
        self.inst = None;
        self.require(data.terminator.is_some(), || "there is no terminator".into())
    }

    fn define(&mut self, value: Value, number: usize) -> Result<(), Problem> {
        match self.defined.get_mut(value.0 as usize) {
            Some(place @ None) => {
                *place = Some((self.at, number));
                Ok(())
            }
            Some(Some(_)) => self.fail(format!("v{} is defined twice", value.0)),
            None => self.fail(format!("v{} has no type", value.0)),
        }
    }

    fn uses(&mut self, block: Block, flow: &Flow) -> Result<(), Problem> {
        self.at = block;
        let data = self.func.block(block);
        for (i, inst) in data.insts.iter().enumerate() {
            self.inst = Some(i);
            let mut result = Ok(());
            inst.op.for_each_operand(|value| {
                if result.is_ok() {
                    result = self.visible(value, i + 1, flow);
                }
            });
            result?;
        }
        self.inst = None;
        let mut result = Ok(());
        data.terminator.iter().for_each(|terminator| {
            terminator.for_each_operand(|value| {
                if result.is_ok() {
                    result = self.visible(value, usize::MAX, flow);
                }
            })
        });
        result
    }

    fn visible(&self, value: Value, number: usize, flow: &Flow) -> Result<(), Problem> {
        let Some(Some((block, defined))) = self.defined.get(value.0 as usize) else {
            return self.fail(format!("v{} is not defined", value.0));
        };
        let dominates = if *block == self.at { *defined < number } else { flow.dominates(*block, self.at) };
        self.require(dominates, || format!("the definition of v{} does not dominate its use", value.0))
    }

    /// What can be said of an operation alone.
    fn shape(&self, op: &Op) -> Result<(), Problem> {
        match op {
            Op::Binary { op, width, a, b } => self.arithmetic(*op, *width, *a, *b),
            Op::ByteSwap { size, .. } => self.require(*size != Size::B1, || "one byte has no order".into()),
            Op::Load { ptr, offset, size, .. } | Op::Store { ptr, offset, size, .. } => {
                self.access(*ptr, *offset, size.bytes())
            }
            Op::Atomic { ptr, offset, size, .. } | Op::CompareExchange { ptr, offset, size, .. } => {
                self.require(size.bytes() >= 4, || "atomic access of less than 4 bytes".into())?;
                self.access(*ptr, *offset, size.bytes())
            }
            Op::MemCopy { dst, dst_offset, src, src_offset, len, align } => {
                self.alignment(*align)?;
                self.access(*dst, *dst_offset, *len)?;
                self.access(*src, *src_offset, *len)
            }
            Op::MemZero { dst, offset, len, align } => {
                self.alignment(*align)?;
                self.access(*dst, *offset, *len)
            }
            Op::SlotAddr { slot, offset } => self.slot(*slot, *offset, 0),
            Op::Call { args, .. } | Op::CallKfunc { args, .. } | Op::CallLocal { args, .. } => self
                .require(args.len() <= 5, || {
                    format!("call with {} arguments; at most 5 are possible", args.len())
                }),
            _ => Ok(()),
        }
    }

    fn arithmetic(&self, op: BinOp, width: Width, a: Value, b: Value) -> Result<(), Problem> {
        let is_ptr = |value| self.func.ty(value) == Ty::Ptr;
        match (is_ptr(a), is_ptr(b)) {
            (false, false) => Ok(()),
            (true, true) => self.fail("arithmetic on two pointers"),
            (left, _) => {
                let fits = op == BinOp::Add || (op == BinOp::Sub && left);
                self.require(fits && width == Width::W64, || format!("{op:?} of {width:?} on a pointer"))
            }
        }
    }

    fn alignment(&self, align: u8) -> Result<(), Problem> {
        self.require(matches!(align, 1 | 2 | 4 | 8), || format!("alignment of {align}"))
    }

    fn access(&self, ptr: Value, offset: i32, len: u32) -> Result<(), Problem> {
        let last = i64::from(offset) + i64::from(len);
        let fits = i16::try_from(offset).is_ok() && last <= i64::from(i16::MAX) + 1;
        self.require(fits, || format!("access at offset {offset} to {last} does not fit 16 bits"))?;
        match self.slot_address(ptr) {
            Some((slot, start)) => self.slot(slot, start.saturating_add(offset), len),
            None => Ok(()),
        }
    }

    /// The address of a slot, where the value is defined before in this block or in one seen before.
    fn slot_address(&self, ptr: Value) -> Option<(Slot, i32)> {
        let (block, number) = (*self.defined.get(ptr.0 as usize)?)?;
        let inst = self.func.block(block).insts.get(number.checked_sub(1)?)?;
        match inst.op {
            Op::SlotAddr { slot, offset } => Some((slot, offset)),
            _ => None,
        }
    }

    fn slot(&self, slot: Slot, offset: i32, len: u32) -> Result<(), Problem> {
        let Some(data) = self.func.slots.get(slot.0 as usize) else {
            return self.fail(format!("slot {} does not exist", slot.0));
        };
        let end = i64::from(offset) + i64::from(len);
        self.require(offset >= 0 && end <= i64::from(data.size), || {
            format!("access to bytes {offset}..{end} of slot {}, which has {}", slot.0, data.size)
        })
    }
}
