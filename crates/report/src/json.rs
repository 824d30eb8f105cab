//! Output for programs: one JSON object per line.

use crate::hist::Bucket;
use crate::map::{MapData, MapKind, MapValue, PrintArgs, Stats};
use crate::num::{push_i64, push_num, push_u64, Num};
use crate::output::{BenchResult, Notice, Output, TestResult};
use crate::stack::push_hex_byte;
use crate::tseries::TimeSeries;
use crate::value::{Value, VALUE_STACK_INDENT};
use std::io::{self, Write};

/// Every integer up to this size has a double of its own; larger ones are written as strings (RFC 7493 section 2.2).
const EXACT: u64 = 1 << 53;

/// Writes each result as an object on a line of its own.
#[derive(Debug)]
pub struct JsonOutput<W: Write> {
    out: W,
    /// The line being put together.
    line: Vec<u8>,
}

impl<W: Write> JsonOutput<W> {
    /// Everything goes to `out`.
    pub fn new(out: W) -> JsonOutput<W> {
        JsonOutput { out, line: Vec::new() }
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn emit(&mut self, kind: &str, rest: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(b"{\"type\": ");
        push_string(&mut self.line, kind.as_bytes());
        self.line.extend_from_slice(b", ");
        rest(&mut self.line);
        self.line.extend_from_slice(b"}\n");
        self.out.write_all(&self.line)
    }

    fn data(&mut self, kind: &str, data: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.emit(kind, |out| {
            out.extend_from_slice(b"\"data\": ");
            data(out);
        })
    }

    fn text(&mut self, kind: &str, text: &[u8]) -> io::Result<()> {
        self.data(kind, |out| push_string(out, text))
    }

    fn notice(&mut self, kind: &str, notice: &Notice, helper: Option<(&str, i64)>) -> io::Result<()> {
        self.emit(kind, |out| {
            let mut fields = Fields::without_braces(out);
            fields.key("msg", |out| push_string(out, notice.msg.as_bytes()));
            if let Some((name, retcode)) = helper {
                fields.key("helper", |out| push_string(out, name.as_bytes()));
                fields.key("retcode", |out| push_i64(out, retcode));
            }
            fields.key("filename", |out| push_string(out, notice.filename.as_bytes()));
            fields.key("line", |out| push_u64(out, u64::from(notice.line)));
            fields.key("col", |out| push_u64(out, u64::from(notice.col)));
        })
    }
}

/// The members of an object, separated.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Fields<'a> {
    fn without_braces(out: &'a mut Vec<u8>) -> Fields<'a> {
        Fields { out, first: true }
    }

    fn key(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.key_bytes(name.as_bytes(), value);
    }

    fn key_bytes(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        if !self.first {
            self.out.extend_from_slice(b", ");
        }
        self.first = false;
        push_string(self.out, name);
        self.out.extend_from_slice(b": ");
        value(self.out);
    }
}

fn object(out: &mut Vec<u8>, members: impl FnOnce(&mut Fields)) {
    out.push(b'{');
    members(&mut Fields::without_braces(out));
    out.push(b'}');
}

/// An object of one member.
fn single(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    object(out, |fields| fields.key(name, value));
}

fn list<T>(
    out: &mut Vec<u8>,
    separator: &[u8],
    items: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.extend_from_slice(separator);
        }
        each(out, item);
    }
    out.push(b']');
}

/// Appends a JSON string. Bytes that are not UTF-8 appear as the text `\xNN`, so that nothing is lost.
fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid().as_bytes();
        let mut from = 0;
        for (i, &byte) in valid.iter().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0x08 => b"\\b",
                0x0c => b"\\f",
                0..=0x1f | 0x7f => b"",
                _ => continue,
            };
            out.extend_from_slice(&valid[from..i]);
            from = i + 1;
            if escape.is_empty() {
                out.extend_from_slice(b"\\u00");
                push_hex_byte(out, byte);
            } else {
                out.extend_from_slice(escape);
            }
        }
        out.extend_from_slice(&valid[from..]);
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            push_hex_byte(out, byte);
        }
    }
    out.push(b'"');
}

