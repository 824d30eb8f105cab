//! What this process may do: capabilities, sysctls, lockdown; and what to change when something is refused.

use crate::error::Result;
use crate::root::Root;

/// A capability of capabilities(7), by its bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// The name, `CAP_BPF`.
    pub name: &'static str,
    /// Bit in the masks of `/proc/PID/status`.
    pub bit: u32,
    /// What it is needed for here.
    pub purpose: &'static str,
}

/// Capabilities that tracing wants.
pub static CAPABILITIES: &[Capability] = &[
    Capability { name: "CAP_BPF", bit: 39, purpose: "load programs, create maps (since 5.8)" },
    Capability {
        name: "CAP_PERFMON",
        bit: 38,
        purpose: "trace the kernel, read kernel memory in programs (since 5.8)",
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        bit: 21,
        purpose: "uprobe_multi, ids of objects, tracefs; all of it before 5.8",
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        bit: 19,
        purpose: "read maps and binaries of other users' processes",
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        bit: 2,
        purpose: "read tracefs and binaries that only root may read",
    },
    Capability { name: "CAP_SYSLOG", bit: 34, purpose: "see kernel addresses" },
    Capability { name: "CAP_SYS_RESOURCE", bit: 24, purpose: "raise the locked memory limit (before 5.11)" },
];

/// State of the kernel's lockdown (kernel_lockdown(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockdown {
    /// Off, or the kernel has none.
    None,
    /// User space may not modify the kernel: no `bpf_probe_write_user`, perhaps no fentry.
    Integrity,
    /// Also no reading: most of BPF tracing is refused.
    Confidentiality,
}

/// Something that restricts tracing, and what lifts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found, e.g. `kernel.perf_event_paranoid is 4`.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// What is allowed to this process, as far as files tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileges {
    /// Effective capabilities as bits.
    pub effective: u64,
    /// `kernel.perf_event_paranoid`, when readable.
    pub perf_event_paranoid: Option<i64>,
    /// `kernel.unprivileged_bpf_disabled`, when readable.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// `kernel.kptr_restrict`, when readable.
    pub kptr_restrict: Option<i64>,
    /// Lockdown state.
    pub lockdown: Lockdown,
}

impl Privileges {
    /// Reads `/proc/self/status`, the sysctls and lockdown below `root`. What is unreadable counts as unknown.
    pub fn read(root: &Root) -> Privileges {
        Privileges {
            effective: root.read_text("/proc/self/status").map_or(0, |s| effective_mask(&s)),
            perf_event_paranoid: sysctl(root, "kernel/perf_event_paranoid").ok(),
            unprivileged_bpf_disabled: sysctl(root, "kernel/unprivileged_bpf_disabled").ok(),
            kptr_restrict: sysctl(root, "kernel/kptr_restrict").ok(),
            lockdown: root
                .read_text("/sys/kernel/security/lockdown")
                .map_or(Lockdown::None, |s| lockdown_of(&s)),
        }
    }

    /// Whether the capability `CAP_...` is effective.
    pub fn has(&self, name: &str) -> bool {
        CAPABILITIES.iter().any(|c| c.name == name && self.effective & (1 << c.bit) != 0)
    }

    /// Whether BPF tracing is allowed at all by the capabilities.
    pub fn can_trace(&self) -> bool {
        self.has("CAP_SYS_ADMIN") || (self.has("CAP_BPF") && self.has("CAP_PERFMON"))
    }

    /// The capabilities without which nothing can be traced.
    pub fn missing(&self) -> Option<Finding> {
        if self.can_trace() {
            return None;
        }
        let lacking: Vec<&str> = ["CAP_BPF", "CAP_PERFMON"].into_iter().filter(|c| !self.has(c)).collect();
        let verb = if lacking.len() == 1 { "is" } else { "are" };
        Some(Finding {
            what: format!("{} (or CAP_SYS_ADMIN) {verb} missing", lacking.join(" and ")),
            remedy: "run as root, e.g. with sudo, or give the program what it needs: \
                     setcap cap_bpf,cap_perfmon,cap_dac_read_search+ep FILE"
                .into(),
        })
    }

