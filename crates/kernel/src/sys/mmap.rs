//! mmap(2) regions as guards.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::call::last_errno;

/// A shared mapping, unmapped on drop. The kernel (or a BPF program) may change the bytes at any time, so access goes
/// through atomic loads and copies; [`Mmap::as_slice`] is for memory that is known to be stable.
#[derive(Debug)]
pub struct Mmap {
    base: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: the mapping belongs to the process, not to a thread; writes go through `&self` atomics only.
unsafe impl Send for Mmap {}
// SAFETY: all shared access is by atomic operations or by reads of memory promised to be stable.
unsafe impl Sync for Mmap {}

/// Length of a page in bytes.
pub fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let n = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(n).ok().filter(|n| n.is_power_of_two()).unwrap_or(4096)
}

impl Mmap {
    /// Maps `len` bytes of `fd` from `offset`, shared. Returns the errno on failure.
    pub fn map(fd: BorrowedFd<'_>, len: usize, offset: u64, writable: bool) -> Result<Mmap, i32> {
        let prot = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        Mmap::map_with(fd, len, offset, prot, libc::MAP_SHARED, writable)
    }

    /// Maps `len` bytes of `fd` read-only and private (what `/sys/kernel/btf` demands since 6.16).
    pub fn map_private(fd: BorrowedFd<'_>, len: usize) -> Result<Mmap, i32> {
        Mmap::map_with(fd, len, 0, libc::PROT_READ, libc::MAP_PRIVATE, false)
    }

    fn map_with(
        fd: BorrowedFd<'_>,
        len: usize,
        offset: u64,
        prot: i32,
        flags: i32,
        writable: bool,
    ) -> Result<Mmap, i32> {
        let offset = libc::off_t::try_from(offset).map_err(|_| libc::EINVAL)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of ours.
        let p = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd.as_raw_fd(), offset) };
        if p == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let base = NonNull::new(p.cast::<u8>()).ok_or(libc::ENOMEM)?;
        Ok(Mmap { base, len, writable })
    }

    fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        if !offset.is_multiple_of(8) || offset.checked_add(8)? > self.len {
            return None;
        }
        // SAFETY: in bounds and aligned (the base is page-aligned); the region lives as long as `self`.
        Some(unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU64>() })
    }

    fn atomic_u32(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || offset.checked_add(4)? > self.len {
            return None;
        }
        // SAFETY: in bounds and aligned (the base is page-aligned); the region lives as long as `self`.
        Some(unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU32>() })
    }

    /// The u64 at an 8-aligned offset; `None` out of bounds.
    pub fn load_u64(&self, offset: usize, order: Ordering) -> Option<u64> {
        Some(self.atomic_u64(offset)?.load(order))
    }

    /// The u32 at a 4-aligned offset; `None` out of bounds.
    pub fn load_u32(&self, offset: usize, order: Ordering) -> Option<u32> {
        Some(self.atomic_u32(offset)?.load(order))
    }

    /// Stores a u64 at an 8-aligned offset. False out of bounds or when mapped read-only.
    pub fn store_u64(&self, offset: usize, value: u64, order: Ordering) -> bool {
        match self.atomic_u64(offset) {
            Some(cell) if self.writable => {
                cell.store(value, order);
                true
            }
            _ => false,
        }
    }

    /// Swaps a u64 at an 8-aligned offset and returns the old one; `None` out of bounds or when mapped read-only.
    pub fn swap_u64(&self, offset: usize, value: u64) -> Option<u64> {
        let cell = self.atomic_u64(offset)?;
        self.writable.then(|| cell.swap(value, Ordering::AcqRel))
    }

    /// Copies `out.len()` bytes from `offset`, byte by byte torn at worst between words. False out of bounds.
    pub fn copy_out(&self, offset: usize, out: &mut [u8]) -> bool {
        if offset.checked_add(out.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        let (mut at, mut rest) = (offset, out);
        while !rest.is_empty() {
            if at.is_multiple_of(8) && rest.len() >= 8 {
                let word = self.load_u64(at, Ordering::Relaxed).unwrap_or(0);
                let (head, tail) = rest.split_at_mut(8);
                head.copy_from_slice(&word.to_ne_bytes());
                (at, rest) = (at + 8, tail);
            } else {
                // SAFETY: `at` is in bounds as checked above; volatile because the kernel may write at the same time.
                let byte = unsafe { self.base.as_ptr().add(at).read_volatile() };
                let (head, tail) = rest.split_at_mut(1);
                head.fill(byte);
                (at, rest) = (at + 1, tail);
            }
        }
        true
    }

    /// Copies `bytes` to `offset`. False out of bounds or when mapped read-only.
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) -> bool {
        if !self.writable || offset.checked_add(bytes.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: in bounds as checked above; volatile because programs may read at the same time.
            unsafe { self.base.as_ptr().add(offset + i).write_volatile(*byte) };
        }
        true
    }

    /// The bytes from `offset`; `None` out of bounds.
    ///
    /// # Safety
    /// Nobody changes these bytes while the slice lives.
    pub unsafe fn stable(&self, offset: usize, len: usize) -> Option<&[u8]> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: in bounds, the region lives as long as `self`; the caller promises that the bytes are stable.
        Some(unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), len) })
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        // SAFETY: exactly the region that `map_with` got from mmap; no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
