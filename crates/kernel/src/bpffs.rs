//! The bpf file system: objects pinned there outlive nothing of ours, but others can open them by name meanwhile.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::link::Link;
use crate::root::Root;
use crate::sys::mount::mount;

/// Where it is mounted by custom.
pub const DIR: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of `include/uapi/linux/magic.h`.
const MAGIC: u64 = 0xcafe_4a11;

/// A pinned link. Dropping it removes the name.
#[derive(Debug)]
pub struct Pin {
    path: PathBuf,
}

impl Pin {
    /// Pins a link at `name` below [`DIR`], which is mounted if need be. A name that is taken is an error: it may be another's.
    ///
    /// # Errors
    /// The name leads out of the directory or is taken; the file system cannot be mounted; the kernel's reason.
    pub fn link(root: &Root, link: &Link, name: &str) -> Result<Pin> {
        const OP: &str = "pin";
        let relative = Path::new(name.strip_prefix(DIR).unwrap_or(name).trim_start_matches('/'));
        let plain = |c| matches!(c, std::path::Component::Normal(_));
        if relative.as_os_str().is_empty() || !relative.components().all(plain) {
            return Err(Error::other(OP, name, "the name must be a path below /sys/fs/bpf"));
        }
        let dir = root.path(DIR);
        if !is_bpf(&dir) {
            mount("bpf", DIR)?;
        }
        let path = dir.join(relative);
        link.pin(&path).map_err(|e| match e.errno {
            libc::EEXIST => e.with_hint("remove it if nobody uses it, or choose another name"),
            libc::ENOENT => e.with_hint("make its directory first"),
            _ => e,
        })?;
        Ok(Pin { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a directory is in a mounted bpf file system.
fn is_bpf(dir: &Path) -> bool {
    let Ok(path) = crate::sys::objects::c_path("find bpf file system", dir) else { return false };
    let mut found = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path is NUL-terminated; both live for the call; all zeros is a valid `statfs`.
    let (ret, found) = unsafe { (libc::statfs(path.as_ptr(), found.as_mut_ptr()), found.assume_init()) };
    ret == 0 && found.f_type as u64 == MAGIC
}
