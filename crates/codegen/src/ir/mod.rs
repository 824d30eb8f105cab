//! The intermediate representation: functions of basic blocks in SSA form over 64-bit values.
//!
//! It knows eBPF's machine model (a context, a 512-byte stack, maps, helpers, kfuncs) and no builtin of the language.
//! All values are 64 bits wide; an integer of a narrower type is kept extended to 64 bits by its signedness, which is
//! the lowering's business. Blocks take parameters instead of phi nodes.
//!
//! Invariants (held by `verify`): every block ends in exactly one terminator; a value is defined once and its definition
//! dominates its uses; jumps pass as many arguments as the target has parameters; slots are within the function; call
//! arguments are at most five; offsets of memory accesses fit 16 bits.

pub mod builder;
pub mod eval;
pub mod flow;
pub mod number;
mod operands;
pub mod parse;
mod text;
pub mod verify;
mod words;

use fathom_bpf::helpers::Helper;

/// An SSA value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Value(pub u32);

/// A basic block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Block(pub u32);

/// A piece of the function's stack frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// Index of a function in a [`crate::program::Unit`] under construction; 0 is the entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct FuncId(pub u32);

/// Index of a map in [`crate::program::Program::maps`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MapId(pub u32);

/// Index into [`crate::program::Program::locations`]; `NONE` where nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct SrcLoc(pub u32);

impl SrcLoc {
    /// No source location.
    pub const NONE: SrcLoc = SrcLoc(u32::MAX);
}

/// What a value is to the kernel's verifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ty {
    /// A number (also an address that is only ever passed to probe-read helpers).
    Int,
    /// A pointer that the verifier tracks: context, stack, map value, ring-buffer record, map, BTF object.
    Ptr,
}

/// Operand width of arithmetic and comparisons. 32-bit results are zero-extended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// 32 bits.
    W32,
    /// 64 bits.
    W64,
}

/// Size of a memory access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    /// 1 byte.
    B1,
    /// 2 bytes.
    B2,
    /// 4 bytes.
    B4,
    /// 8 bytes.
    B8,
}

impl Size {
    /// In bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Size::B1 => 1,
            Size::B2 => 2,
            Size::B4 => 4,
            Size::B8 => 8,
        }
    }
    /// The access of this many bytes, if there is one.
    pub fn from_bytes(n: u32) -> Option<Size> {
        Some(match n {
            1 => Size::B1,
            2 => Size::B2,
            4 => Size::B4,
            8 => Size::B8,
            _ => return None,
        })
    }
}

/// Two-operand arithmetic. `Sub` of two pointers and other pointer arithmetic but `Add`/`Sub` of a number is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BinOp {
    /// Wrapping addition.
    Add,
    /// Wrapping subtraction.
    Sub,
    /// Wrapping multiplication.
    Mul,
    /// Unsigned division; by zero gives 0 (the machine's rule).
    UDiv,
    /// Signed division (expanded by `legalize` for machines before version 4).
    SDiv,
    /// Unsigned remainder; by zero gives the dividend.
    UMod,
    /// Signed remainder.
    SMod,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Shift left; the count is taken modulo the width.
    Shl,
    /// Logical shift right.
    LShr,
    /// Arithmetic shift right.
    AShr,
}

/// Conditions of comparisons and branches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cond {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Unsigned less.
    Ult,
    /// Unsigned less or equal.
    Ule,
    /// Unsigned greater.
    Ugt,
    /// Unsigned greater or equal.
    Uge,
    /// Signed less.
    Slt,
    /// Signed less or equal.
    Sle,
    /// Signed greater.
    Sgt,
    /// Signed greater or equal.
    Sge,
    /// Any common bit.
    Test,
}

/// What a call may do, for passes: merge, move or drop it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Same arguments give the same result for the whole run of the program (current pid, comm into nothing, ...):
    /// equal calls are merged, unused ones dropped.
    Once,
    /// Reads changing state only (time, random, map lookup): dropped if unused, never merged.
    Read,
    /// Anything.
    Write,
}

/// Numbers that are known only when the program is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoadConst {
    /// `CLOCK_MONOTONIC` when the session began, ns (for `elapsed`).
    StartTimeNs,
    /// `CLOCK_BOOTTIME` when the session began, ns.
    StartBootTimeNs,
    /// Process id of the command started with `-c`, or 0.
    ChildPid,
    /// Process id of the tracer.
    OwnPid,
    /// Device number of the tracer's pid namespace (`stat` of /proc/self/ns/pid).
    PidNsDev,
    /// Inode number of the tracer's pid namespace.
    PidNsIno,
}

/// Which read-modify-write an [`Op::Atomic`] does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtomicOp {
    /// `*p += v`
    Add,
    /// `*p &= v`
    And,
    /// `*p |= v`
    Or,
    /// `*p ^= v`
    Xor,
    /// `*p = v`, result is the old value.
    Xchg,
}

