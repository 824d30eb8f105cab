//! Names of addresses, users, cgroups: everything that a value's text needs from the system.

use crate::processes::ProcessLog;
use fathom_codegen::layout::StackMode as Mode;
use fathom_kernel::cgroup;
use fathom_kernel::ksyms::KernelNames;
use fathom_probes::{wildcard, KernelFacts};
use fathom_report::{Frame, Stack, StackMode};
use fathom_symbols::user::{Options as UserOptions, Process, Reason, Resolved, SourceLine, UserSymboliser};
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks names up, lazily and cached. A name that cannot be found is its number.
pub struct Names<'f> {
    facts: &'f KernelFacts,
    user: RefCell<UserSymboliser>,
    /// Processes read from `/proc`, when nobody follows them.
    processes: RefCell<HashMap<u32, Option<Rc<Process>>>>,
    /// When a process was last read again.
    read_at: RefCell<HashMap<u32, Instant>>,
    log: RefCell<Option<ProcessLog>>,
    kernel: RefCell<HashMap<u64, Option<KernelName>>>,
    resolver: RefCell<Resolver>,
    users: RefCell<Option<HashMap<u32, String>>>,
    cgroups: RefCell<HashMap<(u64, String), String>>,
    show_debug_info: bool,
}

/// A process is not read again sooner than this.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Name of a kernel address.
#[derive(Clone, Debug)]
struct KernelName {
    symbol: Arc<str>,
    offset: u64,
    module: Option<Arc<str>>,
}

/// How kernel addresses are named: by a program in the kernel, or from kallsyms where that cannot be loaded.
enum Resolver {
    Unopened,
    Program(Box<KernelNames>),
    Kallsyms,
}

