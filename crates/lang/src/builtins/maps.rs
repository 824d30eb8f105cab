//! Elements of maps: delete, has_key, find. (`len` of a map is beside the other lengths in `strings`.)

use super::{Builtin, Form};
use crate::analyse::call::CallContext;
use crate::facts::Feature;
use crate::lower::{Lower, LowerError, Operand, Place};
use crate::typed::MapIndex;
use crate::types::{Agg, Type};
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Cond, Effect, Ty, Value, Width};
use fathom_codegen::program::ActionKind;
use fathom_syntax::ast::{Expr, ExprKind};
use fathom_syntax::span::Span;

/// `-ENOENT`
const ENOENT: i64 = -2;

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    Builtin {
        name: "delete",
        form: Form::Function,
        signature: "bool delete(@map[, key])",
        args: (1, 2),
        is_unsafe: false,
        pure_value: false,
        infer: infer_delete,
        lower: lower_delete,
        doc: "Removes the element of a key, or the value of a map without keys. True if there was one; a warning is printed if there was none and \
              nobody asks for the result. `delete(@map[key])` is the older form.",
        example: "begin { @a[1] = 1; delete(@a, 1); }",
    },
    Builtin {
        name: "has_key",
        form: Form::Function,
        signature: "bool has_key(@map, key)",
        args: (2, 2),
        is_unsafe: false,
        pure_value: true,
        infer: |cx| {
            keyed_map(cx);
            Type::Bool
        },
        lower: |l, call, args| {
            let [map, key] = args else { return Ok(Operand::Void) };
            let (_, _, ptr) = lookup(l, map, key, call.span)?;
            let zero = l.b.iconst(0);
            let found = l.b.compare(Cond::Ne, Width::W64, ptr, zero);
            Ok(Operand::scalar(found, Type::Bool))
        },
        doc: "Whether a map has an element of this key.",
        example: "begin { @a[1] = 1; print(has_key(@a, 1)); }",
    },
    Builtin {
        name: "find",
        form: Form::Function,
        signature: "bool find(@map, key, $value)",
        args: (3, 3),
        is_unsafe: false,
        pure_value: false,
        infer: infer_find,
        lower: lower_find,
        doc: "Looks an element up and, if there is one, sets the variable to its value. True if there is one.",
        example: "begin { @a[1] = 5; let $x; if (find(@a, 1, $x)) { print($x); } }",
    },
];

/// The map that is the first argument, as one with keys that the second argument is a key of.
fn keyed_map(cx: &mut CallContext<'_>) -> Option<MapIndex> {
    let Some(map) = cx.map(0) else {
        let text = format!("{}() expects a map to be provided as first argument", cx.name);
        cx.error(cx.arg_span(0), text);
        return None;
    };
    if cx.map_info(map).key.is_some() {
        cx.use_key(map, 1);
    } else {
        expect_keyed(cx, map);
    }
    Some(map)
}

/// Complains in the last round when a map has no keys.
pub(super) fn expect_keyed(cx: &mut CallContext<'_>, map: MapIndex) {
    if cx.is_final() && cx.map_info(map).key.is_none() {
        let text = format!("call to {}() expects a map with explicit keys (non-scalar map)", cx.name);
        cx.error(cx.span, text);
    }
}

fn infer_delete(cx: &mut CallContext<'_>) -> Type {
    if cx.args.len() == 2 {
        keyed_map(cx);
        return Type::Bool;
    }
    match cx.args.first().map(|a| &a.kind) {
        Some(ExprKind::MapAccess { .. }) => {}
        Some(ExprKind::Map(_)) => {
            let Some(map) = cx.map(0) else { return Type::Bool };
            if cx.map_info(map).key.is_some() {
                cx.error_hint(
                    cx.span,
                    "call to delete() expects a map without explicit keys (scalar map)",
                    "delete(@map, key) removes one element, clear(@map) all",
                );
            }
        }
        _ => cx.error(cx.arg_span(0), "delete() expects a map to be provided as first argument"),
    }
    Type::Bool
}

