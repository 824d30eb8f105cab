//! Reader of the BPF ring buffer (5.8): records in order over all CPUs, no allocation, no copy.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use fathom_bpf::kinds::MapKind;

use crate::error::{Error, Result};
use crate::map::Map;
use crate::sys::mmap::{page_size, Mmap};

/// A stream of records that programs write: a ring buffer or, before 5.8, perf buffers.
pub trait RecordSource {
    /// Hands every record that is complete now to `sink` and frees its space. Returns the number of records. Never
    /// waits and never reads more than one ring's size, so that other work gets its turn.
    fn consume(&mut self, sink: &mut dyn FnMut(&[u8])) -> usize {
        self.consume_while(&mut |record| {
            sink(record);
            true
        })
    }

    /// As [`RecordSource::consume`], but stops behind the first record for which `sink` returns false.
    fn consume_while(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> usize;

    /// Records that the kernel threw away because a buffer was full, as far as it tells (ring buffers don't: there the
    /// program sees the failure and counts).
    fn lost(&self) -> u64;

    /// Bytes that wait to be read.
    fn pending_bytes(&self) -> u64;

    /// Calls `each` with every descriptor that becomes readable when there are records (and the writer wakes readers).
    fn descriptors(&self, each: &mut dyn FnMut(BorrowedFd<'_>));
}

/// Header bit: the writer has reserved the record but not submitted it.
const BUSY: u32 = 1 << 31;
/// Header bit: the writer discarded the record.
const DISCARD: u32 = 1 << 30;
/// Bytes of a record's header.
const HEADER_BYTES: u64 = 8;

/// The memory of a ring as the walk needs it: the data area, readable twice in a row so that no record wraps.
trait RingMemory {
    /// Header word at an offset below the size; acquire.
    fn header(&self, offset: usize) -> Option<u32>;
    /// `len` bytes of a submitted record at an offset below the size.
    fn record(&self, offset: usize, len: usize) -> Option<&[u8]>;
}

/// Where a walk stopped.
#[derive(Debug, PartialEq, Eq)]
struct Walk {
    /// New consumer position.
    consumer: u64,
    /// Records handed out.
    records: usize,
}

/// Hands out the records between two positions of a ring of `mask + 1` bytes; `freed` is called with each new consumer
/// position. Stops at a busy record, at anything that cannot be a record, and when `sink` returns false.
fn walk(
    memory: &impl RingMemory,
    mask: u64,
    mut consumer: u64,
    producer: u64,
    sink: &mut dyn FnMut(&[u8]) -> bool,
    mut freed: impl FnMut(u64),
) -> Walk {
    let mut records = 0;
    let mut goes_on = true;
    while goes_on && consumer < producer {
        let offset = (consumer & mask) as usize;
        let Some(header) = memory.header(offset) else { break };
        if header & BUSY != 0 {
            break;
        }
        let len = header & !(BUSY | DISCARD);
        let Some(next) = consumer.checked_add(record_bytes(len)) else { break };
        if next > producer {
            break;
        }
        if header & DISCARD == 0 {
            let Some(bytes) = memory.record(offset + HEADER_BYTES as usize, len as usize) else { break };
            goes_on = sink(bytes);
            records += 1;
        }
        consumer = next;
        freed(consumer);
    }
    Walk { consumer, records }
}

/// Bytes that a record of `len` bytes takes in the ring.
fn record_bytes(len: u32) -> u64 {
    (u64::from(len) + HEADER_BYTES).div_ceil(8) * 8
}

/// The mapped data area (after one page with the producer's position).
struct Data<'a> {
    map: &'a Mmap,
    start: usize,
}

impl RingMemory for Data<'_> {
    fn header(&self, offset: usize) -> Option<u32> {
        self.map.load_u32(self.start + offset, Ordering::Acquire)
    }
    fn record(&self, offset: usize, len: usize) -> Option<&[u8]> {
        // SAFETY: the header said (with acquire) that the record is submitted: nobody writes to it until the consumer
        // position passes it, which happens after `sink` returned. Bounds are checked; the area is mapped twice.
        unsafe { self.map.stable(self.start + offset, len) }
    }
}

/// A reader of one ring buffer map. There may be only one reader of a ring.
#[derive(Debug)]
pub struct RingBuf {
    /// Page with the consumer position, writable.
    consumer: Mmap,
    /// Page with the producer position, then the data twice; read-only.
    data: Mmap,
    mask: u64,
    page: usize,
    fd: std::os::fd::OwnedFd,
}

impl RingBuf {
    /// Maps the ring of a `RINGBUF` map.
    pub fn open(map: &Map) -> Result<RingBuf> {
        const OP: &str = "mmap ring buffer";
        let object = || format!("`{}`", map.name());
        if map.kind() != MapKind::RINGBUF {
            return Err(Error::other(OP, object(), format!("it is a {}", map.kind())));
        }
        let page = page_size();
        let size = map.max_entries() as usize;
        let len = size
            .checked_mul(2)
            .and_then(|n| n.checked_add(page))
            .filter(|_| size.is_power_of_two())
            .ok_or_else(|| Error::other(OP, object(), format!("its size {size} is no power of two")))?;
        let consumer = Mmap::map(map.as_fd(), page, 0, true).map_err(|e| Error::new(OP, object(), e))?;
        let data =
            Mmap::map(map.as_fd(), len, page as u64, false).map_err(|e| Error::new(OP, object(), e))?;
        let fd = map.as_fd().try_clone_to_owned().map_err(|e| Error::io(OP, object(), &e))?;
        Ok(RingBuf { consumer, data, mask: size as u64 - 1, page, fd })
    }

