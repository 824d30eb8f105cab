//! Tokens of the script language, as tables: one row per punctuation mark and per keyword.

/// Kind of a token. The text is the source between its offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Tok {
    /// End of the text.
    Eof,
    /// A name or a keyword.
    Ident,
    /// A number with its suffix.
    Int,
    /// `"text"`.
    Str,
    /// A string that its line does not close.
    OpenStr,
    /// `$x`.
    Var,
    /// `@m` or `@`.
    Map,
    /// `$1`.
    Positional,
    /// `$#`.
    ParamCount,
    /// A character that begins no token.
    Unknown,
    /// `{`
    LBrace,
    /// `}`
    RBrace,
    /// `(`
    LParen,
    /// `)`
    RParen,
    /// `[`
    LBracket,
    /// `]`
    RBracket,
    /// `;`
    Semi,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `?`
    Question,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// `->`
    Arrow,
    /// `#`
    Hash,
    /// `=`
    Assign,
    /// `+=`
    AddAssign,
    /// `-=`
    SubAssign,
    /// `*=`
    MulAssign,
    /// `/=`
    DivAssign,
    /// `%=`
    ModAssign,
    /// `&=`
    AndAssign,
    /// `|=`
    OrAssign,
    /// `^=`
    XorAssign,
    /// `<<=`
    ShlAssign,
    /// `>>=`
    ShrAssign,
    /// `++`
    Inc,
    /// `--`
    Dec,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Star,
    /// `/`
    Slash,
    /// `%`
    Percent,
    /// `&`
    Amp,
    /// `|`
    Pipe,
    /// `^`
    Caret,
    /// `~`
    Tilde,
    /// `!`
    Bang,
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// `==`
    EqEq,
    /// `!=`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `&&`
    AndAnd,
    /// `||`
    OrOr,
}

/// A token: its kind and byte offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// Kind.
    pub kind: Tok,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

/// Punctuation marks; where one begins another, the longer stands first.
pub const PUNCTUATION: &[(&str, Tok)] = &[
    ("<<=", Tok::ShlAssign),
    (">>=", Tok::ShrAssign),
    ("->", Tok::Arrow),
    ("..", Tok::DotDot),
    ("++", Tok::Inc),
    ("--", Tok::Dec),
    ("<<", Tok::Shl),
    (">>", Tok::Shr),
    ("<=", Tok::Le),
    (">=", Tok::Ge),
    ("==", Tok::EqEq),
    ("!=", Tok::NotEq),
    ("&&", Tok::AndAnd),
    ("||", Tok::OrOr),
    ("+=", Tok::AddAssign),
    ("-=", Tok::SubAssign),
    ("*=", Tok::MulAssign),
    ("/=", Tok::DivAssign),
    ("%=", Tok::ModAssign),
    ("&=", Tok::AndAssign),
    ("|=", Tok::OrAssign),
    ("^=", Tok::XorAssign),
    ("{", Tok::LBrace),
    ("}", Tok::RBrace),
    ("(", Tok::LParen),
    (")", Tok::RParen),
    ("[", Tok::LBracket),
    ("]", Tok::RBracket),
    (";", Tok::Semi),
    (",", Tok::Comma),
    (":", Tok::Colon),
    ("?", Tok::Question),
    (".", Tok::Dot),
    ("#", Tok::Hash),
    ("=", Tok::Assign),
    ("+", Tok::Plus),
    ("-", Tok::Minus),
    ("*", Tok::Star),
    ("/", Tok::Slash),
    ("%", Tok::Percent),
    ("&", Tok::Amp),
    ("|", Tok::Pipe),
    ("^", Tok::Caret),
    ("~", Tok::Tilde),
    ("!", Tok::Bang),
    ("<", Tok::Lt),
    (">", Tok::Gt),
];

/// The most marks that begin with the same character.
const MARKS_PER_BYTE: usize = 4;
/// Rows of [`PUNCTUATION`] by first byte, counted from 1; 0 is none.
static MARKS: [[u8; MARKS_PER_BYTE]; 128] = {
    let mut table = [[0; MARKS_PER_BYTE]; 128];
    let mut row = 0;
    while row < PUNCTUATION.len() {
        let first = PUNCTUATION[row].0.as_bytes()[0] as usize;
        let mut slot = 0;
        while table[first][slot] != 0 {
            slot += 1;
        }
        row += 1;
        table[first][slot] = row as u8;
    }
    table
};

/// The longest punctuation mark that the text begins with, and its length.
pub fn punctuation(text: &[u8]) -> Option<(Tok, usize)> {
    let rows = MARKS.get(*text.first()? as usize)?;
    let rows = rows.iter().map_while(|row| PUNCTUATION.get((*row as usize).checked_sub(1)?));
    rows.into_iter()
        .find(|(mark, _)| text.starts_with(mark.as_bytes()))
        .map(|(mark, kind)| (*kind, mark.len()))
}

/// Words that cannot be names of variables, macros or values.
pub const KEYWORDS: &[&str] = &[
    "break", "comptime", "continue", "else", "fn", "for", "if", "import", "let", "macro", "offsetof",
    "return", "sizeof", "typeinfo", "typeof", "unroll", "while",
];

/// Whether the word is a keyword.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.windows(2).all(|w| w[0] < w[1]));
        assert!(is_keyword("while") && !is_keyword("config"));
    }

    #[test]
    fn every_mark_is_found() {
        for (mark, kind) in PUNCTUATION {
            assert_eq!(punctuation(mark.as_bytes()), Some((*kind, mark.len())));
        }
        assert_eq!((punctuation(b""), punctuation(b"x"), punctuation(b"\xff")), (None, None, None));
    }

    #[test]
    fn no_mark_hides_a_longer_one() {
        for (i, (early, _)) in PUNCTUATION.iter().enumerate() {
            assert!(PUNCTUATION[i + 1..].iter().all(|(late, _)| !late.starts_with(early)), "{early}");
        }
    }
}
