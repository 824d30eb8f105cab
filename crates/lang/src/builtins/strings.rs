//! Strings and buffers made from memory, and their sizes: str, buf, strlen, strcap, len, str_concat, default_str_length, assert_str.

use super::bytes::{at_most, text_length};
use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::lower::shapes::is_register;
use crate::lower::{Lower, LowerError, Operand, Place};
use crate::typed::Const;
use crate::types::{Space, Type};
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Cond, Effect, Size, Value};
use fathom_syntax::ast::{BinaryOp, Expr, ExprKind};
use fathom_syntax::span::Span;

/// Most bytes of a string or buffer whose length is a constant of the script.
const MAX_BYTES: u32 = 1 << 20;

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    Builtin {
        name: "str",
        form: Form::Function,
        signature: "string str(char *ptr | char[] array[, uint64 length])",
        args: (1, 2),
        is_unsafe: false,
        pure_value: true,
        infer: infer_str,
        lower: lower_str,
        doc: "The text at an address up to its NUL, at most `length` characters and at most what the setting `max_strlen` allows. `str($1)` is a \
              parameter of the script as text. What can't be read gives an empty string.",
        example: "tracepoint:syscalls:sys_enter_openat { print(str(args.filename, 8)); exit(); }",
    },
    Builtin {
        name: "buf",
        form: Form::Function,
        signature: "buffer buf(void *ptr | array[, uint64 length])",
        args: (1, 2),
        is_unsafe: false,
        pure_value: true,
        infer: infer_buf,
        lower: lower_buf,
        doc: "`length` bytes at an address, whatever they are. Printed with `%r`: printable characters and `\\xNN`. An array needs no length.",
        example: "begin { printf(\"%r\\n\", buf(\"a\\x01\", 2)); }",
    },
    Builtin {
        name: "strlen",
        form: Form::Function,
        signature: "uint64 strlen(string s)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_strlen,
        lower: lower_strlen,
        doc: "Number of characters of a string or an array of characters, up to its NUL.",
        example: "begin { print(strlen(\"hello\")); }",
    },
    Builtin {
        name: "strcap",
        form: Form::Function,
        signature: "uint64 strcap(string s)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            if text(cx, 0) {
                if let Some(capacity) = cx.arg_types.first().and_then(text_capacity) {
                    cx.set_const(Const::Int(i64::from(capacity)));
                }
            }
            Type::U64
        },
        lower: lower_constant,
        doc: "Number of bytes that a string or an array of characters has room for, with the NUL.",
        example: "begin { print(strcap(\"hello\")); }",
    },
    Builtin {
        name: "len",
        form: Form::Function,
        signature: "int64 len(@map | stack | string | array | buffer)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_len,
        lower: lower_len,
        doc: "Number of elements of a map, of frames of a stack, of characters of a string, of elements of an array, of bytes of a buffer.",
        example: "begin { @[1] = 1; @[2] = 1; print(len(@)); }",
    },
    Builtin {
        name: "str_concat",
        form: Form::Function,
        signature: "string str_concat(string a, string b, ...)",
        args: (2, 16),
        is_unsafe: false,
        pure_value: true,
        infer: infer_concat,
        lower: lower_concat,
        doc: "The strings one behind another.",
        example: "begin { print(str_concat(\"a\", comm)); }",
    },
    Builtin {
        name: "default_str_length",
        form: Form::Function,
        signature: "uint64 default_str_length()",
        args: (0, 0),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            cx.set_const(Const::Int(cx.config.max_strlen.cast_signed()));
            Type::U64
        },
        lower: lower_constant,
        doc: "Bytes that a string has room for when nothing else is said: the setting `max_strlen`.",
        example: "begin { print(default_str_length()); }",
    },
    Builtin {
        name: "assert_str",
        form: Form::Function,
        signature: "void assert_str(s)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: false,
        infer: |cx| {
            text(cx, 0);
            Type::Void
        },
        lower: |_, _, _| Ok(Operand::Void),
        doc: "An error when compiling unless the argument is a string or an array of characters.",
        example: "begin { assert_str(\"a\"); }",
    },
];

/// For calls whose result is a constant, which is lowered before a row is asked.
pub(super) fn lower_constant(l: &mut Lower<'_>, call: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    let value = l.const_int(call).unwrap_or(0);
    let value = l.b.iconst(value);
    let ty = l.ty(call);
    Ok(Operand::scalar(value, ty))
}

/// Longest string by the settings.
pub(super) fn max_strlen(max: u64) -> u32 {
    u32::try_from(max).unwrap_or(MAX_BYTES).clamp(1, MAX_BYTES)
}

