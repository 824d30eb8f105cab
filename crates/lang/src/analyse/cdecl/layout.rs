//! Layout of structs and unions as the x86-64 and aarch64 ABIs of Linux have it, bitfields and packing included.

use crate::types::{CTypeId, Member, StructDef};

/// Attributes that change a layout.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attrs {
    /// No padding.
    pub packed: bool,
    /// Least alignment in bytes; 0: none given.
    pub aligned: u32,
}

/// A struct being laid out.
pub struct Layout {
    is_union: bool,
    attrs: Attrs,
    members: Vec<Member>,
    /// Bits used so far.
    bits: u32,
    /// Largest size of a union's members in bits.
    widest: u32,
    align: u32,
}

fn round_up(n: u32, to: u32) -> u32 {
    n.checked_next_multiple_of(to.max(1)).unwrap_or(u32::MAX)
}

impl Layout {
    /// Nothing yet.
    pub fn new(is_union: bool, attrs: Attrs) -> Layout {
        Layout { is_union, attrs, members: Vec::new(), bits: 0, widest: 0, align: 1 }
    }

    /// Adds a member of `size` bytes; `width` is that of a bitfield in bits. False when the type has more bits than a number of 32 bits counts.
    #[must_use]
    pub fn add(
        &mut self,
        name: &str,
        ty: CTypeId,
        size: u32,
        align: u32,
        width: Option<u32>,
        attrs: Attrs,
    ) -> bool {
        let packed = self.attrs.packed || attrs.packed;
        let align = if packed { 1 } else { align.max(1) }.max(attrs.aligned);
        if self.is_union {
            self.bits = 0;
        }
        if let Some(width) = width {
            self.add_bits(name, ty, size, align, width, packed);
        } else {
            let at = round_up(self.bits, align.saturating_mul(8));
            self.align = self.align.max(align);
            self.members.push(Member { name: name.into(), ty, bit_offset: at, bit_size: 0 });
            self.bits = at.saturating_add(size.saturating_mul(8));
        }
        self.widest = self.widest.max(self.bits);
        self.bits < u32::MAX
    }

    fn add_bits(&mut self, name: &str, ty: CTypeId, size: u32, align: u32, width: u32, packed: bool) {
        let unit = size.saturating_mul(8).max(8);
        let width = width.min(unit);
        if width == 0 {
            self.bits = round_up(self.bits, unit);
            return;
        }
        if !packed && self.bits % unit + width > unit {
            self.bits = round_up(self.bits, unit);
        }
        self.align = self.align.max(align);
        if !name.is_empty() {
            self.members.push(Member { name: name.into(), ty, bit_offset: self.bits, bit_size: width });
        }
        self.bits = self.bits.saturating_add(width);
    }

    /// The definition.
    pub fn finish(self, name: &str) -> StructDef {
        let align = self.align.max(self.attrs.aligned);
        let bits = if self.is_union { self.widest } else { self.bits };
        let size = round_up(bits.div_ceil(8), align);
        StructDef { name: name.into(), is_union: self.is_union, size, members: self.members }
    }
}
