//! `fathom list`, `-l`: what can be probed.

use super::{kernel_facts, read_script};
use crate::args::ListOptions;
use crate::{exit, output};
use fathom_lang::facts::{Facts, ProbeRequest};
use fathom_probes::{list, KernelFacts};
use fathom_syntax::ast::Item;
use fathom_syntax::span::FileId;

/// Runs the command.
pub fn run(options: &ListOptions) -> u8 {
    let facts = kernel_facts(&options.kernel, None);
    if let Some(script) = &options.script {
        return match read_script(script) {
            Ok((_, text)) => output::print(&lines(&of_script(&facts, &text, options))),
            Err(message) => {
                output::complain(message);
                exit::USAGE
            }
        };
    }
    if let Some(pattern) = &options.pattern {
        // A pattern that looks like a script's name is probably a misspelled one.
        if pattern.ends_with(".bt") {
            output::complain(format_args!(
                "WARNING: It appears that '{pattern}' is a filename but the file does not exist. Treating '{pattern}' as a search pattern."
            ));
        }
    }
    let found = list::list(&facts, options.pattern.as_deref(), options.pid, options.verbose);
    let provider = options.pattern.as_deref().and_then(|p| p.split(':').next()).unwrap_or("*");
    if matches!(provider, "tracepoint" | "t" | "*") {
        if let Err(why) = facts.find_tracefs() {
            output::complain(format_args!("WARNING: tracepoints are not listed: {why}"));
        }
    }
    output::print(&lines(&found))
}

fn lines(lines: &[String]) -> String {
    lines.iter().flat_map(|l| [l.as_str(), "\n"]).collect()
}

/// The probes that a script's attach points stand for.
fn of_script(facts: &KernelFacts, text: &str, options: &ListOptions) -> Vec<String> {
    let (script, _) = fathom_syntax::parse(text, FileId::default());
    let mut out = Vec::new();
    for item in &script.items {
        let Item::Probe(probe) = item else { continue };
        for ap in &probe.attach_points {
            let request = ProbeRequest {
                raw: ap.raw.clone(),
                parts: ap.parts.iter().map(|p| p.text.clone()).collect(),
                pid: options.pid,
                ..ProbeRequest::default()
            };
            out.extend(facts.resolve(&request).targets.into_iter().map(|t| t.name));
        }
    }
    out
}
