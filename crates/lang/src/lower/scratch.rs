//! Working memory of a function being written: stack slots, the per-CPU scratch element, and what is known to be computed already.

use super::subprog::Return;
use super::{Lower, LowerError, Place};
use crate::typed::VarId;
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Block, Cond, Effect, Size, Slot, Ty, Value, Width};
use fathom_codegen::Var;
use fathom_syntax::ast::NodeId;
use std::collections::{HashMap, HashSet};

/// Bytes of stack that values of the entry function may take; the rest is for spilled registers.
const ENTRY_STACK: u32 = 256;
/// The same when everything did not fit: temporaries only.
const THRIFTY_STACK: u32 = 96;
/// The same for a callback, whose frame lies behind that of its caller.
const CALLBACK_STACK: u32 = 64;

/// Where a variable lives.
#[derive(Clone, Copy, Debug)]
pub(super) enum VarPlace {
    /// In a register.
    Register(Var),
    /// In the frame that callbacks share with the entry function, at this offset.
    Frame(u32),
    /// On the stack.
    Slot(Slot),
    /// In the scratch element at this offset.
    Scratch(u32),
    /// The pair of a loop over a map: pointers to the key and to the value.
    Pair {
        /// The key in the map.
        key: Value,
        /// The value in the map (of the current CPU).
        value: Value,
        /// Which map.
        map: crate::typed::MapIndex,
    },
}

/// What is computed in a block and those that it dominates.
#[derive(Default)]
struct Scope {
    scratch: Option<Value>,
    comm: Option<Place>,
    present: HashSet<u32>,
}

/// Targets of `break` and `continue`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loop {
    /// A loop of blocks.
    Blocks {
        /// Behind the loop.
        break_to: Block,
        /// Next iteration.
        continue_to: Block,
    },
    /// The body of a callback.
    Callback,
}

/// State of the function being written.
pub(super) struct FuncState {
    /// The program's context; in callbacks loaded from the frame.
    pub ctx: Value,
    /// A callback: returns tell the kernel whether to go on.
    pub is_callback: bool,
    /// Pointer to the shared frame, in callbacks.
    pub frame: Option<Value>,
    pub vars: HashMap<VarId, VarPlace>,
    pub loops: Vec<Loop>,
    /// The functions of the script whose bodies are being written.
    pub returns: Vec<Return>,
    /// Variables of one register: whether there is one assignment at most.
    pub single: HashMap<VarId, bool>,
    /// Variables whose value the verifier knows as a pointer.
    pub tracked: HashSet<VarId>,
    /// Calls of `print` whose map is cleared right behind.
    pub cleared: HashSet<NodeId>,
    scopes: Vec<Scope>,
    stack_limit: u32,
    stack_budget: u32,
    /// Variables live in scratch.
    pub thrifty: bool,
    used_slots: Vec<(u32, Slot)>,
    free_slots: Vec<(u32, Slot)>,
    /// Next free byte of the scratch element.
    pub scratch_top: u32,
}

impl FuncState {
    /// State of an entry function. Values of more than `stack_limit` bytes go to the scratch element.
    pub fn entry(stack_limit: u32, ctx: Value, thrifty: bool) -> FuncState {
        FuncState {
            ctx,
            is_callback: false,
            frame: None,
            vars: HashMap::new(),
            loops: Vec::new(),
            returns: Vec::new(),
            single: HashMap::new(),
            tracked: HashSet::new(),
            cleared: HashSet::new(),
            scopes: vec![Scope::default()],
            stack_limit,
            stack_budget: if thrifty { THRIFTY_STACK } else { ENTRY_STACK },
            thrifty,
            used_slots: Vec::new(),
            free_slots: Vec::new(),
            scratch_top: 0,
        }
    }

    /// State of a callback that is called by the function of state `self`. `frame` and `ctx` are values of the new function.
    pub fn callback(&self, frame: Value, ctx: Value) -> FuncState {
        FuncState {
            is_callback: true,
            frame: Some(frame),
            vars: self.vars.iter().filter(|(_, p)| p.is_shared()).map(|(v, p)| (*v, *p)).collect(),
            loops: vec![Loop::Callback],
            scratch_top: self.scratch_top,
            stack_budget: CALLBACK_STACK,
            ..FuncState::entry(self.stack_limit, ctx, self.thrifty)
        }
    }
}

