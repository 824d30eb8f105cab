//! The table of providers and what a row says.

use crate::facts::KernelFacts;
use crate::providers;
use crate::wildcard;
use fathom_lang::facts::{ProbeRequest, Resolution};

/// A provider: one kind of probe.
pub struct Provider {
    /// Canonical name.
    pub name: &'static str,
    /// Short and old names.
    pub aliases: &'static [&'static str],
    /// What a wildcard in the provider's place means, and what the builtin `probetype` gives.
    pub probe_type: &'static str,
    /// In which wildcard expansion (`*:...`) it takes part.
    pub side: Side,
    /// Forms of attach points, for docs and errors.
    pub forms: &'static [&'static str],
    /// One paragraph.
    pub doc: &'static str,
    /// Says what an attach point stands for.
    pub resolve: fn(&KernelFacts, &Request<'_>) -> Resolution,
    /// Lists probes that fit: `None` lists what makes sense without a target. Each is printed as `name:target`.
    pub list: fn(&KernelFacts, &Listing<'_>) -> Vec<String>,
}

/// Where a provider's events happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// In the kernel.
    Kernel,
    /// In programs.
    User,
    /// In the tracer itself (begin, interval, ...).
    Tracer,
}

/// An attach point whose provider is known.
pub struct Request<'a> {
    /// As given by the compiler.
    pub whole: &'a ProbeRequest,
    /// Parts behind the provider.
    pub parts: &'a [String],
    /// The provider's row.
    pub provider: &'static Provider,
}

impl Request<'_> {
    /// Part `i` behind the provider, or nothing.
    pub fn part(&self, i: usize) -> &str {
        self.parts.get(i).map_or("", String::as_str)
    }
    /// The parts joined again.
    pub fn target(&self) -> String {
        self.parts.join(":")
    }
    /// A resolution that says how the provider's attach points are written.
    pub fn malformed(&self, message: impl Into<String>) -> Resolution {
        error(message, Some(format!("forms: {}", self.provider.forms.join(", "))))
    }
    /// A resolution that says that nothing fits.
    pub fn no_match(&self) -> Resolution {
        Resolution {
            missing: Some(format!("No matches for {} {}.", self.provider.name, self.target())),
            ..Resolution::default()
        }
    }
}

/// A resolution that is an error in any case.
pub fn error(message: impl Into<String>, hint: Option<String>) -> Resolution {
    Resolution {
        error: Some(fathom_lang::facts::ProbeError { message: message.into(), hint }),
        ..Resolution::default()
    }
}

/// What is asked of a listing.
pub struct Listing<'a> {
    /// Parts behind the provider; empty: everything.
    pub parts: &'a [String],
    /// `-p PID`.
    pub pid: Option<u32>,
}

impl Listing<'_> {
    /// Whether a target, joined by `:`, fits the parts. No parts fit everything.
    pub fn fits(&self, target: &str) -> bool {
        self.parts.is_empty() || wildcard::matches(&self.parts.join(":"), target)
    }
}

/// All providers. A provider is a file below `providers/` and its row here.
pub static PROVIDERS: &[&Provider] = &[
    &providers::special::BEGIN,
    &providers::special::END,
    &providers::special::SELF,
    &providers::special::TEST,
    &providers::special::BENCH,
    &providers::kprobe::KPROBE,
    &providers::kprobe::KRETPROBE,
    &providers::fentry::FENTRY,
    &providers::fentry::FEXIT,
    &providers::tracepoint::TRACEPOINT,
    &providers::rawtracepoint::RAWTRACEPOINT,
    &providers::iter::ITER,
    &providers::timer::INTERVAL,
    &providers::timer::PROFILE,
    &providers::perf_event::SOFTWARE,
    &providers::perf_event::HARDWARE,
    &providers::watchpoint::WATCHPOINT,
    &providers::uprobe::UPROBE,
    &providers::uprobe::URETPROBE,
    &providers::usdt::USDT,
];

/// The provider of this name or alias; in any case, if no other has exactly this one (`U` is not `u`).
pub fn find(name: &str) -> Option<&'static Provider> {
    let called = |name: &str| PROVIDERS.iter().copied().find(|p| p.name == name || p.aliases.contains(&name));
    called(name).or_else(|| called(&name.to_ascii_lowercase()))
}

/// Says what an attach point stands for; a wildcard as provider stands for all kernel (or, with a path, all user) providers.
pub fn resolve(facts: &KernelFacts, request: &ProbeRequest) -> Resolution {
    let (first, rest) = match request.parts.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("", &[][..]),
    };
    if let Some(provider) = find(first) {
        return (provider.resolve)(facts, &Request { whole: request, parts: rest, provider });
    }
    if !wildcard::is_pattern(first) {
        let names = PROVIDERS.iter().map(|p| p.name);
        let near = names.min_by_key(|n| distance(n, &first.to_ascii_lowercase()));
        let hint = near
            .filter(|n| distance(n, first) <= (first.len() / 2).min(3))
            .map(|n| format!("did you mean '{n}'?"));
        return error(format!("Invalid probe type: {first}"), hint);
    }
    let side = if rest.first().is_some_and(|p| p.starts_with('/')) { Side::User } else { Side::Kernel };
    let mut all = Resolution::default();
    let lower = first.to_ascii_lowercase();
    for provider in PROVIDERS.iter().filter(|p| p.side == side && wildcard::matches(&lower, p.name)) {
        let r = (provider.resolve)(facts, &Request { whole: request, parts: rest, provider });
        all.targets.extend(r.targets);
    }
    if all.targets.is_empty() {
        all.missing = Some(format!("No matches for {}.", request.raw));
    }
    all
}

/// Number of single-character edits between two names, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_unique_and_case_does_not_matter() {
        let mut seen = std::collections::HashSet::new();
        for p in PROVIDERS {
            for n in std::iter::once(&p.name).chain(p.aliases) {
                assert!(seen.insert(*n), "{n} stands twice");
            }
        }
        assert_eq!(find("BEGIN").map(|p| p.name), Some("begin"));
        assert_eq!(find("kr").map(|p| p.name), Some("kretprobe"));
        assert!(find("nonsense").is_none());
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kprobe", "kprobe"), 0);
        assert_eq!(distance("kprobe", "kprob"), 1);
        assert_eq!(distance("uprobe", "kprobe"), 1);
    }
}
