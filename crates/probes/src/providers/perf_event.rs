//! `software` and `hardware`: perf's generic counters, every N events.

use super::timer::parse_number;
use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::program::{Attach, PerfCpus, Refusal};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
use std::sync::Arc;

/// An event: (name, alias, perf `config`, default count).
type Event = (&'static str, &'static str, u64, u64);

/// `PERF_COUNT_SW_*` of `include/uapi/linux/perf_event.h`.
static SOFTWARE_EVENTS: &[Event] = &[
    ("alignment-faults", "", 7, 1),
    ("bpf-output", "", 10, 1),
    ("context-switches", "cs", 3, 1000),
    ("cpu-clock", "cpu", 0, 1_000_000),
    ("cpu-migrations", "", 4, 1),
    ("dummy", "", 9, 1),
    ("emulation-faults", "", 8, 1),
    ("major-faults", "", 6, 1),
    ("minor-faults", "", 5, 100),
    ("page-faults", "faults", 2, 100),
    ("task-clock", "", 1, 1),
];

/// `PERF_COUNT_HW_*`.
static HARDWARE_EVENTS: &[Event] = &[
    ("backend-stalls", "", 8, 1_000_000),
    ("branch-instructions", "branches", 4, 100_000),
    ("branch-misses", "", 5, 100_000),
    ("bus-cycles", "", 6, 100_000),
    ("cache-misses", "", 3, 1_000_000),
    ("cache-references", "", 2, 1_000_000),
    ("cpu-cycles", "cycles", 0, 1_000_000),
    ("frontend-stalls", "", 7, 1_000_000),
    ("instructions", "", 1, 1_000_000),
    ("ref-cycles", "", 9, 1_000_000),
];

const PERF_TYPE_HARDWARE: u32 = 0;
const PERF_TYPE_SOFTWARE: u32 = 1;

/// `software:EVENT[:COUNT]`.
pub static SOFTWARE: Provider = Provider {
    name: "software",
    aliases: &["s"],
    probe_type: "software",
    side: Side::Tracer,
    forms: &["software:EVENT:", "software:EVENT:COUNT"],
    doc: "Fires on every CPU each COUNT events of a kernel software counter.",
    resolve: |_, r| resolve(r, SOFTWARE_EVENTS, PERF_TYPE_SOFTWARE),
    list: |_, l| list(l, SOFTWARE_EVENTS),
};

/// `hardware:EVENT[:COUNT]`.
pub static HARDWARE: Provider = Provider {
    name: "hardware",
    aliases: &["h"],
    probe_type: "hardware",
    side: Side::Tracer,
    forms: &["hardware:EVENT:", "hardware:EVENT:COUNT"],
    doc: "Fires on every CPU each COUNT events of the processor's performance counters.",
    resolve: resolve_hardware,
    list: |_, l| list(l, HARDWARE_EVENTS),
};

fn list(listing: &Listing<'_>, events: &[Event]) -> Vec<String> {
    let names = events.iter().flat_map(|e| [e.0, e.1]).filter(|n| !n.is_empty());
    names
        .map(|n| format!("{n}:"))
        .filter(|n| listing.fits(n) || listing.fits(n.trim_end_matches(':')))
        .collect()
}

fn resolve_hardware(facts: &KernelFacts, request: &Request<'_>) -> Resolution {
    let known =
        HARDWARE_EVENTS.iter().any(|e| e.0 == request.part(0) || (!e.1.is_empty() && e.1 == request.part(0)));
    if known && !facts.has_pmu("cpu") {
        return error(
            format!("hardware:{} cannot be counted: this machine offers no performance counters", request.target()),
            Some("virtual machines often hide them; use software:cpu-clock: or profile:hz:99 to sample by time".into()),
        );
    }
    resolve(request, HARDWARE_EVENTS, PERF_TYPE_HARDWARE)
}

fn resolve(request: &Request<'_>, events: &[Event], event_type: u32) -> Resolution {
    let provider = request.provider;
    let wanted = request.part(0);
    if wanted.is_empty() || request.parts.len() > 2 {
        return request
            .malformed(format!("{} probe must have an event name and may have a count", provider.name));
    }
    let Some((_, _, config, default_count)) =
        events.iter().copied().find(|e| e.0 == wanted || (!e.1.is_empty() && e.1 == wanted))
    else {
        let names: Vec<&str> = events.iter().map(|e| e.0).collect();
        return error(
            format!("{wanted} is not a {} probe", provider.name),
            Some(format!("known events: {}", names.join(", "))),
        );
    };
    let count = match request.part(1) {
        "" => default_count,
        text => match parse_number(text) {
            Some(n) if n > 0 => n,
            _ => return request.malformed(format!("Invalid count for {} probe: {text}", provider.name)),
        },
    };
    let carrier = Carrier {
        kind: ProgKind::PERF_EVENT,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::Perf {
            event_type,
            config,
            period: count,
            is_freq: false,
            cpus: PerfCpus::All,
            pid: request.whole.pid,
        },
        context: Context::PerfEvent,
        select: None,
        has_cookie: true,
        mechanism: "perf event",
    };
    Resolution {
        targets: vec![Target {
            name: format!("{}:{}", provider.name, request.target()),
            provider: provider.name,
            probe_type: provider.probe_type,
            refusal: Refusal::default(),
            func: None,
            args: Arc::new(ArgSet {
                unavailable: Some(format!("{} probes have no arguments", provider.name)),
                ..ArgSet::default()
            }),
            carriers: vec![carrier],
        }],
        ..Resolution::default()
    }
}
