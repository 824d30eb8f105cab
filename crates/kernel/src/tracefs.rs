//! Tracefs: where it is mounted, which tracepoints and functions it lists, ids and formats.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::root::{list_dir, Root};
use crate::sys::mount::mount;

/// A mounted tracefs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracefs {
    dir: PathBuf,
}

/// Where it is usually, best first.
static USUAL: &[&str] = &["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

impl Tracefs {
    /// Finds a mounted tracefs: at its usual places, then wherever `/proc/mounts` says.
    pub fn find(root: &Root) -> Result<Tracefs> {
        let usable = |dir: &Path| dir.join("events").is_dir();
        for place in USUAL {
            let dir = root.path(place);
            if usable(&dir) {
                return Ok(Tracefs { dir });
            }
        }
        let mounts = root.read_text("/proc/mounts").unwrap_or_default();
        for mount in mount_points(&mounts) {
            let dir = root.path(&mount);
            if usable(&dir) {
                return Ok(Tracefs { dir });
            }
        }
        Err(match mount_points(&mounts).into_iter().next() {
            Some(place) => {
                Error::other("read tracefs", place.clone(), "this user may not").with_hint(format!(
                "run as root, or with CAP_DAC_READ_SEARCH; or, as root: mount -o remount,mode=755 {place}"
            ))
            }
            None => Error::other("find tracefs", "", "it is not mounted")
                .with_hint("as root: mount -t tracefs nodev /sys/kernel/tracing"),
        })
    }

    /// Finds it, or mounts it at `/sys/kernel/tracing` (needs root).
    pub fn find_or_mount(root: &Root) -> Result<Tracefs> {
        let missing = match Tracefs::find(root) {
            Ok(found) => return Ok(found),
            Err(e) => e,
        };
        if !root.is_host() || !crate::caps::is_root() {
            return Err(missing);
        }
        mount("tracefs", "/sys/kernel/tracing")?;
        Tracefs::find(root)
    }

    /// The mount point.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Categories of tracepoints, sorted.
    pub fn categories(&self) -> Result<Vec<String>> {
        let mut out = list_dir(&self.dir.join("events"))?;
        out.retain(|name| self.dir.join("events").join(name).is_dir());
        Ok(out)
    }

    /// Tracepoints of a category, sorted.
    pub fn events(&self, category: &str) -> Result<Vec<String>> {
        let dir = self.event_dir(category, "")?;
        let mut out = list_dir(&dir)?;
        out.retain(|name| dir.join(name).join("format").exists());
        Ok(out)
    }

    /// All tracepoints as pairs of category and name, from one file (`available_events`), sorted.
    pub fn all_events(&self) -> Result<Vec<(String, String)>> {
        let text = self.read("available_events")?;
        let mut out: Vec<(String, String)> = text
            .lines()
            .filter_map(|l| l.trim().split_once(':'))
            .map(|(category, name)| (category.to_string(), name.to_string()))
            .collect();
        out.sort();
        Ok(out)
    }

    /// Whether there is such a tracepoint.
    pub fn has_event(&self, category: &str, name: &str) -> bool {
        self.event_dir(category, name).is_ok_and(|d| d.join("format").exists())
    }

    /// The number of a tracepoint, for perf_event_open(2).
    pub fn event_id(&self, category: &str, name: &str) -> Result<u64> {
        let path = self.event_dir(category, name)?.join("id");
        let text = read_event_file(&path, category, name)?;
        text.trim().parse().map_err(|_| {
            Error::other("parse", path.display().to_string(), format!("`{}` is no number", text.trim()))
        })
    }

    /// The format file of a tracepoint: its fields with offsets and sizes.
    pub fn event_format(&self, category: &str, name: &str) -> Result<String> {
        read_event_file(&self.event_dir(category, name)?.join("format"), category, name)
    }

    /// The text of `available_filter_functions`: a function per line, ` [module]` behind it for modules. It is long
    /// and slow to make (tens of ms): never read it when starting a script that doesn't need it.
    pub fn available_filter_functions(&self) -> Result<String> {
        self.read("available_filter_functions").map_err(|e| {
            if e.errno == libc::ENOENT {
                e.with_hint("this kernel lacks the function tracer (CONFIG_FUNCTION_TRACER)")
            } else {
                e
            }
        })
    }

    /// A file below the mount point as text.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.dir.join(name);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", path.display().to_string(), &e))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The folder of an event; names come from scripts and may not leave the `events` folder.
    fn event_dir(&self, category: &str, name: &str) -> Result<PathBuf> {
        let bad = |part: &str| part.contains('/') || part == "." || part == ".." || part.contains('\0');
        if bad(category) || bad(name) || category.is_empty() {
            return Err(Error::other(
                "find tracepoint",
                format!("{category}:{name}"),
                "the name is malformed",
            ));
        }
        let dir = self.dir.join("events").join(category);
        Ok(if name.is_empty() { dir } else { dir.join(name) })
    }
}

fn read_event_file(path: &Path, category: &str, name: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        let error = Error::io("find tracepoint", format!("{category}:{name}"), &e);
        if error.errno == libc::ENOENT {
            error.with_hint(format!("`fathom list 'tracepoint:{category}:*'` lists those of this kernel"))
        } else {
            error
        }
    })
}

