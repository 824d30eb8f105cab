//! From the syntax tree to the typed script: macros, C declarations, probes, names, types, constants.

pub mod call;
mod cdecl;
mod consts;
mod display;
pub mod dump;
mod imports;
mod infer;
mod macros;
pub mod params;
mod probes;
mod scope;
mod state;
mod stdlib;
pub mod store;
mod value;
mod walk;

pub use dump::dump;
pub use infer::operands_signed;
pub(crate) use infer::parse_number;

use crate::builtins;
use crate::compile::Options;
use crate::config::Config;
use crate::facts::{ArgSet, Facts, Target};
use crate::typed::{Const, DeclaredKind, Typed, TypedProbe, Uses, VarId};
use crate::types::{Space, Type};
use fathom_syntax::ast::*;
use fathom_syntax::diag::{has_errors, Diagnostic};
use fathom_syntax::source::SourceMap;
use fathom_syntax::span::Span;
use imports::Sources;
use infer::{Env, Infer, SubprogHead};
use macros::Expander;
use scope::Resolver;
use state::State;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use store::TypeStore;

/// Most rounds of inference; types only grow, so that far fewer are needed.
const MAX_ROUNDS: u32 = 64;

/// The clause that is being analysed.
#[derive(Clone, Debug, Default)]
pub struct ProbeContext {
    /// Number of the clause in the script, from 0.
    pub clause: u32,
    /// What it attaches to.
    pub targets: Vec<Target>,
    /// The arguments.
    pub args: Arc<ArgSet>,
    /// Where the clause stands.
    pub span: Span,
}

impl ProbeContext {
    /// Whether all targets are of one of these providers (canonical names).
    pub fn only(&self, providers: &[&str]) -> bool {
        self.targets.iter().all(|t| providers.contains(&t.provider))
    }
    /// Canonical names of the providers, each once.
    pub fn providers(&self) -> Vec<&'static str> {
        let mut out: Vec<&'static str> = self.targets.iter().map(|t| t.provider).collect();
        out.sort_unstable();
        out.dedup();
        out
    }
    /// Where addresses that come as plain integers lie: user memory for probes in user programs.
    pub fn default_space(&self) -> Space {
        default_space(&self.targets)
    }
}

/// Where addresses that come as plain integers lie in a clause with these targets.
pub fn default_space(targets: &[Target]) -> Space {
    match targets.first() {
        Some(t) if matches!(t.provider, "uprobe" | "uretprobe" | "usdt") => Space::User,
        _ => Space::Kernel,
    }
}

/// Where a number that is used as an address lies: user memory when it comes from a system call's arguments, else by the probe.
pub fn space_of_address(e: &Expr, probe: Option<&ProbeContext>) -> Space {
    space_in(e, probe.map_or(&[], |p| &p.targets))
}

/// Like [`space_of_address`], by the targets of a clause.
pub fn space_in(e: &Expr, targets: &[Target]) -> Space {
    let syscall = |t: &Target| t.name.starts_with("tracepoint:syscalls:sys_enter_");
    let mut from_args = false;
    walk::expr(e, &mut |e| from_args |= matches!(&e.kind, ExprKind::Ident(n) if n == "args"));
    if from_args && targets.iter().any(syscall) {
        return Space::User;
    }
    default_space(targets)
}

/// The name most like `name`, if one is close enough to be what was meant.
pub fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = (name.len() / 3).clamp(1, 3);
    let close = names.filter(|n| *n != name && n.len().abs_diff(name.len()) <= limit);
    let ranked = close.map(|n| (distance(name, n), n.len().abs_diff(name.len()), n));
    ranked.filter(|(d, _, _)| *d <= limit).min().map(|(_, _, n)| n)
}

/// Edit distance, where swapping two neighbours counts once.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: [Vec<usize>; 3] = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        let [before, last, row] = &mut rows;
        row[0] = i;
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

/// A clause, once for each kind of arguments.
struct Clause {
    probe: ProbeContext,
    predicate: Option<Expr>,
    body: Block,
}

