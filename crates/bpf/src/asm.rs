//! Text assembler: one instruction per line in the syntax of the kernel's verifier log, labels as `name:`.
//!
//! ```text
//! loop:                                    ; a label; `;` and `//` begin a remark
//!     r1 = 5                               ; also -5, 0x10, 'w1 = w2' for 32 bits
//!     r1 s/= r2                            ; + - * / s/ | & << >> s>> % s% ^
//!     r1 = (s8)r2                          ; r1 = -r1, r1 = be16 r1 (le, be, bswap)
//!     r2 = 0x123456789 ll                  ; map_fd 3, map_value 3 + 8, btf_id 7, func label
//!     r0 = *(u32 *)(r1 + 8)                ; *(s16 *)..., *(u8 *)(r10 - 1) = 0
//!     lock *(u64 *)(r1 + 0) += r2          ; r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)
//!     if r1 s> 3 goto loop                 ; goto +1, gotol, may_goto
//!     call map_lookup_elem                 ; call #250, call local f, call kfunc 77
//!     exit
//! ```

use crate::disasm::{ALU_SIGNS, ATOMIC_WORDS, COND_SIGNS, SWAP_WORDS};
use crate::helpers::Helper;
use crate::insn::Insn;
use crate::isa::*;
use crate::op::{Encoded, Imm64, Op, Src};
use std::collections::HashMap;
use std::fmt;

/// What a line that does not assemble is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AsmError {
    /// Line in the text, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for AsmError {}

