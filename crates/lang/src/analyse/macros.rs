//! Macro expansion: hygienic substitution of trees. Every copied node gets a fresh id; copied text keeps its place and names its expansion.

use fathom_syntax::ast::*;
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::{Expansion, ExpansionId, Expansions, Span};
use std::collections::HashMap;

/// Stands between the written name of a macro's own variable and the number of the expansion; no name of a script holds it.
pub const RENAME_MARK: char = '#';
/// Deepest nesting of expansions.
const MAX_DEPTH: usize = 200;
/// Most nodes that expansion may make beside those of the script itself.
const MAX_NODES: usize = 200_000;

/// A macro with where it comes from.
#[derive(Clone, Debug)]
pub struct MacroDef {
    /// The macro.
    pub def: Macro,
    /// Part of the standard library: sees only macros of the standard library.
    pub is_stdlib: bool,
}

/// What stands for a parameter.
#[derive(Clone)]
enum Arg {
    /// `$v`: the caller's variable.
    Var(String),
    /// `@m`: the caller's map.
    Map(String),
    /// Any expression, already expanded.
    Expr(Box<Expr>),
}

/// Where the text being copied comes from.
#[derive(Clone, Default)]
struct Context {
    params: HashMap<String, Arg>,
    /// Suffix of the macro's own variables.
    rename: Option<u32>,
    expansion: ExpansionId,
    is_stdlib: bool,
    /// Already expanded: only copy.
    is_inert: bool,
}

/// The expander of one script.
pub struct Expander<'a> {
    /// Fresh node ids.
    pub ids: NodeIds,
    /// Expansions made.
    pub expansions: Expansions,
    /// What went wrong.
    pub diags: Vec<Diagnostic>,
    macros: &'a [MacroDef],
    /// Whether a name with so many arguments means something that is no macro.
    is_builtin: &'a dyn Fn(&str) -> bool,
    by_name: HashMap<&'a str, Vec<usize>>,
    stack: Vec<usize>,
    renames: u32,
    /// Nodes made by expansion.
    made: usize,
    exhausted: bool,
    /// Where all text is said to stand.
    place: Option<Span>,
}

