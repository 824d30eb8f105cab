//! Links: an attachment of a program as a guard that detaches on drop.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use fathom_bpf::kinds::{AttachKind, LinkKind};

use crate::error::{Error, Result};
use crate::perf::PerfEvent;
use crate::prog::Prog;
use crate::sys::attr::{self, Cmd, LinkHead};
use crate::sys::call::{bpf_fd, fd_u32, ptr_of, Attr};
use crate::sys::objects::{self, c_path, c_str};

/// An attachment. Dropping it detaches; how long that takes depends on the mechanism (DESIGN, "Cheapest mechanism").
#[derive(Debug)]
pub struct Link {
    /// The link, unless the kernel has none for this mechanism (perf events before 5.15).
    fd: Option<OwnedFd>,
    /// The perf event that fires the program, where there is one. Dropped behind the link.
    event: Option<PerfEvent>,
    object: String,
}

/// Where a multi-probe in a user binary goes. All slices that aren't empty have as many elements as `offsets`.
#[derive(Debug, Clone, Copy, Default)]
pub struct UprobeMulti<'a> {
    /// File offsets of the probed instructions.
    pub offsets: &'a [u64],
    /// File offsets of the USDT semaphores, 0 for none; or empty.
    pub ref_ctr_offsets: &'a [u64],
    /// Values for `get_attach_cookie`; or empty.
    pub cookies: &'a [u64],
    /// Only this process (thread group); 0 is all.
    pub pid: u32,
    /// Fire on return instead of entry.
    pub on_return: bool,
}

/// Which kernel functions a multi-probe goes to: by name or by address.
#[derive(Debug, Clone, Copy)]
pub enum KprobeTargets<'a> {
    /// Names as in `available_filter_functions`.
    Symbols(&'a [String]),
    /// Entry addresses as in kallsyms.
    Addresses(&'a [u64]),
}

/// A multi-probe of kernel functions.
#[derive(Debug, Clone, Copy)]
pub struct KprobeMulti<'a> {
    /// The functions.
    pub targets: KprobeTargets<'a>,
    /// Values for `get_attach_cookie`, one per target; or empty.
    pub cookies: &'a [u64],
    /// Fire on return instead of entry.
    pub on_return: bool,
}

/// What an iterator walks.
#[derive(Debug, Clone, Copy, Default)]
pub enum IterTarget<'a> {
    /// Everything.
    #[default]
    All,
    /// Elements of a map (`bpf_map_elem`, socket storage).
    Map(BorrowedFd<'a>),
    /// One thread (`task*` iterators, 6.1).
    Thread(u32),
    /// The threads of one process (`task*` iterators, 6.1).
    Process(u32),
    /// A cgroup and its descendants, parents first (`cgroup`, 6.1).
    CgroupDescendants(BorrowedFd<'a>),
    /// All cgroups, parents first (`cgroup`, 6.1).
    Cgroups,
}

/// What the kernel says about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Id, unique while it exists.
    pub id: u32,
    /// Kind.
    pub kind: LinkKind,
    /// Id of its program.
    pub prog_id: u32,
    /// Hits that were skipped; for kernel multi-probes (6.7), else `None`.
    pub missed: Option<u64>,
}

impl Link {
    pub(crate) fn new(fd: Option<OwnedFd>, event: Option<PerfEvent>, object: String) -> Link {
        Link { fd, event, object }
    }

    /// Attaches a raw tracepoint program to a tracepoint by name, e.g. `sys_enter`. A cookie other than 0 needs 6.10.
    pub fn raw_tracepoint(prog: &Prog, name: &str, cookie: u64) -> Result<Link> {
        const OP: &str = "attach raw tracepoint";
        let c_name = c_str(OP, name)?;
        let mut a = attr::RawTracepoint {
            name: c_name.as_ptr() as u64,
            prog_fd: fd_u32(prog.as_fd()),
            cookie,
            ..Default::default()
        };
        // SAFETY: `name` is a NUL-terminated string that lives for the call; the command returns a descriptor.
        let fd = unsafe { bpf_fd(Cmd::RawTracepointOpen, &mut a) }.map_err(|e| {
            let error = Error::new(OP, format!("`{name}`"), e);
            match e {
                libc::ENOENT => {
                    error.with_hint("no tracepoint has this name; `fathom list 'rawtracepoint:*'` lists them")
                }
                libc::EACCES => error.with_hint("the program reads behind the tracepoint's arguments"),
                _ => error,
            }
        })?;
        Ok(Link::new(Some(fd), None, name.to_string()))
    }

