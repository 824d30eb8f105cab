//! Stack slots: a load takes the value of the store before it in the same block; slots that are only written go.
//!
//! Slots whose address is used other than as the place of an access are left alone by the second part, and forgotten at
//! every call and store by the first.

use super::replace::Replacements;
use crate::compile::CodegenOptions;
use crate::ir::flow::Flow;
use crate::ir::{Block, Func, Inst, Op, Size, Slot, Ty, Value};
use std::collections::HashMap;

/// Runs the pass.
pub(crate) fn run(func: &mut Func, _options: &CodegenOptions) {
    if func.slots.is_empty() {
        return;
    }
    let flow = Flow::of(func);
    let slots = Slots::of(func, &flow);
    forward(func, &flow, &slots);
    drop_written_only(func, &flow, &slots);
}

struct Slots {
    /// Slot and offset of values that are addresses of slots.
    address: HashMap<Value, (Slot, i32)>,
    /// The address goes where accesses cannot be seen.
    escapes: Vec<bool>,
    /// Something reads it.
    is_read: Vec<bool>,
}

impl Slots {
    fn of(func: &Func, flow: &Flow) -> Slots {
        let mut address = HashMap::new();
        for inst in flow.order.iter().flat_map(|block| &func.block(*block).insts) {
            if let (Op::SlotAddr { slot, offset }, Some(result)) = (&inst.op, inst.result) {
                address.insert(result, (*slot, *offset));
            }
        }
        let count = func.slots.len();
        let mut slots = Slots { address, escapes: vec![false; count], is_read: vec![false; count] };
        for block in flow.order.iter().map(|block| func.block(*block)) {
            for inst in &block.insts {
                slots.note(&inst.op);
            }
            block
                .terminator
                .iter()
                .for_each(|terminator| terminator.for_each_operand(|value| slots.escape(value)));
        }
        slots
    }

    fn note(&mut self, op: &Op) {
        match op {
            Op::Load { ptr, .. } => self.read(*ptr),
            Op::Store { value, .. } => self.escape(*value),
            Op::MemZero { .. } => {}
            Op::MemCopy { src, .. } => self.read(*src),
            other => other.for_each_operand(|value| self.escape(value)),
        }
    }

    fn read(&mut self, value: Value) {
        if let Some((slot, _)) = self.address.get(&value) {
            self.is_read[slot.0 as usize] = true;
        }
    }

    fn escape(&mut self, value: Value) {
        if let Some((slot, _)) = self.address.get(&value) {
            self.escapes[slot.0 as usize] = true;
        }
    }

    fn place(&self, ptr: Value, offset: i32) -> Option<(Slot, i32)> {
        self.address.get(&ptr).map(|(slot, start)| (*slot, start.saturating_add(offset)))
    }
}

/// A store that may be taken from: where, how much, what.
struct Stored {
    slot: Slot,
    offset: i32,
    size: Size,
    value: Value,
}

impl Stored {
    fn overlaps(&self, slot: Slot, offset: i32, len: u32) -> bool {
        let (start, end) = (i64::from(self.offset), i64::from(self.offset) + i64::from(self.size.bytes()));
        let (other, other_end) = (i64::from(offset), i64::from(offset) + i64::from(len));
        self.slot == slot && start < other_end && other < end
    }
}

/// Most stores remembered at a time, so that long blocks stay cheap.
const STORES_MAX: usize = 64;

fn forward(func: &mut Func, flow: &Flow, slots: &Slots) {
    let mut replaced = Replacements::of(func);
    for block in &flow.order {
        forward_block(func, *block, slots, &mut replaced);
    }
    replaced.apply(func);
}