impl<'a> Expander<'a> {
    /// An expander for these macros.
    pub fn new(ids: NodeIds, macros: &'a [MacroDef], is_builtin: &'a dyn Fn(&str) -> bool) -> Expander<'a> {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, m) in macros.iter().enumerate() {
            by_name.entry(&m.def.name).or_default().push(i);
        }
        let mut e = Expander {
            ids,
            expansions: Expansions::default(),
            diags: Vec::new(),
            macros,
            is_builtin,
            by_name,
            stack: Vec::new(),
            renames: 0,
            made: 0,
            exhausted: false,
            place: None,
        };
        e.check_duplicates();
        e
    }

    fn check_duplicates(&mut self) {
        for (i, m) in self.macros.iter().enumerate() {
            let same = |o: &&MacroDef| {
                let kinds = |m: &Macro| m.params.iter().map(|p| p.kind).collect::<Vec<_>>();
                o.is_stdlib == m.is_stdlib && o.def.name == m.def.name && kinds(&o.def) == kinds(&m.def)
            };
            if let Some(first) = self.macros.get(..i).unwrap_or(&[]).iter().find(same) {
                let text = format!("Redefinition of macro: {}", m.def.name);
                self.diags
                    .push(Diagnostic::error(m.def.span, text).note(first.def.span, "first defined here"));
            }
        }
    }

    /// Expands a probe's predicate or any other expression of the script.
    pub fn expr(&mut self, e: &Expr) -> Expr {
        self.copy_expr(e, &Context::default())
    }
    /// Expands a body.
    pub fn block(&mut self, b: &Block) -> Block {
        self.copy_block(b, &Context::default())
    }
    /// Expands a type.
    pub fn type_expr(&mut self, t: &TypeExpr) -> TypeExpr {
        self.copy_type(t, &Context::default())
    }
    /// Copies an expanded expression with fresh ids.
    pub fn clone_expr(&mut self, e: &Expr) -> Expr {
        self.copy_expr(e, &Context { is_inert: true, ..Context::default() })
    }
    /// Copies an expanded body with fresh ids.
    pub fn clone_block(&mut self, b: &Block) -> Block {
        self.copy_block(b, &Context { is_inert: true, ..Context::default() })
    }

    fn span(&self, span: Span, cx: &Context) -> Span {
        if let Some(place) = self.place {
            return place;
        }
        if cx.is_inert {
            span
        } else {
            Span { expansion: cx.expansion, ..span }
        }
    }

    fn copy_block(&mut self, b: &Block, cx: &Context) -> Block {
        Block {
            span: self.span(b.span, cx),
            stmts: b.stmts.iter().map(|s| self.copy_stmt(s, cx)).collect(),
            value: b.value.as_ref().map(|e| Box::new(self.copy_expr(e, cx))),
        }
    }

    fn copy_stmt(&mut self, s: &Stmt, cx: &Context) -> Stmt {
        let kind = match &s.kind {
            StmtKind::Expr(e) => StmtKind::Expr(self.copy_expr(e, cx)),
            StmtKind::Assign { lhs, op, rhs } => {
                StmtKind::Assign { lhs: self.copy_expr(lhs, cx), op: *op, rhs: self.copy_expr(rhs, cx) }
            }
            StmtKind::Discard(e) => StmtKind::Discard(self.copy_expr(e, cx)),
            StmtKind::Let { var, ty, value } => StmtKind::Let {
                value: value.as_ref().map(|v| self.copy_expr(v, cx)),
                ty: ty.as_ref().map(|t| self.copy_type(t, cx)),
                var: self.copy_expr(var, cx),
            },
            StmtKind::ForMap { var, map, body } => StmtKind::ForMap {
                var: self.copy_expr(var, cx),
                map: self.copy_expr(map, cx),
                body: self.copy_block(body, cx),
            },
            StmtKind::ForRange { var, start, end, body } => StmtKind::ForRange {
                var: self.copy_expr(var, cx),
                start: self.copy_expr(start, cx),
                end: self.copy_expr(end, cx),
                body: self.copy_block(body, cx),
            },
            StmtKind::While { cond, body } => {
                StmtKind::While { cond: self.copy_expr(cond, cx), body: self.copy_block(body, cx) }
            }
            StmtKind::Unroll { count, body } => {
                StmtKind::Unroll { count: self.copy_expr(count, cx), body: self.copy_block(body, cx) }
            }
            StmtKind::Break => StmtKind::Break,
            StmtKind::Continue => StmtKind::Continue,
            StmtKind::Return(e) => StmtKind::Return(e.as_ref().map(|e| self.copy_expr(e, cx))),
            StmtKind::Import(i) => StmtKind::Import(i.clone()),
        };
        Stmt { id: self.ids.fresh(), span: self.span(s.span, cx), kind }
    }

    fn copy_boxed(&mut self, e: &Expr, cx: &Context) -> Box<Expr> {
        Box::new(self.copy_expr(e, cx))
    }

    fn copy_operand(&mut self, t: &TypeOrExpr, cx: &Context) -> Box<TypeOrExpr> {
        Box::new(match t {
            TypeOrExpr::Type(t) => TypeOrExpr::Type(self.copy_type(t, cx)),
            TypeOrExpr::Expr(e) => TypeOrExpr::Expr(self.copy_expr(e, cx)),
        })
    }

    fn copy_type(&mut self, t: &TypeExpr, cx: &Context) -> TypeExpr {
        let kind = match &t.kind {
            TypeExprKind::Name(name) => match cx.params.get(name) {
                Some(Arg::Expr(e)) => {
                    let e = self.clone_expr(&e.clone());
                    TypeExprKind::Typeof(Box::new(TypeOrExpr::Expr(e)))
                }
                _ => TypeExprKind::Name(name.clone()),
            },
            TypeExprKind::Tagged { tag, name } => TypeExprKind::Tagged { tag: *tag, name: name.clone() },
            TypeExprKind::Pointer(t) => TypeExprKind::Pointer(Box::new(self.copy_type(t, cx))),
            TypeExprKind::Array(t, n) => {
                let t = Box::new(self.copy_type(t, cx));
                TypeExprKind::Array(t, n.as_ref().map(|n| self.copy_boxed(n, cx)))
            }
            TypeExprKind::Typeof(t) => TypeExprKind::Typeof(self.copy_operand(t, cx)),
            TypeExprKind::Tuple(ts) => {
                TypeExprKind::Tuple(ts.iter().map(|t| self.copy_type(t, cx)).collect())
            }
        };
        TypeExpr { span: self.span(t.span, cx), kind }
    }

    /// The caller's name of a variable, or the renamed one of a macro's own.
    fn var_name(&self, name: &str, cx: &Context) -> String {
        match (cx.params.get(name), cx.rename) {
            (Some(Arg::Var(outer)), _) => outer.clone(),
            (_, Some(n)) => format!("{name}{RENAME_MARK}{n}"),
            _ => name.to_string(),
        }
    }

    fn copy_map(&mut self, name: &str, span: Span, cx: &Context) -> ExprKind {
        match cx.params.get(name) {
            Some(Arg::Map(outer)) => ExprKind::Map(outer.clone()),
            _ => {
                if cx.rename.is_some() {
                    let text = format!(
                        "Unhygienic access to map: {name}. Maps must be passed into the macro as arguments"
                    );
                    self.diags.push(Diagnostic::error(span, text));
                }
                ExprKind::Map(name.to_string())
            }
        }
    }

    fn copy_expr(&mut self, e: &Expr, cx: &Context) -> Expr {
        if self.exhausted {
            return Expr { id: self.ids.fresh(), span: e.span, kind: ExprKind::Error };
        }
        // What is copied as it was written is as long as the script.
        if cx.is_inert || cx.rename.is_some() {
            self.made += 1;
            if self.made > MAX_NODES {
                self.exhausted = true;
                let text = format!("Macros expand to too much code (more than {MAX_NODES} expressions)");
                self.diags.push(Diagnostic::error(e.span, text));
            }
        }
        let span = self.span(e.span, cx);
        let kind = match &e.kind {
            ExprKind::Ident(name) => return self.copy_ident(name, e, span, cx),
            ExprKind::Call { name, name_span, args } => {
                return self.copy_call(name, *name_span, args, span, cx)
            }
            ExprKind::Var(name) => ExprKind::Var(self.var_name(name, cx)),
            ExprKind::Map(name) => self.copy_map(name, span, cx),
            ExprKind::MapAccess { map, key } => {
                let map = self.copy_boxed(map, cx);
                access(map, self.copy_boxed(key, cx))
            }
            ExprKind::Index { base, index } => {
                let base = self.copy_boxed(base, cx);
                access(base, self.copy_boxed(index, cx))
            }
            ExprKind::Field { base, field, field_span } => ExprKind::Field {
                base: self.copy_boxed(base, cx),
                field: field.clone(),
                field_span: self.span(*field_span, cx),
            },
            ExprKind::TupleField { base, index } => {
                ExprKind::TupleField { base: self.copy_boxed(base, cx), index: *index }
            }
            ExprKind::Unary { op, expr } => ExprKind::Unary { op: *op, expr: self.copy_boxed(expr, cx) },
            ExprKind::Step { increment, postfix, target } => ExprKind::Step {
                increment: *increment,
                postfix: *postfix,
                target: self.copy_boxed(target, cx),
            },
            ExprKind::Binary { op, left, right } => {
                let left = self.copy_boxed(left, cx);
                ExprKind::Binary { op: *op, left, right: self.copy_boxed(right, cx) }
            }
            ExprKind::Ternary { cond, then, otherwise } => ExprKind::Ternary {
                cond: self.copy_boxed(cond, cx),
                then: then.as_ref().map(|t| self.copy_boxed(t, cx)),
                otherwise: self.copy_boxed(otherwise, cx),
            },
            ExprKind::If { cond, then, otherwise } => ExprKind::If {
                cond: self.copy_boxed(cond, cx),
                then: self.copy_block(then, cx),
                otherwise: otherwise.as_ref().map(|o| self.copy_boxed(o, cx)),
            },
            ExprKind::Block(b) => ExprKind::Block(self.copy_block(b, cx)),
            ExprKind::Cast { ty, expr } => {
                ExprKind::Cast { ty: self.copy_type(ty, cx), expr: self.copy_boxed(expr, cx) }
            }
            ExprKind::Tuple(items) => ExprKind::Tuple(items.iter().map(|i| self.copy_expr(i, cx)).collect()),
            ExprKind::Record(fields) => ExprKind::Record(
                fields
                    .iter()
                    .map(|f| RecordField {
                        span: self.span(f.span, cx),
                        name: f.name.clone(),
                        value: self.copy_expr(&f.value, cx),
                    })
                    .collect(),
            ),
            ExprKind::Sizeof(t) => ExprKind::Sizeof(self.copy_operand(t, cx)),
            ExprKind::Offsetof { base, path } => {
                ExprKind::Offsetof { base: self.copy_operand(base, cx), path: path.clone() }
            }
            ExprKind::Typeof(t) => ExprKind::Typeof(self.copy_operand(t, cx)),
            ExprKind::Typeinfo(t) => ExprKind::Typeinfo(self.copy_operand(t, cx)),
            ExprKind::Comptime(e) => ExprKind::Comptime(self.copy_boxed(e, cx)),
            ExprKind::Int { .. }
            | ExprKind::Bool(_)
            | ExprKind::Str(_)
            | ExprKind::Positional(_)
            | ExprKind::ParamCount
            | ExprKind::Error => e.kind.clone(),
        };
        Expr { id: self.ids.fresh(), span, kind }
    }

    fn copy_ident(&mut self, name: &str, e: &Expr, span: Span, cx: &Context) -> Expr {
        if let Some(arg) = cx.params.get(name) {
            return match arg.clone() {
                Arg::Expr(arg) => self.clone_expr(&arg),
                Arg::Var(outer) => Expr { id: self.ids.fresh(), span, kind: ExprKind::Var(outer) },
                Arg::Map(outer) => Expr { id: self.ids.fresh(), span, kind: ExprKind::Map(outer) },
            };
        }
        if !cx.is_inert {
            if let Some(found) = self.find(name, &[], cx.is_stdlib) {
                return self.expand(found, Vec::new(), span, cx);
            }
        }
        Expr { id: self.ids.fresh(), span, kind: e.kind.clone() }
    }

    fn copy_call(&mut self, name: &str, name_span: Span, args: &[Expr], span: Span, cx: &Context) -> Expr {
        let args: Vec<Expr> = args.iter().map(|a| self.copy_expr(a, cx)).collect();
        if !cx.is_inert {
            if let Some(found) = self.find(name, &args, cx.is_stdlib) {
                return self.expand(found, args, span, cx);
            }
            if self.explain_mismatch(name, &args, span) {
                return Expr { id: self.ids.fresh(), span, kind: ExprKind::Error };
            }
        }
        let name_span = self.span(name_span, cx);
        Expr { id: self.ids.fresh(), span, kind: ExprKind::Call { name: name.to_string(), name_span, args } }
    }

    /// The macro that a name with these arguments means: the script's own first, but text of the standard library sees only its own.
    fn find(&self, name: &str, args: &[Expr], in_stdlib: bool) -> Option<usize> {
        let candidates = self.by_name.get(name)?;
        let fitting = |stdlib: bool| {
            candidates
                .iter()
                .copied()
                .filter(|&i| self.macros.get(i).is_some_and(|m| m.is_stdlib == stdlib && takes(&m.def, args)))
                .max_by_key(|&i| self.macros.get(i).map_or(0, |m| specific(&m.def)))
        };
        let own = if in_stdlib { None } else { fitting(false) };
        own.or_else(|| fitting(true))
    }

    /// Tells why no macro of this name fits; false if the name means something else.
    fn explain_mismatch(&mut self, name: &str, args: &[Expr], span: Span) -> bool {
        let Some(candidates) = self.by_name.get(name) else { return false };
        if (self.is_builtin)(name) {
            return false;
        }
        let Some(m) = candidates.first().and_then(|&i| self.macros.get(i)) else { return false };
        let text = if candidates
            .iter()
            .any(|&i| self.macros.get(i).is_some_and(|m| m.def.params.len() == args.len()))
        {
            let wrong = m.def.params.iter().zip(args).find(|(p, a)| !accepts(p.kind, a));
            match wrong {
                Some((p, _)) => {
                    let what = if p.kind == MacroParamKind::Map { "a map" } else { "a variable" };
                    format!("Mismatched argument to macro '{name}': parameter '{}' needs {what}", sigil(p))
                }
                None => format!("No version of macro '{name}' takes these arguments"),
            }
        } else {
            let expected = m.def.params.len();
            format!(
                "Call to macro '{name}' has wrong number of arguments. Expected: {expected} but got {}",
                args.len()
            )
        };
        self.diags.push(Diagnostic::error(span, text).note(m.def.span, "defined here"));
        true
    }

    fn expand(&mut self, index: usize, args: Vec<Expr>, call: Span, cx: &Context) -> Expr {
        let Some(m) = self.macros.get(index) else {
            return Expr { id: self.ids.fresh(), span: call, kind: ExprKind::Error };
        };
        if self.stack.contains(&index) || self.stack.len() >= MAX_DEPTH {
            let chain = self.stack.iter().chain([&index]).filter_map(|&i| self.macros.get(i));
            let names: Vec<&str> = chain.map(|m| m.def.name.as_str()).collect();
            let text = format!("Recursive macro call detected. Call chain: {}", names.join(" > "));
            self.diags.push(Diagnostic::error(call, text));
            return Expr { id: self.ids.fresh(), span: call, kind: ExprKind::Error };
        }
        self.renames += 1;
        let expansion = self.expansions.add(Expansion { name: m.def.name.clone(), call });
        let mut inner = Context {
            params: HashMap::new(),
            rename: Some(self.renames),
            expansion,
            is_stdlib: m.is_stdlib,
            is_inert: false,
        };
        for (p, a) in m.def.params.iter().zip(args) {
            let (name, arg) = match (p.kind, a.kind) {
                (MacroParamKind::Var, ExprKind::Var(v)) => (sigil(p), Arg::Var(v)),
                (MacroParamKind::Map, ExprKind::Map(v)) => (sigil(p), Arg::Map(v)),
                (_, kind) => (p.name.clone(), Arg::Expr(Box::new(Expr { kind, ..a }))),
            };
            inner.params.insert(name, arg);
        }
        let _ = cx;
        self.stack.push(index);
        let body = self.copy_block(&m.def.body, &inner);
        self.stack.pop();
        match body {
            Block { stmts, value: Some(value), .. } if stmts.is_empty() => *value,
            body => Expr { id: self.ids.fresh(), span: call, kind: ExprKind::Block(body) },
        }
    }
}

