//! Builds functions block by block: operations, control flow, and variables that become SSA values on the way.
//!
//! Variables follow Braun, Buchwald, Hack, Leißa, Mallon, Zwinkau, "Simple and Efficient Construction of Static Single
//! Assignment Form" (CC 2013): a read looks for the latest definition backwards through the blocks, a join gets a block
//! parameter. Parameters that merge one value only are removed by [`FuncBuilder::finish`]. The search uses work lists
//! instead of recursion, so that very long functions need no deep stack.
//!
//! A read of a variable that has no definition on some path gives 0 on that path.

use super::{
    AtomicOp, BinOp, Block, BlockData, Cond, Effect, Func, FuncId, Inst, Jump, LoadConst, MapId, Op, Size,
    Slot, SlotData, SrcLoc, Terminator, Ty, Value, Width,
};
use fathom_bpf::helpers::Helper;
use std::collections::HashMap;

/// A variable of the function under construction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Var(pub u32);

/// A block parameter that stands for a variable at a join.
struct Phi {
    value: Value,
    var: Var,
    /// One per incoming edge of the block, in the order of `BlockState::preds`.
    args: Vec<Value>,
}

/// What is known of a block beside its contents.
#[derive(Default)]
struct BlockState {
    sealed: bool,
    /// Incoming edges: the block and which of its jumps.
    preds: Vec<(Block, u8)>,
    /// Indices into `FuncBuilder::phis`.
    phis: Vec<usize>,
}

/// A function under construction. See the module's documentation.
pub struct FuncBuilder {
    func: Func,
    states: Vec<BlockState>,
    phis: Vec<Phi>,
    vars: Vec<Ty>,
    /// Latest definition of a variable in a block.
    defs: HashMap<(Var, Block), Value>,
    /// Phis whose arguments are not collected yet, with their block.
    pending: Vec<(usize, Block)>,
    current: Block,
    loc: SrcLoc,
    ops: usize,
    /// 0 at the start of the entry block, for variables without definition.
    zero: Option<Value>,
}

impl FuncBuilder {
    /// Starts a function. Its entry block is current and sealed; its parameters are the block's.
    pub fn new(name: &str, params: &[Ty], loc: SrcLoc) -> FuncBuilder {
        let mut builder = FuncBuilder {
            func: Func {
                name: name.to_owned(),
                blocks: Vec::new(),
                values: Vec::new(),
                slots: Vec::new(),
                loc,
            },
            states: Vec::new(),
            phis: Vec::new(),
            vars: Vec::new(),
            defs: HashMap::new(),
            pending: Vec::new(),
            current: Block(0),
            loc,
            ops: 0,
            zero: None,
        };
        let entry = builder.new_block();
        for ty in params {
            builder.block_param(entry, *ty);
        }
        builder.seal(entry);
        builder
    }

    /// How much there is so far: operations, and values that may have to be led through blocks.
    pub fn op_count(&self) -> usize {
        self.ops + self.phis.len()
    }

    /// Parameter `i` of the function.
    ///
    /// Panics when there is none.
    pub fn param(&self, i: usize) -> Value {
        self.func.blocks[0].params[i]
    }

    /// Sets the source location of what follows.
    pub fn set_loc(&mut self, loc: SrcLoc) {
        self.loc = loc;
    }

