//! Value numbering over the dominator tree: an operation that was already done on the way here gives the same value, and
//! a condition that was already tested on the way here is known.
//!
//! Only operations of [`Op::is_mergeable`] are merged, into one that dominates them: nothing is moved up, so that a load
//! stays behind the null check that allows it.

use super::replace::Replacements;
use crate::compile::CodegenOptions;
use crate::ir::flow::Flow;
use crate::ir::{Block, Cond, Func, Op, Terminator, Ty, Value, Width};
use std::collections::HashMap;

/// Runs the pass.
pub(crate) fn run(func: &mut Func, _options: &CodegenOptions) {
    let flow = Flow::of(func);
    let children = flow.dominator_children();
    let mut walk = Walk {
        flow: &flow,
        replaced: Replacements::of(func),
        seen: HashMap::new(),
        known: HashMap::new(),
        undo: Vec::new(),
    };
    enum Step {
        Enter(Block),
        Leave(usize),
    }
    let mut steps = vec![Step::Enter(Block(0))];
    while let Some(step) = steps.pop() {
        match step {
            Step::Enter(block) => {
                steps.push(Step::Leave(walk.undo.len()));
                walk.block(func, block);
                steps.extend(children[block.0 as usize].iter().rev().map(|child| Step::Enter(*child)));
            }
            Step::Leave(mark) => walk.leave(mark),
        }
    }
    walk.replaced.apply(func);
}

/// What a scope added or hid.
enum Undo {
    Seen(Op),
    Known(Condition, Option<bool>),
}

type Condition = (Cond, Width, Value, Value);

struct Walk<'a> {
    flow: &'a Flow,
    replaced: Replacements,
    seen: HashMap<Op, Value>,
    known: HashMap<Condition, bool>,
    undo: Vec<Undo>,
}

impl Walk<'_> {
    fn block(&mut self, func: &mut Func, block: Block) {
        if let [(pred, edge)] = self.flow.preds[block.0 as usize][..] {
            self.learn(func, pred, edge);
        }
        let mut insts = std::mem::take(&mut func.blocks[block.0 as usize].insts);
        insts.retain_mut(|inst| {
            inst.op.for_each_operand_mut(|value| *value = self.replaced.get(*value));
            let Some(result) = inst.result.filter(|_| inst.op.is_mergeable()) else { return true };
            if let Op::Compare { cond, width, a, b } = inst.op {
                if let Some(holds) = self.known.get(&normal(cond, width, a, b)) {
                    inst.op = Op::Const(i64::from(*holds));
                }
            }
            let key = ordered(&inst.op, &func.values);
            match self.seen.get(&key) {
                Some(same) => {
                    self.replaced.replace(result, *same);
                    false
                }
                None => {
                    self.undo.push(Undo::Seen(key.clone()));
                    self.seen.insert(key, result);
                    true
                }
            }
        });
        func.blocks[block.0 as usize].insts = insts;
        self.terminator(&mut func.blocks[block.0 as usize].terminator);
    }

    /// A test whose outcome is known becomes a jump.
    fn terminator(&mut self, terminator: &mut Option<Terminator>) {
        let Some(Terminator::Branch { cond, width, a, b, then, otherwise }) = terminator else { return };
        let (a, b) = (self.replaced.get(*a), self.replaced.get(*b));
        if let Some(holds) = self.known.get(&normal(*cond, *width, a, b)) {
            let jump = if *holds { then.clone() } else { otherwise.clone() };
            *terminator = Some(Terminator::Jump(jump));
        }
    }

    /// What the only way into a block tells.
    fn learn(&mut self, func: &Func, pred: Block, edge: u8) {
        let Some(Terminator::Branch { cond, width, a, b, then, otherwise }) = &func.block(pred).terminator
        else {
            return;
        };
        if then.block == otherwise.block {
            return;
        }
        let (a, b) = (self.replaced.get(*a), self.replaced.get(*b));
        let holds = edge == 0;
        let mut facts = vec![(normal(*cond, *width, a, b), holds)];
        facts.extend(cond.inverted().map(|inverse| (normal(inverse, *width, a, b), !holds)));
        // What equality and order say of each other.
        let implied: &[(Cond, bool)] = match (cond, holds) {
            (Cond::Ult | Cond::Ugt | Cond::Slt | Cond::Sgt, true) => &[(Cond::Eq, false), (Cond::Ne, true)],
            (Cond::Ule | Cond::Uge | Cond::Sle | Cond::Sge, false) => &[(Cond::Eq, false), (Cond::Ne, true)],
            _ => &[],
        };
        facts.extend(implied.iter().map(|(cond, holds)| (normal(*cond, *width, a, b), *holds)));
        for (condition, holds) in facts {
            let before = self.known.insert(condition, holds);
            self.undo.push(Undo::Known(condition, before));
        }
    }

    fn leave(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Seen(op)) => {
                    self.seen.remove(&op);
                }
                Some(Undo::Known(condition, Some(before))) => {
                    self.known.insert(condition, before);
                }
                Some(Undo::Known(condition, None)) => {
                    self.known.remove(&condition);
                }
                None => {}
            }
        }
    }
}

