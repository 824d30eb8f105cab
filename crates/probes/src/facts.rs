//! The compiler's questions answered by the running kernel. Everything is opened when first asked for and kept.

use crate::binaries::Binaries;
use crate::c_types;
use crate::debug;
use crate::provider;
use fathom_kernel::btf::KernelBtf;
use fathom_kernel::features::{self, Features};
use fathom_kernel::tracefs::Tracefs;
use fathom_kernel::{cpu, Root};
use fathom_lang::facts::{Arg, ArgSet, ArgType, Facts, Feature, ProbeRequest, Resolution, TypeSpace};
use fathom_lang::types::{CType, CTypeId};
use fathom_symbols::btf::{Btf, BtfType, Kind};
use fathom_symbols::kallsyms::Kallsyms;
use fathom_symbols::Bytes;
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the compiler asks for, and the feature of the kernel that answers it.
static FEATURES: &[(Feature, &features::Feature)] = &[
    (Feature::RingBuffer, &features::RINGBUF),
    (Feature::MayGoto, &features::MAY_GOTO),
    (Feature::CpuV4, &features::ISA_V4),
    (Feature::AtomicFetch, &features::ATOMICS),
    (Feature::ForEachMapElem, &features::FOR_EACH_MAP_ELEM),
    (Feature::LookupPercpuElem, &features::LOOKUP_PERCPU),
    (Feature::AttachCookie, &features::BPF_COOKIE),
    (Feature::FuncIp, &features::GET_FUNC_IP),
    (Feature::Jiffies64, &features::JIFFIES64),
    (Feature::KtimeBoot, &features::BOOT_TIME),
    (Feature::KtimeTai, &features::TAI_TIME),
    (Feature::TaskBtf, &features::CURRENT_TASK_BTF),
    (Feature::ProbeReadSpaces, &features::PROBE_READ_KERNEL),
    (Feature::KprobeMulti, &features::KPROBE_MULTI),
    (Feature::KprobeSession, &features::KPROBE_SESSION),
    (Feature::UprobeMulti, &features::UPROBE_MULTI),
];

/// Settings that change what the kernel is taken to offer.
#[derive(Clone, Debug, Default)]
pub struct FactsOptions {
    /// BTF file instead of the running kernel's.
    pub btf_path: Option<PathBuf>,
    /// File with the functions that can be traced, one per line, instead of the kernel's list.
    pub traceable_functions: Option<PathBuf>,
    /// Facilities to treat as missing (`kprobe_multi`, ...).
    pub disabled: HashSet<String>,
    /// Directories with debug files.
    pub debug_dirs: Vec<PathBuf>,
    /// Directories that `import` and `#include` look into.
    pub include_dirs: Vec<PathBuf>,
    /// The command of `-c`, stopped before its exec: whose memory watchpoints mean.
    pub child_pid: Option<u32>,
}

/// Lazily opened facts of the running kernel.
pub struct KernelFacts {
    root: Root,
    options: FactsOptions,
    /// Blob 0 is vmlinux; modules are appended as they are opened.
    blobs: RefCell<Vec<(String, Option<Arc<Btf>>)>>,
    types: RefCell<HashMap<CTypeId, CType>>,
    /// Types of programs; their numbers begin at [`c_types::FIRST_USER_BLOB`].
    user_blobs: RefCell<Vec<Arc<Btf>>>,
    /// Programs and libraries with probes, whose types scripts may name.
    user_files: RefCell<Vec<PathBuf>>,
    user_names: RefCell<HashMap<(TypeSpace, String), Option<CTypeId>>>,
    raw_tracepoints: RefCell<HashMap<String, Option<u32>>>,
    tracefs: OnceCell<Result<Tracefs, fathom_kernel::Error>>,
    features: Features,
    kallsyms: OnceCell<Option<Kallsyms>>,
    functions: OnceCell<Vec<(String, String)>>,
    function_index: RefCell<HashMap<String, HashMap<String, u32>>>,
    /// Programs and libraries that were looked at.
    pub binaries: Binaries,
}

