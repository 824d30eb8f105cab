//! The current task and machine: curtask, ppid, pcomm, leader_tid, leader_comm, username, cgroup, cpid, has_cpid, usermode, numaid,
//! ncpus, rand, jiffies.

use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::facts::{Context, Feature, TypeSpace};
use crate::lower::shapes::is_register;
use crate::lower::{machine, Lower, LowerError, Operand, COMM_LEN};
use crate::typed::Const;
use crate::types::{Space, StructType, Type};
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::ir::{Cond, Effect, LoadConst, Size, Ty, Value, Width};
use fathom_syntax::ast::Expr;
use fathom_syntax::span::Span;

/// A row without arguments.
macro_rules! value_row {
    ($name:literal, $signature:literal, $infer:expr, $lower:expr, $doc:literal, $example:literal) => {
        Builtin {
            name: $name,
            form: Form::Value,
            signature: $signature,
            args: (0, 0),
            is_unsafe: false,
            pure_value: true,
            infer: $infer,
            lower: $lower,
            doc: $doc,
            example: $example,
        }
    };
}

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    value_row!(
        "curtask",
        "struct task_struct *curtask",
        infer_curtask,
        lower_curtask,
        "The kernel's description of the current thread.",
        "begin { print(curtask.pid); }"
    ),
    value_row!(
        "ppid",
        "uint32 ppid",
        |cx| needs_types(cx, Type::uint(4)),
        |l, call, _| task_member(l, &["real_parent", "tgid"], Type::uint(4), call.span),
        "Process id of the parent process.",
        "begin { print(ppid); }"
    ),
    value_row!(
        "pcomm",
        "string pcomm",
        |cx| needs_types(cx, Type::Str { capacity: COMM_LEN }),
        |l, call, _| task_member(l, &["real_parent", "comm"], Type::Str { capacity: COMM_LEN }, call.span),
        "Name of the parent process.",
        "begin { print(pcomm); }"
    ),
    value_row!(
        "leader_tid",
        "uint32 leader_tid",
        |cx| needs_types(cx, Type::uint(4)),
        |l, call, _| task_member(l, &["group_leader", "pid"], Type::uint(4), call.span),
        "Thread id of the first thread of the current process.",
        "begin { print(leader_tid); }"
    ),
    value_row!(
        "leader_comm",
        "string leader_comm",
        |cx| needs_types(cx, Type::Str { capacity: COMM_LEN }),
        |l, call, _| task_member(l, &["group_leader", "comm"], Type::Str { capacity: COMM_LEN }, call.span),
        "Name of the first thread of the current process.",
        "begin { print(leader_comm); }"
    ),
    value_row!(
        "username",
        "username_t username",
        |_| Type::Username,
        |l, _, _| {
            let ids = l.once_call(Helper::GET_CURRENT_UID_GID);
            let uid = l.b.and_imm(ids, 0xffff_ffff);
            Ok(Operand::scalar(uid, Type::Username))
        },
        "Name of the user that the current process runs as. Looked up when it is printed.",
        "begin { print(username); }"
    ),
    value_row!(
        "cgroup",
        "uint64 cgroup",
        |_| Type::U64,
        |l, _, _| Ok(Operand::scalar(l.once_call(Helper::GET_CURRENT_CGROUP_ID), Type::U64)),
        "Id of the version 2 cgroup of the current process.",
        "begin { print(cgroup); }"
    ),
    value_row!(
        "cpid",
        "uint32 cpid",
        |_| Type::uint(4),
        |l, _, _| Ok(Operand::scalar(l.b.load_const(LoadConst::ChildPid), Type::uint(4))),
        "Process id of the command that was started with -c; 0 without one.",
        "begin { print(cpid); }"
    ),
    value_row!(
        "has_cpid",
        "bool has_cpid",
        |_| Type::Bool,
        |l, _, _| {
            let pid = l.b.load_const(LoadConst::ChildPid);
            let zero = l.b.iconst(0);
            let value = l.b.compare(Cond::Ne, Width::W64, pid, zero);
            Ok(Operand::scalar(value, Type::Bool))
        },
        "Whether a command was started with -c.",
        "begin { print(has_cpid); }"
    ),
    value_row!(
        "usermode",
        "uint8 usermode",
        |_| Type::uint(1),
        lower_usermode,
        "1 if the processor was running a program, 0 if it was running the kernel, when the probe's event came. Where the event has no \
         registers of its own (tracepoints, begin, end), that of the system call or interrupt that led there.",
        "begin { print(usermode); }"
    ),
    value_row!(
        "numaid",
        "uint32 numaid",
        |_| Type::uint(4),
        |l, _, _| Ok(Operand::scalar(l.once_call(Helper::GET_NUMA_NODE_ID), Type::uint(4))),
        "Number of the NUMA node of the current CPU.",
        "begin { print(numaid); }"
    ),
    value_row!(
        "ncpus",
        "uint64 ncpus",
        |cx| {
            let count = cx.facts.possible_cpus();
            cx.set_const(Const::Int(i64::from(count)));
            Type::U64
        },
        |l, _, _| {
            let count = l.facts.possible_cpus();
            Ok(Operand::scalar(l.b.iconst(i64::from(count)), Type::U64))
        },
        "Number of CPUs that the machine can have.",
        "begin { print(ncpus); }"
    ),
    value_row!(
        "rand",
        "uint32 rand",
        |_| Type::uint(4),
        |l, _, _| Ok(Operand::scalar(l.read_call(Helper::GET_PRANDOM_U32), Type::uint(4))),
        "A random number of 32 bits.",
        "begin { print(rand % 6); }"
    ),
    value_row!(
        "jiffies",
        "uint64 jiffies",
        infer_jiffies,
        |l, _, _| Ok(Operand::scalar(l.read_call(Helper::JIFFIES64), Type::U64)),
        "The kernel's count of timer ticks.",
        "begin { print(jiffies); }"
    ),
];

