//! Expressions.

use super::{Parser, MAX_HEIGHT};
use crate::ast::{BinaryOp, Block, Expr, ExprKind, RecordField, UnaryOp};
use crate::literal;
use crate::token::{is_keyword, Tok, Token};

/// Infix operators: token, how tightly they bind (all to the left), operator.
const BINARY_OPERATORS: &[(Tok, u8, BinaryOp)] = &[
    (Tok::OrOr, 1, BinaryOp::LogicalOr),
    (Tok::AndAnd, 2, BinaryOp::LogicalAnd),
    (Tok::Pipe, 3, BinaryOp::Or),
    (Tok::Caret, 4, BinaryOp::Xor),
    (Tok::Amp, 5, BinaryOp::And),
    (Tok::EqEq, 6, BinaryOp::Eq),
    (Tok::NotEq, 6, BinaryOp::Ne),
    (Tok::Lt, 7, BinaryOp::Lt),
    (Tok::Le, 7, BinaryOp::Le),
    (Tok::Gt, 7, BinaryOp::Gt),
    (Tok::Ge, 7, BinaryOp::Ge),
    (Tok::Shl, 8, BinaryOp::Shl),
    (Tok::Shr, 8, BinaryOp::Shr),
    (Tok::Plus, 9, BinaryOp::Add),
    (Tok::Minus, 9, BinaryOp::Sub),
    (Tok::Star, 10, BinaryOp::Mul),
    (Tok::Slash, 10, BinaryOp::Div),
    (Tok::Percent, 10, BinaryOp::Mod),
];

/// How tightly an infix operator binds, from 1.
pub(crate) fn binary_precedence(op: BinaryOp) -> u8 {
    BINARY_OPERATORS.iter().find(|row| row.2 == op).map_or(0, |row| row.1)
}

/// Prefix operators.
const UNARY_OPERATORS: &[(Tok, UnaryOp)] = &[
    (Tok::Star, UnaryOp::Deref),
    (Tok::Minus, UnaryOp::Neg),
    (Tok::Bang, UnaryOp::Not),
    (Tok::Tilde, UnaryOp::BitNot),
    (Tok::Amp, UnaryOp::AddressOf),
];

/// The most arms of one `if ... else if ...` or `? : ? :`: they nest in the tree but not in the text.
const MAX_ARMS: usize = MAX_HEIGHT / 2;

/// Keywords that may begin an operand.
const OPERAND_WORDS: &[&str] = &["comptime", "offsetof", "sizeof", "typeinfo", "typeof"];

