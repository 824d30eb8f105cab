//! Exit codes. A script's `exit(n)` gives its own.

/// All went well.
pub const SUCCESS: u8 = 0;
/// The command line or the script is wrong.
pub const USAGE: u8 = 1;
/// The kernel refused to load or attach.
pub const KERNEL: u8 = 255;
