//! Processes: whether they live, what `/proc` says about them, being told of their end.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::root::Root;

/// A process by its descriptor: it cannot be mistaken for a later one with the same number. Readable once it has ended.
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
    pid: u32,
}

impl PidFd {
    /// pidfd_open(2) (5.3). Fails with `ESRCH` for a process that doesn't exist.
    pub fn open(pid: u32) -> Result<PidFd> {
        let number = libc::pid_t::try_from(pid).map_err(|_| no_process(pid))?;
        // SAFETY: no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
        if fd < 0 {
            let error = Error::last_os("open process", pid.to_string());
            return Err(if error.errno == libc::ESRCH { no_process(pid) } else { error });
        }
        // SAFETY: the kernel just returned this descriptor and nothing else owns it.
        Ok(PidFd { fd: unsafe { OwnedFd::from_raw_fd(fd as i32) }, pid })
    }

    /// The number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut set = crate::poll::PollSet::new();
        let i = set.add(self.fd.as_fd());
        set.wait(Some(std::time::Duration::ZERO)).is_ok() && set.is_ready(i)
    }

    /// Sends a signal: pidfd_send_signal(2).
    pub fn signal(&self, number: i32) -> Result<()> {
        // SAFETY: no signal information is given (null).
        let ret = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.fd.as_raw_fd(), number, std::ptr::null::<u8>(), 0)
        };
        if ret < 0 {
            return Err(Error::last_os("send a signal to process", self.pid.to_string()));
        }
        Ok(())
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn no_process(pid: u32) -> Error {
    Error::new("open process", pid.to_string(), libc::ESRCH).with_hint("it has ended or the number is wrong")
}

/// Whether a process or thread exists now.
pub fn exists(root: &Root, pid: u32) -> bool {
    root.path(format!("/proc/{pid}")).is_dir()
}

/// The command name of a process, at most 15 bytes.
pub fn comm(root: &Root, pid: u32) -> Result<String> {
    let mut text = root.read_text(format!("/proc/{pid}/comm"))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// The arguments of a process; empty for kernel threads.
pub fn cmdline(root: &Root, pid: u32) -> Result<Vec<String>> {
    let bytes = root.read(format!("/proc/{pid}/cmdline"))?;
    let mut parts: Vec<String> =
        bytes.split(|b| *b == 0).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    Ok(parts)
}

/// The executable, as seen from the process's root; `(deleted)` may be appended by the kernel.
pub fn exe(root: &Root, pid: u32) -> Result<PathBuf> {
    let path = root.path(format!("/proc/{pid}/exe"));
    std::fs::read_link(&path).map_err(|e| Error::io("read link", path.display().to_string(), &e))
}

/// The text of `/proc/PID/maps`.
pub fn maps(root: &Root, pid: u32) -> Result<String> {
    root.read_text(format!("/proc/{pid}/maps"))
}

/// The path at which we see a file that the process sees at `path`: through `/proc/PID/root`, which also leads into
/// containers. The path itself when both see the same root.
pub fn path_as_seen_by(root: &Root, pid: u32, path: &Path) -> PathBuf {
    let theirs = root.path(format!("/proc/{pid}/root"));
    let same = same_file(&theirs, &root.path("/"));
    if same || !path.is_absolute() {
        return path.to_path_buf();
    }
    theirs.join(path.strip_prefix("/").unwrap_or(path))
}

fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        // Without permission to look, the common case is the better guess.
        _ => true,
    }
}

/// Numbers of all processes, sorted.
pub fn pids(root: &Root) -> Result<Vec<u32>> {
    let mut out: Vec<u32> = root.list("/proc")?.iter().filter_map(|n| n.parse().ok()).collect();
    out.sort_unstable();
    Ok(out)
}

/// Device and inode of the pid namespace of this process, for `get_ns_current_pid_tgid`.
pub fn pid_namespace(root: &Root) -> Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let path = root.path("/proc/self/ns/pid");
    let meta = std::fs::metadata(&path).map_err(|e| Error::io("stat", path.display().to_string(), &e))?;
    Ok((meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there() {
        let root = Root::host();
        let me = std::process::id();
        assert!(exists(&root, me));
        assert!(!comm(&root, me).unwrap().is_empty());
        assert!(pids(&root).unwrap().contains(&me));
        assert_eq!(path_as_seen_by(&root, me, Path::new("/etc/passwd")), PathBuf::from("/etc/passwd"));
        assert!(!cmdline(&root, me).unwrap().is_empty());
        assert!(!PidFd::open(me).unwrap().has_ended());
    }

    #[test]
    fn absent_processes_are_errors() {
        assert_eq!(PidFd::open(u32::MAX).unwrap_err().errno, libc::ESRCH);
        assert_eq!(PidFd::open(i32::MAX as u32).unwrap_err().errno, libc::ESRCH);
        assert!(comm(&Root::host(), u32::MAX).is_err());
    }
}
