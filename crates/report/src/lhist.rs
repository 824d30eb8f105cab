//! Linear histograms.

use crate::hist::{add_to, used, write_bars, Bucket};

/// Counts per bucket of `step` between `min` and `max`.
///
/// Bucket 0 holds values below `min`, bucket `1 + (value - min) / step` the others, the last those from `max` on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lhist {
    /// Lowest value of the first bucket.
    pub min: i64,
    /// The value after the last bucket.
    pub max: i64,
    /// Width of a bucket, at least 1.
    pub step: u64,
    /// Counts by bucket index, from the bucket below `min`; trailing zeros may be missing.
    pub counts: Vec<u64>,
}

impl Lhist {
    /// An empty histogram.
    pub fn new(min: i64, max: i64, step: u64) -> Lhist {
        Lhist { min, max, step: step.max(1), counts: Vec::new() }
    }

    /// How many buckets there are, those below `min` and from `max` on included.
    pub fn bucket_count(&self) -> usize {
        self.inner() + 2
    }

    fn inner(&self) -> usize {
        let width = (i128::from(self.max) - i128::from(self.min)).max(0) as u128;
        usize::try_from(width.div_ceil(u128::from(self.step.max(1))))
            .unwrap_or(usize::MAX)
            .min(usize::MAX - 2)
    }

    /// The bucket in which `value` is counted. This is the contract with the compiled program.
    pub fn bucket_of(&self, value: i64) -> usize {
        if value < self.min {
            0
        } else if value >= self.max {
            self.inner() + 1
        } else {
            let above = i128::from(value) - i128::from(self.min);
            1 + ((above / i128::from(self.step.max(1))) as usize).min(self.inner() - 1)
        }
    }

    /// Adds `count` values to bucket `index`; buckets that do not exist are ignored.
    pub fn add(&mut self, index: usize, count: u64) {
        let limit = self.bucket_count();
        add_to(&mut self.counts, index, count, limit);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }

    fn bounds(&self, index: usize) -> (Option<i128>, Option<i128>) {
        let (min, max) = (i128::from(self.min), i128::from(self.max));
        let Some(at) = index.checked_sub(1) else { return (None, Some(min)) };
        if at >= self.inner() {
            return (Some(max), None);
        }
        let low = min + at as i128 * i128::from(self.step.max(1));
        (Some(low), Some((low + i128::from(self.step.max(1))).min(max)))
    }

    /// The buckets from the first to the last that is not empty, in order.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + Clone + '_ {
        let (first, counts) = used(&self.counts);
        counts.iter().enumerate().map(move |(i, &count)| {
            let (low, high) = self.bounds(first + i);
            Bucket { low, high, count }
        })
    }

    /// Appends one line per bucket, counts divided by `div`.
    pub fn write(&self, div: u64, out: &mut Vec<u8>) {
        write_bars(self.buckets(), div, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(h: &Lhist) -> Vec<String> {
        let mut out = Vec::new();
        h.write(1, &mut out);
        let out = String::from_utf8(out).expect("ASCII");
        out.lines().map(|l| l[..l.find(')').unwrap_or(2) + 1].to_string()).collect()
    }

    #[test]
    fn lines_run_from_below_the_range_to_above_it() {
        let mut h = Lhist::new(0, 40, 10);
        for v in [-5, 5, 25, 500] {
            h.add(h.bucket_of(v), 1);
        }
        assert_eq!(labels(&h), ["(..., 0)", "[0, 10)", "[10, 20)", "[20, 30)", "[30, 40)", "[40, ...)"]);
        assert_eq!(h.total(), 4);
        let mut out = Vec::new();
        h.write(1, &mut out);
        let bar = "@".repeat(52);
        assert!(String::from_utf8(out)
            .expect("ASCII")
            .starts_with(&format!("(..., 0)               1 |{bar}|\n")));
    }

    #[test]
    fn a_long_label_pushes_its_count() {
        let mut h = Lhist::new(0, 10_000_000, 100_000);
        h.add(h.bucket_of(1_500_000), 1);
        let mut out = Vec::new();
        h.write(1, &mut out);
        assert!(String::from_utf8(out).expect("ASCII").starts_with("[1500000, 1600000)       1 |@"));
    }

    #[test]
    fn a_range_which_the_step_does_not_divide_ends_at_its_maximum() {
        let mut h = Lhist::new(-1024, 1000, 1024);
        for v in [-1024, 999, 1000] {
            h.add(h.bucket_of(v), 1);
        }
        assert_eq!(labels(&h), ["[-1K, 0)", "[0, 1000)", "[1000, ...)"]);
    }

    #[test]
    fn no_range_overflows() {
        let h = Lhist { min: i64::MIN, max: i64::MAX, step: 0, counts: vec![1, 0, 3] };
        assert_eq!(h.bucket_of(i64::MAX - 1), h.bucket_count() - 2);
        assert_eq!(h.buckets().count(), 3);
        let backwards = Lhist::new(10, 0, 1);
        assert_eq!(backwards.bucket_count(), 2);
    }
}
