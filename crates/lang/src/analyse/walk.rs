//! Visits all expressions of a tree; takes away branches that `comptime` decided.

use crate::typed::Const;
use fathom_syntax::ast::*;
use std::collections::HashMap;

/// Calls `f` for every expression of a body, outer ones first.
pub fn block(b: &Block, f: &mut dyn FnMut(&Expr)) {
    for s in &b.stmts {
        stmt(s, f);
    }
    if let Some(v) = &b.value {
        expr(v, f);
    }
}

fn stmt(s: &Stmt, f: &mut dyn FnMut(&Expr)) {
    match &s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => expr(e, f),
        StmtKind::Assign { lhs, rhs, .. } => {
            expr(rhs, f);
            expr(lhs, f);
        }
        StmtKind::Let { var, value, .. } => {
            if let Some(v) = value {
                expr(v, f);
            }
            expr(var, f);
        }
        StmtKind::ForMap { var, map, body } => {
            expr(map, f);
            expr(var, f);
            block(body, f);
        }
        StmtKind::ForRange { var, start, end, body } => {
            expr(start, f);
            expr(end, f);
            expr(var, f);
            block(body, f);
        }
        StmtKind::While { cond, body } => {
            expr(cond, f);
            block(body, f);
        }
        StmtKind::Unroll { count, body } => {
            expr(count, f);
            block(body, f);
        }
        StmtKind::Return(e) => {
            if let Some(e) = e {
                expr(e, f);
            }
        }
        StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => {}
    }
}

fn operand(t: &TypeOrExpr, f: &mut dyn FnMut(&Expr)) {
    if let TypeOrExpr::Expr(e) = t {
        expr(e, f);
    }
}

/// Calls `f` for an expression and all within it.
pub fn expr(e: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(e);
    match &e.kind {
        ExprKind::MapAccess { map, key } => {
            expr(map, f);
            expr(key, f);
        }
        ExprKind::Call { args, .. } => args.iter().for_each(|a| expr(a, f)),
        ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } => expr(base, f),
        ExprKind::Index { base, index } => {
            expr(base, f);
            expr(index, f);
        }
        ExprKind::Unary { expr: inner, .. }
        | ExprKind::Cast { expr: inner, .. }
        | ExprKind::Comptime(inner) => {
            expr(inner, f);
        }
        ExprKind::Step { target, .. } => expr(target, f),
        ExprKind::Binary { left, right, .. } => {
            expr(left, f);
            expr(right, f);
        }
        ExprKind::Ternary { cond, then, otherwise } => {
            expr(cond, f);
            if let Some(t) = then {
                expr(t, f);
            }
            expr(otherwise, f);
        }
        ExprKind::If { cond, then, otherwise } => {
            expr(cond, f);
            block(then, f);
            if let Some(o) = otherwise {
                expr(o, f);
            }
        }
        ExprKind::Block(b) => block(b, f),
        ExprKind::Tuple(items) => items.iter().for_each(|i| expr(i, f)),
        ExprKind::Record(fields) => fields.iter().for_each(|r| expr(&r.value, f)),
        ExprKind::Sizeof(t)
        | ExprKind::Typeof(t)
        | ExprKind::Typeinfo(t)
        | ExprKind::Offsetof { base: t, .. } => {
            operand(t, f);
        }
        ExprKind::Int { .. }
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Ident(_)
        | ExprKind::Positional(_)
        | ExprKind::ParamCount
        | ExprKind::Var(_)
        | ExprKind::Map(_)
        | ExprKind::Error => {}
    }
}

/// Replaces every `if comptime c` by the branch that is taken.
pub fn prune_block(b: &mut Block, consts: &HashMap<NodeId, Const>) {
    for s in &mut b.stmts {
        prune_stmt(s, consts);
    }
    if let Some(v) = &mut b.value {
        prune(v, consts);
    }
}

fn prune_stmt(s: &mut Stmt, consts: &HashMap<NodeId, Const>) {
    match &mut s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => prune(e, consts),
        StmtKind::Assign { lhs, rhs, .. } => {
            prune(rhs, consts);
            prune(lhs, consts);
        }
        StmtKind::Let { value, .. } => {
            if let Some(v) = value {
                prune(v, consts);
            }
        }
        StmtKind::ForMap { body, .. } => prune_block(body, consts),
        StmtKind::ForRange { start, end, body, .. } => {
            prune(start, consts);
            prune(end, consts);
            prune_block(body, consts);
        }
        StmtKind::While { cond, body } | StmtKind::Unroll { count: cond, body } => {
            prune(cond, consts);
            prune_block(body, consts);
        }
        StmtKind::Return(Some(e)) => prune(e, consts),
        StmtKind::Return(None) | StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => {}
    }
}

/// Whether a condition was decided by `comptime`.
fn decided(cond: &Expr, consts: &HashMap<NodeId, Const>) -> Option<bool> {
    match (&cond.kind, consts.get(&cond.id)) {
        (ExprKind::Comptime(_), Some(Const::Int(n))) => Some(*n != 0),
        (ExprKind::Block(b), _) if b.stmts.is_empty() => b.value.as_ref().and_then(|v| decided(v, consts)),
        _ => None,
    }
}

/// Replaces every `if comptime c` within an expression.
pub fn prune(e: &mut Expr, consts: &HashMap<NodeId, Const>) {
    match &mut e.kind {
        ExprKind::If { cond, then, otherwise } => match decided(cond, consts) {
            Some(true) => {
                prune_block(then, consts);
                let empty = Block { span: then.span, stmts: Vec::new(), value: None };
                e.kind = ExprKind::Block(std::mem::replace(then, empty));
            }
            Some(false) => match otherwise.take() {
                Some(mut o) => {
                    prune(&mut o, consts);
                    e.kind = o.kind;
                }
                None => {
                    e.kind = ExprKind::Block(Block { span: e.span, stmts: Vec::new(), value: None });
                }
            },
            None => {
                prune(cond, consts);
                prune_block(then, consts);
                if let Some(o) = otherwise {
                    prune(o, consts);
                }
            }
        },
        ExprKind::MapAccess { key: inner, .. }
        | ExprKind::Field { base: inner, .. }
        | ExprKind::TupleField { base: inner, .. }
        | ExprKind::Unary { expr: inner, .. }
        | ExprKind::Cast { expr: inner, .. }
        | ExprKind::Comptime(inner)
        | ExprKind::Step { target: inner, .. } => prune(inner, consts),
        ExprKind::Call { args, .. } => args.iter_mut().for_each(|a| prune(a, consts)),
        ExprKind::Index { base: a, index: b } | ExprKind::Binary { left: a, right: b, .. } => {
            prune(a, consts);
            prune(b, consts);
        }
        ExprKind::Ternary { cond, then, otherwise } => {
            prune(cond, consts);
            if let Some(t) = then {
                prune(t, consts);
            }
            prune(otherwise, consts);
        }
        ExprKind::Block(b) => prune_block(b, consts),
        ExprKind::Tuple(items) => items.iter_mut().for_each(|i| prune(i, consts)),
        ExprKind::Record(fields) => fields.iter_mut().for_each(|r| prune(&mut r.value, consts)),
        _ => {}
    }
}
