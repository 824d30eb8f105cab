//! A decoded value of the language, its text and its order.

use crate::num::{push_hex, push_i64, push_num, push_u64, Num};
use crate::stack::{push_hex_byte, Stack};
use std::cmp::Ordering;
use std::sync::Arc;

/// Spaces before each frame of a stack which is a value.
pub const VALUE_STACK_INDENT: usize = 8;
/// Spaces before each frame of a stack which is (part of) a map key.
pub const KEY_STACK_INDENT: usize = 4;

/// A value as the runtime decoded it.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing: the key of a scalar map, the value of a void expression.
    #[default]
    None,
    /// Signed integer of any width.
    Int(i64),
    /// Unsigned integer of any width.
    Uint(u64),
    /// `true` or `false`.
    Bool(bool),
    /// An enumerator; text shows the name where there is one, JSON the number.
    Enum {
        /// The enumerator's name, `None` when no enumerator has this value.
        name: Option<Arc<str>>,
        /// Its number.
        value: Num,
    },
    /// A pointer.
    Ptr(u64),
    /// A string without its NUL; bytes, as the traced program need not speak UTF-8.
    Str(Vec<u8>),
    /// Bytes from `buf()`.
    Buffer(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A record, structure or union, in the order of its members.
    Record(Vec<(Arc<str>, Value)>),
    /// A call stack.
    Stack(Stack),
    /// A symbol (`ksym`, `usym`), or the address in hexadecimal when there is none.
    Symbol(String),
    /// Already formatted: timestamps, user names, network and MAC addresses, control group paths.
    Text(String),
}

impl From<i64> for Value {
    fn from(v: i64) -> Value {
        Value::Int(v)
    }
}

impl From<u64> for Value {
    fn from(v: u64) -> Value {
        Value::Uint(v)
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Bool(v)
    }
}

impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::Str(v.as_bytes().to_vec())
    }
}

impl From<Num> for Value {
    fn from(v: Num) -> Value {
        match v {
            Num::I(v) => Value::Int(v),
            Num::U(v) => Value::Uint(v),
        }
    }
}

impl Value {
    /// The number in an integer, boolean, enumerator or pointer.
    pub fn as_num(&self) -> Option<Num> {
        match self {
            Value::Int(v) => Some(Num::I(*v)),
            Value::Uint(v) | Value::Ptr(v) => Some(Num::U(*v)),
            Value::Bool(v) => Some(Num::U(u64::from(*v))),
            Value::Enum { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// The value's text; frames of stacks stand behind `indent` spaces.
    pub fn write(&self, indent: usize, out: &mut Vec<u8>) {
        match self {
            Value::None => out.extend_from_slice(b"none"),
            Value::Int(v) => push_i64(out, *v),
            Value::Uint(v) => push_u64(out, *v),
            Value::Bool(v) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
            Value::Enum { name: Some(name), .. } => out.extend_from_slice(name.as_bytes()),
            Value::Enum { name: None, value } => push_num(out, *value),
            Value::Ptr(v) => {
                out.extend_from_slice(b"0x");
                push_hex(out, *v);
            }
            Value::Str(v) => out.extend_from_slice(v),
            Value::Buffer(v) => write_buffer(v, out),
            Value::Array(items) => {
                out.push(b'[');
                join(items, b",", indent, out);
                out.push(b']');
            }
            Value::Tuple(items) => {
                out.push(b'(');
                join(items, b", ", indent, out);
                if items.len() == 1 {
                    out.push(b',');
                }
                out.push(b')');
            }
            Value::Record(fields) => write_record(fields, indent, out),
            Value::Stack(stack) => stack.write(indent, out),
            Value::Symbol(text) | Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// The value's text as a map key: the parts of a tuple stand without parentheses.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Value::Tuple(items) => join(items, b", ", KEY_STACK_INDENT, out),
            v => v.write(KEY_STACK_INDENT, out),
        }
    }

    /// The text as a string, for messages; bytes that are not UTF-8 are replaced.
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(VALUE_STACK_INDENT, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The order of keys: numbers by size, strings by bytes, tuples part by part, the rest by text.
    pub fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Str(a), Value::Str(b)) | (Value::Buffer(a), Value::Buffer(b)) => a.cmp(b),
            (Value::Array(a), Value::Array(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                order_all(a.iter().zip(b), a.len(), b.len())
            }
            (Value::Record(a), Value::Record(b)) => {
                let pairs = a.iter().map(|f| &f.1).zip(b.iter().map(|f| &f.1));
                order_all(pairs, a.len(), b.len())
            }
            (Value::Stack(a), Value::Stack(b)) => a.cmp(b),
            _ => match (self.as_num(), other.as_num()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => self.to_text().cmp(&other.to_text()),
            },
        }
    }
}

fn order_all<'a>(mut pairs: impl Iterator<Item = (&'a Value, &'a Value)>, a: usize, b: usize) -> Ordering {
    pairs.find_map(|(x, y)| Some(x.order(y)).filter(|o| o.is_ne())).unwrap_or_else(|| a.cmp(&b))
}

fn join(items: &[Value], separator: &[u8], indent: usize, out: &mut Vec<u8>) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(separator);
        }
        item.write(indent, out);
    }
}

