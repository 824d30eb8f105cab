//! What inference knows so far: types and constants by node, variables, maps; it only grows until nothing changes any more.

use super::value::{stored, unify, Lit, Notes, Val};
use crate::typed::{Const, MapIndex, MapInfo, VarId, VarInfo};
use crate::types::Type;
use fathom_syntax::ast::{Expr, NodeId};
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use std::collections::HashMap;

/// A map with its key and value as far as known.
#[derive(Debug)]
pub struct MapSlot {
    /// Literals in the key.
    key_lit: Lit,
    /// Literals in the value.
    value_lit: Lit,
    /// Used with a key, without, or not seen yet.
    pub keyed: Option<bool>,
    /// Something was assigned to it.
    pub assigned: bool,
    /// The public part.
    pub info: MapInfo,
}

/// A variable with what was assigned to it so far.
#[derive(Debug)]
pub struct VarSlot {
    /// Literals in the type.
    pub lit: Lit,
    /// The type was declared.
    pub declared: bool,
    /// A declared pointer got its address space from a value.
    pub space_settled: bool,
    /// The public part.
    pub info: VarInfo,
}

/// Result of the rounds so far.
#[derive(Debug, Default)]
pub struct State {
    /// The last round: reports count.
    pub is_final: bool,
    /// Types have settled and some are not known: an operand of arithmetic without a type counts as a number
    /// (`@n = @n + 1` as the only assignment).
    pub guess: bool,
    /// Reports are dropped.
    pub muted: bool,
    /// Something got another type in this round.
    pub changed: bool,
    /// Reports of the last round.
    pub diags: Vec<Diagnostic>,
    /// By node id.
    pub types: Vec<Type>,
    /// Nodes whose type comes from literals.
    pub lits: HashMap<NodeId, Lit>,
    /// Constants.
    pub consts: HashMap<NodeId, Const>,
    /// The variable of each `Var` node.
    pub var_of: HashMap<NodeId, VarId>,
    /// All variables.
    pub vars: Vec<VarSlot>,
    /// All maps.
    pub maps: Vec<MapSlot>,
    /// By name with `@`.
    pub map_by_name: HashMap<String, MapIndex>,
    /// Options of the script that `getopt` mentions.
    pub options: Vec<(String, String, String)>,
    /// Longest string, which bounds how far strings grow.
    pub max_strlen: u32,
}

impl State {
    /// Keeps a report of the last round; the same text at the same place counts once.
    pub fn report(&mut self, d: Diagnostic) {
        let known = |o: &Diagnostic| o.span == d.span && o.message == d.message;
        if self.is_final && !self.muted && !self.diags.iter().any(known) {
            self.diags.push(d);
        }
    }

    /// The map of this name; made if it is new.
    pub fn map(&mut self, name: &str, span: Span) -> MapIndex {
        if let Some(&i) = self.map_by_name.get(name) {
            return i;
        }
        let index = MapIndex(self.maps.len() as u32);
        let info = MapInfo { name: name.into(), key: None, value: Type::Unknown, declared: None, span };
        let (key_lit, value_lit) = (Lit::Hard, Lit::Hard);
        self.maps.push(MapSlot { key_lit, value_lit, keyed: None, assigned: false, info });
        self.map_by_name.insert(name.to_string(), index);
        index
    }
    /// The public part of a map.
    pub fn map_info(&self, map: MapIndex) -> &MapInfo {
        &self.maps[map.0 as usize].info
    }

    /// The type of an expression, after it was inferred in this round.
    pub fn ty(&self, e: &Expr) -> Type {
        self.types.get(e.id.0 as usize).cloned().unwrap_or_default()
    }
    /// Type with literals of an expression.
    pub fn val(&self, e: &Expr) -> Val {
        Val { ty: self.ty(e), lit: self.lits.get(&e.id).cloned().unwrap_or_default() }
    }
    /// Sets the type of a node.
    pub fn set(&mut self, id: NodeId, val: Val) {
        let i = id.0 as usize;
        if self.types.len() <= i {
            self.types.resize(i + 1, Type::Unknown);
        }
        self.types[i] = val.ty;
        if val.lit == Lit::Hard {
            self.lits.remove(&id);
        } else {
            self.lits.insert(id, val.lit);
        }
    }