impl KernelFacts {
    /// Facts of the running system. Nothing is opened yet.
    pub fn new(root: Root, options: FactsOptions) -> KernelFacts {
        KernelFacts {
            features: Features::new(root.clone()),
            binaries: Binaries::new(root.clone(), options.debug_dirs.clone()),
            root,
            options,
            blobs: RefCell::new(Vec::new()),
            types: RefCell::new(HashMap::new()),
            user_blobs: RefCell::new(Vec::new()),
            user_files: RefCell::new(Vec::new()),
            user_names: RefCell::new(HashMap::new()),
            raw_tracepoints: RefCell::new(HashMap::new()),
            tracefs: OnceCell::new(),
            kallsyms: OnceCell::new(),
            functions: OnceCell::new(),
            function_index: RefCell::new(HashMap::new()),
        }
    }

    /// The directory that stands for `/`.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The command that was started for tracing.
    pub fn child_pid(&self) -> Option<u32> {
        self.options.child_pid
    }

    /// The feature table.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// tracefs, mounted if it can be.
    pub fn tracefs(&self) -> Option<&Tracefs> {
        self.find_tracefs().ok()
    }

    /// tracefs, or why there is none: not mounted, or not for this user.
    pub fn find_tracefs(&self) -> Result<&Tracefs, &fathom_kernel::Error> {
        self.tracefs.get_or_init(|| Tracefs::find_or_mount(&self.root)).as_ref()
    }

    /// Whether the kernel has a performance monitoring unit of this name.
    pub fn has_pmu(&self, name: &str) -> bool {
        self.root.path(format!("/sys/bus/event_source/devices/{name}")).exists()
    }

    /// Types of a module (or `vmlinux`), with the number that type ids of it carry.
    pub fn btf(&self, module: &str) -> Option<(u32, Arc<Btf>)> {
        if let Some(at) = self.blobs.borrow().iter().position(|(name, _)| name == module) {
            return self.blobs.borrow()[at].1.clone().map(|b| (at as u32, b));
        }
        if module != "vmlinux" {
            // Modules continue the numbering of vmlinux, which has to be blob 0.
            self.btf("vmlinux")?;
        }
        let opened = self.open_btf(module);
        let mut blobs = self.blobs.borrow_mut();
        blobs.push((module.to_owned(), opened.clone()));
        opened.map(|b| (blobs.len() as u32 - 1, b))
    }

    fn open_btf(&self, module: &str) -> Option<Arc<Btf>> {
        if module == "vmlinux" {
            let bytes = match &self.options.btf_path {
                Some(path) => Bytes::new(std::fs::read(path).ok()?),
                None => Bytes::new(Mapped(KernelBtf::vmlinux(&self.root).ok()?)),
            };
            return Btf::parse(bytes).ok().map(Arc::new);
        }
        let base = self.btf("vmlinux")?.1;
        let bytes = Bytes::new(Mapped(KernelBtf::module(&self.root, module).ok()?));
        Btf::parse_split(bytes, base).ok().map(Arc::new)
    }

    fn blob(&self, index: u32) -> Option<Arc<Btf>> {
        if let Some(at) = index.checked_sub(c_types::FIRST_USER_BLOB) {
            return self.user_blobs.borrow().get(at as usize).cloned();
        }
        if index == 0 {
            return self.btf("vmlinux").map(|b| b.1);
        }
        self.blobs.borrow().get(index as usize)?.1.clone()
    }

    /// Takes the types of a program in; gives the number that their ids carry, or `None` if there are too many.
    pub fn add_user_types(&self, types: Btf) -> Option<u32> {
        let mut blobs = self.user_blobs.borrow_mut();
        if blobs.len() >= c_types::USER_BLOBS_MAX {
            return None;
        }
        blobs.push(Arc::new(types));
        Some(c_types::FIRST_USER_BLOB + blobs.len() as u32 - 1)
    }

    /// Remembers a program with probes: its types can be named in the script.
    pub fn add_user_file(&self, path: &Path) {
        let mut files = self.user_files.borrow_mut();
        if !files.iter().any(|f| f == path) {
            files.push(path.to_owned());
        }
    }

    /// A type of the programs that the script probes.
    fn find_user_type(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        let key = (space, name.to_owned());
        if let Some(known) = self.user_names.borrow().get(&key) {
            return *known;
        }
        let files = self.user_files.borrow().clone();
        let found = files.iter().find_map(|path| debug::find_type(self, path, space, name));
        self.user_names.borrow_mut().insert(key, found);
        found
    }

