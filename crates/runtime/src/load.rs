//! Puts a compiled program into the kernel: maps, relocations, programs.

use crate::error::{Error, Result};
use crate::notice;
use crate::options::Options;
use crate::types;
use fathom_bpf::insn::Insn;
use fathom_bpf::kinds::map_flags::BPF_F_NO_PREALLOC;
use fathom_bpf::kinds::{AttachKind, MapKind};
use fathom_codegen::ir::LoadConst;
use fathom_codegen::program::{ActionKind, Attach, MapDef, MapRole, Program, RelocTarget, RunWhen, Unit};
use fathom_kernel::btf;
use fathom_kernel::clock::Clock;
use fathom_kernel::features;
use fathom_kernel::map::{Map, MapSpec, Update};
use fathom_kernel::proc;
use fathom_kernel::prog::{Prog, ProgSpec, ProgTypes};
use fathom_lang::facts::Facts;
use fathom_probes::KernelFacts;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Maps and programs in the kernel, in the order of the [`Program`].
pub struct Loaded {
    /// Maps.
    pub maps: Vec<Map>,
    /// Programs.
    pub progs: Vec<Prog>,
    /// `CLOCK_MONOTONIC` at the start.
    pub start_ns: u64,
}

/// Bytes of the ring when only the tracer's own probes print.
const RING_BYTES_SMALL: u64 = 256 << 10;
/// Bytes of the ring otherwise: 3 million records of 40 bytes a second for a tenth of a second. Creating it costs 0.2 ms per MiB.
const RING_BYTES_LARGE: u64 = 8 << 20;

/// Bytes of stacks where the kernel cannot let a map grow.
const STACK_BYTES_MAX: u32 = 16 << 20;

const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;
const PSEUDO_KFUNC_CALL: u8 = 2;
const BPF_F_SLEEPABLE: u32 = 1 << 4;

/// Numbers that programs get at load time.
struct Constants {
    start_ns: u64,
    start_boot_ns: u64,
    child_pid: u32,
    pid_ns: (u64, u64),
}

/// Creates the maps and loads the programs.
///
/// # Errors
/// The kernel's reason with the map's name; for a refused program the script's line and the verifier's log.
pub fn load(
    program: &Program,
    facts: &KernelFacts,
    options: &Options,
    child_pid: Option<u32>,
) -> Result<Loaded> {
    let mut maps = Vec::with_capacity(program.maps.len());
    for def in &program.maps {
        maps.push(create(def, program, facts, options)?);
    }
    let constants = Constants {
        start_ns: Clock::Monotonic.now_ns(),
        start_boot_ns: Clock::Boottime.now_ns(),
        child_pid: child_pid.unwrap_or(0),
        pid_ns: proc::pid_namespace(facts.root()).unwrap_or((0, 0)),
    };
    let mut modules = HashMap::new();
    let mut progs = Vec::with_capacity(program.units.len());
    for unit in &program.units {
        let insns = relocate(unit, &maps, facts, &constants)?;
        progs.push(load_unit(program, unit, &insns, options, &mut modules)?);
    }
    Ok(Loaded { maps, progs, start_ns: constants.start_ns })
}

/// Whether anything but the tracer itself makes a unit run.
pub fn is_hot(unit: &Unit) -> bool {
    unit.attachments.iter().any(|a| !matches!(a.how, Attach::Run(_) | Attach::Iter { .. }))
}

/// Whether a unit walks objects of the kernel.
fn is_iterator(unit: &Unit) -> bool {
    unit.attachments.iter().any(|a| matches!(a.how, Attach::Iter { .. }))
}

/// How often a unit runs at a given moment: once per attach point of its clause that says so.
pub fn times(unit: &Unit, when: &RunWhen) -> usize {
    unit.attachments.iter().filter(|a| matches!(&a.how, Attach::Run(w) if w == when)).count()
}

/// Whether a clause that others than the tracer itself make run, or an iterator, which runs to its end before anything is read, prints
/// something. Warnings alone fit a small ring: what does not fit is counted.
fn prints_often(program: &Program) -> bool {
    let hot = program.units.iter().filter(|u| is_hot(u) || is_iterator(u));
    let hot: Vec<u32> = hot.map(|u| u.clause).collect();
    program.actions.iter().any(|a| {
        let is_warning = matches!(
            a.kind,
            ActionKind::HelperError { .. } | ActionKind::RuntimeError { .. } | ActionKind::Exit
        );
        !is_warning && hot.contains(&a.clause)
    })
}

