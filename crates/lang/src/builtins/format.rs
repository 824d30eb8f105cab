//! Formats of the printf family: the check of format and arguments, and the arguments' values.

use super::check;
use crate::analyse::call::CallContext;
use crate::lower::{Lower, LowerError, Operand};
use crate::types::Type;
use fathom_report::printf::{Arg, ArgClass, Format};
use fathom_syntax::ast::Expr;
use std::sync::Arc;

/// What an argument of this type is to a conversion.
pub(super) fn class_of(ty: &Type) -> ArgClass {
    match ty {
        Type::Bool | Type::Int { .. } | Type::Enum(_) | Type::Aggregation(_) => ArgClass::Integer,
        Type::ErrorName | Type::SignalName | Type::SyscallName => ArgClass::Other,
        Type::Pointer { .. } => ArgClass::Pointer,
        Type::Buffer { .. } => ArgClass::Buffer,
        Type::Str { .. } => ArgClass::Str,
        _ => ArgClass::Other,
    }
}

/// Checks a call `name(format, values...)`; the format, if it is one.
pub(super) fn check_call(cx: &mut CallContext<'_>) -> Option<Format> {
    let text = check::string_literal(cx, 0)?;
    let format = match Format::parse(&text) {
        Ok(format) => format,
        Err(why) => {
            cx.error(cx.arg_span(0), format!("{}: {why}", cx.name));
            return None;
        }
    };
    let wanted: Vec<Arg<'_>> = format.args().collect();
    let given = cx.args.len() - 1;
    if wanted.len() != given {
        let which = if given < wanted.len() { "Not enough" } else { "Too many" };
        let text = format!(
            "{}: {which} arguments for format string ({} expected, {given} found)",
            cx.name,
            wanted.len()
        );
        cx.error(cx.span, text);
        return None;
    }
    for (i, arg) in wanted.iter().enumerate() {
        let ty = cx.arg_types.get(i + 1).cloned().unwrap_or_default();
        if ty == Type::Unknown || arg.accepts(class_of(&ty)) {
            continue;
        }
        let text = match arg {
            Arg::Count(_) => format!("{}: '*' expects a value of type integer ('{ty}' supplied)", cx.name),
            Arg::Value(spec) => format!(
                "{}: %{} specifier expects {} ('{ty}' supplied)",
                cx.name,
                spec.conv.spelling(),
                spec.conv.expects()
            ),
        };
        cx.error(cx.arg_span(i + 1), text);
    }
    Some(format)
}

/// The text of the format.
pub(super) fn format_text(l: &Lower<'_>, args: &[Expr]) -> Arc<str> {
    let bytes = args.first().and_then(|f| l.const_str(f)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into()
}

/// The values behind the format, in order.
pub(super) fn values(l: &mut Lower<'_>, args: &[Expr]) -> Result<Vec<Operand>, LowerError> {
    args.iter().skip(1).map(|a| l.expr(a)).collect()
}
