//! `uprobe` and `uretprobe`: any instruction of a program or library.

use super::timer::parse_number;
use crate::debug::{self, SourcePlace};
use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, Refusal, UprobeSite};
use fathom_lang::facts::{ArgSet, Carrier, Context, Facts, Feature, Resolution, Target};
use fathom_symbols::demangle;
use fathom_symbols::dwarf::DebugInfo;
use fathom_symbols::elf::Elf;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `uprobe:FILE:FUNCTION[+OFFSET]`, `uprobe:FILE:ADDRESS`, `uprobe:FILE@SOURCE:LINE[:COLUMN]`.
pub static UPROBE: Provider = Provider {
    name: "uprobe",
    aliases: &["u"],
    probe_type: "uprobe",
    side: Side::User,
    forms: &[
        "uprobe:FILE:FUNCTION",
        "uprobe:FILE:FUNCTION+OFFSET",
        "uprobe:FILE:ADDRESS",
        "uprobe:FILE:cpp:FUNCTION",
        "uprobe:FILE@SOURCE:LINE[:COLUMN]",
    ],
    doc: "Entry of (or an instruction within) a function of a program or library; arguments as arg0, arg1 ..., and with debug \
          information as args.NAME. FILE is a path, a program in PATH or a library as the loader names it (libc, libssl.so.3). \
          With -p FILE may be omitted. SOURCE:LINE is a place in the source.",
    resolve: |f, r| resolve(f, r, false),
    list,
};

/// `uretprobe:FILE:FUNCTION`.
pub static URETPROBE: Provider = Provider {
    name: "uretprobe",
    aliases: &["ur"],
    probe_type: "uretprobe",
    side: Side::User,
    forms: &["uretprobe:FILE:FUNCTION", "uretprobe:FILE:cpp:FUNCTION"],
    doc: "Return of a function of a program or library; its value as retval.",
    resolve: |f, r| resolve(f, r, true),
    list,
};

/// Bytes that the kernel allows between a probe and the function it is given by.
const ENDBR64_BYTES: u64 = 4;

fn list(facts: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    let (file, function) = match listing.parts {
        [] => match listing.pid.and_then(|pid| facts.binaries.of_process(pid)) {
            Some(path) => (path.display().to_string(), "*".to_owned()),
            None => return Vec::new(),
        },
        [file] => (file.clone(), "*".to_owned()),
        [file, function @ ..] => (file.clone(), function.join(":")),
    };
    let mut out = Vec::new();
    for path in facts.binaries.find(&file, listing.pid) {
        let Some(bytes) = facts.binaries.read(&path) else { continue };
        let Ok(elf) = Elf::parse(&bytes) else { continue };
        let names = elf.functions().map(|f| f.symbol.name).filter(|n| wildcard::matches(&function, n));
        out.extend(names.map(|n| format!("{}:{n}", path.display())));
    }
    out.sort();
    out.dedup();
    out
}

/// What is probed, as written.
struct Wanted<'a> {
    files: Vec<PathBuf>,
    place: Place<'a>,
}

