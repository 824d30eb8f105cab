//! What property tests have in common: how many scripts, and what is said of those that fail.
#![allow(dead_code, reason = "each test uses a part")]

use fathom_testkit::generate::{self, Size};
use fathom_testkit::property::{check, minimised, Target};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most kinds of failures that are shown.
const SHOWN: usize = 12;
/// How long a failure is made smaller.
const SHRINK_TIME: Duration = Duration::from_secs(15);

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

/// Whether programs can be loaded; says why not.
pub fn can_load() -> bool {
    let me = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = me.lines().any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0"));
    if !root {
        eprintln!("skipped: needs root to load programs");
    }
    root
}

/// Checks the scripts of many seeds.
pub fn check_many(cases: u64, target: &Target<'_>) {
    let cases = number("FATHOM_PROPERTY_CASES", cases);
    let first = number("FATHOM_SEED", 1);
    std::panic::set_hook(Box::new(|_| {}));
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..first.saturating_add(cases) {
        let size = Size { stmts: 6 + (seed % 30) as u32, depth: 1 + (seed % 4) as u32 };
        if number("FATHOM_VERBOSE", 0) > 0 {
            eprintln!("seed {seed}");
        }
        let script = generate::script(seed, size);
        let Err(failure) = check(&script.text(), target) else { continue };
        let times = kinds.entry(failure.class()).or_default();
        *times += 1;
        if *times == 1 {
            let (script, failure) = minimised(&script, &failure, target, SHRINK_TIME);
            eprintln!("seed {seed}: {failure}\n{}\n", script.text());
        }
        if kinds.len() >= SHOWN {
            break;
        }
    }
    let _ = std::panic::take_hook();
    let all: Vec<String> = kinds.iter().map(|(k, n)| format!("{n} x {k}")).collect();
    assert!(kinds.is_empty(), "{}", all.join("\n"));
}
