//! What acts on the system or speaks to user space beside printing: system, cat, join, signal, signal_thread, override, write_user,
//! unwatch, skboutput, path, debugf.

use super::bytes::{at_most, raw_bytes};
use super::format::{check_call, class_of, format_text, values};
use super::strings::max_strlen;
use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::lower::{Lower, LowerError, Operand, Place};
use crate::types::{Space, StructType, Type};
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::ir::{Cond, Effect, Size, Ty, Value};
use fathom_codegen::program::ActionKind;
use fathom_report::printf::{ArgClass, Conv, Format, Length, Segment, Spec};
use fathom_syntax::ast::Expr;

/// Most strings of an array that `join` takes.
const JOIN_STRINGS: u32 = 16;
/// Most bytes of each, with the NUL.
const JOIN_BYTES: u32 = 1024;
/// Bytes of a packet that `skboutput` keeps when the length is not a constant.
const PACKET_BYTES: u32 = 2048;
/// Arguments that `bpf_trace_printk` takes.
const PRINTK_ARGS: usize = 3;

/// Signals of x86-64 and arm64 by number from 1 (include/uapi/asm-generic/signal.h).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// The highest signal number.
const LAST_SIGNAL: i64 = 64;

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    Builtin {
        name: "system",
        form: Form::Function,
        signature: "void system(\"format\", ...)",
        args: (1, 128),
        is_unsafe: true,
        pure_value: false,
        infer: |cx| {
            check_call(cx);
            Type::Void
        },
        lower: |l, call, args| {
            let format = format_text(l, args);
            let fields = values(l, args)?;
            l.emit_record(ActionKind::System { format }, fields, call.span)?;
            Ok(Operand::Void)
        },
        doc: "Runs a shell command, made like the text of `printf`, when its record arrives in user space.",
        example: "begin { system(\"echo %d\", pid); }",
    },
    Builtin {
        name: "cat",
        form: Form::Function,
        signature: "void cat(\"format\", ...)",
        args: (1, 128),
        is_unsafe: false,
        pure_value: false,
        infer: |cx| {
            check_call(cx);
            Type::Void
        },
        lower: |l, call, args| {
            let format = format_text(l, args);
            let fields = values(l, args)?;
            l.emit_record(ActionKind::Cat { format }, fields, call.span)?;
            Ok(Operand::Void)
        },
        doc: "Prints a file, its name made like the text of `printf`, up to `max_cat_bytes`.",
        example: "begin { cat(\"/proc/%d/comm\", pid); }",
    },
    Builtin {
        name: "join",
        form: Form::Function,
        signature: "void join(char **strings[, \"separator\"])",
        args: (1, 2),
        is_unsafe: false,
        pure_value: false,
        infer: infer_join,
        lower: lower_join,
        doc: "Prints the strings of an array that ends with a null pointer (`argv`), at most 16 of 1024 bytes each, with the separator, a space \
              unless given, between them.",
        example: "tracepoint:syscalls:sys_enter_execve { join(args.argv); }",
    },
    Builtin {
        name: "signal",
        form: Form::Function,
        signature: "void signal(int number | \"SIGNAME\")",
        args: (1, 1),
        is_unsafe: true,
        pure_value: false,
        infer: infer_signal,
        lower: |l, call, args| lower_signal(l, call, args, Helper::SEND_SIGNAL),
        doc: "Sends a signal to the current process.",
        example: "tracepoint:syscalls:sys_enter_execve /comm == \"none\"/ { signal(\"SIGSTOP\"); }",
    },
    Builtin {
        name: "signal_thread",
        form: Form::Function,
        signature: "void signal_thread(int number | \"SIGNAME\")",
        args: (1, 1),
        is_unsafe: true,
        pure_value: false,
        infer: infer_signal,
        lower: |l, call, args| lower_signal(l, call, args, Helper::SEND_SIGNAL_THREAD),
        doc: "Sends a signal to the current thread.",
        example: "tracepoint:syscalls:sys_enter_execve /comm == \"none\"/ { signal_thread(10); }",
    },
    Builtin {
        name: "override",
        form: Form::Function,
        signature: "void override(uint64 rc)",
        args: (1, 1),
        is_unsafe: true,
        pure_value: false,
        infer: infer_override,
        lower: lower_override,
        doc: "The probed kernel function returns this value at once, without running. Only functions that the kernel marks for error injection.",
        example: "kprobe:should_failslab /comm == \"none\"/ { override(-12); }",
    },
    Builtin {
        name: "write_user",
        form: Form::Function,
        signature: "int64 write_user(void *dst, src, uint64 n)",
        args: (3, 3),
        is_unsafe: true,
        pure_value: false,
        infer: infer_write_user,
        lower: lower_write_user,
        doc: "Writes `n` bytes of a string, buffer, array or behind a pointer to memory of the current process. Gives 0, or a negative error number. \
              Kernels in lockdown mode do not allow it.",
        example: "tracepoint:syscalls:sys_enter_openat /comm == \"none\"/ { write_user(args.filename, \"x\", 1); }",
    },
    Builtin {
        name: "unwatch",
        form: Form::Function,
        signature: "void unwatch(uint64 addr)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: false,
        infer: |cx| {
            check::address(cx, 0);
            Type::Void
        },
        lower: |l, call, args| {
            let [addr] = args else { return Ok(Operand::Void) };
            let value = l.scalar(addr)?;
            let value = l.number(value);
            l.emit_record(ActionKind::Unwatch, vec![Operand::scalar(value, Type::U64)], call.span)?;
            Ok(Operand::Void)
        },
        doc: "Ends the watching of an address by watchpoints.",
        example: "begin { unwatch(0); }",
    },
    Builtin {
        name: "skboutput",
        form: Form::Function,
        signature: "uint32 skboutput(\"file.pcap\", struct sk_buff *skb, uint64 length, uint64 offset)",
        args: (4, 4),
        is_unsafe: false,
        pure_value: false,
        infer: infer_skboutput,
        lower: lower_skboutput,
        doc: "Appends the bytes of a packet to a pcap file: `length` bytes from `offset` on, as far as they lie in the buffer's linear part; of a \
              length that is not a constant, at most 2048. Gives 0.",
        example: "fentry:__dev_queue_xmit { skboutput(\"out.pcap\", args.skb, 64, 0); exit(); }",
    },
    Builtin {
        name: "path",
        form: Form::Function,
        signature: "string path(struct path *path[, uint64 size])",
        args: (1, 2),
        is_unsafe: false,
        pure_value: true,
        infer: infer_path,
        lower: lower_path,
        doc: "The full name of a file. Only in fentry, fexit and iter probes, and only in kernel functions that the kernel allows it in.",
        example: "fentry:filp_close { print(path(args.filp.f_path)); exit(); }",
    },
    Builtin {
        name: "debugf",
        form: Form::Function,
        signature: "void debugf(\"format\", ...)",
        args: (1, 13),
        is_unsafe: false,
        pure_value: false,
        infer: infer_debugf,
        lower: lower_debugf,
        doc: "Writes to the kernel's trace buffer (`/sys/kernel/tracing/trace_pipe`), for debugging of scripts.",
        example: "begin { debugf(\"pid %d\", pid); }",
    },
];

