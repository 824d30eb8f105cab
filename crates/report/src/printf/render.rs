//! Writing the arguments of a format.

use super::{Conv, Count, Flags, Format, Segment, Spec, MAX_WIDTH};
use crate::num::{decimal, pad, power_of_two, push_hex, push_i64, push_u64, DIGITS};
use crate::stack::push_hex_byte;
use crate::value::{write_buffer, Value, VALUE_STACK_INDENT};

/// An argument as it lies in an event record, so that nothing is copied to print it.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A pointer.
    Ptr(u64),
    /// A boolean.
    Bool(bool),
    /// A string without its NUL.
    Str(&'a [u8]),
    /// A buffer.
    Buffer(&'a [u8]),
    /// Anything, decoded.
    Value(&'a Value),
}

impl<'a> From<&'a Value> for Field<'a> {
    fn from(value: &'a Value) -> Field<'a> {
        match value {
            Value::Int(v) => Field::Int(*v),
            Value::Uint(v) => Field::Uint(*v),
            Value::Ptr(v) => Field::Ptr(*v),
            Value::Bool(v) => Field::Bool(*v),
            Value::Str(v) => Field::Str(v),
            Value::Buffer(v) => Field::Buffer(v),
            value => Field::Value(value),
        }
    }
}

impl Field<'_> {
    /// The 64 bits of a number.
    #[inline]
    fn bits(&self) -> Option<u64> {
        match self {
            Field::Int(v) => Some(*v as u64),
            Field::Uint(v) | Field::Ptr(v) => Some(*v),
            Field::Bool(v) => Some(u64::from(*v)),
            Field::Value(v) => v.as_num().map(|n| n.bits()),
            Field::Str(_) | Field::Buffer(_) => None,
        }
    }

    /// The text of `%s`.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Field::Int(v) => push_i64(out, *v),
            Field::Uint(v) => push_u64(out, *v),
            Field::Ptr(v) => {
                out.extend_from_slice(b"0x");
                push_hex(out, *v);
            }
            Field::Bool(v) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
            Field::Str(v) => out.extend_from_slice(v),
            Field::Buffer(v) => write_buffer(v, out),
            Field::Value(v) => v.write(VALUE_STACK_INDENT, out),
        }
    }
}

impl Format {
    /// Appends the format with `args` in its places. An argument which is missing or which its conversion cannot
    /// write appears as `!{text}`.
    pub fn render(&self, args: &[Value], out: &mut Vec<u8>) {
        self.render_from(&mut args.iter().map(Field::from), out);
    }

    /// As [`Format::render`], from fields.
    pub fn render_fields(&self, fields: &[Field], out: &mut Vec<u8>) {
        self.render_from(&mut fields.iter().copied(), out);
    }

    /// As [`Format::render`], from fields made on the way, such as decoded out of a record.
    #[inline]
    pub fn render_from<'a>(&self, args: &mut impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => out.extend_from_slice(text),
                Segment::Spec(spec) => render_spec(spec, args, out),
            }
        }
    }
}

/// A conversion whose stars are replaced.
#[derive(Clone, Copy)]
struct Layout {
    flags: Flags,
    width: usize,
    precision: Option<usize>,
}

#[inline]
fn render_spec<'a>(spec: &Spec, args: &mut impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
    let mut layout = Layout { flags: spec.flags, width: 0, precision: None };
    match spec.width {
        None => {}
        Some(Count::Fixed(n)) => layout.width = n as usize,
        Some(Count::Arg) => {
            let n = star(args.next());
            // As in C: a negative width is the flag `-` and a width.
            layout.flags.left |= n < 0;
            layout.width = n.unsigned_abs() as usize;
        }
    }
    match spec.precision {
        None => {}
        Some(Count::Fixed(n)) => layout.precision = Some(n as usize),
        // As in C: a negative precision is none.
        Some(Count::Arg) => layout.precision = usize::try_from(star(args.next())).ok(),
    }
    match args.next() {
        Some(field) => render_field(spec, layout, &field, out),
        None => out.extend_from_slice(b"!{}"),
    }
}

fn star(field: Option<Field>) -> i32 {
    let limit = MAX_WIDTH as i32;
    field.and_then(|f| f.bits()).map_or(0, |bits| (bits as i32).clamp(-limit, limit))
}

