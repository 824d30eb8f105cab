//! Written types: names of the language, of C, of the kernel and of the script.

use super::Infer;
use crate::analyse::nearest;
use crate::analyse::value::stored;
use crate::facts::TypeSpace;
use crate::typed::Const;
use crate::types::{Agg, Space, Type};
use fathom_codegen::layout::StackMode;
use fathom_codegen::program::TseriesAgg;
use fathom_syntax::ast::*;
use fathom_syntax::diag::Diagnostic;
use std::sync::Arc;

/// Integer types by name: those of the language and those of C that every script may use.
const INTEGERS: &[(&str, u8, bool)] = &[
    ("int8", 1, true),
    ("int16", 2, true),
    ("int32", 4, true),
    ("int64", 8, true),
    ("uint8", 1, false),
    ("uint16", 2, false),
    ("uint32", 4, false),
    ("uint64", 8, false),
    ("int8_t", 1, true),
    ("int16_t", 2, true),
    ("int32_t", 4, true),
    ("int64_t", 8, true),
    ("uint8_t", 1, false),
    ("uint16_t", 2, false),
    ("uint32_t", 4, false),
    ("uint64_t", 8, false),
    ("char", 1, true),
    ("signed char", 1, true),
    ("unsigned char", 1, false),
    ("short", 2, true),
    ("short int", 2, true),
    ("signed short", 2, true),
    ("unsigned short", 2, false),
    ("unsigned short int", 2, false),
    ("short unsigned int", 2, false),
    ("int", 4, true),
    ("signed", 4, true),
    ("signed int", 4, true),
    ("unsigned", 4, false),
    ("unsigned int", 4, false),
    ("long", 8, true),
    ("long int", 8, true),
    ("signed long", 8, true),
    ("unsigned long", 8, false),
    ("unsigned long int", 8, false),
    ("long unsigned int", 8, false),
    ("long long", 8, true),
    ("long long int", 8, true),
    ("signed long long", 8, true),
    ("unsigned long long", 8, false),
    ("unsigned long long int", 8, false),
    ("long long unsigned int", 8, false),
    ("size_t", 8, false),
    ("ssize_t", 8, true),
    ("uintptr_t", 8, false),
    ("intptr_t", 8, true),
    ("pid_t", 4, true),
    ("uid_t", 4, false),
    ("gid_t", 4, false),
    ("u8", 1, false),
    ("u16", 2, false),
    ("u32", 4, false),
    ("u64", 8, false),
    ("s8", 1, true),
    ("s16", 2, true),
    ("s32", 4, true),
    ("s64", 8, true),
    ("__u8", 1, false),
    ("__u16", 2, false),
    ("__u32", 4, false),
    ("__u64", 8, false),
    ("__s8", 1, true),
    ("__s16", 2, true),
    ("__s32", 4, true),
    ("__s64", 8, true),
];

/// The integer type of a name: bytes and signedness.
pub fn integer(name: &str) -> Option<(u8, bool)> {
    INTEGERS.iter().find(|(n, _, _)| *n == name).map(|(_, size, signed)| (*size, *signed))
}

/// Types of the language that are no integers.
fn special(name: &str, mode: StackMode) -> Option<Type> {
    let tseries = Agg::Tseries { interval_ns: 1, count: 1, agg: TseriesAgg::Last, signed: true };
    Some(match name {
        "bool" | "_Bool" => Type::Bool,
        "void" => Type::Void,
        "string" => Type::Str { capacity: 0 },
        "buffer" => Type::Buffer { capacity: 0 },
        "inet" => Type::Inet,
        "macaddr_t" => Type::Mac,
        "ksym_t" => Type::KernelSym,
        "usym_t" => Type::UserSym,
        "username_t" => Type::Username,
        "timestamp" => Type::Timestamp("%H:%M:%S".into()),
        "cgroup_path_t" => Type::CgroupPath("".into()),
        "kstack_t" => Type::KernelStack { mode, limit: 127 },
        "ustack_t" => Type::UserStack { mode, limit: 127 },
        "count_t" => Type::Aggregation(Agg::Count),
        "sum_t" | "usum_t" => Type::Aggregation(Agg::Sum { signed: name == "sum_t" }),
        "min_t" | "umin_t" => Type::Aggregation(Agg::Min { signed: name == "min_t" }),
        "max_t" | "umax_t" => Type::Aggregation(Agg::Max { signed: name == "max_t" }),
        "avg_t" | "uavg_t" => Type::Aggregation(Agg::Avg { signed: name == "avg_t" }),
        "stats_t" | "ustats_t" => Type::Aggregation(Agg::Stats { signed: name == "stats_t" }),
        "hist_t" => Type::Aggregation(Agg::Hist { k: 0 }),
        "lhist_t" => Type::Aggregation(Agg::Lhist { min: 0, max: 1, step: 1 }),
        "tseries_t" => Type::Aggregation(tseries),
        _ => return None,
    })
}