    /// The source location of what follows.
    pub fn loc(&self) -> SrcLoc {
        self.loc
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Ty {
        self.func.ty(value)
    }

    /// A stack slot of `size` bytes.
    pub fn slot(&mut self, size: u32) -> Slot {
        let slot = Slot(self.func.slots.len() as u32);
        self.func.slots.push(SlotData { size });
        slot
    }

    /// Bytes that the slots made so far occupy when none share memory.
    pub fn slot_bytes(&self) -> u32 {
        self.func.slots.iter().fold(0u32, |sum, slot| sum.saturating_add(slot.size.saturating_add(7) & !7))
    }

    /// A new block, not sealed, not current.
    pub fn new_block(&mut self) -> Block {
        let block = Block(self.func.blocks.len() as u32);
        self.func.blocks.push(BlockData::default());
        self.states.push(BlockState::default());
        block
    }

    /// Continues at the end of this block.
    pub fn switch_to(&mut self, block: Block) {
        self.current = block;
    }

    /// Declares that all jumps to this block are made.
    pub fn seal(&mut self, block: Block) {
        let state = &mut self.states[block.0 as usize];
        if state.sealed {
            return;
        }
        state.sealed = true;
        let phis = state.phis.clone();
        self.pending.extend(phis.into_iter().map(|phi| (phi, block)));
        self.fill_pending();
    }

    /// The block that operations go to.
    pub fn current(&self) -> Block {
        self.current
    }

    /// Whether the current block has its terminator. What is pushed then lands in a new block that is never reached.
    pub fn is_terminated(&self) -> bool {
        self.func.blocks[self.current.0 as usize].terminator.is_some()
    }

    /// Adds an explicit parameter; jumps to the block pass one argument for each, in the order of this call.
    pub fn block_param(&mut self, block: Block, ty: Ty) -> Value {
        let value = self.func.new_value(ty);
        self.func.blocks[block.0 as usize].params.push(value);
        value
    }

    /// A new variable.
    pub fn declare_var(&mut self, ty: Ty) -> Var {
        let var = Var(self.vars.len() as u32);
        self.vars.push(ty);
        var
    }

    /// The variable has this value from here on.
    pub fn def_var(&mut self, var: Var, value: Value) {
        self.leave_terminated();
        self.defs.insert((var, self.current), value);
    }

    /// The value that the variable has here.
    pub fn use_var(&mut self, var: Var) -> Value {
        self.leave_terminated();
        let value = self.find_def(var, self.current);
        self.fill_pending();
        value
    }

    /// Appends an operation that has a result.
    ///
    /// Panics when the operation has none.
    pub fn push(&mut self, op: Op) -> Value {
        match self.push_any(op) {
            Some(value) => value,
            None => panic!("push of an operation without result; use push_void"),
        }
    }

    /// Appends an operation whose result, if it has one, is not wanted.
    pub fn push_void(&mut self, op: Op) {
        self.push_any(op);
    }

    fn push_any(&mut self, op: Op) -> Option<Value> {
        self.leave_terminated();
        self.ops += 1;
        let ty = op.result_ty(|value| self.func.ty(value) == Ty::Ptr);
        let result = ty.map(|ty| self.func.new_value(ty));
        let inst = Inst { result, op, loc: self.loc };
        self.func.blocks[self.current.0 as usize].insts.push(inst);
        result
    }

    /// Code behind a terminator is never reached: it gets a block of its own.
    fn leave_terminated(&mut self) {
        if self.is_terminated() {
            let block = self.new_block();
            self.seal(block);
            self.current = block;
        }
    }

    fn terminate(&mut self, terminator: Terminator) {
        self.leave_terminated();
        for (edge, target) in terminator.successors().enumerate() {
            debug_assert!(!self.states[target.0 as usize].sealed, "jump to sealed block {target:?}");
            self.states[target.0 as usize].preds.push((self.current, edge as u8));
        }
        let block = &mut self.func.blocks[self.current.0 as usize];
        block.terminator = Some(terminator);
        block.terminator_loc = Some(self.loc);
    }
}

/// Operations by name.
impl FuncBuilder {
    /// A number.
    pub fn iconst(&mut self, value: i64) -> Value {
        self.push(Op::Const(value))
    }

    /// A number that is known when the program is loaded.
    pub fn load_const(&mut self, which: LoadConst) -> Value {
        self.push(Op::LoadConst(which))
    }

