//! Debug information of programs and libraries: arguments of functions, places of source lines, types by name.

use crate::c_types;
use crate::facts::KernelFacts;
use crate::providers::usdt;
use fathom_lang::facts::{Arg, ArgPlace, ArgSet, ArgType, Facts, TypeSpace};
use fathom_lang::types::{CType, CTypeId};
use fathom_symbols::abi::{self, Part};
use fathom_symbols::btf::Kind;
use fathom_symbols::dwarf::{debug_file_candidates, DebugInfo, FunctionInfo};
use fathom_symbols::elf::Elf;
use fathom_symbols::Bytes;
use std::path::{Path, PathBuf};

/// Longest chain of typedefs that is followed.
const TYPEDEFS_MAX: usize = 32;

/// A place in the source as an attach point names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlace<'a> {
    /// File, matched by whole components from the end.
    pub file: &'a str,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: Option<u32>,
}

/// Opens the debug information of a file, its own and that of its separate debug file, and hands it to `look`, the richer first. What
/// cannot be read counts as missing.
pub fn with_debug<R>(
    facts: &KernelFacts,
    path: &Path,
    elf: &Elf<'_>,
    look: impl FnOnce(&[DebugInfo<'_>]) -> R,
) -> R {
    let separate = separate_file(facts, path, elf);
    let separate = separate.as_deref().and_then(|bytes| Elf::parse(bytes).ok());
    let infos: Vec<DebugInfo<'_>> =
        separate.iter().chain([elf]).filter_map(|file| DebugInfo::open(file).ok().flatten()).collect();
    look(&infos)
}

/// The separate debug file of a program, from the directories of `--debuginfo` and those of the distribution.
fn separate_file(facts: &KernelFacts, path: &Path, elf: &Elf<'_>) -> Option<Bytes> {
    if elf.section(".debug_info").is_some_and(|s| !s.is_empty()) {
        return None;
    }
    let own: Vec<PathBuf> = debug_file_candidates(elf, path);
    let system = Path::new("/usr/lib/debug");
    let given = facts.binaries.debug_dirs.iter().flat_map(|dir| {
        let below = own.iter().filter_map(|p| p.strip_prefix(system).ok());
        let linked = elf.debug_link().map(|(name, _)| dir.join(name));
        below.map(|p| dir.join(p)).chain(linked).collect::<Vec<PathBuf>>()
    });
    given.chain(own.iter().cloned()).find_map(|candidate| {
        let bytes = facts.binaries.read(&candidate)?;
        let found = Elf::parse(&bytes).ok()?;
        // A debug file of another build would give wrong places.
        let same = match (found.build_id(), elf.build_id()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        same.then_some(bytes)
    })
}

/// Arguments and return value of the function that begins at `address` of the file.
pub fn function_args(
    facts: &KernelFacts,
    infos: &[DebugInfo<'_>],
    address: u64,
    at_return: bool,
) -> Option<ArgSet> {
    let function = infos.iter().find_map(|info| info.function_at(address).ok().flatten())?;
    arg_set(facts, function, at_return)
}

fn arg_set(facts: &KernelFacts, function: FunctionInfo, at_return: bool) -> Option<ArgSet> {
    let FunctionInfo { args, ret, types, .. } = function;
    let blob = facts.add_user_types(types)?;
    let id = |ty: u32| c_types::id_of(blob, ty);
    let ret = (at_return && ret != 0).then(|| id(ret)).filter(|ret| is_scalar(facts, *ret)).map(ArgType::C);
    if at_return {
        let unavailable = Some("arguments are gone when a function returns: save them at its entry".into());
        return Some(ArgSet { ret, unavailable, ..ArgSet::default() });
    }
    let mut set = ArgSet::default();
    for (i, arg) in args.into_iter().enumerate() {
        let name = if arg.name.is_empty() { format!("arg{i}") } else { arg.name };
        set.args.push(Arg { name: name.as_str().into(), ty: ArgType::C(id(arg.ty)), data_loc: false });
        set.places.push(place(&arg.place));
    }
    Some(set)
}

/// Whether a returned value of this type stands in one general register.
fn is_scalar(facts: &KernelFacts, mut id: CTypeId) -> bool {
    for _ in 0..TYPEDEFS_MAX {
        match facts.c_type(id) {
            CType::Typedef { to, .. } => id = to,
            CType::Int { size, .. } => return size <= 8,
            ty => return matches!(ty, CType::Pointer { .. } | CType::Enum(_)),
        }
    }
    false
}

fn place(place: &abi::ArgPlace) -> ArgPlace {
    match place {
        abi::ArgPlace::Registers(parts) => {
            let registers: Option<Vec<u16>> = parts
                .iter()
                .map(|part| match part {
                    Part::Gpr(gpr) => usdt::register(*gpr),
                    Part::Vector(_) => None,
                })
                .collect();
            registers.map_or(
                ArgPlace::Unreadable(
                    "This argument is in a floating-point register, which programs in the kernel cannot read",
                ),
                ArgPlace::Registers,
            )
        }
        abi::ArgPlace::Stack(offset) => ArgPlace::Stack(*offset),
        abi::ArgPlace::Behind(pointer) => ArgPlace::Behind(Box::new(self::place(pointer))),
        abi::ArgPlace::Nowhere => ArgPlace::Unreadable("This argument has no bytes"),
        abi::ArgPlace::Unknown => {
            ArgPlace::Unreadable("The debug information does not tell where this argument is")
        }
    }
}

/// Addresses in the file where the code of a source line begins; `None` if the file has no debug information.
pub fn addresses_of_line(infos: &[DebugInfo<'_>], place: &SourcePlace<'_>) -> Option<Vec<u64>> {
    if infos.is_empty() {
        return None;
    }
    let lines = |info: &DebugInfo<'_>| info.addresses_of_line(place.file, place.line, place.column).ok();
    let found = infos.iter().filter_map(lines).find(|found| !found.is_empty()).unwrap_or_default();
    Some(found.into_iter().map(|l| l.address).collect())
}

/// A type of a program by name.
pub fn find_type(facts: &KernelFacts, path: &Path, space: TypeSpace, name: &str) -> Option<CTypeId> {
    let bytes = facts.binaries.read(path)?;
    let elf = Elf::parse(&bytes).ok()?;
    let (types, id) = with_debug(facts, path, &elf, |infos| {
        infos.iter().find_map(|info| info.type_named(name).ok().flatten())
    })?;
    let fits = match types.kind(id).ok()? {
        Kind::Struct => space == TypeSpace::Struct,
        Kind::Union => space == TypeSpace::Union,
        Kind::Enum | Kind::Enum64 => space == TypeSpace::Enum,
        _ => space == TypeSpace::Plain,
    };
    let blob = facts.add_user_types(types)?;
    fits.then(|| c_types::id_of(blob, id))
}
