//! Memory: copies and zeroes within the program, reads of kernel and user memory, values into places.

use super::maps::record_position;
use super::shapes::{is_register, register_size};
use super::{Lower, LowerError, Operand, Place};
use crate::types::{Space, Type};
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Cond, Effect, Size, Ty, Value};
use fathom_syntax::span::Span;

/// Above this many bytes a helper call is shorter and faster than unrolled stores.
const UNROLL_BYTES: u32 = 128;

/// Whether a value in memory is made so that equal values have equal bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fill {
    /// Bytes behind the NUL of strings are zero: keys, map values, tuples.
    Clean,
    /// They may be anything.
    Loose,
}

/// Within the program's memory.
impl Lower<'_> {
    /// Zeroes `len` bytes.
    pub fn zero(&mut self, at: Place, len: u32) {
        if len == 0 {
        } else if len <= UNROLL_BYTES {
            self.b.mem_zero(at.ptr, at.offset, len, at.align);
        } else {
            // A read of address 0 always fails, and the helper zeroes the destination when it fails.
            let dst = self.address(at);
            let size = self.b.iconst(i64::from(len));
            let null = self.b.iconst(0);
            self.b.call(Helper::PROBE_READ_KERNEL, &[dst, size, null], Effect::Write);
        }
    }

    /// Copies `len` bytes between places that do not overlap.
    pub fn copy(&mut self, dst: Place, src: Place, len: u32) {
        if len == 0 {
        } else if len <= UNROLL_BYTES {
            let align = dst.align.min(src.align);
            self.b.mem_copy(dst.ptr, dst.offset, src.ptr, src.offset, len, align);
        } else {
            let (to, from) = (self.address(dst), self.address(src));
            let size = self.b.iconst(i64::from(len));
            self.b.call(Helper::PROBE_READ_KERNEL, &[to, size, from], Effect::Write);
        }
    }

    /// The address of a place as one value.
    pub fn address(&mut self, at: Place) -> Value {
        if at.offset == 0 {
            at.ptr
        } else {
            self.b.add_imm(at.ptr, i64::from(at.offset))
        }
    }

    /// Stores a register of a language type with the type's size.
    pub fn scalar_store(&mut self, at: Place, ty: &Type, value: Value) {
        let size = Size::from_bytes(register_size(ty)).unwrap_or(Size::B8);
        self.store_bytes(at, size, value);
    }

    /// Loads a register of a language type, extended by its signedness.
    pub fn scalar_load(&mut self, at: Place, ty: &Type) -> Value {
        let size = register_size(ty);
        let signed = is_signed(ty);
        if u32::from(at.align) >= size {
            let size = Size::from_bytes(size).unwrap_or(Size::B8);
            return self.b.load(at.ptr, at.offset, size, signed);
        }
        // The verifier wants aligned accesses of the stack.
        let mut result = self.b.iconst(0);
        let step = u32::from(at.align.max(1));
        for i in 0..size / step {
            let part = Size::from_bytes(step).unwrap_or(Size::B1);
            let piece = self.b.load(at.ptr, at.at(i * step).offset, part, false);
            let piece = self.b.shl_imm(piece, i64::from(i * step * 8));
            result = self.b.or(result, piece);
        }
        match Size::from_bytes(size) {
            Some(size) if size != Size::B8 => self.b.extend(size, signed, result),
            _ => result,
        }
    }

    fn store_bytes(&mut self, at: Place, size: Size, value: Value) {
        if u32::from(at.align) >= size.bytes() {
            self.b.store(at.ptr, at.offset, size, value);
            return;
        }
        let step = u32::from(at.align.max(1));
        for i in 0..size.bytes() / step {
            let part = Size::from_bytes(step).unwrap_or(Size::B1);
            let piece = self.b.lshr_imm(value, i64::from(i * step * 8));
            self.b.store(at.ptr, at.at(i * step).offset, part, piece);
        }
    }

    /// Stores constant bytes, padded with zeros to `len`.
    pub(super) fn store_constant(&mut self, at: Place, bytes: &[u8], len: u32) {
        if len > UNROLL_BYTES {
            let map = self.out.constant_bytes(bytes, len);
            let src = self.b.map_value(map, 0);
            self.copy(at, Place { ptr: src, offset: 0, align: 8 }, len);
            return;
        }
        let mut i = 0;
        while i < len {
            let here = at.at(i);
            let mut step = u32::from(here.align);
            while step > len - i {
                step /= 2;
            }
            let step = step.max(1);
            let mut word = [0u8; 8];
            for (k, b) in word.iter_mut().enumerate().take(step as usize) {
                *b = bytes.get(i as usize + k).copied().unwrap_or(0);
            }
            let value = self.b.iconst(i64::from_le_bytes(word));
            let size = Size::from_bytes(step).unwrap_or(Size::B1);
            self.b.store(here.ptr, here.offset, size, value);
            i += step;
        }
    }
}

