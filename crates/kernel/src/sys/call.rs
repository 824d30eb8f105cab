//! The calls themselves: bpf(2), perf_event_open(2), ioctl(2), with errnos as values and fds as owners.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::attr::{Cmd, PerfEventAttr};

/// A struct of `sys::attr` that bpf(2) takes for some command.
///
/// # Safety
/// The type is `#[repr(C)]`, has no padding bytes and is valid for every bit pattern (the kernel writes results into it).
pub unsafe trait Attr {}

macro_rules! attrs {
    ($($name:ident)*) => { $(
        // SAFETY: repr(C), integers and arrays of integers only, paddings are fields (see the module doc of `attr`).
        unsafe impl Attr for super::attr::$name {}
    )* };
}
attrs!(MapCreate MapElem MapBatch ProgLoad Obj TestRun GetId Info BtfLoad RawTracepoint LinkHead LinkTracing LinkIter
       LinkPerfEvent LinkKprobeMulti LinkUprobeMulti);

/// bpf(2). Returns the call's non-negative result or the errno. Repeats on `EAGAIN` of a program load, where the
/// verifier was interrupted by a signal.
///
/// # Safety
/// Every pointer field of `attr` is null or points to memory that is valid for what `cmd` reads or writes there
/// with the sizes in `attr`, for the time of the call.
pub unsafe fn bpf<T: Attr>(cmd: Cmd, attr: &mut T) -> Result<i32, i32> {
    let mut tries = 0;
    loop {
        // SAFETY: `attr` is a live, initialised struct of the given size; the caller answers for the pointers in it.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                cmd as libc::c_long,
                std::ptr::from_mut(attr),
                std::mem::size_of::<T>(),
            )
        };
        if ret >= 0 {
            return Ok(i32::try_from(ret).unwrap_or(i32::MAX));
        }
        let errno = last_errno();
        tries += 1;
        if !(errno == libc::EAGAIN && cmd == Cmd::ProgLoad && tries < 5) {
            return Err(errno);
        }
    }
}

/// bpf(2) for a command that returns a new file descriptor.
///
/// # Safety
/// As [`bpf`]; and `cmd` is one that returns a file descriptor.
pub unsafe fn bpf_fd<T: Attr>(cmd: Cmd, attr: &mut T) -> Result<OwnedFd, i32> {
    // SAFETY: forwarded to the caller.
    let fd = unsafe { bpf(cmd, attr)? };
    // SAFETY: the kernel just returned this descriptor and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// perf_event_open(2) with `PERF_FLAG_FD_CLOEXEC`.
///
/// # Safety
/// For the kprobe and uprobe PMUs, `config1` is null or points to a NUL-terminated string.
pub unsafe fn perf_event_open(attr: &PerfEventAttr, pid: i32, cpu: i32) -> Result<OwnedFd, i32> {
    const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
    // SAFETY: `attr` is a live struct whose `size` field says its length; the caller answers for the string.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attr),
            pid,
            cpu,
            -1i32,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if ret < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel just returned this descriptor and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(ret as i32) })
}

/// ioctl(2) with an integer argument.
pub fn ioctl(fd: BorrowedFd<'_>, request: u64, arg: u64) -> Result<i32, i32> {
    // SAFETY: the requests used in this crate take an integer argument; a wrong one is refused by the kernel.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, arg) };
    if ret < 0 {
        Err(last_errno())
    } else {
        Ok(ret)
    }
}

/// ioctl(2) that reads a 64-bit number through a pointer argument.
pub fn ioctl_ptr_u64(fd: BorrowedFd<'_>, request: u64, value: &mut u64) -> Result<(), i32> {
    // SAFETY: the requests used with this (`PERF_EVENT_IOC_ID`, `..._PERIOD`) move exactly one u64.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, std::ptr::from_mut(value)) };
    if ret < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

/// The errno of the last failed call of this thread; never 0.
pub fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().filter(|e| *e != 0).unwrap_or(libc::EIO)
}

/// A file descriptor as the unsigned field of an attribute struct.
pub fn fd_u32(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// The address of a slice as the kernel wants it; 0 for an empty one.
pub fn ptr_of<T>(slice: &[T]) -> u64 {
    if slice.is_empty() {
        0
    } else {
        slice.as_ptr() as u64
    }
}

/// The address of a slice for the kernel to write to; 0 for an empty one.
pub fn mut_ptr_of<T>(slice: &mut [T]) -> u64 {
    if slice.is_empty() {
        0
    } else {
        slice.as_mut_ptr() as u64
    }
}

/// A name as the fixed field of the kernel: at most 15 bytes, only characters it accepts, NUL-terminated.
pub fn obj_name(name: &str) -> [u8; 16] {
    let mut out = [0u8; 16];
    for (slot, byte) in out.iter_mut().take(15).zip(name.bytes()) {
        *slot = if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' { byte } else { b'_' };
    }
    out
}

/// The text in front of the first NUL.
pub fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_and_cleaned() {
        assert_eq!(text_of(&obj_name("@a[b]")), "_a_b_");
        assert_eq!(text_of(&obj_name("0123456789abcdefgh")), "0123456789abcde");
        assert_eq!(obj_name(""), [0; 16]);
    }
}