    /// `a op b`.
    pub fn binary(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Value {
        self.push(Op::Binary { op, width, a, b })
    }

    /// `a op imm`.
    pub fn binary_imm(&mut self, op: BinOp, width: Width, a: Value, imm: i64) -> Value {
        let b = self.iconst(imm);
        self.binary(op, width, a, b)
    }

    /// Extends the low `size` bytes to 64 bits.
    pub fn extend(&mut self, size: Size, signed: bool, a: Value) -> Value {
        self.push(Op::Extend { size, signed, a })
    }

    /// Reverses the low `size` bytes (2, 4 or 8), zero-extended.
    pub fn bswap(&mut self, size: Size, a: Value) -> Value {
        self.push(Op::ByteSwap { size, a })
    }

    /// 1 if the condition holds, else 0.
    pub fn compare(&mut self, cond: Cond, width: Width, a: Value, b: Value) -> Value {
        self.push(Op::Compare { cond, width, a, b })
    }

    /// Reads a number.
    pub fn load(&mut self, ptr: Value, offset: i32, size: Size, signed: bool) -> Value {
        self.push(Op::Load { ptr, offset, size, signed, invariant: false, ty: Ty::Int })
    }

    /// Reads a number that never changes during the run (context fields).
    pub fn load_invariant(&mut self, ptr: Value, offset: i32, size: Size, signed: bool) -> Value {
        self.push(Op::Load { ptr, offset, size, signed, invariant: true, ty: Ty::Int })
    }

    /// Reads a pointer that the verifier tracks.
    pub fn load_ptr(&mut self, ptr: Value, offset: i32) -> Value {
        self.push(Op::Load { ptr, offset, size: Size::B8, signed: false, invariant: false, ty: Ty::Ptr })
    }

    /// Reads a pointer that the verifier tracks and that never changes during the run.
    pub fn load_ptr_invariant(&mut self, ptr: Value, offset: i32) -> Value {
        self.push(Op::Load { ptr, offset, size: Size::B8, signed: false, invariant: true, ty: Ty::Ptr })
    }

    /// Writes a value.
    pub fn store(&mut self, ptr: Value, offset: i32, size: Size, value: Value) {
        self.push_void(Op::Store { ptr, offset, size, value });
    }

    /// `*ptr += value`, 4 or 8 bytes.
    pub fn atomic_add(&mut self, ptr: Value, offset: i32, size: Size, value: Value) {
        self.push_void(Op::Atomic { op: AtomicOp::Add, ptr, offset, size, value, fetch: false });
    }

    /// `*ptr += value`, 4 or 8 bytes; the result is the old value.
    pub fn atomic_fetch_add(&mut self, ptr: Value, offset: i32, size: Size, value: Value) -> Value {
        self.push(Op::Atomic { op: AtomicOp::Add, ptr, offset, size, value, fetch: true })
    }

    /// `*ptr = value`, 4 or 8 bytes; the result is the old value.
    pub fn atomic_exchange(&mut self, ptr: Value, offset: i32, size: Size, value: Value) -> Value {
        self.push(Op::Atomic { op: AtomicOp::Xchg, ptr, offset, size, value, fetch: true })
    }

    /// `if *ptr == expected { *ptr = new }`, 4 or 8 bytes; the result is the old value.
    pub fn compare_exchange(
        &mut self,
        ptr: Value,
        offset: i32,
        size: Size,
        expected: Value,
        new: Value,
    ) -> Value {
        self.push(Op::CompareExchange { ptr, offset, size, expected, new })
    }

    /// Copies `len` bytes; both addresses (with their offsets) are multiples of `align`.
    pub fn mem_copy(
        &mut self,
        dst: Value,
        dst_offset: i32,
        src: Value,
        src_offset: i32,
        len: u32,
        align: u8,
    ) {
        self.push_void(Op::MemCopy { dst, dst_offset, src, src_offset, len, align });
    }

    /// Zeroes `len` bytes; the address (with its offset) is a multiple of `align`.
    pub fn mem_zero(&mut self, dst: Value, offset: i32, len: u32, align: u8) {
        self.push_void(Op::MemZero { dst, offset, len, align });
    }

    /// Address of a stack slot.
    pub fn slot_addr(&mut self, slot: Slot, offset: i32) -> Value {
        self.push(Op::SlotAddr { slot, offset })
    }

    /// The map itself, as helpers take it.
    pub fn map_ref(&mut self, map: MapId) -> Value {
        self.push(Op::MapRef(map))
    }

    /// Address of byte `offset` of the first element of an array map.
    pub fn map_value(&mut self, map: MapId, offset: u32) -> Value {
        self.push(Op::MapValueAddr { map, offset })
    }

    /// Address of a function, for callbacks.
    pub fn func_addr(&mut self, func: FuncId) -> Value {
        self.push(Op::FuncAddr(func))
    }

    /// Address of a kernel variable.
    pub fn kernel_symbol(&mut self, name: &str) -> Value {
        self.push(Op::KernelSymbol(name.to_owned()))
    }

    /// Calls a helper that results in a number.
    pub fn call(&mut self, helper: Helper, args: &[Value], effect: Effect) -> Value {
        self.push(Op::Call { helper, args: args.to_vec(), effect, ty: Ty::Int })
    }

    /// Calls a helper that results in a pointer (or null).
    pub fn call_ptr(&mut self, helper: Helper, args: &[Value], effect: Effect) -> Value {
        self.push(Op::Call { helper, args: args.to_vec(), effect, ty: Ty::Ptr })
    }

    /// Calls a kernel function by name.
    pub fn kfunc(&mut self, name: &str, args: &[Value], effect: Effect, ty: Ty) -> Value {
        self.push(Op::CallKfunc { name: name.to_owned(), args: args.to_vec(), effect, ty })
    }

    /// Calls a function of this unit.
    pub fn call_local(&mut self, func: FuncId, args: &[Value]) -> Value {
        self.push(Op::CallLocal { func, args: args.to_vec() })
    }
}

/// One method per operation of 64 bits, plain and with a constant right operand.
macro_rules! arithmetic {
    ($($doc:literal $name:ident $name_imm:ident $op:ident;)*) => {
        /// 64-bit arithmetic.
        impl FuncBuilder {
            $(
                #[doc = $doc]
                pub fn $name(&mut self, a: Value, b: Value) -> Value {
                    self.binary(BinOp::$op, Width::W64, a, b)
                }
                #[doc = concat!($doc, " With a constant as right operand.")]
                pub fn $name_imm(&mut self, a: Value, imm: i64) -> Value {
                    self.binary_imm(BinOp::$op, Width::W64, a, imm)
                }
            )*
        }
    };
}

arithmetic! {
    "Wrapping sum." add add_imm Add;
    "Wrapping difference." sub sub_imm Sub;
    "Wrapping product." mul mul_imm Mul;
    "Unsigned quotient; 0 for a divisor of 0." udiv udiv_imm UDiv;
    "Signed quotient; 0 for a divisor of 0." sdiv sdiv_imm SDiv;
    "Unsigned remainder; the dividend for a divisor of 0." umod umod_imm UMod;
    "Signed remainder; the dividend for a divisor of 0." smod smod_imm SMod;
    "Bitwise and." and and_imm And;
    "Bitwise or." or or_imm Or;
    "Bitwise exclusive or." xor xor_imm Xor;
    "Shift left by the count modulo 64." shl shl_imm Shl;
    "Logical shift right by the count modulo 64." lshr lshr_imm LShr;
    "Arithmetic shift right by the count modulo 64." ashr ashr_imm AShr;
}

/// Control flow.
impl FuncBuilder {
    /// Ends the block with a jump.
    pub fn jump(&mut self, block: Block, args: &[Value]) {
        self.terminate(Terminator::Jump(Jump { block, args: args.to_vec() }));
    }