    /// Attaches a program whose target was given at load: typed raw tracepoint, fentry, fexit, modify-return, LSM.
    /// Falls back to `BPF_RAW_TRACEPOINT_OPEN` on kernels without such links when the cookie is 0.
    pub fn tracing(prog: &Prog, cookie: u64) -> Result<Link> {
        const OP: &str = "attach";
        let mut a = attr::LinkTracing { head: head(prog, 0), cookie, ..Default::default() };
        // SAFETY: no pointers in this attribute; the command returns a descriptor.
        let first = unsafe { bpf_fd(Cmd::LinkCreate, &mut a) };
        let fd = match first {
            Ok(fd) => fd,
            Err(e) if cookie != 0 || e != libc::EINVAL => return Err(Error::new(OP, prog_object(prog), e)),
            Err(e) => {
                let mut a = attr::RawTracepoint { prog_fd: fd_u32(prog.as_fd()), ..Default::default() };
                // SAFETY: the name is null, which is right for programs with a target; the command returns a descriptor.
                unsafe { bpf_fd(Cmd::RawTracepointOpen, &mut a) }
                    .map_err(|_| Error::new(OP, prog_object(prog), e))?
            }
        };
        Ok(Link::new(Some(fd), None, prog.name().to_string()))
    }

    /// Attaches a program to many kernel functions at once (5.18). A session program (`TRACE_KPROBE_SESSION`, 6.10)
    /// serves entry and return.
    pub fn kprobe_multi(prog: &Prog, spec: &KprobeMulti<'_>) -> Result<Link> {
        const OP: &str = "attach kernel multi-probe";
        let mut names = Vec::new();
        let mut a = attr::LinkKprobeMulti {
            head: head(prog, 0),
            flags: u32::from(spec.on_return),
            cookies: ptr_of(spec.cookies),
            ..Default::default()
        };
        let count = match spec.targets {
            KprobeTargets::Addresses(addrs) => {
                a.addrs = ptr_of(addrs);
                addrs.len()
            }
            KprobeTargets::Symbols(symbols) => {
                for s in symbols {
                    names.push(c_str(OP, s)?);
                }
                symbols.len()
            }
        };
        let pointers: Vec<u64> = names.iter().map(|n| n.as_ptr() as u64).collect();
        a.syms = ptr_of(&pointers);
        a.cnt = count_of(OP, count, &[spec.cookies.len()])?;
        let object = format!("{count} kernel functions");
        // SAFETY: `addrs` or `syms` (an array of pointers to strings in `names`) and `cookies` have `cnt` elements,
        // as checked by `count_of`, and live for the call.
        let fd = unsafe { link_create(&mut a) }.map_err(|e| {
            let error = Error::new(OP, object.clone(), e);
            match e {
                libc::EOPNOTSUPP => {
                    error.with_hint("this kernel lacks CONFIG_FPROBE; single kprobes may work")
                }
                libc::ESRCH => error.with_hint("a function is unknown or ambiguous"),
                _ => error,
            }
        })?;
        Ok(Link::new(Some(fd), None, object))
    }

    /// Attaches a program to many places of one binary at once (6.6). A session program (`TRACE_UPROBE_SESSION`, 6.13)
    /// serves entry and return.
    pub fn uprobe_multi(prog: &Prog, binary: &Path, spec: &UprobeMulti<'_>) -> Result<Link> {
        const OP: &str = "attach user multi-probe";
        let path = c_path(OP, binary)?;
        let mut a = attr::LinkUprobeMulti {
            head: head(prog, 0),
            path: path.as_ptr() as u64,
            offsets: ptr_of(spec.offsets),
            ref_ctr_offsets: ptr_of(spec.ref_ctr_offsets),
            cookies: ptr_of(spec.cookies),
            cnt: count_of(OP, spec.offsets.len(), &[spec.ref_ctr_offsets.len(), spec.cookies.len()])?,
            flags: u32::from(spec.on_return),
            pid: spec.pid,
            ..Default::default()
        };
        let object = format!("{} ({} places)", binary.display(), spec.offsets.len());
        // SAFETY: `path` is NUL-terminated; the arrays have `cnt` elements as checked by `count_of`; all live for the call.
        let fd = unsafe { link_create(&mut a) }.map_err(|e| {
            let error = Error::new(OP, object.clone(), e);
            match e {
                libc::ESRCH => error.with_hint(format!("no process {}", spec.pid)),
                libc::ENOENT => error.with_hint("no such file"),
                libc::EBADF => error.with_hint("the path is no regular file"),
                _ => error,
            }
        })?;
        Ok(Link::new(Some(fd), None, object))
    }

    /// Attaches an iterator; [`Link::read_iter`] then runs it.
    pub fn iter(prog: &Prog, target: IterTarget<'_>) -> Result<Link> {
        // union bpf_iter_link_info: map fd; or {order, cgroup fd, cgroup id}; or {tid, pid, pid fd}.
        let info: [u32; 4] = match target {
            IterTarget::All => [0; 4],
            IterTarget::Map(fd) => [fd_u32(fd), 0, 0, 0],
            IterTarget::Thread(tid) => [tid, 0, 0, 0],
            IterTarget::Process(pid) => [0, pid, 0, 0],
            IterTarget::CgroupDescendants(fd) => [2, fd_u32(fd), 0, 0],
            IterTarget::Cgroups => [2, 0, 0, 0],
        };
        let mut a = attr::LinkIter { head: head(prog, 0), ..Default::default() };
        if !matches!(target, IterTarget::All) {
            a.iter_info = ptr_of(&info);
            a.iter_info_len = 16;
        }
        // SAFETY: `iter_info` is null or points to 16 bytes that live for the call.
        let fd = unsafe { link_create(&mut a) }
            .map_err(|e| Error::new("attach iterator", prog_object(prog), e))?;
        Ok(Link::new(Some(fd), None, prog.name().to_string()))
    }

