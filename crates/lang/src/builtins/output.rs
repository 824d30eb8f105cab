//! What is shown: printing values and maps, formatted text, the end of the session.

use super::{check, format, stream, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::lower::{Lower, LowerError, Operand};
use crate::types::{Agg, Type};
use fathom_codegen::program::{ActionKind, PrintTo};
use fathom_syntax::ast::{Expr, ExprKind};

/// One row of a function that is called for its effect.
macro_rules! action {
    ($name:literal, $args:expr, $signature:literal, $infer:expr, $lower:expr, $doc:literal, $example:literal) => {
        Builtin {
            name: $name,
            form: Form::Function,
            signature: $signature,
            args: $args,
            is_unsafe: false,
            pure_value: false,
            infer: $infer,
            lower: $lower,
            doc: $doc,
            example: $example,
        }
    };
}

/// The rows of this family.
pub(super) static ROWS: &[Builtin] = &[
    action!("print", (1, 3), "void print(value) | void print(@map[, top[, div]])", infer_print, lower_print,
        "Prints a value, an element of a map, or a whole map: all of it, or the last `top` elements in order; numbers are divided by `div`.",
        r#"begin { @["a"] = 1; print(@); print((1, "x")); }"#),
    action!("printf", (1, 129), "void printf(const string fmt, ...)", infer_format, |l, e, args| {
            formatted(l, e, args, PrintTo::Out)
        },
        "Prints formatted text, as printf(3) does. `%s` takes values of any type.",
        r#"begin { printf("%d %s\n", 1, "one"); }"#),
    action!("errorf", (1, 129), "void errorf(const string fmt, ...)", infer_format, |l, e, args| {
            formatted(l, e, args, PrintTo::Error)
        },
        "Like `printf`, as an error message with the place in the script, on standard error.",
        r#"begin { errorf("bad value: %d", 1); }"#),
    action!("warnf", (1, 129), "void warnf(const string fmt, ...)", infer_format, |l, e, args| {
            formatted(l, e, args, PrintTo::Warning)
        },
        "Like `printf`, as a warning with the place in the script, on standard error.",
        r#"begin { warnf("odd value: %d", 1); }"#),
    action!("exit", (0, 1), "void exit([int code])", infer_exit, lower_exit,
        "Ends the session, with an exit status if one is given. What stands behind it in the probe is not run; `end` probes are.",
        "begin { exit(3); }"),
    action!("time", (0, 1), "void time([const string fmt])", |cx| {
            check::string_literal(cx, 0);
            Type::Void
        }, lower_time,
        "Prints the time of day by a strftime(3) format; `%H:%M:%S` and a line end unless given.",
        r#"begin { time("%Y-%m-%d\n"); }"#),
    action!("clear", (1, 1), "void clear(@map)", infer_whole_map, |l, e, args| {
            map_action(l, e, args, |map| ActionKind::Clear { map })
        },
        "Removes all elements of a map.",
        "interval:s:1 { clear(@); @[1] = 1; }"),
    action!("zero", (1, 1), "void zero(@map)", infer_whole_map, |l, e, args| {
            map_action(l, e, args, |map| ActionKind::Zero { map })
        },
        "Sets all values of a map to 0.",
        "interval:s:1 { zero(@); @[1] = 1; }"),
];

fn infer_print(cx: &mut CallContext<'_>) -> Type {
    let whole = cx.map(0).is_some();
    if whole {
        for i in 1..cx.args.len() {
            if check::integer_literal(cx, i).is_some_and(|n| n < 0) {
                let text =
                    format!("print() expects no negative number ({} given)", cx.const_int(i).unwrap_or(0));
                cx.error(cx.arg_span(i), text);
            }
        }
        return Type::Void;
    }
    if cx.args.len() > 1 {
        let text = if cx.element(0).is_some() {
            "Single-value (i.e. indexed) map prints cannot be given additional arguments."
        } else {
            "Non-map print() only takes 1 argument, more found"
        };
        cx.error(cx.span, text);
    }
    if cx.arg_types.first() == Some(&Type::Void) {
        cx.error(cx.arg_span(0), "void type passed to print() is not printable");
    }
    Type::Void
}

fn lower_print(l: &mut Lower<'_>, e: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(value) = args.first() else { return Ok(Operand::Void) };
    match &value.kind {
        ExprKind::Map(_) => {
            let index = l.map_of(value)?;
            let map = l.map_id(index, value.span)?;
            let number = |i: usize| {
                let n = args.get(i).and_then(|a| l.const_int(a)).unwrap_or(0);
                u32::try_from(n).unwrap_or(u32::MAX)
            };
            let kind =
                ActionKind::PrintMap { map, top: number(1), div: number(2), take: l.is_cleared_behind(e) };
            l.emit_record(kind, Vec::new(), e.span)?;
        }
        // An aggregation that is no single value has no form in a record: its element is read where it is printed.
        ExprKind::MapAccess { key, .. } if !is_one_value(l, value) => {
            let index = l.map_of(value)?;
            let map = l.map_id(index, value.span)?;
            let ty = l.map_store(index, value.span)?.key.unwrap_or_else(|| l.ty(key));
            let place = l.map_key(index, key)?;
            let kind = ActionKind::PrintMapElement { map };
            l.emit_record(kind, vec![Operand::memory(place, ty)], e.span)?;
        }
        _ => {
            let operand = l.expr(value)?;
            l.emit_record(ActionKind::PrintValue, vec![operand], e.span)?;
        }
    }
    Ok(Operand::Void)
}

/// Whether a map's element can be read as one value in a program.
fn is_one_value(l: &Lower<'_>, element: &Expr) -> bool {
    let agg = l.map_of(element).ok().and_then(|map| l.map_type(map, element.span).ok()?.1);
    !matches!(agg, Some(Agg::Stats { .. } | Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Tseries { .. }))
}

fn infer_format(cx: &mut CallContext<'_>) -> Type {
    format::check_call(cx);
    Type::Void
}

fn formatted(l: &mut Lower<'_>, e: &Expr, args: &[Expr], to: PrintTo) -> Result<Operand, LowerError> {
    if to == PrintTo::Out && l.unit.is_pinned {
        return stream::lower(l, e, args);
    }
    let format = format::format_text(l, args);
    let values = format::values(l, args)?;
    l.emit_record(ActionKind::Printf { to, format }, values, e.span)?;
    Ok(Operand::Void)
}

fn infer_exit(cx: &mut CallContext<'_>) -> Type {
    check::integer(cx, 0);
    if cx.loop_depth > 0 {
        cx.error(cx.span, "exit() can't be used inside of a loop");
    }
    Type::Void
}

fn lower_exit(l: &mut Lower<'_>, e: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let code = match args.first() {
        Some(arg) => l.scalar(arg)?,
        None => l.b.iconst(0),
    };
    l.report(ActionKind::Exit, code, e.span);
    let zero = l.b.iconst(0);
    l.leave_program(zero);
    Ok(Operand::Void)
}

fn lower_time(l: &mut Lower<'_>, e: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let format = match args.first() {
        Some(_) => format::format_text(l, args),
        None => "%H:%M:%S\n".into(),
    };
    l.emit_record(ActionKind::Time { format }, Vec::new(), e.span)?;
    Ok(Operand::Void)
}

fn infer_whole_map(cx: &mut CallContext<'_>) -> Type {
    if cx.map(0).is_none() && cx.is_final() {
        let text = format!("{}() expects a map to be provided", cx.name);
        cx.error(cx.arg_span(0), text);
    }
    Type::Void
}

fn map_action(
    l: &mut Lower<'_>,
    e: &Expr,
    args: &[Expr],
    kind: fn(fathom_codegen::ir::MapId) -> ActionKind,
) -> Result<Operand, LowerError> {
    let Some(arg) = args.first() else { return Ok(Operand::Void) };
    let index = l.map_of(arg)?;
    let map = l.map_id(index, arg.span)?;
    l.emit_record(kind(map), Vec::new(), e.span)?;
    Ok(Operand::Void)
}
