//! Support for tests: a recorded kernel that answers the compiler's questions, and whole sessions in the interpreter.
//!
//! Nothing here needs root, BPF or a particular kernel, and everything gives the same result each time.
#![forbid(unsafe_code)]

pub mod events;
pub mod facts;
pub mod generate;
pub mod property;
pub mod seeds;
pub mod sim;
pub mod task;
pub mod types;

pub use facts::FixtureFacts;
pub use sim::{Event, Sim};
