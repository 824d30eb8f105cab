//! Attach points: parameters, what they stand for, filters, limits, and clauses whose targets differ in their arguments.

use super::walk;
use super::ProbeContext;
use crate::compile::{Mode, Options};
use crate::config::{Config, MissingProbes};
use crate::facts::{ArgNames, ArgSet, Context, Facts, ProbeRequest, Target};
use crate::types::CTypeId;
use fathom_codegen::program::Refusal;
use fathom_syntax::ast::{AttachPoint, Block, Expr, ExprKind, Probe};
use fathom_syntax::diag::Diagnostic;
use regex_lite::Regex;
use std::collections::HashSet;
use std::sync::Arc;

/// Resolves the attach points of all clauses.
pub struct Attaching<'a> {
    /// The outside world.
    pub facts: &'a dyn Facts,
    /// Settings.
    pub config: &'a Config,
    /// Command line.
    pub options: &'a Options,
    /// Reports.
    pub diags: &'a mut Vec<Diagnostic>,
    filter: Option<Regex>,
    total: u64,
    /// An attach point of the current clause is wrong in itself.
    malformed: bool,
    /// What the current clause names.
    names: ArgNames,
}

/// Providers that are no events but stages of a run: no filter removes them.
const STAGES: &[&str] = &["begin", "end"];

impl<'a> Attaching<'a> {
    /// Reads the filter.
    pub fn new(
        facts: &'a dyn Facts,
        config: &'a Config,
        options: &'a Options,
        diags: &'a mut Vec<Diagnostic>,
    ) -> Attaching<'a> {
        let filter = options.probe_filter.as_deref().and_then(|text| match Regex::new(text) {
            Ok(r) => Some(r),
            Err(why) => {
                diags.push(Diagnostic::error_anywhere(format!("Invalid probe filter '{text}': {why}")));
                None
            }
        });
        Attaching {
            facts,
            config,
            options,
            diags,
            filter,
            total: 0,
            malformed: false,
            names: ArgNames::default(),
        }
    }

    /// The targets of a clause; `None` when the clause is to be left out.
    pub fn clause(&mut self, probe: &Probe, named: &Named) -> Option<Vec<Target>> {
        let mut targets: Vec<Target> = Vec::new();
        let before = self.diags.iter().filter(|d| d.is_error()).count();
        self.malformed = false;
        self.names = named.args;
        let mut found = 0;
        // A probe may be in several places of a program under one name.
        let mut seen: HashSet<(String, String)> = HashSet::new();
        for ap in &probe.attach_points {
            let new = self.attach_point(ap);
            found += new.len();
            for t in new.into_iter().filter(|t| self.wanted(t)) {
                let place = t.carriers.first().map_or_else(String::new, |c| format!("{:?}", c.how));
                if seen.insert((t.name.clone(), place)) || STAGES.contains(&t.provider) {
                    targets.push(t);
                }
            }
        }
        let failed = self.diags.iter().filter(|d| d.is_error()).count() > before;
        // A pattern that matches nothing leaves a clause without a probe; a plain name was reported by itself.
        let wildcard = probe.attach_points.iter().any(|a| a.raw.contains('*'));
        if found == 0 && (!failed || (!self.malformed && wildcard)) {
            let span = probe.attach_points.first().map_or(probe.span, |a| a.span);
            match self.config.missing_probes {
                MissingProbes::Error => {
                    self.diags.push(Diagnostic::error(span, "Probe has no valid attach points."));
                    return Some(Vec::new());
                }
                _ => {
                    let text = "Probe has no valid attach points. It is being removed which may cause issues with program behavior.";
                    self.diags.push(Diagnostic::warning(span, text));
                    return None;
                }
            }
        }
        if targets.is_empty() && !failed {
            return None;
        }
        self.total += targets.len() as u64;
        if self.total > self.config.max_probes {
            let span = probe.attach_points.first().map_or(probe.span, |a| a.span);
            let text = format!(
                "Can't attach to {} probes because it exceeds the current limit of {} probes.",
                self.total, self.config.max_probes
            );
            self.diags.push(
                Diagnostic::error(span, text)
                    .hint("raise max_probes in the config block or BPFTRACE_MAX_PROBES; many probes slow the system down"),
            );
            self.total = 0;
        }
        Some(targets)
    }

    fn wanted(&self, t: &Target) -> bool {
        let in_mode = match t.provider {
            "test" => self.options.mode == Mode::Test,
            "bench" => self.options.mode == Mode::Bench,
            _ => true,
        };
        let passes = STAGES.contains(&t.provider) || self.filter.as_ref().is_none_or(|f| f.is_match(&t.name));
        in_mode && passes
    }

    fn attach_point(&mut self, ap: &AttachPoint) -> Vec<Target> {
        let Some(request) = self.request(ap) else { return Vec::new() };
        let mut resolution = self.facts.resolve(&request);
        let refusal = match self.config.missing_probes {
            MissingProbes::Error if request.parts.iter().any(|p| p.contains('*')) => Refusal::Warn,
            MissingProbes::Error => Refusal::Error,
            MissingProbes::Warn => Refusal::Warn,
            MissingProbes::Ignore => Refusal::Ignore,
        };
        resolution.targets.iter_mut().for_each(|t| t.refusal = refusal);
        for w in resolution.warnings {
            self.diags.push(Diagnostic::warning(ap.span, w));
        }
        if let Some(e) = resolution.error {
            self.malformed = true;
            let d = Diagnostic::error(ap.span, e.message);
            self.diags.push(match e.hint {
                Some(h) => d.hint(h),
                None => d,
            });
            return Vec::new();
        }
        if let Some(text) = resolution.missing {
            let d = match self.config.missing_probes {
                MissingProbes::Error => Diagnostic::error(ap.span, text)
                    .hint("if this is expected, set missing_probes to warn or ignore in the config block"),
                MissingProbes::Warn => Diagnostic::warning(ap.span, format!("{text} Skipping.")),
                MissingProbes::Ignore => return resolution.targets,
            };
            self.diags.push(d);
        }
        resolution.targets
    }

    /// The attach point with its parameters replaced.
    fn request(&mut self, ap: &AttachPoint) -> Option<ProbeRequest> {
        let mut parts: Vec<String> = Vec::new();
        let mut changed = false;
        for part in &ap.parts {
            if part.quoted || !part.text.contains('$') {
                parts.push(part.text.clone());
                continue;
            }
            match substitute(&part.text, self.options) {
                Ok(text) => {
                    changed = true;
                    parts.extend(text.split(':').map(str::to_string));
                }
                Err(why) => {
                    self.malformed = true;
                    self.diags.push(Diagnostic::error(ap.span, why));
                    return None;
                }
            }
        }
        let raw = if changed { parts.join(":") } else { ap.raw.clone() };
        Some(ProbeRequest {
            raw,
            parts,
            pid: self.options.pid,
            allow_unsafe: self.options.allow_unsafe,
            names: self.names,
        })
    }
}

