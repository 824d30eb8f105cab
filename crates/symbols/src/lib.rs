//! Parsers over bytes (BTF, ELF, DWARF, USDT notes, kallsyms, process maps, tracepoint formats) and name resolution.
//!
//! Everything here takes bytes that the caller has read or mapped, and makes no system call; the one exception
//! is [`user`], which opens the files that a process maps. No input makes a parser panic: what is malformed is
//! an [`Error`] with the format, the byte offset and the reason.

pub mod abi;
pub mod btf;
pub mod btf_write;
mod bytes;
pub mod demangle;
pub mod dwarf;
pub mod elf;
mod error;
pub mod kallsyms;
pub mod ldcache;
pub mod maps;
pub mod modules;
pub mod perf_map;
pub mod syscalls;
pub mod tp_format;
pub mod usdt;
pub mod user;

pub use bytes::Bytes;
pub use error::{Error, Result};
