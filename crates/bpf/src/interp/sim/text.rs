//! Formatted text: `snprintf`, `trace_printk`, `trace_vprintk` with the conversions that the kernel allows programs.

use super::errno::{fail, EINVAL};
use super::probe::Half;
use super::{Call, SimHost};
use crate::helpers::Helper;
use crate::interp::Fault;
use std::fmt::Write;

pub(super) const HELPERS: &[(Helper, Call)] = &[
    (Helper::SNPRINTF, |h, _, a| h.snprintf(a)),
    (Helper::TRACE_PRINTK, |h, _, a| h.trace(a[0], a[1], &[a[2], a[3], a[4]])),
    (Helper::TRACE_VPRINTK, |h, _, a| match h.vector(a[2], a[3])? {
        Some(values) => h.trace(a[0], a[1], &values),
        None => Ok(fail(EINVAL)),
    }),
];

/// Most values of a call (`MAX_BPRINTF_VARARGS`).
const MAX_VALUES: u64 = 12;
/// Longest text of one `%s` (`MAX_BPRINTF_BUF` bounds all of them together).
const MAX_TEXT: u64 = 512;

/// A named range of kernel addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// First address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// Name.
    pub name: String,
}

/// One conversion.
struct Spec {
    zero: bool,
    left: bool,
    plus: bool,
    space: bool,
    width: usize,
}

impl SimHost {
    fn vector(&self, data: u64, len: u64) -> Result<Option<Vec<u64>>, Fault> {
        let len = u64::from(len as u32);
        if len % 8 != 0 || len > MAX_VALUES * 8 || (len > 0 && data == 0) {
            return Ok(None);
        }
        if len == 0 {
            return Ok(Some(Vec::new()));
        }
        let words = self.memory.read(data, len)?.chunks_exact(8);
        Ok(Some(words.map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect()))
    }

    fn snprintf(&mut self, [place, len, format, data, data_len]: [u64; 5]) -> Result<u64, Fault> {
        let len = u64::from(len as u32);
        let Some(values) = self.vector(data, data_len)? else { return Ok(fail(EINVAL)) };
        let Some((format, true)) = self.memory.text(format, u64::from(u32::MAX), false) else {
            return Err(Fault::misuse("snprintf", "the format is no zero-terminated text in a map"));
        };
        let Some(mut text) = self.format(&format, &values) else { return Ok(fail(EINVAL)) };
        text.push(0);
        if len > 0 {
            let buffer = self.memory.write(place, len)?;
            for (to, from) in buffer.iter_mut().zip(&text) {
                *to = *from;
            }
            if let Some(last) = buffer.last_mut().filter(|_| text.len() as u64 > len) {
                *last = 0;
            }
        }
        Ok(u64::try_from(text.len()).unwrap_or(u64::MAX))
    }

    fn trace(&mut self, format: u64, len: u64, values: &[u64]) -> Result<u64, Fault> {
        let format = self.memory.read(format, u64::from(len as u32))?;
        let Some((0, format)) = format.split_last() else { return Ok(fail(EINVAL)) };
        let end = format.iter().position(|byte| *byte == 0).unwrap_or(format.len());
        let format = format.get(..end).unwrap_or_default().to_vec();
        let Some(text) = self.format(&format, values) else { return Ok(fail(EINVAL)) };
        self.printed.push(String::from_utf8_lossy(&text).into_owned());
        Ok(u64::try_from(text.len()).unwrap_or(u64::MAX))
    }

    /// `None` for what the kernel refuses: unknown conversions, too few values, bytes that are not printable ASCII.
    fn format(&self, format: &[u8], values: &[u64]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut values = values.iter().copied();
        let mut bytes = format.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            if !(byte.is_ascii_graphic() || byte.is_ascii_whitespace() || byte == 0x0b) {
                return None;
            }
            if byte != b'%' {
                out.push(byte);
                continue;
            }
            if bytes.next_if_eq(&b'%').is_some() {
                out.push(b'%');
                continue;
            }
            let spec = Spec::parse(&mut bytes);
            let conversion = bytes.next()?;
            let value = values.next()?;
            let text = match conversion {
                b'p' => self.pointer(&mut bytes, value)?,
                b's' => self.string(Half::of(value), value),
                b'c' => vec![value as u8],
                b'l' => {
                    bytes.next_if_eq(&b'l');
                    spec.number(bytes.next()?, value as i64, value)?
                }
                other => spec.number(other, (value as i32).into(), u64::from(value as u32))?,
            };
            spec.pad(&mut out, &text);
        }
        Some(out)
    }

    fn string(&self, half: Half, addr: u64) -> Vec<u8> {
        self.peek_text(half, addr, MAX_TEXT - 1).map(|(text, _)| text).unwrap_or_default()
    }

    fn pointer(
        &self,
        bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>,
        value: u64,
    ) -> Option<Vec<u8>> {
        let hex = || Some(format!("{value:016x}").into_bytes());
        match bytes.peek().copied() {
            None => hex(),
            Some(b'K' | b'x') => {
                bytes.next();
                hex()
            }
            Some(kind @ (b's' | b'S' | b'B')) => {
                bytes.next();
                Some(self.symbol(value, kind != b's').into_bytes())
            }
            Some(half @ (b'k' | b'u')) => {
                bytes.next();
                bytes.next_if_eq(&b's')?;
                Some(self.string(if half == b'k' { Half::Kernel } else { Half::User }, value))
            }
            Some(kind @ (b'i' | b'I')) => {
                bytes.next();
                self.ip_address(kind == b'I', bytes.next()?, value)
            }
            Some(other) if other.is_ascii_whitespace() || other.is_ascii_punctuation() => hex(),
            Some(_) => None,
        }
    }

    /// `%pi4` without dots' trimming is the padded form; `%pI4` and `%pI6` are the usual ones.
    fn ip_address(&self, usual: bool, version: u8, addr: u64) -> Option<Vec<u8>> {
        let len = match version {
            b'4' => 4,
            b'6' => 16,
            _ => return None,
        };
        let bytes = self.peek(Half::of(addr), addr, len).unwrap_or_else(|_| vec![0; 16]);
        let bytes = bytes.get(..usize::try_from(len).ok()?)?;
        let mut text = String::new();
        let step = if version == b'4' { 1 } else { 2 };
        for (at, group) in bytes.chunks(step).enumerate() {
            let separator = match (at, version, usual) {
                (0, ..) | (_, b'6', false) => "",
                (_, b'4', _) => ".",
                _ => ":",
            };
            text.push_str(separator);
            let _ = match (version, usual, group) {
                (b'4', true, [byte]) => write!(text, "{byte}"),
                (b'4', false, [byte]) => write!(text, "{byte:03}"),
                (_, _, group) => group.iter().try_for_each(|byte| write!(text, "{byte:02x}")),
            };
        }
        Some(text.into_bytes())
    }

    fn symbol(&self, addr: u64, with_offset: bool) -> String {
        let within = |symbol: &&Symbol| {
            addr.checked_sub(symbol.address).is_some_and(|offset| offset < symbol.size.max(1))
        };
        match self.symbols.iter().find(within) {
            Some(symbol) if with_offset => {
                format!("{}+{:#x}/{:#x}", symbol.name, addr - symbol.address, symbol.size)
            }
            Some(symbol) => symbol.name.clone(),
            None => format!("{addr:#x}"),
        }
    }
}

