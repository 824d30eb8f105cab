//! What builtins ask of the function being written: variables they set, callbacks that do nothing, whether anyone wants their value.

use super::memory::Fill;
use super::shapes::is_register;
use super::walk::{self, Node};
use super::{Lower, LowerError, Operand};
use crate::typed::MapIndex;
use fathom_codegen::ir::{FuncId, Ty};
use fathom_codegen::FuncBuilder;
use fathom_syntax::ast::{Block, Expr, ExprKind, NodeId, StmtKind};
use fathom_syntax::span::Span;

impl Lower<'_> {
    /// Gives a variable (an output argument of a builtin) a value.
    ///
    /// # Errors
    /// When the expression is no variable, or the value does not fit it.
    pub fn set_variable(&mut self, var: &Expr, value: Operand) -> Result<(), LowerError> {
        let ExprKind::Var(name) = &var.kind else {
            return Err(LowerError::new(var.span, "A variable is needed here"));
        };
        let id = self.var_id(var, name)?;
        let ty = self.ty(var);
        if is_register(&ty) {
            let value = self.to_scalar(value, var.span)?;
            return self.write_var(id, value, var.span);
        }
        let place = self.var_place(id, var.span)?;
        self.store_filled(&value, place, &ty, Fill::Clean)
    }

    /// The value of a map's element at a pointer that a lookup gave and that is not null; for aggregations that of all CPUs.
    ///
    /// # Errors
    /// When the aggregation has no single value.
    pub fn found_value(
        &mut self,
        map: MapIndex,
        key: super::Place,
        ptr: fathom_codegen::ir::Value,
        span: Span,
    ) -> Result<Operand, LowerError> {
        let (ty, agg) = self.map_type(map, span)?;
        match agg {
            Some(_) => self.element_value(map, Some(key), span),
            None => Ok(self.value_at(ptr, &ty)),
        }
    }

    /// A function that the kernel may call for each element of a map, and that goes on to the next.
    pub fn idle_callback(&mut self) -> FuncId {
        let mut b = FuncBuilder::new(&format!("each{}", self.funcs.len()), &[Ty::Ptr; 4], self.b.loc());
        let zero = b.iconst(0);
        b.ret(zero);
        self.funcs.push(Some(b.finish()));
        FuncId(self.funcs.len() as u32 - 1)
    }

    /// Whether an expression of the clause stands as a statement, so that its value is dropped.
    pub fn is_dropped(&self, e: &Expr) -> bool {
        let mut found = is_value(&self.probe.body, e.id);
        walk::block(&self.probe.body, &mut |node| {
            let Node::Stmt(s) = node else { return };
            found |= match &s.kind {
                StmtKind::Expr(x) => drops(x, e.id),
                StmtKind::ForMap { body, .. }
                | StmtKind::ForRange { body, .. }
                | StmtKind::While { body, .. }
                | StmtKind::Unroll { body, .. } => is_value(body, e.id),
                _ => false,
            };
        });
        found
    }
}

/// Whether an expression that stands as a statement drops the value of another within it.
fn drops(e: &Expr, id: NodeId) -> bool {
    match &e.kind {
        ExprKind::If { then, otherwise, .. } => {
            is_value(then, id) || otherwise.as_ref().is_some_and(|o| drops(o, id))
        }
        ExprKind::Block(block) => is_value(block, id),
        _ => e.id == id,
    }
}

fn is_value(block: &Block, id: NodeId) -> bool {
    block.value.as_ref().is_some_and(|v| drops(v, id))
}
