//! Replaces what the target machine does not have: loop guards before Linux 6.9, signed division before version 4 of the
//! instruction set.

use super::rewrite::Rewriter;
use crate::compile::CodegenOptions;
use crate::ir::{BinOp, Func, Op, Size, Terminator, Value, Width};

/// Runs the pass.
pub(crate) fn run(func: &mut Func, options: &CodegenOptions) {
    if !options.may_goto {
        for block in &mut func.blocks {
            if let Some(Terminator::LoopGuard { body, .. }) = &block.terminator {
                block.terminator = Some(Terminator::Jump(body.clone()));
            }
        }
    }
    if !options.cpu_v4 {
        Rewriter::run(func, |rewriter, op| match op {
            Op::Binary { op: op @ (BinOp::SDiv | BinOp::SMod), width, a, b } => {
                Some(signed_division(rewriter, *op, *width, *a, *b))
            }
            _ => None,
        });
    }
}

/// Divides the magnitudes, then gives the result its sign. What the machine says of a divisor of 0 (quotient 0,
/// remainder the dividend) comes out by itself.
fn signed_division(rewriter: &mut Rewriter<'_>, op: BinOp, width: Width, a: Value, b: Value) -> Op {
    let is_narrow = width == Width::W32;
    let (a, b) = if is_narrow {
        let extend = |a| Op::Extend { size: Size::B4, signed: true, a };
        (rewriter.push(extend(a)), rewriter.push(extend(b)))
    } else {
        (a, b)
    };
    let count = rewriter.push(Op::Const(63));
    let sign_a = rewriter.push(wide(BinOp::AShr, a, count));
    let sign_b = rewriter.push(wide(BinOp::AShr, b, count));
    let magnitude_a = negate_if(rewriter, a, sign_a);
    let magnitude_b = negate_if(rewriter, b, sign_b);
    let (result, sign) = if op == BinOp::SDiv {
        let quotient = rewriter.push(wide(BinOp::UDiv, magnitude_a, magnitude_b));
        (quotient, rewriter.push(wide(BinOp::Xor, sign_a, sign_b)))
    } else {
        (rewriter.push(wide(BinOp::UMod, magnitude_a, magnitude_b)), sign_a)
    };
    let flipped = rewriter.push(wide(BinOp::Xor, result, sign));
    let signed = wide(BinOp::Sub, flipped, sign);
    if !is_narrow {
        return signed;
    }
    let signed = rewriter.push(signed);
    Op::Extend { size: Size::B4, signed: false, a: signed }
}

/// `value` if `sign` is 0, `-value` if it is -1.
fn negate_if(rewriter: &mut Rewriter<'_>, value: Value, sign: Value) -> Value {
    let flipped = rewriter.push(wide(BinOp::Xor, value, sign));
    rewriter.push(wide(BinOp::Sub, flipped, sign))
}

fn wide(op: BinOp, a: Value, b: Value) -> Op {
    Op::Binary { op, width: Width::W64, a, b }
}
