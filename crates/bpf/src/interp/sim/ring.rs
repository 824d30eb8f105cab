//! Records to user space: ring buffers and perf event arrays.

use super::errno::{fail, E2BIG, EAGAIN, EINVAL};
use super::maps::Storage;
use super::{Call, SimHost};
use crate::helpers::Helper;
use crate::interp::{Fault, Memory, Space};
use crate::kinds::helper_flags::*;
use std::collections::VecDeque;

pub(super) const HELPERS: &[(Helper, Call)] = &[
    (Helper::RINGBUF_OUTPUT, |h, _, a| h.ring_output(a[0], a[1], a[2], a[3])),
    (Helper::RINGBUF_RESERVE, |h, _, a| h.ring_reserve(a[0], a[1], a[2])),
    (Helper::RINGBUF_SUBMIT, |h, _, a| h.ring_commit(a[0], a[1], true)),
    (Helper::RINGBUF_DISCARD, |h, _, a| h.ring_commit(a[0], a[1], false)),
    (Helper::RINGBUF_QUERY, |h, _, a| h.ring_query(a[0], a[1])),
    (Helper::PERF_EVENT_OUTPUT, |h, _, a| h.perf_output(a)),
];

/// Largest record (`RINGBUF_MAX_RECORD_SZ` of `kernel/bpf/ringbuf.c`).
const MAX_RECORD: u64 = u32::MAX as u64 / 4;
/// Bytes of a record's header.
const HEADER: u64 = 8;
/// What a fresh record holds, as stale data does in the kernel's ring.
const STALE: u8 = 0xa5;

/// Whether a submission wakes the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wakeup {
    /// If the reader has caught up.
    Adaptive,
    /// Never: `BPF_RB_NO_WAKEUP`.
    Never,
    /// Always: `BPF_RB_FORCE_WAKEUP`.
    Always,
}

impl Wakeup {
    fn of_flags(flags: u64) -> Wakeup {
        match flags {
            _ if flags & BPF_RB_FORCE_WAKEUP != 0 => Wakeup::Always,
            _ if flags & BPF_RB_NO_WAKEUP != 0 => Wakeup::Never,
            _ => Wakeup::Adaptive,
        }
    }
}

/// One record that reached user space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// CPU that wrote it (for perf event arrays the index that was asked for).
    pub cpu: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it wakes the reader.
    pub wakeup: Wakeup,
}

enum State {
    Busy,
    Done(Record),
    Discarded,
}

struct Slot {
    /// First address of the record while it is busy.
    addr: u64,
    /// Bytes in the ring.
    len: u64,
    state: State,
}

/// A ring: records in the order of their reservation.
pub(super) struct Ring {
    size: u64,
    produced: u64,
    consumed: u64,
    slots: VecDeque<Slot>,
    /// Reservations that failed.
    dropped: u64,
}

/// Records of a perf event array.
#[derive(Default)]
pub(super) struct Events {
    records: Vec<Record>,
}

impl Ring {
    pub(super) fn new(size: u32) -> Ring {
        Ring { size: size.into(), produced: 0, consumed: 0, slots: VecDeque::new(), dropped: 0 }
    }

    /// Space for a record, or `None` when the ring is full.
    fn reserve(&mut self, memory: &mut Memory, len: u64) -> Option<u64> {
        let total = (len <= MAX_RECORD).then(|| (len + HEADER).next_multiple_of(8));
        let fits = |total: &u64| self.produced - self.consumed + total < self.size;
        let Some(total) = total.filter(fits) else {
            self.dropped += 1;
            return None;
        };
        let bytes = vec![STALE; usize::try_from(len).ok()?];
        let addr = memory.map(Space::Record, bytes, true);
        self.produced += total;
        self.slots.push_back(Slot { addr, len: total, state: State::Busy });
        Some(addr)
    }

    /// Ends a record; `false` when none is busy at the address.
    fn commit(&mut self, memory: &mut Memory, addr: u64, cpu: usize, flags: u64, keep: bool) -> bool {
        let busy = |slot: &&mut Slot| slot.addr == addr && matches!(slot.state, State::Busy);
        let Some(slot) = self.slots.iter_mut().find(busy) else { return false };
        let bytes = memory.unmap(addr).unwrap_or_default();
        slot.state = match keep {
            true => State::Done(Record { cpu, bytes, wakeup: Wakeup::of_flags(flags) }),
            false => State::Discarded,
        };
        true
    }

    /// Takes what the reader would see: everything before the first busy record.
    fn take(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        while self.slots.front().is_some_and(|slot| !matches!(slot.state, State::Busy)) {
            let Some(slot) = self.slots.pop_front() else { break };
            self.consumed += slot.len;
            if let State::Done(record) = slot.state {
                records.push(record);
            }
        }
        records
    }
}

