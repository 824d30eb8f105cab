//! What a builtin sees of its call while types are inferred.

use super::state::State;
use super::store::TypeStore;
use super::ProbeContext;
use crate::compile::Options;
use crate::config::Config;
use crate::facts::Facts;
use crate::typed::{Const, MapIndex, MapInfo, Uses};
use crate::types::{Space, Type};
use fathom_syntax::ast::{BinaryOp, Expr, ExprKind, NodeId};
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use std::cell::Cell;

/// One call of a builtin. `infer` functions of builtin rows get it once per round of inference.
pub struct CallContext<'a> {
    /// The call.
    pub node: NodeId,
    /// Where the whole call stands.
    pub span: Span,
    /// Name as written.
    pub name: &'a str,
    /// Arguments.
    pub args: &'a [Expr],
    /// Their types; `Unknown` for bare names such as `monotonic` and for maps with keys that are named without one.
    pub arg_types: Vec<Type>,
    /// Written with parentheses.
    pub parens: bool,
    /// What the clause needs of its mechanism: set what the builtin needs.
    pub uses: &'a mut Uses,
    /// The clause; `None` in subprograms.
    pub probe: Option<&'a ProbeContext>,
    /// The outside world.
    pub facts: &'a dyn Facts,
    /// Settings.
    pub config: &'a Config,
    /// Command line.
    pub options: &'a Options,
    /// C types.
    pub store: &'a TypeStore<'a>,
    /// Loops around the call, within the clause.
    pub loop_depth: u32,
    pub(super) state: &'a mut State,
    pub(super) taken: Cell<u64>,
}

impl<'a> CallContext<'a> {
    /// The arguments' constant value, if it is an integer (also bool, enum constant, positional parameter).
    pub fn const_int(&self, i: usize) -> Option<i64> {
        match self.const_of(i)? {
            Const::Int(n) => Some(*n),
            Const::Str(_) => None,
        }
    }
    /// The argument's constant value, if it is a string (bytes that are no UTF-8 are replaced).
    pub fn const_str(&self, i: usize) -> Option<String> {
        match self.const_of(i)? {
            Const::Str(s) => Some(String::from_utf8_lossy(s).into_owned()),
            Const::Int(_) => None,
        }
    }
    /// The argument's constant value.
    pub fn const_of(&self, i: usize) -> Option<&Const> {
        self.state.consts.get(&self.args.get(i)?.id)
    }
    /// The text of a positional parameter `$N` or `$N + n` as argument, whether or not it is a number: what `str($1)` gives.
    pub fn positional_str(&self, i: usize) -> Option<String> {
        let text = |n: u32| self.options.positional(n).unwrap_or("").to_string();
        match &self.args.get(i)?.kind {
            ExprKind::Positional(n) => Some(text(*n)),
            ExprKind::Binary { op: BinaryOp::Add, left, right } => {
                let ExprKind::Positional(n) = left.kind else { return None };
                let Some(Const::Int(skip)) = self.state.consts.get(&right.id) else { return None };
                let all = text(n);
                Some(all.get(usize::try_from(*skip).ok()?..).unwrap_or("").to_string())
            }
            _ => None,
        }
    }
    /// The argument as a bare name such as `monotonic` or `perf`. A name that was asked for need not mean anything else.
    pub fn ident(&self, i: usize) -> Option<&'a str> {
        match &self.args.get(i)?.kind {
            ExprKind::Ident(name) => {
                self.take(i);
                Some(name)
            }
            _ => None,
        }
    }
    /// The argument as a map without key (`print(@m)`). A map that was asked for may have keys or not.
    pub fn map(&self, i: usize) -> Option<MapIndex> {
        match &self.args.get(i)?.kind {
            ExprKind::Map(name) => {
                self.take(i);
                self.state.map_by_name.get(name).copied()
            }
            _ => None,
        }
    }
    /// The argument as one element of a map, `@m[k]` (or a scalar map): which map.
    pub fn element(&self, i: usize) -> Option<MapIndex> {
        match &self.args.get(i)?.kind {
            ExprKind::MapAccess { map, .. } => match &map.kind {
                ExprKind::Map(name) => self.state.map_by_name.get(name).copied(),
                _ => None,
            },
            ExprKind::Map(_) => self.map(i),
            _ => None,
        }
    }
    /// What is known of a map in this round.
    pub fn map_info(&self, map: MapIndex) -> &MapInfo {
        self.state.map_info(map)
    }
    /// Declares that argument `i` is used as key of `map`: makes the map one with keys and widens its key type. Complains on a mismatch.
    pub fn use_key(&mut self, map: MapIndex, i: usize) {
        if let Some(key) = self.args.get(i) {
            let span = key.span;
            self.state.use_key(map, Some(key), span);
        }
    }
    /// Declares that `map` is used as one without keys. Complains when it has keys.
    pub fn use_scalar(&mut self, map: MapIndex) {
        let span = self.span;
        self.state.use_key(map, None, span);
    }
    /// Gives the variable that is argument `i` a value of this type (`find(@m, k, $out)`); false if the argument is no variable.
    pub fn assign_var(&mut self, i: usize, ty: &Type) -> bool {
        let Some(arg) = self.args.get(i) else { return false };
        let ExprKind::Var(_) = &arg.kind else { return false };
        self.state.assign_out(arg, ty);
        true
    }
    /// Whether this is the last round: what is `Unknown` now stays so, and what is reported is shown.
    pub fn is_final(&self) -> bool {
        self.state.is_final
    }
    /// The address space in which argument `i`, taken as an address, lies: that of a pointer's type, else the probe's.
    pub fn space(&self, i: usize) -> Space {
        match (self.arg_types.get(i), self.args.get(i)) {
            (
                Some(Type::Pointer { space, .. } | Type::Array { space, .. } | Type::Struct { space, .. }),
                _,
            ) => *space,
            (_, Some(arg)) => super::space_of_address(arg, self.probe),
            _ => Space::Kernel,
        }
    }
    /// Reports an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.state.report(Diagnostic::error(span, message));
    }
    /// Reports an error that has no place in the script.
    pub fn error_anywhere(&mut self, message: impl Into<String>) {
        self.state.report(Diagnostic::error_anywhere(message));
    }
    /// Reports an error with what to do about it.
    pub fn error_hint(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.state.report(Diagnostic::error(span, message).hint(hint));
    }
    /// Reports a warning.
    pub fn warn(&mut self, span: Span, message: impl Into<String>) {
        self.state.report(Diagnostic::warning(span, message));
    }
    /// Where argument `i` stands; the whole call if there is none.
    pub fn arg_span(&self, i: usize) -> Span {
        self.args.get(i).map_or(self.span, |a| a.span)
    }
    /// The result is known when compiling: the call counts as this constant.
    pub fn set_const(&mut self, value: Const) {
        self.state.consts.insert(self.node, value);
    }
    /// Mentions an option of the script (`getopt`): name, default as text, description.
    pub fn declare_option(&mut self, name: &str, default: &str, description: &str) {
        self.state.declare_option(name, default, description);
    }

    fn take(&self, i: usize) {
        self.taken.set(self.taken.get() | 1u64.checked_shl(i as u32).unwrap_or(0));
    }
}