    /// Bytes of the ring.
    pub fn size(&self) -> u64 {
        self.mask + 1
    }

    /// Positions of consumer and producer: bytes since the start.
    pub fn positions(&self) -> (u64, u64) {
        let producer = self.data.load_u64(0, Ordering::Acquire).unwrap_or(0);
        let consumer = self.consumer.load_u64(0, Ordering::Relaxed).unwrap_or(0);
        (consumer, producer)
    }
}

impl RecordSource for RingBuf {
    fn consume_while(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> usize {
        let (consumer, producer) = self.positions();
        let memory = Data { map: &self.data, start: self.page };
        // Freeing space record by record bounces the cache line with the writers; a quarter of the ring is soon enough.
        let step = (self.mask + 1) / 4;
        let mut stored = consumer;
        let done = walk(&memory, self.mask, consumer, producer, sink, |position| {
            if position - stored >= step {
                self.consumer.store_u64(0, position, Ordering::Release);
                stored = position;
            }
        });
        if done.consumer != stored {
            self.consumer.store_u64(0, done.consumer, Ordering::Release);
        }
        done.records
    }

    fn lost(&self) -> u64 {
        0
    }

    fn pending_bytes(&self) -> u64 {
        let (consumer, producer) = self.positions();
        producer.saturating_sub(consumer)
    }

    fn descriptors(&self, each: &mut dyn FnMut(BorrowedFd<'_>)) {
        each(self.fd.as_fd());
    }
}

impl AsFd for RingBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring in plain memory, mirrored by hand.
    struct Plain {
        bytes: Vec<u8>,
        size: usize,
    }

    impl Plain {
        fn new(size: usize) -> Plain {
            Plain { bytes: vec![0; size * 2], size }
        }
        fn put(&mut self, at: u64, bytes: &[u8]) {
            for (i, b) in bytes.iter().enumerate() {
                let o = (at as usize + i) % self.size;
                self.bytes[o] = *b;
                self.bytes[o + self.size] = *b;
            }
        }
        /// Writes a record and returns the position behind it.
        fn write(&mut self, at: u64, bits: u32, payload: &[u8]) -> u64 {
            self.put(at, &(payload.len() as u32 | bits).to_ne_bytes());
            self.put(at + 8, payload);
            at + record_bytes(payload.len() as u32)
        }
    }

    impl RingMemory for Plain {
        fn header(&self, offset: usize) -> Option<u32> {
            Some(u32::from_ne_bytes(self.bytes.get(offset..offset + 4)?.try_into().ok()?))
        }
        fn record(&self, offset: usize, len: usize) -> Option<&[u8]> {
            self.bytes.get(offset..offset.checked_add(len)?)
        }
    }

    fn read(ring: &Plain, consumer: u64, producer: u64) -> (Walk, Vec<Vec<u8>>) {
        let mut got = Vec::new();
        let mut last = consumer;
        let mask = ring.size as u64 - 1;
        let done = walk(
            ring,
            mask,
            consumer,
            producer,
            &mut |b| {
                got.push(b.to_vec());
                true
            },
            |p| {
                assert!(p > last);
                last = p;
            },
        );
        assert_eq!(last, done.consumer);
        (done, got)
    }

    #[test]
    fn records_come_in_order_without_discarded_ones() {
        let mut ring = Plain::new(64);
        let a = ring.write(0, 0, b"one");
        let b = ring.write(a, DISCARD, b"gone");
        let c = ring.write(b, 0, b"");
        let (done, got) = read(&ring, 0, c);
        assert_eq!(got, vec![b"one".to_vec(), vec![]]);
        assert_eq!(done, Walk { consumer: c, records: 2 });
        assert_eq!((a, b, c), (16, 32, 40));
    }

    #[test]
    fn a_busy_record_stops_the_walk() {
        let mut ring = Plain::new(64);
        let a = ring.write(0, 0, b"one");
        let b = ring.write(a, BUSY, b"two");
        let c = ring.write(b, 0, b"three");
        let (done, got) = read(&ring, 0, c);
        assert_eq!((done.consumer, got.len()), (a, 1));
    }

    #[test]
    fn records_wrap_around_the_end() {
        let mut ring = Plain::new(64);
        let start = 64 * 5 + 48;
        let end = ring.write(start, 0, b"wraps around");
        let (done, got) = read(&ring, start, end);
        assert_eq!(got, vec![b"wraps around".to_vec()]);
        assert_eq!(done.consumer, end);
    }

    #[test]
    fn a_header_that_lies_ends_the_walk() {
        let mut ring = Plain::new(64);
        ring.put(0, &(DISCARD - 1).to_ne_bytes());
        let (done, got) = read(&ring, 0, 64);
        assert_eq!((done.consumer, got.len()), (0, 0));
        let (done, _) = read(&ring, u64::MAX - 4, u64::MAX);
        assert_eq!(done.records, 0);
    }
}
