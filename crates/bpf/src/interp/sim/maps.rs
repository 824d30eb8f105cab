//! Maps: hash, LRU and array, each shared or per CPU, whose values are regions; rings and stacks are kept elsewhere.

use super::errno::{fail, E2BIG, EEXIST, EINVAL, ENOENT};
use super::ring::{Events, Ring};
use super::{map_fd, Call, SimHost};
use crate::helpers::Helper;
use crate::interp::{Fault, Memory, Space};
use crate::kinds::helper_flags::{BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST};
use crate::kinds::map_flags::BPF_F_RDONLY_PROG;
use crate::kinds::MapKind;
use std::collections::BTreeMap;

pub(super) const HELPERS: &[(Helper, Call)] = &[
    (Helper::MAP_LOOKUP_ELEM, |h, _, a| {
        let cpu = h.cpu;
        h.lookup_call(a[0], a[1], cpu, "map_lookup_elem")
    }),
    (Helper::MAP_UPDATE_ELEM, |h, _, a| h.update_call(a[0], a[1], a[2], a[3])),
    (Helper::MAP_DELETE_ELEM, |h, _, a| h.delete_call(a[0], a[1])),
    (Helper::MAP_LOOKUP_PERCPU_ELEM, |h, _, a| match usize::try_from(a[2] as u32) {
        Ok(cpu) if cpu < h.cpus => h.lookup_call(a[0], a[1], cpu, "map_lookup_percpu_elem"),
        _ => Ok(0),
    }),
];

/// Most bytes of values that one map may have, so that a typing error does not eat the machine.
const MAX_MAP_BYTES: u64 = 1 << 30;

/// Most bytes of a key of a hash (`KMALLOC_MAX_SIZE`, as `htab_map_alloc_check` of `kernel/bpf/hashtab.c` asks; before 5.13 it was the 512 of
/// the stack).
const MAX_KEY_BYTES: u32 = 4 << 20;

/// What a map is created with (`struct bpf_attr` of `BPF_MAP_CREATE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapSpec {
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most elements; bytes of a ring buffer.
    pub max_entries: u32,
    /// Bits of [`crate::kinds::map_flags`].
    pub flags: u32,
}

impl MapSpec {
    /// A map without flags.
    pub const fn new(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
        MapSpec { kind, key_size, value_size, max_entries, flags: 0 }
    }

    fn check(&self, cpus: usize) -> Result<(), String> {
        let kind = self.kind;
        if self.max_entries == 0 {
            return Err(format!("a {kind} map needs entries; `max_entries` is 0"));
        }
        if kind == MapKind::RINGBUF && !(self.max_entries.is_power_of_two() && self.max_entries >= 4096) {
            return Err(format!(
                "a ring of {} bytes; the size must be a power of two, at least 4096",
                self.max_entries
            ));
        }
        if kind.is_hash() && (self.key_size == 0 || self.key_size > MAX_KEY_BYTES) {
            return Err(format!(
                "a {kind} map with keys of {} bytes; they may have 1 to {MAX_KEY_BYTES}",
                self.key_size
            ));
        }
        if (kind.is_array() || kind == MapKind::STACK_TRACE) && self.key_size != 4 {
            return Err(format!("keys of a {kind} map have 4 bytes, not {}", self.key_size));
        }
        if (kind.is_hash() || kind.is_array()) && self.value_size == 0 {
            return Err(format!("a {kind} map needs values; `value_size` is 0"));
        }
        if kind == MapKind::STACK_TRACE && (self.value_size < 8 || !self.value_size.is_multiple_of(8)) {
            return Err(format!("stacks of {} bytes; the size must be a multiple of 8", self.value_size));
        }
        let copies = if kind.is_percpu() { u64::try_from(cpus).unwrap_or(u64::MAX) } else { 1 };
        let bytes = u64::from(self.max_entries) * u64::from(self.value_size);
        match bytes.checked_mul(copies) {
            Some(bytes) if bytes <= MAX_MAP_BYTES => Ok(()),
            _ => Err(format!("a {kind} map of more than {MAX_MAP_BYTES} bytes")),
        }
    }
}

