//! `interval` (one CPU) and `profile` (every CPU): the `cpu-clock` software event of perf, by period or frequency.

use crate::facts::KernelFacts;
use crate::provider::{Listing, Provider, Request, Side};
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::program::{Attach, PerfCpus, Refusal};
use fathom_lang::facts::{ArgSet, Carrier, Context, Resolution, Target};
use std::sync::Arc;

/// `interval:s:1`.
pub static INTERVAL: Provider = Provider {
    name: "interval",
    aliases: &["i"],
    probe_type: "interval",
    side: Side::Tracer,
    forms: &["interval:hz:N", "interval:s|ms|us:N", "interval:DURATION"],
    doc: "Fires at the interval on one CPU.",
    resolve: |_, r| resolve(r, PerfCpus::One),
    list,
};

/// `profile:hz:99`.
pub static PROFILE: Provider = Provider {
    name: "profile",
    aliases: &["p"],
    probe_type: "profile",
    side: Side::Tracer,
    forms: &["profile:hz:N", "profile:s|ms|us:N", "profile:DURATION"],
    doc: "Fires at the interval or frequency on every CPU, for sampling what runs.",
    resolve: |_, r| resolve(r, PerfCpus::All),
    list,
};

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
/// Shorter intervals are refused: the kernel would spend its time in the timer.
const INTERVAL_MIN_NS: u64 = 1000;

/// Units of the two-part form: (name, nanoseconds).
static UNITS: &[(&str, u64)] = &[("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
/// Units of a duration.
static DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

fn list(_: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    ["hz:", "us:", "ms:", "s:"].iter().filter(|t| listing.fits(t)).map(|t| (*t).to_owned()).collect()
}

/// Period or frequency: (number, is a frequency).
fn parse(request: &Request<'_>) -> Result<(u64, bool), String> {
    let name = request.provider.name;
    match request.parts {
        [duration] => {
            let digits = duration.find(|c: char| !c.is_ascii_digit()).unwrap_or(duration.len());
            let (number, unit) = duration.split_at(digits);
            if unit.is_empty() {
                return Err(format!("{name} probe must have unit of time and a number"));
            }
            let n: u64 = number.parse().map_err(|_| format!("Invalid duration for {name}: {duration}"))?;
            let (_, factor) = DURATIONS
                .iter()
                .find(|(u, _)| *u == unit)
                .ok_or_else(|| format!("{unit} is not an accepted unit"))?;
            Ok((n.checked_mul(*factor).ok_or_else(|| format!("Duration too long: {duration}"))?, false))
        }
        [unit, number] => {
            let n = parse_number(number).ok_or_else(|| format!("Invalid rate of {name} probe: {number}"))?;
            if n == 0 {
                return Err(format!("{name} unit must be positive"));
            }
            if unit == "hz" {
                return Ok((n, true));
            }
            let (_, factor) = UNITS
                .iter()
                .find(|(u, _)| u == unit)
                .ok_or_else(|| format!("{unit} is not an accepted unit"))?;
            Ok((n.checked_mul(*factor).ok_or_else(|| format!("Interval too long: {number}"))?, false))
        }
        _ => Err(format!("{name} probe must have unit of time and a number")),
    }
}

/// Decimal or hexadecimal.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.replace('_', "").parse().ok().or_else(|| exponent(text)),
    }
}

/// `1e6`.
fn exponent(text: &str) -> Option<u64> {
    let (mantissa, exponent) = text.split_once('e')?;
    10u64.checked_pow(exponent.parse().ok()?)?.checked_mul(mantissa.parse().ok()?)
}

fn resolve(request: &Request<'_>, cpus: PerfCpus) -> Resolution {
    let (period, is_freq) = match parse(request) {
        Ok(parsed) => parsed,
        Err(message) => return request.malformed(message),
    };
    let period_ns = if is_freq { 1_000_000_000u64.checked_div(period).unwrap_or(0) } else { period };
    if period_ns < INTERVAL_MIN_NS {
        return request.malformed(format!("{} probe must be at least 1 us long", request.provider.name));
    }
    // One CPU has no need for the kernel's frequency estimator: a fixed period is more even.
    let (period, is_freq) = if cpus == PerfCpus::One { (period_ns, false) } else { (period, is_freq) };
    let carrier = Carrier {
        kind: ProgKind::PERF_EVENT,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::Perf {
            event_type: PERF_TYPE_SOFTWARE,
            config: PERF_COUNT_SW_CPU_CLOCK,
            period,
            is_freq,
            cpus,
            pid: None,
        },
        context: Context::PerfEvent,
        select: None,
        has_cookie: true,
        mechanism: "perf cpu-clock",
    };
    let provider = request.provider;
    Resolution {
        targets: vec![Target {
            name: format!("{}:{}", provider.name, request.target()),
            provider: provider.name,
            probe_type: provider.probe_type,
            refusal: Refusal::default(),
            func: None,
            args: Arc::new(ArgSet {
                unavailable: Some(format!("{} probes have no arguments", provider.name)),
                ..ArgSet::default()
            }),
            carriers: vec![carrier],
        }],
        ..Resolution::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_lang::facts::ProbeRequest;

    fn period(parts: &[&str]) -> Result<(u64, bool), String> {
        let whole = ProbeRequest::default();
        let parts: Vec<String> = parts.iter().map(|p| (*p).to_owned()).collect();
        parse(&Request { whole: &whole, parts: &parts, provider: &PROFILE })
    }

    #[test]
    fn units_durations_and_frequencies() {
        assert_eq!(period(&["hz", "99"]), Ok((99, true)));
        assert_eq!(period(&["ms", "10"]), Ok((10_000_000, false)));
        assert_eq!(period(&["10ms"]), Ok((10_000_000, false)));
        assert_eq!(period(&["2m"]), Ok((120_000_000_000, false)));
        assert!(period(&["s", "0"]).is_err());
        assert!(period(&["parsec", "1"]).is_err());
        assert!(period(&[]).is_err());
        assert!(period(&["s", "99999999999999999999"]).is_err());
        assert!(period(&["s", "9999999999999999"]).is_err());
    }
}
