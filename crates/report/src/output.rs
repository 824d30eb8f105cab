//! What a session says, independent of the form it is said in.

use crate::map::{MapData, PrintArgs};
use crate::value::Value;
use std::io;

/// A message about a place in the script.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notice<'a> {
    /// The message alone.
    pub msg: &'a str,
    /// Name of the script, `stdin` for one given on the command line.
    pub filename: &'a str,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub col: u32,
    /// The whole message for people: place, severity, message, the line of source and its underlining.
    pub rendered: &'a str,
}

/// How a `test:` probe went.
#[derive(Clone, Copy, Debug)]
pub struct TestResult<'a> {
    /// The test's name.
    pub name: &'a str,
    /// How long it ran, in nanoseconds.
    pub duration_ns: u64,
    /// Whether it passed.
    pub passed: bool,
    /// What it printed.
    pub output: &'a [u8],
}

/// What a `bench:` probe measured.
#[derive(Clone, Copy, Debug)]
pub struct BenchResult<'a> {
    /// The benchmark's name.
    pub name: &'a str,
    /// Mean time of one iteration, in nanoseconds.
    pub average_ns: u64,
    /// How often it ran.
    pub iterations: u64,
}

/// A form of output. Texts are bytes, as traced programs need not speak UTF-8.
///
/// Every method fails as the writer below it does.
pub trait Output {
    /// All probes are attached.
    fn attached_probes(&mut self, count: usize) -> io::Result<()>;
    /// `printf()`.
    fn printf(&mut self, text: &[u8]) -> io::Result<()>;
    /// `time()`.
    fn time(&mut self, text: &[u8]) -> io::Result<()>;
    /// `cat()`: a file's content.
    fn cat(&mut self, text: &[u8]) -> io::Result<()>;
    /// `join()`: the joined strings, without newline.
    fn join(&mut self, text: &[u8]) -> io::Result<()>;
    /// `system()`: what the command printed.
    fn syscall(&mut self, text: &[u8]) -> io::Result<()>;
    /// `print()` of anything but a map.
    fn value(&mut self, value: &Value) -> io::Result<()>;
    /// `print()` of a map, or of one of its entries. An empty map with keys prints nothing.
    fn map(&mut self, map: &MapData, args: PrintArgs) -> io::Result<()>;
    /// The program has ended and its maps follow.
    fn end_of_run(&mut self) -> io::Result<()>;
    /// `count` events were lost because they came faster than they were read.
    fn lost_events(&mut self, count: u64) -> io::Result<()>;
    /// `errorf()`.
    fn errorf(&mut self, notice: &Notice) -> io::Result<()>;
    /// `warnf()`.
    fn warnf(&mut self, notice: &Notice) -> io::Result<()>;
    /// A kernel helper failed with `retcode`.
    fn helper_error(&mut self, notice: &Notice, helper: &str, retcode: i64) -> io::Result<()>;
    /// The program did what has no defined result, such as dividing by zero.
    fn runtime_error(&mut self, notice: &Notice) -> io::Result<()>;
    /// One test ended.
    fn test_result(&mut self, result: &TestResult) -> io::Result<()>;
    /// All benchmarks ended.
    fn benchmarks(&mut self, results: &[BenchResult]) -> io::Result<()>;
    /// Hands everything to the system.
    fn flush(&mut self) -> io::Result<()>;
}
