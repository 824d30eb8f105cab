//! Tiny programs that this crate loads to ask the kernel what it has.

use fathom_bpf::helpers::Helper;
use fathom_bpf::insn::Insn;
use fathom_bpf::isa::{Alu, AtomicOp, Cond, Reg as R, Size, Swap, Width};

/// `r0 = value; exit`.
pub fn returns(value: i32) -> Vec<Insn> {
    vec![Insn::mov64_imm(R::R0, value), Insn::exit()]
}

/// Names a map by its descriptor and does nothing with it.
pub fn refers_to(map_fd: i32) -> Vec<Insn> {
    let mut insns = Insn::ld_map_fd(R::R1, map_fd).to_vec();
    insns.extend(returns(0));
    insns
}

/// A bare call of a helper with whatever the registers hold: good enough to see whether the verifier knows the helper.
pub fn bare_call(helper: Helper) -> Vec<Insn> {
    vec![Insn::call(helper), Insn::mov64_imm(R::R0, 0), Insn::exit()]
}

/// A bare call of a kernel function by its BTF id.
pub fn bare_kfunc(btf_id: u32) -> Vec<Insn> {
    vec![Insn::call_kfunc(btf_id as i32, 0), Insn::mov64_imm(R::R0, 0), Insn::exit()]
}

/// `may_goto` (6.9).
pub fn may_goto() -> Vec<Insn> {
    vec![Insn::may_goto(0), Insn::mov64_imm(R::R0, 0), Insn::exit()]
}

/// An atomic add that returns the old value (5.12).
pub fn atomic_fetch() -> Vec<Insn> {
    vec![
        Insn::st(Size::DW, R::R10, -8, 0),
        Insn::mov64_imm(R::R0, 1),
        Insn::atomic(AtomicOp::FetchAdd, Size::DW, R::R10, -8, R::R0),
        Insn::exit(),
    ]
}

/// Byte swap and sign extension of the fourth instruction set version (6.6).
pub fn isa_v4() -> Vec<Insn> {
    vec![
        Insn::mov64_imm(R::R0, 1),
        Insn::swap(Swap::Bswap, R::R0, Size::W),
        Insn::movsx(Width::W64, R::R0, R::R0, Size::B),
        Insn::exit(),
    ]
}

/// A load with acquire semantics (6.15).
pub fn load_acquire() -> Vec<Insn> {
    vec![Insn::st(Size::DW, R::R10, -8, 0), Insn::load_acquire(Size::DW, R::R0, R::R10, -8), Insn::exit()]
}

/// A counted loop with a back edge (5.3).
pub fn bounded_loop() -> Vec<Insn> {
    vec![
        Insn::mov64_imm(R::R0, 0),
        Insn::alu64_imm(Alu::Add, R::R0, 1),
        Insn::jmp_imm(Width::W64, Cond::Lt, R::R0, 10, -2),
        Insn::exit(),
    ]
}
