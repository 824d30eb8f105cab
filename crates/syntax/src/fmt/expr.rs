//! Layout of expressions and types.

use super::doc::Doc;
use super::Formatter;
use crate::ast::{Expr, ExprKind, TypeExpr, TypeExprKind, TypeOrExpr, UnaryOp};
use crate::parse::{binary_precedence, is_type_name};

/// How tightly the parts of an expression are bound, above the infix operators.
const UNARY: u8 = 20;
const POSTFIX: u8 = 21;
const PRIMARY: u8 = 22;

/// A string literal with these bytes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '"' | '\\' => out.extend(['\\', c]),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// How tightly an expression binds.
fn precedence(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Ternary { .. } | ExprKind::If { .. } | ExprKind::Block(_) => 0,
        ExprKind::Binary { op, .. } => binary_precedence(*op),
        ExprKind::Unary { .. } | ExprKind::Cast { .. } | ExprKind::Comptime(_) => UNARY,
        ExprKind::Step { postfix: false, .. } => UNARY,
        ExprKind::Step { .. }
        | ExprKind::Field { .. }
        | ExprKind::TupleField { .. }
        | ExprKind::Index { .. }
        | ExprKind::MapAccess { .. } => POSTFIX,
        _ => PRIMARY,
    }
}

/// The part that an expression begins with, if it has one.
fn first_part(expr: &Expr) -> Option<&Expr> {
    match &expr.kind {
        ExprKind::Binary { left, .. } => Some(left),
        ExprKind::Ternary { cond, .. } => Some(cond),
        ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } | ExprKind::Index { base, .. } => {
            Some(base)
        }
        ExprKind::MapAccess { map, .. } => Some(map),
        ExprKind::Step { postfix: true, target, .. } => Some(target),
        _ => None,
    }
}