fn infer_join(cx: &mut CallContext<'_>) -> Type {
    check::expect(cx, 0, "an integer or a pointer to strings", |t| {
        matches!(t, Type::Int { .. } | Type::Pointer { .. } | Type::Array { .. })
    });
    if cx.args.len() > 1 {
        check::string_literal(cx, 1);
    }
    Type::Void
}

/// The strings are collected in scratch memory, empty behind the last.
fn lower_join(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(array) = args.first() else { return Ok(Operand::Void) };
    let separator = args.get(1).and_then(|a| l.const_str(a)).unwrap_or_else(|| (*b" ").into());
    let separator = String::from_utf8_lossy(&separator).into();
    let operand = l.expr(array)?;
    let space = match operand.ty() {
        Type::Pointer { space, .. } | Type::Array { space, .. } => space,
        _ => super::strings::space_of(l, array),
    };
    let base = l.to_scalar(operand, array.span)?;
    let base = l.number(base);
    let pointers = l.alloc_scratch(JOIN_STRINGS * 8)?;
    l.zero(pointers, JOIN_STRINGS * 8);
    // Not all 16 need be readable: one at a time.
    let (count, done) = (l.b.declare_var(Ty::Int), l.b.new_block());
    let zero = l.b.iconst(0);
    l.b.def_var(count, zero);
    for i in 0..JOIN_STRINGS {
        let addr = l.b.add_imm(base, i64::from(i * 8));
        let to = pointers.at(i * 8);
        l.probe_read(to, 8, addr, space, call.span);
        let pointer = l.b.load(to.ptr, to.offset, Size::B8, false);
        let go_on = l.b.new_block();
        let zero = l.b.iconst(0);
        l.b.branch(Cond::Eq, fathom_codegen::ir::Width::W64, pointer, zero, (done, &[]), (go_on, &[]));
        l.b.seal(go_on);
        l.b.switch_to(go_on);
        let n = l.b.iconst(i64::from(i + 1));
        l.b.def_var(count, n);
    }
    l.b.jump(done, &[]);
    l.b.seal(done);
    l.b.switch_to(done);
    let count = l.b.use_var(count);
    let texts = l.alloc_scratch(JOIN_STRINGS * JOIN_BYTES)?;
    let mut fields = vec![Operand::scalar(count, Type::uint(4))];
    let helper = match space {
        Space::User => Helper::PROBE_READ_USER_STR,
        Space::Kernel | Space::Program => Helper::PROBE_READ_KERNEL_STR,
    };
    for i in 0..JOIN_STRINGS {
        let from = pointers.at(i * 8);
        let addr = l.b.load(from.ptr, from.offset, Size::B8, false);
        let place = far_place(l, texts, i * JOIN_BYTES);
        let to = l.address(place);
        let size = l.b.iconst(i64::from(JOIN_BYTES));
        // Behind the last string the address is 0, which reads as empty and is no error.
        l.b.call(helper, &[to, size, addr], Effect::Write);
        fields.push(Operand::memory(place, Type::Str { capacity: JOIN_BYTES }));
    }
    l.emit_record(ActionKind::Join { separator }, fields, call.span)?;
    Ok(Operand::Void)
}

