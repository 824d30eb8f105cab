//! Writing BTF: the small blobs that go with our programs and maps, and types taken from DWARF.
//!
//! Equal unnamed types (pointers, arrays, modifiers, prototypes) and equal integers are written once. The result
//! is accepted by the kernel's `BPF_BTF_LOAD` and read back by [`crate::btf`].

use std::collections::HashMap;

use crate::btf::Kind;
use crate::{Error, Result};

const HEADER_LEN: usize = 24;
/// Most members, parameters or enumerators one type can have.
const COUNT_MAX: usize = 0xffff;

/// How an integer is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntEncoding {
    /// Plain unsigned.
    Unsigned,
    /// Signed.
    Signed,
    /// `char`.
    Char,
    /// `_Bool`.
    Bool,
}

/// A member to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMember<'a> {
    /// Name; empty for an anonymous struct or union.
    pub name: &'a str,
    /// Type id.
    pub ty: u32,
    /// Offset from the start of the struct in bits.
    pub bit_offset: u32,
    /// Width of a bitfield, 0 for a plain member.
    pub bitfield_bits: u32,
}

/// A blob under construction.
#[derive(Debug, Clone)]
pub struct BtfWriter {
    /// Records in the order of writing.
    types: Vec<u8>,
    /// Place in `types` of each id's record, id 1 first.
    places: Vec<(usize, usize)>,
    strings: Vec<u8>,
    string_offsets: HashMap<String, u32>,
    /// Encoded record -> id, for records that may be shared.
    shared: HashMap<Vec<u8>, u32>,
}

