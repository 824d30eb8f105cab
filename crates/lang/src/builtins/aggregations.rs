//! Aggregations: functions that may only be assigned to a map, which then combines the values.

use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::config::Unstable;
use crate::lower::aggregate::lhist_buckets;
use crate::lower::{Lower, LowerError, Operand};
use crate::types::{Agg, Type};
use fathom_codegen::program::TseriesAgg;
use fathom_syntax::ast::Expr;

/// Most buckets of `lhist` beside the two for smaller and larger numbers.
const LHIST_BUCKETS_MAX: u32 = 1000;
/// Most intervals of `tseries`.
const TSERIES_MAX: i64 = 1_000_000;

/// One row; the update itself is made where the map is assigned.
macro_rules! aggregation {
    ($name:literal, $args:expr, $signature:literal, $infer:expr, $doc:literal, $example:literal) => {
        Builtin {
            name: $name,
            form: Form::Aggregation,
            signature: $signature,
            args: $args,
            is_unsafe: false,
            pure_value: false,
            infer: $infer,
            lower: lower_alone,
            doc: $doc,
            example: $example,
        }
    };
}

/// The rows of this family.
pub(super) static ROWS: &[Builtin] = &[
    aggregation!("count", (0, 0), "count_t count()", |_| Type::Aggregation(Agg::Count),
        "Counts how often it is called.",
        "begin { @[comm] = count(); }"),
    aggregation!("sum", (1, 1), "sum_t sum(int n)", |cx| of_number(cx, |signed| Agg::Sum { signed }),
        "Adds up values.",
        "begin { @ = sum(5); }"),
    aggregation!("min", (1, 1), "min_t min(int n)", |cx| of_number(cx, |signed| Agg::Min { signed }),
        "Keeps the smallest value.",
        "begin { @ = min(5); }"),
    aggregation!("max", (1, 1), "max_t max(int n)", |cx| of_number(cx, |signed| Agg::Max { signed }),
        "Keeps the largest value.",
        "begin { @ = max(5); }"),
    aggregation!("avg", (1, 1), "avg_t avg(int n)", |cx| of_number(cx, |signed| Agg::Avg { signed }),
        "Keeps the mean of all values.",
        "begin { @ = avg(5); }"),
    aggregation!("stats", (1, 1), "stats_t stats(int n)", |cx| of_number(cx, |signed| Agg::Stats { signed }),
        "Keeps number, mean and sum of all values.",
        "begin { @ = stats(5); }"),
    aggregation!("hist", (1, 2), "hist_t hist(int n[, const int k])", infer_hist,
        "Counts values in buckets whose width doubles; each power of two has 2^k buckets (k from 0 to 5, 0 unless given).",
        "begin { @ = hist(100); @fine = hist(100, 3); }"),
    aggregation!("lhist", (4, 4), "lhist_t lhist(int n, const int min, const int max, const int step)", infer_lhist,
        "Counts values in buckets of equal width from `min` to `max`, and smaller and larger ones apart.",
        "begin { @ = lhist(35, 0, 100, 10); }"),
    aggregation!("tseries", (3, 4),
        "tseries_t tseries(int n, const duration interval, const int count[, const string agg])", infer_tseries,
        "Keeps the values of the last `count` intervals: the latest of each, or their `avg`, `max`, `min` or `sum`.",
        r#"interval:ms:100 { @ = tseries(1, 1s, 10, "sum"); }"#),
];

/// Aggregations stand on the right of an assignment to a map, where the lowering sees them; the analysis refuses all other places.
fn lower_alone(_: &mut Lower<'_>, e: &Expr, _: &[Expr]) -> Result<Operand, LowerError> {
    Err(LowerError::new(e.span, "An aggregation can only be assigned to a map"))
}

/// Whether the argument's type is signed.
fn is_signed(cx: &CallContext<'_>) -> bool {
    match cx.arg_types.first() {
        Some(Type::Int { signed, .. }) => *signed,
        Some(Type::Enum(e)) => e.signed,
        _ => false,
    }
}

fn of_number(cx: &mut CallContext<'_>, agg: fn(bool) -> Agg) -> Type {
    check::integer(cx, 0);
    Type::Aggregation(agg(is_signed(cx)))
}

fn infer_hist(cx: &mut CallContext<'_>) -> Type {
    check::integer(cx, 0);
    let k = check::integer_literal(cx, 1).unwrap_or(0);
    if !(0..=5).contains(&k) {
        let text = format!("hist: bits {k} must be 0..5");
        cx.error(cx.arg_span(1), text);
    }
    Type::Aggregation(Agg::Hist { k: k.clamp(0, 5) as u8 })
}

fn infer_lhist(cx: &mut CallContext<'_>) -> Type {
    check::integer(cx, 0);
    let (min, max, step) =
        (check::integer_literal(cx, 1), check::integer_literal(cx, 2), check::integer_literal(cx, 3));
    let (Some(min), Some(max), Some(step)) = (min, max, step) else {
        return Type::Aggregation(Agg::Lhist { min: 0, max: 1, step: 1 });
    };
    let wrong = if step <= 0 {
        Some(format!("lhist() step must be >= 1 ({step} provided)"))
    } else if min > max {
        Some(format!("lhist() min must be less than max (provided min {min} and max {max})"))
    } else if max.checked_sub(min).is_some_and(|width| width < step) {
        Some(
            "lhist() step is too large for the given range (provided step ".to_string()
                + &format!("{step} for range {})", max.saturating_sub(min)),
        )
    } else if lhist_buckets(min, max, step).saturating_sub(2) > LHIST_BUCKETS_MAX {
        let n = lhist_buckets(min, max, step).saturating_sub(2);
        Some(format!("lhist() too many buckets, must be <= {LHIST_BUCKETS_MAX} (would need {n})"))
    } else {
        None
    };
    if let Some(text) = wrong {
        cx.error(cx.span, text);
        return Type::Aggregation(Agg::Lhist { min: 0, max: 1, step: 1 });
    }
    Type::Aggregation(Agg::Lhist { min, max, step })
}

fn infer_tseries(cx: &mut CallContext<'_>) -> Type {
    check::integer(cx, 0);
    match cx.config.unstable_tseries {
        Unstable::Error => cx.error_hint(
            cx.span,
            "Feature not enabled: tseries",
            "To enable this unstable feature, set the config flag to enable. unstable_tseries=enable",
        ),
        Unstable::Warn => cx.warn(
            cx.span,
            "Script is using an unstable feature. To prevent this warning you must explicitly enable the unstable feature in \
             the config e.g. unstable_tseries=enable",
        ),
        Unstable::Enable => {}
    }
    let interval = check::integer_literal(cx, 1).unwrap_or(1);
    let count = check::integer_literal(cx, 2).unwrap_or(1);
    if interval <= 0 {
        let text = format!("tseries() expects a positive interval ({interval} provided)");
        cx.error(cx.arg_span(1), text);
    }
    if !(1..=TSERIES_MAX).contains(&count) {
        let text = format!("tseries() num_intervals must be 1..{TSERIES_MAX} ({count} provided)");
        cx.error(cx.arg_span(2), text);
    }
    let agg = match check::string_literal(cx, 3).as_deref() {
        None => TseriesAgg::Last,
        Some("avg") => TseriesAgg::Avg,
        Some("max") => TseriesAgg::Max,
        Some("min") => TseriesAgg::Min,
        Some("sum") => TseriesAgg::Sum,
        Some(other) => {
            let text =
                format!("tseries() expects one of \"avg\", \"max\", \"min\", \"sum\", not \"{other}\"");
            cx.error(cx.arg_span(3), text);
            TseriesAgg::Last
        }
    };
    Type::Aggregation(Agg::Tseries {
        interval_ns: interval.max(1) as u64,
        count: count.clamp(1, TSERIES_MAX) as u32,
        agg,
        signed: is_signed(cx),
    })
}
