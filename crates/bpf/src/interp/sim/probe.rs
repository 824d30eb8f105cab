//! Safe reads of memory that may not be there.

use super::errno::{fail, EFAULT, ERANGE};
use super::{Call, SimHost};
use crate::helpers::Helper;
use crate::interp::{Fault, KERNEL_START, USER_END};

pub(super) const HELPERS: &[(Helper, Call)] = &[
    (Helper::PROBE_READ_KERNEL, |h, _, a| h.probe_bytes(Half::Kernel, a)),
    (Helper::PROBE_READ_USER, |h, _, a| h.probe_bytes(Half::User, a)),
    (Helper::PROBE_READ, |h, _, a| h.probe_bytes(Half::of(a[2]), a)),
    (Helper::COPY_FROM_USER, |h, _, a| h.probe_bytes(Half::User, a)),
    (Helper::PROBE_READ_KERNEL_STR, |h, _, a| h.probe_text(Half::Kernel, a)),
    (Helper::PROBE_READ_USER_STR, |h, _, a| h.probe_text(Half::User, a)),
    (Helper::PROBE_READ_STR, |h, _, a| h.probe_text(Half::of(a[2]), a)),
];

/// Which half of the address space a helper reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Kernel,
    User,
}

impl Half {
    pub(super) fn of(addr: u64) -> Half {
        if addr < USER_END {
            Half::User
        } else {
            Half::Kernel
        }
    }

    /// The error of an address that this half cannot have (`copy_from_kernel_nofault_allowed` on x86).
    fn refuses(self, addr: u64, len: u64) -> Option<i64> {
        match self {
            Half::Kernel if addr < KERNEL_START => Some(ERANGE),
            Half::User if addr.checked_add(len).is_none_or(|end| end > USER_END) => Some(EFAULT),
            _ => None,
        }
    }
}

impl SimHost {
    /// Bytes at an address, or the error number.
    pub(super) fn peek(&self, half: Half, addr: u64, len: u64) -> Result<Vec<u8>, i64> {
        if let Some(errno) = half.refuses(addr, len) {
            return Err(errno);
        }
        let copied = match half {
            Half::Kernel => self.memory.copy_kernel(addr, len),
            Half::User => self.memory.copy_user(addr, len),
        };
        copied.ok_or(EFAULT)
    }

    /// Text of at most `limit` bytes and whether its zero was found, or the error number.
    pub(super) fn peek_text(&self, half: Half, addr: u64, limit: u64) -> Result<(Vec<u8>, bool), i64> {
        // Text may end before its limit, so only its first byte must be in the half.
        if let Some(errno) = half.refuses(addr, 1) {
            return Err(errno);
        }
        self.memory.text(addr, limit, half == Half::User).ok_or(EFAULT)
    }

    fn probe_bytes(&mut self, half: Half, [place, len, addr, ..]: [u64; 5]) -> Result<u64, Fault> {
        let len = u64::from(len as u32);
        let read = self.peek(half, addr, len);
        let buffer = self.memory.write(place, len)?;
        match read {
            Ok(bytes) => {
                buffer.copy_from_slice(&bytes);
                Ok(0)
            }
            Err(errno) => {
                buffer.fill(0);
                Ok(fail(errno))
            }
        }
    }

    /// The result counts the zero, which is always written.
    fn probe_text(&mut self, half: Half, [place, len, addr, ..]: [u64; 5]) -> Result<u64, Fault> {
        let len = u64::from(len as u32);
        if len == 0 {
            return Ok(0);
        }
        let read = self.peek_text(half, addr, len);
        let buffer = self.memory.write(place, len)?;
        match read {
            Ok((mut text, complete)) => {
                if !complete {
                    text.pop();
                }
                text.push(0);
                for (to, from) in buffer.iter_mut().zip(&text) {
                    *to = *from;
                }
                Ok(u64::try_from(text.len()).unwrap_or(len))
            }
            Err(errno) => {
                buffer.fill(0);
                Ok(fail(errno))
            }
        }
    }
}
