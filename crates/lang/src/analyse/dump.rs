//! The typed script as text, for `-d types` and tests: maps, variables, then each clause with the types of its expressions.

use super::const_text;
use super::walk;
use crate::typed::Typed;
use crate::types::Type;
use fathom_syntax::ast::{Expr, ExprKind};
use fathom_syntax::source::SourceMap;
use std::fmt::Write;

/// The dump.
pub fn dump(typed: &Typed, sources: &SourceMap) -> String {
    let mut out = String::new();
    for m in &typed.maps {
        let key = m.key.as_ref().map_or(String::new(), |k| format!("[{k}]"));
        let declared = m.declared.map_or(String::new(), |(kind, n)| format!(" {kind:?}({n})"));
        let _ = writeln!(out, "map {}{key}: {}{declared}", m.name, m.value);
    }
    for v in &typed.var_infos {
        let flags = [(v.captured, " captured"), (v.address_taken, " address taken")];
        let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, text)| *text).collect();
        let _ = writeln!(out, "var {}: {}{flags}", v.name, v.ty);
    }
    for p in &typed.probes {
        let names: Vec<&str> = p.targets.iter().take(4).map(|t| t.name.as_str()).collect();
        let more =
            if p.targets.len() > 4 { format!(" and {} more", p.targets.len() - 4) } else { String::new() };
        let _ = writeln!(out, "probe {}{more}", names.join(", "));
        let mut show = |e: &Expr| line(&mut out, typed, sources, e);
        if let Some(pred) = &p.predicate {
            walk::expr(pred, &mut show);
        }
        walk::block(&p.body, &mut show);
    }
    out
}

fn line(out: &mut String, typed: &Typed, sources: &SourceMap, e: &Expr) {
    let ty = typed.ty(e);
    if *ty == Type::Unknown && !matches!(e.kind, ExprKind::Error) {
        return;
    }
    let text = sources.text(e.span).split_whitespace().collect::<Vec<_>>().join(" ");
    let constant = typed.constant(e).map_or(String::new(), |c| format!(" = {}", const_text(c)));
    let _ = writeln!(out, "  {text}: {ty}{constant}");
}
