//! Times as text: strftime(3) with microseconds, in the local zone or UTC.

use std::ffi::CString;
use std::sync::Once;

use crate::error::{Error, Result};

/// Which zone to write a time in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// As `TZ` or `/etc/localtime` say.
    Local,
    /// UTC.
    Utc,
}

/// The broken-down time of a number of seconds since 1970; months from 1, weekday from 0 (Sunday).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: i32,
    /// Month, 1..=12.
    pub month: i32,
    /// Day, 1..=31.
    pub day: i32,
    /// Hour.
    pub hour: i32,
    /// Minute.
    pub minute: i32,
    /// Second, up to 60.
    pub second: i32,
    /// Seconds east of UTC.
    pub utc_offset_s: i64,
}

unsafe extern "C" {
    /// tzset(3); not in the `libc` crate for every target.
    fn tzset();
}

fn broken_down(unix_s: i64, zone: Zone) -> Result<libc::tm> {
    static ZONE: Once = Once::new();
    // SAFETY: localtime_r(3) need not read the zone by itself; run once, before any use below.
    ZONE.call_once(|| unsafe { tzset() });
    let t: libc::time_t = unix_s;
    // SAFETY: tm is integers and a pointer that may be null; zeros are valid.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both structs live for the call.
    let done = unsafe {
        match zone {
            Zone::Local => libc::localtime_r(&t, &mut tm),
            Zone::Utc => libc::gmtime_r(&t, &mut tm),
        }
    };
    if done.is_null() {
        return Err(Error::other("write time", unix_s.to_string(), "the year has too many digits"));
    }
    Ok(tm)
}

/// Breaks a time down.
pub fn civil(unix_s: i64, zone: Zone) -> Result<Civil> {
    let tm = broken_down(unix_s, zone)?;
    Ok(Civil {
        year: tm.tm_year.saturating_add(1900),
        month: tm.tm_mon + 1,
        day: tm.tm_mday,
        hour: tm.tm_hour,
        minute: tm.tm_min,
        second: tm.tm_sec,
        utc_offset_s: tm.tm_gmtoff,
    })
}

/// Writes wall-clock ns since 1970 by a strftime(3) format; `%f` is the microseconds in six digits.
pub fn format(unix_ns: i64, format: &str, zone: Zone) -> Result<String> {
    const OP: &str = "write time";
    let seconds = unix_ns.div_euclid(1_000_000_000);
    let micros = unix_ns.rem_euclid(1_000_000_000) / 1000;
    let tm = broken_down(seconds, zone)?;
    // strftime returns 0 both for an empty text and for a full buffer: a byte at the end tells them apart.
    let mut filled = fill_micros(format, micros);
    filled.push('.');
    let c = CString::new(filled)
        .map_err(|_| Error::other(OP, format!("`{}`", format.escape_debug()), "NUL byte"))?;
    let mut size = 256usize;
    while size <= 1 << 20 {
        let mut out = vec![0u8; size];
        // SAFETY: the buffer has `size` bytes; format and tm are live; tm comes from localtime_r, as its zone pointer.
        let n = unsafe { libc::strftime(out.as_mut_ptr().cast(), size, c.as_ptr(), &tm) };
        if n > 0 {
            out.truncate(n - 1);
            return Ok(String::from_utf8_lossy(&out).into_owned());
        }
        size *= 8;
    }
    Err(Error::other(OP, format!("`{format}`"), "the text is too long"))
}

/// Replaces `%f`, but not the `f` of `%%f`.
fn fill_micros(format: &str, micros: i64) -> String {
    let mut out = String::with_capacity(format.len() + 8);
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('f') => out.push_str(&format!("{micros:06}")),
            Some(other) => {
                out.push('%');
                out.push(other);
            }
            // A lone % at the end is undefined in strftime(3).
            None => out.push_str("%%"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_in_utc() {
        let ns = 1_700_000_000_123_456_789;
        assert_eq!(format(ns, "%Y-%m-%d %H:%M:%S.%f", Zone::Utc).unwrap(), "2023-11-14 22:13:20.123456");
        assert_eq!(format(ns, "", Zone::Utc).unwrap(), "");
        assert_eq!(format(ns, "%%f|100%", Zone::Utc).unwrap(), "%f|100%");
        assert_eq!(format(-1, "%H:%M:%S.%f", Zone::Utc).unwrap(), "23:59:59.999999");
        assert_eq!(format(0, &"x".repeat(3000), Zone::Utc).unwrap().len(), 3000);
        assert!(format(0, "a\0b", Zone::Utc).is_err());
    }

    #[test]
    fn breaks_down() {
        let c = civil(0, Zone::Utc).unwrap();
        assert_eq!((c.year, c.month, c.day, c.hour, c.utc_offset_s), (1970, 1, 1, 0, 0));
        assert!(civil(i64::MAX, Zone::Utc).is_err());
        assert!(civil(0, Zone::Local).is_ok());
    }
}