/// An element: first address of the value for each CPU (one for shared maps).
pub(super) struct Element {
    pub(super) values: Vec<u64>,
    /// When it was used last, for LRU.
    used: u64,
}

pub(super) enum Storage {
    Hash(BTreeMap<Vec<u8>, Element>),
    /// Only what was touched; the rest is zero.
    Array(BTreeMap<u32, Element>),
    Ring(Ring),
    Events(Events),
    Stacks(BTreeMap<u32, Vec<u64>>),
    /// A kind that programs can only name.
    Opaque,
}

pub(super) struct SimMap {
    pub(super) spec: MapSpec,
    pub(super) storage: Storage,
    copies: usize,
    uses: u64,
}

impl SimMap {
    fn new(spec: MapSpec, cpus: usize) -> SimMap {
        let storage = match spec.kind {
            MapKind::ARRAY | MapKind::PERCPU_ARRAY => Storage::Array(BTreeMap::new()),
            MapKind::HASH | MapKind::PERCPU_HASH | MapKind::LRU_HASH | MapKind::LRU_PERCPU_HASH => {
                Storage::Hash(BTreeMap::new())
            }
            MapKind::RINGBUF => Storage::Ring(Ring::new(spec.max_entries)),
            MapKind::PERF_EVENT_ARRAY => Storage::Events(Events::default()),
            MapKind::STACK_TRACE => Storage::Stacks(BTreeMap::new()),
            _ => Storage::Opaque,
        };
        SimMap { spec, storage, copies: if spec.kind.is_percpu() { cpus } else { 1 }, uses: 0 }
    }

    fn is_lru(&self) -> bool {
        matches!(self.spec.kind, MapKind::LRU_HASH | MapKind::LRU_PERCPU_HASH)
    }

    fn new_element(&self, memory: &mut Memory) -> Element {
        let len = usize::try_from(self.spec.value_size).unwrap_or_default();
        let writable = self.spec.flags & BPF_F_RDONLY_PROG == 0;
        let values = (0..self.copies).map(|_| memory.map(Space::MapValue, vec![0; len], writable));
        Element { values: values.collect(), used: self.uses }
    }

    /// Addresses of the element of a key; array elements always exist. `None` also for kinds without elements.
    pub(super) fn element(&mut self, memory: &mut Memory, key: &[u8]) -> Option<&Element> {
        self.uses += 1;
        let uses = self.uses;
        if let Some(index) = self.array_index(key) {
            if !matches!(&self.storage, Storage::Array(elements) if elements.contains_key(&index)) {
                let element = self.new_element(memory);
                if let Storage::Array(elements) = &mut self.storage {
                    elements.insert(index, element);
                }
            }
            return match &self.storage {
                Storage::Array(elements) => elements.get(&index),
                _ => None,
            };
        }
        match &mut self.storage {
            Storage::Hash(elements) => {
                let element = elements.get_mut(key)?;
                element.used = uses;
                Some(element)
            }
            _ => None,
        }
    }

    /// The index of an array's key, below its size.
    fn array_index(&self, key: &[u8]) -> Option<u32> {
        let Storage::Array(_) = self.storage else { return None };
        let index = u32::from_le_bytes(key.try_into().ok()?);
        (index < self.spec.max_entries).then_some(index)
    }

    pub(super) fn direct_value(&mut self, memory: &mut Memory) -> Option<u64> {
        if self.spec.kind != MapKind::ARRAY || self.spec.max_entries != 1 {
            return None;
        }
        self.element(memory, &[0; 4])?.values.first().copied()
    }

