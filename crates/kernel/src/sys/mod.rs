//! The raw system calls: one `#[repr(C)]` struct per bpf(2) command, and the calls that take them.

pub mod attr;
pub mod call;
pub mod mmap;
pub mod mount;
pub mod objects;
