//! Programs and libraries: found as the shell and the loader find them, read once, asked for symbols and USDT probes.

use crate::wildcard;
use fathom_kernel::Root;
use fathom_symbols::elf::Elf;
use fathom_symbols::ldcache::LdCache;
use fathom_symbols::Bytes;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
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
        // A process knows best which of several libraries of this name it uses.
        let mapped = pid.and_then(|pid| self.mapped_by(pid).into_iter().find(|p| is_library(p, name)));
        if let Some(mapped) = mapped {
            return vec![mapped];
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
            let path = std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_owned());
            let dirs = path.split(':').filter(|dir| dir.starts_with('/'));
            let found: Vec<PathBuf> =
                dirs.flat_map(|dir| self.expand(&format!("{dir}/{pattern}"), pid)).collect();
            return distinct(found);
        }
        let start = if pattern.starts_with('/') { "/" } else { "" };
        let mut found = vec![PathBuf::from(start)];
        for part in pattern.split('/').filter(|p| !p.is_empty()) {
            let mut next = Vec::new();
            for dir in &found {
                if !wildcard::is_pattern(part) {
                    next.push(dir.join(part));
                    continue;
                }
                let looked_in = if dir.as_os_str().is_empty() { Path::new(".") } else { dir.as_path() };
                let Ok(entries) = std::fs::read_dir(looked_in) else { continue };
                let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
                let mut names: Vec<String> = names.filter(|n| wildcard::matches(part, n)).collect();
                names.sort();
                next.extend(names.into_iter().map(|n| dir.join(n)));
            }
            found = next;
        }
        distinct(found.into_iter().map(|p| self.in_namespace(&p, pid)).filter(|p| p.is_file()).collect())
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

/// The paths without those that lead to a file that came before: probes would fire twice.
fn distinct(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = HashSet::new();
    let is_new = |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| seen.insert((m.dev(), m.ino())));
    paths.into_iter().filter(is_new).collect()
}

/// Whether a file is the library that `name` means: `libc` is `libc.so.6`, `libssl.so.3` only itself.
fn is_library(path: &Path, name: &str) -> bool {
    let file = path.file_name().and_then(|f| f.to_str()).unwrap_or_default();
    match file.strip_prefix(name) {
        Some("") => true,
        Some(rest) => name.starts_with("lib") && (rest.starts_with(".so") || rest.starts_with('-')),
        None => false,
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
    let read = |p: &Path| Ok((p.display().to_string(), read_source(p)?));
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

/// Most bytes of an imported file.
const SOURCE_BYTES_MAX: u64 = 16 << 20;

/// Reads a source file: a regular one, for devices and pipes may never end.
fn read_source(path: &Path) -> Result<String, String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let meta = std::fs::metadata(path).map_err(|e| fail(&e))?;
    if !meta.is_file() {
        return Err(fail(&"not a regular file"));
    }
    if meta.len() > SOURCE_BYTES_MAX {
        return Err(fail(&format_args!("{} bytes are too many for a source file", meta.len())));
    }
    std::fs::read_to_string(path).map_err(|e| fail(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_named_without_version() {
        let is = |path: &str, name: &str| is_library(Path::new(path), name);
        assert!(is("/lib/x86_64-linux-gnu/libc.so.6", "libc"));
        assert!(is("/lib/libc-2.31.so", "libc"));
        assert!(is("/lib/libssl.so.3", "libssl.so.3"));
        assert!(!is("/lib/libssl.so.3", "libssl.so.1"));
        assert!(!is("/lib/libcrypt.so.1", "libc"));
        assert!(!is("/usr/bin/python3.11", "python3"));
    }

    #[test]
    fn patterns_give_each_file_once() {
        let dir = std::env::temp_dir().join(format!("fathom-binaries-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("aa"), "x").unwrap();
        std::fs::write(dir.join("ab"), "x").unwrap();
        let _ = std::fs::remove_file(dir.join("ac"));
        std::os::unix::fs::symlink(dir.join("aa"), dir.join("ac")).unwrap();
        let binaries = Binaries::new(Root::host(), Vec::new());
        let found = binaries.find(&format!("{}/a*", dir.display()), None);
        assert_eq!(found, [dir.join("aa"), dir.join("ab")]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
