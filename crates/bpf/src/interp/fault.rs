//! Why an interpreted program stopped.

use crate::helpers::Helper;
use crate::isa::{Reg, MAX_FRAMES};
use crate::op::OpError;
use std::fmt;

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Bits that are no instruction, or control ran past the end.
    NoInsn(OpError),
    /// A register was read that nothing has set (calls spoil r1 to r5).
    Unset(Reg),
    /// r10 was to be written.
    FramePointer,
    /// Memory that is not within one region.
    Access {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
        /// Write or read.
        write: bool,
    },
    /// A write to a read-only region.
    ReadOnly {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// An atomic operation at an address that is no multiple of its size.
    Misaligned {
        /// The address.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// A region was to be placed over another.
    Overlap {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// A jump out of the program.
    BadJump(i64),
    /// The address is no function of the program.
    BadFunction(u64),
    /// More nested frames than the kernel allows.
    TooDeep,
    /// The instruction budget is spent.
    Budget(u64),
    /// The host does not have this helper.
    NoHelper(Helper),
    /// The host does not have this kernel function.
    NoKfunc(i32),
    /// The host does not have this map.
    NoMap(i32),
    /// The host has no kernel variable of this BTF id.
    NoVariable(i32),
    /// A helper was called in a way that the kernel's verifier refuses.
    Misuse {
        /// The helper or kernel function.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// What the interpreter does not do.
    Unsupported(&'static str),
}

impl Fault {
    /// A misused helper.
    pub fn misuse(name: impl Into<String>, why: impl Into<String>) -> Fault {
        Fault::Misuse { name: name.into(), why: why.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoInsn(error) => write!(f, "{error}"),
            Fault::Unset(reg) => write!(f, "{reg} is read before it is set"),
            Fault::FramePointer => write!(f, "r10 is the frame pointer and cannot be written"),
            Fault::Access { addr, len, write } => {
                let verb = if *write { "write" } else { "read" };
                write!(f, "{verb} of {len} bytes at {addr:#x}, which are not within one region")
            }
            Fault::ReadOnly { addr, len } => {
                write!(f, "write of {len} bytes at {addr:#x} in a read-only region")
            }
            Fault::Misaligned { addr, len } => {
                write!(f, "atomic access of {len} bytes at {addr:#x}, which is not a multiple of {len}")
            }
            Fault::Overlap { addr, len } => write!(f, "{len} bytes at {addr:#x} overlap another region"),
            Fault::BadJump(target) => write!(f, "jump to slot {target}, outside the program"),
            Fault::BadFunction(addr) => write!(f, "{addr:#x} is no function of the program"),
            Fault::TooDeep => write!(f, "more than {MAX_FRAMES} nested calls"),
            Fault::Budget(budget) => {
                write!(f, "the budget of {budget} instructions is spent; is there a loop?")
            }
            Fault::NoHelper(helper) => write!(f, "the host has no helper `{helper}`"),
            Fault::NoKfunc(id) => write!(f, "the host has no kernel function of BTF id {id}"),
            Fault::NoMap(fd) => write!(f, "the host has no map of descriptor {fd}"),
            Fault::NoVariable(id) => write!(f, "the host has no kernel variable of BTF id {id}"),
            Fault::Misuse { name, why } => write!(f, "`{name}`: {why}"),
            Fault::Unsupported(what) => write!(f, "the interpreter does not support {what}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A fault and where it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunError {
    /// Slot of the instruction.
    pub slot: usize,
    /// The instruction as text.
    pub text: String,
    /// What went wrong.
    pub fault: Fault,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} (`{}`): {}", self.slot, self.text, self.fault)
    }
}

impl std::error::Error for RunError {}
