//! What processes do while tracing: mappings, names, forks and ends, from perf's side-band records.
//!
//! A dummy event per CPU carries them (no samples, about 5 % of the cost of an exec). With them, the user stacks of
//! processes that have ended can still be named. Build ids come from the kernel where it has them (5.12).

use std::os::fd::BorrowedFd;

use crate::error::Result;
use crate::perf::{EventSpec, PerfEvent, Scope, Software};
use crate::perf_ring::{lost_count, PerfRing, RawRecord};
use crate::sys::attr::{perf_flag, perf_sample};

const RECORD_LOST: u32 = 2;
const RECORD_COMM: u32 = 3;
const RECORD_EXIT: u32 = 4;
const RECORD_FORK: u32 = 7;
const RECORD_MMAP2: u32 = 10;
/// `PERF_RECORD_MISC_COMM_EXEC`: the name changed by exec.
const MISC_COMM_EXEC: u16 = 1 << 13;
/// `PERF_RECORD_MISC_MMAP_BUILD_ID`: a build id is in the place of device and inode.
const MISC_BUILD_ID: u16 = 1 << 14;
/// The trailer of every record: pid, tid, time, cpu, reserved.
const TRAILER_BYTES: usize = 24;

/// Something a process did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// An executable mapping was made.
    Mapped {
        /// Start address.
        address: u64,
        /// Bytes.
        len: u64,
        /// Offset in the file.
        file_offset: u64,
        /// Build id of the file, where the kernel knows it.
        build_id: Option<&'a [u8]>,
        /// Path as the process sees it; in brackets or with `//anon` for no file.
        path: &'a [u8],
    },
    /// The name changed.
    Named {
        /// By exec: all mappings before it are gone.
        exec: bool,
        /// The name, at most 15 bytes.
        comm: &'a [u8],
    },
    /// A process or thread was made.
    Forked {
        /// The process that made it.
        parent_pid: u32,
        /// The thread that made it.
        parent_tid: u32,
    },
    /// A thread ended; when `pid == tid`, the first thread of a process.
    Ended,
    /// Records were lost: mappings may be missing.
    Lost {
        /// How many.
        count: u64,
    },
}

/// A record: who did it, when, what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskEvent<'a> {
    /// Process; for [`What::Forked`] the new one.
    pub pid: u32,
    /// Thread; for [`What::Forked`] the new one.
    pub tid: u32,
    /// CLOCK_MONOTONIC ns, as `ktime_get_ns`.
    pub time_ns: u64,
    /// What.
    pub what: What<'a>,
}

/// Reader of the records of all processes. Records of one CPU are in order; sort by time across CPUs.
#[derive(Debug)]
pub struct TaskEvents {
    rings: Vec<PerfRing>,
}

impl TaskEvents {
    /// Opens a dummy event with a ring of `pages` pages on each of the CPUs.
    pub fn open(cpus: &[u32], pages: usize) -> Result<TaskEvents> {
        let mut rings = Vec::with_capacity(cpus.len());
        for cpu in cpus {
            let event = match PerfEvent::open(&spec(pages, perf_flag::BUILD_ID), Scope::Cpu(*cpu)) {
                // A kernel that doesn't know the flag refuses the event.
                Err(e) if e.errno == libc::EINVAL => PerfEvent::open(&spec(pages, 0), Scope::Cpu(*cpu))?,
                other => other?,
            };
            rings.push(PerfRing::open(event, pages)?);
        }
        Ok(TaskEvents { rings })
    }

