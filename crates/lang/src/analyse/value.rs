//! How types of several values become one: literals adapt, integers and strings widen, tuples go member by member.

use crate::types::{Agg, Space, StructType, Type};
use std::sync::Arc;

/// How far an integer type comes from literals alone, so that it adapts to others.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Lit {
    /// A type that was meant.
    #[default]
    Hard,
    /// Literals within these bounds.
    Range(i128, i128),
    /// Member by member of a tuple or record.
    Members(Vec<Lit>),
}

/// A type with what is known of its literals.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Val {
    /// The type.
    pub ty: Type,
    /// Where it comes from.
    pub lit: Lit,
}

impl Val {
    /// A type that was meant.
    pub fn hard(ty: Type) -> Val {
        Val { ty, lit: Lit::Hard }
    }
    /// An integer literal.
    pub fn literal(n: i128) -> Val {
        Val { ty: int_for(n, n), lit: Lit::Range(n, n) }
    }
}

/// What is worth a warning about a unification.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Notes {
    /// `uint64` met a signed type: large values turn negative.
    pub sign_mix: bool,
    /// Pointers to different address spaces met.
    pub space_mix: bool,
}

/// The smallest signed type for a range, `uint64` if only that holds it.
pub fn int_for(min: i128, max: i128) -> Type {
    for (size, bits) in [(1u8, 7u32), (2, 15), (4, 31), (8, 63)] {
        if min >= -(1i128 << bits) && max < (1i128 << bits) {
            return Type::int(size);
        }
    }
    if min >= 0 {
        Type::U64
    } else {
        Type::I64
    }
}

/// Least and greatest value of an integer type.
pub fn bounds(size: u8, signed: bool) -> (i128, i128) {
    let bits = u32::from(size.clamp(1, 8)) * 8;
    if signed {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    }
}

/// Whether the range of literals fits an integer type.
pub fn fits(min: i128, max: i128, size: u8, signed: bool) -> bool {
    let (lo, hi) = bounds(size, signed);
    min >= lo && max <= hi
}

fn unify_ints(a: (u8, bool), la: &Lit, b: (u8, bool), lb: &Lit, notes: &mut Notes) -> Val {
    match (la, lb) {
        (Lit::Range(min_a, max_a), Lit::Range(min_b, max_b)) => {
            let (min, max) = (*min_a.min(min_b), *max_a.max(max_b));
            Val { ty: int_for(min, max), lit: Lit::Range(min, max) }
        }
        (Lit::Range(min, max), _) => adapt(*min, *max, b, notes),
        (_, Lit::Range(min, max)) => adapt(*min, *max, a, notes),
        _ if a.1 == b.1 => Val::hard(Type::Int { size: a.0.max(b.0), signed: a.1 }),
        _ => {
            let unsigned = if a.1 { b.0 } else { a.0 };
            notes.sign_mix |= unsigned == 8;
            Val::hard(Type::I64)
        }
    }
}

/// A literal meets a type: the type stays if the literal fits, else it grows.
fn adapt(min: i128, max: i128, (size, signed): (u8, bool), notes: &mut Notes) -> Val {
    if fits(min, max, size, signed) {
        return Val::hard(Type::Int { size, signed });
    }
    for wider in [2u8, 4, 8] {
        if wider > size && fits(min, max, wider, signed) {
            return Val::hard(Type::Int { size: wider, signed });
        }
    }
    notes.sign_mix |= size == 8;
    Val::hard(Type::I64)
}

fn member_lit(lit: &Lit, i: usize) -> Lit {
    match lit {
        Lit::Members(m) => m.get(i).cloned().unwrap_or_default(),
        _ => Lit::Hard,
    }
}

/// The lit of a tuple's members; plain `Hard` when all are.
pub fn members_lit(lits: Vec<Lit>) -> Lit {
    if lits.iter().all(|l| *l == Lit::Hard) {
        Lit::Hard
    } else {
        Lit::Members(lits)
    }
}

/// Whether two struct types are the same for assignments: the same declaration, or equally named and sized (a kernel type seen through
/// different modules).
pub fn same_struct(a: &StructType, b: &StructType) -> bool {
    a.id == b.id || (!a.name.is_empty() && a.name == b.name && a.is_union == b.is_union && a.size == b.size)
}

