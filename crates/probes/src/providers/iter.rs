//! `iter:OBJECT[:PIN]`: BPF iterators, which walk all tasks, files, maps, sockets ... once.

use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, BtfTarget, Refusal};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
use std::sync::Arc;

/// `iter:OBJECT[:PIN]`.
pub static ITER: Provider = Provider {
    name: "iter",
    aliases: &["it"],
    probe_type: "iter",
    side: Side::Kernel,
    forms: &["iter:OBJECT", "iter:OBJECT:PIN"],
    doc: "Runs once for every object of a kind (task, task_file, task_vma, bpf_map, tcp ...). Its fields are read as ctx.NAME. \
          With PIN, a path below /sys/fs/bpf, it runs whenever that file is read, and its printf goes to the reader.",
    resolve,
    list,
};

/// Iterators over the elements of one object that has to be given when they are attached.
const NEED_ONE: &[&str] = &["bpf_map_elem", "bpf_sk_storage_map", "sockmap"];

const PREFIX: &str = "bpf_iter_";

/// Iterators: functions `bpf_iter_X` that have a context `struct bpf_iter__X`.
fn names(facts: &KernelFacts) -> Vec<String> {
    facts
        .struct_names("vmlinux", "bpf_iter__")
        .into_iter()
        .filter(|n| !NEED_ONE.contains(&n.as_str()))
        .filter(|n| facts.function_id("vmlinux", &format!("{PREFIX}{n}")).is_some())
        .collect()
}

fn list(facts: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    names(facts).into_iter().filter(|n| listing.fits(n)).collect()
}

fn resolve(facts: &KernelFacts, request: &Request<'_>) -> Resolution {
    let (object, pin) = match request.parts {
        [object] => (object.as_str(), None),
        [object, pin] => (object.as_str(), Some(pin.clone())),
        _ => return request.malformed("iter probe must have an object and may have a pin"),
    };
    if !facts.has_btf() {
        return error(
            format!("iter:{object} needs kernel BTF (CONFIG_DEBUG_INFO_BTF), which this kernel lacks"),
            None,
        );
    }
    if NEED_ONE.contains(&object) {
        return error(
            format!(
                "iter:{object} walks the elements of one map or socket, which an attach point cannot name"
            ),
            Some("iter:bpf_map walks all maps".into()),
        );
    }
    if pin.as_ref().is_some_and(|pin| pin.is_empty() || wildcard::is_pattern(object)) {
        return request.malformed("a pin is the path of one iterator below /sys/fs/bpf");
    }
    let objects: Vec<String> = match wildcard::is_pattern(object) {
        true => names(facts).into_iter().filter(|n| wildcard::matches(object, n)).collect(),
        false => vec![object.to_owned()],
    };
    let targets: Vec<Target> =
        objects.iter().filter_map(|o| target(facts, o, pin.clone(), request.whole.pid)).collect();
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
}

fn target(facts: &KernelFacts, object: &str, pin: Option<String>, pid: Option<u32>) -> Option<Target> {
    let id = facts.function_id("vmlinux", &format!("{PREFIX}{object}"))?;
    let ty = facts.kernel_struct(&format!("bpf_iter__{object}"))?;
    let carrier = Carrier {
        kind: ProgKind::TRACING,
        attach_kind: Some(AttachKind::TRACE_ITER),
        attach_btf: Some(BtfTarget { module: "vmlinux".into(), id }),
        sleepable: false,
        how: Attach::Iter { object: object.to_owned(), pin, pid },
        context: Context::Typed { ty },
        select: None,
        has_cookie: false,
        mechanism: "iterator",
    };
    Some(Target {
        name: format!("iter:{object}"),
        provider: "iter",
        probe_type: "iter",
        refusal: Refusal::default(),
        func: None,
        args: Arc::new(ArgSet {
            unavailable: Some("iter probes have ctx instead of args".into()),
            ..ArgSet::default()
        }),
        carriers: vec![carrier],
    })
}
