//! Loops: over numbers, over maps, by condition, unrolled.

use super::aggregate::cell;
use super::memory::Fill;
use super::scratch::{Loop, VarPlace};
use super::shapes::is_register;
use super::stmt::{FRAME_CTX, FRAME_FLOW, FRAME_RESULT};
use super::walk::{self, Node};
use super::{Lower, LowerError, Operand, Place};
use crate::facts::Feature;
use crate::typed::{MapIndex, VarId};
use crate::types::Type;
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Cond, Effect, FuncId, Size, Ty, Value, Width};
use fathom_codegen::FuncBuilder;
use fathom_syntax::ast::{Block, Expr, ExprKind, Stmt, StmtKind};
use fathom_syntax::span::Span;
use std::collections::BTreeSet;

/// Iterations of a `while` loop where the kernel has no loops of unknown length.
const PLAIN_LOOP_MAX: i64 = 1024;
/// Most iterations of `unroll`.
const UNROLL_MAX: i64 = 100;

impl Lower<'_> {
    /// `for ($i : start..end)`
    pub(super) fn for_range(
        &mut self,
        var: &Expr,
        start: &Expr,
        end: &Expr,
        body: &Block,
    ) -> Result<(), LowerError> {
        let ExprKind::Var(name) = &var.kind else {
            return Err(LowerError::new(var.span, "A variable is needed here"));
        };
        let id = self.var_id(var, name)?;
        let first = self.scalar(start)?;
        let first = self.number(first);
        let last = self.scalar(end)?;
        let last = self.number(last);
        let counter = self.b.declare_var(Ty::Int);
        let first = self.hidden(first);
        self.b.def_var(counter, first);
        self.hide_assigned(body);
        let (head, next, behind) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        self.enter_scope();
        let i = self.b.use_var(counter);
        let inside = self.b.new_block();
        self.b.branch(Cond::Slt, Width::W64, i, last, (inside, &[]), (behind, &[]));
        self.b.seal(inside);
        self.b.switch_to(inside);
        self.guard(behind, var.span)?;
        self.func.single.insert(id, false);
        self.write_var(id, i, var.span)?;
        self.func.loops.push(Loop::Blocks { break_to: behind, continue_to: next });
        self.body(body)?;
        self.func.loops.pop();
        if !self.b.is_terminated() {
            self.b.jump(next, &[]);
        }
        self.b.seal(next);
        self.b.switch_to(next);
        let i = self.b.use_var(counter);
        let i = self.b.add_imm(i, 1);
        self.b.def_var(counter, i);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal(behind);
        self.leave_scope();
        self.b.switch_to(behind);
        Ok(())
    }

    /// `while (cond)`
    pub(super) fn while_loop(&mut self, cond: &Expr, body: &Block, span: Span) -> Result<(), LowerError> {
        let (head, behind) = (self.b.new_block(), self.b.new_block());
        let next = self.b.new_block();
        let budget = self.b.declare_var(Ty::Int);
        let zero = self.b.iconst(0);
        self.b.def_var(budget, zero);
        self.hide_assigned(body);
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        self.enter_scope();
        let mark = self.mark();
        let (cond, a, b) = self.condition(cond)?;
        self.release(&mark);
        let inside = self.b.new_block();
        self.b.branch(cond, Width::W64, a, b, (inside, &[]), (behind, &[]));
        self.b.seal(inside);
        self.b.switch_to(inside);
        if self.has(Feature::MayGoto) {
            self.guard(behind, span)?;
        } else {
            let used = self.b.use_var(budget);
            let most = self.b.iconst(PLAIN_LOOP_MAX);
            let (go_on, stop) = (self.b.new_block(), self.b.new_block());
            self.b.branch(Cond::Ult, Width::W64, used, most, (go_on, &[]), (stop, &[]));
            self.b.seal(go_on);
            self.b.seal(stop);
            self.b.switch_to(stop);
            self.loop_stopped(span);
            self.b.jump(behind, &[]);
            self.b.switch_to(go_on);
            let used = self.b.add_imm(used, 1);
            self.b.def_var(budget, used);
        }
        self.func.loops.push(Loop::Blocks { break_to: behind, continue_to: next });
        self.body(body)?;
        self.func.loops.pop();
        if !self.b.is_terminated() {
            self.b.jump(next, &[]);
        }
        self.b.seal(next);
        self.b.switch_to(next);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal(behind);
        self.leave_scope();
        self.b.switch_to(behind);
        Ok(())
    }

    /// The same number, of which the verifier knows nothing: it would follow a loop that counts from a known number through every iteration.
    /// Where the kernel has no loops of unknown length, that is what it has to do.
    fn hidden(&mut self, value: Value) -> Value {
        if !self.has(Feature::MayGoto) || self.b.ty(value) == Ty::Ptr {
            return value;
        }
        let zero = self.out.unknown_zero();
        let cell = self.b.map_value(zero, 0);
        let unknown = self.b.load(cell, 0, Size::B8, false);
        self.b.add(value, unknown)
    }

    /// Hides the values of all variables that a loop's body changes.
    fn hide_assigned(&mut self, body: &Block) {
        if !self.has(Feature::MayGoto) {
            return;
        }
        let mut changed = BTreeSet::new();
        walk::block(body, &mut |node| {
            let target = match node {
                Node::Expr(Expr { kind: ExprKind::Step { target, .. }, .. }) => target,
                Node::Stmt(Stmt { kind: StmtKind::Assign { lhs, .. }, .. }) => lhs,
                _ => return,
            };
            changed.extend(self.typed.vars.get(&target.id).copied());
        });
        for id in changed {
            if self.func.tracked.contains(&id) {
                continue;
            }
            if let Some(VarPlace::Register(var)) = self.func.vars.get(&id).copied() {
                let value = self.b.use_var(var);
                let value = self.hidden(value);
                self.b.def_var(var, value);
            }
        }
    }

    /// Goes on while the kernel's budget of iterations lasts; then reports and leaves the loop.
    fn guard(&mut self, behind: fathom_codegen::ir::Block, span: Span) -> Result<(), LowerError> {
        if !self.has(Feature::MayGoto) {
            return Ok(());
        }
        let (go_on, exhausted) = (self.b.new_block(), self.b.new_block());
        self.b.loop_guard(go_on, exhausted);
        self.b.seal(go_on);
        self.b.seal(exhausted);
        self.b.switch_to(exhausted);
        self.scoped(|l| {
            l.loop_stopped(span);
            Ok(())
        })?;
        self.b.jump(behind, &[]);
        self.b.switch_to(go_on);
        Ok(())
    }

    fn loop_stopped(&mut self, span: Span) {
        self.runtime_error("The loop was stopped: it ran longer than the kernel allows a program to.", span);
    }

    /// `unroll (n)`
    pub(super) fn unroll(&mut self, count: &Expr, body: &Block) -> Result<(), LowerError> {
        let n = self.const_int(count).ok_or_else(|| {
            LowerError::new(count.span, "The number of repetitions of unroll has to be a constant")
        })?;
        let behind = self.b.new_block();
        for _ in 0..n.clamp(0, UNROLL_MAX) {
            if self.b.is_terminated() {
                break;
            }
            self.spend(count.span)?;
            let next = self.b.new_block();
            self.func.loops.push(Loop::Blocks { break_to: behind, continue_to: next });
            self.scoped(|l| l.body(body))?;
            self.func.loops.pop();
            if !self.b.is_terminated() {
                self.b.jump(next, &[]);
            }
            self.b.seal(next);
            self.b.switch_to(next);
        }
        if !self.b.is_terminated() {
            self.b.jump(behind, &[]);
        }
        self.b.seal(behind);
        self.b.switch_to(behind);
        Ok(())
    }

    /// `for ($kv : @map)`: the body is a callback that the kernel calls for each element.
    pub(super) fn for_map(&mut self, var: &Expr, map: &Expr, body: &Block) -> Result<(), LowerError> {
        if !self.has(Feature::ForEachMapElem) {
            return Err(LowerError::new(map.span, "This kernel can't loop over maps")
                .hint("loops over maps need Linux 5.13 or newer"));
        }
        let ExprKind::Var(name) = &var.kind else {
            return Err(LowerError::new(var.span, "A variable is needed here"));
        };
        let id = self.var_id(var, name)?;
        let index = self.map_of(map)?;
        let store = self.map_store(index, map.span)?;
        let Some(frame) = self.func.frame else {
            return Err(LowerError::new(map.span, "A loop over a map has no place here"));
        };
        if returns_inside(body) && !self.func.returns.is_empty() {
            return Err(LowerError::new(map.span, "A function can't return from within a loop over a map"));
        }
        let func = self.map_callback(id, index, body, var.span)?;
        let returns = returns_inside(body);
        if returns {
            let zero = self.b.iconst(0);
            self.b.store(frame, FRAME_FLOW, Size::B8, zero);
        }
        let (m, f, flags) = (self.b.map_ref(store.id), self.b.func_addr(func), self.b.iconst(0));
        self.b.call(Helper::FOR_EACH_MAP_ELEM, &[m, f, frame, flags], Effect::Write);
        self.forget_presence();
        if returns {
            let flow = self.b.load(frame, FRAME_FLOW, Size::B8, false);
            let two = self.b.iconst(2);
            self.if_then(Cond::Eq, flow, two, |l| {
                let value = l.b.load(frame, FRAME_RESULT, Size::B8, false);
                l.leave_program(value);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Writes the callback function of a loop over a map.
    fn map_callback(
        &mut self,
        var: VarId,
        map: MapIndex,
        body: &Block,
        span: Span,
    ) -> Result<FuncId, LowerError> {
        let index = self.funcs.len();
        self.funcs.push(None);
        let loc = self.loc_of(span);
        let mut b = FuncBuilder::new(&format!("each{index}"), &[Ty::Ptr; 4], loc);
        let (key, value, frame) = (b.param(1), b.param(2), b.param(3));
        let ctx = b.load_ptr(frame, FRAME_CTX);
        let inner = self.func.callback(frame, ctx);
        let outer_b = std::mem::replace(&mut self.b, b);
        let outer = std::mem::replace(&mut self.func, inner);
        let result = self.callback_body(var, (key, value, map), body, span);
        let inner_b = std::mem::replace(&mut self.b, outer_b);
        self.func = outer;
        result?;
        if let Some(slot) = self.funcs.get_mut(index) {
            *slot = Some(inner_b.finish());
        }
        Ok(FuncId(index as u32))
    }

    fn callback_body(
        &mut self,
        var: VarId,
        (key, value, map): (Value, Value, MapIndex),
        body: &Block,
        span: Span,
    ) -> Result<(), LowerError> {
        // A loop variable that an inner loop uses lives in memory.
        let captured = self.func.vars.get(&var).copied();
        if captured.is_some() {
            let ty = self.typed.var_infos.get(var.0 as usize).map_or(Type::Unknown, |v| v.ty.clone());
            let place = self.var_place(var, span)?;
            self.build_pair(&ty, key, (value, map), place, span)?;
        } else {
            self.func.vars.insert(var, VarPlace::Pair { key, value, map });
        }
        self.body(body)?;
        if !self.b.is_terminated() {
            let zero = self.b.iconst(0);
            self.b.ret(zero);
        }
        Ok(())
    }

    /// `$kv.0` or `$kv.1`
    pub(super) fn pair_member(
        &mut self,
        var: VarId,
        key: Value,
        value: (Value, MapIndex),
        index: usize,
        span: Span,
    ) -> Result<Operand, LowerError> {
        let ty = self.typed.var_infos.get(var.0 as usize).map_or(Type::Unknown, |v| v.ty.clone());
        let (members, _) = self.tuple_layout(&ty);
        let member = members.get(index).map_or(Type::Unknown, |m| m.0.clone());
        if index == 0 {
            let place = Place { ptr: key, offset: 0, align: 8 };
            if is_register(&member) {
                return Ok(Operand::scalar(self.scalar_load(place, &member), member));
            }
            return Ok(Operand::memory(place, member));
        }
        let (cell_ptr, map) = value;
        let (of, agg) = self.map_type(map, span)?;
        match agg {
            Some(agg) => {
                let key = Place { ptr: key, offset: 0, align: 8 };
                let (_, size) = cell(&agg);
                if size > 16 {
                    return Ok(Operand::memory(Place { ptr: cell_ptr, offset: 0, align: 8 }, member));
                }
                let value = self.read_aggregate(map, Some(key), &agg, span)?;
                Ok(Operand::scalar(value, Type::I64))
            }
            None => Ok(self.value_at(cell_ptr, &of)),
        }
    }

    /// The pair as a tuple in memory.
    pub(super) fn pair_value(
        &mut self,
        ty: &Type,
        key: Value,
        value: (Value, MapIndex),
        span: Span,
    ) -> Result<Operand, LowerError> {
        let place = self.alloc(self.size_of(ty))?;
        self.build_pair(ty, key, value, place, span)?;
        Ok(Operand::memory(place, ty.clone()))
    }

    fn build_pair(
        &mut self,
        ty: &Type,
        key: Value,
        (value, map): (Value, MapIndex),
        place: Place,
        span: Span,
    ) -> Result<(), LowerError> {
        let (members, size) = self.tuple_layout(ty);
        self.zero(place, size);
        let (Some((key_ty, key_at)), Some((value_ty, value_at))) = (members.first(), members.get(1)) else {
            return Err(LowerError::new(span, "The variable of a loop over a map is a pair"));
        };
        let from = Operand::memory(Place { ptr: key, offset: 0, align: 8 }, key_ty.clone());
        self.store_filled(&from, place.at(*key_at), key_ty, Fill::Clean)?;
        let (of, agg) = self.map_type(map, span)?;
        let operand = match agg {
            Some(agg) => {
                let key = Place { ptr: key, offset: 0, align: 8 };
                Operand::scalar(self.read_aggregate(map, Some(key), &agg, span)?, Type::I64)
            }
            None => self.value_at(value, &of),
        };
        self.store_filled(&operand, place.at(*value_at), value_ty, Fill::Clean)
    }
}

/// Whether a `return` or something else that ends the program stands in a loop body.
fn returns_inside(body: &Block) -> bool {
    let mut found = false;
    walk::block(body, &mut |node| match node {
        Node::Stmt(s) => found |= matches!(s.kind, StmtKind::Return(_)),
        Node::Expr(e) => found |= matches!(&e.kind, ExprKind::Call { name, .. } if name == "exit"),
    });
    found
}
