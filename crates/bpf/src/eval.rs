//! What each arithmetic operator computes, exactly as the kernel does (also for constant folding).

use crate::isa::{Alu, AtomicOp, Size, Swap, Width};

/// `a OP b`. Division by 0 gives 0, remainder by 0 gives `a`, shift distances count modulo the width, the signed
/// division of the least number by -1 wraps; 32-bit results are zero-extended.
pub const fn alu(width: Width, op: Alu, a: u64, b: u64) -> u64 {
    match width {
        Width::W64 => alu64(op, a, b),
        Width::W32 => alu32(op, a as u32, b as u32) as u64,
    }
}

const fn alu64(op: Alu, a: u64, b: u64) -> u64 {
    match op {
        Alu::Add => a.wrapping_add(b),
        Alu::Sub => a.wrapping_sub(b),
        Alu::Mul => a.wrapping_mul(b),
        Alu::Div if b == 0 => 0,
        Alu::Div => a / b,
        Alu::Sdiv if b == 0 => 0,
        Alu::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        Alu::Or => a | b,
        Alu::And => a & b,
        Alu::Lsh => a.wrapping_shl(b as u32),
        Alu::Rsh => a.wrapping_shr(b as u32),
        Alu::Mod | Alu::Smod if b == 0 => a,
        Alu::Mod => a % b,
        Alu::Smod => (a as i64).wrapping_rem(b as i64) as u64,
        Alu::Xor => a ^ b,
        Alu::Mov => b,
        Alu::Arsh => (a as i64).wrapping_shr(b as u32) as u64,
    }
}

const fn alu32(op: Alu, a: u32, b: u32) -> u32 {
    match op {
        Alu::Add => a.wrapping_add(b),
        Alu::Sub => a.wrapping_sub(b),
        Alu::Mul => a.wrapping_mul(b),
        Alu::Div if b == 0 => 0,
        Alu::Div => a / b,
        Alu::Sdiv if b == 0 => 0,
        Alu::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        Alu::Or => a | b,
        Alu::And => a & b,
        Alu::Lsh => a.wrapping_shl(b),
        Alu::Rsh => a.wrapping_shr(b),
        Alu::Mod | Alu::Smod if b == 0 => a,
        Alu::Mod => a % b,
        Alu::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        Alu::Xor => a ^ b,
        Alu::Mov => b,
        Alu::Arsh => (a as i32).wrapping_shr(b) as u32,
    }
}

/// The lower bytes of `value`, sign-extended to 64 bits.
pub const fn sign_extend(from: Size, value: u64) -> u64 {
    match from {
        Size::B => value as i8 as u64,
        Size::H => value as i16 as u64,
        Size::W => value as i32 as u64,
        Size::DW => value,
    }
}

/// `dst = (sN)src`: sign-extended to the width, then zero-extended.
pub const fn movsx(width: Width, from: Size, value: u64) -> u64 {
    let extended = sign_extend(from, value);
    match width {
        Width::W64 => extended,
        Width::W32 => extended as u32 as u64,
    }
}

/// `-value`.
pub const fn neg(width: Width, value: u64) -> u64 {
    match width {
        Width::W64 => value.wrapping_neg(),
        Width::W32 => (value as u32).wrapping_neg() as u64,
    }
}

/// Change of byte order on a little-endian machine.
pub const fn swap(kind: Swap, size: Size, value: u64) -> u64 {
    match (kind, size) {
        (_, Size::B) => value as u8 as u64,
        (Swap::Le, Size::H) => value as u16 as u64,
        (Swap::Le, Size::W) => value as u32 as u64,
        (Swap::Le, Size::DW) => value,
        (_, Size::H) => (value as u16).swap_bytes() as u64,
        (_, Size::W) => (value as u32).swap_bytes() as u64,
        (_, Size::DW) => value.swap_bytes(),
    }
}

