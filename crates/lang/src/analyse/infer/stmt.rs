//! Statements: assignments, declarations, loops, jumps.

use super::Infer;
use crate::analyse::value::{stored, Lit, Val};
use crate::builtins::{self, Form};
use crate::config::Unstable;
use crate::typed::MapIndex;
use crate::types::Type;
use fathom_syntax::ast::*;
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;

impl Infer<'_> {
    /// A body whose value nobody takes.
    pub(super) fn body(&mut self, b: &Block) {
        for s in &b.stmts {
            self.stmt(s);
        }
        if let Some(v) = &b.value {
            self.dropped(v);
        }
    }

    /// A body whose value is the result.
    pub(super) fn block_val(&mut self, b: &Block) -> Val {
        for s in &b.stmts {
            self.stmt(s);
        }
        match &b.value {
            Some(v) => self.val(v),
            None => Val::hard(Type::Void),
        }
    }

    /// An expression for its effect alone.
    fn dropped(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Block(b) => {
                self.body(b);
                self.st.set(e.id, Val::hard(Type::Void));
            }
            ExprKind::If { .. } => {
                self.if_dropped(e);
            }
            _ => {
                let before = self.st.diags.len();
                let ty = self.expr(e);
                if self.st.diags.iter().skip(before).any(Diagnostic::is_error) {
                    return;
                }
                let pure = self.builtins.get(&e.id).is_some_and(|b| b.pure_value);
                let is_call = matches!(e.kind, ExprKind::Call { .. });
                if pure && is_call && ty != Type::Void {
                    self.warn(e.span, "Return value discarded.");
                }
            }
        }
    }

    fn if_dropped(&mut self, e: &Expr) {
        let ExprKind::If { cond, then, otherwise } = &e.kind else { return };
        let taken = self.comptime_condition(cond);
        if taken != Some(false) {
            self.body(then);
        }
        if let (Some(o), true) = (otherwise, taken != Some(true)) {
            self.dropped(o);
        }
        self.st.set(e.id, Val::hard(Type::Void));
    }

    fn stmt(&mut self, s: &Stmt) {
        match &s.kind {
            StmtKind::Expr(e) => self.dropped(e),
            StmtKind::Discard(e) => {
                self.expr(e);
            }
            StmtKind::Assign { lhs, op, rhs } => self.assign(lhs, *op, rhs, s.span),
            StmtKind::Let { var, ty, value } => self.declare(var, ty.as_ref(), value.as_ref(), s.span),
            StmtKind::ForMap { var, map, body } => self.for_map(var, map, body),
            StmtKind::ForRange { var, start, end, body } => self.for_range(var, start, end, body),
            StmtKind::While { cond, body } => {
                self.st.report(
                    Diagnostic::warning(s.span, "'while' loops are deprecated and will be removed")
                        .hint("use a bounded loop such as 'for ($i : 0..100) { ... }'"),
                );
                self.condition(cond);
                self.loop_body(body);
            }
            StmtKind::Unroll { count, body } => {
                self.expr(count);
                match self.st.consts.get(&count.id) {
                    Some(crate::typed::Const::Int(n)) if *n > 100 => {
                        self.error(count.span, "unroll maximum value is 100");
                    }
                    Some(crate::typed::Const::Int(n)) if *n < 1 => {
                        self.error(count.span, "unroll minimum value is 1");
                    }
                    Some(crate::typed::Const::Int(_)) => {}
                    _ => self.error(count.span, "unroll needs a number that is known when compiling"),
                }
                self.loop_body(body);
            }
            StmtKind::Break | StmtKind::Continue => {
                if self.loop_depth == 0 {
                    let what = if matches!(s.kind, StmtKind::Break) { "break" } else { "continue" };
                    self.error(s.span, format!("'{what}' statement outside of a loop"));
                }
            }
            StmtKind::Return(e) => self.returned(e.as_ref(), s.span),
            StmtKind::Import(i) => match self.env.config.unstable_import_statement {
                Unstable::Error => self.error_hint(
                    s.span,
                    format!("import of \"{}\" inside a block is not enabled", i.path),
                    "place it at the head of the script, or set unstable_import_statement=enable",
                ),
                _ => self.error_hint(
                    s.span,
                    format!("import of \"{}\" inside a block is not possible", i.path),
                    "place it at the head of the script",
                ),
            },
        }
    }

    fn loop_body(&mut self, body: &Block) {
        self.loop_depth += 1;
        self.body(body);
        self.loop_depth -= 1;
    }

    fn returned(&mut self, e: Option<&Expr>, span: Span) {
        let ty = e.map(|e| self.val(e));
        match (&self.ret, ty) {
            (Some(Type::Void | Type::Unknown), None) | (None, None) => {}
            (Some(want), None) => {
                let text = format!("Function returns a value of type '{want}'");
                self.error(span, text);
            }
            (Some(want), Some(got)) => {
                let fits = *want == Type::Unknown
                    || got.ty == Type::Unknown
                    || (want.is_integral() && got.ty.is_integral())
                    || crate::analyse::value::unify(&Val::hard(want.clone()), &got, &mut Default::default())
                        .is_some_and(|v| v.ty == *want);
                if !fits {
                    let text = format!("Function is of type '{want}', cannot return '{}'", got.ty);
                    self.error(span, text);
                }
            }
            (None, Some(got)) => {
                if !(got.ty.is_integral() || matches!(got.ty, Type::Unknown | Type::Void)) {
                    self.error(span, format!("Probes return integers, not '{}'", got.ty));
                }
            }
        }
    }

    fn declare(&mut self, var: &Expr, ty: Option<&TypeExpr>, value: Option<&Expr>, span: Span) {
        let Some(&id) = self.st.var_of.get(&var.id) else { return };
        if let Some(t) = ty {
            let declared = self.written_type(t);
            let slot = &mut self.st.vars[id.0 as usize];
            if !slot.declared || (slot.info.ty == Type::Unknown && declared != Type::Unknown) {
                slot.declared = true;
                // `string` without a size takes that of its values
                slot.declared = !matches!(declared, Type::Str { capacity: 0 } | Type::Buffer { capacity: 0 });
                if slot.info.ty == Type::Unknown {
                    slot.info.ty = declared;
                    self.st.changed = true;
                }
            }
        }
        if let Some(v) = value {
            let val = self.val(v);
            self.not_void(v, &val.ty);
            self.st.assign_var(id, &val, Some(v), span);
        }
        let now = self.st.vars[id.0 as usize].info.ty.clone();
        self.st.set(var.id, Val::hard(now));
    }

    fn not_void(&mut self, e: &Expr, ty: &Type) {
        match ty {
            Type::Void | Type::Args | Type::TypeValue(_) => {
                self.error(e.span, format!("A value of type '{ty}' cannot be assigned"));
            }
            Type::Aggregation(a) => {
                let text = format!(
                    "Map value '{a}' cannot be assigned from one map to another. \
                     The function that returns this type must be called directly"
                );
                self.error_hint(e.span, text, "e.g. `@x = hist(...);`");
            }
            _ => {}
        }
    }

    /// The map that an assignment's target names, with its key made known.
    pub(super) fn target_map(&mut self, lhs: &Expr) -> Option<MapIndex> {
        match &lhs.kind {
            ExprKind::Map(name) => {
                let map = self.st.map(name, lhs.span);
                self.st.use_key(map, None, lhs.span);
                Some(map)
            }
            ExprKind::MapAccess { map, key } => {
                let ExprKind::Map(name) = &map.kind else { return None };
                let index = self.st.map(name, map.span);
                self.key(key, index, lhs.span);
                Some(index)
            }
            _ => None,
        }
    }

    fn assign(&mut self, lhs: &Expr, op: Option<BinaryOp>, rhs: &Expr, span: Span) {
        if let ExprKind::Var(_) = &lhs.kind {
            return self.assign_variable(lhs, op, rhs, span);
        }
        if self.is_aggregation(rhs) && op.is_none() {
            if !matches!(lhs.kind, ExprKind::Map(_) | ExprKind::MapAccess { .. }) {
                self.error(lhs.span, "An aggregation can only be assigned to a map");
                return;
            }
            let ty = self.aggregation(rhs);
            let Some(map) = self.target_map(lhs) else { return };
            self.st.assign_map(map, &Val::hard(ty), None, span);
            let now = self.st.map_info(map).value.clone();
            self.st.set(lhs.id, Val::hard(now));
            return;
        }
        let mut val = self.val(rhs);
        let Some(map) = self.target_map(lhs) else {
            self.expr(lhs);
            if !matches!(lhs.kind, ExprKind::Error) {
                self.error_hint(
                    lhs.span,
                    "Cannot assign to this",
                    "only variables and maps can be assigned to",
                );
            }
            return;
        };
        let old = self.st.map_info(map).value.clone();
        if let Some(op) = op {
            if let Type::Aggregation(a) = &old {
                let text = format!(
                    "Type mismatch: {} holds '{a}' and can't be changed with an operator",
                    self.st.map_info(map).name
                );
                self.error(span, text);
                return;
            }
            let first = if old == Type::Unknown { Val::literal(0) } else { Val::hard(old) };
            val = self.compound(op, &first, rhs, &val, span);
        }
        self.not_void(rhs, &val.ty);
        let expr = op.is_none().then_some(rhs);
        if !matches!(val.ty, Type::Void | Type::Aggregation(_)) {
            self.st.assign_map(map, &val, expr, span);
        }
        let now = self.st.map_info(map).value.clone();
        self.st.set(lhs.id, Val::hard(now));
    }

    fn assign_variable(&mut self, lhs: &Expr, op: Option<BinaryOp>, rhs: &Expr, span: Span) {
        if self.is_aggregation(rhs) {
            self.expr(rhs); // says what is wrong
            return;
        }
        let mut val = self.val(rhs);
        let Some(&id) = self.st.var_of.get(&lhs.id) else { return };
        let old = self.st.vars[id.0 as usize].info.ty.clone();
        if let Some(op) = op {
            val = self.compound(op, &Val::hard(old), rhs, &val, span);
        }
        self.not_void(rhs, &val.ty);
        if !matches!(val.ty, Type::Void | Type::Aggregation(_) | Type::Args) {
            self.st.assign_var(id, &val, op.is_none().then_some(rhs), span);
        }
        let now = self.st.vars[id.0 as usize].info.ty.clone();
        self.st.set(lhs.id, Val::hard(now));
    }

    /// Whether the expression is a call of an aggregation.
    pub(super) fn is_aggregation(&self, e: &Expr) -> bool {
        let name = match &e.kind {
            ExprKind::Call { name, .. } | ExprKind::Ident(name) => name,
            ExprKind::Block(b) if b.stmts.is_empty() => {
                return b.value.as_ref().is_some_and(|v| self.is_aggregation(v));
            }
            _ => return false,
        };
        builtins::find(name).is_some_and(|b| b.form == Form::Aggregation)
    }

    fn aggregation(&mut self, e: &Expr) -> Type {
        if let ExprKind::Block(b) = &e.kind {
            let ty = b.value.as_ref().map_or(Type::Unknown, |v| self.aggregation(v));
            self.st.set(e.id, Val::hard(ty.clone()));
            return ty;
        }
        self.st.consts.remove(&e.id);
        let ty = self.call(e, true);
        self.st.set(e.id, Val::hard(ty.clone()));
        ty
    }

    fn for_map(&mut self, var: &Expr, map: &Expr, body: &Block) {
        let ExprKind::Map(name) = &map.kind else {
            self.expr(map);
            self.error(map.span, "Loops go over maps ('for ($kv : @map)') or ranges ('for ($i : 0..10)')");
            return;
        };
        let index = self.st.map(name, map.span);
        let info = self.st.map_info(index);
        let (key, value) = (info.key.clone(), info.value.clone());
        if self.st.maps[index.0 as usize].keyed == Some(false) {
            let text = format!("{name} has no explicit keys (scalar map), and cannot be used for iteration");
            self.error(map.span, text);
        }
        let value = self.read_type(&value);
        if let Type::Aggregation(a) = &value {
            self.error(map.span, format!("Loop expression does not support type: {a}"));
        }
        let pair = match (key, value) {
            (Some(k), v) if k != Type::Unknown && v != Type::Unknown => Type::Tuple([k, stored(&v)].into()),
            _ => Type::Unknown,
        };
        self.st.set(map.id, Val::hard(Type::Unknown));
        self.loop_variable(var, pair);
        self.loop_body(body);
    }

    fn loop_variable(&mut self, var: &Expr, ty: Type) {
        if let Some(&id) = self.st.var_of.get(&var.id) {
            let slot = &mut self.st.vars[id.0 as usize];
            if slot.info.ty != ty {
                slot.info.ty = ty.clone();
                self.st.changed = true;
            }
        }
        self.st.set(var.id, Val::hard(ty));
    }

    fn for_range(&mut self, var: &Expr, start: &Expr, end: &Expr, body: &Block) {
        let mut signed = false;
        let mut hard = false;
        for e in [start, end] {
            let val = self.val(e);
            match &val.ty {
                Type::Int { signed: s, .. } => {
                    let literal = matches!(val.lit, Lit::Range(min, _) if min >= 0);
                    signed |= *s && !literal;
                    hard |= val.lit == Lit::Hard;
                }
                Type::Unknown | Type::Bool | Type::Enum(_) => {}
                other => {
                    let text = format!("Ranges go from integer to integer, not '{other}'");
                    self.error(e.span, text);
                }
            }
        }
        self.loop_variable(var, if hard && !signed { Type::U64 } else { Type::I64 });
        self.loop_body(body);
    }
}
