//! What operations give for numbers, exactly as the machine does it. Folding and evaluation share this.

use super::{BinOp, Cond, Size, Width};

/// `a op b`.
pub fn binary(op: BinOp, width: Width, a: i64, b: i64) -> i64 {
    match width {
        Width::W64 => binary64(op, a, b),
        Width::W32 => i64::from(binary32(op, a as u32, b as u32)),
    }
}

fn binary64(op: BinOp, a: i64, b: i64) -> i64 {
    let (ua, ub) = (a as u64, b as u64);
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::UDiv => ua.checked_div(ub).unwrap_or(0) as i64,
        BinOp::UMod => ua.checked_rem(ub).unwrap_or(ua) as i64,
        BinOp::SDiv => {
            if b == 0 {
                0
            } else {
                a.wrapping_div(b)
            }
        }
        BinOp::SMod => {
            if b == 0 {
                a
            } else {
                a.wrapping_rem(b)
            }
        }
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl => a.wrapping_shl(b as u32),
        BinOp::LShr => ua.wrapping_shr(b as u32) as i64,
        BinOp::AShr => a.wrapping_shr(b as u32),
    }
}

fn binary32(op: BinOp, a: u32, b: u32) -> u32 {
    let (sa, sb) = (a as i32, b as i32);
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::UDiv => a.checked_div(b).unwrap_or(0),
        BinOp::UMod => a.checked_rem(b).unwrap_or(a),
        BinOp::SDiv => {
            if b == 0 {
                0
            } else {
                sa.wrapping_div(sb) as u32
            }
        }
        BinOp::SMod => {
            if b == 0 {
                a
            } else {
                sa.wrapping_rem(sb) as u32
            }
        }
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl => a.wrapping_shl(b),
        BinOp::LShr => a.wrapping_shr(b),
        BinOp::AShr => sa.wrapping_shr(b) as u32,
    }
}

/// The low `size` bytes extended to 64 bits.
pub fn extend(size: Size, signed: bool, a: i64) -> i64 {
    match (size, signed) {
        (Size::B1, false) => i64::from(a as u8),
        (Size::B1, true) => i64::from(a as i8),
        (Size::B2, false) => i64::from(a as u16),
        (Size::B2, true) => i64::from(a as i16),
        (Size::B4, false) => i64::from(a as u32),
        (Size::B4, true) => i64::from(a as i32),
        (Size::B8, _) => a,
    }
}

/// The low `size` bytes in reverse order, zero-extended.
pub fn byte_swap(size: Size, a: i64) -> i64 {
    match size {
        Size::B1 => i64::from(a as u8),
        Size::B2 => i64::from((a as u16).swap_bytes()),
        Size::B4 => i64::from((a as u32).swap_bytes()),
        Size::B8 => a.swap_bytes(),
    }
}

/// Whether the condition holds.
pub fn holds(cond: Cond, width: Width, a: i64, b: i64) -> bool {
    let (ua, ub, sa, sb) = match width {
        Width::W64 => (a as u64, b as u64, a, b),
        Width::W32 => (u64::from(a as u32), u64::from(b as u32), i64::from(a as i32), i64::from(b as i32)),
    };
    match cond {
        Cond::Eq => ua == ub,
        Cond::Ne => ua != ub,
        Cond::Ult => ua < ub,
        Cond::Ule => ua <= ub,
        Cond::Ugt => ua > ub,
        Cond::Uge => ua >= ub,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
        Cond::Test => ua & ub != 0,
    }
}
