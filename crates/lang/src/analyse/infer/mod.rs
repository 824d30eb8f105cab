//! Type inference: each round walks all clauses; rounds go on until no type changes, the last one reports.

mod access;
mod calls;
mod cast;
mod expr;
mod ops;
mod stmt;
mod written;

pub use expr::parse_number;
pub use ops::operands_signed;
pub use written::integer;

use super::state::State;
use super::store::TypeStore;
use super::value::Val;
use super::ProbeContext;
use crate::builtins::Builtin;
use crate::compile::Options;
use crate::config::Config;
use crate::facts::Facts;
use crate::typed::{Uses, VarId};
use crate::types::{Space, Type};
use fathom_syntax::ast::{Block, Expr, NodeId};
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use std::collections::HashMap;

/// A constant of the C part of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Define {
    /// An integer.
    Int(i128),
    /// A string.
    Str(Vec<u8>),
}

/// What inference looks things up in.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The outside world.
    pub facts: &'a dyn Facts,
    /// Settings.
    pub config: &'a Config,
    /// Command line.
    pub options: &'a Options,
    /// C types.
    pub store: &'a TypeStore<'a>,
    /// `#define`d constants.
    pub defines: &'a HashMap<String, Define>,
    /// Names of the script's macros, for suggestions.
    pub macro_names: &'a [String],
}

/// A subprogram's head.
#[derive(Clone, Debug)]
pub struct SubprogHead {
    /// Name.
    pub name: String,
    /// Parameters.
    pub params: Vec<VarId>,
    /// Result.
    pub ret: Type,
}

/// One round of inference over the script.
pub struct Infer<'a> {
    env: Env<'a>,
    /// What is known.
    pub st: &'a mut State,
    /// What the clause needs.
    pub uses: Uses,
    /// Builtins by node.
    pub builtins: HashMap<NodeId, &'static Builtin>,
    /// Calls of subprograms by node.
    pub subprog_calls: HashMap<NodeId, u32>,
    subprogs: &'a [SubprogHead],
    probe: Option<&'a ProbeContext>,
    loop_depth: u32,
    ret: Option<Type>,
}

impl<'a> Infer<'a> {
    /// The start of a round.
    pub fn new(env: Env<'a>, st: &'a mut State, subprogs: &'a [SubprogHead]) -> Infer<'a> {
        Infer {
            env,
            st,
            uses: Uses::default(),
            builtins: HashMap::new(),
            subprog_calls: HashMap::new(),
            subprogs,
            probe: None,
            loop_depth: 0,
            ret: None,
        }
    }

    /// Infers a clause and gives what it uses.
    pub fn clause(&mut self, probe: &'a ProbeContext, predicate: Option<&Expr>, body: &Block) -> Uses {
        self.probe = Some(probe);
        // Without a target nothing is known of arguments and context: what was reported is why.
        self.st.muted = probe.targets.is_empty();
        self.uses = Uses::default();
        self.loop_depth = 0;
        self.ret = None;
        if let Some(p) = predicate {
            self.condition(p);
        }
        self.body(body);
        self.probe = None;
        self.st.muted = false;
        self.uses
    }

    /// Infers a subprogram.
    pub fn subprog(&mut self, body: &Block, ret: &Type) {
        self.probe = None;
        self.loop_depth = 0;
        self.ret = Some(ret.clone());
        self.body(body);
        self.ret = None;
    }

    /// A type of a subprogram's head.
    pub fn declared_type(&mut self, t: &fathom_syntax::ast::TypeExpr) -> Type {
        self.written_type(t)
    }

    /// The space of addresses that come as plain integers.
    fn outside(&self) -> Space {
        self.probe.map_or(Space::Kernel, ProbeContext::default_space)
    }

    fn error(&mut self, span: Span, text: impl Into<String>) {
        self.st.report(Diagnostic::error(span, text));
    }
    fn error_hint(&mut self, span: Span, text: impl Into<String>, hint: impl Into<String>) {
        self.st.report(Diagnostic::error(span, text).hint(hint));
    }
    fn warn(&mut self, span: Span, text: impl Into<String>) {
        self.st.report(Diagnostic::warning(span, text));
    }

    /// Infers an expression that must be usable as a condition.
    fn condition(&mut self, e: &Expr) -> Type {
        let ty = self.expr(e);
        let ok = ty.is_integral() || matches!(ty, Type::Unknown | Type::Pointer { .. });
        if !ok {
            self.error(
                e.span,
                format!("Invalid condition: a value of type '{ty}' is neither true nor false"),
            );
        }
        ty
    }

    /// Infers an expression and remembers its type.
    pub fn expr(&mut self, e: &Expr) -> Type {
        self.val(e).ty
    }

    /// Infers an expression with what is known of its literals.
    fn val(&mut self, e: &Expr) -> Val {
        self.st.consts.remove(&e.id);
        let val = self.infer_expr(e);
        self.st.set(e.id, val.clone());
        val
    }
}
