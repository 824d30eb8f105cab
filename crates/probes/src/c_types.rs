//! Kernel types as the compiler wants them: BTF ids to [`CType`].

use fathom_codegen::layout::EnumTable;
use fathom_lang::facts::TypeSpace;
use fathom_lang::types::{CType, CTypeId, EnumType, Member, StructDef};
use fathom_symbols::btf::{Btf, BtfType, Composite, Kind};
use std::sync::Arc;

/// Which blob an id belongs to: index of the module in the upper half (0: vmlinux), BTF id in the lower.
pub fn id_of(module: u32, btf_id: u32) -> CTypeId {
    CTypeId(u64::from(module) << 32 | u64::from(btf_id))
}

/// Blobs from here on hold types of programs, below it those of the kernel. [`CTypeId`] has 16 bits for both.
pub const FIRST_USER_BLOB: u32 = 1 << 15;
/// How many blobs with types of programs there may be.
pub const USER_BLOBS_MAX: usize = 1 << 15;

/// Whether a type is one of a program: its pointers point to user memory.
pub fn is_user(id: CTypeId) -> bool {
    module_of(id) >= FIRST_USER_BLOB
}

/// The BTF id of a type id.
pub fn btf_id(id: CTypeId) -> u32 {
    id.0 as u32
}

/// The module index of a type id.
pub fn module_of(id: CTypeId) -> u32 {
    (id.0 >> 32) as u32
}

/// Finds a type by C name.
pub fn find(btf: &Btf, module: u32, space: TypeSpace, name: &str) -> Option<CTypeId> {
    let id = match space {
        TypeSpace::Struct => btf.find(name, Kind::Struct),
        TypeSpace::Union => btf.find(name, Kind::Union),
        TypeSpace::Enum => btf.find(name, Kind::Enum).or_else(|| btf.find(name, Kind::Enum64)),
        TypeSpace::Plain => btf
            .find(name, Kind::Typedef)
            .or_else(|| btf.find(name, Kind::Int))
            .or_else(|| btf.find(name, Kind::Float)),
    };
    id.map(|id| id_of(module, id))
}

/// One type, one level deep. What is damaged or unknown is `void`: the compiler then says that the type is unknown.
pub fn convert(btf: &Btf, id: CTypeId) -> CType {
    let module = module_of(id);
    let at = |n: u32| id_of(module, n);
    let Ok((own_id, ty)) = btf.skip_modifiers(btf_id(id)) else { return CType::Void };
    match ty {
        BtfType::Int(int) => CType::Int {
            name: int.name.into(),
            size: int.size,
            signed: int.is_signed,
            is_char: int.size == 1 && !int.is_bool && int.name.ends_with("char"),
            is_bool: int.is_bool,
        },
        BtfType::Float { size, .. } => CType::Float(size),
        BtfType::Ptr(to) => {
            CType::Pointer { to: at(to), user: is_user(id) || btf.has_tag(own_id, "user").unwrap_or(false) }
        }
        BtfType::Array { elem, len, .. } => CType::Array { elem: at(elem), count: len },
        BtfType::Struct(c) => CType::Struct(Arc::new(definition(module, &c, false))),
        BtfType::Union(c) => CType::Struct(Arc::new(definition(module, &c, true))),
        BtfType::Enum(e) => CType::Enum(EnumType {
            size: e.size as u8,
            signed: e.is_signed,
            table: Arc::new(EnumTable {
                name: e.name.to_owned(),
                values: e.values.iter().flatten().map(|v| (v.value as u64, v.name.to_owned())).collect(),
            }),
        }),
        BtfType::Typedef { name, ty } => CType::Typedef { name: name.into(), to: at(ty) },
        BtfType::Fwd { name, is_union } => CType::Forward { name: name.into(), is_union },
        BtfType::FuncProto { .. } | BtfType::Func { .. } => CType::Function,
        BtfType::Var { ty, .. } => convert(btf, at(ty)),
        _ => CType::Void,
    }
}

fn definition(module: u32, c: &Composite<'_>, is_union: bool) -> StructDef {
    let members = c.members.iter().flatten().map(|m| Member {
        name: m.name.into(),
        ty: id_of(module, m.ty),
        bit_offset: m.bit_offset,
        bit_size: m.bitfield_bits,
    });
    StructDef { name: c.name.into(), is_union, size: c.size, members: members.collect() }
}
