//! Scripts and what the analysis says about them.

mod diagnostics;
pub(crate) mod fixture;
mod typing;

use crate::compile::{check, Compilation, Options, Source};
use fixture::Fixture;

/// Analyses a script of the fixture's world.
fn analyse_with(text: &str, options: &Options) -> Compilation {
    let source = Source { name: "stdin".into(), text: text.into() };
    check(&source, &Fixture::new(), options)
}

/// All messages as `LINE:C1-C2 text`.
fn messages(c: &Compilation) -> Vec<String> {
    c.diagnostics
        .iter()
        .map(|d| {
            let place = d
                .span
                .map_or(String::new(), |s| c.sources.location(s).trim_start_matches("stdin:").to_string());
            format!("{place} {}", d.message)
        })
        .collect()
}

/// The types of maps and variables: `@a[int8]: int8`, `$x: int64`.
fn types(text: &str) -> String {
    types_with(text, &Options::default())
}

fn types_with(text: &str, options: &Options) -> String {
    let c = analyse_with(text, options);
    assert!(!c.failed(), "{text}: {:?}", messages(&c));
    let typed = c.typed.expect("analysed");
    let maps = typed.maps.iter().map(|m| {
        let key = m.key.as_ref().map_or(String::new(), |k| format!("[{k}]"));
        format!("{}{key}: {}", m.name, m.value)
    });
    let vars = typed.var_infos.iter().map(|v| format!("{}: {}", v.name, v.ty));
    maps.chain(vars).collect::<Vec<_>>().join("; ")
}

/// The first error of a script.
fn error(text: &str) -> String {
    error_with(text, &Options::default())
}

fn error_with(text: &str, options: &Options) -> String {
    let c = analyse_with(text, options);
    let all = messages(&c);
    match c.diagnostics.iter().position(|d| d.is_error()) {
        Some(i) => all[i].clone(),
        None => panic!("no error in {text}: {all:?}"),
    }
}

/// All warnings of a script that has no errors.
fn warnings(text: &str) -> Vec<String> {
    let c = analyse_with(text, &Options::default());
    assert!(!c.failed(), "{text}: {:?}", messages(&c));
    messages(&c)
}

/// Constants of all `print` arguments.
fn printed(text: &str, options: &Options) -> Vec<String> {
    let c = analyse_with(text, options);
    assert!(!c.failed(), "{text}: {:?}", messages(&c));
    let typed = c.typed.expect("analysed");
    let mut out = Vec::new();
    for p in &typed.probes {
        super::walk::block(&p.body, &mut |e| {
            if let fathom_syntax::ast::ExprKind::Call { name, args, .. } = &e.kind {
                if name == "print" {
                    out.extend(args.iter().filter_map(|a| typed.constant(a)).map(super::const_text));
                }
            }
        });
    }
    out
}