/// Replaces `$N` within a text.
fn substitute(text: &str, options: &Options) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if digits.is_empty() {
            return Err(
                "'$' in an attach point is a parameter such as $1; put a name that holds it in quotes".into(),
            );
        }
        rest = rest.get(digits.len()..).unwrap_or("");
        let n: u32 = digits.parse().unwrap_or(u32::MAX);
        match options.positional(n) {
            Some(value) => out.push_str(value),
            None => return Err(format!("Positional parameter ${n} of the attach point was not provided")),
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// What a clause, its macros expanded, names of its probe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named {
    /// Arguments and return value.
    pub args: ArgNames,
    /// `ctx`
    pub ctx: bool,
}

impl Named {
    /// Looks through predicate and body.
    pub fn by(predicate: Option<&Expr>, body: &Block) -> Named {
        let mut named = Named::default();
        let mut look = |e: &Expr| {
            if let ExprKind::Ident(name) | ExprKind::Call { name, .. } = &e.kind {
                match name.strip_prefix("__builtin_").unwrap_or(name) {
                    "args" => named.args.args = true,
                    "retval" => named.args.retval = true,
                    "ctx" => named.ctx = true,
                    _ => {}
                }
            }
        };
        if let Some(p) = predicate {
            walk::expr(p, &mut look);
        }
        walk::block(body, &mut look);
        named
    }
}

/// What targets must have in common to share a body.
#[derive(PartialEq)]
struct Shared {
    args: Option<Arc<ArgSet>>,
    ctx: Option<CTypeId>,
    is_user: bool,
}

/// Splits the targets of a clause into groups that see the same types.
pub fn split(
    clause: u32,
    probe_span: fathom_syntax::span::Span,
    targets: Vec<Target>,
    named: &Named,
) -> Vec<ProbeContext> {
    let args = named.args.args || named.args.retval;
    let mut groups: Vec<(Shared, ProbeContext)> = Vec::new();
    for t in targets {
        let typed = t.carriers.iter().find_map(|c| match c.context {
            Context::Typed { ty } => Some(ty),
            _ => None,
        });
        let shared = Shared {
            args: args.then(|| t.args.clone()),
            ctx: typed.filter(|_| named.ctx),
            is_user: super::default_space(std::slice::from_ref(&t)) == crate::types::Space::User,
        };
        match groups.iter_mut().find(|(s, _)| *s == shared) {
            Some((_, group)) => group.targets.push(t),
            None => {
                let args = t.args.clone();
                groups.push((shared, ProbeContext { clause, args, targets: vec![t], span: probe_span }));
            }
        }
    }
    groups.into_iter().map(|(_, g)| g).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_replaced_anywhere() {
        let options = Options { positional: vec!["i:ms:1".into(), "x".into()], ..Options::default() };
        assert_eq!(substitute("$1", &options).unwrap(), "i:ms:1");
        assert_eq!(substitute("a$2b", &options).unwrap(), "axb");
        assert!(substitute("$3", &options).is_err());
        assert!(substitute("a$b", &options).is_err());
    }
}
