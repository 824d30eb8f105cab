//! Mounting of the kernel's own file systems.

use std::ffi::CString;

use crate::error::{Error, Result};

/// Mounts a file system of the kernel that has neither device nor options (mount(2)). Needs root.
pub fn mount(kind: &str, place: &str) -> Result<()> {
    let error = || Error::other("mount", format!("{kind} at {place}"), "bad name");
    let (k, p) = (CString::new(kind).map_err(|_| error())?, CString::new(place).map_err(|_| error())?);
    // SAFETY: the strings are NUL-terminated and live for the call; no data is given.
    let ret = unsafe { libc::mount(k.as_ptr(), p.as_ptr(), k.as_ptr(), 0, std::ptr::null()) };
    if ret != 0 {
        return Err(Error::last_os("mount", format!("{kind} at {place}")));
    }
    Ok(())
}
