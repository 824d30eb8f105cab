//! What processes have mapped, followed while they live, so that their stacks keep their names when they have ended.
//!
//! New mappings, execs, forks and ends come as records of the kernel; processes that were there before are read from `/proc`, a few at a
//! time. Only executable mappings are kept, forked processes share their parent's, and of ended processes the oldest are forgotten.

use fathom_kernel::task_events::{TaskEvent, TaskEvents, What};
use fathom_kernel::Root;
use fathom_symbols::maps::{classify, MapTable, Mapping};
use fathom_symbols::user::Process;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

/// Pages of each CPU's ring: 400 execs of a dynamic program between two looks.
const RING_PAGES: usize = 64;
/// Processes read from `/proc` between two looks: about 2 ms.
const SCAN_STEP: usize = 32;
/// Ended processes that are remembered.
const ENDED_MAX: usize = 4096;
/// Mappings of all processes together, about 150 bytes each, from which on ended processes are forgotten.
const MAPPINGS_MAX: usize = 1 << 17;
/// File systems of containers that are held open.
const ROOTS_MAX: usize = 256;

/// The log of one session.
pub struct ProcessLog {
    events: TaskEvents,
    table: Table,
    /// Processes that were there at the start and have not been read yet.
    to_scan: Vec<u32>,
}

impl ProcessLog {
    /// Begins to follow all processes, or one. Processes that exist are read by and by, by [`ProcessLog::follow`].
    ///
    /// # Errors
    /// The kernel's, when it gives no such records.
    pub fn open(root: &Root, cpus: &[u32], only: Option<u32>) -> fathom_kernel::Result<ProcessLog> {
        let events = TaskEvents::open(cpus, RING_PAGES)?;
        let to_scan = match only {
            Some(pid) => vec![pid],
            None => fathom_kernel::proc::pids(root).unwrap_or_default(),
        };
        Ok(ProcessLog { events, table: Table::new(only), to_scan })
    }

    /// Takes in what has happened.
    pub fn follow(&mut self) {
        let mut news: Vec<News> = Vec::new();
        self.events.consume(&mut |event| news.extend(News::of(&event)));
        // Each CPU tells its own in order; a process moves between them.
        news.sort_by_key(|n| n.time_ns);
        for one in news {
            self.table.apply(one);
        }
        let step = self.to_scan.len().saturating_sub(SCAN_STEP);
        for pid in self.to_scan.split_off(step) {
            self.table.read(pid);
        }
    }

    /// What is known of a process; it is read if it is new and lives.
    pub fn process(&mut self, pid: u32) -> Option<Rc<Process>> {
        self.table.read(pid);
        self.table.processes.get(&pid).map(|t| t.process.clone())
    }

    /// Reads a process again, when an address of it is in no known mapping.
    pub fn read_again(&mut self, pid: u32) -> Option<Rc<Process>> {
        if self.table.processes.get(&pid).is_some_and(|t| t.has_ended) {
            return None;
        }
        let fresh = Rc::new(executable_maps(pid)?);
        self.table.put(pid, fresh.clone());
        Some(fresh)
    }

    /// Descriptors that are readable when a ring is half full.
    pub fn descriptors(&self, each: &mut dyn FnMut(BorrowedFd<'_>)) {
        self.events.descriptors(each);
    }
}

/// A record that is kept.
struct News {
    time_ns: u64,
    pid: u32,
    what: Change,
}

enum Change {
    Mapped(Box<Mapping>),
    Exec,
    ForkedBy(u32),
    Ended,
}

impl News {
    fn of(event: &TaskEvent<'_>) -> Option<News> {
        let what = match event.what {
            What::Mapped { address, len, file_offset, path, .. } => Change::Mapped(Box::new(Mapping {
                start: address,
                end: address.saturating_add(len),
                readable: true,
                writable: false,
                executable: true,
                shared: false,
                offset: file_offset,
                device: (0, 0),
                inode: 0,
                what: classify(path),
            })),
            What::Named { exec: true, .. } => Change::Exec,
            What::Forked { parent_pid, .. } if parent_pid != event.pid => Change::ForkedBy(parent_pid),
            What::Ended if event.pid == event.tid => Change::Ended,
            _ => return None,
        };
        Some(News { time_ns: event.time_ns, pid: event.pid, what })
    }
}

struct Tracked {
    process: Rc<Process>,
    has_ended: bool,
}

/// Processes by id.
struct Table {
    only: Option<u32>,
    processes: HashMap<u32, Tracked>,
    /// In the order of their ends. An id may have been given to another process since.
    ended: VecDeque<u32>,
    mappings: usize,
    roots: Roots,
}

impl Table {
    fn new(only: Option<u32>) -> Table {
        Table {
            only,
            processes: HashMap::new(),
            ended: VecDeque::new(),
            mappings: 0,
            roots: Roots::default(),
        }
    }

