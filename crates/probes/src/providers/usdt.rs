//! `usdt`: probes that programs and libraries declare themselves (`.note.stapsdt`), with their arguments and semaphores.

use crate::facts::KernelFacts;
use crate::provider::{error, Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, Refusal, UprobeSite};
use fathom_lang::facts::{ArgSet, Carrier, Context, Facts, Feature, Resolution, Target, UsdtArg, UsdtPlace};
use fathom_symbols::elf::{Elf, UsdtProbe};
use fathom_symbols::usdt::{self, Place};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `usdt:FILE:[NAMESPACE:]PROBE`.
pub static USDT: Provider = Provider {
    name: "usdt",
    aliases: &["U"],
    probe_type: "usdt",
    side: Side::User,
    forms: &["usdt:FILE:PROBE", "usdt:FILE:NAMESPACE:PROBE", "usdt::NAMESPACE:PROBE (with -p)"],
    doc: "Probes that a program or library declares itself; arguments as arg0, arg1 ... in the types of the declaration. With -p the \
          files that the process maps are searched.",
    resolve,
    list,
};

/// Offsets into x86-64's `struct pt_regs` by register name (`arch/x86/include/asm/ptrace.h`).
static PT_REGS: &[(&str, u16)] = &[
    ("r15", 0),
    ("r14", 8),
    ("r13", 16),
    ("r12", 24),
    ("bp", 32),
    ("bx", 40),
    ("r11", 48),
    ("r10", 56),
    ("r9", 64),
    ("r8", 72),
    ("ax", 80),
    ("cx", 88),
    ("dx", 96),
    ("si", 104),
    ("di", 112),
    ("ip", 128),
    ("sp", 152),
];