    /// Whether the kernel describes its types.
    pub fn has_btf(&self) -> bool {
        self.btf("vmlinux").is_some()
    }

    /// `vmlinux` and the modules that have types.
    pub fn btf_modules(&self) -> Vec<String> {
        let mut modules = vec!["vmlinux".to_owned()];
        modules.extend(fathom_kernel::btf::modules(&self.root).unwrap_or_default());
        modules
    }

    /// Whether a module is loaded (or is the kernel itself).
    pub fn has_module(&self, name: &str) -> bool {
        if name == "vmlinux" || self.root.path(format!("/sys/kernel/btf/{name}")).exists() {
            return true;
        }
        let text = self.root.read_text("/proc/modules").unwrap_or_default();
        fathom_symbols::modules::parse(&text).iter().any(|m| m.name == name)
    }

    /// BTF id of the typedef that a raw tracepoint of vmlinux attaches to.
    pub fn raw_tracepoint(&self, event: &str) -> Option<u32> {
        if let Some(known) = self.raw_tracepoints.borrow().get(event) {
            return *known;
        }
        let found = self.btf("vmlinux")?.1.find(&format!("btf_trace_{event}"), Kind::Typedef);
        self.raw_tracepoints.borrow_mut().insert(event.to_owned(), found);
        found
    }

    /// Whether raw tracepoints of this kernel carry cookies.
    pub fn has_raw_tracepoint_cookie(&self) -> bool {
        self.features.has(&features::RAW_TP_COOKIE)
    }

    /// Typed arguments of a raw tracepoint.
    pub fn raw_tracepoint_args(&self, module: &str, event: &str) -> Option<(u32, ArgSet)> {
        let (index, btf) = self.btf(module)?;
        let (id, params) = btf.find_raw_tracepoint(event)?;
        if module != "vmlinux" && id < btf.first_id() {
            return None; // found in vmlinux, which the module's blob continues
        }
        let args = params.iter().map(|p| Arg {
            name: p.name.into(),
            ty: ArgType::C(c_types::id_of(index, p.ty)),
            data_loc: false,
        });
        Some((id, ArgSet { args: args.collect(), ..ArgSet::default() }))
    }

    /// BTF id of a function. One look-up scans the types (30 us); after [`Self::index_functions`] it is a hash look-up.
    pub fn function_id(&self, module: &str, name: &str) -> Option<u32> {
        if let Some(index) = self.function_index.borrow().get(module) {
            return index.get(name).copied();
        }
        let (_, btf) = self.btf(module)?;
        let id = btf.find(name, Kind::Func)?;
        (module == "vmlinux" || id >= btf.first_id()).then_some(id)
    }

    /// Reads the names of all functions of a module's types, for wildcards and listings that look up thousands.
    pub fn index_functions(&self, module: &str) {
        if self.function_index.borrow().contains_key(module) {
            return;
        }
        let Some((_, btf)) = self.btf(module) else { return };
        let names = btf.iter_own_kind(Kind::Func).filter_map(|id| Some((btf.name(id).ok()?.to_owned(), id)));
        let index: HashMap<String, u32> = names.collect();
        self.function_index.borrow_mut().insert(module.to_owned(), index);
    }

    /// Typed arguments and return value of a function.
    pub fn function_args(&self, module: &str, name: &str) -> Option<(u32, ArgSet)> {
        let id = self.function_id(module, name)?;
        let (index, btf) = self.btf(module)?;
        let BtfType::Func { proto, .. } = btf.get(id).ok()? else { return None };
        let BtfType::FuncProto { params, ret } = btf.get(proto).ok()? else { return None };
        let args = params.iter().flatten().enumerate().map(|(i, p)| Arg {
            name: if p.name.is_empty() { format!("arg{i}").as_str().into() } else { p.name.into() },
            ty: ArgType::C(c_types::id_of(index, p.ty)),
            data_loc: false,
        });
        let ret = (ret != 0).then(|| ArgType::C(c_types::id_of(index, ret)));
        Some((id, ArgSet { args: args.collect(), ret, ..ArgSet::default() }))
    }

    /// BTF id of a kernel variable.
    pub fn variable_id(&self, name: &str) -> Option<u32> {
        self.btf("vmlinux")?.1.find(name, Kind::Var)
    }

