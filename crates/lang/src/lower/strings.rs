//! Equality of strings and other values in memory.

use super::{Lower, LowerError, Operand, Place};
use crate::types::Type;
use fathom_codegen::ir::{Cond, Size, Ty, Value, Width};
use fathom_syntax::ast::Expr;

impl Lower<'_> {
    /// 1 if two values in memory are equal, else 0.
    pub(super) fn equal_values(&mut self, left: &Expr, right: &Expr) -> Result<Value, LowerError> {
        let a = self.expr(left)?;
        let b = self.expr(right)?;
        match (a, b) {
            (Operand::Literal { bytes, .. }, other) | (other, Operand::Literal { bytes, .. })
                if matches!(other.ty(), Type::Str { .. }) =>
            {
                let bytes = bytes.to_vec();
                self.equals_literal(other, &bytes)
            }
            (a, b) if matches!(a.ty(), Type::Str { .. }) => {
                let (cap_a, cap_b) = (self.size_of(&a.ty()), self.size_of(&b.ty()));
                let a = self.materialise(a)?;
                let b = self.materialise(b)?;
                self.equal_strings(a, b, cap_a.min(cap_b))
            }
            (a, b) => {
                let ty = a.ty();
                let size = self.size_of(&ty);
                // Members may hold strings: equal values have equal bytes only when made so.
                let (left, right) = match ty {
                    Type::Tuple(_) | Type::Record(_) => {
                        (self.operand_in_memory(&a, &ty)?, self.operand_in_memory(&b, &ty)?)
                    }
                    _ => (self.materialise(a)?, self.materialise(b)?),
                };
                Ok(self.equal_bytes(left, right, size))
            }
        }
    }

    /// 1 if a string equals constant bytes, else 0.
    pub fn equals_literal(&mut self, operand: Operand, bytes: &[u8]) -> Result<Value, LowerError> {
        let capacity = self.size_of(&operand.ty());
        let text = bytes.split(|b| *b == 0).next().unwrap_or(bytes);
        if text.len() as u32 >= capacity {
            return Ok(self.b.iconst(0));
        }
        let place = self.materialise(operand)?;
        let differ = self.differing_bits(place, text, text.len() as u32 + 1);
        let zero = self.b.iconst(0);
        Ok(self.b.compare(Cond::Eq, Width::W64, differ, zero))
    }

    /// 0 if the first `len` bytes at a place are these (padded with zeros).
    pub fn differing_bits(&mut self, place: Place, bytes: &[u8], len: u32) -> Value {
        let mut all = self.b.iconst(0);
        let mut i = 0;
        while i < len {
            let here = place.at(i);
            let mut step = u32::from(here.align).max(1);
            while step > len - i {
                step /= 2;
            }
            let step = step.max(1);
            let mut word = [0u8; 8];
            for (k, b) in word.iter_mut().enumerate().take(step as usize) {
                *b = bytes.get(i as usize + k).copied().unwrap_or(0);
            }
            let size = Size::from_bytes(step).unwrap_or(Size::B1);
            let have = self.b.load(here.ptr, here.offset, size, false);
            let differ = self.b.xor_imm(have, i64::from_le_bytes(word));
            all = self.b.or(all, differ);
            i += step;
        }
        all
    }

    /// 1 if `len` bytes are equal, else 0.
    pub fn equal_bytes(&mut self, a: Place, b: Place, len: u32) -> Value {
        let mut all = self.b.iconst(0);
        let mut i = 0;
        while i < len {
            let (x, y) = (a.at(i), b.at(i));
            let mut step = u32::from(x.align.min(y.align)).max(1);
            while step > len - i {
                step /= 2;
            }
            let step = step.max(1);
            let size = Size::from_bytes(step).unwrap_or(Size::B1);
            let left = self.b.load(x.ptr, x.offset, size, false);
            let right = self.b.load(y.ptr, y.offset, size, false);
            let differ = self.b.xor(left, right);
            all = self.b.or(all, differ);
            i += step;
        }
        let zero = self.b.iconst(0);
        self.b.compare(Cond::Eq, Width::W64, all, zero)
    }

    /// 1 if two NUL-terminated strings of at most `capacity` bytes are equal, else 0.
    ///
    /// # Errors
    /// None today.
    pub fn equal_strings(&mut self, a: Place, b: Place, capacity: u32) -> Result<Value, LowerError> {
        let same = self.b.declare_var(Ty::Int);
        let counter = self.b.declare_var(Ty::Int);
        let (zero, one) = (self.b.iconst(0), self.b.iconst(1));
        self.b.def_var(same, one);
        self.b.def_var(counter, zero);
        let (left, right) = (self.address(a), self.address(b));
        let (head, inside, equal, next, behind) = (
            self.b.new_block(),
            self.b.new_block(),
            self.b.new_block(),
            self.b.new_block(),
            self.b.new_block(),
        );
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        let i = self.b.use_var(counter);
        let end = self.b.iconst(i64::from(capacity));
        self.b.branch(Cond::Ult, Width::W64, i, end, (inside, &[]), (behind, &[]));
        self.b.seal(inside);
        self.b.switch_to(inside);
        let (x, y) = (self.b.add(left, i), self.b.add(right, i));
        let x = self.b.load(x, 0, Size::B1, false);
        let y = self.b.load(y, 0, Size::B1, false);
        let differ = self.b.new_block();
        self.b.branch(Cond::Eq, Width::W64, x, y, (equal, &[]), (differ, &[]));
        self.b.seal(equal);
        self.b.seal(differ);
        self.b.switch_to(differ);
        let zero = self.b.iconst(0);
        self.b.def_var(same, zero);
        self.b.jump(behind, &[]);
        self.b.switch_to(equal);
        let zero = self.b.iconst(0);
        self.b.branch(Cond::Eq, Width::W64, x, zero, (behind, &[]), (next, &[]));
        self.b.seal(next);
        self.b.switch_to(next);
        let more = self.b.add_imm(i, 1);
        self.b.def_var(counter, more);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal(behind);
        self.b.switch_to(behind);
        Ok(self.b.use_var(same))
    }
}
