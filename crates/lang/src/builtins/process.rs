//! What is running and what the probe passes: process, CPU, time, probe, arguments, stacks.

use super::{Builtin, Form};
use crate::analyse::call::CallContext;
use crate::facts::{ArgType, Context, Feature, Target};
use crate::lower::{Lower, LowerError, Operand};
use crate::types::{Space, Type};
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Effect, LoadConst, Size};
use fathom_codegen::layout::StackMode;
use fathom_syntax::ast::{Expr, ExprKind};

/// Most frames of a stack.
const FRAMES_MAX: i64 = 1024;
/// Frames of a stack unless a call says otherwise.
const FRAMES_DEFAULT: u32 = 127;

/// One row of a value that needs nothing but a helper call or a context read.
macro_rules! value {
    ($name:literal, $form:ident, $args:expr, $signature:literal, $infer:expr, $lower:expr, $doc:literal, $example:literal) => {
        Builtin {
            name: $name,
            form: Form::$form,
            signature: $signature,
            args: $args,
            is_unsafe: false,
            pure_value: true,
            infer: $infer,
            lower: $lower,
            doc: $doc,
            example: $example,
        }
    };
}

/// The rows of this family.
pub(super) static ROWS: &[Builtin] = &[
    value!("pid", Either, (0, 1), "uint32 pid([init|curr_ns])", infer_id, lower_pid,
        "Id of the current process. `pid(curr_ns)` counts in the pid namespace of the tracer, `pid(init)` (the default) in the first one.",
        r#"begin { printf("%d\n", pid); }"#),
    value!("tid", Either, (0, 1), "uint32 tid([init|curr_ns])", infer_id, lower_tid,
        "Id of the current thread, in the same namespaces as `pid`.",
        r#"begin { printf("%d\n", tid); }"#),
    value!("uid", Value, (0, 0), "uint64 uid", |_| Type::U64, lower_uid,
        "Id of the user that the current process runs as.",
        r#"begin { printf("%d\n", uid); }"#),
    value!("gid", Value, (0, 0), "uint64 gid", |_| Type::U64, lower_gid,
        "Id of the group that the current process runs as.",
        r#"begin { printf("%d\n", gid); }"#),
    value!("comm", Either, (0, 1), "string[16] comm([uint32 pid])", super::task::infer_comm, super::task::lower_comm,
        "Name of the current thread, at most 15 characters; or that of another thread by its id, empty if there is none.",
        r#"begin { printf("%s\n", comm); }"#),
    value!("cpu", Value, (0, 0), "uint32 cpu", |_| Type::uint(4), |l, _, _| {
            let cpu = l.b.call(Helper::GET_SMP_PROCESSOR_ID, &[], Effect::Once);
            Ok(Operand::scalar(cpu, Type::uint(4)))
        },
        "Number of the processor that the program runs on.",
        r#"begin { printf("%d\n", cpu); }"#),
    value!("nsecs", Either, (0, 1), "uint64 nsecs([boot|monotonic|tai|sw_tai])", infer_nsecs, lower_nsecs,
        "Time in nanoseconds: since the machine was started (`boot`, the default, and `monotonic`, which stands still while the machine \
         sleeps), or international atomic time (`tai`).",
        r#"begin { printf("%lld\n", nsecs); }"#),
    value!("elapsed", Value, (0, 0), "uint64 elapsed", |_| Type::U64, |l, _, _| {
            let now = l.read_call(Helper::KTIME_GET_NS);
            let start = l.b.load_const(LoadConst::StartTimeNs);
            Ok(Operand::scalar(l.b.sub(now, start), Type::U64))
        },
        "Nanoseconds since the script was started.",
        r#"begin { printf("%lld\n", elapsed); }"#),
    value!("probe", Value, (0, 0), "string probe", infer_probe, |l, e, _| {
            let capacity = capacity_of(l, e);
            l.target_text(|t| t.name.clone(), capacity, e.span)
        },
        "Full name of the probe that fired.",
        r#"begin { printf("%s\n", probe); }"#),
    value!("probetype", Value, (0, 0), "string probetype", infer_probetype, |l, e, _| {
            let capacity = capacity_of(l, e);
            l.target_text(|t| t.probe_type.to_string(), capacity, e.span)
        },
        "Type of the probe that fired: `tracepoint`, `uprobe`, `special`, ...",
        r#"begin { printf("%s\n", probetype); }"#),
    value!("ctx", Value, (0, 0), "void *ctx", infer_ctx, |l, e, _| {
            let ty = l.ty(e);
            Ok(l.context_value(&ty))
        },
        "The raw context of the BPF program: registers for kprobes and uprobes, the object of an iterator.",
        r#"begin { printf("%p\n", ctx); }"#),
    value!("args", Value, (0, 0), "args", |cx| {
            cx.uses.args = true;
            Type::Args
        }, |l, e, _| l.all_arguments(e),
        "The arguments of the probe by name: `args.filename`. `fathom list -v PROBE` shows the names.",
        r#"tracepoint:syscalls:sys_enter_openat { printf("%s\n", str(args.filename)); }"#),
    value!("argN", Value, (0, 0), "uint64 argN", |cx| {
            cx.uses.arg_n = true;
            Type::U64
        }, lower_arg_n,
        "Argument number N of the traced function or USDT probe, from `arg0`.",
        r#"uprobe:libc:getenv { printf("%s\n", str(arg0)); }"#),
    value!("retval", Value, (0, 0), "uint64 retval", infer_retval, |l, e, _| {
            let ty = l.ty(e);
            l.return_value(&ty, e.span)
        },
        "What the traced function returned.",
        r#"uretprobe:libc:getenv { printf("%p\n", retval); }"#),
    value!("kstack", Either, (0, 2), "kstack kstack([mode,][n])", |cx| infer_stack(cx, false), |l, e, _| {
            let ty = l.ty(e);
            l.stack_value(&ty, e.span)
        },
        "The kernel stack. `mode` is `bpftrace`, `perf` or `raw`; `n` is the most frames (127 unless given).",
        "profile:hz:99 { @[kstack] = count(); }"),
    value!("ustack", Either, (0, 2), "ustack ustack([mode,][n])", |cx| infer_stack(cx, true), |l, e, _| {
            let ty = l.ty(e);
            l.stack_value(&ty, e.span)
        },
        "The user stack of the current thread. Modes as in `kstack`, and `build_id` for the build id and offset of each frame.",
        "profile:hz:99 { @[ustack(5)] = count(); }"),
];

fn infer_id(cx: &mut CallContext<'_>) -> Type {
    if !cx.args.is_empty() && !matches!(cx.ident(0), Some("init" | "curr_ns")) {
        let text = format!("Invalid PID namespace mode: {}() expects init or curr_ns", cx.name);
        cx.error(cx.arg_span(0), text);
    }
    Type::uint(4)
}

/// The bare word that an argument is.
fn word(args: &[Expr], i: usize) -> Option<&str> {
    match args.get(i).map(|a| &a.kind) {
        Some(ExprKind::Ident(name)) => Some(name),
        _ => None,
    }
}

/// The pid in one of the two words that the helpers give.
fn id_value(l: &mut Lower<'_>, args: &[Expr], thread: bool) -> Result<Operand, LowerError> {
    let value = if word(args, 0) == Some("curr_ns") {
        let place = l.alloc_stack(8);
        l.zero(place, 8);
        let (dev, ino) = (l.b.load_const(LoadConst::PidNsDev), l.b.load_const(LoadConst::PidNsIno));
        let len = l.b.iconst(8);
        // struct bpf_pidns_info { u32 pid; u32 tgid; }
        let at = l.address(place);
        l.b.call(Helper::GET_NS_CURRENT_PID_TGID, &[dev, ino, at, len], Effect::Write);
        let half = place.at(if thread { 0 } else { 4 });
        l.b.load(half.ptr, half.offset, Size::B4, false)
    } else {
        let both = l.once_call(Helper::GET_CURRENT_PID_TGID);
        if thread {
            l.b.extend(Size::B4, false, both)
        } else {
            l.b.lshr_imm(both, 32)
        }
    };
    Ok(Operand::scalar(value, Type::uint(4)))
}

fn lower_pid(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    id_value(l, args, false)
}

fn lower_tid(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    id_value(l, args, true)
}

fn lower_uid(l: &mut Lower<'_>, _: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    let both = l.once_call(Helper::GET_CURRENT_UID_GID);
    Ok(Operand::scalar(l.b.extend(Size::B4, false, both), Type::U64))
}

fn lower_gid(l: &mut Lower<'_>, _: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    let both = l.once_call(Helper::GET_CURRENT_UID_GID);
    Ok(Operand::scalar(l.b.lshr_imm(both, 32), Type::U64))
}

fn infer_nsecs(cx: &mut CallContext<'_>) -> Type {
    if !cx.args.is_empty() && !matches!(cx.ident(0), Some("boot" | "monotonic" | "tai" | "sw_tai")) {
        let text = "Invalid timestamp mode: nsecs() expects boot, monotonic, tai or sw_tai";
        cx.error(cx.arg_span(0), text);
    }
    if matches!(cx.ident(0), Some("tai")) && !cx.facts.has(Feature::KtimeTai) {
        cx.error(cx.arg_span(0), "Kernel does not support tai timestamp, please try sw_tai");
    }
    Type::U64
}

fn lower_nsecs(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let helper = match word(args, 0) {
        Some("monotonic") => Helper::KTIME_GET_NS,
        Some("tai" | "sw_tai") if l.has(Feature::KtimeTai) => Helper::KTIME_GET_TAI_NS,
        _ if l.has(Feature::KtimeBoot) => Helper::KTIME_GET_BOOT_NS,
        _ => Helper::KTIME_GET_NS,
    };
    Ok(Operand::scalar(l.read_call(helper), Type::U64))
}

/// A string type that holds the longest of these texts.
fn text_type(cx: &CallContext<'_>, text: impl Fn(&Target) -> usize) -> Type {
    let longest = cx.probe.map_or(0, |p| p.targets.iter().map(text).max().unwrap_or(0));
    Type::Str { capacity: longest as u32 + 1 }
}

fn infer_probe(cx: &mut CallContext<'_>) -> Type {
    cx.uses.probe_name = true;
    text_type(cx, |t| t.name.len())
}

fn infer_probetype(cx: &mut CallContext<'_>) -> Type {
    let differ = cx
        .probe
        .is_some_and(|p| p.targets.windows(2).any(|t| matches!(t, [a, b] if a.probe_type != b.probe_type)));
    cx.uses.probe_name |= differ;
    text_type(cx, |t| t.probe_type.len())
}

fn capacity_of(l: &Lower<'_>, e: &Expr) -> u32 {
    match l.ty(e) {
        Type::Str { capacity } => capacity,
        _ => 64,
    }
}

/// The context's struct, by what the cheapest mechanism passes.
fn infer_ctx(cx: &mut CallContext<'_>) -> Type {
    cx.uses.ctx = true;
    let carrier = cx.probe.and_then(|p| p.targets.first()).and_then(|t| t.carriers.first());
    let registers = |name: &str| cx.store.struct_type(name, Space::Kernel);
    let to = match carrier.map(|c| &c.context) {
        Some(Context::Typed { ty }) => Some(cx.store.type_of(*ty, Space::Kernel)),
        Some(Context::Registers { .. } | Context::Usdt { .. }) => registers("pt_regs"),
        Some(Context::PerfEvent) => registers("bpf_perf_event_data"),
        _ => None,
    };
    Type::pointer(to.unwrap_or(Type::Void), Space::Kernel)
}

fn lower_arg_n(l: &mut Lower<'_>, e: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    let name = match &e.kind {
        ExprKind::Ident(name) | ExprKind::Call { name, .. } => name.as_str(),
        _ => "",
    };
    let digits = name.trim_start_matches("__builtin_").strip_prefix("arg").unwrap_or("");
    let n =
        digits.parse::<u64>().map_err(|_| LowerError::new(e.span, format!("Unknown builtin: '{name}'")))?;
    Ok(Operand::scalar(l.numbered_argument(n, e.span)?, Type::U64))
}

fn infer_retval(cx: &mut CallContext<'_>) -> Type {
    cx.uses.retval = true;
    match cx.probe.and_then(|p| p.args.ret.as_ref()) {
        Some(ArgType::C(id)) => {
            let space = cx.probe.map_or(Space::Kernel, |p| p.default_space());
            cx.store.type_of(*id, space)
        }
        Some(ArgType::Text { size: size @ (1 | 2 | 4 | 8), signed, .. }) => {
            Type::Int { size: *size as u8, signed: *signed }
        }
        _ => Type::U64,
    }
}

fn infer_stack(cx: &mut CallContext<'_>, user: bool) -> Type {
    let mut mode = cx.config.stack_mode;
    let mut limit = FRAMES_DEFAULT;
    for i in 0..cx.args.len() {
        if let Some(name) = cx.ident(i) {
            mode = match name {
                "bpftrace" => StackMode::Bpftrace,
                "perf" => StackMode::Perf,
                "raw" => StackMode::Raw,
                "build_id" if user => StackMode::BuildId,
                other => {
                    let text = format!("Unknown stack mode: '{other}'");
                    cx.error(cx.arg_span(i), text);
                    mode
                }
            };
            continue;
        }
        match cx.const_int(i) {
            Some(n) if (1..=FRAMES_MAX).contains(&n) => limit = n as u32,
            Some(n) if n > FRAMES_MAX => {
                let text = format!("{}([int]) shouldn't exceed {FRAMES_MAX} frames, {n} given", cx.name);
                cx.error(cx.arg_span(i), text);
            }
            _ => {
                let text = format!("{}() expects a number of frames and a stack mode", cx.name);
                cx.error(cx.arg_span(i), text);
            }
        }
    }
    if !user && mode == StackMode::BuildId {
        mode = StackMode::Bpftrace;
    }
    if user {
        Type::UserStack { mode, limit }
    } else {
        Type::KernelStack { mode, limit }
    }
}