impl Default for BtfWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl BtfWriter {
    /// An empty blob: only `void` (id 0) exists.
    pub fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            string_offsets: HashMap::new(),
            shared: HashMap::new(),
            places: Vec::new(),
        }
    }

    /// Interns a string and gives its offset, as line info wants it. A NUL inside ends the string.
    pub fn string(&mut self, text: &str) -> u32 {
        let text = text.split('\0').next().unwrap_or("");
        if text.is_empty() {
            return 0;
        }
        if let Some(&offset) = self.string_offsets.get(text) {
            return offset;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.string_offsets.insert(text.to_owned(), offset);
        offset
    }

    fn record(
        &mut self,
        name: &str,
        kind: Kind,
        count: usize,
        flag: bool,
        size: u32,
        words: &[u32],
    ) -> Vec<u8> {
        let info = (kind as u32) << 24 | count as u32 | u32::from(flag) << 31;
        let head = [self.string(name), info, size];
        head.iter().chain(words).flat_map(|word| word.to_le_bytes()).collect()
    }

    fn place(&mut self, record: &[u8]) -> (usize, usize) {
        let start = self.types.len();
        self.types.extend_from_slice(record);
        (start, self.types.len())
    }

    fn push(&mut self, record: &[u8]) -> u32 {
        let place = self.place(record);
        self.places.push(place);
        self.places.len() as u32
    }

    fn push_shared(&mut self, record: Vec<u8>) -> u32 {
        if let Some(&id) = self.shared.get(&record) {
            return id;
        }
        let id = self.push(&record);
        self.shared.insert(record, id);
        id
    }

    fn simple(&mut self, kind: Kind, ty: u32) -> u32 {
        let record = self.record("", kind, 0, false, ty, &[]);
        self.push_shared(record)
    }

    /// An integer of `size` bytes.
    pub fn int(&mut self, name: &str, size: u32, encoding: IntEncoding) -> u32 {
        let bits = size.saturating_mul(8).min(255);
        let code = match encoding {
            IntEncoding::Unsigned => 0,
            IntEncoding::Signed => 1,
            IntEncoding::Char => 2,
            IntEncoding::Bool => 4,
        };
        let record = self.record(name, Kind::Int, 0, false, size, &[code << 24 | bits]);
        self.push_shared(record)
    }

    /// A floating point type of `size` bytes.
    pub fn float(&mut self, name: &str, size: u32) -> u32 {
        let record = self.record(name, Kind::Float, 0, false, size, &[]);
        self.push_shared(record)
    }

    /// Pointer to `ty` (0 for `void *`).
    pub fn ptr(&mut self, ty: u32) -> u32 {
        self.simple(Kind::Ptr, ty)
    }

    /// `const`, `volatile` or `restrict` in front of `ty`; other kinds are taken as `const`.
    pub fn modifier(&mut self, kind: Kind, ty: u32) -> u32 {
        match kind {
            Kind::Volatile | Kind::Restrict => self.simple(kind, ty),
            _ => self.simple(Kind::Const, ty),
        }
    }

    /// Array of `len` elements; `index` is the id of any integer type.
    pub fn array(&mut self, elem: u32, index: u32, len: u32) -> u32 {
        let record = self.record("", Kind::Array, 0, false, 0, &[elem, index, len]);
        self.push_shared(record)
    }

    /// `typedef`.
    pub fn typedef(&mut self, name: &str, ty: u32) -> u32 {
        let record = self.record(name, Kind::Typedef, 0, false, ty, &[]);
        self.push(&record)
    }

    /// A declared but undefined struct or union.
    pub fn forward(&mut self, name: &str, is_union: bool) -> u32 {
        let record = self.record(name, Kind::Fwd, 0, is_union, 0, &[]);
        self.push_shared(record)
    }

    /// A struct of `size` bytes.
    pub fn structure(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> Result<u32> {
        self.composite(Kind::Struct, name, size, members)
    }

    /// A union of `size` bytes.
    pub fn union(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> Result<u32> {
        self.composite(Kind::Union, name, size, members)
    }

    fn composite(&mut self, kind: Kind, name: &str, size: u32, members: &[NewMember<'_>]) -> Result<u32> {
        let record = self.composite_record(kind, name, size, members)?;
        Ok(self.push(&record))
    }

    fn composite_record(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[NewMember<'_>],
    ) -> Result<Vec<u8>> {
        count(members.len(), name)?;
        let flag = members.iter().any(|m| m.bitfield_bits != 0);
        let mut words = Vec::with_capacity(members.len() * 3);
        for member in members {
            if flag && (member.bit_offset > 0xff_ffff || member.bitfield_bits > 0xff) {
                let reason = format!("{name}.{} is too far out for a struct with bitfields", member.name);
                return Err(Error::new("BTF", reason));
            }
            let place = if flag { member.bitfield_bits << 24 | member.bit_offset } else { member.bit_offset };
            words.extend([self.string(member.name), member.ty, place]);
        }
        Ok(self.record(name, kind, members.len(), flag, size, &words))
    }

    /// Reserves an id for a struct that may refer to itself: a forward declaration until [`Self::define`] fills it in.
    pub fn reserve(&mut self, name: &str, is_union: bool) -> u32 {
        let record = self.record(name, Kind::Fwd, 0, is_union, 0, &[]);
        self.push(&record)
    }

    /// Gives a reserved id its members; `kind` is struct or union.
    pub fn define(
        &mut self,
        id: u32,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[NewMember<'_>],
    ) -> Result<()> {
        let index = (id as usize).wrapping_sub(1);
        if index >= self.places.len() {
            return Err(Error::new("BTF", format!("type {id} is not reserved")));
        }
        let kind = if kind == Kind::Union { Kind::Union } else { Kind::Struct };
        let record = self.composite_record(kind, name, size, members)?;
        self.places[index] = self.place(&record);
        Ok(())
    }

    /// An enum of `size` bytes (8 makes 64 bit values).
    pub fn enumeration(
        &mut self,
        name: &str,
        size: u32,
        is_signed: bool,
        values: &[(&str, i64)],
    ) -> Result<u32> {
        count(values.len(), name)?;
        let wide = size > 4;
        let mut words = Vec::with_capacity(values.len() * 3);
        for &(name, value) in values {
            words.extend([self.string(name), value as u32]);
            if wide {
                words.push((value >> 32) as u32);
            }
        }
        let kind = if wide { Kind::Enum64 } else { Kind::Enum };
        let record = self.record(name, kind, values.len(), is_signed, size, &words);
        Ok(self.push(&record))
    }

    /// A prototype: parameter names and types, return type.
    pub fn func_proto(&mut self, params: &[(&str, u32)], ret: u32) -> Result<u32> {
        count(params.len(), "the prototype")?;
        let words: Vec<u32> = params.iter().flat_map(|&(name, ty)| [self.string(name), ty]).collect();
        let record = self.record("", Kind::FuncProto, params.len(), false, ret, &words);
        Ok(self.push_shared(record))
    }

    /// A function with a prototype; the kernel wants `global` false for subprograms it shall verify in context.
    pub fn func(&mut self, name: &str, proto: u32, global: bool) -> u32 {
        let record = self.record(name, Kind::Func, usize::from(global), false, proto, &[]);
        self.push(&record)
    }

    /// A global variable.
    pub fn var(&mut self, name: &str, ty: u32, global: bool) -> u32 {
        let record = self.record(name, Kind::Var, 0, false, ty, &[u32::from(global)]);
        self.push(&record)
    }

    /// A section: (variable id, offset, size) of each variable.
    pub fn datasec(&mut self, name: &str, size: u32, vars: &[(u32, u32, u32)]) -> Result<u32> {
        count(vars.len(), name)?;
        let words: Vec<u32> = vars.iter().flat_map(|&(ty, offset, size)| [ty, offset, size]).collect();
        let record = self.record(name, Kind::Datasec, vars.len(), false, size, &words);
        Ok(self.push(&record))
    }

    /// Number of types written, which is also the last id.
    pub fn len(&self) -> u32 {
        self.places.len() as u32
    }

    /// Whether no type was written.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The blob so far.
    pub fn to_bytes(&self) -> Vec<u8> {
        let types_len: usize = self.places.iter().map(|(start, end)| end - start).sum();
        let (types_len, strings_len) = (types_len as u32, self.strings.len() as u32);
        let mut blob = Vec::with_capacity(HEADER_LEN + self.types.len() + self.strings.len());
        blob.extend(0xeb9f_u16.to_le_bytes());
        blob.extend([1, 0]);
        for word in [HEADER_LEN as u32, 0, types_len, types_len, strings_len] {
            blob.extend(word.to_le_bytes());
        }
        for &(start, end) in &self.places {
            blob.extend_from_slice(&self.types[start..end]);
        }
        blob.extend_from_slice(&self.strings);
        blob
    }
}

fn count(len: usize, name: &str) -> Result<()> {
    if len > COUNT_MAX {
        return Err(Error::new("BTF", format!("{name} has {len} members; the format allows {COUNT_MAX}")));
    }
    Ok(())
}

/// The `line_col` word of `struct bpf_line_info`; columns above 1023 are cut.
pub fn line_col(line: u32, column: u32) -> u32 {
    line << 10 | column.min(0x3ff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::{Btf, BtfType};

    #[test]
    fn shares_equal_types_and_strings() {
        let mut w = BtfWriter::new();
        let a = w.int("int", 4, IntEncoding::Signed);
        let b = w.int("int", 4, IntEncoding::Signed);
        assert_eq!(a, b);
        assert_ne!(a, w.int("int", 8, IntEncoding::Signed));
        assert_eq!(w.ptr(a), w.ptr(b));
        assert_eq!(w.string("int"), 1);
        assert_eq!(w.string(""), 0);
        assert_eq!(w.string("a\0b"), w.string("a"));
    }

    #[test]
    fn a_struct_may_point_to_itself() {
        let mut w = BtfWriter::new();
        let node = w.reserve("node", false);
        let next = w.ptr(node);
        let value = w.int("long", 8, IntEncoding::Signed);
        let members = [
            NewMember { name: "next", ty: next, bit_offset: 0, bitfield_bits: 0 },
            NewMember { name: "value", ty: value, bit_offset: 64, bitfield_bits: 0 },
        ];
        w.define(node, Kind::Struct, "node", 16, &members).unwrap();
        assert!(w.define(99, Kind::Struct, "x", 0, &[]).is_err());
        let btf = Btf::parse(w.to_bytes()).unwrap();
        assert_eq!(btf.type_count(), 4);
        assert_eq!(btf.find("node", Kind::Struct), Some(node));
        let path = btf.member_path(node, ["next", "next", "value"]).unwrap();
        assert_eq!(path[2].member.bit_offset, 64);
        assert!(!path[0].through_pointer && path[1].through_pointer && path[2].through_pointer);
        assert!(matches!(btf.get(next).unwrap(), BtfType::Ptr(id) if id == node));
    }

    #[test]
    fn limits_are_errors() {
        let mut w = BtfWriter::new();
        let far = [
            NewMember { name: "a", ty: 0, bit_offset: 1 << 24, bitfield_bits: 0 },
            NewMember { name: "b", ty: 0, bit_offset: 0, bitfield_bits: 3 },
        ];
        assert!(w.structure("s", 1, &far).unwrap_err().reason.contains("s.a"));
        let many = vec![("", 0); 70_000];
        assert!(w.func_proto(&many, 0).is_err());
        assert_eq!(line_col(7, 5000), 7 << 10 | 1023);
    }
}