    fn apply(&mut self, news: News) {
        if self.only.is_some_and(|only| only != news.pid) {
            return;
        }
        let pid = news.pid;
        match news.what {
            Change::Mapped(mapping) => {
                self.read(pid);
                let tracked = self.processes.entry(pid).or_insert_with(|| Tracked {
                    process: Rc::new(Process { pid, ..Process::default() }),
                    has_ended: false,
                });
                let maps = &mut Rc::make_mut(&mut tracked.process).maps;
                let before = maps.len();
                maps.insert(*mapping);
                self.mappings = (self.mappings + maps.len()).saturating_sub(before);
            }
            Change::Exec => {
                let inherited = self.processes.get(&pid).and_then(|t| t.process.root.clone());
                let root = self.roots.of(pid).unwrap_or(inherited);
                self.put(pid, Rc::new(Process { pid, root, ..Process::default() }));
            }
            Change::ForkedBy(parent) => {
                self.read(parent);
                if let Some(parent) = self.processes.get(&parent) {
                    let child = Process { pid, ..Process::clone(&parent.process) };
                    self.put(pid, Rc::new(child));
                }
            }
            Change::Ended => {
                if let Some(tracked) = self.processes.get_mut(&pid) {
                    tracked.has_ended = true;
                    self.ended.push_back(pid);
                    self.forget_oldest();
                }
            }
        }
    }

    /// Reads a process from `/proc` if nothing is known of it.
    fn read(&mut self, pid: u32) {
        if self.processes.contains_key(&pid) {
            return;
        }
        if let Some(mut process) = executable_maps(pid) {
            if process.root.is_some() {
                process.root = self.roots.of(pid).unwrap_or(process.root);
            }
            self.put(pid, Rc::new(process));
        }
    }

    fn put(&mut self, pid: u32, process: Rc<Process>) {
        self.mappings += process.maps.len();
        if let Some(old) = self.processes.insert(pid, Tracked { process, has_ended: false }) {
            self.mappings = self.mappings.saturating_sub(old.process.maps.len());
        }
    }

