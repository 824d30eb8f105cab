//! DWARF debug information: functions with their arguments and types, source lines and their addresses.
//!
//! Types come out as BTF ([`crate::btf::Btf`]), so that one reader serves kernel and user types. Sections that are
//! compressed with zlib are unpacked when the file is opened. Split DWARF (`.dwo`) and shared supplementary
//! files (`.gnu_debugaltlink`) are not read.

mod lines;
mod types;

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use gimli::{AttributeValue, EndianSlice, LittleEndian, SectionId, UnitOffset};

use crate::abi::{self, ArgPlace};
use crate::btf::Btf;
use crate::elf::Elf;
use crate::{Bytes, Error, Result};

pub use lines::{LineAddress, SourcePlace};
use types::TypeWriter;

/// Largest unpacked section, so that a damaged header cannot take all memory.
const SECTION_BYTES_MAX: u64 = 4 << 30;
/// Bytes of the header of a compressed section.
const COMPRESSION_HEADER_LEN: usize = 24;

type Slice<'s> = EndianSlice<'s, LittleEndian>;
type Dwarf<'s> = gimli::Dwarf<Slice<'s>>;
type Unit<'s> = gimli::Unit<Slice<'s>>;
type Entry<'s> = gimli::DebuggingInformationEntry<Slice<'s>>;

fn bad(error: gimli::Error) -> Error {
    Error::new("DWARF", error.to_string())
}

/// One argument of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name, empty if the source gave none.
    pub name: String,
    /// Its type, in the types of the function.
    pub ty: u32,
    /// Where it is at the function's first instruction.
    pub place: ArgPlace,
}

/// A function as the source declares it.
#[derive(Debug)]
pub struct FunctionInfo {
    /// Name in the source, without namespace or class.
    pub name: String,
    /// Address of its first instruction in the file's address space.
    pub address: u64,
    /// Arguments in order, `this` included.
    pub args: Vec<Argument>,
    /// Whether more may follow (`...`).
    pub is_variadic: bool,
    /// Return type, 0 for `void`.
    pub ret: u32,
    /// All types that the arguments and the result reach.
    pub types: Btf<Bytes>,
}

/// The debug information of one file.
pub struct DebugInfo<'d> {
    sections: gimli::DwarfSections<Cow<'d, [u8]>>,
}

/// Where distributions put the separate debug file of a program: by build id, then by debug link.
///
/// `program` is the program's own path. Only names are made; nothing is opened.
pub fn debug_file_candidates(elf: &Elf<'_>, program: &Path) -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if let Some((first, rest)) = elf.build_id().and_then(|id| id.split_first()) {
        let hex: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        candidates.push(PathBuf::from(format!("/usr/lib/debug/.build-id/{first:02x}/{hex}.debug")));
    }
    if let (Some((link, _)), Some(dir)) = (elf.debug_link(), program.parent()) {
        candidates.push(dir.join(link));
        candidates.push(dir.join(".debug").join(link));
        candidates.push(Path::new("/usr/lib/debug").join(dir.strip_prefix("/").unwrap_or(dir)).join(link));
    }
    candidates
}

