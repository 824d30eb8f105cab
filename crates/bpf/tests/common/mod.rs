//! Random instructions for property tests.
#![allow(dead_code, reason = "each test file uses a part")]

use fathom_bpf::helpers::Helper;
use fathom_bpf::insn::Insn;
use fathom_bpf::isa::*;
use fathom_bpf::op::{Imm64, Op, Src};
use proptest::prelude::*;

/// Any register.
pub fn reg() -> impl Strategy<Value = Reg> {
    (0u8..=10).prop_filter_map("register", Reg::new)
}

/// Any second operand.
pub fn src() -> impl Strategy<Value = Src> {
    prop_oneof![reg().prop_map(Src::Reg), any::<i32>().prop_map(Src::Imm)]
}

/// 32 or 64 bits.
pub fn width() -> impl Strategy<Value = Width> {
    prop_oneof![Just(Width::W32), Just(Width::W64)]
}

/// Any access size.
pub fn size() -> impl Strategy<Value = Size> {
    prop::sample::select(vec![Size::B, Size::H, Size::W, Size::DW])
}

fn imm64() -> impl Strategy<Value = Imm64> {
    let (a, b) = (any::<i32>(), any::<i32>());
    prop_oneof![
        any::<u64>().prop_map(Imm64::Value),
        any::<i32>().prop_map(Imm64::MapFd),
        (a, b).prop_map(|(fd, offset)| Imm64::MapValue { fd, offset }),
        (any::<i32>(), any::<i32>()).prop_map(|(id, fd)| Imm64::BtfId { id, fd }),
        any::<i32>().prop_map(Imm64::Func),
        any::<i32>().prop_map(Imm64::MapIdx),
        (any::<i32>(), any::<i32>()).prop_map(|(index, offset)| Imm64::MapIdxValue { index, offset }),
    ]
}

fn memory() -> impl Strategy<Value = Op> {
    let place = || (reg(), any::<i16>(), size());
    prop_oneof![
        (reg(), place()).prop_map(|(dst, (base, off, size))| Op::Load {
            dst,
            base,
            off,
            size,
            signed: false
        }),
        (reg(), reg(), any::<i16>(), size()).prop_map(|(dst, base, off, size)| Op::Load {
            dst,
            base,
            off,
            size: if size == Size::DW { Size::W } else { size },
            signed: true
        }),
        (place(), src()).prop_map(|((base, off, size), src)| Op::Store { base, off, size, src }),
        (prop::option::of(reg()), any::<i32>(), size()).prop_map(|(index, imm, size)| Op::LoadPacket {
            index,
            imm,
            size: if size == Size::DW { Size::W } else { size }
        }),
        (prop::sample::select(AtomicOp::ALL.to_vec()), place(), reg()).prop_map(
            |(op, (base, off, size), reg)| {
                let any_size = matches!(op, AtomicOp::LoadAcquire | AtomicOp::StoreRelease);
                let size = if any_size || size.bytes() >= 4 { size } else { Size::DW };
                Op::Atomic { op, size, base, off, reg }
            }
        ),
    ]
}

fn arithmetic() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (width(), prop::sample::select(Alu::ALL.to_vec()), reg(), src())
            .prop_map(|(width, op, dst, src)| Op::Alu { width, op, dst, src }),
        1 => (width(), reg(), reg(), prop::sample::select(vec![Size::B, Size::H, Size::W])).prop_map(
            |(width, dst, src, from)| {
                let width = if from == Size::W { Width::W64 } else { width };
                Op::MovSx { width, dst, src, from }
            }
        ),
        1 => (width(), reg()).prop_map(|(width, dst)| Op::Neg { width, dst }),
        1 => (prop::sample::select(vec![Swap::Le, Swap::Be, Swap::Bswap]), reg(), prop::sample::select(vec![Size::H, Size::W, Size::DW]))
            .prop_map(|(kind, dst, size)| Op::Swap { kind, dst, size }),
        1 => (reg(), reg(), any::<bool>()).prop_map(|(dst, src, to_kernel)| Op::AddrSpaceCast { dst, src, to_kernel }),
        1 => (reg(), imm64()).prop_map(|(dst, imm)| Op::LoadImm { dst, imm }),
    ]
}

fn control() -> impl Strategy<Value = Op> {
    prop_oneof![
        any::<i16>().prop_map(|off| Op::Goto { off: off.into(), long: false }),
        any::<i32>().prop_map(|off| Op::Goto { off, long: true }),
        (width(), prop::sample::select(Cond::ALL.to_vec()), reg(), src(), any::<i16>())
            .prop_map(|(width, cond, dst, src, off)| Op::Branch { width, cond, dst, src, off }),
        any::<i16>().prop_map(|off| Op::MayGoto { off }),
        any::<i32>().prop_map(|id| Op::CallHelper(Helper(id))),
        (1..=211i32).prop_map(|id| Op::CallHelper(Helper(id))),
        any::<i32>().prop_map(|off| Op::CallLocal { off }),
        (any::<i32>(), any::<i16>()).prop_map(|(btf_id, fd_index)| Op::CallKfunc { btf_id, fd_index }),
        Just(Op::Exit),
    ]
}

/// Any valid instruction.
pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![3 => arithmetic(), 2 => memory(), 2 => control()]
}

/// Any 8 bytes, often near a valid instruction.
pub fn bits() -> impl Strategy<Value = Insn> {
    (
        any::<u8>(),
        any::<u8>(),
        prop_oneof![Just(0i16), -20i16..20, any::<i16>()],
        prop_oneof![Just(0i32), -40..200i32, any::<i32>()],
    )
        .prop_map(|(code, regs, off, imm)| Insn { code, regs, off, imm })
}
