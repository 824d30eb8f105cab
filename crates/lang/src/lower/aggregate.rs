//! Aggregations: layout and update of their cells, and their value read back within a program.
//!
//! Histogram buckets (`hist(n, k)`): bucket 0 counts negative numbers. For n >= 0 let b be the number of bits of n (0 for 0) and
//! e = max(b - 1 - k, 0); the bucket is 1 + e * 2^k + (n >> e). So bucket 1 counts 0, the next ones count single numbers up to
//! 2^(k+1) - 1, and each further power of two has 2^k buckets of equal width. See [`hist_buckets`] and [`hist_bounds`].

use super::{Lower, LowerError, Place};
use crate::typed::MapIndex;
use crate::types::Agg;
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::helper_flags;
use fathom_codegen::ir::{BinOp, Cond, Effect, Size, Ty, Value, Width};
use fathom_codegen::program::{ActionKind, TseriesAgg, ValueKind};
use fathom_syntax::span::Span;

/// How many buckets `hist(n, k)` has.
pub const fn hist_buckets(k: u8) -> u32 {
    let k = if k > 5 { 5 } else { k as u32 };
    1 + (65 - k) * (1 << k)
}

/// Smallest and largest number that a bucket of `hist(n, k)` counts; `None` for bucket 0 (negative numbers) and those that do not exist.
pub fn hist_bounds(k: u8, bucket: u32) -> Option<(u64, u64)> {
    let k = u32::from(k.min(5));
    let n = u64::from(bucket.checked_sub(1)?);
    let parts = 1u64 << k;
    let (first, width) = if n < 2 * parts {
        (n, 1u64)
    } else {
        let e = n / parts - 1;
        ((n - e * parts).checked_shl(e as u32).filter(|_| e < u64::from(64 - k))?, 1u64 << e)
    };
    Some((first, first.saturating_add(width - 1)))
}

/// How many buckets `lhist(n, min, max, step)` has, with those for smaller and larger numbers.
pub fn lhist_buckets(min: i64, max: i64, step: i64) -> u32 {
    let width = i128::from(max) - i128::from(min);
    let step = i128::from(step.max(1));
    u32::try_from((width.max(0) + step - 1) / step).unwrap_or(u32::MAX - 2).saturating_add(2)
}

/// Layout of an aggregation's cell and its size in bytes.
pub(super) fn cell(agg: &Agg) -> (ValueKind, u32) {
    match agg {
        Agg::Count => (ValueKind::Count, 8),
        Agg::Sum { signed } => (ValueKind::Sum { signed: *signed }, 16),
        Agg::Min { signed } => (ValueKind::Min { signed: *signed }, 16),
        Agg::Max { signed } => (ValueKind::Max { signed: *signed }, 16),
        Agg::Avg { signed } => (ValueKind::Avg { signed: *signed }, 16),
        Agg::Stats { signed } => (ValueKind::Stats { signed: *signed }, 16),
        Agg::Hist { k } => {
            let buckets = hist_buckets(*k);
            (ValueKind::Hist { k: *k, buckets }, buckets * 8)
        }
        Agg::Lhist { min, max, step } => {
            let buckets = lhist_buckets(*min, *max, *step);
            let kind = ValueKind::Lhist { min: *min, max: *max, step: *step, buckets };
            (kind, buckets.saturating_mul(8))
        }
        Agg::Tseries { interval_ns, count, agg, signed } => {
            let kind =
                ValueKind::Tseries { interval_ns: *interval_ns, count: *count, agg: *agg, signed: *signed };
            (kind, count.saturating_mul(24))
        }
    }
}