/// The arguments of a function: its address from the symbol tables of the program or its debug file, its types
/// from the debug information of either. `None` if there is no debug information or no such function.
pub fn function_args(program: &Elf<'_>, debug: Option<&Elf<'_>>, name: &str) -> Result<Option<FunctionInfo>> {
    let files = [debug, Some(program)];
    let address = files.iter().flatten().find_map(|elf| Some(elf.symbol(name)?.address)).filter(|&a| a != 0);
    for elf in files.into_iter().flatten() {
        let Some(info) = DebugInfo::open(elf)? else { continue };
        let found = match address {
            Some(address) => info.function_at(address)?,
            None => info.functions_named(name)?.into_iter().next(),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

impl<'d> DebugInfo<'d> {
    /// Opens the debug information of a file; `None` if it has none.
    ///
    /// Errors: a section is damaged or packed in another way than zlib.
    pub fn open(elf: &Elf<'d>) -> Result<Option<Self>> {
        if elf.section(".debug_info").is_none_or(<[u8]>::is_empty) {
            return Ok(None);
        }
        let sections = gimli::DwarfSections::load(|id| match id {
            // Large, and of no use here: places of variables inside of functions, and macros.
            SectionId::DebugLoc
            | SectionId::DebugLocLists
            | SectionId::DebugMacro
            | SectionId::DebugMacinfo => Ok(Cow::Borrowed(&[][..])),
            _ => section(elf, id.name()),
        })?;
        Ok(Some(Self { sections }))
    }

    fn dwarf(&self) -> Dwarf<'_> {
        self.sections.borrow(|section| EndianSlice::new(section, LittleEndian))
    }

    /// The function whose first instruction is at this address.
    pub fn function_at(&self, address: u64) -> Result<Option<FunctionInfo>> {
        let dwarf = self.dwarf();
        for header in units_of(&dwarf, address)? {
            let unit = dwarf.unit(header).map_err(bad)?;
            let found = find_functions(&dwarf, &unit, |_, entry_address| Ok(entry_address == address))?;
            if let Some(&(offset, address)) = found.first() {
                return describe(&dwarf, &unit, offset, address).map(Some);
            }
        }
        Ok(None)
    }

    /// All compiled functions with this name, as the source writes it or mangled. Reads all units.
    pub fn functions_named(&self, name: &str) -> Result<Vec<FunctionInfo>> {
        let dwarf = self.dwarf();
        let mut functions = Vec::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().map_err(bad)? {
            let unit = dwarf.unit(header).map_err(bad)?;
            let found =
                find_functions(&dwarf, &unit, |entry, _| has_name(&dwarf, &unit, entry, name.as_bytes()))?;
            for (offset, address) in found {
                functions.push(describe(&dwarf, &unit, offset, address)?);
            }
        }
        Ok(functions)
    }

    /// The first struct, union, class, enum or typedef with this name that is defined, for casts in scripts.
    pub fn type_named(&self, name: &str) -> Result<Option<(Btf<Bytes>, u32)>> {
        let dwarf = self.dwarf();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().map_err(bad)? {
            let unit = dwarf.unit(header).map_err(bad)?;
            let Some(offset) = types::find_named(&dwarf, &unit, name.as_bytes())? else { continue };
            let mut writer = TypeWriter::new(&dwarf);
            let id = writer.convert(&unit, offset)?;
            return Ok(Some((writer.finish()?.0, id)));
        }
        Ok(None)
    }
}

/// The bytes of a section, unpacked if need be; empty if the file has none.
fn section<'d>(elf: &Elf<'d>, name: &str) -> Result<Cow<'d, [u8]>> {
    let raw = elf.section(name).unwrap_or(&[]);
    if !elf.section_is_compressed(name) {
        return Ok(Cow::Borrowed(raw));
    }
    let damaged = |reason: String| Error::new("DWARF", format!("section {name}: {reason}"));
    let (Some(kind), Some(size)) = (raw.first_chunk::<4>(), raw.get(8..).and_then(|r| r.first_chunk::<8>()))
    else {
        return Err(damaged("the compression header is cut off".into()));
    };
    let (kind, size) = (u32::from_le_bytes(*kind), u64::from_le_bytes(*size));
    if kind != 1 {
        return Err(damaged(format!("compressed by method {kind}; only zlib (1) is read")));
    }
    if size > SECTION_BYTES_MAX {
        return Err(damaged(format!(
            "{size} bytes when unpacked are more than the limit of {SECTION_BYTES_MAX}"
        )));
    }
    let packed = raw.get(COMPRESSION_HEADER_LEN..).unwrap_or(&[]);
    // zlib packs at most about 1032 to 1, so what a damaged header claims beyond that is not reserved.
    let expected = usize::try_from(size).unwrap_or(0).min(packed.len().saturating_mul(1032));
    let mut unpacked = Vec::with_capacity(expected);
    let read = flate2::read::ZlibDecoder::new(packed).take(size).read_to_end(&mut unpacked);
    read.map_err(|error| damaged(format!("unpacking failed: {error}")))?;
    Ok(Cow::Owned(unpacked))
}