    /// Ends the block two ways.
    pub fn branch(
        &mut self,
        cond: Cond,
        width: Width,
        a: Value,
        b: Value,
        then: (Block, &[Value]),
        otherwise: (Block, &[Value]),
    ) {
        let jump = |(block, args): (Block, &[Value])| Jump { block, args: args.to_vec() };
        self.terminate(Terminator::Branch {
            cond,
            width,
            a,
            b,
            then: jump(then),
            otherwise: jump(otherwise),
        });
    }

    /// Ends the block: `then` if any bit of the value is set.
    pub fn branch_nonzero(&mut self, value: Value, then: (Block, &[Value]), otherwise: (Block, &[Value])) {
        let zero = self.iconst(0);
        self.branch(Cond::Ne, Width::W64, value, zero, then, otherwise);
    }

    /// Ends the block: `then` if the condition holds for the value and a constant.
    pub fn branch_imm(
        &mut self,
        cond: Cond,
        width: Width,
        a: Value,
        imm: i64,
        then: (Block, &[Value]),
        otherwise: (Block, &[Value]),
    ) {
        let b = self.iconst(imm);
        self.branch(cond, width, a, b, then, otherwise);
    }

    /// Ends the block as the head of a loop of unknown length.
    pub fn loop_guard(&mut self, body: Block, exhausted: Block) {
        let jump = |block| Jump { block, args: Vec::new() };
        self.terminate(Terminator::LoopGuard { body: jump(body), exhausted: jump(exhausted) });
    }

