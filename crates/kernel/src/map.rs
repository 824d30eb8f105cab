//! BPF maps: create, element access, batches, per-CPU values, shared memory, pins.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

use fathom_bpf::kinds::{map_flags, MapKind};

use crate::cpu;
use crate::error::{Error, Result, ENOTSUPP};
use crate::sys::attr::{self, Cmd};
use crate::sys::call::{bpf, bpf_fd, fd_u32, mut_ptr_of, obj_name, ptr_of, text_of};
use crate::sys::mmap::{page_size, Mmap};

/// Types of key and value in a BTF that was loaded with [`crate::btf::load`].
#[derive(Debug, Clone, Copy)]
pub struct MapTypes<'a> {
    /// The loaded BTF.
    pub btf: BorrowedFd<'a>,
    /// Type id of the key; 0 for none.
    pub key_type_id: u32,
    /// Type id of the value.
    pub value_type_id: u32,
}

/// What to create. Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct MapSpec<'a> {
    /// Name shown by `bpftool`; cut to 15 characters, odd ones replaced.
    pub name: &'a str,
    /// Kind.
    pub kind: MapKind,
    /// Bytes of a key; 0 for rings and queues.
    pub key_size: u32,
    /// Bytes of a value of one CPU.
    pub value_size: u32,
    /// Most elements; bytes for a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// `map_extra`, e.g. the number of hashes of a bloom filter or an arena's address.
    pub extra: u64,
    /// Template of the inner maps of a map of maps.
    pub inner: Option<BorrowedFd<'a>>,
    /// BTF of key and value; needed for timers, spin locks and task storage.
    pub types: Option<MapTypes<'a>>,
}

impl<'a> MapSpec<'a> {
    /// A map without flags, inner map and types.
    pub fn new(
        name: &'a str,
        kind: MapKind,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> MapSpec<'a> {
        MapSpec {
            name,
            kind,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            extra: 0,
            inner: None,
            types: None,
        }
    }

    /// The same with `BPF_F_*` flags.
    pub fn flags(mut self, flags: u32) -> MapSpec<'a> {
        self.flags = flags;
        self
    }
}

/// When an update may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Update {
    /// Create or replace.
    Any = 0,
    /// Create only.
    NoExist = 1,
    /// Replace only.
    Exist = 2,
}

/// A map of the kernel; it lives as long as somebody holds a descriptor or a program uses it.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    name: String,
    kind: MapKind,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
    flags: u32,
}

/// All elements of a map at one moment, packed: no allocation per element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    keys: Vec<u8>,
    values: Vec<u8>,
    key_size: usize,
    stride: usize,
    count: usize,
}

impl Entries {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Pairs of key and value; the value of a per-CPU map holds all CPUs, see [`Map::cpu_values`].
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        (0..self.count).filter_map(|i| {
            let key = self.keys.get(i * self.key_size..(i + 1) * self.key_size)?;
            let value = self.values.get(i * self.stride..(i + 1) * self.stride)?;
            Some((key, value))
        })
    }

    fn reserve(&mut self, count: usize) {
        self.keys.resize((self.count + count) * self.key_size, 0);
        self.values.resize((self.count + count) * self.stride, 0);
    }

    fn commit(&mut self, count: usize) {
        self.count += count;
        self.keys.truncate(self.count * self.key_size);
        self.values.truncate(self.count * self.stride);
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        self.count += 1;
    }
}

/// What the kernel says about a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapInfo {
    /// Id, unique while it exists.
    pub id: u32,
    /// Kind.
    pub kind: MapKind,
    /// Name.
    pub name: String,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value of one CPU.
    pub value_size: u32,
    /// Most elements.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// BTF of its types; 0 for none.
    pub btf_id: u32,
}

