//! Folds constants and simplifies single operations by the rules of [`super::rules`], looking at the definitions of
//! operands. Works through the blocks so that definitions come before uses; one walk reaches the end of chains.

use super::replace::Replacements;
use super::rules::{Rule, ADDRESS, BINARY, COMPARE, EXTEND};
use crate::compile::CodegenOptions;
use crate::ir::flow::Flow;
use crate::ir::{number, Func, Inst, Op, Size, SlotData, SrcLoc, Terminator, Ty, Value, Width};

/// What a rule makes of an operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Simple {
    /// This value is the result.
    Value(Value),
    /// This operation has the same result.
    Op(Op),
}

/// What rules see and add.
pub(super) struct Defs<'a> {
    /// Operation of each value; none for parameters and results of calls.
    ops: Vec<Option<Op>>,
    types: &'a mut Vec<Ty>,
    pub(super) slots: &'a [SlotData],
    before: Vec<Inst>,
    loc: SrcLoc,
}

/// Most rules applied to one operation.
const ROUNDS_MAX: usize = 16;

/// Runs the pass.
pub(crate) fn run(func: &mut Func, _options: &CodegenOptions) {
    let flow = Flow::of(func);
    let mut replaced = Replacements::of(func);
    let count = func.values.len();
    let mut defs = Defs {
        ops: vec![None; count],
        types: &mut func.values,
        slots: &func.slots,
        before: Vec::new(),
        loc: SrcLoc::NONE,
    };
    for block in &flow.order {
        let block = &mut func.blocks[block.0 as usize];
        let mut insts = Vec::with_capacity(block.insts.len());
        for mut inst in std::mem::take(&mut block.insts) {
            defs.loc = inst.loc;
            inst.op.for_each_operand_mut(|value| *value = replaced.get(*value));
            let same = simplify(&mut defs, &mut inst.op);
            insts.append(&mut defs.before);
            if let (Some(same), Some(result)) = (same, inst.result) {
                replaced.replace(result, same);
                continue;
            }
            if let (Some(result), true) = (inst.result, is_looked_at(&inst.op)) {
                defs.ops[result.0 as usize] = Some(inst.op.clone());
            }
            insts.push(inst);
        }
        defs.loc = block.terminator_loc.unwrap_or(SrcLoc::NONE);
        if let Some(terminator) = &mut block.terminator {
            terminator.for_each_operand_mut(|value| *value = replaced.get(*value));
            fold_branch(&mut defs, terminator);
        }
        insts.append(&mut defs.before);
        block.insts = insts;
    }
    replaced.apply(func);
}

/// Treats the test of a branch as a comparison.
fn fold_branch(defs: &mut Defs<'_>, terminator: &mut Terminator) {
    let Terminator::Branch { cond, width, a, b, then, otherwise } = terminator else { return };
    let mut op = Op::Compare { cond: *cond, width: *width, a: *a, b: *b };
    if let Some(value) = simplify(defs, &mut op) {
        // Only the result of a comparison comes out as a value.
        match defs.op(value) {
            Some(compare @ Op::Compare { .. }) => op = compare.clone(),
            _ => return,
        }
    }
    match op {
        Op::Const(0) => *terminator = Terminator::Jump(otherwise.clone()),
        Op::Const(_) => *terminator = Terminator::Jump(then.clone()),
        Op::Compare { cond: new, width: new_width, a: left, b: right } => {
            (*cond, *width, *a, *b) = (new, new_width, left, right);
        }
        _ => {}
    }
}

/// Changes the operation as far as rules go; gives the value that it equals, if there is one.
fn simplify(defs: &mut Defs<'_>, op: &mut Op) -> Option<Value> {
    for _ in 0..ROUNDS_MAX {
        match step(defs, op) {
            None => return None,
            Some(Simple::Value(value)) => return Some(value),
            Some(Simple::Op(new)) => *op = new,
        }
    }
    None
}

fn step(defs: &mut Defs<'_>, op: &Op) -> Option<Simple> {
    let rules: &[Rule] = match op {
        Op::Binary { .. } => BINARY,
        Op::Extend { .. } | Op::ByteSwap { .. } => EXTEND,
        Op::Compare { .. } => COMPARE,
        Op::Load { .. }
        | Op::Store { .. }
        | Op::Atomic { .. }
        | Op::CompareExchange { .. }
        | Op::MemCopy { .. }
        | Op::MemZero { .. } => ADDRESS,
        _ => return None,
    };
    rules.iter().find_map(|rule| (rule.run)(defs, op))
}

