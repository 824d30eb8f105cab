//! What can end a session before its time.

use std::fmt;

/// Result of the runtime.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the session, ready to print: the kernel's error with what of the script it belongs to.
#[derive(Debug)]
pub enum Error {
    /// The kernel refused an operation.
    Kernel(Box<fathom_kernel::Error>),
    /// The kernel's verifier refused a program: our bug. The text has the script's line and the log.
    Rejected(String),
    /// An attach point could not be attached.
    Attach {
        /// Full name of the probe.
        probe: String,
        /// Why.
        cause: Box<fathom_kernel::Error>,
    },
    /// Output could not be written.
    Output(std::io::Error),
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Kernel(e) => write!(f, "{e}"),
            Error::Rejected(text) | Error::Other(text) => f.write_str(text),
            Error::Attach { probe, cause } => write!(f, "Unable to attach probe: {probe}: {cause}"),
            Error::Output(e) => write!(f, "cannot write output: {e}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<fathom_kernel::Error> for Error {
    fn from(e: fathom_kernel::Error) -> Error {
        Error::Kernel(Box::new(e))
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Error {
        Error::Output(e)
    }
}
