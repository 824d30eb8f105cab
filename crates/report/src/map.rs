//! A map's entries as read from the kernel, and the order and part of them that is printed.

use crate::hist::Hist;
use crate::lhist::Lhist;
use crate::num::Num;
use crate::tseries::TimeSeries;
use crate::value::Value;
use std::cmp::Ordering;

/// What a map holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapKind {
    /// Assigned values.
    #[default]
    Plain,
    /// `count()`.
    Count,
    /// `sum()`.
    Sum,
    /// `min()`.
    Min,
    /// `max()`.
    Max,
    /// `avg()`.
    Avg,
    /// `stats()`.
    Stats,
    /// `hist()`.
    Hist,
    /// `lhist()`.
    Lhist,
    /// `tseries()`.
    Tseries,
}

/// Count and total of the values given to `avg()` or `stats()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// How many values.
    pub count: u64,
    /// Their sum; its kind is that of the values.
    pub total: Num,
}

impl Stats {
    /// The mean, rounded towards zero; 0 of no values.
    pub fn average(&self) -> Num {
        match (self.total, self.count) {
            (Num::I(_), 0) => Num::I(0),
            (Num::U(_), 0) => Num::U(0),
            (total, count) => total.over(count),
        }
    }
}

/// One entry's value.
#[derive(Clone, Debug)]
pub enum MapValue {
    /// An assigned value.
    Plain(Value),
    /// A count, sum, minimum or maximum.
    Int(Num),
    /// An average.
    Avg(Stats),
    /// Count, average and total.
    Stats(Stats),
    /// A logarithmic histogram.
    Hist(Hist),
    /// A linear histogram.
    Lhist(Lhist),
    /// A time series.
    Tseries(TimeSeries),
}

/// A map to print.
#[derive(Clone, Debug, Default)]
pub struct MapData {
    /// Its name with the `@`.
    pub name: String,
    /// Whether entries have keys.
    pub keyed: bool,
    /// What it holds.
    pub kind: MapKind,
    /// Key and value of each entry, in any order. The key is [`Value::None`] in a map without keys and a
    /// [`Value::Tuple`] where a key has several parts.
    pub entries: Vec<(Value, MapValue)>,
}

/// What `print(@m, top, div)` was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrintArgs {
    /// Print only this many of the last entries; 0 for all.
    pub top: u64,
    /// Divide values by this; 0 and 1 leave them as they are.
    pub div: u64,
}

impl MapData {
    /// A map without keys.
    pub fn scalar(name: impl Into<String>, kind: MapKind, value: MapValue) -> MapData {
        MapData { name: name.into(), keyed: false, kind, entries: vec![(Value::None, value)] }
    }

    /// A map with keys.
    pub fn keyed(name: impl Into<String>, kind: MapKind, entries: Vec<(Value, MapValue)>) -> MapData {
        MapData { name: name.into(), keyed: true, kind, entries }
    }

    /// The entries that `args` asks for, in the order they are printed: numbers by value, histograms by how much
    /// they hold, the rest by key; equal ones by key.
    pub fn selected(&self, args: PrintArgs) -> Vec<&(Value, MapValue)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by(|a, b| rank(&a.1, &b.1).then_with(|| a.0.order(&b.0)));
        let top = usize::try_from(args.top).unwrap_or(usize::MAX);
        if top > 0 && top < entries.len() {
            entries.drain(..entries.len() - top);
        }
        entries
    }
}

/// The order of two values of one map; equal where the map is ordered by key.
fn rank(a: &MapValue, b: &MapValue) -> Ordering {
    match (size(a), size(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => Ordering::Equal,
    }
}

fn size(value: &MapValue) -> Option<i128> {
    match value {
        MapValue::Plain(Value::Int(v)) => Some(i128::from(*v)),
        MapValue::Plain(Value::Uint(v)) => Some(i128::from(*v)),
        MapValue::Plain(Value::Enum { value, .. }) => Some(value.wide()),
        MapValue::Plain(_) => None,
        MapValue::Int(v) => Some(v.wide()),
        MapValue::Avg(s) | MapValue::Stats(s) => Some(s.average().wide()),
        MapValue::Hist(h) => Some(i128::from(h.total())),
        MapValue::Lhist(h) => Some(i128::from(h.total())),
        MapValue::Tseries(t) => Some(t.total()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(map: &MapData, args: PrintArgs) -> Vec<String> {
        map.selected(args).iter().map(|e| e.0.to_text()).collect()
    }

    fn ints(values: &[(i64, i64)]) -> MapData {
        let entries = values.iter().map(|&(k, v)| (Value::Int(k), MapValue::Plain(Value::Int(v)))).collect();
        MapData::keyed("@m", MapKind::Plain, entries)
    }

    #[test]
    fn numbers_are_ordered_by_value_then_key() {
        let map = ints(&[(10, 1), (2, 7), (9, 1), (1, -3)]);
        assert_eq!(keys(&map, PrintArgs::default()), ["1", "9", "10", "2"]);
        assert_eq!(keys(&map, PrintArgs { top: 2, div: 1 }), ["10", "2"]);
        assert_eq!(keys(&map, PrintArgs { top: u64::MAX, div: 0 }).len(), 4);
    }

    #[test]
    fn histograms_are_ordered_by_total_and_strings_by_key() {
        let hist = |n| MapValue::Hist(Hist::from_counts(0, vec![0, n]));
        let map = MapData::keyed("@h", MapKind::Hist, vec![("a".into(), hist(9)), ("b".into(), hist(2))]);
        assert_eq!(keys(&map, PrintArgs::default()), ["b", "a"]);
        let text = |s: &str| MapValue::Plain(s.into());
        let map =
            MapData::keyed("@s", MapKind::Plain, vec![("b".into(), text("1")), ("a".into(), text("2"))]);
        assert_eq!(keys(&map, PrintArgs::default()), ["a", "b"]);
    }

    #[test]
    fn averages_round_towards_zero() {
        assert_eq!(Stats { count: 2, total: Num::I(-13) }.average(), Num::I(-6));
        assert_eq!(Stats { count: 0, total: Num::U(5) }.average(), Num::U(0));
        assert_eq!(Stats { count: 2, total: Num::U(u64::MAX) }.average(), Num::U(i64::MAX as u64));
    }
}
