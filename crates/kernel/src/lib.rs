//! The only crate that touches the kernel: bpf(2), perf_event_open(2), tracefs, rings, processes, feature probing.
//!
//! A thin typed layer: every descriptor is owned, every attachment is a guard that detaches on drop, every failure is an
//! [`error::Error`] that names operation, object, cause and next step. It knows no probe language and no program text.
#![allow(unsafe_code, reason = "the one crate that may: system calls, shared memory with the kernel")]
#![warn(unsafe_op_in_unsafe_fn)]

pub mod bpffs;
pub mod btf;
pub mod caps;
pub mod cgroup;
pub mod child;
pub mod clock;
pub mod cpu;
pub mod error;
pub mod exchange;
pub mod features;
pub mod file;
pub mod ksyms;
pub mod link;
pub mod localtime;
pub mod map;
pub mod perf;
pub mod perf_ring;
pub mod poll;
mod probe_programs;
pub mod proc;
pub mod prog;
pub mod ringbuf;
pub mod root;
pub mod signals;
mod sys;
pub mod task_events;
pub mod timer;
pub mod tracefs;
pub mod uname;

pub use error::{Error, Result};
pub use root::Root;
