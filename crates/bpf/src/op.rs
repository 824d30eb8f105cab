//! Instructions as a sum type: decoding with every check of reserved fields, and encoding.

use crate::helpers::Helper;
use crate::insn::Insn;
use crate::isa::*;
use std::fmt;

/// Second operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Src {
    /// A register.
    Reg(Reg),
    /// An immediate, sign-extended where 64 bits are wanted.
    Imm(i32),
}

/// What a 16-byte load puts in its register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Imm64 {
    /// A number.
    Value(u64),
    /// The map of a descriptor.
    MapFd(i32),
    /// Address in the value of an array map.
    MapValue {
        /// Descriptor of the map.
        fd: i32,
        /// Bytes into the value.
        offset: i32,
    },
    /// Address of a kernel variable.
    BtfId {
        /// Its BTF id.
        id: i32,
        /// Descriptor of a module's BTF, 0 for the kernel's.
        fd: i32,
    },
    /// A function of this program, in slots from the slot after the first of the two.
    Func(i32),
    /// The map at an index of `fd_array`.
    MapIdx(i32),
    /// Address in the value of the array map at an index of `fd_array`.
    MapIdxValue {
        /// Index in `fd_array`.
        index: i32,
        /// Bytes into the value.
        offset: i32,
    },
}

/// One instruction, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// `dst OP= src`
    Alu {
        /// 32 or 64 bits.
        width: Width,
        /// The operator.
        op: Alu,
        /// Left operand and result.
        dst: Reg,
        /// Right operand.
        src: Src,
    },
    /// `dst = (sN)src`
    MovSx {
        /// Width of the result.
        width: Width,
        /// Result.
        dst: Reg,
        /// Source.
        src: Reg,
        /// What is extended: `B`, `H`, or `W` (64 bits only).
        from: Size,
    },
    /// `dst = -dst`
    Neg {
        /// 32 or 64 bits.
        width: Width,
        /// Operand and result.
        dst: Reg,
    },
    /// Change of byte order.
    Swap {
        /// Which change.
        kind: Swap,
        /// Operand and result.
        dst: Reg,
        /// `H`, `W` or `DW`.
        size: Size,
    },
    /// Cast between address spaces.
    AddrSpaceCast {
        /// Result.
        dst: Reg,
        /// Source.
        src: Reg,
        /// To the arena (space 0 to 1) when false; from the arena (space 1 to 0) when true.
        to_kernel: bool,
    },
    /// Two-slot load of 64 bits.
    LoadImm {
        /// Result.
        dst: Reg,
        /// What is loaded.
        imm: Imm64,
    },
    /// Load from memory.
    Load {
        /// Result.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Bytes added to the address.
        off: i16,
        /// Bytes read.
        size: Size,
        /// Sign-extend instead of zero-extend.
        signed: bool,
    },
    /// Classic load of packet data to r0.
    LoadPacket {
        /// Register added to the offset.
        index: Option<Reg>,
        /// Offset.
        imm: i32,
        /// Bytes read.
        size: Size,
    },
    /// Store to memory.
    Store {
        /// Address.
        base: Reg,
        /// Bytes added to the address.
        off: i16,
        /// Bytes written.
        size: Size,
        /// What is written.
        src: Src,
    },
    /// Atomic operation on memory.
    Atomic {
        /// Which.
        op: AtomicOp,
        /// Bytes.
        size: Size,
        /// Address.
        base: Reg,
        /// Bytes added to the address.
        off: i16,
        /// The other operand; for [`AtomicOp::LoadAcquire`] the result.
        reg: Reg,
    },
    /// Unconditional jump.
    Goto {
        /// Slots from the next instruction.
        off: i32,
        /// The form with a 32-bit offset.
        long: bool,
    },
    /// Conditional jump.
    Branch {
        /// 32 or 64 bits.
        width: Width,
        /// The condition.
        cond: Cond,
        /// Left operand.
        dst: Reg,
        /// Right operand.
        src: Src,
        /// Slots from the next instruction.
        off: i16,
    },
    /// Jump taken when the loop budget is spent.
    MayGoto {
        /// Slots from the next instruction.
        off: i16,
    },
    /// Call of a helper.
    CallHelper(Helper),
    /// Call of a function of this program.
    CallLocal {
        /// Slots from the next instruction.
        off: i32,
    },
    /// Call of a kernel function.
    CallKfunc {
        /// Its BTF id.
        btf_id: i32,
        /// Index of a module's BTF in `fd_array`, 0 for the kernel's.
        fd_index: i16,
    },
    /// Return r0.
    Exit,
}

