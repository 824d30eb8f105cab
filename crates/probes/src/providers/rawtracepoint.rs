//! `rawtracepoint:[MODULE:]EVENT`: tracepoints with their own arguments, typed by BTF (`btf_trace_EVENT`).

use crate::facts::KernelFacts;
use crate::provider::{Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, BtfTarget, Refusal};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
use std::sync::Arc;

/// `rawtracepoint:[MODULE:]EVENT`.
pub static RAWTRACEPOINT: Provider = Provider {
    name: "rawtracepoint",
    aliases: &["rt"],
    probe_type: "rawtracepoint",
    side: Side::Kernel,
    forms: &["rawtracepoint:EVENT", "rawtracepoint:MODULE:EVENT"],
    doc: "Tracepoints of the kernel with the arguments of the kernel function call: the cheapest kernel probe. args.NAME needs BTF, argN does not.",
    resolve,
    list,
};

const PREFIX: &str = "btf_trace_";

fn list(facts: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for module in facts.btf_modules() {
        let targets = names(facts, &module).into_iter().map(|event| format!("{module}:{event}"));
        out.extend(
            targets.filter(|t| listing.fits(t) || t.split_once(':').is_some_and(|(_, e)| listing.fits(e))),
        );
    }
    out.sort();
    out
}

/// Tracepoints of a module, sorted. There is one typedef per tracepoint.
fn names(facts: &KernelFacts, module: &str) -> Vec<String> {
    facts.type_names(module, PREFIX)
}

fn resolve(facts: &KernelFacts, request: &Request<'_>) -> Resolution {
    let (module, event) = match request.parts {
        [event] if !event.is_empty() => (None, event.as_str()),
        [module, event] if !event.is_empty() => (Some(module.as_str()), event.as_str()),
        _ => return request.malformed("rawtracepoint probe must have an event and may have a module"),
    };
    if !facts.has_btf() {
        return match wildcard::is_pattern(event) {
            true => request.malformed("wildcards of rawtracepoint need kernel BTF, which this kernel lacks"),
            false => {
                Resolution { targets: vec![target(event, None, ArgSet::default())], ..Resolution::default() }
            }
        };
    }
    let mut targets = Vec::new();
    for m in facts.btf_modules().iter().filter(|m| module.is_none_or(|want| wildcard::matches(want, m))) {
        let events = match wildcard::is_pattern(event) {
            true => names(facts, m).into_iter().filter(|e| wildcard::matches(event, e)).collect(),
            false => vec![event.to_owned()],
        };
        for e in events {
            if let Some((id, args)) = facts.raw_tracepoint_args(m, &e) {
                targets.push(target(&e, Some(BtfTarget { module: m.clone(), id }), args));
            }
        }
    }
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
}

fn target(event: &str, btf: Option<BtfTarget>, args: ArgSet) -> Target {
    let module = btf.as_ref().map_or("vmlinux", |b| b.module.as_str()).to_owned();
    let mut carriers = Vec::new();
    if btf.is_some() {
        carriers.push(Carrier {
            kind: ProgKind::TRACING,
            attach_kind: Some(AttachKind::TRACE_RAW_TP),
            attach_btf: btf,
            sleepable: false,
            how: Attach::Tracing,
            context: Context::Array { trusted: true },
            select: None,
            has_cookie: true,
            mechanism: "BTF raw tracepoint",
        });
    }
    carriers.push(Carrier {
        kind: ProgKind::RAW_TRACEPOINT,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::RawTracepoint { name: event.to_owned() },
        context: Context::Array { trusted: false },
        select: None,
        has_cookie: false,
        mechanism: "raw tracepoint",
    });
    Target {
        name: format!("rawtracepoint:{module}:{event}"),
        provider: "rawtracepoint",
        probe_type: "rawtracepoint",
        refusal: Refusal::default(),
        func: None,
        args: Arc::new(args),
        carriers,
    }
}
