//! Run-time warnings of one place of the script: the first is printed at once, a flood of them as one line a second with the number.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Time between two warnings of one place.
const INTERVAL: Duration = Duration::from_secs(1);
/// Warnings of one place that are printed one by one before they are gathered.
const FREE: u64 = 8;

/// Counts warnings by the action they come from.
#[derive(Debug, Default)]
pub struct Repeats {
    seen: HashMap<usize, Seen>,
}

#[derive(Debug)]
struct Seen {
    printed: u64,
    held: u64,
    last: Instant,
}

impl Repeats {
    /// Whether to print a warning of this action now; `Some(n)`: yes, and `n` others of the same kind were held back before it.
    pub fn admit(&mut self, action: usize) -> Option<u64> {
        let now = Instant::now();
        let seen = self.seen.entry(action).or_insert(Seen { printed: 0, held: 0, last: now });
        if seen.printed >= FREE && now.duration_since(seen.last) < INTERVAL {
            seen.held += 1;
            return None;
        }
        seen.printed += 1;
        seen.last = now;
        Some(std::mem::take(&mut seen.held))
    }

    /// Actions with warnings that were held back and not told of yet: (action, number). They count as told.
    pub fn take_held(&mut self) -> Vec<(usize, u64)> {
        let held = self.seen.iter_mut().filter(|(_, s)| s.held > 0);
        let mut all: Vec<(usize, u64)> = held.map(|(a, s)| (*a, std::mem::take(&mut s.held))).collect();
        all.sort_unstable();
        all
    }
}

/// The text that tells of the held ones.
pub fn note(held: u64) -> String {
    match held {
        0 => String::new(),
        1 => " (and once more before)".into(),
        n => format!(" (and {n} times more before)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_gathered_and_counted() {
        let mut repeats = Repeats::default();
        let printed = (0..100).filter(|_| repeats.admit(3).is_some()).count() as u64;
        assert_eq!(printed, FREE);
        assert_eq!(repeats.admit(4), Some(0));
        assert_eq!(repeats.take_held(), [(3, 100 - FREE)]);
        assert!(repeats.take_held().is_empty());
    }
}
