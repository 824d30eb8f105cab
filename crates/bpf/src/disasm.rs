//! Instructions as text, in the syntax that [`crate::asm`] reads.

use crate::insn::Insn;
use crate::isa::*;
use crate::op::{walk, Imm64, Op, Src};
use std::collections::BTreeSet;
use std::fmt::{self, Write};

/// Names of what an instruction holds only as a number.
pub trait Names {
    /// The map of a descriptor.
    fn map(&self, _fd: i32) -> Option<String> {
        None
    }
    /// The kernel function of a BTF id.
    fn kfunc(&self, _btf_id: i32, _fd_index: i16) -> Option<String> {
        None
    }
    /// Remark that is put behind the instruction at a slot.
    fn remark(&self, _slot: usize) -> Option<String> {
        None
    }
}

/// No names at all.
pub struct NoNames;

impl Names for NoNames {}

/// A whole program, one instruction per line, with a label `L<slot>:` before each target.
/// [`crate::asm::assemble`] gives the same instructions back; what is no instruction is written as `.insn`.
pub fn program(insns: &[Insn]) -> String {
    program_with(insns, &NoNames)
}

/// As [`program`], with names of maps and kernel functions, which the assembler must then be told.
pub fn program_with(insns: &[Insn], names: &dyn Names) -> String {
    let starts: BTreeSet<usize> = walk(insns).map(|(at, _)| at).collect();
    let labels: BTreeSet<usize> = walk(insns)
        .filter_map(|(at, op)| target_of(at, &op.ok()?))
        .filter(|target| starts.contains(target))
        .collect();
    let mut text = String::new();
    for (at, op) in walk(insns) {
        if labels.contains(&at) {
            let _ = writeln!(text, "L{at}:");
        }
        let line = match &op {
            Ok(op) => Line { op, at: Some(at), labels: &labels, names }.to_string(),
            Err(_) => insns.get(at).copied().map(raw).unwrap_or_default(),
        };
        let _ = match names.remark(at) {
            Some(remark) => writeln!(text, "    {line:<40} ; {remark}"),
            None => writeln!(text, "    {line}"),
        };
    }
    text
}

/// One slot as text, targets as relative numbers of slots.
pub fn line(insns: &[Insn], at: usize) -> String {
    match Op::decode(insns, at) {
        Ok(op) => op.to_string(),
        Err(_) => insns.get(at).copied().map(raw).unwrap_or_else(|| "; past the end".to_owned()),
    }
}

/// Target slot of a jump, local call or function address.
fn target_of(at: usize, op: &Op) -> Option<usize> {
    let off = match *op {
        Op::CallLocal { off } | Op::LoadImm { imm: Imm64::Func(off), .. } => off,
        _ => op.jump()?,
    };
    target(at, off)
}

/// Slot `off` slots behind the one after `at`.
pub(crate) fn target(at: usize, off: i32) -> Option<usize> {
    usize::try_from(i64::try_from(at).ok()?.checked_add(1)?.checked_add(off.into())?).ok()
}

fn raw(insn: Insn) -> String {
    format!(".insn {:#04x} {:#04x} {} {}", insn.code, insn.regs, insn.off, insn.imm)
}

struct Line<'a> {
    op: &'a Op,
    /// The slot, when labels may be used.
    at: Option<usize>,
    labels: &'a BTreeSet<usize>,
    names: &'a dyn Names,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line { op: self, at: None, labels: &BTreeSet::new(), names: &NoNames }.fmt(f)
    }
}

/// A register by the name of its width.
struct Sized(Width, Reg);

impl fmt::Display for Sized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.0 == Width::W32 { 'w' } else { 'r' };
        write!(f, "{letter}{}", self.1.index())
    }
}

struct Operand(Width, Src);

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Src::Reg(reg) => Sized(self.0, reg).fmt(f),
            Src::Imm(imm) => write!(f, "{imm}"),
        }
    }
}

/// `*(u32 *)(r1 + 8)` without the leading star.
struct Mem(Size, bool, Reg, i16);

impl fmt::Display for Mem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, off) =
            if self.3 < 0 { ('-', self.3.unsigned_abs()) } else { ('+', self.3.unsigned_abs()) };
        let letter = if self.1 { 's' } else { 'u' };
        write!(f, "({letter}{} *)({} {sign} {off})", u32::from(self.0.bytes()) * 8, self.2)
    }
}

