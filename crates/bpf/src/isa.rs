//! The instruction set: bits of the operation byte, registers, operators, and a constructor per instruction form.
//!
//! Source of the encodings: `Documentation/bpf/standardization/instruction-set.rst` and `include/uapi/linux/bpf.h`.

use crate::helpers::Helper;
use crate::insn::Insn;
use std::fmt;

/// Class: non-standard loads and the 16-byte `ld_imm64`.
pub const BPF_LD: u8 = 0x00;
/// Class: load to a register.
pub const BPF_LDX: u8 = 0x01;
/// Class: store an immediate.
pub const BPF_ST: u8 = 0x02;
/// Class: store a register, atomics.
pub const BPF_STX: u8 = 0x03;
/// Class: 32-bit arithmetic.
pub const BPF_ALU: u8 = 0x04;
/// Class: jumps with 64-bit operands, call, exit.
pub const BPF_JMP: u8 = 0x05;
/// Class: jumps with 32-bit operands.
pub const BPF_JMP32: u8 = 0x06;
/// Class: 64-bit arithmetic.
pub const BPF_ALU64: u8 = 0x07;
/// Mask of the class.
pub const BPF_CLASS_MASK: u8 = 0x07;

/// Size bits: 4 bytes.
pub const BPF_W: u8 = 0x00;
/// Size bits: 2 bytes.
pub const BPF_H: u8 = 0x08;
/// Size bits: 1 byte.
pub const BPF_B: u8 = 0x10;
/// Size bits: 8 bytes.
pub const BPF_DW: u8 = 0x18;
/// Mask of the size bits.
pub const BPF_SIZE_MASK: u8 = 0x18;

/// Mode: 64-bit immediate.
pub const BPF_IMM: u8 = 0x00;
/// Mode: packet data at a constant offset (classic).
pub const BPF_ABS: u8 = 0x20;
/// Mode: packet data at register plus offset (classic).
pub const BPF_IND: u8 = 0x40;
/// Mode: memory.
pub const BPF_MEM: u8 = 0x60;
/// Mode: sign-extending memory load.
pub const BPF_MEMSX: u8 = 0x80;
/// Mode: atomic.
pub const BPF_ATOMIC: u8 = 0xc0;
/// Mask of the mode bits.
pub const BPF_MODE_MASK: u8 = 0xe0;

/// Source bit: immediate.
pub const BPF_K: u8 = 0x00;
/// Source bit: register.
pub const BPF_X: u8 = 0x08;
/// Mask of the operator in arithmetic and jump classes.
pub const BPF_OP_MASK: u8 = 0xf0;

/// Operator: negate.
pub const BPF_NEG: u8 = 0x80;
/// Operator: byte order.
pub const BPF_END: u8 = 0xd0;
/// Operator: unconditional jump.
pub const BPF_JA: u8 = 0x00;
/// Operator: call.
pub const BPF_CALL: u8 = 0x80;
/// Operator: exit.
pub const BPF_EXIT: u8 = 0x90;
/// Operator: `may_goto` and its kind.
pub const BPF_JCOND: u8 = 0xe0;

/// `ld_imm64` source: descriptor of a map.
pub const BPF_PSEUDO_MAP_FD: u8 = 1;
/// `ld_imm64` source: descriptor of an array map, second immediate: offset into its value.
pub const BPF_PSEUDO_MAP_VALUE: u8 = 2;
/// `ld_imm64` source: BTF id of a kernel variable, second immediate: descriptor of a module's BTF.
pub const BPF_PSEUDO_BTF_ID: u8 = 3;
/// `ld_imm64` source: a function of this program, relative to the next instruction slot.
pub const BPF_PSEUDO_FUNC: u8 = 4;
/// `ld_imm64` source: index into `fd_array` of a map.
pub const BPF_PSEUDO_MAP_IDX: u8 = 5;
/// `ld_imm64` source: index into `fd_array` of an array map, second immediate: offset into its value.
pub const BPF_PSEUDO_MAP_IDX_VALUE: u8 = 6;
/// `call` source: helper.
pub const BPF_CALL_HELPER: u8 = 0;
/// `call` source: function of this program.
pub const BPF_PSEUDO_CALL: u8 = 1;
/// `call` source: kernel function by BTF id.
pub const BPF_PSEUDO_KFUNC_CALL: u8 = 2;

