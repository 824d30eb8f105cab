//! The directory that stands for `/`: the host's, or a fixture folder of a recorded kernel.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Prefix of every path of `/proc`, `/sys` and tracefs that this crate reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    prefix: PathBuf,
}

impl Root {
    /// The running system.
    pub fn host() -> Root {
        Root { prefix: PathBuf::from("/") }
    }

    /// A folder laid out like `/` (`proc/...`, `sys/...`).
    pub fn at(folder: impl Into<PathBuf>) -> Root {
        Root { prefix: folder.into() }
    }

    /// Whether this is the running system (only then system calls make sense beside the files).
    pub fn is_host(&self) -> bool {
        self.prefix == Path::new("/")
    }

    /// The real path of an absolute path below this root.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.prefix.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The whole file as text; bytes that are not UTF-8 are replaced.
    pub fn read_text(&self, absolute: impl AsRef<Path>) -> Result<String> {
        let bytes = self.read(absolute)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        })
    }

    /// The whole file.
    pub fn read(&self, absolute: impl AsRef<Path>) -> Result<Vec<u8>> {
        let path = self.path(absolute);
        std::fs::read(&path).map_err(|e| Error::io("read", path.display().to_string(), &e))
    }

    /// Sorted names of a folder's entries.
    pub fn list(&self, absolute: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = self.path(absolute);
        list_dir(&path)
    }
}

/// Sorted names in a folder; names that are not UTF-8 are left out.
pub(crate) fn list_dir(path: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(path).map_err(|e| Error::io("list", path.display().to_string(), &e))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_hang_below_the_prefix() {
        let root = Root::at("/tmp/fixture");
        assert_eq!(root.path("/proc/mounts"), PathBuf::from("/tmp/fixture/proc/mounts"));
        assert_eq!(Root::host().path("/proc/mounts"), PathBuf::from("/proc/mounts"));
        assert!(Root::host().is_host());
        assert!(!root.is_host());
    }

    #[test]
    fn missing_files_name_the_path() {
        let e = Root::at("/nonexistent-fixture").read_text("/proc/x").unwrap_err();
        assert!(e.to_string().contains("/nonexistent-fixture/proc/x"), "{e}");
        assert_eq!(e.errno, libc::ENOENT);
    }
}