/// Mount points of tracefs in the text of `/proc/mounts`, escapes undone.
fn mount_points(mounts: &str) -> Vec<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
            match kind {
                "tracefs" => Some(unescape(place)),
                "debugfs" => Some(format!("{}/tracing", unescape(place))),
                _ => None,
            }
        })
        .collect()
}

/// Undoes the octal escapes of `/proc/mounts` (`\040` for a space).
pub(crate) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 4).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(code) if *b == b'\\' => {
                out.push(code);
                at += 4;
            }
            _ => {
                out.push(*b);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn fixture(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("fathom-tracefs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn a_fixture_stands_for_the_kernel() {
        let dir = fixture("usual");
        let event = dir.join("sys/kernel/tracing/events/sched/sched_switch");
        fs::create_dir_all(&event).unwrap();
        fs::write(event.join("id"), "316\n").unwrap();
        fs::write(event.join("format"), "name: sched_switch\n").unwrap();
        fs::write(dir.join("sys/kernel/tracing/events/enable"), "0").unwrap();
        fs::write(dir.join("sys/kernel/tracing/available_events"), "b:y\nsched:sched_switch\n").unwrap();
        let t = Tracefs::find(&Root::at(&dir)).unwrap();
        assert_eq!(t.categories().unwrap(), ["sched"]);
        assert_eq!(t.events("sched").unwrap(), ["sched_switch"]);
        assert_eq!(t.event_id("sched", "sched_switch").unwrap(), 316);
        assert!(t.has_event("sched", "sched_switch") && !t.has_event("sched", "nope"));
        assert_eq!(t.all_events().unwrap().len(), 2);
        let e = t.event_id("sched", "nope").unwrap_err();
        assert!(e.to_string().contains("sched:nope") && e.to_string().contains("fathom list"), "{e}");
        assert!(t.event_format("..", "x").is_err());
        assert!(t.event_format("sched", "../../id").is_err());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn odd_mount_points_are_found() {
        let dir = fixture("mounts");
        fs::create_dir_all(dir.join("mnt/my trace/events")).unwrap();
        fs::create_dir_all(dir.join("proc")).unwrap();
        fs::write(dir.join("proc/mounts"), "x / ext4 rw 0 0\nt /mnt/my\\040trace tracefs rw 0 0\n").unwrap();
        assert!(Tracefs::find(&Root::at(&dir)).unwrap().dir().ends_with("mnt/my trace"));
        fs::remove_dir_all(&dir).unwrap();
        assert!(Tracefs::find(&Root::at(&dir)).is_err());
        assert_eq!(unescape("a\\134\\"), "a\\\\");
    }
}
