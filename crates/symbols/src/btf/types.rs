//! The types of BTF as values that borrow from the blob.

use std::marker::PhantomData;

use super::Strings;
use crate::Result;

/// Kind numbers of BTF (`include/uapi/linux/btf.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the format")]
pub enum Kind {
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    Datasec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

/// Kinds by number, the row's index.
const KINDS: [Kind; 20] = [
    Kind::Void,
    Kind::Int,
    Kind::Ptr,
    Kind::Array,
    Kind::Struct,
    Kind::Union,
    Kind::Enum,
    Kind::Fwd,
    Kind::Typedef,
    Kind::Volatile,
    Kind::Const,
    Kind::Restrict,
    Kind::Func,
    Kind::FuncProto,
    Kind::Var,
    Kind::Datasec,
    Kind::Float,
    Kind::DeclTag,
    Kind::TypeTag,
    Kind::Enum64,
];

impl Kind {
    /// The kind with this number, if it is one we know.
    pub fn from_number(number: u32) -> Option<Self> {
        KINDS.get(number as usize).copied()
    }
}

/// One type. Names and member lists borrow from the blob; nothing is allocated.
#[derive(Debug, Clone)]
pub enum BtfType<'a> {
    /// `void`, id 0.
    Void,
    /// An integer, character or boolean.
    Int(Int<'a>),
    /// Pointer to a type (0 is `void *`).
    Ptr(u32),
    /// Array of `len` elements.
    Array {
        /// Element type.
        elem: u32,
        /// Type of the index, of no use to a reader.
        index: u32,
        /// Number of elements (0 for a flexible array).
        len: u32,
    },
    /// `struct`.
    Struct(Composite<'a>),
    /// `union`.
    Union(Composite<'a>),
    /// `enum`, of 32 or 64 bit values.
    Enum(Enum<'a>),
    /// A struct or union of which only the name is known.
    Fwd {
        /// Tag name.
        name: &'a str,
        /// Whether it is a union.
        is_union: bool,
    },
    /// `typedef`.
    Typedef {
        /// Its name.
        name: &'a str,
        /// What it stands for.
        ty: u32,
    },
    /// `const` type.
    Const(u32),
    /// `volatile` type.
    Volatile(u32),
    /// `restrict` type.
    Restrict(u32),
    /// `__attribute__((btf_type_tag(name)))`: `user`, `percpu`, `rcu` tell the address space of a pointer's target.
    TypeTag {
        /// The tag.
        name: &'a str,
        /// The tagged type.
        ty: u32,
    },
    /// A function with its name; the prototype is another type.
    Func {
        /// Its name.
        name: &'a str,
        /// Id of a [`BtfType::FuncProto`].
        proto: u32,
        /// 0 static, 1 global, 2 extern.
        linkage: u32,
    },
    /// A prototype.
    FuncProto {
        /// Parameters in order; a last one with type 0 and no name means `...`.
        params: Params<'a>,
        /// Return type (0 is `void`).
        ret: u32,
    },
    /// A global variable.
    Var {
        /// Its name.
        name: &'a str,
        /// Its type.
        ty: u32,
        /// 0 static, 1 global, 2 extern.
        linkage: u32,
    },
    /// A section with variables, such as `.data..percpu`.
    Datasec {
        /// Section name.
        name: &'a str,
        /// Bytes.
        size: u32,
        /// Its variables.
        vars: SectionVars<'a>,
    },
    /// Floating point.
    Float {
        /// Its name.
        name: &'a str,
        /// Bytes.
        size: u32,
    },
    /// `__attribute__((btf_decl_tag(name)))` on a declaration.
    DeclTag {
        /// The tag.
        name: &'a str,
        /// The tagged declaration.
        ty: u32,
        /// Member or parameter index, -1 for the whole.
        component: i32,
    },
}

impl<'a> BtfType<'a> {
    /// The type's own name, empty where it has none.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Int(int) => int.name,
            Self::Struct(c) | Self::Union(c) => c.name,
            Self::Enum(e) => e.name,
            Self::Fwd { name, .. }
            | Self::Typedef { name, .. }
            | Self::TypeTag { name, .. }
            | Self::Func { name, .. }
            | Self::Var { name, .. }
            | Self::Datasec { name, .. }
            | Self::Float { name, .. }
            | Self::DeclTag { name, .. } => name,
            _ => "",
        }
    }

    /// For `const`, `volatile`, `restrict` and type tags, the type below.
    pub fn below_modifier(&self) -> Option<u32> {
        match self {
            Self::Const(ty) | Self::Volatile(ty) | Self::Restrict(ty) | Self::TypeTag { ty, .. } => Some(*ty),
            _ => None,
        }
    }
}

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int<'a> {
    /// C name, `unsigned int`.
    pub name: &'a str,
    /// Bytes.
    pub size: u32,
    /// Significant bits; fewer than `8 * size` only in old-style bitfields.
    pub bits: u32,
    /// Bit offset of an old-style bitfield in its storage unit.
    pub bit_offset: u32,
    /// Signed.
    pub is_signed: bool,
    /// `char`-like; compilers seldom set it, the name is the better sign.
    pub is_char: bool,
    /// `_Bool`.
    pub is_bool: bool,
}

/// A struct or union.
#[derive(Debug, Clone, Copy)]
pub struct Composite<'a> {
    /// Tag name, empty if anonymous.
    pub name: &'a str,
    /// Bytes.
    pub size: u32,
    /// Members in declaration order.
    pub members: Members<'a>,
}