impl Infer<'_> {
    /// A type as written; complains about unknown names.
    pub(super) fn written_type(&mut self, t: &TypeExpr) -> Type {
        match &t.kind {
            TypeExprKind::Name(name) => match self.type_name(name) {
                Some(ty) => ty,
                None => {
                    let names = INTEGERS.iter().map(|(n, _, _)| *n).chain(["string", "buffer", "bool"]);
                    let d = Diagnostic::error(t.span, format!("Unknown type: '{name}'"));
                    let d = match nearest(name, names.chain(self.env.store.own_names())) {
                        Some(near) => d.hint(format!("did you mean '{near}'?")),
                        None => d,
                    };
                    self.st.report(d);
                    Type::Unknown
                }
            },
            TypeExprKind::Tagged { tag, name } => {
                let space = match tag {
                    TypeTag::Struct => TypeSpace::Struct,
                    TypeTag::Union => TypeSpace::Union,
                    TypeTag::Enum => TypeSpace::Enum,
                };
                match self.env.store.find(space, name) {
                    Some(id) => self.env.store.type_within(id, Space::Program, self.outside()),
                    None => {
                        let word = tag.word();
                        let d = Diagnostic::error(t.span, format!("Unknown struct/union: '{word} {name}'"));
                        let d = if self.env.facts.has_types() {
                            d
                        } else {
                            d.hint(
                                "this kernel has no type information (BTF): declare the type in the script",
                            )
                        };
                        self.st.report(d);
                        Type::Unknown
                    }
                }
            }
            TypeExprKind::Pointer(to) => {
                let to = self.written_type(to);
                let space = self.outside();
                Type::pointer(placed(to, space), space)
            }
            TypeExprKind::Array(elem, count) => {
                let elem = self.written_type(elem);
                let count = match count {
                    None => 0,
                    Some(n) => {
                        self.expr(n);
                        match self.const_of(n) {
                            Some(Const::Int(c)) if (0..=1 << 20).contains(&c) => c as u32,
                            _ => {
                                self.error(
                                    n.span,
                                    "Array sizes are numbers known when compiling, up to 1048576",
                                );
                                0
                            }
                        }
                    }
                };
                self.array_of(elem, count)
            }
            TypeExprKind::Typeof(operand) => self.operand_type(operand),
            TypeExprKind::Tuple(types) => {
                let types: Vec<Type> = types.iter().map(|t| self.written_type(t)).collect();
                Type::Tuple(types.into())
            }
        }
    }

    /// `T[n]`, which sizes strings and buffers.
    pub(super) fn array_of(&self, elem: Type, count: u32) -> Type {
        match elem {
            Type::Str { capacity: 0 } => Type::Str { capacity: count },
            Type::Buffer { capacity: 0 } => Type::Buffer { capacity: count },
            Type::Inet => Type::Inet,
            Type::Unknown => Type::Unknown,
            elem => Type::Array { elem: Arc::new(elem), count, space: Space::Program },
        }
    }

    fn type_name(&self, name: &str) -> Option<Type> {
        let store = self.env.store;
        // what the script declares wins, then the language, then the kernel
        if let Some(id) = store.find_own(TypeSpace::Plain, name) {
            return Some(store.type_within(id, Space::Program, self.outside()));
        }
        if let Some((size, signed)) = integer(name) {
            return Some(Type::Int { size, signed });
        }
        special(name, self.env.config.stack_mode).or_else(|| {
            let id = store.find(TypeSpace::Plain, name)?;
            Some(store.type_within(id, Space::Program, self.outside()))
        })
    }

    /// The type that an operand of `sizeof` and the like names or has.
    pub(super) fn operand_type(&mut self, operand: &TypeOrExpr) -> Type {
        match operand {
            TypeOrExpr::Type(t) => match self.written_type(t) {
                Type::TypeValue(inner) => inner.as_ref().clone(),
                ty => ty,
            },
            TypeOrExpr::Expr(e) => {
                if let ExprKind::Ident(name) = &e.kind {
                    if self.named(e, name).is_none() {
                        if let Some(ty) = self.type_name(name) {
                            return ty;
                        }
                    }
                }
                match self.expr(e) {
                    Type::TypeValue(t) => t.as_ref().clone(),
                    ty => ty,
                }
            }
        }
    }

    /// A C type from tracefs text such as `const char *` or `unsigned long[6]`.
    pub(super) fn text_type(&self, text: &str, pointees: Space) -> Option<Type> {
        let text = text.replace('*', " * ").replace('[', " [ ").replace(']', " ] ");
        let mut words: Vec<&str> = Vec::new();
        let mut suffix: Vec<&str> = Vec::new();
        let mut in_suffix = false;
        let mut user = false;
        for w in text.split_whitespace() {
            user |= w == "__user";
            if matches!(
                w,
                "const" | "volatile" | "__user" | "__rcu" | "restrict" | "__data_loc" | "__rel_loc"
            ) {
                continue;
            }
            in_suffix |= matches!(w, "*" | "[");
            if in_suffix {
                suffix.push(w);
            } else {
                words.push(w);
            }
        }
        let space = if user { Space::User } else { pointees };
        let stars = suffix.iter().filter(|w| **w == "*").count();
        let inner_space = if stars > 0 { space } else { Space::Kernel };
        let mut ty = self.named_type(&words, inner_space, space)?;
        for _ in 0..stars {
            ty = Type::pointer(ty, space);
        }
        if let Some(at) = suffix.iter().position(|w| *w == "[") {
            let count = suffix.get(at + 1).and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
            ty = match (&ty, words.as_slice()) {
                (Type::Int { size: 1, .. }, ["char"]) if count > 0 => Type::Str { capacity: count },
                _ => {
                    Type::Array { elem: Arc::new(stored_in(ty, Space::Kernel)), count, space: Space::Kernel }
                }
            };
        }
        Some(ty)
    }

    fn named_type(&self, words: &[&str], space: Space, pointees: Space) -> Option<Type> {
        let store = self.env.store;
        let (kind, name) = match words {
            ["struct", name] => (TypeSpace::Struct, (*name).to_string()),
            ["union", name] => (TypeSpace::Union, (*name).to_string()),
            ["enum", name] => (TypeSpace::Enum, (*name).to_string()),
            _ => (TypeSpace::Plain, words.join(" ")),
        };
        if kind == TypeSpace::Plain {
            if let Some((size, signed)) = integer(&name) {
                return Some(Type::Int { size, signed });
            }
            if matches!(name.as_str(), "void" | "bool") {
                return special(&name, StackMode::Bpftrace);
            }
        }
        match store.find(kind, &name) {
            Some(id) => Some(store.type_within(id, space, pointees)),
            // behind a pointer it need not be known
            None if space == pointees && kind != TypeSpace::Plain => Some(Type::Void),
            None => None,
        }
    }
}

/// A type that lies in `space`.
fn placed(ty: Type, space: Space) -> Type {
    match ty {
        Type::Struct { def, .. } => Type::Struct { def, space },
        Type::Array { elem, count, .. } => {
            Type::Array { elem: Arc::new(placed(elem.as_ref().clone(), space)), count, space }
        }
        Type::Void | Type::Unknown => ty,
        other => other,
    }
}

fn stored_in(ty: Type, space: Space) -> Type {
    if space == Space::Program {
        stored(&ty)
    } else {
        placed(ty, space)
    }
}
