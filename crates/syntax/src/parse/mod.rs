//! The parser: recursive descent over tokens made on demand. It makes a tree of any text, reports all errors of a
//! file at once, and needs time linear in the text.

mod attach;
mod ctext;
mod expr;
mod item;
mod stmt;
mod types;

use crate::ast::{Comment, Expr, ExprKind, NodeIds, Script, TypeExpr};
use crate::diag::Diagnostic;
use crate::lexer;
use crate::span::{FileId, Span};
use crate::token::{Tok, Token};

pub(crate) use expr::binary_precedence;
pub(crate) use types::is_type_name;

/// How many errors of one file are reported; the rest is counted.
pub const MAX_ERRORS: usize = 25;
/// How deep expressions and blocks may nest in the text: what bounds the parser's own recursion.
pub const MAX_NESTING: usize = 96;
/// How high a tree may get, which long chains of operators also add to: what bounds the recursion of later stages.
pub const MAX_HEIGHT: usize = 400;
/// The largest text that is read, in bytes.
pub const MAX_SOURCE_BYTES: usize = 64 << 20;

/// Parses a script. There is a tree for any text; what could not be read is in the diagnostics, which are errors only.
pub fn parse(source: &str, file: FileId) -> (Script, Vec<Diagnostic>) {
    parse_after(source, file, NodeIds::default())
}

/// Parses a further script of the same run, such as an import or the standard library: its nodes are numbered on from
/// `ids`, so that side tables can hold the nodes of all of them. [`Script::ids`] is where the next one goes on.
pub fn parse_after(source: &str, file: FileId, ids: NodeIds) -> (Script, Vec<Diagnostic>) {
    let mut parser = Parser::new(source, file);
    parser.ids = ids;
    let mut script = parser.script();
    script.comments = std::mem::take(&mut parser.comments);
    script.ids = std::mem::take(&mut parser.ids);
    (script, parser.finish())
}

/// Parses one expression, which must be the whole text. `ids` numbers its nodes.
pub fn parse_expr(source: &str, file: FileId, ids: &mut NodeIds) -> (Expr, Vec<Diagnostic>) {
    whole(source, file, ids, |p| p.expr())
}

/// Parses one type, which must be the whole text. `ids` numbers the nodes of array lengths and `typeof` operands.
pub fn parse_type(source: &str, file: FileId, ids: &mut NodeIds) -> (TypeExpr, Vec<Diagnostic>) {
    whole(source, file, ids, |p| p.type_expr())
}

fn whole<T>(
    source: &str,
    file: FileId,
    ids: &mut NodeIds,
    read: impl FnOnce(&mut Parser) -> T,
) -> (T, Vec<Diagnostic>) {
    let mut parser = Parser::new(source, file);
    parser.ids = std::mem::take(ids);
    let value = read(&mut parser);
    if parser.tok.kind != Tok::Eof {
        parser.expected("the end of the text");
    }
    *ids = std::mem::take(&mut parser.ids);
    (value, parser.finish())
}

