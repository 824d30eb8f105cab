//! The lexer: one token at an offset. It has no state, so that the parser may read C text and attach points its own
//! way and go on from there.

use crate::token::{punctuation, Tok, Token};

/// A piece of text between tokens that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommentAt {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte (not the line end).
    pub end: usize,
    /// False for a `/*` without `*/`.
    pub closed: bool,
}

/// The offset of the first byte at or behind `pos` that is neither white space nor a comment.
pub fn skip_trivia(src: &[u8], mut pos: usize, mut on_comment: impl FnMut(CommentAt)) -> usize {
    loop {
        while src.get(pos).is_some_and(|b| is_space(*b)) {
            pos += 1;
        }
        match comment_at(src, pos) {
            Some(comment) => {
                on_comment(comment);
                pos = comment.end;
            }
            None => return pos,
        }
    }
}

/// The comment that begins at `pos`, if one does.
pub fn comment_at(src: &[u8], pos: usize) -> Option<CommentAt> {
    let rest = src.get(pos..)?;
    if rest.starts_with(b"//") {
        let len = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let len = if rest[..len].ends_with(b"\r") { len - 1 } else { len };
        return Some(CommentAt { start: pos, end: pos + len, closed: true });
    }
    if rest.starts_with(b"/*") {
        return Some(match rest[2..].windows(2).position(|w| w == b"*/") {
            Some(len) => CommentAt { start: pos, end: pos + 2 + len + 2, closed: true },
            None => CommentAt { start: pos, end: src.len(), closed: false },
        });
    }
    None
}

/// Whether the byte is white space.
pub fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Whether a name may begin with the byte.
pub fn is_name_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

/// Whether the byte may stand in a name.
pub fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// The offset behind the name characters from `pos` on.
pub fn name_end(src: &[u8], pos: usize) -> usize {
    let rest = src.get(pos..).unwrap_or(&[]);
    pos + rest.iter().take_while(|b| is_name(**b)).count()
}

/// The token at or behind `pos`.
pub fn token(src: &[u8], pos: usize) -> Token {
    token_at(src, skip_trivia(src, pos, |_| {}))
}

/// The token that begins exactly at `start`, where there is no white space and no comment.
pub fn token_at(src: &[u8], start: usize) -> Token {
    let Some(&first) = src.get(start) else {
        return Token { kind: Tok::Eof, start: src.len(), end: src.len() };
    };
    let (kind, end) = match first {
        b if is_name_start(b) => (Tok::Ident, name_end(src, start)),
        b if b.is_ascii_digit() => (Tok::Int, name_end(src, start)),
        b'"' => string_end(src, start),
        b'@' => (
            Tok::Map,
            if src.get(start + 1).is_some_and(|b| is_name_start(*b)) {
                name_end(src, start + 1)
            } else {
                start + 1
            },
        ),
        b'$' => match src.get(start + 1) {
            Some(b'#') => (Tok::ParamCount, start + 2),
            Some(b) if b.is_ascii_digit() => (Tok::Positional, digits_end(src, start + 1)),
            Some(b) if is_name_start(*b) => (Tok::Var, name_end(src, start + 1)),
            _ => (Tok::Unknown, start + 1),
        },
        _ => match punctuation(&src[start..]) {
            Some((kind, len)) => (kind, start + len),
            None => (Tok::Unknown, character_end(src, start)),
        },
    };
    Token { kind, start, end }
}

/// The end of the string that begins at `start` (with its quote), or of its line when it is open.
pub fn string_end(src: &[u8], start: usize) -> (Tok, usize) {
    let mut pos = start + 1;
    while let Some(&b) = src.get(pos) {
        match b {
            b'"' => return (Tok::Str, pos + 1),
            b'\n' => break,
            b'\\' if src.get(pos + 1).is_some_and(|b| *b != b'\n') => pos += 2,
            _ => pos += 1,
        }
    }
    let end = pos.min(src.len());
    (Tok::OpenStr, if end > start + 1 && src[end - 1] == b'\r' { end - 1 } else { end })
}

fn digits_end(src: &[u8], pos: usize) -> usize {
    let rest = src.get(pos..).unwrap_or(&[]);
    pos + rest.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The end of the UTF-8 character that begins at `start`.
fn character_end(src: &[u8], start: usize) -> usize {
    let rest = src.get(start + 1..).unwrap_or(&[]);
    start + 1 + rest.iter().take_while(|b| **b & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Tok, &str)> {
        let (mut pos, mut out) = (0, Vec::new());
        loop {
            let t = token(text.as_bytes(), pos);
            if t.kind == Tok::Eof {
                return out;
            }
            out.push((t.kind, &text[t.start..t.end]));
            pos = t.end;
        }
    }

    #[test]
    fn names_numbers_and_sigils() {
        assert_eq!(
            kinds("a1 0x1F 5ms $x $12 $# @ @m $"),
            [
                (Tok::Ident, "a1"),
                (Tok::Int, "0x1F"),
                (Tok::Int, "5ms"),
                (Tok::Var, "$x"),
                (Tok::Positional, "$12"),
                (Tok::ParamCount, "$#"),
                (Tok::Map, "@"),
                (Tok::Map, "@m"),
                (Tok::Unknown, "$"),
            ]
        );
    }

    #[test]
    fn longest_mark_wins() {
        assert_eq!(
            kinds("a>>=b->c..d++").iter().map(|t| t.0).collect::<Vec<_>>(),
            [
                Tok::Ident,
                Tok::ShrAssign,
                Tok::Ident,
                Tok::Arrow,
                Tok::Ident,
                Tok::DotDot,
                Tok::Ident,
                Tok::Inc
            ]
        );
        assert_eq!(kinds("0..5"), [(Tok::Int, "0"), (Tok::DotDot, ".."), (Tok::Int, "5")]);
        assert_eq!(kinds("$a.0.1").len(), 5);
    }

    #[test]
    fn strings_end_at_their_quote_or_line() {
        assert_eq!(kinds(r#""a\"b" x"#), [(Tok::Str, r#""a\"b""#), (Tok::Ident, "x")]);
        assert_eq!(kinds("\"ab\r\nx"), [(Tok::OpenStr, "\"ab"), (Tok::Ident, "x")]);
        assert_eq!(kinds("\"ab\\"), [(Tok::OpenStr, "\"ab\\")]);
        assert_eq!(kinds("\"\\\n"), [(Tok::OpenStr, "\"\\")]);
    }

    #[test]
    fn comments_are_trivia() {
        let mut seen = Vec::new();
        let text = b" // one\r\n/* two */x";
        assert_eq!(skip_trivia(text, 0, |c| seen.push((c.start, c.end, c.closed))), 18);
        assert_eq!(seen, [(1, 7, true), (9, 18, true)]);
        assert_eq!(comment_at(b"/* x", 0), Some(CommentAt { start: 0, end: 4, closed: false }));
        assert_eq!(comment_at(b"/*/", 0).map(|c| c.closed), Some(false));
    }

    #[test]
    fn unknown_characters_are_whole() {
        assert_eq!(kinds("\u{20ac}x"), [(Tok::Unknown, "\u{20ac}"), (Tok::Ident, "x")]);
    }
}
