//! Maps of the script: read, combine over CPUs, hand to the output.

use crate::decode::{word, Decoder};
use fathom_codegen::program::{MapDef, MapRole, Presence, TseriesAgg, UserMap, ValueKind};
use fathom_kernel::clock::Clock;
use fathom_kernel::localtime::{self, Zone};
use fathom_kernel::map::{Map, Update};
use fathom_report::{Hist, Lhist, MapData, MapKind, MapValue, Num, Stats, TimeSeries, Value};

/// The script's view of a map.
pub fn user_map(def: &MapDef) -> Option<&UserMap> {
    match &def.role {
        MapRole::User(user) => Some(user),
        _ => None,
    }
}

/// Reads a whole map. A scalar map that was never set has no entry.
///
/// # Errors
/// The kernel's, naming the map.
pub fn read(
    def: &MapDef,
    user: &UserMap,
    map: &Map,
    decoder: &Decoder<'_>,
) -> fathom_kernel::Result<MapData> {
    let all = map.entries()?;
    Ok(decode(def, user, all.iter().map(|(key, value)| (key, cells(user, map, value))), decoder))
}

/// Elements as they lie in memory to data that prints: each is a key and its values, one per CPU where the map is per CPU.
pub fn decode<'e>(
    def: &MapDef,
    user: &UserMap,
    elements: impl Iterator<Item = (&'e [u8], Vec<&'e [u8]>)>,
    decoder: &Decoder<'_>,
) -> MapData {
    let mut entries = Vec::new();
    for (key, cells) in elements {
        if !is_present(user.presence, &cells) {
            continue;
        }
        let key = user.key.as_ref().map_or(Value::None, |shape| decoder.value(shape, key));
        entries.push((key, combine(&user.value, &cells, decoder)));
    }
    MapData { name: def.name.clone(), keyed: user.key.is_some(), kind: map_kind(&user.value), entries }
}

/// Reads one element; a missing one counts as zero.
pub fn read_one(
    def: &MapDef,
    user: &UserMap,
    map: &Map,
    key: &[u8],
    decoder: &Decoder<'_>,
) -> fathom_kernel::Result<MapData> {
    let value = map.lookup(key)?.unwrap_or_default();
    let shown = user.key.as_ref().map_or(Value::None, |shape| decoder.value(shape, key));
    let entries = vec![(shown, combine(&user.value, &cells(user, map, &value), decoder))];
    Ok(MapData { name: def.name.clone(), keyed: user.key.is_some(), kind: map_kind(&user.value), entries })
}

/// The value that an unset scalar map prints.
pub fn zero_entry(user: &UserMap, decoder: &Decoder<'_>) -> (Value, MapValue) {
    (Value::None, combine(&user.value, &[&[]], decoder))
}

/// Removes all elements; a scalar map becomes unset.
pub fn clear(user: &UserMap, map: &Map) -> fathom_kernel::Result<()> {
    if user.key.is_some() {
        map.clear()
    } else {
        map.zero()
    }
}

/// Sets all values to zero; a scalar map stays set.
pub fn zero(user: &UserMap, map: &Map) -> fathom_kernel::Result<()> {
    let Presence::NonZero(offset) = user.presence else { return map.zero() };
    if user.key.is_some() || user.per_cpu {
        return map.zero();
    }
    let key = [0u8; 4];
    let mut value = vec![0u8; map.stride()];
    if let Some(flag) = value.get_mut(offset as usize..offset as usize + 8) {
        flag.copy_from_slice(&1u64.to_le_bytes());
    }
    map.update(&key, &value, Update::Any)
}

/// The values of the CPUs, or the one value.
pub(crate) fn cells<'v>(user: &UserMap, map: &'v Map, value: &'v [u8]) -> Vec<&'v [u8]> {
    if user.per_cpu {
        map.cpu_values(value).collect()
    } else {
        vec![value]
    }
}

fn is_present(presence: Presence, cells: &[&[u8]]) -> bool {
    match presence {
        Presence::Always => true,
        Presence::NonZero(offset) => cells.iter().any(|c| word(c, offset as usize) != 0),
    }
}

fn map_kind(value: &ValueKind) -> MapKind {
    match value {
        ValueKind::Plain(_) => MapKind::Plain,
        ValueKind::Count => MapKind::Count,
        ValueKind::Sum { .. } => MapKind::Sum,
        ValueKind::Min { .. } => MapKind::Min,
        ValueKind::Max { .. } => MapKind::Max,
        ValueKind::Avg { .. } => MapKind::Avg,
        ValueKind::Stats { .. } => MapKind::Stats,
        ValueKind::Hist { .. } => MapKind::Hist,
        ValueKind::Lhist { .. } => MapKind::Lhist,
        ValueKind::Tseries { .. } => MapKind::Tseries,
    }
}

fn number(bits: u64, signed: bool) -> Num {
    if signed {
        Num::I(bits as i64)
    } else {
        Num::U(bits)
    }
}

/// Sum over CPUs of the u64 at an offset, wrapping as the counters do.
fn total(cells: &[&[u8]], offset: usize) -> u64 {
    cells.iter().fold(0, |sum: u64, c| sum.wrapping_add(word(c, offset)))
}

