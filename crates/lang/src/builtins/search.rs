//! Comparing and searching text and memory: strncmp, memcmp, strstr, strcontains.

use super::bytes::raw_bytes;
use super::strings::{constant_text, text, text_len, text_value, Text};
use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::lower::{Lower, LowerError, Operand, Place};
use crate::typed::Const;
use crate::types::{Space, Type};
use fathom_codegen::ir::{Block, Cond, Effect, Size, Ty, Value, Width};
use fathom_syntax::ast::Expr;

/// Longest text that is searched for bit by bit: one bit of a register for each character.
const WORD_BITS: u32 = 64;
/// Most bytes that are compared.
const MAX_COMPARE: u32 = 1 << 16;
/// The kernel's own search, from Linux 6.17.
const KERNEL_SEARCH: &str = "bpf_strstr";

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    Builtin {
        name: "strncmp",
        form: Form::Function,
        signature: "uint64 strncmp(string a, string b, uint64 n)",
        args: (3, 3),
        is_unsafe: false,
        pure_value: true,
        infer: infer_strncmp,
        lower: lower_strncmp,
        doc: "0 if the first `n` characters of both strings are equal, else 1. A string that is shorter than `n` ends with its NUL.",
        example: "begin { print(strncmp(\"hello\", \"help\", 3)); }",
    },
    Builtin {
        name: "memcmp",
        form: Form::Function,
        signature: "int64 memcmp(left, right, uint64 n)",
        args: (3, 3),
        is_unsafe: false,
        pure_value: true,
        infer: infer_memcmp,
        lower: lower_memcmp,
        doc: "Compares `n` bytes of strings, buffers, arrays or behind pointers: 0 if they are equal, else the difference of the first two that \
              are not.",
        example: "begin { print(memcmp(\"ab\", \"ac\", 2)); }",
    },
    Builtin {
        name: "strstr",
        form: Form::Function,
        signature: "int64 strstr(string haystack, string needle)",
        args: (2, 2),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| infer_search(cx, Type::I64),
        lower: |l, _, args| {
            let index = lower_search(l, args)?;
            Ok(Operand::scalar(index, Type::I64))
        },
        doc: "Where a text stands within another, counted from 0; -1 if it does not.",
        example: "begin { print(strstr(\"hello\", \"lo\")); }",
    },
    Builtin {
        name: "strcontains",
        form: Form::Function,
        signature: "bool strcontains(string haystack, string needle)",
        args: (2, 2),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| infer_search(cx, Type::Bool),
        lower: |l, _, args| {
            let index = lower_search(l, args)?;
            let zero = l.b.iconst(0);
            let value = l.b.compare(Cond::Sge, Width::W64, index, zero);
            Ok(Operand::scalar(value, Type::Bool))
        },
        doc: "Whether a text stands within another. The empty text stands in every one.",
        example: "begin { print(strcontains(comm, \"sh\")); }",
    },
];

/// Goes to `exit` if the condition holds.
fn leave_if(l: &mut Lower<'_>, cond: Cond, a: Value, b: Value, exit: Block) {
    let go_on = l.b.new_block();
    l.b.branch(cond, Width::W64, a, b, (exit, &[]), (go_on, &[]));
    l.b.seal(go_on);
    l.b.switch_to(go_on);
}

