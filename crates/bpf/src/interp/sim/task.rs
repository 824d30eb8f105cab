//! Who runs where and when: clock, task, CPU, random numbers, signals, attachment.

use super::errno::{fail, EINVAL};
use super::{Call, SimHost};
use crate::helpers::Helper;
use crate::interp::Fault;
use crate::isa::Size;

pub(super) const HELPERS: &[(Helper, Call)] = &[
    (Helper::KTIME_GET_NS, |h, _, _| Ok(h.clock.tick(0))),
    (Helper::KTIME_GET_COARSE_NS, |h, _, _| Ok(h.clock.tick(0))),
    (Helper::KTIME_GET_BOOT_NS, |h, _, _| Ok(h.clock.tick(h.clock.boot_offset_ns))),
    (Helper::KTIME_GET_TAI_NS, |h, _, _| Ok(h.clock.tick(h.clock.tai_offset_ns))),
    (Helper::JIFFIES64, |h, _, _| Ok(h.jiffies)),
    (Helper::GET_CURRENT_PID_TGID, |h, _, _| Ok(pair(h.task.tgid, h.task.pid))),
    (Helper::GET_CURRENT_UID_GID, |h, _, _| Ok(pair(h.task.gid, h.task.uid))),
    (Helper::GET_CURRENT_COMM, |h, _, a| h.current_comm(a[0], a[1])),
    (Helper::GET_CURRENT_TASK, |h, _, _| Ok(h.task.address)),
    (Helper::GET_CURRENT_TASK_BTF, |h, _, _| Ok(h.task.address)),
    (Helper::TASK_PT_REGS, |h, _, _| Ok(h.task.pt_regs)),
    (Helper::GET_CURRENT_CGROUP_ID, |h, _, _| Ok(h.task.cgroup_ids.last().copied().unwrap_or(0))),
    (Helper::GET_CURRENT_ANCESTOR_CGROUP_ID, |h, _, a| {
        let level = usize::try_from(a[0] as u32 as i32).ok();
        Ok(level.and_then(|level| h.task.cgroup_ids.get(level)).copied().unwrap_or(0))
    }),
    (Helper::GET_NS_CURRENT_PID_TGID, |h, _, a| h.ns_pid_tgid(a)),
    (Helper::GET_SMP_PROCESSOR_ID, |h, _, _| Ok(u64::try_from(h.cpu).unwrap_or(0))),
    (Helper::GET_NUMA_NODE_ID, |h, _, _| Ok(h.numa_node.into())),
    (Helper::GET_PRANDOM_U32, |h, _, _| Ok(h.random().into())),
    (Helper::SEND_SIGNAL, |h, _, a| h.send_signal(a[0], false)),
    (Helper::SEND_SIGNAL_THREAD, |h, _, a| h.send_signal(a[0], true)),
    (Helper::GET_ATTACH_COOKIE, |h, _, _| Ok(h.attach_cookie)),
    (Helper::GET_FUNC_IP, |h, _, _| Ok(h.func_ip)),
    (Helper::GET_FUNC_ARG_CNT, |h, _, _| Ok(h.func_args)),
    (Helper::GET_FUNC_ARG, |h, _, a| {
        let wanted = u64::from(a[1] as u32);
        if wanted < h.func_args {
            h.copy_word(a[0], wanted, a[2])
        } else {
            Ok(fail(EINVAL))
        }
    }),
    (Helper::GET_FUNC_RET, |h, _, a| h.copy_word(a[0], h.func_args, a[1])),
];

/// Bytes of a task's name in the kernel, its zero included.
const COMM_LEN: usize = 16;

/// The time; each reading moves it on by `step_ns`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// `ktime_get_ns`.
    pub mono_ns: u64,
    /// What `ktime_get_boot_ns` adds.
    pub boot_offset_ns: u64,
    /// What `ktime_get_tai_ns` adds.
    pub tai_offset_ns: u64,
    /// How far each reading moves the time.
    pub step_ns: u64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { mono_ns: 1_000_000_000, boot_offset_ns: 0, tai_offset_ns: 0, step_ns: 0 }
    }
}

impl Clock {
    fn tick(&mut self, offset_ns: u64) -> u64 {
        let now_ns = self.mono_ns;
        self.mono_ns = now_ns.wrapping_add(self.step_ns);
        now_ns.wrapping_add(offset_ns)
    }
}

/// The ids of the task in a pid namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Device of the namespace file.
    pub dev: u64,
    /// Inode of the namespace file.
    pub ino: u64,
    /// Thread id within.
    pub pid: u32,
    /// Process id within.
    pub tgid: u32,
}

/// The running task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Thread id (the kernel's pid).
    pub pid: u32,
    /// Process id.
    pub tgid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Name, cut after 15 bytes.
    pub comm: String,
    /// Cgroup ids from the root down to the task's own.
    pub cgroup_ids: Vec<u64>,
    /// Address of its `task_struct`; give it memory there to be read.
    pub address: u64,
    /// Address of its user registers.
    pub pt_regs: u64,
    /// Its ids in other pid namespaces.
    pub namespaces: Vec<Namespace>,
}

impl Default for Task {
    fn default() -> Task {
        Task {
            pid: 1001,
            tgid: 1000,
            uid: 0,
            gid: 0,
            comm: "sim".to_owned(),
            cgroup_ids: vec![1],
            address: 0xffff_9000_0000_0000,
            pt_regs: 0xffff_9000_0000_8000,
            namespaces: Vec::new(),
        }
    }
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl SimHost {
    fn current_comm(&mut self, place: u64, len: u64) -> Result<u64, Fault> {
        let comm = self.task.comm.as_bytes();
        let comm = comm.get(..COMM_LEN - 1).unwrap_or(comm).to_vec();
        let buffer = self.memory.write(place, u64::from(len as u32))?;
        buffer.fill(0);
        let room = buffer.len().saturating_sub(1);
        for (to, from) in buffer.iter_mut().take(room).zip(comm) {
            *to = from;
        }
        Ok(0)
    }

    fn ns_pid_tgid(&mut self, [dev, ino, place, len, _]: [u64; 5]) -> Result<u64, Fault> {
        self.memory.write(place, len)?.fill(0);
        let found = self.task.namespaces.iter().find(|ns| ns.dev == dev && ns.ino == ino).copied();
        match found {
            Some(ns) if len == 8 => {
                self.put(place, Size::W, ns.pid.into())?;
                self.put(place.wrapping_add(4), Size::W, ns.tgid.into())?;
                Ok(0)
            }
            _ => Ok(fail(EINVAL)),
        }
    }

    /// Xorshift: deterministic for a seed, never 0 for long.
    fn random(&mut self) -> u32 {
        let mut x = if self.seed == 0 { 0x9e37_79b9_7f4a_7c15 } else { self.seed };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed = x;
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn send_signal(&mut self, number: u64, thread: bool) -> Result<u64, Fault> {
        let number = number as u32;
        if number > 64 {
            return Ok(fail(EINVAL));
        }
        self.signals.push((number, thread));
        Ok(0)
    }

    /// Copies one 8-byte word of the context.
    fn copy_word(&mut self, ctx: u64, index: u64, place: u64) -> Result<u64, Fault> {
        let word = self.memory.load_uint(ctx.wrapping_add(index.wrapping_mul(8)), Size::DW)?;
        self.put(place, Size::DW, word)?;
        Ok(0)
    }
}
