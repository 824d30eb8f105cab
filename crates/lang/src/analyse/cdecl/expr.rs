//! Constant expressions of C.

use super::lex::Tok;
use super::Declarations;
use crate::analyse::consts::{self, Folded};
use crate::analyse::infer::Define;
use fathom_syntax::ast::BinaryOp;

/// Binary operators with their precedence.
const OPERATORS: &[(&str, u8, BinaryOp)] = &[
    ("||", 1, BinaryOp::LogicalOr),
    ("&&", 2, BinaryOp::LogicalAnd),
    ("|", 3, BinaryOp::Or),
    ("^", 4, BinaryOp::Xor),
    ("&", 5, BinaryOp::And),
    ("==", 6, BinaryOp::Eq),
    ("!=", 6, BinaryOp::Ne),
    ("<", 7, BinaryOp::Lt),
    ("<=", 7, BinaryOp::Le),
    (">", 7, BinaryOp::Gt),
    (">=", 7, BinaryOp::Ge),
    ("<<", 8, BinaryOp::Shl),
    (">>", 8, BinaryOp::Shr),
    ("+", 9, BinaryOp::Add),
    ("-", 9, BinaryOp::Sub),
    ("*", 10, BinaryOp::Mul),
    ("/", 10, BinaryOp::Div),
    ("%", 10, BinaryOp::Mod),
];

impl Declarations<'_, '_> {
    /// A constant expression; `None` (with a report) if it is none.
    pub(super) fn const_expr(&mut self) -> Option<i128> {
        let value = self.operation(1);
        if value.is_none() {
            self.error("expected a constant expression");
        }
        value
    }

    /// The value of the whole text as a constant, without any report.
    pub(super) fn whole(&mut self) -> Option<Define> {
        if let [Tok::Str(s)] = self.toks.as_slice() {
            return Some(Define::Str(s.clone()));
        }
        let before = self.diags.len();
        let value = self.operation(1).filter(|_| self.pos == self.toks.len());
        self.diags.truncate(before);
        value.map(Define::Int)
    }

    fn operation(&mut self, least: u8) -> Option<i128> {
        let mut left = self.operand()?;
        loop {
            let Some(Tok::Punct(p)) = self.peek() else { return Some(left) };
            if *p == "?" && least <= 1 {
                self.pos += 1;
                let a = self.operation(1)?;
                self.eat(":").then_some(())?;
                let b = self.operation(1)?;
                return Some(if left != 0 { a } else { b });
            }
            let Some((_, level, op)) = OPERATORS.iter().find(|(text, level, _)| text == p && *level >= least)
            else {
                return Some(left);
            };
            self.pos += 1;
            let right = self.operation(level + 1)?;
            left = match consts::fold(*op, left, right)? {
                Folded::Int(n) => n,
                Folded::Bool(b) => i128::from(b),
            };
        }
    }

    fn operand(&mut self) -> Option<i128> {
        self.depth += 1;
        let value = if self.depth > super::MAX_DEPTH { None } else { self.primary() };
        self.depth -= 1;
        value
    }

    fn primary(&mut self) -> Option<i128> {
        let tok = self.peek()?.clone();
        self.pos += 1;
        match tok {
            Tok::Int(n) => Some(n),
            Tok::Str(_) => None,
            Tok::Punct("-") => self.operand()?.checked_neg(),
            Tok::Punct("+") => self.operand(),
            Tok::Punct("~") => Some(!self.operand()?),
            Tok::Punct("!") => Some(i128::from(self.operand()? == 0)),
            Tok::Punct("(") => {
                if self.at_type() {
                    self.base_type()?;
                    while self.eat("*") {}
                    self.eat(")").then_some(())?;
                    return self.operand();
                }
                let value = self.operation(1)?;
                self.eat(")").then_some(value)
            }
            Tok::Punct(_) => None,
            Tok::Word(w) if w == "sizeof" => {
                self.eat("(").then_some(())?;
                let base = self.base_type()?;
                let mut pointer = false;
                while self.eat("*") {
                    pointer = true;
                }
                self.eat(")").then_some(())?;
                Some(if pointer { 8 } else { i128::from(self.store.c_size(base)) })
            }
            Tok::Word(w) => match self.defines.get(&w) {
                Some(Define::Int(n)) => Some(*n),
                Some(Define::Str(_)) => None,
                None => self
                    .store
                    .constant(&w)
                    .map(|(_, n)| i128::from(n))
                    .or_else(|| super::header::system_constant(&w)),
            },
        }
    }

    fn at_type(&self) -> bool {
        self.word().is_some_and(|w| {
            matches!(w, "struct" | "union" | "enum")
                || super::BASE_WORDS.contains(&w)
                || super::QUALIFIERS.contains(&w)
                || super::super::infer_integer(w).is_some()
        })
    }
}