/// Updates.
impl Lower<'_> {
    /// Adds a value (and whether its type is signed) to the aggregation `map[key]`.
    ///
    /// # Errors
    /// When the map is unknown.
    pub fn aggregate(
        &mut self,
        map: MapIndex,
        key: Option<Place>,
        agg: &Agg,
        (value, signed): (Value, bool),
        span: Span,
    ) -> Result<(), LowerError> {
        let agg = agg.clone();
        self.with_cell(map, key, span, |l, ptr| {
            l.update_cell(ptr, &agg, value, signed)?;
            l.mark_present(map, ptr);
            Ok(())
        })
    }

    fn update_cell(&mut self, ptr: Value, agg: &Agg, value: Value, signed: bool) -> Result<(), LowerError> {
        match agg {
            Agg::Count => {
                let one = self.b.iconst(1);
                self.b.atomic_add(ptr, 0, Size::B8, one);
            }
            Agg::Sum { .. } => {
                self.b.atomic_add(ptr, 0, Size::B8, value);
                let one = self.b.iconst(1);
                self.b.store(ptr, 8, Size::B8, one);
            }
            Agg::Avg { .. } | Agg::Stats { .. } => {
                self.b.atomic_add(ptr, 0, Size::B8, value);
                let one = self.b.iconst(1);
                self.b.atomic_add(ptr, 8, Size::B8, one);
            }
            Agg::Min { signed } => {
                self.update_extreme(ptr, value, if *signed { Cond::Slt } else { Cond::Ult })?
            }
            Agg::Max { signed } => {
                self.update_extreme(ptr, value, if *signed { Cond::Sgt } else { Cond::Ugt })?
            }
            Agg::Hist { k } => self.update_hist(ptr, *k, value, signed),
            Agg::Lhist { min, max, step } => self.update_lhist(ptr, value, (*min, *max, *step))?,
            Agg::Tseries { interval_ns, count, agg, signed } => {
                self.update_tseries(ptr, value, *interval_ns, *count, (*agg, *signed))?;
            }
        }
        Ok(())
    }

    /// The cell is the current CPU's, so that a plain store can only race with a program that interrupts this one.
    fn update_extreme(&mut self, ptr: Value, value: Value, better: Cond) -> Result<(), LowerError> {
        let set = self.b.load(ptr, 8, Size::B8, false);
        let zero = self.b.iconst(0);
        self.if_else(
            Cond::Eq,
            set,
            zero,
            |l| {
                l.b.store(ptr, 0, Size::B8, value);
                let one = l.b.iconst(1);
                l.b.store(ptr, 8, Size::B8, one);
                Ok(())
            },
            |l| {
                let old = l.b.load(ptr, 0, Size::B8, false);
                l.if_then(better, value, old, |l| {
                    l.b.store(ptr, 0, Size::B8, value);
                    Ok(())
                })
            },
        )
    }

    /// Counts a value in a histogram. Without branches, so that the verifier has one path to follow.
    fn update_hist(&mut self, ptr: Value, k: u8, value: Value, signed: bool) {
        let k = k.min(5);
        let bits = self.bit_length(value);
        let over = self.b.sub_imm(bits, 1 + i64::from(k));
        let below = self.b.ashr_imm(over, 63);
        let keep = self.b.xor_imm(below, -1);
        let e = self.b.and(over, keep);
        let part = self.b.lshr(value, e);
        let scaled = self.b.shl_imm(e, i64::from(k));
        let bucket = self.b.add(scaled, part);
        let bucket = self.b.add_imm(bucket, 1);
        let bucket = if signed {
            let negative = self.b.ashr_imm(value, 63);
            let keep = self.b.xor_imm(negative, -1);
            self.b.and(bucket, keep)
        } else {
            bucket
        };
        self.count_bucket(ptr, bucket, hist_buckets(k));
    }

    /// Adds 1 to a bucket; what is behind the last bucket can't be, but the verifier wants to see it.
    fn count_bucket(&mut self, ptr: Value, bucket: Value, buckets: u32) {
        let (inside, behind) = (self.b.new_block(), self.b.new_block());
        let end = self.b.iconst(i64::from(buckets));
        self.b.branch(Cond::Ult, Width::W64, bucket, end, (inside, &[]), (behind, &[]));
        self.b.seal(inside);
        self.b.switch_to(inside);
        let at = self.b.shl_imm(bucket, 3);
        let cell = self.b.add(ptr, at);
        let one = self.b.iconst(1);
        self.b.atomic_add(cell, 0, Size::B8, one);
        self.b.jump(behind, &[]);
        self.b.seal(behind);
        self.b.switch_to(behind);
    }

    /// Number of bits of an unsigned number: 0 for 0, 64 for numbers with the top bit set.
    fn bit_length(&mut self, value: Value) -> Value {
        let mut n = value;
        for shift in [1, 2, 4, 8, 16, 32] {
            let high = self.b.lshr_imm(n, shift);
            n = self.b.or(n, high);
        }
        // All bits below the top one are set now: count them.
        let pairs = self.b.lshr_imm(n, 1);
        let pairs = self.b.and_imm(pairs, 0x5555_5555_5555_5555);
        let n = self.b.sub(n, pairs);
        let low = self.b.and_imm(n, 0x3333_3333_3333_3333);
        let high = self.b.lshr_imm(n, 2);
        let high = self.b.and_imm(high, 0x3333_3333_3333_3333);
        let n = self.b.add(low, high);
        let high = self.b.lshr_imm(n, 4);
        let n = self.b.add(n, high);
        let n = self.b.and_imm(n, 0x0f0f_0f0f_0f0f_0f0f);
        let n = self.b.mul_imm(n, 0x0101_0101_0101_0101);
        self.b.lshr_imm(n, 56)
    }

    fn update_lhist(
        &mut self,
        ptr: Value,
        value: Value,
        (min, max, step): (i64, i64, i64),
    ) -> Result<(), LowerError> {
        let buckets = lhist_buckets(min, max, step);
        let (low, high) = (self.b.iconst(min), self.b.iconst(max));
        let last = i64::from(buckets) - 1;
        let bucket = self.choose(
            Cond::Slt,
            value,
            low,
            |l| Ok(l.b.iconst(0)),
            |l| {
                l.choose(
                    Cond::Sge,
                    value,
                    high,
                    |l| Ok(l.b.iconst(last)),
                    |l| {
                        let from = l.b.sub_imm(value, min);
                        let n = l.b.udiv_imm(from, step.max(1));
                        Ok(l.b.add_imm(n, 1))
                    },
                )
            },
        )?;
        self.count_bucket(ptr, bucket, buckets);
        Ok(())
    }

    /// Intervals are a ring by epoch; a cell of an older epoch is begun anew.
    fn update_tseries(
        &mut self,
        ptr: Value,
        value: Value,
        interval_ns: u64,
        count: u32,
        (agg, signed): (TseriesAgg, bool),
    ) -> Result<(), LowerError> {
        let now = self.read_call(Helper::KTIME_GET_NS);
        let epoch = self.b.udiv_imm(now, interval_ns.max(1) as i64);
        let slot = self.b.umod_imm(epoch, i64::from(count.max(1)));
        let behind = self.b.new_block();
        let inside = self.b.new_block();
        let end = self.b.iconst(i64::from(count.max(1)));
        self.b.branch(Cond::Ult, Width::W64, slot, end, (inside, &[]), (behind, &[]));
        self.b.seal(inside);
        self.b.switch_to(inside);
        let at = self.b.mul_imm(slot, 24);
        let cell = self.b.add(ptr, at);
        let have = self.b.load(cell, 0, Size::B8, false);
        self.if_else(
            Cond::Ne,
            have,
            epoch,
            |l| {
                let one = l.b.iconst(1);
                l.b.store(cell, 0, Size::B8, epoch);
                l.b.store(cell, 8, Size::B8, value);
                l.b.store(cell, 16, Size::B8, one);
                Ok(())
            },
            |l| {
                let better = match (agg, signed) {
                    (TseriesAgg::Max, true) => Some(Cond::Sgt),
                    (TseriesAgg::Max, false) => Some(Cond::Ugt),
                    (TseriesAgg::Min, true) => Some(Cond::Slt),
                    (TseriesAgg::Min, false) => Some(Cond::Ult),
                    _ => None,
                };
                match (agg, better) {
                    (_, Some(better)) => {
                        let old = l.b.load(cell, 8, Size::B8, false);
                        l.if_then(better, value, old, |l| {
                            l.b.store(cell, 8, Size::B8, value);
                            Ok(())
                        })?;
                    }
                    (TseriesAgg::Last, _) => l.b.store(cell, 8, Size::B8, value),
                    _ => {
                        l.b.atomic_add(cell, 8, Size::B8, value);
                        if agg == TseriesAgg::Avg {
                            let one = l.b.iconst(1);
                            l.b.atomic_add(cell, 16, Size::B8, one);
                        }
                    }
                }
                Ok(())
            },
        )?;
        self.b.jump(behind, &[]);
        self.b.seal(behind);
        self.b.switch_to(behind);
        Ok(())
    }

    /// Runs code with the cell of `map[key]`, which is made if there is none.
    pub(super) fn with_cell(
        &mut self,
        map: MapIndex,
        key: Option<Place>,
        span: Span,
        code: impl FnOnce(&mut Self, Value) -> Result<(), LowerError>,
    ) -> Result<(), LowerError> {
        let store = self.map_store(map, span)?;
        let Some(key) = key else {
            let ptr = self.scalar_cell(map, span)?;
            return code(self, ptr);
        };
        let ret = self.b.declare_var(Ty::Int);
        let zero = self.b.iconst(0);
        self.b.def_var(ret, zero);
        let found = self.map_lookup(store.id, key);
        let ptr = self.choose_as(
            Ty::Ptr,
            Cond::Ne,
            found,
            zero,
            |_| Ok(found),
            |l| {
                let zeros = l.out.zeros(store.value_size);
                let initial = l.b.map_value(zeros, 0);
                let at = l.address(key);
                let (m, flags) = (l.b.map_ref(store.id), l.b.iconst(helper_flags::BPF_NOEXIST as i64));
                let r = l.b.call(Helper::MAP_UPDATE_ELEM, &[m, at, initial, flags], Effect::Write);
                l.b.def_var(ret, r);
                Ok(l.map_lookup(store.id, key))
            },
        )?;
        let null = self.b.iconst(0);
        self.if_else(
            Cond::Ne,
            ptr,
            null,
            |l| code(l, ptr),
            |l| {
                let r = l.b.use_var(ret);
                l.map_full(r, span);
                Ok(())
            },
        )
    }

    /// Reports that an element can't be made.
    pub(super) fn map_full(&mut self, ret: Value, span: Span) {
        let kind = ActionKind::HelperError {
            helper: "map_update_elem".into(),
            message: "Map full; can't update element. Try increasing max_map_keys config or manually setting the max entries in a \
                      map declaration e.g. `let @a = hash(5000)`"
                .into(),
            only_verbose: false,
        };
        self.report(kind, ret, span);
    }
}

