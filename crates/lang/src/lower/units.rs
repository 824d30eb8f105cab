//! Which mechanism delivers each target, and which targets share a BPF program.

use super::{Lower, LowerError, Output, UnitState};
use crate::facts::{ArgSet, Carrier, Context, Facts, Feature, Select, Target};
use crate::typed::{TypedProbe, Uses};
use crate::types::{Space, Type};
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Cond, Effect, MapId, Size, Ty, Value};
use fathom_codegen::program::{Attach, Attachment, Unit};
use fathom_syntax::span::Span;

/// Most system call numbers that a table has room for.
const SYSCALLS_MAX: u32 = 1024;
/// Providers whose programs do not look at the process under `-p`: they fire whatever it is, or the kernel filters, because perf events,
/// uprobes and iterators are opened for one process.
const UNFILTERED: &[&str] = &[
    "begin",
    "end",
    "self",
    "test",
    "bench",
    "interval",
    "uprobe",
    "uretprobe",
    "usdt",
    "software",
    "hardware",
    "watchpoint",
    "iter",
];

/// A BPF program to be: a mechanism and the targets that share it.
#[derive(Clone, Debug)]
pub struct Plan {
    carrier: Carrier,
    targets: Vec<Target>,
    /// The mechanisms of the targets, in their order.
    attachments: Vec<Attachment>,
    /// System call numbers of the targets, in their order; empty unless the program has to look.
    pub(super) numbers: Vec<u32>,
    clause: u32,
}

/// How a program tells which target fired.
#[derive(Clone, Debug)]
pub enum Which {
    /// There is one.
    One,
    /// The attachment's cookie is the index.
    Cookie,
    /// The table of system call numbers gives the index + 1.
    Syscall(MapId),
}

/// What a unit knows of its targets.
#[derive(Clone, Debug)]
pub struct Names {
    /// The targets that this program serves.
    pub targets: Vec<Target>,
    /// How they are told apart.
    pub which: Which,
}

/// Divides the targets of a clause into units.
pub(super) fn plan(probe: &TypedProbe, facts: &dyn Facts) -> Vec<Plan> {
    let uses = probe.uses;
    let named = uses.probe_name || uses.func;
    let mut plans: Vec<Plan> = Vec::new();
    for target in &probe.targets {
        let Some(carrier) = choose(target, &uses, &probe.args, facts) else { continue };
        let attachment = Attachment {
            name: target.name.clone(),
            how: carrier.how.clone(),
            cookie: 0,
            refusal: target.refusal,
        };
        let number = carrier.select.map(|Select::Syscall { number }| number);
        let shared = plans.iter_mut().find(|p| {
            same_program(&p.carrier, carrier, &uses)
                && p.numbers.is_empty() == number.is_none()
                && (number.is_some() || !named || (carrier.has_cookie && facts.has(Feature::AttachCookie)))
                && (number.is_none() || p.carrier.how == carrier.how)
        });
        match shared {
            Some(plan) => {
                match number {
                    // One link serves them all: attachments that are alike but for the name are merged when attaching.
                    Some(number) => {
                        plan.attachments.push(attachment);
                        plan.numbers.push(number);
                    }
                    None => {
                        // Kernels before 5.15 take no cookies: none is given that nobody reads.
                        let cookie = if named { plan.attachments.len() as u64 } else { 0 };
                        plan.attachments.push(Attachment { cookie, ..attachment });
                    }
                }
                plan.targets.push(target.clone());
            }
            None => plans.push(Plan {
                carrier: carrier.clone(),
                targets: vec![target.clone()],
                attachments: vec![attachment],
                numbers: number.into_iter().collect(),
                clause: probe.clause,
            }),
        }
    }
    plans
}