    /// A map is used with this key expression, or without one.
    pub fn use_key(&mut self, map: MapIndex, key: Option<&Expr>, span: Span) {
        let key_val = key.map(|k| self.val(k));
        let slot = &mut self.maps[map.0 as usize];
        let name = slot.info.name.clone();
        match (slot.keyed, key.is_some()) {
            (Some(true), false) => {
                let text = format!(
                    "{name} used as a map without an explicit key (scalar map), previously used with an explicit key (non-scalar map)"
                );
                self.report(Diagnostic::error(span, text));
                return;
            }
            (Some(false), true) => {
                let text = format!(
                    "{name} used as a map with an explicit key (non-scalar map), previously used without an explicit key (scalar map)"
                );
                self.report(Diagnostic::error(span, text));
                return;
            }
            (None, keyed) => {
                slot.keyed = Some(keyed);
                self.changed = true;
            }
            _ => {}
        }
        if let (Some(val), Some(key)) = (key_val, key) {
            self.widen_key(map, &val, span);
            let wide = self.maps[map.0 as usize].info.key.clone().unwrap_or_default();
            self.coerce(key, &wide);
        }
    }

    fn widen_key(&mut self, map: MapIndex, val: &Val, span: Span) {
        let val = Val { ty: stored(&val.ty), lit: val.lit.clone() };
        let slot = &mut self.maps[map.0 as usize];
        let old = Val { ty: slot.info.key.clone().unwrap_or_default(), lit: slot.key_lit.clone() };
        let mut notes = Notes::default();
        match unify(&old, &val, &mut notes) {
            Some(new) => {
                let new = self.bounded(new);
                let slot = &mut self.maps[map.0 as usize];
                self.changed |= new != old;
                slot.info.key = Some(new.ty);
                slot.key_lit = new.lit;
                if notes.sign_mix {
                    let text = format!(
                        "Key of {}: 'uint64' and signed integers are mixed; it becomes 'int64', large values turn negative",
                        self.maps[map.0 as usize].info.name
                    );
                    self.report(Diagnostic::warning(span, text));
                }
            }
            None => {
                let text = format!(
                    "Argument mismatch for {}: trying to access with arguments: '{}' when map expects arguments: '{}'",
                    self.maps[map.0 as usize].info.name, val.ty, old.ty
                );
                self.report(Diagnostic::error(span, text));
            }
        }
    }

    /// A value is assigned to a map. `expr` is the value where there is one: literals within take the map's type.
    pub fn assign_map(&mut self, map: MapIndex, val: &Val, expr: Option<&Expr>, span: Span) {
        let slot = &mut self.maps[map.0 as usize];
        slot.assigned = true;
        let val = Val { ty: stored(&val.ty), lit: val.lit.clone() };
        let old = Val { ty: slot.info.value.clone(), lit: slot.value_lit.clone() };
        match self.merged("map", &old, &val, span, map.0 as usize, true) {
            Some(new) => {
                let slot = &mut self.maps[map.0 as usize];
                self.changed |= new != old;
                slot.info.value = new.ty.clone();
                slot.value_lit = new.lit;
                if let Some(e) = expr {
                    self.coerce(e, &new.ty);
                }
            }
            None => self.mismatch(map.0 as usize, true, &val.ty, span),
        }
    }

    /// A value is assigned to a variable.
    pub fn assign_var(&mut self, var: VarId, val: &Val, expr: Option<&Expr>, span: Span) {
        let index = var.0 as usize;
        let val = Val { ty: stored(&val.ty), lit: val.lit.clone() };
        let Some(slot) = self.vars.get(index) else { return };
        let old = Val { ty: slot.info.ty.clone(), lit: slot.lit.clone() };
        if slot.declared {
            self.assign_declared(index, &old.ty, &val, span);
            if let Some(e) = expr {
                self.coerce(e, &old.ty);
            }
            return;
        }
        match self.merged("variable", &old, &val, span, index, false) {
            Some(new) => {
                let slot = &mut self.vars[index];
                self.changed |= new != old;
                slot.info.ty = new.ty.clone();
                slot.lit = new.lit;
                if let Some(e) = expr {
                    self.coerce(e, &new.ty);
                }
            }
            None => self.mismatch(index, false, &val.ty, span),
        }
    }

    /// A variable with a declared type keeps it; the value has to go into it.
    fn assign_declared(&mut self, index: usize, declared: &Type, val: &Val, span: Span) {
        if let (Type::Int { size, signed }, Lit::Range(min, max)) = (declared, &val.lit) {
            if !super::value::fits(*min, *max, *size, *signed) {
                let name = self.vars[index].info.name.clone();
                let n = if *min == *max { min.to_string() } else { format!("{min}..{max}") };
                let text = format!("Value {n} is out of range for {name} of type '{declared}'");
                self.report(Diagnostic::error(span, text));
            }
            return;
        }
        let ok = match (declared, &val.ty) {
            (Type::Unknown, _) | (_, Type::Unknown) => true,
            (a, b) if a.is_integral() && b.is_integral() => true,
            // the address space of a declared pointer is that of its values
            (Type::Pointer { to, .. }, Type::Pointer { to: from, space }) => {
                let fine = super::value::same(to, from) || **to == Type::Void || **from == Type::Void;
                if fine {
                    let ty = Type::Pointer { to: to.clone(), space: *space };
                    let slot = &mut self.vars[index];
                    if slot.info.ty != ty && !slot.space_settled {
                        slot.info.ty = ty;
                        self.changed = true;
                    }
                    slot.space_settled = true;
                }
                fine
            }
            (Type::Str { capacity: a }, Type::Str { capacity: b }) => a >= b,
            (a, _) => {
                let declared = Val::hard(a.clone());
                unify(&declared, val, &mut Notes::default()).is_some_and(|v| v.ty == *a)
            }
        };
        if !ok {
            self.mismatch(index, false, &val.ty, span);
        }
    }