/// Sign of each operator as it stands before `=`.
pub(crate) const ALU_SIGNS: [(Alu, &str); 13] = [
    (Alu::Add, "+"),
    (Alu::Sub, "-"),
    (Alu::Mul, "*"),
    (Alu::Sdiv, "s/"),
    (Alu::Div, "/"),
    (Alu::Or, "|"),
    (Alu::And, "&"),
    (Alu::Lsh, "<<"),
    (Alu::Arsh, "s>>"),
    (Alu::Rsh, ">>"),
    (Alu::Smod, "s%"),
    (Alu::Mod, "%"),
    (Alu::Xor, "^"),
];

/// Sign of each condition.
pub(crate) const COND_SIGNS: [(Cond, &str); 11] = [
    (Cond::Eq, "=="),
    (Cond::Ne, "!="),
    (Cond::Sge, "s>="),
    (Cond::Sle, "s<="),
    (Cond::Sgt, "s>"),
    (Cond::Slt, "s<"),
    (Cond::Ge, ">="),
    (Cond::Le, "<="),
    (Cond::Gt, ">"),
    (Cond::Lt, "<"),
    (Cond::Set, "&"),
];

/// Word of each byte-order change.
pub(crate) const SWAP_WORDS: [(Swap, &str); 3] = [(Swap::Bswap, "bswap"), (Swap::Le, "le"), (Swap::Be, "be")];

/// Sign (plain form) or function name (fetching form) of each atomic operation but load and store.
pub(crate) const ATOMIC_WORDS: [(AtomicOp, &str); 10] = [
    (AtomicOp::Add, "+="),
    (AtomicOp::Or, "|="),
    (AtomicOp::And, "&="),
    (AtomicOp::Xor, "^="),
    (AtomicOp::FetchAdd, "atomic_fetch_add"),
    (AtomicOp::FetchOr, "atomic_fetch_or"),
    (AtomicOp::FetchAnd, "atomic_fetch_and"),
    (AtomicOp::FetchXor, "atomic_fetch_xor"),
    (AtomicOp::Xchg, "atomic_xchg"),
    (AtomicOp::Cmpxchg, "atomic_cmpxchg"),
];

