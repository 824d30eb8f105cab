//! Records: what programs tell user space, through the ring buffer.

use super::memory::Fill;
use super::{Lower, LowerError, Operand, Place};
use crate::facts::Feature;
use crate::types::{Space, Type};
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::helper_flags;
use fathom_codegen::ir::{Cond, Effect, Size, Value};
use fathom_codegen::layout::Shape;
use fathom_codegen::program::{Action, ActionKind, Counter, RecordField};
use fathom_syntax::span::Span;

/// Strings of more than this many bytes are sent as long as they are, behind the fixed part of the record.
const FIXED_STRING_MAX: u32 = 64;
/// In the length of a string in the tail: it was cut.
const CUT: i64 = 1 << 31;

/// A string that goes to the tail of a record.
struct Tail {
    /// Where its length stands in the fixed part.
    at: u32,
    operand: Operand,
    capacity: u32,
}

impl Lower<'_> {
    /// Sends a record with these values for an action. Records that find the buffer full are counted by clause.
    ///
    /// # Errors
    /// When a value can't be sent.
    pub fn emit_record(
        &mut self,
        kind: ActionKind,
        fields: Vec<Operand>,
        span: Span,
    ) -> Result<(), LowerError> {
        let mut offset = 4u32;
        let (mut fixed, mut tails, mut layout) = (Vec::new(), Vec::new(), Vec::new());
        for operand in fields {
            let ty = operand.ty();
            let (size, align) = (self.size_of(&ty), self.store.align_of(&ty).clamp(1, 8));
            let tail = match &ty {
                Type::Str { capacity } if *capacity > FIXED_STRING_MAX => Some(*capacity),
                _ => None,
            };
            // Unaligned members would have to be stored byte by byte.
            let align = if tail.is_some() { 4 } else { align.max(size.next_power_of_two().min(8)) };
            offset = offset.checked_next_multiple_of(align).unwrap_or(u32::MAX);
            let shape = if tail.is_some() { Shape::TailStr } else { self.shape(&ty) };
            layout.push(RecordField { offset, shape });
            match tail {
                Some(capacity) => {
                    tails.push(Tail { at: offset, operand, capacity });
                    offset = offset.saturating_add(4);
                }
                None => {
                    fixed.push((offset, operand, ty));
                    offset = offset.saturating_add(size);
                }
            }
        }
        let fixed_size = offset.checked_next_multiple_of(8).unwrap_or(u32::MAX);
        let loc = self.loc_of(span);
        let clause = self.probe.clause;
        let action = self.out.add_action(Action { fixed_size, fields: layout, kind, loc, clause });
        if tails.is_empty() {
            self.fixed_record(action, fixed_size, fixed)
        } else {
            self.tail_record(action, fixed_size, fixed, tails)
        }
    }

    fn ring(&self) -> bool {
        self.has(Feature::RingBuffer)
    }

    fn fixed_record(
        &mut self,
        action: u32,
        size: u32,
        fields: Vec<(u32, Operand, Type)>,
    ) -> Result<(), LowerError> {
        if !self.ring() {
            let place = self.alloc(size)?;
            self.zero(place, size);
            self.fill(place, action, fields)?;
            let len = self.b.iconst(i64::from(size));
            self.send(place, len);
            return Ok(());
        }
        let fields = self.prepare(fields)?;
        let ring = self.out.events_map(true);
        let (map, len, flags) = (self.b.map_ref(ring), self.b.iconst(i64::from(size)), self.b.iconst(0));
        let record = self.b.call_ptr(Helper::RINGBUF_RESERVE, &[map, len, flags], Effect::Write);
        let zero = self.b.iconst(0);
        self.if_else(
            Cond::Ne,
            record,
            zero,
            |l| {
                l.fill(Place { ptr: record, offset: 0, align: 8 }, action, fields)?;
                let flags = l.b.iconst(helper_flags::BPF_RB_NO_WAKEUP as i64);
                l.b.call(Helper::RINGBUF_SUBMIT, &[record, flags], Effect::Write);
                Ok(())
            },
            |l| {
                l.count_lost();
                Ok(())
            },
        )
    }

    /// While a record is reserved, nothing may leave the program: whatever could (looking up scratch) is done before.
    fn prepare(
        &mut self,
        fields: Vec<(u32, Operand, Type)>,
    ) -> Result<Vec<(u32, Operand, Type)>, LowerError> {
        fields
            .into_iter()
            .map(|(at, operand, ty)| {
                let operand = match operand {
                    // Reading a pointer that may be null branches; doing it before keeps the reserved part short.
                    Operand::Remote { ty: from, addr, offset, space }
                        if super::shapes::is_register(&from) =>
                    {
                        let span = self.probe.span;
                        Operand::scalar(self.read_scalar(addr, offset, space, &from, span)?, from)
                    }
                    other => other,
                };
                Ok((at, operand, ty))
            })
            .collect()
    }

    fn fill(
        &mut self,
        record: Place,
        action: u32,
        fields: Vec<(u32, Operand, Type)>,
    ) -> Result<(), LowerError> {
        let index = self.b.iconst(i64::from(action));
        self.b.store(record.ptr, record.offset, Size::B4, index);
        for (at, operand, ty) in fields {
            self.store_filled(&operand, record.at(at), &ty, Fill::Loose)?;
        }
        Ok(())
    }

    /// Builds the record in scratch, strings one behind another, and sends what was written.
    fn tail_record(
        &mut self,
        action: u32,
        fixed_size: u32,
        fields: Vec<(u32, Operand, Type)>,
        tails: Vec<Tail>,
    ) -> Result<(), LowerError> {
        // Room for the terminating NUL that the read helpers write, and one more byte to see whether a string was cut.
        let room: u32 = tails.iter().fold(8, |sum, t| sum.saturating_add(t.capacity.saturating_add(1)));
        let record = self.alloc_scratch(fixed_size.saturating_add(room))?;
        self.zero(record, fixed_size.min(128));
        self.fill(record, action, fields)?;
        let mut used = self.b.iconst(0);
        for tail in tails {
            let start = self.address(record.at(fixed_size));
            let to = Place { ptr: self.b.add(start, used), offset: 0, align: 1 };
            let (len, flagged) = self.tail_string(to, tail.operand, tail.capacity)?;
            let at = record.at(tail.at);
            self.b.store(at.ptr, at.offset, Size::B4, flagged);
            used = self.b.add(used, len);
        }
        let len = self.b.add_imm(used, i64::from(fixed_size));
        self.send(record, len);
        Ok(())
    }

    /// Writes a string; gives its length without NUL, and the same with the mark of cut strings.
    fn tail_string(
        &mut self,
        to: Place,
        operand: Operand,
        capacity: u32,
    ) -> Result<(Value, Value), LowerError> {
        let span = self.probe.span;
        let (ret, may_be_cut) = match operand {
            Operand::ReadStr { addr, space, len, span, .. } => {
                (self.probe_read_str(to, capacity.saturating_add(1), len, addr, space, span), len.is_none())
            }
            Operand::Remote { addr, offset, space, .. } => {
                let addr = self.offset_address(addr, offset);
                (self.probe_read_str(to, capacity, None, addr, space, span), false)
            }
            other => {
                let place = self.materialise(other)?;
                let addr = self.address(place);
                (self.probe_read_str(to, capacity, None, addr, Space::Program, span), false)
            }
        };
        // Failed reads are empty. In one unsigned comparison, which the verifier understands as bounds.
        let len = self.b.sub_imm(ret, 1);
        let most = self.b.iconst(i64::from(capacity));
        let bounded = self.choose(Cond::Ule, len, most, |_| Ok(len), |l| Ok(l.b.iconst(0)))?;
        if !may_be_cut {
            return Ok((bounded, bounded));
        }
        // One byte more than fits was read: then there was more.
        let keep = i64::from(capacity.saturating_sub(1));
        let limit = self.b.iconst(keep);
        let flagged = self.b.iconst(keep | CUT);
        let result = self.b.declare_var(fathom_codegen::ir::Ty::Int);
        self.b.def_var(result, bounded);
        let cut = self.choose(
            Cond::Ugt,
            bounded,
            limit,
            |l| {
                l.b.def_var(result, limit);
                Ok(flagged)
            },
            |_| Ok(bounded),
        )?;
        Ok((self.b.use_var(result), cut))
    }

    /// Sends a record that lies in memory.
    fn send(&mut self, record: Place, len: Value) {
        let ring = self.ring();
        let map = self.out.events_map(ring);
        let at = self.address(record);
        let map = self.b.map_ref(map);
        let ret = if ring {
            let flags = self.b.iconst(helper_flags::BPF_RB_NO_WAKEUP as i64);
            self.b.call(Helper::RINGBUF_OUTPUT, &[map, at, len, flags], Effect::Write)
        } else {
            let flags = self.b.iconst(helper_flags::BPF_F_CURRENT_CPU as i64);
            let ctx = self.ctx();
            self.b.call(Helper::PERF_EVENT_OUTPUT, &[ctx, map, flags, at, len], Effect::Write)
        };
        let zero = self.b.iconst(0);
        // The closure can't fail.
        let _ = self.if_then(Cond::Ne, ret, zero, |l| {
            l.count_lost();
            Ok(())
        });
    }

    /// A record was lost.
    fn count_lost(&mut self) {
        let counter = Counter::LostRecords { clause: self.probe.clause };
        let (map, offset) = self.out.counter(&counter);
        let cell = self.b.map_value(map, offset);
        let one = self.b.iconst(1);
        self.b.atomic_add(cell, 0, Size::B8, one);
    }

    /// Sends a small record with one number.
    pub fn report(&mut self, kind: ActionKind, value: Value, span: Span) {
        let loc = self.loc_of(span);
        let action = self.out.number_action(kind, loc, self.probe.clause);
        let place = self.alloc_stack(16);
        let index = self.b.iconst(i64::from(action));
        self.b.store(place.ptr, place.offset, Size::B8, index);
        let second = place.at(8);
        self.b.store(second.ptr, second.offset, Size::B8, value);
        let len = self.b.iconst(16);
        self.send(place, len);
    }

    /// Reports a helper's negative result; without `-k` nothing happens.
    pub fn helper_error(&mut self, helper: Helper, ret: Value, message: &str, span: Span) {
        if !self.options.helper_warnings {
            return;
        }
        let name = fathom_bpf::helpers::HELPERS
            .iter()
            .find(|row| row.helper == helper)
            .map_or_else(String::new, |row| row.name.to_string());
        let zero = self.b.iconst(0);
        let message = message.into();
        // The closure can't fail.
        let _ = self.if_then(Cond::Slt, ret, zero, |l| {
            l.report(ActionKind::HelperError { helper: name, message, only_verbose: true }, ret, span);
            Ok(())
        });
    }

    /// Reports that something went wrong.
    pub fn runtime_error(&mut self, message: &str, span: Span) {
        let zero = self.b.iconst(0);
        self.report(ActionKind::RuntimeError { message: message.into() }, zero, span);
    }
}
