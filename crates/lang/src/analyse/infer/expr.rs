//! Expressions: literals, names, parameters, conditionals, tuples.

use super::{Define, Infer};
use crate::analyse::value::{members_lit, stored, unify, Lit, Notes, Val};
use crate::builtins::{self, Form};
use crate::config::{self, Unstable};
use crate::typed::Const;
use crate::types::{Agg, EnumType, Type};
use fathom_syntax::ast::*;
use fathom_syntax::diag::Diagnostic;
use std::sync::Arc;

impl Infer<'_> {
    pub(super) fn infer_expr(&mut self, e: &Expr) -> Val {
        match &e.kind {
            ExprKind::Int { value, suffix, .. } => self.integer(e, *value, suffix),
            ExprKind::Bool(b) => {
                self.st.consts.insert(e.id, Const::Int(i64::from(*b)));
                Val::hard(Type::Bool)
            }
            ExprKind::Str(bytes) => self.string(e, bytes),
            ExprKind::Ident(name) => self.ident(e, name),
            ExprKind::Positional(n) => self.positional(e, *n),
            ExprKind::ParamCount => {
                let count = self.env.options.positional.len() as i64;
                self.number(e, i128::from(count))
            }
            ExprKind::Var(_) => match self.st.var_of.get(&e.id) {
                Some(&id) => {
                    let slot = &self.st.vars[id.0 as usize];
                    let lit = if slot.declared { Lit::Hard } else { slot.lit.clone() };
                    Val { ty: slot.info.ty.clone(), lit }
                }
                None => Val::default(),
            },
            ExprKind::Map(_) | ExprKind::MapAccess { .. } => self.map_read(e),
            ExprKind::Call { .. } => {
                if self.is_aggregation(e) {
                    return self.stray_aggregation(e);
                }
                Val::hard(self.call(e, false))
            }
            ExprKind::Field { base, field, field_span } => self.field(e, base, field, *field_span),
            ExprKind::TupleField { base, index } => self.tuple_field(base, *index, e.span),
            ExprKind::Index { base, index } => self.index(base, index, e.span),
            ExprKind::Unary { op, expr } => self.unary(e, *op, expr),
            ExprKind::Step { increment, target, .. } => self.step(e, *increment, target),
            ExprKind::Binary { op, left, right } => self.binary(e, *op, left, right),
            ExprKind::Ternary { cond, then, otherwise } => self.ternary(e, cond, then.as_deref(), otherwise),
            ExprKind::If { cond, then, otherwise } => self.if_value(e, cond, then, otherwise.as_deref()),
            ExprKind::Block(b) => {
                let val = self.block_val(b);
                self.pass_const(e, b.value.as_deref().filter(|_| b.stmts.is_empty()));
                val
            }
            ExprKind::Cast { ty, expr } => self.cast(e, ty, expr),
            ExprKind::Tuple(items) => self.tuple(items),
            ExprKind::Record(fields) => self.record(fields),
            ExprKind::Sizeof(operand) => {
                let ty = self.operand_type(operand);
                let size = self.env.store.size_of(&ty);
                if ty == Type::Unknown && !self.st.is_final {
                    return Val::literal(0);
                }
                self.number(e, i128::from(size))
            }
            ExprKind::Offsetof { base, path } => self.offset_of(e, base, path),
            ExprKind::Typeof(operand) => {
                let ty = self.operand_type(operand);
                Val::hard(Type::TypeValue(Arc::new(ty)))
            }
            ExprKind::Typeinfo(operand) => self.typeinfo(e, operand),
            ExprKind::Comptime(inner) => {
                let val = self.val(inner);
                self.pass_const(e, Some(inner));
                if self.const_of(inner).is_none() && val.ty != Type::Unknown {
                    self.error(e.span, "Unable to evaluate at compile time");
                }
                val
            }
            ExprKind::Error => Val::default(),
        }
    }

    /// A node that stands for another one has its constant.
    fn pass_const(&mut self, e: &Expr, of: Option<&Expr>) {
        if let Some(c) = of.and_then(|o| self.const_of(o)) {
            self.st.consts.insert(e.id, c);
        }
    }

    /// An integer known when compiling, adapting like a literal.
    pub(super) fn number(&mut self, e: &Expr, n: i128) -> Val {
        self.st.consts.insert(e.id, Const::Int(n as i64));
        Val::literal(n)
    }

    /// A string known when compiling.
    pub(super) fn string(&mut self, e: &Expr, bytes: &[u8]) -> Val {
        let capacity = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1) + 1;
        self.st.consts.insert(e.id, Const::Str(bytes.into()));
        Val::hard(Type::Str { capacity })
    }

    fn integer(&mut self, e: &Expr, value: u64, suffix: &str) -> Val {
        self.st.consts.insert(e.id, Const::Int(value as i64));
        match suffix {
            "u" if value <= u64::from(u32::MAX) => Val::hard(Type::uint(4)),
            "u" | "ul" | "ull" => Val::hard(Type::U64),
            "l" | "ll" if value <= i64::MAX as u64 => Val::hard(Type::I64),
            _ => Val::literal(i128::from(value)),
        }
    }

    fn positional(&mut self, e: &Expr, n: u32) -> Val {
        if n == 0 {
            self.error(e.span, "There is no parameter $0: they are counted from $1");
            return Val::default();
        }
        let Some(text) = self.env.options.positional(n) else {
            let text =
                format!("Positional parameter ${n} was not provided; it counts as 0 or an empty string");
            self.warn(e.span, text);
            return self.number(e, 0);
        };
        match parse_number(text) {
            Some(n) => self.number(e, n),
            None => {
                let text = text.to_string();
                self.string(e, text.as_bytes())
            }
        }
    }

    /// A bare name, complaining when it means nothing.
    fn ident(&mut self, e: &Expr, name: &str) -> Val {
        match self.named(e, name) {
            Some(val) => val,
            None => {
                self.unknown_name(e, name);
                Val::default()
            }
        }
    }

    pub(super) fn unknown_name(&mut self, e: &Expr, name: &str) {
        let d = match builtins::find(name) {
            Some(b) if b.form == Form::Function => {
                Diagnostic::error(e.span, format!("{name} is a function: it needs parentheses"))
                    .hint(b.signature)
            }
            _ => {
                let d = Diagnostic::error(e.span, format!("Unknown identifier: '{name}'"));
                let names = builtins::rows()
                    .filter(|b| b.form != Form::Function)
                    .map(|b| b.name)
                    .chain(self.env.defines.keys().map(String::as_str))
                    .chain(self.env.macro_names.iter().map(String::as_str))
                    .chain(self.env.store.own_names());
                match crate::analyse::nearest(name, names) {
                    Some(near) => d.hint(format!("did you mean '{near}'?")),
                    None => d,
                }
            }
        };
        self.st.report(d);
    }

    /// What a bare name means, if anything.
    pub(super) fn named(&mut self, e: &Expr, name: &str) -> Option<Val> {
        self.st.consts.remove(&e.id);
        if let Some(b) = builtins::find(name) {
            match b.form {
                Form::Value | Form::Either => {
                    let ty = self.call(e, false);
                    return Some(Val::hard(if ty == Type::Args { self.all_arguments() } else { ty }));
                }
                Form::Aggregation => return Some(self.stray_aggregation(e)),
                Form::Function => {}
            }
        }
        if let Some(define) = self.env.defines.get(name) {
            return Some(match define {
                Define::Int(n) => self.number(e, *n),
                Define::Str(s) => self.string(e, s),
            });
        }
        let Some((id, value)) = self.env.store.constant(name) else {
            let n = crate::analyse::cdecl::system_constant(name)?;
            return Some(self.number(e, n));
        };
        self.st.consts.insert(e.id, Const::Int(value));
        let table = self.env.store.enum_table(id)?;
        Some(Val::hard(Type::Enum(EnumType { size: 8, signed: value < 0, table })))
    }

    fn stray_aggregation(&mut self, e: &Expr) -> Val {
        let name = match &e.kind {
            ExprKind::Call { name, .. } | ExprKind::Ident(name) => name.as_str(),
            _ => "",
        };
        let text = format!("{name}() should be assigned to a map, e.g. @m = {name}(...)");
        self.error(e.span, text);
        Val::default()
    }

    /// The type of a map's value when read in an expression.
    pub(super) fn read_type(&self, value: &Type) -> Type {
        match value {
            Type::Aggregation(Agg::Count) => Type::I64,
            Type::Aggregation(
                Agg::Sum { signed }
                | Agg::Min { signed }
                | Agg::Max { signed }
                | Agg::Avg { signed }
                | Agg::Stats { signed },
            ) => Type::Int { size: 8, signed: *signed },
            other => other.clone(),
        }
    }

    fn map_read(&mut self, e: &Expr) -> Val {
        let Some(map) = self.target_map(e) else {
            if let ExprKind::MapAccess { map, key } = &e.kind {
                self.expr(map);
                self.expr(key);
            }
            return Val::default();
        };
        let ty = self.read_type(&self.st.map_info(map).value.clone());
        Val::hard(ty)
    }

    /// Infers a key and makes it known to the map.
    pub(super) fn key(&mut self, key: &Expr, map: crate::typed::MapIndex, span: fathom_syntax::span::Span) {
        let val = self.val(key);
        match &val.ty {
            Type::Void | Type::Args | Type::TypeValue(_) | Type::Aggregation(_) => {
                let text = format!("A value of type '{}' cannot be used as a map key", val.ty);
                self.error(key.span, text);
            }
            _ => self.st.use_key(map, Some(key), span),
        }
    }

    /// The value of a condition after `comptime`, whose other branch is left out.
    pub(super) fn comptime_condition(&mut self, cond: &Expr) -> Option<bool> {
        self.condition(cond);
        let mut inner = cond;
        if let ExprKind::Block(b) = &inner.kind {
            inner = b.value.as_deref().filter(|_| b.stmts.is_empty()).unwrap_or(inner);
        }
        match (&inner.kind, self.const_of(inner)) {
            (ExprKind::Comptime(_), Some(Const::Int(n))) => Some(n != 0),
            _ => None,
        }
    }

    fn both(&mut self, e: &Expr, a: (&Expr, &Val), b: (&Expr, &Val), what: &str) -> Val {
        let mut notes = Notes::default();
        let x = Val { ty: stored(&a.1.ty), lit: a.1.lit.clone() };
        let y = Val { ty: stored(&b.1.ty), lit: b.1.lit.clone() };
        match unify(&x, &y, &mut notes) {
            Some(v) => {
                self.st.coerce(a.0, &v.ty);
                self.st.coerce(b.0, &v.ty);
                if notes.sign_mix {
                    let text =
                        format!("{what}: 'uint64' and signed integers are mixed; the result is 'int64'");
                    self.warn(e.span, text);
                }
                v
            }
            None => {
                let text = format!("{what} must return the same type: have '{}' and '{}'", a.1.ty, b.1.ty);
                self.error(e.span, text);
                a.1.clone()
            }
        }
    }

    fn ternary(&mut self, e: &Expr, cond: &Expr, then: Option<&Expr>, otherwise: &Expr) -> Val {
        let cond_ty = self.condition(cond);
        let cond_val = Val { ty: cond_ty, lit: self.st.val(cond).lit };
        let a = match then {
            Some(t) => self.val(t),
            None => cond_val,
        };
        let b = self.val(otherwise);
        let then = then.unwrap_or(cond);
        if let Some(Const::Int(c)) = self.const_of(cond) {
            self.pass_const(e, Some(if c != 0 { then } else { otherwise }));
        }
        if a.ty == Type::Void && b.ty == Type::Void {
            return Val::hard(Type::Void);
        }
        self.both(e, (then, &a), (otherwise, &b), "Ternary operator")
    }

    fn if_value(&mut self, e: &Expr, cond: &Expr, then: &Block, otherwise: Option<&Expr>) -> Val {
        match self.comptime_condition(cond) {
            Some(true) => return self.block_val(then),
            Some(false) => return otherwise.map_or(Val::hard(Type::Void), |o| self.val(o)),
            None => {}
        }
        let a = self.block_val(then);
        let Some(o) = otherwise else { return Val::hard(Type::Void) };
        let b = self.val(o);
        match &then.value {
            Some(t) if a.ty != Type::Void && b.ty != Type::Void => {
                let val = self.both(e, (t, &a), (o, &b), "Branches of 'if'");
                self.st.coerce(o, &val.ty);
                val
            }
            _ => Val::hard(Type::Void),
        }
    }

    fn member_ok(&mut self, e: &Expr, ty: &Type) {
        if matches!(ty, Type::Void | Type::Args | Type::Aggregation(_) | Type::TypeValue(_)) {
            self.error(e.span, format!("A value of type '{ty}' cannot be part of a tuple"));
        }
    }

    fn tuple(&mut self, items: &[Expr]) -> Val {
        let mut types = Vec::with_capacity(items.len());
        let mut lits = Vec::with_capacity(items.len());
        for item in items {
            let v = self.val(item);
            self.member_ok(item, &v.ty);
            types.push(stored(&v.ty));
            lits.push(v.lit);
        }
        if types.contains(&Type::Unknown) {
            return Val::default();
        }
        if has_too_many_members(types.iter()) {
            if let Some(first) = items.first() {
                self.error(
                    first.span,
                    format!("A tuple has at most {MEMBERS_MAX} values, those of tuples within it counted"),
                );
            }
            return Val::default();
        }
        Val { ty: Type::Tuple(types.into()), lit: members_lit(lits) }
    }

    fn record(&mut self, fields: &[RecordField]) -> Val {
        let mut types: Vec<(Arc<str>, Type)> = Vec::with_capacity(fields.len());
        let mut lits = Vec::with_capacity(fields.len());
        for f in fields {
            let v = self.val(&f.value);
            self.member_ok(&f.value, &v.ty);
            if types.iter().any(|(n, _)| **n == *f.name) {
                self.error(f.span, format!("Duplicate field '{}' in record", f.name));
            }
            types.push((f.name.as_str().into(), stored(&v.ty)));
            lits.push(v.lit);
        }
        if types.iter().any(|(_, t)| *t == Type::Unknown) {
            return Val::default();
        }
        if has_too_many_members(types.iter().map(|(_, t)| t)) {
            if let Some(first) = fields.first() {
                self.error(
                    first.span,
                    format!("A record has at most {MEMBERS_MAX} values, those of records within it counted"),
                );
            }
            return Val::default();
        }
        Val { ty: Type::Record(types.into()), lit: members_lit(lits) }
    }

    fn typeinfo(&mut self, e: &Expr, operand: &TypeOrExpr) -> Val {
        self.unstable(e, self.env.config.unstable_typeinfo, "typeinfo", "unstable_typeinfo");
        let ty = self.operand_type(operand);
        let (base, full) = (base_name(&ty), ty.to_string());
        let str_of = |s: &str| Type::Str { capacity: s.len() as u32 + 1 };
        let fields = [("btf_id", Type::U64), ("base_ty", str_of(base)), ("full_ty", str_of(&full))];
        Val::hard(Type::Record(fields.into_iter().map(|(n, t)| (Arc::from(n), t)).collect()))
    }

    /// The members of `typeinfo(x)` are known when compiling.
    pub(super) fn typeinfo_field(&mut self, e: &Expr, operand: &TypeOrExpr, field: &str) -> Option<Val> {
        let ty = self.operand_type(operand);
        Some(match field {
            "base_ty" => self.string(e, base_name(&ty).as_bytes()),
            "full_ty" => self.string(e, ty.to_string().as_bytes()),
            "btf_id" => {
                let id = match &ty {
                    Type::Struct { def, .. } => def.id.0,
                    _ => 0,
                };
                self.number(e, i128::from(id))
            }
            _ => return None,
        })
    }

    /// `config.KEY`.
    pub(super) fn config_field(&mut self, e: &Expr, field: &str) -> Option<Val> {
        let row = config::find(field)?;
        let text = (row.get)(self.env.config);
        Some(match (text.parse::<i128>(), text.as_str()) {
            (Ok(n), _) => self.number(e, n),
            (_, "true" | "false") => {
                self.st.consts.insert(e.id, Const::Int(i64::from(text == "true")));
                Val::hard(Type::Bool)
            }
            _ => self.string(e, text.as_bytes()),
        })
    }

    /// A feature that may still change.
    pub(super) fn unstable(&mut self, e: &Expr, setting: Unstable, what: &str, key: &str) {
        match setting {
            Unstable::Enable => {}
            Unstable::Warn => {
                let d = Diagnostic::warning(e.span, format!("{what} is not stable yet and may change"));
                self.st.report(d.hint(format!("set {key}=enable in the config block to accept that")));
            }
            Unstable::Error => {
                let d = Diagnostic::error(e.span, format!("{what} is not stable yet and not enabled"));
                self.st.report(d.hint(format!("set {key}=enable in the config block")));
            }
        }
    }
}

