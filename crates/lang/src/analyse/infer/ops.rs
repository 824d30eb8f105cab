//! Operators: result types, and which comparison or division an operation is.

use super::Infer;
use crate::analyse::consts;
use crate::analyse::value::{bounds, same, Lit, Val};
use crate::typed::{Const, Typed};
use crate::types::{Space, Type};
use fathom_syntax::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use fathom_syntax::span::Span;

/// Whether an operation on these two works on signed numbers: unless both are unsigned; literals that are not negative go with either.
pub fn operands_signed(left: &Expr, right: &Expr, typed: &Typed) -> bool {
    let sign = |e: &Expr| sign_of(typed.ty(e), typed.constant(e));
    match (sign(left), sign(right)) {
        (Some(a), Some(b)) => a || b,
        (Some(a), None) | (None, Some(a)) => a,
        (None, None) => true,
    }
}

/// Signedness of an operand; `None` for non-negative constants, which go with either.
fn sign_of(ty: &Type, constant: Option<&Const>) -> Option<bool> {
    match ty {
        Type::Int { signed: true, .. } if matches!(constant, Some(Const::Int(n)) if *n >= 0) => None,
        Type::Int { signed, .. } => Some(*signed),
        Type::Enum(_) if matches!(constant, Some(Const::Int(n)) if *n >= 0) => None,
        Type::Enum(e) => Some(e.signed),
        Type::Bool => None,
        _ => Some(false),
    }
}

fn symbol(op: BinaryOp) -> &'static str {
    use BinaryOp::*;
    match op {
        Add => "+",
        Sub => "-",
        Mul => "*",
        Div => "/",
        Mod => "%",
        And => "&",
        Or => "|",
        Xor => "^",
        Shl => "<<",
        Shr => ">>",
        Eq => "==",
        Ne => "!=",
        Lt => "<",
        Le => "<=",
        Gt => ">",
        Ge => ">=",
        LogicalAnd => "&&",
        LogicalOr => "||",
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge)
}

/// Signedness of an operand during inference; `None` where it goes with either.
fn soft_sign(v: &Val) -> Option<bool> {
    match (&v.ty, &v.lit) {
        (Type::Int { .. }, Lit::Range(min, _)) if *min >= 0 => None,
        (Type::Int { signed, .. }, _) => Some(*signed),
        (Type::Enum(e), _) => e.signed.then_some(true),
        _ => None,
    }
}

