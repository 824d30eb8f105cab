//! Integers of either sign, and their digits written without allocation.

use std::cmp::Ordering;

/// A 64-bit integer that remembers whether it is signed.
#[derive(Clone, Copy, Debug)]
pub enum Num {
    /// Signed.
    I(i64),
    /// Unsigned.
    U(u64),
}

impl Num {
    /// The value, wide enough for either kind.
    pub fn wide(self) -> i128 {
        match self {
            Num::I(v) => i128::from(v),
            Num::U(v) => i128::from(v),
        }
    }

    /// The 64 bits.
    pub fn bits(self) -> u64 {
        match self {
            Num::I(v) => v as u64,
            Num::U(v) => v,
        }
    }

    /// Divided by `div` towards zero; 0 and 1 leave it as it is.
    pub fn over(self, div: u64) -> Num {
        if div <= 1 {
            return self;
        }
        match self {
            Num::I(v) => Num::I((i128::from(v) / i128::from(div)) as i64),
            Num::U(v) => Num::U(v / div),
        }
    }
}

impl From<i64> for Num {
    fn from(v: i64) -> Num {
        Num::I(v)
    }
}

impl From<u64> for Num {
    fn from(v: u64) -> Num {
        Num::U(v)
    }
}

impl PartialEq for Num {
    fn eq(&self, other: &Num) -> bool {
        self.wide() == other.wide()
    }
}

impl Eq for Num {}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Num) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Num {
    fn cmp(&self, other: &Num) -> Ordering {
        self.wide().cmp(&other.wide())
    }
}

/// The most characters a 64-bit number takes in any base down to 8 (22 octal digits), rounded up.
pub(crate) const DIGITS: usize = 24;

const PAIRS: [u8; 200] = {
    let mut t = [0u8; 200];
    let mut i = 0;
    while i < 100 {
        t[2 * i] = b'0' + (i / 10) as u8;
        t[2 * i + 1] = b'0' + (i % 10) as u8;
        i += 1;
    }
    t
};

/// Writes the decimal digits of `v` at the end of `buf` and returns where they begin.
#[inline]
pub(crate) fn decimal(mut v: u64, buf: &mut [u8; DIGITS]) -> usize {
    let mut at = DIGITS;
    while v >= 100 {
        let pair = (v % 100) as usize * 2;
        v /= 100;
        at -= 2;
        buf[at] = PAIRS[pair];
        buf[at + 1] = PAIRS[pair + 1];
    }
    if v >= 10 {
        let pair = v as usize * 2;
        at -= 2;
        buf[at] = PAIRS[pair];
        buf[at + 1] = PAIRS[pair + 1];
    } else {
        at -= 1;
        buf[at] = b'0' + v as u8;
    }
    at
}

/// Writes the digits of `v` in base `1 << shift` (8 or 16) at the end of `buf` and returns where they begin.
#[inline]
pub(crate) fn power_of_two(mut v: u64, shift: u32, upper: bool, buf: &mut [u8; DIGITS]) -> usize {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mask = (1u64 << shift) - 1;
    let mut at = DIGITS;
    loop {
        at -= 1;
        buf[at] = digits[(v & mask) as usize & 15];
        v >>= shift;
        if v == 0 {
            return at;
        }
    }
}

/// Appends `v` in decimal.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, v: u64) {
    let mut buf = [0; DIGITS];
    let at = decimal(v, &mut buf);
    out.extend_from_slice(&buf[at..]);
}

/// Appends `v` in decimal, with its sign when negative.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, v: i64) {
    if v < 0 {
        out.push(b'-');
    }
    push_u64(out, v.unsigned_abs());
}

/// Appends `v` in decimal, whichever kind it is.
#[inline]
pub fn push_num(out: &mut Vec<u8>, v: Num) {
    match v {
        Num::I(v) => push_i64(out, v),
        Num::U(v) => push_u64(out, v),
    }
}

/// Appends `v` in lower-case hexadecimal, without `0x`.
#[inline]
pub fn push_hex(out: &mut Vec<u8>, v: u64) {
    let mut buf = [0; DIGITS];
    let at = power_of_two(v, 4, false, &mut buf);
    out.extend_from_slice(&buf[at..]);
}

/// Appends `n` copies of `byte`.
#[inline]
pub(crate) fn pad(out: &mut Vec<u8>, byte: u8, n: usize) {
    out.resize(out.len() + n, byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(f: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).expect("digits are ASCII")
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for v in [0u64, 1, 9, 10, 99, 100, 101, 999, 1000, 12345, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(text(|o| push_u64(o, v)), v.to_string());
            assert_eq!(text(|o| push_i64(o, v as i64)), (v as i64).to_string());
            assert_eq!(text(|o| push_hex(o, v)), format!("{v:x}"));
            let mut buf = [0; DIGITS];
            let at = power_of_two(v, 3, false, &mut buf);
            assert_eq!(std::str::from_utf8(&buf[at..]).expect("ASCII"), format!("{v:o}"));
        }
        assert_eq!(text(|o| push_i64(o, i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn numbers_compare_across_kinds_and_divide_towards_zero() {
        assert!(Num::I(-1) < Num::U(0));
        assert!(Num::U(u64::MAX) > Num::I(i64::MAX));
        assert_eq!(Num::I(5), Num::U(5));
        assert_eq!(Num::I(-15).over(10), Num::I(-1));
        assert_eq!(Num::I(i64::MIN).over(u64::MAX), Num::I(0));
        assert_eq!(Num::U(u64::MAX).over(0), Num::U(u64::MAX));
    }
}