/// Why bits are no instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpError {
    /// No instruction has this operation byte.
    UnknownCode(u8),
    /// The operation needs zero (or one of few values) in a field.
    Reserved {
        /// `dst`, `src`, `off` or `imm`.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// Registers end at 10.
    BadRegister(u8),
    /// A 16-byte load without its second half.
    HalfLoad,
    /// The slot is the second half of a 16-byte load.
    SecondHalf,
    /// Past the last instruction.
    PastEnd,
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpError::UnknownCode(code) => write!(f, "no instruction has the operation byte {code:#04x}"),
            OpError::Reserved { field, value } => {
                write!(f, "field `{field}` holds {value}, which this instruction does not allow")
            }
            OpError::BadRegister(n) => write!(f, "register r{n} does not exist; the last is r10"),
            OpError::HalfLoad => write!(f, "a 16-byte load lacks its second half"),
            OpError::SecondHalf => write!(f, "this is the second half of a 16-byte load"),
            OpError::PastEnd => write!(f, "past the last instruction"),
        }
    }
}

impl std::error::Error for OpError {}

/// One or two encoded slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoded {
    slots: [Insn; 2],
    len: usize,
}

impl Encoded {
    /// The slots.
    pub fn as_slice(&self) -> &[Insn] {
        &self.slots[..self.len]
    }
}

impl From<Insn> for Encoded {
    fn from(insn: Insn) -> Encoded {
        Encoded { slots: [insn, Insn::default()], len: 1 }
    }
}

impl From<[Insn; 2]> for Encoded {
    fn from(slots: [Insn; 2]) -> Encoded {
        Encoded { slots, len: 2 }
    }
}

fn reg(index: u8) -> Result<Reg, OpError> {
    Reg::new(index).ok_or(OpError::BadRegister(index))
}

fn zero(field: &'static str, value: impl Into<i64>) -> Result<(), OpError> {
    match value.into() {
        0 => Ok(()),
        value => Err(OpError::Reserved { field, value }),
    }
}

/// The second operand, with the check that the unused field is zero.
fn operand(insn: Insn) -> Result<Src, OpError> {
    if insn.code & BPF_X != 0 {
        zero("imm", insn.imm)?;
        Ok(Src::Reg(reg(insn.src())?))
    } else {
        zero("src", insn.src())?;
        Ok(Src::Imm(insn.imm))
    }
}

impl Op {
    /// The instruction at a slot.
    pub fn decode(insns: &[Insn], at: usize) -> Result<Op, OpError> {
        let insn = *insns.get(at).ok_or(OpError::PastEnd)?;
        match insn.code & BPF_CLASS_MASK {
            BPF_LD => decode_ld(insn, insns.get(at.saturating_add(1)).copied()),
            BPF_LDX => decode_ldx(insn),
            BPF_ST => {
                if insn.code & BPF_MODE_MASK != BPF_MEM {
                    return Err(OpError::UnknownCode(insn.code));
                }
                zero("src", insn.src())?;
                let (base, size) = (reg(insn.dst())?, Size::of_code(insn.code));
                Ok(Op::Store { base, off: insn.off, size, src: Src::Imm(insn.imm) })
            }
            BPF_STX => decode_stx(insn),
            BPF_ALU => decode_alu(insn, Width::W32),
            BPF_ALU64 => decode_alu(insn, Width::W64),
            BPF_JMP => decode_jmp(insn, Width::W64),
            _ => decode_jmp(insn, Width::W32),
        }
    }

    /// Slots of the encoding: 2 for [`Op::LoadImm`], else 1.
    pub const fn slots(&self) -> usize {
        match self {
            Op::LoadImm { .. } => 2,
            _ => 1,
        }
    }

