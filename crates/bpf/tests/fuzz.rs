//! Nothing that is fed to decoder, checker, disassembler and interpreter breaks them.

mod common;

use fathom_bpf::check::check;
use fathom_bpf::disasm;
use fathom_bpf::insn::Insn;
use fathom_bpf::interp::sim::{MapSpec, SimHost};
use fathom_bpf::interp::{Fault, Interp, Space};
use fathom_bpf::isa::Reg;
use fathom_bpf::kinds::MapKind;
use fathom_bpf::op::{Imm64, Op};
use proptest::prelude::*;

/// A host with a map of each kind and some memory to point at.
fn host() -> SimHost {
    let mut host = SimHost::new(2);
    for kind in [MapKind::HASH, MapKind::LRU_PERCPU_HASH, MapKind::ARRAY, MapKind::PERCPU_ARRAY] {
        host.add_map(MapSpec::new(kind, 4, 8, 4)).unwrap();
    }
    host.add_map(MapSpec::new(MapKind::ARRAY, 4, 64, 1)).unwrap();
    host.add_map(MapSpec::new(MapKind::RINGBUF, 0, 0, 4096)).unwrap();
    host.add_map(MapSpec::new(MapKind::STACK_TRACE, 4, 32, 4)).unwrap();
    host.add_map(MapSpec::new(MapKind::PERF_EVENT_ARRAY, 4, 4, 2)).unwrap();
    host.kernel_stack = vec![1, 2, 3];
    host.memory.map_at(0, Space::User, vec![b'x'; 64], true).unwrap();
    host
}

/// Brings jumps, map descriptors and offsets near, so that programs get somewhere.
fn tame(op: Op, near: i16) -> Op {
    match op {
        Op::Branch { width, cond, dst, src, .. } => Op::Branch { width, cond, dst, src, off: near % 8 },
        Op::Goto { long, .. } => Op::Goto { off: (near % 8).into(), long },
        Op::MayGoto { .. } => Op::MayGoto { off: near % 8 },
        Op::CallLocal { .. } => Op::CallLocal { off: (near % 8).into() },
        Op::CallKfunc { .. } => {
            Op::CallKfunc { btf_id: 1_000_000 + i32::from(near.unsigned_abs() % 24), fd_index: 0 }
        }
        Op::Load { dst, size, signed, .. } => Op::Load { dst, base: Reg::R10, off: near, size, signed },
        Op::Store { size, src, .. } => Op::Store { base: Reg::R10, off: near, size, src },
        Op::Atomic { op, size, reg, .. } => Op::Atomic { op, size, base: Reg::R10, off: near & !7, reg },
        Op::LoadImm { dst, imm } => {
            let fd = 3 + i32::from(near.unsigned_abs() % 8);
            let imm = match imm {
                Imm64::MapFd(_) => Imm64::MapFd(fd),
                Imm64::MapValue { .. } => {
                    Imm64::MapValue { fd: 7, offset: i32::from(near.unsigned_abs() % 64) }
                }
                Imm64::Func(_) => Imm64::Func((near % 8).into()),
                other => other,
            };
            Op::LoadImm { dst, imm }
        }
        other => other,
    }
}

/// All registers set: to numbers, stack addresses, maps.
fn prologue() -> Vec<Insn> {
    let mut insns = Vec::new();
    for (index, fd) in [(1, 3), (6, 8), (7, 9)] {
        insns.extend(Insn::ld_map_fd(Reg::new(index).unwrap(), fd));
    }
    for index in [2, 3, 8, 9] {
        let reg = Reg::new(index).unwrap();
        insns.push(Insn::mov64_reg(reg, Reg::R10));
        insns.push(Insn::alu64_imm(fathom_bpf::isa::Alu::Add, reg, -8 * i32::from(index)));
    }
    insns.extend([Insn::mov64_imm(Reg::R0, 8), Insn::mov64_imm(Reg::R4, 0), Insn::mov64_imm(Reg::R5, 8)]);
    insns
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bits_break_nothing(insns in prop::collection::vec(common::bits(), 0..40), ctx in any::<u64>()) {
        let _ = check(&insns);
        let _ = disasm::program(&insns);
        for at in 0..=insns.len() {
            let _ = disasm::line(&insns, at);
        }
        let _ = Interp::new(&insns, &mut host()).budget(500).run(&[ctx]);
    }

    #[test]
    fn random_programs_break_nothing(ops in prop::collection::vec((common::op(), -80i16..80), 1..40)) {
        let mut insns = prologue();
        for (op, near) in ops {
            insns.extend_from_slice(tame(op, near).encode().as_slice());
        }
        insns.push(Insn::exit());
        let mut host = host();
        let mut interp = Interp::new(&insns, &mut host).budget(2000);
        let first = interp.run(&[]);
        // What check() lets through never runs into bits that are no instruction, nor out of the program.
        if let (Ok(()), Err(error)) = (check(&insns), &first) {
            prop_assert!(!matches!(error.fault, Fault::NoInsn(_) | Fault::BadJump(_) | Fault::FramePointer), "{}", error);
        }
        let _ = interp.run(&[]);
    }

    #[test]
    fn helpers_refuse_any_arguments_in_good_order(
        id in 1i32..=211,
        args in prop::collection::vec(prop_oneof![0u64..200, any::<u64>(), Just(0u64), Just(u64::MAX)], 5),
        map in 3i32..=10,
        map_at in 0usize..5,
    ) {
        let mut insns = Vec::new();
        for (at, (index, value)) in (1..).zip(&args).enumerate() {
            let reg = Reg::new(index).unwrap();
            match (at, value) {
                _ if at == map_at => insns.extend(Insn::ld_map_fd(reg, map)),
                (_, value) if value % 3 == 0 => {
                    insns.push(Insn::mov64_reg(reg, Reg::R10));
                    insns.push(Insn::alu64_imm(fathom_bpf::isa::Alu::Add, reg, -((value % 512) as i32)));
                }
                _ => insns.extend(Insn::ld_imm64(reg, *value)),
            }
        }
        insns.push(Insn::call(fathom_bpf::helpers::Helper(id)));
        insns.push(Insn::mov64_imm(Reg::R0, 0));
        insns.push(Insn::exit());
        let _ = Interp::new(&insns, &mut host()).budget(2000).run(&[]);
    }
}