/// Values read back.
impl Lower<'_> {
    /// The value of an aggregation, combined over all CPUs, as one number: count, sum, minimum, maximum or average.
    ///
    /// # Errors
    /// When the aggregation has no single value.
    pub fn read_aggregate(
        &mut self,
        map: MapIndex,
        key: Option<Place>,
        agg: &Agg,
        span: Span,
    ) -> Result<Value, LowerError> {
        let store = self.map_store(map, span)?;
        if !matches!(
            agg,
            Agg::Count
                | Agg::Sum { .. }
                | Agg::Min { .. }
                | Agg::Max { .. }
                | Agg::Avg { .. }
                | Agg::Stats { .. }
        ) {
            return Err(LowerError::new(
                span,
                "This aggregation has no single value that a program could read",
            ));
        }
        let key = match key {
            Some(key) => key,
            None => self.zero_key(),
        };
        let (total, count) = (self.b.declare_var(Ty::Int), self.b.declare_var(Ty::Int));
        let zero = self.b.iconst(0);
        self.b.def_var(total, zero);
        self.b.def_var(count, zero);
        let combine = |l: &mut Self, ptr: Value| -> Result<(), LowerError> {
            let value = l.b.load(ptr, 0, Size::B8, false);
            let so_far = l.b.use_var(total);
            let better = match agg {
                Agg::Min { signed: true } => Some(Cond::Slt),
                Agg::Min { signed: false } => Some(Cond::Ult),
                Agg::Max { signed: true } => Some(Cond::Sgt),
                Agg::Max { signed: false } => Some(Cond::Ugt),
                _ => None,
            };
            match better {
                None => {
                    let sum = l.b.add(so_far, value);
                    l.b.def_var(total, sum);
                    if matches!(agg, Agg::Avg { .. } | Agg::Stats { .. }) {
                        let n = l.b.load(ptr, 8, Size::B8, false);
                        let m = l.b.use_var(count);
                        let sum = l.b.add(m, n);
                        l.b.def_var(count, sum);
                    }
                    Ok(())
                }
                Some(better) => {
                    let set = l.b.load(ptr, 8, Size::B8, false);
                    let zero = l.b.iconst(0);
                    l.if_then(Cond::Ne, set, zero, |l| {
                        let seen = l.b.use_var(count);
                        let one = l.b.iconst(1);
                        l.b.def_var(count, one);
                        let zero = l.b.iconst(0);
                        let best = l.choose(
                            Cond::Eq,
                            seen,
                            zero,
                            |_| Ok(value),
                            |l| l.choose(better, value, so_far, |_| Ok(value), |_| Ok(so_far)),
                        )?;
                        l.b.def_var(total, best);
                        Ok(())
                    })
                }
            }
        };
        self.each_cpu(&store, key, combine)?;
        let total = self.b.use_var(total);
        match agg {
            Agg::Avg { signed } | Agg::Stats { signed } => {
                let count = self.b.use_var(count);
                let zero = self.b.iconst(0);
                let op = if *signed { BinOp::SDiv } else { BinOp::UDiv };
                self.choose(
                    Cond::Eq,
                    count,
                    zero,
                    |l| Ok(l.b.iconst(0)),
                    |l| Ok(l.b.binary(op, Width::W64, total, count)),
                )
            }
            _ => Ok(total),
        }
    }

    /// Runs code with the value of `key` of each CPU; once for maps that are not per CPU.
    pub(super) fn each_cpu(
        &mut self,
        store: &super::output::MapStore,
        key: Place,
        code: impl FnOnce(&mut Self, Value) -> Result<(), LowerError>,
    ) -> Result<(), LowerError> {
        let zero = self.b.iconst(0);
        if !store.per_cpu || !self.has(crate::facts::Feature::LookupPercpuElem) {
            let ptr = self.map_lookup(store.id, key);
            return self.if_then(Cond::Ne, ptr, zero, |l| code(l, ptr));
        }
        let id = store.id;
        self.counted_loop(self.facts.possible_cpus().max(1), |l, cpu| {
            let map = l.b.map_ref(id);
            let at = l.address(key);
            let ptr = l.b.call_ptr(Helper::MAP_LOOKUP_PERCPU_ELEM, &[map, at, cpu], Effect::Read);
            let zero = l.b.iconst(0);
            l.if_then(Cond::Ne, ptr, zero, |l| code(l, ptr))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(n: u64, k: u32) -> u32 {
        let bits = 64 - n.leading_zeros();
        let e = bits.saturating_sub(1 + k);
        1 + (e << k) + (n >> e) as u32
    }

    #[test]
    fn bounds_of_buckets_join_without_gaps() {
        for k in 0..=5u8 {
            let mut next = 0u64;
            for b in 1..hist_buckets(k) {
                let (first, last) = hist_bounds(k, b).unwrap();
                assert_eq!(first, next, "k {k} bucket {b}");
                assert_eq!(bucket(first, u32::from(k)), b);
                assert_eq!(bucket(last, u32::from(k)), b);
                next = last.wrapping_add(1);
            }
            assert_eq!(next, 0, "the last bucket of k {k} ends at the largest number");
            assert_eq!(hist_bounds(k, hist_buckets(k)), None);
        }
    }

    #[test]
    fn linear_buckets_have_two_more() {
        assert_eq!(lhist_buckets(0, 100, 10), 12);
        assert_eq!(lhist_buckets(0, 95, 10), 12);
        assert_eq!(lhist_buckets(5, 5, 0), 2);
        assert_eq!(lhist_buckets(i64::MIN, i64::MAX, 1), u32::MAX);
    }
}
