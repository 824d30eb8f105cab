//! The error of every kernel operation: operation, object, errno, next step.

use std::fmt;
use std::io;

/// Result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// `ENOTSUPP` of the kernel: not in any libc header, but bpf(2) returns it.
pub const ENOTSUPP: i32 = 524;

/// A failed kernel operation. `Display` writes one line: what failed on which object, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What was tried, as it fits behind "cannot", e.g. `create map`.
    pub op: &'static str,
    /// On which object, e.g. `` `counts` (hash) ``.
    pub object: String,
    /// The errno; 0 when no system call failed (then `cause` says what is wrong).
    pub errno: i32,
    /// The cause in words; empty when the errno says it all.
    pub cause: String,
    /// The next step; when empty, `Display` derives one from the errno.
    pub hint: String,
    /// Log of the kernel's verifier or BTF checker; empty when there is none. Not part of `Display`.
    pub log: String,
}

impl Error {
    /// The error of a system call that returned `errno`.
    pub fn new(op: &'static str, object: impl Into<String>, errno: i32) -> Error {
        Error {
            op,
            object: object.into(),
            errno,
            cause: String::new(),
            hint: String::new(),
            log: String::new(),
        }
    }

    /// The error of an operation that failed without an errno of its own (bad content, missing mount).
    pub fn other(op: &'static str, object: impl Into<String>, cause: impl Into<String>) -> Error {
        Error { cause: cause.into(), ..Error::new(op, object, 0) }
    }

    /// The error of an I/O operation of the standard library.
    pub fn io(op: &'static str, object: impl Into<String>, error: &io::Error) -> Error {
        match error.raw_os_error() {
            Some(errno) => Error::new(op, object, errno),
            None => Error::other(op, object, error.to_string()),
        }
    }

    /// The error of the system call that failed last on this thread.
    pub fn last_os(op: &'static str, object: impl Into<String>) -> Error {
        Error::new(op, object, io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// The same error with the next step.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = hint.into();
        self
    }

    /// The same error with the cause in words.
    pub fn with_cause(mut self, cause: impl Into<String>) -> Error {
        self.cause = cause.into();
        self
    }

    /// Whether the errno is one of those a kernel gives for a facility that it doesn't have or doesn't allow here
    /// (see DESIGN, "Facilities are probed"): the caller falls to the next mechanism.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.errno,
            libc::EPERM
                | libc::EACCES
                | libc::ENOENT
                | libc::ENODEV
                | libc::EOPNOTSUPP
                | libc::ENOSYS
                | libc::EINVAL
                | ENOTSUPP
        )
    }

    /// The next step: the one given, or one derived from the errno; empty when there is none.
    pub fn next_step(&self) -> String {
        if !self.hint.is_empty() {
            return self.hint.clone();
        }
        match self.errno {
            libc::EPERM => crate::caps::remedy(&crate::root::Root::host()),
            libc::EACCES if self.log.is_empty() => crate::caps::remedy(&crate::root::Root::host()),
            e => HINTS
                .iter()
                .find(|(errno, _)| *errno == e)
                .map_or_else(String::new, |(_, h)| (*h).to_string()),
        }
    }
}

/// What to do about an errno whatever the operation was.
static HINTS: &[(i32, &str)] = &[
    (
        libc::ENOMEM,
        "use smaller maps or buffers, or raise the memory limit of the cgroup (or `ulimit -l` before 5.11)",
    ),
    (libc::E2BIG, "use smaller maps or a shorter program"),
    (libc::EMFILE, "raise the limit of open files: `ulimit -n`"),
    (libc::ENFILE, "raise the system's limit of open files: sysctl fs.file-max"),
    (libc::ENOSYS, "this kernel is built without the system call (CONFIG_BPF_SYSCALL, CONFIG_PERF_EVENTS)"),
    (libc::EOPNOTSUPP, "this kernel or machine lacks the facility; `fathom info` lists what it has"),
    (ENOTSUPP, "this kernel lacks the facility; `fathom info` lists what it has"),
    (libc::EBUSY, "another tracer uses the object; stop it or wait a moment"),
];

/// Names of the errnos that these operations return.
static NAMES: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::E2BIG, "E2BIG"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::ENODEV, "ENODEV"),
    (libc::EINVAL, "EINVAL"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENFILE, "ENFILE"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::ERANGE, "ERANGE"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::EILSEQ, "EILSEQ"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (ENOTSUPP, "ENOTSUPP"),
];

/// `EINVAL` for 22 and so on; `errno N` for one without a row.
pub fn errno_name(errno: i32) -> String {
    NAMES
        .iter()
        .find(|(e, _)| *e == errno)
        .map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_string())
}

/// The errno in words, without the number.
pub fn errno_text(errno: i32) -> String {
    if errno == ENOTSUPP {
        return "Not supported by this kernel".into();
    }
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.find(" (os error") {
        Some(at) => text.get(..at).unwrap_or(&text).to_string(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.op)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        if !self.cause.is_empty() {
            write!(f, ": {}", self.cause)?;
        }
        if self.errno != 0 {
            write!(f, ": {} ({})", errno_text(self.errno), errno_name(self.errno))?;
        }
        let step = self.next_step();
        if !step.is_empty() {
            write!(f, "; {step}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_operation_object_cause_and_step() {
        let e = Error::new("create map", "`counts`", libc::ENOMEM);
        let s = e.to_string();
        assert!(
            s.starts_with("cannot create map `counts`: Cannot allocate memory (ENOMEM); use smaller maps"),
            "{s}"
        );
        let e = Error::other("read", "/x", "bad digit").with_hint("report it");
        assert_eq!(e.to_string(), "cannot read /x: bad digit; report it");
    }

    #[test]
    fn unknown_errnos_still_have_a_name() {
        assert_eq!(errno_name(4095), "errno 4095");
        assert_eq!(errno_name(ENOTSUPP), "ENOTSUPP");
        assert_eq!(errno_text(libc::EINVAL), "Invalid argument");
    }
}
