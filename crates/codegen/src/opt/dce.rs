//! Drops operations, block parameters and arguments whose values nobody needs.

use crate::compile::CodegenOptions;
use crate::ir::flow::Flow;
use crate::ir::{Func, Terminator, Value};

/// Runs the pass.
pub(crate) fn run(func: &mut Func, _options: &CodegenOptions) {
    let flow = Flow::of(func);
    let needed = needed(func, &flow);
    let is_needed = |value: &Value| needed.get(value.0 as usize).copied().unwrap_or(true);
    for block in &mut func.blocks {
        block
            .insts
            .retain(|inst| !inst.op.is_removable() || inst.result.is_none_or(|result| is_needed(&result)));
    }
    let kept: Vec<Vec<bool>> =
        func.blocks.iter().map(|block| block.params.iter().map(is_needed).collect()).collect();
    for (at, block) in func.blocks.iter_mut().enumerate() {
        for jump in block.terminator.iter_mut().flat_map(Terminator::jumps_mut) {
            keep(&mut jump.args, &kept[jump.block.0 as usize]);
        }
        // The parameters of the entry are those of the function.
        if at > 0 {
            keep(&mut block.params, &kept[at]);
        }
    }
}

fn keep(values: &mut Vec<Value>, kept: &[bool]) {
    let mut kept = kept.iter();
    values.retain(|_| kept.next().copied().unwrap_or(true));
}

fn needed(func: &Func, flow: &Flow) -> Vec<bool> {
    /// What a value is computed from.
    #[derive(Clone, Copy)]
    enum Source {
        Param { block: u32, index: u32 },
        Inst { block: u32, index: u32 },
    }
    let mut sources: Vec<Option<Source>> = vec![None; func.values.len()];
    let mut work: Vec<Value> = Vec::new();
    for block in &flow.order {
        let data = func.block(*block);
        for (index, param) in data.params.iter().enumerate() {
            sources[param.0 as usize] = Some(Source::Param { block: block.0, index: index as u32 });
        }
        for (index, inst) in data.insts.iter().enumerate() {
            if let Some(result) = inst.result {
                sources[result.0 as usize] = Some(Source::Inst { block: block.0, index: index as u32 });
            }
            if !inst.op.is_removable() {
                inst.op.for_each_operand(|value| work.push(value));
            }
        }
        match &data.terminator {
            Some(Terminator::Branch { a, b, .. }) => work.extend([*a, *b]),
            Some(Terminator::Return(value)) => work.push(*value),
            _ => {}
        }
    }
    let mut needed = vec![false; func.values.len()];
    while let Some(value) = work.pop() {
        if std::mem::replace(&mut needed[value.0 as usize], true) {
            continue;
        }
        match sources[value.0 as usize] {
            Some(Source::Inst { block, index }) => {
                func.blocks[block as usize].insts[index as usize]
                    .op
                    .for_each_operand(|value| work.push(value));
            }
            Some(Source::Param { block, index }) => {
                for (pred, edge) in &flow.preds[block as usize] {
                    let jump =
                        func.block(*pred).terminator.as_ref().and_then(|t| t.jumps().nth(usize::from(*edge)));
                    work.extend(jump.and_then(|jump| jump.args.get(index as usize)));
                }
            }
            None => {}
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opt::check;

    #[test]
    fn drops_what_nobody_needs() {
        check(
            run,
            r#"func "f" {
b0(v0: ptr, v1):
  v2 = add v1, v1
  v3 = call.read ktime_get_ns
  v4 = call.write get_current_pid_tgid
  jump b1(v2, v1)
b1(v5, v6):
  v7 = add v5, v5
  branch.ne v6, v1, b1(v7, v6), b2(v5)
b2(v8):
  return v6
}"#,
            r#"func "f" {
b0(v0: ptr, v1):
  v4 = call.write get_current_pid_tgid
  jump b1(v1)
b1(v6):
  branch.ne v6, v1, b1(v6), b2
b2:
  return v6
}"#,
        );
    }
}