/// Bytes that text of this type has room for.
pub(super) fn text_capacity(ty: &Type) -> Option<u32> {
    match ty {
        Type::Str { capacity } => Some(*capacity),
        Type::Array { elem, count, .. } if check::is_byte(elem) => Some(*count),
        _ => None,
    }
}

/// A string or array of characters as argument.
pub(super) fn text(cx: &mut CallContext<'_>, i: usize) -> bool {
    check::expect(cx, i, "a string", |t| text_capacity(t).is_some())
}

/// The bytes of a constant string up to its NUL.
pub(super) fn constant_text(value: Option<&Const>) -> Option<Vec<u8>> {
    match value? {
        Const::Str(bytes) => Some(bytes.iter().copied().take_while(|b| *b != 0).collect()),
        Const::Int(_) => None,
    }
}

/// Text in program memory.
pub(super) struct Text {
    /// Where.
    pub place: Place,
    /// Room, with the NUL; all of it may be read.
    pub capacity: u32,
    /// Characters, if they were counted on the way.
    pub length: Option<Value>,
}

/// Evaluates a string or array of characters into program memory, with a NUL.
pub(super) fn text_value(l: &mut Lower<'_>, e: &Expr) -> Result<Text, LowerError> {
    let operand = l.expr(e)?;
    let ty = operand.ty();
    let is_array = matches!(ty, Type::Array { .. });
    match operand {
        Operand::ReadStr { addr, space, len, capacity, span } => {
            // A read of unknown length does not make the stack readable in the verifier's eyes; scratch always is.
            let place = if len.is_some() { l.alloc_scratch(capacity)? } else { l.alloc(capacity)? };
            let ret = l.probe_read_str(place, capacity, len, addr, space, span);
            let length = text_length(l, ret, capacity)?;
            Ok(Text { place, capacity, length: Some(length) })
        }
        Operand::Literal { ref bytes, .. } => {
            let length = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            let capacity = bytes.len() as u32 + 1;
            let operand = Operand::Literal { bytes: bytes.clone(), ty: Type::Str { capacity } };
            let place = l.materialise(operand)?;
            let length = l.b.iconst(length as i64);
            Ok(Text { place, capacity, length: Some(length) })
        }
        Operand::Remote { space, .. } if is_array => {
            let addr = l.to_scalar(operand, e.span)?;
            array_text(l, addr, space, &ty, e.span)
        }
        Operand::Memory { .. } if is_array => {
            let addr = l.to_scalar(operand, e.span)?;
            array_text(l, addr, Space::Program, &ty, e.span)
        }
        other => {
            let capacity = text_capacity(&ty).unwrap_or(1);
            let place = l.materialise(other)?;
            Ok(Text { place, capacity, length: None })
        }
    }
}

/// Text of an array, which need not have a NUL.
fn array_text(
    l: &mut Lower<'_>,
    addr: Value,
    space: Space,
    ty: &Type,
    span: Span,
) -> Result<Text, LowerError> {
    let capacity = text_capacity(ty).unwrap_or(0).saturating_add(1);
    let place = l.alloc(capacity)?;
    let ret = l.probe_read_str(place, capacity, None, addr, space, span);
    let length = text_length(l, ret, capacity)?;
    Ok(Text { place, capacity, length: Some(length) })
}

/// Counts the characters of a text.
pub(super) fn text_len(l: &mut Lower<'_>, text: &Text) -> Result<Value, LowerError> {
    if let Some(length) = text.length {
        return Ok(length);
    }
    // The helper that copies a string counts it, faster than a loop.
    let copy = l.alloc(text.capacity)?;
    let (to, from) = (l.address(copy), l.address(text.place));
    let size = l.b.iconst(i64::from(text.capacity));
    let ret = l.b.call(Helper::PROBE_READ_KERNEL_STR, &[to, size, from], Effect::Write);
    text_length(l, ret, text.capacity)
}

