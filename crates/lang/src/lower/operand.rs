//! What an expression gives: a register, memory of the program, memory elsewhere that is not read yet, a constant.

use crate::types::{Space, Type};
use fathom_codegen::ir::Value;
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use std::sync::Arc;

/// Memory of the program (stack, scratch, map value, record): a pointer that the verifier knows, and a constant offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pointer.
    pub ptr: Value,
    /// Constant offset from it.
    pub offset: i32,
    /// Alignment of the address: 1, 2, 4 or 8.
    pub align: u8,
}

impl Place {
    /// A place `by` bytes behind this one.
    pub fn at(self, by: u32) -> Place {
        let align = if by == 0 { self.align } else { self.align.min(1 << by.trailing_zeros().min(3)) };
        Place { offset: self.offset.saturating_add_unsigned(by), align, ..self }
    }
}

/// The result of an expression.
#[derive(Clone, Debug)]
pub enum Operand {
    /// No value.
    Void,
    /// Types of one register ([`crate::lower::shapes::is_register`]): integers are extended to 64 bits by their signedness.
    Scalar {
        /// The value. Its IR type is `Ptr` only for pointers that the verifier knows (context, trusted BTF objects).
        value: Value,
        /// Type of the language.
        ty: Type,
    },
    /// A value in memory of the program, in the layout of [`crate::lower::shapes::shape`].
    Memory {
        /// Where.
        place: Place,
        /// Type of the language.
        ty: Type,
    },
    /// A struct, union or array in kernel or user memory that is not read yet.
    Remote {
        /// Address; its IR type is `Ptr` when it is a BTF object that may be read directly.
        addr: Value,
        /// Constant offset from it.
        offset: i64,
        /// Which memory.
        space: Space,
        /// Type of the language.
        ty: Type,
    },
    /// A string in kernel or user memory that is not read yet.
    ReadStr {
        /// Address.
        addr: Value,
        /// Which memory.
        space: Space,
        /// Most bytes with the NUL, from a run-time value (already at most `capacity`); `None`: `capacity`.
        len: Option<Value>,
        /// Bytes with the NUL.
        capacity: u32,
        /// For the message when it can't be read.
        span: Span,
    },
    /// Constant bytes, of a string without the NUL.
    Literal {
        /// The bytes.
        bytes: Arc<[u8]>,
        /// Type of the language.
        ty: Type,
    },
    /// The name of the current thread, not read yet.
    Comm,
}

impl Operand {
    /// A register.
    pub fn scalar(value: Value, ty: Type) -> Operand {
        Operand::Scalar { value, ty }
    }
    /// Program memory.
    pub fn memory(place: Place, ty: Type) -> Operand {
        Operand::Memory { place, ty }
    }
    /// Type of the language.
    pub fn ty(&self) -> Type {
        match self {
            Operand::Void => Type::Void,
            Operand::Scalar { ty, .. }
            | Operand::Memory { ty, .. }
            | Operand::Remote { ty, .. }
            | Operand::Literal { ty, .. } => ty.clone(),
            Operand::ReadStr { capacity, .. } => Type::Str { capacity: *capacity },
            Operand::Comm => Type::Str { capacity: super::COMM_LEN },
        }
    }
}

/// Why a script can't be lowered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowerError {
    /// The place.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl LowerError {
    /// An error at a place.
    pub fn new(span: Span, message: impl Into<String>) -> LowerError {
        LowerError { span, message: message.into(), hint: None }
    }
    /// As shown to the user.
    pub fn into_diagnostic(self) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.span, self.message);
        match self.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        }
    }
    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> LowerError {
        self.hint = Some(text.into());
        self
    }
}
