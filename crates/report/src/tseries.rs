//! Time series: one value per interval, drawn as a graph that runs down the page.

use crate::num::{pad, push_num, Num};

const WIDTH: usize = 51;
const NS_PER_S: i64 = 1_000_000_000;

/// Values of consecutive intervals, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeSeries {
    /// Length of an interval in nanoseconds.
    pub interval_ns: u64,
    /// Start of the first interval: nanoseconds since 1970-01-01 UTC.
    pub start_ns: i64,
    /// Seconds by which local time is ahead of UTC, used where times of day are written.
    pub utc_offset_s: i32,
    /// The value of each interval, `None` where nothing was recorded.
    pub values: Vec<Option<Num>>,
}

impl TimeSeries {
    /// The start of each interval (nanoseconds since 1970-01-01 UTC) and its value.
    pub fn points(&self) -> impl Iterator<Item = (i64, Option<Num>)> + '_ {
        self.values.iter().enumerate().map(|(i, &value)| {
            let after = i128::from(self.interval_ns) * i as i128;
            let at = i128::from(self.start_ns) + after;
            (i64::try_from(at).unwrap_or(i64::MAX), value)
        })
    }

    /// The sum of all values, by which series of a map are ordered.
    pub fn total(&self) -> i128 {
        self.values.iter().flatten().map(|v| v.wide()).sum()
    }

    /// Digits after the second which are needed to tell intervals apart, and the header's word for them.
    fn unit(&self) -> (usize, &'static str) {
        match self.interval_ns {
            n if n % 1_000_000_000 == 0 => (0, "hh:mm:ss"),
            n if n % 1_000_000 == 0 => (3, "hh:mm:ss.ms"),
            n if n % 1_000 == 0 => (6, "hh:mm:ss.us"),
            _ => (9, "hh:mm:ss.ns"),
        }
    }

    /// Appends the graph: the range of values, the axis, then one line per interval. Values are divided by `div`.
    pub fn write(&self, div: u64, out: &mut Vec<u8>) {
        let values = || self.values.iter().flatten().map(|v| v.over(div));
        let (low, high) = (values().min().unwrap_or(Num::I(0)), values().max().unwrap_or(Num::I(0)));
        let (digits, head) = self.unit();
        // `hh:mm:ss`, a point and the digits; two spaces before the frame.
        let left = if digits == 0 { 8 } else { 9 + digits };
        let (mut low_text, mut high_text) = (Vec::new(), Vec::new());
        push_num(&mut low_text, low);
        push_num(&mut high_text, high);
        // Each end of the range stands centred over its edge of the frame.
        let start = out.len();
        pad(out, b' ', (left + 2).saturating_sub(low_text.len() / 2));
        out.extend_from_slice(&low_text);
        let column = left + 2 + 1 + WIDTH;
        let written = out.len() - start;
        pad(out, b' ', column.saturating_sub(high_text.len() / 2).saturating_sub(written).max(1));
        out.extend_from_slice(&high_text);
        out.push(b'\n');
        out.extend_from_slice(head.as_bytes());
        pad(out, b' ', left.saturating_sub(head.len()) + 2);
        out.push(b'|');
        pad(out, b'_', WIDTH);
        out.extend_from_slice(b"|\n");
        for (at, value) in self.points() {
            self.write_row(at, value.map(|v| v.over(div)), (low.wide(), high.wide()), digits, out);
        }
    }

    fn write_row(
        &self,
        at: i64,
        value: Option<Num>,
        (low, high): (i128, i128),
        digits: usize,
        out: &mut Vec<u8>,
    ) {
        write_time(self.local(at), digits, out);
        out.extend_from_slice(b"  |");
        let mut line = [b' '; WIDTH];
        // The zero line only says something where values lie on both sides of it.
        if low < 0 && high > 0 {
            line[column(0, low, high)] = b'.';
        }
        if let Some(value) = value {
            line[column(value.wide(), low, high)] = b'*';
        }
        out.extend_from_slice(&line);
        out.extend_from_slice(b"| ");
        match value {
            Some(value) => push_num(out, value),
            None => out.push(b'-'),
        }
        out.push(b'\n');
    }

    fn local(&self, at: i64) -> i64 {
        at.saturating_add(i64::from(self.utc_offset_s).saturating_mul(NS_PER_S))
    }

    /// Appends `YYYY-MM-DD hh:mm:ss.nnnnnnnnn`, local time, for an instant of this series.
    pub fn write_timestamp(&self, at: i64, out: &mut Vec<u8>) {
        let local = self.local(at);
        let (year, month, day) = civil(local.div_euclid(86_400 * NS_PER_S));
        push_padded(out, year, 4);
        out.push(b'-');
        push_padded(out, month, 2);
        out.push(b'-');
        push_padded(out, day, 2);
        out.push(b' ');
        write_time(local, 9, out);
    }
}

