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

    /// The 8 bytes of a little-endian machine.
    pub const fn to_bytes(self) -> [u8; 8] {
        let (o, i) = (self.off.to_le_bytes(), self.imm.to_le_bytes());
        [self.code, self.regs, o[0], o[1], i[0], i[1], i[2], i[3]]
    }

    /// An instruction of its 8 bytes on a little-endian machine.
    pub const fn from_bytes(b: [u8; 8]) -> Insn {
        Insn {
            code: b[0],
            regs: b[1],
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }
}
