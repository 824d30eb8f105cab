//! The only crate that touches the kernel: bpf(2), perf_event_open(2), tracefs, rings, processes, feature probing.
