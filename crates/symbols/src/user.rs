//! Names for user-space addresses: symbol, offset, source line and inlined frames, or the reason why there is none.
//!
//! The map table of the process comes from the caller, read while it lived or remembered from mmap events, so a
//! process that has exited keeps its names. Each module is opened by itself and its failure touches no other.
//! This is the one part of the crate that opens files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use blazesym::symbolize::source::{Elf as ElfSource, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};

use crate::elf::Elf;
use crate::maps::{MapTable, Mapped, Mapping};
use crate::perf_map::PerfMap;

/// Remembered answers before all are forgotten, about 200 bytes each.
const CACHE_MAX: usize = 1 << 18;

/// What to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Use DWARF for source lines and inlined frames: the first look-up in a module may take tens of milliseconds.
    pub debug_info: bool,
    /// Show C++ and Rust names as in the source.
    pub demangle: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { debug_info: true, demangle: true }
    }
}

/// A place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// File, with its directory where that is known.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: Option<u32>,
    /// Column, counted from 1.
    pub column: Option<u32>,
}

/// A function that the compiler put into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlinedFrame {
    /// Its name.
    pub name: String,
    /// Place in it.
    pub source: Option<SourceLine>,
}

/// A named address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Function name.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
    /// Size of the function in bytes, if known.
    pub size: Option<u64>,
    /// File or kernel-made mapping that holds it; `None` for code of a JIT compiler.
    pub module: Option<Arc<Path>>,
    /// Place in the source.
    pub source: Option<SourceLine>,
    /// What is inlined at the address: the callee of `name` first, the innermost last.
    pub inlined: Vec<InlinedFrame>,
}

/// Why an address has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is known of the process' mappings.
    NoMaps,
    /// No mapping holds the address.
    Unmapped,
    /// Anonymous memory without a perf map: a JIT compiler that does not write `/tmp/perf-PID.map`, or no code.
    Anonymous,
    /// A mapping of the kernel's making that has no symbols.
    Special(String),
    /// The file was deleted or replaced and cannot be reached through the process any more.
    Deleted,
    /// The file could not be read.
    Unreadable(String),
    /// The file has no symbol there; it may be stripped.
    NoSymbol,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMaps => {
                f.write_str("the memory maps of the process are not known; it may have exited too soon")
            }
            Self::Unmapped => f.write_str("no mapping holds the address"),
            Self::Anonymous => {
                f.write_str("anonymous memory without a perf map; enable perf maps in its JIT compiler")
            }
            Self::Special(name) => write!(f, "{name} has no symbols"),
            Self::Deleted => f.write_str("the file was deleted or replaced after it was mapped"),
            Self::Unreadable(cause) => write!(f, "the file could not be read: {cause}"),
            Self::NoSymbol => f.write_str("the file has no symbol there; install its debug symbols"),
        }
    }
}

/// The answer for one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// It has a name.
    Symbol(Symbol),
    /// It has none.
    Unknown {
        /// Why.
        reason: Reason,
        /// The module and the offset in its file, where these are known.
        module: Option<(Arc<Path>, u64)>,
    },
}

impl Resolved {
    /// The symbol, if there is one.
    pub fn symbol(&self) -> Option<&Symbol> {
        match self {
            Self::Symbol(symbol) => Some(symbol),
            Self::Unknown { .. } => None,
        }
    }
}

/// A process as far as naming its addresses needs it.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// Process id, 0 if it is not known.
    pub pid: u32,
    /// Its mappings.
    pub maps: MapTable,
    /// Root of its file system, `/proc/PID/root`; `None` for that of the tracer.
    pub root: Option<PathBuf>,
    /// Its id in its own pid namespace, which names its perf map.
    pub namespace_pid: Option<u32>,
}

