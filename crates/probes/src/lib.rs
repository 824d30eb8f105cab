//! Providers: what can be probed, what a probe's arguments are, how it is attached.
//!
//! A provider is a row in [`provider::PROVIDERS`] and a file below `providers/`. [`KernelFacts`] answers the compiler's questions from
//! the running system; [`attach`] carries out what the compiled program asks for.
#![forbid(unsafe_code)]

pub mod attach;
pub mod binaries;
pub mod c_types;
pub mod debug;
pub mod facts;
pub mod list;
pub mod provider;
pub mod providers;
pub mod wildcard;

pub use facts::KernelFacts;