/// The first mechanism that gives what the clause uses; the first of all when none does.
fn choose<'t>(target: &'t Target, uses: &Uses, args: &ArgSet, facts: &dyn Facts) -> Option<&'t Carrier> {
    let enough = |c: &&Carrier| {
        let context = &c.context;
        let named_args = match context {
            Context::Opaque | Context::Typed { .. } | Context::PerfEvent => false,
            Context::Registers { at_return } => !at_return,
            Context::Record { offsets } => offsets.len() >= args.args.len(),
            _ => true,
        };
        let numbered = matches!(
            context,
            Context::Registers { at_return: false } | Context::Usdt { .. } | Context::Array { .. }
        );
        let registers = matches!(
            context,
            Context::Registers { .. }
                | Context::Usdt { .. }
                | Context::PerfEvent
                | Context::SyscallEnter { .. }
                | Context::SyscallExit { .. }
        );
        let retval = matches!(
            context,
            Context::Registers { at_return: true }
                | Context::Array { .. }
                | Context::SyscallExit { .. }
                | Context::Record { .. }
        );
        let func = target.func.is_some() || facts.has(Feature::FuncIp);
        (!uses.args || args.args.is_empty() || named_args)
            && (!uses.arg_n || numbered)
            && (!uses.registers || registers)
            && (!uses.retval || retval)
            && (!uses.ctx || *context != Context::Opaque)
            && (!uses.func || func)
    };
    target.carriers.iter().find(enough).or_else(|| target.carriers.first())
}

/// Whether one BPF program can serve both.
fn same_program(a: &Carrier, b: &Carrier, uses: &Uses) -> bool {
    // Where arguments lie is of no interest to a program that reads none.
    let blind = !uses.args && !uses.arg_n && !uses.retval && !uses.ctx && !uses.registers;
    let same_kind = std::mem::discriminant(&a.context) == std::mem::discriminant(&b.context);
    a.kind == b.kind
        && a.attach_kind == b.attach_kind
        && a.attach_btf == b.attach_btf
        && a.sleepable == b.sleepable
        && (a.context == b.context || (blind && same_kind))
        && a.has_cookie == b.has_cookie
        && std::mem::discriminant(&a.how) == std::mem::discriminant(&b.how)
}

impl Plan {
    /// Name of the BPF program: provider and clause.
    pub(super) fn program_name(&self) -> String {
        let provider = self.targets.first().map_or("probe", |t| t.provider);
        format!("{provider}_{}", self.clause)
    }

    /// Whether the program has to look at the process under `-p`.
    pub(super) fn is_filtered(&self) -> bool {
        self.targets.iter().any(is_filtered)
    }

    /// The unit without its code.
    pub(super) fn unit(&self) -> Unit {
        Unit {
            name: self.program_name(),
            kind: self.carrier.kind,
            attach_kind: self.carrier.attach_kind,
            attach_btf: self.carrier.attach_btf.clone(),
            sleepable: self.carrier.sleepable,
            insns: Vec::new(),
            relocs: Vec::new(),
            funcs: Vec::new(),
            lines: Vec::new(),
            stack_bytes: 0,
            attachments: self.attachments.clone(),
            clause: self.clause,
        }
    }

    /// State for writing the unit. Tables of numbers are made here.
    pub(super) fn state(&self, index: u32, out: &mut Output) -> UnitState {
        let which = match (self.targets.len(), self.numbers.is_empty()) {
            (0 | 1, _) => Which::One,
            (_, true) => Which::Cookie,
            (_, false) => Which::Syscall(self.number_table(out)),
        };
        UnitState {
            index,
            kind: self.carrier.kind,
            context: self.carrier.context.clone(),
            sleepable: self.carrier.sleepable,
            is_pinned: matches!(self.carrier.how, Attach::Iter { pin: Some(_), .. }),
            names: Names { targets: self.targets.clone(), which },
        }
    }

    /// A read-only array: system call number to index + 1 among the targets.
    fn number_table(&self, out: &mut Output) -> MapId {
        let mut table = vec![0u32; SYSCALLS_MAX as usize];
        for (number, index) in self.numbers.iter().zip(1u32..) {
            if let Some(slot) = table.get_mut(*number as usize) {
                *slot = index;
            }
        }
        let bytes: Vec<u8> = table.iter().flat_map(|n| n.to_le_bytes()).collect();
        out.constant_bytes(&bytes, bytes.len() as u32)
    }
}

