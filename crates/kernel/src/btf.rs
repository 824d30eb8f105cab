//! Kernel BTF as bytes: map or copy `vmlinux` and modules, load own blobs, find a type by name.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Error, Result};
use crate::root::Root;
use crate::sys::attr::{self, Cmd};
use crate::sys::call::{bpf_fd, mut_ptr_of, ptr_of, text_of};
use crate::sys::mmap::Mmap;
use crate::sys::objects;

/// Folder with `vmlinux` and a file per module.
const DIR: &str = "/sys/kernel/btf";

/// How the bytes were got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// mmap of sysfs (6.16 and newer).
    Mapped,
    /// One copy through bpf(2).
    Copied,
    /// read(2) of the file.
    Read,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap, usize),
    Owned(Vec<u8>),
}

/// The BTF of the kernel or of a module; derefs to its bytes.
#[derive(Debug)]
pub struct KernelBtf {
    bytes: Bytes,
    source: Source,
}

impl KernelBtf {
    /// The kernel's own BTF, the cheapest way that works: mmap, copy by bpf(2), read.
    pub fn vmlinux(root: &Root) -> Result<KernelBtf> {
        KernelBtf::named(root, "vmlinux").map_err(|e| {
            e.with_hint("typed probes and struct access need a kernel with CONFIG_DEBUG_INFO_BTF=y")
        })
    }

    /// A module's BTF: it continues the numbering and strings of `vmlinux`.
    pub fn module(root: &Root, name: &str) -> Result<KernelBtf> {
        KernelBtf::named(root, name)
    }

    fn named(root: &Root, name: &str) -> Result<KernelBtf> {
        let path = root.path(format!("{DIR}/{name}"));
        let shown = path.display().to_string();
        let file = File::open(&path).map_err(|e| Error::io("open", shown.clone(), &e))?;
        let len = file.metadata().map_err(|e| Error::io("stat", shown.clone(), &e))?.len();
        let len = usize::try_from(len).unwrap_or(0);
        if root.is_host() && len > 0 {
            if let Ok(map) = Mmap::map_private(file.as_fd(), len) {
                return Ok(KernelBtf { bytes: Bytes::Mapped(map, len), source: Source::Mapped });
            }
            if let Ok(Some((fd, _))) = kernel_object(name) {
                if let Ok(copy) = copy_of(&fd) {
                    return Ok(KernelBtf { bytes: Bytes::Owned(copy), source: Source::Copied });
                }
            }
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", shown, &e))?;
        Ok(KernelBtf { bytes: Bytes::Owned(bytes), source: Source::Read })
    }

    /// How the bytes were got.
    pub fn source(&self) -> Source {
        self.source
    }
}

impl Deref for KernelBtf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Owned(v) => v,
            // SAFETY: the mapped file is the kernel's read-only BTF section, which never changes.
            Bytes::Mapped(m, len) => unsafe { m.stable(0, *len) }.unwrap_or(&[]),
        }
    }
}

impl AsRef<[u8]> for KernelBtf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Names of the modules that have BTF.
pub fn modules(root: &Root) -> Result<Vec<String>> {
    let mut names = root.list(DIR)?;
    names.retain(|n| n != "vmlinux");
    Ok(names)
}

/// A descriptor of the BTF of a loaded module, for `attach_btf` and `fd_array`. `Ok(None)` when no such module has BTF.
pub fn module_fd(name: &str) -> Result<Option<OwnedFd>> {
    Ok(kernel_object(name)?.map(|(fd, _)| fd))
}

/// Loads BTF of own types. The error carries the kernel's log.
pub fn load(bytes: &[u8]) -> Result<OwnedFd> {
    const OP: &str = "load BTF";
    let size = u32::try_from(bytes.len()).map_err(|_| Error::new(OP, "", libc::E2BIG))?;
    let mut a = attr::BtfLoad { btf: ptr_of(bytes), btf_size: size, ..Default::default() };
    // SAFETY: `btf` points to `btf_size` bytes that the kernel only reads; the command returns a descriptor.
    let errno = match unsafe { bpf_fd(Cmd::BtfLoad, &mut a) } {
        Ok(fd) => return Ok(fd),
        Err(e) => e,
    };
    let mut log = vec![0u8; 1 << 20];
    a.btf_log_level = 1;
    a.btf_log_size = log.len() as u32;
    a.btf_log_buf = mut_ptr_of(&mut log);
    // SAFETY: as above; the log buffer has `btf_log_size` bytes.
    match unsafe { bpf_fd(Cmd::BtfLoad, &mut a) } {
        Ok(fd) => Ok(fd),
        Err(_) => Err(Error { log: text_of(&log), ..Error::new(OP, "of the program's types", errno) }),
    }
}

/// The kernel's BTF object of this name: descriptor and id.
fn kernel_object(name: &str) -> Result<Option<(OwnedFd, u32)>> {
    for id in objects::ids(Cmd::BtfGetNextId, "list BTF objects")? {
        // An object may go away between the two calls.
        let Ok(fd) = objects::fd_by_id(Cmd::BtfGetFdById, "open BTF", id) else { continue };
        let mut buffer = [0u8; 64];
        let mut raw = attr::BtfInfo {
            name: mut_ptr_of(&mut buffer),
            name_len: buffer.len() as u32,
            ..Default::default()
        };
        objects::info(fd.as_fd(), &mut raw, "inspect BTF")?;
        if raw.kernel_btf != 0 && text_of(&buffer) == name {
            return Ok(Some((fd, id)));
        }
    }
    Ok(None)
}

