//! Carries out attachments: each gives links that detach when dropped.

use crate::facts::KernelFacts;
use fathom_codegen::program::{Attach, Attachment, PerfCpus, UprobeSite};
use fathom_kernel::cpu;
use fathom_kernel::error::{Error, Result};
use fathom_kernel::link::{IterTarget, KprobeMulti, KprobeTargets, Link, UprobeMulti};
use fathom_kernel::perf::{self, EventSpec, PerfEvent, Sampling, Scope};
use fathom_kernel::prog::Prog;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// `HW_BREAKPOINT_X` of `include/uapi/linux/hw_breakpoint.h`.
pub const HW_BREAKPOINT_X: u32 = 4;
const REGISTER_BYTES: u8 = 8;

/// Attaches a loaded program as one attachment says. [`Attach::Run`] needs nothing and gives no link.
///
/// # Errors
/// Names the attach point, the kernel's reason and the next step.
pub fn attach(facts: &KernelFacts, prog: &Prog, attachment: &Attachment) -> Result<Vec<Link>> {
    let cookie = attachment.cookie;
    match &attachment.how {
        Attach::Run(_) => Ok(Vec::new()),
        Attach::RawTracepoint { name } => one(Link::raw_tracepoint(prog, name, cookie)),
        Attach::Tracing => one(Link::tracing(prog, cookie)),
        Attach::Tracepoint { category, event } => tracepoint(facts, prog, category, event, cookie),
        Attach::Kprobe { symbol, module, offset, ret } => kprobe(
            facts,
            prog,
            &KprobeSite { symbol, module: module.as_deref(), offset: *offset, ret: *ret },
            cookie,
        ),
        Attach::KprobeMulti { symbols, ret, session: _ } => one(kprobe_multi(facts, prog, symbols, *ret)),
        Attach::Uprobe { path, offset, ref_ctr_offset, pid, ret } => {
            let spec = EventSpec::uprobe(facts.root(), Path::new(path), *offset, *ref_ctr_offset, *ret)?;
            let scope = pid.map_or(Scope::Cpu(0), |pid| Scope::Task(pid as i32));
            one(PerfEvent::open(&spec, scope)?.attach(prog, cookie))
        }
        Attach::UprobeMulti { path, sites, pid, ret, session: _ } => {
            uprobe_multi(prog, path, sites, pid.unwrap_or(0), *ret)
        }
        Attach::Perf { event_type, config, period, is_freq, cpus, pid } => {
            let sampling = if *is_freq { Sampling::Frequency(*period) } else { Sampling::Period(*period) };
            let spec = EventSpec::raw(*event_type, *config, 0, 0, &attachment.name).sampling(sampling);
            perf_event(facts, prog, &spec, *cpus, *pid, cookie)
        }
        Attach::Watchpoint { address, len, mode, pid } => {
            // Instructions have no length: the kernel wants that of a register for them.
            let len = if *mode == HW_BREAKPOINT_X { REGISTER_BYTES } else { *len };
            let spec = EventSpec::breakpoint(*address, u64::from(len), *mode);
            perf_event(facts, prog, &spec, PerfCpus::All, *pid, cookie)
        }
        Attach::Iter { object, pin: _, pid } => one(Link::iter(prog, iter_target(object, *pid))),
    }
}

fn one(link: Result<Link>) -> Result<Vec<Link>> {
    link.map(|link| vec![link])
}

/// Where a kprobe goes.
struct KprobeSite<'a> {
    symbol: &'a str,
    module: Option<&'a str>,
    offset: u64,
    ret: bool,
}

/// Attaches to one function; to each of them where several have the name, which the kernel wants told apart by address.
fn kprobe(facts: &KernelFacts, prog: &Prog, site: &KprobeSite<'_>, cookie: u64) -> Result<Vec<Link>> {
    const EADDRNOTAVAIL: i32 = 99;
    let KprobeSite { symbol, module, offset, ret } = *site;
    let attach = |spec: &EventSpec| PerfEvent::open(spec, Scope::Cpu(0))?.attach(prog, cookie);
    let module = module.filter(|m| *m != "vmlinux");
    let spec = match (symbol, module) {
        ("", _) => EventSpec::kprobe_address(facts.root(), offset, ret)?,
        (_, Some(module)) => EventSpec::kprobe(facts.root(), &format!("{module}:{symbol}"), offset, ret)?,
        _ => EventSpec::kprobe(facts.root(), symbol, offset, ret)?,
    };
    match attach(&spec) {
        Err(e) if e.errno == EADDRNOTAVAIL => {
            let symbols = facts.kallsyms().into_iter().flat_map(|k| k.by_name(symbol));
            let here = symbols.filter(|s| s.is_text() && module.is_none_or(|m| s.module == Some(m)));
            let links: Vec<Link> = here
                .filter_map(|s| {
                    let address = s.address.checked_add(offset)?;
                    attach(&EventSpec::kprobe_address(facts.root(), address, ret).ok()?).ok()
                })
                .collect();
            if links.is_empty() {
                Err(e)
            } else {
                Ok(links)
            }
        }
        done => one(done),
    }
}

