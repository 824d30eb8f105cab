//! How the bytes of a value are laid out: made once by the lowering, read by the runtime's decoder.

use std::sync::Arc;

/// Names of an enumeration's values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EnumTable {
    /// Name of the enum; empty if anonymous.
    pub name: String,
    /// (value as 64 bits, name).
    pub values: Vec<(u64, String)>,
}

/// How a stack is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum StackMode {
    /// `sym+off` per line.
    Bpftrace,
    /// address, `sym+off`, module.
    Perf,
    /// Hex addresses.
    Raw,
    /// Build id and file offset.
    BuildId,
}

/// Whether a [`Shape::Fields`] is a struct, tuple or record: decides how it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FieldsKind {
    /// C struct or union.
    Struct,
    /// Tuple: fields have no names.
    Tuple,
    /// Record.
    Record,
}

/// A member of a struct, tuple or record.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Name; empty in tuples.
    pub name: Arc<str>,
    /// Byte offset.
    pub offset: u32,
    /// For bitfields: (first bit counted from the byte offset, number of bits); the shape is then an integer or enum.
    pub bits: Option<(u16, u16)>,
    /// What it is.
    pub shape: Shape,
}

/// What the bytes of a value mean. Little endian; sizes in bytes.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// One byte.
    Bool,
    /// An integer of 1, 2, 4 or 8 bytes.
    Int {
        /// Bytes.
        size: u8,
        /// Two's complement.
        signed: bool,
    },
    /// An integer that stands for a name.
    Enum {
        /// Bytes.
        size: u8,
        /// Two's complement.
        signed: bool,
        /// The names.
        table: Arc<EnumTable>,
    },
    /// 8 bytes.
    Pointer,
    /// `capacity` bytes; ends at the first NUL or at the capacity, in which case it was cut.
    Str {
        /// Bytes including the NUL.
        capacity: u32,
    },
    /// In a print record only: the fixed part holds the length (u32, without NUL, bit 31 set if the string was cut), the bytes stand in
    /// the record's tail, in the order of the fields.
    TailStr,
    /// u32 length, then `capacity` bytes.
    Buffer {
        /// Bytes behind the length.
        capacity: u32,
    },
    /// `ntop`: u32 address family (2 or 10; anything else prints empty), then 16 bytes.
    Inet,
    /// 6 bytes.
    Mac,
    /// `count` elements without gaps.
    Array {
        /// The element.
        elem: Box<Shape>,
        /// Bytes of an element.
        elem_size: u32,
        /// How many.
        count: u32,
    },
    /// Struct, tuple, record.
    Fields {
        /// Which.
        kind: FieldsKind,
        /// Bytes.
        size: u32,
        /// Members.
        fields: Vec<Field>,
    },
    /// u64 id into the stacks map (0: no stack).
    KernelStack {
        /// How to print.
        mode: StackMode,
        /// The map ([`crate::program::MapRole::Stacks`]).
        map: crate::ir::MapId,
    },
    /// u64 id into the stacks map, u32 pid (tgid), u32 zero.
    UserStack {
        /// How to print.
        mode: StackMode,
        /// The map.
        map: crate::ir::MapId,
    },
    /// u64 kernel address, printed as symbol.
    KernelSym,
    /// u64 user address, u32 pid (tgid), u32 zero.
    UserSym,
    /// u32 user id, printed as name.
    Username,
    /// u64 ns of `CLOCK_MONOTONIC`-based (or as given) time, printed by a strftime format.
    Timestamp {
        /// The format.
        format: Arc<str>,
    },
    /// u64 cgroup id.
    CgroupPath {
        /// Pattern over the hierarchy names; empty: all.
        filter: Arc<str>,
    },
    /// i64 error number (positive), printed as its message.
    ErrorName,
    /// i64 signal number.
    SignalName,
    /// i64 system call number.
    SyscallName,
    /// Nothing (void).
    None,
}

impl Shape {
    /// Bytes of the fixed part.
    pub fn size(&self) -> u32 {
        match self {
            Shape::Bool => 1,
            Shape::Int { size, .. } | Shape::Enum { size, .. } => u32::from(*size),
            Shape::Pointer | Shape::KernelStack { .. } | Shape::KernelSym => 8,
            Shape::Str { capacity } => *capacity,
            Shape::TailStr | Shape::Username => 4,
            Shape::Buffer { capacity } => 4 + capacity,
            Shape::Inet => 20,
            Shape::Mac => 6,
            Shape::Array { elem_size, count, .. } => elem_size * count,
            Shape::Fields { size, .. } => *size,
            Shape::UserStack { .. } | Shape::UserSym => 16,
            Shape::Timestamp { .. }
            | Shape::CgroupPath { .. }
            | Shape::ErrorName
            | Shape::SignalName
            | Shape::SyscallName => 8,
            Shape::None => 0,
        }
    }
}