impl SimHost {
    /// Takes the records that a ring buffer or perf event array has for its reader.
    pub fn take_records(&mut self, fd: i32) -> Vec<Record> {
        match self.maps.get_mut(&fd).map(|map| &mut map.storage) {
            Some(Storage::Ring(ring)) => ring.take(),
            Some(Storage::Events(events)) => std::mem::take(&mut events.records),
            _ => Vec::new(),
        }
    }

    /// Records of a ring that were reserved and neither submitted nor discarded: the kernel's verifier refuses such programs.
    pub fn unsubmitted(&self, fd: i32) -> usize {
        match self.maps.get(&fd).map(|map| &map.storage) {
            Some(Storage::Ring(ring)) => {
                ring.slots.iter().filter(|slot| matches!(slot.state, State::Busy)).count()
            }
            _ => 0,
        }
    }

    /// Reservations and outputs that a full ring has refused.
    pub fn dropped(&self, fd: i32) -> u64 {
        match self.maps.get(&fd).map(|map| &map.storage) {
            Some(Storage::Ring(ring)) => ring.dropped,
            _ => 0,
        }
    }

    /// The ring of a helper's argument, and the memory.
    fn ring(&mut self, pointer: u64, name: &str) -> Result<(&mut Ring, &mut Memory), Fault> {
        let kind = self.map_of(pointer, name)?.spec.kind;
        let SimHost { maps, memory, .. } = self;
        let found = super::map_fd(pointer).and_then(|fd| maps.get_mut(&fd));
        match found.map(|map| &mut map.storage) {
            Some(Storage::Ring(ring)) => Ok((ring, memory)),
            _ => Err(Fault::misuse(name, format!("it takes a ringbuf map, not {kind}"))),
        }
    }

    fn ring_reserve(&mut self, map: u64, len: u64, flags: u64) -> Result<u64, Fault> {
        let (ring, memory) = self.ring(map, "ringbuf_reserve")?;
        if flags != 0 {
            return Ok(0);
        }
        Ok(ring.reserve(memory, len).unwrap_or(0))
    }

    fn ring_output(&mut self, map: u64, data: u64, len: u64, flags: u64) -> Result<u64, Fault> {
        let cpu = self.cpu;
        let bytes = self.memory.read(data, len)?.to_vec();
        let (ring, memory) = self.ring(map, "ringbuf_output")?;
        if flags & !(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP) != 0 {
            return Ok(fail(EINVAL));
        }
        let Some(addr) = ring.reserve(memory, len) else { return Ok(fail(EAGAIN)) };
        memory.store(addr, &bytes)?;
        ring.commit(memory, addr, cpu, flags, true);
        Ok(0)
    }

    fn ring_commit(&mut self, addr: u64, flags: u64, keep: bool) -> Result<u64, Fault> {
        let SimHost { maps, memory, cpu, .. } = self;
        for map in maps.values_mut() {
            if let Storage::Ring(ring) = &mut map.storage {
                if ring.commit(memory, addr, *cpu, flags, keep) {
                    return Ok(0);
                }
            }
        }
        let name = if keep { "ringbuf_submit" } else { "ringbuf_discard" };
        Err(Fault::misuse(name, format!("{addr:#x} is no reserved record")))
    }

    fn ring_query(&mut self, map: u64, what: u64) -> Result<u64, Fault> {
        let (ring, _) = self.ring(map, "ringbuf_query")?;
        Ok(match what {
            BPF_RB_AVAIL_DATA => ring.produced - ring.consumed,
            BPF_RB_RING_SIZE => ring.size,
            BPF_RB_CONS_POS => ring.consumed,
            BPF_RB_PROD_POS => ring.produced,
            _ => 0,
        })
    }

    fn perf_output(&mut self, [_, map, flags, data, len]: [u64; 5]) -> Result<u64, Fault> {
        let name = "perf_event_output";
        let bytes = self.memory.read(data, len)?.to_vec();
        let (cpu, cpus) = (self.cpu, self.cpus);
        let map = self.map_of(map, name)?;
        let (kind, limit) = (map.spec.kind, u64::from(map.spec.max_entries));
        let Storage::Events(events) = &mut map.storage else {
            return Err(Fault::misuse(name, format!("it takes a perf_event_array map, not {kind}")));
        };
        if flags & !BPF_F_INDEX_MASK != 0 {
            return Ok(fail(EINVAL));
        }
        let current = u64::try_from(cpu).unwrap_or(u64::MAX);
        let index = if flags == BPF_F_CURRENT_CPU { current } else { flags };
        match usize::try_from(index) {
            Ok(cpu) if index < limit && cpu < cpus => {
                events.records.push(Record { cpu, bytes, wakeup: Wakeup::Adaptive });
                Ok(0)
            }
            _ => Ok(fail(E2BIG)),
        }
    }
}