/// Atomic immediate: give back the old value.
pub const BPF_FETCH: i32 = 0x01;
/// `off` of a 64-bit register move that casts between address spaces.
pub const BPF_ADDR_SPACE_CAST: i16 = 1;
/// Most instructions of a program for a privileged loader.
pub const MAX_INSNS: usize = 1_000_000;
/// Bytes of a stack frame.
pub const STACK_SIZE: usize = 512;
/// Most nested frames.
pub const MAX_FRAMES: usize = 8;

/// A register, r0 to r10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reg(u8);

impl Reg {
    /// Result; scratch.
    pub const R0: Reg = Reg(0);
    /// First argument; context at entry.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// Kept over calls.
    pub const R6: Reg = Reg(6);
    /// Kept over calls.
    pub const R7: Reg = Reg(7);
    /// Kept over calls.
    pub const R8: Reg = Reg(8);
    /// Kept over calls.
    pub const R9: Reg = Reg(9);
    /// Frame pointer, read-only; the stack lies below it.
    pub const R10: Reg = Reg(10);

    /// The register of a number; `None` above 10.
    pub const fn new(index: u8) -> Option<Reg> {
        if index <= 10 {
            Some(Reg(index))
        } else {
            None
        }
    }

    /// 0 to 10.
    pub const fn index(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Width of memory access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
    /// 8 bytes.
    DW,
}

impl Size {
    /// Its bits in the operation byte.
    pub const fn bits(self) -> u8 {
        match self {
            Size::B => BPF_B,
            Size::H => BPF_H,
            Size::W => BPF_W,
            Size::DW => BPF_DW,
        }
    }

    /// The size in an operation byte.
    pub const fn of_code(code: u8) -> Size {
        match code & BPF_SIZE_MASK {
            BPF_B => Size::B,
            BPF_H => Size::H,
            BPF_W => Size::W,
            _ => Size::DW,
        }
    }

    /// Bytes.
    pub const fn bytes(self) -> u8 {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::DW => 8,
        }
    }

    /// The size of so many bytes.
    pub const fn of_bytes(bytes: usize) -> Option<Size> {
        match bytes {
            1 => Some(Size::B),
            2 => Some(Size::H),
            4 => Some(Size::W),
            8 => Some(Size::DW),
            _ => None,
        }
    }
}

/// Width of arithmetic and comparison.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// The lower half; results are zero-extended.
    W32,
    /// The whole register.
    W64,
}

/// Binary arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Alu {
    /// Wrapping addition.
    Add,
    /// Wrapping subtraction.
    Sub,
    /// Wrapping multiplication.
    Mul,
    /// Unsigned division, 0 by 0.
    Div,
    /// Signed division, 0 by 0 (Linux 6.6).
    Sdiv,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Left shift, distance modulo the width.
    Lsh,
    /// Logical right shift.
    Rsh,
    /// Unsigned remainder, the dividend by 0.
    Mod,
    /// Signed remainder, the dividend by 0 (Linux 6.6).
    Smod,
    /// Bitwise exclusive or.
    Xor,
    /// Copy.
    Mov,
    /// Arithmetic right shift.
    Arsh,
}

impl Alu {
    /// Every operator.
    pub const ALL: [Alu; 14] = [
        Alu::Add,
        Alu::Sub,
        Alu::Mul,
        Alu::Div,
        Alu::Sdiv,
        Alu::Or,
        Alu::And,
        Alu::Lsh,
        Alu::Rsh,
        Alu::Mod,
        Alu::Smod,
        Alu::Xor,
        Alu::Mov,
        Alu::Arsh,
    ];

    /// Its bits in the operation byte.
    pub const fn bits(self) -> u8 {
        match self {
            Alu::Add => 0x00,
            Alu::Sub => 0x10,
            Alu::Mul => 0x20,
            Alu::Div | Alu::Sdiv => 0x30,
            Alu::Or => 0x40,
            Alu::And => 0x50,
            Alu::Lsh => 0x60,
            Alu::Rsh => 0x70,
            Alu::Mod | Alu::Smod => 0x90,
            Alu::Xor => 0xa0,
            Alu::Mov => 0xb0,
            Alu::Arsh => 0xc0,
        }
    }

    /// Its value of `off`: 1 for the signed forms.
    pub const fn off(self) -> i16 {
        matches!(self, Alu::Sdiv | Alu::Smod) as i16
    }
}

