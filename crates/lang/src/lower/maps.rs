//! Maps of the script: creation, keys, reads, writes, steps and deletes of elements.

use super::memory::Fill;
use super::output::MapStore;
use super::shapes::{is_register, Shapes};
use super::{aggregate, Lower, LowerError, Operand, Output, Place};
use crate::analyse::store::TypeStore;
use crate::typed::{MapIndex, Typed};
use crate::types::Type;
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::helper_flags;
use fathom_codegen::ir::{Cond, Effect, MapId, Size, Ty, Value};
use fathom_codegen::program::{ActionKind, MapDef, ValueKind};
use fathom_syntax::ast::{Expr, ExprKind};
use fathom_syntax::span::Span;

/// `-EEXIST`
const EEXIST: i64 = -17;

/// Makes all maps of the script.
pub(super) fn declare(typed: &Typed, store: &TypeStore<'_>, out: &mut Output) {
    let entries = u32::try_from(typed.config.max_map_keys).unwrap_or(u32::MAX);
    for (info, index) in typed.maps.iter().zip(0..) {
        let key = info.key.as_ref().map(|ty| (Shapes::new(out, store).shape(ty, 0), store.size_of(ty)));
        let (value, size) = match info.agg() {
            Some(agg) => aggregate::cell(agg),
            None => {
                let shape = Shapes::new(out, store).shape(&info.value, 0);
                // Registers fill 8 bytes, so that atomic operations work; their low bytes are what the shape says.
                let size = if is_register(&info.value) { 8 } else { store.size_of(&info.value) };
                (ValueKind::Plain(shape), size)
            }
        };
        out.add_user_map(MapIndex(index), info, key, value, size, entries);
    }
}

/// Position of a member of a record type.
pub(super) fn record_position(ty: &Type, name: Option<&str>) -> Option<usize> {
    match ty {
        Type::Record(members) => members.iter().position(|(n, _)| Some(&**n) == name),
        _ => None,
    }
}