/// A place that may be further away than the offset of an instruction reaches.
fn far_place(l: &mut Lower<'_>, base: Place, by: u32) -> Place {
    let far = base.at(by);
    if i16::try_from(far.offset).is_ok() {
        return far;
    }
    let ptr = l.address(far);
    Place { ptr, offset: 0, align: far.align }
}

/// Number of a signal by name, with or without `SIG`.
fn signal_number(name: &str) -> Option<i64> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    match SIGNALS.iter().position(|s| *s == name) {
        Some(i) => Some(i as i64 + 1),
        None => name.parse().ok(),
    }
}

fn infer_signal(cx: &mut CallContext<'_>) -> Type {
    let number = match cx.arg_types.first() {
        Some(Type::Str { .. }) => {
            let name = check::string_literal(cx, 0).unwrap_or_default();
            let number = signal_number(&name);
            if number.is_none() {
                cx.error(cx.arg_span(0), format!("{name} is not a signal"));
            }
            number
        }
        _ => {
            check::integer(cx, 0);
            cx.const_int(0)
        }
    };
    if let Some(n) = number.filter(|n| !(1..=LAST_SIGNAL).contains(n)) {
        cx.error(cx.arg_span(0), format!("{}() expects a signal from 1 to {LAST_SIGNAL}, not {n}", cx.name));
    }
    Type::Void
}

fn lower_signal(
    l: &mut Lower<'_>,
    call: &Expr,
    args: &[Expr],
    helper: Helper,
) -> Result<Operand, LowerError> {
    let [signal] = args else { return Ok(Operand::Void) };
    let number = match l.const_str(signal) {
        Some(name) => {
            let number = signal_number(&String::from_utf8_lossy(&name)).unwrap_or(0);
            l.b.iconst(number)
        }
        None => l.scalar(signal)?,
    };
    let ret = l.b.call(helper, &[number], Effect::Write);
    l.helper_error(helper, ret, "", call.span);
    Ok(Operand::Void)
}

fn infer_override(cx: &mut CallContext<'_>) -> Type {
    check::integer(cx, 0);
    cx.uses.ctx = true;
    if cx.probe.is_some_and(|p| !p.only(&["kprobe"])) {
        cx.error(cx.span, "override() can only be used with kprobes");
    }
    Type::Void
}

fn lower_override(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [rc] = args else { return Ok(Operand::Void) };
    let value = l.scalar(rc)?;
    let ctx = l.ctx();
    l.b.call(Helper::OVERRIDE_RETURN, &[ctx, value], Effect::Write);
    Ok(Operand::Void)
}

fn infer_write_user(cx: &mut CallContext<'_>) -> Type {
    check::address(cx, 0);
    check::expect(cx, 1, "a string, buffer, array or pointer", |t| {
        matches!(
            t,
            Type::Str { .. }
                | Type::Buffer { .. }
                | Type::Array { .. }
                | Type::Struct { .. }
                | Type::Pointer { .. }
        )
    });
    check::integer(cx, 2);
    if let Some(n) = cx.const_int(2).filter(|n| !(1..=4096).contains(n)) {
        cx.error(cx.arg_span(2), format!("write_user() writes 1 to 4096 bytes, not {n}"));
    }
    Type::I64
}

