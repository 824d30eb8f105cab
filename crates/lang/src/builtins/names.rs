//! Numbers that stand for names, named when they are printed: strerror, signal_name, syscall_name, cgroup_path; and cgroupid the other way.

use super::strings::lower_constant;
use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::lower::{Lower, LowerError, Operand};
use crate::typed::Const;
use crate::types::Type;
use fathom_syntax::ast::Expr;

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    Builtin {
        name: "strerror",
        form: Form::Function,
        signature: "strerror_t strerror(int errno)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| named(cx, Type::ErrorName),
        lower: lower_named,
        doc: "The message of an error number, such as `No such file or directory` for 2.",
        example: "begin { print(strerror(2)); }",
    },
    Builtin {
        name: "signal_name",
        form: Form::Function,
        signature: "signal_name_t signal_name(int signal)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| named(cx, Type::SignalName),
        lower: lower_named,
        doc: "The name of a signal, such as `SIGKILL` for 9.",
        example: "begin { print(signal_name(9)); }",
    },
    Builtin {
        name: "syscall_name",
        form: Form::Function,
        signature: "syscall_name_t syscall_name(int number)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| named(cx, Type::SyscallName),
        lower: lower_named,
        doc: "The name of a system call by its number on this machine, such as `read` for 0.",
        example: "begin { print(syscall_name(0)); }",
    },
    Builtin {
        name: "cgroup_path",
        form: Form::Function,
        signature: "cgroup_path_t cgroup_path(uint64 id[, \"filter\"])",
        args: (1, 2),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            check::integer(cx, 0);
            let filter = check::string_literal(cx, 1).unwrap_or_default();
            Type::CgroupPath(filter.into())
        },
        lower: lower_named,
        doc: "The path of a cgroup by its id, in all hierarchies or in those whose name the filter matches (`*` stands for anything).",
        example: "begin { print(cgroup_path(cgroup)); }",
    },
    Builtin {
        name: "cgroupid",
        form: Form::Function,
        signature: "uint64 cgroupid(\"path\")",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_cgroupid,
        lower: lower_constant,
        doc: "The id of a version 2 cgroup by the path of its directory, to be compared with `cgroup`.",
        example: "begin { print(cgroup == cgroupid(\"/sys/fs/cgroup\")); }",
    },
];

fn named(cx: &mut CallContext<'_>, ty: Type) -> Type {
    check::integer(cx, 0);
    ty
}

fn lower_named(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(number) = args.first() else { return Ok(Operand::Void) };
    let value = l.scalar(number)?;
    let ty = l.ty(call);
    Ok(Operand::scalar(value, ty))
}

fn infer_cgroupid(cx: &mut CallContext<'_>) -> Type {
    if let Some(path) = check::string_literal(cx, 0) {
        match cx.facts.cgroup_id(&path) {
            Ok(id) => cx.set_const(Const::Int(id.cast_signed())),
            Err(why) => cx.error(cx.arg_span(0), format!("cgroupid(): no cgroup '{path}': {why}")),
        }
    }
    Type::U64
}
