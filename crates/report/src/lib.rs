//! Values to text, JSON lines, histograms, tables and pictures.
//!
//! Pure: nothing here does I/O of its own accord; the writers of [`text`] and [`json`] write to whatever
//! [`std::io::Write`] they are given.

pub mod gfp;
pub mod hist;
pub mod json;
pub mod lhist;
pub mod map;
pub mod num;
pub mod output;
pub mod printf;
pub mod stack;
pub mod table;
pub mod text;
pub mod tseries;
pub mod value;

pub use hist::Hist;
pub use json::JsonOutput;
pub use lhist::Lhist;
pub use map::{MapData, MapKind, MapValue, PrintArgs, Stats};
pub use num::Num;
pub use output::{BenchResult, Notice, Output, TestResult};
pub use printf::{ArgClass, Conv, Field, Format, FormatError};
pub use stack::{Frame, Stack, StackMode};
pub use text::TextOutput;
pub use tseries::TimeSeries;
pub use value::Value;
