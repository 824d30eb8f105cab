//! All files of a script: imports, headers, the standard library; merged into one list of probes, macros, maps and subprograms.

use super::cdecl::{Headers, Preprocessed};
use super::infer::Define;
use super::macros::MacroDef;
use super::stdlib;
use super::store::TypeStore;
use crate::compile::Options;
use crate::facts::Facts;
use fathom_syntax::ast::*;
use fathom_syntax::diag::{has_errors, Diagnostic};
use fathom_syntax::parse::{parse, parse_expr};
use fathom_syntax::source::SourceMap;
use fathom_syntax::span::{FileId, Span};
use std::collections::{HashMap, HashSet};

/// What all files of a script define.
#[derive(Debug, Default)]
pub struct Sources {
    /// Clauses, those of imported files first.
    pub probes: Vec<Probe>,
    /// Macros of the script, its imports and the standard library.
    pub macros: Vec<MacroDef>,
    /// Map declarations.
    pub map_decls: Vec<MapDecl>,
    /// Subprograms.
    pub subprogs: Vec<Subprog>,
    /// Constants.
    pub defines: HashMap<String, Define>,
    /// Ids from here on are free.
    pub ids: NodeIds,
}

struct Loader<'a, 'f> {
    sources: &'a mut SourceMap,
    headers: Headers<'a, 'f>,
    facts: &'a dyn Facts,
    out: Sources,
    seen: HashSet<String>,
}

impl Sources {
    /// Reads everything that a script imports and includes.
    pub fn load(
        script: &Script,
        sources: &mut SourceMap,
        store: &mut TypeStore<'_>,
        facts: &dyn Facts,
        options: &Options,
        diags: &mut Vec<Diagnostic>,
    ) -> Sources {
        let name = sources.file(FileId(0)).map_or(String::new(), |f| f.name().to_string());
        // The store lives as long as the facts it was made from; headers only ask `facts` while they are read.
        let headers = Headers {
            store,
            facts,
            diags,
            out: Preprocessed::default(),
            seen: HashSet::new(),
            has_system: false,
            conditions: Vec::new(),
        };
        let mut loader = Loader { sources, headers, facts, out: Sources::default(), seen: HashSet::new() };
        for include in &options.includes {
            loader.headers.has_system = true;
            loader.headers.header(include, None, &name);
        }
        let (file, text) = stdlib::BASE;
        loader.stdlib(file, text);
        loader.script(script, &name, false);
        loader.text_macros();
        let mut out = loader.out;
        out.defines = loader.headers.out.defines;
        // Expansion copies every node, so that ids of different files never meet.
        out.ids = NodeIds::default();
        out
    }
}

impl Loader<'_, '_> {
    fn script(&mut self, script: &Script, file: &str, is_stdlib: bool) {
        for item in &script.c_items {
            self.headers.item(item, file);
        }
        for import in &script.imports {
            self.import(import, file);
        }
        for item in &script.items {
            match item {
                Item::Probe(p) => self.out.probes.push(p.clone()),
                Item::Macro(m) => self.out.macros.push(MacroDef { def: m.clone(), is_stdlib }),
                Item::MapDecl(d) => self.out.map_decls.push(d.clone()),
                Item::Subprog(s) => self.out.subprogs.push(s.clone()),
            }
        }
    }

    fn stdlib(&mut self, file: &str, text: &str) {
        if self.seen.insert(file.to_string()) {
            self.text(file, text, true);
        }
    }

    fn text(&mut self, file: &str, text: &str, is_stdlib: bool) {
        let id = self.sources.add_file(file, text);
        let (script, mut diags) = parse(text, id);
        self.headers.diags.append(&mut diags);
        if let Some(config) = &script.config {
            let text = "The config block of an imported file has no effect";
            self.headers.diags.push(Diagnostic::warning(config.span, text));
        }
        self.script(&script, file, is_stdlib);
    }

    fn import(&mut self, import: &Import, from: &str) {
        if let Some((file, text)) = stdlib::part(&import.path) {
            return self.stdlib(file, text);
        }
        if import.path.starts_with("stdlib/") {
            let parts: Vec<&str> = stdlib::parts().collect();
            let d = Diagnostic::error(
                import.span,
                format!("There is no '{}' in the standard library", import.path),
            );
            self.headers.diags.push(d.hint(format!("there are: {}", parts.join(", "))));
            return;
        }
        let files = match self.facts.read_import(&import.path, Some(from)) {
            Ok(files) => files,
            Err(why) => {
                let text = format!("Unable to import '{}': {why}", import.path);
                self.headers.diags.push(Diagnostic::error(import.span, text));
                return;
            }
        };
        for (name, text) in files {
            if !self.seen.insert(name.clone()) {
                continue;
            }
            if name.ends_with(".h") {
                self.headers.text(&text, import.span, &name);
            } else if name.ends_with(".bt") {
                self.text(&name, &text, false);
            } else {
                let text = format!("Cannot import '{name}': only .bt and .h files can be imported");
                self.headers.diags.push(Diagnostic::error(import.span, text));
            }
        }
    }

    /// `#define`s that are no constants become macros of the script, if they are expressions of the language.
    fn text_macros(&mut self) {
        for m in std::mem::take(&mut self.headers.out.macros) {
            if self.out.macros.iter().any(|o| !o.is_stdlib && o.def.name == m.name) {
                continue;
            }
            let mut ids = NodeIds::default();
            let (mut value, diags) = parse_expr(&m.body, m.span.file, &mut ids);
            if has_errors(&diags) {
                continue; // a macro for C alone
            }
            let place = m.span;
            super::macros::move_to(&mut value, place);
            let params = m
                .params
                .iter()
                .map(|p| MacroParam { span: place, name: p.clone(), kind: MacroParamKind::Expr })
                .collect();
            let body = Block { span: place, stmts: Vec::new(), value: Some(Box::new(value)) };
            let def = Macro { id: ids.fresh(), span: Span { ..place }, name: m.name, params, body };
            self.out.macros.push(MacroDef { def, is_stdlib: false });
        }
    }
}
