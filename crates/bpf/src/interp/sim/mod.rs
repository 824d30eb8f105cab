//! A host without a kernel: maps, clock, task, stacks, random numbers and memory are plain data that a test sets and reads.

mod iterate;
mod kfuncs;
mod maps;
mod probe;
mod ring;
mod stacks;
mod strings;
mod task;
mod text;

pub use maps::MapSpec;
pub use ring::{Record, Wakeup};
pub use task::{Clock, Namespace, Task};
pub use text::Symbol;

use super::{Core, Fault, Host, Memory, Space};
use crate::helpers::Helper;
use crate::isa::Size;
use maps::SimMap;
use std::collections::BTreeMap;

/// What implements one helper or kernel function.
type Call = fn(&mut SimHost, &mut Core, [u64; 5]) -> Result<u64, Fault>;

/// Where map arguments point; each descriptor has 4096 bytes, which are not mapped.
const MAP_BASE: u64 = 0xffff_a000_0000_0000;

/// Error numbers as helpers return them.
mod errno {
    pub const ENOENT: i64 = 2;
    pub const E2BIG: i64 = 7;
    pub const EAGAIN: i64 = 11;
    pub const EFAULT: i64 = 14;
    pub const EEXIST: i64 = 17;
    pub const EINVAL: i64 = 22;
    pub const ERANGE: i64 = 34;

    /// The register value of a failure.
    pub const fn fail(errno: i64) -> u64 {
        -errno as u64
    }
}

/// Rows of every helper that the host has; each file brings its own.
const HELPERS: &[&[(Helper, Call)]] = &[
    maps::HELPERS,
    ring::HELPERS,
    iterate::HELPERS,
    task::HELPERS,
    probe::HELPERS,
    stacks::HELPERS,
    text::HELPERS,
    strings::HELPERS,
];

/// The host. All fields are what a test sets before a run and reads after it.
pub struct SimHost {
    /// All memory. Give programs user and kernel memory with [`Memory::map_at`].
    pub memory: Memory,
    /// The time.
    pub clock: Clock,
    /// The running task.
    pub task: Task,
    /// The running CPU, below `cpus()`.
    pub cpu: usize,
    /// Its NUMA node.
    pub numa_node: u32,
    /// `jiffies64`.
    pub jiffies: u64,
    /// State of the random numbers; each call changes it.
    pub seed: u64,
    /// Kernel stack of the current event, innermost address first.
    pub kernel_stack: Vec<u64>,
    /// User stack of the current event, innermost address first.
    pub user_stack: Vec<u64>,
    /// `get_attach_cookie`.
    pub attach_cookie: u64,
    /// `get_func_ip`.
    pub func_ip: u64,
    /// `get_func_arg_cnt`: how many of the context's 8-byte words are arguments; the result follows them.
    pub func_args: u64,
    /// `bpf_session_is_return`.
    pub session_is_return: bool,
    /// Names of addresses for `%ps` and `%pS`.
    pub symbols: Vec<Symbol>,
    /// Kernel variables: BTF id to address.
    pub variables: BTreeMap<i32, u64>,
    /// How often `may_goto` goes on in a frame.
    pub may_goto_fuel: u32,
    /// Signals that were sent, in order: number, and whether to the thread alone.
    pub signals: Vec<(u32, bool)>,
    /// Lines that were printed by `trace_printk`.
    pub printed: Vec<String>,
    cpus: usize,
    maps: BTreeMap<i32, SimMap>,
    kfuncs: BTreeMap<i32, Call>,
    /// Regions of replaced and deleted elements: mapped until the run ends, as the kernel's grace periods do.
    retired: Vec<u64>,
    /// Where `bpf_session_cookie` points.
    session_cookie: u64,
}

impl SimHost {
    /// A host with so many CPUs (at least 1), no maps, and the time, task and stacks of their defaults.
    pub fn new(cpus: usize) -> SimHost {
        let mut memory = Memory::new();
        let session_cookie = memory.map(Space::Kernel, vec![0; 8], true);
        SimHost {
            memory,
            clock: Clock::default(),
            task: Task::default(),
            cpu: 0,
            numa_node: 0,
            jiffies: 0,
            seed: 0x2545_f491_4f6c_dd1d,
            kernel_stack: Vec::new(),
            user_stack: Vec::new(),
            attach_cookie: 0,
            func_ip: 0,
            func_args: 0,
            session_is_return: false,
            symbols: Vec::new(),
            variables: BTreeMap::new(),
            may_goto_fuel: 0x80_0000,
            signals: Vec::new(),
            printed: Vec::new(),
            cpus: cpus.max(1),
            maps: BTreeMap::new(),
            kfuncs: kfuncs::defaults(),
            retired: Vec::new(),
            session_cookie,
        }
    }

    /// Number of CPUs.
    pub fn cpus(&self) -> usize {
        self.cpus
    }

    /// The BTF id by which programs of this host call a kernel function; `None` for one that the host does not have.
    pub fn kfunc_id(&self, name: &str) -> Option<i32> {
        kfuncs::id_of(name)
    }

    /// Gives a kernel function another BTF id, for programs that were linked elsewhere; `false` when the host lacks it.
    pub fn bind_kfunc(&mut self, btf_id: i32, name: &str) -> bool {
        let call = kfuncs::call_of(name);
        call.map(|call| self.kfuncs.insert(btf_id, call)).is_some()
    }

    /// Writes a number where an argument points; a bad place is a fault, as the verifier would refuse it.
    fn put(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        self.memory.store_uint(addr, size, value)
    }
}

impl Host for SimHost {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn map(&mut self, fd: i32) -> Option<u64> {
        self.maps.contains_key(&fd).then(|| map_pointer(fd))
    }

    fn map_value(&mut self, fd: i32) -> Option<u64> {
        let map = self.maps.get_mut(&fd)?;
        map.direct_value(&mut self.memory)
    }

    fn variable(&mut self, btf_id: i32, _fd: i32) -> Option<u64> {
        self.variables.get(&btf_id).copied()
    }

    fn helper(&mut self, core: &mut Core, helper: Helper, args: [u64; 5]) -> Result<u64, Fault> {
        let row = HELPERS.iter().copied().flatten().find(|row| row.0 == helper);
        let (_, call) = row.ok_or(Fault::NoHelper(helper))?;
        call(self, core, args)
    }

    fn kfunc(&mut self, core: &mut Core, btf_id: i32, _fd_index: i16, args: [u64; 5]) -> Result<u64, Fault> {
        let call = self.kfuncs.get(&btf_id).copied().ok_or(Fault::NoKfunc(btf_id))?;
        call(self, core, args)
    }

    fn may_goto_fuel(&mut self) -> u32 {
        self.may_goto_fuel
    }

    fn end_of_run(&mut self) {
        for base in self.retired.drain(..) {
            self.memory.unmap(base);
        }
    }
}

/// The argument that stands for a map.
fn map_pointer(fd: i32) -> u64 {
    MAP_BASE + u64::from(fd.unsigned_abs()) * 4096
}

/// The descriptor of a map argument.
fn map_fd(pointer: u64) -> Option<i32> {
    let distance = pointer.checked_sub(MAP_BASE)?;
    if distance % 4096 == 0 {
        i32::try_from(distance / 4096).ok()
    } else {
        None
    }
}
