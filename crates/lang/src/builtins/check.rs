//! Checks of arguments that several families share, and their error texts.

use crate::analyse::call::CallContext;
use crate::types::Type;

/// `first`, `second`, ... for messages; counts from 0.
fn ordinal(i: usize) -> &'static str {
    const WORDS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    WORDS.get(i).copied().unwrap_or("further")
}

/// Whether argument `i` is there and its type passes; complains otherwise, but not about types that are not known.
pub(super) fn expect(cx: &mut CallContext<'_>, i: usize, what: &str, passes: fn(&Type) -> bool) -> bool {
    let Some(ty) = cx.arg_types.get(i).cloned() else { return false };
    if ty == Type::Unknown {
        return false;
    }
    if passes(&ty) {
        return true;
    }
    let text = format!("{}() expects {what} as {} argument ('{ty}' provided)", cx.name, ordinal(i));
    cx.error(cx.arg_span(i), text);
    false
}

/// An integer, enum or bool.
pub(super) fn integer(cx: &mut CallContext<'_>, i: usize) -> bool {
    expect(cx, i, "an integer", Type::is_integral)
}

/// An integer or a pointer.
pub(super) fn address(cx: &mut CallContext<'_>, i: usize) -> bool {
    expect(cx, i, "an integer or a pointer", |t| t.is_integral() || matches!(t, Type::Pointer { .. }))
}

/// The value of a string literal (or another constant string).
pub(super) fn string_literal(cx: &mut CallContext<'_>, i: usize) -> Option<String> {
    if i >= cx.args.len() {
        return None;
    }
    let text = cx.const_str(i).or_else(|| cx.positional_str(i));
    if text.is_none() {
        let text = format!("{}() expects a string literal as {} argument", cx.name, ordinal(i));
        cx.error(cx.arg_span(i), text);
    }
    text
}

/// The value of an integer literal (or another constant integer).
pub(super) fn integer_literal(cx: &mut CallContext<'_>, i: usize) -> Option<i64> {
    if i >= cx.args.len() {
        return None;
    }
    let number = cx.const_int(i);
    if number.is_none() {
        let text = format!("{}() expects an integer literal as {} argument", cx.name, ordinal(i));
        cx.error(cx.arg_span(i), text);
    }
    number
}

/// Like [`integer_literal`], for sizes: not negative, at most `max`.
pub(super) fn size_literal(cx: &mut CallContext<'_>, i: usize, max: u32) -> Option<u32> {
    let number = integer_literal(cx, i)?;
    match u32::try_from(number) {
        Ok(n) if n <= max => Some(n),
        _ => {
            let text = format!(
                "{}() expects a number from 0 to {max} as {} argument, not {number}",
                cx.name,
                ordinal(i)
            );
            cx.error(cx.arg_span(i), text);
            None
        }
    }
}

/// Whether elements of this type are single bytes: such arrays hold text or raw bytes.
pub(super) fn is_byte(ty: &Type) -> bool {
    matches!(ty, Type::Int { size: 1, .. })
}

/// A pointer, seen by its space only.
pub(super) fn is_pointer(ty: &Type) -> bool {
    matches!(ty, Type::Pointer { .. })
}
