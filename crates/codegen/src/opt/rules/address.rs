//! Rules of memory operations: constant parts of addresses go into the operation.

use super::super::fold::{Defs, Simple};
use super::Rule;
use crate::ir::{BinOp, Op, Size, Value, Width};

/// `(p, c)` where the pointer is `p + c`, and `offset + c` still fits for `len` bytes.
fn split(defs: &Defs<'_>, ptr: Value, offset: i32, len: u32) -> Option<(Value, i32)> {
    let Op::Binary { op: BinOp::Add, width: Width::W64, a, b } = *defs.op(ptr)? else { return None };
    if defs.is_int(a) {
        return None;
    }
    let offset = i64::from(offset).checked_add(defs.number(b)?)?;
    let end = offset.checked_add(i64::from(len))?;
    let fits = i16::try_from(offset).is_ok() && end <= i64::from(i16::MAX) + 1;
    // Where the slot ends is only known of the whole address.
    let is_slot = matches!(defs.op(a), Some(Op::SlotAddr { .. }));
    (fits && !is_slot).then_some((a, offset as i32))
}

/// The operation with one of its places split.
fn moved(defs: &Defs<'_>, op: &Op) -> Option<Op> {
    let mut new = op.clone();
    let (ptr, offset, len) = match &mut new {
        Op::Load { ptr, offset, size, .. }
        | Op::Store { ptr, offset, size, .. }
        | Op::Atomic { ptr, offset, size, .. }
        | Op::CompareExchange { ptr, offset, size, .. } => (ptr, offset, size.bytes()),
        Op::MemZero { dst, offset, len, .. } => (dst, offset, *len),
        Op::MemCopy { dst, dst_offset, len, .. } => (dst, dst_offset, *len),
        _ => return None,
    };
    (*ptr, *offset) = split(defs, *ptr, *offset, len)?;
    Some(new)
}

/// Rules of memory operations, tried in order.
pub(in crate::opt) const ADDRESS: &[Rule] = &[
    Rule {
        equation: "*(p + c + d) has the address p and the offset c + d",
        example: ("v3 = const 8; v4: ptr = add v0, v3; v9 = load.u4 [v4 + 16]", "v9 = load.u4 [v0 + 24]"),
        run: |defs, op| moved(defs, op).map(Simple::Op),
    },
    Rule {
        equation: "copy from p + c + d has the address p and the offset c + d",
        example: (
            "v3: ptr = slot s0; v4 = const 8; v5: ptr = add v0, v4; copy [v3], [v5 + 16], 8, align 8",
            "v3: ptr = slot s0; copy [v3], [v0 + 24], 8, align 8",
        ),
        run: |defs, op| {
            let mut new = op.clone();
            let Op::MemCopy { src, src_offset, len, .. } = &mut new else { return None };
            (*src, *src_offset) = split(defs, *src, *src_offset, *len)?;
            Some(Simple::Op(new))
        },
    },
    Rule {
        equation: "what a narrow store cuts off need not be cut before",
        example: ("v3 = extend.u2 v1; store.1 [v0], v3", "store.1 [v0], v1"),
        run: |defs, op| {
            let Op::Store { ptr, offset, size, value } = *op else { return None };
            let Op::Extend { size: inner, a, .. } = *defs.op(value)? else { return None };
            let cuts = size.bytes() <= inner.bytes() && size != Size::B8;
            cuts.then_some(Simple::Op(Op::Store { ptr, offset, size, value: a }))
        },
    },
];
