//! Calls of the script's own functions (`fn`): the body is written where it is called.

use super::memory::Fill;
use super::shapes::is_register;
use super::{Lower, LowerError, Operand, Place};
use crate::types::Type;
use fathom_codegen::ir::{Block, Ty};
use fathom_codegen::Var;
use fathom_syntax::ast::Expr;

/// Calls within calls that are followed; a function that calls itself never ends.
const DEPTH_MAX: usize = 16;

/// Where `return` leads within a function's body.
#[derive(Clone, Debug)]
pub(super) struct Return {
    /// Behind the body.
    end: Block,
    /// Where the result goes.
    result: Target,
    ty: Type,
}

/// Where a result goes.
#[derive(Clone, Copy, Debug)]
enum Target {
    Nothing,
    Register(Var),
    Memory(Place),
}

impl Lower<'_> {
    /// Calls function number `index`.
    pub(super) fn subprog_call(
        &mut self,
        e: &Expr,
        index: usize,
        args: &[Expr],
    ) -> Result<Operand, LowerError> {
        let typed = self.typed;
        let (Some(subprog), Some(params)) = (typed.subprogs.get(index), typed.subprog_vars.get(index)) else {
            return Err(LowerError::new(e.span, "This function is not defined"));
        };
        if self.func.returns.len() >= DEPTH_MAX {
            let text =
                format!("Function '{}' is called {DEPTH_MAX} calls deep, or calls itself", subprog.name);
            return Err(LowerError::new(e.span, text));
        }
        self.spend(e.span)?;
        for (param, arg) in params.iter().zip(args) {
            self.assign_var(*param, arg, arg.span)?;
        }
        let ty = typed.subprog_rets.get(index).cloned().unwrap_or(Type::Void);
        let result = match &ty {
            Type::Void | Type::Unknown => Target::Nothing,
            ty if is_register(ty) => {
                let var = self.b.declare_var(Ty::Int);
                let zero = self.b.iconst(0);
                self.b.def_var(var, zero);
                Target::Register(var)
            }
            ty => {
                let size = self.size_of(ty);
                let place = self.alloc(size)?;
                self.zero(place, size);
                Target::Memory(place)
            }
        };
        let end = self.b.new_block();
        self.func.returns.push(Return { end, result, ty: ty.clone() });
        let loops = std::mem::take(&mut self.func.loops);
        let body = self.scoped(|l| l.body(&subprog.body));
        self.func.loops = loops;
        self.func.returns.pop();
        body?;
        if !self.b.is_terminated() {
            self.b.jump(end, &[]);
        }
        self.b.seal(end);
        self.b.switch_to(end);
        Ok(match result {
            Target::Nothing => Operand::Void,
            Target::Register(var) => Operand::scalar(self.b.use_var(var), ty),
            Target::Memory(place) => Operand::memory(place, ty),
        })
    }

    /// `return value` within a function's body; false if this is none.
    pub(super) fn subprog_return(&mut self, value: Option<&Expr>) -> Result<bool, LowerError> {
        let Some(Return { end, result, ty }) = self.func.returns.last().cloned() else { return Ok(false) };
        if let Some(value) = value {
            match result {
                Target::Nothing => self.effect(value)?,
                Target::Register(var) => {
                    let value = self.scalar(value)?;
                    let value = self.number(value);
                    let value = self.narrow(value, &ty);
                    self.b.def_var(var, value);
                }
                Target::Memory(place) => {
                    let operand = self.expr(value)?;
                    self.store_filled(&operand, place, &ty, Fill::Clean)?;
                }
            }
        }
        self.b.jump(end, &[]);
        Ok(true)
    }
}
