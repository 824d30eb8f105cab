//! Casts.

use super::Infer;
use crate::analyse::consts;
use crate::analyse::space_of_address;
use crate::analyse::value::{fits, Lit, Val};
use crate::typed::Const;
use crate::types::{Space, Type};
use fathom_syntax::ast::{Expr, TypeExpr};
use std::sync::Arc;

impl Infer<'_> {
    pub(super) fn cast(&mut self, e: &Expr, ty: &TypeExpr, operand: &Expr) -> Val {
        let mut to = match self.written_type(ty) {
            Type::TypeValue(t) => t.as_ref().clone(),
            t => t,
        };
        let from = self.val(operand);
        if to == Type::Unknown || from.ty == Type::Unknown {
            return Val::hard(self.aimed(to, operand, &from.ty));
        }
        to = self.aimed(to, operand, &from.ty);
        if let Type::Array { elem, count: 0, space } = &to {
            let size = self.env.store.size_of(elem).max(1);
            let count = self.byte_size(&from.ty) / size;
            to = Type::Array { elem: elem.clone(), count, space: *space };
        }
        if let (Type::Str { capacity: 0 }, Type::Str { capacity }) = (&to, &from.ty) {
            to = Type::Str { capacity: *capacity };
        }
        if !self.castable(&from.ty, &to) && !self.literal_fills(&from, &to) {
            let text = format!("Cannot cast from \"{}\" to \"{to}\"", from.ty);
            self.error(e.span, text);
            return Val::hard(to);
        }
        self.fold_cast(e, operand, &from.ty, &to);
        Val::hard(to)
    }

    /// Pointers made from numbers and from other pointers point where those do.
    fn aimed(&self, to: Type, operand: &Expr, from: &Type) -> Type {
        match to {
            Type::Pointer { to, .. } => {
                let space = match from {
                    Type::Pointer { space, .. } => *space,
                    Type::Array { space, .. } | Type::Struct { space, .. } => *space,
                    _ => space_of_address(operand, self.probe),
                };
                Type::Pointer { to: Arc::new(re_aimed(&to, space)), space }
            }
            other => other,
        }
    }

    fn byte_size(&self, ty: &Type) -> u32 {
        match ty {
            Type::Buffer { capacity } => *capacity,
            t => self.env.store.size_of(t),
        }
    }

    /// A literal adapts to the size of an array as it does to that of an integer.
    fn literal_fills(&self, from: &Val, to: &Type) -> bool {
        let (Lit::Range(min, max), Type::Array { elem, .. }) = (&from.lit, to) else { return false };
        let size = self.env.store.size_of(to);
        let holds = |signed| fits(*min, *max, size as u8, signed);
        matches!(size, 1 | 2 | 4 | 8)
            && self.castable(&Type::int(size as u8), to)
            && elem.is_integral()
            && (holds(true) || holds(false))
    }

    fn castable(&self, from: &Type, to: &Type) -> bool {
        use Type::*;
        match (from, to) {
            (Void | Args | TypeValue(_) | Aggregation(_), _) => false,
            (a, b) if a == b => true,
            (a, b) if a.is_integral() && b.is_integral() => true,
            (a, Pointer { .. }) if a.is_integral() => true,
            (Pointer { .. }, b) if b.is_integral() => true,
            (Pointer { .. }, Pointer { .. }) => true,
            (Array { .. }, Pointer { .. }) => true,
            (Str { .. }, Pointer { .. }) => false,
            (Str { capacity: a }, Str { capacity: b }) => b >= a,
            (Int { .. } | Bool | Enum(_) | Str { .. } | Buffer { .. } | Array { .. }, Array { elem, .. }) => {
                let plain = matches!(**elem, Int { .. } | Bool | Enum(_) | Pointer { .. });
                plain && self.byte_size(from) == self.env.store.size_of(to)
            }
            (Array { elem, .. }, b) if b.is_integral() => {
                elem.is_integral() && self.env.store.size_of(from) == self.env.store.size_of(b)
            }
            (Array { elem, .. }, Str { capacity }) => {
                **elem == Type::int(1) && *capacity >= self.env.store.size_of(from)
            }
            (
                KernelSym | Timestamp(_) | ErrorName | SignalName | SyscallName | CgroupPath(_) | Username,
                Int { .. },
            ) => true,
            (Int { .. }, KernelSym | UserSym | Username | ErrorName | SignalName | SyscallName) => true,
            (Int { .. }, Timestamp(_) | CgroupPath(_)) => true,
            (Struct { .. }, Struct { .. }) => crate::analyse::value::same(from, to),
            (Int { .. }, Struct { .. }) => false,
            (Tuple(a), Tuple(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| self.castable(x, y))
            }
            _ => false,
        }
    }

    fn fold_cast(&mut self, e: &Expr, operand: &Expr, from: &Type, to: &Type) {
        let folded = match (self.const_of(operand), to) {
            (Some(Const::Int(n)), Type::Bool) => Const::Int(i64::from(n != 0)),
            (Some(Const::Int(n)), Type::Int { size, signed }) => {
                Const::Int(consts::truncate(consts::number(n, from), *size, *signed))
            }
            (Some(Const::Int(n)), Type::Enum(t)) => {
                Const::Int(consts::truncate(consts::number(n, from), t.size, t.signed))
            }
            (Some(Const::Int(n)), Type::Pointer { .. }) => Const::Int(n),
            (Some(Const::Str(s)), Type::Str { .. }) => Const::Str(s),
            _ => return,
        };
        self.st.consts.insert(e.id, folded);
    }
}

/// A pointee that lies in `space`, with what its pointers point to.
fn re_aimed(ty: &Type, space: Space) -> Type {
    match ty {
        Type::Pointer { to, .. } => Type::Pointer { to: Arc::new(re_aimed(to, space)), space },
        Type::Struct { def, .. } => Type::Struct { def: def.clone(), space },
        Type::Array { elem, count, .. } => {
            Type::Array { elem: Arc::new(re_aimed(elem, space)), count: *count, space }
        }
        other => other.clone(),
    }
}
