//! Statements and variables.

use super::memory::Fill;
use super::pairs;
use super::scratch::{Loop, VarPlace};
use super::shapes::is_register;
use super::walk::{self, Node};
use super::{Lower, LowerError, Operand, Place};
use crate::typed::{MapIndex, VarId};
use crate::types::Type;
use fathom_codegen::ir::{Func, Size, Ty, Value};
use fathom_syntax::ast::{BinaryOp, Block, Expr, ExprKind, Stmt, StmtKind};
use fathom_syntax::span::Span;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Frame that callbacks share: what a callback told its caller.
pub(super) const FRAME_FLOW: i32 = 0;
/// Frame: value of a `return` within a callback.
pub(super) const FRAME_RESULT: i32 = 8;
/// Frame: the program's context.
pub(super) const FRAME_CTX: i32 = 16;
/// Bytes of the frame before the variables.
const FRAME_HEAD: u32 = 24;
/// Largest frame; variables that do not fit live in scratch.
const FRAME_MAX: u32 = 160;

/// Variables: where they live, reads and writes.
impl Lower<'_> {
    /// Gives every variable of the clause its place.
    pub(super) fn prepare_variables(&mut self) -> Result<(), LowerError> {
        let mut seen: BTreeSet<VarId> = BTreeSet::new();
        let mut assigned: HashMap<VarId, u32> = HashMap::new();
        let mut loops = false;
        let mut see = |node: Node<'_>| match node {
            Node::Expr(e) => {
                if let (ExprKind::Var(_), Some(id)) = (&e.kind, self.typed.vars.get(&e.id)) {
                    seen.insert(*id);
                }
                if let ExprKind::Step { target, .. } = &e.kind {
                    if let Some(id) = self.typed.vars.get(&target.id) {
                        *assigned.entry(*id).or_default() += 2;
                    }
                }
            }
            Node::Stmt(s) => match &s.kind {
                StmtKind::Assign { lhs: var, .. } | StmtKind::Let { var, value: Some(_), .. } => {
                    if let Some(id) = self.typed.vars.get(&var.id) {
                        *assigned.entry(*id).or_default() += 1;
                    }
                }
                StmtKind::ForMap { .. } => loops = true,
                _ => {}
            },
        };
        self.probe.predicate.iter().for_each(|p| walk::expr(p, &mut see));
        walk::block(&self.probe.body, &mut see);
        // A function's body is written at each call: its variables are assigned again each time.
        for subprog in &self.typed.subprogs {
            walk::block(&subprog.body, &mut see);
            walk::block(&subprog.body, &mut see);
        }
        seen.extend(self.typed.subprog_vars.iter().flatten());
        let mut frame = FRAME_HEAD;
        let mut places = BTreeMap::new();
        for id in seen {
            let Some(info) = self.typed.var_infos.get(id.0 as usize) else { continue };
            let register = is_register(&info.ty);
            let size = if register { 8 } else { super::scratch::round_up(self.size_of(&info.ty)) };
            let in_memory = info.address_taken || (info.captured && loops) || self.func.thrifty;
            let place = if info.captured && loops && size <= 32 && frame + size <= FRAME_MAX {
                frame += size;
                VarPlace::Frame(frame - size)
            } else if register && !in_memory {
                self.func.single.insert(id, assigned.get(&id).copied().unwrap_or(0) <= 1);
                continue;
            } else if size <= self.func_stack_limit() && !info.captured && !self.func.thrifty {
                match self.permanent_slot(size) {
                    Some(slot) => VarPlace::Slot(slot),
                    None => VarPlace::Scratch(self.reserve_scratch(size)),
                }
            } else {
                VarPlace::Scratch(self.reserve_scratch(size))
            };
            places.insert(id, place);
        }
        self.func.vars.extend(places);
        if loops {
            let slot = self.b.slot(frame);
            let at = self.slot_place(slot);
            self.zero(at, frame);
            let ctx = self.ctx();
            self.b.store(at.ptr, FRAME_CTX, Size::B8, ctx);
            self.func.frame = Some(at.ptr);
        }
        Ok(())
    }

    /// Memory of a variable.
    pub(super) fn var_place(&mut self, id: VarId, span: Span) -> Result<Place, LowerError> {
        match self.func.vars.get(&id).copied() {
            Some(VarPlace::Frame(at)) => match self.func.frame {
                Some(ptr) => Ok(Place { ptr, offset: at as i32, align: 8 }),
                None => Err(LowerError::new(span, "This variable is out of reach here")),
            },
            Some(VarPlace::Slot(slot)) => Ok(self.slot_place(slot)),
            Some(VarPlace::Scratch(at)) => Ok(self.scratch_place(at)),
            None => {
                // Declared within the body of a loop over a map: it lives in the callback's own memory.
                let size = super::scratch::round_up(self.size_of(&self.var_type(id)));
                let slot = if size <= self.func_stack_limit() { self.permanent_slot(size) } else { None };
                let place = match slot {
                    Some(slot) => VarPlace::Slot(slot),
                    None => VarPlace::Scratch(self.reserve_scratch(size)),
                };
                self.func.vars.insert(id, place);
                self.var_place(id, span)
            }
            _ => Err(LowerError::new(span, "This variable does not live in memory")),
        }
    }

    /// The pair that a variable of a loop over a map stands for.
    pub(super) fn var_pair(&self, id: VarId) -> Option<VarPlace> {
        self.func.vars.get(&id).copied().filter(|p| matches!(p, VarPlace::Pair { .. }))
    }

    fn var_type(&self, id: VarId) -> Type {
        self.typed.var_infos.get(id.0 as usize).map_or(Type::Unknown, |v| v.ty.clone())
    }

    /// The value of a variable.
    pub(super) fn read_var(&mut self, id: VarId, span: Span) -> Result<Operand, LowerError> {
        let ty = self.var_type(id);
        match self.func.vars.get(&id).copied() {
            Some(VarPlace::Register(var)) => Ok(Operand::scalar(self.b.use_var(var), ty)),
            Some(VarPlace::Pair { key, value, map }) => self.pair_value(&ty, key, (value, map), span),
            Some(_) => {
                let place = self.var_place(id, span)?;
                if is_register(&ty) {
                    return Ok(Operand::scalar(self.scalar_load(place, &ty), ty));
                }
                Ok(Operand::memory(place, ty))
            }
            None if is_register(&ty) => {
                // Not assigned on the way here; where an assignment follows in a loop, the builder merges it in.
                let var = self.new_register();
                self.func.vars.insert(id, VarPlace::Register(var));
                Ok(Operand::scalar(self.b.use_var(var), ty))
            }
            None => Err(LowerError::new(span, "This variable has no value here")),
        }
    }

    /// Gives a variable of one register a value, which is narrowed to the variable's type already.
    pub(super) fn write_var(&mut self, id: VarId, value: Value, span: Span) -> Result<(), LowerError> {
        match self.func.vars.get(&id).copied() {
            Some(VarPlace::Register(var)) => {
                let value = if self.func.tracked.contains(&id) { value } else { self.number(value) };
                self.b.def_var(var, value);
            }
            None => {
                // A variable that is assigned once keeps what the verifier knows of its value.
                let tracked = self.b.ty(value) == Ty::Ptr && self.func.single.get(&id) == Some(&true);
                let var = self.b.declare_var(if tracked { Ty::Ptr } else { Ty::Int });
                if tracked {
                    self.func.tracked.insert(id);
                }
                self.func.vars.insert(id, VarPlace::Register(var));
                let value = if tracked { value } else { self.number(value) };
                self.b.def_var(var, value);
            }
            Some(_) => {
                let place = self.var_place(id, span)?;
                self.b.store(place.ptr, place.offset, Size::B8, value);
            }
        }
        Ok(())
    }

    /// `$x = value`
    pub(super) fn assign_var(&mut self, id: VarId, value: &Expr, span: Span) -> Result<(), LowerError> {
        let ty = self.var_type(id);
        if is_register(&ty) {
            let from = self.ty(value);
            let value = self.scalar(value)?;
            let wide = super::shapes::register_size(&from) > super::shapes::register_size(&ty);
            let value = if wide { self.narrow(value, &ty) } else { value };
            return self.write_var(id, value, span);
        }
        if matches!(ty, Type::Void | Type::Unknown) {
            return self.expr(value).map(drop);
        }
        // The old value may occur in the new one, and a tuple is built member by member.
        let operand = self.expr(value)?;
        let place = self.var_place(id, span)?;
        let fill = if matches!(ty, Type::Str { .. }) { Fill::Loose } else { Fill::Clean };
        self.store_filled(&operand, place, &ty, fill)
    }
}