/// Analyses a script. `store` gets its C declarations. The result is meaningful if there are no errors among the diagnostics; its
/// expansions are those that the diagnostics refer to in any case.
pub fn analyse(
    script: &Script,
    sources: &mut SourceMap,
    store: &mut TypeStore<'_>,
    facts: &dyn Facts,
    options: &Options,
) -> (Typed, Vec<Diagnostic>) {
    let mut diags = Vec::new();
    let mut config = Config::default();
    if let Some(block) = &script.config {
        config.apply_block(block, &mut diags);
    }
    for (key, value) in &options.config {
        config.apply_text(key, value, &mut diags);
    }
    let loaded = Sources::load(script, sources, store, facts, options, &mut diags);
    if has_errors(&diags) {
        // What the declarations lack would only show again in every use.
        return (Typed { config, ..Typed::default() }, diags);
    }
    let (clauses, typed) = expand(&loaded, &config, facts, options, &mut diags);
    let typed = Analysis { store, facts, options, config, loaded, diags: &mut diags }.run(clauses, typed);
    diags.sort_by_key(|d| d.severity);
    (typed, diags)
}

/// Expands macros and resolves attach points.
fn expand(
    loaded: &Sources,
    config: &Config,
    facts: &dyn Facts,
    options: &Options,
    diags: &mut Vec<Diagnostic>,
) -> (Vec<Clause>, Typed) {
    let is_builtin =
        |name: &str| builtins::find(name).is_some() || loaded.subprogs.iter().any(|s| s.name == name);
    let mut expander = Expander::new(loaded.ids.clone(), &loaded.macros, &is_builtin);
    let mut clauses = Vec::new();
    {
        let mut attaching = probes::Attaching::new(facts, config, options, diags);
        for (i, probe) in loaded.probes.iter().enumerate() {
            let predicate = probe.predicate.as_ref().map(|p| expander.expr(p));
            let body = expander.block(&probe.body);
            let named = probes::Named::by(predicate.as_ref(), &body);
            let Some(targets) = attaching.clause(probe, &named) else { continue };
            let mut groups = probes::split(i as u32, probe.span, targets, &named);
            if groups.is_empty() {
                groups.push(ProbeContext { clause: i as u32, span: probe.span, ..ProbeContext::default() });
            }
            let last = groups.len() - 1;
            for (n, probe) in groups.into_iter().enumerate() {
                let (predicate, body) = if n == last && n == 0 {
                    (predicate.clone(), body.clone())
                } else {
                    (predicate.as_ref().map(|p| expander.clone_expr(p)), expander.clone_block(&body))
                };
                clauses.push(Clause { probe, predicate, body });
            }
        }
        if clauses.is_empty() && loaded.subprogs.is_empty() && !has_errors(attaching.diags) {
            attaching.diags.push(Diagnostic::error_anywhere("No probes to attach"));
        }
    }
    let subprogs = loaded
        .subprogs
        .iter()
        .map(|s| Subprog {
            params: s
                .params
                .iter()
                .map(|p| SubprogParam { ty: expander.type_expr(&p.ty), ..p.clone() })
                .collect(),
            ret: s.ret.as_ref().map(|t| expander.type_expr(t)),
            body: expander.block(&s.body),
            ..s.clone()
        })
        .collect();
    diags.append(&mut expander.diags);
    let typed = Typed { subprogs, expansions: expander.expansions, ..Typed::default() };
    (clauses, typed)
}

struct Analysis<'a, 'f> {
    store: &'a TypeStore<'f>,
    facts: &'a dyn Facts,
    options: &'a Options,
    config: Config,
    loaded: Sources,
    diags: &'a mut Vec<Diagnostic>,
}

impl Analysis<'_, '_> {
    fn run(mut self, mut clauses: Vec<Clause>, mut typed: Typed) -> Typed {
        let mut st = State { max_strlen: self.config.max_strlen(), ..State::default() };
        self.declare_maps(&mut st, &clauses, &typed.subprogs);
        let mut heads: Vec<SubprogHead> = Vec::new();
        for s in &typed.subprogs {
            let mut r = Resolver::new(&mut st, self.diags);
            let params = s.params.iter().map(|p| r.declare(&p.name)).collect();
            r.block(&s.body);
            heads.push(SubprogHead { name: s.name.clone(), params, ret: Type::Unknown });
        }
        for c in &clauses {
            let mut r = Resolver::new(&mut st, self.diags);
            if let Some(p) = &c.predicate {
                r.expr(p);
            }
            r.block(&c.body);
        }
        let uses = self.infer(&mut st, &clauses, &mut typed, &mut heads);
        self.finish_options(&st);
        self.finish_maps(&mut st);
        for c in &mut clauses {
            walk::prune_block(&mut c.body, &st.consts);
            if let Some(p) = &mut c.predicate {
                walk::prune(p, &st.consts);
            }
        }
        for s in &mut typed.subprogs {
            walk::prune_block(&mut s.body, &st.consts);
        }
        self.diags.append(&mut st.diags);
        let mut seen = HashSet::new();
        self.diags.retain(|d| seen.insert((d.span, d.message.clone())));
        typed.probes = clauses.into_iter().zip(uses).map(|(c, uses)| finish_clause(c, uses)).collect();
        typed.types = st.types;
        typed.consts = st.consts;
        typed.vars = st.var_of;
        typed.var_infos = st.vars.into_iter().map(|v| v.info).collect();
        typed.maps = st.maps.into_iter().map(|m| m.info).collect();
        typed.map_by_name = st.map_by_name;
        typed.options = st.options;
        typed.subprog_vars = heads.iter().map(|h| h.params.clone()).collect();
        typed.subprog_rets = heads.into_iter().map(|h| h.ret).collect();
        typed.config = self.config;
        typed
    }