    /// The slots of the instruction; [`Op::decode`] gives it back.
    pub fn encode(&self) -> Encoded {
        match *self {
            Op::Alu { width: Width::W64, op, dst, src: Src::Reg(src) } => {
                Insn::alu64_reg(op, dst, src).into()
            }
            Op::Alu { width: Width::W64, op, dst, src: Src::Imm(imm) } => {
                Insn::alu64_imm(op, dst, imm).into()
            }
            Op::Alu { width: Width::W32, op, dst, src: Src::Reg(src) } => {
                Insn::alu32_reg(op, dst, src).into()
            }
            Op::Alu { width: Width::W32, op, dst, src: Src::Imm(imm) } => {
                Insn::alu32_imm(op, dst, imm).into()
            }
            Op::MovSx { width, dst, src, from } => Insn::movsx(width, dst, src, from).into(),
            Op::Neg { width, dst } => Insn::neg(width, dst).into(),
            Op::Swap { kind, dst, size } => Insn::swap(kind, dst, size).into(),
            Op::AddrSpaceCast { dst, src, to_kernel } => {
                Insn::addr_space_cast(dst, src, if to_kernel { 1 } else { 1 << 16 }).into()
            }
            Op::LoadImm { dst, imm } => encode_imm64(dst, imm).into(),
            Op::Load { dst, base, off, size, signed: false } => Insn::ldx(size, dst, base, off).into(),
            Op::Load { dst, base, off, size, signed: true } => Insn::ldsx(size, dst, base, off).into(),
            Op::LoadPacket { index: None, imm, size } => {
                Insn::new(BPF_LD | BPF_ABS | size.bits(), 0, 0, 0, imm).into()
            }
            Op::LoadPacket { index: Some(src), imm, size } => {
                Insn::new(BPF_LD | BPF_IND | size.bits(), 0, src.index(), 0, imm).into()
            }
            Op::Store { base, off, size, src: Src::Reg(src) } => Insn::stx(size, base, off, src).into(),
            Op::Store { base, off, size, src: Src::Imm(imm) } => Insn::st(size, base, off, imm).into(),
            Op::Atomic { op: AtomicOp::LoadAcquire, size, base, off, reg } => {
                Insn::load_acquire(size, reg, base, off).into()
            }
            Op::Atomic { op, size, base, off, reg } => Insn::atomic(op, size, base, off, reg).into(),
            Op::Goto { off, long: true } => Insn::gotol(off).into(),
            // `off` of the short form came from 16 bits; a larger one takes the long form rather than another target.
            Op::Goto { off, long: false } => match i16::try_from(off) {
                Ok(off) => Insn::ja(off).into(),
                Err(_) => Insn::gotol(off).into(),
            },
            Op::Branch { width, cond, dst, src: Src::Reg(src), off } => {
                Insn::jmp_reg(width, cond, dst, src, off).into()
            }
            Op::Branch { width, cond, dst, src: Src::Imm(imm), off } => {
                Insn::jmp_imm(width, cond, dst, imm, off).into()
            }
            Op::MayGoto { off } => Insn::may_goto(off).into(),
            Op::CallHelper(helper) => Insn::call(helper).into(),
            Op::CallLocal { off } => Insn::call_local(off).into(),
            Op::CallKfunc { btf_id, fd_index } => Insn::call_kfunc(btf_id, fd_index).into(),
            Op::Exit => Insn::exit().into(),
        }
    }

    /// Slots from the next instruction to the target of a jump; `None` for what does not jump (calls do not).
    pub const fn jump(&self) -> Option<i32> {
        match *self {
            Op::Goto { off, .. } => Some(off),
            Op::Branch { off, .. } | Op::MayGoto { off } => Some(off as i32),
            _ => None,
        }
    }

    /// Whether control never reaches the next slot.
    pub const fn ends_flow(&self) -> bool {
        matches!(self, Op::Goto { .. } | Op::Exit)
    }

    /// The register that the instruction itself sets, calls aside (they set r0 and spoil r1 to r5).
    pub const fn written(&self) -> Option<Reg> {
        match *self {
            Op::Alu { dst, .. }
            | Op::MovSx { dst, .. }
            | Op::Neg { dst, .. }
            | Op::Swap { dst, .. }
            | Op::AddrSpaceCast { dst, .. }
            | Op::LoadImm { dst, .. }
            | Op::Load { dst, .. } => Some(dst),
            Op::LoadPacket { .. } => Some(Reg::R0),
            Op::Atomic { op, reg, .. } => match op {
                AtomicOp::Cmpxchg => Some(Reg::R0),
                AtomicOp::FetchAdd
                | AtomicOp::FetchOr
                | AtomicOp::FetchAnd
                | AtomicOp::FetchXor
                | AtomicOp::Xchg
                | AtomicOp::LoadAcquire => Some(reg),
                _ => None,
            },
            _ => None,
        }
    }
}