/// Condition of a jump.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cond {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// Unsigned `>`
    Gt,
    /// Unsigned `>=`
    Ge,
    /// Unsigned `<`
    Lt,
    /// Unsigned `<=`
    Le,
    /// `a & b` is not 0
    Set,
    /// Signed `>`
    Sgt,
    /// Signed `>=`
    Sge,
    /// Signed `<`
    Slt,
    /// Signed `<=`
    Sle,
}

impl Cond {
    /// Every condition.
    pub const ALL: [Cond; 11] = [
        Cond::Eq,
        Cond::Ne,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Set,
        Cond::Sgt,
        Cond::Sge,
        Cond::Slt,
        Cond::Sle,
    ];

    /// Its bits in the operation byte.
    pub const fn bits(self) -> u8 {
        match self {
            Cond::Eq => 0x10,
            Cond::Gt => 0x20,
            Cond::Ge => 0x30,
            Cond::Set => 0x40,
            Cond::Ne => 0x50,
            Cond::Sgt => 0x60,
            Cond::Sge => 0x70,
            Cond::Lt => 0xa0,
            Cond::Le => 0xb0,
            Cond::Slt => 0xc0,
            Cond::Sle => 0xd0,
        }
    }

    /// The condition that holds exactly when this one does not; `None` for `Set`.
    pub const fn inverse(self) -> Option<Cond> {
        Some(match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Gt => Cond::Le,
            Cond::Le => Cond::Gt,
            Cond::Ge => Cond::Lt,
            Cond::Lt => Cond::Ge,
            Cond::Sgt => Cond::Sle,
            Cond::Sle => Cond::Sgt,
            Cond::Sge => Cond::Slt,
            Cond::Slt => Cond::Sge,
            Cond::Set => return None,
        })
    }

    /// Whether the condition holds; 32-bit comparisons look at the lower halves only.
    pub const fn holds(self, width: Width, left: u64, right: u64) -> bool {
        let (a, b, sa, sb) = match width {
            Width::W64 => (left, right, left as i64, right as i64),
            Width::W32 => (
                left as u32 as u64,
                right as u32 as u64,
                left as u32 as i32 as i64,
                right as u32 as i32 as i64,
            ),
        };
        match self {
            Cond::Eq => a == b,
            Cond::Ne => a != b,
            Cond::Gt => a > b,
            Cond::Ge => a >= b,
            Cond::Lt => a < b,
            Cond::Le => a <= b,
            Cond::Set => a & b != 0,
            Cond::Sgt => sa > sb,
            Cond::Sge => sa >= sb,
            Cond::Slt => sa < sb,
            Cond::Sle => sa <= sb,
        }
    }
}

/// Atomic operation on 4 or 8 bytes of memory (load and store: 1 to 8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtomicOp {
    /// Memory += source.
    Add,
    /// Memory |= source.
    Or,
    /// Memory &= source.
    And,
    /// Memory ^= source.
    Xor,
    /// Add; the source register takes the old value.
    FetchAdd,
    /// Or; the source register takes the old value.
    FetchOr,
    /// And; the source register takes the old value.
    FetchAnd,
    /// Exclusive or; the source register takes the old value.
    FetchXor,
    /// Exchange memory and the source register.
    Xchg,
    /// Store the source register if memory equals r0; r0 takes the old value.
    Cmpxchg,
    /// Destination register = memory, acquire order (Linux 6.15).
    LoadAcquire,
    /// Memory = source, release order (Linux 6.15).
    StoreRelease,
}

impl AtomicOp {
    /// Every operation.
    pub const ALL: [AtomicOp; 12] = [
        AtomicOp::Add,
        AtomicOp::Or,
        AtomicOp::And,
        AtomicOp::Xor,
        AtomicOp::FetchAdd,
        AtomicOp::FetchOr,
        AtomicOp::FetchAnd,
        AtomicOp::FetchXor,
        AtomicOp::Xchg,
        AtomicOp::Cmpxchg,
        AtomicOp::LoadAcquire,
        AtomicOp::StoreRelease,
    ];

