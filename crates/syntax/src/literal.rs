//! The values of number and string literals.

/// A number literal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntLiteral {
    /// Its value; a duration is in nanoseconds.
    pub value: u64,
    /// The C suffix in lower case (`u`, `l`, `ul`, `ll`, `ull`), or empty.
    pub suffix: &'static str,
}

/// Units of durations, with their length in nanoseconds.
pub const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

/// C suffixes, with their canonical form.
const SUFFIXES: &[(&str, &str)] =
    &[("u", "u"), ("l", "l"), ("ul", "ul"), ("lu", "ul"), ("ll", "ll"), ("ull", "ull"), ("llu", "ull")];

/// Reads a number: decimal, `0x`, octal with a leading 0, `1e6`, `_` between digits, then a C suffix or a duration.
///
/// # Errors
/// What is wrong with it, as the end of a message that begins with the number.
pub fn parse_int(text: &str) -> Result<IntLiteral, String> {
    let lower = text.to_ascii_lowercase();
    let (radix, body) = match lower.strip_prefix("0x") {
        Some(hex) => (16, hex),
        None => (10, lower.as_str()),
    };
    let is_digit = |c: char| c.is_digit(radix) || c == '_';
    let (digits, rest) = body.split_at(body.find(|c| !is_digit(c)).unwrap_or(body.len()));
    if digits.is_empty() || digits.ends_with('_') || digits.starts_with('_') {
        return Err(
            if digits.is_empty() { "has no digits" } else { "has a '_' that is not between digits" }.into()
        );
    }
    let digits = digits.replace('_', "");
    let (exponent, rest) = split_exponent(rest, radix);
    let octal = radix == 10 && digits.len() > 1 && digits.starts_with('0') && exponent.is_none();
    let radix = if octal { 8 } else { radix };
    if octal && digits.contains(['8', '9']) {
        return Err("begins with 0, so it is octal, but has a digit that is not".into());
    }
    let overflow = || "is larger than 64 bits can hold".to_string();
    let mut value = u64::from_str_radix(&digits, radix).map_err(|_| overflow())?;
    if let Some(exponent) = exponent {
        let power = exponent.parse().ok().and_then(|e| 10u64.checked_pow(e));
        value = if value == 0 { 0 } else { power.and_then(|p| value.checked_mul(p)).ok_or_else(overflow)? };
    }
    if rest.is_empty() {
        return Ok(IntLiteral { value, suffix: "" });
    }
    if let Some((_, unit_ns)) = DURATIONS.iter().find(|(unit, _)| *unit == rest && text.ends_with(unit)) {
        return Ok(IntLiteral { value: value.checked_mul(*unit_ns).ok_or_else(overflow)?, suffix: "" });
    }
    match SUFFIXES.iter().find(|(suffix, _)| *suffix == rest) {
        Some((_, suffix)) => Ok(IntLiteral { value, suffix }),
        None => Err(format!("has the unknown suffix '{rest}'")),
    }
}

/// Splits `e6` from the text behind decimal digits.
fn split_exponent(rest: &str, radix: u32) -> (Option<&str>, &str) {
    let Some(behind) = rest.strip_prefix('e').filter(|_| radix == 10) else { return (None, rest) };
    let len = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    if len == 0 {
        return (None, rest);
    }
    (Some(&behind[..len]), &behind[len..])
}

/// Resolves the escapes of a string's inside. Gives the bytes, and for each wrong escape its place (byte offset and
/// length in `text`) and what is wrong.
pub fn unescape(text: &str) -> (Vec<u8>, Vec<(usize, usize, String)>) {
    let src = text.as_bytes();
    let (mut out, mut wrong) = (Vec::with_capacity(src.len()), Vec::new());
    let mut pos = 0;
    while let Some(&b) = src.get(pos) {
        if b != b'\\' {
            out.push(b);
            pos += 1;
            continue;
        }
        match escape(&src[pos + 1..]) {
            Ok((byte, len)) => {
                out.push(byte);
                pos += 1 + len;
            }
            Err(message) => {
                let len = text[pos + 1..].chars().next().map_or(0, char::len_utf8);
                wrong.push((pos, 1 + len, message));
                pos += 1 + len;
            }
        }
    }
    (out, wrong)
}

