//! Types of DWARF written as BTF.
//!
//! C++ becomes C: references are pointers, base classes are anonymous members, so that their members are found
//! by name as in the source. Structs are reserved first and filled in later, so that no chain of types, however
//! long, takes stack.

use std::collections::{HashMap, HashSet};

use gimli::{AttributeValue, DebugTypeSignature, UnitOffset, UnitSectionOffset, UnitType};

use super::{bad, text, Dwarf, Entry, Slice, Unit};
use crate::btf::{Btf, BtfType, Kind};
use crate::btf_write::{BtfWriter, IntEncoding, NewMember};
use crate::{Bytes, Error, Result};

/// Types that one function may drag in; pointers beyond become `void *`.
const TYPES_MAX: u32 = 100_000;
/// Pointers, arrays, typedefs and modifiers in a row.
const DEPTH_MAX: usize = 64;

/// A place in the debug information: whether it is in `.debug_types` (version 4), and the offset there.
type Place = (bool, UnitSectionOffset);

fn place_of(header: &gimli::UnitHeader<Slice<'_>>) -> Place {
    (header.section() == gimli::SectionId::DebugTypes, header.offset())
}

/// A struct whose members are still to be written.
struct Pending {
    unit: usize,
    offset: UnitOffset,
    id: u32,
}

/// Converts types on demand, each once.
pub(super) struct TypeWriter<'w, 's> {
    dwarf: &'w Dwarf<'s>,
    writer: BtfWriter,
    /// Place of a type in the debug information -> its id.
    ids: HashMap<Place, u32>,
    pending: Vec<Pending>,
    /// Types passed by a hidden pointer.
    indirect: HashSet<u32>,
    /// Types of which the compiler says that they are not.
    direct: HashSet<u32>,
    /// Units that were entered, in order of entering.
    units: Vec<Unit<'s>>,
    unit_ids: HashMap<Place, usize>,
    /// Type units by signature, read when first asked for.
    signatures: Option<HashMap<DebugTypeSignature, (Place, UnitOffset)>>,
}

