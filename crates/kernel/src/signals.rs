//! Signals as a descriptor: signalfd(2); and signal names.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::{Error, Result};

/// Names of the signals, by number.
static SIGNALS: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The number of `SIGTERM`, `TERM` or `15`; `None` for no signal.
pub fn number(name: &str) -> Option<i32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    match SIGNALS.iter().find(|(n, _)| *n == short) {
        Some((_, number)) => Some(*number),
        None => name.parse().ok().filter(|n| (1..=64).contains(n)),
    }
}

/// `SIGTERM` for 15; `signal 40` for one without a name.
pub fn name(number: i32) -> String {
    SIGNALS
        .iter()
        .find(|(_, n)| *n == number)
        .map_or_else(|| format!("signal {number}"), |(n, _)| format!("SIG{n}"))
}

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Number.
    pub number: i32,
    /// Process that sent it, 0 for the kernel; for `SIGCHLD` the child.
    pub sender_pid: u32,
    /// User of the sender.
    pub sender_uid: u32,
}

/// Takes signals as input instead of by handlers. Open it before any thread is started: threads inherit the mask.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    /// Mask to restore on drop.
    before: libc::sigset_t,
}

impl Signals {
    /// Blocks the signals for this thread (and threads it starts later) and takes them by a descriptor. Children that
    /// this crate starts get an empty mask again.
    pub fn open(numbers: &[i32]) -> Result<Signals> {
        let mut set = empty_set();
        for n in numbers {
            // SAFETY: `set` is an initialised set; an invalid number is refused with -1.
            if unsafe { libc::sigaddset(&mut set, *n) } != 0 {
                return Err(Error::other("block", name(*n), "no such signal"));
            }
        }
        let mut before = empty_set();
        // SAFETY: both sets live for the call.
        let errno = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before) };
        if errno != 0 {
            return Err(Error::new("block signals", "", errno));
        }
        // SAFETY: `set` lives for the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            let error = Error::last_os("open signal descriptor", "");
            // SAFETY: `before` was filled above.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
            return Err(error);
        }
        // SAFETY: the kernel just returned this descriptor and nothing else owns it.
        Ok(Signals { fd: unsafe { OwnedFd::from_raw_fd(fd) }, before })
    }

    /// The next signal that has arrived; `None` when there is none. Never waits.
    pub fn next(&self) -> Option<Arrived> {
        // SAFETY: signalfd_siginfo is integers only; zeros are valid.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = std::mem::size_of_val(&info);
        // SAFETY: the buffer is the struct with its size.
        let n = unsafe { libc::read(self.fd.as_raw_fd(), std::ptr::from_mut(&mut info).cast(), size) };
        (usize::try_from(n) == Ok(size)).then(|| Arrived {
            number: i32::try_from(info.ssi_signo).unwrap_or(0),
            sender_pid: info.ssi_pid,
            sender_uid: info.ssi_uid,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Signals that arrived meanwhile would kill the process as soon as they are unblocked: they were ours to take.
        while self.next().is_some() {}
        // SAFETY: `before` was filled by pthread_sigmask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

/// Whether one of the signals has arrived and is blocked, waiting to be taken. sigpending(2).
pub fn is_pending(numbers: &[i32]) -> bool {
    let mut set = empty_set();
    // SAFETY: the set lives for the call.
    if unsafe { libc::sigpending(&mut set) } != 0 {
        return false;
    }
    // SAFETY: `set` was filled above; an invalid number gives -1.
    numbers.iter().any(|n| unsafe { libc::sigismember(&set, *n) } == 1)
}

pub(crate) fn empty_set() -> libc::sigset_t {
    // SAFETY: sigset_t is integers only; zeros are valid and sigemptyset sets them properly.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives for the call.
    unsafe { libc::sigemptyset(&mut set) };
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(number("SIGTERM"), Some(15));
        assert_eq!(number("KILL"), Some(9));
        assert_eq!(number("10"), Some(10));
        assert_eq!(number("0"), None);
        assert_eq!(number("NOPE"), None);
        assert_eq!(name(2), "SIGINT");
        assert_eq!(name(40), "signal 40");
    }

    #[test]
    fn a_blocked_signal_arrives_as_input() {
        let signals = Signals::open(&[libc::SIGUSR2]).unwrap();
        assert_eq!((signals.next(), is_pending(&[libc::SIGUSR2])), (None, false));
        // SAFETY: the signal is blocked in this thread, where `tgkill` sends it.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGUSR2) };
        assert!(is_pending(&[libc::SIGINT, libc::SIGUSR2]) && !is_pending(&[libc::SIGINT]));
        let got = signals.next().unwrap();
        assert_eq!((got.number, got.sender_pid), (libc::SIGUSR2, std::process::id()));
    }
}
