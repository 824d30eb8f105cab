//! `printf` of pinned iterators: the text goes to whoever reads the pin, so the kernel formats it (`bpf_seq_printf`).

use super::format;
use crate::lower::{Lower, LowerError, Operand};
use crate::types::Type;
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Effect, Size, Value};
use fathom_report::printf::{Conv, Count, Format, Length, Segment, Spec};
use fathom_syntax::ast::Expr;
use fathom_syntax::span::Span;

/// Most values that the kernel formats at once (`MAX_BPRINTF_VARARGS` of `include/linux/bpf.h`).
const VALUES_MAX: usize = 12;
/// Widest number that the kernel's format checker takes is any; wider than a terminal makes no sense.
const WIDTH_MAX: u32 = 1024;

/// Writes the call.
pub(super) fn lower(l: &mut Lower<'_>, e: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let text = format::format_text(l, args);
    let parsed = Format::parse(&text).map_err(|why| LowerError::new(e.span, format!("printf: {why}")))?;
    let values = format::values(l, args)?;
    if values.len() > VALUES_MAX {
        let text = format!("A pinned iterator prints at most {VALUES_MAX} values at once");
        return Err(LowerError::new(e.span, text));
    }
    let mut kernel_format: Vec<u8> = Vec::new();
    let mut words: Vec<Value> = Vec::new();
    let mut rest = values.into_iter().zip(args.iter().skip(1));
    for segment in &parsed.segments {
        match segment {
            Segment::Literal(bytes) => {
                for byte in bytes.iter() {
                    kernel_format.extend(if *byte == b'%' { &b"%%"[..] } else { std::slice::from_ref(byte) });
                }
            }
            Segment::Spec(spec) => {
                let Some((value, arg)) = rest.next() else {
                    return Err(LowerError::new(e.span, "printf: a value is missing"));
                };
                kernel_format.extend(conversion(spec, &value.ty(), arg.span)?.into_bytes());
                words.push(word(l, value, arg.span)?);
            }
        }
    }
    kernel_format.push(0);
    write(l, &kernel_format, &words)?;
    Ok(Operand::Void)
}

/// How the kernel spells a conversion.
fn conversion(spec: &Spec, ty: &Type, span: Span) -> Result<String, LowerError> {
    let width = match (spec.width, spec.precision) {
        (None, None) => String::new(),
        (Some(Count::Fixed(n)), None) if n <= WIDTH_MAX => n.to_string(),
        _ => return Err(LowerError::new(span, "A pinned iterator prints with neither '*' nor precision")),
    };
    let flag = |is_set: bool, text: &'static str| if is_set { text } else { "" };
    let f = spec.flags;
    let head =
        format!("{}{}{}{}", flag(f.left, "-"), flag(f.plus, "+"), flag(f.space, " "), flag(f.zero, "0"));
    // Narrower integers than int arrive extended to it.
    let long = if spec.length == Length::Long { "ll" } else { "" };
    let tail = match (spec.conv, ty) {
        (Conv::Signed, _) => format!("{long}d"),
        (Conv::Unsigned, _) => format!("{long}u"),
        (Conv::Hex, _) => format!("{long}x"),
        (Conv::HexUpper, _) => format!("{long}X"),
        (Conv::Char, _) => "c".to_owned(),
        (Conv::Pointer, _) => return Ok(format!("0x%{head}{width}llx")),
        (Conv::Str, Type::Str { .. }) => "s".to_owned(),
        (Conv::Str, Type::Int { signed: false, .. } | Type::Bool) => "llu".to_owned(),
        (Conv::Str, Type::Int { .. }) => "lld".to_owned(),
        (Conv::Str, Type::Pointer { .. }) => return Ok(format!("0x%{head}{width}llx")),
        (conv, ty) => {
            let text = format!(
                "A pinned iterator can't print '{ty}' by %{}: it prints integers, pointers and strings",
                conv.spelling()
            );
            return Err(LowerError::new(span, text));
        }
    };
    Ok(format!("%{head}{width}{tail}"))
}

/// A value as the kernel takes it: a number, or the address of a string.
fn word(l: &mut Lower<'_>, value: Operand, span: Span) -> Result<Value, LowerError> {
    let ty = value.ty();
    let Type::Str { capacity } = ty else {
        let value = l.to_scalar(value, span)?;
        return Ok(l.number(value));
    };
    // One byte more than it holds: the kernel reads up to a NUL.
    let copy = l.alloc(capacity.saturating_add(1))?;
    let end = copy.at(capacity);
    let zero = l.b.iconst(0);
    l.store(&value, copy, &ty)?;
    l.b.store(end.ptr, end.offset, Size::B1, zero);
    let address = l.address(copy);
    Ok(l.number(address))
}

/// The call of the helper. `ctx->meta->seq` is where the reader's text goes.
fn write(l: &mut Lower<'_>, format: &[u8], words: &[Value]) -> Result<(), LowerError> {
    let ctx = l.ctx();
    let meta = l.b.load_ptr_invariant(ctx, 0);
    let seq = l.b.load_ptr_invariant(meta, 0);
    let table = l.out.constant_bytes(format, format.len() as u32);
    let text = l.b.map_value(table, 0);
    let text_len = l.b.iconst(format.len() as i64);
    let (data, data_len) = if words.is_empty() {
        (l.b.iconst(0), l.b.iconst(0))
    } else {
        let place = l.alloc(words.len() as u32 * 8)?;
        for (i, word) in words.iter().enumerate() {
            let at = place.at(i as u32 * 8);
            l.b.store(at.ptr, at.offset, Size::B8, *word);
        }
        (l.address(place), l.b.iconst(words.len() as i64 * 8))
    };
    l.b.call(Helper::SEQ_PRINTF, &[seq, text, text_len, data, data_len], Effect::Write);
    Ok(())
}
