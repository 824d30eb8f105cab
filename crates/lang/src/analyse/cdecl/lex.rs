//! Tokens of C text.

/// A token.
#[derive(Clone, PartialEq, Debug)]
pub enum Tok {
    /// Identifier or keyword.
    Word(String),
    /// Integer or character constant.
    Int(i128),
    /// String literal, escapes resolved.
    Str(Vec<u8>),
    /// Punctuation, up to two characters (`<<`, `&&`).
    Punct(&'static str),
}

const PUNCTS: &[&str] = &[
    "<<", ">>", "&&", "||", "==", "!=", "<=", ">=", "->", "{", "}", "(", ")", "[", "]", ";", ",", ":", "*",
    "=", "+", "-", "/", "%", "&", "|", "^", "~", "!", "<", ">", "?", ".", "#",
];

fn integer(text: &str) -> Option<i128> {
    let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i128::from_str_radix(hex, 16).ok();
    }
    if let Some(bin) = text.strip_prefix("0b") {
        return i128::from_str_radix(bin, 2).ok();
    }
    if text.len() > 1 && text.starts_with('0') {
        return i128::from_str_radix(text, 8).ok();
    }
    text.parse().ok()
}

/// One escape sequence behind its backslash: the byte and how many bytes it took.
fn escape(rest: &[u8]) -> (u8, usize) {
    match rest.first() {
        Some(b'n') => (b'\n', 1),
        Some(b't') => (b'\t', 1),
        Some(b'r') => (b'\r', 1),
        Some(b'x') => {
            let digits: Vec<u8> =
                rest.iter().skip(1).take(2).copied().take_while(u8::is_ascii_hexdigit).collect();
            let text = String::from_utf8_lossy(&digits).into_owned();
            (u8::from_str_radix(&text, 16).unwrap_or(b'x'), 1 + digits.len())
        }
        Some(b'0'..=b'7') => {
            let digits: Vec<u8> =
                rest.iter().take(3).copied().take_while(|b| (b'0'..=b'7').contains(b)).collect();
            let value = digits.iter().fold(0u32, |v, d| v * 8 + u32::from(d - b'0'));
            (value as u8, digits.len())
        }
        Some(&b) => (b, 1),
        None => (b'\\', 0),
    }
}

fn quoted(bytes: &[u8], quote: u8) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut i = 1;
    while let Some(&b) = bytes.get(i) {
        i += 1;
        match b {
            b'\\' => {
                let (byte, used) = escape(bytes.get(i..).unwrap_or(&[]));
                out.push(byte);
                i += used;
            }
            b if b == quote => break,
            b => out.push(b),
        }
    }
    (out, i)
}

/// The tokens of a text; comments and what is no C are left out.
pub fn tokens(text: &str) -> Vec<Tok> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let rest = bytes.get(i..).unwrap_or(&[]);
        let run = |ok: fn(&u8) -> bool| rest.iter().take_while(|b| ok(b)).count();
        match b {
            _ if rest.starts_with(b"//") => i += run(|b| *b != b'\n'),
            _ if rest.starts_with(b"/*") => {
                i += rest.windows(2).skip(2).position(|w| w == b"*/").map_or(rest.len(), |p| p + 4);
            }
            b'"' => {
                let (s, used) = quoted(rest, b'"');
                out.push(Tok::Str(s));
                i += used;
            }
            b'\'' => {
                let (s, used) = quoted(rest, b'\'');
                out.push(Tok::Int(i128::from(s.first().copied().unwrap_or(0) as i8)));
                i += used;
            }
            b'0'..=b'9' => {
                let n = run(u8::is_ascii_alphanumeric);
                let word = text.get(i..i + n).unwrap_or("");
                out.push(integer(word).map_or_else(|| Tok::Word(word.to_string()), Tok::Int));
                i += n;
            }
            b if b.is_ascii_alphabetic() || b == b'_' => {
                let n = run(|b| b.is_ascii_alphanumeric() || *b == b'_');
                out.push(Tok::Word(text.get(i..i + n).unwrap_or("").to_string()));
                i += n;
            }
            _ => match PUNCTS.iter().find(|p| rest.starts_with(p.as_bytes())) {
                Some(p) => {
                    out.push(Tok::Punct(p));
                    i += p.len();
                }
                None => i += 1,
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_tokens() {
        let got = tokens("x /* c */ 0x1fUL << 2 'a' \"s\\n\" // end");
        let want = [
            Tok::Word("x".into()),
            Tok::Int(31),
            Tok::Punct("<<"),
            Tok::Int(2),
            Tok::Int(97),
            Tok::Str(b"s\n".to_vec()),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn unfinished_text_ends_quietly() {
        for text in ["/*", "\"abc", "'", "\\", "0x", "é", "\"\\"] {
            tokens(text);
        }
    }
}