    /// The rounds of inference; gives what each clause uses.
    fn infer(
        &mut self,
        st: &mut State,
        clauses: &[Clause],
        typed: &mut Typed,
        heads: &mut [SubprogHead],
    ) -> Vec<Uses> {
        let macro_names: Vec<String> = self.loaded.macros.iter().map(|m| m.def.name.clone()).collect();
        let env = Env {
            facts: self.facts,
            config: &self.config,
            options: self.options,
            store: self.store,
            defines: &self.loaded.defines,
            macro_names: &macro_names,
        };
        // Subprograms have their types from their heads.
        for (s, head) in typed.subprogs.iter().zip(heads.iter_mut()) {
            st.is_final = true;
            let mut inf = Infer::new(env, st, &[]);
            let types: Vec<Type> = s.params.iter().map(|p| inf.declared_type(&p.ty)).collect();
            head.ret = s.ret.as_ref().map_or(Type::Void, |t| inf.declared_type(t));
            for (&VarId(v), ty) in head.params.iter().zip(types) {
                let slot = &mut st.vars[v as usize];
                slot.declared = true;
                slot.info.ty = ty;
            }
        }
        st.is_final = false;
        let mut uses = Vec::new();
        for round in 0..=MAX_ROUNDS {
            st.changed = false;
            let mut inf = Infer::new(env, st, heads);
            for (s, head) in typed.subprogs.iter().zip(heads.iter()) {
                inf.subprog(&s.body, &head.ret);
            }
            uses = clauses.iter().map(|c| inf.clause(&c.probe, c.predicate.as_ref(), &c.body)).collect();
            typed.builtins = inf.builtins;
            typed.subprog_calls = inf.subprog_calls;
            if st.is_final {
                break;
            }
            let settled = !st.changed;
            let unknown = st.maps.iter().any(|m| m.assigned && m.info.value == Type::Unknown);
            if settled && unknown && !st.guess {
                st.guess = true;
            } else if settled || round + 1 >= MAX_ROUNDS {
                st.is_final = true;
            }
        }
        uses
    }

    /// `let @m = kind(n);`, and which maps are mentioned at all.
    fn declare_maps(&mut self, st: &mut State, clauses: &[Clause], subprogs: &[Subprog]) {
        let mut mentioned: HashSet<String> = HashSet::new();
        let mut look = |e: &Expr| {
            if let ExprKind::Map(name) = &e.kind {
                mentioned.insert(name.clone());
            }
        };
        for c in clauses {
            if let Some(p) = &c.predicate {
                walk::expr(p, &mut look);
            }
            walk::block(&c.body, &mut look);
        }
        for s in subprogs {
            walk::block(&s.body, &mut look);
        }
        let mut declared: HashMap<String, Span> = HashMap::new();
        for d in std::mem::take(&mut self.loaded.map_decls) {
            if let Some(first) = declared.insert(d.name.clone(), d.span) {
                let text = format!("Redeclaration of existing map {}", d.name);
                self.diags.push(Diagnostic::error(d.span, text).note(first, "first declared here"));
                continue;
            }
            let Some(kind) = DeclaredKind::ALL.into_iter().find(|k| k.name() == d.kind) else {
                let text = format!("Invalid bpf map type: {}", d.kind);
                let hint = "valid map types: hash, lruhash, percpuhash, percpulruhash";
                self.diags.push(Diagnostic::error(d.kind_span, text).hint(hint));
                continue;
            };
            let Some(entries) = self.entries(&d.max_entries) else { continue };
            if !mentioned.contains(&d.name) {
                self.diags.push(Diagnostic::warning(d.span, format!("Unused map: {}", d.name)));
                continue;
            }
            let index = st.map(&d.name, d.span);
            st.maps[index.0 as usize].info.declared = Some((kind, entries));
        }
    }

