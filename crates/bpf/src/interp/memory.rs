//! The memory of interpreted programs: regions at 64-bit addresses; every access must lie within one.

use super::fault::Fault;
use crate::isa::Size;
use std::collections::BTreeMap;

/// What a region stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// The program's context.
    Ctx,
    /// A stack frame.
    Stack,
    /// A map value.
    MapValue,
    /// A ring-buffer record under construction.
    Record,
    /// Kernel memory that the host provides.
    Kernel,
    /// User memory that the host provides; programs reach it only through helpers.
    User,
}

/// One region.
#[derive(Clone, Debug)]
struct Region {
    bytes: Vec<u8>,
    space: Space,
    writable: bool,
}

/// First address above user space on x86-64 with four-level page tables.
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// First address of the kernel half.
pub const KERNEL_START: u64 = 0xffff_8000_0000_0000;
/// Where [`Memory::map`] begins to place regions.
const ALLOCATION_START: u64 = 0xffff_8880_0000_0000;
/// Unmapped bytes between regions, so that an overrun cannot hit the neighbour.
const GAP: u64 = 4096;

/// All regions.
#[derive(Clone, Debug)]
pub struct Memory {
    regions: BTreeMap<u64, Region>,
    next: u64,
    /// Direct loads from unmapped addresses give 0 instead of a fault, as loads through BTF-typed pointers do.
    pub lenient_loads: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

impl Memory {
    /// No regions.
    pub fn new() -> Memory {
        Memory { regions: BTreeMap::new(), next: ALLOCATION_START, lenient_loads: false }
    }

    /// Places bytes at a fresh address (16-byte aligned, never used again).
    pub fn map(&mut self, space: Space, bytes: Vec<u8>, writable: bool) -> u64 {
        let base = self.next;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.next = base.saturating_add(len).saturating_add(GAP) & !15;
        self.regions.insert(base, Region { bytes, space, writable });
        base
    }

    /// Places bytes at a given address.
    ///
    /// # Errors
    /// [`Fault::Overlap`] when another region has part of the range, or the range wraps around.
    pub fn map_at(&mut self, base: u64, space: Space, bytes: Vec<u8>, writable: bool) -> Result<(), Fault> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = base.checked_add(len.max(1)).ok_or(Fault::Overlap { addr: base, len })?;
        let before = self.regions.range(..end).next_back();
        if before.is_some_and(|(start, region)| start.saturating_add(region.len().max(1)) > base) {
            return Err(Fault::Overlap { addr: base, len });
        }
        self.regions.insert(base, Region { bytes, space, writable });
        Ok(())
    }

    /// Takes a region away and gives its bytes; `base` is its first address.
    pub fn unmap(&mut self, base: u64) -> Option<Vec<u8>> {
        self.regions.remove(&base).map(|region| region.bytes)
    }

    /// All bytes of the region that begins at `base`.
    pub fn region(&self, base: u64) -> Option<&[u8]> {
        self.regions.get(&base).map(|region| region.bytes.as_slice())
    }

    /// All bytes of the region that begins at `base`, also of a read-only one: for the host itself.
    pub fn region_mut(&mut self, base: u64) -> Option<&mut [u8]> {
        self.regions.get_mut(&base).map(|region| region.bytes.as_mut_slice())
    }

    /// Kind of the region that contains an address.
    pub fn space_of(&self, addr: u64) -> Option<Space> {
        let (base, region) = self.regions.range(..=addr).next_back()?;
        (addr - base < region.len()).then_some(region.space)
    }

    fn locate(&self, addr: u64, len: u64) -> Option<(u64, usize)> {
        let (base, region) = self.regions.range(..=addr).next_back()?;
        let start = addr - base;
        let end = start.checked_add(len)?;
        (region.space != Space::User && end <= region.len()).then_some(())?;
        Some((*base, usize::try_from(start).ok()?))
    }

