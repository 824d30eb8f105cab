//! Reading BTF, the type information of the kernel and its modules, in place.
//!
//! Opening walks the type section once to note where each id starts (about 4 bytes of memory per type); names,
//! members and types are decoded from the blob when asked for. A name is looked up by finding it in the string
//! section and comparing offsets, so no table of names is ever built.
//! Format: Documentation/bpf/btf.rst of the kernel.

mod print;
mod query;
mod types;

use std::sync::Arc;

pub use query::{FoundMember, PathStep};
pub use types::{
    BtfType, Composite, Enum, EnumValue, EnumValues, Int, Kind, List, Member, Members, Param, Params,
    SectionVar, SectionVars,
};

use crate::{Bytes, Error, Result};

const MAGIC: u16 = 0xeb9f;
/// Longest chain of modifiers, typedefs, pointers or nested anonymous members that is followed.
const DEPTH_MAX: usize = 64;

fn bad(offset: usize, reason: impl Into<String>) -> Error {
    Error::at("BTF", offset as u64, reason)
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

/// A BTF blob with its index. `B` lends the bytes; see [`Bytes`] for one type that fits all.
#[derive(Debug)]
pub struct Btf<B = Bytes> {
    data: B,
    /// Absolute byte range of the type section.
    types: (usize, usize),
    /// Absolute byte range of the string section.
    strings: (usize, usize),
    /// Absolute offset of each own type's record, id `first_id` first.
    offsets: Vec<u32>,
    first_id: u32,
    first_string: u32,
    base: Option<Arc<Btf<B>>>,
    /// A kind from a newer kernel ended the index here: (offset, kind number).
    unknown_tail: Option<(usize, u32)>,
}

/// The string sections that a type's name may point into.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'a> {
    base: &'a [u8],
    own: &'a [u8],
    own_at: usize,
}

impl<'a> Strings<'a> {
    fn get(&self, offset: u32) -> Result<&'a str> {
        if offset == 0 {
            return Ok("");
        }
        let at = offset as usize;
        let tail = match at.checked_sub(self.base.len()) {
            Some(own) => self.own.get(own..),
            None => self.base.get(at..),
        };
        let tail = tail.ok_or_else(|| {
            bad(
                self.own_at,
                format!("string offset {offset} is past the string section; the file is damaged"),
            )
        })?;
        let end = memchr::memchr(0, tail).ok_or_else(|| {
            bad(self.own_at, format!("string at offset {offset} has no end; the file is damaged"))
        })?;
        std::str::from_utf8(&tail[..end])
            .map_err(|_| bad(self.own_at, format!("string at offset {offset} is not UTF-8")))
    }
}

/// Header fields as absolute ranges: (types, strings).
fn sections(data: &[u8]) -> Result<((usize, usize), (usize, usize))> {
    let magic = data.first_chunk().map(|b| u16::from_le_bytes(*b));
    match magic {
        Some(MAGIC) => {}
        Some(m) if m == MAGIC.swap_bytes() => {
            return Err(bad(0, "the blob is big-endian; only little-endian is read"))
        }
        Some(m) => return Err(bad(0, format!("magic is {m:#06x} and not {MAGIC:#06x}; this is no BTF"))),
        None => return Err(bad(0, format!("{} bytes are too few for a header", data.len()))),
    }
    if data.get(2) != Some(&1) {
        return Err(bad(2, format!("version {:?} is not 1, the only one known", data.get(2))));
    }
    let field = |at: usize| word_at(data, at).ok_or_else(|| bad(at, "the header is cut off"));
    let header_len = field(4)? as usize;
    let section = |off_at: usize, name: &str| -> Result<(usize, usize)> {
        let (off, len) = (field(off_at)? as usize, field(off_at + 4)? as usize);
        let start = header_len.checked_add(off);
        let end = start.and_then(|s| s.checked_add(len));
        match (start, end) {
            (Some(start), Some(end)) if end <= data.len() => Ok((start, end)),
            _ => Err(bad(
                off_at,
                format!("{name} section (offset {off}, {len} bytes) is past the end of {} bytes", data.len()),
            )),
        }
    };
    Ok((section(8, "type")?, section(16, "string")?))
}

