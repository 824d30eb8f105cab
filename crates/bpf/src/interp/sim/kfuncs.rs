//! Kernel functions: number iterators, text search, session data, and those that only mark a section.

use super::errno::{fail, E2BIG, EFAULT, EINVAL, ENOENT, ERANGE};
use super::probe::Half;
use super::{Call, SimHost};
use crate::interp::Fault;
use crate::isa::Size;
use crate::kinds::helper_flags::BPF_MAX_LOOPS;
use std::collections::BTreeMap;

/// Ids of the host's own numbering begin here.
const FIRST_ID: i32 = 1_000_000;
/// Bytes that the text functions look at (`XATTR_SIZE_MAX`).
const MAX_TEXT: u64 = 65536;

const KFUNCS: &[(&str, Call)] = &[
    ("bpf_iter_num_new", |h, _, a| h.iter_num_new(a[0], a[1] as i32, a[2] as i32)),
    ("bpf_iter_num_next", |h, _, a| h.iter_num_next(a[0])),
    ("bpf_iter_num_destroy", |h, _, a| {
        h.put(a[0], Size::DW, 0)?;
        Ok(0)
    }),
    ("bpf_rcu_read_lock", |_, _, _| Ok(0)),
    ("bpf_rcu_read_unlock", |_, _, _| Ok(0)),
    ("bpf_preempt_disable", |_, _, _| Ok(0)),
    ("bpf_preempt_enable", |_, _, _| Ok(0)),
    ("bpf_rdonly_cast", |_, _, a| Ok(a[0])),
    ("bpf_cast_to_kern_ctx", |_, _, a| Ok(a[0])),
    ("bpf_session_is_return", |h, _, _| Ok(h.session_is_return.into())),
    ("bpf_session_cookie", |h, _, _| Ok(h.session_cookie)),
    ("bpf_strcmp", |h, _, a| h.compare(a[0], a[1], false)),
    ("bpf_strcasecmp", |h, _, a| h.compare(a[0], a[1], true)),
    ("bpf_strlen", |h, _, a| h.search(a[0], MAX_TEXT, |text| Some(text.len()))),
    ("bpf_strnlen", |h, _, a| h.strnlen(a[0], a[1])),
    ("bpf_strchr", |h, _, a| h.search(a[0], MAX_TEXT, |text| find(text, a[1] as u8))),
    ("bpf_strnchr", |h, _, a| h.strnchr(a[0], a[1], a[2] as u8)),
    ("bpf_strchrnul", |h, _, a| h.search(a[0], MAX_TEXT, |text| find(text, a[1] as u8).or(Some(text.len())))),
    ("bpf_strrchr", |h, _, a| h.search(a[0], MAX_TEXT, |text| find_last(text, a[1] as u8))),
    ("bpf_strspn", |h, _, a| h.span(a[0], a[1], true)),
    ("bpf_strcspn", |h, _, a| h.span(a[0], a[1], false)),
    ("bpf_strstr", |h, _, a| h.substring(a[0], a[1], MAX_TEXT)),
    ("bpf_strnstr", |h, _, a| h.substring(a[0], a[1], a[2])),
];

/// All kernel functions by their ids in this host.
pub(super) fn defaults() -> BTreeMap<i32, Call> {
    (FIRST_ID..).zip(KFUNCS).map(|(id, row)| (id, row.1)).collect()
}

pub(super) fn id_of(name: &str) -> Option<i32> {
    (FIRST_ID..).zip(KFUNCS).find(|(_, row)| row.0 == name).map(|(id, _)| id)
}