impl Spec {
    fn parse(bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>) -> Spec {
        let mut spec = Spec { zero: false, left: false, plus: false, space: false, width: 0 };
        while let Some(flag) = bytes.next_if(|byte| matches!(byte, b'0' | b'+' | b'-' | b' ')) {
            match flag {
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.left = true,
                _ => spec.space = true,
            }
        }
        while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
            // Wider than this no kernel buffer is.
            spec.width = (spec.width * 10 + usize::from(digit - b'0')).min(1024);
        }
        spec
    }

    fn number(&self, conversion: u8, signed: i64, unsigned: u64) -> Option<Vec<u8>> {
        let (sign, digits) = match conversion {
            b'd' | b'i' if signed < 0 => ("-", signed.unsigned_abs().to_string()),
            b'd' | b'i' if self.plus => ("+", signed.to_string()),
            b'd' | b'i' if self.space => (" ", signed.to_string()),
            b'd' | b'i' => ("", signed.to_string()),
            b'u' => ("", unsigned.to_string()),
            b'x' => ("", format!("{unsigned:x}")),
            b'X' => ("", format!("{unsigned:X}")),
            _ => return None,
        };
        let zeros = match self.zero && !self.left {
            true => self.width.saturating_sub(sign.len() + digits.len()),
            false => 0,
        };
        Some(format!("{sign}{}{digits}", "0".repeat(zeros)).into_bytes())
    }

    fn pad(&self, out: &mut Vec<u8>, text: &[u8]) {
        let blanks = self.width.saturating_sub(text.len());
        if !self.left {
            out.extend(std::iter::repeat_n(b' ', blanks));
        }
        out.extend_from_slice(text);
        if self.left {
            out.extend(std::iter::repeat_n(b' ', blanks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interp::Space;

    #[test]
    fn conversions() {
        let mut host = SimHost::new(1);
        host.memory.map_at(0x1000, Space::User, b"name\0".to_vec(), true).unwrap();
        let ip = host.memory.map(Space::Kernel, vec![127, 0, 0, 1], false);
        host.symbols.push(Symbol { address: 0xffff_ffff_8100_0000, size: 0x40, name: "vfs_read".to_owned() });
        let minus = -5i64 as u64;
        let rows: &[(&str, &[u64], Option<&str>)] = &[
            ("plain %% text", &[], Some("plain % text")),
            ("%d %u", &[minus, minus], Some("-5 4294967291")),
            ("%ld %llu", &[minus, minus], Some("-5 18446744073709551611")),
            ("%lx|%08X|%-6d|%6d", &[255, 0xabc, 7, 8], Some("ff|00000ABC|7     |     8")),
            ("%+d|% d|%05d", &[5, 5, minus], Some("+5| 5|-0005")),
            ("%s|%pus|%c", &[0x1000, 0x1000, 0x41], Some("name|name|A")),
            ("%s", &[0x9999], Some("")),
            ("%pS %ps", &[0xffff_ffff_8100_0010, 0xffff_ffff_8100_0010], Some("vfs_read+0x10/0x40 vfs_read")),
            ("%pS", &[0x10], Some("0x10")),
            ("%px", &[0x10], Some("0000000000000010")),
            ("%pI4", &[ip], Some("127.0.0.1")),
            ("%pi4", &[ip], Some("127.000.000.001")),
            ("%d", &[], None),
            ("%q", &[1], None),
            ("%.2d", &[1], None),
            ("%", &[1], None),
            ("\u{1}", &[], None),
        ];
        for (format, values, want) in rows {
            let got = host.format(format.as_bytes(), values).map(|text| String::from_utf8(text).unwrap());
            assert_eq!(got.as_deref(), *want, "{format}");
        }
    }
}
