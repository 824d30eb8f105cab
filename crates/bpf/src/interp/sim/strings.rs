//! Helpers on text that the program holds: comparison and parsing of numbers.

use super::errno::{fail, EINVAL, ERANGE};
use super::{Call, SimHost};
use crate::helpers::Helper;
use crate::interp::Fault;
use crate::isa::Size;

pub(super) const HELPERS: &[(Helper, Call)] = &[
    (Helper::STRNCMP, |h, _, a| h.strncmp(a[0], a[1], a[2])),
    (Helper::STRTOL, |h, _, a| h.parse_number(a, true)),
    (Helper::STRTOUL, |h, _, a| h.parse_number(a, false)),
];

/// Digits that the kernel looks at (it copies them to 64 bytes with a zero).
const PARSED_LEN: usize = 63;
/// Bits of `flags` that hold the base.
const BASE_MASK: u64 = 0x1f;

impl SimHost {
    fn strncmp(&mut self, left: u64, len: u64, right: u64) -> Result<u64, Fault> {
        let len = u64::from(len as u32);
        let left = self.memory.read(left, len)?;
        let Some((mut right, _)) = self.memory.text(right, len, false) else {
            return Err(Fault::Access { addr: right, len, write: false });
        };
        right.push(0);
        for (a, b) in left.iter().zip(&right) {
            if a != b {
                return Ok(if a < b { -1i64 as u64 } else { 1 });
            }
            if *a == 0 {
                break;
            }
        }
        Ok(0)
    }

    /// Puts the number where the fourth argument points; the result is the number of bytes read.
    fn parse_number(&mut self, [text, len, flags, place, _]: [u64; 5], signed: bool) -> Result<u64, Fault> {
        let bytes = self.memory.read(text, len)?;
        let parsed = match parse(bytes, flags, signed) {
            Ok((used, value)) => (used, value),
            Err(errno) => return Ok(fail(errno)),
        };
        self.put(place, Size::DW, parsed.1)?;
        Ok(u64::try_from(parsed.0).unwrap_or(0))
    }
}

/// Bytes used and the number's bits.
fn parse(bytes: &[u8], flags: u64, signed: bool) -> Result<(usize, u64), i64> {
    let base = flags & BASE_MASK;
    if flags & !BASE_MASK != 0 || !matches!(base, 0 | 8 | 10 | 16) {
        return Err(EINVAL);
    }
    let blanks = bytes.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
    let rest = bytes.get(blanks..).unwrap_or_default();
    let negative = rest.first() == Some(&b'-');
    if negative && !signed {
        return Err(EINVAL);
    }
    let sign = usize::from(negative);
    let digits = rest.get(sign..).unwrap_or_default();
    let digits = digits.get(..PARSED_LEN).unwrap_or(digits);
    let hex = digits.starts_with(b"0x") || digits.starts_with(b"0X");
    let hex = hex && digits.get(2).is_some_and(u8::is_ascii_hexdigit);
    let (base, prefix) = match base {
        0 | 16 if hex => (16, 2),
        0 if digits.first() == Some(&b'0') => (8, 0),
        0 => (10, 0),
        16 => (16, 0),
        other => (other, 0),
    };
    let mut value = 0u64;
    let mut used = 0;
    for byte in digits.get(prefix..).unwrap_or_default() {
        let digit = char::from(*byte).to_digit(16).map(u64::from).filter(|digit| *digit < base);
        let Some(digit) = digit else { break };
        value = value.checked_mul(base).and_then(|value| value.checked_add(digit)).ok_or(ERANGE)?;
        used += 1;
    }
    if used == 0 {
        return Err(EINVAL);
    }
    let total = blanks + sign + prefix + used;
    if !signed {
        return Ok((total, value));
    }
    let limit = if negative { 1 << 63 } else { (1 << 63) - 1 };
    if value > limit {
        return Err(ERANGE);
    }
    Ok((total, if negative { value.wrapping_neg() } else { value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(parse(b"  -42xyz", 0, true), Ok((5, -42i64 as u64)));
        assert_eq!(parse(b"0x1fg", 0, true), Ok((4, 31)));
        assert_eq!(parse(b"017", 0, false), Ok((3, 15)));
        assert_eq!(parse(b"ff", 16, false), Ok((2, 255)));
        assert_eq!(parse(b"8", 8, true), Err(EINVAL));
        assert_eq!(parse(b"-1", 10, false), Err(EINVAL));
        assert_eq!(parse(b"+5", 10, true), Err(EINVAL));
        assert_eq!(parse(&[b'0'; 70], 10, true), Ok((63, 0)));
        assert_eq!(parse(b"", 10, false), Err(EINVAL));
        assert_eq!(parse(b"5", 7, false), Err(EINVAL));
        assert_eq!(parse(b"9223372036854775808", 10, true), Err(ERANGE));
        assert_eq!(parse(b"-9223372036854775808", 10, true), Ok((20, 1 << 63)));
        assert_eq!(parse(b"99999999999999999999", 10, false), Err(ERANGE));
    }
}