fn copy_of(fd: &OwnedFd) -> Result<Vec<u8>> {
    let mut raw = attr::BtfInfo::default();
    objects::info(fd.as_fd(), &mut raw, "inspect BTF")?;
    let mut out = vec![0u8; raw.btf_size as usize];
    let mut raw = attr::BtfInfo { btf: mut_ptr_of(&mut out), btf_size: raw.btf_size, ..Default::default() };
    objects::info(fd.as_fd(), &mut raw, "copy BTF")?;
    out.truncate(raw.btf_size as usize);
    Ok(out)
}

/// Kinds of BTF types that [`find`] is asked for (`BTF_KIND_*`).
pub mod kind {
    /// A structure.
    pub const STRUCT: u32 = 4;
    /// A typedef, e.g. `btf_trace_sched_switch`.
    pub const TYPEDEF: u32 = 8;
    /// A function.
    pub const FUNC: u32 = 12;
}

/// Id of the type of this kind and name in a base BTF (not a module's); `None` when absent or the bytes are malformed.
/// A plain scan: this is for feature probes; symbol work has an index.
pub fn find(btf: &[u8], kind: u32, name: &str) -> Option<u32> {
    let u32_at = |at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(btf.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let u16_at =
        |at: usize| -> Option<u16> { Some(u16::from_ne_bytes(btf.get(at..at + 2)?.try_into().ok()?)) };
    if u16_at(0)? != 0xeb9f {
        return None;
    }
    let header = u32_at(4)? as usize;
    let types = header.checked_add(u32_at(8)? as usize)?;
    let types_end = types.checked_add(u32_at(12)? as usize)?;
    let strings = header.checked_add(u32_at(16)? as usize)?;
    let strings_end = strings.checked_add(u32_at(20)? as usize)?;
    let strings = btf.get(strings..strings_end)?;
    let (mut at, mut id) = (types, 1u32);
    while at < types_end {
        let (name_at, info, extra) = (u32_at(at)? as usize, u32_at(at + 4)?, 12);
        let (this, vlen) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        if this == kind {
            let rest = strings.get(name_at..).unwrap_or(&[]);
            if rest.get(..name.len()) == Some(name.as_bytes()) && rest.get(name.len()) == Some(&0) {
                return Some(id);
            }
        }
        let tail = match this {
            1 | 14 | 17 => 4,
            3 => 12,
            4 | 5 | 15 | 19 => vlen * 12,
            6 | 13 => vlen * 8,
            _ => 0,
        };
        at = at.checked_add(extra + tail)?;
        id = id.checked_add(1)?;
    }
    None
}

/// A BTF with two types: 1 is a 4-byte, 2 an 8-byte integer. For maps that want types.
pub fn two_ints() -> Vec<u8> {
    let strings = b"\0int\0long\0";
    let types: [u32; 8] = [1, 1 << 24, 4, 1 << 24 | 32, 5, 1 << 24, 8, 1 << 24 | 64];
    let mut out = Vec::new();
    out.extend(0xeb9fu16.to_ne_bytes());
    out.extend([1, 0]);
    for word in [24, 0, 32, 32, strings.len() as u32] {
        out.extend(u32::to_ne_bytes(word));
    }
    types.iter().for_each(|t| out.extend(t.to_ne_bytes()));
    out.extend(strings);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Vec<u8> {
        let strings = b"\0int\0my_func\0";
        let mut types: Vec<u32> = vec![1, 1 << 24, 4, 32 | 1 << 24]; // 1: int
        types.extend([0, 13 << 24, 1]); // 2: FUNC_PROTO without arguments
        types.extend([5, 12 << 24, 2]); // 3: FUNC my_func
        let mut out = Vec::new();
        out.extend(0xeb9fu16.to_ne_bytes());
        out.extend([1, 0]);
        for v in [24, 0, types.len() as u32 * 4, types.len() as u32 * 4, strings.len() as u32] {
            out.extend(v.to_ne_bytes());
        }
        types.iter().for_each(|t| out.extend(t.to_ne_bytes()));
        out.extend(strings);
        out
    }

    #[test]
    fn types_are_found_by_kind_and_whole_name() {
        let b = blob();
        assert_eq!(find(&b, kind::FUNC, "my_func"), Some(3));
        assert_eq!(find(&b, kind::FUNC, "my_fun"), None);
        assert_eq!(find(&b, kind::STRUCT, "my_func"), None);
    }

    #[test]
    fn damaged_blobs_are_no_panic() {
        let b = blob();
        for cut in 0..b.len() {
            find(&b[..cut], kind::FUNC, "zzz");
        }
        for i in 0..b.len() {
            let mut bad = b.clone();
            bad[i] = 0xff;
            find(&bad, kind::FUNC, "my_func");
        }
    }
}