/// Attaches to many functions. Names that several functions have are no names to the kernel: then it is told addresses.
fn kprobe_multi(
    facts: &KernelFacts,
    prog: &Prog,
    symbols: &[(String, u64)],
    on_return: bool,
) -> Result<Link> {
    const ESRCH: i32 = 3;
    let (names, cookies): (Vec<String>, Vec<u64>) = symbols.iter().cloned().unzip();
    let spec = KprobeMulti { targets: KprobeTargets::Symbols(&names), cookies: &cookies, on_return };
    match Link::kprobe_multi(prog, &spec) {
        Err(e) if e.errno == ESRCH => {
            // By address, each once: the kernel finds cookies by a search among them.
            let by_name: HashMap<&str, u64> = symbols.iter().map(|s| (s.0.as_str(), s.1)).collect();
            let found: BTreeMap<u64, u64> = facts.traceable_addresses(&by_name).into_iter().collect();
            if found.is_empty() {
                return Err(e);
            }
            let (addresses, cookies): (Vec<u64>, Vec<u64>) = found.into_iter().unzip();
            let targets = KprobeTargets::Addresses(&addresses);
            Link::kprobe_multi(prog, &KprobeMulti { targets, cookies: &cookies, on_return })
        }
        done => done,
    }
}

/// What an iterator walks. Those of tasks may be held to one process; that of cgroups has to be told where to begin.
fn iter_target(object: &str, pid: Option<u32>) -> IterTarget<'static> {
    match (object, pid) {
        ("cgroup", _) => IterTarget::Cgroups,
        ("task" | "task_file" | "task_vma", Some(pid)) => IterTarget::Process(pid),
        _ => IterTarget::All,
    }
}

fn tracepoint(
    facts: &KernelFacts,
    prog: &Prog,
    category: &str,
    event: &str,
    cookie: u64,
) -> Result<Vec<Link>> {
    let name = format!("{category}:{event}");
    let tracefs =
        facts.find_tracefs().map_err(|why| Error::other("attach", name.clone(), why.to_string()))?;
    let spec = EventSpec::tracepoint(tracefs.event_id(category, event)?, &name);
    // The program runs on all CPUs whichever CPU the event is opened on: the tracepoint calls it before perf looks at the CPU.
    one(PerfEvent::open(&spec, Scope::Cpu(0))?.attach(prog, cookie))
}

fn uprobe_multi(prog: &Prog, path: &str, sites: &[UprobeSite], pid: u32, ret: bool) -> Result<Vec<Link>> {
    let offsets: Vec<u64> = sites.iter().map(|s| s.offset).collect();
    let cookies: Vec<u64> = sites.iter().map(|s| s.cookie).collect();
    let semaphores: Vec<u64> = sites.iter().map(|s| s.ref_ctr_offset).collect();
    let has_semaphore = semaphores.iter().any(|s| *s != 0);
    let spec = UprobeMulti {
        offsets: &offsets,
        ref_ctr_offsets: if has_semaphore { &semaphores } else { &[] },
        cookies: &cookies,
        pid,
        on_return: ret,
    };
    one(Link::uprobe_multi(prog, Path::new(path), &spec))
}

fn perf_event(
    facts: &KernelFacts,
    prog: &Prog,
    spec: &EventSpec,
    cpus: PerfCpus,
    pid: Option<u32>,
    cookie: u64,
) -> Result<Vec<Link>> {
    let online = cpu::online(facts.root())?;
    let chosen: &[u32] = match cpus {
        PerfCpus::All => &online,
        PerfCpus::One => online.get(..1).unwrap_or(&online),
    };
    let events = match pid {
        None => perf::open_on_cpus(spec, chosen)?,
        Some(pid) => open_on_process(facts, spec, pid)?,
    };
    events.into_iter().map(|e| e.attach(prog, cookie)).collect()
}

