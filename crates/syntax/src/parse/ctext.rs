//! The C part of a script: where each piece of it ends. What it says is read elsewhere.

use super::Parser;
use crate::ast::{CItem, CItemKind};
use crate::lexer;
use crate::token::{Tok, Token};

/// Words that begin a C declaration.
const DECLARATION_WORDS: &[&str] = &["enum", "struct", "typedef", "union"];

impl Parser<'_> {
    /// Whether a piece of C text begins here.
    pub(super) fn at_c_item(&self) -> bool {
        self.at(Tok::Hash) || (self.at(Tok::Ident) && DECLARATION_WORDS.contains(&self.word()))
    }

    /// Reads one piece of C text.
    pub(super) fn c_item(&mut self) -> CItem {
        let start = self.tok.start;
        let (kind, end, next) = if self.at(Tok::Hash) {
            let end = directive_end(self.src, start);
            if self.src[start..].starts_with(b"#!") {
                self.error(self.span(start, start + 2), "'#!' can only be the beginning of the first line");
            }
            let name = self.text.get(start + 1..end).unwrap_or("").trim_start();
            let kind = if name.starts_with("include") { CItemKind::Include } else { CItemKind::Directive };
            (kind, end, end)
        } else {
            let end = self.declaration_end();
            let next = lexer::token(self.src, end);
            (CItemKind::Declaration, end, if next.kind == Tok::Semi { next.end } else { end })
        };
        self.prev_end = next;
        self.seek(next);
        CItem { span: self.span(start, end), kind, text: self.text.get(start..end).unwrap_or("").to_string() }
    }

    /// The end of the declaration that begins at the current token, without its `;`.
    fn declaration_end(&mut self) -> usize {
        let word = self.word();
        let typedef = word == "typedef";
        let (mut token, mut end, mut depth) = (self.tok, self.tok.end, 0usize);
        loop {
            token = lexer::token(self.src, token.end);
            match token.kind {
                Tok::Eof => break,
                Tok::Unknown => {
                    token.end = character_constant_end(self.src, token.start).unwrap_or(token.end)
                }
                Tok::OpenStr => {
                    let span = self.span(token.start, token.end);
                    self.error_inside(span, "this string is not closed on its line");
                }
                Tok::Semi if depth == 0 => return end,
                Tok::LBrace | Tok::LParen | Tok::LBracket => depth += 1,
                Tok::RBrace if depth == 0 => break,
                Tok::RBrace | Tok::RParen | Tok::RBracket => {
                    depth = depth.saturating_sub(1);
                    if token.kind == Tok::RBrace && depth == 0 && !typedef {
                        return self.attributes_end(token.end);
                    }
                }
                _ => {}
            }
            end = token.end;
        }
        let what = if depth > 0 { "a closing bracket" } else { "';'" };
        let message = format!("expected {what} at the end of this {word}");
        self.error(self.tok_span(), message);
        // Only the first line is taken, so that the rest is still read.
        let line_end =
            self.src[self.tok.start..].iter().position(|&b| b == b'\n').map(|n| self.tok.start + n);
        line_end.filter(|_| depth == 0).unwrap_or(end)
    }

    /// The end of what may follow the `}` of a definition: attributes, and a word such as `__packed` before a `;`.
    fn attributes_end(&mut self, mut end: usize) -> usize {
        loop {
            let token = lexer::token(self.src, end);
            if token.kind != Tok::Ident {
                return end;
            }
            let next = lexer::token(self.src, token.end);
            if matches!(self.text_of(token), "__attribute__" | "__attribute") && next.kind == Tok::LParen {
                match self.parenthesis_end(next) {
                    Some(closed) => end = closed,
                    None => {
                        self.error(self.span(next.start, next.end), "this parenthesis is not closed");
                        return next.end;
                    }
                }
            } else if next.kind == Tok::Semi {
                return token.end;
            } else {
                return end;
            }
        }
    }

    /// The end of the parenthesis that `open` begins; `None` when it is not closed.
    fn parenthesis_end(&self, open: Token) -> Option<usize> {
        let (mut token, mut depth) = (open, 0usize);
        loop {
            match token.kind {
                Tok::LParen => depth += 1,
                Tok::RParen => depth -= 1,
                Tok::Eof | Tok::LBrace | Tok::RBrace | Tok::Semi => return None,
                _ => {}
            }
            if depth == 0 {
                return Some(token.end);
            }
            token = lexer::token(self.src, token.end);
        }
    }
}

/// The end of the `'c'` that begins at `start`, if one does.
fn character_constant_end(src: &[u8], start: usize) -> Option<usize> {
    let inside = src.get(start..)?.strip_prefix(b"'")?;
    let escaped = usize::from(inside.first() == Some(&b'\\'));
    let rest = inside.get(escaped + 1..)?;
    let len = rest.iter().take(4).position(|b| *b == b'\'')?;
    Some(start + 1 + escaped + 1 + len + 1)
}

/// The end of the preprocessor line that begins at `start`: before its line end or a `//` comment, without white
/// space. A `\` at the end of a line and a comment of several lines go on.
fn directive_end(src: &[u8], start: usize) -> usize {
    let mut pos = start;
    while let Some(&b) = src.get(pos) {
        match b {
            b'\n' => break,
            b'\\' if src[pos..].starts_with(b"\\\r\n") => pos += 3,
            b'\\' if src.get(pos + 1) == Some(&b'\n') => pos += 2,
            b'"' => pos = lexer::string_end(src, pos).1.max(pos + 1),
            b'/' => match lexer::comment_at(src, pos) {
                Some(_) if src.get(pos + 1) == Some(&b'/') => break,
                Some(comment) => pos = comment.end,
                None => pos += 1,
            },
            _ => pos += 1,
        }
    }
    let text = &src[start..pos.min(src.len())];
    start + text.iter().rposition(|b| !lexer::is_space(*b)).map_or(0, |last| last + 1)
}