impl Map {
    /// Creates a map. bpf(2) `BPF_MAP_CREATE`.
    pub fn create(spec: &MapSpec<'_>) -> Result<Map> {
        let mut a = attr::MapCreate {
            map_type: spec.kind.0,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            map_flags: spec.flags,
            inner_map_fd: spec.inner.map_or(0, fd_u32),
            map_name: obj_name(spec.name),
            map_extra: spec.extra,
            ..Default::default()
        };
        if let Some(t) = &spec.types {
            a.btf_fd = fd_u32(t.btf);
            a.btf_key_type_id = t.key_type_id;
            a.btf_value_type_id = t.value_type_id;
        }
        // SAFETY: this command's attribute has no pointers, and it returns a descriptor.
        let fd = unsafe { bpf_fd(Cmd::MapCreate, &mut a) }
            .map_err(|e| Error::new("create map", describe(spec.name, spec.kind), e))?;
        Ok(Map {
            fd,
            name: spec.name.to_string(),
            kind: spec.kind,
            key_size: spec.key_size as usize,
            value_size: spec.value_size as usize,
            max_entries: spec.max_entries,
            flags: spec.flags,
        })
    }

    /// Takes over a descriptor of a map that exists already.
    pub fn from_fd(fd: OwnedFd) -> Result<Map> {
        let info = info_of(fd.as_fd())?;
        Ok(Map {
            fd,
            name: info.name,
            kind: info.kind,
            key_size: info.key_size as usize,
            value_size: info.value_size as usize,
            max_entries: info.max_entries,
            flags: info.flags,
        })
    }

    /// Opens a map by its id. Needs CAP_SYS_ADMIN.
    pub fn by_id(id: u32) -> Result<Map> {
        Map::from_fd(crate::sys::objects::fd_by_id(Cmd::MapGetFdById, "open map", id)?)
    }

    /// Opens a map that was pinned in a bpf file system.
    pub fn open_pinned(path: &Path) -> Result<Map> {
        Map::from_fd(crate::sys::objects::open_pinned("open pinned map", path)?)
    }

    /// Pins the map at a path of a bpf file system.
    pub fn pin(&self, path: &Path) -> Result<()> {
        crate::sys::objects::pin("pin map", self.fd.as_fd(), path)
    }

    /// Name it was created with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kind.
    pub fn kind(&self) -> MapKind {
        self.kind
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes of a value of one CPU.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// Most elements.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// Bytes that an element's value has in user space: for a per-CPU map 8-aligned, times the possible CPUs.
    pub fn stride(&self) -> usize {
        if self.kind.is_percpu() {
            round8(self.value_size) * cpu::possible_count()
        } else {
            self.value_size
        }
    }

    /// Splits a value as this map returns it into the values of the CPUs (one for a map that isn't per CPU).
    pub fn cpu_values<'v>(&self, value: &'v [u8]) -> impl Iterator<Item = &'v [u8]> + 'v {
        let size = self.value_size;
        let step = if self.kind.is_percpu() { round8(size) } else { size };
        value.chunks(step.max(1)).map(move |c| c.get(..size).unwrap_or(c))
    }

    /// What the kernel says about it.
    pub fn info(&self) -> Result<MapInfo> {
        info_of(self.fd.as_fd())
    }

    fn object(&self) -> String {
        describe(&self.name, self.kind)
    }

    fn check(&self, op: &'static str, what: &str, have: usize, want: usize) -> Result<()> {
        if have == want {
            return Ok(());
        }
        Err(Error::other(op, self.object(), format!("{what} has {have} bytes, the map's has {want}")))
    }

    /// The value of a key into `out` of [`Map::stride`] bytes. False when there is none.
    pub fn lookup_into(&self, key: &[u8], out: &mut [u8]) -> Result<bool> {
        self.elem_out(Cmd::MapLookupElem, "look up in map", key, out)
    }

