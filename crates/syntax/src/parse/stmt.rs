//! Blocks and statements.

use super::Parser;
use crate::ast::{BinaryOp, Block, Expr, ExprKind, Import, Stmt, StmtKind};
use crate::diag::Diagnostic;
use crate::token::{Tok, Token};

/// Assignment operators; the plain one has no operation.
const ASSIGNMENTS: &[(Tok, Option<BinaryOp>)] = &[
    (Tok::Assign, None),
    (Tok::AddAssign, Some(BinaryOp::Add)),
    (Tok::SubAssign, Some(BinaryOp::Sub)),
    (Tok::MulAssign, Some(BinaryOp::Mul)),
    (Tok::DivAssign, Some(BinaryOp::Div)),
    (Tok::ModAssign, Some(BinaryOp::Mod)),
    (Tok::AndAssign, Some(BinaryOp::And)),
    (Tok::OrAssign, Some(BinaryOp::Or)),
    (Tok::XorAssign, Some(BinaryOp::Xor)),
    (Tok::ShlAssign, Some(BinaryOp::Shl)),
    (Tok::ShrAssign, Some(BinaryOp::Shr)),
];

/// Words that begin a statement: where parsing goes on after an error.
const STATEMENT_WORDS: &[&str] =
    &["break", "continue", "for", "if", "import", "let", "return", "unroll", "while"];

/// What the reader of a statement found.
enum Read {
    /// A statement that needs a `;` behind it unless it is the last of its block.
    Stmt(StmtKind),
    /// A statement that ends in a block.
    Closed(StmtKind),
    /// An expression that needs a `;` or is the block's value.
    Expr(Expr),
    /// An expression that ends in a block: a statement, or the block's value when it is the last.
    ClosedExpr(Expr),
}