impl Process {
    /// Reads the maps of a live process.
    ///
    /// Errors: `/proc/PID/maps` cannot be read because the process is gone or belongs to someone else.
    pub fn read(pid: u32) -> std::io::Result<Self> {
        let maps = MapTable::parse(&fs::read(format!("/proc/{pid}/maps"))?);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let namespace_pid = inner.and_then(|pids| pids.split_ascii_whitespace().last()?.parse().ok());
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let own = fs::metadata("/").map(|m| (m.dev(), m.ino())).ok();
        let same_root = fs::metadata(&root).map(|m| (m.dev(), m.ino())).ok() == own;
        Ok(Self { pid, maps, root: (!same_root).then_some(root), namespace_pid })
    }
}

/// A module that was opened: a file and where it was found.
#[derive(Debug)]
struct Module {
    /// As the process names it.
    name: Arc<Path>,
    /// As we can open it, or why not.
    file: Result<PathBuf, Reason>,
}

#[derive(Debug)]
struct LoadedPerfMap {
    stamp: Option<(u64, SystemTime)>,
    map: PerfMap,
}

/// Names addresses, and remembers what it found. Not `Send`: keep it in the thread that prints.
#[derive(Debug)]
pub struct UserSymboliser {
    lines: Symbolizer,
    options: Options,
    /// (device, inode, name) -> index in `modules`.
    module_ids: HashMap<(u64, PathBuf), usize>,
    modules: Vec<Rc<Module>>,
    cache: HashMap<(usize, u64), Arc<Resolved>>,
    perf_maps: HashMap<u32, LoadedPerfMap>,
    vdso: Option<Option<Vec<u8>>>,
}

impl UserSymboliser {
    /// A symboliser that has read nothing yet.
    pub fn new(options: Options) -> Self {
        let lines = Symbolizer::builder()
            .enable_code_info(options.debug_info)
            .enable_inlined_fns(options.debug_info)
            .enable_demangling(options.demangle)
            .build();
        Self {
            lines,
            options,
            module_ids: HashMap::new(),
            modules: Vec::new(),
            cache: HashMap::new(),
            perf_maps: HashMap::new(),
            vdso: None,
        }
    }

    /// Names one address of a process.
    pub fn resolve(&mut self, process: &Process, address: u64) -> Arc<Resolved> {
        let unknown = |reason| Arc::new(Resolved::Unknown { reason, module: None });
        let Some(mapping) = process.maps.find(address) else {
            if let Some(symbol) = self.jit_symbol(process, address) {
                return symbol;
            }
            return unknown(if process.maps.is_empty() { Reason::NoMaps } else { Reason::Unmapped });
        };
        match &mapping.what {
            Mapped::Anonymous => {
                self.jit_symbol(process, address).unwrap_or_else(|| unknown(Reason::Anonymous))
            }
            Mapped::Special(name) if name == "[vdso]" => {
                self.vdso_symbol(address.wrapping_sub(mapping.start))
            }
            Mapped::Special(name) => {
                self.jit_symbol(process, address).unwrap_or_else(|| unknown(Reason::Special(name.clone())))
            }
            Mapped::File { path, deleted } => {
                // JIT compilers map their code from deleted files and memfds, too.
                if *deleted || path.starts_with("/dev/") || path.starts_with("/memfd:") {
                    if let Some(symbol) = self.jit_symbol(process, address) {
                        return symbol;
                    }
                }
                let offset = mapping.file_offset(address).unwrap_or(0);
                let module = self.module(process, mapping, path, *deleted);
                self.in_module(module, offset)
            }
        }
    }

    /// Names the addresses of a stack in order.
    pub fn resolve_all(&mut self, process: &Process, addresses: &[u64]) -> Vec<Arc<Resolved>> {
        addresses.iter().map(|&address| self.resolve(process, address)).collect()
    }

    /// Names a file offset of a module whose process is not known, as stacks with build ids give it.
    pub fn resolve_offset(&mut self, file: &Path, offset: u64) -> Arc<Resolved> {
        let key = (0, file.to_owned());
        let module = self.module_ids.get(&key).copied().unwrap_or_else(|| {
            self.modules.push(Rc::new(Module { name: file.into(), file: readable(file) }));
            self.module_ids.insert(key, self.modules.len() - 1);
            self.modules.len() - 1
        });
        self.in_module(module, offset)
    }