    /// Its immediate.
    pub const fn imm(self) -> i32 {
        match self {
            AtomicOp::Add => 0x00,
            AtomicOp::Or => 0x40,
            AtomicOp::And => 0x50,
            AtomicOp::Xor => 0xa0,
            AtomicOp::FetchAdd => BPF_FETCH,
            AtomicOp::FetchOr => 0x40 | BPF_FETCH,
            AtomicOp::FetchAnd => 0x50 | BPF_FETCH,
            AtomicOp::FetchXor => 0xa0 | BPF_FETCH,
            AtomicOp::Xchg => 0xe0 | BPF_FETCH,
            AtomicOp::Cmpxchg => 0xf0 | BPF_FETCH,
            AtomicOp::LoadAcquire => 0x100,
            AtomicOp::StoreRelease => 0x110,
        }
    }
}

/// Change of byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Swap {
    /// To or from little endian: on little-endian machines a truncation.
    Le,
    /// To or from big endian.
    Be,
    /// Unconditional reversal (Linux 6.6).
    Bswap,
}

/// One constructor per form; `dst`, `src`, `base` are registers, `off` counts bytes for memory and slots for jumps.
impl Insn {
    /// `dst OP= src`, 64 bits.
    pub const fn alu64_reg(op: Alu, dst: Reg, src: Reg) -> Insn {
        Insn::new(BPF_ALU64 | BPF_X | op.bits(), dst.0, src.0, op.off(), 0)
    }
    /// `dst OP= imm` (sign-extended), 64 bits.
    pub const fn alu64_imm(op: Alu, dst: Reg, imm: i32) -> Insn {
        Insn::new(BPF_ALU64 | BPF_K | op.bits(), dst.0, 0, op.off(), imm)
    }
    /// `dst OP= src`, 32 bits, upper half cleared.
    pub const fn alu32_reg(op: Alu, dst: Reg, src: Reg) -> Insn {
        Insn::new(BPF_ALU | BPF_X | op.bits(), dst.0, src.0, op.off(), 0)
    }
    /// `dst OP= imm`, 32 bits, upper half cleared.
    pub const fn alu32_imm(op: Alu, dst: Reg, imm: i32) -> Insn {
        Insn::new(BPF_ALU | BPF_K | op.bits(), dst.0, 0, op.off(), imm)
    }
    /// `dst = src`, 64 bits.
    pub const fn mov64_reg(dst: Reg, src: Reg) -> Insn {
        Insn::alu64_reg(Alu::Mov, dst, src)
    }
    /// `dst = imm`, sign-extended to 64 bits.
    pub const fn mov64_imm(dst: Reg, imm: i32) -> Insn {
        Insn::alu64_imm(Alu::Mov, dst, imm)
    }
    /// `dst = (u32)src`.
    pub const fn mov32_reg(dst: Reg, src: Reg) -> Insn {
        Insn::alu32_reg(Alu::Mov, dst, src)
    }
    /// `dst = (u32)imm`.
    pub const fn mov32_imm(dst: Reg, imm: i32) -> Insn {
        Insn::alu32_imm(Alu::Mov, dst, imm)
    }
    /// `dst = (s8|s16|s32)src`, sign-extended to the width; `from` is `B`, `H` or (64 bits only) `W`.
    pub const fn movsx(width: Width, dst: Reg, src: Reg, from: Size) -> Insn {
        let class = alu_class(width);
        Insn::new(class | BPF_X | Alu::Mov.bits(), dst.0, src.0, from.bytes() as i16 * 8, 0)
    }
    /// `dst = -dst`.
    pub const fn neg(width: Width, dst: Reg) -> Insn {
        Insn::new(alu_class(width) | BPF_NEG, dst.0, 0, 0, 0)
    }
    /// Change of byte order of the lower `H`, `W` or all (`DW`) bytes; the rest is cleared.
    pub const fn swap(kind: Swap, dst: Reg, size: Size) -> Insn {
        let code = match kind {
            Swap::Le => BPF_ALU | BPF_END | BPF_K,
            Swap::Be => BPF_ALU | BPF_END | BPF_X,
            Swap::Bswap => BPF_ALU64 | BPF_END | BPF_K,
        };
        Insn::new(code, dst.0, 0, 0, size.bytes() as i32 * 8)
    }
    /// Cast between address spaces (`imm` = destination space << 16 | source space): arena pointers.
    pub const fn addr_space_cast(dst: Reg, src: Reg, imm: i32) -> Insn {
        Insn::new(BPF_ALU64 | BPF_X | Alu::Mov.bits(), dst.0, src.0, BPF_ADDR_SPACE_CAST, imm)
    }
    /// `dst = *(uN *)(base + off)`.
    pub const fn ldx(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
        Insn::new(BPF_LDX | BPF_MEM | size.bits(), dst.0, base.0, off, 0)
    }
    /// `dst = *(sN *)(base + off)`; `size` below `DW`.
    pub const fn ldsx(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
        Insn::new(BPF_LDX | BPF_MEMSX | size.bits(), dst.0, base.0, off, 0)
    }
    /// `*(uN *)(base + off) = src`.
    pub const fn stx(size: Size, base: Reg, off: i16, src: Reg) -> Insn {
        Insn::new(BPF_STX | BPF_MEM | size.bits(), base.0, src.0, off, 0)
    }
    /// `*(uN *)(base + off) = imm`.
    pub const fn st(size: Size, base: Reg, off: i16, imm: i32) -> Insn {
        Insn::new(BPF_ST | BPF_MEM | size.bits(), base.0, 0, off, imm)
    }
    /// Atomic operation on `*(uN *)(base + off)` with `src`; see [`Insn::load_acquire`] for the load.
    pub const fn atomic(op: AtomicOp, size: Size, base: Reg, off: i16, src: Reg) -> Insn {
        Insn::new(BPF_STX | BPF_ATOMIC | size.bits(), base.0, src.0, off, op.imm())
    }
    /// `dst = load_acquire((uN *)(base + off))`.
    pub const fn load_acquire(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
        Insn::new(BPF_STX | BPF_ATOMIC | size.bits(), dst.0, base.0, off, AtomicOp::LoadAcquire.imm())
    }
    /// Jump by `off` slots, 16 bits.
    pub const fn ja(off: i16) -> Insn {
        Insn::new(BPF_JMP | BPF_JA, 0, 0, off, 0)
    }
    /// Jump by `off` slots, 32 bits (Linux 6.6).
    pub const fn gotol(off: i32) -> Insn {
        Insn::new(BPF_JMP32 | BPF_JA, 0, 0, 0, off)
    }
    /// Conditional jump on two registers.
    pub const fn jmp_reg(width: Width, cond: Cond, dst: Reg, src: Reg, off: i16) -> Insn {
        Insn::new(jmp_class(width) | BPF_X | cond.bits(), dst.0, src.0, off, 0)
    }
    /// Conditional jump on a register and a (sign-extended) immediate.
    pub const fn jmp_imm(width: Width, cond: Cond, dst: Reg, imm: i32, off: i16) -> Insn {
        Insn::new(jmp_class(width) | BPF_K | cond.bits(), dst.0, 0, off, imm)
    }
    /// Jump by `off` slots when the kernel's loop budget is spent (Linux 6.9).
    pub const fn may_goto(off: i16) -> Insn {
        Insn::new(BPF_JMP | BPF_JCOND, 0, 0, off, 0)
    }
    /// Call of a helper.
    pub const fn call(helper: Helper) -> Insn {
        Insn::new(BPF_JMP | BPF_CALL, 0, BPF_CALL_HELPER, 0, helper.0)
    }
    /// Call of a function of this program, `off` slots from the next instruction.
    pub const fn call_local(off: i32) -> Insn {
        Insn::new(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, off)
    }
    /// Call of a kernel function by BTF id; `fd_index` 0 for the kernel itself, else index of a module BTF in `fd_array`.
    pub const fn call_kfunc(btf_id: i32, fd_index: i16) -> Insn {
        Insn::new(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, fd_index, btf_id)
    }
    /// Return r0.
    pub const fn exit() -> Insn {
        Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
    }
    /// `dst = value`: two slots.
    pub const fn ld_imm64(dst: Reg, value: u64) -> [Insn; 2] {
        Insn::ld_pseudo(dst, 0, value as u32 as i32, (value >> 32) as u32 as i32)
    }
    /// `dst` = the map of a descriptor.
    pub const fn ld_map_fd(dst: Reg, fd: i32) -> [Insn; 2] {
        Insn::ld_pseudo(dst, BPF_PSEUDO_MAP_FD, fd, 0)
    }
    /// `dst` = address of the value of a single-element array map, plus `offset`.
    pub const fn ld_map_value(dst: Reg, fd: i32, offset: i32) -> [Insn; 2] {
        Insn::ld_pseudo(dst, BPF_PSEUDO_MAP_VALUE, fd, offset)
    }
    /// `dst` = address of a kernel variable; `btf_fd` 0 for the kernel itself.
    pub const fn ld_btf_id(dst: Reg, btf_id: i32, btf_fd: i32) -> [Insn; 2] {
        Insn::ld_pseudo(dst, BPF_PSEUDO_BTF_ID, btf_id, btf_fd)
    }
    /// `dst` = a function of this program, `off` slots from the slot after the *first* of the two.
    pub const fn ld_func(dst: Reg, off: i32) -> [Insn; 2] {
        Insn::ld_pseudo(dst, BPF_PSEUDO_FUNC, off, 0)
    }
    /// Any `ld_imm64` of a pseudo source.
    pub const fn ld_pseudo(dst: Reg, pseudo: u8, low: i32, high: i32) -> [Insn; 2] {
        [Insn::new(BPF_LD | BPF_IMM | BPF_DW, dst.0, pseudo, 0, low), Insn::new(0, 0, 0, 0, high)]
    }
}

const fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => BPF_ALU,
        Width::W64 => BPF_ALU64,
    }
}

const fn jmp_class(width: Width) -> u8 {
    match width {
        Width::W32 => BPF_JMP32,
        Width::W64 => BPF_JMP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        let rows: &[(Insn, [u8; 8])] = &[
            (Insn::mov64_imm(Reg::R0, 0), [0xb7, 0, 0, 0, 0, 0, 0, 0]),
            (Insn::mov32_reg(Reg::R1, Reg::R2), [0xbc, 0x21, 0, 0, 0, 0, 0, 0]),
            (Insn::alu64_imm(Alu::Sdiv, Reg::R3, 7), [0x37, 3, 1, 0, 7, 0, 0, 0]),
            (Insn::movsx(Width::W64, Reg::R1, Reg::R2, Size::H), [0xbf, 0x21, 16, 0, 0, 0, 0, 0]),
            (Insn::swap(Swap::Bswap, Reg::R1, Size::DW), [0xd7, 1, 0, 0, 64, 0, 0, 0]),
            (Insn::swap(Swap::Be, Reg::R1, Size::H), [0xdc, 1, 0, 0, 16, 0, 0, 0]),
            (Insn::ldx(Size::DW, Reg::R1, Reg::R10, -8), [0x79, 0xa1, 0xf8, 0xff, 0, 0, 0, 0]),
            (Insn::ldsx(Size::B, Reg::R1, Reg::R10, -1), [0x91, 0xa1, 0xff, 0xff, 0, 0, 0, 0]),
            (Insn::st(Size::W, Reg::R10, -4, 9), [0x62, 0x0a, 0xfc, 0xff, 9, 0, 0, 0]),
            (Insn::atomic(AtomicOp::FetchAdd, Size::DW, Reg::R1, 0, Reg::R2), [0xdb, 0x21, 0, 0, 1, 0, 0, 0]),
            (Insn::may_goto(3), [0xe5, 0, 3, 0, 0, 0, 0, 0]),
            (Insn::gotol(-2), [0x06, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]),
            (Insn::jmp_imm(Width::W32, Cond::Sle, Reg::R1, -1, 2), [0xd6, 1, 2, 0, 0xff, 0xff, 0xff, 0xff]),
            (Insn::call(Helper::KTIME_GET_NS), [0x85, 0, 0, 0, 5, 0, 0, 0]),
            (Insn::call_kfunc(77, 0), [0x85, 0x20, 0, 0, 77, 0, 0, 0]),
            (Insn::exit(), [0x95, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (insn, bytes) in rows {
            assert_eq!(insn.to_bytes(), *bytes, "{insn:?}");
            assert_eq!(Insn::from_bytes(*bytes), *insn);
        }
        let [first, second] = Insn::ld_map_value(Reg::R6, 4, 16);
        assert_eq!(first.to_bytes(), [0x18, 0x26, 0, 0, 4, 0, 0, 0]);
        assert_eq!(second.imm, 16);
    }

    #[test]
    fn inverse_conditions_disagree_everywhere() {
        let values = [0, 1, 5, u64::MAX, 1 << 31, 1 << 63, u32::MAX as u64];
        for cond in Cond::ALL {
            let Some(inverse) = cond.inverse() else { continue };
            for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))) {
                for width in [Width::W32, Width::W64] {
                    assert_ne!(cond.holds(width, a, b), inverse.holds(width, a, b), "{cond:?} {a} {b}");
                }
            }
        }
    }
}