impl<'f> Names<'f> {
    /// Nothing is opened yet.
    pub fn new(facts: &'f KernelFacts, demangle: bool, show_debug_info: bool) -> Names<'f> {
        let options = UserOptions { debug_info: show_debug_info, demangle };
        Names {
            facts,
            user: RefCell::new(UserSymboliser::new(options)),
            processes: RefCell::new(HashMap::new()),
            read_at: RefCell::new(HashMap::new()),
            log: RefCell::new(None),
            kernel: RefCell::new(HashMap::new()),
            resolver: RefCell::new(Resolver::Unopened),
            users: RefCell::new(None),
            cgroups: RefCell::new(HashMap::new()),
            show_debug_info,
        }
    }

    fn kernel_name(&self, address: u64) -> Option<KernelName> {
        if let Some(known) = self.kernel.borrow().get(&address) {
            return known.clone();
        }
        let found = self.find_kernel_name(address);
        self.kernel.borrow_mut().insert(address, found.clone());
        found
    }

    fn find_kernel_name(&self, address: u64) -> Option<KernelName> {
        let mut resolver = self.resolver.borrow_mut();
        if let Resolver::Unopened = *resolver {
            *resolver = match KernelNames::open() {
                Ok(program) => Resolver::Program(Box::new(program)),
                Err(_) => Resolver::Kallsyms,
            };
        }
        if let Resolver::Program(program) = &mut *resolver {
            let mut found = None;
            // A failed run names nothing; the address is shown then.
            let _ = program.resolve(&[address], &mut |_, name| {
                found = name.map(|n| KernelName {
                    symbol: n.symbol.into(),
                    offset: n.offset,
                    module: n.module.map(Into::into),
                });
            });
            return found;
        }
        let (symbol, offset) = self.facts.kallsyms()?.by_address(address)?;
        Some(KernelName { symbol: symbol.name.into(), offset, module: symbol.module.map(Into::into) })
    }

    /// `symbol+offset` of a kernel address (without `+0`), or the address.
    pub fn kernel_symbol(&self, address: u64) -> String {
        match self.kernel_name(address) {
            Some(n) if n.offset == 0 => n.symbol.to_string(),
            Some(n) => format!("{}+{}", n.symbol, n.offset),
            None => format!("{address:#x}"),
        }
    }

    /// A kernel stack.
    pub fn kernel_stack(&self, addresses: &[u64], mode: Mode) -> Stack {
        let frames = addresses.iter().map(|a| match self.kernel_name(*a).filter(|_| mode != Mode::Raw) {
            Some(n) => Frame { module: n.module.clone(), ..Frame::named(*a, n.symbol, n.offset) },
            None => Frame::at(*a),
        });
        Stack { frames: frames.collect(), mode: report_mode(mode) }
    }

    /// Begins to follow processes, all or one, so that addresses can still be named when their process has ended. Where the kernel does not
    /// allow that, processes are read when the first of their addresses is named.
    pub fn follow_processes(&self, only: Option<u32>) {
        let cpus = fathom_kernel::cpu::online(self.facts.root()).unwrap_or_default();
        *self.log.borrow_mut() = ProcessLog::open(self.facts.root(), &cpus, only).ok();
    }

    /// Takes in what processes have done since the last time. To be called before records are printed.
    pub fn follow(&self) {
        if let Some(log) = &mut *self.log.borrow_mut() {
            log.follow();
        }
    }

    /// Descriptors that are readable when it is time to [`Names::follow`].
    pub fn descriptors(&self, each: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Some(log) = &*self.log.borrow() {
            log.descriptors(each);
        }
    }

    fn process(&self, pid: u32) -> Option<Rc<Process>> {
        if let Some(log) = &mut *self.log.borrow_mut() {
            return log.process(pid);
        }
        let mut processes = self.processes.borrow_mut();
        processes.entry(pid).or_insert_with(|| Process::read(pid).ok().map(Rc::new)).clone()
    }

    /// The process as it is now: after an exec or dlopen that was not seen.
    fn process_again(&self, pid: u32) -> Option<Rc<Process>> {
        // Addresses that are in no mapping are usual in stacks of programs without frame pointers.
        let now = Instant::now();
        let is_due = |last: &Instant| now.duration_since(*last) >= READ_AGAIN_AFTER;
        let mut read_at = self.read_at.borrow_mut();
        let due = read_at.get(&pid).is_none_or(is_due);
        if let Some(log) = &mut *self.log.borrow_mut() {
            log.follow();
            if !due {
                return log.process(pid);
            }
            read_at.insert(pid, now);
            return log.read_again(pid).or_else(|| log.process(pid));
        }
        if !due {
            return None;
        }
        read_at.insert(pid, now);
        // A process that has ended keeps what was known of it.
        let fresh = Rc::new(Process::read(pid).ok()?);
        self.processes.borrow_mut().insert(pid, Some(fresh.clone()));
        Some(fresh)
    }

    fn resolve_user(&self, pid: u32, address: u64) -> Option<Arc<Resolved>> {
        let first = self.process(pid).map(|p| self.user.borrow_mut().resolve(&p, address));
        let is_mapped = |r: &Arc<Resolved>| {
            !matches!(**r, Resolved::Unknown { reason: Reason::Unmapped | Reason::NoMaps, .. })
        };
        if first.as_ref().is_some_and(is_mapped) {
            return first;
        }
        let again = self.process_again(pid).map(|p| self.user.borrow_mut().resolve(&p, address));
        again.or(first)
    }

    /// `symbol+offset` of a user address (without `+0`), or the address.
    pub fn user_symbol(&self, pid: u32, address: u64) -> String {
        let resolved = self.resolve_user(pid, address);
        match resolved.as_deref().and_then(Resolved::symbol) {
            Some(s) if s.offset == 0 => s.name.clone(),
            Some(s) => format!("{}+{}", s.name, s.offset),
            None => format!("{address:#x}"),
        }
    }

    /// A user stack.
    pub fn user_stack(&self, pid: u32, addresses: &[u64], mode: Mode) -> Stack {
        let mut frames = Vec::with_capacity(addresses.len());
        for address in addresses {
            if mode == Mode::Raw {
                frames.push(Frame::at(*address));
                continue;
            }
            let resolved = self.resolve_user(pid, *address);
            let Some(symbol) = resolved.as_deref().and_then(Resolved::symbol) else {
                frames.push(Frame::at(*address));
                continue;
            };
            // The innermost inlined function stands on top of the stack.
            for inlined in symbol.inlined.iter().rev().filter(|_| self.show_debug_info) {
                frames.push(Frame {
                    inlined: true,
                    source: inlined.source.as_ref().and_then(source),
                    ..Frame::named(*address, inlined.name.as_str(), 0)
                });
            }
            frames.push(Frame {
                module: symbol.module.as_ref().map(|m| m.display().to_string().as_str().into()),
                source: symbol.source.as_ref().filter(|_| self.show_debug_info).and_then(source),
                ..Frame::named(*address, symbol.name.as_str(), symbol.offset)
            });
        }
        Stack { frames, mode: report_mode(mode) }
    }

    /// A stack of build ids and file offsets.
    pub fn build_id_stack(&self, entries: &[(Vec<u8>, u64)]) -> Stack {
        let frames = entries.iter().map(|(id, offset)| match id.iter().all(|b| *b == 0) {
            true => Frame::at(*offset),
            false => Frame { build_id: Some((id.clone(), *offset)), ..Frame::at(*offset) },
        });
        Stack { frames: frames.collect(), mode: StackMode::BuildId }
    }

    /// Name of a user, or the number.
    pub fn user_name(&self, uid: u32) -> String {
        let mut users = self.users.borrow_mut();
        let table = users.get_or_insert_with(|| {
            parse_passwd(&self.facts.root().read_text("/etc/passwd").unwrap_or_default())
        });
        table.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// Path of a cgroup in each hierarchy whose name fits the pattern: `unified:/a/b;...`.
    pub fn cgroup_path(&self, id: u64, filter: &str) -> String {
        let key = (id, filter.to_owned());
        if let Some(known) = self.cgroups.borrow().get(&key) {
            return known.clone();
        }
        let mut hierarchies = cgroup::hierarchies(self.facts.root()).unwrap_or_default();
        hierarchies.retain(|h| filter.is_empty() || wildcard::matches(filter, &h.name));
        let paths = hierarchies.iter().filter_map(|h| Some(format!("{}:{}", h.name, h.path_of(id)?)));
        let text = paths.collect::<Vec<_>>().join(";");
        self.cgroups.borrow_mut().insert(key, text.clone());
        text
    }
}

fn source(line: &SourceLine) -> Option<(Arc<str>, u32)> {
    Some((line.file.display().to_string().as_str().into(), line.line?))
}

fn report_mode(mode: Mode) -> StackMode {
    match mode {
        Mode::Bpftrace => StackMode::Bpftrace,
        Mode::Perf => StackMode::Perf,
        Mode::Raw => StackMode::Raw,
        Mode::BuildId => StackMode::BuildId,
    }
}

fn parse_passwd(text: &str) -> HashMap<u32, String> {
    let rows = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_rows_give_names() {
        let users = parse_passwd("root:x:0:0:root:/root:/bin/sh\nbad\nd:x:12:1::/:/x\n");
        assert_eq!(users.get(&0).map(String::as_str), Some("root"));
        assert_eq!(users.get(&12).map(String::as_str), Some("d"));
        assert_eq!(users.len(), 2);
    }
}
