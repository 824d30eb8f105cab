//! `docs/probes.md`: the kinds of probes, from the providers' rows.

use super::notice;
use fathom_probes::provider::{Provider, Side, PROVIDERS};

/// Sections: title, side.
static SECTIONS: &[(&str, Side)] =
    &[("In the kernel", Side::Kernel), ("In programs", Side::User), ("In the tracer", Side::Tracer)];

/// The document.
pub fn text() -> String {
    let mut out = format!("{}# Probes\n", notice());
    for (title, side) in SECTIONS {
        out.push_str(&format!("\n## {title}\n"));
        for provider in PROVIDERS.iter().filter(|p| p.side == *side) {
            out.push_str(&one(provider));
        }
    }
    out
}

fn one(p: &Provider) -> String {
    let mut out = format!("\n### `{}`\n\n", p.name);
    for form in p.forms {
        out.push_str(&format!("    {form}\n"));
    }
    out.push_str(&format!("\n{}\n", p.doc.trim()));
    if !p.aliases.is_empty() {
        let names: Vec<String> = p.aliases.iter().map(|a| format!("`{a}`")).collect();
        out.push_str(&format!("\nAlso written {}.\n", names.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_in_the_document() {
        let text = text();
        for p in PROVIDERS {
            assert!(text.contains(&format!("### `{}`", p.name)), "{}", p.name);
        }
    }
}
