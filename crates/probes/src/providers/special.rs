//! `begin`, `end`, `self:signal:*`, `test:*`, `bench:*`: programs that the tracer itself runs, as raw tracepoint programs under
//! `BPF_PROG_TEST_RUN`.

use crate::facts::KernelFacts;
use crate::provider::{Provider, Request, Side};
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::program::{Attach, Refusal, RunWhen};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
use std::sync::Arc;

/// `begin`.
pub static BEGIN: Provider = Provider {
    name: "begin",
    aliases: &[],
    probe_type: "special",
    side: Side::Tracer,
    forms: &["begin"],
    doc: "Runs once, before any other probe is attached. Several are run in the order of the script.",
    resolve: |_, r| bare(r, RunWhen::Begin),
    list: |_, _| Vec::new(),
};

/// `end`.
pub static END: Provider = Provider {
    name: "end",
    aliases: &[],
    probe_type: "special",
    side: Side::Tracer,
    forms: &["end"],
    doc: "Runs once, after all other probes were detached.",
    resolve: |_, r| bare(r, RunWhen::End),
    list: |_, _| Vec::new(),
};

/// `self:signal:NAME`.
pub static SELF: Provider = Provider {
    name: "self",
    aliases: &[],
    probe_type: "special",
    side: Side::Tracer,
    forms: &["self:signal:SIGUSR1"],
    doc: "Runs when the tracer itself gets the signal.",
    resolve: resolve_self,
    list: |_, _| Vec::new(),
};

/// `test:NAME`.
pub static TEST: Provider = Provider {
    name: "test",
    aliases: &[],
    probe_type: "special",
    side: Side::Tracer,
    forms: &["test:NAME"],
    doc: "A test case: run by --test, fails if it returns anything but 0 or exits with an error.",
    resolve: |_, r| named(r, RunWhen::Test),
    list: |_, _| Vec::new(),
};

/// `bench:NAME`.
pub static BENCH: Provider = Provider {
    name: "bench",
    aliases: &[],
    probe_type: "special",
    side: Side::Tracer,
    forms: &["bench:NAME"],
    doc: "A benchmark: run many times by --bench, which prints the time of one run.",
    resolve: |_, r| named(r, RunWhen::Bench),
    list: |_, _| Vec::new(),
};

const SIGUSR1: i32 = 10;

fn one(request: &Request<'_>, name: String, when: RunWhen) -> Resolution {
    let provider = request.provider;
    let carrier = Carrier {
        kind: ProgKind::RAW_TRACEPOINT,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::Run(when),
        context: Context::Opaque,
        select: None,
        has_cookie: false,
        mechanism: "test run",
    };
    let args = ArgSet {
        unavailable: Some(format!("{} probes have no arguments", provider.name)),
        ..ArgSet::default()
    };
    Resolution {
        targets: vec![Target {
            name,
            provider: provider.name,
            probe_type: provider.probe_type,
            refusal: Refusal::default(),
            func: None,
            args: Arc::new(args),
            carriers: vec![carrier],
        }],
        ..Resolution::default()
    }
}

fn bare(request: &Request<'_>, when: RunWhen) -> Resolution {
    if !request.parts.is_empty() {
        return request.malformed(format!("{} probe should not have any arguments", request.provider.name));
    }
    one(request, request.provider.name.to_owned(), when)
}

fn named(request: &Request<'_>, when: RunWhen) -> Resolution {
    if request.parts.len() != 1 || request.part(0).is_empty() {
        return request.malformed(format!("{} probe must have exactly one name", request.provider.name));
    }
    one(request, format!("{}:{}", request.provider.name, request.part(0)), when)
}

fn resolve_self(_: &KernelFacts, request: &Request<'_>) -> Resolution {
    match (request.part(0), request.part(1), request.parts.len()) {
        ("signal", "SIGUSR1", 2) => one(request, "self:signal:SIGUSR1".into(), RunWhen::Signal(SIGUSR1)),
        ("signal", other, 2) => request.malformed(format!("{other} is not supported: only SIGUSR1 is")),
        _ => request.malformed("self probe must be self:signal:SIGNAL"),
    }
}
