//! What the command line decides about a session.

use std::path::PathBuf;

/// Which probes run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All but tests and benchmarks.
    #[default]
    Run,
    /// `test:` probes only.
    Test,
    /// begin, `bench:` probes, end.
    Bench,
}

/// What the command line decides about a session.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which probes run.
    pub mode: Mode,
    /// Process that is traced; the session ends with it.
    pub pid: Option<u32>,
    /// Print nothing but what the script prints.
    pub quiet: bool,
    /// Tell what is loaded and attached, and by which mechanism.
    pub verbose: bool,
    /// Show failed helper calls that are usually of no interest.
    pub helper_warnings: bool,
    /// Do not show run-time warnings.
    pub no_warnings: bool,
    /// Load everything but attach nothing.
    pub dry_run: bool,
    /// Print this word on standard output once all probes are attached.
    pub notify_attached: Option<String>,
    /// Bytes of the ring buffer; 0: by need.
    pub ring_bytes: u64,
    /// Print the verifier's log of every program.
    pub verifier_log: bool,
    /// Directories with debug files.
    pub debug_dirs: Vec<PathBuf>,
    /// Colour messages.
    pub color: bool,
    /// Write output only when this much is there (`-B full`), at line ends (`line`), or at once (`none`).
    pub buffering: Buffering,
}

/// When output is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buffering {
    /// After each batch of records.
    #[default]
    Line,
    /// When the buffer is full and at the end.
    Full,
    /// After each record.
    None,
}