/// The state of the parser: a place in the text, and what was found so far.
struct Parser<'a> {
    text: &'a str,
    src: &'a [u8],
    file: FileId,
    /// The token to be read next.
    tok: Token,
    /// Offset behind the last token read.
    prev_end: usize,
    ids: NodeIds,
    comments: Vec<Comment>,
    diagnostics: Vec<Diagnostic>,
    hidden_errors: usize,
    /// Set by an error until the text is in step again: what follows an error is no news.
    panicking: bool,
    /// Set when parsing was given up.
    stopped: bool,
    nesting: usize,
    /// Height of the tree that was made last.
    height: usize,
    /// Within a predicate outside brackets: there `/ {` is its end.
    in_predicate: bool,
    /// Parameters of the macro that is being read.
    macro_params: Vec<String>,
    /// Names that the text defines as values, found when first needed.
    value_names: Option<std::collections::HashSet<&'a str>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, file: FileId) -> Parser<'a> {
        let mut parser = Parser {
            text,
            src: text.as_bytes(),
            file,
            tok: Token { kind: Tok::Eof, start: 0, end: 0 },
            prev_end: 0,
            ids: NodeIds::default(),
            comments: Vec::new(),
            diagnostics: Vec::new(),
            hidden_errors: 0,
            panicking: false,
            stopped: false,
            nesting: 0,
            height: 0,
            in_predicate: false,
            macro_params: Vec::new(),
            value_names: None,
        };
        if text.len() > MAX_SOURCE_BYTES {
            let limit = MAX_SOURCE_BYTES >> 20;
            parser.error(parser.span(0, 0), format!("the text is larger than {limit} MiB"));
            (parser.text, parser.src) = ("", b"");
        }
        parser.seek(0);
        parser
    }

    fn finish(mut self) -> Vec<Diagnostic> {
        if self.hidden_errors > 0 {
            let text = format!("syntax: {} more errors are not shown", self.hidden_errors);
            self.diagnostics.push(Diagnostic::error_anywhere(text));
        }
        self.diagnostics
    }

    // Places and tokens.

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end.max(start))
    }

    /// From `start` to the end of the last token read.
    fn span_from(&self, start: usize) -> Span {
        self.span(start, self.prev_end.max(start))
    }

    fn tok_span(&self) -> Span {
        self.span(self.tok.start, self.tok.end)
    }

    fn text_of(&self, token: Token) -> &'a str {
        self.text.get(token.start..token.end).unwrap_or("")
    }

    fn word(&self) -> &'a str {
        self.text_of(self.tok)
    }

    fn at(&self, kind: Tok) -> bool {
        self.tok.kind == kind
    }

    fn at_word(&self, word: &str) -> bool {
        self.at(Tok::Ident) && self.word() == word
    }

    /// The token behind the current one.
    fn peek(&self) -> Token {
        lexer::token(self.src, self.tok.end)
    }

    /// Makes the token at or behind `pos` the current one, and keeps the comments before it.
    fn seek(&mut self, pos: usize) {
        let mut open = None;
        let (text, file, comments) = (self.text, self.file, &mut self.comments);
        let start = lexer::skip_trivia(self.src, pos, |c| {
            let span = Span::new(file, c.start, c.end);
            comments.push(Comment { span, text: text.get(c.start..c.end).unwrap_or("").to_string() });
            if !c.closed {
                open = Some(Span::new(file, c.start, c.start + 2));
            }
        });
        self.tok = lexer::token_at(self.src, start);
        if let Some(span) = open {
            self.error(span, "this comment is not closed");
        }
    }

    /// Reads the current token.
    fn bump(&mut self) -> Token {
        let token = self.tok;
        self.prev_end = token.end;
        self.seek(token.end);
        token
    }

    fn eat(&mut self, kind: Tok) -> bool {
        let found = self.at(kind);
        if found {
            self.bump();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.bump();
        }
        found
    }

    /// Whether the current token is the first of its line.
    fn at_line_start(&self) -> bool {
        self.src.get(self.prev_end..self.tok.start).is_some_and(|between| between.contains(&b'\n'))
    }

    // Errors.

    fn error(&mut self, span: Span, message: impl AsRef<str>) {
        self.report(Diagnostic::error(span, format!("syntax: {}", message.as_ref())));
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.panicking || self.stopped {
            return;
        }
        self.panicking = true;
        self.keep(diagnostic);
    }

    /// Reports an error within a token; what follows is still in step.
    fn error_inside(&mut self, span: Span, message: impl AsRef<str>) {
        if !self.stopped {
            self.keep(Diagnostic::error(span, format!("syntax: {}", message.as_ref())));
        }
    }

    fn keep(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_ERRORS {
            self.diagnostics.push(diagnostic);
        } else {
            self.hidden_errors += 1;
        }
    }

    /// Where to point when something is missing: at the next token, or behind the last one when that is on another line.
    fn missing_span(&self) -> Span {
        if self.at(Tok::Eof) || self.at_line_start() {
            self.span(self.prev_end, self.prev_end)
        } else {
            self.tok_span()
        }
    }

    /// Reports that something is missing here.
    fn expected(&mut self, what: &str) {
        let diagnostic = self.missing(what);
        self.report(diagnostic);
    }

    fn missing(&self, what: &str) -> Diagnostic {
        let word = self.word();
        match self.tok.kind {
            Tok::Unknown => {
                let d = Diagnostic::error(
                    self.tok_span(),
                    format!("syntax: unexpected character '{}'", printable(word)),
                );
                match word {
                    "'" => d.hint("strings are written in double quotes"),
                    "$" => d.hint("variables are $name, parameters $1 and so on, their number is $#"),
                    _ => d,
                }
            }
            Tok::OpenStr => {
                Diagnostic::error(self.tok_span(), "syntax: this string is not closed on its line")
            }
            _ => Diagnostic::error(self.missing_span(), format!("syntax: expected {what}")),
        }
    }

    /// Reads a token of this kind; reports `what` as missing otherwise, and reads nothing.
    fn expect(&mut self, kind: Tok, what: &str) -> bool {
        let found = self.eat(kind);
        if !found {
            self.expected(what);
        }
        found
    }

    /// Reads a name; an empty one stands for what is missing.
    fn expect_name(&mut self, what: &str) -> (String, Span) {
        if self.at(Tok::Ident) {
            let token = self.bump();
            return (self.text_of(token).to_string(), self.span(token.start, token.end));
        }
        self.expected(what);
        (String::new(), self.missing_span())
    }

    /// Gives up: the rest of the text is not read.
    fn stop(&mut self) {
        self.stopped = true;
        self.prev_end = self.prev_end.max(self.tok.start);
        self.tok = Token { kind: Tok::Eof, start: self.src.len(), end: self.src.len() };
    }

    /// Runs `read` one level deeper; gives up when that is too deep.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            self.too_deep();
        }
        let value = read(self);
        self.nesting -= 1;
        value
    }

    fn too_deep(&mut self) {
        if !self.stopped {
            self.panicking = false;
            self.error(self.tok_span(), "this is nested too deeply");
            self.stop();
        }
    }

    /// Takes note of a tree whose children have the given greatest height.
    fn grow(&mut self, child_height: usize) {
        self.height = child_height + 1;
        if self.height > MAX_HEIGHT {
            self.too_deep();
        }
    }

    /// Makes an expression of children with the given greatest height.
    fn make(&mut self, span: Span, kind: ExprKind, child_height: usize) -> Expr {
        self.grow(child_height);
        Expr { id: self.ids.fresh(), span, kind }
    }

    /// An expression that could not be read.
    fn hole(&mut self) -> Expr {
        let span = self.missing_span();
        self.make(span, ExprKind::Error, 0)
    }

    /// Reads items separated by commas up to `close` (not read), a comma behind the last included. Gives the greatest
    /// height of their trees, and whether there was a comma behind the last.
    fn comma_list(&mut self, close: Tok, mut read: impl FnMut(&mut Self)) -> (usize, bool) {
        let (mut height, mut trailing) = (0, false);
        while !self.at(close) && !self.at(Tok::Eof) {
            let before = self.tok.start;
            self.height = 0;
            read(self);
            height = height.max(self.height);
            trailing = self.eat(Tok::Comma);
            if !trailing || self.tok.start == before {
                break;
            }
        }
        (height, trailing)
    }
}