/// An attribute as a number, whatever its form.
fn number(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u64> {
    let attr = entry.attr(name)?;
    attr.udata_value().or_else(|| attr.sdata_value().map(|value| value as u64))
}

fn flag(entry: &Entry<'_>, name: gimli::DwAt) -> bool {
    matches!(entry.attr_value(name), Some(AttributeValue::Flag(true)))
}

fn size_of_entry(entry: &Entry<'_>) -> u32 {
    number(entry, gimli::DW_AT_byte_size).and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
}

/// Adds the structs that hold, as a member or base class, a type that is passed by a hidden pointer.
fn spread_to_holders(types: &Btf<Bytes>, indirect: &mut HashSet<u32>, direct: &HashSet<u32>) -> Result<()> {
    if indirect.is_empty() {
        return Ok(());
    }
    loop {
        let before = indirect.len();
        for id in types.iter_kind(Kind::Struct).collect::<Vec<_>>() {
            let BtfType::Struct(composite) = types.get(id)? else { continue };
            if indirect.contains(&id) || direct.contains(&id) {
                continue;
            }
            for member in composite.members.iter() {
                let mut held = types.resolve(member?.ty)?;
                while let BtfType::Array { elem, .. } = held.1 {
                    held = types.resolve(elem)?;
                }
                if indirect.contains(&held.0) {
                    indirect.insert(id);
                    break;
                }
            }
        }
        if indirect.len() == before {
            return Ok(());
        }
    }
}

/// The defined type with this name in a unit.
pub(super) fn find_named(dwarf: &Dwarf<'_>, unit: &Unit<'_>, name: &[u8]) -> Result<Option<UnitOffset>> {
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs().map_err(bad)? {
        let is_type = matches!(
            entry.tag(),
            gimli::DW_TAG_structure_type
                | gimli::DW_TAG_class_type
                | gimli::DW_TAG_union_type
                | gimli::DW_TAG_enumeration_type
                | gimli::DW_TAG_typedef
        );
        if is_type
            && !flag(entry, gimli::DW_AT_declaration)
            && text(dwarf, unit, entry, gimli::DW_AT_name) == Some(name)
        {
            return Ok(Some(entry.offset()));
        }
    }
    Ok(None)
}

impl<'w, 's> TypeWriter<'w, 's> {
    pub(super) fn new(dwarf: &'w Dwarf<'s>) -> Self {
        Self {
            dwarf,
            writer: BtfWriter::new(),
            ids: HashMap::new(),
            pending: Vec::new(),
            indirect: HashSet::new(),
            direct: HashSet::new(),
            units: Vec::new(),
            unit_ids: HashMap::new(),
            signatures: None,
        }
    }

    /// The blob with all types asked for, and those of them that are passed by a hidden pointer.
    pub(super) fn finish(mut self) -> Result<(Btf<Bytes>, HashSet<u32>)> {
        while let Some(next) = self.pending.pop() {
            self.fill(&next)?;
        }
        let types = Btf::parse(Bytes::new(self.writer.to_bytes()))?;
        spread_to_holders(&types, &mut self.indirect, &self.direct)?;
        Ok((types, self.indirect))
    }

    /// The id of the type at an offset of a unit.
    pub(super) fn convert(&mut self, unit: &Unit<'s>, offset: UnitOffset) -> Result<u32> {
        let unit = self.enter(place_of(&unit.header))?;
        self.type_at(unit, offset, DEPTH_MAX)
    }

    /// The id of the type that an attribute refers to.
    pub(super) fn convert_reference(
        &mut self,
        unit: &Unit<'s>,
        value: AttributeValue<Slice<'s>>,
    ) -> Result<u32> {
        let unit = self.enter(place_of(&unit.header))?;
        self.reference(unit, value, DEPTH_MAX)
    }

    /// The index of the unit at this place.
    fn enter(&mut self, place: Place) -> Result<usize> {
        if let Some(&index) = self.unit_ids.get(&place) {
            return Ok(index);
        }
        // Units have no table of their own: the one that holds an offset is found by walking the headers.
        let mut headers = self.dwarf.units();
        while let Some(header) = headers.next().map_err(bad)? {
            if place_of(&header) == place {
                return self.keep(header);
            }
        }
        let mut headers = self.dwarf.type_units();
        while let Some(header) = headers.next().map_err(bad)? {
            if place_of(&header) == place {
                return self.keep(header);
            }
        }
        Err(Error::new("DWARF", "a reference leads to a unit that does not exist"))
    }

    fn keep(&mut self, header: gimli::UnitHeader<Slice<'s>>) -> Result<usize> {
        let place = place_of(&header);
        self.units.push(self.dwarf.unit(header).map_err(bad)?);
        self.unit_ids.insert(place, self.units.len() - 1);
        Ok(self.units.len() - 1)
    }

    /// The unit that holds a place of the section.
    fn enter_holder(&mut self, place: gimli::DebugInfoOffset) -> Result<Option<(usize, UnitOffset)>> {
        for (index, unit) in self.units.iter().enumerate() {
            if let Some(offset) = place.to_unit_offset(&unit.header) {
                return Ok(Some((index, offset)));
            }
        }
        let mut headers = self.dwarf.units();
        while let Some(header) = headers.next().map_err(bad)? {
            if let Some(offset) = place.to_unit_offset(&header) {
                return Ok(Some((self.keep(header)?, offset)));
            }
        }
        Ok(None)
    }

    fn by_signature(&mut self, signature: DebugTypeSignature) -> Result<Option<(usize, UnitOffset)>> {
        if self.signatures.is_none() {
            let mut all = HashMap::new();
            let mut note = |header: &gimli::UnitHeader<Slice<'s>>| {
                if let UnitType::Type { type_signature, type_offset } = header.type_() {
                    all.insert(type_signature, (place_of(header), type_offset));
                }
            };
            let mut headers = self.dwarf.units();
            while let Some(header) = headers.next().map_err(bad)? {
                note(&header);
            }
            let mut headers = self.dwarf.type_units();
            while let Some(header) = headers.next().map_err(bad)? {
                note(&header);
            }
            self.signatures = Some(all);
        }
        let Some(&(unit, offset)) = self.signatures.as_ref().and_then(|all| all.get(&signature)) else {
            return Ok(None);
        };
        Ok(Some((self.enter(unit)?, offset)))
    }

    fn reference(&mut self, unit: usize, value: AttributeValue<Slice<'s>>, depth: usize) -> Result<u32> {
        let place = match value {
            AttributeValue::UnitRef(offset) => Some((unit, offset)),
            AttributeValue::DebugInfoRef(place) => self.enter_holder(place)?,
            AttributeValue::DebugTypesRef(signature) => self.by_signature(signature)?,
            _ => None,
        };
        match place {
            Some((unit, offset)) => self.type_at(unit, offset, depth),
            None => Ok(0),
        }
    }

    fn target(&mut self, unit: usize, entry: &Entry<'s>, depth: usize) -> Result<u32> {
        match entry.attr_value(gimli::DW_AT_type) {
            Some(value) => self.reference(unit, value, depth),
            None => Ok(0),
        }
    }

    fn entry_at(&self, unit: usize, offset: UnitOffset) -> Result<(Place, Entry<'s>)> {
        let unit = self.units.get(unit).ok_or_else(|| Error::new("DWARF", "a unit is missing"))?;
        if !offset.is_in_bounds(&unit.header) {
            return Err(Error::new("DWARF", "a reference leads out of its unit"));
        }
        let place = (place_of(&unit.header).0, offset.to_unit_section_offset(&unit.header));
        Ok((place, unit.entry(offset).map_err(bad)?))
    }

    fn name(&self, unit: usize, entry: &Entry<'s>) -> String {
        let name = self.units.get(unit).and_then(|unit| text(self.dwarf, unit, entry, gimli::DW_AT_name));
        String::from_utf8_lossy(name.unwrap_or(b"")).into_owned()
    }

    fn type_at(&mut self, unit: usize, offset: UnitOffset, depth: usize) -> Result<u32> {
        let (place, entry) = self.entry_at(unit, offset)?;
        if let Some(&id) = self.ids.get(&place) {
            return Ok(id);
        }
        let Some(depth) = depth.checked_sub(1).filter(|_| self.writer.len() < TYPES_MAX) else {
            return Ok(0);
        };
        // A type with a unit of its own is named here by its signature only.
        let defined = match entry.attr_value(gimli::DW_AT_signature) {
            Some(AttributeValue::DebugTypesRef(signature)) => self.by_signature(signature)?,
            _ => None,
        };
        let id = match defined {
            Some((unit, offset)) => self.type_at(unit, offset, depth)?,
            None => self.write(unit, &entry, depth)?,
        };
        self.ids.insert(place, id);
        Ok(id)
    }

    fn write(&mut self, unit: usize, entry: &Entry<'s>, depth: usize) -> Result<u32> {
        let size = size_of_entry(entry);
        Ok(match entry.tag() {
            gimli::DW_TAG_base_type => self.base_type(unit, entry, size)?,
            gimli::DW_TAG_pointer_type
            | gimli::DW_TAG_reference_type
            | gimli::DW_TAG_rvalue_reference_type => {
                let target = self.target(unit, entry, depth)?;
                self.writer.ptr(target)
            }
            gimli::DW_TAG_const_type => self.modifier(Kind::Const, unit, entry, depth)?,
            gimli::DW_TAG_volatile_type => self.modifier(Kind::Volatile, unit, entry, depth)?,
            gimli::DW_TAG_restrict_type => self.modifier(Kind::Restrict, unit, entry, depth)?,
            gimli::DW_TAG_atomic_type => self.target(unit, entry, depth)?,
            gimli::DW_TAG_typedef => {
                let name = self.name(unit, entry);
                let target = self.target(unit, entry, depth)?;
                self.writer.typedef(&name, target)
            }
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type => {
                self.composite(unit, entry)?
            }
            gimli::DW_TAG_enumeration_type => self.enumeration(unit, entry, size)?,
            gimli::DW_TAG_array_type => self.array(unit, entry, depth)?,
            gimli::DW_TAG_subroutine_type => self.prototype(unit, entry, depth)?,
            gimli::DW_TAG_ptr_to_member_type => self.writer.int("ptrdiff_t", 8, IntEncoding::Signed),
            gimli::DW_TAG_unspecified_type => 0,
            // What is not known keeps its size, so that members around it stay in place.
            _ if size > 0 => {
                let name = self.name(unit, entry);
                self.writer.structure(&name, size, &[])?
            }
            _ => 0,
        })
    }

    fn modifier(&mut self, kind: Kind, unit: usize, entry: &Entry<'s>, depth: usize) -> Result<u32> {
        let target = self.target(unit, entry, depth)?;
        Ok(self.writer.modifier(kind, target))
    }

    fn base_type(&mut self, unit: usize, entry: &Entry<'s>, size: u32) -> Result<u32> {
        let name = self.name(unit, entry);
        let encoding = match entry.attr_value(gimli::DW_AT_encoding) {
            Some(AttributeValue::Encoding(encoding)) => encoding,
            _ => gimli::DW_ATE_unsigned,
        };
        Ok(match encoding {
            gimli::DW_ATE_boolean => self.writer.int(&name, size, IntEncoding::Bool),
            gimli::DW_ATE_signed | gimli::DW_ATE_signed_char => {
                self.writer.int(&name, size, IntEncoding::Signed)
            }
            gimli::DW_ATE_float => self.writer.float(&name, size),
            gimli::DW_ATE_complex_float => {
                let part = self.writer.float("", size / 2);
                let at = |name, bit_offset| NewMember { name, ty: part, bit_offset, bitfield_bits: 0 };
                self.writer.structure(&name, size, &[at("real", 0), at("imag", size.saturating_mul(4))])?
            }
            _ => self.writer.int(&name, size, IntEncoding::Unsigned),
        })
    }

    fn composite(&mut self, unit: usize, entry: &Entry<'s>) -> Result<u32> {
        let name = self.name(unit, entry);
        let is_union = entry.tag() == gimli::DW_TAG_union_type;
        if flag(entry, gimli::DW_AT_declaration) {
            return Ok(self.writer.forward(&name, is_union));
        }
        let id = self.writer.reserve(&name, is_union);
        self.pending.push(Pending { unit, offset: entry.offset(), id });
        Ok(id)
    }

    /// Writes the members of a reserved struct.
    fn fill(&mut self, pending: &Pending) -> Result<()> {
        let (_, entry) = self.entry_at(pending.unit, pending.offset)?;
        let kind = if entry.tag() == gimli::DW_TAG_union_type { Kind::Union } else { Kind::Struct };
        let name = self.name(pending.unit, &entry);
        let mut members = Vec::new();
        let children = self.children(pending.unit, pending.offset)?;
        if self.is_indirect(pending, &entry, &children)? {
            self.indirect.insert(pending.id);
        }
        for child in children {
            let is_base = child.tag() == gimli::DW_TAG_inheritance;
            let is_static = flag(&child, gimli::DW_AT_external) || flag(&child, gimli::DW_AT_declaration);
            if !(is_base || child.tag() == gimli::DW_TAG_member) || is_static {
                continue;
            }
            let ty = self.target(pending.unit, &child, DEPTH_MAX)?;
            // A base class has no name of its own here; a virtual one has no fixed place either.
            let member_name = if is_base { String::new() } else { self.name(pending.unit, &child) };
            if let Some((bit_offset, bitfield_bits)) = member_place(&child) {
                members.push((member_name, ty, bit_offset, bitfield_bits));
            }
        }
        let has_bitfields = members.iter().any(|m| m.3 != 0);
        // What the format cannot express is left out: members far behind in a struct with bitfields.
        let fits = |bit: u32, bits: u32| !has_bitfields || (bit <= 0xff_ffff && bits <= 0xff);
        let rows = members.iter().filter(|m| fits(m.2, m.3)).take(0xffff);
        let rows = rows.map(|(name, ty, bit_offset, bitfield_bits)| NewMember {
            name,
            ty: *ty,
            bit_offset: *bit_offset,
            bitfield_bits: *bitfield_bits,
        });
        self.writer.define(pending.id, kind, &name, size_of_entry(&entry), &rows.collect::<Vec<_>>())
    }

    /// Whether C++ passes values of this class by a hidden pointer, because copying or destroying one runs code.
    ///
    /// Clang says so; GCC does not, so the class is searched for what makes it so. Members and base classes of such
    /// types are looked at in [`Self::finish`].
    fn is_indirect(&mut self, class: &Pending, entry: &Entry<'s>, children: &[Entry<'s>]) -> Result<bool> {
        match entry.attr_value(gimli::DW_AT_calling_convention) {
            Some(AttributeValue::CallingConvention(gimli::DW_CC_pass_by_reference)) => return Ok(true),
            Some(AttributeValue::CallingConvention(gimli::DW_CC_pass_by_value)) => {
                self.direct.insert(class.id);
                return Ok(false);
            }
            _ => {}
        }
        let name = self.name(class.unit, entry);
        let constructor = name.split('<').next().unwrap_or("");
        for child in children.iter().filter(|c| c.tag() == gimli::DW_TAG_subprogram) {
            if child.attr(gimli::DW_AT_virtuality).is_some() {
                return Ok(true);
            }
            // `= default` in the class keeps copying trivial.
            let is_made =
                flag(child, gimli::DW_AT_artificial) || number(child, gimli::DW_AT_defaulted) == Some(1);
            let method = self.name(class.unit, child);
            if is_made || method.is_empty() {
                continue;
            }
            let copies = method == constructor && self.takes_reference_to(class, child.offset())?;
            if copies || method.starts_with('~') {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the first parameter after `this` is a reference to the class itself: a copy or move constructor.
    fn takes_reference_to(&self, class: &Pending, method: UnitOffset) -> Result<bool> {
        let params = self.children(class.unit, method)?;
        let mut params = params.iter().filter(|c| c.tag() == gimli::DW_TAG_formal_parameter);
        let below = |entry: &Entry<'s>| match entry.attr_value(gimli::DW_AT_type) {
            Some(AttributeValue::UnitRef(offset)) => {
                self.entry_at(class.unit, offset).ok().map(|(_, entry)| entry)
            }
            _ => None,
        };
        let Some(mut ty) = params.nth(1).and_then(below) else { return Ok(false) };
        if !matches!(ty.tag(), gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type) {
            return Ok(false);
        }
        // At most `const` and `volatile` lie between.
        for _ in 0..3 {
            match below(&ty) {
                Some(target) if target.offset() == class.offset => return Ok(true),
                Some(target) => ty = target,
                None => break,
            }
        }
        Ok(false)
    }

    fn children(&self, unit: usize, offset: UnitOffset) -> Result<Vec<Entry<'s>>> {
        let Some(unit) = self.units.get(unit) else { return Ok(Vec::new()) };
        let mut tree = unit.entries_tree(Some(offset)).map_err(bad)?;
        let mut children = tree.root().map_err(bad)?.children();
        let mut all = Vec::new();
        while let Some(child) = children.next().map_err(bad)? {
            all.push(child.entry().clone());
        }
        Ok(all)
    }

    fn enumeration(&mut self, unit: usize, entry: &Entry<'s>, size: u32) -> Result<u32> {
        let name = self.name(unit, entry);
        let mut values = Vec::new();
        for child in self.children(unit, entry.offset())? {
            if child.tag() == gimli::DW_TAG_enumerator {
                let attr = child.attr(gimli::DW_AT_const_value);
                let value = attr.and_then(|a| a.sdata_value().or_else(|| a.udata_value().map(|v| v as i64)));
                let is_negative = attr.and_then(|a| a.sdata_value()).is_some_and(|v| v < 0);
                values.push((self.name(unit, &child), value.unwrap_or(0), is_negative));
            }
        }
        let is_signed = values.iter().any(|(_, _, negative)| *negative);
        let rows: Vec<(&str, i64)> = values.iter().take(0xffff).map(|(n, v, _)| (n.as_str(), *v)).collect();
        self.writer.enumeration(&name, size, is_signed, &rows)
    }

    fn array(&mut self, unit: usize, entry: &Entry<'s>, depth: usize) -> Result<u32> {
        let mut id = self.target(unit, entry, depth)?;
        let index = self.writer.int("unsigned int", 4, IntEncoding::Unsigned);
        let ranges = self.children(unit, entry.offset())?;
        let lengths = ranges.iter().filter(|c| c.tag() == gimli::DW_TAG_subrange_type).map(|range| {
            let bound = || number(range, gimli::DW_AT_upper_bound)?.checked_add(1);
            number(range, gimli::DW_AT_count).or_else(bound).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
        });
        // int m[2][3] is an array of two arrays of three.
        for len in lengths.collect::<Vec<_>>().into_iter().rev().take(DEPTH_MAX / 4) {
            id = self.writer.array(id, index, len);
        }
        Ok(id)
    }

    fn prototype(&mut self, unit: usize, entry: &Entry<'s>, depth: usize) -> Result<u32> {
        let ret = self.target(unit, entry, depth)?;
        let mut params = Vec::new();
        for child in self.children(unit, entry.offset())? {
            match child.tag() {
                gimli::DW_TAG_formal_parameter => {
                    params.push((self.name(unit, &child), self.target(unit, &child, depth)?));
                }
                gimli::DW_TAG_unspecified_parameters => params.push((String::new(), 0)),
                _ => {}
            }
        }
        let rows: Vec<(&str, u32)> = params.iter().take(0xffff).map(|(n, ty)| (n.as_str(), *ty)).collect();
        self.writer.func_proto(&rows, ret)
    }
}

/// Bit offset and bitfield width of a member; `None` if its place is computed at run time.
fn member_place(entry: &Entry<'_>) -> Option<(u32, u32)> {
    let bits = number(entry, gimli::DW_AT_bit_size).and_then(|b| u32::try_from(b).ok()).unwrap_or(0);
    if let Some(at) = number(entry, gimli::DW_AT_data_bit_offset) {
        return Some((u32::try_from(at).ok()?, bits));
    }
    let byte = match entry.attr(gimli::DW_AT_data_member_location) {
        None => 0,
        Some(attr) => attr.udata_value()?,
    };
    let mut bit = byte.checked_mul(8)?;
    // DWARF 3 counts a bitfield's offset from the high end of its storage unit.
    if let (Some(from_top), true) = (number(entry, gimli::DW_AT_bit_offset), bits > 0) {
        let storage = number(entry, gimli::DW_AT_byte_size).unwrap_or(4).checked_mul(8)?;
        bit = bit.checked_add(storage)?.checked_sub(from_top)?.checked_sub(u64::from(bits))?;
    }
    Some((u32::try_from(bit).ok()?, bits))
}
