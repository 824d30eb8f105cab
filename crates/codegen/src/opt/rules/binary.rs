//! Rules of arithmetic: numbers, neutral and absorbing operands, chains of constants.

use super::super::fold::{constant, same, Defs, Simple};
use super::strength;
use super::Rule;
use crate::ir::{number, BinOp, Op, Size, Value, Width};

/// An operation taken apart.
#[derive(Clone, Copy)]
pub(super) struct Binary {
    pub(super) op: BinOp,
    pub(super) width: Width,
    pub(super) a: Value,
    pub(super) b: Value,
}

/// The operation, if it is arithmetic.
pub(super) fn parts(op: &Op) -> Option<Binary> {
    match *op {
        Op::Binary { op, width, a, b } => Some(Binary { op, width, a, b }),
        _ => None,
    }
}

/// The operation with a number on the right; the number is cut to the width.
pub(super) fn with_number(defs: &Defs<'_>, op: &Op) -> Option<(Binary, i64)> {
    let binary = parts(op)?;
    let number = defs.number(binary.b)?;
    Some((binary, at_width(binary.width, number)))
}

/// The number as the width sees it, sign-extended.
pub(super) fn at_width(width: Width, value: i64) -> i64 {
    match width {
        Width::W64 => value,
        Width::W32 => number::extend(Size::B4, true, value),
    }
}

fn is_shift(op: BinOp) -> bool {
    matches!(op, BinOp::Shl | BinOp::LShr | BinOp::AShr)
}

