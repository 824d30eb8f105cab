//! Rules of extension and byte order.

use super::super::fold::Simple;
use super::Rule;
use crate::ir::{number, Op, Size, Value};

fn parts(op: &Op) -> Option<(Size, bool, Value)> {
    match *op {
        Op::Extend { size, signed, a } => Some((size, signed, a)),
        _ => None,
    }
}

fn swap(op: &Op) -> Option<(Size, Value)> {
    match *op {
        Op::ByteSwap { size, a } => Some((size, a)),
        _ => None,
    }
}

/// Rules of `Op::Extend` and `Op::ByteSwap`, tried in order.
pub(in crate::opt) const EXTEND: &[Rule] = &[
    Rule {
        equation: "(narrow)c == number",
        example: ("v3 = const 511; v9 = extend.s1 v3", "v9 = const -1"),
        run: |defs, op| {
            let (size, signed, a) = parts(op)?;
            Some(Simple::Op(Op::Const(number::extend(size, signed, defs.number(a)?))))
        },
    },
    Rule {
        equation: "(u64)x == x",
        example: ("v9 = extend.s8 v1", "store.8 [v0], v1"),
        run: |_, op| {
            let (size, _, a) = parts(op)?;
            (size == Size::B8).then_some(Simple::Value(a))
        },
    },
    Rule {
        equation: "(narrow)x == x, where x fits",
        example: ("v3 = load.u2 [v0]; v9 = extend.s4 v3", "v3 = load.u2 [v0]; store.8 [v0], v3"),
        run: |defs, op| {
            let (size, signed, a) = parts(op)?;
            let room = size.bytes() * 8 - u32::from(signed);
            (defs.bits(a) <= room).then_some(Simple::Value(a))
        },
    },
    Rule {
        equation: "(signed)x == x, where x was extended from no more",
        example: ("v3 = load.s2 [v0]; v9 = extend.s4 v3", "v3 = load.s2 [v0]; store.8 [v0], v3"),
        run: |defs, op| {
            let (outer, signed, a) = parts(op)?;
            let inner = match defs.op(a)? {
                Op::Load { size, signed: true, .. } | Op::Extend { size, signed: true, .. } => *size,
                _ => return None,
            };
            (signed && inner.bytes() <= outer.bytes()).then_some(Simple::Value(a))
        },
    },
    Rule {
        equation: "(narrow)(wide)x == (narrow)x",
        example: ("v3 = extend.s4 v1; v9 = extend.u2 v3", "v9 = extend.u2 v1"),
        run: |defs, op| {
            let (size, signed, a) = parts(op)?;
            let (inner, _, x) = parts(defs.op(a)?)?;
            (size.bytes() <= inner.bytes()).then_some(Simple::Op(Op::Extend { size, signed, a: x }))
        },
    },
    Rule {
        equation: "swap(c) == number",
        example: ("v3 = const 258; v9 = bswap.2 v3", "v9 = const 513"),
        run: |defs, op| {
            let (size, a) = swap(op)?;
            Some(Simple::Op(Op::Const(number::byte_swap(size, defs.number(a)?))))
        },
    },
    Rule {
        equation: "swap(swap(x)) == (narrow)x, where x is a number",
        example: ("v3 = bswap.4 v1; v9 = bswap.4 v3", "v9 = extend.u4 v1"),
        run: |defs, op| {
            let (size, a) = swap(op)?;
            let (inner, x) = swap(defs.op(a)?)?;
            // Two swaps make a plain number of a pointer that the verifier knows: those stay.
            (inner == size && defs.is_int(x)).then_some(Simple::Op(Op::Extend { size, signed: false, a: x }))
        },
    },
];
