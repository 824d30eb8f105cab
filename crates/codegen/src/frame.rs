//! Where stack slots lie: slots that are never alive together share memory.
//!
//! A slot lives from its first to its last access in the order of the code, and all through every loop that this span
//! touches. So every way from one access to another stays within the span.

use crate::machine::MachineFunc;

/// Places in the frame, as offsets from the frame pointer (negative, multiples of 8).
pub(crate) struct Frame {
    /// Start of each slot; 0 for slots that are never accessed.
    pub(crate) slots: Vec<i32>,
    /// Bytes that the slots take.
    pub(crate) slot_bytes: u32,
}

struct Span {
    slot: usize,
    start: u32,
    end: u32,
}

/// Lays out the slots of a function.
pub(crate) fn lay_out(func: &MachineFunc) -> Frame {
    let mut spans = spans(func);
    spans.sort_by_key(|span| (span.start, span.slot));
    let mut slots = vec![0i32; func.slots.len()];
    let mut slot_bytes = 0u32;
    // (end of life, offset below the frame pointer, bytes), ordered by offset.
    let mut alive: Vec<(u32, u32, u32)> = Vec::new();
    for span in spans {
        alive.retain(|(end, _, _)| *end >= span.start);
        let size = func.slots[span.slot].size.saturating_add(7) & !7;
        let mut offset = 0u32;
        let mut at = 0;
        for (i, (_, other, bytes)) in alive.iter().enumerate() {
            if offset.saturating_add(size) <= *other {
                break;
            }
            offset = offset.max(other.saturating_add(*bytes));
            at = i + 1;
        }
        alive.insert(at, (span.end, offset, size));
        let bottom = offset.saturating_add(size);
        slot_bytes = slot_bytes.max(bottom);
        slots[span.slot] = i32::try_from(bottom).map_or(i32::MIN, |bottom| -bottom);
    }
    Frame { slots, slot_bytes }
}

fn spans(func: &MachineFunc) -> Vec<Span> {
    let mut ends: Vec<Option<(u32, u32)>> = vec![None; func.slots.len()];
    for (at, inst) in func.insts.iter().enumerate() {
        for slot in inst.op.slots() {
            if let Some(span) = ends.get_mut(slot.0 as usize) {
                let (start, _) = span.unwrap_or((at as u32, 0));
                *span = Some((start, at as u32));
            }
        }
    }
    for (span, slot) in ends.iter_mut().zip(&func.slots) {
        if let (Some(span), true) = (span, slot.escapes) {
            *span = (0, func.insts.len() as u32);
        }
    }
    let loops = loops(func);
    let mut changed = !loops.is_empty();
    while changed {
        changed = false;
        for (start, end) in ends.iter_mut().flatten() {
            for (head, back) in &loops {
                let touches = *start <= *back && *head <= *end;
                // A span within one iteration must still cover the loop: the slot may carry a value to the next.
                if touches && (*start > *head || *end < *back) {
                    (*start, *end) = ((*start).min(*head), (*end).max(*back));
                    changed = true;
                }
            }
        }
    }
    ends.iter()
        .enumerate()
        .filter_map(|(slot, span)| span.map(|(start, end)| Span { slot, start, end }))
        .collect()
}

/// Spans of instructions from the target of a backward jump to the jump.
fn loops(func: &MachineFunc) -> Vec<(u32, u32)> {
    let mut loops = Vec::new();
    for (at, block) in func.blocks.iter().enumerate() {
        for succ in block.succs.iter().map(|succ| succ.index()).filter(|succ| *succ <= at) {
            loops.push((func.blocks[succ].insts.0, block.insts.1));
        }
    }
    loops
}