/// The kernel's own `struct task_struct`, whatever the script declares.
fn kernel_task(l: &Lower<'_>) -> Option<StructType> {
    let id = l.facts.find_type(TypeSpace::Struct, "task_struct")?;
    match l.store.type_of(id, Space::Kernel) {
        Type::Struct { def, .. } => Some(def),
        _ => None,
    }
}

fn needs_types(cx: &mut CallContext<'_>, ty: Type) -> Type {
    if cx.facts.find_type(TypeSpace::Struct, "task_struct").is_none() {
        let text = format!("{} needs the kernel's type information (BTF)", cx.name);
        cx.error_hint(cx.span, text, "the kernel has to be built with CONFIG_DEBUG_INFO_BTF=y");
    }
    ty
}

/// The current task: an object that may be read directly where the kernel allows it, else a plain address.
pub(super) fn current_task(l: &mut Lower<'_>) -> Value {
    if l.has(Feature::TaskBtf) {
        l.b.call_ptr(Helper::GET_CURRENT_TASK_BTF, &[], Effect::Once)
    } else {
        l.once_call(Helper::GET_CURRENT_TASK)
    }
}

fn infer_curtask(cx: &mut CallContext<'_>) -> Type {
    match cx.store.struct_type("task_struct", Space::Kernel) {
        Some(task) => Type::pointer(task, Space::Kernel),
        None => Type::pointer(Type::Void, Space::Kernel),
    }
}

fn lower_curtask(l: &mut Lower<'_>, call: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    let ty = l.ty(call);
    // Direct reads are checked against the kernel's own declaration.
    let own = kernel_task(l);
    let direct = match (&ty, &own) {
        (Type::Pointer { to, .. }, Some(own)) => {
            matches!(&**to, Type::Struct { def, .. } if def.id == own.id)
        }
        _ => false,
    };
    let task = if direct { current_task(l) } else { l.once_call(Helper::GET_CURRENT_TASK) };
    Ok(Operand::scalar(task, ty))
}

/// A member of the current task, by the path to it through pointers.
fn task_member(l: &mut Lower<'_>, path: &[&str], ty: Type, span: Span) -> Result<Operand, LowerError> {
    let task = current_task(l);
    let def = kernel_task(l)
        .ok_or_else(|| LowerError::new(span, "The kernel's type information is needed here"))?;
    member_of(l, task, def, path, ty, span)
}