fn push_exact(out: &mut Vec<u8>, value: Num) {
    let exact = value.wide().unsigned_abs() <= u128::from(EXACT);
    if !exact {
        out.push(b'"');
    }
    push_num(out, value);
    if !exact {
        out.push(b'"');
    }
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::None => out.extend_from_slice(b"null"),
        Value::Bool(v) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
        Value::Int(v) => push_exact(out, Num::I(*v)),
        Value::Uint(v) | Value::Ptr(v) => push_exact(out, Num::U(*v)),
        Value::Enum { value, .. } => push_exact(out, *value),
        Value::Str(v) => push_string(out, v),
        Value::Symbol(v) | Value::Text(v) => push_string(out, v.as_bytes()),
        Value::Buffer(v) => list(out, b",", v.iter(), |out, &b| push_i64(out, i64::from(b as i8))),
        Value::Array(items) | Value::Tuple(items) => list(out, b",", items.iter(), push_value),
        Value::Record(fields) => object(out, |to| {
            for (name, value) in fields {
                to.key(name, |out| push_value(out, value));
            }
        }),
        Value::Stack(stack) => {
            let mut text = Vec::new();
            stack.write(VALUE_STACK_INDENT, &mut text);
            push_string(out, &text);
        }
    }
}

/// Appends the text which a key has as the name of a member: parts without the spaces that text output has.
fn push_key_text(out: &mut Vec<u8>, key: &Value) {
    let Value::Tuple(parts) = key else { return key_part(out, key) };
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        key_part(out, part);
    }
}

fn key_part(out: &mut Vec<u8>, part: &Value) {
    match part {
        Value::Tuple(items) => {
            out.push(b'(');
            push_key_text(out, part);
            out.extend_from_slice(if items.len() == 1 { b",)" } else { b")" });
        }
        // As everywhere in this form, enumerators are numbers.
        Value::Enum { value, .. } => push_num(out, *value),
        // Members of an object are told apart by number too, so that a pointer here is what it is as a value.
        Value::Ptr(v) => push_u64(out, *v),
        part => part.write_key(out),
    }
}

fn push_stats(out: &mut Vec<u8>, stats: &Stats, div: u64) {
    object(out, |to| {
        to.key("count", |out| push_exact(out, Num::U(stats.count)));
        to.key("average", |out| push_exact(out, stats.average().over(div)));
        to.key("total", |out| push_exact(out, stats.total.over(div)));
    });
}

fn push_buckets(out: &mut Vec<u8>, buckets: impl Iterator<Item = Bucket>, div: u64) {
    let bound = |out: &mut Vec<u8>, v: i128| {
        push_exact(out, u64::try_from(v).map_or_else(|_| Num::I(v.max(i128::from(i64::MIN)) as i64), Num::U));
    };
    list(out, b", ", buckets, |out, bucket| {
        object(out, |to| {
            if let Some(low) = bucket.low {
                to.key("min", |out| bound(out, low));
            }
            if let Some(high) = bucket.high {
                to.key("max", |out| bound(out, high - 1));
            }
            to.key("count", |out| push_exact(out, Num::U(bucket.count / div.max(1))));
        });
    });
}

