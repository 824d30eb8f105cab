//! Output for people.

use crate::map::{MapData, MapValue, PrintArgs, Stats};
use crate::num::{push_num, push_u64};
use crate::output::{BenchResult, Notice, Output, TestResult};
use crate::value::{Value, VALUE_STACK_INDENT};
use std::io::{self, Write};

/// Writes results to `out` and messages about the run to `err`.
#[derive(Debug)]
pub struct TextOutput<W: Write, E: Write> {
    out: W,
    err: E,
    /// Reused for what is put together before it is written.
    scratch: Vec<u8>,
}

impl<W: Write, E: Write> TextOutput<W, E> {
    /// Results go to `out`; attachment, losses and warnings to `err`.
    pub fn new(out: W, err: E) -> TextOutput<W, E> {
        TextOutput { out, err, scratch: Vec::new() }
    }

    /// The two writers.
    pub fn into_inner(self) -> (W, E) {
        (self.out, self.err)
    }

    fn message(&mut self, notice: &Notice) -> io::Result<()> {
        // What was printed before must be seen before.
        self.out.flush()?;
        self.err.write_all(notice.rendered.trim_end_matches('\n').as_bytes())?;
        self.err.write_all(b"\n")
    }
}

fn write_entry(map: &MapData, (key, value): &(Value, MapValue), args: PrintArgs, out: &mut Vec<u8>) {
    out.extend_from_slice(map.name.as_bytes());
    if map.keyed {
        out.push(b'[');
        key.write_key(out);
        out.push(b']');
    }
    out.push(b':');
    match value {
        MapValue::Hist(h) => graph(out, |out| h.write(args.div, out)),
        MapValue::Lhist(h) => graph(out, |out| h.write(args.div, out)),
        MapValue::Tseries(t) => graph(out, |out| t.write(args.div, out)),
        MapValue::Plain(v) => {
            out.push(b' ');
            match v {
                Value::Int(n) => push_num(out, crate::num::Num::I(*n).div(args.div)),
                Value::Uint(n) => push_num(out, crate::num::Num::U(*n).div(args.div)),
                v => v.write(VALUE_STACK_INDENT, out),
            }
            out.push(b'\n');
        }
        MapValue::Int(n) => line(out, |out| push_num(out, n.div(args.div))),
        MapValue::Avg(s) => line(out, |out| push_num(out, s.average().div(args.div))),
        MapValue::Stats(s) => line(out, |out| write_stats(s, args.div, out)),
    }
}

fn line(out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.push(b' ');
    value(out);
    out.push(b'\n');
}

fn graph(out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'\n');
    value(out);
    out.push(b'\n');
}

fn write_stats(stats: &Stats, div: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{ .count = ");
    push_u64(out, stats.count);
    out.extend_from_slice(b", .average = ");
    push_num(out, stats.average().div(div));
    out.extend_from_slice(b", .total = ");
    push_num(out, stats.total.div(div));
    out.extend_from_slice(b" }");
}

impl<W: Write, E: Write> Output for TextOutput<W, E> {
    fn attached_probes(&mut self, count: usize) -> io::Result<()> {
        let plural = if count == 1 { "" } else { "s" };
        writeln!(self.err, "Attached {count} probe{plural}")
    }

    fn printf(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    fn time(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    fn cat(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    fn join(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)?;
        self.out.write_all(b"\n")
    }

    fn syscall(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    fn value(&mut self, value: &Value) -> io::Result<()> {
        self.scratch.clear();
        value.write(VALUE_STACK_INDENT, &mut self.scratch);
        self.scratch.push(b'\n');
        self.out.write_all(&self.scratch)
    }

    fn map(&mut self, map: &MapData, args: PrintArgs) -> io::Result<()> {
        self.scratch.clear();
        for entry in map.selected(args) {
            write_entry(map, entry, args, &mut self.scratch);
        }
        self.out.write_all(&self.scratch)
    }

    fn end_of_run(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n\n")
    }

    fn lost_events(&mut self, count: u64) -> io::Result<()> {
        self.out.flush()?;
        writeln!(self.err, "Lost {count} events")
    }

    fn errorf(&mut self, notice: &Notice) -> io::Result<()> {
        self.message(notice)
    }

    fn warnf(&mut self, notice: &Notice) -> io::Result<()> {
        self.message(notice)
    }

    fn helper_error(&mut self, notice: &Notice, helper: &str, retcode: i64) -> io::Result<()> {
        self.message(notice)?;
        writeln!(self.err, "Additional Info - helper: {helper}, retcode: {retcode}")
    }

    fn runtime_error(&mut self, notice: &Notice) -> io::Result<()> {
        self.message(notice)
    }

    fn test_result(&mut self, result: &TestResult) -> io::Result<()> {
        let verdict = if result.passed { "      OK" } else { "  FAILED" };
        writeln!(self.out, "[{verdict} ] {} ({} us)", result.name, result.duration_ns / 1000)?;
        if result.passed || result.output.is_empty() {
            return Ok(());
        }
        self.out.write_all(result.output)?;
        if result.output.ends_with(b"\n") {
            return Ok(());
        }
        self.out.write_all(b"\n")
    }

    fn benchmarks(&mut self, results: &[BenchResult]) -> io::Result<()> {
        writeln!(self.out, "{:<40} {:<14} Iterations", "Benchmark", "Time(ns)")?;
        writeln!(self.out, "{}", "-".repeat(66))?;
        for r in results {
            writeln!(self.out, "{:<40} {:<14} {}", r.name, r.average_ns, r.iterations)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }
}
