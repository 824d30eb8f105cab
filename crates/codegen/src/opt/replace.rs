//! Values that stand for others: collected by a pass, applied to the whole function at its end.

use crate::ir::{Func, Value};

/// For each value the one that replaces it.
pub(crate) struct Replacements {
    to: Vec<Value>,
    any: bool,
}

impl Replacements {
    /// None yet.
    pub(crate) fn of(func: &Func) -> Replacements {
        Replacements { to: (0..func.values.len() as u32).map(Value).collect(), any: false }
    }

    /// `value` is to be `by` everywhere; its definition goes.
    pub(crate) fn replace(&mut self, value: Value, by: Value) {
        let by = self.get(by);
        if let (Some(to), true) = (self.to.get_mut(value.0 as usize), value != by) {
            *to = by;
            self.any = true;
        }
    }

    /// What stands for the value now.
    pub(crate) fn get(&mut self, value: Value) -> Value {
        let mut end = value;
        while let Some(next) = self.to.get(end.0 as usize).filter(|next| **next != end) {
            end = *next;
        }
        let mut at = value;
        while at != end {
            at = std::mem::replace(&mut self.to[at.0 as usize], end);
        }
        end
    }

    /// Renames all uses.
    pub(crate) fn apply(mut self, func: &mut Func) {
        if !self.any {
            return;
        }
        for block in &mut func.blocks {
            for inst in &mut block.insts {
                inst.op.for_each_operand_mut(|value| *value = self.get(*value));
            }
            if let Some(terminator) = &mut block.terminator {
                terminator.for_each_operand_mut(|value| *value = self.get(*value));
            }
        }
    }
}
