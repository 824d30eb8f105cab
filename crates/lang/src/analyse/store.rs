//! C types of the kernel and of the script behind one numbering: sizes, alignments, members, and what they are in the language.

use crate::facts::{Facts, TypeSpace};
use crate::types::{CType, CTypeId, Space, StructDef, StructType, Type};
use fathom_codegen::layout::EnumTable;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// First id of types that the script declares.
pub(super) const SCRIPT_BASE: u64 = 1 << 48;
/// Deepest nesting of typedefs, arrays and anonymous members that is followed.
const MAX_DEPTH: u32 = 32;

/// A member of a struct as the lowering needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldInfo {
    /// Name.
    pub name: Arc<str>,
    /// Type of the value read; pointers have the address space of what they point to.
    pub ty: Type,
    /// Its C type.
    pub c_type: CTypeId,
    /// Offset in bits from the start of the struct.
    pub bit_offset: u32,
    /// Width of a bitfield, 0 otherwise.
    pub bit_size: u32,
}

/// All C types a script can see: its own declarations first, then the kernel's.
pub struct TypeStore<'f> {
    facts: &'f dyn Facts,
    types: Vec<CType>,
    names: HashMap<(TypeSpace, String), CTypeId>,
    constants: HashMap<String, (CTypeId, i64)>,
    structs: RefCell<HashMap<CTypeId, Option<Arc<StructDef>>>>,
    /// Alignments of structs that were asked for.
    aligns: RefCell<HashMap<CTypeId, u32>>,
}

impl<'f> TypeStore<'f> {
    /// Only the kernel's types.
    pub fn new(facts: &'f dyn Facts) -> TypeStore<'f> {
        TypeStore {
            facts,
            types: Vec::new(),
            names: HashMap::new(),
            constants: HashMap::new(),
            structs: RefCell::default(),
            aligns: RefCell::default(),
        }
    }

    /// Adds a type of the script.
    pub fn add(&mut self, ty: CType) -> CTypeId {
        self.types.push(ty);
        CTypeId(SCRIPT_BASE + self.types.len() as u64 - 1)
    }
    /// Replaces a type of the script: a declared struct gets its definition.
    pub fn set(&mut self, id: CTypeId, ty: CType) {
        if let Some(slot) = id.0.checked_sub(SCRIPT_BASE).and_then(|i| self.types.get_mut(i as usize)) {
            *slot = ty;
            self.structs.get_mut().remove(&id);
            self.aligns.get_mut().clear();
        }
    }
    /// Gives a type of the script its name.
    pub fn name(&mut self, space: TypeSpace, name: &str, id: CTypeId) {
        self.names.insert((space, name.to_string()), id);
    }
    /// Makes an enumeration constant of the script known.
    pub fn add_constant(&mut self, name: &str, of: CTypeId, value: i64) {
        self.constants.insert(name.to_string(), (of, value));
    }

    /// The type of a name that the script itself declares.
    pub fn find_own(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        self.names.get(&(space, name.to_string())).copied()
    }
    /// The type of a name: the script's own, or the kernel's.
    pub fn find(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        self.find_own(space, name).or_else(|| self.facts.find_type(space, name))
    }
    /// The enumeration constant of a name: its enum and value.
    pub fn constant(&self, name: &str) -> Option<(CTypeId, i64)> {
        self.constants.get(name).copied().or_else(|| self.facts.find_enum_value(name))
    }
    /// Names of the script's own types and constants, for suggestions.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|(_, n)| n.as_str()).chain(self.constants.keys().map(String::as_str))
    }

    /// One type, one level deep.
    pub fn c_type(&self, id: CTypeId) -> CType {
        match id.0.checked_sub(SCRIPT_BASE) {
            Some(i) => self.types.get(i as usize).cloned().unwrap_or(CType::Void),
            None => self.facts.c_type(id),
        }
    }
    /// The type behind typedefs. Forward declarations become the definition where there is one.
    pub fn resolve(&self, mut id: CTypeId) -> (CTypeId, CType) {
        for _ in 0..MAX_DEPTH {
            match self.c_type(id) {
                CType::Typedef { to, .. } => id = to,
                CType::Forward { name, is_union } => {
                    let space = if is_union { TypeSpace::Union } else { TypeSpace::Struct };
                    match self.find(space, &name) {
                        Some(found) if found != id => match self.c_type(found) {
                            def @ CType::Struct(_) => return (found, def),
                            _ => return (id, CType::Forward { name, is_union }),
                        },
                        _ => return (id, CType::Forward { name, is_union }),
                    }
                }
                other => return (id, other),
            }
        }
        (id, CType::Void)
    }
    /// Definition of a struct or union; `None` for anything else and for incomplete ones.
    pub fn struct_def(&self, id: CTypeId) -> Option<Arc<StructDef>> {
        if let Some(known) = self.structs.borrow().get(&id) {
            return known.clone();
        }
        let def = match self.resolve(id).1 {
            CType::Struct(def) => Some(def),
            _ => None,
        };
        self.structs.borrow_mut().insert(id, def.clone());
        def
    }

