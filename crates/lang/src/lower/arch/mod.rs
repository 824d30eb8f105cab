//! What depends on the processor: one file of data per architecture.

pub mod x86_64;