/// Finding maps and elements.
impl Lower<'_> {
    /// The map that an expression (`@m` or `@m[k]`) names.
    ///
    /// # Errors
    /// When it names none.
    pub fn map_of(&self, e: &Expr) -> Result<MapIndex, LowerError> {
        let name = match &e.kind {
            ExprKind::Map(name) => name,
            ExprKind::MapAccess { map, .. } => return self.map_of(map),
            _ => return Err(LowerError::new(e.span, "A map is needed here")),
        };
        self.typed
            .map_by_name
            .get(name)
            .copied()
            .ok_or_else(|| LowerError::new(e.span, format!("Undefined map: {name}")))
    }

    /// How a map is kept.
    ///
    /// # Errors
    /// When there is no such map.
    pub fn map_store(&self, map: MapIndex, span: Span) -> Result<MapStore, LowerError> {
        self.out
            .user_map(map)
            .cloned()
            .ok_or_else(|| LowerError::new(span, "This map is never given a value"))
    }

    /// The map's number in the program.
    ///
    /// # Errors
    /// When there is no such map.
    pub fn map_id(&self, map: MapIndex, span: Span) -> Result<MapId, LowerError> {
        Ok(self.map_store(map, span)?.id)
    }

    /// A map that only programs see, by name; made when first asked for.
    pub fn internal_map(&mut self, name: &str, def: impl FnOnce() -> MapDef) -> MapId {
        self.out.named_map(name, def)
    }

    /// The key of `map`, evaluated into memory.
    ///
    /// # Errors
    /// Those of the expression.
    pub fn map_key(&mut self, map: MapIndex, key: &Expr) -> Result<Place, LowerError> {
        let store = self.map_store(map, key.span)?;
        let ty = store.key.clone().unwrap_or_else(|| self.ty(key));
        let place = self.alloc(store.key_size)?;
        self.expr_into(key, place, &ty)?;
        Ok(place)
    }

    /// The key of the element that `@m[k]` names; `None` for scalar maps.
    pub(super) fn element_key(&mut self, e: &Expr) -> Result<(MapIndex, Option<Place>), LowerError> {
        let map = self.map_of(e)?;
        match &e.kind {
            ExprKind::MapAccess { key, .. } => Ok((map, Some(self.map_key(map, key)?))),
            _ => Ok((map, None)),
        }
    }

    /// Evaluates an expression into a place, as a key or value of type `ty`: tuples are built member by member where they stand.
    ///
    /// # Errors
    /// Those of the expression.
    pub fn expr_into(&mut self, e: &Expr, place: Place, ty: &Type) -> Result<(), LowerError> {
        let members: Option<Vec<(Option<&str>, &Expr)>> = match &e.kind {
            ExprKind::Tuple(members) => Some(members.iter().map(|m| (None, m)).collect()),
            ExprKind::Record(fields) => {
                Some(fields.iter().map(|f| (Some(f.name.as_str()), &f.value)).collect())
            }
            _ => None,
        };
        let tuple = matches!(ty, Type::Tuple(_) | Type::Record(_));
        let Some(members) = members.filter(|_| tuple && self.typed.constant(e).is_none()) else {
            let operand = self.expr(e)?;
            return self.store(&operand, place, ty);
        };
        let (layout, size) = self.tuple_layout(ty);
        let filled: u32 = layout.iter().map(|(t, _)| self.size_of(t)).sum();
        if filled != size {
            self.zero(place, size);
        }
        for (i, (name, member)) in members.into_iter().enumerate() {
            let Some((member_ty, at)) = layout.get(record_position(ty, name).unwrap_or(i)) else {
                return Err(LowerError::new(member.span, "The tuple has more members than its type"));
            };
            self.expr_into(member, place.at(*at), member_ty)?;
        }
        Ok(())
    }

    /// Pointer to the value of a key, or null.
    pub fn map_lookup(&mut self, map: MapId, key: Place) -> Value {
        let at = self.address(key);
        let map = self.b.map_ref(map);
        self.b.call_ptr(Helper::MAP_LOOKUP_ELEM, &[map, at], Effect::Read)
    }

    /// A key of 4 zero bytes: that of arrays with one element.
    pub fn zero_key(&mut self) -> Place {
        let key = self.alloc_stack(4);
        let zero = self.b.iconst(0);
        self.b.store(key.ptr, key.offset, Size::B4, zero);
        key
    }

    /// Pointer to the cell of a scalar map (this CPU's where it is per CPU).
    pub(super) fn scalar_cell(&mut self, map: MapIndex, span: Span) -> Result<Value, LowerError> {
        let store = self.map_store(map, span)?;
        if !store.per_cpu {
            return Ok(self.b.map_value(store.id, 0));
        }
        let key = self.zero_key();
        let ptr = self.map_lookup(store.id, key);
        self.bail_if_null(ptr);
        Ok(ptr)
    }

    /// Notes in the cell of a scalar map that it holds something.
    pub(super) fn mark_present(&mut self, map: MapIndex, cell: Value) {
        let Some(store) = self.out.user_map(map) else { return };
        let Some(at) = store.presence else { return };
        let counts = self.typed.maps.get(map.0 as usize).is_some_and(|m| m.agg().is_some()) && at <= 8;
        if counts || self.presence_known(map.0) {
            return;
        }
        let one = self.b.iconst(1);
        match i32::from(i16::try_from(at).unwrap_or(-1)) {
            -1 => {
                let flag = self.b.add_imm(cell, i64::from(at));
                self.b.store(flag, 0, Size::B8, one);
            }
            at => self.b.store(cell, at, Size::B8, one),
        }
    }
}

