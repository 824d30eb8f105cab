//! Questions that are answered when the script is compiled: is_str and the like, kfunc_exist, kfunc_allowed, func, reg, fail,
//! static_assert.

use super::strings::lower_constant;
use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::lower::{machine, Lower, LowerError, Operand};
use crate::typed::Const;
use crate::types::Type;
use fathom_report::printf::{Format, Segment};
use fathom_syntax::ast::{Expr, ExprKind, UnaryOp};

/// A row that asks something about the type of its argument.
macro_rules! type_row {
    ($name:literal, $passes:expr, $doc:literal, $example:literal) => {
        Builtin {
            name: $name,
            form: Form::Function,
            signature: concat!("bool ", $name, "(expression)"),
            args: (1, 1),
            is_unsafe: false,
            pure_value: true,
            infer: |cx| infer_type_question(cx, $passes),
            lower: lower_constant,
            doc: $doc,
            example: $example,
        }
    };
}

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    type_row!(
        "is_array",
        |t| matches!(t, Type::Array { .. }),
        "Whether the argument is an array. Known when compiling.",
        "begin { print(is_array(pton(\"::1\"))); }"
    ),
    type_row!(
        "is_integer",
        Type::is_integral_number,
        "Whether the argument is an integer. Known when compiling.",
        "begin { print(is_integer(1)); }"
    ),
    type_row!(
        "is_unsigned_integer",
        |t| matches!(t, Type::Int { signed: false, .. }),
        "Whether the argument is an integer without sign. Known when compiling.",
        "begin { print(is_unsigned_integer((uint8)1)); }"
    ),
    type_row!(
        "is_ptr",
        check::is_pointer,
        "Whether the argument is a pointer. Known when compiling.",
        "begin { print(is_ptr(curtask)); }"
    ),
    type_row!(
        "is_str",
        |t| matches!(t, Type::Str { .. }),
        "Whether the argument is a string. Known when compiling.",
        "begin { print(is_str(\"a\")); }"
    ),
    Builtin {
        name: "is_literal",
        form: Form::Function,
        signature: "bool is_literal(expression)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            let literal = cx.args.first().is_some_and(is_literal);
            cx.set_const(Const::Int(i64::from(literal)));
            Type::Bool
        },
        lower: lower_constant,
        doc: "Whether the argument is written out: a number, a string, true or false. Known when compiling.",
        example: "begin { print(is_literal(1)); }",
    },
    Builtin {
        name: "kfunc_exist",
        form: Form::Function,
        signature: "bool kfunc_exist(\"name\")",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            if let Some(name) = check::string_literal(cx, 0) {
                let answer = cx.facts.has_kfunc(&name);
                cx.set_const(Const::Int(i64::from(answer)));
            }
            Type::Bool
        },
        lower: lower_constant,
        doc: "Whether the kernel has this function for programs to call. Known when compiling.",
        example: "begin { print(kfunc_exist(\"bpf_strstr\")); }",
    },
    Builtin {
        name: "kfunc_allowed",
        form: Form::Function,
        signature: "bool kfunc_allowed(\"name\")",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_kfunc_allowed,
        lower: lower_constant,
        doc: "Whether the kernel has this function and lets programs of this probe's kind call it. Known when compiling.",
        example: "begin { print(kfunc_allowed(\"bpf_strstr\")); }",
    },
    Builtin {
        name: "func",
        form: Form::Value,
        signature: "string func",
        args: (0, 0),
        is_unsafe: false,
        pure_value: true,
        infer: infer_func,
        lower: |l, call, _| {
            let capacity = super::strings::text_capacity(&l.ty(call)).unwrap_or(1);
            l.target_text(|t| t.func.clone().unwrap_or_default(), capacity, call.span)
        },
        doc: "Name of the function that is traced.",
        example: "uprobe:libc:getenv { print(func); exit(); }",
    },
    Builtin {
        name: "reg",
        form: Form::Function,
        signature: "uint64 reg(\"name\")",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_reg,
        lower: lower_reg,
        doc: "A register of the probed code by name, in probes that see registers: kprobe, uprobe, USDT and events of the processor.",
        example: "software:cpu:100000 { printf(\"%p\\n\", reg(\"ip\")); exit(); }",
    },
    Builtin {
        name: "fail",
        form: Form::Function,
        signature: "void fail(\"format\", ...)",
        args: (1, 128),
        is_unsafe: false,
        pure_value: false,
        infer: |cx| {
            let text = message(cx, 0);
            cx.error(cx.span, text);
            Type::Void
        },
        lower: |_, _, _| Ok(Operand::Void),
        doc: "An error when compiling, with a text of constants. For branches of macros that must not be taken: `if comptime (!is_str(x)) { fail(..) }`.",
        example: "begin { if comptime (!is_str(\"a\")) { fail(\"no string\"); } }",
    },
    Builtin {
        name: "static_assert",
        form: Form::Function,
        signature: "void static_assert(condition, \"message\")",
        args: (1, 2),
        is_unsafe: false,
        pure_value: false,
        infer: infer_static_assert,
        lower: |_, _, _| Ok(Operand::Void),
        doc: "An error when compiling unless the condition, which has to be a constant, holds.",
        example: "begin { static_assert(sizeof(uint64) == 8, \"what a machine\"); }",
    },
];