/// A condition with its operands in the order of their numbers.
fn normal(cond: Cond, width: Width, a: Value, b: Value) -> Condition {
    if b < a {
        (cond.swapped(), width, b, a)
    } else {
        (cond, width, a, b)
    }
}

/// The operation with the operands of commutative arithmetic on numbers in the order of their numbers.
fn ordered(op: &Op, types: &[Ty]) -> Op {
    let is_int = |value: Value| types.get(value.0 as usize) == Some(&Ty::Int);
    match *op {
        Op::Binary { op, width, a, b } if op.is_commutative() && b < a && is_int(a) && is_int(b) => {
            Op::Binary { op, width, a: b, b: a }
        }
        Op::Compare { cond, width, a, b } => {
            let (cond, width, a, b) = normal(cond, width, a, b);
            Op::Compare { cond, width, a, b }
        }
        _ => op.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opt::check;

    #[test]
    fn merges_equal_operations_and_calls() {
        check(
            run,
            r#"func "f" {
b0(v0: ptr, v1):
  v2 = call.once get_current_pid_tgid
  v3 = add v1, v2
  v4 = load.u8.invariant [v0 + 8]
  v5 = call.once get_current_pid_tgid
  v6 = add v5, v1
  v7 = load.u8.invariant [v0 + 8]
  v8 = load.u8 [v0 + 8]
  v9 = load.u8 [v0 + 8]
  v10 = call.read ktime_get_ns
  v11 = call.read ktime_get_ns
  v12 = call_local 1(v3, v6, v4, v7)
  return v12
}"#,
            r#"func "f" {
b0(v0: ptr, v1):
  v2 = call.once get_current_pid_tgid
  v3 = add v1, v2
  v4 = load.u8.invariant [v0 + 8]
  v8 = load.u8 [v0 + 8]
  v9 = load.u8 [v0 + 8]
  v10 = call.read ktime_get_ns
  v11 = call.read ktime_get_ns
  v12 = call_local 1(v3, v3, v4, v4)
  return v12
}"#,
        );
    }

    #[test]
    fn does_not_merge_over_branches_that_do_not_dominate() {
        let text = r#"func "f" {
b0(v0: ptr, v1):
  branch.eq v0, v1, b1, b2
b1:
  v2 = load.u8.invariant [v0]
  jump b3(v2)
b2:
  v3 = load.u8.invariant [v0]
  jump b3(v3)
b3(v4):
  return v4
}"#;
        check(run, text, text);
    }

    #[test]
    fn knows_conditions_on_the_way() {
        check(
            run,
            r#"func "f" {
b0(v0: ptr, v1, v2):
  branch.ult v1, v2, b1, b2
b1:
  branch.ugt v2, v1, b3, b4
b2:
  v5 = compare.uge v1, v2
  return v5
b3:
  v6 = compare.eq v1, v2
  return v6
b4:
  return v2
}"#,
            r#"func "f" {
b0(v0: ptr, v1, v2):
  branch.ult v1, v2, b1, b2
b1:
  jump b3
b2:
  v5 = const 1
  return v5
b3:
  v6 = const 0
  return v6
b4:
  return v2
}"#,
        );
    }
}
