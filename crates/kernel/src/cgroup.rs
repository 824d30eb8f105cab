//! Control groups: where the hierarchies are mounted, ids of paths and paths of ids.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::root::Root;

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// `unified` for version 2; the controllers for version 1, e.g. `cpu,cpuacct`.
    pub name: String,
    /// Mount point.
    pub dir: PathBuf,
}

/// The mounted hierarchies, the unified one first.
pub fn hierarchies(root: &Root) -> Result<Vec<Hierarchy>> {
    let mut out = parse_mounts(&root.read_text("/proc/mounts")?);
    for h in &mut out {
        h.dir = root.path(&h.dir);
    }
    Ok(out)
}

/// The id of a cgroup as `get_current_cgroup_id` gives it: the inode number of its folder. `path` is absolute.
pub fn id_of(path: &Path) -> Result<u64> {
    let meta =
        std::fs::metadata(path).map_err(|e| Error::io("find cgroup", path.display().to_string(), &e))?;
    if !meta.is_dir() {
        return Err(Error::other(
            "find cgroup",
            path.display().to_string(),
            "it is no folder of a cgroup file system",
        ));
    }
    Ok(meta.ino())
}

impl Hierarchy {
    /// The path of a cgroup below the mount point, `/` for its root; `None` when the id is not (or no longer) in this
    /// hierarchy. One system call for root on version 2, else a walk over all folders.
    pub fn path_of(&self, id: u64) -> Option<String> {
        let found = self.by_handle(id).or_else(|| find_inode(&self.dir, id, 64))?;
        let below = found.strip_prefix(&self.dir).ok()?;
        Some(format!("/{}", below.display()))
    }

    /// open_by_handle_at(2): kernfs takes the id itself as a handle (5.5).
    fn by_handle(&self, id: u64) -> Option<PathBuf> {
        #[repr(C)]
        struct Handle {
            bytes: u32,
            kind: i32,
            id: [u8; 8],
        }
        const FILEID_KERNFS: i32 = 0xfe;
        let mount = File::open(&self.dir).ok()?;
        let mut handle = Handle { bytes: 8, kind: FILEID_KERNFS, id: id.to_ne_bytes() };
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the handle lives for the call and says how many bytes follow its head.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_raw_fd(),
                std::ptr::from_mut(&mut handle),
                flags,
            )
        };
        if fd < 0 {
            return None;
        }
        // SAFETY: the kernel just returned this descriptor and nothing else owns it.
        let folder = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()
    }
}

/// The folder with this inode at or below `dir`; at most `depth` levels down, symbolic links not followed.
fn find_inode(dir: &Path, id: u64, depth: u32) -> Option<PathBuf> {
    if std::fs::metadata(dir).ok()?.ino() == id {
        return Some(dir.to_path_buf());
    }
    if depth == 0 {
        return None;
    }
    std::fs::read_dir(dir)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .find_map(|entry| find_inode(&entry.path(), id, depth - 1))
}

fn parse_mounts(mounts: &str) -> Vec<Hierarchy> {
    /// Mount options that are no controllers.
    const OPTIONS: &[&str] = &[
        "rw",
        "ro",
        "nosuid",
        "nodev",
        "noexec",
        "relatime",
        "noatime",
        "xattr",
        "clone_children",
        "seclabel",
    ];
    let mut out = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split_whitespace().take(4).collect();
        let [_, dir, kind, options] = fields.as_slice() else { continue };
        let name = match *kind {
            "cgroup2" => "unified".to_string(),
            "cgroup" => {
                let controllers: Vec<&str> = options
                    .split(',')
                    .filter(|o| !OPTIONS.contains(o) && !o.starts_with("release_agent="))
                    .map(|o| o.strip_prefix("name=").unwrap_or(o))
                    .collect();
                controllers.join(",")
            }
            _ => continue,
        };
        out.push(Hierarchy { name, dir: PathBuf::from(crate::tracefs::unescape(dir)) });
    }
    out.sort_by_key(|h| h.name != "unified");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions() {
        let text = "x / ext4 rw 0 0\ncgroup /cg/cpu cgroup rw,nosuid,cpu,cpuacct 0 0\n\
                    cgroup /cg/systemd cgroup rw,xattr,release_agent=/x,name=systemd 0 0\ncg2 /cg\\040two cgroup2 rw 0 0\n";
        let got: Vec<(String, PathBuf)> = parse_mounts(text).into_iter().map(|h| (h.name, h.dir)).collect();
        let want = [("unified", "/cg two"), ("cpu,cpuacct", "/cg/cpu"), ("systemd", "/cg/systemd")];
        assert_eq!(got, want.map(|(n, d)| (n.to_string(), PathBuf::from(d))));
    }

    #[test]
    fn paths_of_ids_lead_back() {
        let base = std::env::temp_dir().join(format!("fathom-cgroup-{}", std::process::id()));
        let leaf = base.join("a/b");
        std::fs::create_dir_all(&leaf).unwrap();
        let h = Hierarchy { name: "unified".into(), dir: base.clone() };
        assert_eq!(h.path_of(id_of(&leaf).unwrap()).as_deref(), Some("/a/b"));
        assert_eq!(h.path_of(id_of(&base).unwrap()).as_deref(), Some("/"));
        assert_eq!(h.path_of(u64::MAX), None);
        std::fs::remove_dir_all(&base).unwrap();
        assert!(id_of(&leaf).is_err());
    }

    #[test]
    fn real_hierarchies_resolve() {
        for h in hierarchies(&Root::host()).unwrap_or_default() {
            let Some(child) = crate::root::list_dir(&h.dir)
                .unwrap_or_default()
                .into_iter()
                .map(|n| h.dir.join(n))
                .find(|p| p.is_dir())
            else {
                continue;
            };
            let want = format!("/{}", child.file_name().unwrap().to_string_lossy());
            assert_eq!(h.path_of(id_of(&child).unwrap()), Some(want));
        }
    }
}
