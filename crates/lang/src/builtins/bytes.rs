//! Operands as raw bytes: what builtins that take memory of any kind have in common.

use crate::lower::shapes::register_size;
use crate::lower::{Lower, LowerError, Operand, Place};
use crate::types::{Space, Type};
use fathom_codegen::ir::{Cond, Size, Value};
use fathom_syntax::span::Span;

/// At least `len` bytes of what the operand is or points to, in program memory.
pub(super) fn raw_bytes(
    l: &mut Lower<'_>,
    operand: Operand,
    len: u32,
    space: Space,
    span: Span,
) -> Result<Place, LowerError> {
    match operand {
        Operand::Memory { place, ty } if l.size_of(&ty) >= len => return Ok(place),
        Operand::Remote { space, .. } | Operand::ReadStr { space, .. } => {
            let addr = l.to_scalar(operand, span)?;
            return read_bytes(l, addr, len, space, span);
        }
        Operand::Scalar { value, ty: Type::Pointer { space, .. } } => {
            return read_bytes(l, value, len, space, span);
        }
        Operand::Scalar { value, ty } if register_size(&ty) < len || len > 8 => {
            return read_bytes(l, value, len, space, span);
        }
        _ => {}
    }
    // What is shorter than `len` is continued by zeros.
    let place = l.alloc(len)?;
    l.zero(place, len);
    if let Operand::Scalar { value, .. } = operand {
        let size = Size::from_bytes(len).unwrap_or(Size::B8);
        if size.bytes() == len {
            l.b.store(place.ptr, place.offset, size, value);
        } else {
            let whole = l.alloc_stack(8);
            l.b.store(whole.ptr, whole.offset, Size::B8, value);
            l.copy(place, whole, len);
        }
        return Ok(place);
    }
    let have = l.size_of(&operand.ty());
    let from = l.materialise(operand)?;
    l.copy(place, from, have.min(len));
    Ok(place)
}

/// `len` bytes at an address.
pub(super) fn read_bytes(
    l: &mut Lower<'_>,
    addr: Value,
    len: u32,
    space: Space,
    span: Span,
) -> Result<Place, LowerError> {
    let place = l.alloc(len)?;
    l.probe_read(place, len, addr, space, span);
    Ok(place)
}

/// The smaller of an unsigned number and a constant, in a form that the verifier takes as a bound.
pub(super) fn at_most(l: &mut Lower<'_>, value: Value, max: u32) -> Result<Value, LowerError> {
    let limit = l.b.iconst(i64::from(max));
    l.choose(Cond::Ult, value, limit, |_| Ok(value), |l| Ok(l.b.iconst(i64::from(max))))
}

/// Number of bytes that a string read took without its NUL, from the helper's result.
pub(super) fn text_length(l: &mut Lower<'_>, ret: Value, capacity: u32) -> Result<Value, LowerError> {
    let zero = l.b.iconst(0);
    let length = l.choose(Cond::Sgt, ret, zero, |l| Ok(l.b.sub_imm(ret, 1)), |l| Ok(l.b.iconst(0)))?;
    at_most(l, length, capacity.saturating_sub(1))
}