/// `base[index]`, which is an element when the base turned out to be a map.
fn access(base: Box<Expr>, index: Box<Expr>) -> ExprKind {
    if matches!(base.kind, ExprKind::Map(_)) {
        ExprKind::MapAccess { map: base, key: index }
    } else {
        ExprKind::Index { base, index }
    }
}

/// A parameter's name as it stands in the body.
fn sigil(p: &MacroParam) -> String {
    let name = p.name.trim_start_matches(['$', '@']);
    match p.kind {
        MacroParamKind::Var => format!("${name}"),
        MacroParamKind::Map => format!("@{name}"),
        MacroParamKind::Expr => name.to_string(),
    }
}

fn accepts(kind: MacroParamKind, arg: &Expr) -> bool {
    match kind {
        MacroParamKind::Var => matches!(arg.kind, ExprKind::Var(_)),
        MacroParamKind::Map => matches!(arg.kind, ExprKind::Map(_)),
        MacroParamKind::Expr => true,
    }
}

fn takes(m: &Macro, args: &[Expr]) -> bool {
    m.params.len() == args.len() && m.params.iter().zip(args).all(|(p, a)| accepts(p.kind, a))
}

/// How many parameters ask for something special; such a macro goes before one that takes anything.
fn specific(m: &Macro) -> usize {
    m.params.iter().filter(|p| p.kind != MacroParamKind::Expr).count()
}

/// The written name of a variable.
pub fn written_name(name: &str) -> &str {
    name.split(RENAME_MARK).next().unwrap_or(name)
}

/// Moves all places within an expression to one: text that stands in no file on its own.
pub fn move_to(e: &mut Expr, place: Span) {
    let none = |_: &str| false;
    let mut copier = Expander::new(NodeIds::default(), &[], &none);
    copier.place = Some(place);
    *e = copier.expr(e);
}
