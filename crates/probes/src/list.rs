//! Listing of probes and their arguments (`fathom list`, `-l`, `-lv`).

use crate::facts::KernelFacts;
use crate::provider::{Listing, Provider, PROVIDERS};
use crate::wildcard;
use fathom_lang::facts::{ArgNames, ArgType, Facts, ProbeRequest};
use fathom_symbols::btf::Kind;

/// Lists what fits a pattern such as `tracepoint:sched:*`, `*sleep*`, `struct task_struct`, or several joined by commas; `None`: everything.
/// With `verbose` each probe is followed by its arguments, one a line, indented.
pub fn list(facts: &KernelFacts, pattern: Option<&str>, pid: Option<u32>, verbose: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(pattern) = pattern else {
        for p in PROVIDERS {
            add(facts, p, &[], pid, verbose, &mut lines);
        }
        return lines;
    };
    for one in pattern.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        list_one(facts, one, pid, verbose, &mut lines);
    }
    lines
}

fn list_one(facts: &KernelFacts, pattern: &str, pid: Option<u32>, verbose: bool, lines: &mut Vec<String>) {
    if let Some((keyword, name)) = type_pattern(pattern) {
        lines.extend(types(facts, keyword, name, verbose));
        return;
    }
    let parts: Vec<String> = pattern.split(':').map(str::to_owned).collect();
    let (first, rest) = match parts.split_first() {
        Some((first, rest)) if !rest.is_empty() => (first, rest),
        _ => {
            // A pattern without colon looks at providers' names and at all targets.
            for p in PROVIDERS {
                let whole = wildcard::matches(&pattern.to_ascii_lowercase(), p.name);
                add(facts, p, if whole { &[] } else { &parts }, pid, verbose, lines);
            }
            return;
        }
    };
    if let Some(p) = crate::provider::find(first) {
        return add(facts, p, rest, pid, verbose, lines);
    }
    let lower = first.to_ascii_lowercase();
    for p in PROVIDERS.iter().filter(|p| wildcard::matches(&lower, p.name)) {
        add(facts, p, rest, pid, verbose, lines);
    }
}

fn add(
    facts: &KernelFacts,
    provider: &Provider,
    parts: &[String],
    pid: Option<u32>,
    verbose: bool,
    lines: &mut Vec<String>,
) {
    for target in (provider.list)(facts, &Listing { parts, pid }) {
        let line = format!("{}:{target}", provider.name);
        lines.push(line.clone());
        if verbose {
            lines.extend(arguments(facts, &line));
        }
    }
}

/// Arguments of a probe, one a line.
fn arguments(facts: &KernelFacts, probe: &str) -> Vec<String> {
    let parts: Vec<String> = probe.split(':').map(str::to_owned).collect();
    let names = ArgNames { args: true, retval: true };
    let request = ProbeRequest { raw: probe.to_owned(), parts, names, ..ProbeRequest::default() };
    let resolution = facts.resolve(&request);
    let Some(target) = resolution.targets.first() else { return Vec::new() };
    let text = |ty: &ArgType| match ty {
        ArgType::C(id) => facts.type_text(*id),
        ArgType::Text { text, .. } => text.clone(),
    };
    let mut lines: Vec<String> =
        target.args.args.iter().map(|a| format!("    {}", declaration(&text(&a.ty), &a.name))).collect();
    lines.extend(target.args.ret.as_ref().map(|ty| format!("    {} retval", text(ty))));
    lines
}

/// A C declaration of a name by the text of its type: the length of an array stands behind the name.
fn declaration(ty: &str, name: &str) -> String {
    match ty.find('[') {
        Some(at) => format!("{} {name}{}", &ty[..at], &ty[at..]),
        None => format!("{ty} {name}"),
    }
}

/// `struct x` and the like: the keyword and the pattern of names.
fn type_pattern(pattern: &str) -> Option<(&'static str, &str)> {
    ["struct", "union", "enum"].into_iter().find_map(|k| {
        let name = pattern.strip_prefix(k)?.strip_prefix(' ')?;
        Some((k, name.trim()))
    })
}

/// Kernel types whose names fit; with `verbose` as C text.
fn types(facts: &KernelFacts, keyword: &str, pattern: &str, verbose: bool) -> Vec<String> {
    let Some((_, btf)) = facts.btf("vmlinux") else { return Vec::new() };
    let kinds: &[Kind] = match keyword {
        "struct" => &[Kind::Struct],
        "union" => &[Kind::Union],
        _ => &[Kind::Enum, Kind::Enum64],
    };
    let mut ids: Vec<u32> = Vec::new();
    for kind in kinds {
        match wildcard::is_pattern(pattern) {
            true => ids
                .extend(btf.iter_kind(*kind).filter(|id| {
                    btf.name(*id).is_ok_and(|n| !n.is_empty() && wildcard::matches(pattern, n))
                })),
            false => ids.extend(btf.find(pattern, *kind)),
        }
    }
    let text = |id: &u32| match verbose {
        true => btf.declaration(*id).ok().map(|d| format!("vmlinux: {d}")),
        false => btf.name(*id).ok().map(|n| format!("vmlinux: {keyword} {n}")),
    };
    let mut lines: Vec<String> = ids.iter().filter_map(text).collect();
    lines.sort();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_arrays_stand_behind_the_name() {
        assert_eq!(declaration("char[16]", "comm"), "char comm[16]");
        assert_eq!(declaration("struct file *", "file"), "struct file * file");
    }
}
