//! Waiting for descriptors with a timeout: ppoll(2).

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::error::{Error, Result};

/// A set of descriptors to wait for. It holds duplicates, so that the originals stay free to use. Build it once and wait
/// many times: waiting doesn't allocate.
#[derive(Debug, Default)]
pub struct PollSet {
    fds: Vec<libc::pollfd>,
    /// The duplicates behind `fds`, index by index.
    owned: Vec<Option<OwnedFd>>,
    /// A descriptor could not be duplicated; the next wait says so.
    failed: Option<Error>,
}

impl PollSet {
    /// An empty set.
    pub fn new() -> PollSet {
        PollSet::default()
    }

    /// Adds a descriptor to wait for input on; returns its index for [`PollSet::is_ready`]. When there are too many
    /// open files for a duplicate, [`PollSet::wait`] fails.
    pub fn add(&mut self, fd: BorrowedFd<'_>) -> usize {
        let owned = match fd.try_clone_to_owned() {
            Ok(owned) => Some(owned),
            Err(e) => {
                self.failed = Some(Error::io("wait for", "one more descriptor", &e));
                None
            }
        };
        let number = owned.as_ref().map_or(-1, |o| o.as_raw_fd());
        self.fds.push(libc::pollfd { fd: number, events: libc::POLLIN, revents: 0 });
        self.owned.push(owned);
        self.fds.len() - 1
    }

    /// Stops waiting for the descriptor at an index (e.g. of a process that has ended); other indices stay.
    pub fn remove(&mut self, index: usize) {
        if let Some(entry) = self.fds.get_mut(index) {
            // A negative descriptor is skipped by poll(2).
            (entry.fd, entry.revents) = (-1, 0);
        }
        if let Some(owned) = self.owned.get_mut(index) {
            *owned = None;
        }
    }

    /// Waits until a descriptor is readable, closed at the other end or broken, or for the timeout (`None`: for ever).
    /// Returns how many are ready; 0 after the timeout and after a signal.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let limit = timeout.map(|t| libc::timespec {
            tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the array has the given length; the timeout is null or a live struct; no signal mask is given.
        let n = unsafe {
            libc::ppoll(self.fds.as_mut_ptr(), self.fds.len() as libc::nfds_t, limit, std::ptr::null())
        };
        if n >= 0 {
            return Ok(usize::try_from(n).unwrap_or(0));
        }
        self.fds.iter_mut().for_each(|f| f.revents = 0);
        let error = Error::last_os("wait for", "events");
        if error.errno == libc::EINTR {
            return Ok(0);
        }
        Err(error)
    }

    /// Whether the descriptor at an index was ready in the last wait.
    pub fn is_ready(&self, index: usize) -> bool {
        self.fds.get(index).is_some_and(|f| f.revents != 0)
    }
}

/// Waits until something can be written to a descriptor, or for the timeout; false then. A descriptor that is broken counts as writable:
/// writing tells what is wrong.
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let ms = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one live entry.
    let n = unsafe { libc::poll(&mut entry, 1, ms) };
    n > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn readiness_and_timeout() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut set = PollSet::new();
        let i = set.add(reader.as_fd());
        assert_eq!(set.wait(Some(Duration::from_millis(1))).unwrap(), 0);
        assert!(!set.is_ready(i));
        writer.write_all(b"x").unwrap();
        assert_eq!(set.wait(None).unwrap(), 1);
        assert!(set.is_ready(i) && !set.is_ready(i + 1));
        set.remove(i);
        assert_eq!(set.wait(Some(Duration::ZERO)).unwrap(), 0);
    }
}
