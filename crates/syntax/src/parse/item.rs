//! Top-level items: the C part, configuration, imports, probes, macros, map declarations, subprograms.

use super::Parser;
use crate::ast::{
    Block, Config, ConfigEntry, ConfigValue, Item, Macro, MacroParam, MacroParamKind, MapDecl, Probe, Script,
    Subprog, SubprogParam,
};
use crate::token::Tok;

impl Parser<'_> {
    /// Reads a whole script.
    pub(super) fn script(&mut self) -> Script {
        let mut script = Script { shebang: self.shebang(), ..Script::default() };
        while !self.at(Tok::Eof) {
            self.panicking = false;
            let before = self.tok.start;
            self.entry(&mut script);
            if self.tok.start == before && !self.at(Tok::Eof) {
                self.bump();
            }
        }
        script
    }

    fn shebang(&mut self) -> Option<String> {
        let line = self.text.starts_with("#!").then(|| self.text.lines().next().unwrap_or(""))?;
        self.prev_end = line.len();
        self.comments.clear();
        self.seek(line.len());
        Some(line.to_string())
    }

    fn entry(&mut self, script: &mut Script) {
        let in_head = script.items.is_empty();
        if self.at_c_item() {
            if !in_head {
                self.error(
                    self.tok_span(),
                    "C definitions and preprocessor lines must stand before the first probe",
                );
            }
            script.c_items.push(self.c_item());
        } else if self.at_word("config") && self.peek().kind == Tok::Assign {
            if !in_head {
                self.error(self.tok_span(), "the config block must stand before the first probe");
            } else if script.config.is_some() {
                self.error(self.tok_span(), "there can be only one config block");
            }
            script.config = Some(self.config());
        } else if self.at_word("import") {
            if !in_head {
                self.error(self.tok_span(), "an import must stand before the first probe");
            }
            let import = self.import();
            self.end_of_item();
            script.imports.push(import);
        } else {
            script.items.extend(self.item());
        }
    }

    fn item(&mut self) -> Option<Item> {
        let next = self.peek().kind;
        match (self.tok.kind, self.word()) {
            (Tok::Ident, "macro") => Some(Item::Macro(self.macro_item())),
            (Tok::Ident, "let") => Some(Item::MapDecl(self.map_decl())),
            (Tok::Ident, "fn") if next == Tok::Ident => Some(Item::Subprog(self.subprog())),
            (Tok::RBrace, _) => {
                self.error(self.tok_span(), "unexpected '}'");
                self.bump();
                None
            }
            _ => self.probe().map(Item::Probe),
        }
    }

    /// Reads the `;` behind an item.
    fn end_of_item(&mut self) {
        if self.panicking {
            self.skip_line();
        }
        self.expect(Tok::Semi, "';'");
    }

    /// Goes to the next `;`, `{` or line after an error.
    fn skip_line(&mut self) {
        while !matches!(self.tok.kind, Tok::Semi | Tok::LBrace | Tok::RBrace | Tok::Eof)
            && !self.at_line_start()
        {
            self.bump();
        }
    }

    fn config(&mut self) -> Config {
        let start = self.bump().start;
        self.bump();
        let mut entries = Vec::new();
        if self.expect(Tok::LBrace, "'{'") {
            while !matches!(self.tok.kind, Tok::RBrace | Tok::Eof) {
                if self.eat(Tok::Semi) {
                    continue;
                }
                let before = self.tok.start;
                entries.extend(self.config_entry());
                let ended = self.eat(Tok::Semi);
                if !ended && !self.at(Tok::RBrace) {
                    self.expected("';'");
                }
                if std::mem::take(&mut self.panicking) && !ended {
                    self.skip_line();
                    // A block where a value should be would hold us here.
                    if self.tok.start == before {
                        self.bump();
                    }
                }
            }
            self.expect(Tok::RBrace, "'}'");
        }
        Config { span: self.span_from(start), entries }
    }

    fn config_entry(&mut self) -> Option<ConfigEntry> {
        let start = self.tok.start;
        let (key, key_span) = self.expect_name("the name of a setting");
        self.expect(Tok::Assign, "'='");
        if self.panicking {
            return None;
        }
        let value = match self.tok.kind {
            Tok::Int => {
                let token = self.bump();
                ConfigValue::Int(self.int_value(token).0)
            }
            Tok::Str => ConfigValue::Str(self.string("a value")),
            Tok::Ident => match self.text_of(self.tok) {
                word @ ("true" | "false") => {
                    self.bump();
                    ConfigValue::Bool(word == "true")
                }
                word => {
                    self.bump();
                    ConfigValue::Word(word.to_string())
                }
            },
            _ => {
                self.expected("a value: a number, a word or a string");
                return None;
            }
        };
        Some(ConfigEntry { span: self.span_from(start), key, key_span, value })
    }

    fn macro_item(&mut self) -> Macro {
        let start = self.bump().start;
        let (name, _) = self.expect_name("the name of the macro");
        self.expect(Tok::LParen, "'('");
        let mut params = Vec::new();
        self.comma_list(Tok::RParen, |p| params.extend(p.macro_param()));
        self.expect(Tok::RParen, "')'");
        let span = self.span_from(start);
        self.macro_params = params.iter().map(|p| p.name.clone()).collect();
        let body = self.body_of_item();
        self.macro_params.clear();
        Macro { id: self.ids.fresh(), span, name, params, body }
    }

    fn macro_param(&mut self) -> Option<MacroParam> {
        let kind = match self.tok.kind {
            Tok::Var => MacroParamKind::Var,
            Tok::Map => MacroParamKind::Map,
            Tok::Ident => MacroParamKind::Expr,
            _ => {
                self.expected("a parameter: $variable, @map or a name");
                return None;
            }
        };
        let token = self.bump();
        let name = self.text_of(token).trim_start_matches(['$', '@']).to_string();
        Some(MacroParam { span: self.span(token.start, token.end), name, kind })
    }

    fn map_decl(&mut self) -> MapDecl {
        let start = self.bump().start;
        let name = if self.at(Tok::Map) { self.word().to_string() } else { String::new() };
        self.expect(Tok::Map, "a map");
        self.expect(Tok::Assign, "'='");
        let (kind, kind_span) = self.expect_name("the kind of the map");
        self.expect(Tok::LParen, "'('");
        let max_entries = self.expr();
        self.expect(Tok::RParen, "')'");
        let span = self.span_from(start);
        self.end_of_item();
        MapDecl { id: self.ids.fresh(), span, name, kind, kind_span, max_entries }
    }

    fn subprog(&mut self) -> Subprog {
        let start = self.bump().start;
        let (name, _) = self.expect_name("the name of the function");
        self.expect(Tok::LParen, "'('");
        let mut params = Vec::new();
        self.comma_list(Tok::RParen, |p| {
            let start = p.tok.start;
            let name = p.word().to_string();
            if p.expect(Tok::Var, "a parameter such as '$x : int64'") {
                p.expect(Tok::Colon, "':' and the type of the parameter");
                let ty = p.type_expr();
                params.push(SubprogParam { span: p.span_from(start), name, ty });
            }
        });
        self.expect(Tok::RParen, "')'");
        let ret = self.eat(Tok::Colon).then(|| self.type_expr());
        let span = self.span_from(start);
        let body = self.body_of_item();
        Subprog { id: self.ids.fresh(), span, name, params, ret, body }
    }

    fn probe(&mut self) -> Option<Probe> {
        let start = self.tok.start;
        let attach_points = self.attach_points();
        if attach_points.is_empty() {
            self.skip_to_body();
            if self.at(Tok::LBrace) {
                self.block();
            }
            return None;
        }
        let mut predicate = None;
        if !self.panicking && self.eat(Tok::Slash) {
            self.in_predicate = true;
            predicate = Some(self.expr());
            self.in_predicate = false;
            self.expect(Tok::Slash, "'/' at the end of the predicate");
        } else if !self.panicking && !self.at(Tok::LBrace) {
            let mut diagnostic = self.missing("'{', ',' or a predicate");
            if attach_points.last().is_some_and(|p| p.raw.contains('/')) {
                diagnostic = diagnostic.hint("white space must stand between a probe and its predicate");
            }
            self.report(diagnostic);
        }
        let body = self.body_of_item();
        Some(Probe { id: self.ids.fresh(), span: self.span_from(start), attach_points, predicate, body })
    }

    /// Reads the body of an item; after an error in its head, from the next `{` on.
    fn body_of_item(&mut self) -> Block {
        if self.panicking {
            self.skip_to_body();
        }
        self.block()
    }

    /// Goes to the next `{`. Statements before it mean that it is missing: then goes behind the `}` that closes
    /// them, or one that begins a line.
    fn skip_to_body(&mut self) {
        let (mut depth, mut in_body) = (0usize, false);
        loop {
            match self.tok.kind {
                Tok::Eof => return,
                Tok::LBrace if !in_body => return,
                Tok::LBrace => depth += 1,
                Tok::RBrace => {
                    let begins_line = self.src[..self.tok.start].last().is_none_or(|b| *b == b'\n');
                    let unopened = depth == 0;
                    depth = depth.saturating_sub(1);
                    if unopened || (depth == 0 && begins_line) {
                        self.bump();
                        return;
                    }
                }
                Tok::Semi => in_body = true,
                _ => {}
            }
            self.bump();
        }
    }
}
