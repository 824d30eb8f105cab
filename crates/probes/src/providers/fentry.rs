//! `fentry` and `fexit`: entry and return of kernel functions through BPF trampolines, arguments typed by BTF.

use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, BtfTarget};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
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
    let targets: Vec<Target> =
        found.iter().filter_map(|(m, f)| target(facts, request.provider, attach, m, f)).collect();
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
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
        func: Some(function.to_owned()),
        args: Arc::new(ArgSet { ret, ..args }),
        carriers: vec![carrier],
    })
}