/// A loop over 0..count that code can leave early through the block it is given.
fn search_loop(
    l: &mut Lower<'_>,
    count: u32,
    body: impl FnOnce(&mut Lower<'_>, Value, Block) -> Result<(), LowerError>,
) -> Result<(), LowerError> {
    let exit = l.b.new_block();
    l.counted_loop(count, |l, i| body(l, i, exit))?;
    l.b.jump(exit, &[]);
    l.b.seal(exit);
    l.b.switch_to(exit);
    Ok(())
}

/// Byte `index` from a place.
fn byte_at(l: &mut Lower<'_>, place: Place, index: Value) -> Value {
    let at = l.b.add(place.ptr, index);
    l.b.load(at, place.offset, Size::B1, false)
}

fn infer_strncmp(cx: &mut CallContext<'_>) -> Type {
    text(cx, 0);
    text(cx, 1);
    let n = check::size_literal(cx, 2, u32::MAX);
    if let (Some(a), Some(b), Some(n)) = (constant_text(cx.const_of(0)), constant_text(cx.const_of(1)), n) {
        let head = |s: &[u8]| s.iter().copied().take(n as usize).collect::<Vec<u8>>();
        cx.set_const(Const::Int(i64::from(head(&a) != head(&b))));
    }
    Type::U64
}

fn lower_strncmp(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [a, b, n] = args else { return Ok(Operand::Void) };
    let n = l.const_int(n).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
    let (known, other) = match (constant_text(l.typed.constant(a)), constant_text(l.typed.constant(b))) {
        (Some(bytes), _) => (Some(bytes), b),
        (None, Some(bytes)) => (Some(bytes), a),
        (None, None) => (None, a),
    };
    if let Some(bytes) = known {
        let text = text_value(l, other)?;
        let differs = differs_from(l, &text, &bytes, n);
        return Ok(Operand::scalar(differs, Type::U64));
    }
    let (left, right) = (text_value(l, a)?, text_value(l, b)?);
    let limit = n.min(left.capacity).min(right.capacity);
    let differs = l.b.declare_var(Ty::Int);
    let zero = l.b.iconst(0);
    l.b.def_var(differs, zero);
    search_loop(l, limit, |l, i, exit| {
        let (x, y) = (byte_at(l, left.place, i), byte_at(l, right.place, i));
        l.if_then(Cond::Ne, x, y, |l| {
            let one = l.b.iconst(1);
            l.b.def_var(differs, one);
            l.b.jump(exit, &[]);
            Ok(())
        })?;
        let zero = l.b.iconst(0);
        leave_if(l, Cond::Eq, x, zero, exit);
        Ok(())
    })?;
    let differs = l.b.use_var(differs);
    Ok(Operand::scalar(differs, Type::U64))
}

/// 1 if the first `n` characters of a text are not those of known text, else 0: word by word, without a branch.
fn differs_from(l: &mut Lower<'_>, text: &Text, known: &[u8], n: u32) -> Value {
    // With its NUL the known text ends like any that is equal to it.
    let mut bytes = known.to_vec();
    bytes.push(0);
    bytes.truncate(n as usize);
    if bytes.len() > text.capacity as usize {
        // The text ends, with its NUL, where the known one has a character.
        return l.b.iconst(1);
    }
    let mut any = l.b.iconst(0);
    let mut at = 0usize;
    while at < bytes.len() {
        let here = text.place.at(at as u32);
        let mut step = usize::from(here.align.max(1));
        while at + step > bytes.len() {
            step /= 2;
        }
        let step = step.max(1);
        let mut word = [0u8; 8];
        for (to, from) in word.iter_mut().zip(bytes.iter().skip(at).take(step)) {
            *to = *from;
        }
        let size = Size::from_bytes(step as u32).unwrap_or(Size::B1);
        let have = l.b.load(here.ptr, here.offset, size, false);
        let want = l.b.iconst(i64::from_le_bytes(word));
        let bits = l.b.xor(have, want);
        any = l.b.or(any, bits);
        at += step;
    }
    let zero = l.b.iconst(0);
    l.b.compare(Cond::Ne, Width::W64, any, zero)
}

/// Bytes that a value of this type holds; `None` for what points elsewhere.
fn own_bytes(cx: &CallContext<'_>, ty: &Type) -> Option<u32> {
    match ty {
        Type::Str { capacity } | Type::Buffer { capacity } => Some(*capacity),
        Type::Array { .. } | Type::Struct { .. } => Some(cx.store.size_of(ty)),
        _ => None,
    }
}

fn infer_memcmp(cx: &mut CallContext<'_>) -> Type {
    let n = check::size_literal(cx, 2, MAX_COMPARE);
    for i in 0..2 {
        let ty = cx.arg_types.get(i).cloned().unwrap_or_default();
        match (own_bytes(cx, &ty), n) {
            (Some(have), Some(n)) if n > have => {
                let text = format!("memcmp() compares {n} bytes, but '{ty}' has only {have}");
                cx.error(cx.arg_span(i), text);
            }
            (Some(_), _) => {}
            (None, _) => {
                check::expect(cx, i, "a string, buffer, array or pointer", check::is_pointer);
            }
        }
    }
    Type::I64
}

/// Bytes of an operand of `memcmp`; those of a buffer stand behind its length.
fn compared(l: &mut Lower<'_>, e: &Expr, n: u32) -> Result<Place, LowerError> {
    let operand = l.expr(e)?;
    if let Type::Buffer { .. } = operand.ty() {
        return Ok(l.materialise(operand)?.at(4));
    }
    raw_bytes(l, operand, n, Space::Kernel, e.span)
}

fn lower_memcmp(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [a, b, n] = args else { return Ok(Operand::Void) };
    let n = l.const_int(n).and_then(|n| u32::try_from(n).ok()).unwrap_or(0).min(MAX_COMPARE);
    let (left, right) = (compared(l, a, n)?, compared(l, b, n)?);
    let result = l.b.declare_var(Ty::Int);
    let zero = l.b.iconst(0);
    l.b.def_var(result, zero);
    search_loop(l, n, |l, i, exit| {
        let (x, y) = (byte_at(l, left, i), byte_at(l, right, i));
        let difference = l.b.sub(x, y);
        l.b.def_var(result, difference);
        leave_if(l, Cond::Ne, x, y, exit);
        Ok(())
    })?;
    let result = l.b.use_var(result);
    Ok(Operand::scalar(result, Type::I64))
}

fn infer_search(cx: &mut CallContext<'_>, ty: Type) -> Type {
    text(cx, 0);
    text(cx, 1);
    if let (Some(haystack), Some(needle)) = (constant_text(cx.const_of(0)), constant_text(cx.const_of(1))) {
        let found = position(&haystack, &needle);
        let value =
            if ty == Type::Bool { i64::from(found.is_some()) } else { found.map_or(-1, |i| i as i64) };
        cx.set_const(Const::Int(value));
    }
    ty
}

/// Where a text stands within another.
fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// Index of the second argument in the first, or -1.
fn lower_search(l: &mut Lower<'_>, args: &[Expr]) -> Result<Value, LowerError> {
    let [haystack, needle] = args else { return Ok(l.b.iconst(-1)) };
    let known = constant_text(l.typed.constant(needle));
    let hay = text_value(l, haystack)?;
    if known.as_ref().is_some_and(Vec::is_empty) {
        return Ok(l.b.iconst(0));
    }
    if known.as_ref().is_some_and(|k| k.len() as u32 >= hay.capacity) {
        return Ok(l.b.iconst(-1));
    }
    if l.facts.kfunc_allowed(KERNEL_SEARCH, l.unit.kind) {
        let needle = text_value(l, needle)?;
        let (s1, s2) = (l.address(hay.place), l.address(needle.place));
        let index = l.b.kfunc(KERNEL_SEARCH, &[s1, s2], Effect::Read, Ty::Int);
        // The result is an int: the index, or a negative error number.
        let index = l.b.extend(Size::B4, true, index);
        let zero = l.b.iconst(0);
        return l.choose(Cond::Sge, index, zero, |_| Ok(index), |l| Ok(l.b.iconst(-1)));
    }
    match known {
        Some(bytes) if bytes.len() as u32 <= WORD_BITS => {
            let masks = constant_masks(&bytes);
            let map = l.out.constant_bytes(&masks, masks.len() as u32);
            let table = Place { ptr: l.b.map_value(map, 0), offset: 0, align: 8 };
            let length = l.b.iconst(bytes.len() as i64);
            scan(l, &hay, table, length)
        }
        Some(_) => Err(too_long(needle)),
        None => {
            let text = text_value(l, needle)?;
            if text.capacity > WORD_BITS + 1 {
                return Err(too_long(needle));
            }
            let length = text_len(l, &text)?;
            let table = needle_masks(l, &text)?;
            let zero = l.b.iconst(0);
            l.choose(Cond::Eq, length, zero, |l| Ok(l.b.iconst(0)), |l| scan(l, &hay, table, length))
        }
    }
}

fn too_long(needle: &Expr) -> LowerError {
    LowerError::new(
        needle.span,
        format!("Searching for a text of more than {WORD_BITS} characters needs Linux 6.17 or later"),
    )
    .hint(format!("limit its length: str(..., {WORD_BITS})"))
}

/// For each byte value a word with a bit set for each position of it in the needle.
fn constant_masks(needle: &[u8]) -> Vec<u8> {
    let mut masks = [0u64; 256];
    for (i, byte) in needle.iter().enumerate().take(WORD_BITS as usize) {
        if let Some(mask) = masks.get_mut(usize::from(*byte)) {
            *mask |= 1 << i;
        }
    }
    masks.iter().flat_map(|m| m.to_le_bytes()).collect()
}

/// The same table for a needle that is known when the program runs only.
fn needle_masks(l: &mut Lower<'_>, needle: &Text) -> Result<Place, LowerError> {
    let table = l.alloc_scratch(256 * 8)?;
    l.zero(table, 256 * 8);
    search_loop(l, needle.capacity.min(WORD_BITS), |l, i, exit| {
        let byte = byte_at(l, needle.place, i);
        let zero = l.b.iconst(0);
        leave_if(l, Cond::Eq, byte, zero, exit);
        let at = l.b.shl_imm(byte, 3);
        let cell = l.b.add(table.ptr, at);
        let one = l.b.iconst(1);
        let bit = l.b.shl(one, i);
        let mask = l.b.load(cell, table.offset, Size::B8, false);
        let mask = l.b.or(mask, bit);
        l.b.store(cell, table.offset, Size::B8, mask);
        Ok(())
    })?;
    Ok(table)
}

/// One pass over the haystack: bit j of the state says that the last j + 1 characters are the first ones of the needle
/// (Baeza-Yates and Gonnet's shift-and).
fn scan(l: &mut Lower<'_>, hay: &Text, table: Place, length: Value) -> Result<Value, LowerError> {
    let state = l.b.declare_var(Ty::Int);
    let zero = l.b.iconst(0);
    l.b.def_var(state, zero);
    // In memory of a map, where the verifier does not follow the value: it would else look at what comes next once for each place of a match.
    let found = l.alloc_scratch(8)?;
    let missing = l.b.iconst(-1);
    l.b.store(found.ptr, found.offset, Size::B8, missing);
    let last = l.b.sub_imm(length, 1);
    let one = l.b.iconst(1);
    let done = l.b.shl(one, last);
    search_loop(l, hay.capacity.saturating_sub(1), |l, i, exit| {
        let byte = byte_at(l, hay.place, i);
        let zero = l.b.iconst(0);
        leave_if(l, Cond::Eq, byte, zero, exit);
        let at = l.b.shl_imm(byte, 3);
        let cell = l.b.add(table.ptr, at);
        let mask = l.b.load(cell, table.offset, Size::B8, false);
        let before = l.b.use_var(state);
        let next = l.b.shl_imm(before, 1);
        let next = l.b.or_imm(next, 1);
        let next = l.b.and(next, mask);
        l.b.def_var(state, next);
        let match_bit = l.b.and(next, done);
        l.if_then(Cond::Ne, match_bit, zero, |l| {
            let index = l.b.sub(i, last);
            l.b.store(found.ptr, found.offset, Size::B8, index);
            l.b.jump(exit, &[]);
            Ok(())
        })
    })?;
    Ok(l.b.load(found.ptr, found.offset, Size::B8, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_text() {
        assert_eq!(position(b"hello", b""), Some(0));
        assert_eq!(position(b"", b""), Some(0));
        assert_eq!(position(b"ababac", b"abac"), Some(2));
        assert_eq!(position(b"", b"x"), None);
    }

    #[test]
    fn masks_have_a_bit_for_each_position() {
        let masks = constant_masks(b"aba");
        let word = |c: u8| u64::from_le_bytes(masks[usize::from(c) * 8..][..8].try_into().unwrap());
        assert_eq!((word(b'a'), word(b'b'), word(b'c')), (0b101, 0b10, 0));
        assert_eq!(masks.len(), 2048);
    }
}