    /// C text of a type.
    pub fn type_text(&self, id: CTypeId) -> String {
        let text = self.blob(c_types::module_of(id)).and_then(|b| b.type_name(c_types::btf_id(id)).ok());
        text.unwrap_or_else(|| "?".to_owned())
    }

    /// A struct of vmlinux.
    pub fn kernel_struct(&self, name: &str) -> Option<CTypeId> {
        let (index, btf) = self.btf("vmlinux")?;
        c_types::find(&btf, index, TypeSpace::Struct, name)
    }

    /// Names of typedefs of a module that begin with `prefix`, without it, sorted.
    pub fn type_names(&self, module: &str, prefix: &str) -> Vec<String> {
        self.names(module, prefix, Kind::Typedef)
    }

    /// Names of structs of a module that begin with `prefix`, without it, sorted.
    pub fn struct_names(&self, module: &str, prefix: &str) -> Vec<String> {
        self.names(module, prefix, Kind::Struct)
    }

    fn names(&self, module: &str, prefix: &str, kind: Kind) -> Vec<String> {
        let Some((_, btf)) = self.btf(module) else { return Vec::new() };
        let ids = btf
            .iter_own_kind(kind)
            .filter_map(|id| Some(btf.name(id).ok()?.strip_prefix(prefix)?.to_owned()));
        let mut names: Vec<String> = ids.collect();
        names.sort();
        names.dedup();
        names
    }

    /// Kernel symbols; read once, 40 ms: only where nothing cheaper answers.
    pub fn kallsyms(&self) -> Option<&Kallsyms> {
        let read = || {
            let file = std::fs::File::open(self.root.path("/proc/kallsyms")).ok()?;
            Kallsyms::read(BufReader::with_capacity(1 << 16, file), |_| true).ok()
        };
        self.kallsyms.get_or_init(read).as_ref()
    }

    /// Address of a kernel symbol.
    pub fn symbol_address(&self, name: &str) -> Option<u64> {
        self.kallsyms()?.by_name(name).map(|s| s.address).next()
    }

    /// Functions that can be probed, as (module, name), sorted by name. From `--traceable-functions`, tracefs's list, or, where
    /// that cannot be read, all functions of kallsyms.
    pub fn traceable_functions(&self) -> &[(String, String)] {
        self.functions.get_or_init(|| self.read_functions())
    }

    fn read_functions(&self) -> Vec<(String, String)> {
        let list = match &self.options.traceable_functions {
            Some(path) => std::fs::read_to_string(path).ok(),
            None => {
                self.tracefs().and_then(|t| t.available_filter_functions().ok()).filter(|t| !t.is_empty())
            }
        };
        let mut out: Vec<(String, String)> = match (list, &self.options.traceable_functions) {
            (Some(text), _) => text.lines().filter_map(parse_traceable).collect(),
            (None, Some(_)) => Vec::new(),
            (None, None) => self.functions_of_kallsyms(),
        };
        out.sort_unstable_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
        out.dedup();
        out
    }

    fn functions_of_kallsyms(&self) -> Vec<(String, String)> {
        let Some(symbols) = self.kallsyms() else { return Vec::new() };
        let text = symbols.iter().filter(|s| s.is_text() && is_probeable_name(s.name));
        text.map(|s| (s.module.unwrap_or("vmlinux").to_owned(), s.name.to_owned())).collect()
    }

    /// Whether a function is known to exist, so that a probe on it is worth trying: a function that has types is taken as such (30 us); the
    /// lists, which take the kernel tens of milliseconds to make, are read for others only.
    pub fn is_traceable(&self, module: Option<&str>, function: &str) -> bool {
        if self.options.traceable_functions.is_none() {
            let known = match module {
                Some(module) => self.function_id(module, function).is_some(),
                None => self.function_id("vmlinux", function).is_some(),
            };
            if known {
                return true;
            }
        }
        let all = self.traceable_functions();
        let from = all.partition_point(|f| f.1.as_str() < function);
        let same = all.iter().skip(from).take_while(|f| f.1 == function);
        same.into_iter().any(|f| module.is_none_or(|m| f.0 == m))
    }