impl Infer<'_> {
    pub(super) fn binary(&mut self, e: &Expr, op: BinaryOp, left: &Expr, right: &Expr) -> Val {
        let l = self.val(left);
        let r = self.val(right);
        if let (ExprKind::Positional(n), BinaryOp::Add, Type::Str { .. }) = (&left.kind, op, &l.ty) {
            return self.param_tail(e, *n, right);
        }
        if let (Some(a), Some(b)) = (self.const_of(left), self.const_of(right)) {
            if let Some(val) = self.fold(e, op, (&l, &a), (&r, &b), right.span) {
                return val;
            }
        }
        self.binary_type(op, &l, &r, right, e.span)
    }

    /// `$1 + n` of a parameter that is text: its tail, as in `str($1 + 1)`.
    fn param_tail(&mut self, e: &Expr, n: u32, right: &Expr) -> Val {
        let text = self.env.options.positional(n).unwrap_or("").to_string();
        let Some(Const::Int(skip)) = self.const_of(right) else {
            self.error(
                right.span,
                "Only a number known when compiling can be added to a parameter that is text",
            );
            return Val::default();
        };
        let Some(tail) = usize::try_from(skip).ok().and_then(|s| text.get(s..)) else {
            let text = format!("cannot use offset that exceeds string size ({skip} > {})", text.len());
            self.error(right.span, text);
            return Val::default();
        };
        self.string(e, tail.as_bytes())
    }

    pub(super) fn const_of(&self, e: &Expr) -> Option<Const> {
        self.st.consts.get(&e.id).cloned()
    }

    fn fold(
        &mut self,
        e: &Expr,
        op: BinaryOp,
        l: (&Val, &Const),
        r: (&Val, &Const),
        right: Span,
    ) -> Option<Val> {
        let folded = match (l.1, r.1) {
            (Const::Str(a), Const::Str(b)) => consts::compare_strings(op, a, b),
            (Const::Int(a), Const::Int(b)) if l.0.ty.is_integral() && r.0.ty.is_integral() => {
                let (a, b) = (consts::number(*a, &l.0.ty), consts::number(*b, &r.0.ty));
                if matches!(op, BinaryOp::Div | BinaryOp::Mod) && b == 0 {
                    let what = if op == BinaryOp::Div { "division" } else { "modulo" };
                    self.error(right, format!("unable to fold literals due to {what} by zero"));
                    return Some(Val::hard(Type::I64));
                }
                consts::fold(op, a, b)
            }
            _ => return None,
        }?;
        match folded {
            consts::Folded::Bool(b) => {
                self.st.consts.insert(e.id, Const::Int(i64::from(b)));
                Some(Val::hard(Type::Bool))
            }
            consts::Folded::Int(n) => {
                let soft = |v: &Val| v.lit != Lit::Hard || !matches!(v.ty, Type::Int { .. });
                let hard = !(soft(l.0) && soft(r.0));
                let (min, _) = bounds(8, true);
                let (_, max) = bounds(8, false);
                if !hard && (n < min || n > max) {
                    self.error(
                        e.span,
                        format!("unable to fold literals due to overflow in '{}'", symbol(op)),
                    );
                    return Some(Val::hard(Type::I64));
                }
                self.st.consts.insert(e.id, Const::Int(n as i64));
                if !hard {
                    return Some(Val::literal(n));
                }
                let signed = arithmetic_signed(op, l.0, r.0);
                Some(Val::hard(Type::Int { size: 8, signed }))
            }
        }
    }

    /// The type of `lhs op= rhs`.
    pub(super) fn compound(&mut self, op: BinaryOp, l: &Val, rhs: &Expr, r: &Val, span: Span) -> Val {
        if matches!(op, BinaryOp::Div | BinaryOp::Mod) {
            self.zero_divisor(op, rhs);
        }
        self.binary_type(op, l, r, rhs, span)
    }

    fn zero_divisor(&mut self, op: BinaryOp, right: &Expr) {
        if self.const_of(right) == Some(Const::Int(0)) {
            let what = if op == BinaryOp::Div { "Division" } else { "Modulo" };
            self.error(right.span, format!("{what} by zero"));
        }
    }

    /// The type of an operation whose value is not known.
    fn binary_type(&mut self, op: BinaryOp, l: &Val, r: &Val, right: &Expr, span: Span) -> Val {
        use Type::{Aggregation, Pointer, Unknown};
        if matches!(op, BinaryOp::LogicalAnd | BinaryOp::LogicalOr) {
            for v in [l, r] {
                if !(v.ty.is_integral() || matches!(v.ty, Unknown | Pointer { .. })) {
                    let text = format!(
                        "The {} operator can not be used on expressions of type '{}'",
                        symbol(op),
                        v.ty
                    );
                    self.error(span, text);
                }
            }
            return Val::hard(Type::Bool);
        }
        if is_comparison(op) {
            self.comparison(op, l, r, span);
            return Val::hard(Type::Bool);
        }
        match (&l.ty, &r.ty) {
            (Aggregation(_), _) | (_, Aggregation(_)) => {}
            (Unknown, _) | (_, Unknown) => {
                return match (&l.ty, &r.ty) {
                    (p @ Pointer { .. }, _) | (_, p @ Pointer { .. }) if op == BinaryOp::Add => {
                        Val::hard(p.clone())
                    }
                    (Unknown, other) | (other, Unknown) if self.st.guess && other.is_integral() => {
                        Val::hard(Type::I64)
                    }
                    _ => Val::default(),
                };
            }
            (Pointer { .. }, Pointer { .. }) if op == BinaryOp::Sub => return Val::hard(Type::I64),
            (p @ Pointer { .. }, o) if o.is_integral() && matches!(op, BinaryOp::Add | BinaryOp::Sub) => {
                return Val::hard(p.clone());
            }
            (o, p @ Pointer { .. }) if o.is_integral() && op == BinaryOp::Add => return Val::hard(p.clone()),
            (Pointer { .. }, o)
                if o.is_integral()
                    && matches!(
                        op,
                        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Mod | BinaryOp::Shr
                    ) =>
            {
                return Val::hard(Type::U64);
            }
            (a, b) if a.is_integral() && b.is_integral() => {
                if matches!(op, BinaryOp::Div | BinaryOp::Mod) {
                    self.zero_divisor(op, right);
                }
                let bitwise = matches!(
                    op,
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr
                );
                if !bitwise && op != BinaryOp::Sub {
                    self.sign_mix(op, l, r, span);
                }
                return Val::hard(Type::Int { size: 8, signed: arithmetic_signed(op, l, r) });
            }
            _ => {}
        }
        let odd = if l.ty.is_integral() || matches!(l.ty, Pointer { .. }) { &r.ty } else { &l.ty };
        let text = if matches!((&l.ty, &r.ty), (Type::Str { .. }, Type::Str { .. })) {
            format!("The {} operator can not be used on strings", symbol(op))
        } else {
            format!(
                "The {} operator can not be used on expressions of types '{}', '{}'",
                symbol(op),
                l.ty,
                r.ty
            )
        };
        if *odd != Unknown {
            self.error(span, text);
        }
        Val::default()
    }

    fn sign_mix(&mut self, op: BinaryOp, l: &Val, r: &Val, span: Span) {
        let wide = |v: &Val| matches!(v.ty, Type::Int { size: 8, signed: false }) && v.lit == Lit::Hard;
        let mixed = (wide(l) && soft_sign(r) == Some(true)) || (wide(r) && soft_sign(l) == Some(true));
        if mixed {
            let text = format!(
                "'{}' of '{}' and '{}' is done as 'int64': large values turn negative",
                symbol(op),
                l.ty,
                r.ty
            );
            self.warn(span, text);
        }
    }

    fn comparison(&mut self, op: BinaryOp, l: &Val, r: &Val, span: Span) {
        use Type::*;
        let equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        let ok = match (&l.ty, &r.ty) {
            (Unknown, _) | (_, Unknown) => true,
            (Void, _) | (_, Void) | (Aggregation(_), _) | (_, Aggregation(_)) => false,
            (a, b) if a.is_integral() && b.is_integral() => {
                if !equality {
                    self.sign_mix(op, l, r, span);
                }
                true
            }
            (Pointer { .. }, b) if b.is_integral() => true,
            (a, Pointer { .. }) if a.is_integral() => true,
            (Pointer { to: a, .. }, Pointer { to: b, .. }) => {
                if !same(a, b) && **a != Void && **b != Void {
                    let text = format!("comparison of distinct pointer types: '{}' and '{}'", l.ty, r.ty);
                    self.warn(span, text);
                }
                true
            }
            (Str { .. }, Str { .. }) | (Buffer { .. }, Buffer { .. }) => equality,
            (Tuple(_), Tuple(_)) | (Record(_), Record(_)) | (Array { .. }, Array { .. }) => {
                equality && crate::analyse::value::unify(l, r, &mut Default::default()).is_some()
            }
            (Inet, Inet) | (Mac, Mac) | (Username, Username) => equality,
            (KernelSym, KernelSym) | (UserSym, UserSym) => equality,
            (KernelStack { .. }, KernelStack { .. }) | (UserStack { .. }, UserStack { .. }) => equality,
            (KernelSym | Timestamp(_) | ErrorName | SignalName | SyscallName | Username, b)
                if b.is_integral() =>
            {
                true
            }
            _ => false,
        };
        if !ok {
            let text = format!("Type mismatch for '{}': comparing '{}' with '{}'", symbol(op), l.ty, r.ty);
            self.error(span, text);
        }
    }

    pub(super) fn unary(&mut self, e: &Expr, op: UnaryOp, operand: &Expr) -> Val {
        if op == UnaryOp::AddressOf {
            return self.address_of(e, operand);
        }
        let v = self.val(operand);
        if op == UnaryOp::Deref {
            return self.deref(&v.ty, operand.span);
        }
        if let (Some(Const::Int(n)), true) = (self.const_of(operand), v.ty.is_integral()) {
            return self.fold_unary(e, op, &v, consts::number(n, &v.ty));
        }
        match (op, &v.ty) {
            (_, Type::Unknown) => Val::hard(if op == UnaryOp::Not { Type::Bool } else { Type::Unknown }),
            (UnaryOp::Not, t) if t.is_integral() || matches!(t, Type::Pointer { .. }) => {
                Val::hard(Type::Bool)
            }
            (UnaryOp::Neg, t) if t.is_integral() => Val::hard(Type::I64),
            (UnaryOp::BitNot, Type::Int { signed, .. }) => Val::hard(Type::Int { size: 8, signed: *signed }),
            (UnaryOp::BitNot, Type::Enum(_) | Type::Bool) => Val::hard(Type::I64),
            (_, t) => {
                let sign = match op {
                    UnaryOp::Not => "!",
                    UnaryOp::Neg => "-",
                    _ => "~",
                };
                let text = format!("The {sign} operator can not be used on expressions of type '{t}'");
                self.error(e.span, text);
                Val::hard(Type::I64)
            }
        }
    }

    fn fold_unary(&mut self, e: &Expr, op: UnaryOp, v: &Val, n: i128) -> Val {
        let soft = v.lit != Lit::Hard || !matches!(v.ty, Type::Int { .. });
        let result = match op {
            UnaryOp::Not => {
                self.st.consts.insert(e.id, Const::Int(i64::from(n == 0)));
                return Val::hard(Type::Bool);
            }
            UnaryOp::Neg => -n,
            _ => !n,
        };
        let result = if op == UnaryOp::BitNot && matches!(v.ty, Type::Int { size: 8, signed: false }) {
            result & i128::from(u64::MAX)
        } else {
            result
        };
        if soft && result < i128::from(i64::MIN) {
            self.error(e.span, format!("{result} is out of the range of 64 bits"));
        }
        self.st.consts.insert(e.id, Const::Int(result as i64));
        if soft {
            Val::literal(result)
        } else if matches!(v.ty, Type::Int { size: 8, signed: false }) && op == UnaryOp::BitNot {
            Val::hard(Type::U64)
        } else {
            Val::hard(Type::I64)
        }
    }

    fn address_of(&mut self, e: &Expr, operand: &Expr) -> Val {
        let ty = match &operand.kind {
            ExprKind::Var(_) => self.expr(operand),
            ExprKind::Map(name) => {
                let map = self.st.map(name, operand.span);
                self.st.map_info(map).value.clone()
            }
            ExprKind::MapAccess { .. } => match self.target_map(operand) {
                Some(map) => {
                    let ty = self.st.map_info(map).value.clone();
                    self.st.set(operand.id, Val::hard(ty.clone()));
                    ty
                }
                None => Type::Unknown,
            },
            _ => {
                self.expr(operand);
                self.error(e.span, "The & operator needs a variable or a map");
                Type::Unknown
            }
        };
        match ty {
            Type::Unknown => Val::default(),
            ty => Val::hard(Type::pointer(ty, Space::Program)),
        }
    }

    pub(super) fn step(&mut self, e: &Expr, increment: bool, target: &Expr) -> Val {
        let stepped = |old: &Type| match old {
            Type::Unknown => Some(Type::I64),
            Type::Pointer { .. } => Some(old.clone()),
            Type::Int { signed, .. } => Some(Type::Int { size: 8, signed: *signed || !increment }),
            Type::Bool | Type::Enum(_) => Some(Type::I64),
            _ => None,
        };
        let word = if increment { "++" } else { "--" };
        let ty = match &target.kind {
            ExprKind::Var(_) => {
                let Some(&id) = self.st.var_of.get(&target.id) else { return Val::default() };
                let old = self.st.vars[id.0 as usize].info.ty.clone();
                match stepped(&old) {
                    Some(new) => {
                        if old != Type::Unknown {
                            self.st.assign_var(id, &Val::hard(new), None, e.span);
                        }
                        self.st.vars[id.0 as usize].info.ty.clone()
                    }
                    None => return self.bad_step(word, &old, e.span),
                }
            }
            ExprKind::Map(_) | ExprKind::MapAccess { .. } => {
                let Some(map) = self.target_map(target) else { return Val::default() };
                let old = self.st.map_info(map).value.clone();
                match stepped(&old) {
                    Some(new) => {
                        self.st.assign_map(map, &Val::hard(new), None, e.span);
                        self.st.map_info(map).value.clone()
                    }
                    None => return self.bad_step(word, &old, e.span),
                }
            }
            _ => {
                self.expr(target);
                self.error(e.span, format!("The {word} operator must be applied to a map or variable"));
                return Val::hard(Type::I64);
            }
        };
        self.st.set(target.id, Val::hard(ty.clone()));
        Val::hard(ty)
    }

    fn bad_step(&mut self, word: &str, ty: &Type, span: Span) -> Val {
        let text = format!("The {word} operator can not be used on expressions of type '{ty}'");
        self.error(span, text);
        Val::hard(Type::I64)
    }
}

/// Whether the 64-bit result of arithmetic is signed.
fn arithmetic_signed(op: BinaryOp, l: &Val, r: &Val) -> bool {
    match op {
        BinaryOp::Sub => true,
        BinaryOp::Shl | BinaryOp::Shr => soft_sign(l).unwrap_or(true),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => {
            soft_sign(l) != Some(false) && soft_sign(r) != Some(false)
        }
        _ => match (soft_sign(l), soft_sign(r)) {
            (None, None) => true,
            (a, b) => a == Some(true) || b == Some(true),
        },
    }
}
