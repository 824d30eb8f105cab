//! Rules that replace slow arithmetic by fast, and addition to addresses by addresses.

use super::super::fold::Simple;
use super::binary::with_number;
use super::Rule;
use crate::ir::{BinOp, Op, Width};

fn wide(op: BinOp, a: crate::ir::Value, b: crate::ir::Value) -> Op {
    Op::Binary { op, width: Width::W64, a, b }
}

/// The exponent of a power of two, as the width sees the number.
fn exponent(width: Width, number: i64) -> Option<u32> {
    let bits = match width {
        Width::W64 => number as u64,
        Width::W32 => u64::from(number as u32),
    };
    (bits.is_power_of_two() && bits > 1).then(|| bits.trailing_zeros())
}

/// Multiplication.
pub(super) const MULTIPLY_BY_POWER: Rule = Rule {
    equation: "x * 2^n == x << n",
    example: ("v3 = const 8; v9 = mul v1, v3", "v4 = const 3; v9 = shl v1, v4"),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let exponent = exponent(binary.width, number).filter(|_| binary.op == BinOp::Mul)?;
        let b = defs.iconst(i64::from(exponent));
        Some(Simple::Op(Op::Binary { op: BinOp::Shl, width: binary.width, a: binary.a, b }))
    },
};

/// Unsigned division.
pub(super) const DIVIDE_BY_POWER: Rule = Rule {
    equation: "x / 2^n == x >> n, unsigned",
    example: ("v3 = const 8; v9 = udiv.w32 v1, v3", "v4 = const 3; v9 = lshr.w32 v1, v4"),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let exponent = exponent(binary.width, number).filter(|_| binary.op == BinOp::UDiv)?;
        let b = defs.iconst(i64::from(exponent));
        Some(Simple::Op(Op::Binary { op: BinOp::LShr, width: binary.width, a: binary.a, b }))
    },
};

/// Unsigned remainder.
pub(super) const REMAINDER_OF_POWER: Rule = Rule {
    equation: "x % 2^n == x & (2^n - 1), unsigned",
    example: ("v3 = const 8; v9 = umod v1, v3", "v4 = const 7; v9 = and v1, v4"),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let exponent = exponent(binary.width, number).filter(|_| binary.op == BinOp::UMod)?;
        let b = defs.iconst(((1u64 << exponent) - 1) as i64);
        Some(Simple::Op(Op::Binary { op: BinOp::And, width: binary.width, a: binary.a, b }))
    },
};

/// Signed division of what is not negative.
pub(super) const SIGNED_OF_POSITIVE: Rule = Rule {
    equation: "x / c signed == x / c unsigned, x % c likewise, where x has no sign and c > 0",
    example: (
        "v3 = load.u4 [v0]; v4 = const 10; v9 = sdiv v3, v4",
        "v3 = load.u4 [v0]; v4 = const 10; v9 = udiv v3, v4",
    ),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let unsigned = match binary.op {
            BinOp::SDiv => BinOp::UDiv,
            BinOp::SMod => BinOp::UMod,
            _ => return None,
        };
        let limit = if binary.width == Width::W32 { 31 } else { 63 };
        let has_sign = number <= 0 || defs.bits(binary.a) > limit;
        let op = Op::Binary { op: unsigned, width: binary.width, a: binary.a, b: binary.b };
        (!has_sign).then_some(Simple::Op(op))
    },
};

/// Signed division: what rounds down must round towards 0.
pub(super) const SIGNED_DIVIDE_BY_POWER: Rule = Rule {
    equation: "x / 2^n signed == (x + ((x >> 63) >>> (64 - n))) >> n",
    example: (
        "v3 = const 8; v9 = sdiv v1, v3",
        "v3 = const 63; v4 = ashr v1, v3; v5 = const 61; v6 = lshr v4, v5; v7 = add v1, v6; v8 = const 3; \
         v9 = ashr v7, v8",
    ),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let exponent = exponent(binary.width, number).filter(|_| binary.op == BinOp::SDiv && number > 0)?;
        if binary.width != Width::W64 {
            return None;
        }
        let biased = biased(defs, binary.a, exponent);
        let count = defs.iconst(i64::from(exponent));
        Some(Simple::Op(wide(BinOp::AShr, biased, count)))
    },
};

/// Signed remainder.
pub(super) const SIGNED_REMAINDER_OF_POWER: Rule = Rule {
    equation: "x % 2^n signed == x - ((x + ((x >> 63) >>> (64 - n))) & -2^n)",
    example: (
        "v3 = const 8; v9 = smod v1, v3",
        "v3 = const 63; v4 = ashr v1, v3; v5 = const 61; v6 = lshr v4, v5; v7 = add v1, v6; v8 = const -8; \
         v10 = and v7, v8; v9 = sub v1, v10",
    ),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let exponent = exponent(binary.width, number).filter(|_| binary.op == BinOp::SMod && number > 0)?;
        if binary.width != Width::W64 {
            return None;
        }
        let biased = biased(defs, binary.a, exponent);
        let mask = defs.iconst(number.wrapping_neg());
        let whole = defs.push(wide(BinOp::And, biased, mask));
        Some(Simple::Op(wide(BinOp::Sub, binary.a, whole)))
    },
};

/// `x`, plus `2^n - 1` where it is negative.
fn biased(defs: &mut super::Defs<'_>, x: crate::ir::Value, exponent: u32) -> crate::ir::Value {
    let all = defs.iconst(63);
    let sign = defs.push(wide(BinOp::AShr, x, all));
    let count = defs.iconst(64 - i64::from(exponent));
    let bias = defs.push(wide(BinOp::LShr, sign, count));
    defs.push(wide(BinOp::Add, x, bias))
}

/// Address of a slot.
pub(super) const ADD_TO_SLOT: Rule = Rule {
    equation: "&slot[c] + d == &slot[c + d]",
    example: ("v3: ptr = slot s0 + 8; v4 = const 16; v9: ptr = add v3, v4", "v9: ptr = slot s0 + 24"),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let Some(Op::SlotAddr { slot, offset }) = defs.op(binary.a) else { return None };
        let offset = i64::from(*offset).checked_add(number).filter(|_| binary.op == BinOp::Add)?;
        let size = defs.slots.get(slot.0 as usize)?.size;
        let within = (0..=i64::from(size)).contains(&offset);
        let slot = *slot;
        within.then_some(Simple::Op(Op::SlotAddr { slot, offset: i32::try_from(offset).ok()? }))
    },
};

/// Address in an array map.
pub(super) const ADD_TO_MAP_VALUE: Rule = Rule {
    equation: "&map[c] + d == &map[c + d]",
    example: ("v3: ptr = map_value 1 + 8; v4 = const 16; v9: ptr = add v3, v4", "v9: ptr = map_value 1 + 24"),
    run: |defs, op| {
        let (binary, number) = with_number(defs, op)?;
        let Some(Op::MapValueAddr { map, offset }) = defs.op(binary.a) else { return None };
        let offset = i64::from(*offset).checked_add(number).filter(|_| binary.op == BinOp::Add)?;
        let map = *map;
        Some(Simple::Op(Op::MapValueAddr { map, offset: u32::try_from(offset).ok()? }))
    },
};
