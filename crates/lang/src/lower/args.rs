//! What a probe passes: arguments, return value, registers, by what the program's context is.

use super::shapes::{is_register, register_size};
use super::{machine, Lower, LowerError, Operand, Place};
use crate::facts::{Arg, ArgPlace, Context, SyscallArg, UsdtArg, UsdtPlace};
use crate::types::{Space, Type};
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::ir::{Size, Ty, Value};
use fathom_syntax::ast::Expr;
use fathom_syntax::span::Span;

/// Said where a mechanism gives no arguments.
const NO_ARGUMENTS: &str = "The arguments of this probe are not available";

impl Lower<'_> {
    /// `args.NAME`
    pub(super) fn argument(&mut self, e: &Expr, name: &str) -> Result<Operand, LowerError> {
        let args = self.probe.args.clone();
        let index = args.args.iter().position(|a| *a.name == *name);
        let Some((index, arg)) = index.and_then(|i| args.args.get(i).map(|a| (i, a))) else {
            return Err(LowerError::new(e.span, format!("This probe has no argument '{name}'")));
        };
        self.named_argument(index, arg, &self.ty(e), e.span)
    }

    /// `args` as a value: the record of all arguments.
    pub(crate) fn all_arguments(&mut self, e: &Expr) -> Result<Operand, LowerError> {
        let ty = self.ty(e);
        let Type::Record(members) = &ty else { return Ok(Operand::Void) };
        let (layout, size) = self.tuple_layout(&ty);
        let place = self.alloc(size)?;
        self.zero(place, size);
        let args = self.probe.args.clone();
        for ((name, member_ty), (_, at)) in members.iter().zip(layout) {
            let found = args.args.iter().enumerate().find(|(_, a)| *a.name == **name);
            let Some((index, arg)) = found else { continue };
            let operand = self.named_argument(index, arg, member_ty, e.span)?;
            self.store(&operand, place.at(at), member_ty)?;
        }
        Ok(Operand::memory(place, ty))
    }

    /// Argument `index` of the clause's argument set, as a value of type `ty`.
    fn named_argument(
        &mut self,
        index: usize,
        arg: &Arg,
        ty: &Type,
        span: Span,
    ) -> Result<Operand, LowerError> {
        let none = || LowerError::new(span, NO_ARGUMENTS);
        match self.unit.context.clone() {
            Context::Record { offsets } => {
                let offset = *offsets.get(index).ok_or_else(none)?;
                self.record_field(offset, arg.data_loc, ty, span)
            }
            Context::Array { trusted } => self.array_argument(index, trusted, ty),
            Context::Registers { at_return: false } => match self.probe.args.clone().places.get(index) {
                Some(place) => self.placed_argument(place, ty, span),
                None => {
                    let value = self.function_argument(index as u64, span)?;
                    Ok(Operand::scalar(self.narrow(value, ty), ty.clone()))
                }
            },
            Context::Usdt { args } => {
                let place = args.get(index).cloned().ok_or_else(none)?;
                let value = self.usdt_argument(&place, span)?;
                Ok(Operand::scalar(self.narrow(value, ty), ty.clone()))
            }
            Context::SyscallEnter { args } | Context::SyscallExit { args } => {
                let which = *args.get(index).ok_or_else(none)?;
                self.syscall_argument(which, ty, span)
            }
            _ => Err(none()),
        }
    }

    /// An argument whose place the debug information gives.
    fn placed_argument(&mut self, place: &ArgPlace, ty: &Type, span: Span) -> Result<Operand, LowerError> {
        let ctx = self.ctx();
        match place {
            ArgPlace::Registers(registers) => {
                if let ([register], true) = (registers.as_slice(), is_register(ty)) {
                    let value = self.b.load_invariant(ctx, i32::from(*register), Size::B8, false);
                    return Ok(Operand::scalar(self.narrow(value, ty), ty.clone()));
                }
                // A small struct: its bytes stand in one or two registers.
                let copy = self.alloc(registers.len() as u32 * 8)?;
                for (i, register) in registers.iter().enumerate() {
                    let value = self.b.load_invariant(ctx, i32::from(*register), Size::B8, false);
                    let at = copy.at(i as u32 * 8);
                    self.b.store(at.ptr, at.offset, Size::B8, value);
                }
                Ok(Operand::memory(copy, ty.clone()))
            }
            ArgPlace::Stack(offset) => {
                let sp = self.b.load_invariant(ctx, i32::from(machine::STACK_POINTER), Size::B8, false);
                self.at_address(sp, i64::from(*offset), self.probe_space(), ty, span)
            }
            ArgPlace::Behind(pointer) => {
                let addr = self.placed_argument(pointer, &Type::U64, span)?;
                let addr = self.to_scalar(addr, span)?;
                self.at_address(addr, 0, self.probe_space(), ty, span)
            }
            ArgPlace::Unreadable(why) => Err(LowerError::new(span, *why)),
        }
    }

    /// A field of a tracefs record.
    fn record_field(
        &mut self,
        offset: u32,
        data_loc: bool,
        ty: &Type,
        span: Span,
    ) -> Result<Operand, LowerError> {
        let ctx = self.ctx();
        let at = i64::from(offset);
        if data_loc {
            let place = i32::try_from(offset).unwrap_or(0);
            let loc = self.b.load_invariant(ctx, place, Size::B4, false);
            let skip = self.b.and_imm(loc, 0xffff);
            let base = self.number(ctx);
            let addr = self.b.add(base, skip);
            return Ok(match ty {
                Type::Str { capacity } => {
                    Operand::ReadStr { addr, space: Space::Kernel, len: None, capacity: *capacity, span }
                }
                Type::Pointer { .. } => Operand::scalar(addr, ty.clone()),
                _ => Operand::Remote { addr, offset: 0, space: Space::Kernel, ty: ty.clone() },
            });
        }
        self.at_address(ctx, at, Space::Kernel, ty, span)
    }

    /// Argument `index` of a context that is an array of u64.
    fn array_argument(&mut self, index: usize, trusted: bool, ty: &Type) -> Result<Operand, LowerError> {
        let first = self.array_slot(index);
        if is_register(ty) {
            return Ok(Operand::scalar(self.array_element(first, trusted, ty), ty.clone()));
        }
        // A struct by value fills one or two elements.
        let count = self.array_slot(index.saturating_add(1)).saturating_sub(first);
        let copy = self.alloc(count as u32 * 8)?;
        for i in 0..count {
            let value = self.array_element(first.saturating_add(i), false, &Type::U64);
            let at = copy.at(i as u32 * 8);
            self.b.store(at.ptr, at.offset, Size::B8, value);
        }
        Ok(Operand::memory(copy, ty.clone()))
    }

    /// The element at which argument `index` begins: structs of more than 8 bytes by value take two.
    fn array_slot(&self, index: usize) -> usize {
        let before = self.probe.args.args.iter().take(index).map(|arg| match &arg.ty {
            crate::facts::ArgType::C(id) => match self.store.type_of(*id, Space::Kernel) {
                ty @ Type::Struct { .. } => self.store.size_of(&ty).div_ceil(8).clamp(1, 2) as usize,
                _ => 1,
            },
            crate::facts::ArgType::Text { .. } => 1,
        });
        let known: usize = before.sum();
        known.saturating_add(index.saturating_sub(self.probe.args.args.len()))
    }

    /// Element of a context that is an array of u64.
    fn array_element(&mut self, index: usize, trusted: bool, ty: &Type) -> Value {
        let ctx = self.ctx();
        let offset = i32::try_from(index).unwrap_or(0).saturating_mul(8);
        if trusted && self.is_object_pointer(ty) {
            return self.b.load_ptr_invariant(ctx, offset);
        }
        let value = self.b.load_invariant(ctx, offset, Size::B8, false);
        self.narrow(value, ty)
    }

    /// `argN`
    ///
    /// # Errors
    /// When the probe passes none.
    pub fn numbered_argument(&mut self, n: u64, span: Span) -> Result<Value, LowerError> {
        match self.unit.context.clone() {
            Context::Registers { at_return: false } => self.function_argument(n, span),
            Context::Usdt { args } => {
                let arg = usize::try_from(n).ok().and_then(|n| args.get(n)).cloned();
                let arg = arg.ok_or_else(|| {
                    LowerError::new(span, format!("This probe has {} arguments only", args.len()))
                })?;
                self.usdt_argument(&arg, span)
            }
            Context::Array { trusted } => {
                let set = self.probe.args.clone();
                let index = usize::try_from(n).unwrap_or(usize::MAX);
                if trusted {
                    // Pointers among the arguments are known to the verifier as such.
                    let ty = match set.args.get(index).map(|a| &a.ty) {
                        Some(crate::facts::ArgType::C(id)) => self.store.type_of(*id, Space::Kernel),
                        _ => Type::U64,
                    };
                    let value = self.array_element(self.array_slot(index), true, &ty);
                    return Ok(self.number(value));
                }
                Ok(self.array_element(self.array_slot(index), false, &Type::U64))
            }
            _ => Err(LowerError::new(span, "The builtin argN can't be used with this probe")),
        }
    }

    /// Argument of a function by the calling convention.
    fn function_argument(&mut self, n: u64, span: Span) -> Result<Value, LowerError> {
        let ctx = self.ctx();
        let index = usize::try_from(n).unwrap_or(usize::MAX);
        if let Some(offset) = machine::FUNCTION_ARGS.get(index) {
            return Ok(self.b.load_invariant(ctx, i32::from(*offset), Size::B8, false));
        }
        let sp = self.b.load_invariant(ctx, i32::from(machine::STACK_POINTER), Size::B8, false);
        let beyond = i64::try_from(index - machine::FUNCTION_ARGS.len()).unwrap_or(0);
        let at = machine::FIRST_STACK_ARG.saturating_add(beyond.saturating_mul(8));
        let space = self.probe_space();
        self.read_scalar(sp, at, space, &Type::U64, span)
    }

    /// Where the probe's own addresses lie.
    pub fn probe_space(&self) -> Space {
        crate::analyse::default_space(&self.probe.targets)
    }

    fn usdt_argument(&mut self, arg: &UsdtArg, span: Span) -> Result<Value, LowerError> {
        let ctx = self.ctx();
        let ty = Type::Int { size: arg.size, signed: arg.signed };
        match arg.place {
            UsdtPlace::Const(n) => Ok(self.b.iconst(n)),
            UsdtPlace::Register { offset, part } => {
                let value = self.b.load_invariant(ctx, i32::from(offset), Size::B8, false);
                let value = match part {
                    0 => value,
                    part => self.b.lshr_imm(value, i64::from(part) * 8),
                };
                Ok(self.narrow(value, &ty))
            }
            UsdtPlace::Memory { base, index, scale, displacement } => {
                let mut addr = match base {
                    Some(base) => self.b.load_invariant(ctx, i32::from(base), Size::B8, false),
                    None => self.b.iconst(0),
                };
                if let Some(index) = index {
                    let index = self.b.load_invariant(ctx, i32::from(index), Size::B8, false);
                    let scaled = self.b.mul_imm(index, i64::from(scale.max(1)));
                    addr = self.b.add(addr, scaled);
                }
                self.read_scalar(addr, displacement, Space::User, &ty, span)
            }
        }
    }

    /// The registers of the caller of a system call.
    fn syscall_register(&mut self, offset: u16, span: Span) -> Result<Value, LowerError> {
        let ctx = self.ctx();
        if self.unit.kind == ProgKind::TRACING {
            let regs = self.b.load_ptr_invariant(ctx, 0);
            return Ok(self.b.load_invariant(regs, i32::from(offset), Size::B8, false));
        }
        let regs = self.b.load_invariant(ctx, 0, Size::B8, false);
        self.read_scalar(regs, i64::from(offset), Space::Kernel, &Type::U64, span)
    }

    fn syscall_argument(&mut self, which: SyscallArg, ty: &Type, span: Span) -> Result<Operand, LowerError> {
        let value = match which {
            SyscallArg::Number => self.syscall_number(span)?,
            SyscallArg::Return => {
                let ctx = self.ctx();
                self.b.load_invariant(ctx, 8, Size::B8, false)
            }
            SyscallArg::Arg(n) => {
                let offset = machine::SYSCALL_ARGS.get(usize::from(n)).copied();
                let offset = offset.ok_or_else(|| LowerError::new(span, NO_ARGUMENTS))?;
                self.syscall_register(offset, span)?
            }
            SyscallArg::AllArgs => {
                let place = self.alloc(48)?;
                for (i, offset) in machine::SYSCALL_ARGS.iter().enumerate() {
                    let value = self.syscall_register(*offset, span)?;
                    let at = place.at(i as u32 * 8);
                    self.b.store(at.ptr, at.offset, Size::B8, value);
                }
                return Ok(Operand::memory(place, ty.clone()));
            }
        };
        Ok(Operand::scalar(self.narrow(value, ty), ty.clone()))
    }

    /// The number of the system call.
    pub(super) fn syscall_number(&mut self, span: Span) -> Result<Value, LowerError> {
        match self.unit.context {
            Context::SyscallExit { .. } => self.syscall_register(machine::SYSCALL_NUMBER, span),
            _ => {
                let ctx = self.ctx();
                Ok(self.b.load_invariant(ctx, 8, Size::B8, false))
            }
        }
    }

    /// `retval`
    ///
    /// # Errors
    /// When the probe has none.
    pub fn return_value(&mut self, ty: &Type, span: Span) -> Result<Operand, LowerError> {
        let ctx = self.ctx();
        let value = match self.unit.context.clone() {
            Context::Registers { at_return: true } => {
                let value = self.b.load_invariant(ctx, i32::from(machine::RETURN), Size::B8, false);
                self.narrow(value, ty)
            }
            Context::Array { trusted } if self.probe.args.ret.is_some() => {
                self.array_element(self.array_slot(self.probe.args.args.len()), trusted, ty)
            }
            Context::SyscallExit { .. } => {
                let value = self.b.load_invariant(ctx, 8, Size::B8, false);
                self.narrow(value, ty)
            }
            Context::Record { offsets } => {
                let args = self.probe.args.clone();
                let index = args.args.iter().position(|a| &*a.name == "ret");
                match index.and_then(|i| offsets.get(i)) {
                    Some(offset) => return self.record_field(*offset, false, ty, span),
                    None => return Err(LowerError::new(span, "This probe has no return value")),
                }
            }
            _ => return Err(LowerError::new(span, "This probe has no return value")),
        };
        Ok(Operand::scalar(value, ty.clone()))
    }

    /// A register of the traced code by its offset in `struct pt_regs`.
    ///
    /// # Errors
    /// When the probe has no registers.
    pub fn register(&mut self, offset: u16, span: Span) -> Result<Value, LowerError> {
        let ctx = self.ctx();
        match self.unit.context {
            Context::Registers { .. } | Context::Usdt { .. } | Context::PerfEvent => {
                Ok(self.b.load_invariant(ctx, i32::from(offset), Size::B8, false))
            }
            Context::SyscallEnter { .. } | Context::SyscallExit { .. } => self.syscall_register(offset, span),
            _ => Err(LowerError::new(span, "Registers can't be read in this probe")),
        }
    }

    /// The context as a value of the language.
    pub fn context_value(&mut self, ty: &Type) -> Operand {
        let ctx = self.ctx();
        let direct = matches!(
            self.unit.context,
            Context::Typed { .. } | Context::Registers { .. } | Context::Usdt { .. } | Context::PerfEvent
        );
        let value = if direct { ctx } else { self.number(ctx) };
        debug_assert!(self.b.ty(ctx) == Ty::Ptr, "the context is a pointer");
        Operand::scalar(value, ty.clone())
    }

    /// Bytes of a value of one register at a place, for builtins that hand out parts of memory.
    pub fn load_register(&mut self, place: Place, ty: &Type) -> Operand {
        debug_assert!(is_register(ty) && register_size(ty) > 0, "only registers are loaded");
        Operand::scalar(self.scalar_load(place, ty), ty.clone())
    }
}