    /// Entry addresses of the functions with these names that the function tracer can trace, each with what goes with its name.
    pub fn traceable_addresses<T: Copy>(&self, names: &HashMap<&str, T>) -> Vec<(u64, T)> {
        let text = self.tracefs().and_then(|t| t.read("available_filter_functions_addrs").ok());
        // Kernels before 6.5 do not list addresses: then all are tried.
        let traced: Option<HashSet<u64>> = text.map(|text| {
            let address = |line: &str| u64::from_str_radix(line.split_whitespace().next()?, 16).ok();
            text.lines().filter_map(address).collect()
        });
        // The tracer's place is the first instruction, or stands behind its `endbr64`.
        let fits = |at: u64| {
            traced.as_ref().is_none_or(|t| t.contains(&at) || t.contains(&at.wrapping_add(ENDBR_BYTES)))
        };
        let symbols = self.kallsyms().into_iter().flat_map(|k| k.iter());
        let named = symbols.filter_map(|s| Some((s, *names.get(s.name)?)));
        named.filter(|(s, _)| s.is_text() && fits(s.address)).map(|(s, with)| (s.address, with)).collect()
    }

    /// Directories for `import` and `#include`.
    pub fn include_dirs(&self) -> &[PathBuf] {
        &self.options.include_dirs
    }
}

/// Bytes of the instruction that marks a place to jump to.
const ENDBR_BYTES: u64 = 4;

/// Lets the mapping be shared as bytes.
struct Mapped(KernelBtf);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A line `function [module]` of the list of traceable functions.
fn parse_traceable(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    if !is_probeable_name(name) {
        return None;
    }
    let module = words.next().map_or("vmlinux", |m| m.trim_matches(['[', ']']));
    Some((module.to_owned(), name.to_owned()))
}

/// Compiler-made and marker symbols are no functions that a user means.
fn is_probeable_name(name: &str) -> bool {
    !name.starts_with("__ftrace_invalid_address__")
        && !name.starts_with("__pfx_")
        && !name.starts_with("__cfi_")
        && !name.starts_with("__SCT__")
        && !name.ends_with(".cold")
}

impl Facts for KernelFacts {
    fn find_type(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        let of_kernel = self.btf("vmlinux").and_then(|(index, btf)| c_types::find(&btf, index, space, name));
        of_kernel.or_else(|| self.find_user_type(space, name))
    }

    fn c_type(&self, id: CTypeId) -> CType {
        if let Some(known) = self.types.borrow().get(&id) {
            return known.clone();
        }
        let Some(btf) = self.blob(c_types::module_of(id)) else { return CType::Void };
        let ty = c_types::convert(&btf, id);
        self.types.borrow_mut().insert(id, ty.clone());
        ty
    }

    fn find_enum_value(&self, name: &str) -> Option<(CTypeId, i64)> {
        let (index, btf) = self.btf("vmlinux")?;
        let (id, value) = btf.find_enumerator(name)?;
        Some((c_types::id_of(index, id), value.value))
    }

    fn has_types(&self) -> bool {
        self.has_btf()
    }

    fn resolve(&self, request: &ProbeRequest) -> Resolution {
        provider::resolve(self, request)
    }

    fn has(&self, feature: Feature) -> bool {
        let row = FEATURES.iter().find(|row| row.0 == feature);
        let Some((_, known)) = row else { return false };
        !self.options.disabled.contains(known.name) && self.features.has(known)
    }

    fn kernel_symbol(&self, name: &str) -> Option<u64> {
        self.symbol_address(name)
    }

    fn user_symbol(&self, path: &str, name: &str) -> Option<(u64, u64)> {
        self.binaries.symbol(path, name, None)
    }

    fn cgroup_id(&self, path: &str) -> Result<u64, String> {
        use std::os::unix::fs::MetadataExt;
        // The id of a cgroup is the inode number of its directory (64-bit kernels).
        match std::fs::metadata(Path::new(path)) {
            Ok(meta) if meta.is_dir() => Ok(meta.ino()),
            Ok(_) => Err("not a directory".into()),
            Err(e) => Err(e.to_string()),
        }
    }

    fn has_kfunc(&self, name: &str) -> bool {
        self.function_id("vmlinux", name).is_some()
    }

    fn possible_cpus(&self) -> u32 {
        cpu::possible_count() as u32
    }

    fn read_import(&self, path: &str, from: Option<&str>) -> Result<Vec<(String, String)>, String> {
        crate::binaries::read_import(path, from, &self.options.include_dirs)
    }
}
