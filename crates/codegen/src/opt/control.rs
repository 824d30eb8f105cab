//! Simplifies control flow: jumps through blocks that only jump on or whose test is known on that way, joins blocks that
//! follow each other, drops parameters that have one value only and blocks that are never reached.

use super::replace::Replacements;
use crate::compile::CodegenOptions;
use crate::ir::flow::Flow;
use crate::ir::{number, Block, BlockData, Func, Inst, Jump, Op, SrcLoc, Terminator, Value};

/// Most rounds over the function, and most blocks that one jump is led through in a round.
const ROUNDS_MAX: usize = 8;

/// Runs the pass.
pub(crate) fn run(func: &mut Func, _options: &CodegenOptions) {
    drop_unreached(func);
    for _ in 0..ROUNDS_MAX {
        let threaded = thread(func);
        drop_unreached(func);
        let merged_params = merge_params(func);
        let joined = join_blocks(func);
        if !(threaded || merged_params || joined) {
            break;
        }
    }
}

/// Empties blocks that are never reached, so that they count nowhere.
fn drop_unreached(func: &mut Func) {
    let flow = Flow::of(func);
    for (at, block) in func.blocks.iter_mut().enumerate() {
        if !flow.is_reached(Block(at as u32)) {
            *block = BlockData { terminator: Some(Terminator::Unreachable), ..BlockData::default() };
        }
    }
}

/// What threading knows of values.
struct Facts {
    numbers: Vec<Option<i64>>,
    /// Block of the definition.
    block: Vec<u32>,
    /// Used in another block than that of its definition.
    leaves: Vec<bool>,
}

impl Facts {
    fn of(func: &Func) -> Facts {
        let count = func.values.len();
        let mut facts =
            Facts { numbers: vec![None; count], block: vec![u32::MAX; count], leaves: vec![false; count] };
        for (at, block) in func.blocks.iter().enumerate() {
            for param in &block.params {
                facts.block[param.0 as usize] = at as u32;
            }
            for inst in &block.insts {
                let Some(result) = inst.result else { continue };
                facts.block[result.0 as usize] = at as u32;
                if let Op::Const(number) = inst.op {
                    facts.numbers[result.0 as usize] = Some(number);
                }
            }
        }
        for (at, block) in func.blocks.iter().enumerate() {
            let mut used = |value: Value| {
                if facts.block[value.0 as usize] != at as u32 {
                    facts.leaves[value.0 as usize] = true;
                }
            };
            block.insts.iter().for_each(|inst| inst.op.for_each_operand(&mut used));
            block.terminator.iter().for_each(|terminator| terminator.for_each_operand(&mut used));
        }
        facts
    }

    /// The block does nothing and nothing needs what it defines.
    fn is_passage(&self, block: &BlockData) -> bool {
        let only_numbers = block.insts.iter().all(|inst| matches!(inst.op, Op::Const(_)));
        let results = block.insts.iter().filter_map(|inst| inst.result);
        only_numbers
            && block.params.iter().copied().chain(results).all(|value| !self.leaves[value.0 as usize])
    }

    /// Where a jump to a passage ends up, if that is certain.
    fn through(&self, func: &Func, jump: &Jump) -> Option<Jump> {
        let block = func.block(jump.block);
        if jump.block.0 == 0 || !self.is_passage(block) {
            return None;
        }
        let actual = |value: Value| {
            let param = block.params.iter().position(|param| *param == value);
            param.and_then(|param| jump.args.get(param)).copied().unwrap_or(value)
        };
        let next = match block.terminator.as_ref()? {
            Terminator::Jump(next) => next,
            Terminator::Branch { cond, width, a, b, then, otherwise } => {
                let number = |value| self.numbers[actual(value).0 as usize];
                let holds = number::holds(*cond, *width, number(*a)?, number(*b)?);
                if holds {
                    then
                } else {
                    otherwise
                }
            }
            _ => return None,
        };
        let args: Vec<Value> = next.args.iter().map(|arg| actual(*arg)).collect();
        let stays = args.iter().any(|arg| self.block[arg.0 as usize] == jump.block.0);
        (!stays && next.block != jump.block).then_some(Jump { block: next.block, args })
    }
}

fn thread(func: &mut Func) -> bool {
    let facts = Facts::of(func);
    let mut changed = false;
    for at in 0..func.blocks.len() {
        let Some(mut terminator) = func.blocks[at].terminator.take() else { continue };
        for jump in terminator.jumps_mut() {
            for _ in 0..ROUNDS_MAX {
                // The block itself has no terminator at the moment and is no passage.
                let Some(next) = facts.through(func, jump) else { break };
                *jump = next;
                changed = true;
            }
        }
        if let Terminator::Branch { then, otherwise, .. } = &terminator {
            if then == otherwise {
                terminator = Terminator::Jump(then.clone());
                changed = true;
            }
        }
        func.blocks[at].terminator = Some(terminator);
    }
    changed
}

