//! Result of the analysis: the expanded script with types, resolutions and constants in side tables by [`NodeId`]; input of the lowering.

use crate::builtins::Builtin;
use crate::config::Config;
use crate::facts::{ArgSet, Target};
use crate::types::{Agg, Type};
use fathom_codegen::layout::EnumTable;
use fathom_syntax::ast::{Block, Expr, NodeId, Subprog};
use fathom_syntax::span::{Expansions, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// A variable of one probe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct VarId(pub u32);

/// A map of the script.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MapIndex(pub u32);

/// The analysed script.
#[derive(Debug, Default)]
pub struct Typed {
    /// Clauses in order; a clause whose targets differ in their arguments stands here once for each kind of arguments.
    pub probes: Vec<TypedProbe>,
    /// Subprograms (`fn`).
    pub subprogs: Vec<Subprog>,
    /// Maps in order of first mention.
    pub maps: Vec<MapInfo>,
    /// By name with `@`.
    pub map_by_name: HashMap<String, MapIndex>,
    /// Type of each expression, by node id; `Unknown` for nodes that are no expressions.
    pub types: Vec<Type>,
    /// Constant value of expressions that have one (literals, folded expressions, parameters, sizeof, enum constants).
    pub consts: HashMap<NodeId, Const>,
    /// The variable each `Var` node stands for.
    pub vars: HashMap<NodeId, VarId>,
    /// Variables of each subprogram's parameters, in order.
    pub subprog_vars: Vec<Vec<VarId>>,
    /// Result of each subprogram.
    pub subprog_rets: Vec<Type>,
    /// The subprogram that a `Call` node calls.
    pub subprog_calls: HashMap<NodeId, u32>,
    /// All variables; ids are unique in the script.
    pub var_infos: Vec<VarInfo>,
    /// The builtin that an `Ident` or `Call` node stands for.
    pub builtins: HashMap<NodeId, &'static Builtin>,
    /// Macro expansions, for locations.
    pub expansions: Expansions,
    /// Settings.
    pub config: Config,
    /// `getopt` options that were mentioned: name, default as text, description.
    pub options: Vec<(String, String, String)>,
}

impl Typed {
    /// Type of an expression.
    pub fn ty(&self, e: &Expr) -> &Type {
        static UNKNOWN: Type = Type::Unknown;
        self.types.get(e.id.0 as usize).unwrap_or(&UNKNOWN)
    }
    /// Constant value of an expression, if it has one.
    pub fn constant(&self, e: &Expr) -> Option<&Const> {
        self.consts.get(&e.id)
    }
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Const {
    /// The 64 bits of an integer, enum, bool or pointer.
    Int(i64),
    /// A string without its NUL.
    Str(Arc<[u8]>),
}

/// A clause with all its targets.
#[derive(Clone, Debug)]
pub struct TypedProbe {
    /// Number of the clause in the script, from 0.
    pub clause: u32,
    /// What it attaches to; all have equal [`ArgSet`]s if the clause uses arguments.
    pub targets: Vec<Target>,
    /// The arguments.
    pub args: Arc<ArgSet>,
    /// Condition.
    pub predicate: Option<Expr>,
    /// Body.
    pub body: Block,
    /// The whole clause.
    pub span: Span,
    /// What the clause uses, for choosing a mechanism.
    pub uses: Uses,
    /// The program is not loaded on its own: return value of `test:` and `end`.
    pub returns_value: bool,
}

/// What a clause needs from the mechanism that carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `args`, its fields, or `retval` of typed probes.
    pub args: bool,
    /// `argN`.
    pub arg_n: bool,
    /// `ctx`.
    pub ctx: bool,
    /// `reg()`.
    pub registers: bool,
    /// `retval`.
    pub retval: bool,
    /// `probe` (which target fired).
    pub probe_name: bool,
    /// `func`.
    pub func: bool,
}

/// A variable.
#[derive(Clone, Debug)]
pub struct VarInfo {
    /// With the `$`; renamed ones of macros keep their written name.
    pub name: String,
    /// Widest type of all assignments.
    pub ty: Type,
    /// Used within the body of a `for` over a map while declared outside it: has to live in memory.
    pub captured: bool,
    /// Its address is taken (`&$x`).
    pub address_taken: bool,
}

/// A map of the script.
#[derive(Clone, Debug)]
pub struct MapInfo {
    /// With the `@`.
    pub name: String,
    /// Key; `None` for scalar maps. A tuple for several keys.
    pub key: Option<Type>,
    /// Value type, or aggregation.
    pub value: Type,
    /// Declared kind (`lruhash` ...) and entries.
    pub declared: Option<(DeclaredKind, u32)>,
    /// Where it is first used.
    pub span: Span,
}

impl MapInfo {
    /// The aggregation, if it is one.
    pub fn agg(&self) -> Option<&Agg> {
        match &self.value {
            Type::Aggregation(a) => Some(a),
            _ => None,
        }
    }
}

/// Kinds of `let @m = kind(n)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DeclaredKind {
    /// `hash`
    Hash,
    /// `lruhash`
    LruHash,
    /// `percpuhash`
    PercpuHash,
    /// `percpulruhash`
    PercpuLruHash,
}

impl DeclaredKind {
    /// All of them.
    pub const ALL: [DeclaredKind; 4] =
        [DeclaredKind::Hash, DeclaredKind::LruHash, DeclaredKind::PercpuHash, DeclaredKind::PercpuLruHash];

    /// As scripts write it.
    pub fn name(self) -> &'static str {
        match self {
            DeclaredKind::Hash => "hash",
            DeclaredKind::LruHash => "lruhash",
            DeclaredKind::PercpuHash => "percpuhash",
            DeclaredKind::PercpuLruHash => "percpulruhash",
        }
    }

    /// Whether each CPU has values of its own, as aggregations need it and other values can't have it.
    pub fn is_per_cpu(self) -> bool {
        matches!(self, DeclaredKind::PercpuHash | DeclaredKind::PercpuLruHash)
    }
}

/// The constant that an enumerator stands for, with its enum.
#[derive(Clone, Debug)]
pub struct EnumConstant {
    /// The enum's names.
    pub table: Arc<EnumTable>,
    /// The value.
    pub value: i64,
}