type Header<'s> = gimli::UnitHeader<Slice<'s>>;

/// The units that may hold code at an address: what the address table says, or all if it does not know.
fn units_of<'s>(dwarf: &Dwarf<'s>, address: u64) -> Result<Vec<Header<'s>>> {
    let mut found = Vec::new();
    let mut tables = dwarf.debug_aranges.headers();
    // A damaged table only costs speed.
    while let Ok(Some(table)) = tables.next() {
        let mut rows = table.entries();
        while let Ok(Some(row)) = rows.next() {
            if address.checked_sub(row.address()).is_some_and(|into| into < row.length()) {
                found.extend(dwarf.unit_header(table.debug_info_offset()).ok());
                break;
            }
        }
    }
    if found.is_empty() {
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().map_err(bad)? {
            found.push(header);
        }
    }
    Ok(found)
}

/// First address of an entry, from `low_pc`, `entry_pc` or the first of its ranges.
fn entry_address<'s>(dwarf: &Dwarf<'s>, unit: &Unit<'s>, entry: &Entry<'s>) -> Result<Option<u64>> {
    for name in [gimli::DW_AT_entry_pc, gimli::DW_AT_low_pc] {
        if let Some(value) = entry.attr_value(name) {
            if let Some(address) = dwarf.attr_address(unit, value).map_err(bad)? {
                return Ok(Some(address));
            }
        }
    }
    let Some(value) = entry.attr_value(gimli::DW_AT_ranges) else { return Ok(None) };
    let Some(mut ranges) = dwarf.attr_ranges(unit, value).map_err(bad)? else { return Ok(None) };
    Ok(ranges.next().map_err(bad)?.map(|range| range.begin))
}

/// Offsets and addresses of the compiled functions of a unit that fit.
fn find_functions<'s>(
    dwarf: &Dwarf<'s>,
    unit: &Unit<'s>,
    fits: impl Fn(&Entry<'s>, u64) -> Result<bool>,
) -> Result<Vec<(UnitOffset, u64)>> {
    let mut found = Vec::new();
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs().map_err(bad)? {
        if entry.tag() != gimli::DW_TAG_subprogram {
            continue;
        }
        let Some(address) = entry_address(dwarf, unit, entry)? else { continue };
        // Discarded functions stay in the debug information at address 0.
        if address != 0 && fits(entry, address)? {
            found.push((entry.offset(), address));
        }
    }
    Ok(found)
}

/// The entry that `abstract_origin` or `specification` points to within the unit: what is known before compilation.
fn origin<'s>(unit: &Unit<'s>, entry: &Entry<'s>) -> Option<Entry<'s>> {
    [gimli::DW_AT_abstract_origin, gimli::DW_AT_specification].iter().find_map(|&name| {
        match entry.attr_value(name)? {
            AttributeValue::UnitRef(offset) => unit.entry(offset).ok(),
            AttributeValue::DebugInfoRef(offset) => unit.entry(offset.to_unit_offset(&unit.header)?).ok(),
            _ => None,
        }
    })
}

/// Calls `look` with the entry and its origins, nearest first, until it answers.
fn with_origins<'s, T>(
    unit: &Unit<'s>,
    entry: &Entry<'s>,
    mut look: impl FnMut(&Entry<'s>) -> Option<T>,
) -> Option<T> {
    if let Some(found) = look(entry) {
        return Some(found);
    }
    let mut next = origin(unit, entry);
    // A compiled member function points to its abstract copy, and that to its declaration.
    for _ in 0..4 {
        let entry = next?;
        if let Some(found) = look(&entry) {
            return Some(found);
        }
        next = origin(unit, &entry);
    }
    None
}

