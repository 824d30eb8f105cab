//! The error of every parser in this crate: which format, where, why.

use std::fmt;

/// What a parser could not make sense of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The format that was being read, such as `BTF` or `ELF`.
    pub format: &'static str,
    /// Byte offset in that input, where one is known.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub reason: String,
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a place.
    pub fn new(format: &'static str, reason: impl Into<String>) -> Self {
        Self { format, offset: None, reason: reason.into() }
    }

    /// An error at byte `offset` of the input.
    pub fn at(format: &'static str, offset: u64, reason: impl Into<String>) -> Self {
        Self { format, offset: Some(offset), reason: reason.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{}: byte {offset:#x}: {}", self.format, self.reason),
            None => write!(f, "{}: {}", self.format, self.reason),
        }
    }
}

impl std::error::Error for Error {}
