//! Addresses and symbols: ksym, usym, kaddr, uaddr, percpu_kaddr, kptr, uptr, is_err, container_of.

use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::facts::{Context, Feature};
use crate::lower::{machine, Lower, LowerError, Operand};
use crate::typed::Const;
use crate::types::{Space, StructType, Type};
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Cond, Effect, Size, Ty, Width};
use fathom_syntax::ast::Expr;

/// Largest error number that kernel functions return in place of a pointer (`MAX_ERRNO`, include/linux/err.h).
const MAX_ERRNO: i64 = 4095;

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    Builtin {
        name: "ksym",
        form: Form::Function,
        signature: "ksym_t ksym(uint64 addr)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            check::address(cx, 0);
            Type::KernelSym
        },
        lower: |l, _, args| {
            let [addr] = args else { return Ok(Operand::Void) };
            let value = l.scalar(addr)?;
            let value = l.number(value);
            Ok(Operand::scalar(value, Type::KernelSym))
        },
        doc: "The kernel function or variable at an address, printed as `name+offset`. Named when it is printed.",
        example: "begin { printf(\"%s\\n\", ksym(kaddr(\"vfs_read\"))); }",
    },
    Builtin {
        name: "usym",
        form: Form::Function,
        signature: "usym_t usym(uint64 addr)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            check::address(cx, 0);
            Type::UserSym
        },
        lower: lower_usym,
        doc: "The function or variable of the current process at an address, printed as its name.",
        example: "interval:s:1 { print(usym(0)); exit(); }",
    },
    Builtin {
        name: "kaddr",
        form: Form::Function,
        signature: "uint64 kaddr(\"name\")",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_kaddr,
        lower: lower_constant,
        doc: "The address of a kernel function or variable.",
        example: "begin { printf(\"%p\\n\", kaddr(\"vfs_read\")); }",
    },
    Builtin {
        name: "uaddr",
        form: Form::Function,
        signature: "uint64 *uaddr(\"name\")",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_uaddr,
        lower: lower_uaddr,
        doc: "The address of a function or variable of the program that the uprobe is in. In a uprobe the place where the program \
              was loaded is taken into account; in a uretprobe or USDT probe it is the address in the file. The result points to \
              an unsigned integer of the symbol's size.",
        example: "uprobe:libc:getenv { print(*uaddr(\"environ\")); exit(); }",
    },
    Builtin {
        name: "percpu_kaddr",
        form: Form::Function,
        signature: "uint64 *percpu_kaddr(\"name\"[, int cpu])",
        args: (1, 2),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            let name = check::string_literal(cx, 0);
            if let Some(name) = name.filter(|n| cx.facts.kernel_symbol(n).is_none()) {
                cx.error_hint(
                    cx.arg_span(0),
                    format!("Could not resolve the per-CPU variable: {name}"),
                    "the names are those of /proc/kallsyms, which has variables only if the kernel is built with CONFIG_KALLSYMS_ALL=y",
                );
            }
            if cx.args.len() > 1 {
                check::integer(cx, 1);
            }
            Type::pointer(Type::U64, Space::Kernel)
        },
        lower: lower_percpu_kaddr,
        doc: "The address of a per-CPU variable of the kernel, on the current CPU or on another; 0 if there is no such CPU.",
        example: "begin { printf(\"%d\\n\", *percpu_kaddr(\"process_counts\")); }",
    },
    Builtin {
        name: "kptr",
        form: Form::Function,
        signature: "T *kptr(T *ptr)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| infer_in_space(cx, Space::Kernel),
        lower: |l, call, args| lower_in_space(l, call, args, Space::Kernel),
        doc: "The pointer, taken as one to kernel memory: for when the address space that was guessed is wrong.",
        example: "begin { print(kptr((int8 *)0)); }",
    },
    Builtin {
        name: "uptr",
        form: Form::Function,
        signature: "T *uptr(T *ptr)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| infer_in_space(cx, Space::User),
        lower: |l, call, args| lower_in_space(l, call, args, Space::User),
        doc: "The pointer, taken as one to memory of the current process: for when the address space that was guessed is wrong.",
        example: "begin { print(uptr((int8 *)0)); }",
    },
    Builtin {
        name: "is_err",
        form: Form::Function,
        signature: "bool is_err(ptr)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            check::address(cx, 0);
            Type::Bool
        },
        lower: |l, _, args| {
            let [ptr] = args else { return Ok(Operand::Void) };
            let value = l.scalar(ptr)?;
            let value = l.number(value);
            let limit = l.b.iconst(-MAX_ERRNO);
            let value = l.b.compare(Cond::Uge, Width::W64, value, limit);
            Ok(Operand::scalar(value, Type::Bool))
        },
        doc: "Whether a pointer that a kernel function returned is an error number in disguise.",
        example: "begin { print(is_err((int8 *)0xfffffffffffffffe)); }",
    },
    Builtin {
        name: "container_of",
        form: Form::Function,
        signature: "struct x *container_of(ptr, struct x, member)",
        args: (3, 3),
        is_unsafe: false,
        pure_value: true,
        infer: infer_container_of,
        lower: lower_container_of,
        doc: "The struct that a pointer to one of its members lies in.",
        example: "begin { print(container_of((uint64)curtask, struct task_struct, pid) != 0); }",
    },
];

