//! Calls of builtins and subprograms: names, forms, argument counts.

use super::Infer;
use crate::analyse::call::CallContext;
use crate::analyse::nearest;
use crate::analyse::value::{unify, Lit, Val};
use crate::builtins::{self, Builtin, Form};
use crate::types::Type;
use fathom_syntax::ast::{Expr, ExprKind};
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use std::cell::Cell;

impl Infer<'_> {
    /// A call, or a builtin value without parentheses. `assigned`: directly as the value of a map.
    pub(super) fn call(&mut self, e: &Expr, assigned: bool) -> Type {
        let (name, args, parens, name_span): (&str, &[Expr], bool, Span) = match &e.kind {
            ExprKind::Call { name, args, name_span } => (name, args, true, *name_span),
            ExprKind::Ident(name) => (name, &[], false, e.span),
            _ => return Type::Unknown,
        };
        let Some(b) = builtins::find(name) else {
            if let Some(i) = self.subprogs.iter().position(|s| s.name == name) {
                return self.subprog_call(e, i, args);
            }
            for a in args {
                self.argument_type(a);
            }
            self.unknown_function(name, name_span);
            return Type::Unknown;
        };
        self.builtins.insert(e.id, b);
        let arg_types: Vec<Type> = args.iter().map(|a| self.argument_type(a)).collect();
        if !self.call_allowed(b, name, args, e.span, assigned) {
            return Type::Unknown;
        }
        let mut ctx = CallContext {
            node: e.id,
            span: e.span,
            name,
            args,
            arg_types,
            parens,
            uses: &mut self.uses,
            probe: self.probe,
            facts: self.env.facts,
            config: self.env.config,
            options: self.env.options,
            store: self.env.store,
            loop_depth: self.loop_depth,
            state: &mut *self.st,
            taken: Cell::new(0),
        };
        let ty = (b.infer)(&mut ctx);
        let taken = ctx.taken.get();
        self.check_untaken(args, taken);
        ty
    }

    fn call_allowed(&mut self, b: &Builtin, name: &str, args: &[Expr], span: Span, assigned: bool) -> bool {
        if b.is_unsafe && !self.env.options.allow_unsafe {
            let text = format!("{name}() is unsafe. To use you need the --unsafe flag");
            self.error(span, text);
        }
        if b.form == Form::Aggregation && !assigned {
            self.error(span, format!("{name}() should be assigned to a map, e.g. @m = {name}(...)"));
            return false;
        }
        let given = args.len();
        let (min, max) = (usize::from(b.args.0), usize::from(b.args.1));
        if given >= min && given <= max {
            return true;
        }
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let text = if max == 0 {
            format!("{name}() takes no arguments ({given} provided)")
        } else if min == max {
            format!("{name}() takes exactly {min} {} ({given} provided)", plural(min))
        } else if given < min {
            format!("{name}() requires at least {min} {} ({given} provided)", plural(min))
        } else {
            format!("{name}() takes up to {max} {} ({given} provided)", plural(max))
        };
        self.error_hint(span, text, b.signature);
        false
    }

    /// An argument's type. Bare names and maps without key are left to the builtin, which may take them as such.
    fn argument_type(&mut self, a: &Expr) -> Type {
        match &a.kind {
            ExprKind::Ident(name) => {
                let val = if self.is_aggregation(a) { None } else { self.named(a, name) };
                let val = val.unwrap_or_default();
                self.st.set(a.id, val.clone());
                val.ty
            }
            ExprKind::Map(name) => {
                let map = self.st.map(name, a.span);
                let ty = if self.st.maps[map.0 as usize].keyed == Some(true) {
                    Type::Unknown
                } else {
                    self.read_type(&self.st.map_info(map).value.clone())
                };
                self.st.set(a.id, Val::hard(ty.clone()));
                ty
            }
            _ => self.expr(a),
        }
    }

    /// Arguments that the builtin did not take as bare names or whole maps are ordinary expressions.
    fn check_untaken(&mut self, args: &[Expr], taken: u64) {
        for (i, a) in args.iter().enumerate() {
            if i < 64 && taken & (1 << i) != 0 {
                continue;
            }
            match &a.kind {
                ExprKind::Ident(name) if self.st.is_final && self.named(a, name).is_none() => {
                    self.unknown_name(a, name);
                }
                ExprKind::Map(name) => {
                    let map = self.st.map(name, a.span);
                    self.st.use_key(map, None, a.span);
                }
                _ => {}
            }
        }
    }

    fn unknown_function(&mut self, name: &str, span: Span) {
        let d = Diagnostic::error(span, format!("Unknown function: '{name}'"));
        let names = builtins::rows()
            .map(|b| b.name)
            .chain(self.subprogs.iter().map(|s| s.name.as_str()))
            .chain(self.env.macro_names.iter().map(String::as_str));
        self.st.report(match nearest(name, names) {
            Some(near) => d.hint(format!("did you mean '{near}'?")),
            None => d,
        });
    }

    fn subprog_call(&mut self, e: &Expr, index: usize, args: &[Expr]) -> Type {
        let head = self.subprogs[index].clone();
        self.subprog_calls.insert(e.id, index as u32);
        if head.params.len() != args.len() {
            let text =
                format!("{}() takes {} arguments ({} provided)", head.name, head.params.len(), args.len());
            self.error(e.span, text);
        }
        for (a, &param) in args.iter().zip(&head.params) {
            let val = self.val(a);
            let want = self.st.vars[param.0 as usize].info.ty.clone();
            let fits = match (&want, &val.ty) {
                (Type::Unknown, _) | (_, Type::Unknown) => true,
                (x, y) if x.is_integral() && y.is_integral() => true,
                _ => {
                    unify(&Val { ty: want.clone(), lit: Lit::Hard }, &val, &mut Default::default()).is_some()
                }
            };
            if !fits {
                let text = format!("{}() expects '{want}' here, got '{}'", head.name, val.ty);
                self.error(a.span, text);
            }
        }
        for a in args.iter().skip(head.params.len()) {
            self.expr(a);
        }
        head.ret
    }
}
