//! Programs written by hand for the smallest cost: what compiled scripts are measured against.

use fathom_bpf::asm::{assemble_with, Name};
use fathom_bpf::kinds::{map_flags, MapKind, ProgKind};
use fathom_kernel::link::Link;
use fathom_kernel::map::{Map, MapSpec};
use fathom_kernel::prog::{Prog, ProgSpec};
use std::os::fd::{AsFd, AsRawFd};

/// A one-liner and its hand-made twin.
pub struct Pair {
    /// The script's action.
    pub action: &'static str,
    kind: MapKind,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    text: &'static str,
}

/// All pairs; the script's probe is `tracepoint:raw_syscalls:sys_enter`, the twin's the raw tracepoint `sys_enter`.
pub static PAIRS: &[Pair] = &[
    Pair {
        action: "@ = count();",
        kind: MapKind::PERCPU_ARRAY,
        key_bytes: 4,
        value_bytes: 8,
        entries: 1,
        text: COUNT,
    },
    Pair {
        action: "@[comm] = count();",
        kind: MapKind::PERCPU_HASH,
        key_bytes: 16,
        value_bytes: 8,
        entries: 4096,
        text: BY_COMM,
    },
    Pair {
        action: "@ = hist(args.id);",
        kind: MapKind::PERCPU_ARRAY,
        key_bytes: 4,
        value_bytes: 8,
        entries: 66,
        text: HIST,
    },
    Pair {
        action: "@[pid] = sum(1);",
        kind: MapKind::PERCPU_HASH,
        key_bytes: 4,
        value_bytes: 8,
        entries: 4096,
        text: BY_PID,
    },
];

const COUNT: &str = "
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map_fd m
    call map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out: r0 = 0
    exit";

const BY_COMM: &str = "
    r1 = r10
    r1 += -16
    r2 = 16
    call get_current_comm
    r2 = r10
    r2 += -16
    r1 = map_fd m
    call map_lookup_elem
    if r0 == 0 goto new
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r0 = 0
    exit
new: *(u64 *)(r10 - 24) = 1
    r2 = r10
    r2 += -16
    r3 = r10
    r3 += -24
    r4 = 0
    r1 = map_fd m
    call map_update_elem
    r0 = 0
    exit";

const BY_PID: &str = "
    call get_current_pid_tgid
    r0 >>= 32
    *(u32 *)(r10 - 4) = r0
    r2 = r10
    r2 += -4
    r1 = map_fd m
    call map_lookup_elem
    if r0 == 0 goto new
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r0 = 0
    exit
new: *(u64 *)(r10 - 16) = 1
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    r1 = map_fd m
    call map_update_elem
    r0 = 0
    exit";

/// Bucket 0 for negative numbers, 1 for zero, then one more than the logarithm, found by halving.
const HIST: &str = "
    r6 = *(u64 *)(r1 + 8)
    r7 = 0
    if r6 s< 0 goto have
    r7 = 1
    if r6 == 0 goto have
    r7 = 2
    r1 = r6
    r1 >>= 32
    if r1 == 0 goto a
    r7 += 32
    r6 = r1
a:  r1 = r6
    r1 >>= 16
    if r1 == 0 goto b
    r7 += 16
    r6 = r1
b:  r1 = r6
    r1 >>= 8
    if r1 == 0 goto c
    r7 += 8
    r6 = r1
c:  r1 = r6
    r1 >>= 4
    if r1 == 0 goto d
    r7 += 4
    r6 = r1
d:  r1 = r6
    r1 >>= 2
    if r1 == 0 goto e
    r7 += 2
    r6 = r1
e:  r6 >>= 1
    r7 += r6
have: *(u32 *)(r10 - 4) = r7
    r2 = r10
    r2 += -4
    r1 = map_fd m
    call map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out: r0 = 0
    exit";

/// A loaded and attached twin; detached when dropped.
pub struct Attached {
    _map: Map,
    _prog: Prog,
    _link: Link,
}

impl Pair {
    /// Loads and attaches the twin.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn attach(&self) -> Result<Attached, String> {
        let flags = if self.kind.is_hash() { map_flags::BPF_F_NO_PREALLOC } else { 0 };
        let spec =
            MapSpec::new("handmade", self.kind, self.key_bytes, self.value_bytes, self.entries).flags(flags);
        let map = Map::create(&spec).map_err(|e| e.to_string())?;
        let fd = map.as_fd().as_raw_fd();
        let insns = assemble_with(self.text, &|name| matches!(name, Name::Map("m")).then_some(fd))
            .map_err(|e| format!("{}: {e}", self.action))?;
        let prog = Prog::load(&ProgSpec::new("handmade", ProgKind::RAW_TRACEPOINT, &insns))
            .map_err(|e| format!("{}: {e}\n{}", self.action, e.log))?;
        let link = Link::raw_tracepoint(&prog, "sys_enter", 0).map_err(|e| e.to_string())?;
        Ok(Attached { _map: map, _prog: prog, _link: link })
    }

    /// The script.
    pub fn script(&self) -> String {
        format!("tracepoint:raw_syscalls:sys_enter {{ {} }}", self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_bpf::interp::sim::{self, SimHost};
    use fathom_bpf::interp::Interp;

    #[test]
    fn twins_do_what_they_are_measured_for() {
        for pair in PAIRS {
            let mut host = SimHost::new(1);
            host.task.tgid = 7;
            host.task.comm = "cat".into();
            let spec = sim::MapSpec::new(pair.kind, pair.key_bytes, pair.value_bytes, pair.entries);
            let fd = host.add_map(spec).unwrap();
            let insns = assemble_with(pair.text, &|_| Some(fd)).unwrap();
            for id in [0u64, 1, 5, 5] {
                let mut ctx: Vec<u8> = [0, id].iter().flat_map(|w| w.to_le_bytes()).collect();
                assert_eq!(
                    Interp::new(&insns, &mut host).run_ctx(&mut ctx, false).unwrap(),
                    0,
                    "{}",
                    pair.action
                );
            }
            let counts: Vec<(Vec<u8>, u64)> = host
                .entries(fd)
                .into_iter()
                .map(|(key, values)| (key, u64::from_le_bytes(values[0].clone().try_into().unwrap())))
                .filter(|(_, count)| *count > 0)
                .collect();
            let want: Vec<(Vec<u8>, u64)> = match pair.action {
                "@ = hist(args.id);" => {
                    [(1u32, 1), (2, 1), (4, 2)].map(|(b, n)| (b.to_le_bytes().to_vec(), n)).to_vec()
                }
                "@[comm] = count();" => vec![(b"cat\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), 4)],
                "@[pid] = sum(1);" => vec![(7u32.to_le_bytes().to_vec(), 4)],
                _ => vec![(vec![0; 4], 4)],
            };
            assert_eq!(counts, want, "{}", pair.action);
        }
    }
}
