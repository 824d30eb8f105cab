//! Runs functions of the intermediate representation directly: what they mean, for tests to compare compiled code with.

use super::{number, AtomicOp, Block, Func, Inst, Jump, Op, Size, Terminator, Value};
use std::fmt;

/// Why a run ended without result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// More operations than allowed.
    Steps,
    /// An access outside of all memory.
    Memory(u64),
    /// `unreachable` was reached, or the function is malformed.
    Stuck,
    /// The host does not know the operation.
    Unknown(String),
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::Steps => f.write_str("too many operations"),
            EvalError::Memory(addr) => write!(f, "no memory at {addr:#x}"),
            EvalError::Stuck => f.write_str("nothing to go on with"),
            EvalError::Unknown(op) => write!(f, "unknown operation `{op}`"),
        }
    }
}

impl std::error::Error for EvalError {}

/// What surrounds the functions: results of helpers, maps and the like.
pub trait Host {
    /// The result of an operation that is not of the machine alone; `args` are the values of its operands.
    fn operation(&mut self, memory: &mut Memory, op: &Op, args: &[i64]) -> Option<i64>;
}

/// Memory by address.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    regions: Vec<(u64, Vec<u8>)>,
}

/// Regions begin at multiples of this; address 0 is none.
const REGION_BYTES: u64 = 1 << 20;

impl Memory {
    /// Adds a region and gives its address.
    pub fn add(&mut self, bytes: Vec<u8>) -> u64 {
        let base = (self.regions.len() as u64 + 1) * REGION_BYTES;
        self.regions.push((base, bytes));
        base
    }

    /// `len` bytes at an address.
    ///
    /// # Errors
    /// When they are not within a region.
    pub fn bytes(&mut self, addr: u64, len: usize) -> Result<&mut [u8], EvalError> {
        let index = (addr / REGION_BYTES).checked_sub(1).ok_or(EvalError::Memory(addr))?;
        let (base, bytes) = self.regions.get_mut(index as usize).ok_or(EvalError::Memory(addr))?;
        let start = (addr - *base) as usize;
        let end = start.saturating_add(len);
        bytes.get_mut(start..end).ok_or(EvalError::Memory(addr))
    }

    fn load(&mut self, addr: u64, size: Size) -> Result<i64, EvalError> {
        let mut word = [0; 8];
        let bytes = self.bytes(addr, size.bytes() as usize)?;
        word[..bytes.len()].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(word))
    }

    fn store(&mut self, addr: u64, size: Size, value: i64) -> Result<(), EvalError> {
        let bytes = self.bytes(addr, size.bytes() as usize)?;
        bytes.copy_from_slice(&value.to_le_bytes()[..bytes.len()]);
        Ok(())
    }
}

/// Runs function 0.
///
/// # Errors
/// See [`EvalError`].
pub fn run(
    funcs: &[Func],
    args: &[i64],
    memory: &mut Memory,
    host: &mut dyn Host,
    steps: u64,
) -> Result<i64, EvalError> {
    Evaluator { funcs, memory, host, steps, depth: 0 }.call(0, args)
}

struct Evaluator<'a> {
    funcs: &'a [Func],
    memory: &'a mut Memory,
    host: &'a mut dyn Host,
    steps: u64,
    depth: u32,
}

/// One call.
struct Activation<'a> {
    func: &'a Func,
    values: Vec<i64>,
    slots: Vec<u64>,
}

/// Most nested calls.
const DEPTH_MAX: u32 = 8;

impl<'a> Evaluator<'a> {
    fn call(&mut self, func: usize, args: &[i64]) -> Result<i64, EvalError> {
        let func = self.funcs.get(func).ok_or(EvalError::Stuck)?;
        if self.depth == DEPTH_MAX {
            return Err(EvalError::Steps);
        }
        self.depth += 1;
        let slots = func.slots.iter().map(|slot| self.memory.add(vec![0; slot.size as usize])).collect();
        let mut activation = Activation { func, values: vec![0; func.values.len()], slots };
        activation.enter(Block(0), args);
        let result = self.blocks(&mut activation);
        self.depth -= 1;
        result
    }

