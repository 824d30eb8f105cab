//! Programs and libraries: found as the shell and the loader find them, read once, asked for symbols and USDT probes.

use crate::wildcard;
use fathom_kernel::Root;
use fathom_lang::types::{CType, CTypeId};
use fathom_symbols::elf::Elf;
use fathom_symbols::ldcache::LdCache;
use fathom_symbols::Bytes;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Files that were looked at.
pub struct Binaries {
    root: Root,
    /// Directories with debug files.
    pub debug_dirs: Vec<PathBuf>,
    files: RefCell<HashMap<PathBuf, Option<Bytes>>>,
}

/// Directories for programs when `PATH` is not set.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Binaries {
    /// Nothing is opened yet.
    pub fn new(root: Root, debug_dirs: Vec<PathBuf>) -> Binaries {
        Binaries { root, debug_dirs, files: RefCell::new(HashMap::new()) }
    }

    /// The bytes of a file.
    pub fn read(&self, path: &Path) -> Option<Bytes> {
        if let Some(known) = self.files.borrow().get(path) {
            return known.clone();
        }
        let bytes = fathom_kernel::file::map(path).ok().map(Bytes::new);
        self.files.borrow_mut().insert(path.to_owned(), bytes.clone());
        bytes
    }

    /// Types of debug information; kernel types have other ids.
    pub fn c_type(&self, _id: CTypeId) -> Option<CType> {
        None
    }

    /// The files that a name or pattern of an attach point means: a path, a program in `PATH`, or a library by the name that the loader
    /// knows. For a process, paths are those in its own mount namespace.
    pub fn find(&self, name: &str, pid: Option<u32>) -> Vec<PathBuf> {
        if wildcard::is_pattern(name) {
            return self.expand(name, pid);
        }
        if name.contains('/') {
            return vec![self.in_namespace(Path::new(name), pid)]
                .into_iter()
                .filter(|p| p.is_file())
                .collect();
        }
        let found = self.in_path(name).or_else(|| self.library(name));
        found.map(|p| self.in_namespace(&p, pid)).into_iter().collect()
    }

    /// A path as this process has to write it to reach a file of another mount namespace.
    fn in_namespace(&self, path: &Path, pid: Option<u32>) -> PathBuf {
        let Some(pid) = pid else { return path.to_owned() };
        let own = std::fs::read_link("/proc/self/ns/mnt").ok();
        let theirs = std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        if theirs.is_none() || own == theirs {
            return path.to_owned();
        }
        let inside = Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap_or(path));
        if inside.exists() {
            inside
        } else {
            path.to_owned()
        }
    }

    fn in_path(&self, name: &str) -> Option<PathBuf> {
        let path = std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_owned());
        path.split(':').map(|dir| Path::new(dir).join(name)).find(|p| p.is_file())
    }

    fn library(&self, name: &str) -> Option<PathBuf> {
        let cache = self.root.read("/etc/ld.so.cache").ok()?;
        let cache = LdCache::parse(&cache).ok()?;
        cache.find(name).map(Path::to_owned)
    }

    /// Files that fit a pattern, component by component.
    fn expand(&self, pattern: &str, pid: Option<u32>) -> Vec<PathBuf> {
        if !pattern.contains('/') {
            return Vec::new();
        }
        let mut found = vec![PathBuf::from("/")];
        for part in pattern.split('/').filter(|p| !p.is_empty()) {
            let mut next = Vec::new();
            for dir in &found {
                if !wildcard::is_pattern(part) {
                    next.push(dir.join(part));
                    continue;
                }
                let Ok(entries) = std::fs::read_dir(dir) else { continue };
                let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
                let mut names: Vec<String> = names.filter(|n| wildcard::matches(part, n)).collect();
                names.sort();
                next.extend(names.into_iter().map(|n| dir.join(n)));
            }
            found = next;
        }
        found.into_iter().map(|p| self.in_namespace(&p, pid)).filter(|p| p.is_file()).collect()
    }

    /// The program that a process runs.
    pub fn of_process(&self, pid: u32) -> Option<PathBuf> {
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        Some(self.in_namespace(&exe, Some(pid)))
    }

    /// Files that a process maps as code.
    pub fn mapped_by(&self, pid: u32) -> Vec<PathBuf> {
        let Ok(text) = std::fs::read(format!("/proc/{pid}/maps")) else { return Vec::new() };
        let table = fathom_symbols::maps::MapTable::parse(&text);
        let mut paths: Vec<PathBuf> =
            table.iter().filter(|m| m.executable).filter_map(|m| m.path().map(Path::to_owned)).collect();
        paths.sort();
        paths.dedup();
        paths.into_iter().map(|p| self.in_namespace(&p, Some(pid))).filter(|p| p.is_file()).collect()
    }

    /// Address and size of a symbol of a file.
    pub fn symbol(&self, path: &str, name: &str, pid: Option<u32>) -> Option<(u64, u64)> {
        let file = self.find(path, pid).into_iter().next()?;
        let bytes = self.read(&file)?;
        let elf = Elf::parse(&bytes).ok()?;
        elf.symbol(name).map(|s| (s.address, s.size))
    }
}

/// Reads what an `import` names: a file, or all `.bt` and `.h` files of a directory, looked for beside the importing file and in the
/// include directories. Refuses directories that anybody may write to.
pub fn read_import(
    path: &str,
    from: Option<&str>,
    dirs: &[PathBuf],
) -> Result<Vec<(String, String)>, String> {
    let beside = from.and_then(|f| Path::new(f).parent()).unwrap_or(Path::new(""));
    let candidates = std::iter::once(beside.join(path)).chain(dirs.iter().map(|d| d.join(path)));
    let Some(found) = candidates.into_iter().find(|p| p.exists()) else {
        return Err(format!("{path}: no such file beside the script or in the include directories (-I)"));
    };
    let read = |p: &Path| {
        let text = std::fs::read_to_string(p).map_err(|e| format!("{}: {e}", p.display()))?;
        Ok((p.display().to_string(), text))
    };
    if !found.is_dir() {
        return read(&found).map(|f| vec![f]);
    }
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(&found).map_err(|e| format!("{}: {e}", found.display()))?;
    if meta.permissions().mode() & 0o002 != 0 {
        return Err(format!("{}: anybody may write to this directory: chmod o-w it first", found.display()));
    }
    let entries = std::fs::read_dir(&found).map_err(|e| format!("{}: {e}", found.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "bt" || e == "h"));
    files.sort();
    files.iter().map(|p| read(p)).collect()
}
