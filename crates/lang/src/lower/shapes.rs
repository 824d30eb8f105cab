//! Layout of values in memory: sizes, members of tuples, and the shapes that user space decodes by.

use super::{Lower, Output};
use crate::analyse::store::{FieldInfo, TypeStore};
use crate::types::{Space, Type};
use fathom_codegen::layout::{Field, FieldsKind, Shape, StackMode};
use std::sync::Arc;

/// Whether values of this type fit one register, in which [`super::Operand::Scalar`] holds them.
pub fn is_register(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool
            | Type::Int { .. }
            | Type::Enum(_)
            | Type::Pointer { .. }
            | Type::KernelStack { .. }
            | Type::KernelSym
            | Type::Username
            | Type::Timestamp(_)
            | Type::CgroupPath(_)
            | Type::ErrorName
            | Type::SignalName
            | Type::SyscallName
            | Type::Aggregation(_)
            | Type::Unknown
    )
}

/// Bytes of a type of one register.
pub fn register_size(ty: &Type) -> u32 {
    match ty {
        Type::Bool => 1,
        Type::Int { size, .. } => u32::from(*size),
        Type::Enum(e) => u32::from(e.size),
        Type::Username => 4,
        _ => 8,
    }
}

impl Lower<'_> {
    /// Bytes of a value in memory of the program.
    pub fn size_of(&self, ty: &Type) -> u32 {
        self.store.size_of(ty)
    }

    /// Members of a tuple or record with their offsets, and its size.
    pub fn tuple_layout(&self, ty: &Type) -> (Vec<(Type, u32)>, u32) {
        tuple_layout(self.store, ty)
    }

    /// How user space reads a value of this type.
    pub fn shape(&mut self, ty: &Type) -> Shape {
        Shapes::new(self.out, self.store).shape(ty, 0)
    }
}

/// What shapes are made from.
pub(super) struct Shapes<'o, 's> {
    pub out: &'o mut Output,
    pub store: &'s TypeStore<'s>,
    /// How many members may still be described: structs within structs multiply.
    left: u32,
}

/// Most members of a value, those of structs within it counted; what is beyond is not printed.
const MEMBERS_MAX: u32 = 50_000;

impl<'o, 's> Shapes<'o, 's> {
    /// For one value.
    pub fn new(out: &'o mut Output, store: &'s TypeStore<'s>) -> Shapes<'o, 's> {
        Shapes { out, store, left: MEMBERS_MAX }
    }

    /// How user space reads a value of this type, `depth` levels within another.
    pub fn shape(&mut self, ty: &Type, depth: u32) -> Shape {
        match ty {
            Type::Bool => Shape::Bool,
            Type::Int { size, signed } => Shape::Int { size: *size, signed: *signed },
            Type::Enum(e) => Shape::Enum { size: e.size, signed: e.signed, table: e.table.clone() },
            Type::Pointer { .. } => Shape::Pointer,
            Type::Array { elem, count, .. } => {
                let elem_size = self.store.size_of(elem);
                Shape::Array { elem: Box::new(self.shape(elem, depth + 1)), elem_size, count: *count }
            }
            Type::Struct { def, space } => {
                // Deep nesting can only come from broken type information.
                let members = if depth < 16 && self.left > 0 {
                    self.store.fields(def, *space, Space::Kernel)
                } else {
                    Vec::new()
                };
                self.left = self.left.saturating_sub(members.len() as u32);
                let fields = members.into_iter().map(|m| self.member_shape(m, depth)).collect();
                Shape::Fields { kind: FieldsKind::Struct, size: def.size, fields }
            }
            Type::Str { capacity } => Shape::Str { capacity: *capacity },
            Type::Buffer { capacity } => Shape::Buffer { capacity: *capacity },
            Type::Tuple(_) | Type::Record(_) => {
                let names: Vec<Arc<str>> = match ty {
                    Type::Record(members) => members.iter().map(|(n, _)| n.clone()).collect(),
                    _ => Vec::new(),
                };
                let kind = if matches!(ty, Type::Record(_)) { FieldsKind::Record } else { FieldsKind::Tuple };
                let (members, size) = tuple_layout(self.store, ty);
                let fields = members
                    .iter()
                    .enumerate()
                    .map(|(i, (member, offset))| Field {
                        name: names.get(i).cloned().unwrap_or_default(),
                        offset: *offset,
                        bits: None,
                        shape: self.shape(member, depth + 1),
                    })
                    .collect();
                Shape::Fields { kind, size, fields }
            }
            Type::Inet => Shape::Inet,
            Type::Mac => Shape::Mac,
            Type::KernelStack { mode, limit } => {
                Shape::KernelStack { mode: *mode, map: self.out.stacks_map(*limit, false) }
            }
            Type::UserStack { mode, limit } => Shape::UserStack {
                mode: *mode,
                map: self.out.stacks_map(*limit, *mode == StackMode::BuildId),
            },
            Type::KernelSym => Shape::KernelSym,
            Type::UserSym => Shape::UserSym,
            Type::Username => Shape::Username,
            Type::Timestamp(format) => Shape::Timestamp { format: format.clone() },
            Type::CgroupPath(filter) => Shape::CgroupPath { filter: filter.clone() },
            Type::ErrorName => Shape::ErrorName,
            Type::SignalName => Shape::SignalName,
            Type::SyscallName => Shape::SyscallName,
            Type::Aggregation(_) => Shape::Int { size: 8, signed: true },
            Type::Unknown | Type::Void | Type::Args | Type::TypeValue(_) => Shape::None,
        }
    }

    fn member_shape(&mut self, member: FieldInfo, depth: u32) -> Field {
        let bits = (member.bit_size > 0)
            .then(|| ((member.bit_offset % 8) as u16, u16::try_from(member.bit_size).unwrap_or(u16::MAX)));
        let shape = self.shape(&member.ty, depth + 1);
        Field { name: member.name, offset: member.bit_offset / 8, bits, shape }
    }
}

fn tuple_layout(store: &TypeStore<'_>, ty: &Type) -> (Vec<(Type, u32)>, u32) {
    let members: Vec<Type> = match ty {
        Type::Tuple(members) => members.to_vec(),
        Type::Record(members) => members.iter().map(|(_, t)| t.clone()).collect(),
        _ => Vec::new(),
    };
    let (offsets, size) = store.layout(&members);
    (members.into_iter().zip(offsets).collect(), size)
}