/// Kernel and user memory.
impl Lower<'_> {
    /// Reads `size` bytes at an address; gives the helper's result (0 or negative). What can't be read is zero.
    pub fn probe_read(&mut self, dst: Place, size: u32, addr: Value, space: Space, span: Span) -> Value {
        let helper = match space {
            Space::User => Helper::PROBE_READ_USER,
            Space::Kernel | Space::Program => Helper::PROBE_READ_KERNEL,
        };
        let to = self.address(dst);
        let len = self.b.iconst(i64::from(size));
        let ret = self.b.call(helper, &[to, len, addr], Effect::Write);
        self.helper_error(helper, ret, "", span);
        ret
    }

    /// Reads a string of at most `capacity` bytes with its NUL (or `len`, a run-time value that is at most `capacity`) at an address; gives the
    /// helper's result: bytes with the NUL, or negative. What can't be read is empty.
    pub fn probe_read_str(
        &mut self,
        dst: Place,
        capacity: u32,
        len: Option<Value>,
        addr: Value,
        space: Space,
        span: Span,
    ) -> Value {
        let helper = match space {
            Space::User => Helper::PROBE_READ_USER_STR,
            Space::Kernel | Space::Program => Helper::PROBE_READ_KERNEL_STR,
        };
        let to = self.address(dst);
        let size = match len {
            Some(len) => len,
            None => self.b.iconst(i64::from(capacity)),
        };
        let ret = self.b.call(helper, &[to, size, addr], Effect::Write);
        self.helper_error(helper, ret, "", span);
        ret
    }

    /// Reads a register of a language type from memory at `addr + offset`.
    ///
    /// # Errors
    /// None today.
    pub fn read_scalar(
        &mut self,
        addr: Value,
        offset: i64,
        space: Space,
        ty: &Type,
        span: Span,
    ) -> Result<Value, LowerError> {
        let size = register_size(ty);
        if self.b.ty(addr) == Ty::Ptr {
            if let (Ok(offset), true) = (i16::try_from(offset), offset % i64::from(size) == 0) {
                return self.direct_load(addr, i32::from(offset), space, ty);
            }
        }
        let addr = self.offset_address(addr, offset);
        let temp = self.alloc_stack(8);
        self.probe_read(temp, size, addr, space, span);
        Ok(self.scalar_load(temp, ty))
    }

    /// Loads through a pointer that the verifier knows. BTF objects may be null, which reads as 0.
    fn direct_load(
        &mut self,
        addr: Value,
        offset: i32,
        space: Space,
        ty: &Type,
    ) -> Result<Value, LowerError> {
        let size = Size::from_bytes(register_size(ty)).unwrap_or(Size::B8);
        let signed = is_signed(ty);
        if addr == self.ctx() {
            return Ok(match self.is_object_pointer(ty) {
                true => self.b.load_ptr_invariant(addr, offset),
                false => self.b.load_invariant(addr, offset, size, signed),
            });
        }
        if space == Space::Program {
            return Ok(self.b.load(addr, offset, size, signed));
        }
        let object = self.is_object_pointer(ty);
        let zero = self.b.iconst(0);
        let kind = if object { Ty::Ptr } else { Ty::Int };
        self.choose_as(
            kind,
            Cond::Ne,
            addr,
            zero,
            |l| Ok(if object { l.b.load_ptr(addr, offset) } else { l.b.load(addr, offset, size, signed) }),
            |l| Ok(l.b.iconst(0)),
        )
    }

    /// Whether the kernel's verifier knows a member of this type, read from a BTF object, as a pointer to a BTF object.
    pub(super) fn is_object_pointer(&self, ty: &Type) -> bool {
        match ty {
            Type::Pointer { to, space: Space::Kernel } => matches!(&**to, Type::Struct { .. }),
            _ => false,
        }
    }

    /// `addr + offset`, as a plain number.
    pub(super) fn offset_address(&mut self, addr: Value, offset: i64) -> Value {
        if offset == 0 {
            return addr;
        }
        // The verifier refuses to add to a pointer to an object that may be null, and to add 29 bits and more.
        let keep = addr == self.ctx() && offset.unsigned_abs() < 1 << 28;
        let addr = if keep { addr } else { self.number(addr) };
        self.b.add_imm(addr, offset)
    }

    /// A pointer that the verifier knows, turned into a plain number; other values stay as they are. The verifier forgets what a register
    /// points to when its bytes are swapped.
    pub fn number(&mut self, value: Value) -> Value {
        if self.b.ty(value) != Ty::Ptr {
            return value;
        }
        let swapped = self.b.bswap(Size::B8, value);
        self.b.bswap(Size::B8, swapped)
    }

    /// Reads a bitfield member: `bit_offset` from the address, `bits` wide.
    pub(super) fn read_bits(
        &mut self,
        addr: Value,
        space: Space,
        bit_offset: u64,
        bits: u32,
        ty: &Type,
        span: Span,
    ) -> Result<Value, LowerError> {
        let unit = u64::from(register_size(ty)) * 8;
        let direct = self.b.ty(addr) == Ty::Ptr && bit_offset % unit + u64::from(bits) <= unit;
        if direct {
            let whole = Type::Int { size: register_size(ty) as u8, signed: false };
            let at = (bit_offset / unit * unit / 8) as i64;
            let word = self.read_scalar(addr, at, space, &whole, span)?;
            return Ok(self.extract_bits(word, bit_offset % unit, bits, is_signed(ty)));
        }
        let temp = self.alloc_stack(16);
        self.zero(temp, 16);
        let bytes = (bit_offset % 8 + u64::from(bits)).div_ceil(8) as u32;
        let addr = self.offset_address(addr, (bit_offset / 8) as i64);
        self.probe_read(temp, bytes.min(16), addr, space, span);
        let word = self.b.load(temp.ptr, temp.offset, Size::B8, false);
        Ok(self.extract_bits(word, bit_offset % 8, bits, is_signed(ty)))
    }

    /// Bits of a word, extended.
    pub(super) fn extract_bits(&mut self, word: Value, from: u64, bits: u32, signed: bool) -> Value {
        let up = 64i64.saturating_sub(from as i64).saturating_sub(i64::from(bits)).clamp(0, 63);
        let down = (64 - i64::from(bits)).clamp(0, 63);
        let word = self.b.shl_imm(word, up);
        if signed {
            self.b.ashr_imm(word, down)
        } else {
            self.b.lshr_imm(word, down)
        }
    }
}