/// Reads one escape behind its `\`: the byte and how many bytes it took.
fn escape(rest: &[u8]) -> Result<(u8, usize), String> {
    let simple = |byte| Ok((byte, 1));
    match rest.first() {
        Some(b'n') => simple(b'\n'),
        Some(b't') => simple(b'\t'),
        Some(b'r') => simple(b'\r'),
        Some(b'"') => simple(b'"'),
        Some(b'\\') => simple(b'\\'),
        Some(b'x') => number(&rest[1..], 16, 2)
            .map(|(byte, len)| (byte, len + 1))
            .ok_or_else(|| "'\\x' needs one or two hexadecimal digits".to_string()),
        Some(b'0'..=b'7') => {
            number(rest, 8, 3).ok_or_else(|| "an octal escape goes up to '\\377'".to_string())
        }
        Some(_) => {
            Err(format!("unknown escape '\\{}'", String::from_utf8_lossy(rest).chars().next().unwrap_or('?')))
        }
        None => Err("a string cannot end in '\\'".to_string()),
    }
}

fn number(digits: &[u8], radix: u32, max_len: usize) -> Option<(u8, usize)> {
    let len = digits.iter().take(max_len).take_while(|b| char::from(**b).is_digit(radix)).count();
    let text = std::str::from_utf8(&digits[..len]).ok()?;
    Some((u8::from_str_radix(text, radix).ok()?, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<u64, String> {
        parse_int(text).map(|l| l.value)
    }

    #[test]
    fn forms_of_numbers() {
        for (text, expected) in [
            ("0", 0),
            ("42", 42),
            ("0x1F", 31),
            ("0X1f", 31),
            ("0123", 83),
            ("1e6", 1_000_000),
            ("5E2", 500),
            ("0e400", 0),
            ("1_000_000", 1_000_000),
            ("18446744073709551615", u64::MAX),
            ("0xffff_ffff_ffff_ffff", u64::MAX),
            ("0x1d", 29),
            ("1ns", 1),
            ("2us", 2_000),
            ("5ms", 5_000_000),
            ("1s", 1_000_000_000),
            ("1m", 60_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1d", 86_400_000_000_000),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn suffixes_are_kept() {
        for (text, suffix) in
            [("1u", "u"), ("1L", "l"), ("1LU", "ul"), ("0x10ULL", "ull"), ("7ll", "ll"), ("7s", "")]
        {
            assert_eq!(parse_int(text).unwrap().suffix, suffix, "{text}");
        }
    }

    #[test]
    fn wrong_numbers_say_why() {
        for (text, why) in [
            ("18446744073709551616", "larger than 64"),
            ("1e20", "larger than 64"),
            ("1e99999999999", "larger than 64"),
            ("999999999d", "larger than 64"),
            ("089", "octal"),
            ("0x", "no digits"),
            ("0x_1", "'_'"),
            ("1_", "'_'"),
            ("1_u", "'_'"),
            ("12abc", "unknown suffix 'abc'"),
            ("1e", "unknown suffix 'e'"),
            ("1lul", "unknown suffix"),
            ("1MS", "unknown suffix"),
        ] {
            assert!(value(text).unwrap_err().contains(why), "{text}: {:?}", value(text));
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r#"a\n\t\r\"\\\x41\x4g\101\0z"#), (b"a\n\t\r\"\\A\x04gA\0z".to_vec(), vec![]));
        assert_eq!(unescape(r"\xff\377").0, [0xff, 0xff]);
        let (bytes, wrong) = unescape("a\\qb\\xg\\400\\\u{20ac}\\");
        assert_eq!(bytes, b"abg00");
        assert_eq!(
            wrong.iter().map(|w| (w.0, w.1)).collect::<Vec<_>>(),
            [(1, 2), (4, 2), (7, 2), (11, 4), (15, 1)]
        );
    }
}