    fn forget_oldest(&mut self) {
        while self.ended.len() > ENDED_MAX || (self.mappings > MAPPINGS_MAX && !self.ended.is_empty()) {
            let Some(pid) = self.ended.pop_front() else { return };
            if self.processes.get(&pid).is_some_and(|t| t.has_ended) {
                if let Some(old) = self.processes.remove(&pid) {
                    self.mappings = self.mappings.saturating_sub(old.process.maps.len());
                }
            }
        }
    }
}

/// A process as `/proc` has it now, its executable mappings only; `None` for one that is gone or a kernel thread.
fn executable_maps(pid: u32) -> Option<Process> {
    let process = Process::read(pid).ok()?;
    let mut maps = MapTable::default();
    process.maps.iter().filter(|m| m.executable).for_each(|m| maps.insert(m.clone()));
    (!maps.is_empty()).then_some(Process { maps, ..process })
}

/// File systems of processes in containers, held open so that their files can be read when the process has ended.
#[derive(Default)]
struct Roots {
    own: Option<(u64, u64)>,
    open: HashMap<(u64, u64), File>,
}

impl Roots {
    /// The root of a process: `Some(None)` if it is ours, `None` if it cannot be told.
    fn of(&mut self, pid: u32) -> Option<Option<PathBuf>> {
        let place = format!("/proc/{pid}/root");
        let id = |path: &str| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        let theirs = id(&place)?;
        if self.own.is_none() {
            self.own = id("/");
        }
        if self.own == Some(theirs) {
            return Some(None);
        }
        if !self.open.contains_key(&theirs) && self.open.len() < ROOTS_MAX {
            self.open.insert(theirs, File::open(&place).ok()?);
        }
        let held = self.open.get(&theirs)?;
        Some(Some(PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_symbols::maps::Mapped;

    /// No process has such an id.
    const FIRST: u32 = 1 << 30;

    fn news(pid: u32, what: Change) -> News {
        News { time_ns: 0, pid, what }
    }

    fn mapped(pid: u32, address: u64, path: &[u8]) -> News {
        let what = What::Mapped { address, len: 0x1000, file_offset: 0, build_id: None, path };
        News::of(&TaskEvent { pid, tid: pid, time_ns: 1, what }).unwrap()
    }

    fn file_at(table: &Table, pid: u32, address: u64) -> Option<String> {
        let process = &table.processes.get(&pid)?.process;
        match &process.maps.find(address)?.what {
            Mapped::File { path, .. } => Some(path.display().to_string()),
            _ => None,
        }
    }

    #[test]
    fn ended_processes_keep_their_mappings() {
        let mut table = Table::new(None);
        table.apply(mapped(FIRST, 0x1000, b"/bin/old"));
        table.apply(news(FIRST, Change::Exec));
        table.apply(mapped(FIRST, 0x5000, b"/bin/new"));
        table.apply(news(FIRST, Change::Ended));
        assert_eq!(file_at(&table, FIRST, 0x1000), None);
        assert_eq!(file_at(&table, FIRST, 0x5010).as_deref(), Some("/bin/new"));
    }

    #[test]
    fn children_have_what_the_parent_had_when_they_forked() {
        let mut table = Table::new(None);
        table.apply(mapped(FIRST, 0x1000, b"/bin/a"));
        table.apply(news(FIRST + 1, Change::ForkedBy(FIRST)));
        table.apply(mapped(FIRST, 0x5000, b"/lib/late"));
        assert_eq!(file_at(&table, FIRST + 1, 0x1000).as_deref(), Some("/bin/a"));
        assert_eq!(file_at(&table, FIRST + 1, 0x5000), None);
        assert_eq!(table.processes[&(FIRST + 1)].process.pid, FIRST + 1);
    }

    #[test]
    fn memory_is_bounded_by_forgetting_the_oldest() {
        let mut table = Table::new(None);
        let count = ENDED_MAX as u32 + 10;
        for pid in FIRST..FIRST + count {
            table.apply(mapped(pid, 0x1000, b"/bin/a"));
            table.apply(news(pid, Change::Ended));
        }
        assert_eq!(table.processes.len(), ENDED_MAX);
        assert_eq!(table.mappings, ENDED_MAX);
        assert!(file_at(&table, FIRST, 0x1000).is_none());
        assert!(file_at(&table, FIRST + count - 1, 0x1000).is_some());
    }

    #[test]
    fn an_id_that_is_used_again_is_not_forgotten_with_its_predecessor() {
        let mut table = Table::new(None);
        table.apply(mapped(FIRST, 0x1000, b"/bin/a"));
        table.apply(news(FIRST, Change::Ended));
        table.apply(mapped(FIRST + 1, 0x2000, b"/bin/b"));
        table.apply(news(FIRST, Change::ForkedBy(FIRST + 1)));
        table.mappings = MAPPINGS_MAX + 100;
        table.forget_oldest();
        assert_eq!(file_at(&table, FIRST, 0x2000).as_deref(), Some("/bin/b"));
    }

    #[test]
    fn other_processes_and_threads_are_passed_over() {
        let mut table = Table::new(Some(FIRST));
        table.apply(mapped(FIRST + 1, 0x1000, b"/bin/a"));
        assert!(table.processes.is_empty());
        let event = |tid, what| News::of(&TaskEvent { pid: FIRST, tid, time_ns: 1, what });
        assert!(event(FIRST + 1, What::Ended).is_none());
        assert!(event(FIRST + 1, What::Forked { parent_pid: FIRST, parent_tid: FIRST }).is_none());
        assert!(event(FIRST, What::Ended).is_some());
    }
}