/// Operands.
impl Lower<'_> {
    /// The operand as one register.
    ///
    /// # Errors
    /// When its type does not fit one.
    pub fn to_scalar(&mut self, operand: Operand, span: Span) -> Result<Value, LowerError> {
        match operand {
            Operand::Scalar { value, .. } => Ok(value),
            Operand::Memory { place, ty } if is_register(&ty) => Ok(self.scalar_load(place, &ty)),
            Operand::Remote { addr, offset, space, ty } if is_register(&ty) => {
                self.read_scalar(addr, offset, space, &ty, span)
            }
            Operand::Remote { addr, offset, .. } => Ok(self.offset_address(addr, offset)),
            Operand::Memory { place, .. } => Ok(self.address(place)),
            Operand::Void => Ok(self.b.iconst(0)),
            Operand::ReadStr { addr, .. } => Ok(addr),
            Operand::Literal { .. } | Operand::Comm => {
                Err(LowerError::new(span, "A number is needed here, not a string"))
            }
        }
    }

    /// The operand as bytes in program memory, in the layout of its type.
    ///
    /// # Errors
    /// When it has no value.
    pub fn materialise(&mut self, operand: Operand) -> Result<Place, LowerError> {
        match operand {
            Operand::Memory { place, .. } => Ok(place),
            Operand::Comm => Ok(self.comm_place()),
            other => {
                let ty = other.ty();
                let place = self.alloc(self.size_of(&ty))?;
                self.store_filled(&other, place, &ty, Fill::Loose)?;
                Ok(place)
            }
        }
    }

    /// Writes a value to a place in the layout of type `ty`, so that equal values have equal bytes.
    ///
    /// # Errors
    /// When the value can't be of that type.
    pub fn store(&mut self, operand: &Operand, dst: Place, ty: &Type) -> Result<(), LowerError> {
        self.store_filled(operand, dst, ty, Fill::Clean)
    }

    /// Writes a value to a place in the layout of type `ty`.
    pub(super) fn store_filled(
        &mut self,
        operand: &Operand,
        dst: Place,
        ty: &Type,
        fill: Fill,
    ) -> Result<(), LowerError> {
        let size = self.size_of(ty);
        match operand {
            Operand::Void => self.zero(dst, size),
            Operand::Scalar { value, .. } if is_register(ty) => self.scalar_store(dst, ty, *value),
            Operand::Scalar { value, ty: from } => {
                // A cast of an integer to an array of the same size; a literal fills what the array takes.
                self.zero(dst, size);
                let bytes = if matches!(size, 1 | 2 | 4 | 8) { size } else { register_size(from).min(size) };
                let store = Size::from_bytes(bytes).unwrap_or(Size::B1);
                self.store_bytes(dst, store, *value);
            }
            Operand::Literal { bytes, .. } => {
                let keep = bytes.len().min(size.saturating_sub(1) as usize);
                let kept =
                    if matches!(ty, Type::Str { .. }) { bytes.get(..keep).unwrap_or(bytes) } else { bytes };
                let len = match (fill, ty) {
                    (Fill::Loose, Type::Str { .. }) => size.min(kept.len() as u32 + 1),
                    _ => size,
                };
                let kept = kept.to_vec();
                self.store_constant(dst, &kept, len);
            }
            Operand::Comm => self.store_comm(dst, ty)?,
            Operand::ReadStr { addr, space, len, capacity, span } => {
                if fill == Fill::Clean {
                    self.zero(dst, size);
                }
                let len = if *capacity <= size { *len } else { None };
                self.probe_read_str(dst, (*capacity).min(size), len, *addr, *space, *span);
            }
            Operand::Remote { addr, offset, space, ty: from } => {
                self.store_remote((*addr, *offset, *space), from, dst, ty, fill)?;
            }
            Operand::Memory { place, ty: from } => self.store_memory(*place, from, dst, ty, fill)?,
        }
        Ok(())
    }

    fn store_comm(&mut self, dst: Place, ty: &Type) -> Result<(), LowerError> {
        let size = self.size_of(ty);
        match self.known_comm() {
            None if size >= super::COMM_LEN => {
                let to = self.address(dst);
                let len = self.b.iconst(i64::from(super::COMM_LEN));
                self.b.call(Helper::GET_CURRENT_COMM, &[to, len], Effect::Write);
            }
            _ => {
                let src = self.comm_place();
                self.copy(dst, src, size.min(super::COMM_LEN));
            }
        }
        self.zero(dst.at(super::COMM_LEN), size.saturating_sub(super::COMM_LEN));
        if size < super::COMM_LEN && size > 0 {
            let zero = self.b.iconst(0);
            let last = dst.at(size - 1);
            self.b.store(last.ptr, last.offset, Size::B1, zero);
        }
        Ok(())
    }

    fn store_remote(
        &mut self,
        (addr, offset, space): (Value, i64, Space),
        from: &Type,
        dst: Place,
        ty: &Type,
        fill: Fill,
    ) -> Result<(), LowerError> {
        let span = self.probe.span;
        if is_register(from) {
            let value = self.read_scalar(addr, offset, space, from, span)?;
            self.scalar_store(dst, ty, value);
            return Ok(());
        }
        let (size, have) = (self.size_of(ty), self.size_of(from));
        if fill == Fill::Clean && (matches!(ty, Type::Str { .. }) || have < size) {
            self.zero(dst, size);
        }
        if space == Space::Program && self.b.ty(addr) == Ty::Ptr {
            let base = self.b.add_imm(addr, offset);
            self.copy(dst, Place { ptr: base, offset: 0, align: 1 }, size.min(have));
            return Ok(());
        }
        let addr = self.offset_address(addr, offset);
        match ty {
            Type::Str { .. } => {
                self.probe_read_str(dst, size.min(have), None, addr, space, span);
            }
            _ => {
                self.probe_read(dst, size.min(have), addr, space, span);
            }
        }
        Ok(())
    }

    fn store_memory(
        &mut self,
        src: Place,
        from: &Type,
        dst: Place,
        ty: &Type,
        fill: Fill,
    ) -> Result<(), LowerError> {
        let span = self.probe.span;
        if is_register(from) && is_register(ty) {
            let value = self.scalar_load(src, from);
            self.scalar_store(dst, ty, value);
            return Ok(());
        }
        match (from, ty) {
            (Type::Str { capacity: have }, Type::Str { capacity: want }) => {
                let len = (*have).min(*want);
                if fill == Fill::Clean {
                    self.zero(dst, *want);
                }
                let addr = self.address(src);
                self.probe_read_str(dst, len, None, addr, Space::Program, span);
            }
            (Type::Tuple(_) | Type::Record(_), Type::Tuple(_) | Type::Record(_)) if from != ty => {
                let (old, _) = self.tuple_layout(from);
                let (new, size) = self.tuple_layout(ty);
                self.zero(dst, size);
                for (i, (old_ty, old_at)) in old.iter().enumerate() {
                    // Members of records belong together by name.
                    let name = match from {
                        Type::Record(members) => members.get(i).map(|m| &*m.0),
                        _ => None,
                    };
                    let Some((new_ty, new_at)) = new.get(record_position(ty, name).unwrap_or(i)) else {
                        continue;
                    };
                    self.store_memory(src.at(*old_at), old_ty, dst.at(*new_at), new_ty, fill)?;
                }
            }
            _ => {
                let (have, want) = (self.size_of(from), self.size_of(ty));
                self.copy(dst, src, have.min(want));
                if want > have {
                    self.zero(dst.at(have), want - have);
                }
            }
        }
        Ok(())
    }
}

/// Whether a register of this type is sign-extended.
pub(super) fn is_signed(ty: &Type) -> bool {
    match ty {
        Type::Int { signed, .. } => *signed,
        Type::Enum(e) => e.signed,
        Type::ErrorName | Type::SignalName | Type::SyscallName => true,
        _ => false,
    }
}