fn lower_delete(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(target) = args.first() else { return Ok(Operand::Void) };
    let map = l.map_of(target)?;
    let key = match (args.get(1), &target.kind) {
        (Some(key), _) => Some(l.map_key(map, key)?),
        (None, ExprKind::MapAccess { key, .. }) => Some(l.map_key(map, key)?),
        _ => None,
    };
    let is_keyed = key.is_some();
    let existed = l.map_delete(map, key, call.span)?;
    if is_keyed && l.is_dropped(call) {
        let zero = l.b.iconst(0);
        l.if_then(Cond::Eq, existed, zero, |l| {
            let kind = ActionKind::HelperError {
                helper: "map_delete_elem".into(),
                message: "Can't delete map element because it does not exist.".into(),
                only_verbose: false,
            };
            let code = l.b.iconst(ENOENT);
            l.report(kind, code, call.span);
            Ok(())
        })?;
    }
    Ok(Operand::scalar(existed, Type::Bool))
}

/// Looks an element up: the map, where its key lies, and the pointer to its value or null.
fn lookup(
    l: &mut Lower<'_>,
    map: &Expr,
    key: &Expr,
    span: Span,
) -> Result<(MapIndex, Place, Value), LowerError> {
    let map = l.map_of(map)?;
    let key = l.map_key(map, key)?;
    let id = l.map_id(map, span)?;
    let ptr = l.map_lookup(id, key);
    Ok((map, key, ptr))
}

fn infer_find(cx: &mut CallContext<'_>) -> Type {
    let Some(map) = keyed_map(cx) else { return Type::Bool };
    let value = match cx.map_info(map).value.clone() {
        Type::Aggregation(Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Tseries { .. } | Agg::Stats { .. }) => {
            cx.error(cx.arg_span(0), "find() expects a map whose values are single values");
            Type::Unknown
        }
        Type::Aggregation(
            Agg::Sum { signed } | Agg::Min { signed } | Agg::Max { signed } | Agg::Avg { signed },
        ) => Type::Int { size: 8, signed },
        Type::Aggregation(Agg::Count) => Type::I64,
        value => value,
    };
    if value != Type::Unknown && !cx.assign_var(2, &value) {
        check_variable(cx);
    }
    Type::Bool
}

fn check_variable(cx: &mut CallContext<'_>) {
    cx.error(cx.arg_span(2), "find() expects a variable as third argument");
}

fn lower_find(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [map, key, out] = args else { return Ok(Operand::Void) };
    let (map, key, ptr) = lookup(l, map, key, call.span)?;
    let zero = l.b.iconst(0);
    let found = l.b.declare_var(Ty::Int);
    l.b.def_var(found, zero);
    l.if_then(Cond::Ne, ptr, zero, |l| {
        let value = l.found_value(map, key, ptr, call.span)?;
        l.set_variable(out, value)?;
        let one = l.b.iconst(1);
        l.b.def_var(found, one);
        Ok(())
    })?;
    let found = l.b.use_var(found);
    Ok(Operand::scalar(found, Type::Bool))
}

/// Number of elements of a map: the kernel counts those that it calls a function for.
pub(super) fn count_elements(l: &mut Lower<'_>, map: MapIndex, span: Span) -> Result<Value, LowerError> {
    if !l.has(Feature::ForEachMapElem) {
        return Err(LowerError::new(span, "The elements of a map can't be counted on this kernel")
            .hint("len() of a map needs Linux 5.13 or later"));
    }
    let id = l.map_id(map, span)?;
    let callback = l.idle_callback();
    let (map, callback) = (l.b.map_ref(id), l.b.func_addr(callback));
    let (null, flags) = (l.b.iconst(0), l.b.iconst(0));
    Ok(l.b.call(Helper::FOR_EACH_MAP_ELEM, &[map, callback, null, flags], Effect::Read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_a_map_first() {
        assert!(ROWS.iter().all(|row| row.signature.contains("(@map")));
    }
}
