//! `kstack` and `ustack`: the frames go once into the stacks map under a hash of them, which is the value.

use super::{Lower, LowerError, Operand, Place};
use crate::types::Type;
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::helper_flags;
use fathom_codegen::ir::{Cond, Effect, Size, Ty, Value, Width};
use fathom_codegen::layout::StackMode;
use fathom_codegen::program::ActionKind;
use fathom_syntax::span::Span;

/// Odd constant of the hash: 2^64 divided by the golden ratio.
const HASH_FACTOR: i64 = 0x9e37_79b9_7f4a_7c15_u64 as i64;

impl Lower<'_> {
    /// The current kernel stack as a value of type `ty` ([`Type::KernelStack`]) or user stack ([`Type::UserStack`]).
    ///
    /// # Errors
    /// When `ty` is no stack.
    pub fn stack_value(&mut self, ty: &Type, span: Span) -> Result<Operand, LowerError> {
        match ty {
            Type::KernelStack { limit, .. } => {
                let id = self.stack_id(*limit, 0, 8, span)?;
                Ok(Operand::scalar(id, ty.clone()))
            }
            Type::UserStack { mode, limit } => {
                let build_id = *mode == StackMode::BuildId;
                let flags = if build_id {
                    helper_flags::BPF_F_USER_STACK | helper_flags::BPF_F_USER_BUILD_ID
                } else {
                    helper_flags::BPF_F_USER_STACK
                };
                let id = self.stack_id(*limit, flags, if build_id { 32 } else { 8 }, span)?;
                let pid = self.once_call(Helper::GET_CURRENT_PID_TGID);
                let pid = self.b.lshr_imm(pid, 32);
                let place = self.alloc_stack(16);
                self.b.store(place.ptr, place.offset, Size::B8, id);
                let second = place.at(8);
                self.b.store(second.ptr, second.offset, Size::B8, pid);
                Ok(Operand::memory(place, ty.clone()))
            }
            _ => Err(LowerError::new(span, "A stack is needed here")),
        }
    }

    /// Takes the stack, stores it if it is new, and gives its id: never 0, which stands for no stack.
    fn stack_id(&mut self, limit: u32, flags: u64, entry: u32, span: Span) -> Result<Value, LowerError> {
        let limit = limit.max(1);
        let map = self.out.stacks_map(limit, entry == 32);
        let buffer = self.alloc_scratch(limit.saturating_mul(entry).saturating_add(8))?;
        let frames = buffer.at(8);
        let to = self.address(frames);
        let ctx = self.ctx();
        let (size, flags) = (self.b.iconst(i64::from(limit) * i64::from(entry)), self.b.iconst(flags as i64));
        let ret = self.b.call(Helper::GET_STACK, &[ctx, to, size, flags], Effect::Write);
        let zero = self.b.iconst(0);
        self.choose(
            Cond::Sle,
            ret,
            zero,
            |l| {
                l.helper_error(Helper::GET_STACK, ret, "", span);
                Ok(l.b.iconst(0))
            },
            |l| {
                let count = l.b.udiv_imm(ret, i64::from(entry));
                l.b.store(buffer.ptr, buffer.offset, Size::B8, count);
                let words = l.b.lshr_imm(ret, 3);
                let hash = l.hash_words(frames, words, limit.saturating_mul(entry / 8))?;
                l.keep_stack(map, hash, buffer, span)
            },
        )
    }

    /// A hash of the first `count` (a run-time value, at most `most`) words at a place; never 0.
    fn hash_words(&mut self, words: Place, count: Value, most: u32) -> Result<Value, LowerError> {
        let (hash, counter) = (self.b.declare_var(Ty::Int), self.b.declare_var(Ty::Int));
        let (seed, zero) = (self.b.iconst(HASH_FACTOR), self.b.iconst(0));
        self.b.def_var(hash, seed);
        self.b.def_var(counter, zero);
        let base = self.address(words);
        let (head, bounded, inside, behind) =
            (self.b.new_block(), self.b.new_block(), self.b.new_block(), self.b.new_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        let i = self.b.use_var(counter);
        let most = self.b.iconst(i64::from(most));
        self.b.branch(Cond::Ult, Width::W64, i, most, (bounded, &[]), (behind, &[]));
        self.b.seal(bounded);
        self.b.switch_to(bounded);
        self.b.branch(Cond::Ult, Width::W64, i, count, (inside, &[]), (behind, &[]));
        self.b.seal(inside);
        self.b.switch_to(inside);
        let at = self.b.shl_imm(i, 3);
        let cell = self.b.add(base, at);
        let word = self.b.load(cell, 0, Size::B8, false);
        let so_far = self.b.use_var(hash);
        let mixed = self.b.xor(so_far, word);
        let mixed = self.b.mul_imm(mixed, HASH_FACTOR);
        let high = self.b.lshr_imm(mixed, 29);
        let mixed = self.b.xor(mixed, high);
        self.b.def_var(hash, mixed);
        let next = self.b.add_imm(i, 1);
        self.b.def_var(counter, next);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal(behind);
        self.b.switch_to(behind);
        let hash = self.b.use_var(hash);
        Ok(self.b.or_imm(hash, 1))
    }

    /// Stores a stack under its id unless it is there; gives the id, or 0 when there is no room.
    fn keep_stack(
        &mut self,
        map: fathom_codegen::ir::MapId,
        id: Value,
        stack: Place,
        span: Span,
    ) -> Result<Value, LowerError> {
        let key = self.alloc_stack(8);
        self.b.store(key.ptr, key.offset, Size::B8, id);
        let found = self.map_lookup(map, key);
        let zero = self.b.iconst(0);
        self.choose(
            Cond::Ne,
            found,
            zero,
            |_| Ok(id),
            |l| {
                let (k, v) = (l.address(key), l.address(stack));
                let (m, flags) = (l.b.map_ref(map), l.b.iconst(helper_flags::BPF_ANY as i64));
                let ret = l.b.call(Helper::MAP_UPDATE_ELEM, &[m, k, v, flags], Effect::Write);
                let zero = l.b.iconst(0);
                l.choose(
                    Cond::Eq,
                    ret,
                    zero,
                    |_| Ok(id),
                    |l| {
                        let kind = ActionKind::HelperError {
                            helper: "map_update_elem".into(),
                            message: "Map full; can't store another stack".into(),
                            only_verbose: false,
                        };
                        l.report(kind, ret, span);
                        Ok(l.b.iconst(0))
                    },
                )
            },
        )
    }
}