/// Operations that rules look at as operands.
fn is_looked_at(op: &Op) -> bool {
    !matches!(op, Op::Call { .. } | Op::CallKfunc { .. } | Op::CallLocal { .. })
}

impl Defs<'_> {
    /// The operation that defines a value.
    pub(super) fn op(&self, value: Value) -> Option<&Op> {
        self.ops.get(value.0 as usize)?.as_ref()
    }

    /// The value as a number.
    pub(super) fn number(&self, value: Value) -> Option<i64> {
        match self.op(value) {
            Some(Op::Const(number)) => Some(*number),
            _ => None,
        }
    }

    /// The type of a value.
    pub(super) fn is_int(&self, value: Value) -> bool {
        self.types.get(value.0 as usize) == Some(&Ty::Int)
    }

    /// A number as a value.
    pub(super) fn iconst(&mut self, number: i64) -> Value {
        self.push(Op::Const(number))
    }

    /// An operation with a numeric result before the one that is simplified.
    pub(super) fn push(&mut self, op: Op) -> Value {
        let result = Value(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        self.types.push(Ty::Int);
        self.ops.push(Some(op.clone()));
        self.before.push(Inst { result: Some(result), op, loc: self.loc });
        result
    }

    /// How many low bits may be set; the bits above are 0. Only facts that the kernel's verifier knows, too: a mask that
    /// it needs must not be taken away.
    pub(super) fn bits(&self, value: Value) -> u32 {
        self.bits_within(value, 4)
    }

    fn bits_within(&self, value: Value, depth: u32) -> u32 {
        let Some(op) = self.op(value) else { return 64 };
        let inner = |value| if depth == 0 { 64 } else { self.bits_within(value, depth - 1) };
        match op {
            Op::Const(number) => 64 - number.leading_zeros(),
            Op::Load { size, signed: false, ty: Ty::Int, .. }
            | Op::Extend { size, signed: false, .. }
            | Op::ByteSwap { size, .. } => {
                let bits = size.bytes() * 8;
                match op {
                    Op::Extend { a, .. } => bits.min(inner(*a)),
                    _ => bits,
                }
            }
            Op::Compare { .. } => 1,
            Op::Binary { op, width, a, b } => {
                use crate::ir::BinOp;
                let limit = if *width == Width::W32 { 32 } else { 64 };
                let bits = match (op, self.number(*b)) {
                    (BinOp::And, _) => inner(*a).min(inner(*b)),
                    (BinOp::Or | BinOp::Xor, _) => inner(*a).max(inner(*b)),
                    (BinOp::LShr, Some(count)) => {
                        inner(*a).min(limit).saturating_sub(count as u32 & (limit - 1))
                    }
                    (BinOp::Shl, Some(count)) => inner(*a).saturating_add(count as u32 & (limit - 1)),
                    _ => 64,
                };
                bits.min(limit)
            }
            _ => 64,
        }
    }
}

/// The width's view of a value as a result: itself, or its lower half.
pub(super) fn same(width: Width, value: Value) -> Simple {
    match width {
        Width::W64 => Simple::Value(value),
        Width::W32 => Simple::Op(Op::Extend { size: Size::B4, signed: false, a: value }),
    }
}

/// A number as a result.
pub(super) fn constant(width: Width, value: i64) -> Simple {
    Simple::Op(Op::Const(match width {
        Width::W64 => value,
        Width::W32 => number::extend(Size::B4, false, value),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opt::check;

    #[test]
    fn branches_take_over_comparisons() {
        check(
            run,
            r#"func "f" {
b0(v0: ptr, v1, v2):
  v3 = compare.slt v1, v2
  v4 = const 0
  branch.eq v3, v4, b1, b2
b1:
  branch.ne v4, v4, b2, b3
b2:
  return v1
b3:
  return v2
}"#,
            r#"func "f" {
b0(v0: ptr, v1, v2):
  v3 = compare.slt v1, v2
  v4 = const 0
  branch.sge v1, v2, b1, b2
b1:
  jump b3
b2:
  return v1
b3:
  return v2
}"#,
        );
    }
}