fn infer_str(cx: &mut CallContext<'_>) -> Type {
    let max = max_strlen(cx.config.max_strlen);
    let limit = length_limit(cx, max);
    if let Some(text) = positional_text(cx) {
        let keep = text.len().min(limit.saturating_sub(1) as usize);
        let bytes = text.as_bytes().get(..keep).unwrap_or_default();
        let capacity = bytes.len() as u32 + 1;
        cx.set_const(Const::Str(bytes.into()));
        return Type::Str { capacity };
    }
    let ty = cx.arg_types.first().cloned().unwrap_or_default();
    let room = match &ty {
        Type::Unknown => limit,
        Type::Int { .. } | Type::Pointer { .. } | Type::Enum(_) => limit,
        Type::Buffer { capacity } => limit.min(capacity.saturating_add(1)),
        Type::Str { capacity } => limit.min(*capacity),
        Type::Array { elem, count: 0, .. } if check::is_byte(elem) => limit,
        Type::Array { elem, count, .. } if check::is_byte(elem) => limit.min(count.saturating_add(1)),
        _ => {
            cx.error(
                cx.arg_span(0),
                format!("str() expects an integer, a pointer or an array of characters as first argument ('{ty}' provided)"),
            );
            limit
        }
    };
    if let (true, Some(text)) = (cx.args.len() == 1, constant_text(cx.const_of(0))) {
        cx.set_const(Const::Str(text.into()));
    }
    Type::Str { capacity: room.max(1) }
}

/// What `str($1)` and `str($1 + n)` stand for.
fn positional_text(cx: &mut CallContext<'_>) -> Option<String> {
    let text = cx.positional_str(0)?;
    if let Some(ExprKind::Binary { op: BinaryOp::Add, left, .. }) = cx.args.first().map(|a| &a.kind) {
        if let ExprKind::Positional(n) = left.kind {
            let whole = cx.options.positional(n).unwrap_or("");
            let skip = cx.args.first().and_then(|a| skip_of(cx, a));
            // For text that is no number, the addition itself has told.
            let is_number = crate::analyse::parse_number(whole).is_some();
            if is_number && skip.is_some_and(|s| s > whole.len() as u64) {
                cx.error(
                    cx.arg_span(0),
                    format!("cannot use offset that exceeds string size ({})", whole.len()),
                );
            }
        }
    }
    Some(text)
}