fn lower_usym(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [addr] = args else { return Ok(Operand::Void) };
    let value = l.scalar(addr)?;
    let value = l.number(value);
    let place = l.alloc(16)?;
    let ids = l.once_call(Helper::GET_CURRENT_PID_TGID);
    let tgid = l.b.lshr_imm(ids, 32);
    l.b.store(place.ptr, place.offset, Size::B8, value);
    // The low half is the process, the high half is zero.
    l.b.store(place.ptr, place.at(8).offset, Size::B8, tgid);
    Ok(Operand::memory(place, Type::UserSym))
}

/// For calls whose result is a constant, which is lowered before a row is asked.
fn lower_constant(l: &mut Lower<'_>, call: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    let value = l.const_int(call).unwrap_or(0);
    let value = l.b.iconst(value);
    let ty = l.ty(call);
    Ok(Operand::scalar(value, ty))
}

fn infer_kaddr(cx: &mut CallContext<'_>) -> Type {
    if let Some(name) = check::string_literal(cx, 0) {
        match cx.facts.kernel_symbol(&name) {
            Some(address) => cx.set_const(Const::Int(address.cast_signed())),
            None => cx.error_hint(
                cx.arg_span(0),
                format!("Failed to resolve kernel symbol: {name}"),
                "the names are those of /proc/kallsyms, which shows addresses to root only",
            ),
        }
    }
    Type::U64
}

/// The file that a target of a user-space provider lies in.
fn file_of(target: &str) -> Option<&str> {
    let mut parts = target.splitn(3, ':');
    match parts.next()? {
        "uprobe" | "uretprobe" | "usdt" => parts.next(),
        _ => None,
    }
}

fn infer_uaddr(cx: &mut CallContext<'_>) -> Type {
    let plain = Type::pointer(Type::U64, Space::User);
    let Some(name) = check::string_literal(cx, 0) else { return plain };
    let in_user = cx.probe.is_some_and(|p| p.only(&["uprobe", "uretprobe", "usdt"]));
    if !in_user {
        cx.error(cx.span, "uaddr() can only be used with uprobes, uretprobes and USDT probes");
        return plain;
    }
    let targets = cx.probe.map(|p| p.targets.as_slice()).unwrap_or_default();
    let mut found = None;
    let mut missing = None;
    for target in targets {
        let Some(path) = file_of(&target.name) else { continue };
        match cx.facts.user_symbol(path, &name) {
            Some((_, size)) => found = Some(size),
            None => missing = Some(path.to_string()),
        }
    }
    if let Some(path) = missing {
        cx.error(cx.arg_span(0), format!("Could not resolve symbol: {path}:{name}"));
    }
    let size = match found {
        Some(size @ (1 | 2 | 4)) => size as u8,
        _ => 8,
    };
    Type::pointer(Type::uint(size), Space::User)
}

fn lower_uaddr(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let ty = l.ty(call);
    let name = args.first().and_then(|a| l.const_str(a)).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).into_owned();
    let path = l.probe.targets.iter().find_map(|t| file_of(&t.name)).unwrap_or("").to_string();
    let address = l.facts.user_symbol(&path, &name).map_or(0, |s| s.0);
    let address = l.b.iconst(address.cast_signed());
    // Where the probed function lies in the file and in memory tells where the file was loaded, to the page: the probe may stand a few bytes
    // behind the function's first.
    let probed = match l.probe.targets.as_slice() {
        [target] if target.provider == "uprobe" => {
            let (func, offset) = split_offset(target.name.rsplit(':').next().unwrap_or(""));
            l.facts.user_symbol(&path, func).map(|s| s.0.wrapping_add(offset))
        }
        _ => None,
    };
    let (Some(probed), Context::Registers { at_return: false }) = (probed, &l.unit.context) else {
        return Ok(Operand::scalar(address, ty));
    };
    let ctx = l.ctx();
    let ip = l.b.load_invariant(ctx, i32::from(machine::INSTRUCTION_POINTER), Size::B8, false);
    let base = l.b.sub_imm(ip, probed.cast_signed());
    let base = l.b.and_imm(base, !0xfff);
    let address = l.b.add(base, address);
    Ok(Operand::scalar(address, ty))
}

/// `name+offset` as its parts; decimal or hexadecimal.
fn split_offset(text: &str) -> (&str, u64) {
    let Some((name, offset)) = text.rsplit_once('+') else { return (text, 0) };
    let number = match offset.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => offset.parse(),
    };
    number.map_or((text, 0), |n| (name, n))
}