fn list(facts: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    let files = match (listing.parts.first().map(String::as_str), listing.pid) {
        (None | Some(""), Some(pid)) => facts.binaries.mapped_by(pid),
        (Some(file), pid) if !file.is_empty() => facts.binaries.find(file, pid),
        _ => return Vec::new(),
    };
    let mut out = Vec::new();
    for path in files {
        for (provider, name) in probe_names(facts, &path) {
            let target = format!("{provider}:{name}");
            let fits = match listing.parts {
                [] | [_] => true,
                [_, rest @ ..] => {
                    wildcard::matches(&rest.join(":"), &target) || wildcard::matches(&rest.join(":"), &name)
                }
            };
            if fits {
                out.push(format!("{}:{target}", path.display()));
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

fn probe_names(facts: &KernelFacts, path: &Path) -> Vec<(String, String)> {
    let Some(bytes) = facts.binaries.read(path) else { return Vec::new() };
    let Ok(elf) = Elf::parse(&bytes) else { return Vec::new() };
    let probes = elf.usdt_probes().unwrap_or_default();
    probes.iter().map(|p| (p.provider.to_owned(), p.name.to_owned())).collect()
}

fn resolve(facts: &KernelFacts, request: &Request<'_>) -> Resolution {
    let (file, namespace, probe) = match request.parts {
        [probe] => ("", "*", probe),
        [file, probe] => (file.as_str(), "*", probe),
        [file, namespace, probe] => {
            (file.as_str(), if namespace.is_empty() { "*" } else { namespace.as_str() }, probe)
        }
        _ => return request.malformed("usdt probe must have a file and a probe name"),
    };
    if probe.is_empty() {
        return request.malformed("usdt probe must have a probe name");
    }
    let pid = request.whole.pid;
    let files: Vec<PathBuf> = match (file, pid) {
        ("", None) => return request.malformed("usdt probe must have a file (or give a process with -p)"),
        ("", Some(pid)) => facts.binaries.mapped_by(pid),
        ("*", Some(pid)) => facts.binaries.mapped_by(pid),
        ("*", None) => all_mapped(facts),
        (file, pid) => facts.binaries.find(file, pid),
    };
    if files.is_empty() && !wildcard::is_pattern(file) && !file.is_empty() {
        let hint = "give a path, a program in PATH, or a library name that the loader knows".to_owned();
        return error(format!("usdt target file '{file}' does not exist or is not executable"), Some(hint));
    }
    // Of a program that several processes run, only the command's own is meant.
    let only = pid.or(facts.child_pid());
    let mut targets = Vec::new();
    for path in &files {
        let Some(bytes) = facts.binaries.read(path) else { continue };
        let Ok(elf) = Elf::parse(&bytes) else { continue };
        let probes = match elf.usdt_probes() {
            Ok(probes) => probes,
            Err(e) if files.len() == 1 => return error(format!("{}: {e}", path.display()), None),
            Err(_) => continue,
        };
        for p in &probes {
            if wildcard::matches(namespace, p.provider) && wildcard::matches(probe, p.name) {
                targets.push(target(facts, path, only, &elf, p));
            }
        }
    }
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
}

/// Files that any process maps as code.
fn all_mapped(facts: &KernelFacts) -> Vec<PathBuf> {
    let names = facts.root().list("/proc").unwrap_or_default();
    let pids = names.iter().filter_map(|n| n.parse::<u32>().ok());
    let mut all: Vec<PathBuf> = pids.flat_map(|pid| facts.binaries.mapped_by(pid)).collect();
    all.sort();
    all.dedup();
    all
}

fn target(
    facts: &KernelFacts,
    path: &Path,
    pid: Option<u32>,
    elf: &Elf<'_>,
    probe: &UsdtProbe<'_>,
) -> Target {
    let shown = path.display().to_string();
    let args = match usdt::parse_args(probe.args) {
        Ok(args) => args.iter().map(|a| argument(a, elf, probe)).collect(),
        Err(_) => Vec::new(),
    };
    let semaphore = probe.semaphore_offset.unwrap_or(0);
    let context = Context::Usdt { args };
    let mut carriers = Vec::new();
    if facts.has(Feature::UprobeMulti) {
        carriers.push(Carrier {
            kind: ProgKind::KPROBE,
            attach_kind: Some(AttachKind::TRACE_UPROBE_MULTI),
            attach_btf: None,
            sleepable: false,
            how: Attach::UprobeMulti {
                path: shown.clone(),
                sites: vec![UprobeSite { offset: probe.file_offset, ref_ctr_offset: semaphore, cookie: 0 }],
                pid,
                ret: false,
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
            path: shown.clone(),
            offset: probe.file_offset,
            ref_ctr_offset: semaphore,
            pid,
            ret: false,
        },
        context,
        select: None,
        has_cookie: true,
        mechanism: "perf uprobe",
    });
    Target {
        name: format!("usdt:{shown}:{}:{}", probe.provider, probe.name),
        provider: "usdt",
        probe_type: "usdt",
        refusal: Refusal::default(),
        func: Some(probe.name.to_owned()),
        args: Arc::new(ArgSet {
            unavailable: Some("usdt probes have arg0, arg1 ... instead of named arguments".into()),
            ..ArgSet::default()
        }),
        carriers,
    }
}

/// Offset of a register in `struct pt_regs`.
pub(crate) fn register(gpr: usdt::Gpr) -> Option<u16> {
    PT_REGS.iter().find(|row| row.0 == gpr.name()).map(|row| row.1)
}

/// An argument as the compiler wants it; what the kernel cannot reach (vector registers) reads as 0.
fn argument(arg: &usdt::UsdtArg, elf: &Elf<'_>, probe: &UsdtProbe<'_>) -> UsdtArg {
    let place = place(arg, elf, probe).unwrap_or(UsdtPlace::Const(0));
    UsdtArg { size: arg.size, signed: arg.is_signed, place }
}

fn place(arg: &usdt::UsdtArg, elf: &Elf<'_>, probe: &UsdtProbe<'_>) -> Option<UsdtPlace> {
    Some(match &arg.place {
        Place::Const(value) => UsdtPlace::Const(*value),
        Place::Register(r) => UsdtPlace::Register { offset: register(r.gpr)?, part: r.first_bit / 8 },
        Place::Memory(m) => {
            // A symbol is reached from the run-time address of the probe, whatever the load address is.
            let distance = m.distance_from(probe.address, |name| elf.symbol(name).map(|s| s.address)).ok()?;
            let base = match distance {
                Some(_) => register(usdt::Gpr::Ip),
                None => m.base.and_then(register),
            };
            UsdtPlace::Memory {
                base,
                index: m.index.and_then(|(gpr, _)| register(gpr)),
                scale: m.index.map_or(1, |(_, scale)| scale),
                displacement: distance.unwrap_or(m.disp),
            }
        }
        _ => return None,
    })
}