/// Parameters that are given the same value (or the same number, or themselves) by all jumps.
fn merge_params(func: &mut Func) -> bool {
    let flow = Flow::of(func);
    let facts = Facts::of(func);
    let mut replaced = Replacements::of(func);
    let mut changed = false;
    for block in flow.order.iter().skip(1) {
        let at = block.0 as usize;
        let params = func.blocks[at].params.clone();
        let mut kept = vec![true; params.len()];
        for (index, param) in params.iter().enumerate() {
            let args = flow.preds[at].iter().filter_map(|(pred, edge)| {
                let terminator = func.block(*pred).terminator.as_ref()?;
                terminator.jumps().nth(usize::from(*edge))?.args.get(index).copied()
            });
            let args: Vec<Value> = args.map(|arg| replaced.get(arg)).filter(|arg| arg != param).collect();
            let Some(first) = args.first().copied() else { continue };
            let number = facts.numbers.get(first.0 as usize).copied().flatten();
            if args.iter().all(|arg| *arg == first) {
                replaced.replace(*param, first);
            } else if number.is_some() && args.iter().all(|arg| facts.numbers[arg.0 as usize] == number) {
                let op = Op::Const(number.unwrap_or(0));
                func.blocks[at].insts.insert(0, Inst { result: Some(*param), op, loc: SrcLoc::NONE });
            } else {
                continue;
            }
            kept[index] = false;
            changed = true;
        }
        if kept.contains(&false) {
            retain(&mut func.blocks[at].params, &kept);
            for (pred, edge) in &flow.preds[at] {
                let terminator = func.blocks[pred.0 as usize].terminator.as_mut();
                let jump = terminator.and_then(|terminator| terminator.jumps_mut().nth(usize::from(*edge)));
                if let Some(jump) = jump {
                    retain(&mut jump.args, &kept);
                }
            }
        }
    }
    replaced.apply(func);
    changed
}

fn retain(values: &mut Vec<Value>, kept: &[bool]) {
    let mut kept = kept.iter();
    values.retain(|_| kept.next().copied().unwrap_or(true));
}

/// Appends a block to the only one that jumps to it, where that goes nowhere else.
fn join_blocks(func: &mut Func) -> bool {
    let flow = Flow::of(func);
    let mut replaced = Replacements::of(func);
    let mut changed = false;
    for block in &flow.order {
        let at = block.0 as usize;
        while let Some(Terminator::Jump(jump)) = &func.blocks[at].terminator {
            let target = jump.block;
            if target.0 == 0 || target == *block || flow.preds[target.0 as usize].len() != 1 {
                break;
            }
            let args = jump.args.clone();
            let gone = BlockData { terminator: Some(Terminator::Unreachable), ..BlockData::default() };
            let next = std::mem::replace(&mut func.blocks[target.0 as usize], gone);
            for (param, arg) in next.params.iter().zip(args) {
                replaced.replace(*param, arg);
            }
            let joined = &mut func.blocks[at];
            joined.insts.extend(next.insts);
            joined.terminator = next.terminator;
            joined.terminator_loc = next.terminator_loc;
            changed = true;
        }
    }
    replaced.apply(func);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opt::check;

    #[test]
    fn joins_and_drops_blocks() {
        check(
            run,
            r#"func "f" {
b0(v0: ptr, v1):
  jump b1(v1)
b1(v2):
  jump b3
b2:
  jump b3
b3:
  return v2
}"#,
            "func \"f\" {\nb0(v0: ptr, v1):\n return v1\n}",
        );
    }

    #[test]
    fn leads_jumps_past_tests_that_are_known() {
        // a && b as a value, then tested again.
        check(
            run,
            r#"func "f" {
b0(v0: ptr, v1, v2):
  v3 = const 0
  v4 = const 1
  branch.ne v1, v3, b1, b2(v3)
b1:
  branch.ne v2, v3, b2(v4), b2(v3)
b2(v5):
  v6 = const 0
  branch.ne v5, v6, b3, b4
b3:
  return v1
b4:
  return v2
}"#,
            r#"func "f" {
b0(v0: ptr, v1, v2):
  v3 = const 0
  v4 = const 1
  branch.ne v1, v3, b1, b4
b1:
  branch.ne v2, v3, b3, b4
b3:
  return v1
b4:
  return v2
}"#,
        );
    }

    #[test]
    fn drops_parameters_with_one_value() {
        check(
            run,
            r#"func "f" {
b0(v0: ptr, v1):
  jump b1(v1, v1)
b1(v2, v3):
  v4 = add v2, v3
  branch.ne v4, v1, b1(v2, v4), b2
b2:
  return v3
}"#,
            r#"func "f" {
b0(v0: ptr, v1):
  jump b1(v1)
b1(v3):
  v4 = add v1, v3
  branch.ne v4, v1, b1(v4), b2
b2:
  return v3
}"#,
        );
    }

    #[test]
    fn keeps_endless_loops() {
        let text = "func \"f\" {\nb0(v0: ptr):\n jump b1\nb1:\n jump b1\n}";
        check(run, text, text);
    }
}