impl Type {
    /// An integer or an enum, which is one by another name.
    fn is_integral_number(&self) -> bool {
        matches!(self, Type::Int { .. } | Type::Enum(_))
    }
}

fn infer_type_question(cx: &mut CallContext<'_>, passes: fn(&Type) -> bool) -> Type {
    let ty = cx.arg_types.first().cloned().unwrap_or_default();
    let ty = match ty {
        Type::TypeValue(inner) => inner.as_ref().clone(),
        other => other,
    };
    if ty != Type::Unknown || cx.is_final() {
        cx.set_const(Const::Int(i64::from(passes(&ty))));
    }
    Type::Bool
}

fn is_literal(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Int { .. } | ExprKind::Bool(_) | ExprKind::Str(_) => true,
        ExprKind::Unary { op: UnaryOp::Neg, expr } => matches!(expr.kind, ExprKind::Int { .. }),
        ExprKind::Block(b) => b.stmts.is_empty() && b.value.as_ref().is_some_and(|v| is_literal(v)),
        ExprKind::Comptime(inner) => is_literal(inner),
        _ => false,
    }
}

fn infer_kfunc_allowed(cx: &mut CallContext<'_>) -> Type {
    if let Some(name) = check::string_literal(cx, 0) {
        let kinds: Vec<_> = cx
            .probe
            .map(|p| p.targets.iter().filter_map(|t| t.carriers.first()).map(|c| c.kind).collect())
            .unwrap_or_default();
        let answer = cx.facts.has_kfunc(&name) && kinds.iter().all(|k| cx.facts.kfunc_allowed(&name, *k));
        cx.set_const(Const::Int(i64::from(answer)));
    }
    Type::Bool
}

fn infer_func(cx: &mut CallContext<'_>) -> Type {
    cx.uses.func = true;
    let targets = cx.probe.map(|p| p.targets.as_slice()).unwrap_or_default();
    let unknown = targets.iter().find(|t| t.func.is_none()).map(|t| t.provider);
    let longest = targets.iter().filter_map(|t| t.func.as_ref()).map(String::len).max().unwrap_or(0);
    if let Some(provider) = unknown {
        let text = format!("The func builtin can not be used with {provider} probes: no function is traced");
        cx.error(cx.span, text);
    }
    Type::Str { capacity: longest as u32 + 1 }
}

fn infer_reg(cx: &mut CallContext<'_>) -> Type {
    cx.uses.registers = true;
    if let Some(name) = check::string_literal(cx, 0) {
        if machine::register(&name).is_none() {
            let names: Vec<&str> = machine::REGISTERS.iter().map(|r| r.0).collect();
            cx.error_hint(
                cx.arg_span(0),
                format!("'{name}' is not a valid register on this architecture (x86_64)"),
                format!("there are {}", names.join(" ")),
            );
        }
    }
    Type::U64
}

fn lower_reg(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let name = args.first().and_then(|a| l.const_str(a)).unwrap_or_default();
    let offset = machine::register(&String::from_utf8_lossy(&name)).unwrap_or(0);
    let value = l.register(offset, call.span)?;
    Ok(Operand::scalar(value, Type::U64))
}

/// The text that a format at argument `i` and the constants behind it make.
fn message(cx: &mut CallContext<'_>, i: usize) -> String {
    let Some(text) = check::string_literal(cx, i) else { return String::new() };
    let Ok(format) = Format::parse(&text) else { return text };
    let mut out = String::new();
    let mut next = i + 1;
    for segment in &format.segments {
        match segment {
            Segment::Literal(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
            Segment::Spec(_) => {
                let value = cx.const_str(next).or_else(|| cx.const_int(next).map(|n| n.to_string()));
                out.push_str(&value.unwrap_or_else(|| "?".into()));
                next += 1;
            }
        }
    }
    out
}

fn infer_static_assert(cx: &mut CallContext<'_>) -> Type {
    let text =
        if cx.args.len() > 1 { check::string_literal(cx, 1).unwrap_or_default() } else { String::new() };
    match cx.const_int(0) {
        Some(0) => {
            let text = if text.is_empty() {
                "static_assert failed".into()
            } else {
                format!("static_assert failed: {text}")
            };
            cx.error(cx.span, text);
        }
        Some(_) => {}
        None if cx.is_final() => {
            cx.error(cx.arg_span(0), "static_assert() expects a condition that is known when compiling");
        }
        None => {}
    }
    Type::Void
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enums_are_integers_and_bools_are_not() {
        assert!(Type::I64.is_integral_number());
        assert!(!Type::Bool.is_integral_number());
    }
}
