//! What the machine offers to the tests, made ready where that is possible: tracefs is mounted, the peer looked up.

use fathom_kernel::{caps, cpu, tracefs::Tracefs, Root};
use std::path::{Path, PathBuf};

/// The findings.
pub struct Environment {
    /// `Ok`, or why programs cannot be loaded.
    pub bpf: Result<(), String>,
    /// Where tracefs is, or why it is nowhere.
    pub tracefs: Result<PathBuf, String>,
    /// bpftrace, for comparison.
    pub peer: Option<PathBuf>,
    /// python3, for the conformance runner.
    pub python: Option<PathBuf>,
    is_root: bool,
}

impl Environment {
    /// Looks, and mounts tracefs if it is not mounted yet.
    pub fn prepare() -> Environment {
        Environment {
            bpf: bpf(),
            tracefs: tracefs(),
            peer: find_program("bpftrace"),
            python: find_program("python3"),
            is_root: caps::is_root(),
        }
    }

    /// Why nothing can be traced here; `None` if it can.
    pub fn obstacle(&self) -> Option<String> {
        self.bpf.as_ref().err().cloned().or_else(|| self.tracefs.as_ref().err().cloned())
    }

    /// Tells what was found.
    pub fn print(&self) {
        let kernel = fathom_kernel::uname::Uname::of_host();
        let cpus = cpu::possible_count();
        println!("kernel:    {} {}, {cpus} CPUs", kernel.release, kernel.machine);
        println!(
            "root:      {}",
            if self.is_root { "yes" } else { "no: tests on the live kernel are skipped" }
        );
        match &self.bpf {
            Ok(()) => println!("BPF:       usable"),
            Err(why) => println!("BPF:       not usable: {why}"),
        }
        match &self.tracefs {
            Ok(path) => println!("tracefs:   {}", path.display()),
            Err(why) => println!("tracefs:   {why}"),
        }
        let shown =
            |p: &Option<PathBuf>| p.as_ref().map_or("not installed".to_owned(), |p| p.display().to_string());
        println!("bpftrace:  {} (only compared with, never needed)", shown(&self.peer));
        println!("python3:   {} (conformance cases only)", shown(&self.python));
    }
}

/// Whether a program can be loaded, tried with the smallest one.
fn bpf() -> Result<(), String> {
    use fathom_bpf::kinds::ProgKind;
    use fathom_kernel::prog::{Prog, ProgSpec};
    let root = Root::host();
    if !caps::Privileges::read(&root).can_trace() {
        return Err(caps::remedy(&root));
    }
    let insns = fathom_bpf::asm::assemble("r0 = 0\nexit").map_err(|e| e.to_string())?;
    Prog::load(&ProgSpec::new("xtask_probe", ProgKind::RAW_TRACEPOINT, &insns))
        .map(drop)
        .map_err(|e| e.to_string())
}

fn tracefs() -> Result<PathBuf, String> {
    match Tracefs::find_or_mount(&Root::host()) {
        Ok(found) => Ok(found.dir().to_owned()),
        Err(e) => Err(format!("{e}; as root: mount -t tracefs nodev /sys/kernel/tracing")),
    }
}

/// A program of `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| is_executable(p))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