fn ring_bytes(program: &Program, options: &Options) -> u64 {
    let asked = if options.ring_bytes != 0 { options.ring_bytes } else { program.settings.ring_bytes };
    let chosen = match asked {
        0 if prints_often(program) => RING_BYTES_LARGE,
        0 => RING_BYTES_SMALL,
        n => n,
    };
    chosen.clamp(4096, 1 << 30).next_power_of_two()
}

fn create(def: &MapDef, program: &Program, facts: &KernelFacts, options: &Options) -> Result<Map> {
    let mut flags = def.flags;
    let mut max_entries = match (&def.role, def.kind, def.max_entries) {
        (MapRole::Events, MapKind::RINGBUF, 0) => ring_bytes(program, options) as u32,
        (_, _, n) => n,
    };
    let grows = matches!(def.kind, MapKind::HASH | MapKind::PERCPU_HASH) && flags & BPF_F_NO_PREALLOC != 0;
    if grows && !facts.features().has(&features::HASH_ON_DEMAND) {
        // All elements are made now: before 6.1 programs that interrupt the kernel's allocator could not ask it for one.
        flags &= !BPF_F_NO_PREALLOC;
        if matches!(def.role, MapRole::Stacks { .. }) {
            max_entries = max_entries.min(STACK_BYTES_MAX / def.value_size.max(1)).max(1);
        }
    }
    let spec = MapSpec::new(&def.name, def.kind, def.key_size, def.value_size, max_entries).flags(flags);
    let map = Map::create(&spec)?;
    for (key, value) in &def.init {
        map.update(key, value, Update::Any)?;
    }
    if def.role == MapRole::ReadOnly {
        // Freezing lets the verifier take the contents as known.
        map.freeze()?;
    }
    Ok(map)
}

fn relocate(unit: &Unit, maps: &[Map], facts: &KernelFacts, constants: &Constants) -> Result<Vec<Insn>> {
    let mut insns = unit.insns.clone();
    for reloc in &unit.relocs {
        let at = reloc.insn as usize;
        let wrong = || {
            Error::Other(format!(
                "internal error: relocation at instruction {at} of {} has no place",
                unit.name
            ))
        };
        let fd = |id: fathom_codegen::ir::MapId| {
            maps.get(id.0 as usize).map(|m| m.as_fd().as_raw_fd()).ok_or_else(wrong)
        };
        match &reloc.target {
            RelocTarget::Map(id) => {
                let fd = fd(*id)?;
                let insn = insns.get_mut(at).ok_or_else(wrong)?;
                *insn = Insn::new(insn.code, insn.dst(), PSEUDO_MAP_FD, 0, fd);
            }
            RelocTarget::MapValue(id) => {
                let fd = fd(*id)?;
                let insn = insns.get_mut(at).ok_or_else(wrong)?;
                *insn = Insn::new(insn.code, insn.dst(), PSEUDO_MAP_VALUE, 0, fd);
            }
            RelocTarget::Const(c) => set_imm64(&mut insns, at, constants.value(*c), 0).ok_or_else(wrong)?,
            RelocTarget::Kfunc(name) => {
                let id = facts.function_id("vmlinux", name).ok_or_else(|| {
                    Error::Other(format!(
                        "the kernel has no function {name} for programs to call; see `fathom info`"
                    ))
                })?;
                let insn = insns.get_mut(at).ok_or_else(wrong)?;
                *insn = Insn::new(insn.code, insn.dst(), PSEUDO_KFUNC_CALL, 0, id as i32);
            }
            RelocTarget::KernelSymbol(name) => {
                let (value, source) = match facts.variable_id(name) {
                    Some(id) => (u64::from(id), PSEUDO_BTF_ID),
                    None => (facts.kernel_symbol(name).unwrap_or(0), 0),
                };
                set_imm64(&mut insns, at, value, source).ok_or_else(wrong)?;
            }
        }
    }
    Ok(insns)
}

impl Constants {
    fn value(&self, which: LoadConst) -> u64 {
        match which {
            LoadConst::StartTimeNs => self.start_ns,
            LoadConst::StartBootTimeNs => self.start_boot_ns,
            LoadConst::ChildPid => u64::from(self.child_pid),
            LoadConst::OwnPid => u64::from(std::process::id()),
            LoadConst::PidNsDev => self.pid_ns.0,
            LoadConst::PidNsIno => self.pid_ns.1,
        }
    }
}

/// Sets both halves of a 64-bit load.
fn set_imm64(insns: &mut [Insn], at: usize, value: u64, source: u8) -> Option<()> {
    let first = insns.get_mut(at)?;
    *first = Insn::new(first.code, first.dst(), source, 0, value as u32 as i32);
    insns.get_mut(at + 1)?.imm = (value >> 32) as u32 as i32;
    Some(())
}

