//! What an attached one-liner adds to a system call, against its hand-made twin.

use super::handmade::{Pair, PAIRS};
use super::stats::{median, number, ratio, Table};
use super::{child, Setting};

/// Rounds over all sides.
const ROUNDS: usize = 9;

/// Times of one one-liner in ns per system call, one per round and side.
#[derive(Default)]
struct Times {
    nothing: Vec<f64>,
    handmade: Vec<f64>,
    fathom: Vec<f64>,
    peer: Vec<f64>,
}

/// The section.
pub fn run(setting: &Setting) -> Result<String, String> {
    let mut table = Table::new(&[
        "action",
        "nothing",
        "hand-made",
        "fathom",
        "bpftrace",
        "to hand-made",
        "bpftrace to fathom",
    ]);
    for pair in PAIRS {
        let times = measure(setting, pair)?;
        let base = median(&times.nothing);
        let shown = |v: &[f64]| {
            let ns = median(v);
            if ns.is_finite() {
                format!("{} (+{})", number(ns, 1), number(ns - base, 1))
            } else {
                "-".into()
            }
        };
        let added = |v: &[f64]| median(v) - base;
        table.row(&[
            format!("`{}`", pair.action),
            number(base, 1),
            shown(&times.handmade),
            shown(&times.fathom),
            shown(&times.peer),
            ratio(added(&times.fathom), added(&times.handmade)),
            ratio(added(&times.peer), added(&times.fathom)),
        ]);
    }
    let note = "\nns per `getppid` in a pinned process of its own (in brackets: added by tracing) while `tracepoint:raw_syscalls:sys_enter` is\n\
                traced; ratios are of the added time.\n";
    Ok(table.finish() + note)
}

fn measure(setting: &Setting, pair: &Pair) -> Result<Times, String> {
    let mut times = Times::default();
    let script = pair.script();
    for _ in 0..setting.rounds(ROUNDS) {
        times.nothing.push(child::loop_ns(setting.cpu)?);
        let twin = pair.attach()?;
        times.handmade.push(child::loop_ns(setting.cpu)?);
        drop(twin);
        let session = setting.fathom.start(&["-e", &script], Some(setting.tracer_cpu))?;
        times.fathom.push(child::loop_ns(setting.cpu)?);
        session.end()?;
        if let Some(peer) = &setting.peer {
            let session = peer.start(&["-e", &peer.spelling(&script)], Some(setting.tracer_cpu))?;
            times.peer.push(child::loop_ns(setting.cpu)?);
            if let Err(e) = session.end() {
                eprintln!("{}: {e}", peer.name);
            }
        }
    }
    Ok(times)
}
