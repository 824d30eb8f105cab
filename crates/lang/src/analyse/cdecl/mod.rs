//! The C part of a script: struct, union, enum and typedef declarations into the [`TypeStore`], `#define`d constants.

mod expr;
mod header;
mod layout;
mod lex;

pub use header::{system_constant, Headers, Preprocessed};

use super::infer::Define;
use super::store::TypeStore;
use crate::facts::TypeSpace;
use crate::types::{CType, CTypeId, EnumType};
use fathom_codegen::layout::EnumTable;
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use layout::{Attrs, Layout};
use lex::Tok;
use std::collections::HashMap;
use std::sync::Arc;

/// Words that say nothing about the layout.
const QUALIFIERS: &[&str] = &[
    "const",
    "volatile",
    "restrict",
    "__restrict",
    "static",
    "extern",
    "inline",
    "__inline",
    "register",
    "_Atomic",
    "__user",
    "__rcu",
    "__kernel",
    "__percpu",
    "__extension__",
    "auto",
    "__iomem",
    "__force",
];
/// Words that make up the names of base types.
const BASE_WORDS: &[&str] = &[
    "void",
    "char",
    "short",
    "int",
    "long",
    "signed",
    "unsigned",
    "float",
    "double",
    "_Bool",
    "bool",
    "__int128",
    "__signed__",
];
/// Deepest nesting of declarators and anonymous types.
const MAX_DEPTH: u32 = 64;

/// A parser of declarations that adds what it reads to the store.
pub struct Declarations<'s, 'f> {
    store: &'s mut TypeStore<'f>,
    defines: &'s HashMap<String, Define>,
    diags: &'s mut Vec<Diagnostic>,
    span: Span,
    toks: Vec<Tok>,
    pos: usize,
    depth: u32,
    /// A struct that replaces one of the kernel is being read.
    replaces: bool,
    /// Headers of the system are included, so that all its types are complete.
    has_headers: bool,
}

/// A name with its type.
struct Declarator {
    name: String,
    ty: CTypeId,
}

impl<'s, 'f> Declarations<'s, 'f> {
    /// Reads the declarations of a text that stands at `span`.
    pub fn read(
        text: &str,
        span: Span,
        store: &'s mut TypeStore<'f>,
        defines: &'s HashMap<String, Define>,
        has_headers: bool,
        diags: &'s mut Vec<Diagnostic>,
    ) {
        let toks = lex::tokens(text);
        let mut p = Declarations {
            store,
            defines,
            diags,
            span,
            toks,
            pos: 0,
            depth: 0,
            replaces: false,
            has_headers,
        };
        while p.pos < p.toks.len() {
            let before = p.pos;
            if p.eat(";") {
                continue;
            }
            p.declaration();
            if p.pos == before {
                p.pos += 1;
            }
        }
    }