/// A name in the text that stands for a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name<'a> {
    /// Behind `map_fd` or `map_value`.
    Map(&'a str),
    /// Behind `call kfunc`.
    Kfunc(&'a str),
}

/// Assembles a program; maps and kernel functions are given as numbers.
///
/// # Errors
/// The first line that is no instruction, or a label that is missing, doubled or too far.
pub fn assemble(text: &str) -> Result<Vec<Insn>, AsmError> {
    assemble_with(text, &|_| None)
}

/// As [`assemble`]; `resolve` gives the descriptor of a named map and the BTF id of a named kernel function.
///
/// # Errors
/// As [`assemble`], and a name that does not resolve.
pub fn assemble_with(text: &str, resolve: &dyn Fn(Name<'_>) -> Option<i32>) -> Result<Vec<Insn>, AsmError> {
    let mut labels: HashMap<&str, usize> = HashMap::new();
    let mut items: Vec<(usize, usize, Item<'_>)> = Vec::new();
    let mut slot = 0;
    for (line, text) in text.lines().enumerate() {
        let error = |message: String| AsmError { line: line + 1, message };
        let mut rest = strip_remark(text).trim();
        while let Some((label, behind)) = split_label(rest) {
            if labels.insert(label, slot).is_some() {
                return Err(error(format!("label `{label}` is defined twice")));
            }
            rest = behind.trim();
        }
        if rest.is_empty() {
            continue;
        }
        let item = Parser { rest, resolve }.item().map_err(error)?;
        let slots = match &item {
            Item::Op(op, _) => op.slots(),
            Item::Raw(_) => 1,
        };
        items.push((line + 1, slot, item));
        slot += slots;
    }
    let mut insns = Vec::with_capacity(slot);
    for (line, at, item) in items {
        let encoded = link(item, at, &labels).map_err(|message| AsmError { line, message })?;
        insns.extend_from_slice(encoded.as_slice());
    }
    Ok(insns)
}

enum Item<'a> {
    Op(Op, Option<&'a str>),
    Raw(Insn),
}

fn strip_remark(line: &str) -> &str {
    let end = [line.find(';'), line.find("//")].into_iter().flatten().min();
    end.and_then(|end| line.get(..end)).unwrap_or(line)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '@')
}

fn split_label(line: &str) -> Option<(&str, &str)> {
    let (label, rest) = line.split_once(':')?;
    (!label.is_empty() && label.chars().all(is_name)).then_some((label, rest))
}

/// Puts the distance to its label in an instruction.
fn link(item: Item<'_>, at: usize, labels: &HashMap<&str, usize>) -> Result<Encoded, String> {
    let (mut op, label) = match item {
        Item::Raw(insn) => return Ok(insn.into()),
        Item::Op(op, None) => return Ok(op.encode()),
        Item::Op(op, Some(label)) => (op, label),
    };
    let target = labels.get(label).ok_or_else(|| format!("no label `{label}`"))?;
    let far = |_| format!("label `{label}` is too far away for this instruction; use `gotol`");
    let distance = i64::try_from(*target).unwrap_or(i64::MAX) - i64::try_from(at).unwrap_or(0) - 1;
    let long = i32::try_from(distance).map_err(far)?;
    match &mut op {
        Op::Goto { off, long: true } | Op::CallLocal { off } | Op::LoadImm { imm: Imm64::Func(off), .. } => {
            *off = long
        }
        Op::Goto { off, long: false } => *off = i16::try_from(long).map_err(far)?.into(),
        Op::Branch { off, .. } | Op::MayGoto { off } => *off = i16::try_from(long).map_err(far)?,
        _ => {}
    }
    Ok(op.encode())
}

struct Parser<'a, 'r> {
    rest: &'a str,
    resolve: &'r dyn Fn(Name<'_>) -> Option<i32>,
}

type Parsed<T> = Result<T, String>;

impl<'a> Parser<'a, '_> {
    fn item(mut self) -> Parsed<Item<'a>> {
        let item = self.statement()?;
        self.space();
        if !self.rest.is_empty() {
            return Err(format!("`{}` is left over behind the instruction", self.rest));
        }
        Ok(item)
    }

    fn statement(&mut self) -> Parsed<Item<'a>> {
        if self.eat(".insn") {
            return self.raw();
        }
        if self.eat("*") {
            return self.store();
        }
        for (word, parse) in STATEMENTS {
            if self.keyword(word) {
                return parse(self);
            }
        }
        self.assignment()
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes a sign.
    fn eat(&mut self, sign: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a whole word.
    fn keyword(&mut self, word: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(is_name) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.eat(sign) {
            Ok(())
        } else {
            Err(format!("expected `{sign}` at `{}`", self.shown()))
        }
    }

    fn shown(&self) -> &'a str {
        if self.rest.is_empty() {
            "end of line"
        } else {
            self.rest
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        self.space();
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        if word.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(word)
    }

    fn one_of<K: Copy>(&mut self, table: &[(K, &str)]) -> Option<K> {
        table.iter().find(|row| self.eat(row.1)).map(|row| row.0)
    }

    /// A whole number of any size, with a sign; `+ 5` and `- 5` too.
    fn number(&mut self) -> Parsed<i128> {
        self.space();
        let start = self.rest;
        let negative = if self.eat("-") {
            true
        } else {
            self.eat("+");
            false
        };
        let word = self.word().ok_or_else(|| format!("expected a number at `{start}`"))?;
        let parsed = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
            Some(hex) if !hex.starts_with('+') => i128::from_str_radix(hex, 16).ok(),
            _ => word.parse::<i128>().ok(),
        };
        let value = parsed.ok_or_else(|| format!("`{word}` is no number"))?;
        Ok(if negative { value.saturating_neg() } else { value })
    }

    fn ranged<T: TryFrom<i128>>(&mut self, what: &str) -> Parsed<T> {
        let value = self.number()?;
        T::try_from(value).map_err(|_| format!("{value} does not fit in {what}"))
    }

    /// An immediate: signed, or the 32 bits of an unsigned number.
    fn imm32(&mut self) -> Parsed<i32> {
        let value = self.number()?;
        i32::try_from(value)
            .or_else(|_| u32::try_from(value).map(|bits| bits as i32))
            .map_err(|_| format!("{value} does not fit in 32 bits; use `ll` for a 64-bit load"))
    }

    fn register(&mut self) -> Parsed<(Width, Reg)> {
        self.space();
        let start = self.rest;
        let word = self.word().ok_or_else(|| format!("expected a register at `{}`", self.shown()))?;
        let mut chars = word.chars();
        let width = match chars.next() {
            Some('r') => Some(Width::W64),
            Some('w') => Some(Width::W32),
            _ => None,
        };
        let index = chars.as_str().parse::<u8>().ok().and_then(Reg::new);
        match (width, index) {
            (Some(width), Some(reg)) => Ok((width, reg)),
            _ => {
                self.rest = start;
                Err(format!("`{word}` is no register; they are r0 to r10 and w0 to w10"))
            }
        }
    }

    fn full_register(&mut self) -> Parsed<Reg> {
        match self.register()? {
            (Width::W64, reg) => Ok(reg),
            (Width::W32, reg) => Err(format!("w{0} cannot stand here; use r{0}", reg.index())),
        }
    }

    fn operand(&mut self, width: Width) -> Parsed<Src> {
        self.space();
        if !self.rest.starts_with(['r', 'w']) {
            return Ok(Src::Imm(self.imm32()?));
        }
        match self.register()? {
            (found, reg) if found == width => Ok(Src::Reg(reg)),
            (_, reg) => Err(format!("r{0} and w{0} cannot be mixed in one instruction", reg.index())),
        }
    }

    /// `(u32 *)`: size and whether signed.
    fn size(&mut self) -> Parsed<(Size, bool)> {
        self.expect("(")?;
        let word = self.word().unwrap_or_default();
        let signed = word.starts_with('s');
        let size = match word.get(1..) {
            Some("8") => Size::B,
            Some("16") => Size::H,
            Some("32") => Size::W,
            Some("64") => Size::DW,
            _ => return Err(format!("`{word}` is no size; they are u8, u16, u32, u64, s8, s16, s32")),
        };
        if !signed && !word.starts_with('u') || signed && size == Size::DW {
            return Err(format!("`{word}` is no size; they are u8, u16, u32, u64, s8, s16, s32"));
        }
        self.expect("*")?;
        self.expect(")")?;
        Ok((size, signed))
    }

    /// `(r1 + 8)`
    fn address(&mut self) -> Parsed<(Reg, i16)> {
        self.expect("(")?;
        let base = self.full_register()?;
        let off = if self.eat(")") {
            return Ok((base, 0));
        } else {
            self.ranged::<i16>("the 16 bits of an offset")?
        };
        self.expect(")")?;
        Ok((base, off))
    }

    fn unsigned_place(&mut self) -> Parsed<(Size, Reg, i16)> {
        let (size, signed) = self.size()?;
        if signed {
            return Err("only a plain load can be signed".to_owned());
        }
        let (base, off) = self.address()?;
        Ok((size, base, off))
    }

    /// A target: label, or a signed number of slots.
    fn target(&mut self) -> Parsed<(i32, Option<&'a str>)> {
        self.space();
        if self.rest.starts_with(['+', '-']) {
            return Ok((self.ranged::<i32>("32 bits")?, None));
        }
        match self.word() {
            Some(label) => Ok((0, Some(label))),
            None => Err(format!("expected a label or a distance like +2 at `{}`", self.shown())),
        }
    }

    fn near_target(&mut self) -> Parsed<(i16, Option<&'a str>)> {
        let (off, label) = self.target()?;
        let off = i16::try_from(off).map_err(|_| format!("{off} does not fit in 16 bits; use `gotol`"))?;
        Ok((off, label))
    }

    fn raw(&mut self) -> Parsed<Item<'a>> {
        let code = self.ranged::<u8>("a byte")?;
        let regs = self.ranged::<u8>("a byte")?;
        let off = self.ranged::<i16>("16 bits")?;
        Ok(Item::Raw(Insn { code, regs, off, imm: self.imm32()? }))
    }

    fn store(&mut self) -> Parsed<Item<'a>> {
        let (size, base, off) = self.unsigned_place()?;
        self.expect("=")?;
        let src = self.operand(Width::W64)?;
        Ok(Item::Op(Op::Store { base, off, size, src }, None))
    }

    fn lock(&mut self) -> Parsed<Item<'a>> {
        self.expect("*")?;
        let (size, base, off) = self.unsigned_place()?;
        let op = self
            .one_of(&ATOMIC_WORDS[..4])
            .ok_or_else(|| format!("expected +=, |=, &= or ^= at `{}`", self.shown()))?;
        self.atomic(op, size, base, off)
    }

    fn atomic(&mut self, op: AtomicOp, size: Size, base: Reg, off: i16) -> Parsed<Item<'a>> {
        let reg = self.full_register()?;
        let any_size = matches!(op, AtomicOp::LoadAcquire | AtomicOp::StoreRelease);
        if !any_size && size.bytes() < 4 {
            return Err("atomic arithmetic works on u32 and u64 only".to_owned());
        }
        Ok(Item::Op(Op::Atomic { op, size, base, off, reg }, None))
    }

    fn store_release(&mut self) -> Parsed<Item<'a>> {
        self.expect("(")?;
        let (size, base, off) = self.unsigned_place()?;
        self.expect(",")?;
        let item = self.atomic(AtomicOp::StoreRelease, size, base, off)?;
        self.expect(")")?;
        Ok(item)
    }

    fn goto(&mut self) -> Parsed<Item<'a>> {
        let (off, label) = self.near_target()?;
        Ok(Item::Op(Op::Goto { off: off.into(), long: false }, label))
    }

    fn gotol(&mut self) -> Parsed<Item<'a>> {
        let (off, label) = self.target()?;
        Ok(Item::Op(Op::Goto { off, long: true }, label))
    }

    fn may_goto(&mut self) -> Parsed<Item<'a>> {
        let (off, label) = self.near_target()?;
        Ok(Item::Op(Op::MayGoto { off }, label))
    }

    fn branch(&mut self) -> Parsed<Item<'a>> {
        let (width, dst) = self.register()?;
        let cond = self
            .one_of(&COND_SIGNS)
            .ok_or_else(|| format!("expected a comparison like == or s>= at `{}`", self.shown()))?;
        let src = self.operand(width)?;
        if !self.keyword("goto") {
            return Err(format!("expected `goto` at `{}`", self.shown()));
        }
        let (off, label) = self.near_target()?;
        Ok(Item::Op(Op::Branch { width, cond, dst, src, off }, label))
    }

    fn exit(&mut self) -> Parsed<Item<'a>> {
        Ok(Item::Op(Op::Exit, None))
    }

    fn call(&mut self) -> Parsed<Item<'a>> {
        if self.keyword("local") {
            let (off, label) = self.target()?;
            return Ok(Item::Op(Op::CallLocal { off }, label));
        }
        if self.keyword("kfunc") {
            let btf_id = self.named_number("kernel function", Name::Kfunc)?;
            let fd_index = if self.keyword("fd") { self.ranged::<i16>("16 bits")? } else { 0 };
            return Ok(Item::Op(Op::CallKfunc { btf_id, fd_index }, None));
        }
        if self.eat("#") {
            return Ok(Item::Op(Op::CallHelper(Helper(self.imm32()?)), None));
        }
        let name = self.word().ok_or_else(|| format!("expected a helper at `{}`", self.shown()))?;
        let unknown = || format!("no helper `{name}`; a function of the program is `call local {name}`");
        let helper = Helper::from_name(name).ok_or_else(unknown)?;
        Ok(Item::Op(Op::CallHelper(helper), None))
    }

    /// A number, or a name that `resolve` knows.
    fn named_number(&mut self, what: &str, name: fn(&'a str) -> Name<'a>) -> Parsed<i32> {
        self.space();
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return self.imm32();
        }
        let word = self.word().ok_or_else(|| format!("expected a {what} at `{}`", self.shown()))?;
        (self.resolve)(name(word)).ok_or_else(|| format!("no {what} `{word}`"))
    }

    fn assignment(&mut self) -> Parsed<Item<'a>> {
        let (width, dst) = self.register()?;
        if self.eat("=") {
            return self.value(width, dst);
        }
        let op = self.one_of(&ALU_SIGNS).ok_or_else(|| format!("expected `=` at `{}`", self.shown()))?;
        self.expect("=")?;
        let src = self.operand(width)?;
        Ok(Item::Op(Op::Alu { width, op, dst, src }, None))
    }

    fn value(&mut self, width: Width, dst: Reg) -> Parsed<Item<'a>> {
        self.space();
        if self.rest.starts_with("-r") || self.rest.starts_with("-w") {
            self.eat("-");
            return match self.register()? {
                found if found == (width, dst) => Ok(Item::Op(Op::Neg { width, dst }, None)),
                _ => Err("a register can only be negated in place".to_owned()),
            };
        }
        if self.rest.starts_with("(s") {
            return self.sign_extension(width, dst);
        }
        if let Some((kind, size)) = self.swap_word() {
            let src = self.full_register()?;
            return match src == dst && width == Width::W64 {
                true => Ok(Item::Op(Op::Swap { kind, dst, size }, None)),
                false => Err("byte order can only be changed in place, in an r register".to_owned()),
            };
        }
        for (word, parse) in VALUES {
            if self.keyword(word) {
                if width == Width::W32 {
                    return Err(format!("w{0} cannot stand here; use r{0}", dst.index()));
                }
                return parse(self, dst);
            }
        }
        if self.eat("*") {
            return match width {
                Width::W64 => self.load(dst),
                Width::W32 => Err(format!("w{0} cannot stand here; use r{0}", dst.index())),
            };
        }
        self.plain_value(width, dst)
    }

    fn plain_value(&mut self, width: Width, dst: Reg) -> Parsed<Item<'a>> {
        let fetch = ATOMIC_WORDS[4..].iter().find(|row| self.keyword(row.1)).map(|row| row.0);
        if let Some(op) = fetch {
            return self.fetch(op, dst);
        }
        if self.rest.starts_with(['r', 'w']) {
            let src = self.operand(width)?;
            return Ok(Item::Op(Op::Alu { width, op: Alu::Mov, dst, src }, None));
        }
        let start = self.rest;
        let value = self.number()?;
        if self.keyword("ll") {
            let bits = u64::try_from(value).or_else(|_| i64::try_from(value).map(|v| v as u64));
            let value = bits.map_err(|_| format!("{value} does not fit in 64 bits"))?;
            return match width {
                Width::W64 => Ok(Item::Op(Op::LoadImm { dst, imm: Imm64::Value(value) }, None)),
                Width::W32 => Err(format!("w{0} cannot stand here; use r{0}", dst.index())),
            };
        }
        self.rest = start;
        let src = Src::Imm(self.imm32()?);
        Ok(Item::Op(Op::Alu { width, op: Alu::Mov, dst, src }, None))
    }

    fn sign_extension(&mut self, width: Width, dst: Reg) -> Parsed<Item<'a>> {
        self.expect("(")?;
        let from = match (self.word(), width) {
            (Some("s8"), _) => Size::B,
            (Some("s16"), _) => Size::H,
            (Some("s32"), Width::W64) => Size::W,
            (word, _) => return Err(format!("cannot extend from `{}` here", word.unwrap_or_default())),
        };
        self.expect(")")?;
        match self.operand(width)? {
            Src::Reg(src) => Ok(Item::Op(Op::MovSx { width, dst, src, from }, None)),
            Src::Imm(_) => Err("only a register can be sign-extended".to_owned()),
        }
    }

    fn swap_word(&mut self) -> Option<(Swap, Size)> {
        for (kind, word) in SWAP_WORDS {
            for (size, bits) in [(Size::H, "16"), (Size::W, "32"), (Size::DW, "64")] {
                let behind = self.rest.strip_prefix(word).and_then(|rest| rest.strip_prefix(bits));
                if let Some(rest) = behind.filter(|rest| !rest.starts_with(is_name)) {
                    self.rest = rest;
                    return Some((kind, size));
                }
            }
        }
        None
    }

    fn load(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        let (size, signed) = self.size()?;
        if self.eat("skb") {
            return self.load_packet(dst, size, signed);
        }
        let (base, off) = self.address()?;
        Ok(Item::Op(Op::Load { dst, base, off, size, signed }, None))
    }

    fn load_packet(&mut self, dst: Reg, size: Size, signed: bool) -> Parsed<Item<'a>> {
        if dst != Reg::R0 || signed || size == Size::DW {
            return Err("packet loads read u8, u16 or u32 to r0".to_owned());
        }
        self.expect("[")?;
        self.space();
        let index = if self.rest.starts_with('r') { Some(self.full_register()?) } else { None };
        let imm = if index.is_some() && self.rest.starts_with(']') { 0 } else { self.imm32()? };
        self.expect("]")?;
        Ok(Item::Op(Op::LoadPacket { index, imm, size }, None))
    }

    fn fetch(&mut self, op: AtomicOp, dst: Reg) -> Parsed<Item<'a>> {
        self.expect("(")?;
        let (size, base, off) = self.unsigned_place()?;
        self.expect(",")?;
        if op == AtomicOp::Cmpxchg {
            let compared = self.full_register()?;
            self.expect(",")?;
            if compared != Reg::R0 || dst != Reg::R0 {
                return Err("atomic_cmpxchg compares with r0 and returns in r0".to_owned());
            }
        }
        let item = self.atomic(op, size, base, off)?;
        self.expect(")")?;
        match item {
            Item::Op(Op::Atomic { reg, .. }, _) if op != AtomicOp::Cmpxchg && reg != dst => {
                Err(format!("the old value comes back in the operand's register: {reg}, not {dst}"))
            }
            item => Ok(item),
        }
    }

    fn load_acquire(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        self.expect("(")?;
        let (size, base, off) = self.unsigned_place()?;
        self.expect(")")?;
        Ok(Item::Op(Op::Atomic { op: AtomicOp::LoadAcquire, size, base, off, reg: dst }, None))
    }

    fn addr_space_cast(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        self.expect("(")?;
        let src = self.full_register()?;
        self.expect(",")?;
        let to = self.number()?;
        self.expect(",")?;
        let from = self.number()?;
        self.expect(")")?;
        match (to, from) {
            (0, 1) => Ok(Item::Op(Op::AddrSpaceCast { dst, src, to_kernel: true }, None)),
            (1, 0) => Ok(Item::Op(Op::AddrSpaceCast { dst, src, to_kernel: false }, None)),
            _ => Err("address spaces are 0 and 1".to_owned()),
        }
    }

    fn imm64(&mut self, dst: Reg, imm: Imm64) -> Parsed<Item<'a>> {
        Ok(Item::Op(Op::LoadImm { dst, imm }, None))
    }

    fn offset(&mut self) -> Parsed<i32> {
        self.space();
        if self.rest.starts_with(['+', '-']) {
            self.ranged::<i32>("32 bits")
        } else {
            Ok(0)
        }
    }

    fn map_fd(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        let fd = self.named_number("map", Name::Map)?;
        self.imm64(dst, Imm64::MapFd(fd))
    }

    fn map_value(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        let fd = self.named_number("map", Name::Map)?;
        let offset = self.offset()?;
        self.imm64(dst, Imm64::MapValue { fd, offset })
    }

    fn map_idx(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        let index = self.imm32()?;
        self.imm64(dst, Imm64::MapIdx(index))
    }

    fn map_idx_value(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        let index = self.imm32()?;
        let offset = self.offset()?;
        self.imm64(dst, Imm64::MapIdxValue { index, offset })
    }

    fn btf_id(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        let id = self.imm32()?;
        let fd = if self.keyword("fd") { self.imm32()? } else { 0 };
        self.imm64(dst, Imm64::BtfId { id, fd })
    }

    fn func(&mut self, dst: Reg) -> Parsed<Item<'a>> {
        let (off, label) = self.target()?;
        Ok(Item::Op(Op::LoadImm { dst, imm: Imm64::Func(off) }, label))
    }
}