    /// What a C type is in the language when it lies in `space`; pointers within point to the same space (`Kernel` for program memory).
    pub fn type_of(&self, id: CTypeId, space: Space) -> Type {
        self.type_within(id, space, if space == Space::Program { Space::Kernel } else { space })
    }
    /// Like [`Self::type_of`], with the space that pointers point to unless they say so themselves.
    pub fn type_within(&self, id: CTypeId, space: Space, pointees: Space) -> Type {
        self.convert(id, space, pointees, 0)
    }

    fn convert(&self, id: CTypeId, space: Space, pointees: Space, depth: u32) -> Type {
        if depth > MAX_DEPTH {
            return Type::Void;
        }
        let (id, ty) = self.resolve(id);
        match ty {
            CType::Void | CType::Function | CType::Typedef { .. } => Type::Void,
            CType::Int { is_bool: true, .. } => Type::Bool,
            CType::Int { size: size @ (1 | 2 | 4 | 8), signed, .. } => Type::Int { size: size as u8, signed },
            CType::Int { size: 16, .. } => Type::Array { elem: Arc::new(Type::U64), count: 2, space },
            CType::Float(size @ (4 | 8)) => Type::uint(size as u8),
            CType::Int { size, .. } | CType::Float(size) => {
                Type::Array { elem: Arc::new(Type::uint(1)), count: size, space }
            }
            CType::Pointer { to, user } => {
                let to_space = if user { Space::User } else { pointees };
                Type::pointer(self.convert(to, to_space, to_space, depth + 1), to_space)
            }
            CType::Array { elem, count } => {
                let is_char = matches!(self.resolve(elem).1, CType::Int { is_char: true, size: 1, .. });
                if is_char && count > 0 {
                    return Type::Str { capacity: count };
                }
                Type::Array { elem: Arc::new(self.convert(elem, space, pointees, depth + 1)), count, space }
            }
            CType::Struct(def) => Type::Struct {
                def: StructType { id, name: def.name.clone(), is_union: def.is_union, size: def.size },
                space,
            },
            CType::Enum(e) => Type::Enum(e),
            CType::Forward { name, is_union } => {
                Type::Struct { def: StructType { id, name, is_union, size: 0 }, space }
            }
        }
    }

    /// A struct or union by tag.
    pub fn struct_type(&self, name: &str, space: Space) -> Option<Type> {
        self.find(TypeSpace::Struct, name).map(|id| self.type_of(id, space))
    }
    /// Names of an enum's values.
    pub fn enum_table(&self, id: CTypeId) -> Option<Arc<EnumTable>> {
        match self.resolve(id).1 {
            CType::Enum(e) => Some(e.table),
            _ => None,
        }
    }

    /// A member by name, through anonymous members. `outside` is the space that pointers in program memory point to.
    pub fn field(&self, def: &StructType, name: &str, space: Space, outside: Space) -> Option<FieldInfo> {
        let (c_type, bit_offset, bit_size) = self.find_member(def.id, name, 0, 0)?;
        let pointees = if space == Space::Program { outside } else { space };
        let ty = self.type_within(c_type, space, pointees);
        Some(FieldInfo { name: name.into(), ty, c_type, bit_offset, bit_size })
    }
    /// A member's place alone: offset in bits, width of a bitfield or 0, C type.
    pub fn member(&self, def: &StructType, name: &str) -> Option<(u32, u32, CTypeId)> {
        self.find_member(def.id, name, 0, 0).map(|(ty, offset, size)| (offset, size, ty))
    }
    fn find_member(&self, id: CTypeId, name: &str, base: u32, depth: u32) -> Option<(CTypeId, u32, u32)> {
        let def = if depth > MAX_DEPTH { None } else { self.struct_def(id) }?;
        if let Some(m) = def.members.iter().find(|m| &*m.name == name) {
            return Some((m.ty, base.checked_add(m.bit_offset)?, m.bit_size));
        }
        def.members
            .iter()
            .filter(|m| m.name.is_empty())
            .find_map(|m| self.find_member(m.ty, name, base.checked_add(m.bit_offset)?, depth + 1))
    }
    /// All members in order, those of anonymous members in their place.
    pub fn fields(&self, def: &StructType, space: Space, outside: Space) -> Vec<FieldInfo> {
        let mut out = Vec::new();
        let pointees = if space == Space::Program { outside } else { space };
        self.collect(def.id, 0, 0, &mut |name, c_type, bit_offset, bit_size| {
            let ty = self.type_within(c_type, space, pointees);
            out.push(FieldInfo { name, ty, c_type, bit_offset, bit_size });
        });
        out
    }
    fn collect(&self, id: CTypeId, base: u32, depth: u32, each: &mut dyn FnMut(Arc<str>, CTypeId, u32, u32)) {
        let Some(def) = self.struct_def(id).filter(|_| depth <= MAX_DEPTH) else { return };
        for m in &def.members {
            let offset = base.saturating_add(m.bit_offset);
            if m.name.is_empty() {
                self.collect(m.ty, offset, depth + 1, each);
            } else {
                each(m.name.clone(), m.ty, offset, m.bit_size);
            }
        }
    }

