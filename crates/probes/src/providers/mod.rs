//! One file per family of providers.

pub mod fentry;
pub mod iter;
pub mod kprobe;
pub mod perf_event;
pub mod rawtracepoint;
pub mod special;
pub mod timer;
pub mod tracepoint;
pub mod uprobe;
pub mod usdt;
pub mod watchpoint;
