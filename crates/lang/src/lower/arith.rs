//! Operators: arithmetic, comparisons, logic, steps.

use super::shapes::is_register;
use super::{Lower, LowerError, Operand};
use crate::analyse::operands_signed;
use crate::typed::VarId;
use crate::types::{Space, Type};
use fathom_codegen::ir::{BinOp, Cond, Value, Width};
use fathom_syntax::ast::{BinaryOp, Expr, ExprKind};
use fathom_syntax::span::Span;

/// Text of the message when a divisor is 0 while the program runs.
const DIVIDE_BY_ZERO: &str =
    "Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being used as the result.";

impl Lower<'_> {
    /// `left op right`
    pub(super) fn binary(
        &mut self,
        e: &Expr,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
    ) -> Result<Operand, LowerError> {
        let ty = self.ty(e);
        if let BinaryOp::LogicalAnd | BinaryOp::LogicalOr = op {
            return self.logical(op == BinaryOp::LogicalAnd, left, right, ty);
        }
        if let Some((cond, a, b)) = self.comparison(op, left, right)? {
            return Ok(Operand::scalar(self.b.compare(cond, Width::W64, a, b), ty));
        }
        let (left_ty, right_ty) = (self.ty(left), self.ty(right));
        let a = self.scalar(left)?;
        let a = self.keep_or_number(a, &left_ty, op);
        let b = self.scalar(right)?;
        let b = self.number(b);
        let moves = matches!(op, BinaryOp::Add | BinaryOp::Sub);
        match (&left_ty, &right_ty) {
            (Type::Pointer { .. }, Type::Pointer { .. }) if op == BinaryOp::Sub => {
                let a = self.number(a);
                let bytes = self.b.sub(a, b);
                let size = i64::from(self.pointee_size(&left_ty));
                Ok(Operand::scalar(self.b.sdiv_imm(bytes, size), ty))
            }
            (Type::Pointer { .. }, _) if moves => {
                Ok(Operand::scalar(self.pointer_offset(a, &left_ty, b, op == BinaryOp::Sub), ty))
            }
            (_, Type::Pointer { .. }) if op == BinaryOp::Add => {
                let a = self.number(a);
                Ok(Operand::scalar(self.pointer_offset(b, &right_ty, a, false), ty))
            }
            _ => {
                let signed = operands_signed(left, right, self.typed);
                let value = self.arithmetic(op, a, b, signed, e.span)?;
                Ok(Operand::scalar(self.narrow(value, &ty), ty))
            }
        }
    }

    /// Adding to a pointer keeps what the verifier knows of it only for memory of the program.
    fn keep_or_number(&mut self, value: Value, ty: &Type, op: BinaryOp) -> Value {
        match (ty, op) {
            (Type::Pointer { space: Space::Program, .. }, BinaryOp::Add | BinaryOp::Sub) => value,
            _ => self.number(value),
        }
    }

    fn pointee_size(&self, ty: &Type) -> u32 {
        match ty {
            Type::Pointer { to, .. } => self.size_of(to).max(1),
            _ => 1,
        }
    }

    fn pointer_offset(&mut self, pointer: Value, ty: &Type, count: Value, back: bool) -> Value {
        let bytes = self.b.mul_imm(count, i64::from(self.pointee_size(ty)));
        if back {
            self.b.sub(pointer, bytes)
        } else {
            self.b.add(pointer, bytes)
        }
    }

    /// Arithmetic on numbers of 64 bits.
    pub(super) fn arithmetic(
        &mut self,
        op: BinaryOp,
        a: Value,
        b: Value,
        signed: bool,
        span: Span,
    ) -> Result<Value, LowerError> {
        let op = match op {
            BinaryOp::Add => BinOp::Add,
            BinaryOp::Sub => BinOp::Sub,
            BinaryOp::Mul => BinOp::Mul,
            BinaryOp::And => BinOp::And,
            BinaryOp::Or => BinOp::Or,
            BinaryOp::Xor => BinOp::Xor,
            BinaryOp::Shl => BinOp::Shl,
            BinaryOp::Shr if signed => BinOp::AShr,
            BinaryOp::Shr => BinOp::LShr,
            BinaryOp::Div if signed => BinOp::SDiv,
            BinaryOp::Div => BinOp::UDiv,
            BinaryOp::Mod if signed => BinOp::SMod,
            BinaryOp::Mod => BinOp::UMod,
            _ => return Err(LowerError::new(span, "This operator gives no number")),
        };
        if !matches!(op, BinOp::SDiv | BinOp::UDiv | BinOp::SMod | BinOp::UMod) {
            return Ok(self.b.binary(op, Width::W64, a, b));
        }
        let zero = self.b.iconst(0);
        self.choose(
            Cond::Ne,
            b,
            zero,
            |l| Ok(l.b.binary(op, Width::W64, a, b)),
            |l| {
                l.runtime_error(DIVIDE_BY_ZERO, span);
                Ok(l.b.iconst(1))
            },
        )
    }

    /// A comparison as operands of a branch; `None` for other operators.
    pub(super) fn comparison(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
    ) -> Result<Option<(Cond, Value, Value)>, LowerError> {
        let (signed_cond, unsigned_cond) = match op {
            BinaryOp::Eq => (Cond::Eq, Cond::Eq),
            BinaryOp::Ne => (Cond::Ne, Cond::Ne),
            BinaryOp::Lt => (Cond::Slt, Cond::Ult),
            BinaryOp::Le => (Cond::Sle, Cond::Ule),
            BinaryOp::Gt => (Cond::Sgt, Cond::Ugt),
            BinaryOp::Ge => (Cond::Sge, Cond::Uge),
            _ => return Ok(None),
        };
        let (left_ty, right_ty) = (self.ty(left), self.ty(right));
        if !is_register(&left_ty) || !is_register(&right_ty) {
            let same = self.equal_values(left, right)?;
            let zero = self.b.iconst(0);
            let cond = if op == BinaryOp::Eq { Cond::Ne } else { Cond::Eq };
            return Ok(Some((cond, same, zero)));
        }
        let signed = operands_signed(left, right, self.typed)
            && !matches!(left_ty, Type::Pointer { .. })
            && !matches!(right_ty, Type::Pointer { .. });
        let a = self.scalar(left)?;
        let b = self.scalar(right)?;
        Ok(Some((if signed { signed_cond } else { unsigned_cond }, a, b)))
    }

    fn logical(&mut self, and: bool, left: &Expr, right: &Expr, ty: Type) -> Result<Operand, LowerError> {
        let (cond, a, b) = self.condition(left)?;
        let rest = |l: &mut Self| {
            let (cond, a, b) = l.condition(right)?;
            Ok(l.b.compare(cond, Width::W64, a, b))
        };
        let value = if and {
            self.choose(cond, a, b, rest, |l| Ok(l.b.iconst(0)))?
        } else {
            self.choose(cond, a, b, |l| Ok(l.b.iconst(1)), rest)?
        };
        Ok(Operand::scalar(value, ty))
    }

    /// `++` and `--`. `wanted`: the value is used.
    pub(super) fn step(
        &mut self,
        target: &Expr,
        increment: bool,
        postfix: bool,
        wanted: bool,
    ) -> Result<Operand, LowerError> {
        let ty = self.ty(target);
        let by = match &ty {
            Type::Pointer { .. } => i64::from(self.pointee_size(&ty)),
            _ => 1,
        };
        let by = if increment { by } else { -by };
        if let ExprKind::Var(name) = &target.kind {
            let id: VarId = self.var_id(target, name)?;
            let operand = self.read_var(id, target.span)?;
            let old = self.to_scalar(operand, target.span)?;
            let old = self.number(old);
            let new = self.b.add_imm(old, by);
            let new = self.narrow(new, &ty);
            self.write_var(id, new, target.span)?;
            return Ok(Operand::scalar(if postfix { old } else { new }, ty));
        }
        let delta = self.b.iconst(by);
        let old = self.map_add(target, delta, wanted)?;
        Ok(match old {
            Some(old) => {
                let value = if postfix { old } else { self.b.add_imm(old, by) };
                Operand::scalar(self.narrow(value, &ty), ty)
            }
            None => Operand::Void,
        })
    }
}
