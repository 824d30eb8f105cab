//! Folding of constants: integers in 128 bits so that overflow shows, strings by their bytes.

use crate::types::Type;
use fathom_syntax::ast::BinaryOp;

/// The result of folding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Folded {
    /// A comparison or logical operation.
    Bool(bool),
    /// A number, possibly beyond 64 bits.
    Int(i128),
}

/// The number that 64 bits of this type mean.
pub fn number(bits: i64, ty: &Type) -> i128 {
    match ty {
        Type::Int { size: 8, signed: false } => i128::from(bits as u64),
        _ => i128::from(bits),
    }
}

/// The value truncated to an integer type.
pub fn truncate(n: i128, size: u8, signed: bool) -> i64 {
    match (size, signed) {
        (1, true) => i64::from(n as i8),
        (2, true) => i64::from(n as i16),
        (4, true) => i64::from(n as i32),
        (1, false) => i64::from(n as u8),
        (2, false) => i64::from(n as u16),
        (4, false) => i64::from(n as u32),
        _ => n as i64,
    }
}

/// Folds an integer operation; `None` where there is no result (division by zero, shift by too much).
pub fn fold(op: BinaryOp, a: i128, b: i128) -> Option<Folded> {
    use BinaryOp::*;
    let shift = || u32::try_from(b).ok().filter(|s| *s < 64);
    Some(Folded::Int(match op {
        Add => a.checked_add(b)?,
        Sub => a.checked_sub(b)?,
        Mul => a.checked_mul(b)?,
        Div => a.checked_div(b)?,
        Mod => a.checked_rem(b)?,
        And => a & b,
        Or => a | b,
        Xor => a ^ b,
        // The bits that fall out are gone, as on the machine.
        Shl => wrap(a.checked_shl(shift()?)?, a),
        Shr => a >> shift()?,
        Eq => return Some(Folded::Bool(a == b)),
        Ne => return Some(Folded::Bool(a != b)),
        Lt => return Some(Folded::Bool(a < b)),
        Le => return Some(Folded::Bool(a <= b)),
        Gt => return Some(Folded::Bool(a > b)),
        Ge => return Some(Folded::Bool(a >= b)),
        LogicalAnd => return Some(Folded::Bool(a != 0 && b != 0)),
        LogicalOr => return Some(Folded::Bool(a != 0 || b != 0)),
    }))
}

fn wrap(shifted: i128, original: i128) -> i128 {
    if original >= 0 {
        shifted & i128::from(u64::MAX)
    } else {
        i128::from(shifted as i64)
    }
}

/// Folds a comparison of strings, which end at their first NUL.
pub fn compare_strings(op: BinaryOp, a: &[u8], b: &[u8]) -> Option<Folded> {
    let end = |s: &[u8]| s.iter().position(|c| *c == 0).unwrap_or(s.len());
    let equal = a.get(..end(a)) == b.get(..end(b));
    match op {
        BinaryOp::Eq => Some(Folded::Bool(equal)),
        BinaryOp::Ne => Some(Folded::Bool(!equal)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BinaryOp::*;

    #[test]
    fn integers_fold_without_surprises() {
        assert_eq!(fold(Add, 1, 2), Some(Folded::Int(3)));
        assert_eq!(fold(Shl, 1, 32), Some(Folded::Int(1 << 32)));
        assert_eq!(fold(Shl, 3, 63), Some(Folded::Int(1 << 63)));
        assert_eq!(fold(Shl, 1, 64), None);
        assert_eq!(fold(Shr, -8, 1), Some(Folded::Int(-4)));
        assert_eq!(fold(Div, 1, 0), None);
        assert_eq!(fold(Lt, -1, 1), Some(Folded::Bool(true)));
    }

    #[test]
    fn truncation_keeps_the_low_bits() {
        assert_eq!(truncate(300, 1, false), 44);
        assert_eq!(truncate(0xff, 1, true), -1);
        assert_eq!(truncate(i128::from(u64::MAX), 8, false), -1);
        assert_eq!(number(-1, &Type::U64), i128::from(u64::MAX));
    }

    #[test]
    fn strings_compare_up_to_their_nul() {
        assert_eq!(compare_strings(Eq, b"a\0b", b"a"), Some(Folded::Bool(true)));
        assert_eq!(compare_strings(Ne, b"a", b"b"), Some(Folded::Bool(true)));
        assert_eq!(compare_strings(Lt, b"a", b"b"), None);
    }
}
