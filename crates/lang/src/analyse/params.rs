//! `getopt`: options of the script, given as `--name=value` behind `--`.

use super::call::CallContext;
use super::infer::parse_number;
use crate::typed::Const;
use crate::types::Type;
use fathom_syntax::ast::ExprKind;

/// The value of an option as a constant, by the type of its default.
pub fn getopt(ctx: &mut CallContext<'_>) -> Type {
    let Some(name) = ctx.const_str(0) else {
        ctx.error(ctx.arg_span(0), "getopt() expects a string literal as the name of the option");
        return Type::Unknown;
    };
    let description = if ctx.args.len() > 2 {
        match ctx.const_str(2) {
            Some(d) => d,
            None => {
                ctx.error(
                    ctx.arg_span(2),
                    "getopt() expects a string literal as the description of the option",
                );
                String::new()
            }
        }
    } else {
        String::new()
    };
    let default = match ctx.args.get(1) {
        None => Some(Const::Int(0)),
        Some(_) => ctx.const_of(1).cloned(),
    };
    let Some(default) = default else {
        ctx.error(
            ctx.arg_span(1),
            "getopt() expects a literal as the default: a number, true or false, or a string",
        );
        return Type::Unknown;
    };
    let is_flag = ctx.args.len() < 2;
    let is_bool = is_flag || matches!(ctx.args.get(1).map(|a| &a.kind), Some(ExprKind::Bool(_)));
    let shown = match &default {
        Const::Int(n) if is_bool => (*n != 0).to_string(),
        Const::Int(n) => n.to_string(),
        Const::Str(s) => String::from_utf8_lossy(s).into_owned(),
    };
    ctx.declare_option(&name, &shown, &description);
    let given = ctx.options.named.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    value(ctx, &name, default, is_bool, given)
}

fn value(
    ctx: &mut CallContext<'_>,
    name: &str,
    default: Const,
    is_bool: bool,
    given: Option<Option<String>>,
) -> Type {
    let fail = |ctx: &mut CallContext<'_>, what: &str, text: &str| {
        // The fault is on the command line, not at a place in the script.
        ctx.error_anywhere(format!("program command line option --{name} invalid {what} (value: {text})"));
    };
    match default {
        Const::Int(d) if is_bool => {
            let on = match given {
                None => d != 0,
                Some(None) => true,
                Some(Some(text)) => match text.to_ascii_lowercase().as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => {
                        fail(ctx, "bool", &text);
                        false
                    }
                },
            };
            ctx.set_const(Const::Int(i64::from(on)));
            Type::Bool
        }
        Const::Int(d) => {
            let n = match given {
                None => i128::from(d),
                Some(text) => {
                    let text = text.unwrap_or_default();
                    match parse_number(&text) {
                        Some(n) => n,
                        None => {
                            fail(ctx, "integer", &text);
                            0
                        }
                    }
                }
            };
            ctx.set_const(Const::Int(n as i64));
            if n > i128::from(i64::MAX) {
                Type::U64
            } else {
                Type::I64
            }
        }
        Const::Str(d) => {
            let bytes = match given {
                None => d,
                Some(text) => text.unwrap_or_default().into_bytes().into(),
            };
            let capacity = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1) + 1;
            ctx.set_const(Const::Str(bytes));
            Type::Str { capacity }
        }
    }
}
