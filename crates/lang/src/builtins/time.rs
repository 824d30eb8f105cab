//! Time as text: strftime.

use super::{check, Builtin, Form};
use crate::lower::Operand;
use crate::types::Type;

/// The family.
pub(super) static ROWS: &[Builtin] = &[Builtin {
    name: "strftime",
    form: Form::Function,
    signature: "timestamp strftime(\"format\", uint64 ns)",
    args: (2, 2),
    is_unsafe: false,
    pure_value: true,
    infer: |cx| {
        check::integer(cx, 1);
        let format = check::string_literal(cx, 0).unwrap_or_default();
        Type::Timestamp(format.into())
    },
    lower: |l, call, args| {
        let [_, ns] = args else { return Ok(Operand::Void) };
        let value = l.scalar(ns)?;
        let ty = l.ty(call);
        Ok(Operand::scalar(value, ty))
    },
    doc: "A time that `nsecs` gave, as text by a format of strftime(3); `%f` stands for the microseconds.",
    example: "begin { print(strftime(\"%H:%M:%S.%f\", nsecs)); }",
}];