/// Bytes that follow the 12 byte head of a record; `None` for a kind that is not known.
#[inline]
fn trailer_len(info: u32) -> Option<usize> {
    let count = (info & 0xffff) as usize;
    Some(match info >> 24 & 0x1f {
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => count * 12,
        6 | 13 => count * 8,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

impl<B: AsRef<[u8]>> Btf<B> {
    /// Opens a self-contained blob (`/sys/kernel/btf/vmlinux`, or one made by [`crate::btf_write`]).
    pub fn parse(data: B) -> Result<Self> {
        Self::open(data, None)
    }

    /// Opens a module's blob, whose ids and strings go on where those of `base` (vmlinux) end.
    pub fn parse_split(data: B, base: Arc<Btf<B>>) -> Result<Self> {
        if base.base.is_some() {
            return Err(Error::new("BTF", "the base of a split BTF is itself split"));
        }
        Self::open(data, Some(base))
    }

    fn open(data: B, base: Option<Arc<Btf<B>>>) -> Result<Self> {
        let bytes = data.as_ref();
        let (types, strings) = sections(bytes)?;
        if bytes.len() > u32::MAX as usize {
            return Err(bad(0, "the blob is larger than 4 GiB"));
        }
        // Twelve bytes is the smallest record; untouched capacity costs no memory.
        let mut offsets = Vec::with_capacity((types.1 - types.0) / 12);
        let mut unknown_tail = None;
        let mut at = types.0;
        let section = &bytes[..types.1];
        while at < types.1 {
            let info = word_at(section, at + 4).ok_or_else(|| bad(at, "a type record is cut off"))?;
            let Some(trailer) = trailer_len(info) else {
                let kind = info >> 24 & 0x1f;
                if kind == 0 {
                    return Err(bad(at, "a type record has kind 0; the file is damaged"));
                }
                unknown_tail = Some((at, kind));
                break;
            };
            let end = at + 12 + trailer;
            if end > types.1 {
                return Err(bad(
                    at,
                    format!("a type record of {} bytes passes the type section", 12 + trailer),
                ));
            }
            offsets.push(at as u32);
            at = end;
        }
        let (first_id, first_string) = match &base {
            Some(base) => {
                if base.unknown_tail.is_some() {
                    return Err(Error::new(
                        "BTF",
                        "the base BTF has kinds that are not known, so ids cannot be counted",
                    ));
                }
                (base.type_count(), (base.strings.1 - base.strings.0) as u32)
            }
            None => (1, 0),
        };
        Ok(Self { data, types, strings, offsets, first_id, first_string, base, unknown_tail })
    }

    /// The base of a split blob.
    pub fn base(&self) -> Option<&Btf<B>> {
        self.base.as_deref()
    }

    /// The whole blob.
    pub fn bytes(&self) -> &[u8] {
        self.data.as_ref()
    }

    /// First id that this blob itself defines: 1, or the type count of the base.
    pub fn first_id(&self) -> u32 {
        self.first_id
    }

    /// One more than the largest id, counting `void` (0) and the base.
    pub fn type_count(&self) -> u32 {
        self.first_id.saturating_add(self.offsets.len() as u32)
    }

    /// Bytes of the type and string sections.
    pub fn section_sizes(&self) -> (usize, usize) {
        (self.types.1 - self.types.0, self.strings.1 - self.strings.0)
    }

    fn string_bytes(&self) -> &[u8] {
        &self.data.as_ref()[self.strings.0..self.strings.1]
    }

    fn strings(&self) -> Strings<'_> {
        Strings {
            base: self.base.as_deref().map_or(&[], Btf::string_bytes),
            own: self.string_bytes(),
            own_at: self.strings.0,
        }
    }

    /// The blob that defines `id` and the offset of its record; `None` for void.
    fn locate(&self, id: u32) -> Result<Option<(&Self, usize)>> {
        if id == 0 {
            return Ok(None);
        }
        let Some(index) = id.checked_sub(self.first_id) else {
            return match self.base.as_deref() {
                Some(base) => base.locate(id),
                None => Err(Error::new("BTF", format!("type {id} does not exist"))),
            };
        };
        match (self.offsets.get(index as usize), self.unknown_tail) {
            (Some(&at), _) => Ok(Some((self, at as usize))),
            (None, Some((at, kind))) => Err(bad(
                at,
                format!("type {id} lies behind a type of kind {kind}, which a newer kernel has introduced"),
            )),
            (None, None) => Err(Error::new(
                "BTF",
                format!("type {id} does not exist; the last one is {}", self.type_count() - 1),
            )),
        }
    }

    /// The three words of a record's head and what follows.
    fn record(&self, at: usize) -> (u32, u32, u32, &[u8]) {
        let bytes = self.data.as_ref();
        let head = |i: usize| word_at(bytes, at + i).unwrap_or(0);
        let info = head(4);
        let trailer = trailer_len(info).unwrap_or(0);
        (head(0), info, head(8), bytes.get(at + 12..at + 12 + trailer).unwrap_or(&[]))
    }

    /// The type with this id.
    pub fn get(&self, id: u32) -> Result<BtfType<'_>> {
        match self.locate(id)? {
            None => Ok(BtfType::Void),
            Some((owner, at)) => owner.decode(at),
        }
    }

    /// The kind of a type without decoding it.
    pub fn kind(&self, id: u32) -> Result<Kind> {
        match self.locate(id)? {
            None => Ok(Kind::Void),
            Some((owner, at)) => {
                let number = owner.record(at).1 >> 24 & 0x1f;
                Kind::from_number(number).ok_or_else(|| bad(at, format!("kind {number} is not known")))
            }
        }
    }

    /// The name of a type, empty if it has none.
    pub fn name(&self, id: u32) -> Result<&str> {
        match self.locate(id)? {
            None => Ok("void"),
            Some((owner, at)) => owner.strings().get(owner.record(at).0),
        }
    }

    fn decode(&self, at: usize) -> Result<BtfType<'_>> {
        let (name_off, info, size, raw) = self.record(at);
        let flag = info >> 31 != 0;
        let strings = self.strings();
        let name = || strings.get(name_off);
        let extra = |i: usize| word_at(raw, i).ok_or_else(|| bad(at, "the record is cut off"));
        let kind = info >> 24 & 0x1f;
        let kind = Kind::from_number(kind).ok_or_else(|| bad(at, format!("kind {kind} is not known")))?;
        let composite = || -> Result<Composite<'_>> {
            Ok(Composite { name: name()?, size, members: Members::new(raw, strings, flag, false) })
        };
        let enumeration = |wide: bool| -> Result<BtfType<'_>> {
            let values = EnumValues::new(raw, strings, flag, wide);
            Ok(BtfType::Enum(Enum { name: name()?, size, is_signed: flag, values }))
        };
        Ok(match kind {
            Kind::Void => BtfType::Void,
            Kind::Int => {
                let word = extra(0)?;
                let encoding = word >> 24;
                BtfType::Int(Int {
                    name: name()?,
                    size,
                    bits: word & 0xff,
                    bit_offset: word >> 16 & 0xff,
                    is_signed: encoding & 1 != 0,
                    is_char: encoding & 2 != 0,
                    is_bool: encoding & 4 != 0,
                })
            }
            Kind::Ptr => BtfType::Ptr(size),
            Kind::Array => BtfType::Array { elem: extra(0)?, index: extra(4)?, len: extra(8)? },
            Kind::Struct => BtfType::Struct(composite()?),
            Kind::Union => BtfType::Union(composite()?),
            Kind::Enum => enumeration(false)?,
            Kind::Enum64 => enumeration(true)?,
            Kind::Fwd => BtfType::Fwd { name: name()?, is_union: flag },
            Kind::Typedef => BtfType::Typedef { name: name()?, ty: size },
            Kind::Volatile => BtfType::Volatile(size),
            Kind::Const => BtfType::Const(size),
            Kind::Restrict => BtfType::Restrict(size),
            Kind::Func => BtfType::Func { name: name()?, proto: size, linkage: info & 0xffff },
            Kind::FuncProto => {
                BtfType::FuncProto { params: Params::new(raw, strings, flag, false), ret: size }
            }
            Kind::Var => BtfType::Var { name: name()?, ty: size, linkage: extra(0)? },
            Kind::Datasec => {
                BtfType::Datasec { name: name()?, size, vars: SectionVars::new(raw, strings, flag, false) }
            }
            Kind::Float => BtfType::Float { name: name()?, size },
            Kind::DeclTag => BtfType::DeclTag { name: name()?, ty: size, component: extra(0)? as i32 },
            Kind::TypeTag => BtfType::TypeTag { name: name()?, ty: size },
        })
    }
}

#[cfg(test)]
mod tests;
