//! Timers as descriptors: timerfd_create(2).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::error::{Error, Result};

/// A timer on the monotonic clock; its descriptor is readable once it has expired.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// A timer that isn't running.
    pub fn new() -> Result<Timer> {
        // SAFETY: no pointers; the flags are constants.
        let fd =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(Error::last_os("create timer", ""));
        }
        // SAFETY: the kernel just returned this descriptor and nothing else owns it.
        Ok(Timer { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// A timer that expires every `period`, the first time after one period.
    pub fn every(period: Duration) -> Result<Timer> {
        let timer = Timer::new()?;
        timer.set(period, Some(period))?;
        Ok(timer)
    }

    /// A timer that expires once.
    pub fn once(after: Duration) -> Result<Timer> {
        let timer = Timer::new()?;
        timer.set(after, None)?;
        Ok(timer)
    }

    /// Starts it anew. A zero `after` stops it.
    pub fn set(&self, after: Duration, period: Option<Duration>) -> Result<()> {
        let spec = libc::itimerspec {
            it_interval: timespec(period.unwrap_or(Duration::ZERO)),
            it_value: timespec(after),
        };
        // SAFETY: `spec` lives for the call; the old value is not asked for.
        let ret = unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &spec, std::ptr::null_mut()) };
        if ret < 0 {
            return Err(Error::last_os("set timer", ""));
        }
        Ok(())
    }

    /// How often it has expired since the last call; 0 when it hasn't. Never waits.
    pub fn expirations(&self) -> u64 {
        let mut count = 0u64;
        // SAFETY: the buffer is the 8 bytes of `count`.
        let n = unsafe { libc::read(self.fd.as_raw_fd(), std::ptr::from_mut(&mut count).cast(), 8) };
        if n == 8 {
            count
        } else {
            0
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn timespec(d: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(d.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: d.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::PollSet;

    #[test]
    fn timers_expire_and_stop() {
        let t = Timer::once(Duration::from_millis(2)).unwrap();
        let mut set = PollSet::new();
        set.add(t.as_fd());
        assert_eq!(set.wait(Some(Duration::from_secs(10))).unwrap(), 1);
        assert_eq!(t.expirations(), 1);
        assert_eq!(t.expirations(), 0);
        t.set(Duration::ZERO, None).unwrap();
        assert_eq!(set.wait(Some(Duration::from_millis(3))).unwrap(), 0);
    }
}