fn lower_write_user(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [dst, src, n] = args else { return Ok(Operand::Void) };
    let to = l.scalar(dst)?;
    let to = l.number(to);
    let operand = l.expr(src)?;
    let (is_buffer, own) = match operand.ty() {
        Type::Buffer { capacity } => (true, capacity),
        Type::Pointer { .. } => (false, 64),
        ty => (false, l.size_of(&ty)),
    };
    let (room, len) = match l.const_int(n).and_then(|n| u32::try_from(n).ok()) {
        Some(n) => (n.min(4096), l.b.iconst(i64::from(n))),
        None => {
            let len = l.scalar(n)?;
            (own, at_most(l, len, own)?)
        }
    };
    let from = if is_buffer {
        let place = l.materialise(operand)?.at(4);
        if room > own {
            return Err(LowerError::new(src.span, format!("The buffer has only {own} bytes")));
        }
        place
    } else {
        raw_bytes(l, operand, room, Space::Kernel, src.span)?
    };
    let from = l.address(from);
    let zero = l.b.iconst(0);
    // The helper takes no length of 0.
    let ret = l.choose(
        Cond::Ne,
        len,
        zero,
        |l| Ok(l.b.call(Helper::PROBE_WRITE_USER, &[to, from, len], Effect::Write)),
        |l| Ok(l.b.iconst(0)),
    )?;
    l.helper_error(Helper::PROBE_WRITE_USER, ret, "", call.span);
    Ok(Operand::scalar(ret, Type::I64))
}

/// The struct that a pointer points to.
fn pointee(ty: Option<&Type>) -> Option<&StructType> {
    match ty? {
        Type::Pointer { to, .. } => match &**to {
            Type::Struct { def, .. } => Some(def),
            _ => None,
        },
        _ => None,
    }
}

fn infer_skboutput(cx: &mut CallContext<'_>) -> Type {
    check::string_literal(cx, 0);
    let known = cx.arg_types.get(1).is_none_or(|t| *t != Type::Unknown);
    let is_skb = pointee(cx.arg_types.get(1)).is_some_and(|d| &*d.name == "sk_buff");
    if known && !is_skb {
        cx.error(cx.arg_span(1), "skboutput() expects a pointer to struct sk_buff as second argument");
    }
    check::integer(cx, 2);
    check::integer(cx, 3);
    Type::uint(4)
}

fn lower_skboutput(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [path, skb, length, offset] = args else { return Ok(Operand::Void) };
    let path = l.const_str(path).unwrap_or_default();
    let path = String::from_utf8_lossy(&path).into();
    let ty = l.ty(skb);
    let def = pointee(Some(&ty)).cloned();
    let def = def.ok_or_else(|| LowerError::new(skb.span, "A pointer to struct sk_buff is needed here"))?;
    let buffer = l.scalar(skb)?;
    let member = |l: &mut Lower<'_>, name: &str, ty: Type| {
        let operand = super::task::member_of(l, buffer, def.clone(), &[name], ty, call.span)?;
        l.to_scalar(operand, call.span)
    };
    let data = member(l, "data", Type::U64)?;
    let all = member(l, "len", Type::uint(4))?;
    let paged = member(l, "data_len", Type::uint(4))?;
    let data = l.number(data);
    let skip = l.scalar(offset)?;
    let linear = l.b.sub(all, paged);
    let linear = l.b.sub(linear, skip);
    let capacity = l.const_int(length).map_or(PACKET_BYTES, |n| n.clamp(1, 1 << 16) as u32);
    let wanted = l.scalar(length)?;
    let wanted = at_most(l, wanted, capacity)?;
    // An offset behind the end gives a large number when taken without sign: nothing is there then.
    let zero = l.b.iconst(0);
    let linear = l.choose(Cond::Sgt, linear, zero, |_| Ok(linear), |l| Ok(l.b.iconst(0)))?;
    let len = l.choose(Cond::Ult, linear, wanted, |_| Ok(linear), |_| Ok(wanted))?;
    let len = at_most(l, len, capacity)?;
    let place = l.alloc_scratch(capacity.saturating_add(4))?;
    l.b.store(place.ptr, place.offset, Size::B4, len);
    let to = l.address(place.at(4));
    let from = l.b.add(data, skip);
    let ret = l.b.call(Helper::PROBE_READ_KERNEL, &[to, len, from], Effect::Write);
    l.helper_error(Helper::PROBE_READ_KERNEL, ret, "", call.span);
    let now = l.read_call(Helper::KTIME_GET_NS);
    let fields = vec![Operand::scalar(now, Type::U64), Operand::memory(place, Type::Buffer { capacity })];
    l.emit_record(ActionKind::Packet { path }, fields, call.span)?;
    let zero = l.b.iconst(0);
    Ok(Operand::scalar(zero, Type::uint(4)))
}