    /// Ends the function.
    pub fn ret(&mut self, value: Value) {
        self.terminate(Terminator::Return(value));
    }

    /// Ends the block where control never comes.
    pub fn unreachable(&mut self) {
        self.terminate(Terminator::Unreachable);
    }
}

/// Variables to values.
impl FuncBuilder {
    /// Finds the value of a variable at the end of a block, making parameters at joins (their arguments are pending).
    fn find_def(&mut self, var: Var, block: Block) -> Value {
        let mut passed = Vec::new();
        let mut at = block;
        let value = loop {
            if let Some(value) = self.defs.get(&(var, at)) {
                break *value;
            }
            passed.push(at);
            let state = &self.states[at.0 as usize];
            match (state.sealed, state.preds.as_slice()) {
                (true, []) => break self.zero(),
                // A chain longer than there are blocks is a loop that nothing enters.
                (true, [(pred, _)]) if passed.len() <= self.states.len() => at = *pred,
                (true, [_]) => break self.zero(),
                _ => break self.add_phi(var, at),
            }
        };
        for block in passed {
            self.defs.insert((var, block), value);
        }
        value
    }

    fn add_phi(&mut self, var: Var, block: Block) -> Value {
        let value = self.func.new_value(self.vars.get(var.0 as usize).copied().unwrap_or(Ty::Int));
        let index = self.phis.len();
        self.phis.push(Phi { value, var, args: Vec::new() });
        let state = &mut self.states[block.0 as usize];
        state.phis.push(index);
        if state.sealed {
            self.pending.push((index, block));
        }
        value
    }

    fn fill_pending(&mut self) {
        while let Some((index, block)) = self.pending.pop() {
            let var = self.phis[index].var;
            let preds = self.states[block.0 as usize].preds.clone();
            let args = preds.iter().map(|(pred, _)| self.find_def(var, *pred)).collect();
            self.phis[index].args = args;
        }
    }

    fn zero(&mut self) -> Value {
        if let Some(zero) = self.zero {
            return zero;
        }
        let zero = self.func.new_value(Ty::Int);
        self.zero = Some(zero);
        zero
    }
}

/// Completion.
impl FuncBuilder {
    /// Completes the function: seals all blocks, gives blocks that never got a terminator an `Unreachable`, empties
    /// blocks that are never reached, and drops parameters that merge one value only.
    pub fn finish(mut self) -> Func {
        for block in 0..self.func.blocks.len() {
            self.seal(Block(block as u32));
        }
        for block in &mut self.func.blocks {
            block.terminator.get_or_insert(Terminator::Unreachable);
        }
        let reached = self.drop_unreached();
        let replaced = self.merge_trivial_phis(&reached);
        self.place_phis(&reached, &replaced);
        self.place_zero();
        self.func
    }

    fn drop_unreached(&mut self) -> Vec<bool> {
        let mut reached = vec![false; self.func.blocks.len()];
        let mut stack = vec![Block(0)];
        while let Some(block) = stack.pop() {
            if !std::mem::replace(&mut reached[block.0 as usize], true) {
                let terminator = self.func.blocks[block.0 as usize].terminator.as_ref();
                stack.extend(terminator.into_iter().flat_map(Terminator::successors));
            }
        }
        for (block, _) in self.func.blocks.iter_mut().zip(&reached).filter(|(_, reached)| !**reached) {
            *block = BlockData { terminator: Some(Terminator::Unreachable), ..BlockData::default() };
        }
        reached
    }

