//! Logarithmic histograms: which bucket a value falls in, and the bars.

use crate::num::{pad, push_i64, push_u64};

/// Width of the fullest bar, in characters.
pub const BAR_WIDTH: usize = 52;
const LABEL_WIDTH: usize = 16;
const COUNT_WIDTH: usize = 8;
/// The most bits of a power of two that may be told apart.
pub const MAX_K: u8 = 5;

/// Counts per bucket; each power of two is divided into `2^k` buckets.
///
/// Bucket 0 holds negative values, buckets `1 ..= 2^k` hold the values `0 .. 2^k` one by one, and each later group
/// of `2^k` buckets divides one power of two evenly; see [`bucket_of`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hist {
    /// Bits of sub-buckets, 0 to [`MAX_K`].
    pub k: u8,
    /// Counts by bucket index, from bucket 0; trailing zeros may be missing.
    pub counts: Vec<u64>,
}

/// One bucket: `low <= value < high`, open where `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Lowest value in it.
    pub low: Option<i128>,
    /// The value after its last.
    pub high: Option<i128>,
    /// How many values fell in it.
    pub count: u64,
}

/// How many buckets a histogram of `k` sub-bucket bits has, the one for negative values included.
pub fn bucket_count(k: u8) -> usize {
    let k = u32::from(k.min(MAX_K));
    1 + ((65 - k as usize) << k)
}

/// The bucket in which `value` is counted. This is the contract with the compiled program.
pub fn bucket_of(value: u64, negative: bool, k: u8) -> usize {
    let k = u32::from(k.min(MAX_K));
    if negative {
        return 0;
    }
    if value >> k == 0 {
        return 1 + value as usize;
    }
    let log = 63 - value.leading_zeros();
    let within = (value >> (log - k)) as usize & ((1 << k) - 1);
    1 + (((log - k + 1) as usize) << k) + within
}

/// The bounds `low .. high` of bucket `index`; `low` is `None` for the bucket of negative values.
pub fn bucket_bounds(index: usize, k: u8) -> (Option<i128>, i128) {
    let k = u32::from(k.min(MAX_K));
    let Some(at) = index.checked_sub(1) else { return (None, 0) };
    let group = at >> k;
    let within = (at & ((1 << k) - 1)) as i128;
    if group == 0 {
        return (Some(within), within + 1);
    }
    // Past the last bucket nothing is counted; the bound only keeps the shift defined.
    let shift = (group - 1).min(64) as u32;
    let low = ((1i128 << k) + within) << shift;
    (Some(low), low + (1i128 << shift))
}

impl Hist {
    /// An empty histogram of `k` sub-bucket bits.
    pub fn new(k: u8) -> Hist {
        Hist { k: k.min(MAX_K), counts: Vec::new() }
    }

    /// From counts by bucket index.
    pub fn from_counts(k: u8, counts: Vec<u64>) -> Hist {
        Hist { k: k.min(MAX_K), counts }
    }

    /// Adds `count` values to bucket `index`; buckets that do not exist are ignored.
    pub fn add(&mut self, index: usize, count: u64) {
        add_to(&mut self.counts, index, count, bucket_count(self.k));
    }

    /// Counts one value.
    pub fn record(&mut self, value: i64) {
        self.add(bucket_of(value as u64, value < 0, self.k), 1);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }

    /// The buckets from the first to the last that is not empty, in order.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + Clone + '_ {
        let (first, counts) = used(&self.counts);
        counts.iter().enumerate().map(move |(i, &count)| {
            let (low, high) = bucket_bounds(first + i, self.k);
            Bucket { low, high: Some(high), count }
        })
    }

    /// Appends one line per bucket, counts divided by `div`.
    pub fn write(&self, div: u64, out: &mut Vec<u8>) {
        write_bars(self.buckets(), div, out);
    }
}

pub(crate) fn add_to(counts: &mut Vec<u64>, index: usize, count: u64, limit: usize) {
    if index >= limit {
        return;
    }
    if counts.len() <= index {
        counts.resize(index + 1, 0);
    }
    counts[index] = counts[index].saturating_add(count);
}

/// The counts from the first to the last that is not zero, and the index of the first.
pub(crate) fn used(counts: &[u64]) -> (usize, &[u64]) {
    let Some(first) = counts.iter().position(|&n| n != 0) else { return (0, &[]) };
    let last = counts.iter().rposition(|&n| n != 0).unwrap_or(first);
    (first, &counts[first..=last])
}

/// Appends one line per bucket: label, count and a bar in proportion to the fullest bucket.
pub(crate) fn write_bars(buckets: impl Iterator<Item = Bucket> + Clone, div: u64, out: &mut Vec<u8>) {
    let div = div.max(1);
    let most = buckets.clone().map(|b| b.count).max().unwrap_or(0).max(1);
    for bucket in buckets {
        write_label(bucket.low, bucket.high, out);
        let mut digits = Vec::with_capacity(20);
        push_u64(&mut digits, bucket.count / div);
        pad(out, b' ', COUNT_WIDTH.saturating_sub(digits.len()));
        out.extend_from_slice(&digits);
        out.extend_from_slice(b" |");
        let bar = (bucket.count as u128 * BAR_WIDTH as u128 / most as u128) as usize;
        pad(out, b'@', bar);
        pad(out, b' ', BAR_WIDTH.saturating_sub(bar));
        out.extend_from_slice(b"|\n");
    }
}