/// The type that holds values of both, or `None` if there is none. `Unknown` gives way to anything.
pub fn unify(a: &Val, b: &Val, notes: &mut Notes) -> Option<Val> {
    use Type::*;
    Some(match (&a.ty, &b.ty) {
        (Unknown, _) => b.clone(),
        (_, Unknown) => a.clone(),
        (Int { size: sa, signed: ga }, Int { size: sb, signed: gb }) => {
            unify_ints((*sa, *ga), &a.lit, (*sb, *gb), &b.lit, notes)
        }
        (Bool, Int { .. }) => b.clone(),
        (Int { .. }, Bool) => a.clone(),
        (Enum(x), Enum(y)) if x.table == y.table => {
            Val::hard(if x.size >= y.size { a.ty.clone() } else { b.ty.clone() })
        }
        (Enum(e), Int { .. } | Enum(_) | Bool) => {
            let (y, ly) = as_int(b);
            unify_ints((e.size, e.signed), &Lit::Hard, y, &ly, notes)
        }
        (Int { .. } | Bool, Enum(e)) => {
            let (x, lx) = as_int(a);
            unify_ints(x, &lx, (e.size, e.signed), &Lit::Hard, notes)
        }
        (Str { capacity: x }, Str { capacity: y }) => Val::hard(Str { capacity: *x.max(y) }),
        (Buffer { capacity: x }, Buffer { capacity: y }) => Val::hard(Buffer { capacity: *x.max(y) }),
        (Tuple(x), Tuple(y)) if x.len() == y.len() => {
            let mut types = Vec::with_capacity(x.len());
            let mut lits = Vec::with_capacity(x.len());
            for (i, (tx, ty)) in x.iter().zip(y.iter()).enumerate() {
                let vx = Val { ty: tx.clone(), lit: member_lit(&a.lit, i) };
                let vy = Val { ty: ty.clone(), lit: member_lit(&b.lit, i) };
                let v = unify(&vx, &vy, notes)?;
                types.push(v.ty);
                lits.push(v.lit);
            }
            Val { ty: Tuple(types.into()), lit: members_lit(lits) }
        }
        (Record(x), Record(y)) if x.len() == y.len() => return unify_records(a, b, x, y, notes),
        (Pointer { to: x, space: sx }, Pointer { to: y, space: sy }) => {
            notes.space_mix |= sx != sy && **y != Void && **x != Void;
            if same(x, y) || **y == Void || **y == Unknown {
                a.clone()
            } else if **x == Void || **x == Unknown {
                b.clone()
            } else {
                return None;
            }
        }
        // a null pointer
        (Pointer { .. }, Int { .. }) if b.lit == Lit::Range(0, 0) => a.clone(),
        (Int { .. }, Pointer { .. }) if a.lit == Lit::Range(0, 0) => b.clone(),
        (Array { elem: x, count: cx, space }, Array { elem: y, count: cy, .. }) if cx == cy && same(x, y) => {
            Val::hard(Array { elem: x.clone(), count: *cx, space: *space })
        }
        (Struct { def: x, .. }, Struct { def: y, .. }) if same_struct(x, y) => a.clone(),
        (KernelStack { mode: x, limit: lx }, KernelStack { mode: y, limit: ly }) if x == y => {
            Val::hard(KernelStack { mode: *x, limit: *lx.max(ly) })
        }
        (UserStack { mode: x, limit: lx }, UserStack { mode: y, limit: ly }) if x == y => {
            Val::hard(UserStack { mode: *x, limit: *lx.max(ly) })
        }
        (Aggregation(x), Aggregation(y)) => Val::hard(Aggregation(unify_aggregations(x, y)?)),
        (x, y) if x == y => a.clone(),
        _ => return None,
    })
}

/// The same function with values of different signs keeps signed ones.
fn unify_aggregations(a: &Agg, b: &Agg) -> Option<Agg> {
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Agg::Sum { .. }, Agg::Sum { .. }) => Agg::Sum { signed: true },
        (Agg::Min { .. }, Agg::Min { .. }) => Agg::Min { signed: true },
        (Agg::Max { .. }, Agg::Max { .. }) => Agg::Max { signed: true },
        (Agg::Avg { .. }, Agg::Avg { .. }) => Agg::Avg { signed: true },
        (Agg::Stats { .. }, Agg::Stats { .. }) => Agg::Stats { signed: true },
        _ => return None,
    })
}