pub(crate) fn word_of<K: PartialEq>(table: &[(K, &'static str)], key: K) -> &'static str {
    table.iter().find(|row| row.0 == key).map_or("", |row| row.1)
}

impl Line<'_> {
    fn label(&self, f: &mut fmt::Formatter<'_>, off: i32) -> fmt::Result {
        match self.at.and_then(|at| target(at, off)).filter(|target| self.labels.contains(target)) {
            Some(target) => write!(f, "L{target}"),
            None => write!(f, "{off:+}"),
        }
    }

    fn imm64(&self, f: &mut fmt::Formatter<'_>, dst: Reg, imm: Imm64) -> fmt::Result {
        write!(f, "{dst} = ")?;
        let map = |fd: i32| self.names.map(fd).unwrap_or_else(|| fd.to_string());
        match imm {
            Imm64::Value(value) => write!(f, "{value:#x} ll"),
            Imm64::MapFd(fd) => write!(f, "map_fd {}", map(fd)),
            Imm64::MapValue { fd, offset } => write!(f, "map_value {} {offset:+}", map(fd)),
            Imm64::BtfId { id, fd } => write!(f, "btf_id {id} fd {fd}"),
            Imm64::MapIdx(index) => write!(f, "map_idx {index}"),
            Imm64::MapIdxValue { index, offset } => write!(f, "map_idx_value {index} {offset:+}"),
            Imm64::Func(off) => {
                f.write_str("func ")?;
                self.label(f, off)
            }
        }
    }

    fn atomic(&self, f: &mut fmt::Formatter<'_>, op: AtomicOp, mem: Mem, reg: Reg) -> fmt::Result {
        match op {
            AtomicOp::LoadAcquire => write!(f, "{reg} = load_acquire({mem})"),
            AtomicOp::StoreRelease => write!(f, "store_release({mem}, {reg})"),
            AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => {
                write!(f, "lock *{mem} {} {reg}", word_of(&ATOMIC_WORDS, op))
            }
            AtomicOp::Cmpxchg => write!(f, "r0 = {}({mem}, r0, {reg})", word_of(&ATOMIC_WORDS, op)),
            _ => write!(f, "{reg} = {}({mem}, {reg})", word_of(&ATOMIC_WORDS, op)),
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.op {
            Op::Alu { width, op: Alu::Mov, dst, src } => {
                write!(f, "{} = {}", Sized(width, dst), Operand(width, src))
            }
            Op::Alu { width, op, dst, src } => {
                write!(f, "{} {}= {}", Sized(width, dst), word_of(&ALU_SIGNS, op), Operand(width, src))
            }
            Op::MovSx { width, dst, src, from } => {
                let bits = u32::from(from.bytes()) * 8;
                write!(f, "{} = (s{bits}){}", Sized(width, dst), Sized(width, src))
            }
            Op::Neg { width, dst } => write!(f, "{0} = -{0}", Sized(width, dst)),
            Op::Swap { kind, dst, size } => {
                write!(f, "{dst} = {}{} {dst}", word_of(&SWAP_WORDS, kind), u32::from(size.bytes()) * 8)
            }
            Op::AddrSpaceCast { dst, src, to_kernel } => {
                write!(f, "{dst} = addr_space_cast({src}, {})", if to_kernel { "0, 1" } else { "1, 0" })
            }
            Op::LoadImm { dst, imm } => self.imm64(f, dst, imm),
            Op::Load { dst, base, off, size, signed } => {
                write!(f, "{dst} = *{}", Mem(size, signed, base, off))
            }
            Op::LoadPacket { index: None, imm, size } => {
                write!(f, "r0 = *(u{} *)skb[{imm}]", u32::from(size.bytes()) * 8)
            }
            Op::LoadPacket { index: Some(index), imm, size } => {
                write!(f, "r0 = *(u{} *)skb[{index} {imm:+}]", u32::from(size.bytes()) * 8)
            }
            Op::Store { base, off, size, src } => {
                write!(f, "*{} = {}", Mem(size, false, base, off), Operand(Width::W64, src))
            }
            Op::Atomic { op, size, base, off, reg } => self.atomic(f, op, Mem(size, false, base, off), reg),
            Op::Goto { off, long } => {
                f.write_str(if long { "gotol " } else { "goto " })?;
                self.label(f, off)
            }
            Op::Branch { width, cond, dst, src, off } => {
                let (left, right) = (Sized(width, dst), Operand(width, src));
                write!(f, "if {left} {} {right} goto ", word_of(&COND_SIGNS, cond))?;
                self.label(f, off.into())
            }
            Op::MayGoto { off } => {
                f.write_str("may_goto ")?;
                self.label(f, off.into())
            }
            Op::CallHelper(helper) => write!(f, "call {helper}"),
            Op::CallLocal { off } => {
                f.write_str("call local ")?;
                self.label(f, off)
            }
            Op::CallKfunc { btf_id, fd_index } => {
                match self.names.kfunc(btf_id, fd_index) {
                    Some(name) => write!(f, "call kfunc {name}")?,
                    None => write!(f, "call kfunc {btf_id}")?,
                }
                if fd_index != 0 {
                    write!(f, " fd {fd_index}")?;
                }
                Ok(())
            }
            Op::Exit => f.write_str("exit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::Helper;

    #[test]
    fn targets_become_labels_and_bad_slots_stay_visible() {
        let mut insns = vec![
            Insn::jmp_imm(Width::W64, Cond::Eq, Reg::R1, 0, 3),
            Insn::call(Helper::KTIME_GET_NS),
            Insn::ja(-3),
            Insn::new(0xff, 1, 2, 3, 4),
            Insn::exit(),
        ];
        let want = "L0:\n    if r1 == 0 goto L4\n    call ktime_get_ns\n    goto L0\n    .insn 0xff 0x21 3 4\nL4:\n    exit\n";
        assert_eq!(program(&insns), want);
        insns.truncate(1);
        assert_eq!(program(&insns), "    if r1 == 0 goto +3\n");
        assert_eq!(line(&insns, 7), "; past the end");
    }

    #[test]
    fn names_and_remarks_are_shown() {
        struct Some3;
        impl Names for Some3 {
            fn map(&self, fd: i32) -> Option<String> {
                (fd == 3).then(|| "counts".to_owned())
            }
            fn remark(&self, slot: usize) -> Option<String> {
                (slot == 2).then(|| "script.bt:1".to_owned())
            }
        }
        let mut insns = Insn::ld_map_fd(Reg::R1, 3).to_vec();
        insns.push(Insn::exit());
        let want = format!("    r1 = map_fd counts\n    {:<40} ; script.bt:1\n", "exit");
        assert_eq!(program_with(&insns, &Some3), want);
    }
}
