//! The text form of the intermediate representation: printing. [`super::parse`] reads it back.
//!
//! ```text
//! func "name" {
//!   s0: 8
//! b0(v0: ptr):
//!   v1 = const 5
//!   v2 = add.w32 v1, v1
//!   v3 = load.u4.invariant [v0 + 8]
//!   v4: ptr = slot s0
//!   store.8 [v4], v3
//!   v5 = call.once get_current_pid_tgid()
//!   branch.ult v3, v5, b1(v5), b2
//! ```
//! Widths are 64 bits unless `.w32` is written. A number behind `@` is the source location.

use super::words::{word, ATOMICS, BINARY, CONDITIONS, EFFECTS, LOAD_CONSTS};
use super::{Block, Func, Inst, Jump, Op, Size, SrcLoc, Terminator, Ty, Value, Width};
use std::fmt::{self, Display, Formatter};

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Display for Block {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

/// Writes a function. Blocks that are empty and unreachable (left over by passes) are not written but for the entry.
impl Display for Func {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "func {:?}{} {{", self.name, Loc(Some(self.loc)))?;
        for (i, slot) in self.slots.iter().enumerate() {
            writeln!(f, "  s{i}: {}", slot.size)?;
        }
        let mut targeted = vec![false; self.blocks.len()];
        for target in self.blocks.iter().flat_map(|block| &block.terminator).flat_map(Terminator::successors)
        {
            if let Some(targeted) = targeted.get_mut(target.0 as usize) {
                *targeted = true;
            }
        }
        for (i, block) in self.blocks.iter().enumerate() {
            let is_left_over =
                block.insts.is_empty() && matches!(block.terminator, Some(Terminator::Unreachable));
            if i > 0 && is_left_over && !targeted[i] {
                continue;
            }
            write!(f, "b{i}")?;
            list(f, &block.params, |f, param| write!(f, "{param}{}", Annotation(self.ty(*param))))?;
            writeln!(f, ":")?;
            for inst in &block.insts {
                writeln!(f, "  {}{}", InstText { func: self, inst }, Loc(Some(inst.loc)))?;
            }
            if let Some(terminator) = &block.terminator {
                writeln!(f, "  {terminator}{}", Loc(block.terminator_loc))?;
            }
        }
        writeln!(f, "}}")
    }
}

/// A list in parentheses; nothing for an empty one.
fn list<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    mut each: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        f.write_str(if i == 0 { "(" } else { ", " })?;
        each(f, item)?;
    }
    f.write_str(if items.is_empty() { "" } else { ")" })
}

struct Loc(Option<SrcLoc>);

impl Display for Loc {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None | Some(SrcLoc::NONE) => Ok(()),
            Some(SrcLoc(number)) => write!(f, " @{number}"),
        }
    }
}

struct Annotation(Ty);

impl Display for Annotation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ty::Int => Ok(()),
            Ty::Ptr => f.write_str(": ptr"),
        }
    }
}

struct WidthText(Width);

impl Display for WidthText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Width::W64 => Ok(()),
            Width::W32 => f.write_str(".w32"),
        }
    }
}

struct Place(Value, i32);

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}{}]", self.0, Offset(i64::from(self.1)))
    }
}

struct Offset(i64);

impl Display for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            offset if offset < 0 => write!(f, " - {}", offset.unsigned_abs()),
            offset => write!(f, " + {offset}"),
        }
    }
}

struct InstText<'a> {
    func: &'a Func,
    inst: &'a Inst,
}

impl Display for InstText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(result) = self.inst.result {
            write!(f, "{result}{} = ", Annotation(self.func.ty(result)))?;
        }
        write!(f, "{}", self.inst.op)
    }
}

fn sign(signed: bool) -> char {
    if signed {
        's'
    } else {
        'u'
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes())
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Const(number) => write!(f, "const {number}"),
            Op::LoadConst(which) => write!(f, "load_const {}", word(LOAD_CONSTS, which)),
            Op::Binary { op, width, a, b } => {
                write!(f, "{}{} {a}, {b}", word(BINARY, op), WidthText(*width))
            }
            Op::Extend { size, signed, a } => write!(f, "extend.{}{size} {a}", sign(*signed)),
            Op::ByteSwap { size, a } => write!(f, "bswap.{size} {a}"),
            Op::Compare { cond, width, a, b } => {
                write!(f, "compare.{}{} {a}, {b}", word(CONDITIONS, cond), WidthText(*width))
            }
            Op::Load { ptr, offset, size, signed, invariant, .. } => {
                let invariant = if *invariant { ".invariant" } else { "" };
                write!(f, "load.{}{size}{invariant} {}", sign(*signed), Place(*ptr, *offset))
            }
            Op::Store { ptr, offset, size, value } => {
                write!(f, "store.{size} {}, {value}", Place(*ptr, *offset))
            }
            Op::Atomic { op, ptr, offset, size, value, fetch } => {
                let fetch = if *fetch { ".fetch" } else { "" };
                write!(f, "atomic.{}.{size}{fetch} {}, {value}", word(ATOMICS, op), Place(*ptr, *offset))
            }
            Op::CompareExchange { ptr, offset, size, expected, new } => {
                write!(f, "cmpxchg.{size} {}, {expected}, {new}", Place(*ptr, *offset))
            }
            Op::MemCopy { dst, dst_offset, src, src_offset, len, align } => {
                write!(
                    f,
                    "copy {}, {}, {len}, align {align}",
                    Place(*dst, *dst_offset),
                    Place(*src, *src_offset)
                )
            }
            Op::MemZero { dst, offset, len, align } => {
                write!(f, "zero {}, {len}, align {align}", Place(*dst, *offset))
            }
            Op::SlotAddr { slot, offset } => write!(f, "slot s{}{}", slot.0, Offset(i64::from(*offset))),
            Op::MapRef(map) => write!(f, "map {}", map.0),
            Op::MapValueAddr { map, offset } => {
                write!(f, "map_value {}{}", map.0, Offset(i64::from(*offset)))
            }
            Op::FuncAddr(func) => write!(f, "func {}", func.0),
            Op::KernelSymbol(name) => write!(f, "symbol {name:?}"),
            Op::Call { helper, args, effect, .. } => {
                write!(f, "call.{} ", word(EFFECTS, effect))?;
                match helper.name() {
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "{}", helper.0)?,
                }
                list(f, args, |f, arg| arg.fmt(f))
            }
            Op::CallKfunc { name, args, effect, .. } => {
                write!(f, "kfunc.{} {name:?}", word(EFFECTS, effect))?;
                list(f, args, |f, arg| arg.fmt(f))
            }
            Op::CallLocal { func, args } => {
                write!(f, "call_local {}", func.0)?;
                list(f, args, |f, arg| arg.fmt(f))
            }
        }
    }
}

impl Display for Jump {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.block.fmt(f)?;
        list(f, &self.args, |f, arg| arg.fmt(f))
    }
}

impl Display for Terminator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Terminator::Jump(jump) => write!(f, "jump {jump}"),
            Terminator::Branch { cond, width, a, b, then, otherwise } => {
                write!(
                    f,
                    "branch.{}{} {a}, {b}, {then}, {otherwise}",
                    word(CONDITIONS, cond),
                    WidthText(*width)
                )
            }
            Terminator::LoopGuard { body, exhausted } => write!(f, "guard {body}, {exhausted}"),
            Terminator::Return(value) => write!(f, "return {value}"),
            Terminator::Unreachable => f.write_str("unreachable"),
        }
    }
}
