//! Replaces single operations by sequences.

use crate::ir::{Func, Inst, Op, SrcLoc, Ty, Value};

/// Where a replacement's operations go.
pub(crate) struct Rewriter<'a> {
    values: &'a mut Vec<Ty>,
    before: Vec<Inst>,
    loc: SrcLoc,
}

impl Rewriter<'_> {
    /// Calls `replace` for each operation: what it gives takes the operation's place and result; what it pushed comes
    /// before.
    pub(crate) fn run(func: &mut Func, mut replace: impl FnMut(&mut Rewriter<'_>, &Op) -> Option<Op>) {
        let mut rewriter = Rewriter { values: &mut func.values, before: Vec::new(), loc: SrcLoc::NONE };
        for block in &mut func.blocks {
            let mut insts = Vec::with_capacity(block.insts.len());
            for mut inst in std::mem::take(&mut block.insts) {
                rewriter.loc = inst.loc;
                let new = replace(&mut rewriter, &inst.op);
                insts.append(&mut rewriter.before);
                inst.op = new.unwrap_or(inst.op);
                insts.push(inst);
            }
            block.insts = insts;
        }
    }

    /// Puts an operation with a numeric result before the one under replacement.
    pub(crate) fn push(&mut self, op: Op) -> Value {
        let result = Value(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        self.values.push(Ty::Int);
        self.before.push(Inst { result: Some(result), op, loc: self.loc });
        result
    }
}