    /// Creates or replaces an element. `cpu` is the CPU whose value is set, `None` for all.
    fn update(
        &mut self,
        memory: &mut Memory,
        retired: &mut Vec<u64>,
        key: &[u8],
        value: &[u8],
        flags: u64,
        cpu: Option<usize>,
    ) -> Result<(), i64> {
        if flags & !BPF_F_LOCK > BPF_EXIST {
            return Err(EINVAL);
        }
        let in_place = match &self.storage {
            Storage::Array(_) if self.array_index(key).is_none() => return Err(E2BIG),
            Storage::Array(_) if flags & BPF_NOEXIST != 0 => return Err(EEXIST),
            Storage::Array(_) => true,
            Storage::Hash(elements) => {
                let exists = elements.contains_key(key);
                match (exists, flags & !BPF_F_LOCK) {
                    (true, BPF_NOEXIST) => return Err(EEXIST),
                    (false, BPF_EXIST) => return Err(ENOENT),
                    _ => exists && self.spec.kind.is_percpu(),
                }
            }
            _ => return Err(EINVAL),
        };
        if !in_place {
            self.insert(memory, retired, key)?;
        }
        let copies = self.copies;
        let values = self.element(memory, key).map(|element| element.values.clone()).unwrap_or_default();
        for (at, base) in values.into_iter().enumerate() {
            if copies > 1 && cpu.is_some_and(|cpu| cpu != at) {
                continue;
            }
            if let Some(place) = memory.region_mut(base) {
                for (to, from) in place.iter_mut().zip(value) {
                    *to = *from;
                }
            }
        }
        Ok(())
    }

    /// A fresh element in a hash; the one it replaces (or pushes out, in LRU maps) is retired.
    fn insert(&mut self, memory: &mut Memory, retired: &mut Vec<u64>, key: &[u8]) -> Result<(), i64> {
        let (lru, limit) = (self.is_lru(), usize::try_from(self.spec.max_entries).unwrap_or(usize::MAX));
        let fresh = self.new_element(memory);
        let Storage::Hash(elements) = &mut self.storage else { return Err(EINVAL) };
        let full = !elements.contains_key(key) && elements.len() >= limit;
        if full && !lru {
            retired.extend(fresh.values);
            return Err(E2BIG);
        }
        if full {
            let oldest = elements.iter().min_by_key(|(_, element)| element.used).map(|(key, _)| key.clone());
            let pushed_out = oldest.and_then(|oldest| elements.remove(&oldest));
            retired.extend(pushed_out.into_iter().flat_map(|element| element.values));
        }
        let replaced = elements.insert(key.to_vec(), fresh);
        retired.extend(replaced.into_iter().flat_map(|element| element.values));
        Ok(())
    }

    fn delete(&mut self, retired: &mut Vec<u64>, key: &[u8]) -> Result<(), i64> {
        match &mut self.storage {
            Storage::Hash(elements) => {
                let element = elements.remove(key).ok_or(ENOENT)?;
                retired.extend(element.values);
                Ok(())
            }
            _ => Err(EINVAL),
        }
    }

    /// Keys of all elements, those of an array included that nothing has touched.
    pub(super) fn keys(&self) -> Vec<Vec<u8>> {
        match &self.storage {
            Storage::Hash(elements) => elements.keys().cloned().collect(),
            Storage::Array(_) => {
                (0..self.spec.max_entries).map(|index| index.to_le_bytes().to_vec()).collect()
            }
            Storage::Stacks(stacks) => stacks.keys().map(|id| id.to_le_bytes().to_vec()).collect(),
            _ => Vec::new(),
        }
    }
}

impl SimHost {
    /// Creates a map; the descriptor is what programs name it by.
    ///
    /// # Errors
    /// What is wrong with the sizes, as text.
    pub fn add_map(&mut self, spec: MapSpec) -> Result<i32, String> {
        spec.check(self.cpus)?;
        let fd = self.maps.keys().next_back().map_or(3, |last| last.saturating_add(1));
        self.maps.insert(fd, SimMap::new(spec, self.cpus));
        Ok(fd)
    }

    /// The value of a key: one copy per CPU for per-CPU maps, else one. Stacks of a stack map are 8 bytes per frame.
    pub fn lookup(&self, fd: i32, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        let map = self.maps.get(&fd)?;
        let zero = || vec![0; usize::try_from(map.spec.value_size).unwrap_or_default()];
        let bytes = |element: &Element| {
            element
                .values
                .iter()
                .map(|base| self.memory.region(*base).map_or_else(zero, <[u8]>::to_vec))
                .collect()
        };
        match &map.storage {
            Storage::Hash(elements) => elements.get(key).map(bytes),
            Storage::Array(elements) => {
                let index = map.array_index(key)?;
                Some(elements.get(&index).map_or_else(|| vec![zero(); map.copies], bytes))
            }
            Storage::Stacks(stacks) => {
                let stack = stacks.get(&u32::from_le_bytes(key.try_into().ok()?))?;
                Some(vec![stack.iter().flat_map(|address| address.to_le_bytes()).collect()])
            }
            _ => None,
        }
    }