/// What kind of type it is, as `typeinfo(x).base_ty` names it.
fn base_name(ty: &Type) -> &'static str {
    match ty {
        Type::Unknown => "none",
        Type::Void => "void",
        Type::Bool => "bool",
        Type::Int { .. } => "int",
        Type::Enum(_) => "enum",
        Type::Pointer { .. } => "pointer",
        Type::Array { .. } => "array",
        Type::Struct { .. } => "record",
        Type::Str { .. } => "string",
        Type::Buffer { .. } => "buffer",
        Type::Tuple(_) => "tuple",
        Type::Record(_) => "record",
        Type::Inet => "inet",
        Type::Mac => "mac_address",
        Type::KernelStack { .. } => "kstack",
        Type::UserStack { .. } => "ustack",
        Type::KernelSym => "ksym",
        Type::UserSym => "usym",
        Type::Username => "username",
        Type::Timestamp(_) => "timestamp",
        Type::CgroupPath(_) => "cgroup_path",
        Type::ErrorName => "strerror",
        Type::SignalName => "signal_name",
        Type::SyscallName => "syscall_name",
        Type::Aggregation(a) => match a {
            Agg::Count => "count",
            Agg::Sum { .. } => "sum",
            Agg::Min { .. } => "min",
            Agg::Max { .. } => "max",
            Agg::Avg { .. } => "avg",
            Agg::Stats { .. } => "stats",
            Agg::Hist { .. } => "hist",
            Agg::Lhist { .. } => "lhist",
            Agg::Tseries { .. } => "tseries",
        },
        Type::Args => "args",
        Type::TypeValue(_) => "type",
    }
}