/// One member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Name, empty for an anonymous struct or union.
    pub name: &'a str,
    /// Type id.
    pub ty: u32,
    /// Offset from the start of the composite in bits.
    pub bit_offset: u32,
    /// Width of a bitfield in bits, 0 for a plain member.
    pub bitfield_bits: u32,
}

/// An enum of 32 or 64 bit values.
#[derive(Debug, Clone, Copy)]
pub struct Enum<'a> {
    /// Tag name, empty if anonymous.
    pub name: &'a str,
    /// Bytes.
    pub size: u32,
    /// Whether the values are signed.
    pub is_signed: bool,
    /// The enumerators.
    pub values: EnumValues<'a>,
}

/// One enumerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnumValue<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value; of an unsigned 64 bit enum, the same bits.
    pub value: i64,
}

/// One parameter of a prototype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Name, may be empty.
    pub name: &'a str,
    /// Type id.
    pub ty: u32,
}

/// One variable of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionVar {
    /// Id of a [`BtfType::Var`].
    pub ty: u32,
    /// Offset in the section in bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

fn word(raw: &[u8], at: usize) -> u32 {
    match raw.get(at..).and_then(|r| r.first_chunk()) {
        Some(bytes) => u32::from_le_bytes(*bytes),
        None => 0,
    }
}

/// A record of fixed size that a [`List`] decodes.
pub trait Record<'a>: Sized {
    /// Bytes of one record; `wide` is that of the list.
    fn size(wide: bool) -> usize;
    /// Decodes one record of the list.
    fn decode(list: &List<'a, Self>, raw: &[u8]) -> Result<Self>;
}

/// A list of records that are decoded when asked for.
#[derive(Debug)]
pub struct List<'a, T> {
    raw: &'a [u8],
    strings: Strings<'a>,
    /// The type's kind flag: bitfields in members, signed values in enums.
    flag: bool,
    /// 64 bit enum values.
    wide: bool,
    record: PhantomData<T>,
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<'a, T: Record<'a>> List<'a, T> {
    pub(super) fn new(raw: &'a [u8], strings: Strings<'a>, flag: bool, wide: bool) -> Self {
        Self { raw, strings, flag, wide, record: PhantomData }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.raw.len() / T::size(self.wide)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entry `index`; `None` past the end, an error if its name is damaged.
    pub fn get(&self, index: usize) -> Option<Result<T>> {
        let at = index.checked_mul(T::size(self.wide))?;
        let raw = self.raw.get(at..)?.get(..T::size(self.wide))?;
        Some(T::decode(self, raw))
    }

    /// All entries in order.
    pub fn iter(self) -> impl Iterator<Item = Result<T>> + 'a
    where
        T: 'a,
    {
        let records = self.raw.chunks_exact(T::size(self.wide));
        records.map(move |raw| T::decode(&self, raw))
    }
}

/// Members of a struct or union.
pub type Members<'a> = List<'a, Member<'a>>;
/// Parameters of a prototype.
pub type Params<'a> = List<'a, Param<'a>>;
/// Enumerators.
pub type EnumValues<'a> = List<'a, EnumValue<'a>>;
/// Variables of a section.
pub type SectionVars<'a> = List<'a, SectionVar>;

impl<'a> Record<'a> for Member<'a> {
    fn size(_: bool) -> usize {
        12
    }

    fn decode(list: &List<'a, Self>, raw: &[u8]) -> Result<Self> {
        let place = word(raw, 8);
        let (bit_offset, bitfield_bits) =
            if list.flag { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
        Ok(Self { name: list.strings.get(word(raw, 0))?, ty: word(raw, 4), bit_offset, bitfield_bits })
    }
}

impl<'a> Record<'a> for Param<'a> {
    fn size(_: bool) -> usize {
        8
    }

    fn decode(list: &List<'a, Self>, raw: &[u8]) -> Result<Self> {
        Ok(Self { name: list.strings.get(word(raw, 0))?, ty: word(raw, 4) })
    }
}

impl<'a> Record<'a> for EnumValue<'a> {
    fn size(wide: bool) -> usize {
        if wide {
            12
        } else {
            8
        }
    }

    fn decode(list: &List<'a, Self>, raw: &[u8]) -> Result<Self> {
        let low = word(raw, 4);
        let value = match (list.wide, list.flag) {
            (true, _) => (u64::from(word(raw, 8)) << 32 | u64::from(low)) as i64,
            (false, true) => i64::from(low as i32),
            (false, false) => i64::from(low),
        };
        Ok(Self { name: list.strings.get(word(raw, 0))?, value })
    }
}

impl<'a> Record<'a> for SectionVar {
    fn size(_: bool) -> usize {
        12
    }

    fn decode(_: &List<'a, Self>, raw: &[u8]) -> Result<Self> {
        Ok(Self { ty: word(raw, 0), offset: word(raw, 4), size: word(raw, 8) })
    }
}

impl<'a> EnumValues<'a> {
    /// String offsets of the names, without reading the names.
    pub(super) fn name_offsets(self) -> impl Iterator<Item = u32> + 'a {
        self.raw.chunks_exact(EnumValue::size(self.wide)).map(|raw| word(raw, 0))
    }
}