fn load_unit(
    program: &Program,
    unit: &Unit,
    insns: &[Insn],
    options: &Options,
    modules: &mut HashMap<String, OwnedFd>,
) -> Result<Prog> {
    let described = types::describe(program, unit);
    // A kernel that does not take the description still takes a program without callbacks.
    let btf_fd = described.as_ref().and_then(|d| btf::load(&d.btf).ok());
    let types = match (&described, &btf_fd) {
        (Some(d), Some(fd)) => {
            Some(ProgTypes { btf: fd.as_fd(), func_info: &d.func_info, line_info: &d.line_info })
        }
        _ => None,
    };
    let mut spec = ProgSpec::new(&unit.name, unit.kind, insns);
    spec.attach = unit.attach_kind.unwrap_or(AttachKind(0));
    spec.flags = if unit.sleepable { BPF_F_SLEEPABLE } else { 0 };
    spec.types = types;
    spec.want_log = options.verifier_log;
    let module_fd: Option<BorrowedFd<'_>>;
    if let Some(target) = &unit.attach_btf {
        spec.attach_btf_id = target.id;
        if target.module != "vmlinux" {
            if !modules.contains_key(&target.module) {
                if let Some(fd) = btf::module_fd(&target.module)? {
                    modules.insert(target.module.clone(), fd);
                }
            }
            module_fd = modules.get(&target.module).map(|fd| fd.as_fd());
            spec.attach_btf = module_fd;
        }
    }
    Prog::load(&spec).map_err(|e| {
        if e.log.is_empty() {
            Error::from(e)
        } else {
            rejected(program, unit, &e, options)
        }
    })
}

/// The verifier's refusal at the script's line. It counts as a bug of the compiler.
fn rejected(program: &Program, unit: &Unit, e: &fathom_kernel::Error, options: &Options) -> Error {
    let place = last_instruction(&e.log)
        .and_then(|at| unit.lines.iter().rev().find(|l| l.0 <= at))
        .and_then(|l| program.locations.get(l.1 .0 as usize));
    let message = format!("{e}");
    let mut text = notice::render(place, "ERROR", &message, options.color);
    text.push_str("\nHINT: ");
    text.push_str(REFUSALS.iter().find(|r| e.log.contains(r.0)).map_or(OWN_FAULT, |r| r.1));
    let log: Vec<&str> = e.log.lines().collect();
    let shown = if options.verbose || options.verifier_log { log.len() } else { LOG_LINES_SHOWN };
    text.push_str("\nThe verifier's last lines:");
    for line in log.get(log.len().saturating_sub(shown)..).unwrap_or(&log) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    Error::Rejected(text)
}

const NO_HELPER: &str =
    "this kernel does not let such a program call the helper: it is locked down, built without it, or too old; see `fathom info`";
const NO_FUNCTION: &str = "this kernel cannot hand over the arguments of the function; kprobe may work";
const OWN_FAULT: &str =
    "this is a fault of the compiler, not of the script; please report it with the script";

/// What the verifier says when the kernel lacks something, and the hint for it. Anything else is a fault of the compiler.
static REFUSALS: &[(&str, &str)] = &[
    ("cannot use helper", NO_HELPER),
    ("unknown func", NO_HELPER),
    ("is not allowed", NO_HELPER),
    // Structs by value (before 6.0), variable arguments.
    (" is unsupported.", NO_FUNCTION),
];

const LOG_LINES_SHOWN: usize = 12;

/// The last instruction that a verifier log names: lines begin `12: (85) call ...`.
fn last_instruction(log: &str) -> Option<u32> {
    log.lines().rev().find_map(|line| {
        let (number, rest) = line.split_once(": ")?;
        if rest.starts_with('(') {
            number.trim().parse().ok()
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_instruction_of_a_log_is_found() {
        let log = "func#0 @0\n0: R1=ctx() R10=fp0\n; x @ a:1\n0: (b7) r0 = 1\n12: (85) call bpf_x#1\nR1 type=scalar expected=fp\nprocessed 3 insns";
        assert_eq!(last_instruction(log), Some(12));
        assert_eq!(last_instruction(""), None);
    }

    #[test]
    fn wide_loads_are_set_in_halves() {
        let mut insns = [Insn::new(0x18, 1, 0, 0, 0), Insn::default()];
        assert!(set_imm64(&mut insns, 0, 0x1_2345_6789, 3).is_some());
        assert_eq!((insns[0].imm as u32, insns[1].imm, insns[0].src()), (0x2345_6789, 1, 3));
        assert!(set_imm64(&mut insns, 1, 0, 0).is_none());
    }
}
