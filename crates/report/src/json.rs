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
        to.key("average", |out| push_exact(out, stats.average().div(div)));
        to.key("total", |out| push_exact(out, stats.total.div(div)));
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
            Some(value) => push_exact(out, value.div(div)),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    });
}

fn push_map_value(out: &mut Vec<u8>, value: &MapValue, div: u64) {
    match value {
        MapValue::Plain(Value::Int(v)) => push_exact(out, Num::I(*v).div(div)),
        MapValue::Plain(Value::Uint(v)) => push_exact(out, Num::U(*v).div(div)),
        MapValue::Plain(v) => push_value(out, v),
        MapValue::Int(v) => push_exact(out, v.div(div)),
        MapValue::Avg(s) => push_exact(out, s.average().div(div)),
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