    /// Attaches a program to a perf event by a link (5.15). Returns the event and the errno when that fails.
    pub(crate) fn perf_event(
        prog: &Prog,
        event: PerfEvent,
        cookie: u64,
    ) -> std::result::Result<Link, (PerfEvent, i32)> {
        let mut a = attr::LinkPerfEvent {
            head: LinkHead { attach_type: AttachKind::PERF_EVENT.0, ..head(prog, fd_u32(event.as_fd())) },
            cookie,
        };
        // SAFETY: no pointers in this attribute; the command returns a descriptor.
        match unsafe { link_create(&mut a) } {
            Ok(fd) => {
                let object = event.object().to_string();
                Ok(Link::new(Some(fd), Some(event), object))
            }
            Err(errno) => Err((event, errno)),
        }
    }

    /// What it is attached to, for messages.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The perf event behind it, where there is one: enable, disable, read.
    pub fn event(&self) -> Option<&PerfEvent> {
        self.event.as_ref()
    }

    /// What the kernel says about it; `Ok(None)` when the attachment is no link.
    pub fn info(&self) -> Result<Option<LinkInfo>> {
        let Some(fd) = &self.fd else { return Ok(None) };
        info_of(fd.as_fd()).map(Some)
    }

    /// Pins the link at a path of a bpf file system: whoever opens a pinned iterator runs it.
    pub fn pin(&self, path: &Path) -> Result<()> {
        let Some(link) = &self.fd else {
            return Err(Error::new("pin link", self.object.clone(), libc::EBADF));
        };
        objects::pin("pin link", link.as_fd(), path)
    }

    /// Runs an iterator once: reads everything its program writes into `out`.
    pub fn read_iter(&self, out: &mut Vec<u8>) -> Result<usize> {
        let mut stream = self.open_iter()?;
        stream.read_to_end(out).map_err(|e| Error::io("read iterator", self.object.clone(), &e))
    }

    /// Starts one run of an iterator; reading the file runs the program for element after element.
    pub fn open_iter(&self) -> Result<File> {
        const OP: &str = "start iterator";
        let Some(link) = &self.fd else { return Err(Error::new(OP, self.object.clone(), libc::EBADF)) };
        let mut a = attr::GetId { id: fd_u32(link.as_fd()), ..Default::default() };
        // SAFETY: no pointers in this attribute (link descriptor, flags); the command returns a descriptor.
        let fd =
            unsafe { bpf_fd(Cmd::IterCreate, &mut a) }.map_err(|e| Error::new(OP, self.object.clone(), e))?;
        Ok(File::from(fd))
    }
}

/// Ids of all links of the system. Needs CAP_SYS_ADMIN.
pub fn ids() -> Result<Vec<u32>> {
    objects::ids(Cmd::LinkGetNextId, "list links")
}

/// What the kernel says about the link with this id. Needs CAP_SYS_ADMIN.
pub fn info_by_id(id: u32) -> Result<LinkInfo> {
    let fd = objects::fd_by_id(Cmd::LinkGetFdById, "open link", id)?;
    info_of(fd.as_fd())
}

fn info_of(fd: BorrowedFd<'_>) -> Result<LinkInfo> {
    let mut raw = attr::LinkInfo::default();
    objects::info(fd, &mut raw, "inspect link")?;
    let kind = LinkKind(raw.kind);
    // link_info.kprobe_multi: addrs u64, count u32, flags u32, missed u64.
    let missed = (kind == LinkKind::KPROBE_MULTI).then_some(raw.body[2]);
    Ok(LinkInfo { id: raw.id, kind, prog_id: raw.prog_id, missed })
}

fn head(prog: &Prog, target_fd: u32) -> LinkHead {
    LinkHead { prog_fd: fd_u32(prog.as_fd()), target_fd, attach_type: prog.attach_kind().0, flags: 0 }
}

fn prog_object(prog: &Prog) -> String {
    format!("`{}` ({})", prog.name(), prog.kind())
}

/// The common number of elements; the kernel would read behind a shorter slice.
fn count_of(op: &'static str, count: usize, others: &[usize]) -> Result<u32> {
    if count == 0 {
        return Err(Error::other(op, "", "there is nothing to attach to"));
    }
    if let Some(n) = others.iter().find(|n| **n != 0 && **n != count) {
        return Err(Error::other(op, "", format!("{count} places but {n} values for them")));
    }
    u32::try_from(count).map_err(|_| Error::new(op, "", libc::E2BIG))
}

/// # Safety
/// As [`crate::sys::call::bpf`].
unsafe fn link_create<T: Attr>(a: &mut T) -> std::result::Result<OwnedFd, i32> {
    // SAFETY: forwarded to the caller; the command returns a descriptor.
    unsafe { bpf_fd(Cmd::LinkCreate, a) }
}