fn infer_path(cx: &mut CallContext<'_>) -> Type {
    let is_path = match cx.arg_types.first() {
        Some(Type::Struct { def, .. }) => &*def.name == "path",
        Some(Type::Unknown) => true,
        other => pointee(other).is_some_and(|d| &*d.name == "path"),
    };
    if !is_path {
        cx.error(cx.arg_span(0), "path() expects a pointer to struct path as first argument");
    }
    if cx.probe.is_some_and(|p| !p.only(&["fentry", "fexit", "iter"])) {
        cx.error(cx.span, "path() can only be used with fentry, fexit and iter probes");
    }
    let max = max_strlen(cx.config.max_strlen);
    let capacity = match cx.args.len() {
        2 => check::size_literal(cx, 1, max).unwrap_or(max),
        _ => max,
    };
    Type::Str { capacity: capacity.max(1) }
}

fn lower_path(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(path) = args.first() else { return Ok(Operand::Void) };
    let ty = l.ty(call);
    let operand = l.expr(path)?;
    let (object, offset) = match operand {
        Operand::Remote { addr, offset, .. } => (addr, offset),
        other => (l.to_scalar(other, path.span)?, 0),
    };
    if l.unit.kind != ProgKind::TRACING || l.b.ty(object) != Ty::Ptr {
        return Err(LowerError::new(
            path.span,
            "path() needs a path that the kernel can check: one reached from the probe's arguments without a detour",
        ));
    }
    let capacity = super::strings::text_capacity(&ty).unwrap_or(1);
    let place = l.alloc_scratch(capacity)?;
    let to = l.address(place);
    let size = l.b.iconst(i64::from(capacity));
    let null = l.b.iconst(0);
    // The object that holds the path may be missing (a file that an iterator has come to the end of).
    let ret = l.choose(
        Cond::Ne,
        object,
        null,
        |l| {
            let path = if offset == 0 { object } else { l.b.add_imm(object, offset) };
            let ret = l.b.call(Helper::D_PATH, &[path, to, size], Effect::Write);
            l.helper_error(Helper::D_PATH, ret, "", call.span);
            Ok(ret)
        },
        |l| Ok(l.b.iconst(-1)),
    )?;
    // When it fails, the buffer may hold anything.
    let zero = l.b.iconst(0);
    l.if_then(Cond::Slt, ret, zero, |l| {
        let zero = l.b.iconst(0);
        l.b.store(place.ptr, place.offset, Size::B1, zero);
        Ok(())
    })?;
    Ok(Operand::memory(place, ty))
}

fn infer_debugf(cx: &mut CallContext<'_>) -> Type {
    let Some(format) = check_call(cx) else { return Type::Void };
    for (i, spec) in format.specs().enumerate() {
        let ty = cx.arg_types.get(i + 1).cloned().unwrap_or_default();
        if let Err(why) = kernel_conversion(spec, class_of(&ty)) {
            cx.error(cx.arg_span(0), format!("debugf: {why}"));
        }
    }
    cx.warn(
        cx.span,
        "The debugf() builtin is not recommended for production use: it writes to a buffer that all tracers share. \
         For more information see bpf_trace_printk in bpf-helpers(7).",
    );
    Type::Void
}

