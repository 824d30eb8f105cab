//! Conditional code in structured form: blocks, joins and the scopes of what is computed already.

use super::{Lower, LowerError};
use fathom_codegen::ir::{Cond, Ty, Value, Width};

impl Lower<'_> {
    /// Runs `then` if the condition holds (64-bit comparison).
    ///
    /// # Errors
    /// Those of the closure.
    pub fn if_then(
        &mut self,
        cond: Cond,
        a: Value,
        b: Value,
        then: impl FnOnce(&mut Self) -> Result<(), LowerError>,
    ) -> Result<(), LowerError> {
        self.if_else(cond, a, b, then, |_| Ok(()))
    }

    /// Runs one of two pieces of code.
    ///
    /// # Errors
    /// Those of the closures.
    pub fn if_else(
        &mut self,
        cond: Cond,
        a: Value,
        b: Value,
        then: impl FnOnce(&mut Self) -> Result<(), LowerError>,
        otherwise: impl FnOnce(&mut Self) -> Result<(), LowerError>,
    ) -> Result<(), LowerError> {
        let (yes, no, join) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
        self.b.branch(cond, Width::W64, a, b, (yes, &[]), (no, &[]));
        self.b.seal(yes);
        self.b.seal(no);
        self.b.switch_to(yes);
        self.scoped(then)?;
        if !self.b.is_terminated() {
            self.b.jump(join, &[]);
        }
        self.b.switch_to(no);
        self.scoped(otherwise)?;
        if !self.b.is_terminated() {
            self.b.jump(join, &[]);
        }
        self.b.seal(join);
        self.b.switch_to(join);
        Ok(())
    }

    /// The value of one of two pieces of code.
    ///
    /// # Errors
    /// Those of the closures.
    pub fn choose(
        &mut self,
        cond: Cond,
        a: Value,
        b: Value,
        then: impl FnOnce(&mut Self) -> Result<Value, LowerError>,
        otherwise: impl FnOnce(&mut Self) -> Result<Value, LowerError>,
    ) -> Result<Value, LowerError> {
        self.choose_as(Ty::Int, cond, a, b, then, otherwise)
    }

    /// Like [`Lower::choose`], for a result of the given kind.
    ///
    /// # Errors
    /// Those of the closures.
    pub fn choose_as(
        &mut self,
        ty: Ty,
        cond: Cond,
        a: Value,
        b: Value,
        then: impl FnOnce(&mut Self) -> Result<Value, LowerError>,
        otherwise: impl FnOnce(&mut Self) -> Result<Value, LowerError>,
    ) -> Result<Value, LowerError> {
        let (yes, no, join) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
        let result = self.b.block_param(join, ty);
        self.b.branch(cond, Width::W64, a, b, (yes, &[]), (no, &[]));
        self.b.seal(yes);
        self.b.seal(no);
        self.b.switch_to(yes);
        let value = self.scoped(then)?;
        if !self.b.is_terminated() {
            self.b.jump(join, &[value]);
        }
        self.b.switch_to(no);
        let value = self.scoped(otherwise)?;
        if !self.b.is_terminated() {
            self.b.jump(join, &[value]);
        }
        self.b.seal(join);
        self.b.switch_to(join);
        Ok(result)
    }

    /// Runs a piece of code whose results are not known to what follows.
    pub(super) fn scoped<T>(
        &mut self,
        code: impl FnOnce(&mut Self) -> Result<T, LowerError>,
    ) -> Result<T, LowerError> {
        self.enter_scope();
        let result = code(self);
        self.leave_scope();
        result
    }

    /// A loop over 0..count (a constant): the body gets the counter. For short loops that the verifier follows to the end.
    ///
    /// # Errors
    /// Those of the closure.
    pub fn counted_loop(
        &mut self,
        count: u32,
        body: impl FnOnce(&mut Self, Value) -> Result<(), LowerError>,
    ) -> Result<(), LowerError> {
        let counter = self.b.declare_var(Ty::Int);
        let zero = self.b.iconst(0);
        self.b.def_var(counter, zero);
        let (head, inside, behind) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        let i = self.b.use_var(counter);
        let end = self.b.iconst(i64::from(count));
        self.b.branch(Cond::Ult, Width::W64, i, end, (inside, &[]), (behind, &[]));
        self.b.seal(inside);
        self.b.switch_to(inside);
        self.scoped(|l| body(l, i))?;
        let next = self.b.add_imm(i, 1);
        self.b.def_var(counter, next);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal(behind);
        self.b.switch_to(behind);
        Ok(())
    }
}