/// A member of a kernel struct, by the path to it through pointers; `ty` is the type of the result.
pub(super) fn member_of(
    l: &mut Lower<'_>,
    mut addr: Value,
    mut def: StructType,
    path: &[&str],
    ty: Type,
    span: Span,
) -> Result<Operand, LowerError> {
    for (i, name) in path.iter().enumerate() {
        let field = l.store.field(&def, name, Space::Kernel, Space::Kernel).ok_or_else(|| {
            LowerError::new(span, format!("This kernel's struct {} has no member {name}", def.name))
        })?;
        let offset = i64::from(field.bit_offset / 8);
        if i + 1 == path.len() {
            return Ok(if is_register(&ty) {
                let value = l.read_scalar(addr, offset, Space::Kernel, &field.ty, span)?;
                Operand::scalar(value, ty)
            } else {
                Operand::Remote { addr, offset, space: Space::Kernel, ty }
            });
        }
        addr = l.read_scalar(addr, offset, Space::Kernel, &field.ty, span)?;
        def = match field.ty {
            Type::Pointer { to, .. } => match &*to {
                Type::Struct { def, .. } => def.clone(),
                _ => break,
            },
            _ => break,
        };
    }
    Err(LowerError::new(span, "This kernel's structures are not as expected here"))
}

/// The kernel's function that finds a task by its id, and the one that gives it back.
const FIND_TASK: &str = "bpf_task_from_pid";
const RELEASE_TASK: &str = "bpf_task_release";

pub(super) fn infer_comm(cx: &mut CallContext<'_>) -> Type {
    let ty = Type::Str { capacity: COMM_LEN };
    if !cx.args.is_empty() {
        check::integer(cx, 0);
        // The mechanisms that pass arguments are those whose programs may call the kernel's functions.
        cx.uses.args = true;
        if !cx.facts.has_kfunc(FIND_TASK) {
            cx.error(cx.span, "comm(pid) needs Linux 6.2 or later");
        }
        return needs_types(cx, ty);
    }
    ty
}

pub(super) fn lower_comm(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [pid] = args else { return Ok(Operand::Comm) };
    if matches!(l.unit.kind, ProgKind::RAW_TRACEPOINT | ProgKind::KPROBE) {
        let text = "The kernel does not let programs of this probe find other tasks: comm(pid) works in tracepoints, iterators and timers";
        return Err(LowerError::new(call.span, text));
    }
    let def = kernel_task(l)
        .ok_or_else(|| LowerError::new(call.span, "The kernel's type information is needed here"))?;
    let ty = Type::Str { capacity: COMM_LEN };
    let pid = l.scalar(pid)?;
    let place = l.alloc_stack(COMM_LEN);
    l.zero(place, COMM_LEN);
    let task = l.b.kfunc(FIND_TASK, &[pid], Effect::Write, Ty::Ptr);
    let null = l.b.iconst(0);
    l.if_then(Cond::Ne, task, null, |l| {
        let name = member_of(l, task, def, &["comm"], ty.clone(), call.span)?;
        l.store(&name, place, &ty)?;
        l.b.kfunc(RELEASE_TASK, &[task], Effect::Write, Ty::Int);
        Ok(())
    })?;
    Ok(Operand::memory(place, Type::Str { capacity: COMM_LEN }))
}

/// Code segment of programs in the low two bits: privilege level 3.
fn lower_usermode(l: &mut Lower<'_>, call: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    let offset = i32::from(machine::register("cs").unwrap_or(0));
    let registers =
        matches!(l.unit.context, Context::Registers { .. } | Context::Usdt { .. } | Context::PerfEvent);
    let segment = if registers {
        let ctx = l.ctx();
        l.b.load_invariant(ctx, offset, Size::B8, false)
    } else if l.has(Feature::TaskBtf) {
        let task = l.b.call_ptr(Helper::GET_CURRENT_TASK_BTF, &[], Effect::Once);
        let regs = l.b.call_ptr(Helper::TASK_PT_REGS, &[task], Effect::Once);
        l.read_scalar(regs, i64::from(offset), Space::Kernel, &Type::U64, call.span)?
    } else if l.unit.names.targets.iter().all(|t| t.probe_type == "special") {
        // The tracer itself runs the program.
        l.b.iconst(3)
    } else {
        return Err(LowerError::new(call.span, "usermode needs Linux 5.15 or later in this kind of probe"));
    };
    let level = l.b.and_imm(segment, 3);
    let three = l.b.iconst(3);
    let value = l.b.compare(Cond::Eq, Width::W64, level, three);
    Ok(Operand::scalar(value, Type::uint(1)))
}

fn infer_jiffies(cx: &mut CallContext<'_>) -> Type {
    if !cx.facts.has(Feature::Jiffies64) {
        cx.error(
            cx.span,
            "BPF_FUNC_jiffies64 is not available for your kernel version: jiffies needs Linux 5.9 or later",
        );
    }
    Type::U64
}