    /// Everything that restricts tracing.
    pub fn findings(&self) -> Vec<Finding> {
        let mut out = Vec::new();
        out.extend(self.missing());
        match self.lockdown {
            Lockdown::None => {}
            Lockdown::Integrity => out.push(Finding {
                what: "the kernel is locked down (integrity)".into(),
                remedy: "function probes and user-memory writes may be refused; boot with lockdown off (disable Secure \
                         Boot) to lift it"
                    .into(),
            }),
            Lockdown::Confidentiality => out.push(Finding {
                what: "the kernel is locked down (confidentiality)".into(),
                remedy: "programs may not read the kernel; boot with lockdown=integrity or none".into(),
            }),
        }
        if let Some(level) = self.perf_event_paranoid.filter(|l| *l > 2 && !self.can_trace()) {
            out.push(Finding {
                what: format!("kernel.perf_event_paranoid is {level}"),
                remedy: "sysctl kernel.perf_event_paranoid=2 or lower, or run as root".into(),
            });
        }
        if self.unprivileged_bpf_disabled.is_some_and(|v| v != 0) && !self.can_trace() {
            out.push(Finding {
                what: "kernel.unprivileged_bpf_disabled is set".into(),
                remedy: "run as root; programs of ordinary users could not trace anyway".into(),
            });
        }
        out
    }
}

/// One sentence for an `EPERM`: what is missing and the remedy.
pub fn remedy(root: &Root) -> String {
    let p = Privileges::read(root);
    match p.findings().into_iter().next() {
        Some(f) => format!("{}: {}", f.what, f.remedy),
        None => "the kernel refuses it in spite of all capabilities: a security module, seccomp, a container or the \
                 kernel's configuration forbids it"
            .into(),
    }
}

/// A number below `/proc/sys`; `name` with slashes.
pub fn sysctl(root: &Root, name: &str) -> Result<i64> {
    let path = format!("/proc/sys/{name}");
    let text = root.read_text(&path)?;
    text.trim()
        .parse()
        .map_err(|_| crate::error::Error::other("parse", path, format!("`{}` is no number", text.trim())))
}

/// Raises the limit of locked memory, which kernels before 5.11 charge maps against. Best effort and silent: newer
/// kernels don't need it and containers may forbid it.
pub fn raise_memlock() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the struct lives for the call; setrlimit only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &unlimited) } == 0 {
        return;
    }
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct lives for the call; getrlimit fills it.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut now) } == 0 {
        now.rlim_cur = now.rlim_max;
        // SAFETY: as above.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &now) };
    }
}

/// Raises the limit of open files to its hard limit: per-CPU events need many. Best effort and silent.
pub fn raise_nofile() {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct lives for the call; getrlimit fills it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut now) } == 0 && now.rlim_cur < now.rlim_max {
        now.rlim_cur = now.rlim_max;
        // SAFETY: the struct lives for the call; setrlimit only reads it.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &now) };
    }
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn effective_mask(status: &str) -> u64 {
    status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|v| u64::from_str_radix(v.trim(), 16).ok())
        .unwrap_or(0)
}

/// The state in brackets of `none [integrity] confidentiality`.
fn lockdown_of(text: &str) -> Lockdown {
    if text.contains("[integrity]") {
        Lockdown::Integrity
    } else if text.contains("[confidentiality]") {
        Lockdown::Confidentiality
    } else {
        Lockdown::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_states_are_read() {
        assert_eq!(effective_mask("Name:\tx\nCapEff:\t000001ffffffffff\n"), 0x1ff_ffff_ffff);
        assert_eq!(effective_mask("CapEff:\tzz\n"), 0);
        assert_eq!(lockdown_of("none [integrity] confidentiality\n"), Lockdown::Integrity);
        assert_eq!(lockdown_of("[none] integrity confidentiality\n"), Lockdown::None);
        assert_eq!(lockdown_of(""), Lockdown::None);
    }

    #[test]
    fn an_ordinary_user_is_told_to_become_root() {
        let p = Privileges {
            effective: 0,
            perf_event_paranoid: Some(4),
            unprivileged_bpf_disabled: Some(2),
            kptr_restrict: Some(1),
            lockdown: Lockdown::None,
        };
        assert!(!p.can_trace());
        let text: Vec<String> = p.findings().into_iter().map(|f| f.remedy).collect();
        assert_eq!(text.len(), 3);
        assert!(text[0].contains("root"), "{text:?}");
    }

    #[test]
    fn bpf_and_perfmon_are_enough() {
        let p = Privileges {
            effective: 1 << 39 | 1 << 38,
            perf_event_paranoid: Some(4),
            unprivileged_bpf_disabled: Some(2),
            kptr_restrict: None,
            lockdown: Lockdown::None,
        };
        assert!(p.can_trace() && p.has("CAP_BPF") && !p.has("CAP_SYS_ADMIN"));
        assert!(p.findings().is_empty());
    }
}
