//! The interpreter, instruction by instruction: a program and what it returns, or how it faults.

use fathom_bpf::asm::assemble;
use fathom_bpf::eval;
use fathom_bpf::interp::sim::SimHost;
use fathom_bpf::interp::{Fault, Interp, RunError};
use fathom_bpf::isa::{Alu, Cond, Reg, Width};
use fathom_bpf::op::{Op, Src};

fn run(text: &str) -> Result<u64, RunError> {
    let insns = assemble(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut host = SimHost::new(1);
    Interp::new(&insns, &mut host).budget(100_000).run(&[])
}

#[track_caller]
fn check(rows: &[(&str, u64)]) {
    for (text, want) in rows {
        assert_eq!(run(text), Ok(*want), "{text}");
    }
}

const NEG: u64 = u64::MAX;

#[test]
fn moves_and_conversions() {
    check(&[
        ("r0 = 5\nexit", 5),
        ("r0 = -1\nexit", NEG),
        ("w0 = -1\nexit", 0xffff_ffff),
        ("r1 = -1\nw0 = w1\nexit", 0xffff_ffff),
        ("r1 = 0x80\nr0 = (s8)r1\nexit", 0xffff_ffff_ffff_ff80),
        ("r1 = 0x80\nw0 = (s8)w1\nexit", 0xffff_ff80),
        ("r1 = 0x8000\nr0 = (s16)r1\nexit", 0xffff_ffff_ffff_8000),
        ("w1 = 0x80000000\nr0 = (s32)r1\nexit", 0xffff_ffff_8000_0000),
        ("r0 = 0x123456789abcdef0 ll\nexit", 0x1234_5678_9abc_def0),
        ("r0 = 3\nr0 = -r0\nexit", -3i64 as u64),
        ("r0 = 3\nw0 = -w0\nexit", 0xffff_fffd),
        ("r0 = 0x0102030405060708 ll\nr0 = be64 r0\nexit", 0x0807_0605_0403_0201),
        ("r0 = 0x0102030405060708 ll\nr0 = le32 r0\nexit", 0x0506_0708),
        ("r0 = 0x0102030405060708 ll\nr0 = bswap16 r0\nexit", 0x0807),
    ]);
}

/// Values at the edges of every width.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    7,
    31,
    63,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

#[test]
fn arithmetic_reaches_the_register_for_every_operator_and_operand_form() {
    for op in Alu::ALL {
        for width in [Width::W32, Width::W64] {
            for (a, b) in EDGES.into_iter().flat_map(|a| EDGES.map(|b| (a, b))) {
                let by_reg = Op::Alu { width, op, dst: Reg::R0, src: Src::Reg(Reg::R1) };
                let text = format!("r0 = {a:#x} ll\nr1 = {b:#x} ll\n{by_reg}\nexit");
                assert_eq!(run(&text), Ok(eval::alu(width, op, a, b)), "{text}");
                let imm = b as i32;
                let by_imm = Op::Alu { width, op, dst: Reg::R0, src: Src::Imm(imm) };
                let text = format!("r0 = {a:#x} ll\n{by_imm}\nexit");
                assert_eq!(run(&text), Ok(eval::alu(width, op, a, i64::from(imm) as u64)), "{text}");
            }
        }
    }
}

#[test]
fn kernel_special_cases() {
    check(&[
        ("r0 = 7\nr1 = 0\nr0 /= r1\nexit", 0),
        ("r0 = 7\nr1 = 0\nr0 %= r1\nexit", 7),
        ("r0 = -7\nr1 = 0\nw0 %= w1\nexit", 0xffff_fff9),
        ("r0 = -7\nr1 = 2\nr0 s/= r1\nexit", -3i64 as u64),
        ("r0 = -7\nr1 = 2\nr0 s%= r1\nexit", NEG),
        ("r0 = 0x8000000000000000 ll\nr1 = -1\nr0 s/= r1\nexit", 1 << 63),
        ("r0 = 0x8000000000000000 ll\nr1 = -1\nr0 s%= r1\nexit", 0),
        ("r0 = 1\nr1 = 65\nr0 <<= r1\nexit", 2),
        ("r0 = 1\nr1 = 33\nw0 <<= w1\nexit", 2),
        ("r0 = -8\nr0 s>>= 1\nexit", -4i64 as u64),
        ("r0 = 10\nr0 /= -1\nexit", 0),
        ("r0 = 10\nw0 -= 11\nexit", 0xffff_ffff),
    ]);
}

#[test]
fn every_condition_in_every_form() {
    for cond in Cond::ALL {
        for width in [Width::W32, Width::W64] {
            for (a, b) in EDGES.into_iter().flat_map(|a| EDGES.map(|b| (a, b))) {
                let imm = b as i32;
                let forms = [(Src::Reg(Reg::R2), b), (Src::Imm(imm), i64::from(imm) as u64)];
                for (src, right) in forms {
                    let branch = Op::Branch { width, cond, dst: Reg::R1, src, off: 1 };
                    let text = format!("r0 = 1\nr1 = {a:#x} ll\nr2 = {b:#x} ll\n{branch}\nr0 = 0\nexit");
                    assert_eq!(run(&text), Ok(cond.holds(width, a, right).into()), "{text}");
                }
            }
        }
    }
}

#[test]
fn loops_and_jumps() {
    check(&[
        ("r0 = 0\nr1 = 10\nl: r0 += r1\nr1 -= 1\nif r1 != 0 goto l\nexit", 55),
        ("gotol over\nr0 = 1\nexit\nover: r0 = 2\nexit", 2),
        ("r0 = 0\nl: may_goto out\nr0 += 1\nif r0 < 9 goto l\nout: exit", 9),
    ]);
    let insns = assemble("r0 = 0\nl: may_goto out\nr0 += 1\ngoto l\nout: exit").unwrap();
    let mut host = SimHost::new(1);
    host.may_goto_fuel = 123;
    assert_eq!(Interp::new(&insns, &mut host).run(&[]), Ok(123));
}

#[test]
fn memory_of_the_stack() {
    check(&[
        ("*(u64 *)(r10 - 8) = -2\nr0 = *(u64 *)(r10 - 8)\nexit", NEG - 1),
        ("*(u64 *)(r10 - 8) = -2\nr0 = *(u32 *)(r10 - 8)\nexit", 0xffff_fffe),
        ("*(u64 *)(r10 - 8) = -2\nr0 = *(u16 *)(r10 - 8)\nexit", 0xfffe),
        ("*(u64 *)(r10 - 8) = -2\nr0 = *(s8 *)(r10 - 8)\nexit", NEG - 1),
        ("*(u64 *)(r10 - 8) = -2\nr0 = *(s32 *)(r10 - 8)\nexit", NEG - 1),
        ("*(u64 *)(r10 - 8) = 0\nr1 = 0x1234\n*(u8 *)(r10 - 7) = r1\nr0 = *(u64 *)(r10 - 8)\nexit", 0x3400),
        ("*(u64 *)(r10 - 16) = 0\n*(u16 *)(r10 - 9) = -1\nr0 = *(u32 *)(r10 - 12)\nr0 >>= 24\nexit", 0xff),
        ("r1 = r10\nr1 += -512\n*(u8 *)(r1 + 0) = 9\nr0 = *(u8 *)(r10 - 512)\nexit", 9),
        ("r0 = *(u8 *)(r10 - 1)\nexit", 0xa5),
    ]);
}

#[test]
fn atomics() {
    let start = "*(u64 *)(r10 - 8) = 12\nr1 = 10\n";
    let rows = [
        ("lock *(u64 *)(r10 - 8) += r1\nr0 = *(u64 *)(r10 - 8)", 22),
        ("lock *(u64 *)(r10 - 8) |= r1\nr0 = *(u64 *)(r10 - 8)", 14),
        ("lock *(u64 *)(r10 - 8) &= r1\nr0 = *(u64 *)(r10 - 8)", 8),
        ("lock *(u64 *)(r10 - 8) ^= r1\nr0 = *(u64 *)(r10 - 8)", 6),
        ("r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)\nr0 <<= 8\nr0 |= r1", 0x160c),
        ("r1 = atomic_fetch_and((u32 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)\nr0 <<= 8\nr0 |= r1", 0x080c),
        ("r1 = atomic_xchg((u64 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)\nr0 <<= 8\nr0 |= r1", 0x0a0c),
        ("r0 = 12\nr0 = atomic_cmpxchg((u64 *)(r10 - 8), r0, r1)\nr1 = *(u64 *)(r10 - 8)\nr1 <<= 8\nr0 |= r1", 0x0a0c),
        ("r0 = 13\nr0 = atomic_cmpxchg((u64 *)(r10 - 8), r0, r1)\nr1 = *(u64 *)(r10 - 8)\nr1 <<= 8\nr0 |= r1", 0x0c0c),
        ("r1 = -1\nlock *(u32 *)(r10 - 8) += r1\nr0 = *(u64 *)(r10 - 8)", 11),
        ("*(u64 *)(r10 - 8) = -1\nr1 = atomic_fetch_add((u32 *)(r10 - 8), r1)\nr0 = r1", 0xffff_ffff),
        ("r0 = load_acquire((u16 *)(r10 - 8))", 12),
        ("store_release((u8 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)", 10),
    ];
    for (text, want) in rows {
        let text = format!("{start}{text}\nexit");
        assert_eq!(run(&text), Ok(want), "{text}");
    }
}

#[test]
fn calls_keep_r6_to_r9_and_have_stacks_of_their_own() {
    check(&[
        ("r1 = 4\nr2 = 5\ncall local f\nexit\nf: r0 = r1\nr0 *= r2\nexit", 20),
        ("r6 = 7\nr1 = 0\ncall local f\nr0 += r6\nexit\nf: r6 = 100\nr0 = 1\nexit", 8),
        (
            "*(u64 *)(r10 - 8) = 3\ncall local f\nr0 = *(u64 *)(r10 - 8)\nexit\n\
             f: *(u64 *)(r10 - 8) = 9\nr0 = 0\nexit",
            3,
        ),
        (
            "*(u64 *)(r10 - 8) = 3\nr1 = r10\nr1 += -8\ncall local f\nr0 = *(u64 *)(r10 - 8)\nexit\n\
             f: *(u64 *)(r1 + 0) = 11\nr0 = 0\nexit",
            11,
        ),
        (
            "r1 = 6\ncall local fact\nexit\nfact: if r1 > 1 goto more\nr0 = 1\nexit\n\
          more: r6 = r1\nr1 -= 1\ncall local fact\nr0 *= r6\nexit",
            720,
        ),
    ]);
    let deep = run("call local f\nexit\nf: call local f\nr0 = 0\nexit").unwrap_err();
    assert_eq!(deep.fault, Fault::TooDeep);
}

/// A program, the slot where it faults, and how.
type FaultRow = (&'static str, usize, fn(&Fault) -> bool);

#[test]
fn faults_name_the_instruction() {
    let unset = |index| Fault::Unset(Reg::new(index).unwrap());
    let rows: &[FaultRow] = &[
        ("r0 = r3\nexit", 0, |f| matches!(f, Fault::Unset(_))),
        ("r1 = 1\nexit", 1, |f| matches!(f, Fault::Unset(_))),
        ("r0 = 0\nr10 = 5\nexit", 1, |f| *f == Fault::FramePointer),
        ("r0 = *(u8 *)(r10 + 0)\nexit", 0, |f| matches!(f, Fault::Access { write: false, len: 1, .. })),
        ("*(u64 *)(r10 - 4) = 0\nexit", 0, |f| matches!(f, Fault::Access { write: true, len: 8, .. })),
        ("*(u8 *)(r10 - 513) = 0\nexit", 0, |f| matches!(f, Fault::Access { .. })),
        ("r1 = 0\nr0 = *(u64 *)(r1 + 0)\nexit", 1, |f| matches!(f, Fault::Access { addr: 0, .. })),
        ("r1 = 1\nlock *(u64 *)(r10 - 7) += r1\nexit", 1, |f| matches!(f, Fault::Misaligned { .. })),
        ("r0 = 0\ngoto +9", 1, |f| *f == Fault::BadJump(11)),
        ("r0 = 0", 1, |f| matches!(f, Fault::NoInsn(_))),
        ("l: goto l", 0, |f| *f == Fault::Budget(100_000)),
        (".insn 0xff 0 0 0", 0, |f| matches!(f, Fault::NoInsn(_))),
        ("r1 = map_fd 3\nr0 = 0\nexit", 0, |f| *f == Fault::NoMap(3)),
        ("call #9999\nexit", 0, |f| matches!(f, Fault::NoHelper(_))),
        ("r1 = 0\ncall kfunc 5\nexit", 1, |f| *f == Fault::NoKfunc(5)),
        ("r0 = btf_id 7\nexit", 0, |f| *f == Fault::NoVariable(7)),
        ("call ktime_get_ns\nr0 = r1\nexit", 1, |f| matches!(f, Fault::Unset(_))),
        ("call ringbuf_submit\nexit", 0, |f| matches!(f, Fault::Unset(_))),
    ];
    for (text, slot, want) in rows {
        let error = run(text).unwrap_err();
        assert!(want(&error.fault) && error.slot == *slot, "{text}: {error}");
    }
    assert_eq!(run("r0 = r3\nexit").unwrap_err().fault, unset(3));
    let shown = run("r0 = 1\nr0 = *(u32 *)(r10 + 8)\nexit").unwrap_err().to_string();
    assert!(shown.starts_with("slot 1 (`r0 = *(u32 *)(r10 + 8)`): read of 4 bytes at 0x"), "{shown}");
}

#[test]
fn the_context_is_read_and_written_as_allowed() {
    let insns = assemble("r0 = *(u32 *)(r1 + 4)\n*(u8 *)(r1 + 0) = 7\nexit").unwrap();
    let mut host = SimHost::new(1);
    let mut ctx = vec![0, 0, 0, 0, 9, 0, 0, 0];
    assert_eq!(Interp::new(&insns, &mut host).run_ctx(&mut ctx, true), Ok(9));
    assert_eq!(ctx[0], 7);
    let refused = Interp::new(&insns, &mut host).run_ctx(&mut ctx, false).unwrap_err();
    assert!(matches!(refused.fault, Fault::ReadOnly { .. }));
    assert_eq!(ctx.len(), 8);
}

#[test]
fn a_program_runs_again_after_a_fault() {
    let insns = assemble("call local f\nexit\nf: r0 = *(u64 *)(r1 + 0)\nexit").unwrap();
    let mut host = SimHost::new(1);
    let mut interp = Interp::new(&insns, &mut host);
    assert_eq!(interp.run(&[0]).unwrap_err().slot, 2);
    assert_eq!(interp.run(&[0]).unwrap_err().slot, 2);
    assert_eq!(interp.executed(), 2);
}