    /// The value of a key; `None` when there is none.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut out = vec![0; self.stride()];
        Ok(self.lookup_into(key, &mut out)?.then_some(out))
    }

    /// Takes an element out (hashes since 5.14; queues and stacks with an empty key).
    pub fn take(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut out = vec![0; self.stride()];
        Ok(self.elem_out(Cmd::MapLookupAndDeleteElem, "take from map", key, &mut out)?.then_some(out))
    }

    fn elem_out(&self, cmd: Cmd, op: &'static str, key: &[u8], out: &mut [u8]) -> Result<bool> {
        self.check(op, "the key", key.len(), self.key_size)?;
        self.check(op, "the buffer", out.len(), self.stride())?;
        let mut a = attr::MapElem {
            map_fd: fd_u32(self.fd.as_fd()),
            key: ptr_of(key),
            value: mut_ptr_of(out),
            ..Default::default()
        };
        // SAFETY: key and value have exactly the sizes that the kernel reads and writes for this map, checked above.
        match unsafe { bpf(cmd, &mut a) } {
            Ok(_) => Ok(true),
            Err(libc::ENOENT) => Ok(false),
            Err(e) => Err(Error::new(op, self.object(), e)),
        }
    }

    /// Sets the value of a key. `value` has [`Map::stride`] bytes.
    pub fn update(&self, key: &[u8], value: &[u8], when: Update) -> Result<()> {
        const OP: &str = "update map";
        self.check(OP, "the key", key.len(), self.key_size)?;
        self.check(OP, "the value", value.len(), self.stride())?;
        let mut a = attr::MapElem {
            map_fd: fd_u32(self.fd.as_fd()),
            key: ptr_of(key),
            value: ptr_of(value),
            flags: when as u64,
            ..Default::default()
        };
        // SAFETY: the kernel only reads key and value, whose sizes were checked above.
        let done = unsafe { bpf(Cmd::MapUpdateElem, &mut a) };
        done.map(drop).map_err(|e| {
            let error = Error::new(OP, self.object(), e);
            if e == libc::E2BIG {
                error.with_hint(format!("the map is full at {} entries; raise its limit", self.max_entries))
            } else {
                error
            }
        })
    }

    /// Sets an element of a map whose values are descriptors (maps of maps, program, perf event, cgroup arrays).
    pub fn update_fd(&self, key: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
        self.update(key, &fd_u32(fd).to_ne_bytes(), Update::Any)
    }

    /// Deletes a key. False when there was none.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        const OP: &str = "delete from map";
        self.check(OP, "the key", key.len(), self.key_size)?;
        let mut a = attr::MapElem { map_fd: fd_u32(self.fd.as_fd()), key: ptr_of(key), ..Default::default() };
        // SAFETY: the kernel only reads the key, whose size was checked above.
        match unsafe { bpf(Cmd::MapDeleteElem, &mut a) } {
            Ok(_) => Ok(true),
            Err(libc::ENOENT) => Ok(false),
            Err(e) => Err(Error::new(OP, self.object(), e)),
        }
    }

    /// The key behind `key` (or the first for `None`) into `next`. False at the end.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        const OP: &str = "walk map";
        if let Some(k) = key {
            self.check(OP, "the key", k.len(), self.key_size)?;
        }
        self.check(OP, "the buffer", next.len(), self.key_size)?;
        let mut a = attr::MapElem {
            map_fd: fd_u32(self.fd.as_fd()),
            key: key.map_or(0, ptr_of),
            value: mut_ptr_of(next),
            ..Default::default()
        };
        // SAFETY: both keys have the map's key size, checked above.
        match unsafe { bpf(Cmd::MapGetNextKey, &mut a) } {
            Ok(_) => Ok(true),
            Err(libc::ENOENT) => Ok(false),
            Err(e) => Err(Error::new(OP, self.object(), e)),
        }
    }

    /// All elements, by batches where the kernel has them (5.6), else one by one.
    pub fn entries(&self) -> Result<Entries> {
        let mut out = self.empty_entries();
        if !self.batch(Cmd::MapLookupBatch, &mut out)? {
            self.walk(&mut out)?;
        }
        Ok(out)
    }

    /// All elements, deleted as they are read: an update of a program in between is neither lost nor seen twice where
    /// the kernel has batches for this kind (hashes, 5.6); else read and then deleted one by one.
    pub fn drain(&self) -> Result<Entries> {
        let mut out = self.empty_entries();
        if self.batch(Cmd::MapLookupAndDeleteBatch, &mut out)? {
            return Ok(out);
        }
        self.walk(&mut out)?;
        for (key, _) in out.iter() {
            self.delete(key)?;
        }
        Ok(out)
    }

    /// Removes every element of a hash. Arrays have no absent elements; see [`Map::zero`].
    pub fn clear(&self) -> Result<()> {
        if self.kind.is_percpu() || !self.kind.is_hash() {
            return self.drain().map(drop);
        }
        let mut keys = self.keys()?;
        let count = keys.len() / self.key_size.max(1);
        let mut a = attr::MapBatch {
            keys: mut_ptr_of(&mut keys),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            map_fd: fd_u32(self.fd.as_fd()),
            ..Default::default()
        };
        // SAFETY: `keys` holds `count` keys of the map's key size; the command reads them and writes `count` only.
        if count == 0 || unsafe { bpf(Cmd::MapDeleteBatch, &mut a) }.is_ok() {
            return Ok(());
        }
        // A key that a program deleted meanwhile ends the batch early, as does a kernel without batches.
        for key in keys.chunks(self.key_size.max(1)) {
            self.delete(key)?;
        }
        Ok(())
    }

    /// Sets every element to zeros. An element that a program deletes meanwhile stays deleted.
    pub fn zero(&self) -> Result<()> {
        let zeros = vec![0; self.stride()];
        for key in self.keys()?.chunks(self.key_size.max(1)) {
            match self.update(key, &zeros, Update::Exist) {
                Err(e) if e.errno == libc::ENOENT => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// All keys, packed.
    pub fn keys(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut key = vec![0; self.key_size];
        let mut next = vec![0; self.key_size];
        let mut have = false;
        let mut left = u64::from(self.max_entries).saturating_mul(2);
        while left > 0 && self.next_key(have.then_some(key.as_slice()), &mut next)? {
            out.extend_from_slice(&next);
            std::mem::swap(&mut key, &mut next);
            have = true;
            // A key that is deleted while walking starts the walk again; the bound ends what never would.
            left -= 1;
        }
        Ok(out)
    }

    fn empty_entries(&self) -> Entries {
        Entries { key_size: self.key_size, stride: self.stride(), ..Default::default() }
    }

    fn walk(&self, out: &mut Entries) -> Result<()> {
        let mut value = vec![0; self.stride()];
        for key in self.keys()?.chunks(self.key_size.max(1)) {
            if self.lookup_into(key, &mut value)? {
                out.push(key, &value);
            }
        }
        Ok(())
    }

    /// Reads by batches into `out`. False when the kernel has no batches for this map.
    fn batch(&self, cmd: Cmd, out: &mut Entries) -> Result<bool> {
        const MOST: usize = 1 << 20;
        let mut cursor = vec![0u8; self.key_size.max(8)];
        let mut next = cursor.clone();
        let mut first = true;
        let mut chunk = (self.max_entries as usize).clamp(1, 4096);
        loop {
            let start = out.count;
            out.reserve(chunk);
            let keys_at = start * self.key_size;
            let values_at = start * out.stride;
            let mut a = attr::MapBatch {
                in_batch: if first { 0 } else { ptr_of(&cursor) },
                out_batch: mut_ptr_of(&mut next),
                keys: out.keys.get_mut(keys_at..).map_or(0, mut_ptr_of),
                values: out.values.get_mut(values_at..).map_or(0, mut_ptr_of),
                count: u32::try_from(chunk).unwrap_or(u32::MAX),
                map_fd: fd_u32(self.fd.as_fd()),
                ..Default::default()
            };
            // SAFETY: `reserve` made room for `chunk` keys and values behind the pointers; the cursors hold at least
            // a key and at least the 4 bytes of a hash's bucket number.
            let done = unsafe { bpf(cmd, &mut a) };
            let got = (a.count as usize).min(chunk);
            match done {
                Ok(_) => out.commit(got),
                Err(libc::ENOENT) => {
                    out.commit(got);
                    return Ok(true);
                }
                Err(libc::ENOSPC) if chunk < MOST => {
                    // One bucket has more elements than the chunk: nothing was read, ask for more.
                    out.commit(0);
                    chunk *= 4;
                    continue;
                }
                Err(e) => {
                    out.commit(0);
                    let unsupported = matches!(e, libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP);
                    if first && unsupported {
                        return Ok(false);
                    }
                    return Err(Error::new("read map", self.object(), e));
                }
            }
            std::mem::swap(&mut cursor, &mut next);
            first = false;
        }
    }

    /// Whether the kernel reads this map by batches.
    pub fn has_batches(&self) -> Result<bool> {
        self.batch(Cmd::MapLookupBatch, &mut self.empty_entries())
    }

    /// Forbids all further writes from user space (for constants; the verifier then knows the values).
    pub fn freeze(&self) -> Result<()> {
        let mut a = attr::MapElem { map_fd: fd_u32(self.fd.as_fd()), ..Default::default() };
        // SAFETY: no pointers are used by this command.
        unsafe { bpf(Cmd::MapFreeze, &mut a) }
            .map(drop)
            .map_err(|e| Error::new("freeze map", self.object(), e))
    }

    /// Maps the values of an array made with `BPF_F_MMAPABLE` into memory: reads and writes without a system call.
    pub fn memory(&self, writable: bool) -> Result<MapMemory> {
        const OP: &str = "mmap map";
        let stride = round8(self.value_size);
        if self.flags & map_flags::BPF_F_MMAPABLE == 0 || self.kind != MapKind::ARRAY {
            return Err(Error::other(OP, self.object(), "it is no array made with BPF_F_MMAPABLE"));
        }
        let page = page_size();
        let len = stride
            .checked_mul(self.max_entries as usize)
            .and_then(|n| n.checked_next_multiple_of(page))
            .ok_or_else(|| Error::other(OP, self.object(), "it is too large"))?;
        let map =
            Mmap::map(self.fd.as_fd(), len, 0, writable).map_err(|e| Error::new(OP, self.object(), e))?;
        Ok(MapMemory { map, stride })
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The values of an array in shared memory. Programs change them at any time, so there are no references into it.
#[derive(Debug)]
pub struct MapMemory {
    map: Mmap,
    stride: usize,
}

impl MapMemory {
    /// Bytes from one element to the next (the value size rounded up to 8).
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The u64 at an 8-aligned byte offset (element index times [`MapMemory::stride`] plus field offset).
    pub fn load_u64(&self, offset: usize) -> Option<u64> {
        self.map.load_u64(offset, Ordering::Acquire)
    }

    /// Stores a u64 at an 8-aligned byte offset; false out of bounds or read-only.
    pub fn store_u64(&self, offset: usize, value: u64) -> bool {
        self.map.store_u64(offset, value, Ordering::Release)
    }

    /// Replaces a u64 at an 8-aligned byte offset and returns the old value: reads and clears a counter exactly.
    pub fn swap_u64(&self, offset: usize, value: u64) -> Option<u64> {
        self.map.swap_u64(offset, value)
    }

    /// Copies bytes out; false out of bounds.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        self.map.copy_out(offset, out)
    }

    /// Copies bytes in; false out of bounds or read-only.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        self.map.copy_in(offset, bytes)
    }
}

/// Ids of all maps of the system. Needs CAP_SYS_ADMIN.
pub fn ids() -> Result<Vec<u32>> {
    crate::sys::objects::ids(Cmd::MapGetNextId, "list maps")
}

fn info_of(fd: BorrowedFd<'_>) -> Result<MapInfo> {
    let mut raw = attr::MapInfo::default();
    crate::sys::objects::info(fd, &mut raw, "inspect map")?;
    Ok(MapInfo {
        id: raw.id,
        kind: MapKind(raw.map_type),
        name: text_of(&raw.name),
        key_size: raw.key_size,
        value_size: raw.value_size,
        max_entries: raw.max_entries,
        flags: raw.map_flags,
        btf_id: raw.btf_id,
    })
}

fn describe(name: &str, kind: MapKind) -> String {
    format!("`{name}` ({kind})")
}

fn round8(n: usize) -> usize {
    n.div_ceil(8) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_packed_pairs() {
        let mut e = Entries { key_size: 2, stride: 3, ..Default::default() };
        e.push(&[1, 2], &[3, 4, 5]);
        e.reserve(4);
        e.commit(1);
        assert_eq!(e.len(), 2);
        let all: Vec<_> = e.iter().collect();
        assert_eq!(all, vec![(&[1u8, 2][..], &[3u8, 4, 5][..]), (&[0, 0][..], &[0, 0, 0][..])]);
    }
}