/// The `n` of `$1 + n`, when written as a number.
fn skip_of(_: &CallContext<'_>, e: &Expr) -> Option<u64> {
    match &e.kind {
        ExprKind::Binary { right, .. } => match right.kind {
            ExprKind::Int { value, .. } => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// Room for the string that the second argument asks for, with the NUL.
fn length_limit(cx: &mut CallContext<'_>, max: u32) -> u32 {
    if cx.args.len() < 2 || !check::integer(cx, 1) {
        return max;
    }
    match cx.const_int(1) {
        Some(n) if n < 0 => {
            let text = format!("{}() expects a length that is not negative, not {n}", cx.name);
            cx.error(cx.arg_span(1), text);
            max
        }
        Some(n) => u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1).min(max),
        None => max,
    }
}

fn lower_str(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(ptr) = args.first() else { return Ok(Operand::Void) };
    let capacity = text_capacity(&l.ty(call)).unwrap_or(1);
    let source = l.expr(ptr)?;
    let ty = source.ty();
    let len = match args.get(1) {
        None => None,
        Some(len) => match l.const_int(len) {
            // A length that was asked for is no cut that anyone has to be told of.
            Some(n) if n < i64::from(capacity) => Some(l.b.iconst(i64::from(capacity))),
            Some(_) => None,
            None => {
                let len = l.scalar(len)?;
                let len = at_most(l, len, capacity.saturating_sub(1))?;
                Some(l.b.add_imm(len, 1))
            }
        },
    };
    let span = call.span;
    let (addr, space, len) = match source {
        Operand::Scalar { value, ty: Type::Pointer { space, .. } } => (value, space, len),
        Operand::Scalar { value, .. } => (value, space_of(l, ptr), len),
        Operand::ReadStr { addr, space, len: inner, .. } => (addr, space, len.or(inner)),
        Operand::Memory { place, ty: Type::Buffer { .. } } => {
            let have = l.b.load(place.ptr, place.offset, Size::B4, false);
            let have = l.b.add_imm(have, 1);
            let have = at_most(l, have, capacity)?;
            let len = match len {
                Some(len) => l.choose(Cond::Ult, len, have, |_| Ok(len), |_| Ok(have))?,
                None => have,
            };
            (l.address(place.at(4)), Space::Program, Some(len))
        }
        Operand::Remote { space, .. } => (l.to_scalar(source, ptr.span)?, space, len),
        Operand::Memory { .. } if matches!(ty, Type::Array { .. }) => {
            (l.to_scalar(source, ptr.span)?, Space::Program, len)
        }
        other if len.is_none() && !is_register(&other.ty()) => return Ok(other),
        other => {
            let place = l.materialise(other)?;
            (l.address(place), Space::Program, len)
        }
    };
    Ok(Operand::ReadStr { addr, space, len, capacity, span })
}

/// In which memory an address lies that is a plain number.
pub(super) fn space_of(l: &Lower<'_>, address: &Expr) -> Space {
    match l.typed.ty(address) {
        Type::Pointer { space, .. } => *space,
        _ => crate::analyse::default_space(&l.probe.targets),
    }
}

fn infer_buf(cx: &mut CallContext<'_>) -> Type {
    let max = max_strlen(cx.config.max_strlen);
    let ty = cx.arg_types.first().cloned().unwrap_or_default();
    let own = match &ty {
        Type::Array { elem, count, .. } => Some(cx.store.size_of(elem).saturating_mul(*count)),
        Type::Str { capacity } | Type::Buffer { capacity } => Some(*capacity),
        Type::Struct { def, .. } => Some(def.size),
        Type::Int { .. } | Type::Pointer { .. } | Type::Unknown | Type::Enum(_) => None,
        _ => {
            cx.error(
                cx.arg_span(0),
                format!("buf() expects an integer, a pointer, an array or a string as first argument ('{ty}' provided)"),
            );
            None
        }
    };
    if cx.args.len() < 2 {
        if own.is_none() && ty != Type::Unknown {
            cx.error(cx.span, format!("buf() expects a length argument for non-array type {ty}"));
        }
        return Type::Buffer { capacity: own.unwrap_or(max).clamp(1, max) };
    }
    check::integer(cx, 1);
    let wanted = match cx.const_int(1) {
        Some(n) if n <= 0 => {
            cx.error(cx.arg_span(1), format!("buf() expects a length of at least 1, not {n}"));
            1
        }
        Some(n) => u32::try_from(n).unwrap_or(u32::MAX),
        None => max,
    };
    Type::Buffer { capacity: wanted.min(own.unwrap_or(u32::MAX)).clamp(1, max) }
}

fn lower_buf(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(ptr) = args.first() else { return Ok(Operand::Void) };
    let ty = l.ty(call);
    let Type::Buffer { capacity } = ty else { return Ok(Operand::Void) };
    let source = l.expr(ptr)?;
    let len = match args.get(1) {
        Some(len) if l.const_int(len).is_none() => {
            let len = l.scalar(len)?;
            Some(at_most(l, len, capacity)?)
        }
        _ => None,
    };
    let space = space_of(l, ptr);
    let size = capacity.saturating_add(4);
    let place = if len.is_some() { l.alloc_scratch(size)? } else { l.alloc(size)? };
    let bytes = place.at(4);
    let (addr, space) = match source {
        Operand::Literal { .. } | Operand::Comm => {
            let have = l.size_of(&source.ty());
            let from = l.materialise(source)?;
            l.zero(bytes, capacity);
            l.copy(bytes, from, have.min(capacity));
            (None, space)
        }
        Operand::Memory { place: from, ty: Type::Buffer { .. } } => {
            (Some(l.address(from.at(4))), Space::Program)
        }
        Operand::Memory { .. } => (Some(l.to_scalar(source, ptr.span)?), Space::Program),
        Operand::Scalar { ty: Type::Pointer { space, .. }, value } => (Some(value), space),
        Operand::Remote { space, .. } | Operand::ReadStr { space, .. } => {
            (Some(l.to_scalar(source, ptr.span)?), space)
        }
        other => (Some(l.to_scalar(other, ptr.span)?), space),
    };
    let length = match len {
        Some(len) => len,
        None => l.b.iconst(i64::from(capacity)),
    };
    l.b.store(place.ptr, place.offset, Size::B4, length);
    if let Some(addr) = addr {
        if len.is_some() {
            // Equal buffers have equal bytes behind their end, too.
            l.zero(bytes, capacity);
        }
        let helper = match space {
            Space::User => Helper::PROBE_READ_USER,
            Space::Kernel | Space::Program => Helper::PROBE_READ_KERNEL,
        };
        let to = l.address(bytes);
        let ret = l.b.call(helper, &[to, length, addr], Effect::Write);
        l.helper_error(helper, ret, "", call.span);
    }
    Ok(Operand::memory(place, ty))
}

fn infer_strlen(cx: &mut CallContext<'_>) -> Type {
    if text(cx, 0) {
        if let Some(bytes) = constant_text(cx.const_of(0)) {
            cx.set_const(Const::Int(bytes.len() as i64));
        }
    }
    Type::U64
}

fn lower_strlen(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [s] = args else { return Ok(Operand::Void) };
    let text = text_value(l, s)?;
    let length = text_len(l, &text)?;
    Ok(Operand::scalar(length, Type::U64))
}

fn infer_len(cx: &mut CallContext<'_>) -> Type {
    if let Some(map) = cx.map(0) {
        super::maps::expect_keyed(cx, map);
        return Type::I64;
    }
    match cx.arg_types.first().cloned().unwrap_or_default() {
        Type::Str { .. } => {
            if let Some(bytes) = constant_text(cx.const_of(0)) {
                cx.set_const(Const::Int(bytes.len() as i64));
            }
        }
        Type::Array { count, .. } => cx.set_const(Const::Int(i64::from(count))),
        Type::Tuple(members) => cx.set_const(Const::Int(members.len() as i64)),
        Type::Buffer { .. } | Type::KernelStack { .. } | Type::UserStack { .. } | Type::Unknown => {}
        other => cx.error(
            cx.arg_span(0),
            format!(
                "len() expects a map, stack, string, array or buffer to be provided ('{other}' provided)"
            ),
        ),
    }
    Type::I64
}

fn lower_len(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [what] = args else { return Ok(Operand::Void) };
    if let ExprKind::Map(_) = what.kind {
        let map = l.map_of(what)?;
        let count = super::maps::count_elements(l, map, call.span)?;
        return Ok(Operand::scalar(count, Type::I64));
    }
    let ty = l.ty(what);
    let value = match &ty {
        Type::Str { .. } => {
            let text = text_value(l, what)?;
            text_len(l, &text)?
        }
        Type::Buffer { .. } => {
            let operand = l.expr(what)?;
            let place = l.materialise(operand)?;
            l.b.load(place.ptr, place.offset, Size::B4, false)
        }
        Type::KernelStack { mode, limit } | Type::UserStack { mode, limit } => {
            let build_id =
                matches!(ty, Type::UserStack { .. }) && *mode == fathom_codegen::layout::StackMode::BuildId;
            let map = l.out.stacks_map(*limit, build_id);
            let operand = l.expr(what)?;
            let id = match operand {
                Operand::Scalar { value, .. } => value,
                other => {
                    let place = l.materialise(other)?;
                    l.b.load(place.ptr, place.offset, Size::B8, false)
                }
            };
            stack_frames(l, map, id)?
        }
        _ => return lower_constant(l, call, args),
    };
    Ok(Operand::scalar(value, Type::I64))
}

/// Number of frames of a stack by its id: the first number of its entry.
fn stack_frames(l: &mut Lower<'_>, map: fathom_codegen::ir::MapId, id: Value) -> Result<Value, LowerError> {
    let key = l.alloc_stack(8);
    l.b.store(key.ptr, key.offset, Size::B8, id);
    let entry = l.map_lookup(map, key);
    let zero = l.b.iconst(0);
    l.choose(Cond::Ne, entry, zero, |l| Ok(l.b.load(entry, 0, Size::B8, false)), |l| Ok(l.b.iconst(0)))
}

fn infer_concat(cx: &mut CallContext<'_>) -> Type {
    let mut room = 1u32;
    let mut all = Some(Vec::new());
    for i in 0..cx.args.len() {
        text(cx, i);
        let capacity = cx.arg_types.get(i).and_then(text_capacity).unwrap_or(1);
        let is_array = matches!(cx.arg_types.get(i), Some(Type::Array { .. }));
        room = room.saturating_add(if is_array { capacity } else { capacity.saturating_sub(1) });
        match (&mut all, constant_text(cx.const_of(i))) {
            (Some(bytes), Some(more)) => bytes.extend(more),
            _ => all = None,
        }
    }
    if let Some(bytes) = all.filter(|_| !cx.args.is_empty()) {
        room = bytes.len() as u32 + 1;
        cx.set_const(Const::Str(bytes.into()));
    }
    Type::Str { capacity: room.min(MAX_BYTES) }
}

fn lower_concat(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let ty = l.ty(call);
    let capacity = text_capacity(&ty).unwrap_or(1);
    let mut parts = Vec::with_capacity(args.len());
    for arg in args {
        parts.push(text_value(l, arg)?);
    }
    // The sum of the rooms that the copies may fill, as the verifier sees it.
    let room = parts.iter().fold(capacity, |sum, p| sum.saturating_add(p.capacity));
    let place = l.alloc_scratch(room)?;
    let start = l.address(place);
    let mut used = l.b.iconst(0);
    for part in &parts {
        let to = l.b.add(start, used);
        let from = l.address(part.place);
        let size = l.b.iconst(i64::from(part.capacity));
        let ret = l.b.call(Helper::PROBE_READ_KERNEL_STR, &[to, size, from], Effect::Write);
        let length = text_length(l, ret, part.capacity)?;
        used = l.b.add(used, length);
    }
    Ok(Operand::memory(place, ty))
}
