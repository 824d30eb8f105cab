//! Visits the expressions of a piece of the tree, for questions about a whole body before it is lowered.

use fathom_syntax::ast::{Block, Expr, ExprKind, Stmt, StmtKind};

/// What is being visited.
pub(super) enum Node<'t> {
    Stmt(&'t Stmt),
    Expr(&'t Expr),
}

/// Visits a block and everything in it.
pub(super) fn block<'t>(b: &'t Block, see: &mut dyn FnMut(Node<'t>)) {
    for s in &b.stmts {
        stmt(s, see);
    }
    if let Some(value) = &b.value {
        expr(value, see);
    }
}

/// Visits a statement and everything in it.
pub(super) fn stmt<'t>(s: &'t Stmt, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Stmt(s));
    match &s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) | StmtKind::Return(Some(e)) => expr(e, see),
        StmtKind::Assign { lhs, rhs, .. } => {
            expr(lhs, see);
            expr(rhs, see);
        }
        StmtKind::Let { var, value, .. } => {
            expr(var, see);
            value.iter().for_each(|v| expr(v, see));
        }
        StmtKind::ForMap { var, map, body } => {
            expr(var, see);
            expr(map, see);
            block(body, see);
        }
        StmtKind::ForRange { var, start, end, body } => {
            expr(var, see);
            expr(start, see);
            expr(end, see);
            block(body, see);
        }
        StmtKind::While { cond, body } => {
            expr(cond, see);
            block(body, see);
        }
        StmtKind::Unroll { count, body } => {
            expr(count, see);
            block(body, see);
        }
        StmtKind::Break | StmtKind::Continue | StmtKind::Return(None) | StmtKind::Import(_) => {}
    }
}

/// Visits an expression and everything in it.
pub(super) fn expr<'t>(e: &'t Expr, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Expr(e));
    match &e.kind {
        ExprKind::MapAccess { map: a, key: b }
        | ExprKind::Index { base: a, index: b }
        | ExprKind::Binary { left: a, right: b, .. } => {
            expr(a, see);
            expr(b, see);
        }
        ExprKind::Call { args: list, .. } | ExprKind::Tuple(list) => list.iter().for_each(|a| expr(a, see)),
        ExprKind::Record(fields) => fields.iter().for_each(|f| expr(&f.value, see)),
        ExprKind::Field { base: a, .. }
        | ExprKind::TupleField { base: a, .. }
        | ExprKind::Unary { expr: a, .. }
        | ExprKind::Step { target: a, .. }
        | ExprKind::Cast { expr: a, .. }
        | ExprKind::Comptime(a) => expr(a, see),
        ExprKind::Ternary { cond, then, otherwise } => {
            expr(cond, see);
            then.iter().for_each(|t| expr(t, see));
            expr(otherwise, see);
        }
        ExprKind::If { cond, then, otherwise } => {
            expr(cond, see);
            block(then, see);
            otherwise.iter().for_each(|o| expr(o, see));
        }
        ExprKind::Block(b) => block(b, see),
        _ => {}
    }
}
