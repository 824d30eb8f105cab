//! Which CPUs there are: the kernel's lists of possible and online ones.

use crate::error::{Error, Result};
use crate::root::Root;

/// CPUs that could ever come online: per-CPU map values have one slot for each of these, in order.
pub fn possible(root: &Root) -> Result<Vec<u32>> {
    list(root, "/sys/devices/system/cpu/possible")
}

/// CPUs that run now.
pub fn online(root: &Root) -> Result<Vec<u32>> {
    list(root, "/sys/devices/system/cpu/online")
}

/// Number of slots of a per-CPU value on the running system.
pub fn possible_count() -> usize {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *COUNT.get_or_init(|| {
        possible(&Root::host()).ok().map(|cpus| cpus.len()).filter(|n| *n > 0).unwrap_or_else(|| {
            // SAFETY: sysconf has no preconditions.
            let n = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
            usize::try_from(n).unwrap_or(1).max(1)
        })
    })
}

/// The CPU that this thread runs on.
pub fn current() -> u32 {
    // SAFETY: sched_getcpu has no preconditions.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

fn list(root: &Root, path: &str) -> Result<Vec<u32>> {
    let text = root.read_text(path)?;
    parse_list(text.trim())
        .ok_or_else(|| Error::other("parse", path, format!("`{}` is no list of CPUs", text.trim())))
}

/// The numbers of a list such as `0-3,8`; `None` when malformed. Ranges are limited to 65536 CPUs.
pub fn parse_list(text: &str) -> Option<Vec<u32>> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (from, to) = match part.split_once('-') {
            Some((a, b)) => (a.trim().parse::<u32>().ok()?, b.trim().parse::<u32>().ok()?),
            None => {
                let n = part.trim().parse::<u32>().ok()?;
                (n, n)
            }
        };
        if to < from || to - from >= 65536 || out.len() >= 65536 {
            return None;
        }
        out.extend(from..=to);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(parse_list("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("3-1"), None);
        assert_eq!(parse_list("0-4294967295"), None);
        assert_eq!(parse_list("x"), None);
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(possible_count() >= 1);
    }
}