fn lower_percpu_kaddr(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(name) = args.first().and_then(|a| l.const_str(a)) else { return Ok(Operand::Void) };
    if !l.has(Feature::TaskBtf) {
        return Err(LowerError::new(
            call.span,
            "percpu_kaddr() needs kernel type information and Linux 5.11 or later",
        ));
    }
    let ty = l.ty(call);
    let cpu = match args.get(1) {
        Some(cpu) => Some(l.scalar(cpu)?),
        None => None,
    };
    let base = l.b.kernel_symbol(&String::from_utf8_lossy(&name));
    let ptr = match cpu {
        None => l.b.call_ptr(Helper::THIS_CPU_PTR, &[base], Effect::Read),
        Some(cpu) => {
            let cpu = l.b.and_imm(cpu, 0xffff_ffff);
            l.b.call_ptr(Helper::PER_CPU_PTR, &[base, cpu], Effect::Read)
        }
    };
    // Another CPU's variable may be none: there is no such CPU.
    let null = l.b.iconst(0);
    let value = l.choose(Cond::Ne, ptr, null, |l| Ok(l.number(ptr)), |l| Ok(l.b.iconst(0)))?;
    Ok(Operand::scalar(value, ty))
}

fn infer_in_space(cx: &mut CallContext<'_>, space: Space) -> Type {
    let ty = cx.arg_types.first().cloned().unwrap_or_default();
    match ty {
        Type::Pointer { to, .. } => Type::Pointer { to, space },
        Type::Array { elem, count, .. } => Type::Array { elem, count, space },
        Type::Struct { def, .. } => Type::Struct { def, space },
        Type::Int { .. } | Type::Enum(_) => Type::pointer(Type::uint(1), space),
        Type::Unknown => Type::Unknown,
        _ => {
            check::expect(cx, 0, "a pointer", check::is_pointer);
            Type::Unknown
        }
    }
}

fn lower_in_space(
    l: &mut Lower<'_>,
    call: &Expr,
    args: &[Expr],
    space: Space,
) -> Result<Operand, LowerError> {
    let [ptr] = args else { return Ok(Operand::Void) };
    let ty = l.ty(call);
    Ok(match l.expr(ptr)? {
        Operand::Scalar { value, .. } => {
            // A pointer that the verifier knows as the kernel's would be read as such.
            let value = if space == Space::User { l.number(value) } else { value };
            Operand::scalar(value, ty)
        }
        Operand::Remote { addr, offset, .. } => Operand::Remote { addr, offset, space, ty },
        other => other,
    })
}

/// The struct that `container_of` names.
fn container(ty: Option<&Type>) -> Option<&StructType> {
    match ty? {
        Type::TypeValue(inner) => container(Some(inner)),
        Type::Struct { def, .. } => Some(def),
        _ => None,
    }
}

fn infer_container_of(cx: &mut CallContext<'_>) -> Type {
    check::address(cx, 0);
    let space = cx.space(0);
    let member = cx.ident(2).map(str::to_string);
    let Some(def) = container(cx.arg_types.get(1)).cloned() else {
        if cx.is_final() {
            cx.error(cx.arg_span(1), "container_of() expects a struct type as second argument");
        }
        return Type::Unknown;
    };
    match member {
        None => cx.error(cx.arg_span(2), "container_of() expects the name of a member as third argument"),
        Some(member) if cx.store.field(&def, &member, space, space).is_none() => {
            let name = def.name.clone();
            cx.error(
                cx.arg_span(2),
                format!("Struct/union of type 'struct {name}' does not contain a field named '{member}'"),
            );
        }
        Some(_) => {}
    }
    Type::pointer(Type::Struct { def, space }, space)
}

fn lower_container_of(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    use fathom_syntax::ast::ExprKind;
    let [ptr, _, member] = args else { return Ok(Operand::Void) };
    let ty = l.ty(call);
    let (Type::Pointer { to, space }, ExprKind::Ident(name)) = (&ty, &member.kind) else {
        return Ok(Operand::Void);
    };
    let field = container(Some(to)).and_then(|def| l.store.field(def, name, *space, *space));
    let offset = field.map_or(0, |f| f.bit_offset / 8);
    let value = l.scalar(ptr)?;
    // The verifier allows no address before an object that it knows.
    let value = if l.b.ty(value) == Ty::Ptr { l.number(value) } else { value };
    let value = l.b.sub_imm(value, i64::from(offset));
    Ok(Operand::scalar(value, ty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_their_file() {
        assert_eq!(file_of("uprobe:/bin/bash:main"), Some("/bin/bash"));
        assert_eq!(file_of("usdt:/lib/x.so:ns:probe"), Some("/lib/x.so"));
        assert_eq!(file_of("kprobe:vfs_read"), None);
        assert_eq!(file_of("uprobe"), None);
    }

    #[test]
    fn offsets_are_split_off() {
        assert_eq!(split_offset("main+4"), ("main", 4));
        assert_eq!(split_offset("main+0x10"), ("main", 16));
        assert_eq!(split_offset("operator+"), ("operator+", 0));
        assert_eq!(split_offset("main"), ("main", 0));
    }
}