/// Opens the event on every thread of a process; threads that begin later have it, too.
fn open_on_process(facts: &KernelFacts, spec: &EventSpec, pid: u32) -> Result<Vec<PerfEvent>> {
    const ESRCH: i32 = 3;
    const EINVAL: i32 = 22;
    let mut events = Vec::new();
    for tid in threads(facts, pid)? {
        let opened =
            PerfEvent::open(&spec.clone().inherit_threads(), Scope::Task(tid)).or_else(|e| match e.errno {
                // Before 5.13 what is inherited by threads goes over to processes, too.
                EINVAL => PerfEvent::open(&spec.clone().inherit(), Scope::Task(tid)),
                _ => Err(e),
            });
        match opened {
            Ok(event) => events.push(event),
            // The thread ended meanwhile.
            Err(e) if e.errno == ESRCH => {}
            Err(e) => return Err(e),
        }
    }
    Ok(events)
}

/// Threads of a process.
fn threads(facts: &KernelFacts, pid: u32) -> Result<Vec<i32>> {
    let names = facts
        .root()
        .list(format!("/proc/{pid}/task"))
        .map_err(|e| e.with_hint(format!("process {pid} does not exist (any more)")))?;
    Ok(names.iter().filter_map(|n| n.parse().ok()).collect())
}

/// Attachments of one program, with those that can share a link put together: places of one file, functions of the kernel.
pub fn merged(attachments: &[Attachment]) -> Vec<Attachment> {
    let mut out: Vec<Attachment> = Vec::new();
    for a in attachments {
        if !out.iter_mut().any(|into| merge(into, a)) {
            out.push(with_own_cookie(a));
        }
    }
    out
}

/// The same, with the attachment's cookie in its places.
fn with_own_cookie(a: &Attachment) -> Attachment {
    let mut a = a.clone();
    match &mut a.how {
        Attach::UprobeMulti { sites, .. } => sites.iter_mut().for_each(|s| s.cookie = a.cookie),
        Attach::KprobeMulti { symbols, .. } => symbols.iter_mut().for_each(|s| s.1 = a.cookie),
        _ => {}
    }
    a
}

/// Puts `a` into `into` if one link can serve both.
fn merge(into: &mut Attachment, a: &Attachment) -> bool {
    let a = with_own_cookie(a);
    match (&mut into.how, a.how) {
        (
            Attach::UprobeMulti { path, sites, pid, ret, session },
            Attach::UprobeMulti { path: p, sites: new, pid: np, ret: nr, session: ns },
        ) if (&*path, &*pid, &*ret, &*session) == (&p, &np, &nr, &ns) => {
            sites.extend(new);
            true
        }
        (
            Attach::KprobeMulti { symbols, ret, session },
            Attach::KprobeMulti { symbols: new, ret: nr, session: ns },
        ) if (*ret, *session) == (nr, ns) => {
            symbols.extend(new);
            true
        }
        // Targets that one program tells apart by itself, such as system calls by number.
        (Attach::RawTracepoint { name }, Attach::RawTracepoint { name: new }) => {
            *name == new && into.cookie == a.cookie
        }
        (Attach::Tracing, Attach::Tracing) => into.cookie == a.cookie,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_codegen::program::Refusal;

    #[test]
    fn places_of_one_file_share_a_link() {
        let site = |path: &str, offset, cookie| Attachment {
            name: format!("uprobe:{path}:{offset}"),
            how: Attach::UprobeMulti {
                path: path.into(),
                sites: vec![UprobeSite { offset, ref_ctr_offset: 0, cookie: 0 }],
                pid: None,
                ret: false,
                session: false,
            },
            cookie,
            refusal: Refusal::Error,
        };
        let all = merged(&[site("a", 1, 7), site("b", 2, 8), site("a", 3, 9)]);
        assert_eq!(all.len(), 2);
        let Attach::UprobeMulti { sites, .. } = &all[0].how else { panic!("kind changed") };
        let got: Vec<(u64, u64)> = sites.iter().map(|s| (s.offset, s.cookie)).collect();
        assert_eq!(got, [(1, 7), (3, 9)]);
    }
}