    /// Forgets what belongs to a process, once no more of its addresses can come.
    pub fn forget_process(&mut self, pid: u32) {
        self.perf_maps.remove(&pid);
    }

    fn module(&mut self, process: &Process, mapping: &Mapping, path: &Path, deleted: bool) -> usize {
        // The inode tells a replaced library from its successor.
        let (major, minor) = mapping.device;
        let device_inode = mapping.inode ^ (u64::from(major) << 52 | u64::from(minor) << 40);
        let key = (device_inode, path.to_owned());
        if let Some(&id) = self.module_ids.get(&key) {
            return id;
        }
        let file = locate(process, mapping, path, deleted);
        self.modules.push(Rc::new(Module { name: path.into(), file }));
        self.module_ids.insert(key, self.modules.len() - 1);
        self.modules.len() - 1
    }

    fn in_module(&mut self, id: usize, offset: u64) -> Arc<Resolved> {
        if let Some(known) = self.cache.get(&(id, offset)) {
            return known.clone();
        }
        let Some(module) = self.modules.get(id).cloned() else {
            return Arc::new(Resolved::Unknown { reason: Reason::NoSymbol, module: None });
        };
        let found = match &module.file {
            Ok(file) => self.look_up(&module.name, file, offset),
            Err(reason) => Err(reason.clone()),
        };
        let resolved = Arc::new(match found {
            Ok(symbol) => Resolved::Symbol(symbol),
            Err(reason) => Resolved::Unknown { reason, module: Some((module.name.clone(), offset)) },
        });
        if self.cache.len() >= CACHE_MAX {
            self.cache.clear();
        }
        self.cache.insert((id, offset), resolved.clone());
        resolved
    }

    fn look_up(&self, name: &Arc<Path>, file: &Path, offset: u64) -> Result<Symbol, Reason> {
        let mut elf = ElfSource::new(file);
        elf.debug_syms = self.options.debug_info;
        let mut found = self.lines.symbolize_single(&Source::Elf(elf.clone()), Input::FileOffset(offset));
        if found.is_err() && elf.debug_syms {
            // Damaged or unusual debug information must not cost the plain symbol.
            elf.debug_syms = false;
            found = self.lines.symbolize_single(&Source::Elf(elf), Input::FileOffset(offset));
        }
        match found {
            Ok(Symbolized::Sym(sym)) => Ok(convert(sym, name)),
            Ok(Symbolized::Unknown(_)) => Err(Reason::NoSymbol),
            Err(error) => Err(Reason::Unreadable(error.to_string())),
        }
    }

    fn jit_symbol(&mut self, process: &Process, address: u64) -> Option<Arc<Resolved>> {
        let demangled = self.options.demangle;
        let (name, offset) = self.perf_map(process)?.find(address)?;
        let name = if demangled { crate::demangle::demangle(name).into_owned() } else { name.to_owned() };
        let symbol = Symbol { name, offset, size: None, module: None, source: None, inlined: Vec::new() };
        Some(Arc::new(Resolved::Symbol(symbol)))
    }

    /// The perf map of a process, read again when it has grown.
    fn perf_map(&mut self, process: &Process) -> Option<&PerfMap> {
        if process.pid == 0 {
            return None;
        }
        let inner = process.namespace_pid.unwrap_or(process.pid);
        let name = format!("tmp/perf-{inner}.map");
        let path = process.root.as_deref().unwrap_or(Path::new("/")).join(name);
        let stamp = fs::metadata(&path).ok().and_then(|m| Some((m.len(), m.modified().ok()?)));
        let known = self.perf_maps.get(&process.pid);
        // A process that has exited may take its map along; what was read stays.
        if stamp.is_some() && known.map(|k| k.stamp) != Some(stamp) {
            let map = PerfMap::parse(&fs::read(&path).unwrap_or_default());
            self.perf_maps.insert(process.pid, LoadedPerfMap { stamp, map });
        }
        self.perf_maps.get(&process.pid).map(|loaded| &loaded.map)
    }