    /// Sets the value of a key on all CPUs.
    ///
    /// # Errors
    /// The error number that the system call would give (2 also for a map that does not exist).
    pub fn update(&mut self, fd: i32, key: &[u8], value: &[u8], flags: u64) -> Result<(), i64> {
        let map = self.maps.get_mut(&fd).ok_or(ENOENT)?;
        if key.len() != map.spec.key_size as usize || value.len() != map.spec.value_size as usize {
            return Err(EINVAL);
        }
        map.update(&mut self.memory, &mut self.retired, key, value, flags, None)
    }

    /// Takes an element away.
    ///
    /// # Errors
    /// As [`SimHost::update`].
    pub fn delete(&mut self, fd: i32, key: &[u8]) -> Result<(), i64> {
        self.maps.get_mut(&fd).ok_or(ENOENT)?.delete(&mut self.retired, key)
    }

    /// All elements in the order of their keys' bytes, each with its values as [`SimHost::lookup`] gives them.
    pub fn entries(&self, fd: i32) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let keys = self.maps.get(&fd).map(SimMap::keys).unwrap_or_default();
        keys.into_iter().filter_map(|key| self.lookup(fd, &key).map(|values| (key, values))).collect()
    }

    /// The map of a helper's argument.
    pub(super) fn map_of(&mut self, pointer: u64, name: &str) -> Result<&mut SimMap, Fault> {
        let found = map_fd(pointer).and_then(|fd| self.maps.get_mut(&fd));
        found.ok_or_else(|| Fault::misuse(name, format!("{pointer:#x} is no map")))
    }

    /// Reads a key (or value) argument.
    fn element_map(&mut self, pointer: u64, name: &str) -> Result<MapSpec, Fault> {
        let map = self.map_of(pointer, name)?;
        match map.storage {
            Storage::Hash(_) | Storage::Array(_) => Ok(map.spec),
            _ => Err(Fault::misuse(name, format!("it does not take a {} map", map.spec.kind))),
        }
    }

    fn lookup_call(&mut self, map: u64, key: u64, cpu: usize, name: &str) -> Result<u64, Fault> {
        let spec = self.element_map(map, name)?;
        let key = self.memory.read(key, spec.key_size.into())?.to_vec();
        let SimHost { maps, memory, .. } = self;
        let found = map_fd(map).and_then(|fd| maps.get_mut(&fd));
        let values = found.and_then(|map| map.element(memory, &key)).map(|element| &element.values);
        let at = if spec.kind.is_percpu() { cpu } else { 0 };
        Ok(values.and_then(|values| values.get(at)).copied().unwrap_or(0))
    }

    fn update_call(&mut self, map: u64, key: u64, value: u64, flags: u64) -> Result<u64, Fault> {
        let spec = self.element_map(map, "map_update_elem")?;
        let key = self.memory.read(key, spec.key_size.into())?.to_vec();
        let value = self.memory.read(value, spec.value_size.into())?.to_vec();
        let SimHost { maps, memory, retired, cpu, .. } = self;
        let Some(map) = map_fd(map).and_then(|fd| maps.get_mut(&fd)) else { return Ok(fail(ENOENT)) };
        Ok(map.update(memory, retired, &key, &value, flags, Some(*cpu)).map_or_else(fail, |()| 0))
    }

    fn delete_call(&mut self, map: u64, key: u64) -> Result<u64, Fault> {
        let spec = self.element_map(map, "map_delete_elem")?;
        let key = self.memory.read(key, spec.key_size.into())?.to_vec();
        let SimHost { maps, retired, .. } = self;
        let Some(map) = map_fd(map).and_then(|fd| maps.get_mut(&fd)) else { return Ok(fail(ENOENT)) };
        Ok(map.delete(retired, &key).map_or_else(fail, |()| 0))
    }
}
