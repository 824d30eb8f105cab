//! Expressions: names, members, elements, conditions, casts.

use super::memory::Fill;
use super::scratch::VarPlace;
use super::shapes::{is_register, register_size};
use super::{Lower, LowerError, Operand, Place};
use crate::typed::{Const, VarId};
use crate::types::{Space, StructType, Type};
use fathom_codegen::ir::{Cond, Size, Ty, Value, Width};
use fathom_syntax::ast::{Expr, ExprKind, UnaryOp};
use fathom_syntax::span::Span;

/// First id of types that the script declares ([`crate::types::CTypeId`]).
const SCRIPT_TYPES: u64 = 1 << 48;

impl Lower<'_> {
    /// Evaluates an expression.
    ///
    /// # Errors
    /// When it can't be expressed in a BPF program of this kind.
    pub fn expr(&mut self, e: &Expr) -> Result<Operand, LowerError> {
        let before = self.b.loc();
        self.set_span(e.span);
        let result = self.expr_kind(e);
        self.b.set_loc(before);
        result
    }

    fn expr_kind(&mut self, e: &Expr) -> Result<Operand, LowerError> {
        let ty = self.ty(e);
        if let Some(constant) = self.typed.constant(e) {
            let constant = constant.clone();
            return Ok(self.constant(&constant, ty));
        }
        match &e.kind {
            ExprKind::Ident(_) | ExprKind::Call { .. } => self.call(e),
            ExprKind::Var(name) => {
                let id = self.var_id(e, name)?;
                self.read_var(id, e.span)
            }
            ExprKind::Map(_) | ExprKind::MapAccess { .. } => self.map_read(e),
            ExprKind::Field { base, field, .. } => self.field(e, base, field),
            ExprKind::TupleField { base, index } => self.tuple_field(base, *index as usize),
            ExprKind::Index { base, index } => self.index(e, base, index),
            ExprKind::Unary { op, expr } => self.unary(e, *op, expr),
            ExprKind::Step { increment, postfix, target } => self.step(target, *increment, *postfix, true),
            ExprKind::Binary { op, left, right } => self.binary(e, *op, left, right),
            ExprKind::Ternary { cond, then, otherwise } => {
                self.ternary(cond, then.as_deref(), otherwise, &ty)
            }
            ExprKind::If { cond, then, otherwise } => {
                let (cond, a, b) = self.condition(cond)?;
                self.select(
                    (cond, a, b),
                    &ty,
                    |l| l.block_value(then),
                    |l| match otherwise {
                        Some(e) => l.expr(e),
                        None => Ok(Operand::Void),
                    },
                )
            }
            ExprKind::Block(block) => self.block_value(block),
            ExprKind::Cast { expr, .. } => self.cast(expr, &ty, e.span),
            ExprKind::Tuple(_) | ExprKind::Record(_) => {
                let place = self.alloc(self.size_of(&ty))?;
                self.expr_into(e, place, &ty)?;
                Ok(Operand::memory(place, ty))
            }
            ExprKind::Comptime(inner) => self.expr(inner),
            _ => Err(LowerError::new(e.span, "This expression has no value when the program runs")),
        }
    }

    /// A constant of the given type.
    pub fn constant(&mut self, constant: &Const, ty: Type) -> Operand {
        match constant {
            Const::Int(n) => Operand::scalar(self.b.iconst(*n), ty),
            Const::Str(bytes) => {
                let ty = match ty {
                    Type::Str { .. } | Type::Buffer { .. } => ty,
                    _ => Type::Str { capacity: bytes.len() as u32 + 1 },
                };
                Operand::Literal { bytes: bytes.clone(), ty }
            }
        }
    }

    fn call(&mut self, e: &Expr) -> Result<Operand, LowerError> {
        let args: &[Expr] = match &e.kind {
            ExprKind::Call { args, .. } => args,
            _ => &[],
        };
        if let Some(index) = self.typed.subprog_calls.get(&e.id).copied() {
            return self.subprog_call(e, index as usize, args);
        }
        match self.typed.builtins.get(&e.id) {
            Some(builtin) => (builtin.lower)(self, e, args),
            None => {
                let name = match &e.kind {
                    ExprKind::Call { name, .. } | ExprKind::Ident(name) => name.as_str(),
                    _ => "",
                };
                Err(LowerError::new(e.span, format!("'{name}' has no meaning when the program runs")))
            }
        }
    }

    /// The comparison that decides a condition, as operands of a branch.
    ///
    /// # Errors
    /// Those of the expression.
    pub fn condition(&mut self, e: &Expr) -> Result<(Cond, Value, Value), LowerError> {
        if self.typed.constant(e).is_none() {
            match &e.kind {
                ExprKind::Binary { op, left, right } => {
                    if let Some(compare) = self.comparison(*op, left, right)? {
                        return Ok(compare);
                    }
                }
                ExprKind::Unary { op: UnaryOp::Not, expr } => {
                    let value = self.scalar(expr)?;
                    let zero = self.b.iconst(0);
                    return Ok((Cond::Eq, value, zero));
                }
                _ => {}
            }
        }
        let value = self.scalar(e)?;
        let zero = self.b.iconst(0);
        Ok((Cond::Ne, value, zero))
    }

    fn ternary(
        &mut self,
        cond: &Expr,
        then: Option<&Expr>,
        otherwise: &Expr,
        ty: &Type,
    ) -> Result<Operand, LowerError> {
        let Some(then) = then else {
            // `a ?: b` evaluates a once.
            let operand = self.expr(cond)?;
            let value = self.to_scalar(operand.clone(), cond.span)?;
            let zero = self.b.iconst(0);
            return self.select((Cond::Ne, value, zero), ty, |_| Ok(operand), |l| l.expr(otherwise));
        };
        let (cond, a, b) = self.condition(cond)?;
        self.select((cond, a, b), ty, |l| l.expr(then), |l| l.expr(otherwise))
    }

    /// One of two values of type `ty`.
    fn select(
        &mut self,
        (cond, a, b): (Cond, Value, Value),
        ty: &Type,
        then: impl FnOnce(&mut Self) -> Result<Operand, LowerError>,
        otherwise: impl FnOnce(&mut Self) -> Result<Operand, LowerError>,
    ) -> Result<Operand, LowerError> {
        let span = self.probe.span;
        let dead = |l: &mut Self| l.b.is_terminated();
        match ty {
            Type::Void | Type::Unknown => {
                self.if_else(cond, a, b, |l| then(l).map(drop), |l| otherwise(l).map(drop))?;
                Ok(Operand::Void)
            }
            ty if is_register(ty) => {
                let one = |l: &mut Self, operand: Operand| {
                    if dead(l) {
                        return Ok(l.b.iconst(0));
                    }
                    let value = l.to_scalar(operand, span)?;
                    Ok(l.number(value))
                };
                let value = self.choose(
                    cond,
                    a,
                    b,
                    |l| {
                        let operand = then(l)?;
                        one(l, operand)
                    },
                    |l| {
                        let operand = otherwise(l)?;
                        one(l, operand)
                    },
                )?;
                Ok(Operand::scalar(value, ty.clone()))
            }
            ty => {
                let place = self.alloc(self.size_of(ty))?;
                let write = |l: &mut Self, operand: Operand| match dead(l) {
                    true => Ok(()),
                    false => l.store_filled(&operand, place, ty, Fill::Clean),
                };
                self.if_else(
                    cond,
                    a,
                    b,
                    |l| {
                        let operand = then(l)?;
                        write(l, operand)
                    },
                    |l| {
                        let operand = otherwise(l)?;
                        write(l, operand)
                    },
                )?;
                Ok(Operand::memory(place, ty.clone()))
            }
        }
    }

    fn unary(&mut self, e: &Expr, op: UnaryOp, expr: &Expr) -> Result<Operand, LowerError> {
        let ty = self.ty(e);
        match op {
            UnaryOp::Deref => {
                let pointer = self.expr(expr)?;
                self.deref(pointer, &ty, expr.span)
            }
            UnaryOp::AddressOf => self.address_of(expr, ty),
            UnaryOp::Not => {
                let (cond, a, b) = self.condition(expr)?;
                let value = self.b.compare(invert(cond), Width::W64, a, b);
                Ok(Operand::scalar(value, ty))
            }
            UnaryOp::Neg => {
                let value = self.scalar(expr)?;
                let value = self.number(value);
                let zero = self.b.iconst(0);
                let value = self.b.sub(zero, value);
                Ok(Operand::scalar(self.narrow(value, &ty), ty))
            }
            UnaryOp::BitNot => {
                let value = self.scalar(expr)?;
                let value = self.number(value);
                let value = self.b.xor_imm(value, -1);
                Ok(Operand::scalar(self.narrow(value, &ty), ty))
            }
        }
    }

    /// What a pointer points to.
    pub(super) fn deref(&mut self, pointer: Operand, ty: &Type, span: Span) -> Result<Operand, LowerError> {
        let space = match pointer.ty() {
            Type::Pointer { space, .. } => space,
            _ => Space::Kernel,
        };
        let addr = self.to_scalar(pointer, span)?;
        self.at_address(addr, 0, space, ty, span)
    }

    /// The value of type `ty` at an address.
    pub(super) fn at_address(
        &mut self,
        addr: Value,
        offset: i64,
        space: Space,
        ty: &Type,
        span: Span,
    ) -> Result<Operand, LowerError> {
        if is_register(ty) {
            let value = self.read_scalar(addr, offset, space, ty, span)?;
            return Ok(Operand::scalar(value, ty.clone()));
        }
        if space == Space::Program && self.b.ty(addr) == Ty::Ptr {
            let offset = i32::try_from(offset).unwrap_or(0);
            return Ok(Operand::memory(Place { ptr: addr, offset, align: 8 }, ty.clone()));
        }
        Ok(Operand::Remote { addr, offset, space, ty: ty.clone() })
    }

    fn address_of(&mut self, e: &Expr, ty: Type) -> Result<Operand, LowerError> {
        let value = match &e.kind {
            ExprKind::Var(name) => {
                let id = self.var_id(e, name)?;
                let place = self.var_place(id, e.span)?;
                self.address(place)
            }
            _ => {
                let (map, key) = self.element_key(e)?;
                match key {
                    None => self.scalar_cell(map, e.span)?,
                    Some(key) => {
                        let id = self.map_id(map, e.span)?;
                        self.map_lookup(id, key)
                    }
                }
            }
        };
        Ok(Operand::scalar(value, ty))
    }

    /// `base.field`
    fn field(&mut self, e: &Expr, base: &Expr, field: &str) -> Result<Operand, LowerError> {
        let base_ty = self.ty(base);
        match &base_ty {
            Type::Args => self.argument(e, field),
            Type::Record(members) => {
                let index = members.iter().position(|(name, _)| **name == *field);
                let index = index.ok_or_else(|| LowerError::new(e.span, format!("No field '{field}'")))?;
                self.tuple_field(base, index)
            }
            _ => {
                let operand = self.expr(base)?;
                self.member(e, operand, field)
            }
        }
    }

    /// Member of a struct, through pointers if there are any.
    fn member(&mut self, e: &Expr, base: Operand, field: &str) -> Result<Operand, LowerError> {
        let mut base = base;
        loop {
            let ty = base.ty();
            match &ty {
                Type::Pointer { to, .. } => {
                    let to = (**to).clone();
                    base = self.deref(base, &to, e.span)?;
                }
                Type::Struct { def, space } => return self.struct_member(e, base, def, *space, field),
                _ => return Err(LowerError::new(e.span, format!("'{field}' is asked of what is no struct"))),
            }
        }
    }

    fn struct_member(
        &mut self,
        e: &Expr,
        base: Operand,
        def: &StructType,
        space: Space,
        field: &str,
    ) -> Result<Operand, LowerError> {
        let info = self.store.field(def, field, space, Space::Kernel).ok_or_else(|| {
            LowerError::new(e.span, format!("Struct '{}' has no member '{field}'", def.name))
        })?;
        // The analysis knows best which memory pointers point to.
        let ty = match self.ty(e) {
            Type::Unknown => info.ty.clone(),
            Type::Struct { def, .. } => match &info.ty {
                Type::Struct { space, .. } => Type::Struct { def, space: *space },
                _ => info.ty.clone(),
            },
            ty => ty,
        };
        let bytes = info.bit_offset / 8;
        match base {
            Operand::Remote { addr, offset, space, .. } => {
                // A struct that the script declares need not look like the kernel's.
                let own = def.id.0 >= SCRIPT_TYPES && space == Space::Kernel && addr != self.ctx();
                let addr = if own { self.number(addr) } else { addr };
                if info.bit_size > 0 {
                    let bits =
                        u64::from(info.bit_offset).saturating_add((offset.max(0) as u64).saturating_mul(8));
                    let value = self.read_bits(addr, space, bits, info.bit_size, &ty, e.span)?;
                    return Ok(Operand::scalar(value, ty));
                }
                self.at_address(addr, offset.saturating_add(i64::from(bytes)), space, &ty, e.span)
            }
            Operand::Memory { place, .. } => {
                if info.bit_size > 0 {
                    return Ok(Operand::scalar(
                        self.memory_bits(place, info.bit_offset, info.bit_size, &ty),
                        ty,
                    ));
                }
                let at = place.at(bytes);
                if is_register(&ty) {
                    return Ok(Operand::scalar(self.scalar_load(at, &ty), ty));
                }
                Ok(Operand::memory(at, ty))
            }
            other => {
                let place = self.materialise(other)?;
                let at = place.at(bytes);
                if is_register(&ty) {
                    return Ok(Operand::scalar(self.scalar_load(at, &ty), ty));
                }
                Ok(Operand::memory(at, ty))
            }
        }
    }

    /// A bitfield of a struct in program memory.
    fn memory_bits(&mut self, place: Place, bit_offset: u32, bits: u32, ty: &Type) -> Value {
        let mut word = self.b.iconst(0);
        let first = bit_offset / 8;
        let count = (bit_offset % 8 + bits).div_ceil(8).min(8);
        for i in 0..count {
            let at = place.at(first + i);
            let byte = self.b.load(at.ptr, at.offset, Size::B1, false);
            let byte = self.b.shl_imm(byte, i64::from(i * 8));
            word = self.b.or(word, byte);
        }
        self.extract_bits(word, u64::from(bit_offset % 8), bits, super::memory::is_signed(ty))
    }

    /// Member `index` of a tuple or record.
    fn tuple_field(&mut self, base: &Expr, index: usize) -> Result<Operand, LowerError> {
        if let ExprKind::Var(name) = &base.kind {
            let id = self.var_id(base, name)?;
            if let Some(VarPlace::Pair { key, value, map }) = self.var_pair(id) {
                return self.pair_member(id, key, (value, map), index, base.span);
            }
        }
        let ty = self.ty(base);
        let operand = self.expr(base)?;
        let place = self.materialise(operand)?;
        let (members, _) = self.tuple_layout(&ty);
        let (ty, at) = members
            .get(index)
            .cloned()
            .ok_or_else(|| LowerError::new(base.span, format!("This tuple has no member {index}")))?;
        let place = place.at(at);
        if is_register(&ty) {
            return Ok(Operand::scalar(self.scalar_load(place, &ty), ty));
        }
        Ok(Operand::memory(place, ty))
    }

    /// `base[index]`
    fn index(&mut self, e: &Expr, base: &Expr, index: &Expr) -> Result<Operand, LowerError> {
        let ty = self.ty(e);
        let operand = self.expr(base)?;
        let size = i64::from(self.size_of(&ty).max(1));
        let constant = self.const_int(index);
        let base_ty = operand.ty();
        let count = match &base_ty {
            Type::Array { count, .. } => Some(*count).filter(|n| *n > 0),
            Type::Str { capacity } => Some(*capacity),
            Type::Buffer { capacity } => Some(*capacity),
            _ => None,
        };
        // A constant index that is inside needs no check.
        let fixed = constant.filter(|i| count.is_none_or(|n| (0..i64::from(n)).contains(i)));
        let scaled = match fixed {
            Some(i) => Err(i.saturating_mul(size)),
            None => {
                let i = self.scalar(index)?;
                let i = self.number(i);
                let i = match count {
                    Some(n) => self.checked_index(i, n, e.span)?,
                    None => i,
                };
                Ok(self.b.mul_imm(i, size))
            }
        };
        match operand {
            Operand::Remote { addr, offset, space, .. } => match scaled {
                Err(at) => self.at_address(addr, offset.saturating_add(at), space, &ty, e.span),
                Ok(at) => {
                    let addr = self.number(addr);
                    let addr = self.b.add(addr, at);
                    self.at_address(addr, offset, space, &ty, e.span)
                }
            },
            Operand::Scalar { value, ty: Type::Pointer { space, .. } } => match scaled {
                Err(at) => self.at_address(value, at, space, &ty, e.span),
                Ok(at) => {
                    let addr = self.number(value);
                    let addr = self.b.add(addr, at);
                    self.at_address(addr, 0, space, &ty, e.span)
                }
            },
            other => {
                let skip = if matches!(base_ty, Type::Buffer { .. }) { 4 } else { 0 };
                let place = self.materialise(other)?.at(skip);
                let place = match scaled {
                    Err(at) => place.at(u32::try_from(at).unwrap_or(0)),
                    Ok(at) => {
                        let ptr = self.b.add(place.ptr, at);
                        Place { ptr, align: place.align.min(1 << (size.trailing_zeros().min(3))), ..place }
                    }
                };
                if is_register(&ty) {
                    return Ok(Operand::scalar(self.scalar_load(place, &ty), ty));
                }
                Ok(Operand::memory(place, ty))
            }
        }
    }

    /// An index that is inside; outside is reported and becomes 0.
    pub(super) fn checked_index(
        &mut self,
        index: Value,
        count: u32,
        span: Span,
    ) -> Result<Value, LowerError> {
        let end = self.b.iconst(i64::from(count));
        self.choose(
            Cond::Ult,
            index,
            end,
            |_| Ok(index),
            |l| {
                l.runtime_error(
                    "Array access out of bounds. Use `len` to check the size of the array before the access.",
                    span,
                );
                Ok(l.b.iconst(0))
            },
        )
    }

    fn cast(&mut self, expr: &Expr, ty: &Type, span: Span) -> Result<Operand, LowerError> {
        let operand = self.expr(expr)?;
        let from = operand.ty();
        match ty {
            Type::Bool => {
                let value = self.to_scalar(operand, span)?;
                let zero = self.b.iconst(0);
                Ok(Operand::scalar(self.b.compare(Cond::Ne, Width::W64, value, zero), Type::Bool))
            }
            Type::Pointer { .. } => {
                let value = match operand {
                    Operand::Remote { addr, offset, .. } => self.offset_address(addr, offset),
                    other => self.to_scalar(other, span)?,
                };
                // What the verifier knows of an object holds for its own type only.
                let value = if from == *ty || value == self.ctx() { value } else { self.number(value) };
                Ok(Operand::scalar(value, ty.clone()))
            }
            ty if is_register(ty) => {
                let value = match operand {
                    Operand::Remote { addr, offset, space, .. } => {
                        self.read_scalar(addr, offset, space, ty, span)?
                    }
                    other if is_register(&from) => {
                        let value = self.to_scalar(other, span)?;
                        self.number(value)
                    }
                    other => {
                        let place = self.materialise(other)?;
                        self.scalar_load(place, ty)
                    }
                };
                Ok(Operand::scalar(self.narrow(value, ty), ty.clone()))
            }
            _ if from == *ty => Ok(operand),
            _ => {
                let place = self.alloc(self.size_of(ty))?;
                self.store(&operand, place, ty)?;
                Ok(Operand::memory(place, ty.clone()))
            }
        }
    }

    /// Cuts a 64-bit value to a type of fewer bytes and extends it again.
    pub(super) fn narrow(&mut self, value: Value, ty: &Type) -> Value {
        match Size::from_bytes(register_size(ty)) {
            Some(size) if size != Size::B8 => self.b.extend(size, super::memory::is_signed(ty), value),
            _ => value,
        }
    }

    /// The variable of a node.
    pub(super) fn var_id(&self, e: &Expr, name: &str) -> Result<VarId, LowerError> {
        self.typed
            .vars
            .get(&e.id)
            .copied()
            .ok_or_else(|| LowerError::new(e.span, format!("Undefined or undeclared variable: {name}")))
    }
}

/// The opposite condition.
pub(super) fn invert(cond: Cond) -> Cond {
    match cond {
        Cond::Eq => Cond::Ne,
        Cond::Ne | Cond::Test => Cond::Eq,
        Cond::Ult => Cond::Uge,
        Cond::Ule => Cond::Ugt,
        Cond::Ugt => Cond::Ule,
        Cond::Uge => Cond::Ult,
        Cond::Slt => Cond::Sge,
        Cond::Sle => Cond::Sgt,
        Cond::Sgt => Cond::Sle,
        Cond::Sge => Cond::Slt,
    }
}
