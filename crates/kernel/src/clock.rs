//! The kernel's clocks, read as nanoseconds.

/// Clocks that programs can read, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Clock {
    /// Wall clock since 1970, UTC.
    Realtime = libc::CLOCK_REALTIME,
    /// Since boot without suspends: `ktime_get_ns`.
    Monotonic = libc::CLOCK_MONOTONIC,
    /// Since boot with suspends: `ktime_get_boot_ns`.
    Boottime = libc::CLOCK_BOOTTIME,
    /// Atomic time: `ktime_get_tai_ns`.
    Tai = libc::CLOCK_TAI,
    /// CPU time of this process.
    ProcessCpu = libc::CLOCK_PROCESS_CPUTIME_ID,
}

impl Clock {
    /// The clock's time in ns; 0 for a clock that this kernel lacks.
    pub fn now_ns(self) -> u64 {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the struct lives for the call.
        if unsafe { libc::clock_gettime(self as libc::clockid_t, &mut t) } != 0 {
            return 0;
        }
        let (s, ns) = (u64::try_from(t.tv_sec).unwrap_or(0), u64::try_from(t.tv_nsec).unwrap_or(0));
        s.saturating_mul(1_000_000_000).saturating_add(ns)
    }

    /// What to add to a time of this clock to get wall-clock ns since 1970, measured now: the best of several pairs of
    /// readings, so that an interruption between them doesn't count.
    pub fn unix_offset_ns(self) -> i64 {
        let mut best = (u64::MAX, 0i64);
        for _ in 0..5 {
            let before = self.now_ns();
            let wall = Clock::Realtime.now_ns();
            let after = self.now_ns();
            let width = after.saturating_sub(before);
            let middle = before.saturating_add(width / 2);
            if width < best.0 {
                best = (width, (wall as i64).wrapping_sub(middle as i64));
            }
        }
        best.1
    }
}

/// Wall-clock time of the boot in ns since 1970.
pub fn boot_time_unix_ns() -> i64 {
    Clock::Boottime.unix_offset_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_forward_and_relate() {
        let a = Clock::Monotonic.now_ns();
        let b = Clock::Monotonic.now_ns();
        assert!(a > 0 && b >= a);
        assert!(Clock::Boottime.now_ns() >= a);
        let wall = (Clock::Boottime.now_ns() as i64) + boot_time_unix_ns();
        assert!((Clock::Realtime.now_ns() as i64 - wall).abs() < 1_000_000_000);
    }
}
