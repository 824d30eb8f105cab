//! What all BPF objects share: ids, info structs, pins.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::attr::{self, Cmd};
use super::call::{bpf, bpf_fd, fd_u32};
use crate::error::{Error, Result};

/// A struct that `BPF_OBJ_GET_INFO_BY_FD` fills.
///
/// # Safety
/// `#[repr(C)]`, integers and arrays of integers only, and no more bytes or pointer fields in it than are valid.
pub unsafe trait InfoStruct {}
// SAFETY: repr(C) integers only; pointer fields are zero or set by this crate to buffers with their sizes.
unsafe impl InfoStruct for attr::ProgInfo {}
// SAFETY: as above.
unsafe impl InfoStruct for attr::MapInfo {}
// SAFETY: as above.
unsafe impl InfoStruct for attr::BtfInfo {}
// SAFETY: as above.
unsafe impl InfoStruct for attr::LinkInfo {}

/// Fills `raw` with what the kernel knows of the object; fields unknown to the kernel keep their value.
pub fn info<T: InfoStruct>(fd: BorrowedFd<'_>, raw: &mut T, op: &'static str) -> Result<()> {
    let len = u32::try_from(std::mem::size_of::<T>()).unwrap_or(u32::MAX);
    let mut a = attr::Info { bpf_fd: fd_u32(fd), info_len: len, info: std::ptr::from_mut(raw) as u64 };
    // SAFETY: `info` points to a live struct of `info_len` bytes; pointers in it are null or valid (InfoStruct).
    unsafe { bpf(Cmd::ObjGetInfoByFd, &mut a) }.map(drop).map_err(|e| Error::new(op, "", e))
}

/// All ids that a `...GetNextId` command walks.
pub fn ids(cmd: Cmd, op: &'static str) -> Result<Vec<u32>> {
    let mut out = Vec::new();
    let mut a = attr::GetId::default();
    loop {
        // SAFETY: the command's attribute has no pointers.
        match unsafe { bpf(cmd, &mut a) } {
            Ok(_) => {}
            Err(libc::ENOENT) => return Ok(out),
            Err(e) => return Err(Error::new(op, "", e)),
        }
        out.push(a.next_id);
        a.id = a.next_id;
    }
}

/// A descriptor of the object with this id.
pub fn fd_by_id(cmd: Cmd, op: &'static str, id: u32) -> Result<OwnedFd> {
    let mut a = attr::GetId { id, ..Default::default() };
    // SAFETY: the `...GetFdById` commands have no pointers and return a descriptor.
    unsafe { bpf_fd(cmd, &mut a) }.map_err(|e| Error::new(op, format!("id {id}"), e))
}

/// Pins an object at a path of a bpf file system.
pub fn pin(op: &'static str, fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let name = c_path(op, path)?;
    let mut a = attr::Obj { pathname: name.as_ptr() as u64, bpf_fd: fd_u32(fd), file_flags: 0 };
    // SAFETY: `pathname` is a NUL-terminated string that lives for the call.
    unsafe { bpf(Cmd::ObjPin, &mut a) }.map(drop).map_err(|e| {
        let error = Error::new(op, path.display().to_string(), e);
        if e == libc::EPERM || e == libc::EINVAL {
            error.with_hint("the path must lie in a bpf file system: mount -t bpf bpf /sys/fs/bpf")
        } else {
            error
        }
    })
}

/// Opens a pinned object.
pub fn open_pinned(op: &'static str, path: &Path) -> Result<OwnedFd> {
    let name = c_path(op, path)?;
    let mut a = attr::Obj { pathname: name.as_ptr() as u64, ..Default::default() };
    // SAFETY: `pathname` is a NUL-terminated string that lives for the call; the command returns a descriptor.
    unsafe { bpf_fd(Cmd::ObjGet, &mut a) }.map_err(|e| Error::new(op, path.display().to_string(), e))
}

/// A path for the kernel.
pub fn c_path(op: &'static str, path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::other(op, path.display().to_string(), "the path has a NUL byte"))
}

/// A text for the kernel.
pub fn c_str(op: &'static str, text: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|_| Error::other(op, format!("`{}`", text.escape_debug()), "the name has a NUL byte"))
}
