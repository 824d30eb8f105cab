//! Meaning of a script: names, types, inference, builtins, lowering to the intermediate representation.
//!
//! The heart is [`compile::compile`]: pure, from source text and [`facts::Facts`] to a program as plain data.
#![forbid(unsafe_code)]

pub mod analyse;
pub mod builtins;
pub mod compile;
pub mod config;
pub mod facts;
pub mod lower;
pub mod typed;
pub mod types;