pub(super) fn call_of(name: &str) -> Option<Call> {
    KFUNCS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Position of a byte; the zero is the one behind the text.
fn find(text: &[u8], byte: u8) -> Option<usize> {
    if byte == 0 {
        return Some(text.len());
    }
    text.iter().position(|b| *b == byte)
}

fn find_last(text: &[u8], byte: u8) -> Option<usize> {
    if byte == 0 {
        return Some(text.len());
    }
    text.iter().rposition(|b| *b == byte)
}

impl SimHost {
    /// `struct bpf_iter_num` holds the number before the next one and the end, 4 bytes each.
    fn iter_num_new(&mut self, place: u64, start: i32, end: i32) -> Result<u64, Fault> {
        self.put(place, Size::DW, 0)?;
        let count = i64::from(end) - i64::from(start);
        if count < 0 {
            return Ok(fail(EINVAL));
        }
        if count.unsigned_abs() > BPF_MAX_LOOPS {
            return Ok(fail(E2BIG));
        }
        self.put(place, Size::W, u64::from(start.wrapping_sub(1) as u32))?;
        self.put(place.wrapping_add(4), Size::W, u64::from(end as u32))?;
        Ok(0)
    }

    /// Address of the next number, within the iterator, or null.
    fn iter_num_next(&mut self, place: u64) -> Result<u64, Fault> {
        let current = self.memory.load_uint(place, Size::W)? as u32 as i32;
        let end = self.memory.load_uint(place.wrapping_add(4), Size::W)? as u32 as i32;
        // The first number may be the least one, whose predecessor has wrapped around.
        let next = current.wrapping_add(1);
        if next >= end {
            self.put(place, Size::DW, 0)?;
            return Ok(0);
        }
        self.put(place, Size::W, u64::from(next as u32))?;
        Ok(place)
    }

    /// The session cookie, as the program has left it.
    pub fn session_cookie(&self) -> u64 {
        self.memory.load_uint(self.session_cookie, Size::DW).unwrap_or(0)
    }

    /// Sets the session cookie that the next run finds.
    pub fn set_session_cookie(&mut self, cookie: u64) {
        if let Some(bytes) = self.memory.region_mut(self.session_cookie) {
            bytes.copy_from_slice(&cookie.to_le_bytes());
        }
    }

    /// Kernel text whose zero comes within the limit, or the error number.
    fn whole_text(&self, addr: u64, limit: u64) -> Result<Vec<u8>, i64> {
        if Half::of(addr) == Half::User {
            return Err(ERANGE);
        }
        match self.peek_text(Half::Kernel, addr, limit) {
            Ok((text, true)) => Ok(text),
            Ok((_, false)) => Err(E2BIG),
            Err(ERANGE) => Err(ERANGE),
            Err(_) => Err(EFAULT),
        }
    }

    fn search(&self, addr: u64, limit: u64, position: impl Fn(&[u8]) -> Option<usize>) -> Result<u64, Fault> {
        let found = self.whole_text(addr, limit).and_then(|text| position(&text).ok_or(ENOENT));
        Ok(found.map_or_else(fail, |at| u64::try_from(at).unwrap_or(u64::MAX)))
    }

    fn strnlen(&self, addr: u64, count: u64) -> Result<u64, Fault> {
        if count >= MAX_TEXT {
            return self.search(addr, MAX_TEXT, |text| Some(text.len()));
        }
        let text = self.peek_text(Half::Kernel, addr, count);
        Ok(text.map_or_else(fail, |(text, _)| u64::try_from(text.len()).unwrap_or(u64::MAX)))
    }

    fn strnchr(&self, addr: u64, count: u64, byte: u8) -> Result<u64, Fault> {
        let limit = count.min(MAX_TEXT);
        Ok(match self.peek_text(Half::Kernel, addr, limit) {
            Ok((text, complete)) => match find(&text, byte) {
                Some(at) if complete || byte != 0 => u64::try_from(at).unwrap_or(u64::MAX),
                _ if complete || count <= MAX_TEXT => fail(ENOENT),
                _ => fail(E2BIG),
            },
            Err(errno) => fail(errno),
        })
    }

    fn compare(&self, left: u64, right: u64, fold_case: bool) -> Result<u64, Fault> {
        let texts = self.whole_text(left, MAX_TEXT).and_then(|l| Ok((l, self.whole_text(right, MAX_TEXT)?)));
        let (mut left, mut right) = match texts {
            Ok(texts) => texts,
            Err(errno) => return Ok(fail(errno)),
        };
        if fold_case {
            left.make_ascii_lowercase();
            right.make_ascii_lowercase();
        }
        Ok(left.cmp(&right) as i64 as u64)
    }

    /// How many bytes at the start are (or are not) among those of another text.
    fn span(&self, text: u64, set: u64, among: bool) -> Result<u64, Fault> {
        let set = match self.whole_text(set, MAX_TEXT) {
            Ok(set) => set,
            Err(errno) => return Ok(fail(errno)),
        };
        self.search(text, MAX_TEXT, |text| {
            Some(text.iter().take_while(|byte| set.contains(byte) == among).count())
        })
    }

    /// Where a text occurs that begins within the first `limit` bytes and ends there.
    fn substring(&self, text: u64, wanted: u64, limit: u64) -> Result<u64, Fault> {
        let wanted = match self.whole_text(wanted, MAX_TEXT) {
            Ok(wanted) => wanted,
            Err(errno) => return Ok(fail(errno)),
        };
        if wanted.is_empty() {
            return Ok(0);
        }
        let (text, complete) = match self.peek_text(Half::Kernel, text, limit.min(MAX_TEXT)) {
            Ok(read) => read,
            Err(errno) => return Ok(fail(errno)),
        };
        let found = text.windows(wanted.len()).position(|window| window == wanted);
        Ok(match found {
            Some(at) => u64::try_from(at).unwrap_or(u64::MAX),
            None if complete || limit <= MAX_TEXT => fail(ENOENT),
            None => fail(E2BIG),
        })
    }
}