fn push_series(out: &mut Vec<u8>, series: &TimeSeries, div: u64) {
    list(out, b", ", series.points(), |out, (at, value)| {
        out.extend_from_slice(b"{\"interval_start\":\"");
        series.write_timestamp(at, out);
        out.extend_from_slice(b"\",\"value\":");
        match value {
            Some(value) => push_exact(out, value.over(div)),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    });
}

fn push_map_value(out: &mut Vec<u8>, value: &MapValue, div: u64) {
    match value {
        MapValue::Plain(Value::Int(v)) => push_exact(out, Num::I(*v).over(div)),
        MapValue::Plain(Value::Uint(v)) => push_exact(out, Num::U(*v).over(div)),
        MapValue::Plain(v) => push_value(out, v),
        MapValue::Int(v) => push_exact(out, v.over(div)),
        MapValue::Avg(s) => push_exact(out, s.average().over(div)),
        MapValue::Stats(s) => push_stats(out, s, div),
        MapValue::Hist(h) => push_buckets(out, h.buckets(), div),
        MapValue::Lhist(h) => push_buckets(out, h.buckets(), div),
        MapValue::Tseries(t) => push_series(out, t, div),
    }
}

impl<W: Write> Output for JsonOutput<W> {
    fn attached_probes(&mut self, count: usize) -> io::Result<()> {
        self.emit("attached_probes", |out| {
            let mut fields = Fields::without_braces(out);
            fields.key("count", |out| push_u64(out, count as u64));
            fields.key("data", |out| single(out, "probes", |out| push_u64(out, count as u64)));
        })
    }

    fn printf(&mut self, text: &[u8]) -> io::Result<()> {
        self.text("printf", text)
    }

    fn time(&mut self, text: &[u8]) -> io::Result<()> {
        self.text("time", text)
    }

    fn cat(&mut self, text: &[u8]) -> io::Result<()> {
        self.text("cat", text)
    }

    fn join(&mut self, text: &[u8]) -> io::Result<()> {
        self.text("join", text)
    }

    fn syscall(&mut self, text: &[u8]) -> io::Result<()> {
        self.text("syscall", text)
    }

    fn value(&mut self, value: &Value) -> io::Result<()> {
        self.data("value", |out| push_value(out, value))
    }

    fn map(&mut self, map: &MapData, args: PrintArgs) -> io::Result<()> {
        let entries = map.selected(args);
        if entries.is_empty() {
            return Ok(());
        }
        let kind = match map.kind {
            MapKind::Plain | MapKind::Count | MapKind::Sum | MapKind::Min | MapKind::Max => "map",
            MapKind::Avg | MapKind::Stats => "stats",
            MapKind::Hist | MapKind::Lhist => "hist",
            MapKind::Tseries => "tseries",
        };
        let mut key_text = Vec::new();
        self.data(kind, |out| {
            single(out, &map.name, |out| match (map.keyed, entries.first()) {
                (false, Some((_, value))) => push_map_value(out, value, args.div),
                _ => object(out, |to| {
                    for (key, value) in entries {
                        key_text.clear();
                        push_key_text(&mut key_text, key);
                        to.key_bytes(&key_text, |out| push_map_value(out, value, args.div));
                    }
                }),
            });
        })
    }

    fn end_of_run(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn lost_events(&mut self, count: u64) -> io::Result<()> {
        self.emit("lost_events", |out| {
            let mut fields = Fields::without_braces(out);
            fields.key("count", |out| push_u64(out, count));
            fields.key("data", |out| single(out, "events", |out| push_u64(out, count)));
        })
    }

    fn errorf(&mut self, notice: &Notice) -> io::Result<()> {
        self.notice("errorf", notice, None)
    }

    fn warnf(&mut self, notice: &Notice) -> io::Result<()> {
        self.notice("warnf", notice, None)
    }

    fn helper_error(&mut self, notice: &Notice, helper: &str, retcode: i64) -> io::Result<()> {
        self.notice("helper_error", notice, Some((helper, retcode)))
    }

    fn runtime_error(&mut self, notice: &Notice) -> io::Result<()> {
        self.notice("runtime_error", notice, None)
    }

    fn test_result(&mut self, result: &TestResult) -> io::Result<()> {
        self.data("test_result", |out| {
            single(out, result.name, |out| {
                object(out, |to| {
                    to.key("duration", |out| push_u64(out, result.duration_ns));
                    to.key("passed", |out| push_value(out, &Value::Bool(result.passed)));
                    to.key("output", |out| push_string(out, result.output));
                });
            });
        })
    }

    fn benchmarks(&mut self, results: &[BenchResult]) -> io::Result<()> {
        for r in results {
            self.data("benchmark_result", |out| {
                single(out, r.name, |out| {
                    object(out, |to| {
                        to.key("average", |out| push_u64(out, r.average_ns));
                        to.key("iters", |out| push_u64(out, r.iterations));
                    });
                });
            })?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hist::Hist;
    use crate::lhist::Lhist;

    fn json(say: impl FnOnce(&mut JsonOutput<Vec<u8>>) -> io::Result<()>) -> String {
        let mut output = JsonOutput::new(Vec::new());
        say(&mut output).expect("a vector takes everything");
        let text = String::from_utf8(output.into_inner()).expect("UTF-8");
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        }
        text.trim_end_matches('\n').to_string()
    }

    fn value(value: Value) -> String {
        let text = json(|o| o.value(&value));
        text.strip_prefix("{\"type\": \"value\", \"data\": ")
            .and_then(|t| t.strip_suffix('}'))
            .expect("a value")
            .into()
    }

    fn map(map: &MapData) -> String {
        json(|o| o.map(map, PrintArgs::default()))
    }

    #[test]
    fn values_have_their_json() {
        let int = Value::Int;
        for (v, want) in [
            (Value::None, "null"),
            (Value::Bool(true), "true"),
            (Value::Ptr(50), "50"),
            (Value::Enum { name: Some("FOO".into()), value: Num::I(333) }, "333"),
            (Value::Int(-(1 << 53)), "-9007199254740992"),
            (Value::Int((1 << 53) + 1), "\"9007199254740993\""),
            (Value::Int(i64::MIN), "\"-9223372036854775808\""),
            (Value::Uint(u64::MAX), "\"18446744073709551615\""),
            (Value::Buffer(vec![97, 0, 255]), "[97,0,-1]"),
            (Value::Array(vec![int(1), int(2)]), "[1,2]"),
            (
                Value::Tuple(vec![int(1), "s \"q\"".into(), Value::Tuple(vec![int(4), int(5)])]),
                r#"[1,"s \"q\"",[4,5]]"#,
            ),
            (
                Value::Record(vec![("a".into(), int(0)), ("d".into(), Value::Tuple(vec![int(5)]))]),
                r#"{"a": 0, "d": [5]}"#,
            ),
            (Value::Text("12/31/99".into()), "\"12/31/99\""),
        ] {
            assert_eq!(value(v), want);
        }
    }

    #[test]
    fn strings_are_escaped_and_lose_no_byte() {
        assert_eq!(
            json(|o| o.printf(b"test \r \n \t \\ \" bar")),
            r#"{"type": "printf", "data": "test \r \n \t \\ \" bar"}"#
        );
        assert_eq!(
            value(Value::Str(b"\x01\x08\x0c\x7f\xc3\xa9\xff".to_vec())),
            "\"\\u0001\\b\\f\\u007fé\\\\xff\""
        );
    }

    #[test]
    fn maps_are_objects() {
        let int = |v| MapValue::Plain(Value::Int(v));
        assert_eq!(
            map(&MapData::scalar("@", MapKind::Plain, int(5))),
            r#"{"type": "map", "data": {"@": 5}}"#
        );
        let key =
            Value::Tuple(vec![Value::Int(1), "a b".into(), Value::Tuple(vec![Value::Int(2), Value::Int(3)])]);
        let m = MapData::keyed("@m", MapKind::Count, vec![(key, int(7)), (Value::Bool(true), int(8))]);
        assert_eq!(map(&m), r#"{"type": "map", "data": {"@m": {"1,a b,(2,3)": 7, "true": 8}}}"#);
        assert_eq!(map(&MapData::keyed("@m", MapKind::Count, Vec::new())), "");
    }

    #[test]
    fn averages_are_stats() {
        let avg = |k: &str, v| (k.into(), MapValue::Avg(Stats { count: 1, total: Num::I(v) }));
        let m =
            MapData::keyed("@", MapKind::Avg, vec![avg("a", 10), avg("b", 20), avg("c", 30), avg("d", 40)]);
        let printed = json(|o| o.map(&m, PrintArgs { top: 2, div: 10 }));
        assert_eq!(printed, r#"{"type": "stats", "data": {"@": {"c": 3, "d": 4}}}"#);
        let m = MapData::scalar("@s", MapKind::Stats, MapValue::Stats(Stats { count: 1, total: Num::U(2) }));
        assert_eq!(map(&m), r#"{"type": "stats", "data": {"@s": {"count": 1, "average": 2, "total": 2}}}"#);
    }

    #[test]
    fn histograms_are_lists_of_inclusive_buckets() {
        let hist = |counts: &[u64]| MapValue::Hist(Hist::from_counts(0, counts.to_vec()));
        assert_eq!(
            map(&MapData::scalar("@h", MapKind::Hist, hist(&[1, 0, 2]))),
            r#"{"type": "hist", "data": {"@h": [{"max": -1, "count": 1}, {"min": 0, "max": 0, "count": 0}, {"min": 1, "max": 1, "count": 2}]}}"#
        );
        assert_eq!(
            map(&MapData::scalar("@h", MapKind::Hist, hist(&[0]))),
            r#"{"type": "hist", "data": {"@h": []}}"#
        );
        assert_eq!(
            map(&MapData::keyed("@h", MapKind::Hist, vec![("k".into(), hist(&[0, 0, 0, 1]))])),
            r#"{"type": "hist", "data": {"@h": {"k": [{"min": 2, "max": 3, "count": 1}]}}}"#
        );
        let mut l = Lhist::new(0, 20, 10);
        l.add(2, 4);
        l.add(3, 1);
        assert_eq!(
            map(&MapData::scalar("@l", MapKind::Lhist, MapValue::Lhist(l))),
            r#"{"type": "hist", "data": {"@l": [{"min": 10, "max": 19, "count": 4}, {"min": 20, "count": 1}]}}"#
        );
    }

    #[test]
    fn series_name_the_start_of_each_interval() {
        let t = TimeSeries {
            interval_ns: 500_000_000,
            start_ns: 500_000_000,
            utc_offset_s: 0,
            values: vec![Some(Num::I(9)), None],
        };
        assert_eq!(
            map(&MapData::scalar("@t", MapKind::Tseries, MapValue::Tseries(t))),
            r#"{"type": "tseries", "data": {"@t": [{"interval_start":"1970-01-01 00:00:00.500000000","value":9}, {"interval_start":"1970-01-01 00:00:01.000000000","value":null}]}}"#
        );
    }

    #[test]
    fn the_run_itself_is_told() {
        assert_eq!(
            json(|o| o.attached_probes(2)),
            r#"{"type": "attached_probes", "count": 2, "data": {"probes": 2}}"#
        );
        assert_eq!(
            json(|o| o.lost_events(5)),
            r#"{"type": "lost_events", "count": 5, "data": {"events": 5}}"#
        );
        assert_eq!(json(|o| o.syscall(b"a b c\n")), r#"{"type": "syscall", "data": "a b c\n"}"#);
        let notice = Notice { msg: "Bad address", filename: "stdin", line: 1, col: 87, rendered: "" };
        assert_eq!(
            json(|o| o.warnf(&notice)),
            r#"{"type": "warnf", "msg": "Bad address", "filename": "stdin", "line": 1, "col": 87}"#
        );
        assert_eq!(
            json(|o| o.helper_error(&notice, "probe_read_user", -14)),
            r#"{"type": "helper_error", "msg": "Bad address", "helper": "probe_read_user", "retcode": -14, "filename": "stdin", "line": 1, "col": 87}"#
        );
        let test = TestResult { name: "adds", duration_ns: 12, passed: false, output: b"x\n" };
        assert_eq!(
            json(|o| o.test_result(&test)),
            r#"{"type": "test_result", "data": {"adds": {"duration": 12, "passed": false, "output": "x\n"}}}"#
        );
        let benches = ["a", "b"].map(|name| BenchResult { name, average_ns: 3, iterations: 9 });
        assert_eq!(
            json(|o| o.benchmarks(&benches)),
            "{\"type\": \"benchmark_result\", \"data\": {\"a\": {\"average\": 3, \"iters\": 9}}}\n\
             {\"type\": \"benchmark_result\", \"data\": {\"b\": {\"average\": 3, \"iters\": 9}}}"
        );
    }
}