/// Statements.
impl Lower<'_> {
    /// Runs the clause.
    pub(super) fn unit_body(&mut self) -> Result<(), LowerError> {
        let probe = self.probe;
        if let Some(predicate) = &probe.predicate {
            let mark = self.mark();
            let (cond, a, b) = self.condition(predicate)?;
            self.release(&mark);
            self.leave_unless(cond, a, b);
        }
        self.block(&probe.body)?;
        if let Some(value) = &probe.body.value {
            if !self.b.is_terminated() {
                self.effect(value)?;
            }
        }
        if !self.b.is_terminated() {
            let zero = self.b.iconst(0);
            self.b.ret(zero);
        }
        Ok(())
    }

    /// Ends the program unless the condition holds.
    pub(super) fn leave_unless(&mut self, cond: fathom_codegen::ir::Cond, a: Value, b: Value) {
        let (go_on, leave) = (self.b.new_block(), self.b.new_block());
        self.b.branch(cond, fathom_codegen::ir::Width::W64, a, b, (go_on, &[]), (leave, &[]));
        self.b.seal(go_on);
        self.b.seal(leave);
        self.b.switch_to(leave);
        let zero = self.b.iconst(0);
        self.b.ret(zero);
        self.b.switch_to(go_on);
    }

    /// All functions of the unit, the entry first.
    pub(super) fn finish_unit(self) -> Result<Vec<Func>, LowerError> {
        let mut funcs = self.funcs;
        if let Some(entry) = funcs.first_mut() {
            *entry = Some(self.b.finish());
        }
        let span = self.probe.span;
        funcs
            .into_iter()
            .map(|f| f.ok_or_else(|| LowerError::new(span, "A function was left unfinished")))
            .collect()
    }

    /// The statements of a block, without its value.
    pub(super) fn block(&mut self, block: &Block) -> Result<(), LowerError> {
        self.func.cleared.extend(pairs::printed_and_cleared(block));
        for s in &block.stmts {
            if self.b.is_terminated() {
                break;
            }
            self.stmt(s)?;
        }
        Ok(())
    }

    /// A block with its value.
    pub(super) fn block_value(&mut self, block: &Block) -> Result<Operand, LowerError> {
        self.block(block)?;
        match &block.value {
            Some(value) if !self.b.is_terminated() => self.expr(value),
            _ => Ok(Operand::Void),
        }
    }

    /// The body of a loop or branch as statements: its value is dropped.
    pub(super) fn body(&mut self, block: &Block) -> Result<(), LowerError> {
        self.block(block)?;
        match &block.value {
            Some(value) if !self.b.is_terminated() => self.effect(value),
            _ => Ok(()),
        }
    }

    /// An expression for its effect.
    pub(super) fn effect(&mut self, e: &Expr) -> Result<(), LowerError> {
        match &e.kind {
            ExprKind::Step { increment, postfix, target } => {
                self.set_span(e.span);
                self.step(target, *increment, *postfix, false).map(drop)
            }
            ExprKind::If { cond, then, otherwise } => {
                self.set_span(cond.span);
                let (cond, a, b) = self.condition(cond)?;
                self.if_else(
                    cond,
                    a,
                    b,
                    |l| l.body(then),
                    |l| match otherwise {
                        Some(e) => l.effect(e),
                        None => Ok(()),
                    },
                )
            }
            ExprKind::Block(block) => self.body(block),
            _ => self.expr(e).map(drop),
        }
    }

    fn stmt(&mut self, s: &Stmt) -> Result<(), LowerError> {
        self.spend(s.span)?;
        let mark = self.mark();
        self.set_span(s.span);
        self.stmt_kind(s)?;
        self.release(&mark);
        Ok(())
    }

    fn stmt_kind(&mut self, s: &Stmt) -> Result<(), LowerError> {
        match &s.kind {
            StmtKind::Expr(e) | StmtKind::Discard(e) => self.effect(e),
            StmtKind::Assign { lhs, op: None, rhs } => self.assign(lhs, rhs),
            StmtKind::Assign { lhs, op: Some(op), rhs } => self.assign_op(lhs, *op, rhs, s.span),
            StmtKind::Let { var, value, .. } => {
                let ExprKind::Var(name) = &var.kind else {
                    return Err(LowerError::new(var.span, "A variable is needed here"));
                };
                let id = self.var_id(var, name)?;
                match value {
                    Some(value) => self.assign_var(id, value, s.span),
                    None => self.clear_var(id, s.span),
                }
            }
            StmtKind::ForMap { var, map, body } => self.for_map(var, map, body),
            StmtKind::ForRange { var, start, end, body } => self.for_range(var, start, end, body),
            StmtKind::While { cond, body } => self.while_loop(cond, body, s.span),
            StmtKind::Unroll { count, body } => self.unroll(count, body),
            StmtKind::Break => {
                match self.func.loops.last().copied() {
                    Some(Loop::Blocks { break_to, .. }) => self.b.jump(break_to, &[]),
                    Some(Loop::Callback) => self.leave_callback(1),
                    None => return Err(LowerError::new(s.span, "break outside of a loop")),
                }
                Ok(())
            }
            StmtKind::Continue => {
                match self.func.loops.last().copied() {
                    Some(Loop::Blocks { continue_to, .. }) => self.b.jump(continue_to, &[]),
                    Some(Loop::Callback) => self.leave_callback(0),
                    None => return Err(LowerError::new(s.span, "continue outside of a loop")),
                }
                Ok(())
            }
            StmtKind::Return(value) => {
                if self.subprog_return(value.as_ref())? {
                    return Ok(());
                }
                let value = match value {
                    Some(e) => {
                        let value = self.scalar(e)?;
                        self.number(value)
                    }
                    None => self.b.iconst(0),
                };
                self.leave_program(value);
                Ok(())
            }
            StmtKind::Import(_) => Ok(()),
        }
    }

    /// Ends the program with this result, from a callback too.
    pub fn leave_program(&mut self, value: Value) {
        match (self.func.is_callback, self.func.frame) {
            (true, Some(frame)) => {
                let two = self.b.iconst(2);
                self.b.store(frame, FRAME_FLOW, Size::B8, two);
                self.b.store(frame, FRAME_RESULT, Size::B8, value);
                self.leave_callback(1);
            }
            _ => self.b.ret(value),
        }
    }

    fn leave_callback(&mut self, stop: i64) {
        let stop = self.b.iconst(stop);
        self.b.ret(stop);
    }

    fn clear_var(&mut self, id: VarId, span: Span) -> Result<(), LowerError> {
        let ty = self.var_type(id);
        if is_register(&ty) {
            // The kind of a pointer's register is known when it is assigned.
            let pointer = matches!(ty, Type::Pointer { .. });
            if pointer && self.func.single.get(&id) == Some(&true) && self.func.loops.is_empty() {
                return Ok(());
            }
            let zero = self.b.iconst(0);
            return self.write_var(id, zero, span);
        }
        if matches!(ty, Type::Void) {
            return Ok(());
        }
        let place = self.var_place(id, span)?;
        self.zero(place, self.size_of(&ty));
        Ok(())
    }

    fn assign(&mut self, target: &Expr, value: &Expr) -> Result<(), LowerError> {
        if let ExprKind::Var(name) = &target.kind {
            let id = self.var_id(target, name)?;
            return self.assign_var(id, value, target.span);
        }
        let map = self.map_of(target)?;
        if self.is_aggregation(map) {
            return self.aggregate_call(target, value);
        }
        self.map_assign(target, value)
    }

    fn is_aggregation(&self, map: MapIndex) -> bool {
        self.typed.maps.get(map.0 as usize).is_some_and(|m| m.agg().is_some())
    }

    /// `@m[k] = count()` and the like: the call's arguments are the values, the map's type says what is done with them.
    fn aggregate_call(&mut self, target: &Expr, call: &Expr) -> Result<(), LowerError> {
        let map = self.map_of(target)?;
        let (_, agg) = self.map_type(map, target.span)?;
        let args: &[Expr] = match &call.kind {
            ExprKind::Call { args, .. } => args,
            _ => &[],
        };
        let (value, signed) = match args.first() {
            Some(arg) => {
                let signed = super::memory::is_signed(&self.ty(arg));
                let value = self.scalar(arg)?;
                (self.number(value), signed)
            }
            None => (self.b.iconst(1), false),
        };
        let (map, key) = self.element_key(target)?;
        match agg {
            Some(agg) => self.aggregate(map, key, &agg, (value, signed), target.span),
            None => Ok(()),
        }
    }

    fn assign_op(&mut self, target: &Expr, op: BinaryOp, rhs: &Expr, span: Span) -> Result<(), LowerError> {
        let ty = self.ty(target);
        let signed = crate::analyse::operands_signed(target, rhs, self.typed);
        let mut right = self.scalar(rhs)?;
        right = self.number(right);
        if let (Type::Pointer { to, .. }, BinaryOp::Add | BinaryOp::Sub) = (&ty, op) {
            right = self.b.mul_imm(right, i64::from(self.size_of(to).max(1)));
        }
        if let ExprKind::Var(name) = &target.kind {
            let id = self.var_id(target, name)?;
            let operand = self.read_var(id, target.span)?;
            let left = self.to_scalar(operand, target.span)?;
            let left = self.number(left);
            let value = self.arithmetic(op, left, right, signed, span)?;
            let value = self.narrow(value, &ty);
            return self.write_var(id, value, target.span);
        }
        if let BinaryOp::Add | BinaryOp::Sub = op {
            let delta = match op {
                BinaryOp::Add => right,
                _ => {
                    let zero = self.b.iconst(0);
                    self.b.sub(zero, right)
                }
            };
            return self.map_add(target, delta, false).map(drop);
        }
        let (map, key) = self.element_key(target)?;
        let old = self.element_value(map, key, target.span)?;
        let left = self.to_scalar(old, target.span)?;
        let value = self.arithmetic(op, left, right, signed, span)?;
        let value = self.narrow(value, &ty);
        self.map_set_register(map, key, value, target.span)
    }
}