#[inline]
fn render_field(spec: &Spec, layout: Layout, field: &Field, out: &mut Vec<u8>) {
    if spec.conv == Conv::Str {
        return render_text(layout, out, |out| field.write(out));
    }
    if let Some(bits) = field.bits() {
        match spec.conv {
            Conv::Char => {
                return render_text(Layout { precision: None, ..layout }, out, |out| out.push(bits as u8))
            }
            Conv::GfpFlags => return render_text(layout, out, |out| crate::gfp::write(bits, out)),
            Conv::Pointer => {
                let flags = Flags { alternate: true, ..layout.flags };
                return render_digits(Conv::Pointer, Layout { flags, ..layout }, bits, false, out);
            }
            Conv::Signed => {
                let unused = 64 - spec.length.bits();
                let value = ((bits << unused) as i64) >> unused;
                return render_digits(spec.conv, layout, value.unsigned_abs(), value < 0, out);
            }
            Conv::Unsigned | Conv::Octal | Conv::Hex | Conv::HexUpper => {
                let value = bits & (u64::MAX >> (64 - spec.length.bits()));
                return render_digits(spec.conv, layout, value, false, out);
            }
            Conv::Str | Conv::Buffer | Conv::BufferEscaped | Conv::BufferHex => {}
        }
    }
    match (spec.conv, bytes(field)) {
        (Conv::Buffer, Some(bytes)) => render_text(layout, out, |out| write_buffer(bytes, out)),
        (Conv::BufferEscaped, Some(bytes)) => render_text(layout, out, |out| {
            for &byte in bytes {
                out.extend_from_slice(b"\\x");
                push_hex_byte(out, byte);
            }
        }),
        (Conv::BufferHex, Some(bytes)) => render_text(layout, out, |out| {
            for (i, &byte) in bytes.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                push_hex_byte(out, byte);
            }
        }),
        _ => {
            out.extend_from_slice(b"!{");
            field.write(out);
            out.push(b'}');
        }
    }
}

fn bytes<'a>(field: &Field<'a>) -> Option<&'a [u8]> {
    match *field {
        Field::Buffer(bytes) | Field::Str(bytes) => Some(bytes),
        Field::Value(Value::Buffer(bytes) | Value::Str(bytes)) => Some(bytes),
        _ => None,
    }
}

/// Appends a text cut to the precision and filled with spaces to the width.
#[inline]
fn render_text(layout: Layout, out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    text(out);
    if let Some(most) = layout.precision {
        out.truncate(start + most.min(out.len() - start));
    }
    let fill = layout.width.saturating_sub(out.len() - start);
    if fill == 0 {
        return;
    }
    pad(out, b' ', fill);
    if !layout.flags.left {
        out[start..].rotate_right(fill);
    }
}

/// Appends a number as C's printf does: spaces, sign or base, zeros, digits.
#[inline]
fn render_digits(conv: Conv, layout: Layout, value: u64, negative: bool, out: &mut Vec<u8>) {
    let mut buf = [0; DIGITS];
    let at = match conv {
        Conv::Hex | Conv::Pointer => power_of_two(value, 4, false, &mut buf),
        Conv::HexUpper => power_of_two(value, 4, true, &mut buf),
        Conv::Octal => power_of_two(value, 3, false, &mut buf),
        _ => decimal(value, &mut buf),
    };
    let digits = &buf[at..];
    let flags = layout.flags;
    if layout.width == 0 && layout.precision.is_none() && !(flags.plus | flags.space | flags.alternate) {
        if negative {
            out.push(b'-');
        }
        return out.extend_from_slice(digits);
    }
    let prefix: &[u8] = match conv {
        Conv::Signed if negative => b"-",
        Conv::Signed if flags.plus => b"+",
        Conv::Signed if flags.space => b" ",
        Conv::Pointer => b"0x",
        Conv::Hex if flags.alternate && value != 0 => b"0x",
        Conv::HexUpper if flags.alternate && value != 0 => b"0X",
        _ => b"",
    };
    // A precision of 0 writes nothing for 0; a pointer is always written.
    let digits =
        if value == 0 && layout.precision == Some(0) && conv != Conv::Pointer { &[] } else { digits };
    let mut zeros = layout.precision.unwrap_or(1).saturating_sub(digits.len());
    if conv == Conv::Octal && flags.alternate && zeros == 0 && digits.first() != Some(&b'0') {
        zeros = 1;
    }
    let mut fill = layout.width.saturating_sub(prefix.len() + zeros + digits.len());
    if flags.zero && !flags.left && layout.precision.is_none() {
        zeros += fill;
        fill = 0;
    }
    if !flags.left {
        pad(out, b' ', fill);
    }
    out.extend_from_slice(prefix);
    pad(out, b'0', zeros);
    out.extend_from_slice(digits);
    if flags.left {
        pad(out, b' ', fill);
    }
}