    /// For each value what replaces it (itself if nothing).
    fn merge_trivial_phis(&self, reached: &[bool]) -> Vec<Value> {
        let mut replaced: Vec<Value> = (0..self.func.values.len() as u32).map(Value).collect();
        let mut phi_of: HashMap<Value, usize> = HashMap::new();
        let mut block_of = vec![Block(0); self.phis.len()];
        let mut users: HashMap<Value, Vec<usize>> = HashMap::new();
        let mut work = Vec::new();
        for (block, state) in self.states.iter().enumerate().filter(|(block, _)| reached[*block]) {
            for index in &state.phis {
                block_of[*index] = Block(block as u32);
                phi_of.insert(self.phis[*index].value, *index);
                work.push(*index);
                for arg in &self.phis[*index].args {
                    users.entry(*arg).or_default().push(*index);
                }
            }
        }
        while let Some(index) = work.pop() {
            let phi = &self.phis[index];
            if replaced[phi.value.0 as usize] != phi.value {
                continue;
            }
            let preds = &self.states[block_of[index].0 as usize].preds;
            let mut only = None;
            let mut trivial = true;
            for (arg, _) in phi.args.iter().zip(preds).filter(|(_, (pred, _))| reached[pred.0 as usize]) {
                let arg = resolve(&mut replaced, *arg);
                if arg != phi.value && only.is_none_or(|only| only == arg) {
                    only = Some(arg);
                } else if arg != phi.value {
                    trivial = false;
                    break;
                }
            }
            if let (true, Some(only)) = (trivial, only) {
                replaced[phi.value.0 as usize] = only;
                let again = users.remove(&phi.value).unwrap_or_default();
                work.extend(again.iter().copied());
                users.entry(only).or_default().extend(again);
            }
        }
        for value in 0..replaced.len() {
            resolve(&mut replaced, Value(value as u32));
        }
        replaced
    }

    /// Writes what is left of the phis as block parameters and arguments, and renames the rest.
    fn place_phis(&mut self, reached: &[bool], replaced: &[Value]) {
        let rename = |value: &mut Value| *value = replaced[value.0 as usize];
        for block in &mut self.func.blocks {
            block.insts.iter_mut().for_each(|inst| inst.op.for_each_operand_mut(rename));
            block.terminator.iter_mut().for_each(|terminator| terminator.for_each_operand_mut(rename));
        }
        for (block, state) in self.states.iter().enumerate().filter(|(block, _)| reached[*block]) {
            for phi in state.phis.iter().map(|index| &self.phis[*index]) {
                if replaced[phi.value.0 as usize] != phi.value {
                    continue;
                }
                self.func.blocks[block].params.push(phi.value);
                for (arg, (pred, edge)) in phi.args.iter().zip(&state.preds) {
                    let terminator = self.func.blocks[pred.0 as usize].terminator.as_mut();
                    let jump =
                        terminator.and_then(|terminator| terminator.jumps_mut().nth(usize::from(*edge)));
                    if let Some(jump) = jump {
                        jump.args.push(replaced[arg.0 as usize]);
                    }
                }
            }
        }
    }

    /// Defines the 0 of variables without definition, if it is used.
    fn place_zero(&mut self) {
        let Some(zero) = self.zero else { return };
        let mut used = false;
        for block in &self.func.blocks {
            block.insts.iter().for_each(|inst| inst.op.for_each_operand(|value| used |= value == zero));
            block
                .terminator
                .iter()
                .for_each(|terminator| terminator.for_each_operand(|value| used |= value == zero));
        }
        if used {
            let inst = Inst { result: Some(zero), op: Op::Const(0), loc: self.func.loc };
            self.func.blocks[0].insts.insert(0, inst);
        }
    }
}

/// The end of a chain of replacements; shortens the chain.
fn resolve(replaced: &mut [Value], value: Value) -> Value {
    let mut end = value;
    while replaced[end.0 as usize] != end {
        end = replaced[end.0 as usize];
    }
    let mut at = value;
    while at != end {
        at = std::mem::replace(&mut replaced[at.0 as usize], end);
    }
    end
}
