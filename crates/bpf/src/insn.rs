//! One eBPF instruction as the kernel takes it.

/// `struct bpf_insn` of `include/uapi/linux/bpf.h`: 8 bytes, little endian register nibbles as on x86-64 and aarch64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C)]
pub struct Insn {
    /// Operation.
    pub code: u8,
    /// Destination register in the low, source register in the high nibble.
    pub regs: u8,
    /// Signed offset (memory, jumps) or operation variant (signed division, sign-extending moves).
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

impl Insn {
    /// An instruction of its parts.
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, regs: (dst & 15) | (src << 4), off, imm }
    }
    /// Destination register, 0..=10.
    pub const fn dst(self) -> u8 {
        self.regs & 15
    }
    /// Source register (or pseudo source of `ld_imm64` and `call`).
    pub const fn src(self) -> u8 {
        self.regs >> 4
    }
}