impl Lower<'_> {
    /// What comes before the predicate: leaves when another target or process fired.
    pub(super) fn unit_head(&mut self, numbers: &[u32], is_filtered: bool) -> Result<(), LowerError> {
        let span = self.probe.span;
        if let (Which::One, Some(number)) = (&self.unit.names.which, numbers.first()) {
            let have = self.syscall_number(span)?;
            let want = self.b.iconst(i64::from(*number));
            self.leave_unless(Cond::Eq, have, want);
        }
        if let Which::Syscall(_) = self.unit.names.which {
            let index = self.target_index(span)?;
            let zero = self.b.iconst(0);
            self.leave_unless(Cond::Sge, index, zero);
        }
        if let Context::Typed { ty } = self.unit.context {
            self.leave_at_end_of_iteration(ty);
        }
        if let (Some(pid), true) = (self.options.pid, is_filtered) {
            let id = self.once_call(Helper::GET_CURRENT_PID_TGID);
            let tgid = self.b.lshr_imm(id, 32);
            let want = self.b.iconst(i64::from(pid));
            self.leave_unless(Cond::Eq, tgid, want);
        }
        Ok(())
    }

    /// Iterators run the program once more behind the last object, with null for it: scripts never see that call. The object is the member
    /// behind `meta` (`struct bpf_iter__task` and its like).
    fn leave_at_end_of_iteration(&mut self, context: crate::types::CTypeId) {
        let Type::Struct { def, .. } = self.store.type_of(context, Space::Kernel) else { return };
        let members = self.store.fields(&def, Space::Kernel, Space::Kernel);
        let Some(object) = members.get(1).filter(|m| matches!(m.ty, Type::Pointer { .. })) else { return };
        let Ok(offset) = i32::try_from(object.bit_offset / 8) else { return };
        let ctx = self.ctx();
        let pointer = self.b.load_ptr_invariant(ctx, offset);
        let null = self.b.iconst(0);
        self.leave_unless(Cond::Ne, pointer, null);
    }

    /// Which of the unit's targets fired, from 0; negative for none.
    pub(super) fn target_index(&mut self, span: Span) -> Result<Value, LowerError> {
        match self.unit.names.which {
            Which::One => Ok(self.b.iconst(0)),
            Which::Cookie => {
                let ctx = self.ctx();
                Ok(self.b.call(Helper::GET_ATTACH_COOKIE, &[ctx], Effect::Once))
            }
            Which::Syscall(table) => {
                let number = self.syscall_number(span)?;
                let end = self.b.iconst(i64::from(SYSCALLS_MAX));
                let index = self.choose(
                    Cond::Ult,
                    number,
                    end,
                    |l| {
                        let base = l.b.map_value(table, 0);
                        let at = l.b.shl_imm(number, 2);
                        let cell = l.b.add(base, at);
                        Ok(l.b.load(cell, 0, Size::B4, false))
                    },
                    |l| Ok(l.b.iconst(0)),
                )?;
                Ok(self.b.sub_imm(index, 1))
            }
        }
    }

    /// A text that differs by target (`probe`, `func`), as a string of `capacity` bytes.
    ///
    /// # Errors
    /// None today.
    pub fn target_text(
        &mut self,
        text: impl Fn(&Target) -> String,
        capacity: u32,
        span: Span,
    ) -> Result<super::Operand, LowerError> {
        let ty = Type::Str { capacity };
        let texts: Vec<String> = self.unit.names.targets.iter().map(text).collect();
        if texts.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
            let bytes = texts.first().map_or_else(Vec::new, |t| t.clone().into_bytes());
            return Ok(super::Operand::Literal { bytes: bytes.into(), ty });
        }
        let row = capacity.checked_next_multiple_of(8).unwrap_or(capacity).max(8);
        let count = texts.len() as u32;
        let mut bytes = Vec::with_capacity(row as usize * texts.len());
        for text in &texts {
            let mut cell = text.clone().into_bytes();
            cell.truncate(capacity.saturating_sub(1) as usize);
            cell.resize(row as usize, 0);
            bytes.extend(cell);
        }
        let table = self.out.constant_bytes(&bytes, bytes.len() as u32);
        let index = self.target_index(span)?;
        let end = self.b.iconst(i64::from(count));
        let index = self.choose(Cond::Ult, index, end, |_| Ok(index), |l| Ok(l.b.iconst(0)))?;
        let base = self.b.map_value(table, 0);
        let at = self.b.mul_imm(index, i64::from(row));
        let ptr = self.b.add(base, at);
        debug_assert!(self.b.ty(ptr) == Ty::Ptr, "a place in the table");
        Ok(super::Operand::memory(super::Place { ptr, offset: 0, align: 8 }, ty))
    }
}

/// Whether the program of this target has to look at the process under `-p`.
fn is_filtered(target: &Target) -> bool {
    !UNFILTERED.contains(&target.provider)
}