    fn blocks(&mut self, activation: &mut Activation<'a>) -> Result<i64, EvalError> {
        let func = activation.func;
        let mut block = Block(0);
        loop {
            let data = func.blocks.get(block.0 as usize).ok_or(EvalError::Stuck)?;
            for inst in &data.insts {
                self.step()?;
                self.inst(activation, inst)?;
            }
            self.step()?;
            let jump = match data.terminator.as_ref().ok_or(EvalError::Stuck)? {
                Terminator::Jump(jump) => jump,
                Terminator::Branch { cond, width, a, b, then, otherwise } => {
                    if number::holds(*cond, *width, activation.get(*a), activation.get(*b)) {
                        then
                    } else {
                        otherwise
                    }
                }
                Terminator::LoopGuard { body, .. } => body,
                Terminator::Return(value) => return Ok(activation.get(*value)),
                Terminator::Unreachable => return Err(EvalError::Stuck),
            };
            let Jump { block: next, args } = jump;
            let args: Vec<i64> = args.iter().map(|arg| activation.get(*arg)).collect();
            activation.enter(*next, &args);
            block = *next;
        }
    }

    fn step(&mut self) -> Result<(), EvalError> {
        self.steps = self.steps.checked_sub(1).ok_or(EvalError::Steps)?;
        Ok(())
    }

    fn inst(&mut self, activation: &mut Activation<'a>, inst: &Inst) -> Result<(), EvalError> {
        let get = |value: &Value| activation.get(*value);
        let at = |ptr: &Value, offset: &i32| get(ptr).wrapping_add(i64::from(*offset)) as u64;
        let result = match &inst.op {
            Op::Const(number) => *number,
            Op::Binary { op, width, a, b } => number::binary(*op, *width, get(a), get(b)),
            Op::Extend { size, signed, a } => number::extend(*size, *signed, get(a)),
            Op::ByteSwap { size, a } => number::byte_swap(*size, get(a)),
            Op::Compare { cond, width, a, b } => i64::from(number::holds(*cond, *width, get(a), get(b))),
            Op::Load { ptr, offset, size, signed, .. } => {
                number::extend(*size, *signed, self.memory.load(at(ptr, offset), *size)?)
            }
            Op::Store { ptr, offset, size, value } => {
                self.memory.store(at(ptr, offset), *size, get(value))?;
                0
            }
            Op::Atomic { op, ptr, offset, size, value, .. } => {
                let (at, value) = (at(ptr, offset), get(value));
                let old = self.memory.load(at, *size)?;
                let new = match op {
                    AtomicOp::Add => old.wrapping_add(value),
                    AtomicOp::And => old & value,
                    AtomicOp::Or => old | value,
                    AtomicOp::Xor => old ^ value,
                    AtomicOp::Xchg => value,
                };
                self.memory.store(at, *size, new)?;
                old
            }
            Op::CompareExchange { ptr, offset, size, expected, new } => {
                let at = at(ptr, offset);
                let old = self.memory.load(at, *size)?;
                if old == number::extend(*size, false, get(expected)) {
                    self.memory.store(at, *size, get(new))?;
                }
                old
            }
            Op::MemCopy { dst, dst_offset, src, src_offset, len, .. } => {
                let (to, from) = (at(dst, dst_offset), at(src, src_offset));
                let bytes = self.memory.bytes(from, *len as usize)?.to_vec();
                self.memory.bytes(to, bytes.len())?.copy_from_slice(&bytes);
                0
            }
            Op::MemZero { dst, offset, len, .. } => {
                self.memory.bytes(at(dst, offset), *len as usize)?.fill(0);
                0
            }
            Op::SlotAddr { slot, offset } => {
                let base = activation.slots.get(slot.0 as usize).ok_or(EvalError::Stuck)?;
                base.wrapping_add_signed(i64::from(*offset)) as i64
            }
            Op::CallLocal { func, args } => {
                let args: Vec<i64> = args.iter().map(get).collect();
                self.call(func.0 as usize, &args)?
            }
            op => {
                let mut args = Vec::new();
                op.for_each_operand(|value| args.push(activation.get(value)));
                let result = self.host.operation(self.memory, op, &args);
                result.ok_or_else(|| EvalError::Unknown(op.to_string()))?
            }
        };
        if let Some(to) = inst.result {
            activation.values[to.0 as usize] = result;
        }
        Ok(())
    }
}

impl Activation<'_> {
    fn get(&self, value: Value) -> i64 {
        self.values.get(value.0 as usize).copied().unwrap_or(0)
    }

    fn enter(&mut self, block: Block, args: &[i64]) {
        let params = self.func.blocks.get(block.0 as usize).map_or(&[][..], |block| &block.params);
        for (param, arg) in params.iter().zip(args) {
            self.values[param.0 as usize] = *arg;
        }
    }
}