fn combine(kind: &ValueKind, cells: &[&[u8]], decoder: &Decoder<'_>) -> MapValue {
    match kind {
        ValueKind::Plain(shape) => {
            MapValue::Plain(decoder.value(shape, cells.first().copied().unwrap_or(&[])))
        }
        ValueKind::Count => MapValue::Int(Num::U(total(cells, 0))),
        ValueKind::Sum { signed } => MapValue::Int(number(total(cells, 0), *signed)),
        ValueKind::Min { signed } => MapValue::Int(extreme(cells, *signed, |new, old| new < old)),
        ValueKind::Max { signed } => MapValue::Int(extreme(cells, *signed, |new, old| new > old)),
        ValueKind::Avg { signed } => MapValue::Avg(stats(cells, *signed)),
        ValueKind::Stats { signed } => MapValue::Stats(stats(cells, *signed)),
        ValueKind::Hist { k, buckets } => {
            let counts = (0..*buckets as usize).map(|i| total(cells, i * 8)).collect();
            MapValue::Hist(Hist::from_counts(*k, counts))
        }
        ValueKind::Lhist { min, max, step, buckets } => {
            let mut hist = Lhist::new(*min, *max, (*step).unsigned_abs());
            for i in 0..*buckets as usize {
                hist.add(i, total(cells, i * 8));
            }
            MapValue::Lhist(hist)
        }
        ValueKind::Tseries { interval_ns, count, agg, signed } => {
            let shape =
                Series { interval_ns: *interval_ns, count: *count as usize, agg: *agg, signed: *signed };
            MapValue::Tseries(shape.combine(cells))
        }
    }
}

fn stats(cells: &[&[u8]], signed: bool) -> Stats {
    Stats { count: total(cells, 8), total: number(total(cells, 0), signed) }
}

/// Smallest or largest value of the CPUs that have one.
fn extreme(cells: &[&[u8]], signed: bool, better: impl Fn(i128, i128) -> bool) -> Num {
    let mut best: Option<Num> = None;
    for cell in cells.iter().filter(|c| word(c, 8) != 0) {
        let new = number(word(cell, 0), signed);
        if best.is_none_or(|old| better(new.wide(), old.wide())) {
            best = Some(new);
        }
    }
    best.unwrap_or(number(0, signed))
}

/// Bytes of one interval of a time series: epoch, value, meta.
const INTERVAL_BYTES: usize = 24;

/// Parameters of a time series.
struct Series {
    interval_ns: u64,
    count: usize,
    agg: TseriesAgg,
    signed: bool,
}

/// One interval on one CPU.
#[derive(Clone, Copy)]
struct Interval {
    epoch: u64,
    value: u64,
    meta: u64,
}

impl Series {
    fn combine(&self, cells: &[&[u8]]) -> TimeSeries {
        let mut all: Vec<Interval> = Vec::new();
        for cell in cells {
            for slot in cell.chunks_exact(INTERVAL_BYTES).take(self.count) {
                let i = Interval { epoch: word(slot, 0), value: word(slot, 8), meta: word(slot, 16) };
                if i.epoch != 0 {
                    all.push(i);
                }
            }
        }
        let last = all.iter().map(|i| i.epoch).max().unwrap_or(0);
        let first =
            all.iter().map(|i| i.epoch).min().unwrap_or(0).max(last.saturating_sub(self.count as u64 - 1));
        let values = match last {
            0 => Vec::new(),
            _ => (first..=last).map(|epoch| self.merge(all.iter().filter(|i| i.epoch == epoch))).collect(),
        };
        let offset = Clock::Boottime.unix_offset_ns();
        let start_ns = offset.wrapping_add(first.saturating_mul(self.interval_ns) as i64);
        let zone = localtime::civil(start_ns.div_euclid(1_000_000_000), Zone::Local);
        let utc_offset_s = zone.map_or(0, |c| c.utc_offset_s as i32);
        TimeSeries { interval_ns: self.interval_ns, start_ns, utc_offset_s, values }
    }

    /// Values of one interval from all CPUs.
    fn merge<'i>(&self, parts: impl Iterator<Item = &'i Interval> + Clone) -> Option<Num> {
        let num = |bits| number(bits, self.signed);
        let sum = || parts.clone().fold(0u64, |s, i| s.wrapping_add(i.value));
        parts.clone().next()?;
        match self.agg {
            // The meta of the latest value is the larger time.
            TseriesAgg::Last => parts.clone().max_by_key(|i| i.meta).map(|i| num(i.value)),
            TseriesAgg::Sum => Some(num(sum())),
            TseriesAgg::Min => parts.clone().map(|i| num(i.value)).min_by_key(|n| n.wide()),
            TseriesAgg::Max => parts.clone().map(|i| num(i.value)).max_by_key(|n| n.wide()),
            TseriesAgg::Avg => {
                let count = parts.clone().fold(0u64, |s, i| s.wrapping_add(i.meta));
                Some(Stats { count, total: num(sum()) }.average())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    #[test]
    fn extremes_ignore_cpus_without_a_value() {
        let (a, b, c) = (cell(&[5, 1]), cell(&[0, 0]), cell(&[(-3i64) as u64, 1]));
        let cells: Vec<&[u8]> = vec![&a, &b, &c];
        assert_eq!(extreme(&cells, true, |n, o| n < o).wide(), -3);
        assert_eq!(extreme(&cells, true, |n, o| n > o).wide(), 5);
        assert_eq!(extreme(&[], true, |n, o| n > o).wide(), 0);
    }

    #[test]
    fn series_merge_over_cpus() {
        let series = Series { interval_ns: 1000, count: 3, agg: TseriesAgg::Avg, signed: true };
        let (a, b) = (cell(&[7, 10, 2, 8, 4, 1, 0, 0, 0]), cell(&[7, 2, 1, 0, 0, 0, 0, 0, 0]));
        let merged = series.combine(&[&a, &b]);
        let values: Vec<Option<i128>> = merged.values.iter().map(|v| v.map(|n| n.wide())).collect();
        assert_eq!(values, [Some(4), Some(4)]);
    }
}