/// A conversion as the kernel's printf for programs takes it.
fn kernel_conversion(spec: &Spec, class: ArgClass) -> Result<String, String> {
    use fathom_report::printf::Count;
    if spec.precision.is_some() || spec.flags.alternate || matches!(spec.width, Some(Count::Arg)) {
        return Err("the kernel knows no precision, '#' or '*' in formats".into());
    }
    let mut out = String::from("%");
    for (set, sign) in
        [(spec.flags.left, '-'), (spec.flags.plus, '+'), (spec.flags.space, ' '), (spec.flags.zero, '0')]
    {
        if set {
            out.push(sign);
        }
    }
    if let Some(Count::Fixed(width)) = spec.width {
        out.push_str(&width.to_string());
    }
    let long = if spec.length == Length::Long { "ll" } else { "" };
    match spec.conv {
        Conv::Signed => out.push_str(&format!("{long}d")),
        Conv::Unsigned => out.push_str(&format!("{long}u")),
        Conv::Hex => out.push_str(&format!("{long}x")),
        Conv::HexUpper => out.push_str(&format!("{long}X")),
        Conv::Char => out.push('c'),
        // The kernel would print a hash of a pointer.
        Conv::Pointer => return Ok(format!("0x{out}llx")),
        Conv::Str if class == ArgClass::Str => out.push('s'),
        Conv::Str => return Err("%s takes strings only here".into()),
        other => return Err(format!("the kernel knows no %{}", other.spelling())),
    }
    Ok(out)
}

/// The whole format as the kernel takes it, with its NUL.
fn kernel_format(format: &Format, classes: &[ArgClass]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut classes = classes.iter();
    for segment in &format.segments {
        match segment {
            Segment::Literal(text) => {
                for byte in text.iter() {
                    out.push(*byte);
                    if *byte == b'%' {
                        out.push(b'%');
                    }
                }
            }
            Segment::Spec(spec) => {
                let class = classes.next().copied().unwrap_or(ArgClass::Integer);
                out.extend(kernel_conversion(spec, class).unwrap_or_default().bytes());
            }
        }
    }
    out.push(0);
    out
}

fn lower_debugf(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let text = format_text(l, args);
    let format = Format::parse(&text).unwrap_or_default();
    let classes: Vec<ArgClass> = args.iter().skip(1).map(|a| class_of(l.typed.ty(a))).collect();
    let bytes = kernel_format(&format, &classes);
    let mut numbers = Vec::new();
    for (arg, spec) in args.iter().skip(1).zip(format.specs()) {
        let operand = l.expr(arg)?;
        numbers.push(printk_value(l, operand, spec, arg)?);
    }
    let size = bytes.len() as u32;
    let map = l.out.constant_bytes(&bytes, size);
    let (format, size) = (l.b.map_value(map, 0), l.b.iconst(i64::from(size)));
    if numbers.len() <= PRINTK_ARGS {
        let mut all = vec![format, size];
        all.extend(numbers);
        l.b.call(Helper::TRACE_PRINTK, &all, Effect::Write);
        return Ok(Operand::Void);
    }
    let data = l.alloc(numbers.len() as u32 * 8)?;
    for (i, value) in numbers.iter().enumerate() {
        let at = data.at(i as u32 * 8);
        l.b.store(at.ptr, at.offset, Size::B8, *value);
    }
    let (data, len) = (l.address(data), l.b.iconst(numbers.len() as i64 * 8));
    l.b.call(Helper::TRACE_VPRINTK, &[format, size, data, len], Effect::Write);
    Ok(Operand::Void)
}

/// The register that stands for an argument: its number, or the address of its text.
fn printk_value(l: &mut Lower<'_>, operand: Operand, spec: &Spec, arg: &Expr) -> Result<Value, LowerError> {
    if spec.conv == Conv::Str {
        let place = l.materialise(operand)?;
        return Ok(l.address(place));
    }
    let value = l.to_scalar(operand, arg.span)?;
    let value = l.number(value);
    Ok(match spec.length {
        Length::Char => l.b.extend(Size::B1, spec.conv == Conv::Signed, value),
        Length::Short => l.b.extend(Size::B2, spec.conv == Conv::Signed, value),
        _ => value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal_number("SIGKILL"), Some(9));
        assert_eq!(signal_number("usr1"), Some(10));
        assert_eq!(signal_number("SIGSYS"), Some(31));
        assert_eq!(signal_number("12"), Some(12));
        assert_eq!(signal_number("SIGNONE"), None);
    }

    #[test]
    fn formats_are_put_in_the_kernels_terms() {
        let format = Format::parse("%d%% %-5s %p %jx").unwrap();
        let classes = [ArgClass::Integer, ArgClass::Str, ArgClass::Pointer, ArgClass::Integer];
        assert_eq!(kernel_format(&format, &classes), b"%d%% %-5s 0x%llx %llx\0");
        let spec = *Format::parse("%.3d").unwrap().specs().next().unwrap();
        assert!(kernel_conversion(&spec, ArgClass::Integer).is_err());
    }
}