    fn peek(&self) -> Option<&Tok> {
        self.toks.get(self.pos)
    }
    fn is(&self, punct: &str) -> bool {
        matches!(self.peek(), Some(Tok::Punct(p)) if *p == punct)
    }
    fn eat(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        self.pos += usize::from(found);
        found
    }
    fn word(&self) -> Option<&str> {
        match self.peek() {
            Some(Tok::Word(w)) => Some(w),
            _ => None,
        }
    }
    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.word() == Some(word);
        self.pos += usize::from(found);
        found
    }
    fn take_word(&mut self) -> Option<String> {
        let w = self.word()?.to_string();
        self.pos += 1;
        Some(w)
    }
    fn error(&mut self, text: impl Into<String>) {
        self.diags.push(Diagnostic::error(self.span, format!("C declaration error: {}", text.into())));
    }
    fn expect(&mut self, punct: &str) {
        if !self.eat(punct) {
            let found = match self.peek() {
                Some(Tok::Word(w)) => format!("'{w}'"),
                Some(Tok::Punct(p)) => format!("'{p}'"),
                Some(Tok::Int(n)) => n.to_string(),
                Some(Tok::Str(_)) => "a string".into(),
                None => "the end".into(),
            };
            self.error(format!("expected '{punct}', found {found}"));
            self.skip_to_end();
        }
    }
    /// Past the end of the declaration.
    fn skip_to_end(&mut self) {
        while self.pos < self.toks.len() && !self.eat(";") {
            if self.is("{") || self.is("(") {
                self.skip_balanced();
            } else {
                self.pos += 1;
            }
        }
    }
    fn skip_balanced(&mut self) {
        let mut depth = 0;
        while let Some(t) = self.peek() {
            match t {
                Tok::Punct("(" | "[" | "{") => depth += 1,
                Tok::Punct(")" | "]" | "}") => depth -= 1,
                _ => {}
            }
            self.pos += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// `__attribute__((...))`, any number of them, and `_Alignas`.
    fn attributes(&mut self, attrs: &mut Attrs) {
        while let Some(w) = self.word() {
            if matches!(w, "__packed") {
                self.pos += 1;
                attrs.packed = true;
                continue;
            }
            if !matches!(w, "__attribute__" | "__attribute" | "_Alignas" | "__aligned") {
                return;
            }
            let start = self.pos + 1;
            self.pos = start;
            if !self.is("(") {
                return;
            }
            self.skip_balanced();
            self.read_attributes(start, attrs);
        }
    }
    fn read_attributes(&mut self, start: usize, attrs: &mut Attrs) {
        let end = self.pos;
        for i in start..end {
            match self.toks.get(i) {
                Some(Tok::Word(w)) if w.trim_matches('_') == "packed" => attrs.packed = true,
                Some(Tok::Word(w)) if w.trim_matches('_') == "aligned" => {
                    attrs.aligned = attrs.aligned.max(16);
                    if matches!(self.toks.get(i + 1), Some(Tok::Punct("("))) {
                        self.pos = i + 2;
                        let n = self.const_expr().and_then(|n| u32::try_from(n).ok());
                        attrs.aligned = n.filter(|n| n.is_power_of_two()).unwrap_or(1);
                    }
                }
                _ => {}
            }
        }
        self.pos = end;
    }

    fn declaration(&mut self) {
        let is_typedef = self.eat_word("typedef");
        let Some(base) = self.base_type() else {
            self.skip_to_end();
            return;
        };
        // A struct of the script may stand without `;` before the next one.
        let mut attrs = Attrs::default();
        self.attributes(&mut attrs);
        while matches!(self.peek(), Some(Tok::Punct("*" | "(") | Tok::Word(_))) {
            if let Some(w) = self.word() {
                if matches!(w, "struct" | "union" | "enum" | "typedef") && !is_typedef {
                    return;
                }
            }
            let before = self.pos;
            if let Some(d) = self.declarator(base) {
                if is_typedef && !d.name.is_empty() {
                    let id = self.store.add(CType::Typedef { name: d.name.as_str().into(), to: d.ty });
                    self.store.name(TypeSpace::Plain, &d.name, id);
                }
            }
            self.attributes(&mut attrs);
            if self.is("=") || self.is("{") {
                self.skip_to_end();
                return;
            }
            if !self.eat(",") || self.pos == before {
                break;
            }
        }
        if self.pos < self.toks.len() && !self.eat(";") && is_typedef {
            self.expect(";");
        }
    }

    fn base_type(&mut self) -> Option<CTypeId> {
        let mut attrs = Attrs::default();
        loop {
            self.attributes(&mut attrs);
            match self.word() {
                Some(w) if QUALIFIERS.contains(&w) => self.pos += 1,
                _ => break,
            }
        }
        let word = match self.word() {
            Some(w) => w.to_string(),
            None => {
                self.error("expected a type");
                return None;
            }
        };
        let base = match word.as_str() {
            "struct" | "union" => {
                self.pos += 1;
                self.struct_or_union(word == "union")?
            }
            "enum" => {
                self.pos += 1;
                self.enumeration()?
            }
            _ => self.plain_type()?,
        };
        while let Some(w) = self.word() {
            if !QUALIFIERS.contains(&w) {
                break;
            }
            self.pos += 1;
        }
        Some(base)
    }

    fn plain_type(&mut self) -> Option<CTypeId> {
        let mut words: Vec<String> = Vec::new();
        while let Some(w) = self.word() {
            if BASE_WORDS.contains(&w) {
                words.push(w.to_string());
            } else if !QUALIFIERS.contains(&w) {
                break;
            }
            self.pos += 1;
        }
        if words.is_empty() {
            let name = self.take_word()?;
            return self.named(&name);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(self.store.add(base_type(&words)))
    }

    fn named(&mut self, name: &str) -> Option<CTypeId> {
        if let Some(id) = self.store.find_own(TypeSpace::Plain, name) {
            return Some(id);
        }
        if let Some((size, signed)) = super::infer_integer(name) {
            let ty =
                CType::Int { name: name.into(), size: size.into(), signed, is_char: false, is_bool: false };
            return Some(self.store.add(ty));
        }
        let found = self.store.find(TypeSpace::Plain, name);
        if found.is_none() {
            self.error(format!("unknown type name '{name}'"));
        }
        found
    }

    fn struct_or_union(&mut self, is_union: bool) -> Option<CTypeId> {
        let mut attrs = Attrs::default();
        self.attributes(&mut attrs);
        let name = self.take_word().unwrap_or_default();
        self.attributes(&mut attrs);
        let space = if is_union { TypeSpace::Union } else { TypeSpace::Struct };
        if !self.is("{") {
            if name.is_empty() {
                self.error("expected a name or '{' behind 'struct'");
                return None;
            }
            if let Some(id) = self.store.find(space, &name) {
                return Some(id);
            }
            let id = self.store.add(CType::Forward { name: name.as_str().into(), is_union });
            self.store.name(space, &name, id);
            return Some(id);
        }
        let replaced = !name.is_empty() && self.store.find(space, &name).is_some();
        let id = match self.store.find_own(space, &name) {
            Some(id) if matches!(self.store.c_type(id), CType::Forward { .. }) => id,
            Some(_) if !name.is_empty() => {
                let word = if is_union { "union" } else { "struct" };
                self.error(format!("redefinition of '{word} {name}'"));
                self.store.add(CType::Void)
            }
            _ => self.store.add(CType::Forward { name: name.as_str().into(), is_union }),
        };
        if !name.is_empty() {
            self.store.name(space, &name, id);
        }
        let outer = self.replaces;
        self.replaces |= replaced && self.store.find_own(space, &name) == Some(id);
        self.members(id, &name, is_union, attrs);
        self.replaces = outer;
        Some(id)
    }

    fn members(&mut self, id: CTypeId, name: &str, is_union: bool, mut attrs: Attrs) {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.error("types are nested too deeply");
            self.skip_balanced();
            self.depth -= 1;
            return;
        }
        // Attributes behind the braces count for the layout within.
        let open = self.pos;
        self.skip_balanced();
        self.attributes(&mut attrs);
        let behind = self.pos;
        self.pos = open + 1;
        let mut layout = Layout::new(is_union, attrs);
        while self.pos < behind && !self.is("}") {
            let before = self.pos;
            if !self.eat(";") {
                self.member(&mut layout);
            }
            if self.pos == before {
                self.pos += 1;
            }
        }
        self.pos = behind;
        self.depth -= 1;
        let def = layout.finish(name);
        self.store.set(id, CType::Struct(Arc::new(def)));
    }

    fn member(&mut self, layout: &mut Layout) {
        let Some(base) = self.base_type() else {
            self.skip_to_end();
            return;
        };
        if self.eat(";") || self.is("}") {
            // an anonymous struct or union, or a tag alone
            let anonymous = match self.store.c_type(base) {
                CType::Struct(d) => d.name.is_empty(),
                _ => false,
            };
            if anonymous {
                self.place(layout, String::new(), base, None, Attrs::default());
            }
            return;
        }
        loop {
            let declarator = if self.is(":") { None } else { self.declarator(base) };
            let (name, ty) = declarator.map_or((String::new(), base), |d| (d.name, d.ty));
            let width = if self.eat(":") { self.const_expr() } else { None };
            let mut attrs = Attrs::default();
            self.attributes(&mut attrs);
            self.place(layout, name, ty, width.and_then(|w| u32::try_from(w).ok()), attrs);
            if !self.eat(",") {
                break;
            }
        }
        if !self.is("}") {
            self.expect(";");
        }
    }

    fn place(&mut self, layout: &mut Layout, name: String, ty: CTypeId, width: Option<u32>, attrs: Attrs) {
        let (resolved, def) = self.store.resolve(ty);
        let own = resolved.0 >= super::store::SCRIPT_BASE;
        let incomplete = match &def {
            CType::Forward { name, is_union } => Some((name.to_string(), *is_union)),
            CType::Struct(d) if self.replaces && !own && !self.has_headers => {
                Some((d.name.to_string(), d.is_union))
            }
            CType::Void | CType::Function => {
                self.error(format!("field '{name}' has incomplete type 'void'"));
                return;
            }
            _ => None,
        };
        if let Some((tag, is_union)) = incomplete {
            let word = if is_union { "union" } else { "struct" };
            self.error(format!("field has incomplete type '{word} {tag}'"));
            return;
        }
        if !layout.add(&name, ty, self.store.c_size(ty), self.store.c_align(ty), width, attrs) {
            self.error(format!("the type is too large at field '{name}'"));
        }
    }

    fn enumeration(&mut self) -> Option<CTypeId> {
        let mut attrs = Attrs::default();
        self.attributes(&mut attrs);
        let name = self.take_word().unwrap_or_default();
        if self.eat(":") {
            self.base_type();
        }
        if !self.is("{") {
            let found = self.store.find(TypeSpace::Enum, &name);
            if found.is_none() {
                self.error(format!("unknown 'enum {name}'"));
            }
            return found;
        }
        self.pos += 1;
        let id = self.store.add(CType::Void);
        let mut values: Vec<(u64, String)> = Vec::new();
        let (mut next, mut min, mut max) = (0i128, 0i128, 0i128);
        while let Some(constant) = self.take_word() {
            if self.eat("=") {
                next = self.const_expr().unwrap_or(next);
            }
            min = min.min(next);
            max = max.max(next);
            values.push((next as u64, constant.clone()));
            self.store.add_constant(&constant, id, next as i64);
            next = next.saturating_add(1);
            if !self.eat(",") {
                break;
            }
        }
        self.expect("}");
        self.attributes(&mut attrs);
        let small = if attrs.packed { super::value::int_for(min, max) } else { crate::types::Type::int(4) };
        let wide = max > i128::from(u32::MAX) || min < i128::from(i32::MIN);
        let size = match small {
            crate::types::Type::Int { size, .. } if !wide => size,
            _ => 8,
        };
        let table = Arc::new(EnumTable { name: name.clone(), values });
        self.store.set(id, CType::Enum(EnumType { size, signed: min < 0, table }));
        if !name.is_empty() {
            self.store.name(TypeSpace::Enum, &name, id);
        }
        Some(id)
    }

    fn declarator(&mut self, mut base: CTypeId) -> Option<Declarator> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.depth -= 1;
            self.error("declarators are nested too deeply");
            self.skip_to_end();
            return None;
        }
        while self.eat("*") {
            base = self.store.add(CType::Pointer { to: base, user: false });
            while let Some(w) = self.word() {
                if !QUALIFIERS.contains(&w) {
                    break;
                }
                self.pos += 1;
            }
        }
        let result = if self.is("(") {
            // `(*name)(...)`: what is inside the parentheses applies to what follows them
            let open = self.pos;
            self.skip_balanced();
            let outer = self.suffixes(base);
            let behind = self.pos;
            self.pos = open + 1;
            let inner = self.declarator(outer);
            self.pos = behind;
            inner
        } else {
            let name = self.take_word().unwrap_or_default();
            let ty = self.suffixes(base);
            Some(Declarator { name, ty })
        };
        self.depth -= 1;
        result
    }

    /// `[n]`, `(params)` behind a name.
    fn suffixes(&mut self, base: CTypeId) -> CTypeId {
        if self.is("(") {
            self.skip_balanced();
            return self.store.add(CType::Function);
        }
        let mut counts = Vec::new();
        while self.eat("[") {
            let count = if self.is("]") { Some(0) } else { self.const_expr() };
            let size = count.map_or(Ok(0), u32::try_from);
            if size.is_err() {
                self.error("an array has from 0 to 4294967295 elements");
            }
            counts.push(size.unwrap_or(0));
            self.expect("]");
        }
        counts.iter().rev().fold(base, |elem, &count| self.store.add(CType::Array { elem, count }))
    }
}

/// The type that base words such as `unsigned long int` make.
fn base_type(words: &[&str]) -> CType {
    let has = |w: &str| words.contains(&w);
    let longs = words.iter().filter(|w| **w == "long").count();
    let signed = !has("unsigned");
    let name: Arc<str> = words.join(" ").into();
    let int = |size: u32| CType::Int { name: name.clone(), size, signed, is_char: false, is_bool: false };
    if has("void") {
        CType::Void
    } else if has("_Bool") || has("bool") {
        CType::Int { name, size: 1, signed: false, is_char: false, is_bool: true }
    } else if has("char") {
        CType::Int { name, size: 1, signed, is_char: signed, is_bool: false }
    } else if has("float") {
        CType::Float(4)
    } else if has("double") {
        CType::Float(if longs > 0 { 16 } else { 8 })
    } else if has("__int128") {
        int(16)
    } else if has("short") {
        int(2)
    } else if longs > 0 {
        int(8)
    } else {
        int(4)
    }
}
