//! Types of the language, and C types as the kernel's (or the script's) declarations give them.

use fathom_codegen::layout::{EnumTable, StackMode};
use std::sync::Arc;

/// Where a pointer points: decides which read helper is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Space {
    /// Kernel memory: `probe_read_kernel`.
    Kernel,
    /// Memory of the current process: `probe_read_user`.
    User,
    /// Memory of the program itself (stack, maps).
    Program,
}

/// A struct or union: kernel BTF types and types declared in the script share one numbering (see `TypeStore`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StructType {
    /// Identity; definitions come from the `TypeStore`.
    pub id: CTypeId,
    /// Tag name; empty if anonymous.
    pub name: Arc<str>,
    /// A union.
    pub is_union: bool,
    /// Bytes.
    pub size: u32,
}

/// An enumeration type: an integer whose values have names.
#[derive(Clone, Debug)]
pub struct EnumType {
    /// Bytes.
    pub size: u8,
    /// Two's complement.
    pub signed: bool,
    /// Its names.
    pub table: Arc<EnumTable>,
}

impl PartialEq for EnumType {
    fn eq(&self, other: &EnumType) -> bool {
        self.size == other.size && (Arc::ptr_eq(&self.table, &other.table) || self.table == other.table)
    }
}
impl Eq for EnumType {}

/// What an aggregation keeps; the type of a map assigned from `count()` and the like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Agg {
    /// `count()`
    Count,
    /// `sum(n)`
    Sum {
        /// By the argument's type.
        signed: bool,
    },
    /// `min(n)`
    Min {
        /// By the argument's type.
        signed: bool,
    },
    /// `max(n)`
    Max {
        /// By the argument's type.
        signed: bool,
    },
    /// `avg(n)`
    Avg {
        /// By the argument's type.
        signed: bool,
    },
    /// `stats(n)`
    Stats {
        /// By the argument's type.
        signed: bool,
    },
    /// `hist(n, k)`
    Hist {
        /// Bits of sub-buckets.
        k: u8,
    },
    /// `lhist(n, min, max, step)`
    Lhist {
        /// First bucket's lower bound.
        min: i64,
        /// Upper bound.
        max: i64,
        /// Width.
        step: i64,
    },
    /// `tseries(n, interval, count, agg)`
    Tseries {
        /// ns.
        interval_ns: u64,
        /// Intervals kept.
        count: u32,
        /// How values combine.
        agg: fathom_codegen::program::TseriesAgg,
        /// By the argument's type.
        signed: bool,
    },
}

/// A type of the language.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Type {
    /// Not known yet (during inference), or already reported as wrong: anything goes with it silently.
    #[default]
    Unknown,
    /// No value.
    Void,
    /// `bool`: one byte.
    Bool,
    /// Integers of 1, 2, 4, 8 bytes.
    Int {
        /// Bytes.
        size: u8,
        /// Two's complement.
        signed: bool,
    },
    /// `enum x`.
    Enum(EnumType),
    /// `T *`.
    Pointer {
        /// To what.
        to: Arc<Type>,
        /// In which memory.
        space: Space,
    },
    /// `T[n]`.
    Array {
        /// Element.
        elem: Arc<Type>,
        /// How many.
        count: u32,
        /// Where arrays and structs that are reached through pointers lie; `Program` for values.
        space: Space,
    },
    /// `struct x`, `union x`.
    Struct {
        /// Which.
        def: StructType,
        /// Where it lies (see `Array`).
        space: Space,
    },
    /// `string[capacity]`, NUL terminated, capacity with the NUL.
    Str {
        /// Bytes.
        capacity: u32,
    },
    /// `buffer[capacity]`.
    Buffer {
        /// Bytes.
        capacity: u32,
    },
    /// `(T, T)`.
    Tuple(Arc<[Type]>),
    /// `(name = T, ...)`.
    Record(Arc<[(Arc<str>, Type)]>),
    /// Result of `ntop`.
    Inet,
    /// Result of `macaddr`.
    Mac,
    /// `kstack`.
    KernelStack {
        /// How it prints.
        mode: StackMode,
        /// Most frames.
        limit: u32,
    },
    /// `ustack`.
    UserStack {
        /// How it prints.
        mode: StackMode,
        /// Most frames.
        limit: u32,
    },
    /// `ksym(x)`.
    KernelSym,
    /// `usym(x)`.
    UserSym,
    /// `username`.
    Username,
    /// `strftime(fmt, ns)`.
    Timestamp(Arc<str>),
    /// `cgroup_path(id, filter)`.
    CgroupPath(Arc<str>),
    /// `strerror(n)`.
    ErrorName,
    /// `signal_name(n)`.
    SignalName,
    /// `syscall_name(n)`.
    SyscallName,
    /// A map's value when the map aggregates.
    Aggregation(Agg),
    /// `args`: the probe's arguments as a whole.
    Args,
    /// `typeof(T)` used as a value (macro arguments only).
    TypeValue(Arc<Type>),
}