type Statement = for<'a, 'p, 'r> fn(&'p mut Parser<'a, 'r>) -> Parsed<Item<'a>>;
type Value = for<'a, 'p, 'r> fn(&'p mut Parser<'a, 'r>, Reg) -> Parsed<Item<'a>>;

/// First words of statements that are no assignment.
const STATEMENTS: &[(&str, Statement)] = &[
    ("exit", |p| p.exit()),
    ("call", |p| p.call()),
    ("if", |p| p.branch()),
    ("goto", |p| p.goto()),
    ("gotol", |p| p.gotol()),
    ("may_goto", |p| p.may_goto()),
    ("lock", |p| p.lock()),
    ("store_release", |p| p.store_release()),
];

/// First words of assigned values.
const VALUES: &[(&str, Value)] = &[
    ("map_fd", |p, dst| p.map_fd(dst)),
    ("map_value", |p, dst| p.map_value(dst)),
    ("map_idx", |p, dst| p.map_idx(dst)),
    ("map_idx_value", |p, dst| p.map_idx_value(dst)),
    ("btf_id", |p, dst| p.btf_id(dst)),
    ("func", |p, dst| p.func(dst)),
    ("load_acquire", |p, dst| p.load_acquire(dst)),
    ("addr_space_cast", |p, dst| p.addr_space_cast(dst)),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Vec<Insn> {
        assemble(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn lines_become_instructions() {
        let (r0, r1, r2) = (Reg::R0, Reg::R1, Reg::R2);
        let rows: &[(&str, Insn)] = &[
            ("r1 = 5", Insn::mov64_imm(r1, 5)),
            ("r1=-5 ; five below zero", Insn::mov64_imm(r1, -5)),
            ("w1 = 0xffffffff // all ones", Insn::mov32_imm(r1, -1)),
            ("w1 += w2", Insn::alu32_reg(Alu::Add, r1, r2)),
            ("r1 s/= 3", Insn::alu64_imm(Alu::Sdiv, r1, 3)),
            ("r1 s>>= r2", Insn::alu64_reg(Alu::Arsh, r1, r2)),
            ("w1 s%= w2", Insn::alu32_reg(Alu::Smod, r1, r2)),
            ("r1 = (s16)r2", Insn::movsx(Width::W64, r1, r2, Size::H)),
            ("w1 = (s8)w2", Insn::movsx(Width::W32, r1, r2, Size::B)),
            ("w1 = -w1", Insn::neg(Width::W32, r1)),
            ("r1 = be32 r1", Insn::swap(Swap::Be, r1, Size::W)),
            ("r1 = bswap64 r1", Insn::swap(Swap::Bswap, r1, Size::DW)),
            ("r0 = *(u32 *)(r1 + 8)", Insn::ldx(Size::W, r0, r1, 8)),
            ("r0 = *(s16*)(r1-2)", Insn::ldsx(Size::H, r0, r1, -2)),
            ("*(u64 *)(r10 - 8) = r2", Insn::stx(Size::DW, Reg::R10, -8, r2)),
            ("*(u8 *)(r1) = 7", Insn::st(Size::B, r1, 0, 7)),
            ("lock *(u64 *)(r1 + 0) += r2", Insn::atomic(AtomicOp::Add, Size::DW, r1, 0, r2)),
            (
                "r2 = atomic_fetch_or((u32 *)(r1 + 4), r2)",
                Insn::atomic(AtomicOp::FetchOr, Size::W, r1, 4, r2),
            ),
            (
                "r0 = atomic_cmpxchg((u64 *)(r1 + 0), r0, r2)",
                Insn::atomic(AtomicOp::Cmpxchg, Size::DW, r1, 0, r2),
            ),
            ("r2 = load_acquire((u8 *)(r1 + 1))", Insn::load_acquire(Size::B, r2, r1, 1)),
            ("store_release((u16 *)(r1 + 2), r2)", Insn::atomic(AtomicOp::StoreRelease, Size::H, r1, 2, r2)),
            ("if r1 == 0 goto +3", Insn::jmp_imm(Width::W64, Cond::Eq, r1, 0, 3)),
            ("if w1 s>= w2 goto -1", Insn::jmp_reg(Width::W32, Cond::Sge, r1, r2, -1)),
            ("if r1 & 8 goto +1", Insn::jmp_imm(Width::W64, Cond::Set, r1, 8, 1)),
            ("goto -5", Insn::ja(-5)),
            ("gotol +100000", Insn::gotol(100_000)),
            ("may_goto +2", Insn::may_goto(2)),
            ("call bpf_map_lookup_elem", Insn::call(Helper::MAP_LOOKUP_ELEM)),
            ("call #250", Insn::call(Helper(250))),
            ("call local +7", Insn::call_local(7)),
            ("call kfunc 77 fd 1", Insn::call_kfunc(77, 1)),
            ("r1 = addr_space_cast(r2, 0, 1)", Insn::addr_space_cast(r1, r2, 1)),
            ("r0 = *(u8 *)skb[r2 + 4]", Insn::new(0x50, 0, 2, 0, 4)),
            ("exit", Insn::exit()),
        ];
        for (text, want) in rows {
            assert_eq!(one(text), [*want], "{text}");
        }
    }

    #[test]
    fn wide_loads_labels_and_names() {
        assert_eq!(one("r3 = 0xfffffffffffffffe ll"), Insn::ld_imm64(Reg::R3, u64::MAX - 1));
        assert_eq!(one("r3 = -2 ll"), Insn::ld_imm64(Reg::R3, u64::MAX - 1));
        assert_eq!(one("r3 = map_value 4 + 16"), Insn::ld_map_value(Reg::R3, 4, 16));
        let text =
            "start: r1 = func body\nif r1 == 0 goto start\ncall local body\nexit\nbody:\n r0 = 0\nexit";
        let insns = one(text);
        assert_eq!(insns[0].imm, 4);
        assert_eq!(insns[2].off, -3);
        assert_eq!(insns[3].imm, 1);
        let resolve = |name: Name<'_>| match name {
            Name::Map("@counts") => Some(9),
            Name::Kfunc("bpf_strstr") => Some(1234),
            _ => None,
        };
        let insns = assemble_with("r1 = map_fd @counts\ncall kfunc bpf_strstr", &resolve);
        assert_eq!(insns.map(|i| (i[0].imm, i[2].imm)), Ok((9, 1234)));
    }

    #[test]
    fn errors_name_line_and_cause() {
        let rows = [
            ("r1 = 5\nr11 = 1", "line 2: `r11` is no register"),
            ("r1 = r2 r3", "`r3` is left over"),
            ("r1 += w2", "cannot be mixed"),
            ("goto nowhere", "no label `nowhere`"),
            ("a:\na:\nexit", "`a` is defined twice"),
            ("call nothing", "no helper `nothing`"),
            ("r1 = 0x1ffffffff", "use `ll`"),
            ("r1 = -r2", "negated in place"),
            ("r0 = *(u24 *)(r1 + 0)", "`u24` is no size"),
            ("r1 = map_fd missing", "no map `missing`"),
            ("w1 = *(u8 *)(r2 + 0)", "use r1"),
            ("r3 = atomic_xchg((u64 *)(r1 + 0), r2)", "operand's register"),
            ("lock *(u8 *)(r1 + 0) += r2", "u32 and u64 only"),
            ("if r1 = 3 goto +1", "expected a comparison"),
            ("r0 = *(u8 *)(r1 + 40000)", "16 bits of an offset"),
            ("", ""),
            ("=", "expected a register at `=`"),
        ];
        for (text, want) in rows {
            let error = assemble(text).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