/// An operation. Operands are values; where the machine has an immediate form, emission finds the constant itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// A number.
    Const(i64),
    /// A number filled in at load time.
    LoadConst(LoadConst),
    /// `a op b`.
    Binary {
        /// Operation.
        op: BinOp,
        /// Width.
        width: Width,
        /// Left.
        a: Value,
        /// Right.
        b: Value,
    },
    /// Extends the low `size` bytes to 64 bits.
    Extend {
        /// Bytes kept.
        size: Size,
        /// By sign or by zeros.
        signed: bool,
        /// Operand.
        a: Value,
    },
    /// Reverses the low `size` bytes (2, 4 or 8), zero-extended.
    ByteSwap {
        /// Bytes swapped.
        size: Size,
        /// Operand.
        a: Value,
    },
    /// 1 if the condition holds, else 0.
    Compare {
        /// Condition.
        cond: Cond,
        /// Width.
        width: Width,
        /// Left.
        a: Value,
        /// Right.
        b: Value,
    },
    /// Reads memory through a verifier-known pointer.
    Load {
        /// Address.
        ptr: Value,
        /// Constant offset.
        offset: i32,
        /// Bytes.
        size: Size,
        /// Extension.
        signed: bool,
        /// The memory never changes during the run (context fields): equal loads are merged.
        invariant: bool,
        /// What the result is.
        ty: Ty,
    },
    /// Writes memory.
    Store {
        /// Address.
        ptr: Value,
        /// Constant offset.
        offset: i32,
        /// Bytes.
        size: Size,
        /// What.
        value: Value,
    },
    /// Atomic read-modify-write of 4 or 8 bytes. The old value is the result when `fetch` (always for `Xchg`).
    Atomic {
        /// Operation.
        op: AtomicOp,
        /// Address.
        ptr: Value,
        /// Constant offset.
        offset: i32,
        /// Bytes (4 or 8).
        size: Size,
        /// Operand.
        value: Value,
        /// Whether the old value is wanted.
        fetch: bool,
    },
    /// Compare and exchange of 4 or 8 bytes; the result is the old value.
    CompareExchange {
        /// Address.
        ptr: Value,
        /// Constant offset.
        offset: i32,
        /// Bytes (4 or 8).
        size: Size,
        /// Expected.
        expected: Value,
        /// New.
        new: Value,
    },
    /// Copies `len` bytes; unrolled by emission. Ranges do not overlap.
    MemCopy {
        /// To.
        dst: Value,
        /// Offset of the destination.
        dst_offset: i32,
        /// From.
        src: Value,
        /// Offset of the source.
        src_offset: i32,
        /// Bytes.
        len: u32,
        /// Alignment that both addresses have (1, 2, 4 or 8).
        align: u8,
    },
    /// Writes `len` zero bytes; unrolled by emission.
    MemZero {
        /// To.
        dst: Value,
        /// Offset.
        offset: i32,
        /// Bytes.
        len: u32,
        /// Alignment of the address.
        align: u8,
    },
    /// Address of a stack slot.
    SlotAddr {
        /// Which.
        slot: Slot,
        /// Offset into it.
        offset: i32,
    },
    /// The map itself, as helpers take it.
    MapRef(MapId),
    /// Address of byte `offset` of the first element of an array map (no lookup needed).
    MapValueAddr {
        /// Which.
        map: MapId,
        /// Offset.
        offset: u32,
    },
    /// Calls a helper.
    Call {
        /// Which.
        helper: Helper,
        /// Up to five arguments.
        args: Vec<Value>,
        /// What it may do.
        effect: Effect,
        /// What the result is.
        ty: Ty,
    },
    /// Calls a kernel function by name (resolved in BTF when loaded).
    CallKfunc {
        /// Name, e.g. `bpf_iter_num_new`.
        name: String,
        /// Up to five arguments.
        args: Vec<Value>,
        /// What it may do.
        effect: Effect,
        /// What the result is.
        ty: Ty,
    },
    /// Calls a function of this unit.
    CallLocal {
        /// Which.
        func: FuncId,
        /// Up to five arguments.
        args: Vec<Value>,
    },
    /// Address of a function of this unit, for callback arguments.
    FuncAddr(FuncId),
    /// The run-time address of a kernel variable or the BTF object of a kernel `VAR` (ksym), by name.
    KernelSymbol(String),
}

/// A jump target with the arguments for its parameters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Jump {
    /// Where to.
    pub block: Block,
    /// One per parameter of the block.
    pub args: Vec<Value>,
}

/// The end of a block.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Terminator {
    /// Unconditional.
    Jump(Jump),
    /// Two ways.
    Branch {
        /// Condition.
        cond: Cond,
        /// Width.
        width: Width,
        /// Left.
        a: Value,
        /// Right.
        b: Value,
        /// If it holds.
        then: Jump,
        /// If not.
        otherwise: Jump,
    },
    /// Head of a loop whose length the verifier cannot see: goes on to `body` until the kernel's iteration budget is used
    /// up, then to `exhausted` (`may_goto`; a plain jump to `body` where the kernel has none).
    LoopGuard {
        /// Next iteration.
        body: Jump,
        /// Budget used up.
        exhausted: Jump,
    },
    /// Ends the function.
    Return(Value),
    /// Never reached.
    Unreachable,
}

/// An operation with its result (if it has one).
#[derive(Clone, PartialEq, Debug)]
pub struct Inst {
    /// The result; `None` for stores and the like.
    pub result: Option<Value>,
    /// What it does.
    pub op: Op,
    /// For which source text.
    pub loc: SrcLoc,
}

/// A basic block.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BlockData {
    /// Parameters.
    pub params: Vec<Value>,
    /// Operations in order.
    pub insts: Vec<Inst>,
    /// The end; `None` only while under construction.
    pub terminator: Option<Terminator>,
    /// Source text of the terminator.
    pub terminator_loc: Option<SrcLoc>,
}

/// A stack slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotData {
    /// Bytes (rounded up to 8 in the frame).
    pub size: u32,
}

/// A function.
#[derive(Clone, PartialEq, Debug)]
pub struct Func {
    /// Its name: up to 15 characters of it are shown by the kernel.
    pub name: String,
    /// Parameters are the parameters of the entry block (block 0); for an entry function one [`Ty::Ptr`]: the context.
    pub blocks: Vec<BlockData>,
    /// What each value is.
    pub values: Vec<Ty>,
    /// Its stack slots.
    pub slots: Vec<SlotData>,
    /// Source of the whole function.
    pub loc: SrcLoc,
}