    /// Bytes of a C type.
    pub fn c_size(&self, id: CTypeId) -> u32 {
        self.c_size_at(id, 0)
    }
    fn c_size_at(&self, id: CTypeId, depth: u32) -> u32 {
        match self.resolve(id).1 {
            CType::Int { size, .. } | CType::Float(size) => size,
            CType::Pointer { .. } => 8,
            CType::Array { elem, count } if depth < MAX_DEPTH => {
                self.c_size_at(elem, depth + 1).saturating_mul(count)
            }
            CType::Struct(def) => def.size,
            CType::Enum(e) => u32::from(e.size),
            _ => 0,
        }
    }
    /// Alignment of a C type; 1 for packed structs.
    pub fn c_align(&self, id: CTypeId) -> u32 {
        self.c_align_at(id, 0)
    }
    fn c_align_at(&self, id: CTypeId, depth: u32) -> u32 {
        if depth > MAX_DEPTH {
            return 1;
        }
        match self.resolve(id).1 {
            CType::Int { size, .. } | CType::Float(size) => size.clamp(1, 16),
            CType::Pointer { .. } => 8,
            CType::Array { elem, .. } => self.c_align_at(elem, depth + 1),
            CType::Enum(e) => u32::from(e.size).max(1),
            CType::Struct(def) => {
                let resolved = self.resolve(id).0;
                if let Some(&known) = self.aligns.borrow().get(&resolved) {
                    return known;
                }
                let align = self.struct_align(&def, depth);
                // At the end of the depth the answer is a guess.
                if depth < MAX_DEPTH / 2 {
                    self.aligns.borrow_mut().insert(resolved, align);
                }
                align
            }
            _ => 1,
        }
    }
    fn struct_align(&self, def: &StructDef, depth: u32) -> u32 {
        let mut align = 1;
        for m in &def.members {
            let member = self.c_align_at(m.ty, depth + 1);
            if m.bit_size == 0 && m.bit_offset % (member * 8).max(8) != 0 {
                return 1; // packed
            }
            align = align.max(member);
        }
        if def.size.is_multiple_of(align) {
            align
        } else {
            1
        }
    }

    /// Bytes of a value in program memory, as [`fathom_codegen::layout::Shape::size`] counts them.
    pub fn size_of(&self, ty: &Type) -> u32 {
        match ty {
            Type::Unknown | Type::Void | Type::Args | Type::TypeValue(_) | Type::Aggregation(_) => {
                if matches!(ty, Type::Aggregation(_)) {
                    8
                } else {
                    0
                }
            }
            Type::Bool => 1,
            Type::Int { size, .. } => u32::from(*size),
            Type::Enum(e) => u32::from(e.size),
            Type::Array { elem, count, .. } => self.size_of(elem).saturating_mul(*count),
            Type::Struct { def, .. } => def.size,
            Type::Str { capacity } => *capacity,
            Type::Buffer { capacity } => capacity.saturating_add(4),
            Type::Tuple(members) => self.layout(members).1,
            Type::Record(members) => {
                let types: Vec<Type> = members.iter().map(|(_, t)| t.clone()).collect();
                self.layout(&types).1
            }
            Type::Inet => 20,
            Type::Mac => 6,
            Type::Username => 4,
            Type::UserStack { .. } | Type::UserSym => 16,
            Type::Pointer { .. }
            | Type::KernelStack { .. }
            | Type::KernelSym
            | Type::Timestamp(_)
            | Type::CgroupPath(_)
            | Type::ErrorName
            | Type::SignalName
            | Type::SyscallName => 8,
        }
    }
    /// Alignment of a value in program memory.
    pub fn align_of(&self, ty: &Type) -> u32 {
        match ty {
            Type::Int { .. } | Type::Enum(_) => self.size_of(ty).max(1),
            Type::Array { elem, .. } => self.align_of(elem),
            Type::Struct { def, .. } => self.c_align(def.id),
            Type::Tuple(members) => members.iter().map(|t| self.align_of(t)).max().unwrap_or(1),
            Type::Record(members) => members.iter().map(|(_, t)| self.align_of(t)).max().unwrap_or(1),
            Type::Buffer { .. } | Type::Inet | Type::Username => 4,
            Type::Unknown
            | Type::Void
            | Type::Args
            | Type::TypeValue(_)
            | Type::Bool
            | Type::Str { .. }
            | Type::Mac => 1,
            _ => 8,
        }
    }
    /// Offsets of the members of a tuple or record, and its size: laid out as C does.
    pub fn layout(&self, members: &[Type]) -> (Vec<u32>, u32) {
        let (mut offset, mut align) = (0u32, 1u32);
        let mut offsets = Vec::with_capacity(members.len());
        for ty in members {
            let a = self.align_of(ty).max(1);
            align = align.max(a);
            offset = offset.checked_next_multiple_of(a).unwrap_or(u32::MAX);
            offsets.push(offset);
            offset = offset.saturating_add(self.size_of(ty));
        }
        (offsets, offset.checked_next_multiple_of(align).unwrap_or(u32::MAX))
    }
}