/// A place in a file, as written.
enum Place<'a> {
    Address(u64),
    Function { name: &'a str, offset: u64 },
    Cpp(&'a str),
    Source(SourcePlace<'a>),
}

fn wanted<'a>(facts: &KernelFacts, request: &'a Request<'_>) -> Result<Wanted<'a>, Resolution> {
    let name = request.provider.name;
    let (file, place) = match request.parts {
        [function] => (None, function_place(request, function)?),
        [file, rest @ ..] => match source_place(file, rest) {
            Some((file, place)) => (Some(file), Place::Source(place)),
            None => match rest {
                [function] => (Some(file.as_str()), function_place(request, function)?),
                [cpp, function] if cpp == "cpp" => (Some(file.as_str()), Place::Cpp(function)),
                _ => return Err(request.malformed(format!("{name} probe must have a file and a function"))),
            },
        },
        [] => return Err(request.malformed(format!("{name} probe must have a file and a function"))),
    };
    let files = match (file.filter(|f| !f.is_empty()), request.whole.pid) {
        (Some(file), pid) => facts.binaries.find(file, pid),
        (None, Some(pid)) => facts.binaries.of_process(pid).into_iter().collect(),
        (None, None) => {
            return Err(
                request.malformed(format!("{name} probe must have a file (or give a process with -p)"))
            );
        }
    };
    if files.is_empty() {
        let file = file.unwrap_or("the program of the process");
        if wildcard::is_pattern(file) {
            return Err(request.no_match());
        }
        let hint = "give a path, a program in PATH, or a library name that the loader knows".to_owned();
        return Err(error(
            format!("{name} target file '{file}' does not exist or is not executable"),
            Some(hint),
        ));
    }
    Ok(Wanted { files, place })
}

/// `FILE@SOURCE:LINE[:COLUMN]`: the file and the place in its source.
fn source_place<'a>(file: &'a str, rest: &[String]) -> Option<(&'a str, SourcePlace<'a>)> {
    let (file, source) = file.rsplit_once('@').filter(|(_, source)| !source.is_empty())?;
    let number = |text: &String| text.parse::<u32>().ok().filter(|n| *n > 0);
    let (line, column) = match rest {
        [line] => (number(line)?, None),
        [line, column] => (number(line)?, Some(number(column)?)),
        _ => return None,
    };
    Some((file, SourcePlace { file: source, line, column }))
}

fn function_place<'a>(request: &Request<'_>, text: &'a str) -> Result<Place<'a>, Resolution> {
    let name = request.provider.name;
    if text.is_empty() {
        return Err(request.malformed(format!("{name} probe must have a function")));
    }
    if let Some(address) = parse_number(text) {
        return Ok(Place::Address(address));
    }
    match text.split_once('+') {
        None => Ok(Place::Function { name: text, offset: 0 }),
        Some((function, offset)) => match parse_number(offset) {
            Some(offset) => Ok(Place::Function { name: function, offset }),
            None => Err(request.malformed(format!("Invalid offset: {offset}"))),
        },
    }
}

impl Place<'_> {
    /// Whether it may stand for many functions.
    fn is_pattern(&self) -> bool {
        matches!(self, Place::Function { name, .. } if wildcard::is_pattern(name))
    }

    /// Whether it is never the entry of a function, at which alone a return can be caught.
    fn is_inside(&self) -> bool {
        matches!(self, Place::Source(_) | Place::Function { offset: 1.., .. })
    }
}

fn resolve(facts: &KernelFacts, request: &Request<'_>, ret: bool) -> Resolution {
    let wanted = match wanted(facts, request) {
        Ok(wanted) => wanted,
        Err(resolution) => return resolution,
    };
    if ret && wanted.place.is_inside() {
        return request.malformed("uretprobes must be attached to the entry of a function, not to an offset");
    }
    let many = wanted.files.len() > 1;
    let mut targets = Vec::new();
    for path in &wanted.files {
        let Some(bytes) = facts.binaries.read(path) else {
            if many {
                continue;
            }
            return error(format!("{} cannot be read", path.display()), None);
        };
        let elf = match Elf::parse(&bytes) {
            Ok(elf) => elf,
            Err(_) if many => continue,
            Err(e) => return error(format!("{}: {e}", path.display()), None),
        };
        let file = File { facts, request, path, elf: &elf, ret };
        match file.targets(&wanted.place) {
            Ok(found) => targets.extend(found),
            Err(_) if many => continue,
            Err(resolution) => return resolution,
        }
        facts.add_user_file(path);
    }
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
}

/// A place of one file.
struct Site {
    name: String,
    func: Option<String>,
    offset: u64,
    /// Address of the function that begins here.
    entry: Option<u64>,
    /// The name is a place in the source.
    is_line: bool,
}

/// One file that is probed.
struct File<'a> {
    facts: &'a KernelFacts,
    request: &'a Request<'a>,
    path: &'a Path,
    elf: &'a Elf<'a>,
    ret: bool,
}

