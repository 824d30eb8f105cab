//! x86-64: layout of `struct pt_regs`, argument registers of functions and system calls (System V ABI; `arch/x86/include/asm/ptrace.h`).

/// Register names as `reg()` takes them, with their offset in `struct pt_regs`.
pub const REGISTERS: &[(&str, u16)] = &[
    ("r15", 0),
    ("r14", 8),
    ("r13", 16),
    ("r12", 24),
    ("bp", 32),
    ("bx", 40),
    ("r11", 48),
    ("r10", 56),
    ("r9", 64),
    ("r8", 72),
    ("ax", 80),
    ("cx", 88),
    ("dx", 96),
    ("si", 104),
    ("di", 112),
    ("orig_rax", 120),
    ("ip", 128),
    ("pc", 128),
    ("cs", 136),
    ("flags", 144),
    ("sp", 152),
    ("ss", 160),
];
/// Bytes of `struct pt_regs`.
pub const PT_REGS_SIZE: u32 = 168;
/// Offsets of the registers that hold the first arguments of a function.
pub const FUNCTION_ARGS: &[u16] = &[112, 104, 96, 88, 72, 64];
/// Offsets of the registers that hold the arguments of a system call.
pub const SYSCALL_ARGS: &[u16] = &[112, 104, 96, 56, 72, 64];
/// Offset of the register that holds the result of a function.
pub const RETURN: u16 = 80;
/// Offset of the number of the system call.
pub const SYSCALL_NUMBER: u16 = 120;
/// Offset of the stack pointer.
pub const STACK_POINTER: u16 = 152;
/// Offset of the instruction pointer.
pub const INSTRUCTION_POINTER: u16 = 128;
/// At the entry of a function: bytes from the stack pointer to the first argument that is not in a register.
pub const FIRST_STACK_ARG: i64 = 8;

/// Offset of a register by name.
pub fn register(name: &str) -> Option<u16> {
    REGISTERS.iter().find(|(n, _)| *n == name).map(|(_, offset)| *offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_fill_the_structure() {
        assert!(REGISTERS.iter().all(|(_, offset)| u32::from(*offset) + 8 <= PT_REGS_SIZE));
        assert_eq!(register("di"), FUNCTION_ARGS.first().copied());
        assert_eq!(register("r10"), SYSCALL_ARGS.get(3).copied());
        assert_eq!(register("eax"), None);
    }
}
