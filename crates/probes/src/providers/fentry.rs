//! `fentry` and `fexit`: entry and return of kernel functions through BPF trampolines, arguments typed by BTF.

use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, BtfTarget, Refusal};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
use fathom_symbols::btf::BtfType;
use std::collections::BTreeSet;
use std::sync::Arc;

/// `fentry:[MODULE:]FUNCTION`.
pub static FENTRY: Provider = Provider {
    name: "fentry",
    aliases: &["f", "kfunc"],
    probe_type: "fentry",
    side: Side::Kernel,
    forms: &["fentry:FUNCTION", "fentry:MODULE:FUNCTION"],
    doc: "Entry of a kernel function; arguments as args.NAME. Cheaper than kprobe; needs BTF and ftrace.",
    resolve: |f, r| resolve(f, r, AttachKind::TRACE_FENTRY),
    list,
};

/// `fexit:[MODULE:]FUNCTION`.
pub static FEXIT: Provider = Provider {
    name: "fexit",
    aliases: &["fr", "kretfunc"],
    probe_type: "fexit",
    side: Side::Kernel,
    forms: &["fexit:FUNCTION", "fexit:MODULE:FUNCTION"],
    doc: "Return of a kernel function; arguments as args.NAME, the return value as retval.",
    resolve: |f, r| resolve(f, r, AttachKind::TRACE_FEXIT),
    list,
};

fn list(facts: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    let mut out = Vec::new();
    facts.btf_modules().iter().for_each(|m| facts.index_functions(m));
    for (module, name) in facts.traceable_functions() {
        let target = format!("{module}:{name}");
        if (listing.fits(&target) || listing.fits(name)) && facts.function_id(module, name).is_some() {
            out.push(target);
        }
    }
    out
}

/// From this many functions on an index of all functions is quicker than looking each up.
const INDEX_FROM: usize = 100;

fn resolve(facts: &KernelFacts, request: &Request<'_>, attach: AttachKind) -> Resolution {
    let (module, function) = match request.parts {
        [function] if !function.is_empty() => (None, function.as_str()),
        [module, function] if !function.is_empty() => (Some(module.as_str()), function.as_str()),
        _ => {
            return request.malformed(format!(
                "{} probe must have a function and may have a module",
                request.provider.name
            ))
        }
    };
    if !facts.has_btf() {
        return error(
            format!(
                "{}:{function} needs kernel BTF (CONFIG_DEBUG_INFO_BTF), which this kernel lacks",
                request.provider.name
            ),
            Some("kprobe needs none".into()),
        );
    }
    let mut found: Vec<(String, String)> = Vec::new();
    if wildcard::is_pattern(function) || module.is_some_and(wildcard::is_pattern) {
        let all = facts.traceable_functions().iter();
        let fits = |(m, f): &&(String, String)| {
            wildcard::matches(function, f) && module.is_none_or(|want| wildcard::matches(want, m))
        };
        found.extend(all.filter(fits).cloned());
        if found.len() > INDEX_FROM {
            let modules: BTreeSet<&String> = found.iter().map(|f| &f.0).collect();
            modules.into_iter().for_each(|m| facts.index_functions(m));
        }
    } else if let Some(module) = module {
        found.push((module.to_owned(), function.to_owned()));
    } else if facts.function_id("vmlinux", function).is_some() {
        found.push(("vmlinux".to_owned(), function.to_owned()));
    } else {
        // The modules' types are opened only for what the kernel itself lacks.
        found.extend(facts.btf_modules().into_iter().map(|m| (m, function.to_owned())));
    }
    let mut targets: Vec<Target> = Vec::new();
    let mut refused = None;
    for (module, function) in &found {
        match obstacle(facts, module, function, attach) {
            Some(why) => refused = Some(format!("{}:{function}: {why}", request.provider.name)),
            None => targets.extend(target(facts, request.provider, attach, module, function)),
        }
    }
    match refused {
        Some(why) if targets.is_empty() => error(why, Some("kprobe may work".into())),
        None if targets.is_empty() => request.no_match(),
        _ => Resolution { targets, ..Resolution::default() },
    }
}

/// Most arguments that the kernel hands over (`MAX_BPF_FUNC_ARGS` of `include/linux/bpf.h`).
const ARGS_MAX: usize = 12;
/// Most bytes of a struct that is an argument by value: two registers.
const STRUCT_BYTES_MAX: u64 = 16;
/// Functions that programs themselves need (`btf_id_deny` of `kernel/bpf/verifier.c`).
static DENIED: &[&str] = &[
    "__rcu_read_lock",
    "__rcu_read_unlock",
    "migrate_disable",
    "migrate_enable",
    "preempt_count_add",
    "preempt_count_sub",
    "rcu_read_unlock_strict",
];
/// Functions that do not return (`noreturn_deny` of `kernel/bpf/verifier.c`).
static NO_RETURN: &[&str] = &[
    "__module_put_and_kthread_exit",
    "__x64_sys_exit",
    "__x64_sys_exit_group",
    "do_exit",
    "do_group_exit",
    "kthread_complete_and_exit",
    "kthread_exit",
    "make_task_dead",
];

/// Why the kernel would refuse a program on this function, as far as its type tells.
fn obstacle(facts: &KernelFacts, module: &str, function: &str, attach: AttachKind) -> Option<&'static str> {
    let at_exit = attach == AttachKind::TRACE_FEXIT;
    if DENIED.contains(&function) {
        return Some("the kernel's BPF machinery needs this function itself");
    }
    if at_exit && NO_RETURN.contains(&function) {
        return Some("this function never returns");
    }
    let (_, btf) = facts.btf(module)?;
    let BtfType::Func { proto, .. } = btf.get(facts.function_id(module, function)?).ok()? else {
        return None;
    };
    let BtfType::FuncProto { params, ret } = btf.get(proto).ok()? else { return None };
    let is_struct = |id| matches!(btf.resolve(id), Ok((_, BtfType::Struct(_) | BtfType::Union(_))));
    let params: Vec<u32> = params.iter().flatten().map(|p| p.ty).collect();
    if params.last() == Some(&0) {
        return Some("functions with a variable number of arguments can't be traced this way");
    }
    if params.len() > ARGS_MAX {
        return Some("it has more arguments than the kernel hands over");
    }
    if params.iter().any(|id| is_struct(*id) && btf.size_of(*id).is_ok_and(|n| n > STRUCT_BYTES_MAX)) {
        return Some("it has an argument that does not fit registers");
    }
    if ret != 0 && is_struct(ret) {
        return Some("it returns a struct");
    }
    None
}

fn target(
    facts: &KernelFacts,
    provider: &Provider,
    attach: AttachKind,
    module: &str,
    function: &str,
) -> Option<Target> {
    let (id, args) = facts.function_args(module, function)?;
    if !facts.is_traceable(Some(module), function) {
        return None;
    }
    let carrier = Carrier {
        kind: ProgKind::TRACING,
        attach_kind: Some(attach),
        attach_btf: Some(BtfTarget { module: module.to_owned(), id }),
        sleepable: false,
        how: Attach::Tracing,
        context: Context::Array { trusted: true },
        select: None,
        has_cookie: true,
        mechanism: "trampoline",
    };
    let ret = if attach == AttachKind::TRACE_FEXIT { args.ret.clone() } else { None };
    Some(Target {
        name: format!("{}:{module}:{function}", provider.name),
        provider: provider.name,
        probe_type: provider.probe_type,
        refusal: Refusal::default(),
        func: Some(function.to_owned()),
        args: Arc::new(ArgSet { ret, ..args }),
        carriers: vec![carrier],
    })
}
