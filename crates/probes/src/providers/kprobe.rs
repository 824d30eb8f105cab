//! `kprobe` and `kretprobe`: any instruction of the kernel, by function, offset or address.

use super::timer::parse_number;
use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, Refusal};
use fathom_lang::facts::{ArgSet, Carrier, Context, Facts, Feature, Resolution, Target};
use std::sync::Arc;

/// `kprobe:[MODULE:]FUNCTION[+OFFSET]`, `kprobe:ADDRESS`.
pub static KPROBE: Provider = Provider {
    name: "kprobe",
    aliases: &["k"],
    probe_type: "kprobe",
    side: Side::Kernel,
    forms: &["kprobe:FUNCTION", "kprobe:MODULE:FUNCTION", "kprobe:FUNCTION+OFFSET", "kprobe:ADDRESS"],
    doc: "Entry of (or an instruction within) a kernel function; arguments as arg0 ... arg5.",
    resolve: |f, r| resolve(f, r, false),
    list,
};

/// `kretprobe:[MODULE:]FUNCTION`.
pub static KRETPROBE: Provider = Provider {
    name: "kretprobe",
    aliases: &["kr"],
    probe_type: "kretprobe",
    side: Side::Kernel,
    forms: &["kretprobe:FUNCTION", "kretprobe:MODULE:FUNCTION"],
    doc: "Return of a kernel function; its value as retval.",
    resolve: |f, r| resolve(f, r, true),
    list,
};

fn list(facts: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (module, name) in facts.traceable_functions() {
        let fits = listing.fits(name) || listing.fits(&format!("{module}:{name}"));
        if fits {
            out.push(if module == "vmlinux" { name.clone() } else { format!("{module}:{name}") });
        }
    }
    out
}

/// Functions that must not be probed in bulk: the tracer's own path would recurse or the machine stall.
fn is_dangerous(function: &str) -> bool {
    ["rcu_", "__rcu_", "arch_rcu_"].iter().any(|p| function.starts_with(p))
}

/// The parts of a target.
struct Site<'a> {
    module: Option<&'a str>,
    function: &'a str,
    offset: u64,
}

fn site<'a>(request: &'a Request<'_>) -> Result<Site<'a>, String> {
    let (module, rest) = match request.parts {
        [rest] if !rest.is_empty() => (None, rest.as_str()),
        [module, rest] if !rest.is_empty() => (Some(module.as_str()), rest.as_str()),
        _ => {
            return Err(format!("{} probe must have a function and may have a module", request.provider.name))
        }
    };
    let (function, offset) = match rest.split_once('+') {
        Some((f, o)) => (f, parse_number(o).ok_or_else(|| format!("Invalid offset: {o}"))?),
        None => (rest, 0),
    };
    Ok(Site { module, function, offset })
}

fn resolve(facts: &KernelFacts, request: &Request<'_>, ret: bool) -> Resolution {
    let site = match site(request) {
        Ok(site) => site,
        Err(message) => return request.malformed(message),
    };
    if ret && site.offset != 0 {
        return request.malformed("kretprobes must be attached to the entry of a function, not to an offset");
    }
    if let Some(module) = site.module.filter(|m| !wildcard::is_pattern(m)) {
        if !facts.has_module(module) {
            return error(
                format!("specified module {module} in probe {} is not loaded.", request.whole.raw),
                None,
            );
        }
    }
    if let Some(address) = parse_number(site.function) {
        if !request.whole.allow_unsafe {
            return error(
                format!(
                    "{}:{} needs --unsafe: nothing checks that an instruction begins at the address",
                    request.provider.name, site.function
                ),
                None,
            );
        }
        return Resolution {
            targets: vec![target(
                facts,
                request.provider,
                &Site { module: None, function: "", offset: address },
                ret,
                false,
            )],
            ..Resolution::default()
        };
    }
    if wildcard::is_pattern(site.function) || site.module.is_some_and(wildcard::is_pattern) {
        return resolve_pattern(facts, request, &site, ret);
    }
    resolve_one(facts, request, &site, ret)
}

fn resolve_one(facts: &KernelFacts, request: &Request<'_>, site: &Site<'_>, ret: bool) -> Resolution {
    let mut resolution = Resolution::default();
    let known = facts.is_traceable(site.module, site.function);
    if !known {
        resolution.warnings.push(format!(
            "{} is not traceable (either non-existing, inlined, or marked as \"notrace\"); attaching to it will likely fail",
            site.function
        ));
    }
    if known || request.whole.allow_unsafe {
        resolution.targets.push(target(facts, request.provider, site, ret, false));
    } else {
        resolution.missing = Some(format!("No matches for {} {}.", request.provider.name, request.target()));
    }
    resolution
}

/// From this many functions on they are attached to in one go, where the kernel can.
const BULK_FROM: usize = 4;

fn resolve_pattern(facts: &KernelFacts, request: &Request<'_>, site: &Site<'_>, ret: bool) -> Resolution {
    let functions = facts.traceable_functions().iter().filter(|(m, f)| {
        wildcard::matches(site.function, f)
            && site.module.is_none_or(|want| wildcard::matches(want, m))
            && !is_dangerous(f)
    });
    let with_module = |m: &'_ str| site.module.is_some() || m != "vmlinux";
    let functions: Vec<&(String, String)> = functions.collect();
    // Finding many names is work for the kernel, one walk through its symbols for all: not for a few.
    let in_bulk = functions.len() >= BULK_FROM;
    let targets: Vec<Target> = functions
        .iter()
        .map(|(m, f)| {
            let module = with_module(m).then_some(m.as_str());
            target(facts, request.provider, &Site { module, function: f, offset: 0 }, ret, in_bulk)
        })
        .collect();
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
}

/// The target at a site. `in_bulk`: one of many, which one link should attach to.
fn target(facts: &KernelFacts, provider: &Provider, site: &Site<'_>, ret: bool, in_bulk: bool) -> Target {
    let Site { module, function, offset } = *site;
    let context = Context::Registers { at_return: ret };
    let mut carriers = Vec::new();
    if in_bulk && facts.has(Feature::KprobeMulti) {
        carriers.push(Carrier {
            kind: ProgKind::KPROBE,
            attach_kind: Some(AttachKind::TRACE_KPROBE_MULTI),
            attach_btf: None,
            sleepable: false,
            how: Attach::KprobeMulti { symbols: vec![(function.to_owned(), 0)], ret, session: false },
            context: context.clone(),
            select: None,
            has_cookie: true,
            mechanism: "kprobe_multi",
        });
    }
    carriers.push(Carrier {
        kind: ProgKind::KPROBE,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::Kprobe { symbol: function.to_owned(), module: module.map(str::to_owned), offset, ret },
        context,
        select: None,
        has_cookie: true,
        mechanism: "perf kprobe",
    });
    let place = match (function, offset) {
        ("", address) => address.to_string(),
        (f, 0) => f.to_owned(),
        (f, o) => format!("{f}+{o}"),
    };
    let name = match module {
        Some(m) => format!("{}:{m}:{place}", provider.name),
        None => format!("{}:{place}", provider.name),
    };
    Target {
        name,
        provider: provider.name,
        probe_type: provider.probe_type,
        refusal: Refusal::default(),
        func: (!function.is_empty()).then(|| function.to_owned()),
        args: Arc::new(ArgSet {
            unavailable: Some(format!(
                "{} probes have arg0, arg1 ... instead of named arguments",
                provider.name
            )),
            ..ArgSet::default()
        }),
        carriers,
    }
}
