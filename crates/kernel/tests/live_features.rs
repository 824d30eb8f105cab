//! The table of facilities on the running kernel: every probe has an answer, and answers agree with each other.

mod support;

use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::MapKind;
use fathom_kernel::features::{self, Features, ProgClass};
use support::live;

#[test]
fn every_probe_has_an_answer() {
    if !live("every_probe_has_an_answer") {
        return;
    }
    let f = Features::default();
    let mut failed = Vec::new();
    for row in features::ALL {
        let start = std::time::Instant::now();
        let answer = f.ask(row);
        eprintln!(
            "{:24} {:?} {} us",
            row.name,
            answer.as_ref().map_err(|e| e.errno),
            start.elapsed().as_micros()
        );
        if let Err(e) = answer {
            failed.push(format!("{}: {e}\n{}", row.name, e.log));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn answers_are_plausible() {
    if !live("answers_are_plausible") {
        return;
    }
    let f = Features::default();
    assert!(f.has(&features::TRACEPOINT) && f.has(&features::RAW_TP) && f.has(&features::PERCPU_HASH));
    assert!(f.helper(ProgClass::Tracepoint, Helper::KTIME_GET_NS).unwrap());
    // A networking helper is nothing for a tracepoint; a helper that nobody has is nothing for anybody.
    assert!(!f.helper(ProgClass::Tracepoint, Helper::SKB_STORE_BYTES).unwrap());
    assert!(!f.helper(ProgClass::RawTracepoint, Helper(9999)).unwrap());
    assert!(f.map_kind(MapKind::HASH).unwrap() && !f.map_kind(MapKind(9999)).unwrap());
    assert!(!f.kfunc(ProgClass::Tracepoint, "no_such_kernel_function").unwrap());
    // Without the PMU there are no kprobes to multiply.
    assert!(f.has(&features::KPROBE_PMU) || !f.has(&features::KPROBE_MULTI));
    assert!(!f.has(&features::KPROBE_SESSION) || f.has(&features::KPROBE_MULTI));
    for (kind, _, _) in MapKind::ALL {
        let _ = f.map_kind(*kind);
    }
}
