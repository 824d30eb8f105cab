//! What the live tests share: the check for root, small programs, events that happen on purpose.
#![allow(dead_code, reason = "each test binary uses a part")]

use fathom_bpf::helpers::Helper;
use fathom_bpf::insn::Insn;
use fathom_bpf::isa::{Alu, AtomicOp, Cond, Reg as R, Size, Width};
use fathom_bpf::kinds::{map_flags, MapKind};
use fathom_kernel::caps::Privileges;
use fathom_kernel::map::{Map, MapMemory, MapSpec};
use fathom_kernel::Root;

/// False, with the reason printed, where BPF can't be used.
pub fn live(test: &str) -> bool {
    let p = Privileges::read(&Root::host());
    if p.can_trace() {
        return true;
    }
    eprintln!("skipped: {test}: needs CAP_BPF and CAP_PERFMON");
    false
}

/// An array with one u64 in shared memory.
pub fn counter() -> (Map, MapMemory) {
    let spec = MapSpec::new("counter", MapKind::ARRAY, 4, 8, 1).flags(map_flags::BPF_F_MMAPABLE);
    let map = Map::create(&spec).unwrap();
    let memory = map.memory(true).unwrap();
    (map, memory)
}

/// A system call that has a raw tracepoint and hardly any effect.
pub fn getppid() {
    let _ = std::os::unix::process::parent_id();
}

/// Writes `len` bytes (a multiple of 8, at most 64) of `value` to a ring buffer by `ringbuf_output`; returns its result.
pub fn ringbuf_write(map_fd: i32, value: u64, len: i16) -> Vec<Insn> {
    let mut out = Vec::new();
    let len = len.clamp(8, 64) / 8 * 8;
    out.extend(Insn::ld_imm64(R::R2, value));
    for at in (8..=len).step_by(8) {
        out.push(Insn::stx(Size::DW, R::R10, -at, R::R2));
    }
    out.extend(Insn::ld_map_fd(R::R1, map_fd));
    out.push(Insn::mov64_reg(R::R2, R::R10));
    out.push(Insn::alu64_imm(Alu::Add, R::R2, -i32::from(len)));
    out.push(Insn::mov64_imm(R::R3, i32::from(len)));
    out.push(Insn::mov64_imm(R::R4, 0));
    out.push(Insn::call(Helper::RINGBUF_OUTPUT));
    out.push(Insn::exit());
    out
}

/// As [`ringbuf_write`], and counts every record that the ring took in the u64 of an array.
pub fn ringbuf_write_counted(ring_fd: i32, counter_fd: i32, value: u64, len: i16) -> Vec<Insn> {
    let mut out = ringbuf_write(ring_fd, value, len);
    out.pop();
    out.push(Insn::jmp_imm(Width::W64, Cond::Ne, R::R0, 0, 4));
    out.extend(Insn::ld_map_value(R::R1, counter_fd, 0));
    out.push(Insn::mov64_imm(R::R2, 1));
    out.push(Insn::atomic(AtomicOp::Add, Size::DW, R::R1, 0, R::R2));
    out.push(Insn::mov64_imm(R::R0, 0));
    out.push(Insn::exit());
    out
}

/// Writes 8 bytes of `value` to the running CPU's perf buffer; returns the helper's result. `r1` is the context.
pub fn perf_write(map_fd: i32, value: u64) -> Vec<Insn> {
    let mut out = Vec::new();
    out.extend(Insn::ld_imm64(R::R2, value));
    out.push(Insn::stx(Size::DW, R::R10, -8, R::R2));
    out.extend(Insn::ld_map_fd(R::R2, map_fd));
    out.push(Insn::mov32_imm(R::R3, -1));
    out.push(Insn::mov64_reg(R::R4, R::R10));
    out.push(Insn::alu64_imm(Alu::Add, R::R4, -8));
    out.push(Insn::mov64_imm(R::R5, 8));
    out.push(Insn::call(Helper::PERF_EVENT_OUTPUT));
    out.push(Insn::exit());
    out
}

/// Adds 1 to the u64 at an offset of the only value of an array, then returns 0.
pub fn count_in_array(map_fd: i32, offset: i32) -> Vec<Insn> {
    let mut out = Vec::new();
    out.extend(Insn::ld_map_value(R::R1, map_fd, offset));
    out.push(Insn::mov64_imm(R::R2, 1));
    out.push(Insn::atomic(AtomicOp::Add, Size::DW, R::R1, 0, R::R2));
    out.push(Insn::mov64_imm(R::R0, 0));
    out.push(Insn::exit());
    out
}

/// Stores the attachment's cookie in the only value of an array, then returns 0.
pub fn store_cookie(map_fd: i32) -> Vec<Insn> {
    let mut out = vec![Insn::call(Helper::GET_ATTACH_COOKIE)];
    out.extend(Insn::ld_map_value(R::R1, map_fd, 0));
    out.push(Insn::stx(Size::DW, R::R1, 0, R::R0));
    out.push(Insn::mov64_imm(R::R0, 0));
    out.push(Insn::exit());
    out
}