impl Formatter<'_> {
    /// An expression where any may stand.
    pub(super) fn expr(&mut self, expr: &Expr) -> Doc {
        match &expr.kind {
            ExprKind::Binary { op, .. } => self.chain(expr, binary_precedence(*op)),
            ExprKind::Ternary { cond, then, otherwise } => self.ternary(cond, then.as_deref(), otherwise),
            ExprKind::Unary { op, expr } => {
                let clash = match op {
                    UnaryOp::Neg => self.begins_with(expr, &["-"]),
                    UnaryOp::AddressOf => self.begins_with(expr, &["&"]),
                    _ => false,
                };
                self.prefixed(if clash { format!("{} ", op.sign()) } else { op.sign().into() }, expr)
            }
            ExprKind::Step { increment, postfix, target } => {
                let sign = if *increment { "++" } else { "--" };
                if *postfix {
                    let target = self.operand(target, POSTFIX);
                    return Doc::Concat(vec![target, Doc::text(sign)]);
                }
                let clash = self.begins_with(target, &["-", "+"]);
                self.prefixed(if clash { format!("{sign} ") } else { sign.into() }, target)
            }
            ExprKind::Comptime(expr) => self.prefixed("comptime ".into(), expr),
            ExprKind::Cast { ty, expr } => self.cast(ty, expr),
            ExprKind::If { .. } => self.if_chain(expr, false),
            ExprKind::Block(block) => Doc::group(vec![self.block_in_expr(block)]),
            _ => self.simple(expr),
        }
    }

    /// Infix operators that bind alike, broken at all of them or at none.
    fn chain(&mut self, expr: &Expr, bound: u8) -> Doc {
        let (mut first, mut links) = (expr, Vec::new());
        while let ExprKind::Binary { op, left, right } = &first.kind {
            let written_apart = !links.is_empty() && self.is_parenthesised(first);
            if binary_precedence(*op) != bound || written_apart {
                break;
            }
            links.push((op, &**right));
            first = left;
        }
        let first = self.operand(first, bound);
        let mut rest = Vec::new();
        for (op, right) in links.into_iter().rev() {
            let parens = matches!(right.kind, ExprKind::Block(_)) || precedence(right) <= bound;
            let right = self.maybe_parens(right, parens);
            rest.extend([Doc::text(format!(" {}", op.sign())), Doc::Line, right]);
        }
        Doc::group(vec![first, Doc::Indent(rest)])
    }

    /// Expressions without operators.
    fn simple(&mut self, expr: &Expr) -> Doc {
        match &expr.kind {
            ExprKind::Int { text, .. } => Doc::text(text),
            ExprKind::Bool(value) => Doc::text(value.to_string()),
            ExprKind::Str(bytes) => Doc::text(self.string(expr, bytes)),
            ExprKind::Ident(name) | ExprKind::Var(name) | ExprKind::Map(name) => Doc::text(name),
            ExprKind::Positional(number) => Doc::text(format!("${number}")),
            ExprKind::ParamCount => Doc::text("$#"),
            ExprKind::MapAccess { map: base, key } | ExprKind::Index { base, index: key } => {
                let base = self.operand(base, POSTFIX);
                Doc::Concat(vec![base, self.keys(key, expr.span.end)])
            }
            ExprKind::Call { name, args, .. } => {
                let list = self.list("(", args, ")", expr.span.end, |_, _| None);
                Doc::Concat(vec![Doc::text(name), list])
            }
            ExprKind::Field { base, field, field_span } => {
                let arrow = self
                    .source
                    .get(..field_span.start as usize)
                    .is_some_and(|t| t.trim_end().ends_with("->"));
                let base = self.operand(base, POSTFIX);
                Doc::Concat(vec![base, Doc::text(format!("{}{field}", if arrow { "->" } else { "." }))])
            }
            ExprKind::TupleField { base, index } => {
                let base = self.operand(base, POSTFIX);
                Doc::Concat(vec![base, Doc::text(format!(".{index}"))])
            }
            ExprKind::Tuple(elements) => {
                let close = if elements.len() == 1 { ",)" } else { ")" };
                self.list("(", elements, close, expr.span.end, |_, _| None)
            }
            ExprKind::Record(fields) => {
                let values: Vec<&Expr> = fields.iter().map(|f| &f.value).collect();
                self.list("(", &values, ")", expr.span.end, |_, i| Some(format!("{} = ", fields[i].name)))
            }
            ExprKind::Sizeof(operand) => self.type_call("sizeof", operand, ""),
            ExprKind::Typeinfo(operand) => self.type_call("typeinfo", operand, ""),
            ExprKind::Offsetof { base, path } => {
                self.type_call("offsetof", base, &format!(", {}", path.join(".")))
            }
            ExprKind::Typeof(operand) => match &**operand {
                TypeOrExpr::Type(ty) if !self.text_at(expr).starts_with("typeof") => self.type_doc(ty),
                _ => self.type_call("typeof", operand, ""),
            },
            _ => Doc::nothing(),
        }
    }

    fn text_at(&self, expr: &Expr) -> &str {
        let text = self.source.get(expr.span.start as usize..expr.span.end as usize).unwrap_or("");
        text.trim_start_matches(['(', ' ', '\t', '\r', '\n'])
    }

    /// A string as it is spelled; in parentheses, where its place is not exact, as its bytes say.
    fn string(&self, expr: &Expr, bytes: &[u8]) -> String {
        match self.source.get(expr.span.start as usize..expr.span.end as usize) {
            Some(text) if text.starts_with('"') => text.to_string(),
            _ => quoted(bytes),
        }
    }

    /// A part of an expression, in parentheses if it binds less than `bound`.
    fn operand(&mut self, expr: &Expr, bound: u8) -> Doc {
        self.maybe_parens(expr, precedence(expr) < bound)
    }

    /// An operand, in parentheses if it must be or if it is written with them.
    fn maybe_parens(&mut self, expr: &Expr, parens: bool) -> Doc {
        let doc = self.expr(expr);
        if parens || (self.is_parenthesised(expr) && precedence(expr) < UNARY) {
            return Doc::Concat(vec![Doc::text("("), doc, Doc::text(")")]);
        }
        doc
    }

    /// Whether the source has parentheses around an expression with operators.
    fn is_parenthesised(&self, expr: &Expr) -> bool {
        match first_part(expr) {
            Some(first) => first.span.start > expr.span.start,
            None => false,
        }
    }

    /// An expression that can stand at an end of a range.
    pub(super) fn primary(&mut self, expr: &Expr) -> Doc {
        self.operand(expr, POSTFIX)
    }

    /// An expression in the parentheses of an `if` or loop.
    pub(super) fn condition(&mut self, expr: &Expr) -> Doc {
        // What would be read as a cast of the block behind it.
        let like_type = |name: &str| is_type_name(name);
        let bare = match &expr.kind {
            ExprKind::Ident(name) => like_type(name),
            ExprKind::Index { base, .. } => matches!(&base.kind, ExprKind::Ident(name) if like_type(name)),
            ExprKind::Typeof(_) => true,
            _ => false,
        };
        let doc = self.expr(expr);
        if bare {
            return doc;
        }
        if matches!(expr.kind, ExprKind::Block(_)) {
            return Doc::Concat(vec![Doc::text("("), doc, Doc::text(")")]);
        }
        Doc::group(vec![Doc::text("("), Doc::Indent(vec![Doc::Soft, doc]), Doc::Soft, Doc::text(")")])
    }

    /// An expression at the beginning of a statement, where `{` and `if` would be a statement.
    pub(super) fn leading(&mut self, expr: &Expr) -> Doc {
        self.maybe_parens(expr, matches!(expr.kind, ExprKind::If { .. } | ExprKind::Block(_)))
    }

    /// A predicate between its slashes.
    pub(super) fn predicate(&mut self, expr: &Expr) -> Doc {
        // "/*" would begin a comment.
        let parens = self.begins_with(expr, &["*", "/"]);
        let doc = self.expr(expr);
        let (open, close) = if parens { ("/(", ")/") } else { ("/", "/") };
        Doc::Concat(vec![Doc::text(open), doc, Doc::text(close)])
    }

    /// Whether the printed expression begins with one of these signs.
    fn begins_with(&self, expr: &Expr, signs: &[&str]) -> bool {
        let mut expr = expr;
        loop {
            let bound = match &expr.kind {
                ExprKind::Binary { op, .. } => binary_precedence(*op),
                ExprKind::Ternary { .. } => 1,
                _ => POSTFIX,
            };
            match first_part(expr) {
                Some(first) if precedence(first) < bound => return false,
                Some(first) => expr = first,
                None => break,
            }
        }
        let sign = match &expr.kind {
            ExprKind::Unary { op, .. } => op.sign(),
            ExprKind::Step { increment: true, postfix: false, .. } => "+",
            ExprKind::Step { postfix: false, .. } => "-",
            _ => "",
        };
        !sign.is_empty() && signs.iter().any(|s| sign.starts_with(s))
    }

    fn prefixed(&mut self, sign: String, operand: &Expr) -> Doc {
        let operand = self.operand(operand, UNARY);
        Doc::Concat(vec![Doc::text(sign), operand])
    }

    fn cast(&mut self, ty: &TypeExpr, expr: &Expr) -> Doc {
        // Behind a type with a length, a sign that is also an infix operator would be one.
        let array = matches!(ty.kind, TypeExprKind::Array(..));
        let signed = array && self.begins_with(expr, &["-", "*", "&", "+"]);
        let ty = self.type_doc(ty);
        let expr = self.maybe_parens(expr, signed || precedence(expr) < UNARY);
        Doc::Concat(vec![Doc::text("("), ty, Doc::text(")"), expr])
    }

    fn ternary(&mut self, cond: &Expr, then: Option<&Expr>, otherwise: &Expr) -> Doc {
        let cond = self.operand(cond, 1);
        let mut parts = vec![cond];
        let mut arms = Vec::new();
        match then {
            Some(then) => {
                let nested = matches!(then.kind, ExprKind::Ternary { .. });
                let then = self.maybe_parens(then, nested);
                arms.extend([Doc::Line, Doc::text("? "), then, Doc::Line, Doc::text(": ")]);
            }
            None => arms.extend([Doc::Line, Doc::text("?: ")]),
        }
        arms.push(self.expr(otherwise));
        parts.push(Doc::Indent(arms));
        Doc::group(parts)
    }

    /// `if ... else if ... else ...`; `lines` tells whether its blocks have lines of their own.
    pub(super) fn if_chain(&mut self, expr: &Expr, lines: bool) -> Doc {
        let mut parts = Vec::new();
        let mut next = Some(expr);
        while let Some(expr) = next {
            let block = match &expr.kind {
                ExprKind::If { cond, then, otherwise } => {
                    next = otherwise.as_deref();
                    parts.extend([Doc::text("if "), self.condition(cond), Doc::text(" ")]);
                    then
                }
                ExprKind::Block(block) => {
                    next = None;
                    block
                }
                _ => break,
            };
            parts.push(if lines { self.block(block) } else { self.block_in_expr(block) });
            if next.is_some() {
                parts.push(Doc::text(" else "));
            }
        }
        Doc::group(parts)
    }

    /// `[key]` or `[key, key]`, which ends at `end`.
    fn keys(&mut self, key: &Expr, end: u32) -> Doc {
        match &key.kind {
            ExprKind::Tuple(keys) if keys.len() > 1 => self.list("[", keys, "]", end, |_, _| None),
            _ => {
                let key = self.expr(key);
                Doc::Concat(vec![Doc::text("["), key, Doc::text("]")])
            }
        }
    }

    /// A list in brackets whose source ends at `end`, broken to one element per line when it must be. `label` gives
    /// what stands before an element.
    fn list<E: std::borrow::Borrow<Expr>>(
        &mut self,
        open: &str,
        elements: &[E],
        close: &str,
        end: u32,
        label: impl Fn(&Self, usize) -> Option<String>,
    ) -> Doc {
        let mut inner = vec![Doc::Soft];
        let mut force = false;
        let mut last_end = None;
        let count = elements.len();
        for (i, element) in elements.iter().enumerate() {
            let element: &Expr = element.borrow();
            force |= self.list_comments(element.span.start, last_end, &mut inner);
            if i > 0 {
                inner.push(Doc::Line);
            }
            force |= self.leading_comments(element.span.start, &mut inner);
            if let Some(label) = label(self, i) {
                inner.push(Doc::text(label));
            }
            inner.push(self.expr(element));
            if i + 1 < count {
                inner.push(Doc::text(","));
            }
            last_end = Some(element.span.end);
        }
        let end = end.saturating_sub(1);
        force |= self.list_comments(end, last_end, &mut inner);
        if self.has_comment_before(end) {
            if count > 0 {
                inner.push(Doc::Hard);
            }
            force |= self.leading_comments(end, &mut inner);
            while matches!(inner.last(), Some(Doc::Hard)) {
                inner.pop();
            }
        }
        if inner.len() == 1 {
            return Doc::text(format!("{open}{close}"));
        }
        let parts = vec![Doc::text(open), Doc::Indent(inner), Doc::Soft, Doc::text(close)];
        Doc::Group { parts, force }
    }

    /// Comments on the line that the element before ended on. Tells whether the list must be broken for them.
    fn list_comments(&mut self, end: u32, last_end: Option<u32>, out: &mut Vec<Doc>) -> bool {
        let Some(mut last) = last_end else { return false };
        let mut force = false;
        while self
            .comments
            .get(self.next_comment)
            .is_some_and(|c| self.lines_between(last, c.span.start) == 0)
        {
            let Some(comment) = self.next_comment_before(end) else { break };
            force |= comment.text.starts_with("//") || comment.text.contains('\n');
            out.extend([Doc::text(" "), self.comment(comment)]);
            last = last.max(comment.span.end);
            if comment.text.starts_with("//") {
                break;
            }
        }
        force
    }

    /// Comments before an element. Tells whether the list must be broken for them.
    fn leading_comments(&mut self, start: u32, out: &mut Vec<Doc>) -> bool {
        let mut force = false;
        while let Some(comment) = self.next_comment_before(start) {
            out.push(self.comment(comment));
            let inline = comment.text.starts_with("/*") && self.lines_between(comment.span.end, start) == 0;
            if inline && !comment.text.contains('\n') && !self.has_comment_before(start) {
                out.push(Doc::text(" "));
            } else {
                out.push(Doc::Hard);
                force = true;
            }
        }
        force
    }

    fn type_call(&mut self, name: &str, operand: &TypeOrExpr, more: &str) -> Doc {
        let operand = match operand {
            TypeOrExpr::Type(ty) => self.type_doc(ty),
            TypeOrExpr::Expr(expr) => self.expr(expr),
        };
        Doc::Concat(vec![Doc::text(format!("{name}(")), operand, Doc::text(format!("{more})"))])
    }

    /// A type.
    pub(super) fn type_doc(&mut self, ty: &TypeExpr) -> Doc {
        match &ty.kind {
            TypeExprKind::Name(name) => Doc::text(name),
            TypeExprKind::Tagged { tag, name } => Doc::text(format!("{} {name}", tag.word())),
            TypeExprKind::Pointer(inner) => {
                let sign = if matches!(inner.kind, TypeExprKind::Pointer(_)) { "*" } else { " *" };
                Doc::Concat(vec![self.type_doc(inner), Doc::text(sign)])
            }
            TypeExprKind::Array(inner, length) => {
                let mut parts = vec![self.type_doc(inner), Doc::text("[")];
                if let Some(length) = length {
                    parts.push(self.expr(length));
                }
                parts.push(Doc::text("]"));
                Doc::Concat(parts)
            }
            TypeExprKind::Typeof(operand) => self.type_call("typeof", operand, ""),
            TypeExprKind::Tuple(types) => {
                let mut parts = vec![Doc::text("(")];
                for (i, ty) in types.iter().enumerate() {
                    if i > 0 {
                        parts.push(Doc::text(", "));
                    }
                    parts.push(self.type_doc(ty));
                }
                parts.push(Doc::text(")"));
                Doc::Concat(parts)
            }
        }
    }
}