/// Records with the same names in any order; the order is that of the later one, as assignments show it.
fn unify_records(
    a: &Val,
    b: &Val,
    x: &Arc<[(Arc<str>, Type)]>,
    y: &Arc<[(Arc<str>, Type)]>,
    notes: &mut Notes,
) -> Option<Val> {
    let mut types = Vec::with_capacity(x.len());
    let mut lits = Vec::with_capacity(x.len());
    for (i, (name, tx)) in x.iter().enumerate() {
        let j = y.iter().position(|(n, _)| n == name)?;
        let vx = Val { ty: tx.clone(), lit: member_lit(&a.lit, i) };
        let vy = Val { ty: y.get(j)?.1.clone(), lit: member_lit(&b.lit, j) };
        let v = unify(&vx, &vy, notes)?;
        types.push((name.clone(), v.ty));
        lits.push(v.lit);
    }
    Some(Val { ty: Type::Record(types.into()), lit: members_lit(lits) })
}

fn as_int(v: &Val) -> ((u8, bool), Lit) {
    match &v.ty {
        Type::Int { size, signed } => ((*size, *signed), v.lit.clone()),
        Type::Enum(e) => ((e.size, e.signed), Lit::Hard),
        _ => ((1, false), Lit::Hard),
    }
}

/// Whether two types are the same but for address spaces and equal structs of different modules.
pub fn same(a: &Type, b: &Type) -> bool {
    use Type::*;
    match (a, b) {
        (Pointer { to: x, .. }, Pointer { to: y, .. }) => same(x, y),
        (Array { elem: x, count: cx, .. }, Array { elem: y, count: cy, .. }) => cx == cy && same(x, y),
        (Struct { def: x, .. }, Struct { def: y, .. }) => same_struct(x, y),
        _ => a == b,
    }
}

/// The type of a value once it was copied into a variable or map: structs and arrays lie in program memory then.
pub fn stored(ty: &Type) -> Type {
    match ty {
        Type::Struct { def, .. } => Type::Struct { def: def.clone(), space: Space::Program },
        Type::Array { elem, count, .. } => {
            Type::Array { elem: Arc::new(stored(elem)), count: *count, space: Space::Program }
        }
        Type::Tuple(members) => Type::Tuple(members.iter().map(stored).collect()),
        Type::Record(members) => Type::Record(members.iter().map(|(n, t)| (n.clone(), stored(t))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(a: Val, b: Val) -> (Option<Val>, Notes) {
        let mut notes = Notes::default();
        (unify(&a, &b, &mut notes), notes)
    }

    #[test]
    fn literals_take_the_smallest_signed_type() {
        assert_eq!(int_for(1, 1), Type::int(1));
        assert_eq!(int_for(0, 128), Type::int(2));
        assert_eq!(int_for(0, u64::MAX.into()), Type::U64);
        assert_eq!(int_for(-1, i128::from(u64::MAX)), Type::I64);
    }

    #[test]
    fn literals_adapt_and_types_widen() {
        let (v, notes) = both(Val::hard(Type::uint(4)), Val::literal(7));
        assert_eq!((v.unwrap().ty, notes.sign_mix), (Type::uint(4), false));
        let (v, _) = both(Val::hard(Type::uint(1)), Val::literal(300));
        assert_eq!(v.unwrap().ty, Type::uint(2));
        let (v, notes) = both(Val::hard(Type::U64), Val::literal(-1));
        assert_eq!((v.unwrap().ty, notes.sign_mix), (Type::I64, true));
        let (v, notes) = both(Val::hard(Type::uint(4)), Val::hard(Type::int(4)));
        assert_eq!((v.unwrap().ty, notes.sign_mix), (Type::I64, false));
    }

    #[test]
    fn tuples_go_member_by_member() {
        let tuple = |s, n: Val| Val {
            ty: Type::Tuple([Type::Str { capacity: s }, n.ty].into()),
            lit: members_lit(vec![Lit::Hard, n.lit]),
        };
        let (v, _) = both(tuple(2, Val::literal(1)), tuple(9, Val::literal(1000)));
        assert_eq!(v.unwrap().ty, Type::Tuple([Type::Str { capacity: 9 }, Type::int(2)].into()));
        let (v, _) = both(tuple(2, Val::literal(1)), Val::literal(1));
        assert_eq!(v, None);
    }

    #[test]
    fn void_pointers_and_null_go_with_any_pointer() {
        let p = |t| Val::hard(Type::pointer(t, Space::Kernel));
        assert_eq!(both(p(Type::I64), p(Type::Void)).0.unwrap(), p(Type::I64));
        assert_eq!(both(p(Type::Void), p(Type::I64)).0.unwrap(), p(Type::I64));
        assert_eq!(both(p(Type::I64), Val::literal(0)).0.unwrap(), p(Type::I64));
        assert_eq!(both(p(Type::I64), p(Type::Bool)).0, None);
    }
}