fn forward_block(func: &mut Func, block: Block, slots: &Slots, replaced: &mut Replacements) {
    let mut stored: Vec<Stored> = Vec::new();
    let insts = std::mem::take(&mut func.blocks[block.0 as usize].insts);
    let mut kept: Vec<Inst> = Vec::with_capacity(insts.len());
    for mut inst in insts {
        match (&inst.op, inst.result) {
            (&Op::Load { ptr, offset, size, signed, ty, .. }, Some(result)) => {
                if let Some(value) = known(&stored, slots.place(ptr, offset), size) {
                    let value = replaced.get(value);
                    if size == Size::B8 {
                        replaced.replace(result, value);
                        continue;
                    }
                    if ty == Ty::Int && func.ty(value) == Ty::Int {
                        inst.op = Op::Extend { size, signed, a: value };
                    }
                }
            }
            (&Op::Store { ptr, offset, size, value }, _) => {
                overwrite(&mut stored, slots, slots.place(ptr, offset), size.bytes());
                if let Some((slot, offset)) = slots.place(ptr, offset) {
                    if stored.len() == STORES_MAX {
                        stored.remove(0);
                    }
                    stored.push(Stored { slot, offset, size, value });
                }
            }
            (Op::MemZero { dst, offset, len, .. }, _) => {
                overwrite(&mut stored, slots, slots.place(*dst, *offset), *len);
            }
            (Op::MemCopy { dst, dst_offset, len, .. }, _) => {
                overwrite(&mut stored, slots, slots.place(*dst, *dst_offset), *len);
            }
            (op, _) if op.writes_memory() => overwrite(&mut stored, slots, None, 0),
            _ => {}
        }
        kept.push(inst);
    }
    func.blocks[block.0 as usize].insts = kept;
}

/// The value stored to exactly this place.
fn known(stored: &[Stored], place: Option<(Slot, i32)>, size: Size) -> Option<Value> {
    let (slot, offset) = place?;
    let last = stored.iter().rev().find(|stored| stored.overlaps(slot, offset, size.bytes()))?;
    (last.offset == offset && last.size == size).then_some(last.value)
}

/// Forgets what a write may change; an unknown place may be in any slot whose address is known elsewhere.
fn overwrite(stored: &mut Vec<Stored>, slots: &Slots, place: Option<(Slot, i32)>, len: u32) {
    match place {
        Some((slot, offset)) => stored.retain(|stored| !stored.overlaps(slot, offset, len)),
        None => stored.retain(|stored| !slots.escapes[stored.slot.0 as usize]),
    }
}

fn drop_written_only(func: &mut Func, flow: &Flow, slots: &Slots) {
    // Forwarding may have taken the last load.
    let mut is_read = vec![false; func.slots.len()];
    let mut fresh =
        Slots { address: HashMap::new(), escapes: vec![false; func.slots.len()], is_read: Vec::new() };
    std::mem::swap(&mut fresh.is_read, &mut is_read);
    fresh.address.clone_from(&slots.address);
    for inst in flow.order.iter().flat_map(|block| &func.block(*block).insts) {
        fresh.note(&inst.op);
    }
    let is_idle = |value: &Value| {
        fresh.address.get(value).is_some_and(|(slot, _)| {
            let slot = slot.0 as usize;
            !fresh.is_read[slot] && !slots.escapes[slot] && !fresh.escapes[slot]
        })
    };
    for block in &flow.order {
        func.blocks[block.0 as usize].insts.retain(|inst| match &inst.op {
            Op::Store { ptr, .. } => !is_idle(ptr),
            Op::MemZero { dst, .. } | Op::MemCopy { dst, .. } => !is_idle(dst),
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opt::check;

    #[test]
    fn loads_take_what_was_stored() {
        check(
            run,
            r#"func "f" {
  s0: 8
  s1: 8
b0(v0: ptr, v1):
  v2: ptr = slot s0
  v3: ptr = slot s1
  store.8 [v2], v1
  store.4 [v3], v1
  v4 = call.write 9(v3)
  v5 = load.u8 [v2]
  v6 = load.u4 [v3]
  store.2 [v3], v6
  v7 = load.s2 [v3]
  v8 = load.u4 [v3]
  v9 = call_local 1(v5, v7, v8)
  return v9
}"#,
            r#"func "f" {
  s0: 8
  s1: 8
b0(v0: ptr, v1):
  v2: ptr = slot s0
  v3: ptr = slot s1
  store.4 [v3], v1
  v4 = call.write 9(v3)
  v6 = load.u4 [v3]
  store.2 [v3], v6
  v7 = extend.s2 v6
  v8 = load.u4 [v3]
  v9 = call_local 1(v1, v7, v8)
  return v9
}"#,
        );
    }
}