impl Parser<'_> {
    /// Reads `{ ... }`; reports its absence and reads nothing when there is none.
    pub(super) fn block(&mut self) -> Block {
        self.nested(Self::block_inner)
    }

    fn block_inner(&mut self) -> Block {
        self.height = 0;
        if !self.at(Tok::LBrace) {
            self.expected("'{'");
            return Block { span: self.missing_span(), stmts: Vec::new(), value: None };
        }
        self.panicking = false;
        let open = self.bump();
        let mut block = Block { span: self.span(open.start, open.end), stmts: Vec::new(), value: None };
        let mut height = 0;
        while !self.at(Tok::RBrace) && !self.at(Tok::Eof) {
            let before = self.tok.start;
            self.height = 0;
            let ended = self.block_entry(&mut block);
            height = height.max(self.height);
            if self.panicking && !ended {
                self.skip_statement(before);
            }
            // An open end of the text is reported once, not for each block around it.
            self.panicking &= self.at(Tok::Eof);
        }
        if !self.eat(Tok::RBrace) {
            let diagnostic =
                self.missing("'}'").note(self.span(open.start, open.end), "this block is not closed");
            self.report(diagnostic);
        }
        block.span = self.span_from(open.start);
        self.grow(height);
        block
    }

    /// Reads one statement, or the value, with the `;` behind it. Tells whether there was a `;`.
    fn block_entry(&mut self, block: &mut Block) -> bool {
        if self.eat(Tok::Semi) {
            return true;
        }
        let start = self.tok.start;
        let read = self.statement();
        let span = self.span_from(start);
        let (kind, closed) = match read {
            Read::Stmt(kind) => (kind, false),
            Read::Closed(kind) => (kind, true),
            Read::Expr(expr) | Read::ClosedExpr(expr) if self.at(Tok::RBrace) && !self.panicking => {
                block.value = Some(Box::new(expr));
                return false;
            }
            Read::Expr(expr) => (StmtKind::Expr(expr), false),
            Read::ClosedExpr(expr) => (StmtKind::Expr(expr), true),
        };
        block.stmts.push(Stmt { id: self.ids.fresh(), span, kind });
        let ended = self.eat(Tok::Semi);
        if !ended && !closed && !self.at(Tok::RBrace) && !self.at(Tok::Eof) {
            self.expected("';'");
        }
        ended
    }

    /// Goes to the end of a statement that could not be read: behind its `;`, or to the `}` of its block, or to a
    /// line that looks like a statement. `before` is where the statement began.
    fn skip_statement(&mut self, before: usize) {
        let mut depth = 0usize;
        loop {
            match self.tok.kind {
                Tok::Eof => break,
                Tok::Semi if depth == 0 => {
                    self.bump();
                    break;
                }
                Tok::LBrace => depth += 1,
                Tok::RBrace if depth == 0 => break,
                Tok::RBrace => depth -= 1,
                _ if depth == 0
                    && self.tok.start > before
                    && self.at_line_start()
                    && self.begins_statement() =>
                {
                    break
                }
                _ => {}
            }
            self.bump();
        }
    }

    fn begins_statement(&self) -> bool {
        match self.tok.kind {
            Tok::Var | Tok::Map => true,
            Tok::Ident => STATEMENT_WORDS.contains(&self.word()) || self.peek().kind == Tok::LParen,
            _ => false,
        }
    }

    fn statement(&mut self) -> Read {
        match self.tok.kind {
            Tok::LBrace => {
                let block = self.block();
                return Read::ClosedExpr(self.block_expr(block));
            }
            Tok::Ident => {}
            _ => return self.expr_or_assignment(),
        }
        match self.word() {
            "if" => Read::ClosedExpr(self.if_expr()),
            "for" => Read::Closed(self.for_loop()),
            "while" => {
                self.bump();
                let cond = self.expr();
                let body = self.body();
                Read::Closed(StmtKind::While { cond, body })
            }
            "unroll" => {
                self.bump();
                let count = self.expr();
                let body = self.body();
                Read::Closed(StmtKind::Unroll { count, body })
            }
            "let" => Read::Stmt(self.let_statement()),
            "break" => {
                self.bump();
                Read::Stmt(StmtKind::Break)
            }
            "continue" => {
                self.bump();
                Read::Stmt(StmtKind::Continue)
            }
            "return" => {
                self.bump();
                let ends = matches!(self.tok.kind, Tok::Semi | Tok::RBrace | Tok::Eof);
                Read::Stmt(StmtKind::Return((!ends).then(|| self.expr())))
            }
            "import" => {
                let import = self.import();
                Read::Stmt(StmtKind::Import(import))
            }
            "_" if self.peek().kind == Tok::Assign => {
                self.bump();
                self.bump();
                Read::Stmt(StmtKind::Discard(self.expr()))
            }
            "else" => {
                self.error(self.tok_span(), "'else' without an 'if' before it");
                self.bump();
                Read::Expr(self.hole())
            }
            _ => self.expr_or_assignment(),
        }
    }

    fn expr_or_assignment(&mut self) -> Read {
        let lhs = self.expr();
        let Some(&(_, op)) = ASSIGNMENTS.iter().find(|row| row.0 == self.tok.kind) else {
            return Read::Expr(lhs);
        };
        let height = self.height;
        self.bump();
        let rhs = self.expr();
        self.height = self.height.max(height);
        Read::Stmt(StmtKind::Assign { lhs, op, rhs })
    }

    /// Reads a loop's block; the greatest height includes the head that was read before.
    fn body(&mut self) -> Block {
        let height = self.height;
        let block = self.block();
        self.height = self.height.max(height);
        block
    }

    fn let_statement(&mut self) -> StmtKind {
        self.bump();
        let var = self.variable();
        self.height = 0;
        let ty = self.eat(Tok::Colon).then(|| self.type_expr());
        let height = self.height;
        let value = self.eat(Tok::Assign).then(|| self.expr());
        self.height = self.height.max(height);
        StmtKind::Let { var, ty, value }
    }

    /// Reads `$x`.
    fn variable(&mut self) -> Expr {
        if !self.at(Tok::Var) {
            self.expected("a variable");
            return self.hole();
        }
        let Token { start, end, .. } = self.bump();
        let name = self.text.get(start..end).unwrap_or("").to_string();
        self.make(self.span(start, end), ExprKind::Var(name), 0)
    }

    fn for_loop(&mut self) -> StmtKind {
        self.bump();
        let paren = self.eat(Tok::LParen);
        let var = self.variable();
        self.expect(Tok::Colon, "':'");
        let first = self.expr();
        let mut height = self.height;
        let end = self.eat(Tok::DotDot).then(|| self.expr());
        height = height.max(self.height);
        if paren {
            self.expect(Tok::RParen, "')'");
        }
        self.height = height;
        let body = self.body();
        match end {
            Some(end) => StmtKind::ForRange { var, start: first, end, body },
            None => StmtKind::ForMap { var, map: first, body },
        }
    }

    /// At `import`: reads it and its path.
    pub(super) fn import(&mut self) -> Import {
        let start = self.bump().start;
        let path = self.string("the path of the import in double quotes");
        Import { id: self.ids.fresh(), span: self.span_from(start), path }
    }

    /// Reads a string that is text.
    pub(super) fn string(&mut self, what: &str) -> String {
        if !self.at(Tok::Str) {
            self.expected(what);
            return String::new();
        }
        let token = self.bump();
        String::from_utf8(self.string_value(token)).unwrap_or_else(|error| {
            let span = self.span(token.start, token.end);
            let diagnostic = Diagnostic::error(span, "syntax: this string must be valid UTF-8");
            self.report(diagnostic);
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        })
    }
}