fn encode_imm64(dst: Reg, imm: Imm64) -> [Insn; 2] {
    match imm {
        Imm64::Value(value) => Insn::ld_imm64(dst, value),
        Imm64::MapFd(fd) => Insn::ld_map_fd(dst, fd),
        Imm64::MapValue { fd, offset } => Insn::ld_map_value(dst, fd, offset),
        Imm64::BtfId { id, fd } => Insn::ld_btf_id(dst, id, fd),
        Imm64::Func(off) => Insn::ld_func(dst, off),
        Imm64::MapIdx(index) => Insn::ld_pseudo(dst, BPF_PSEUDO_MAP_IDX, index, 0),
        Imm64::MapIdxValue { index, offset } => Insn::ld_pseudo(dst, BPF_PSEUDO_MAP_IDX_VALUE, index, offset),
    }
}

fn decode_ld(insn: Insn, next: Option<Insn>) -> Result<Op, OpError> {
    let (mode, size) = (insn.code & BPF_MODE_MASK, Size::of_code(insn.code));
    if insn.code == 0 {
        return Err(OpError::SecondHalf);
    }
    zero("off", insn.off)?;
    if mode == BPF_IMM && size == Size::DW {
        let dst = reg(insn.dst())?;
        let next = next.ok_or(OpError::HalfLoad)?;
        if next.code != 0 || next.regs != 0 || next.off != 0 {
            return Err(OpError::HalfLoad);
        }
        let (low, high) = (insn.imm, next.imm);
        let imm = match insn.src() {
            0 => Imm64::Value(u64::from(low as u32) | u64::from(high as u32) << 32),
            BPF_PSEUDO_MAP_VALUE => Imm64::MapValue { fd: low, offset: high },
            BPF_PSEUDO_BTF_ID => Imm64::BtfId { id: low, fd: high },
            BPF_PSEUDO_MAP_IDX_VALUE => Imm64::MapIdxValue { index: low, offset: high },
            pseudo @ (BPF_PSEUDO_MAP_FD | BPF_PSEUDO_FUNC | BPF_PSEUDO_MAP_IDX) => {
                zero("imm", high)?;
                match pseudo {
                    BPF_PSEUDO_MAP_FD => Imm64::MapFd(low),
                    BPF_PSEUDO_FUNC => Imm64::Func(low),
                    _ => Imm64::MapIdx(low),
                }
            }
            other => return Err(OpError::Reserved { field: "src", value: other.into() }),
        };
        return Ok(Op::LoadImm { dst, imm });
    }
    zero("dst", insn.dst())?;
    match (mode, size) {
        (_, Size::DW) => Err(OpError::UnknownCode(insn.code)),
        (BPF_ABS, _) => {
            zero("src", insn.src())?;
            Ok(Op::LoadPacket { index: None, imm: insn.imm, size })
        }
        (BPF_IND, _) => Ok(Op::LoadPacket { index: Some(reg(insn.src())?), imm: insn.imm, size }),
        _ => Err(OpError::UnknownCode(insn.code)),
    }
}

fn decode_ldx(insn: Insn) -> Result<Op, OpError> {
    let size = Size::of_code(insn.code);
    let signed = match insn.code & BPF_MODE_MASK {
        BPF_MEM => false,
        BPF_MEMSX if size != Size::DW => true,
        _ => return Err(OpError::UnknownCode(insn.code)),
    };
    zero("imm", insn.imm)?;
    Ok(Op::Load { dst: reg(insn.dst())?, base: reg(insn.src())?, off: insn.off, size, signed })
}

