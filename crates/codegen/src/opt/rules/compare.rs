//! Rules of comparison. The branch pass asks them, too.

use super::super::fold::{Defs, Simple};
use super::Rule;
use crate::ir::{number, BinOp, Cond, Op, Value, Width};

#[derive(Clone, Copy)]
struct Compare {
    cond: Cond,
    width: Width,
    a: Value,
    b: Value,
}

fn parts(op: &Op) -> Option<Compare> {
    match *op {
        Op::Compare { cond, width, a, b } => Some(Compare { cond, width, a, b }),
        _ => None,
    }
}

fn with_number(defs: &Defs<'_>, op: &Op) -> Option<(Compare, i64)> {
    let compare = parts(op)?;
    let number = defs.number(compare.b)?;
    Some((compare, super::binary::at_width(compare.width, number)))
}

fn truth(holds: bool) -> Simple {
    Simple::Op(Op::Const(i64::from(holds)))
}

/// Rules of `Op::Compare`, tried in order.
pub(in crate::opt) const COMPARE: &[Rule] = &[
    Rule {
        equation: "(c ? d) == number",
        example: ("v3 = const 1; v4 = const -1; v9 = compare.ult v3, v4", "v9 = const 1"),
        run: |defs, op| {
            let (compare, b) = with_number(defs, op)?;
            let a = defs.number(compare.a)?;
            Some(truth(number::holds(compare.cond, compare.width, a, b)))
        },
    },
    Rule {
        equation: "(c ? x) == (x ?' c)",
        example: ("v3 = const 5; v9 = compare.ult v3, v1", "v3 = const 5; v9 = compare.ugt v1, v3"),
        run: |defs, op| {
            let Compare { cond, width, a, b } = parts(op)?;
            let swap = defs.number(a).is_some() && defs.number(b).is_none();
            swap.then_some(Simple::Op(Op::Compare { cond: cond.swapped(), width, a: b, b: a }))
        },
    },
    Rule {
        equation: "(x ? x) == number",
        example: ("v9 = compare.sle v1, v1", "v9 = const 1"),
        run: |_, op| {
            let Compare { cond, a, b, .. } = parts(op)?;
            let holds = matches!(cond, Cond::Eq | Cond::Ule | Cond::Uge | Cond::Sle | Cond::Sge);
            (a == b && cond != Cond::Test).then(|| truth(holds))
        },
    },
    Rule {
        equation: "x < 0 == 0, x >= 0 == 1, unsigned",
        example: ("v3 = const 0; v9 = compare.uge v1, v3", "v9 = const 1"),
        run: |defs, op| {
            let (compare, number) = with_number(defs, op)?;
            match (compare.cond, number) {
                (Cond::Ult | Cond::Test, 0) => Some(truth(false)),
                (Cond::Uge, 0) => Some(truth(true)),
                _ => None,
            }
        },
    },
    Rule {
        equation: "x < 1 == (x == 0), x > 0 == (x != 0), unsigned; likewise x <= 0, x >= 1",
        example: ("v3 = const 1; v9 = compare.ult v1, v3", "v4 = const 0; v9 = compare.eq v1, v4"),
        run: |defs, op| {
            let (Compare { cond, width, a, .. }, number) = with_number(defs, op)?;
            let cond = match (cond, number) {
                (Cond::Ult, 1) | (Cond::Ule, 0) => Cond::Eq,
                (Cond::Uge, 1) | (Cond::Ugt, 0) => Cond::Ne,
                _ => return None,
            };
            let b = defs.iconst(0);
            Some(Simple::Op(Op::Compare { cond, width, a, b }))
        },
    },
    Rule {
        equation: "(x ? c) == number, where c is above all that x may be",
        example: ("v3 = load.u1 [v0]; v4 = const 256; v9 = compare.ult v3, v4", "v9 = const 1"),
        run: |defs, op| {
            let (compare, number) = with_number(defs, op)?;
            let bits = defs.bits(compare.a);
            let limit = if compare.width == Width::W32 { 31 } else { 63 };
            if bits >= limit || number < 1i64 << bits {
                return None;
            }
            match compare.cond {
                Cond::Eq | Cond::Ugt | Cond::Uge | Cond::Sgt | Cond::Sge => Some(truth(false)),
                Cond::Ne | Cond::Ult | Cond::Ule | Cond::Slt | Cond::Sle => Some(truth(true)),
                Cond::Test => None,
            }
        },
    },
    Rule {
        equation: "((x ? y) != 0) == (x ? y), ((x ? y) == 1) == (x ? y)",
        example: (
            "v3 = compare.ult v1, v2; v4 = const 0; v9 = compare.ne v3, v4",
            "v3 = compare.ult v1, v2; store.8 [v0], v3",
        ),
        run: |defs, op| {
            let (compare, number) = with_number(defs, op)?;
            let is_truth = matches!(defs.op(compare.a)?, Op::Compare { .. });
            let same = matches!((compare.cond, number), (Cond::Ne, 0) | (Cond::Eq, 1));
            (is_truth && same).then_some(Simple::Value(compare.a))
        },
    },
    Rule {
        equation: "((x ? y) == 0) == !(x ? y), ((x ? y) != 1) == !(x ? y)",
        example: ("v3 = compare.ult v1, v2; v4 = const 0; v9 = compare.eq v3, v4", "v9 = compare.uge v1, v2"),
        run: |defs, op| {
            let (outer, number) = with_number(defs, op)?;
            let Compare { cond, width, a, b } = parts(defs.op(outer.a)?)?;
            let opposite = matches!((outer.cond, number), (Cond::Eq, 0) | (Cond::Ne, 1));
            let cond = cond.inverted().filter(|_| opposite)?;
            Some(Simple::Op(Op::Compare { cond, width, a, b }))
        },
    },
    Rule {
        equation: "((x ^ y) == 0) == (x == y), ((x - y) == 0) == (x == y)",
        example: ("v3 = xor v1, v2; v4 = const 0; v9 = compare.ne v3, v4", "v9 = compare.ne v1, v2"),
        run: |defs, op| {
            let (Compare { cond, width, a, .. }, number) = with_number(defs, op)?;
            let Op::Binary { op, width: inner, a: x, b: y } = *defs.op(a)? else { return None };
            let difference = matches!(op, BinOp::Xor | BinOp::Sub) && inner == width;
            let equality = matches!(cond, Cond::Eq | Cond::Ne) && number == 0;
            let numbers = defs.is_int(x) && defs.is_int(y);
            let fits = difference && equality && numbers && defs.number(y).is_none();
            fits.then_some(Simple::Op(Op::Compare { cond, width, a: x, b: y }))
        },
    },
];