    /// All 64-bit processes map the same vdso, so ours has the symbols of theirs.
    fn vdso_symbol(&mut self, offset: u64) -> Arc<Resolved> {
        let image = self.vdso.get_or_insert_with(own_vdso);
        let found = image.as_deref().and_then(|image| {
            let elf = Elf::parse(image).ok()?;
            let (function, offset) = elf.function_at(elf.address_of_offset(offset)?)?;
            Some((function.symbol.name.to_owned(), offset, function.symbol.size))
        });
        let module = Some(Path::new("[vdso]").into());
        Arc::new(match found {
            Some((name, offset, size)) => Resolved::Symbol(Symbol {
                name,
                offset,
                size: Some(size),
                module,
                source: None,
                inlined: Vec::new(),
            }),
            None => Resolved::Unknown { reason: Reason::Special("[vdso]".to_owned()), module: None },
        })
    }
}

fn own_vdso() -> Option<Vec<u8>> {
    let maps = MapTable::parse(&fs::read("/proc/self/maps").ok()?);
    let vdso = maps.iter().find(|m| m.what == Mapped::Special("[vdso]".to_owned()))?;
    let mut image = vec![0; usize::try_from(vdso.end - vdso.start).ok().filter(|&len| len <= 1 << 20)?];
    fs::File::open("/proc/self/mem").ok()?.read_exact_at(&mut image, vdso.start).ok()?;
    Some(image)
}

fn readable(path: &Path) -> Result<PathBuf, Reason> {
    match fs::File::open(path) {
        Ok(_) => Ok(path.to_owned()),
        Err(error) => Err(Reason::Unreadable(error.to_string())),
    }
}

/// Finds the file of a mapping: by the kernel's link to the very file, else by name in the process' root, else in ours.
fn locate(process: &Process, mapping: &Mapping, path: &Path, deleted: bool) -> Result<PathBuf, Reason> {
    let inside = process.root.as_deref().and_then(|root| Some(root.join(path.strip_prefix("/").ok()?)));
    let by_name = inside.into_iter().chain([path.to_owned()]);
    if !deleted {
        if let Some(found) = by_name.into_iter().find(|p| fs::File::open(p).is_ok()) {
            return Ok(found);
        }
    }
    if process.pid != 0 {
        let link = format!("/proc/{}/map_files/{:x}-{:x}", process.pid, mapping.start, mapping.end);
        if let Ok(found) = readable(Path::new(&link)) {
            return Ok(found);
        }
    }
    if deleted {
        return Err(Reason::Deleted);
    }
    readable(path)
}

fn source_line(info: &CodeInfo<'_>) -> SourceLine {
    let file = match info.dir.as_deref() {
        Some(dir) => dir.join(Path::new::<OsStr>(&info.file)),
        None => PathBuf::from(&info.file),
    };
    SourceLine { file, line: info.line, column: info.column.map(u32::from).filter(|&column| column > 0) }
}

fn convert(sym: Sym<'_>, module: &Arc<Path>) -> Symbol {
    let inlined = sym.inlined.iter().map(|frame| InlinedFrame {
        name: frame.name.to_string(),
        source: frame.code_info.as_ref().map(source_line),
    });
    Symbol {
        inlined: inlined.collect(),
        source: sym.code_info.as_deref().map(source_line),
        offset: sym.offset as u64,
        size: sym.size.map(|size| size as u64),
        module: Some(module.clone()),
        // glibc's debug symbols have an alias for each function that it calls itself.
        name: sym.name.strip_prefix("__GI_").unwrap_or(&sym.name).to_owned(),
    }
}

#[cfg(test)]
mod tests;