fn write_record(fields: &[(Arc<str>, Value)], indent: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, value)) in fields.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b", ." } else { b" ." });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b" = ");
        value.write(indent, out);
    }
    out.extend_from_slice(b" }");
}

/// Appends bytes with the printable ones as they are and the others as `\xNN`.
pub(crate) fn write_buffer(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if (b' '..=b'~').contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\x");
            push_hex_byte(out, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Frame, StackMode};

    fn key(value: Value) -> String {
        let mut out = Vec::new();
        value.write_key(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn each_kind_has_its_text() {
        let one = || Value::Int(1);
        for (value, want) in [
            (Value::Int(-1), "-1"),
            (Value::Uint(u64::MAX), "18446744073709551615"),
            (Value::Bool(false), "false"),
            (Value::Ptr(0x4a), "0x4a"),
            (Value::Enum { name: Some("FOO".into()), value: Num::I(3) }, "FOO"),
            (Value::Enum { name: None, value: Num::I(-3) }, "-3"),
            ("hi".into(), "hi"),
            (Value::Buffer(b"ok\0".to_vec()), "ok\\x00"),
            (Value::Array(vec![Value::Bool(true), Value::Bool(false)]), "[true,false]"),
            (Value::Tuple(vec![one(), "x".into(), Value::Tuple(vec![one(), one()])]), "(1, x, (1, 1))"),
            (Value::Tuple(vec![one()]), "(1,)"),
            (Value::Tuple(Vec::new()), "()"),
            (
                Value::Record(vec![("foo".into(), Value::Int(2)), ("bar".into(), one())]),
                "{ .foo = 2, .bar = 1 }",
            ),
            (Value::Symbol("main".into()), "main"),
        ] {
            assert_eq!(value.to_text(), want);
        }
    }

    #[test]
    fn keys_lose_their_outer_parentheses_only() {
        let inner = Value::Tuple(vec![Value::Int(2), Value::Int(3)]);
        assert_eq!(key(Value::Tuple(vec!["a".into(), inner])), "a, (2, 3)");
        let stack = Value::Stack(Stack { frames: vec![Frame::named(1, "f", 2)], mode: StackMode::Bpftrace });
        assert_eq!(key(Value::Tuple(vec![stack.clone(), "sh".into()])), "\n    f+2\n, sh");
        assert_eq!(Value::Tuple(vec![Value::Int(1), stack]).to_text(), "(1, \n        f+2\n)");
    }

    #[test]
    fn keys_are_ordered_by_what_they_are() {
        let t = |a, b: &str| Value::Tuple(vec![Value::Int(a), b.into()]);
        assert!(t(9, "z").order(&t(10, "a")).is_lt());
        assert!(t(9, "z").order(&t(9, "a")).is_gt());
        assert!(t(9, "z").order(&t(9, "z")).is_eq());
        assert!(Value::Int(-1).order(&Value::Uint(u64::MAX)).is_lt());
        assert!(Value::Str(b"a".to_vec()).order(&Value::Str(b"aa".to_vec())).is_lt());
    }
}