    fn entries(&mut self, e: &Expr) -> Option<u32> {
        let n = match &e.kind {
            ExprKind::Int { value, .. } => i128::from(*value),
            ExprKind::Positional(n) => self.options.positional(*n).and_then(infer::parse_number).unwrap_or(0),
            ExprKind::Ident(name) => match self.loaded.defines.get(name) {
                Some(infer::Define::Int(n)) => *n,
                _ => self.store.constant(name).map_or(0, |(_, n)| i128::from(n)),
            },
            _ => 0,
        };
        let n = u32::try_from(n).ok().filter(|n| *n > 0);
        if n.is_none() {
            self.diags.push(Diagnostic::error(
                e.span,
                "The size of a map is a number of entries from 1 to 4294967295",
            ));
        }
        n
    }

    /// Maps that never got a value.
    fn finish_maps(&mut self, st: &mut State) {
        let failed = has_errors(self.diags) || has_errors(&st.diags);
        for slot in &mut st.maps {
            if let Some((kind, _)) = slot.info.declared.filter(|(kind, _)| {
                slot.info.value != Type::Unknown && kind.is_per_cpu() != slot.info.agg().is_some()
            }) {
                let needs = if slot.info.agg().is_some() { "percpuhash" } else { "hash" };
                let text = format!(
                    "Incompatible map types. Type from declaration: {}. Type from value/key type: {needs}",
                    kind.name()
                );
                self.diags.push(Diagnostic::error(slot.info.span, text));
            }
            if slot.info.value == Type::Unknown {
                if !failed && !slot.assigned {
                    let text = format!("Undefined map: {}", slot.info.name);
                    self.diags.push(Diagnostic::error(slot.info.span, text));
                } else if !failed {
                    let text =
                        format!("The type of {} cannot be told from what is assigned to it", slot.info.name);
                    self.diags.push(Diagnostic::error(slot.info.span, text));
                }
            }
        }
        for slot in &mut st.vars {
            if slot.info.ty == Type::Unknown {
                slot.info.ty = Type::I64; // never assigned: zero
            }
        }
    }

    /// `--name` options of the command line that the script does not have, and `--help`.
    fn finish_options(&mut self, st: &State) {
        let known = |name: &str| st.options.iter().any(|(n, _, _)| n == name);
        let help = self.options.named.iter().any(|(n, _)| n == "help") && !known("help");
        let unknown: Vec<String> =
            self.options.named.iter().filter(|(n, _)| !known(n)).map(|(n, _)| format!("--{n}")).collect();
        if unknown.is_empty() {
            return;
        }
        let text = if help {
            "--help lists the program's options; nothing was traced".to_string()
        } else {
            format!("unexpected program command line options: {}", unknown.join(", "))
        };
        let mut d = Diagnostic::error_anywhere(text);
        d = if st.options.is_empty() {
            d.hint("the program has no options")
        } else {
            d.hint("expected program options:")
        };
        for (name, _, description) in &st.options {
            let more = if description.is_empty() { String::new() } else { format!(": {description}") };
            d = d.context(format!("    --{name}{more}"));
        }
        if help {
            self.diags.clear();
        }
        self.diags.push(d);
    }
}

fn finish_clause(c: Clause, uses: Uses) -> TypedProbe {
    let returns_value = c.probe.targets.iter().any(|t| matches!(t.provider, "test" | "end"));
    TypedProbe {
        clause: c.probe.clause,
        targets: c.probe.targets,
        args: c.probe.args,
        predicate: c.predicate,
        body: c.body,
        span: c.probe.span,
        uses,
        returns_value,
    }
}

/// The C integer types by name, for declarations.
fn infer_integer(name: &str) -> Option<(u8, bool)> {
    infer::integer(name)
}

/// A constant as text, for the dump.
fn const_text(c: &Const) -> String {
    match c {
        Const::Int(n) => n.to_string(),
        Const::Str(s) => format!("{:?}", String::from_utf8_lossy(s)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