fn text<'s>(dwarf: &Dwarf<'s>, unit: &Unit<'s>, entry: &Entry<'s>, name: gimli::DwAt) -> Option<&'s [u8]> {
    Some(dwarf.attr_string(unit, entry.attr_value(name)?).ok()?.slice())
}

fn has_name<'s>(dwarf: &Dwarf<'s>, unit: &Unit<'s>, entry: &Entry<'s>, name: &[u8]) -> Result<bool> {
    let names = [gimli::DW_AT_name, gimli::DW_AT_linkage_name];
    let found = with_origins(unit, entry, |entry| {
        names.iter().any(|&attr| text(dwarf, unit, entry, attr) == Some(name)).then_some(())
    });
    Ok(found.is_some())
}

fn source_name<'s>(dwarf: &Dwarf<'s>, unit: &Unit<'s>, entry: &Entry<'s>) -> String {
    let name = with_origins(unit, entry, |entry| text(dwarf, unit, entry, gimli::DW_AT_name));
    String::from_utf8_lossy(name.unwrap_or(b"")).into_owned()
}

/// Parameters below an entry: (name, offset of the type), and whether `...` follows.
type Parameters<'s> = (Vec<(String, Option<AttributeValue<Slice<'s>>>)>, bool);

fn parameters<'s>(dwarf: &Dwarf<'s>, unit: &Unit<'s>, offset: UnitOffset) -> Result<Parameters<'s>> {
    let (mut params, mut is_variadic) = (Vec::new(), false);
    let mut tree = unit.entries_tree(Some(offset)).map_err(bad)?;
    let mut children = tree.root().map_err(bad)?.children();
    while let Some(child) = children.next().map_err(bad)? {
        let entry = child.entry();
        match entry.tag() {
            gimli::DW_TAG_formal_parameter => {
                let ty = with_origins(unit, entry, |entry| entry.attr_value(gimli::DW_AT_type));
                params.push((source_name(dwarf, unit, entry), ty));
            }
            gimli::DW_TAG_unspecified_parameters => is_variadic = true,
            _ => {}
        }
    }
    Ok((params, is_variadic))
}

fn describe<'s>(
    dwarf: &Dwarf<'s>,
    unit: &Unit<'s>,
    offset: UnitOffset,
    address: u64,
) -> Result<FunctionInfo> {
    let entry = unit.entry(offset).map_err(bad)?;
    let (mut params, mut is_variadic) = parameters(dwarf, unit, offset)?;
    if params.is_empty() {
        // The compiled copy may leave out what its declaration says.
        if let Some(origin) = origin(unit, &entry) {
            (params, is_variadic) = parameters(dwarf, unit, origin.offset())?;
        }
    }
    let mut writer = TypeWriter::new(dwarf);
    let mut convert = |value: Option<AttributeValue<Slice<'s>>>| match value {
        Some(value) => writer.convert_reference(unit, value),
        None => Ok(0),
    };
    let ret = convert(with_origins(unit, &entry, |entry| entry.attr_value(gimli::DW_AT_type)))?;
    let mut named = Vec::with_capacity(params.len());
    for (name, ty) in params {
        named.push((name, convert(ty)?));
    }
    let (types, indirect) = writer.finish()?;
    let ids: Vec<u32> = named.iter().map(|(_, ty)| *ty).collect();
    let is_indirect = |id: u32| types.resolve(id).is_ok_and(|(id, _)| indirect.contains(&id));
    let places = abi::place_arguments(&types, &ids, ret, is_indirect)?;
    let args =
        named.into_iter().zip(places).map(|((name, ty), place)| Argument { name, ty, place }).collect();
    Ok(FunctionInfo { name: source_name(dwarf, unit, &entry), address, args, is_variadic, ret, types })
}

#[cfg(test)]
mod tests;