    fn merged(
        &mut self,
        what: &str,
        old: &Val,
        val: &Val,
        span: Span,
        index: usize,
        is_map: bool,
    ) -> Option<Val> {
        let mut notes = Notes::default();
        let new = unify(old, val, &mut notes)?;
        let name = if is_map { &self.maps[index].info.name } else { &self.vars[index].info.name };
        if notes.sign_mix {
            let text = format!(
                "{name}: 'uint64' and signed integers are mixed; the {what} becomes 'int64', large values turn negative"
            );
            let d = Diagnostic::warning(span, text).hint("cast the value to the type that is meant");
            self.report(d);
        } else if notes.space_mix {
            let text = format!(
                "{name} holds pointers to kernel and to user memory; all are read like the first, which can give wrong values"
            );
            self.report(Diagnostic::warning(span, text).hint("use separate variables, or kptr() and uptr()"));
        }
        Some(self.bounded(new))
    }

    fn mismatch(&mut self, index: usize, is_map: bool, ty: &Type, span: Span) {
        let (what, name, old) = if is_map {
            let info = &self.maps[index].info;
            ("map", &info.name, &info.value)
        } else {
            let info = &self.vars[index].info;
            ("variable", &info.name, &info.ty)
        };
        let text = format!(
            "Type mismatch for {name}: trying to assign value of type '{ty}' when {what} already has a type '{old}'"
        );
        let d = Diagnostic::error(span, text);
        self.report(match (ty, old) {
            (Type::Aggregation(a), Type::Aggregation(b)) if a.to_string() == b.to_string() => {
                d.hint("all calls for one map need the same parameters")
            }
            _ => d,
        });
    }

    /// Strings do not grow beyond the longest allowed, so that the rounds end.
    fn bounded(&self, val: Val) -> Val {
        let max = self.max_strlen.max(64);
        let ty = match val.ty {
            Type::Str { capacity } if capacity > max.saturating_mul(4) => Type::Str { capacity: max },
            other => other,
        };
        Val { ty, lit: val.lit }
    }

    /// An output argument that is a variable gets a value of this type.
    pub fn assign_out(&mut self, arg: &Expr, ty: &Type) {
        if let Some(&var) = self.var_of.get(&arg.id) {
            self.assign_var(var, &Val::hard(ty.clone()), None, arg.span);
            let now = self.vars[var.0 as usize].info.ty.clone();
            self.set(arg.id, Val::hard(now));
        }
    }

    /// Tuples and records that are written out take the layout of where they go, so that they are built in place.
    pub fn coerce(&mut self, e: &Expr, to: &Type) {
        use fathom_syntax::ast::ExprKind;
        match (&e.kind, to) {
            (ExprKind::Tuple(items), Type::Tuple(types)) if items.len() == types.len() => {
                for (item, ty) in items.iter().zip(types.iter()) {
                    self.coerce(item, ty);
                }
            }
            (ExprKind::Record(fields), Type::Record(types)) if fields.len() == types.len() => {
                for field in fields {
                    if let Some((_, ty)) = types.iter().find(|(n, _)| **n == *field.name) {
                        self.coerce(&field.value, ty);
                    }
                }
                return;
            }
            (ExprKind::Ternary { then, otherwise, .. }, Type::Tuple(_)) => {
                if let Some(then) = then {
                    self.coerce(then, to);
                }
                self.coerce(otherwise, to);
            }
            (ExprKind::Block(b), Type::Tuple(_)) => {
                if let Some(v) = &b.value {
                    self.coerce(v, to);
                }
            }
            (ExprKind::If { then, otherwise, .. }, Type::Tuple(_)) => {
                if let Some(v) = &then.value {
                    self.coerce(v, to);
                }
                if let Some(o) = otherwise {
                    self.coerce(o, to);
                }
            }
            _ => return,
        }
        let lit = self.lits.get(&e.id).cloned().unwrap_or_default();
        self.set(e.id, Val { ty: to.clone(), lit });
    }

    /// Remembers an option of the script once.
    pub fn declare_option(&mut self, name: &str, default: &str, description: &str) {
        if !self.options.iter().any(|(n, _, _)| n == name) {
            self.options.push((name.into(), default.into(), description.into()));
        }
    }
}