impl File<'_> {
    fn targets(&self, place: &Place<'_>) -> Result<Vec<Target>, Resolution> {
        let names = self.request.whole.names;
        // A returned value alone is no reason to tell the functions of a pattern apart.
        let typed = names.args || (names.retval && self.ret && !place.is_pattern());
        if !typed && !matches!(place, Place::Source(_)) {
            return Ok(self.sites(place, &[])?.into_iter().map(|s| self.target(s, &[])).collect());
        }
        debug::with_debug(self.facts, self.path, self.elf, |infos| {
            let typed = if typed { infos } else { &[] };
            Ok(self.sites(place, infos)?.into_iter().map(|s| self.target(s, typed)).collect())
        })
    }

    fn sites(&self, place: &Place<'_>, infos: &[DebugInfo<'_>]) -> Result<Vec<Site>, Resolution> {
        match place {
            Place::Address(address) => self.by_address(*address).map(|s| vec![s]),
            Place::Source(source) => self.by_line(source, infos),
            Place::Cpp(wanted) => self.functions(&|name| is_demangled(name, wanted), 0),
            Place::Function { name: wanted, offset } => {
                let is_pattern = wildcard::is_pattern(wanted);
                let fits =
                    |name: &str| if is_pattern { wildcard::matches(wanted, name) } else { name == *wanted };
                self.functions(&fits, *offset)
            }
        }
    }

    fn functions(&self, fits: &dyn Fn(&str) -> bool, offset: u64) -> Result<Vec<Site>, Resolution> {
        let mut found = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for f in self.elf.functions().filter(|f| fits(f.symbol.name)) {
            let name = f.symbol.name;
            if offset != 0 && offset >= f.symbol.size.max(1) {
                return Err(error(
                    format!("Offset outside the function bounds ('{name}' size is {})", f.symbol.size),
                    None,
                ));
            }
            if !seen.insert(f.file_offset) {
                continue;
            }
            let skip = if offset == 0 { entry_skip(self.elf, f.file_offset) } else { offset };
            found.push(Site {
                name: if offset == 0 { name.to_owned() } else { format!("{name}+{offset}") },
                func: Some(name.to_owned()),
                offset: f.file_offset.saturating_add(skip),
                entry: (offset == 0).then_some(f.symbol.address),
                is_line: false,
            });
        }
        Ok(found)
    }

    fn by_address(&self, address: u64) -> Result<Site, Resolution> {
        let Some(offset) = self.elf.file_offset(address).filter(|_| self.elf.is_code(address)) else {
            return Err(error(
                format!("Could not resolve address: {}", self.request.target()),
                Some(format!("{address:#x} is not in the file's code")),
            ));
        };
        let function = self.elf.function_at(address);
        let entry = function.as_ref().filter(|(_, into)| *into == 0).map(|_| address);
        let func = function.map(|(f, _)| f.symbol.name.to_owned());
        Ok(Site { name: format!("{address}"), func, offset, entry, is_line: false })
    }

    fn by_line(&self, place: &SourcePlace<'_>, infos: &[DebugInfo<'_>]) -> Result<Vec<Site>, Resolution> {
        let Some(addresses) = debug::addresses_of_line(infos, place) else {
            return Err(error(
                format!("{} has no debug information: source lines are not known", self.path.display()),
                Some("compile it with -g, or install its debug symbols (see --debuginfo)".into()),
            ));
        };
        let column = place.column.map_or(String::new(), |c| format!(":{c}"));
        let site = |address: u64| {
            let offset = self.elf.file_offset(address).filter(|_| self.elf.is_code(address))?;
            let func = self.elf.function_at(address).map(|(f, _)| f.symbol.name.to_owned());
            let name = format!("{}:{}{column}", place.file, place.line);
            Some(Site { name, func, offset, entry: None, is_line: true })
        };
        Ok(addresses.into_iter().filter_map(site).collect())
    }

    /// Arguments by name, from debug information.
    fn args(&self, site: &Site, infos: &[DebugInfo<'_>]) -> ArgSet {
        let unavailable = match (site.entry, infos.is_empty()) {
            (None, _) => {
                "arguments have names at the entry of a function only: use reg(), arg0, arg1 ...".into()
            }
            (Some(_), true) => {
                format!("{} has no debug information: use arg0, arg1 ...", self.path.display())
            }
            (Some(address), false) => match debug::function_args(self.facts, infos, address, self.ret) {
                Some(args) => return args,
                None => format!(
                    "the debug information of {} does not describe {}: use arg0, arg1 ...",
                    self.path.display(),
                    site.name
                ),
            },
        };
        ArgSet { unavailable: Some(unavailable), ..ArgSet::default() }
    }

    fn target(&self, site: Site, infos: &[DebugInfo<'_>]) -> Target {
        let provider = self.request.provider;
        let path = self.path.display().to_string();
        let separator = if site.is_line { '@' } else { ':' };
        Target {
            name: format!("{}:{path}{separator}{}", provider.name, site.name),
            provider: provider.name,
            probe_type: provider.probe_type,
            refusal: Refusal::default(),
            args: Arc::new(self.args(&site, infos)),
            carriers: self.carriers(&path, site.offset),
            func: site.func,
        }
    }

    fn carriers(&self, path: &str, offset: u64) -> Vec<Carrier> {
        let (pid, ret) = (self.request.whole.pid, self.ret);
        let multi = Attach::UprobeMulti {
            path: path.to_owned(),
            sites: vec![UprobeSite { offset, ref_ctr_offset: 0, cookie: 0 }],
            pid,
            ret,
            session: false,
        };
        let single = Attach::Uprobe { path: path.to_owned(), offset, ref_ctr_offset: 0, pid, ret };
        let carrier = |attach_kind, how, mechanism| Carrier {
            kind: ProgKind::KPROBE,
            attach_kind,
            attach_btf: None,
            sleepable: false,
            how,
            context: Context::Registers { at_return: ret },
            select: None,
            has_cookie: true,
            mechanism,
        };
        let mut carriers = Vec::new();
        if self.facts.has(Feature::UprobeMulti) {
            carriers.push(carrier(Some(AttachKind::TRACE_UPROBE_MULTI), multi, "uprobe_multi"));
        }
        carriers.push(carrier(None, single, "perf uprobe"));
        carriers
    }
}

/// `endbr64` is single-stepped (9 us); a probe behind it sees the same registers and is 13 times cheaper where the next instruction is emulated.
fn entry_skip(elf: &Elf<'_>, file_offset: u64) -> u64 {
    let has_endbr = elf.entry(file_offset).endbr_bytes != 0;
    if has_endbr && elf.entry(file_offset.saturating_add(ENDBR64_BYTES)).is_emulated {
        ENDBR64_BYTES
    } else {
        0
    }
}

/// Whether a mangled name stands for the C++ function: by whole signature or by name without parameters.
fn is_demangled(mangled: &str, wanted: &str) -> bool {
    let plain = demangle::demangle(mangled);
    plain == wanted || plain.split('(').next() == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_source_are_told_from_functions() {
        let rest = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let place = |line, column| SourcePlace { file: "src/x.c", line, column };
        assert_eq!(source_place("./a@src/x.c", &rest(&["12"])), Some(("./a", place(12, None))));
        assert_eq!(source_place("./a@src/x.c", &rest(&["12", "3"])), Some(("./a", place(12, Some(3)))));
        assert_eq!(source_place("./a@src/x.c", &rest(&["main"])), None);
        assert_eq!(source_place("./a", &rest(&["12"])), None);
        assert_eq!(source_place("./a@", &rest(&["12"])), None);
    }

    #[test]
    fn functions_may_be_given_with_parameters_or_without() {
        assert!(is_demangled("_ZN3foo3barEi", "foo::bar(int)"));
        assert!(is_demangled("_ZN3foo3barEi", "foo::bar"));
        assert!(!is_demangled("_ZN3foo3barEi", "bar"));
    }
}
