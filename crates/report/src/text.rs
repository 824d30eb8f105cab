//! Output for people.

use crate::map::{MapData, MapValue, PrintArgs, Stats};
use crate::num::{push_num, push_u64, Num};
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
                Value::Int(n) => push_num(out, Num::I(*n).over(args.div)),
                Value::Uint(n) => push_num(out, Num::U(*n).over(args.div)),
                v => v.write(VALUE_STACK_INDENT, out),
            }
            out.push(b'\n');
        }
        MapValue::Int(n) => line(out, |out| push_num(out, n.over(args.div))),
        MapValue::Avg(s) => line(out, |out| push_num(out, s.average().over(args.div))),
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
    push_num(out, stats.average().over(div));
    out.extend_from_slice(b", .total = ");
    push_num(out, stats.total.over(div));
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
        let verdict = if result.passed { "       OK" } else { "   FAILED" };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hist::Hist;
    use crate::map::MapKind;
    use crate::stack::{Frame, Stack, StackMode};
    use crate::tseries::TimeSeries;

    fn both(say: impl FnOnce(&mut TextOutput<Vec<u8>, Vec<u8>>) -> io::Result<()>) -> (String, String) {
        let mut output = TextOutput::new(Vec::new(), Vec::new());
        say(&mut output).expect("a vector takes everything");
        let (out, err) = output.into_inner();
        (String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
    }

    fn map(map: &MapData, top: u64, div: u64) -> String {
        both(|o| o.map(map, PrintArgs { top, div })).0
    }

    fn int(v: i64) -> MapValue {
        MapValue::Plain(Value::Int(v))
    }

    #[test]
    fn maps_print_an_entry_per_line() {
        assert_eq!(map(&MapData::scalar("@a", MapKind::Plain, int(0)), 0, 0), "@a: 0\n");
        let key = |a: &str, b| Value::Tuple(vec![a.into(), Value::Int(b)]);
        let m = MapData::keyed("@", MapKind::Plain, vec![(key("hi", 1), int(9)), (key("by", 2), int(30))]);
        assert_eq!(map(&m, 0, 0), "@[hi, 1]: 9\n@[by, 2]: 30\n");
        assert_eq!(map(&m, 1, 10), "@[by, 2]: 3\n");
        assert_eq!(map(&MapData::keyed("@", MapKind::Count, Vec::new()), 0, 0), "");
    }

    #[test]
    fn aggregations_have_their_forms() {
        let stats = Stats { count: 2, total: Num::I(12) };
        let m = MapData::scalar("@s", MapKind::Stats, MapValue::Stats(stats));
        assert_eq!(map(&m, 0, 0), "@s: { .count = 2, .average = 6, .total = 12 }\n");
        assert_eq!(map(&m, 0, 2), "@s: { .count = 2, .average = 3, .total = 6 }\n");
        assert_eq!(map(&MapData::scalar("@v", MapKind::Avg, MapValue::Avg(stats)), 0, 0), "@v: 6\n");
        assert_eq!(map(&MapData::scalar("@c", MapKind::Count, MapValue::Int(Num::U(7))), 0, 0), "@c: 7\n");
    }

    #[test]
    fn graphs_stand_below_their_name() {
        let hist =
            |index| MapValue::Hist(Hist::from_counts(0, vec![0; index].into_iter().chain([1]).collect()));
        let bar = "@".repeat(52);
        assert_eq!(
            map(&MapData::scalar("@", MapKind::Hist, hist(2)), 0, 0),
            format!("@:\n[1]                    1 |{bar}|\n\n")
        );
        let key = Value::Tuple(vec![Value::Buffer(b"ok_key\0".to_vec()), Value::Int(1)]);
        let m = MapData::keyed("@", MapKind::Hist, vec![(key, hist(3))]);
        assert_eq!(map(&m, 0, 0), format!("@[ok_key\\x00, 1]:\n[2, 4)                 1 |{bar}|\n\n"));
        let empty = MapData::scalar("@e", MapKind::Hist, MapValue::Hist(Hist::new(0)));
        assert_eq!(map(&empty, 0, 0), "@e:\n\n");
        let series = MapValue::Tseries(TimeSeries { interval_ns: 1, ..TimeSeries::default() });
        assert!(map(&MapData::scalar("@t", MapKind::Tseries, series), 0, 0).starts_with("@t:\n"));
    }

    #[test]
    fn stacks_open_their_key() {
        let stack = Stack {
            frames: vec![Frame::named(1, "f", 2), Frame::named(1, "g", 0)],
            mode: StackMode::Bpftrace,
        };
        let m = MapData::keyed(
            "@",
            MapKind::Count,
            vec![(Value::Stack(stack.clone()), MapValue::Int(Num::U(3)))],
        );
        assert_eq!(map(&m, 0, 0), "@[\n    f+2\n    g+0\n]: 3\n");
        let m = MapData::scalar("@k", MapKind::Plain, MapValue::Plain(Value::Stack(stack)));
        assert_eq!(map(&m, 0, 0), "@k: \n        f+2\n        g+0\n\n");
    }

    #[test]
    fn messages_go_to_the_other_writer() {
        let notice =
            Notice { msg: "ef", rendered: "stdin:1:3-9: ERROR: ef\nline\n~~~\n", ..Notice::default() };
        let said = both(|o| {
            o.attached_probes(1)?;
            o.attached_probes(2)?;
            o.errorf(&notice)?;
            o.helper_error(&notice, "probe_read_user", -14)?;
            o.lost_events(5)?;
            o.printf(b"hi ")?;
            o.time(b"12\n")?;
            o.join(b"a,b")?;
            o.value(&Value::Bool(true))?;
            o.end_of_run()
        });
        let text = "stdin:1:3-9: ERROR: ef\nline\n~~~\n";
        let info = "Additional Info - helper: probe_read_user, retcode: -14\n";
        assert_eq!(said.1, format!("Attached 1 probe\nAttached 2 probes\n{text}{text}{info}Lost 5 events\n"));
        assert_eq!(said.0, "hi 12\na,b\ntrue\n\n\n");
    }

    #[test]
    fn tests_and_benchmarks_are_tables() {
        let result = TestResult { name: "adds", duration_ns: 12_345, passed: true, output: b"quiet" };
        assert_eq!(both(|o| o.test_result(&result)).0, "[       OK ] adds (12 us)\n");
        let failed = TestResult { passed: false, output: b"why", ..result };
        assert_eq!(both(|o| o.test_result(&failed)).0, "[   FAILED ] adds (12 us)\nwhy\n");
        let benches = [BenchResult { name: "a", average_ns: 15, iterations: 1000 }];
        let head = "Benchmark                                Time(ns)       Iterations";
        let row = "a                                        15             1000";
        assert_eq!(both(|o| o.benchmarks(&benches)).0, format!("{head}\n{}\n{row}\n", "-".repeat(66)));
    }
}
