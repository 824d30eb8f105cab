//! Access to members, elements and what pointers point to.

use super::Infer;
use crate::analyse::nearest;
use crate::analyse::value::Val;
use crate::facts::{Arg, ArgType};
use crate::typed::Const;
use crate::types::{Space, StructType, Type};
use fathom_syntax::ast::{Expr, ExprKind, TypeOrExpr};
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use std::sync::Arc;

impl Infer<'_> {
    pub(super) fn field(&mut self, e: &Expr, base: &Expr, field: &str, field_span: Span) -> Val {
        match &base.kind {
            ExprKind::Typeinfo(operand) => {
                self.expr(base);
                if let Some(val) = self.typeinfo_field(e, operand, field) {
                    return val;
                }
            }
            ExprKind::Ident(name) if name == "config" => {
                if let Some(val) = self.config_field(e, field) {
                    self.st.set(base.id, Val::default());
                    return val;
                }
            }
            _ => {}
        }
        let mut ty = self.expr(base);
        if matches!((&base.kind, &ty), (ExprKind::Ident(name), Type::Record(_)) if name == "args") {
            ty = Type::Args;
            self.st.set(base.id, Val::hard(Type::Args));
        }
        match &ty {
            Type::Unknown => Val::default(),
            Type::Args => self.argument(field, field_span),
            Type::Record(members) => match members.iter().find(|(n, _)| **n == *field) {
                Some((_, t)) => Val::hard(t.clone()),
                None => self.no_member(&ty, field, field_span, members.iter().map(|(n, _)| n.to_string())),
            },
            Type::Struct { def, space } => self.member(def, *space, field, field_span),
            Type::Pointer { to, space } => match to.as_ref() {
                Type::Struct { def, .. } => self.member(def, *space, field, field_span),
                Type::Record(members) => match members.iter().find(|(n, _)| **n == *field) {
                    Some((_, t)) => Val::hard(t.clone()),
                    None => self.no_member(to, field, field_span, members.iter().map(|(n, _)| n.to_string())),
                },
                Type::Unknown => Val::default(),
                _ => self.not_a_struct(&ty, field, e.span),
            },
            _ => self.not_a_struct(&ty, field, e.span),
        }
    }

    fn not_a_struct(&mut self, ty: &Type, field: &str, span: Span) -> Val {
        let text = format!("Can not access field '{field}' on expression of type '{ty}'");
        let hint = match ty {
            Type::Tuple(_) => Some("members of tuples are written .0, .1, ..."),
            Type::Pointer { .. } => Some("cast the pointer to one to a struct: ((struct x *)e).field"),
            t if t.is_integral() => Some("cast the value to a pointer to a struct: ((struct x *)e).field"),
            _ => None,
        };
        let d = Diagnostic::error(span, text);
        self.st.report(match hint {
            Some(h) => d.hint(h),
            None => d,
        });
        Val::default()
    }

    fn no_member(&mut self, ty: &Type, field: &str, span: Span, names: impl Iterator<Item = String>) -> Val {
        let names: Vec<String> = names.collect();
        let what = match ty {
            Type::Record(_) => "Record".to_string(),
            t => format!("Struct/union of type '{t}'"),
        };
        let d = Diagnostic::error(span, format!("{what} does not contain a field named '{field}'"));
        self.st.report(match nearest(field, names.iter().map(String::as_str)) {
            Some(near) => d.hint(format!("did you mean '{near}'?")),
            None => d,
        });
        Val::default()
    }

    fn member(&mut self, def: &StructType, space: Space, field: &str, span: Span) -> Val {
        let store = self.env.store;
        if let Some(f) = store.field(def, field, space, self.outside()) {
            return Val::hard(f.ty);
        }
        let ty = Type::Struct { def: def.clone(), space };
        if store.struct_def(def.id).is_none() {
            let text = format!("'{ty}' is declared but not defined: its members are not known");
            self.error(span, text);
            return Val::default();
        }
        let names = store.fields(def, space, Space::Kernel).into_iter().map(|f| f.name.to_string());
        self.no_member(&ty, field, span, names)
    }

    /// `args.NAME`.
    fn argument(&mut self, name: &str, span: Span) -> Val {
        self.uses.args = true;
        let Some(probe) = self.probe else { return Val::default() };
        if probe.targets.is_empty() {
            return Val::default();
        }
        let args = probe.args.clone();
        if let Some(arg) = args.args.iter().find(|a| *a.name == *name) {
            return Val::hard(self.arg_type(arg));
        }
        if let Some(why) = &args.unavailable {
            self.error(span, why.clone());
            return Val::default();
        }
        let names: Vec<&str> = args.args.iter().map(|a| &*a.name).collect();
        let probe_name = probe.targets.first().map_or("", |t| &t.name);
        let d = Diagnostic::error(span, format!("Can't find function parameter '{name}' of {probe_name}"));
        let d = match (nearest(name, names.iter().copied()), names.is_empty()) {
            (Some(near), _) => d.hint(format!("did you mean '{near}'?")),
            (None, false) => d.hint(format!("there are: {}", names.join(", "))),
            (None, true) => d.hint("this probe has no arguments"),
        };
        self.st.report(d);
        Val::default()
    }

    /// `args` as a value: a record of all arguments, if there are any.
    pub(super) fn all_arguments(&mut self) -> Type {
        let args = self.probe.filter(|p| !p.targets.is_empty()).map(|p| p.args.clone());
        let members =
            args.iter().flat_map(|a| &a.args).map(|arg| (Arc::from(&*arg.name), self.arg_type(arg)));
        let members: Vec<(Arc<str>, Type)> =
            members.filter(|(_, ty)| !matches!(ty, Type::Unknown | Type::Void)).collect();
        if members.is_empty() {
            Type::Args
        } else {
            Type::Record(members.into())
        }
    }

    /// The space of pointers among the probe's arguments: user memory for system calls and user programs.
    fn args_space(&self) -> Space {
        let Some(probe) = self.probe else { return Space::Kernel };
        let user = |name: &str| {
            name.starts_with("tracepoint:syscalls:sys_enter_")
                || name.starts_with("tracepoint:syscalls:sys_exit_")
        };
        if probe.targets.iter().any(|t| user(&t.name)) {
            return Space::User;
        }
        self.outside()
    }

    /// The language's type of a probe's argument.
    pub(super) fn arg_type(&self, arg: &Arg) -> Type {
        let space = self.args_space();
        // The record itself is kernel memory, only what its pointers point to may be the user's.
        let ty = self.arg_value_type(&arg.ty, space);
        if !arg.data_loc {
            return ty;
        }
        match ty {
            Type::Array { elem, .. } if *elem == Type::int(1) => {
                Type::Str { capacity: self.env.config.max_strlen() }
            }
            Type::Str { .. } | Type::Int { size: 1, .. } => {
                Type::Str { capacity: self.env.config.max_strlen() }
            }
            Type::Array { elem, .. } => Type::Pointer { to: elem, space: Space::Kernel },
            other => other,
        }
    }

    /// The language's type of an argument's type.
    pub(super) fn arg_value_type(&self, ty: &ArgType, pointees: Space) -> Type {
        match ty {
            ArgType::C(id) => self.env.store.type_within(*id, Space::Kernel, pointees),
            ArgType::Text { text, size, signed } => self.text_type(text, pointees).unwrap_or(match size {
                1 | 2 | 4 | 8 => Type::Int { size: *size as u8, signed: *signed },
                0 => Type::U64,
                n => Type::Array { elem: Arc::new(Type::uint(1)), count: *n, space: Space::Kernel },
            }),
        }
    }

    pub(super) fn tuple_field(&mut self, base: &Expr, index: u32, span: Span) -> Val {
        let ty = self.expr(base);
        let members = match &ty {
            Type::Tuple(m) => m.clone(),
            Type::Pointer { to, .. } => match to.as_ref() {
                Type::Tuple(m) => m.clone(),
                _ => return self.not_a_tuple(&ty, index, span),
            },
            Type::Unknown => return Val::default(),
            _ => return self.not_a_tuple(&ty, index, span),
        };
        match members.get(index as usize) {
            Some(t) => Val::hard(t.clone()),
            None => {
                let text =
                    format!("Invalid tuple index: {index}. Found {} elements in tuple.", members.len());
                self.error(span, text);
                Val::default()
            }
        }
    }

    fn not_a_tuple(&mut self, ty: &Type, index: u32, span: Span) -> Val {
        let text = format!("Can not access index '{index}' on expression of type '{ty}'");
        self.error(span, text);
        Val::default()
    }

    pub(super) fn index(&mut self, base: &Expr, index: &Expr, span: Span) -> Val {
        let ty = self.expr(base);
        let index_ty = self.expr(index);
        if !(index_ty.is_integral() || index_ty == Type::Unknown) {
            let text = format!("The array index operator [] only accepts integer indices, got '{index_ty}'");
            self.error(index.span, text);
        }
        let known = match self.const_of(index) {
            Some(Const::Int(n)) => Some(n),
            _ => None,
        };
        match &ty {
            Type::Unknown => Val::default(),
            Type::Array { elem, count, .. } => {
                if let Some(n) = known.filter(|n| *count > 0 && (*n < 0 || *n >= i64::from(*count))) {
                    let text = format!("the index {n} is out of bounds for array of size {count}");
                    self.error(index.span, text);
                }
                Val::hard(elem.as_ref().clone())
            }
            Type::Str { capacity } => {
                if let Some(n) = known.filter(|n| *n < 0 || *n >= i64::from(*capacity)) {
                    let text = format!("the index {n} is out of bounds for string of size {capacity}");
                    self.error(index.span, text);
                }
                Val::hard(Type::int(1))
            }
            Type::Buffer { .. } => Val::hard(Type::uint(1)),
            Type::Pointer { .. } => self.deref(&ty, base.span),
            Type::TypeValue(t) => {
                let count = known.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
                Val::hard(Type::TypeValue(Arc::new(self.array_of(t.as_ref().clone(), count))))
            }
            _ => {
                let text = format!("The array index operator [] can only be used on arrays, pointers and strings, found '{ty}'");
                self.error(span, text);
                Val::default()
            }
        }
    }

    /// `*p`.
    pub(super) fn deref(&mut self, ty: &Type, span: Span) -> Val {
        match ty {
            Type::Unknown => Val::default(),
            Type::Pointer { to, space } => match to.as_ref() {
                Type::Void => {
                    self.error_hint(
                        span,
                        "Cannot dereference a void pointer",
                        "cast it to the type it points to",
                    );
                    Val::default()
                }
                Type::Struct { def, .. } => Val::hard(Type::Struct { def: def.clone(), space: *space }),
                Type::Array { elem, count, .. } => {
                    Val::hard(Type::Array { elem: elem.clone(), count: *count, space: *space })
                }
                other => Val::hard(other.clone()),
            },
            Type::Array { elem, .. } => Val::hard(elem.as_ref().clone()),
            // the number is taken as the address of 64 bits
            Type::Int { .. } => Val::hard(Type::U64),
            _ => {
                self.error(span, format!("Can not dereference type '{ty}'. It's not a pointer"));
                Val::default()
            }
        }
    }

    pub(super) fn offset_of(&mut self, e: &Expr, base: &TypeOrExpr, path: &[String]) -> Val {
        let mut ty = self.operand_type(base);
        let mut bits = 0u64;
        for name in path {
            let def = match &ty {
                Type::Unknown => return Val::default(),
                Type::Struct { def, .. } => def.clone(),
                Type::Pointer { to, .. } if bits == 0 => match to.as_ref() {
                    Type::Struct { def, .. } => def.clone(),
                    _ => return self.not_a_struct(&ty, name, e.span),
                },
                _ => return self.not_a_struct(&ty, name, e.span),
            };
            let Some(f) = self.env.store.field(&def, name, Space::Kernel, Space::Kernel) else {
                return self.member(&def, Space::Kernel, name, e.span);
            };
            if f.bit_size != 0 {
                self.error(e.span, format!("'{name}' is a bitfield and has no offset in bytes"));
            }
            bits += u64::from(f.bit_offset);
            ty = f.ty;
        }
        self.number(e, i128::from(bits / 8))
    }
}
