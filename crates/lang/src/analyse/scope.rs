//! Which variable each name means: block scopes, declarations, captures by loops over maps.

use super::macros::written_name;
use super::state::{State, VarSlot};
use super::value::Lit;
use crate::typed::{VarId, VarInfo};
use crate::types::Type;
use fathom_syntax::ast::*;
use fathom_syntax::diag::Diagnostic;
use std::collections::HashMap;

/// Resolves the names of one clause or subprogram.
pub struct Resolver<'s> {
    state: &'s mut State,
    diags: &'s mut Vec<Diagnostic>,
    scopes: Vec<HashMap<String, VarId>>,
    /// Depth of loops over maps at each variable's declaration, by id.
    depths: HashMap<VarId, u32>,
    /// Declared without a value and not assigned yet.
    unset: Vec<VarId>,
    depth: u32,
}

impl<'s> Resolver<'s> {
    /// A resolver without any variable.
    pub fn new(state: &'s mut State, diags: &'s mut Vec<Diagnostic>) -> Resolver<'s> {
        let scopes = vec![HashMap::new()];
        Resolver { state, diags, scopes, depths: HashMap::new(), unset: Vec::new(), depth: 0 }
    }

    /// Makes a variable in the current scope.
    pub fn declare(&mut self, name: &str) -> VarId {
        let id = VarId(self.state.vars.len() as u32);
        let written = written_name(name).to_string();
        let info = VarInfo { name: written, ty: Type::Unknown, captured: false, address_taken: false };
        self.state.vars.push(VarSlot { lit: Lit::Hard, declared: false, space_settled: false, info });
        self.depths.insert(id, self.depth);
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_string(), id);
        }
        id
    }

    fn find(&self, name: &str) -> Option<VarId> {
        self.scopes.iter().rev().find_map(|s| s.get(name)).copied()
    }

    fn bind(&mut self, e: &Expr, var: VarId) {
        self.state.var_of.insert(e.id, var);
        if self.depths.get(&var).is_some_and(|d| *d < self.depth) {
            if let Some(slot) = self.state.vars.get_mut(var.0 as usize) {
                slot.info.captured = true;
            }
        }
    }

    /// Resolves a body in a scope of its own.
    pub fn block(&mut self, b: &Block) {
        self.scopes.push(HashMap::new());
        self.block_inner(b);
        self.scopes.pop();
    }

    fn block_inner(&mut self, b: &Block) {
        for s in &b.stmts {
            self.stmt(s);
        }
        if let Some(v) = &b.value {
            self.expr(v);
        }
    }

    fn assign_target(&mut self, lhs: &Expr, reads: bool) {
        let ExprKind::Var(name) = &lhs.kind else { return self.expr(lhs) };
        if reads {
            return self.expr(lhs);
        }
        let var = match self.find(name) {
            Some(var) => var,
            None => self.declare(name),
        };
        self.unset.retain(|v| *v != var);
        self.bind(lhs, var);
    }

    fn loop_body(&mut self, var: Option<&Expr>, over_map: bool, body: &Block) {
        self.scopes.push(HashMap::new());
        self.depth += u32::from(over_map);
        if let Some(var) = var {
            self.declared(var);
        }
        self.block(body);
        self.depth -= u32::from(over_map);
        self.scopes.pop();
    }

    /// A variable that is declared here, which no outer one may share the name of.
    fn declared(&mut self, var: &Expr) -> Option<VarId> {
        let ExprKind::Var(name) = &var.kind else { return None };
        if self.find(name).is_some() {
            let text = format!(
                "Variable {} was already declared. Variable shadowing is not allowed.",
                written_name(name)
            );
            self.diags.push(Diagnostic::error(var.span, text));
        }
        let id = self.declare(name);
        self.bind(var, id);
        Some(id)
    }

    fn stmt(&mut self, s: &Stmt) {
        match &s.kind {
            StmtKind::Expr(e) | StmtKind::Discard(e) => self.expr(e),
            StmtKind::Assign { lhs, op, rhs } => {
                self.expr(rhs);
                self.assign_target(lhs, op.is_some());
            }
            StmtKind::Let { var, ty, value } => {
                if let Some(t) = ty {
                    self.type_expr(t);
                }
                if let Some(v) = value {
                    self.expr(v);
                }
                if let (Some(id), None) = (self.declared(var), value) {
                    self.unset.push(id);
                }
            }
            StmtKind::ForMap { var, map, body } => {
                self.expr(map);
                self.loop_body(Some(var), true, body);
            }
            StmtKind::ForRange { var, start, end, body } => {
                self.expr(start);
                self.expr(end);
                self.loop_body(Some(var), false, body);
            }
            StmtKind::While { cond, body } => {
                self.expr(cond);
                self.loop_body(None, false, body);
            }
            StmtKind::Unroll { count, body } => {
                self.expr(count);
                self.loop_body(None, false, body);
            }
            StmtKind::Return(e) => {
                if let Some(e) = e {
                    self.expr(e);
                }
            }
            StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => {}
        }
    }

    fn operand(&mut self, t: &TypeOrExpr) {
        match t {
            TypeOrExpr::Type(t) => self.type_expr(t),
            TypeOrExpr::Expr(e) => {
                // Naming a variable's type is no use of its value.
                let unset = std::mem::take(&mut self.unset);
                self.expr(e);
                self.unset = unset;
            }
        }
    }

    fn type_expr(&mut self, t: &TypeExpr) {
        match &t.kind {
            TypeExprKind::Typeof(t) => self.operand(t),
            TypeExprKind::Pointer(t) => self.type_expr(t),
            TypeExprKind::Array(t, n) => {
                self.type_expr(t);
                if let Some(n) = n {
                    self.expr(n);
                }
            }
            TypeExprKind::Tuple(ts) => ts.iter().for_each(|t| self.type_expr(t)),
            TypeExprKind::Name(_) | TypeExprKind::Tagged { .. } => {}
        }
    }

    fn variable(&mut self, e: &Expr, name: &str) {
        let Some(var) = self.find(name) else {
            let text = format!("Undefined or undeclared variable: {}", written_name(name));
            self.diags.push(Diagnostic::error(e.span, text));
            let var = self.declare(name);
            return self.bind(e, var);
        };
        if self.unset.contains(&var) {
            self.unset.retain(|v| *v != var);
            let text = format!("Variable used before it was assigned: {}", written_name(name));
            self.diags.push(Diagnostic::warning(e.span, text));
        }
        self.bind(e, var);
    }

    /// Resolves the names of an expression.
    pub fn expr(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Var(name) => self.variable(e, name),
            ExprKind::Unary { op: UnaryOp::AddressOf, expr } => {
                if let ExprKind::Var(name) = &expr.kind {
                    // Whoever has the address may set it.
                    if let Some(var) = self.find(name) {
                        self.unset.retain(|v| *v != var);
                        if let Some(slot) = self.state.vars.get_mut(var.0 as usize) {
                            slot.info.address_taken = true;
                        }
                    }
                }
                self.expr(expr);
            }
            ExprKind::Call { name, args, .. } if name == "find" => args.iter().for_each(|a| self.argument(a)),
            ExprKind::Call { args, .. } => args.iter().for_each(|a| self.expr(a)),
            ExprKind::MapAccess { map, key } => {
                self.expr(map);
                self.expr(key);
            }
            ExprKind::Index { base, index } => {
                self.expr(base);
                self.expr(index);
            }
            ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } => self.expr(base),
            ExprKind::Unary { expr, .. } | ExprKind::Comptime(expr) => self.expr(expr),
            ExprKind::Cast { ty, expr } => {
                self.type_expr(ty);
                self.expr(expr);
            }
            ExprKind::Step { target, .. } => self.expr(target),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Ternary { cond, then, otherwise } => {
                self.expr(cond);
                if let Some(t) = then {
                    self.expr(t);
                }
                self.expr(otherwise);
            }
            ExprKind::If { cond, then, otherwise } => {
                self.expr(cond);
                self.block(then);
                if let Some(o) = otherwise {
                    self.expr(o);
                }
            }
            ExprKind::Block(b) => self.block(b),
            ExprKind::Tuple(items) => items.iter().for_each(|i| self.expr(i)),
            ExprKind::Record(fields) => fields.iter().for_each(|f| self.expr(&f.value)),
            ExprKind::Sizeof(t) | ExprKind::Typeof(t) | ExprKind::Typeinfo(t) => self.operand(t),
            ExprKind::Offsetof { base, .. } => self.operand(base),
            ExprKind::Int { .. }
            | ExprKind::Bool(_)
            | ExprKind::Str(_)
            | ExprKind::Ident(_)
            | ExprKind::Positional(_)
            | ExprKind::ParamCount
            | ExprKind::Map(_)
            | ExprKind::Error => {}
        }
    }

    /// An argument of `find`: a variable is there to take the result, so that it need not have a value.
    fn argument(&mut self, a: &Expr) {
        if let ExprKind::Var(name) = &a.kind {
            if let Some(var) = self.find(name) {
                self.unset.retain(|v| *v != var);
            }
        }
        self.expr(a);
    }
}