/// Where in the line `value` stands when `low` is the first and `high` the last column.
fn column(value: i128, low: i128, high: i128) -> usize {
    let range = high - low;
    if range <= 0 {
        return WIDTH / 2;
    }
    let last = WIDTH as i128 - 1;
    // Rounded to the nearest column; values have 64 bits, so that nothing overflows.
    (((value - low) * last * 2 + range) / (range * 2)).clamp(0, last) as usize
}

fn write_time(ns: i64, digits: usize, out: &mut Vec<u8>) {
    let second = ns.div_euclid(NS_PER_S).rem_euclid(86_400) as u64;
    push_padded(out, second / 3600, 2);
    out.push(b':');
    push_padded(out, second / 60 % 60, 2);
    out.push(b':');
    push_padded(out, second % 60, 2);
    if digits > 0 {
        out.push(b'.');
        let fraction = ns.rem_euclid(NS_PER_S) as u64;
        push_padded(out, fraction / 10u64.pow(9 - digits.min(9) as u32), digits);
    }
}

fn push_padded(out: &mut Vec<u8>, v: u64, width: usize) {
    let digits = v.to_string();
    pad(out, b'0', width.saturating_sub(digits.len()));
    out.extend_from_slice(digits.as_bytes());
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year; eras of 400 years have equal length.
fn civil(days: i64) -> (u64, u64, u64) {
    let since_era0 = days + 719_468;
    let era = since_era0.div_euclid(146_097);
    let day_of_era = since_era0.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year.max(0) as u64, month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(interval_ns: u64, values: &[Option<i64>]) -> TimeSeries {
        TimeSeries {
            interval_ns,
            start_ns: 500_000_000,
            utc_offset_s: 0,
            values: values.iter().map(|v| v.map(Num::I)).collect(),
        }
    }

    fn text(s: &TimeSeries) -> Vec<String> {
        let mut out = Vec::new();
        s.write(1, &mut out);
        String::from_utf8(out).expect("ASCII").lines().map(str::to_string).collect()
    }

    #[test]
    fn the_graph_marks_values_zero_and_gaps() {
        let lines = text(&series(100_000_000, &[Some(-10), None, Some(10), Some(0)]));
        let gap = |n| " ".repeat(n);
        assert_eq!(lines[0], format!("{}-10{}10", gap(13), gap(49)));
        assert_eq!(lines[1], format!("hh:mm:ss.ms   |{}|", "_".repeat(51)));
        assert_eq!(lines[2], format!("00:00:00.500  |*{}.{}| -10", gap(24), gap(25)));
        assert_eq!(lines[3], format!("00:00:00.600  |{}.{}| -", gap(25), gap(25)));
        assert_eq!(lines[4], format!("00:00:00.700  |{}.{}*| 10", gap(25), gap(24)));
        assert_eq!(lines[5], format!("00:00:00.800  |{}*{}| 0", gap(25), gap(25)));
    }

    #[test]
    fn the_unit_follows_the_interval() {
        for (interval, head, time) in [
            (1_000_000_000, "hh:mm:ss  |", "00:00:00  |"),
            (1_000, "hh:mm:ss.us      |", "00:00:00.500000  |"),
            (7, "hh:mm:ss.ns         |", "00:00:00.500000000  |"),
        ] {
            let lines = text(&series(interval, &[Some(3)]));
            assert!(lines[1].starts_with(head), "{lines:?}");
            assert!(lines[2].starts_with(time), "{lines:?}");
            assert!(lines[2].ends_with("*                         | 3"), "{lines:?}");
        }
    }

    #[test]
    fn timestamps_are_calendar_dates() {
        let mut s = series(1, &[]);
        for (ns, offset, want) in [
            (500_000_000, 0, "1970-01-01 00:00:00.500000000"),
            (951_782_400_000_000_000, 0, "2000-02-29 00:00:00.000000000"),
            (1_709_251_199_000_000_001, 3600, "2024-03-01 00:59:59.000000001"),
            (-1, 0, "1969-12-31 23:59:59.999999999"),
        ] {
            s.utc_offset_s = offset;
            let mut out = Vec::new();
            s.write_timestamp(ns, &mut out);
            assert_eq!(String::from_utf8(out).expect("ASCII"), want);
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut s = series(u64::MAX, &[Some(i64::MIN), None, Some(i64::MAX)]);
        s.values.push(Some(Num::U(u64::MAX)));
        s.start_ns = i64::MAX;
        s.utc_offset_s = i32::MAX;
        assert_eq!(text(&s).len(), 6);
        assert_eq!(text(&series(0, &[])).len(), 2);
    }
}
