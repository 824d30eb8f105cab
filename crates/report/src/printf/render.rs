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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::Num;
    use crate::stack::{Frame, Stack, StackMode};

    fn render(format: &str, args: &[Value]) -> String {
        let mut out = Vec::new();
        Format::parse(format).expect("a format").render(args, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    fn int(v: i64) -> Value {
        Value::Int(v)
    }

    #[test]
    fn integers_follow_c() {
        // The expected texts are those of a C library's printf.
        for (format, value, want) in [
            ("%d", 5, "5"),
            ("%5d|", 1, "    1|"),
            ("%-5d|", 2, "2    |"),
            ("%05d|", -3, "-0003|"),
            ("%+d", 4, "+4"),
            ("% d", 5, " 5"),
            ("%+ d", 5, "+5"),
            ("%#x", 255, "0xff"),
            ("%#x", 0, "0"),
            ("%#X", 255, "0XFF"),
            ("%#o", 8, "010"),
            ("%#o", 0, "0"),
            ("%o", 8, "10"),
            ("%#08x|", 255, "0x0000ff|"),
            ("%-#8x|", 255, "0xff    |"),
            ("%8.3d|", 7, "     007|"),
            ("%08.3d|", 7, "     007|"),
            ("%-08d|", 7, "7       |"),
            ("%.0d|", 0, "|"),
            ("%#.3o", 8, "010"),
            ("%#.2o", 8, "010"),
            ("%x", -1, "ffffffff"),
            ("%lx", -1, "ffffffffffffffff"),
            ("%u", -1, "4294967295"),
            ("%lu", -1, "18446744073709551615"),
            ("%d", 0x1_0000_0005, "5"),
            ("%lld", i64::MIN, "-9223372036854775808"),
            ("%d", 0xffff_ffff, "-1"),
            ("%hhd", 255, "-1"),
            ("%hd", 0x1_8000, "-32768"),
            ("%c", 65, "A"),
            ("%3c|", 65, "  A|"),
            ("%p", 0, "0x0"),
            ("%p", -1, "0xffffffffffffffff"),
            ("%8p|", 16, "    0x10|"),
            ("%08p|", 16, "0x000010|"),
            ("%s", -7, "-7"),
            ("%gr", 1, "GFP_DMA"),
        ] {
            assert_eq!(render(format, &[int(value)]), want, "{format} of {value}");
        }
        let x = int(0x12_3456_78ab_cdef);
        let args = [x.clone(), x.clone(), x.clone(), x];
        assert_eq!(render("%hhx %hx %x %jx", &args), "ef cdef 78abcdef 12345678abcdef");
    }

    #[test]
    fn stars_take_arguments() {
        let args = [int(6), "ab".into(), int(-6), "ab".into(), int(1), "ab".into(), int(-1), "ab".into()];
        assert_eq!(render("%*s|%*s|%.*s|%.*s|", &args), "    ab|ab    |a|ab|");
        assert_eq!(render("%*d|", &[int(i64::MAX), int(1)]), "1|");
        assert_eq!(render("%*d", &[int(i64::from(i32::MIN)), int(1)]).len(), MAX_WIDTH as usize);
    }

    #[test]
    fn strings_take_anything() {
        let name = |name: &str, value| Value::Enum { name: Some(name.into()), value: Num::U(value) };
        let args = [name("ONE", 1), name("ONE", 1), Value::Enum { name: None, value: Num::I(100) }];
        assert_eq!(render("%d %s %s", &args), "1 ONE 100");
        assert_eq!(render("%-5s %5s %s", &[name("A", 0), name("B", 1), name("C", 2)]), "A         B C");
        assert_eq!(render("%.2s|%5.1s|%05s", &["abc".into(), "abc".into(), "x".into()]), "ab|    a|    x");
        assert_eq!(
            render("%s %d %s", &[Value::Bool(true), Value::Bool(true), Value::Ptr(16)]),
            "true 1 0x10"
        );
        let record = Value::Record(vec![("a".into(), int(1)), ("b".into(), "x".into())]);
        let tuple = Value::Tuple(vec![int(1), Value::Array(vec![int(1), int(2)]), record]);
        assert_eq!(render("%s", &[tuple]), "(1, [1,2], { .a = 1, .b = x })");
        let stack = Stack { frames: vec![Frame::named(1, "main", 3)], mode: StackMode::Bpftrace };
        assert_eq!(render("[%s]", &[Value::Stack(stack)]), "[\n        main+3\n]");
        assert_eq!(render("%s", &[Value::Text("root".into())]), "root");
    }

    #[test]
    fn buffers_have_three_forms() {
        let buf = Value::Buffer(b"a\n\\\xff".to_vec());
        let args = [buf.clone(), buf.clone(), buf.clone(), buf];
        assert_eq!(
            render("%r|%rx|%rh|%s", &args),
            "a\\x0a\\\\xff|\\x61\\x0a\\x5c\\xff|61 0a 5c ff|a\\x0a\\\\xff"
        );
        assert_eq!(
            render("%5r|%-5rh|", &[Value::Buffer(b"ab".to_vec()), Value::Buffer(vec![1])]),
            "   ab|01   |"
        );
    }

    #[test]
    fn what_cannot_be_written_is_marked() {
        assert_eq!(render("%d", &["abc".into()]), "!{abc}");
        assert_eq!(render("%r", &[int(5)]), "!{5}");
        assert_eq!(render("%x", &[Value::Tuple(vec![int(1), int(2)])]), "!{(1, 2)}");
        assert_eq!(render("%d %d", &[int(1)]), "1 !{}");
        assert_eq!(render("none", &[int(1)]), "none");
    }

    #[test]
    fn strings_are_lossless() {
        let mut out = Vec::new();
        let format = Format::parse("%s").expect("a format");
        format.render_fields(&[Field::Str(b"\xff\x00\x01")], &mut out);
        assert_eq!(out, b"\xff\x00\x01");
    }
}