/// Elements of maps that hold plain values.
impl Lower<'_> {
    /// The value of `@m` or `@m[k]`: 0 or empty if there is none.
    pub(super) fn map_read(&mut self, e: &Expr) -> Result<Operand, LowerError> {
        let (map, key) = self.element_key(e)?;
        self.element_value(map, key, e.span)
    }

    /// The value of an element: 0 or empty if there is none.
    ///
    /// # Errors
    /// When the map is unknown or aggregates to more than one number.
    pub fn element_value(
        &mut self,
        map: MapIndex,
        key: Option<Place>,
        span: Span,
    ) -> Result<Operand, LowerError> {
        let (ty, agg) = self.map_type(map, span)?;
        if let Some(agg) = agg {
            let value = self.read_aggregate(map, key, &agg, span)?;
            return Ok(Operand::scalar(value, Type::I64));
        }
        let store = self.map_store(map, span)?;
        let Some(key) = key else {
            let cell = self.scalar_cell(map, span)?;
            return Ok(self.value_at(cell, &ty));
        };
        let ptr = self.map_lookup(store.id, key);
        let zero = self.b.iconst(0);
        if is_register(&ty) {
            let of = ty.clone();
            let value = self.choose(
                Cond::Ne,
                ptr,
                zero,
                |l| Ok(l.scalar_load(Place { ptr, offset: 0, align: 8 }, &of)),
                |l| {
                    l.lookup_failed(span);
                    Ok(l.b.iconst(0))
                },
            )?;
            return Ok(Operand::scalar(value, ty));
        }
        let zeros = self.out.zeros(store.value_size);
        let ptr = self.choose_as(
            Ty::Ptr,
            Cond::Ne,
            ptr,
            zero,
            |_| Ok(ptr),
            |l| {
                l.lookup_failed(span);
                Ok(l.b.map_value(zeros, 0))
            },
        )?;
        Ok(self.value_at(ptr, &ty))
    }

    /// Tells, where failures of helpers are asked for, that an element was not there.
    fn lookup_failed(&mut self, span: Span) {
        if !self.options.helper_warnings {
            return;
        }
        let kind = ActionKind::HelperError {
            helper: "map_lookup_elem".into(),
            message: "Can't lookup map element because it does not exist.".into(),
            only_verbose: true,
        };
        let none = self.b.iconst(0);
        self.report(kind, none, span);
    }

    /// The value that lies at a pointer into a map.
    pub(super) fn value_at(&mut self, ptr: Value, ty: &Type) -> Operand {
        let place = Place { ptr, offset: 0, align: 8 };
        if is_register(ty) {
            Operand::scalar(self.scalar_load(place, ty), ty.clone())
        } else {
            Operand::memory(place, ty.clone())
        }
    }

    /// Type of a map's values, and its aggregation.
    pub(crate) fn map_type(
        &self,
        map: MapIndex,
        span: Span,
    ) -> Result<(Type, Option<crate::types::Agg>), LowerError> {
        let info = self
            .typed
            .maps
            .get(map.0 as usize)
            .ok_or_else(|| LowerError::new(span, "This map is never given a value"))?;
        Ok((info.value.clone(), info.agg().cloned()))
    }

    /// `@m = value` or `@m[k] = value`.
    pub(super) fn map_assign(&mut self, target: &Expr, value: &Expr) -> Result<(), LowerError> {
        let map = self.map_of(target)?;
        let (ty, _) = self.map_type(map, target.span)?;
        let store = self.map_store(map, target.span)?;
        let ExprKind::MapAccess { key, .. } = &target.kind else {
            // The old value may occur in the new one: evaluate before writing.
            let cell_place = |ptr| Place { ptr, offset: 0, align: 8 };
            if is_register(&ty) {
                let value = self.scalar(value)?;
                let cell = self.scalar_cell(map, target.span)?;
                self.b.store(cell, 0, Size::B8, value);
                self.mark_present(map, cell);
            } else {
                let operand = self.expr(value)?;
                let cell = self.scalar_cell(map, target.span)?;
                self.store(&operand, cell_place(cell), &ty)?;
                self.mark_present(map, cell);
            }
            return Ok(());
        };
        let place = if is_register(&ty) {
            let value = self.scalar(value)?;
            let place = self.alloc_stack(8);
            self.b.store(place.ptr, place.offset, Size::B8, value);
            place
        } else {
            self.value_for_update(value, &ty, store.value_size)?
        };
        let key = self.map_key(map, key)?;
        self.map_update(store.id, key, place, target.span);
        Ok(())
    }

    /// A value as map updates take it: padded to the size of the map's values.
    fn value_for_update(&mut self, value: &Expr, ty: &Type, size: u32) -> Result<Place, LowerError> {
        let place = self.alloc(size)?;
        let used = self.size_of(ty);
        self.expr_into(value, place, ty)?;
        self.zero(place.at(used), size.saturating_sub(used));
        Ok(place)
    }

    /// Sets an element; reports when the map is full.
    pub fn map_update(&mut self, map: MapId, key: Place, value: Place, span: Span) {
        let (key, value) = (self.address(key), self.address(value));
        let map = self.b.map_ref(map);
        let flags = self.b.iconst(helper_flags::BPF_ANY as i64);
        let ret = self.b.call(Helper::MAP_UPDATE_ELEM, &[map, key, value, flags], Effect::Write);
        let zero = self.b.iconst(0);
        // The closure can't fail.
        let _ = self.if_then(Cond::Ne, ret, zero, |l| {
            l.map_full(ret, span);
            Ok(())
        });
    }

    /// Adds to a number in a map without losing an update of another CPU. Gives the value before, if it is wanted.
    pub(super) fn map_add(
        &mut self,
        target: &Expr,
        delta: Value,
        wants_old: bool,
    ) -> Result<Option<Value>, LowerError> {
        let (map, key) = self.element_key(target)?;
        let store = self.map_store(map, target.span)?;
        let Some(key) = key else {
            let cell = self.scalar_cell(map, target.span)?;
            let old = self.add_in_place(cell, delta, wants_old);
            self.mark_present(map, cell);
            return Ok(old);
        };
        let (old, done) = (self.b.declare_var(Ty::Int), self.b.declare_var(Ty::Int));
        let zero = self.b.iconst(0);
        self.b.def_var(old, zero);
        let found = self.map_lookup(store.id, key);
        self.if_else(
            Cond::Ne,
            found,
            zero,
            |l| {
                let before = l.add_in_place(found, delta, wants_old);
                before.into_iter().for_each(|v| l.b.def_var(old, v));
                Ok(())
            },
            |l| {
                let initial = l.alloc(store.value_size)?;
                l.zero(initial.at(8), store.value_size.saturating_sub(8));
                l.b.store(initial.ptr, initial.offset, Size::B8, delta);
                let (at, value) = (l.address(key), l.address(initial));
                let m = l.b.map_ref(store.id);
                let flags = l.b.iconst(helper_flags::BPF_NOEXIST as i64);
                let ret = l.b.call(Helper::MAP_UPDATE_ELEM, &[m, at, value, flags], Effect::Write);
                l.b.def_var(done, ret);
                let zero = l.b.iconst(0);
                l.if_then(Cond::Ne, ret, zero, |l| {
                    l.add_after_race(store.id, key, (ret, delta), wants_old.then_some(old), target.span)
                })
            },
        )?;
        Ok(wants_old.then(|| self.b.use_var(old)))
    }

    /// The element could not be made: another CPU made it meanwhile, or the map is full.
    fn add_after_race(
        &mut self,
        map: MapId,
        key: Place,
        (ret, delta): (Value, Value),
        old: Option<fathom_codegen::Var>,
        span: Span,
    ) -> Result<(), LowerError> {
        let exists = self.b.iconst(EEXIST);
        self.if_else(
            Cond::Eq,
            ret,
            exists,
            |l| {
                let again = l.map_lookup(map, key);
                let zero = l.b.iconst(0);
                l.if_then(Cond::Ne, again, zero, |l| {
                    let before = l.add_in_place(again, delta, old.is_some());
                    if let (Some(var), Some(before)) = (old, before) {
                        l.b.def_var(var, before);
                    }
                    Ok(())
                })
            },
            |l| {
                l.map_full(ret, span);
                Ok(())
            },
        )
    }

    /// Adds to 8 bytes of a map value.
    fn add_in_place(&mut self, cell: Value, delta: Value, wants_old: bool) -> Option<Value> {
        if !wants_old {
            self.b.atomic_add(cell, 0, Size::B8, delta);
            return None;
        }
        if self.has(crate::facts::Feature::AtomicFetch) {
            return Some(self.b.atomic_fetch_add(cell, 0, Size::B8, delta));
        }
        let old = self.b.load(cell, 0, Size::B8, false);
        self.b.atomic_add(cell, 0, Size::B8, delta);
        Some(old)
    }

    /// Replaces the value of a number in a map by a register (compound assignments that no atomic operation does).
    pub(super) fn map_set_register(
        &mut self,
        map: MapIndex,
        key: Option<Place>,
        value: Value,
        span: Span,
    ) -> Result<(), LowerError> {
        let Some(key) = key else {
            let cell = self.scalar_cell(map, span)?;
            self.b.store(cell, 0, Size::B8, value);
            self.mark_present(map, cell);
            return Ok(());
        };
        let store = self.map_store(map, span)?;
        let place = self.alloc_stack(8);
        self.b.store(place.ptr, place.offset, Size::B8, value);
        self.map_update(store.id, key, place, span);
        Ok(())
    }

    /// Deletes an element (or the value of a scalar map); gives 1 if there was one, else 0.
    ///
    /// # Errors
    /// When the map is unknown.
    pub fn map_delete(&mut self, map: MapIndex, key: Option<Place>, span: Span) -> Result<Value, LowerError> {
        let store = self.map_store(map, span)?;
        if let Some(key) = key {
            let at = self.address(key);
            let id = self.b.map_ref(store.id);
            let ret = self.b.call(Helper::MAP_DELETE_ELEM, &[id, at], Effect::Write);
            let zero = self.b.iconst(0);
            return Ok(self.b.compare(Cond::Eq, fathom_codegen::ir::Width::W64, ret, zero));
        }
        self.presence_unknown(map.0);
        let existed = self.b.declare_var(Ty::Int);
        let zero = self.b.iconst(0);
        self.b.def_var(existed, zero);
        let (size, flag) = (store.value_size, store.presence.unwrap_or(0));
        let clear = |l: &mut Self, ptr: Value| {
            let at = Place { ptr, offset: 0, align: 8 };
            let set = match i32::from(i16::try_from(flag).unwrap_or(-1)) {
                -1 => {
                    let far = l.b.add_imm(ptr, i64::from(flag));
                    l.b.load(far, 0, Size::B8, false)
                }
                flag => l.b.load(ptr, flag, Size::B8, false),
            };
            let zero = l.b.iconst(0);
            l.if_then(Cond::Ne, set, zero, |l| {
                let one = l.b.iconst(1);
                l.b.def_var(existed, one);
                l.zero(at, size);
                Ok(())
            })
        };
        if store.per_cpu {
            let key = self.zero_key();
            self.each_cpu(&store, key, clear)?;
        } else {
            let cell = self.b.map_value(store.id, 0);
            clear(self, cell)?;
        }
        Ok(self.b.use_var(existed))
    }

    /// Writes an operand into a fresh temporary as a key or value of type `ty`.
    ///
    /// # Errors
    /// When the value can't be of that type.
    pub fn operand_in_memory(&mut self, operand: &Operand, ty: &Type) -> Result<Place, LowerError> {
        let place = self.alloc(self.size_of(ty))?;
        self.store_filled(operand, place, ty, Fill::Clean)?;
        Ok(place)
    }
}
