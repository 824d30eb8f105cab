//! Virtual to machine registers, by `regalloc2`: the machine's description and the view of our functions.

use crate::machine::{MachineFunc, MachineOp};
use crate::select::preg;
use fathom_bpf::isa::Reg;
use regalloc2::{
    Algorithm, Block, Function, Inst, InstRange, MachineEnv, Operand, Output, PRegSet, RegAllocError,
    RegClass, RegallocOptions, VReg,
};

/// Not kept over calls: taken first, for the kernel's JIT saves each of the others that a function uses.
const SCRATCH: [Reg; 6] = [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
/// Kept over calls.
const KEPT: [Reg; 4] = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];
/// What a call destroys beside its result.
const DESTROYED_BY_CALLS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// Chooses a place for every operand. The frame pointer r10 is never chosen.
pub(crate) fn allocate(func: &MachineFunc) -> Result<Output, RegAllocError> {
    let empty = PRegSet::empty();
    let env = MachineEnv {
        preferred_regs_by_class: [set(&SCRATCH), empty, empty],
        non_preferred_regs_by_class: [set(&KEPT), empty, empty],
        scratch_by_class: [None, None, None],
        fixed_stack_slots: Vec::new(),
    };
    let options = RegallocOptions {
        verbose_log: false,
        validate_ssa: cfg!(debug_assertions),
        algorithm: Algorithm::Ion,
    };
    regalloc2::run(&View::of(func), &env, &options)
}

fn set(registers: &[Reg]) -> PRegSet {
    registers.iter().fold(PRegSet::empty(), |set, register| set.with(preg(*register)))
}

/// A function as the allocator sees it.
pub(crate) struct View<'a> {
    pub(crate) func: &'a MachineFunc,
    clobbers: PRegSet,
}

impl View<'_> {
    pub(crate) fn of(func: &MachineFunc) -> View<'_> {
        View { func, clobbers: set(&DESTROYED_BY_CALLS) }
    }
}

impl Function for View<'_> {
    fn num_insts(&self) -> usize {
        self.func.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.func.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        let (start, end) = self.func.blocks[block.index()].insts;
        InstRange::new(Inst::new(start as usize), Inst::new(end as usize))
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.func.blocks[block.index()].succs
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.func.blocks[block.index()].preds
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.func.blocks[block.index()].params
    }

    fn is_ret(&self, inst: Inst) -> bool {
        self.func.insts[inst.index()].op.is_return()
    }

    fn is_branch(&self, inst: Inst) -> bool {
        let op = &self.func.insts[inst.index()].op;
        op.is_terminator() && !op.is_return()
    }

    fn branch_blockparams(&self, block: Block, _inst: Inst, _succ: usize) -> &[VReg] {
        &self.func.blocks[block.index()].args
    }

    fn inst_operands(&self, inst: Inst) -> &[Operand] {
        self.func.operands_of(inst.index())
    }

    fn inst_clobbers(&self, inst: Inst) -> PRegSet {
        match self.func.insts[inst.index()].op {
            MachineOp::Call(_) => self.clobbers,
            _ => PRegSet::empty(),
        }
    }

    fn num_vregs(&self) -> usize {
        self.func.vregs as usize
    }

    fn spillslot_size(&self, _class: RegClass) -> usize {
        1
    }
}