    /// The bytes at an address that a program may read.
    ///
    /// # Errors
    /// [`Fault::Access`] when they do not lie within one region, or in user memory.
    pub fn read(&self, addr: u64, len: u64) -> Result<&[u8], Fault> {
        let fault = Fault::Access { addr, len, write: false };
        let (base, start) = self.locate(addr, len).ok_or(fault.clone())?;
        let bytes = &self.regions.get(&base).ok_or(fault.clone())?.bytes;
        let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).ok_or(fault.clone())?;
        bytes.get(start..end).ok_or(fault)
    }

    /// The bytes at an address that a program may write.
    ///
    /// # Errors
    /// [`Fault::Access`] as for reading, [`Fault::ReadOnly`].
    pub fn write(&mut self, addr: u64, len: u64) -> Result<&mut [u8], Fault> {
        let fault = Fault::Access { addr, len, write: true };
        let (base, start) = self.locate(addr, len).ok_or(fault.clone())?;
        let region = self.regions.get_mut(&base).ok_or(fault.clone())?;
        if !region.writable {
            return Err(Fault::ReadOnly { addr, len });
        }
        let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).ok_or(fault.clone())?;
        region.bytes.get_mut(start..end).ok_or(fault)
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// As [`Memory::write`].
    pub fn store(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.write(addr, len)?.copy_from_slice(bytes);
        Ok(())
    }

    /// A little-endian number, zero-extended.
    ///
    /// # Errors
    /// As [`Memory::read`], unless loads are lenient.
    pub fn load_uint(&self, addr: u64, size: Size) -> Result<u64, Fault> {
        let bytes = match self.read(addr, size.bytes().into()) {
            Ok(bytes) => bytes,
            Err(_) if self.lenient_loads => return Ok(0),
            Err(fault) => return Err(fault),
        };
        let mut all = [0; 8];
        for (to, from) in all.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(u64::from_le_bytes(all))
    }

    /// Writes the lower bytes of a number.
    ///
    /// # Errors
    /// As [`Memory::write`].
    pub fn store_uint(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        let place = self.write(addr, size.bytes().into())?;
        for (to, from) in place.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
        Ok(())
    }

    /// Copies user memory, also over adjacent regions; `None` when a byte is not mapped.
    pub fn copy_user(&self, addr: u64, len: u64) -> Option<Vec<u8>> {
        self.copy(addr, len, true)
    }

    /// Copies memory other than user memory, also over adjacent regions; `None` when a byte is not mapped.
    pub fn copy_kernel(&self, addr: u64, len: u64) -> Option<Vec<u8>> {
        self.copy(addr, len, false)
    }

    fn copy(&self, addr: u64, len: u64, user: bool) -> Option<Vec<u8>> {
        let mut copied = Vec::new();
        let end = addr.checked_add(len)?;
        let mut at = addr;
        while at < end {
            let piece = self.piece(at, user)?;
            let wanted = usize::try_from(end - at).ok()?.min(piece.len());
            copied.extend_from_slice(piece.get(..wanted)?);
            at = at.checked_add(u64::try_from(wanted).ok()?)?;
        }
        Some(copied)
    }

    /// Mapped bytes from an address to the end of its region, not empty.
    fn piece(&self, addr: u64, user: bool) -> Option<&[u8]> {
        let (base, region) = self.regions.range(..=addr).next_back()?;
        let start = usize::try_from(addr - base).ok()?;
        let piece = region.bytes.get(start..)?;
        ((region.space == Space::User) == user && !piece.is_empty()).then_some(piece)
    }

    /// The text at an address without its zero, at most `limit` bytes; the flag says whether the zero was found.
    /// `None` when an unmapped byte comes first.
    pub fn text(&self, addr: u64, limit: u64, user: bool) -> Option<(Vec<u8>, bool)> {
        let mut text = Vec::new();
        let mut at = addr;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        while text.len() < limit {
            let piece = self.piece(at, user)?;
            let piece = piece.get(..limit - text.len()).unwrap_or(piece);
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(piece.get(..end)?);
                return Some((text, true));
            }
            text.extend_from_slice(piece);
            at = at.checked_add(u64::try_from(piece.len()).ok()?)?;
        }
        Some((text, false))
    }
}

impl Region {
    fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_lie_within_a_region() {
        let mut memory = Memory::new();
        let a = memory.map(Space::MapValue, vec![1, 2, 3, 4], true);
        let b = memory.map(Space::Ctx, vec![9; 8], false);
        assert!(b >= a + 4 && b.is_multiple_of(16));
        assert_eq!(memory.load_uint(a, Size::W), Ok(0x0403_0201));
        assert_eq!(memory.load_uint(a + 2, Size::H), Ok(0x0403));
        assert!(matches!(memory.load_uint(a + 1, Size::W), Err(Fault::Access { write: false, .. })));
        assert!(matches!(memory.load_uint(a - 1, Size::B), Err(Fault::Access { .. })));
        assert!(matches!(memory.read(u64::MAX, 2), Err(Fault::Access { .. })));
        assert_eq!(memory.store_uint(a, Size::H, 0xffff_beef), Ok(()));
        assert_eq!(memory.region(a), Some(&[0xef, 0xbe, 3, 4][..]));
        assert!(matches!(memory.store_uint(b, Size::B, 0), Err(Fault::ReadOnly { .. })));
        assert_eq!(memory.unmap(a), Some(vec![0xef, 0xbe, 3, 4]));
        assert!(memory.read(a, 1).is_err());
        memory.lenient_loads = true;
        assert_eq!(memory.load_uint(a, Size::DW), Ok(0));
    }

    #[test]
    fn user_memory_is_apart_and_copies_cross_regions() {
        let mut memory = Memory::new();
        memory.map_at(0x1000, Space::User, b"hello".to_vec(), true).unwrap();
        memory.map_at(0x1005, Space::User, b" you\0x".to_vec(), true).unwrap();
        assert!(memory.map_at(0x1004, Space::User, vec![0; 4], true).is_err());
        assert!(memory.map_at(0x0fff, Space::User, vec![0; 2], true).is_err());
        assert!(memory.map_at(u64::MAX, Space::User, vec![0; 2], true).is_err());
        assert!(memory.read(0x1000, 1).is_err());
        assert_eq!(memory.copy_user(0x1002, 5), Some(b"llo y".to_vec()));
        assert_eq!(memory.copy_user(0x1002, 50), None);
        assert_eq!(memory.copy_kernel(0x1000, 1), None);
        assert_eq!(memory.text(0x1000, 64, true), Some((b"hello you".to_vec(), true)));
        assert_eq!(memory.text(0x1000, 7, true), Some((b"hello y".to_vec(), false)));
        assert_eq!(memory.text(0x100a, 64, true), None);
        assert_eq!(memory.space_of(0x1002), Some(Space::User));
        assert_eq!(memory.space_of(0x2002), None);
    }
}