    /// Hands out all records that are there now; returns their number. Never waits.
    pub fn consume(&mut self, sink: &mut dyn FnMut(TaskEvent<'_>)) -> usize {
        let mut count = 0;
        for ring in &mut self.rings {
            ring.consume_raw(&mut |raw| {
                if let Some(event) = decode(raw) {
                    sink(event);
                    count += 1;
                }
            });
        }
        count
    }

    /// Calls `each` with every descriptor; each becomes readable when half of its ring is full.
    pub fn descriptors(&self, each: &mut dyn FnMut(BorrowedFd<'_>)) {
        use std::os::fd::AsFd;
        self.rings.iter().for_each(|r| each(r.event().as_fd()));
    }
}

fn spec(pages: usize, extra: u64) -> EventSpec {
    let mut spec = EventSpec::software(Software::Dummy);
    let attr = spec.attr_mut();
    attr.flags |= perf_flag::MMAP
        | perf_flag::MMAP2
        | perf_flag::COMM
        | perf_flag::COMM_EXEC
        | perf_flag::TASK
        | perf_flag::SAMPLE_ID_ALL
        | perf_flag::USE_CLOCKID
        | perf_flag::WATERMARK
        | extra;
    attr.sample_type = perf_sample::TID | perf_sample::TIME | perf_sample::CPU;
    attr.clockid = libc::CLOCK_MONOTONIC;
    let half = pages.saturating_mul(crate::sys::mmap::page_size()) / 2;
    attr.wakeup = u32::try_from(half).unwrap_or(u32::MAX);
    spec
}

fn decode(raw: RawRecord<'_>) -> Option<TaskEvent<'_>> {
    let split = raw.body.len().checked_sub(TRAILER_BYTES)?;
    let (body, trailer) = raw.body.split_at(split);
    let time_ns = u64_at(trailer, 8)?;
    let (pid, tid) = (u32_at(trailer, 0)?, u32_at(trailer, 4)?);
    let event = |pid, tid, what| Some(TaskEvent { pid, tid, time_ns, what });
    match raw.kind {
        RECORD_MMAP2 => {
            let build_id = if raw.misc & MISC_BUILD_ID != 0 {
                let len = usize::from(*body.get(32)?);
                Some(body.get(36..56)?.get(..len)?)
            } else {
                None
            };
            let what = What::Mapped {
                address: u64_at(body, 8)?,
                len: u64_at(body, 16)?,
                file_offset: u64_at(body, 24)?,
                build_id,
                path: text(body.get(64..)?),
            };
            event(u32_at(body, 0)?, u32_at(body, 4)?, what)
        }
        RECORD_COMM => {
            let what = What::Named { exec: raw.misc & MISC_COMM_EXEC != 0, comm: text(body.get(8..)?) };
            event(u32_at(body, 0)?, u32_at(body, 4)?, what)
        }
        RECORD_FORK => {
            let what = What::Forked { parent_pid: u32_at(body, 4)?, parent_tid: u32_at(body, 12)? };
            event(u32_at(body, 0)?, u32_at(body, 8)?, what)
        }
        RECORD_EXIT => event(u32_at(body, 0)?, u32_at(body, 8)?, What::Ended),
        RECORD_LOST => event(pid, tid, What::Lost { count: lost_count(body) }),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailer(time: u64) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(7u32.to_ne_bytes());
        out.extend(8u32.to_ne_bytes());
        out.extend(time.to_ne_bytes());
        out.extend([0; 8]);
        out
    }

    #[test]
    fn mappings_with_build_ids() {
        let mut body = Vec::new();
        body.extend(10u32.to_ne_bytes());
        body.extend(11u32.to_ne_bytes());
        [0x1000u64, 0x2000, 0x3000].iter().for_each(|v| body.extend(v.to_ne_bytes()));
        body.extend([20, 0, 0, 0]);
        body.extend([0xab; 20]);
        body.extend([0; 8]);
        body.extend(b"/bin/true\0\0\0\0\0\0\0");
        body.extend(trailer(99));
        let got = decode(RawRecord { kind: RECORD_MMAP2, misc: MISC_BUILD_ID, body: &body }).unwrap();
        assert_eq!((got.pid, got.tid, got.time_ns), (10, 11, 99));
        let What::Mapped { address, build_id, path, .. } = got.what else { panic!("{got:?}") };
        assert_eq!((address, build_id, path), (0x1000, Some(&[0xab; 20][..]), &b"/bin/true"[..]));
        for cut in 0..body.len() {
            decode(RawRecord { kind: RECORD_MMAP2, misc: MISC_BUILD_ID, body: &body[..cut] });
        }
    }

    #[test]
    fn forks_name_child_and_parent() {
        let mut body = Vec::new();
        [2u32, 1, 22, 11].iter().for_each(|v| body.extend(v.to_ne_bytes()));
        body.extend([0; 8]);
        body.extend(trailer(5));
        let got = decode(RawRecord { kind: RECORD_FORK, misc: 0, body: &body }).unwrap();
        assert_eq!((got.pid, got.tid), (2, 22));
        assert_eq!(got.what, What::Forked { parent_pid: 1, parent_tid: 11 });
        let got = decode(RawRecord { kind: RECORD_EXIT, misc: 0, body: &body }).unwrap();
        assert_eq!(got.what, What::Ended);
        assert_eq!(decode(RawRecord { kind: 999, misc: 0, body: &body }), None);
    }
}
