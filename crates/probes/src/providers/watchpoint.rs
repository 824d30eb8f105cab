//! `watchpoint:ADDRESS:LENGTH:MODE`: hardware breakpoints on memory, of a process (`-p`, `-c`) or of the kernel.

use super::timer::parse_number;
use crate::attach::HW_BREAKPOINT_X;
use crate::facts::KernelFacts;
use crate::provider::{error, Provider, Request, Side};
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::program::{Attach, Refusal};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
use std::sync::Arc;

/// `watchpoint:ADDRESS:LENGTH:MODE`.
pub static WATCHPOINT: Provider = Provider {
    name: "watchpoint",
    aliases: &["w"],
    probe_type: "watchpoint",
    side: Side::User,
    forms: &["watchpoint:ADDRESS:LENGTH:MODE"],
    doc: "Fires when memory is read (r), written (w) or executed (x). LENGTH is 1, 2, 4 or 8. With -p or -c the address is one of \
          that process and all its threads are watched; else it is a kernel address.",
    resolve,
    list: |_, _| Vec::new(),
};

const HW_BREAKPOINT_R: u32 = 1;
const HW_BREAKPOINT_W: u32 = 2;

/// Modes that x86-64's debug registers can do.
static MODES: &[(&str, u32)] = &[
    ("w", HW_BREAKPOINT_W),
    ("rw", HW_BREAKPOINT_R | HW_BREAKPOINT_W),
    ("wr", HW_BREAKPOINT_R | HW_BREAKPOINT_W),
    ("x", HW_BREAKPOINT_X),
];

fn resolve(facts: &KernelFacts, request: &Request<'_>) -> Resolution {
    let [address, len, mode] = request.parts else {
        return request.malformed("watchpoint probe must have an address, a length and a mode");
    };
    let Some(address) = parse_number(address).or_else(|| facts.symbol_address(address)) else {
        return request.malformed(format!("Invalid watchpoint address: {address}"));
    };
    let len = match parse_number(len) {
        Some(n @ (1 | 2 | 4 | 8)) => n as u8,
        _ => return request.malformed(format!("Invalid watchpoint length: {len} (1, 2, 4 or 8)")),
    };
    let Some((_, bits)) = MODES.iter().find(|(name, _)| name == mode) else {
        let hint = match mode.as_str() {
            "r" => "the processor cannot watch reads alone: use rw".to_owned(),
            _ => "modes are w, rw and x".to_owned(),
        };
        return error(format!("Invalid watchpoint mode: {mode}"), Some(hint));
    };
    let is_aligned = *bits == HW_BREAKPOINT_X || address.checked_rem(u64::from(len)) == Some(0);
    if address == 0 || !is_aligned {
        return request
            .malformed(format!("watchpoint address {address:#x} is not a multiple of its length {len}"));
    }
    let carrier = Carrier {
        kind: ProgKind::PERF_EVENT,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::Watchpoint { address, len, mode: *bits, pid: request.whole.pid.or(facts.child_pid()) },
        context: Context::PerfEvent,
        select: None,
        has_cookie: true,
        mechanism: "hardware breakpoint",
    };
    let name = format!("watchpoint:{}", request.target());
    Resolution {
        targets: vec![Target {
            name,
            provider: "watchpoint",
            probe_type: "watchpoint",
            refusal: Refusal::default(),
            func: None,
            args: Arc::new(ArgSet {
                unavailable: Some("watchpoint probes have no arguments".into()),
                ..ArgSet::default()
            }),
            carriers: vec![carrier],
        }],
        ..Resolution::default()
    }
}
