//! Attach points: text with its own rules, read from the characters.

use super::Parser;
use crate::ast::{AttachPart, AttachPoint};
use crate::lexer;
use crate::literal;
use crate::token::Tok;

impl Parser<'_> {
    /// Reads `ap, ap, ...` up to a predicate or a body.
    pub(super) fn attach_points(&mut self) -> Vec<AttachPoint> {
        let mut points = Vec::new();
        loop {
            if !self.begins_attach_point() {
                let span = if points.is_empty() { self.tok_span() } else { self.missing_span() };
                self.error(span, "expected a probe");
                break;
            }
            points.push(self.attach_point());
            if !self.eat(Tok::Comma) || self.at(Tok::LBrace) || self.at(Tok::Slash) {
                break;
            }
        }
        points
    }

    fn begins_attach_point(&self) -> bool {
        let Some(&first) = self.src.get(self.tok.start) else { return false };
        lexer::is_name(first) || matches!(first, b'*' | b'"' | b'$' | b'?' | b'[') || first >= 0x80
    }

    fn attach_point(&mut self) -> AttachPoint {
        let whole_start = self.tok.start;
        let mut name = None;
        if self.at(Tok::Ident) && self.peek().kind == Tok::Assign {
            name = Some(self.word().to_string());
            self.bump();
            self.bump();
            if !self.begins_attach_point() {
                self.expected("a probe");
            }
        }
        let start = self.tok.start;
        let end = attach_point_end(self.src, start);
        self.prev_end = end;
        self.seek(end);
        let raw = self.text.get(start..end).unwrap_or("").to_string();
        let parts = self.attach_parts(start, &raw);
        AttachPoint { span: self.span(whole_start, end), name, raw, parts }
    }

    /// Splits an attach point at `:` outside quotes, and resolves the quotes.
    fn attach_parts(&mut self, start: usize, raw: &str) -> Vec<AttachPart> {
        let (src, mut parts) = (raw.as_bytes(), Vec::new());
        let mut part = AttachPart { text: String::new(), quoted: false };
        let mut pos = 0;
        while let Some(&b) = src.get(pos) {
            let end = match b {
                b':' => {
                    parts.push(std::mem::replace(
                        &mut part,
                        AttachPart { text: String::new(), quoted: false },
                    ));
                    pos + 1
                }
                b'"' => {
                    let (kind, end) = lexer::string_end(src, pos);
                    part.quoted = true;
                    self.quoted_part(start + pos, kind, &raw[pos..end], &mut part.text);
                    end
                }
                _ => {
                    let len = src[pos..].iter().take_while(|b| !matches!(b, b':' | b'"')).count();
                    part.text.push_str(&raw[pos..pos + len]);
                    pos + len
                }
            };
            pos = end;
        }
        parts.push(part);
        parts
    }

    fn quoted_part(&mut self, start: usize, kind: Tok, quoted: &str, out: &mut String) {
        let inside = quoted.strip_prefix('"').unwrap_or(quoted);
        if kind == Tok::OpenStr {
            self.error_inside(
                self.span(start, start + quoted.len()),
                "this string is not closed on its line",
            );
            out.push_str(inside);
            return;
        }
        let inside = inside.strip_suffix('"').unwrap_or(inside);
        let (bytes, wrong) = literal::unescape(inside);
        for (at, len, message) in wrong {
            self.error_inside(self.span(start + 1 + at, start + 1 + at + len), message);
        }
        out.push_str(&String::from_utf8_lossy(&bytes));
    }
}

/// Where the attach point that begins at `pos` ends: at white space, `{`, `,` and what cannot be in one, and at a `/`
/// before the first `:`. Quoted text is taken whole.
fn attach_point_end(src: &[u8], mut pos: usize) -> usize {
    let mut colon_seen = false;
    while let Some(&b) = src.get(pos) {
        match b {
            b'"' => {
                pos = lexer::string_end(src, pos).1;
                continue;
            }
            b'{' | b'}' | b',' | b';' => break,
            b'/' if !colon_seen => break,
            b if lexer::is_space(b) => break,
            b':' => colon_seen = true,
            _ => {}
        }
        pos += 1;
    }
    pos
}