impl Parser<'_> {
    /// Reads an expression.
    pub(super) fn expr(&mut self) -> Expr {
        self.nested(|p| {
            let left = p.unary();
            p.expr_rest(left)
        })
    }

    /// Reads an expression within brackets of any kind, where `/` is always a division.
    pub(super) fn expr_in_brackets(&mut self) -> Expr {
        let outer = std::mem::replace(&mut self.in_predicate, false);
        let expr = self.expr();
        self.in_predicate = outer;
        expr
    }

    /// Goes on with an expression whose first primary was read.
    pub(super) fn expr_from(&mut self, first: Expr) -> Expr {
        let first = self.postfix(first);
        self.expr_rest(first)
    }

    fn expr_rest(&mut self, left: Expr) -> Expr {
        let cond = self.binary_rest(left, 0);
        if self.at(Tok::Question) {
            return self.ternary(cond);
        }
        cond
    }

    /// At `?`: reads the arms of `a ? b : c ? d : e`, which nest to the right, without recursion.
    fn ternary(&mut self, mut cond: Expr) -> Expr {
        let mut arms = Vec::new();
        while self.at(Tok::Question) {
            if arms.len() >= MAX_ARMS {
                self.too_deep();
                break;
            }
            let mut height = self.height;
            self.bump();
            let then = (!self.at(Tok::Colon)).then(|| Box::new(self.expr()));
            height = height.max(if then.is_some() { self.height } else { 0 });
            let found = self.expect(Tok::Colon, "':'");
            arms.push((cond, then, height));
            cond = if found { self.binary(0) } else { self.hole() };
        }
        let mut result = cond;
        for (cond, then, height) in arms.into_iter().rev() {
            let height = height.max(self.height);
            let span = cond.span.to(result.span);
            let kind = ExprKind::Ternary { cond: Box::new(cond), then, otherwise: Box::new(result) };
            result = self.make(span, kind, height);
        }
        result
    }

    fn binary(&mut self, min: u8) -> Expr {
        let left = self.unary();
        self.binary_rest(left, min)
    }

    fn binary_rest(&mut self, mut left: Expr, min: u8) -> Expr {
        while let Some(&(_, precedence, op)) = BINARY_OPERATORS.iter().find(|row| row.0 == self.tok.kind) {
            if precedence < min || self.at_predicate_end() {
                break;
            }
            let height = self.height;
            self.bump();
            let right = self.binary(precedence + 1);
            let span = left.span.to(right.span);
            let kind = ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) };
            left = self.make(span, kind, height.max(self.height));
        }
        left
    }

    fn at_predicate_end(&self) -> bool {
        self.in_predicate && self.at(Tok::Slash) && self.peek().kind == Tok::LBrace
    }

    fn unary(&mut self) -> Expr {
        if let Some(&(_, op)) = UNARY_OPERATORS.iter().find(|row| row.0 == self.tok.kind) {
            return self.prefixed(|expr| ExprKind::Unary { op, expr });
        }
        let kind = self.tok.kind;
        match kind {
            Tok::Inc | Tok::Dec => {
                let increment = kind == Tok::Inc;
                self.prefixed(|target| ExprKind::Step { increment, postfix: false, target })
            }
            Tok::Ident if self.word() == "comptime" => self.prefixed(ExprKind::Comptime),
            Tok::LParen if self.at_cast() => {
                let start = self.bump().start;
                let ty = self.type_expr();
                self.cast(start, ty)
            }
            _ => {
                let first = self.primary();
                self.postfix(first)
            }
        }
    }

    /// Reads a prefix operator and its operand.
    fn prefixed(&mut self, kind: impl FnOnce(Box<Expr>) -> ExprKind) -> Expr {
        let start = self.bump().start;
        let operand = self.nested(Self::unary);
        let (span, height) = (self.span_from(start), self.height);
        self.make(span, kind(Box::new(operand)), height)
    }

    /// Reads the rest of a cast behind its type.
    fn cast(&mut self, start: usize, ty: crate::ast::TypeExpr) -> Expr {
        let height = self.height;
        self.expect(Tok::RParen, "')'");
        let expr = Box::new(self.nested(Self::unary));
        let (span, height) = (self.span_from(start), height.max(self.height));
        self.make(span, ExprKind::Cast { ty, expr }, height)
    }

    /// Reads `.field`, `->field`, `.N`, `[i]`, `++` and `--` behind an expression.
    fn postfix(&mut self, mut base: Expr) -> Expr {
        loop {
            let (start, height) = (base.span.start as usize, self.height);
            let kind = match self.tok.kind {
                Tok::Dot | Tok::Arrow => {
                    self.bump();
                    self.member(base)
                }
                Tok::LBracket => self.subscript(base),
                Tok::Inc | Tok::Dec => {
                    let increment = self.bump().kind == Tok::Inc;
                    ExprKind::Step { increment, postfix: true, target: Box::new(base) }
                }
                _ => return base,
            };
            let (span, height) = (self.span_from(start), height.max(self.height));
            base = self.make(span, kind, height);
        }
    }

    fn member(&mut self, base: Expr) -> ExprKind {
        let base = Box::new(base);
        if self.at(Tok::Int) {
            let token = self.bump();
            let text = self.text_of(token);
            let index = text.parse().unwrap_or_else(|_| {
                self.error_inside(
                    self.span(token.start, token.end),
                    format!("'{text}' is not the number of a tuple's field"),
                );
                0
            });
            return ExprKind::TupleField { base, index };
        }
        let (field, field_span) = self.expect_name("the name of a field");
        ExprKind::Field { base, field, field_span }
    }

    /// At `[`: reads one or several keys.
    fn subscript(&mut self, base: Expr) -> ExprKind {
        self.bump();
        let mut keys = Vec::new();
        let (height, _) = self.comma_list(Tok::RBracket, |p| keys.push(p.expr_in_brackets()));
        self.height = height;
        let key = match (keys.len(), keys.pop()) {
            (_, None) => {
                self.expected("an expression");
                self.hole()
            }
            (1, Some(only)) => only,
            (_, Some(last)) => {
                let span = keys.first().map_or(last.span, |first| first.span.to(last.span));
                keys.push(last);
                self.make(span, ExprKind::Tuple(keys), height)
            }
        };
        self.expect(Tok::RBracket, "']'");
        match base.kind {
            ExprKind::Map(_) => ExprKind::MapAccess { map: Box::new(base), key: Box::new(key) },
            _ => ExprKind::Index { base: Box::new(base), index: Box::new(key) },
        }
    }

    fn primary(&mut self) -> Expr {
        match self.tok.kind {
            Tok::Ident => self.word_expr(),
            Tok::LParen => self.parenthesis(),
            Tok::LBrace => {
                let block = self.block_in_expr();
                self.block_expr(block)
            }
            Tok::Int | Tok::Str | Tok::Var | Tok::Map | Tok::Positional | Tok::ParamCount => {
                let token = self.bump();
                let span = self.span(token.start, token.end);
                let kind = self.atom(token);
                self.make(span, kind, 0)
            }
            _ => {
                self.expected("an expression");
                self.hole()
            }
        }
    }

    fn atom(&mut self, token: Token) -> ExprKind {
        let text = self.text_of(token);
        match token.kind {
            Tok::Int => {
                let (value, suffix) = self.int_value(token);
                ExprKind::Int { value, text: text.to_string(), suffix: suffix.to_string() }
            }
            Tok::Str => ExprKind::Str(self.string_value(token)),
            Tok::Map => ExprKind::Map(text.to_string()),
            Tok::Positional => ExprKind::Positional(text[1..].parse().unwrap_or_else(|_| {
                self.error_inside(
                    self.span(token.start, token.end),
                    format!("there can be no parameter {text}"),
                );
                0
            })),
            Tok::ParamCount => ExprKind::ParamCount,
            _ => ExprKind::Var(text.to_string()),
        }
    }

    /// The value and suffix of a number token.
    pub(super) fn int_value(&mut self, token: Token) -> (u64, &'static str) {
        let text = self.text_of(token);
        match literal::parse_int(text) {
            Ok(number) => (number.value, number.suffix),
            Err(why) => {
                self.error_inside(self.span(token.start, token.end), format!("number '{text}' {why}"));
                (0, "")
            }
        }
    }

    /// The bytes of a string token.
    pub(super) fn string_value(&mut self, token: Token) -> Vec<u8> {
        let inside = self.text.get(token.start + 1..token.end.saturating_sub(1)).unwrap_or("");
        let (bytes, wrong) = literal::unescape(inside);
        for (at, len, message) in wrong {
            let start = token.start + 1 + at;
            self.error_inside(self.span(start, start + len), message);
        }
        bytes
    }

    /// At a word: a constant, a keyword's expression, a call or a name.
    fn word_expr(&mut self) -> Expr {
        let word = self.word();
        let start = self.tok.start;
        self.height = 0;
        let kind = match word {
            "if" => return self.if_expr(),
            "true" | "false" => {
                self.bump();
                ExprKind::Bool(word == "true")
            }
            "sizeof" => ExprKind::Sizeof(Box::new(self.type_operand())),
            "typeinfo" => ExprKind::Typeinfo(Box::new(self.type_operand())),
            "typeof" => ExprKind::Typeof(Box::new(self.type_operand())),
            "offsetof" => self.offsetof(),
            _ if is_keyword(word) => {
                self.expected("an expression");
                return self.hole();
            }
            _ if self.at_tagged_type() => {
                let ty = self.type_expr();
                return self.typeof_as_expr(ty);
            }
            _ if self.peek().kind == Tok::LParen => self.call(),
            _ => {
                self.bump();
                ExprKind::Ident(word.to_string())
            }
        };
        let (span, height) = (self.span_from(start), self.height);
        self.make(span, kind, height)
    }

    fn call(&mut self) -> ExprKind {
        let (name, name_span) = self.expect_name("a name");
        self.bump();
        let mut args = Vec::new();
        let (height, trailing) = self.comma_list(Tok::RParen, |p| args.push(p.argument()));
        if trailing && !self.panicking && self.at(Tok::RParen) {
            self.expected("an expression");
            self.panicking = false;
        }
        self.expect_close();
        self.height = height;
        ExprKind::Call { name, name_span, args }
    }

    /// An argument of a call, which may be a type when its form shows that.
    fn argument(&mut self) -> Expr {
        let shape = self.type_shape(self.tok);
        if shape.is_some_and(|s| s.is_certain() && matches!(s.next.kind, Tok::RParen | Tok::Comma)) {
            let ty = self.type_expr();
            return self.typeof_as_expr(ty);
        }
        self.expr_in_brackets()
    }

    /// Reads `)`, with help for a common slip.
    fn expect_close(&mut self) {
        if self.at(Tok::Assign) {
            let diagnostic = self.missing("')'").hint("'=' assigns, '==' compares");
            self.report(diagnostic);
        }
        self.expect(Tok::RParen, "')'");
    }

    fn offsetof(&mut self) -> ExprKind {
        self.bump();
        self.expect(Tok::LParen, "'('");
        let base = Box::new(self.type_or_expr());
        let height = self.height;
        self.expect(Tok::Comma, "','");
        let mut path = Vec::new();
        loop {
            path.push(self.expect_name("the name of a field").0);
            if !self.eat(Tok::Dot) {
                break;
            }
        }
        self.expect(Tok::RParen, "')'");
        self.height = height;
        ExprKind::Offsetof { base, path }
    }

    /// At `(`: a parenthesised expression, a tuple, a record, or a cast to `typeof(...)`.
    fn parenthesis(&mut self) -> Expr {
        let outer = std::mem::replace(&mut self.in_predicate, false);
        let expr = self.parenthesis_inner(outer);
        self.in_predicate = outer;
        expr
    }

    fn parenthesis_inner(&mut self, outer_predicate: bool) -> Expr {
        let start = self.bump().start;
        if self.eat(Tok::RParen) {
            let span = self.span_from(start);
            return self.make(span, ExprKind::Tuple(Vec::new()), 0);
        }
        if self.at(Tok::Ident) && self.peek().kind == Tok::Assign {
            return self.record(start);
        }
        if !self.at_word("typeof") {
            let first = self.expr();
            return self.parenthesis_rest(start, first);
        }
        let ty = self.type_expr();
        if self.at(Tok::RParen) && self.may_start_operand(self.peek()) {
            self.in_predicate = outer_predicate;
            return self.cast(start, ty);
        }
        let first = self.typeof_as_expr(ty);
        let first = self.expr_from(first);
        self.parenthesis_rest(start, first)
    }

    /// Whether an operand may begin with this word.
    pub(super) fn is_operand_word(&self, token: Token) -> bool {
        let word = self.text_of(token);
        !is_keyword(word) || OPERAND_WORDS.contains(&word)
    }

    fn may_start_operand(&self, token: Token) -> bool {
        match token.kind {
            Tok::Int | Tok::Str | Tok::Var | Tok::Map | Tok::Positional | Tok::ParamCount | Tok::LParen => {
                true
            }
            Tok::Inc | Tok::Dec => true,
            Tok::Ident => {
                !is_keyword(self.text_of(token)) || matches!(self.text_of(token), "sizeof" | "offsetof")
            }
            kind => UNARY_OPERATORS.iter().any(|row| row.0 == kind),
        }
    }

    /// Reads the rest of `(first)` or `(first, ...)`. The span of a parenthesised expression holds the parentheses.
    fn parenthesis_rest(&mut self, start: usize, first: Expr) -> Expr {
        let mut height = self.height;
        if self.eat(Tok::Comma) {
            let mut elements = vec![first];
            let (rest, _) = self.comma_list(Tok::RParen, |p| elements.push(p.expr()));
            height = height.max(rest);
            self.expect(Tok::RParen, "')'");
            let span = self.span_from(start);
            return self.make(span, ExprKind::Tuple(elements), height);
        }
        self.expect_close();
        self.height = height;
        Expr { span: self.span_from(start), ..first }
    }

    fn record(&mut self, start: usize) -> Expr {
        let mut fields = Vec::new();
        let (height, _) = self.comma_list(Tok::RParen, |p| {
            let (name, span) = p.expect_name("the name of a field");
            p.expect(Tok::Assign, "'='");
            fields.push(RecordField { span, name, value: p.expr() });
        });
        self.expect(Tok::RParen, "')'");
        let span = self.span_from(start);
        self.make(span, ExprKind::Record(fields), height)
    }

    /// At `if`: reads the whole chain of `else if` without recursion.
    pub(super) fn if_expr(&mut self) -> Expr {
        let mut arms = Vec::new();
        let mut last = None;
        while self.at_word("if") {
            if arms.len() >= MAX_ARMS {
                self.too_deep();
                break;
            }
            let start = self.bump().start;
            let cond = self.expr_in_brackets();
            let height = self.height;
            let then = self.block_in_expr();
            arms.push((start, cond, then, height.max(self.height)));
            self.height = 0;
            if !self.eat_word("else") {
                break;
            }
            if !self.at_word("if") {
                let block = self.block_in_expr();
                last = Some(self.block_expr(block));
                break;
            }
        }
        let end = self.prev_end;
        let mut result = last;
        for (start, cond, then, height) in arms.into_iter().rev() {
            let height = height.max(self.height);
            let span = self.span(start, end);
            let kind = ExprKind::If { cond: Box::new(cond), then, otherwise: result.map(Box::new) };
            result = Some(self.make(span, kind, height));
        }
        result.unwrap_or_else(|| self.hole())
    }

    /// Reads a block as part of an expression.
    fn block_in_expr(&mut self) -> Block {
        let outer = std::mem::replace(&mut self.in_predicate, false);
        let block = self.block();
        self.in_predicate = outer;
        block
    }

    pub(super) fn block_expr(&mut self, block: Block) -> Expr {
        let height = self.height;
        self.make(block.span, ExprKind::Block(block), height)
    }
}