fn decode_stx(insn: Insn) -> Result<Op, OpError> {
    let (base, src, size) = (reg(insn.dst())?, reg(insn.src())?, Size::of_code(insn.code));
    match insn.code & BPF_MODE_MASK {
        BPF_MEM => {
            zero("imm", insn.imm)?;
            Ok(Op::Store { base, off: insn.off, size, src: Src::Reg(src) })
        }
        BPF_ATOMIC => {
            let unknown = OpError::Reserved { field: "imm", value: insn.imm.into() };
            let op = AtomicOp::ALL.into_iter().find(|op| op.imm() == insn.imm).ok_or(unknown)?;
            match op {
                AtomicOp::LoadAcquire => Ok(Op::Atomic { op, size, base: src, off: insn.off, reg: base }),
                AtomicOp::StoreRelease => Ok(Op::Atomic { op, size, base, off: insn.off, reg: src }),
                _ if matches!(size, Size::B | Size::H) => Err(OpError::UnknownCode(insn.code)),
                _ => Ok(Op::Atomic { op, size, base, off: insn.off, reg: src }),
            }
        }
        _ => Err(OpError::UnknownCode(insn.code)),
    }
}

fn decode_alu(insn: Insn, width: Width) -> Result<Op, OpError> {
    let (bits, by_reg, dst) = (insn.code & BPF_OP_MASK, insn.code & BPF_X != 0, reg(insn.dst())?);
    match bits {
        BPF_NEG => {
            if by_reg {
                return Err(OpError::UnknownCode(insn.code));
            }
            zero("src", insn.src())?;
            zero("off", insn.off)?;
            zero("imm", insn.imm)?;
            Ok(Op::Neg { width, dst })
        }
        BPF_END => {
            let kind = match (width, by_reg) {
                (Width::W32, false) => Swap::Le,
                (Width::W32, true) => Swap::Be,
                (Width::W64, false) => Swap::Bswap,
                (Width::W64, true) => return Err(OpError::UnknownCode(insn.code)),
            };
            zero("src", insn.src())?;
            zero("off", insn.off)?;
            let size = match insn.imm {
                16 => Size::H,
                32 => Size::W,
                64 => Size::DW,
                imm => return Err(OpError::Reserved { field: "imm", value: imm.into() }),
            };
            Ok(Op::Swap { kind, dst, size })
        }
        _ if bits == Alu::Mov.bits() && by_reg && insn.off != 0 => decode_mov_variant(insn, width, dst),
        _ => {
            let op = Alu::ALL.into_iter().find(|op| op.bits() == bits && op.off() == insn.off);
            let Some(op) = op else {
                return Err(match Alu::ALL.iter().any(|op| op.bits() == bits) {
                    true => OpError::Reserved { field: "off", value: insn.off.into() },
                    false => OpError::UnknownCode(insn.code),
                });
            };
            Ok(Op::Alu { width, op, dst, src: operand(insn)? })
        }
    }
}

fn decode_mov_variant(insn: Insn, width: Width, dst: Reg) -> Result<Op, OpError> {
    let src = reg(insn.src())?;
    if insn.off == BPF_ADDR_SPACE_CAST && width == Width::W64 {
        return match insn.imm {
            1 => Ok(Op::AddrSpaceCast { dst, src, to_kernel: true }),
            0x1_0000 => Ok(Op::AddrSpaceCast { dst, src, to_kernel: false }),
            imm => Err(OpError::Reserved { field: "imm", value: imm.into() }),
        };
    }
    zero("imm", insn.imm)?;
    let from = match (insn.off, width) {
        (8, _) => Size::B,
        (16, _) => Size::H,
        (32, Width::W64) => Size::W,
        (off, _) => return Err(OpError::Reserved { field: "off", value: off.into() }),
    };
    Ok(Op::MovSx { width, dst, src, from })
}

