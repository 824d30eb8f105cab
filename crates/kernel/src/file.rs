//! Whole files as bytes: small ones read, large ones mapped.

use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::path::Path;

use crate::error::{Error, Result};
use crate::sys::mmap::Mmap;

/// Files up to this size are read: a file that is cut short while mapped would end the process by SIGBUS, so only those
/// for which reading costs much (large libraries) take that risk.
const READ_BYTES_MAX: u64 = 16 << 20;

/// The bytes of a file; derefs to them.
#[derive(Debug)]
pub struct FileBytes(Content);

#[derive(Debug)]
enum Content {
    Read(Vec<u8>),
    Mapped(Mmap, usize),
}

/// Opens a regular file as bytes.
///
/// # Errors
/// Names the file: missing, unreadable, no regular file.
pub fn map(path: &Path) -> Result<FileBytes> {
    let shown = || path.display().to_string();
    let mut file = File::open(path).map_err(|e| Error::io("open", shown(), &e))?;
    let meta = file.metadata().map_err(|e| Error::io("stat", shown(), &e))?;
    if !meta.is_file() {
        return Err(Error::other("open", shown(), "it is no regular file"));
    }
    if meta.len() > READ_BYTES_MAX {
        let len = usize::try_from(meta.len()).map_err(|_| Error::new("mmap", shown(), libc::EFBIG))?;
        let map = Mmap::map_private(file.as_fd(), len).map_err(|e| Error::new("mmap", shown(), e))?;
        return Ok(FileBytes(Content::Mapped(map, len)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(|e| Error::io("read", shown(), &e))?;
    Ok(FileBytes(Content::Read(bytes)))
}

impl Deref for FileBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Read(bytes) => bytes,
            // SAFETY: a private mapping of a file that is only read; programs and libraries are replaced, not rewritten.
            Content::Mapped(map, len) => unsafe { map.stable(0, *len) }.unwrap_or(&[]),
        }
    }
}

impl AsRef<[u8]> for FileBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_only() {
        assert!(map(Path::new("/nonexistent-file")).unwrap_err().to_string().contains("/nonexistent-file"));
        assert!(map(Path::new("/")).is_err());
        let own = map(Path::new("/proc/self/exe")).unwrap();
        assert_eq!(own.get(..4), Some(&b"\x7fELF"[..]));
    }
}
