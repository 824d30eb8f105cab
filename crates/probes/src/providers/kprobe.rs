//! `kprobe` and `kretprobe`: any instruction of the kernel, by function, offset or address.

use super::timer::parse_number;
use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::Attach;
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
        let fits = listing.fits(&name) || listing.fits(&format!("{module}:{name}"));
        if fits {
            out.push(if module == "vmlinux" { name } else { format!("{module}:{name}") });
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
            targets: vec![target(facts, request.provider, None, "", address, ret)],
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
    let known = facts.is_traceable(site.function);
    if !known {
        resolution.warnings.push(format!(
            "{} is not traceable (either non-existing, inlined, or marked as \"notrace\"); attaching to it will likely fail",
            site.function
        ));
    }
    if known || request.whole.allow_unsafe {
        resolution.targets.push(target(
            facts,
            request.provider,
            site.module,
            site.function,
            site.offset,
            ret,
        ));
    } else {
        resolution.missing = Some(format!("No matches for {} {}.", request.provider.name, request.target()));
    }
    resolution
}

fn resolve_pattern(facts: &KernelFacts, request: &Request<'_>, site: &Site<'_>, ret: bool) -> Resolution {
    let functions = facts.traceable_functions().into_iter().filter(|(m, f)| {
        wildcard::matches(site.function, f)
            && site.module.is_none_or(|want| wildcard::matches(want, m))
            && !is_dangerous(f)
    });
    let targets: Vec<Target> =
        functions.map(|(_, f)| target(facts, request.provider, site.module, &f, 0, ret)).collect();
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
}

fn target(
    facts: &KernelFacts,
    provider: &Provider,
    module: Option<&str>,
    function: &str,
    offset: u64,
    ret: bool,
) -> Target {
    let context = Context::Registers { at_return: ret };
    let mut carriers = Vec::new();
    if offset == 0 && facts.has(Feature::KprobeMulti) {
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