fn decode_jmp(insn: Insn, width: Width) -> Result<Op, OpError> {
    let bits = insn.code & BPF_OP_MASK;
    if let Some(cond) = Cond::ALL.into_iter().find(|cond| cond.bits() == bits) {
        return Ok(Op::Branch { width, cond, dst: reg(insn.dst())?, src: operand(insn)?, off: insn.off });
    }
    if insn.code & BPF_X != 0 {
        return Err(OpError::UnknownCode(insn.code));
    }
    zero("dst", insn.dst())?;
    match (bits, width) {
        (BPF_JA, _) => {
            zero("src", insn.src())?;
            match width {
                Width::W64 => {
                    zero("imm", insn.imm)?;
                    Ok(Op::Goto { off: insn.off.into(), long: false })
                }
                Width::W32 => {
                    zero("off", insn.off)?;
                    Ok(Op::Goto { off: insn.imm, long: true })
                }
            }
        }
        (BPF_JCOND, Width::W64) => {
            zero("src", insn.src())?;
            zero("imm", insn.imm)?;
            Ok(Op::MayGoto { off: insn.off })
        }
        (BPF_EXIT, Width::W64) => {
            zero("src", insn.src())?;
            zero("off", insn.off)?;
            zero("imm", insn.imm)?;
            Ok(Op::Exit)
        }
        (BPF_CALL, Width::W64) => match insn.src() {
            BPF_PSEUDO_KFUNC_CALL => Ok(Op::CallKfunc { btf_id: insn.imm, fd_index: insn.off }),
            kind @ (BPF_CALL_HELPER | BPF_PSEUDO_CALL) => {
                zero("off", insn.off)?;
                Ok(match kind {
                    BPF_CALL_HELPER => Op::CallHelper(Helper(insn.imm)),
                    _ => Op::CallLocal { off: insn.imm },
                })
            }
            other => Err(OpError::Reserved { field: "src", value: other.into() }),
        },
        _ => Err(OpError::UnknownCode(insn.code)),
    }
}

/// Walks a program slot by slot; the second half of a 16-byte load is skipped, a bad slot counts as one.
pub fn walk(insns: &[Insn]) -> impl Iterator<Item = (usize, Result<Op, OpError>)> + '_ {
    let mut next = 0;
    std::iter::from_fn(move || {
        let at = next;
        insns.get(at)?;
        let op = Op::decode(insns, at);
        next += op.as_ref().map_or(1, Op::slots);
        Some((at, op))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_byte_that_decodes_encodes_back() {
        let mut valid = 0;
        for code in 0..=255u8 {
            for (src, off, imm) in [
                (0, 0, 0),
                (2, 0, 0),
                (1, 4, 0),
                (0, 1, 5),
                (0, 0, 16),
                (3, 8, 0),
                (3, 16, 0),
                (3, 32, 0),
                (3, 1, 1),
                (3, 1, 1 << 16),
                (0, 0, 0x40),
                (2, 0, 0xf1),
                (2, 0, 0x100),
                (2, 0, 0x110),
                (1, 0, 9),
                (2, 3, 9),
            ] {
                let insns = [Insn::new(code, 1, src, off, imm), Insn::new(0, 0, 0, 0, 0)];
                for insns in [insns, [Insn::new(code, 0, src, off, imm), insns[1]]] {
                    if let Ok(op) = Op::decode(&insns, 0) {
                        valid += 1;
                        assert_eq!(op.encode().as_slice(), &insns[..op.slots()], "{op:?}");
                    }
                }
            }
        }
        assert!(valid > 500, "{valid}");
    }

    #[test]
    fn reserved_fields_are_refused() {
        let rows = [
            (Insn::new(0xb7, 1, 2, 0, 0), "`src` holds 2"),
            (Insn::new(0xbf, 1, 2, 0, 7), "`imm` holds 7"),
            (Insn::new(0x07, 1, 0, 1, 7), "`off` holds 1"),
            (Insn::new(0xd4, 1, 0, 0, 8), "`imm` holds 8"),
            (Insn::new(0x95, 0, 0, 0, 1), "`imm` holds 1"),
            (Insn::new(0xdb, 1, 2, 0, 2), "`imm` holds 2"),
            (Insn::new(0xd3, 1, 2, 0, 0), "0xd3"),
            (Insn::new(0xb7, 11, 0, 0, 0), "r11"),
            (Insn::new(0x18, 1, 0, 0, 0), "second half"),
            (Insn::new(0x99, 1, 2, 0, 0), "0x99"),
            (Insn::new(0xe5, 0, 1, 0, 0), "`src` holds 1"),
            (Insn::new(0xbc, 1, 2, 32, 0), "`off` holds 32"),
            (Insn::new(0x85, 0, 3, 0, 0), "`src` holds 3"),
        ];
        for (insn, want) in rows {
            let error = Op::decode(&[insn], 0).unwrap_err().to_string();
            assert!(error.contains(want), "{insn:?}: {error}");
        }
    }
}
