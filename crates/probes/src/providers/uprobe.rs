//! `uprobe` and `uretprobe`: any instruction of a program or library.

use super::timer::parse_number;
use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, UprobeSite};
use fathom_lang::facts::{ArgSet, Carrier, Context, Facts, Feature, Resolution, Target};
use fathom_symbols::demangle;
use fathom_symbols::elf::Elf;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `uprobe:FILE:FUNCTION[+OFFSET]`, `uprobe:FILE:ADDRESS`.
pub static UPROBE: Provider = Provider {
    name: "uprobe",
    aliases: &["u"],
    probe_type: "uprobe",
    side: Side::User,
    forms: &["uprobe:FILE:FUNCTION", "uprobe:FILE:FUNCTION+OFFSET", "uprobe:FILE:ADDRESS", "uprobe:FILE:cpp:FUNCTION"],
    doc: "Entry of (or an instruction within) a function of a program or library; arguments as arg0, arg1 ... FILE is a path, a \
          program in PATH or a library as the loader names it (libc, libssl.so.3). With -p FILE may be omitted.",
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
struct Wanted {
    files: Vec<PathBuf>,
    function: String,
    cpp: bool,
}

fn wanted(facts: &KernelFacts, request: &Request<'_>) -> Result<Wanted, Resolution> {
    let name = request.provider.name;
    let (file, function, cpp) = match request.parts {
        [function] => (None, function, false),
        [file, function] => (Some(file), function, false),
        [file, cpp, function] if cpp == "cpp" => (Some(file), function, true),
        _ => return Err(request.malformed(format!("{name} probe must have a file and a function"))),
    };
    if function.is_empty() {
        return Err(request.malformed(format!("{name} probe must have a function")));
    }
    let file = file.map(String::as_str).filter(|f| !f.is_empty());
    let files = match (file, request.whole.pid) {
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
    Ok(Wanted { files, function: function.clone(), cpp })
}

fn resolve(facts: &KernelFacts, request: &Request<'_>, ret: bool) -> Resolution {
    let wanted = match wanted(facts, request) {
        Ok(wanted) => wanted,
        Err(resolution) => return resolution,
    };
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
        match sites(&elf, &wanted, request, ret) {
            Ok(found) => {
                let file = File { path, pid: request.whole.pid, ret };
                targets.extend(found.into_iter().map(|site| target(facts, request.provider, &file, site)));
            }
            Err(resolution) => return resolution,
        }
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
}

fn sites(elf: &Elf<'_>, wanted: &Wanted, request: &Request<'_>, ret: bool) -> Result<Vec<Site>, Resolution> {
    if let Some(address) = parse_number(&wanted.function) {
        return by_address(elf, address, request).map(|s| vec![s]);
    }
    let (function, offset) = match wanted.function.split_once('+') {
        Some((f, o)) if !wanted.cpp => match parse_number(o) {
            Some(o) => (f, o),
            None => return Err(request.malformed(format!("Invalid offset: {o}"))),
        },
        _ => (wanted.function.as_str(), 0),
    };
    if ret && offset != 0 {
        return Err(
            request.malformed("uretprobes must be attached to the entry of a function, not to an offset")
        );
    }
    let fits = |name: &str| {
        if wanted.cpp {
            return is_demangled(name, function);
        }
        if wildcard::is_pattern(function) {
            wildcard::matches(function, name)
        } else {
            name == function
        }
    };
    let mut found = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for f in elf.functions().filter(|f| fits(f.symbol.name)) {
        if offset != 0 && offset >= f.symbol.size.max(1) {
            return Err(error(
                format!("Offset outside the function bounds ('{}' size is {})", f.symbol.name, f.symbol.size),
                None,
            ));
        }
        if !seen.insert(f.file_offset) {
            continue;
        }
        let skip = if offset == 0 { entry_skip(elf, f.file_offset) } else { offset };
        let place =
            if offset == 0 { f.symbol.name.to_owned() } else { format!("{}+{offset}", f.symbol.name) };
        found.push(Site {
            name: place,
            func: Some(f.symbol.name.to_owned()),
            offset: f.file_offset.saturating_add(skip),
        });
    }
    Ok(found)
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

fn by_address(elf: &Elf<'_>, address: u64, request: &Request<'_>) -> Result<Site, Resolution> {
    let Some(offset) = elf.file_offset(address).filter(|_| elf.is_code(address)) else {
        return Err(error(
            format!("Could not resolve address: {}", request.target()),
            Some(format!("{address:#x} is not in the file's code")),
        ));
    };
    let func = elf.function_at(address).map(|(f, _)| f.symbol.name.to_owned());
    Ok(Site { name: format!("{address}"), func, offset })
}

/// Whether a mangled name stands for the C++ function: by whole signature or by name without parameters.
fn is_demangled(mangled: &str, wanted: &str) -> bool {
    let plain = demangle::demangle(mangled);
    plain == wanted || plain.split('(').next() == Some(wanted)
}

/// What all sites of one file share.
struct File<'a> {
    path: &'a Path,
    pid: Option<u32>,
    ret: bool,
}

fn target(facts: &KernelFacts, provider: &Provider, file: &File<'_>, site: Site) -> Target {
    let path = file.path.display().to_string();
    let context = Context::Registers { at_return: file.ret };
    let mut carriers = Vec::new();
    if facts.has(Feature::UprobeMulti) {
        carriers.push(Carrier {
            kind: ProgKind::KPROBE,
            attach_kind: Some(AttachKind::TRACE_UPROBE_MULTI),
            attach_btf: None,
            sleepable: false,
            how: Attach::UprobeMulti {
                path: path.clone(),
                sites: vec![UprobeSite { offset: site.offset, ref_ctr_offset: 0, cookie: 0 }],
                pid: file.pid,
                ret: file.ret,
                session: false,
            },
            context: context.clone(),
            select: None,
            has_cookie: true,
            mechanism: "uprobe_multi",
        });
    }
    carriers.push(Carrier {
        kind: ProgKind::KPROBE,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::Uprobe {
            path: path.clone(),
            offset: site.offset,
            ref_ctr_offset: 0,
            pid: file.pid,
            ret: file.ret,
        },
        context,
        select: None,
        has_cookie: true,
        mechanism: "perf uprobe",
    });
    Target {
        name: format!("{}:{path}:{}", provider.name, site.name),
        provider: provider.name,
        probe_type: provider.probe_type,
        func: site.func,
        args: Arc::new(ArgSet {
            unavailable: Some(format!("{path} has no debug information: use arg0, arg1 ...")),
            ..ArgSet::default()
        }),
        carriers,
    }
}
