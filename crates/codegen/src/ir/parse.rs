//! Reads the text form that [`super::text`] writes.

use super::words::{value as of_word, ATOMICS, BINARY, CONDITIONS, EFFECTS, LOAD_CONSTS};
use super::{
    Block, BlockData, Func, FuncId, Inst, Jump, MapId, Op, Size, Slot, SlotData, SrcLoc, Terminator, Ty,
    Value, Width,
};
use fathom_bpf::helpers::Helper;
use std::fmt;

/// What could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected there.
    pub what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ParseError {}

/// Highest number of a value, block or slot that is taken.
const NUMBER_MAX: u32 = 1 << 20;

/// Reads functions, one behind the other. Lines that begin with `;` and empty lines are skipped.
///
/// # Errors
/// The first line that is not in the form.
pub fn parse(text: &str) -> Result<Vec<Func>, ParseError> {
    let mut funcs = Vec::new();
    let mut open: Option<(Func, Option<usize>)> = None;
    for (i, line) in text.lines().enumerate() {
        let mut cursor = Cursor { rest: line.trim() };
        if cursor.rest.is_empty() || cursor.rest.starts_with(';') {
            continue;
        }
        let fail = |what: &str| ParseError { line: i + 1, what: format!("{what} in `{}`", line.trim()) };
        match open.take() {
            None => open = Some((cursor.header().ok_or_else(|| fail("expected `func \"name\" {`"))?, None)),
            Some((func, _)) if cursor.rest == "}" => funcs.push(func),
            Some((mut func, mut block)) => {
                cursor.line(&mut func, &mut block).map_err(fail)?;
                open = Some((func, block));
            }
        }
    }
    match open {
        None => Ok(funcs),
        Some(_) => Err(ParseError { line: text.lines().count(), what: "expected `}`".into() }),
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        // A dot binds to its word, everything else may have blanks before it.
        if !rest.starts_with('.') {
            self.rest = rest.trim_start();
        }
        word
    }

    fn number<T: TryFrom<i128>>(&mut self) -> Option<T> {
        let negative = self.eat("-");
        let digits = self.word();
        let number: i128 = digits.parse().ok()?;
        T::try_from(if negative { -number } else { number }).ok()
    }

    /// A letter and a number.
    fn numbered(&mut self, letter: &str) -> Option<u32> {
        self.need(letter)?;
        self.number::<u32>().filter(|number| *number < NUMBER_MAX)
    }

    fn value(&mut self) -> Option<Value> {
        self.numbered("v").map(Value)
    }

    fn quoted(&mut self) -> Option<String> {
        self.need("\"")?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = self.rest[at + 1..].trim_start();
                    return Some(text);
                }
                '\\' => text.push(chars.next()?.1),
                c => text.push(c),
            }
        }
        None
    }

    fn loc(&mut self) -> Option<SrcLoc> {
        if self.eat("@") {
            return self.number().map(SrcLoc);
        }
        Some(SrcLoc::NONE)
    }

    fn header(&mut self) -> Option<Func> {
        self.need("func")?;
        let name = self.quoted()?;
        let loc = self.loc()?;
        self.need("{")?;
        Some(Func { name, blocks: Vec::new(), values: Vec::new(), slots: Vec::new(), loc })
    }

    /// Any line within a function.
    fn line(&mut self, func: &mut Func, block: &mut Option<usize>) -> Result<(), &'static str> {
        let text = self.rest;
        if let Some(()) = self.slot_line(func) {
            return Ok(());
        }
        self.rest = text;
        if let Some(at) = self.block_line(func) {
            *block = Some(at);
            return Ok(());
        }
        self.rest = text;
        let at = block.ok_or("expected a block")?;
        if let Some((terminator, loc)) = self.terminator_line() {
            func.blocks[at].terminator = Some(terminator);
            func.blocks[at].terminator_loc = (loc != SrcLoc::NONE).then_some(loc);
            return Ok(());
        }
        self.rest = text;
        let inst = self.inst_line(func).ok_or("expected an operation")?;
        func.blocks[at].insts.push(inst);
        Ok(())
    }

    fn slot_line(&mut self, func: &mut Func) -> Option<()> {
        let at = self.numbered("s")?;
        self.need(":")?;
        let size = self.number()?;
        (at as usize == func.slots.len() && self.rest.is_empty()).then_some(())?;
        func.slots.push(SlotData { size });
        Some(())
    }

    fn block_line(&mut self, func: &mut Func) -> Option<usize> {
        let at = self.numbered("b")? as usize;
        let mut params = Vec::new();
        if self.eat("(") {
            while !self.eat(")") {
                params.push(self.typed(func)?);
                self.eat(",");
            }
        }
        self.need(":")?;
        while func.blocks.len() <= at {
            let empty = BlockData { terminator: Some(Terminator::Unreachable), ..BlockData::default() };
            func.blocks.push(empty);
        }
        func.blocks[at] = BlockData { params, ..BlockData::default() };
        Some(at)
    }

    /// A value with its type where it is defined.
    fn typed(&mut self, func: &mut Func) -> Option<Value> {
        let value = self.value()?;
        let ty = if self.eat(":") {
            self.need("ptr")?;
            Ty::Ptr
        } else {
            Ty::Int
        };
        if func.values.len() <= value.0 as usize {
            func.values.resize(value.0 as usize + 1, Ty::Int);
        }
        func.values[value.0 as usize] = ty;
        Some(value)
    }

    fn terminator_line(&mut self) -> Option<(Terminator, SrcLoc)> {
        let terminator = match self.word() {
            "jump" => Terminator::Jump(self.jump()?),
            "branch" => {
                let (cond, width) = self.condition()?;
                let (a, b) = self.pair()?;
                self.need(",")?;
                let then = self.jump()?;
                self.need(",")?;
                Terminator::Branch { cond, width, a, b, then, otherwise: self.jump()? }
            }
            "guard" => {
                let body = self.jump()?;
                self.need(",")?;
                Terminator::LoopGuard { body, exhausted: self.jump()? }
            }
            "return" => Terminator::Return(self.value()?),
            "unreachable" => Terminator::Unreachable,
            _ => return None,
        };
        let loc = self.loc()?;
        self.rest.is_empty().then_some((terminator, loc))
    }

    fn jump(&mut self) -> Option<Jump> {
        let block = Block(self.numbered("b")?);
        Some(Jump { block, args: self.args()? })
    }

    fn args(&mut self) -> Option<Vec<Value>> {
        let mut args = Vec::new();
        if self.eat("(") {
            while !self.eat(")") {
                args.push(self.value()?);
                self.eat(",");
            }
        }
        Some(args)
    }

    fn pair(&mut self) -> Option<(Value, Value)> {
        let a = self.value()?;
        self.need(",")?;
        Some((a, self.value()?))
    }

    fn condition(&mut self) -> Option<(super::Cond, Width)> {
        self.need(".")?;
        let cond = of_word(CONDITIONS, self.word())?;
        Some((cond, self.width()))
    }

    fn width(&mut self) -> Width {
        if self.eat(".w32") {
            Width::W32
        } else {
            Width::W64
        }
    }

    fn inst_line(&mut self, func: &mut Func) -> Option<Inst> {
        let mut result = None;
        let mut ty = Ty::Int;
        if self.rest.starts_with('v') && self.rest.contains('=') {
            let value = self.typed(func)?;
            self.need("=")?;
            ty = func.ty(value);
            result = Some(value);
        }
        let word = self.word();
        let op = match of_word(BINARY, word) {
            Some(op) => {
                let width = self.width();
                let (a, b) = self.pair()?;
                Op::Binary { op, width, a, b }
            }
            None => self.op(word, ty)?,
        };
        let loc = self.loc()?;
        self.rest.is_empty().then_some(Inst { result, op, loc })
    }

    fn op(&mut self, word: &str, ty: Ty) -> Option<Op> {
        Some(match word {
            "const" => Op::Const(self.number()?),
            "load_const" => Op::LoadConst(of_word(LOAD_CONSTS, self.word())?),
            "extend" => {
                let (signed, size) = self.signed_size()?;
                Op::Extend { size, signed, a: self.value()? }
            }
            "bswap" => Op::ByteSwap { size: self.size()?, a: self.value()? },
            "compare" => {
                let (cond, width) = self.condition()?;
                let (a, b) = self.pair()?;
                Op::Compare { cond, width, a, b }
            }
            "slot" => {
                let slot = Slot(self.numbered("s")?);
                Op::SlotAddr { slot, offset: self.offset()? }
            }
            "map" => Op::MapRef(MapId(self.number()?)),
            "map_value" => {
                let map = MapId(self.number()?);
                Op::MapValueAddr { map, offset: u32::try_from(self.offset()?).ok()? }
            }
            "func" => Op::FuncAddr(FuncId(self.number()?)),
            "symbol" => Op::KernelSymbol(self.quoted()?),
            "call" => {
                let effect = self.effect()?;
                let name = self.word();
                let number = || name.parse().ok().map(Helper);
                let helper = Helper::from_name(name).or_else(number)?;
                Op::Call { helper, args: self.args()?, effect, ty }
            }
            "kfunc" => {
                let effect = self.effect()?;
                Op::CallKfunc { name: self.quoted()?, args: self.args()?, effect, ty }
            }
            "call_local" => Op::CallLocal { func: FuncId(self.number()?), args: self.args()? },
            _ => return self.memory(word, ty),
        })
    }

    fn memory(&mut self, word: &str, ty: Ty) -> Option<Op> {
        Some(match word {
            "load" => {
                let (signed, size) = self.signed_size()?;
                let invariant = self.eat(".invariant");
                let (ptr, offset) = self.place()?;
                Op::Load { ptr, offset, size, signed, invariant, ty }
            }
            "store" => {
                let size = self.size()?;
                let (ptr, offset) = self.place()?;
                self.need(",")?;
                Op::Store { ptr, offset, size, value: self.value()? }
            }
            "atomic" => {
                self.need(".")?;
                let op = of_word(ATOMICS, self.word())?;
                let size = self.size()?;
                let fetch = self.eat(".fetch");
                let (ptr, offset) = self.place()?;
                self.need(",")?;
                Op::Atomic { op, ptr, offset, size, value: self.value()?, fetch }
            }
            "cmpxchg" => {
                let size = self.size()?;
                let (ptr, offset) = self.place()?;
                self.need(",")?;
                let (expected, new) = self.pair()?;
                Op::CompareExchange { ptr, offset, size, expected, new }
            }
            "copy" => {
                let (dst, dst_offset) = self.place()?;
                self.need(",")?;
                let (src, src_offset) = self.place()?;
                let (len, align) = self.extent()?;
                Op::MemCopy { dst, dst_offset, src, src_offset, len, align }
            }
            "zero" => {
                let (dst, offset) = self.place()?;
                let (len, align) = self.extent()?;
                Op::MemZero { dst, offset, len, align }
            }
            _ => return None,
        })
    }

    fn effect(&mut self) -> Option<super::Effect> {
        self.need(".")?;
        let effect = of_word(EFFECTS, self.word());
        self.rest = self.rest.trim_start();
        effect
    }

    fn size(&mut self) -> Option<Size> {
        self.need(".")?;
        Size::from_bytes(self.number()?)
    }

    fn signed_size(&mut self) -> Option<(bool, Size)> {
        self.need(".")?;
        let signed = self.eat("s");
        if !signed {
            self.need("u")?;
        }
        Some((signed, Size::from_bytes(self.number()?)?))
    }

    fn offset(&mut self) -> Option<i32> {
        if self.eat("+") {
            self.number()
        } else if self.eat("-") {
            let magnitude: i64 = self.number()?;
            i32::try_from(-magnitude).ok()
        } else {
            Some(0)
        }
    }

    fn place(&mut self) -> Option<(Value, i32)> {
        self.need("[")?;
        let value = self.value()?;
        let offset = self.offset()?;
        self.need("]")?;
        Some((value, offset))
    }

    fn extent(&mut self) -> Option<(u32, u8)> {
        self.need(",")?;
        let len = self.number()?;
        self.need(",")?;
        self.need("align")?;
        Some((len, self.number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of everything.
    const ALL: &str = r#"func "all: \"x\"" @3 {
  s0: 16
  s1: 4
b0(v0: ptr, v1):
  v2 = const -5 @1
  v3 = load_const own_pid
  v4 = add v2, v3
  v5 = ashr.w32 v2, v3
  v6 = extend.s2 v5
  v7 = bswap.4 v6
  v8 = compare.ult.w32 v6, v7
  v9: ptr = load.u8.invariant [v0 + 16]
  v10 = load.s4 [v0 - 8]
  v11: ptr = slot s0 + 8
  store.8 [v11], v10
  atomic.add.8 [v11], v10
  v12 = atomic.add.8.fetch [v11], v10
  v13 = cmpxchg.8 [v11], v10, v12
  v14: ptr = slot s0
  copy [v14], [v9 + 24], 16, align 8
  zero [v14 + 4], 8, align 4
  v15: ptr = map 2
  v16: ptr = map_value 1 + 8
  v17: ptr = func 1
  v18: ptr = symbol "jiffies"
  v19: ptr = call.read map_lookup_elem(v15, v14)
  v20 = call.once get_current_pid_tgid
  v21 = kfunc.write "bpf_x"(v19)
  v22 = call_local 1(v20, v21)
  branch.test v22, v21, b1(v20, v21), b2 @7
b1(v23, v24):
  guard b3, b2
b2:
  return v2
b3:
  jump b1(v23, v2)
}
"#;

    #[test]
    fn text_round_trip() {
        let funcs = parse(ALL).unwrap();
        assert_eq!(funcs.len(), 1);
        assert_eq!(funcs[0].to_string(), ALL);
        crate::ir::verify::verify(&funcs[0]).unwrap();
    }

    #[test]
    fn rejects_what_is_not_in_the_form() {
        for text in [
            "func x {",
            "func \"x\" {",
            "func \"x\" {\n v1 = const 1\n}",
            "func \"x\" {\nb0:\n v1 = const\n}",
            "func \"x\" {\nb99999999999:\n}",
            "func \"x\" {\nb0:\n v1 = addx v0, v0\n}",
            "func \"x\" {\nb0:\n jump b1 x\n}",
        ] {
            parse(text).unwrap_err();
        }
    }
}
