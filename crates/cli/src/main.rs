//! `fathom`: commands, help, exit codes.
fn main() {}