/// Text with control characters shown as escapes.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::{dump_expr, dump_type};

    #[test]
    fn several_scripts_share_their_ids() {
        let (first, _) = parse("begin { 1 + 2 }", FileId(0));
        let (second, _) = parse_after("end { 3 }", FileId(1), first.ids.clone());
        assert_eq!(first.ids.count(), 4);
        assert_eq!(second.ids.count(), 6);
    }

    #[test]
    fn single_expressions_and_types() {
        let mut ids = NodeIds::default();
        let (expr, errors) = parse_expr("1 + $x", FileId(0), &mut ids);
        assert_eq!((dump_expr(&expr).as_str(), errors.len()), ("binary +\n  int 1\n  var $x\n", 0));
        let (ty, errors) = parse_type("const struct x **[4]", FileId(0), &mut ids);
        assert_eq!((dump_type(&ty).as_str(), errors.len()), ("struct x * *[int 4]", 0));
        let (_, errors) = parse_expr("1 2", FileId(0), &mut ids);
        assert_eq!(errors[0].message, "syntax: expected the end of the text");
        let (_, errors) = parse_type("", FileId(0), &mut ids);
        assert_eq!(errors[0].message, "syntax: expected a type");
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "begin { $x = 0x12345678abcdef; errorf(\"%x\", ($x), -$x); }";
        let (script, _) = parse(text, FileId(3));
        let Some(crate::ast::Item::Probe(probe)) = script.items.first() else { panic!("a probe") };
        let stmt = probe.body.stmts.get(1).map(|s| s.span);
        assert_eq!(
            stmt.map(|s| (s.file, &text[s.start as usize..s.end as usize])),
            Some((FileId(3), "errorf(\"%x\", ($x), -$x)"))
        );
        assert_eq!((probe.span.start, probe.span.end as usize), (0, text.len()));
    }

    #[test]
    fn only_so_many_errors_are_shown() {
        let (_, errors) = parse(&format!("begin {{ {} }}", "1 +; ".repeat(100)), FileId(0));
        assert_eq!(errors.len(), MAX_ERRORS + 1);
        assert_eq!(errors[MAX_ERRORS].message, "syntax: 75 more errors are not shown");
    }
}