impl VarPlace {
    /// Whether callbacks can reach it.
    fn is_shared(&self) -> bool {
        matches!(self, VarPlace::Frame(_) | VarPlace::Scratch(_))
    }
}

/// A point to which temporaries are given back.
pub(super) struct Mark {
    slots: usize,
    scratch: u32,
}

impl Lower<'_> {
    /// Memory for a temporary of the current statement, aligned to 8: on the stack, or in the scratch element when it is large. Its
    /// contents are undefined.
    ///
    /// # Errors
    /// None today; scratch that grows beyond what a map can hold is reported when the unit ends.
    pub fn alloc(&mut self, size: u32) -> Result<Place, LowerError> {
        if size <= self.func.stack_limit && self.stack_has(size) {
            Ok(self.alloc_stack(size))
        } else {
            self.alloc_scratch(size)
        }
    }

    /// Values of up to this many bytes live on the stack.
    pub(super) fn func_stack_limit(&self) -> u32 {
        self.func.stack_limit
    }

    fn stack_has(&self, size: u32) -> bool {
        let size = round_up(size);
        self.func.free_slots.iter().any(|(s, _)| *s == size)
            || self.b.slot_bytes().saturating_add(size) <= self.func.stack_budget
    }

    /// Stack memory for a temporary of the current statement, aligned to 8, undefined.
    pub fn alloc_stack(&mut self, size: u32) -> Place {
        let size = round_up(size);
        let slot = match self.func.free_slots.iter().position(|(s, _)| *s == size) {
            Some(i) => self.func.free_slots.swap_remove(i).1,
            None => self.b.slot(size),
        };
        self.func.used_slots.push((size, slot));
        self.slot_place(slot)
    }

    /// Memory in the scratch element for a temporary of the current statement, aligned to 8, undefined.
    ///
    /// # Errors
    /// See [`Lower::alloc`].
    pub fn alloc_scratch(&mut self, size: u32) -> Result<Place, LowerError> {
        let offset = self.reserve_scratch(size);
        Ok(self.scratch_place(offset))
    }

    /// Takes bytes of the scratch element; gives their offset.
    pub(super) fn reserve_scratch(&mut self, size: u32) -> u32 {
        let offset = self.func.scratch_top;
        self.func.scratch_top = offset.saturating_add(round_up(size));
        self.out.grow_scratch(self.func.scratch_top);
        offset
    }

    /// The place at an offset of the scratch element.
    pub(super) fn scratch_place(&mut self, offset: u32) -> Place {
        let base = self.scratch_base();
        if offset < 32_000 {
            Place { ptr: base, offset: offset as i32, align: 8 }
        } else {
            let ptr = self.b.add_imm(base, i64::from(offset));
            Place { ptr, offset: 0, align: 8 }
        }
    }

    /// The place of a stack slot.
    pub(super) fn slot_place(&mut self, slot: Slot) -> Place {
        let ptr = self.b.slot_addr(slot, 0);
        Place { ptr, offset: 0, align: 8 }
    }

    /// A stack slot that lives as long as the function, when there is room.
    pub(super) fn permanent_slot(&mut self, size: u32) -> Option<Slot> {
        let size = round_up(size);
        (self.b.slot_bytes().saturating_add(size) <= self.func.stack_budget).then(|| self.b.slot(size))
    }

    /// Temporaries made from here on are given back by [`Lower::release`].
    pub(super) fn mark(&self) -> Mark {
        Mark { slots: self.func.used_slots.len(), scratch: self.func.scratch_top }
    }

    /// Gives temporaries back.
    pub(super) fn release(&mut self, mark: &Mark) {
        let freed = self.func.used_slots.split_off(mark.slots.min(self.func.used_slots.len()));
        self.func.free_slots.extend(freed);
        self.func.scratch_top = mark.scratch;
    }

    /// Pointer to this unit's scratch element of this CPU, looked up when it is first needed.
    fn scratch_base(&mut self) -> Value {
        if let Some(ptr) = self.func.scopes.iter().rev().find_map(|s| s.scratch) {
            return ptr;
        }
        let (map, big) = self.out.scratch_map();
        let key = self.alloc_stack(4);
        let index = if big {
            let cpu = self.b.call(Helper::GET_SMP_PROCESSOR_ID, &[], Effect::Read);
            let cpus = i64::from(self.facts.possible_cpus().max(1));
            self.b.add_imm(cpu, i64::from(self.unit.index).saturating_mul(cpus))
        } else {
            self.b.iconst(i64::from(self.unit.index))
        };
        self.b.store(key.ptr, key.offset, Size::B4, index);
        let map = self.b.map_ref(map);
        let ptr = self.b.call_ptr(Helper::MAP_LOOKUP_ELEM, &[map, key.ptr], Effect::Read);
        self.bail_if_null(ptr);
        if let Some(scope) = self.func.scopes.last_mut() {
            scope.scratch = Some(ptr);
        }
        ptr
    }

    /// Leaves the function when a pointer is null, which the verifier wants to see though it can't be.
    pub(super) fn bail_if_null(&mut self, ptr: Value) {
        let bail = self.b.new_block();
        let go_on = self.b.new_block();
        let zero = self.b.iconst(0);
        self.b.branch(Cond::Eq, Width::W64, ptr, zero, (bail, &[]), (go_on, &[]));
        self.b.seal(bail);
        self.b.seal(go_on);
        self.b.switch_to(bail);
        let zero = self.b.iconst(0);
        self.b.ret(zero);
        self.b.switch_to(go_on);
    }

    /// What follows is only run under a condition: what it computes is not known behind the matching [`Lower::leave_scope`].
    pub(super) fn enter_scope(&mut self) {
        self.func.scopes.push(Scope::default());
    }

    /// See [`Lower::enter_scope`].
    pub(super) fn leave_scope(&mut self) {
        if self.func.scopes.len() > 1 {
            self.func.scopes.pop();
        }
    }

    /// The name of the current thread in memory, fetched once.
    pub(super) fn comm_place(&mut self) -> Place {
        if let Some(place) = self.func.scopes.iter().rev().find_map(|s| s.comm) {
            return place;
        }
        let slot = self.b.slot(super::COMM_LEN);
        let place = self.slot_place(slot);
        let len = self.b.iconst(i64::from(super::COMM_LEN));
        self.b.call(Helper::GET_CURRENT_COMM, &[place.ptr, len], Effect::Write);
        if let Some(scope) = self.func.scopes.last_mut() {
            scope.comm = Some(place);
        }
        place
    }

    /// The name of the current thread in memory, if it was fetched already.
    pub(super) fn known_comm(&self) -> Option<Place> {
        self.func.scopes.iter().rev().find_map(|s| s.comm)
    }

    /// Whether the presence flag of a scalar map was set already on the way here; notes that it is now.
    pub(super) fn presence_known(&mut self, map: u32) -> bool {
        if self.func.scopes.iter().any(|s| s.present.contains(&map)) {
            return true;
        }
        if let Some(scope) = self.func.scopes.last_mut() {
            scope.present.insert(map);
        }
        false
    }

    /// Forgets that a presence flag was set (the map was deleted or cleared).
    pub(super) fn presence_unknown(&mut self, map: u32) {
        for scope in &mut self.func.scopes {
            scope.present.remove(&map);
        }
    }

    /// Forgets all presence flags: code that may delete elements runs between.
    pub(super) fn forget_presence(&mut self) {
        for scope in &mut self.func.scopes {
            scope.present.clear();
        }
    }

    /// A variable of the builder for one register.
    pub(super) fn new_register(&mut self) -> Var {
        self.b.declare_var(Ty::Int)
    }
}

/// Up to a multiple of 8.
pub(super) fn round_up(size: u32) -> u32 {
    size.max(1).saturating_add(7) & !7
}
