//! An interpreter that runs programs without a kernel: what a register may hold, where memory ends and what a helper
//! does is checked at run time, so that tests see faults which the kernel's verifier would refuse or which would read wrong data.

mod core;
mod fault;
mod memory;
pub mod sim;

pub use self::core::{Code, Core, Interp, FUNCTION_BASE};
pub use fault::{Fault, RunError};
pub use memory::{Memory, Space, KERNEL_START, USER_END};

use crate::helpers::Helper;

/// What surrounds a program: memory, maps, helpers.
pub trait Host {
    /// All memory; the interpreter adds stack frames to it while it runs.
    fn memory(&mut self) -> &mut Memory;

    /// What `map_fd` loads: the map of a descriptor as a helper argument.
    fn map(&mut self, fd: i32) -> Option<u64>;

    /// What `map_value` loads: address of the value of an array map of one element.
    fn map_value(&mut self, fd: i32) -> Option<u64>;

    /// What `btf_id` loads: address of a kernel variable.
    fn variable(&mut self, _btf_id: i32, _fd: i32) -> Option<u64> {
        None
    }

    /// A helper call; the result goes to r0. `core` calls back into the program.
    ///
    /// # Errors
    /// [`Fault`]s stop the program; what a helper reports to the program is a result.
    fn helper(&mut self, core: &mut Core, helper: Helper, args: [u64; 5]) -> Result<u64, Fault>;

    /// A call of a kernel function.
    ///
    /// # Errors
    /// As [`Host::helper`].
    fn kfunc(&mut self, core: &mut Core, btf_id: i32, fd_index: i16, args: [u64; 5]) -> Result<u64, Fault>;

    /// How often `may_goto` goes on within one frame before it jumps.
    fn may_goto_fuel(&mut self) -> u32 {
        0x80_0000
    }

    /// The outermost run has ended.
    fn end_of_run(&mut self) {}
}
