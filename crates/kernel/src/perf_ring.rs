//! Perf buffers: the per-CPU rings of perf events, for kernels without ring buffers and for side-band records.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use fathom_bpf::kinds::MapKind;

use crate::error::{Error, Result};
use crate::map::Map;
use crate::perf::{EventSpec, PerfEvent, Sampling, Scope, Software};
use crate::ringbuf::RecordSource;
use crate::sys::attr::{perf_flag, perf_sample};
use crate::sys::mmap::{page_size, Mmap};

/// Offsets in `struct perf_event_mmap_page`.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
/// `PERF_RECORD_LOST`.
const RECORD_LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE`.
const RECORD_SAMPLE: u32 = 9;
/// Bytes of `struct perf_event_header`.
const HEADER_BYTES: usize = 8;

/// A record of a perf ring: `struct perf_event_header` split up, and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// `PERF_RECORD_*`.
    pub kind: u32,
    /// `PERF_RECORD_MISC_*`.
    pub misc: u16,
    /// The bytes behind the header.
    pub body: &'a [u8],
}

/// Bytes of a ring by their position, wherever they are kept.
trait RingBytes {
    /// Copies `out.len()` bytes from an offset below the size; false out of bounds.
    fn copy(&self, offset: usize, out: &mut [u8]) -> bool;
}

/// Copies the record at `tail` into `scratch` and returns its length; `None` when there is no whole record.
fn fetch(memory: &impl RingBytes, size: u64, tail: u64, head: u64, scratch: &mut Vec<u8>) -> Option<usize> {
    let copy = |from: u64, out: &mut [u8]| -> bool {
        let offset = (from & (size - 1)) as usize;
        let first = out.len().min((size as usize).saturating_sub(offset));
        let (a, b) = out.split_at_mut(first);
        memory.copy(offset, a) && memory.copy(0, b)
    };
    let available = head.checked_sub(tail)?;
    let mut header = [0u8; HEADER_BYTES];
    if available < HEADER_BYTES as u64 || !copy(tail, &mut header) {
        return None;
    }
    let len = u16::from_ne_bytes([header[6], header[7]]) as usize;
    if len < HEADER_BYTES || len as u64 > available || len as u64 > size {
        return None;
    }
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
    copy(tail, scratch.get_mut(..len)?).then_some(len)
}

/// Splits a fetched record.
fn split(bytes: &[u8]) -> Option<RawRecord<'_>> {
    let kind = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let misc = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    Some(RawRecord { kind, misc, body: bytes.get(HEADER_BYTES..)? })
}

struct Mapped<'a> {
    map: &'a Mmap,
    start: usize,
}

impl RingBytes for Mapped<'_> {
    fn copy(&self, offset: usize, out: &mut [u8]) -> bool {
        self.map.copy_out(self.start + offset, out)
    }
}

/// The ring of one perf event.
#[derive(Debug)]
pub struct PerfRing {
    map: Mmap,
    event: PerfEvent,
    page: usize,
    size: u64,
    scratch: Vec<u8>,
}

impl PerfRing {
    /// Maps a ring of `pages` data pages (rounded up to a power of two) for an event.
    pub fn open(event: PerfEvent, pages: usize) -> Result<PerfRing> {
        const OP: &str = "mmap perf buffer of";
        let page = page_size();
        let too_large = || Error::other(OP, event.object().to_string(), "the buffer is too large");
        let size = pages
            .max(1)
            .checked_next_power_of_two()
            .and_then(|p| p.checked_mul(page))
            .ok_or_else(too_large)?;
        let len = size.checked_add(page).ok_or_else(too_large)?;
        let map = Mmap::map(event.as_fd(), len, 0, true).map_err(|e| {
            let error = Error::new(OP, event.object().to_string(), e);
            if e == libc::EPERM {
                error.with_hint("use fewer pages or raise sysctl kernel.perf_event_mlock_kb")
            } else {
                error
            }
        })?;
        // 64 KiB is the longest record: its length field has 16 bits.
        Ok(PerfRing { map, event, page, size: size as u64, scratch: Vec::with_capacity(1 << 16) })
    }

    /// Hands out all records that are complete now.
    pub fn consume_raw(&mut self, sink: &mut dyn FnMut(RawRecord<'_>)) -> usize {
        self.consume_raw_while(&mut |record| {
            sink(record);
            true
        })
    }

    /// As [`PerfRing::consume_raw`], but stops behind the first record for which `sink` returns false.
    pub fn consume_raw_while(&mut self, sink: &mut dyn FnMut(RawRecord<'_>) -> bool) -> usize {
        let head = self.map.load_u64(DATA_HEAD, Ordering::Acquire).unwrap_or(0);
        let mut tail = self.map.load_u64(DATA_TAIL, Ordering::Relaxed).unwrap_or(0);
        let memory = Mapped { map: &self.map, start: self.page };
        let mut count = 0;
        let mut goes_on = true;
        while goes_on {
            let Some(len) = fetch(&memory, self.size, tail, head, &mut self.scratch) else { break };
            if let Some(record) = self.scratch.get(..len).and_then(split) {
                goes_on = sink(record);
                count += 1;
            }
            tail = tail.wrapping_add(len as u64);
        }
        self.map.store_u64(DATA_TAIL, tail, Ordering::Release);
        count
    }

    /// Bytes that wait.
    pub fn pending_bytes(&self) -> u64 {
        let head = self.map.load_u64(DATA_HEAD, Ordering::Acquire).unwrap_or(0);
        head.saturating_sub(self.map.load_u64(DATA_TAIL, Ordering::Relaxed).unwrap_or(0))
    }

    /// The event.
    pub fn event(&self) -> &PerfEvent {
        &self.event
    }
}

/// Reader of a `PERF_EVENT_ARRAY` map: a ring per CPU. Records of one CPU are in order, of different CPUs are not.
#[derive(Debug)]
pub struct PerfBuffers {
    rings: Vec<PerfRing>,
    lost: u64,
}

impl PerfBuffers {
    /// Opens a ring of `pages` pages on every given CPU and puts it into the map at the CPU's number. Readers are woken
    /// when half of a ring is full; drain on a timer as well.
    pub fn open(map: &Map, cpus: &[u32], pages: usize) -> Result<PerfBuffers> {
        if map.kind() != MapKind::PERF_EVENT_ARRAY {
            return Err(Error::other(
                "open perf buffers",
                format!("`{}`", map.name()),
                format!("it is a {}", map.kind()),
            ));
        }
        let mut rings = Vec::with_capacity(cpus.len());
        for cpu in cpus {
            let mut spec = EventSpec::software(Software::BpfOutput).sampling(Sampling::Period(1));
            let attr = spec.attr_mut();
            attr.sample_type = perf_sample::RAW;
            attr.flags |= perf_flag::WATERMARK;
            attr.wakeup = u32::try_from(pages.saturating_mul(page_size()) / 2).unwrap_or(u32::MAX);
            let ring = PerfRing::open(PerfEvent::open(&spec, Scope::Cpu(*cpu))?, pages)?;
            map.update_fd(&cpu.to_ne_bytes(), ring.event.as_fd())?;
            ring.event.enable()?;
            rings.push(ring);
        }
        Ok(PerfBuffers { rings, lost: 0 })
    }
}

impl RecordSource for PerfBuffers {
    fn consume_while(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> usize {
        let mut count = 0;
        let mut goes_on = true;
        let lost = &mut self.lost;
        for ring in &mut self.rings {
            if !goes_on {
                break;
            }
            ring.consume_raw_while(&mut |record| {
                match record.kind {
                    RECORD_SAMPLE => {
                        if let Some(bytes) = raw_sample(record.body) {
                            goes_on = sink(bytes);
                            count += 1;
                        }
                    }
                    RECORD_LOST => *lost += lost_count(record.body),
                    _ => {}
                }
                goes_on
            });
        }
        // The next call begins with the ring behind, so that none waits for ever.
        if let (false, 1..) = (goes_on, self.rings.len()) {
            self.rings.rotate_left(1);
        }
        count
    }

    fn lost(&self) -> u64 {
        self.lost
    }

    fn pending_bytes(&self) -> u64 {
        self.rings.iter().map(PerfRing::pending_bytes).sum()
    }

    fn descriptors(&self, each: &mut dyn FnMut(BorrowedFd<'_>)) {
        self.rings.iter().for_each(|r| each(r.event.as_fd()));
    }
}

/// The payload of a sample that has only `PERF_SAMPLE_RAW`: u32 size, then the bytes. The size counts the padding that
/// aligns the record to 8, so a payload comes with up to 7 bytes more than the program wrote.
fn raw_sample(body: &[u8]) -> Option<&[u8]> {
    let size = u32::from_ne_bytes(body.get(..4)?.try_into().ok()?) as usize;
    body.get(4..)?.get(..size)
}

/// The number in a `PERF_RECORD_LOST`: u64 id, u64 lost.
pub(crate) fn lost_count(body: &[u8]) -> u64 {
    body.get(8..16).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain(Vec<u8>);
    impl RingBytes for Plain {
        fn copy(&self, offset: usize, out: &mut [u8]) -> bool {
            match self.0.get(offset..offset + out.len()) {
                Some(bytes) => {
                    out.copy_from_slice(bytes);
                    true
                }
                None => false,
            }
        }
    }

    fn ring(at: usize, record: &[u8]) -> Plain {
        let mut bytes = vec![0; 64];
        for (i, b) in record.iter().enumerate() {
            bytes[(at + i) % 64] = *b;
        }
        Plain(bytes)
    }

    fn record(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut out = kind.to_ne_bytes().to_vec();
        out.extend(0u16.to_ne_bytes());
        out.extend((body.len() as u16 + 8).to_ne_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn records_wrap_and_are_whole() {
        let bytes = record(RECORD_SAMPLE, &[4, 0, 0, 0, 1, 2, 3, 4]);
        let mut scratch = Vec::new();
        let memory = ring(60, &bytes);
        let len = fetch(&memory, 64, 64 * 3 + 60, 64 * 3 + 76, &mut scratch).unwrap();
        let got = split(&scratch[..len]).unwrap();
        assert_eq!((got.kind, raw_sample(got.body)), (RECORD_SAMPLE, Some(&[1u8, 2, 3, 4][..])));
        assert_eq!(fetch(&memory, 64, 64 * 3 + 60, 64 * 3 + 70, &mut scratch), None);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut scratch = Vec::new();
        assert_eq!(fetch(&ring(0, &[0; 8]), 64, 0, 64, &mut scratch), None);
        assert_eq!(fetch(&ring(0, &[0xff; 64]), 64, 0, 64, &mut scratch), None);
        assert_eq!(fetch(&ring(0, &[]), 64, 9, 8, &mut scratch), None);
        assert_eq!(raw_sample(&[255, 255, 255, 255, 0]), None);
        assert_eq!(lost_count(&[0; 3]), 0);
    }
}