fn write_label(low: Option<i128>, high: Option<i128>, out: &mut Vec<u8>) {
    let start = out.len();
    match (low, high) {
        (Some(low), Some(high)) if high - low == 1 && low >= 0 => {
            out.push(b'[');
            write_bound(low, out);
            out.push(b']');
        }
        _ => {
            match low {
                Some(low) => {
                    out.push(b'[');
                    write_bound(low, out);
                }
                None => out.extend_from_slice(b"(..."),
            }
            out.extend_from_slice(b", ");
            match high {
                Some(high) => write_bound(high, out),
                None => out.extend_from_slice(b"..."),
            }
            out.push(b')');
        }
    }
    pad(out, b' ', LABEL_WIDTH.saturating_sub(out.len() - start));
}

/// Appends a bound, with the largest binary suffix which leaves a whole number.
fn write_bound(bound: i128, out: &mut Vec<u8>) {
    const SUFFIXES: &[u8; 6] = b"KMGTPE";
    let (mut n, mut suffix) = (bound, None);
    for &s in SUFFIXES {
        if n == 0 || n % 1024 != 0 {
            break;
        }
        n /= 1024;
        suffix = Some(s);
    }
    push_i64(out, i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX }));
    out.extend(suffix);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(h: &Hist) -> String {
        let mut out = Vec::new();
        h.write(1, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn every_value_lies_in_its_bucket() {
        for k in 0..=MAX_K {
            let edges = (0..64).flat_map(|s| [1u64 << s, (1u64 << s) - 1, (1u64 << s) + 1, 3u64 << s]);
            for v in edges.chain([u64::MAX]) {
                let index = bucket_of(v, false, k);
                assert!(index < bucket_count(k), "{v} k={k}");
                let (low, high) = bucket_bounds(index, k);
                assert!(low.expect("not negative") <= i128::from(v) && i128::from(v) < high, "{v} k={k}");
            }
            assert_eq!(bucket_of(u64::MAX, false, k), bucket_count(k) - 1);
            for index in 1..bucket_count(k) - 1 {
                assert_eq!(
                    Some(bucket_bounds(index, k).1),
                    bucket_bounds(index + 1, k).0,
                    "gap after {index}"
                );
            }
        }
        assert_eq!(bucket_bounds(usize::MAX, 5).0.map(|v| v > 0), Some(true));
    }

    #[test]
    fn bars_are_in_proportion_and_start_at_the_first_used_bucket() {
        let mut h = Hist::new(0);
        for v in [-5, 0, 1, 5, 5, 5, 1500] {
            h.record(v);
        }
        let full = "@".repeat(52);
        let third = format!("{}{}", "@".repeat(17), " ".repeat(35));
        let none = " ".repeat(52);
        let mut want = format!("(..., 0)               1 |{third}|\n[0]                    1 |{third}|\n");
        want += &format!("[1]                    1 |{third}|\n[2, 4)                 0 |{none}|\n");
        want += &format!("[4, 8)                 3 |{full}|\n");
        for label in
            ["[8, 16)   ", "[16, 32)  ", "[32, 64)  ", "[64, 128) ", "[128, 256)", "[256, 512)", "[512, 1K) "]
        {
            want += &format!("{label}             0 |{none}|\n");
        }
        want += &format!("[1K, 2K)               1 |{third}|\n");
        assert_eq!(text(&h), want);
    }

    #[test]
    fn sub_buckets_divide_each_power_of_two() {
        let mut h = Hist::new(2);
        for v in [4, 9, 1300] {
            h.record(v);
        }
        let lines = text(&h);
        let labels: Vec<&str> = lines.lines().map(|l| l[..16].trim_end()).collect();
        assert_eq!(labels[..6], ["[4]", "[5]", "[6]", "[7]", "[8, 10)", "[10, 12)"]);
        assert_eq!(labels.last(), Some(&"[1280, 1536)"));
    }

    #[test]
    fn suffixes_reach_the_last_bucket() {
        let mut h = Hist::new(0);
        h.add(bucket_of(u64::MAX, false, 0), 1);
        h.add(1_000_000, 1);
        assert!(text(&h).starts_with("[8E, 16E)              1 |@"));
        assert_eq!(h.total(), 1);
        assert_eq!(text(&Hist::new(0)), "");
    }

    #[test]
    fn div_divides_the_counts_but_not_the_bars() {
        let h = Hist::from_counts(0, vec![0, 0, 0, 20, 10]);
        let mut out = Vec::new();
        h.write(10, &mut out);
        let out = String::from_utf8(out).expect("ASCII");
        assert_eq!(out.lines().next().map(|l| &l[..27]), Some("[2, 4)                 2 |@"));
        assert_eq!(out.lines().nth(1).map(|l| l.matches('@').count()), Some(26));
    }
}