/// What an atomic operation leaves in memory that held `old`, zero-extended from `size`.
pub const fn atomic(op: AtomicOp, size: Size, old: u64, operand: u64, r0: u64) -> u64 {
    let mask = match size {
        Size::B => 0xff,
        Size::H => 0xffff,
        Size::W => 0xffff_ffff,
        Size::DW => u64::MAX,
    };
    let new = match op {
        AtomicOp::Add | AtomicOp::FetchAdd => old.wrapping_add(operand),
        AtomicOp::Or | AtomicOp::FetchOr => old | operand,
        AtomicOp::And | AtomicOp::FetchAnd => old & operand,
        AtomicOp::Xor | AtomicOp::FetchXor => old ^ operand,
        AtomicOp::Xchg | AtomicOp::StoreRelease => operand,
        AtomicOp::Cmpxchg if old & mask == r0 & mask => operand,
        AtomicOp::Cmpxchg | AtomicOp::LoadAcquire => old,
    };
    new & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: u64 = i64::MIN as u64;
    const NEG: u64 = u64::MAX;

    #[test]
    fn sixty_four_bits() {
        let rows: &[(Alu, u64, u64, u64)] = &[
            (Alu::Add, NEG, 2, 1),
            (Alu::Sub, 0, 1, NEG),
            (Alu::Mul, 1 << 63, 2, 0),
            (Alu::Div, 7, 0, 0),
            (Alu::Div, NEG, 2, NEG >> 1),
            (Alu::Sdiv, -7i64 as u64, 2, -3i64 as u64),
            (Alu::Sdiv, MIN, NEG, MIN),
            (Alu::Sdiv, 5, 0, 0),
            (Alu::Mod, 7, 0, 7),
            (Alu::Mod, NEG, 10, 5),
            (Alu::Smod, -7i64 as u64, 2, NEG),
            (Alu::Smod, MIN, NEG, 0),
            (Alu::Smod, -7i64 as u64, 0, -7i64 as u64),
            (Alu::Or, 0xf0, 0x0f, 0xff),
            (Alu::And, 0xf0, 0x3c, 0x30),
            (Alu::Xor, 0xff, 0x0f, 0xf0),
            (Alu::Lsh, 1, 65, 2),
            (Alu::Lsh, 1, 63, MIN),
            (Alu::Rsh, MIN, 127, 1),
            (Alu::Arsh, MIN, 63, NEG),
            (Alu::Arsh, MIN, 64, MIN),
            (Alu::Mov, 1, 9, 9),
        ];
        for (op, a, b, want) in rows {
            assert_eq!(alu(Width::W64, *op, *a, *b), *want, "{op:?} {a:#x} {b:#x}");
        }
    }

    #[test]
    fn thirty_two_bits_clear_the_upper_half() {
        let junk = 0xdead_beef_0000_0000u64;
        let min = 0x8000_0000u64;
        let rows: &[(Alu, u64, u64, u64)] = &[
            (Alu::Add, 0xffff_ffff, 2, 1),
            (Alu::Sub, 0, 1, 0xffff_ffff),
            (Alu::Mul, 0x1_0001, 0x1_0001, 0x2_0001),
            (Alu::Div, 7, 0, 0),
            (Alu::Div, 0xffff_fffe, 2, 0x7fff_ffff),
            (Alu::Sdiv, 0xffff_fff9, 2, 0xffff_fffd),
            (Alu::Sdiv, min, 0xffff_ffff, min),
            (Alu::Mod, 7, 0, 7),
            (Alu::Smod, 0xffff_fff9, 2, 0xffff_ffff),
            (Alu::Smod, min, 0xffff_ffff, 0),
            (Alu::Smod, 0xffff_fff9, 0, 0xffff_fff9),
            (Alu::Lsh, 1, 33, 2),
            (Alu::Rsh, min, 31, 1),
            (Alu::Arsh, min, 31, 0xffff_ffff),
            (Alu::Arsh, min, 32, min),
            (Alu::Mov, 1, 9, 9),
        ];
        for (op, a, b, want) in rows {
            assert_eq!(alu(Width::W32, *op, junk | a, junk | b), *want, "{op:?} {a:#x} {b:#x}");
        }
    }

    #[test]
    fn conversions() {
        assert_eq!(movsx(Width::W64, Size::B, 0x1ff), NEG);
        assert_eq!(movsx(Width::W32, Size::B, 0x180), 0xffff_ff80);
        assert_eq!(movsx(Width::W64, Size::H, 0x7fff), 0x7fff);
        assert_eq!(movsx(Width::W64, Size::W, 0x8000_0000), 0xffff_ffff_8000_0000);
        assert_eq!(neg(Width::W64, 1), NEG);
        assert_eq!(neg(Width::W32, 0xffff_ffff_0000_0001), 0xffff_ffff);
        assert_eq!(neg(Width::W64, MIN), MIN);
        let value = 0x0102_0304_0506_0708;
        assert_eq!(swap(Swap::Le, Size::H, value), 0x0708);
        assert_eq!(swap(Swap::Le, Size::W, value), 0x0506_0708);
        assert_eq!(swap(Swap::Le, Size::DW, value), value);
        assert_eq!(swap(Swap::Be, Size::H, value), 0x0807);
        assert_eq!(swap(Swap::Bswap, Size::W, value), 0x0807_0605);
        assert_eq!(swap(Swap::Be, Size::DW, value), 0x0807_0605_0403_0201);
    }

    #[test]
    fn atomics() {
        assert_eq!(atomic(AtomicOp::Add, Size::W, 0xffff_ffff, 1, 0), 0);
        assert_eq!(atomic(AtomicOp::FetchAnd, Size::DW, 0xf0, 0x3c, 0), 0x30);
        assert_eq!(atomic(AtomicOp::Xchg, Size::W, 1, 0x1_0000_0002, 0), 2);
        assert_eq!(atomic(AtomicOp::Cmpxchg, Size::W, 5, 9, 0xff_0000_0005), 9);
        assert_eq!(atomic(AtomicOp::Cmpxchg, Size::DW, 5, 9, 0xff_0000_0005), 5);
        assert_eq!(atomic(AtomicOp::StoreRelease, Size::B, 0, 0x1ff, 0), 0xff);
    }
}
