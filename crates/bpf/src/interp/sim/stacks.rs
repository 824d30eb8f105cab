//! Stacks: what a test has set, handed out as the kernel hands out unwound ones.

use super::errno::{fail, EEXIST, EFAULT, EINVAL};
use super::maps::Storage;
use super::{Call, SimHost};
use crate::helpers::Helper;
use crate::interp::Fault;
use crate::kinds::helper_flags::*;

pub(super) const HELPERS: &[(Helper, Call)] = &[
    (Helper::GET_STACKID, |h, _, a| h.stack_id(a[1], a[2])),
    (Helper::GET_STACK, |h, _, a| h.stack(a[1], a[2], a[3])),
    (Helper::GET_TASK_STACK, |h, _, a| h.stack(a[1], a[2], a[3])),
];

/// Bytes of `struct bpf_stack_build_id`.
const BUILD_ID_ENTRY: usize = 32;
/// `BPF_STACK_BUILD_ID_IP`: the entry holds an address.
const STATUS_IP: i32 = 2;

impl SimHost {
    /// The frames that are left after skipping.
    fn frames(&self, flags: u64) -> &[u64] {
        let all = if flags & BPF_F_USER_STACK != 0 { &self.user_stack } else { &self.kernel_stack };
        let skip = usize::try_from(flags & BPF_F_SKIP_FIELD_MASK).unwrap_or(0);
        all.get(skip..).unwrap_or_default()
    }

    fn stack_id(&mut self, map: u64, flags: u64) -> Result<u64, Fault> {
        let name = "get_stackid";
        let frames = self.frames(flags).to_vec();
        let map = self.map_of(map, name)?;
        let (kind, depth) = (map.spec.kind, usize::try_from(map.spec.value_size / 8).unwrap_or(0));
        let buckets = map.spec.max_entries.checked_next_power_of_two().unwrap_or(1 << 31);
        let Storage::Stacks(stacks) = &mut map.storage else {
            return Err(Fault::misuse(name, format!("it takes a stack_trace map, not {kind}")));
        };
        let known = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID;
        if flags & !known != 0 {
            return Ok(fail(EINVAL));
        }
        let frames = frames.get(..depth).unwrap_or(&frames);
        if frames.is_empty() {
            return Ok(fail(EFAULT));
        }
        let hash = hash(frames);
        let id = hash & (buckets - 1);
        match stacks.get(&id) {
            Some(old) if old == frames => {}
            Some(old) if flags & BPF_F_FAST_STACK_CMP != 0 && self::hash(old) == hash => {}
            Some(_) if flags & BPF_F_REUSE_STACKID == 0 => return Ok(fail(EEXIST)),
            _ => {
                stacks.insert(id, frames.to_vec());
            }
        }
        Ok(id.into())
    }

    fn stack(&mut self, place: u64, len: u64, flags: u64) -> Result<u64, Fault> {
        let len = u64::from(len as u32);
        let build_ids = flags & BPF_F_USER_BUILD_ID != 0;
        let entry = if build_ids { BUILD_ID_ENTRY } else { 8 };
        let bytes: Vec<u8> = match build_ids {
            true => self.frames(flags).iter().flat_map(|ip| build_id_entry(*ip)).collect(),
            false => self.frames(flags).iter().flat_map(|ip| ip.to_le_bytes()).collect(),
        };
        let buffer = self.memory.write(place, len)?;
        buffer.fill(0);
        let known = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID;
        let kernel_build_ids = build_ids && flags & BPF_F_USER_STACK == 0;
        if flags & !known != 0 || kernel_build_ids || buffer.len() % entry != 0 {
            return Ok(fail(EINVAL));
        }
        if bytes.is_empty() {
            return Ok(fail(EFAULT));
        }
        let copied = bytes.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = from;
        }
        Ok(u64::try_from(copied).unwrap_or(0))
    }
}

fn build_id_entry(ip: u64) -> [u8; BUILD_ID_ENTRY] {
    let mut entry = [0; BUILD_ID_ENTRY];
    entry[..4].copy_from_slice(&STATUS_IP.to_le_bytes());
    entry[24..].copy_from_slice(&ip.to_le_bytes());
    entry
}

/// FNV-1a over the addresses; which hash it is does not matter, as in the kernel.
fn hash(frames: &[u64]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in frames.iter().flat_map(|ip| ip.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    (hash ^ (hash >> 32)) as u32
}
