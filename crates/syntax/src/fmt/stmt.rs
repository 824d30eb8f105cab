//! Layout of blocks and statements.

use super::doc::Doc;
use super::{Entry, Formatter};
use crate::ast::{BinaryOp, Block, Expr, ExprKind, Stmt, StmtKind};

/// Lines between braces.
pub(super) fn braced(lines: Vec<Doc>) -> Doc {
    Doc::Concat(vec![Doc::text("{"), behind_brace(lines)])
}

fn behind_brace(lines: Vec<Doc>) -> Doc {
    if lines.is_empty() {
        return Doc::text("}");
    }
    Doc::Concat(vec![Doc::Lines(vec![Doc::Hard, Doc::Concat(lines)]), Doc::Hard, Doc::text("}")])
}

impl Formatter<'_> {
    /// A block as lines of their own.
    pub(super) fn block(&mut self, block: &Block) -> Doc {
        Doc::Concat(vec![Doc::text("{"), self.body_behind_brace(block)])
    }

    /// A block as part of an expression: on one line when it is nothing but a value.
    pub(super) fn block_in_expr(&mut self, block: &Block) -> Doc {
        match &block.value {
            Some(value) if block.stmts.is_empty() && !self.has_comment_before(block.span.end) => {
                let value = self.expr(value);
                Doc::Concat(vec![
                    Doc::text("{"),
                    Doc::Indent(vec![Doc::Line, value]),
                    Doc::Line,
                    Doc::text("}"),
                ])
            }
            _ => self.block(block),
        }
    }

    /// The lines of a block and its closing brace.
    pub(super) fn body_behind_brace(&mut self, block: &Block) -> Doc {
        let value = block.value.as_deref();
        let count = block.stmts.len() + usize::from(value.is_some());
        let span = |i: usize| match (block.stmts.get(i), value) {
            (Some(stmt), _) => stmt.span,
            (None, Some(value)) => value.span,
            (None, None) => block.span,
        };
        let print = |f: &mut Self, i: usize| match block.stmts.get(i) {
            Some(stmt) => Entry { span: stmt.span, doc: f.stmt(stmt, i + 1 == count) },
            None => {
                Entry { span: span(i), doc: value.map_or(Doc::nothing(), |value| f.statement_expr(value)) }
            }
        };
        let end = block.span.end.saturating_sub(1);
        let lines = self.sequence(count, (block.span.start, end), span, print, |_| false);
        behind_brace(lines)
    }

    /// A statement with its `;`. `last` tells whether it ends its block.
    fn stmt(&mut self, stmt: &Stmt, last: bool) -> Doc {
        let mut parts = Vec::new();
        let mut closed = false;
        match &stmt.kind {
            StmtKind::Expr(expr) => {
                // The last one would be the block's value without the `;`.
                closed = ends_in_block(expr) && !last;
                parts.push(self.statement_expr(expr));
            }
            StmtKind::Assign { lhs, op, rhs } => {
                let lhs = self.leading(lhs);
                let sign = op.map_or("", BinaryOp::sign);
                parts.extend([lhs, Doc::text(format!(" {sign}= ")), self.expr(rhs)]);
            }
            StmtKind::Discard(expr) => parts.extend([Doc::text("_ = "), self.expr(expr)]),
            StmtKind::Let { var, ty, value } => {
                parts.extend([Doc::text("let "), self.expr(var)]);
                if let Some(ty) = ty {
                    parts.extend([Doc::text(": "), self.type_doc(ty)]);
                }
                if let Some(value) = value {
                    parts.extend([Doc::text(" = "), self.expr(value)]);
                }
            }
            StmtKind::Break => parts.push(Doc::text("break")),
            StmtKind::Continue => parts.push(Doc::text("continue")),
            StmtKind::Return(None) => parts.push(Doc::text("return")),
            StmtKind::Return(Some(value)) => parts.extend([Doc::text("return "), self.expr(value)]),
            StmtKind::Import(import) => {
                parts.push(Doc::text(format!("import {}", super::expr::quoted(import.path.as_bytes()))));
            }
            _ => {
                closed = true;
                parts.push(self.looped(&stmt.kind));
            }
        }
        if !closed {
            parts.push(Doc::text(";"));
        }
        Doc::Concat(parts)
    }

    /// A loop.
    fn looped(&mut self, kind: &StmtKind) -> Doc {
        let (head, body) = match kind {
            StmtKind::ForMap { var, map, body } => (
                vec![Doc::text("for ("), self.expr(var), Doc::text(" : "), self.expr(map), Doc::text(") ")],
                body,
            ),
            StmtKind::ForRange { var, start, end, body } => {
                let (var, start, end) = (self.expr(var), self.primary(start), self.primary(end));
                (
                    vec![
                        Doc::text("for ("),
                        var,
                        Doc::text(" : "),
                        start,
                        Doc::text(".."),
                        end,
                        Doc::text(") "),
                    ],
                    body,
                )
            }
            StmtKind::While { cond, body } => {
                (vec![Doc::text("while "), self.condition(cond), Doc::text(" ")], body)
            }
            StmtKind::Unroll { count, body } => {
                (vec![Doc::text("unroll "), self.condition(count), Doc::text(" ")], body)
            }
            _ => return Doc::nothing(),
        };
        let mut parts = head;
        parts.push(self.block(body));
        Doc::Concat(parts)
    }

    /// An expression where a statement stands: `if` and blocks have lines of their own.
    fn statement_expr(&mut self, expr: &Expr) -> Doc {
        match &expr.kind {
            ExprKind::If { .. } => self.if_chain(expr, true),
            ExprKind::Block(block) => self.block(block),
            _ => self.leading(expr),
        }
    }
}

fn ends_in_block(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::If { .. } | ExprKind::Block(_))
}