/// A number as a parameter may be written: decimal, `0x`, octal with a leading 0, with a sign.
pub fn parse_number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    let value = i128::from(value);
    match negative {
        true if value <= 1 << 63 => Some(-value),
        true => None,
        false => Some(value),
    }
}

/// Most values of a tuple or record: `$b = ($a, $a)` repeated doubles them.
const MEMBERS_MAX: usize = 4096;

fn has_too_many_members<'t>(types: impl Iterator<Item = &'t Type>) -> bool {
    let mut left = MEMBERS_MAX;
    !types.into_iter().all(|t| count_members(t, &mut left))
}

/// Takes the values of a type from `left`; false when there are more.
fn count_members(ty: &Type, left: &mut usize) -> bool {
    match ty {
        Type::Tuple(members) => members.iter().all(|t| count_members(t, left)),
        Type::Record(members) => members.iter().all(|(_, t)| count_members(t, left)),
        _ => left.checked_sub(1).map(|n| *left = n).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn parameters_are_numbers_in_three_bases() {
        assert_eq!(parse_number("123"), Some(123));
        assert_eq!(parse_number("0775"), Some(0o775));
        assert_eq!(parse_number("0xffffffffffffffff"), Some(i128::from(u64::MAX)));
        assert_eq!(parse_number("-10"), Some(-10));
        for bad in ["", "hello", "1x", "-", "08", "0x", "99999999999999999999"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
    }
}