/// Identity of a C type: from the kernel's BTF, a module's BTF, a file's DWARF, or the script's own declarations. Opaque; made by `Facts`
/// (below 2^48) or the `TypeStore` (script declarations, from 2^48).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct CTypeId(pub u64);

/// One C type, one level deep.
#[derive(Clone, PartialEq, Debug)]
pub enum CType {
    /// `void`
    Void,
    /// An integer.
    Int {
        /// Name as C spells it.
        name: Arc<str>,
        /// Bytes (1, 2, 4, 8, 16).
        size: u32,
        /// Two's complement.
        signed: bool,
        /// `char`: arrays of it are strings.
        is_char: bool,
        /// `bool`/`_Bool`.
        is_bool: bool,
    },
    /// A floating-point number of so many bytes.
    Float(u32),
    /// A pointer. `user` if the kernel marks it `__user`.
    Pointer {
        /// To what.
        to: CTypeId,
        /// Points to user memory.
        user: bool,
    },
    /// An array; `count` 0 for flexible arrays.
    Array {
        /// Element.
        elem: CTypeId,
        /// How many.
        count: u32,
    },
    /// A struct or union.
    Struct(Arc<StructDef>),
    /// An enumeration.
    Enum(EnumType),
    /// Another name.
    Typedef {
        /// The name.
        name: Arc<str>,
        /// Of what.
        to: CTypeId,
    },
    /// A function (behind pointers).
    Function,
    /// Declared but not defined.
    Forward {
        /// Tag.
        name: Arc<str>,
        /// A union.
        is_union: bool,
    },
}

/// Definition of a struct or union.
#[derive(Clone, PartialEq, Debug)]
pub struct StructDef {
    /// Tag; empty if anonymous.
    pub name: Arc<str>,
    /// A union.
    pub is_union: bool,
    /// Bytes.
    pub size: u32,
    /// Members in order; anonymous struct and union members have an empty name.
    pub members: Vec<Member>,
}

/// A member of a struct or union.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// Name; empty: its members count as the parent's.
    pub name: Arc<str>,
    /// Its type.
    pub ty: CTypeId,
    /// Offset in bits.
    pub bit_offset: u32,
    /// Width of a bitfield, 0 otherwise.
    pub bit_size: u32,
}

impl Type {
    /// A signed integer.
    pub const fn int(size: u8) -> Type {
        Type::Int { size, signed: true }
    }
    /// An unsigned integer.
    pub const fn uint(size: u8) -> Type {
        Type::Int { size, signed: false }
    }
    /// `int64`
    pub const I64: Type = Type::int(8);
    /// `uint64`
    pub const U64: Type = Type::uint(8);
    /// A pointer.
    pub fn pointer(to: Type, space: Space) -> Type {
        Type::Pointer { to: Arc::new(to), space }
    }
    /// Integers, enums and booleans: one register, used in arithmetic.
    pub fn is_integral(&self) -> bool {
        matches!(self, Type::Int { .. } | Type::Enum(_) | Type::Bool)
    }
}