/// Rules of `Op::Binary`, tried in order.
pub(in crate::opt) const BINARY: &[Rule] = &[
    Rule {
        equation: "c op d == number",
        example: ("v3 = const 7; v4 = const -2; v9 = sdiv v3, v4", "v9 = const -3"),
        run: |defs, op| {
            let (binary, b) = with_number(defs, op)?;
            let a = defs.number(binary.a)?;
            Some(Simple::Op(Op::Const(number::binary(binary.op, binary.width, a, b))))
        },
    },
    Rule {
        equation: "c op x == x op c, for commutative op",
        example: ("v3 = const 7; v9 = add v3, v1", "v3 = const 7; v9 = add v1, v3"),
        run: |defs, op| {
            let Binary { op, width, a, b } = parts(op)?;
            let swap = op.is_commutative() && defs.number(a).is_some() && defs.number(b).is_none();
            swap.then_some(Simple::Op(Op::Binary { op, width, a: b, b: a }))
        },
    },
    Rule {
        equation: "x op 0 == x, for + - | ^ << >>",
        example: ("v3 = const 0; v9 = xor v1, v3", "store.8 [v0], v1"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let neutral =
                matches!(binary.op, BinOp::Add | BinOp::Sub | BinOp::Or | BinOp::Xor) && number == 0;
            let mask = if binary.width == Width::W32 { 31 } else { 63 };
            let none = is_shift(binary.op) && number & mask == 0;
            (neutral || none).then(|| same(binary.width, binary.a))
        },
    },
    Rule {
        equation: "x - c == x + -c",
        example: ("v3 = const 5; v9 = sub v1, v3", "v4 = const -5; v9 = add v1, v4"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let negated = number.checked_neg().filter(|_| binary.op == BinOp::Sub)?;
            let b = defs.iconst(negated);
            Some(Simple::Op(Op::Binary { op: BinOp::Add, width: binary.width, a: binary.a, b }))
        },
    },
    Rule {
        equation: "x op 0 == 0, for * & /",
        example: ("v3 = const 0; v9 = mul v1, v3", "v9 = const 0"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let absorbs = matches!(binary.op, BinOp::Mul | BinOp::And | BinOp::UDiv | BinOp::SDiv);
            (absorbs && number == 0).then(|| constant(binary.width, 0))
        },
    },
    Rule {
        equation: "x % 0 == x",
        example: ("v3 = const 0; v9 = umod v1, v3", "store.8 [v0], v1"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let is_mod = matches!(binary.op, BinOp::UMod | BinOp::SMod);
            (is_mod && number == 0).then(|| same(binary.width, binary.a))
        },
    },
    Rule {
        equation: "x op 1 == x, for * /",
        example: ("v3 = const 1; v9 = sdiv v1, v3", "store.8 [v0], v1"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let neutral = matches!(binary.op, BinOp::Mul | BinOp::UDiv | BinOp::SDiv);
            (neutral && number == 1).then(|| same(binary.width, binary.a))
        },
    },
    Rule {
        equation: "x % 1 == 0",
        example: ("v3 = const 1; v9 = smod v1, v3", "v9 = const 0"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let is_mod = matches!(binary.op, BinOp::UMod | BinOp::SMod);
            (is_mod && number == 1).then(|| constant(binary.width, 0))
        },
    },
    Rule {
        equation: "x & -1 == x",
        example: ("v3 = const -1; v9 = and v1, v3", "store.8 [v0], v1"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            (binary.op == BinOp::And && number == -1).then(|| same(binary.width, binary.a))
        },
    },
    Rule {
        equation: "x | -1 == -1",
        example: ("v3 = const -1; v9 = or.w32 v1, v3", "v9 = const 4294967295"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            (binary.op == BinOp::Or && number == -1).then(|| constant(binary.width, -1))
        },
    },
    Rule {
        equation: "0 op x == 0, for / % << >>",
        example: ("v3 = const 0; v9 = udiv v3, v1", "v9 = const 0"),
        run: |defs, op| {
            let Binary { op, width, a, .. } = parts(op)?;
            use BinOp::{AShr, LShr, SDiv, SMod, Shl, UDiv, UMod};
            let absorbs = matches!(op, UDiv | SDiv | UMod | SMod | Shl | LShr | AShr);
            let is_zero = defs.number(a).is_some_and(|number| at_width(width, number) == 0);
            (absorbs && is_zero).then(|| constant(width, 0))
        },
    },
    Rule {
        equation: "x op x == 0, for - ^",
        example: ("v9 = sub v1, v1", "v9 = const 0"),
        run: |defs, op| {
            let Binary { op, width, a, b } = parts(op)?;
            let cancels = matches!(op, BinOp::Sub | BinOp::Xor) && a == b && defs.is_int(a);
            cancels.then(|| constant(width, 0))
        },
    },
    Rule {
        equation: "x op x == x, for & |",
        example: ("v9 = and v1, v1", "store.8 [v0], v1"),
        run: |_, op| {
            let Binary { op, width, a, b } = parts(op)?;
            (matches!(op, BinOp::And | BinOp::Or) && a == b).then(|| same(width, a))
        },
    },
    Rule {
        equation: "(x op c) op d == x op (c op d), for + * & | ^",
        example: (
            "v3 = const 5; v4 = add v1, v3; v5 = const 6; v9 = add v4, v5",
            "v6 = const 11; v9 = add v1, v6",
        ),
        run: |defs, op| {
            let (outer, d) = with_number(defs, op)?;
            let inner = parts(defs.op(outer.a)?)?;
            let c = defs.number(inner.b)?;
            let fits = inner.op == outer.op && inner.width == outer.width && outer.op.is_commutative();
            let combined = fits.then(|| number::binary(outer.op, outer.width, c, d))?;
            let b = defs.iconst(at_width(outer.width, combined));
            Some(Simple::Op(Op::Binary { op: outer.op, width: outer.width, a: inner.a, b }))
        },
    },
    Rule {
        equation: "(x shift c) shift d == x shift (c + d)",
        example: (
            "v3 = const 5; v4 = lshr v1, v3; v5 = const 6; v9 = lshr v4, v5",
            "v6 = const 11; v9 = lshr v1, v6",
        ),
        run: |defs, op| {
            let (outer, d) = with_number(defs, op)?;
            let inner = parts(defs.op(outer.a)?)?;
            let c = defs.number(inner.b)?;
            let width = if outer.width == Width::W32 { 32 } else { 64 };
            let count = (c & (width - 1)) + (d & (width - 1));
            if !is_shift(outer.op) || inner.op != outer.op || inner.width != outer.width {
                return None;
            }
            let count = match (outer.op, count < width) {
                (_, true) => count,
                (BinOp::AShr, false) => width - 1,
                _ => return Some(constant(outer.width, 0)),
            };
            let b = defs.iconst(count);
            Some(Simple::Op(Op::Binary { op: outer.op, width: outer.width, a: inner.a, b }))
        },
    },
    Rule {
        equation: "x & c == x, where c keeps all bits that x may have",
        example: (
            "v3 = load.u1 [v0]; v4 = const 4095; v9 = and v3, v4",
            "v3 = load.u1 [v0]; store.8 [v0], v3",
        ),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let keeps = binary.op == BinOp::And && number.trailing_ones() >= defs.bits(binary.a);
            keeps.then_some(Simple::Value(binary.a))
        },
    },
    Rule {
        equation: "x & 0xff == (u8)x, x & 0xffff == (u16)x, x & 0xffffffff == (u32)x",
        example: ("v3 = const 4294967295; v9 = and v1, v3", "v9 = extend.u4 v1"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let size = match number {
                0xff => Size::B1,
                0xffff => Size::B2,
                0xffff_ffff => Size::B4,
                _ => return None,
            };
            let extend = Op::Extend { size, signed: false, a: binary.a };
            (binary.op == BinOp::And).then_some(Simple::Op(extend))
        },
    },
    Rule {
        equation: "x >> c == 0, where x has at most c bits",
        example: ("v3 = load.u2 [v0]; v4 = const 16; v9 = lshr v3, v4", "v9 = const 0"),
        run: |defs, op| {
            let (binary, number) = with_number(defs, op)?;
            let (limit, mask) = if binary.width == Width::W32 { (32, 31) } else { (64, 63) };
            let empties =
                binary.op == BinOp::LShr && i64::from(defs.bits(binary.a).min(limit)) <= number & mask;
            empties.then(|| constant(binary.width, 0))
        },
    },
    Rule {
        equation: "(x << c) >> c == (narrow)x, for 32, 48 and 56",
        example: ("v3 = const 48; v4 = shl v1, v3; v9 = ashr v4, v3", "v9 = extend.s2 v1"),
        run: |defs, op| {
            let (outer, d) = with_number(defs, op)?;
            let (inner, c) = with_number(defs, defs.op(outer.a)?)?;
            let signed = match outer.op {
                BinOp::LShr => false,
                BinOp::AShr => true,
                _ => return None,
            };
            let wide = outer.width == Width::W64 && inner.width == Width::W64;
            let size = Size::from_bytes(u32::try_from(64i64.checked_sub(c)?).ok()? / 8)?;
            let fits = wide && inner.op == BinOp::Shl && c == d && matches!(c, 32 | 48 | 56);
            fits.then_some(Simple::Op(Op::Extend { size, signed, a: inner.a }))
        },
    },
    strength::MULTIPLY_BY_POWER,
    strength::DIVIDE_BY_POWER,
    strength::REMAINDER_OF_POWER,
    strength::SIGNED_OF_POSITIVE,
    strength::SIGNED_DIVIDE_BY_POWER,
    strength::SIGNED_REMAINDER_OF_POWER,
    strength::ADD_TO_SLOT,
    strength::ADD_TO_MAP_VALUE,
];
