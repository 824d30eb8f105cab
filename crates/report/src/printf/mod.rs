//! The format strings of `printf()` and its family: grammar and what each conversion takes.
//!
//! `%[-][+][ ][#][0][width|*][.precision|*][hh h l ll j z t]conversion`

mod render;

use std::fmt;

pub use render::Field;

/// The most characters a width or precision may ask for; a larger one is surely a mistake.
pub const MAX_WIDTH: u32 = 65_535;

/// A parsed format string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Text and conversions in order; texts are never adjacent.
    pub segments: Vec<Segment>,
}

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text as it is.
    Literal(Box<[u8]>),
    /// A conversion.
    Spec(Spec),
}

/// One conversion with all that modifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `-`, `+`, space, `#` and `0`.
    pub flags: Flags,
    /// Least number of characters.
    pub width: Option<Count>,
    /// Least number of digits; of a string the greatest number of bytes.
    pub precision: Option<Count>,
    /// How many bits of an integer count.
    pub length: Length,
    /// What is written.
    pub conv: Conv,
    /// Where in the format it stands, in bytes.
    pub offset: usize,
    /// How many bytes of the format it takes.
    pub len: usize,
}

/// The flags of a conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-`: to the left.
    pub left: bool,
    /// `+`: a sign always.
    pub plus: bool,
    /// ` `: a space where a sign would be.
    pub space: bool,
    /// `#`: `0x` or `0` in front.
    pub alternate: bool,
    /// `0`: zeros instead of spaces.
    pub zero: bool,
}

/// A width or precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Written in the format.
    Fixed(u32),
    /// `*`: an argument of its own, before the one converted.
    Arg,
}

/// The length modifier of an integer conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// None: 32 bits.
    #[default]
    Int,
    /// `hh`: 8 bits.
    Char,
    /// `h`: 16 bits.
    Short,
    /// `l`, `ll`, `j`, `z`, `t`: 64 bits.
    Long,
}

impl Length {
    /// How many bits of the argument count.
    pub fn bits(self) -> u32 {
        match self {
            Length::Char => 8,
            Length::Short => 16,
            Length::Int => 32,
            Length::Long => 64,
        }
    }
}

/// What a conversion writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conv {
    /// `d`, `i`
    Signed,
    /// `u`
    Unsigned,
    /// `o`
    Octal,
    /// `x`
    Hex,
    /// `X`
    HexUpper,
    /// `c`
    Char,
    /// `p`
    Pointer,
    /// `s`: any value.
    Str,
    /// `r`: bytes, the printable ones as they are and the others as `\xNN`.
    Buffer,
    /// `rx`: bytes, all as `\xNN`.
    BufferEscaped,
    /// `rh`: bytes as `aa bb`.
    BufferHex,
    /// `gr`: memory allocation flags by name.
    GfpFlags,
}

/// What kind of argument a conversion is given, as far as formats care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgClass {
    /// An integer, boolean or enumerator.
    Integer,
    /// A pointer.
    Pointer,
    /// A buffer.
    Buffer,
    /// A string.
    Str,
    /// Anything else: tuple, record, stack, symbol, timestamp ...
    Other,
}

impl Conv {
    /// How it is spelled, without `%`.
    pub fn spelling(self) -> &'static str {
        CONVERSIONS.iter().find(|row| row.1 == self).map_or("", |row| row.0)
    }

    /// Whether it can write an argument of this class.
    pub fn accepts(self, class: ArgClass) -> bool {
        match self {
            Conv::Str => true,
            Conv::Buffer | Conv::BufferEscaped | Conv::BufferHex => class == ArgClass::Buffer,
            Conv::Char | Conv::GfpFlags => class == ArgClass::Integer,
            _ => matches!(class, ArgClass::Integer | ArgClass::Pointer),
        }
    }

    /// What it takes, for messages.
    pub fn expects(self) -> &'static str {
        match self {
            Conv::Str => "any value",
            Conv::Buffer | Conv::BufferEscaped | Conv::BufferHex => "a buffer",
            Conv::Char | Conv::GfpFlags => "an integer",
            _ => "an integer or pointer",
        }
    }
}

/// Spelling and meaning; a spelling that begins another stands after it.
const CONVERSIONS: &[(&str, Conv)] = &[
    ("d", Conv::Signed),
    ("i", Conv::Signed),
    ("u", Conv::Unsigned),
    ("o", Conv::Octal),
    ("x", Conv::Hex),
    ("X", Conv::HexUpper),
    ("c", Conv::Char),
    ("p", Conv::Pointer),
    ("s", Conv::Str),
    ("rx", Conv::BufferEscaped),
    ("rh", Conv::BufferHex),
    ("r", Conv::Buffer),
    ("gr", Conv::GfpFlags),
];

/// Spelling and meaning of length modifiers; a spelling that begins another stands after it.
const LENGTHS: &[(&str, Length)] = &[
    ("hh", Length::Char),
    ("h", Length::Short),
    ("ll", Length::Long),
    ("l", Length::Long),
    ("j", Length::Long),
    ("z", Length::Long),
    ("t", Length::Long),
];

/// Why a format is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// Where the conversion at fault begins, in bytes.
    pub offset: usize,
    /// How many bytes of it were read.
    pub len: usize,
    /// What is wrong.
    pub kind: FormatErrorKind,
}

/// The ways in which a format can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatErrorKind {
    /// The format ends within a conversion.
    Unfinished,
    /// No such conversion; its text from `%` on.
    Unknown(String),
    /// A width or precision above [`MAX_WIDTH`].
    TooWide,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.kind {
            FormatErrorKind::Unfinished => {
                write!(f, "the format string ends within a conversion; write `%%` for a percent sign")
            }
            FormatErrorKind::Unknown(text) => write!(
                f,
                "unknown conversion `{text}` in the format string; there are d i u o x X c p s r rx rh gr, \
                 and `%%` for a percent sign"
            ),
            FormatErrorKind::TooWide => {
                write!(f, "width or precision in the format string is above the limit of {MAX_WIDTH}")
            }
        }
    }
}

impl std::error::Error for FormatError {}

/// One argument that a format takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg<'a> {
    /// An integer for the `*` of this conversion.
    Count(&'a Spec),
    /// The value that this conversion writes.
    Value(&'a Spec),
}

impl Arg<'_> {
    /// Whether an argument of this class fits.
    pub fn accepts(&self, class: ArgClass) -> bool {
        match self {
            Arg::Count(_) => class == ArgClass::Integer,
            Arg::Value(spec) => spec.conv.accepts(class),
        }
    }
}

impl Format {
    /// Reads a format whose escapes (`\n`) are already replaced.
    ///
    /// # Errors
    /// When a conversion is unknown, unfinished or too wide.
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        Format::parse_bytes(text.as_bytes())
    }

    /// As [`Format::parse`], for a format that need not be UTF-8.
    ///
    /// # Errors
    /// When a conversion is unknown, unfinished or too wide.
    pub fn parse_bytes(text: &[u8]) -> Result<Format, FormatError> {
        let mut segments = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if byte != b'%' {
                literal.push(byte);
                at += 1;
            } else if text.get(at + 1) == Some(&b'%') {
                literal.push(b'%');
                at += 2;
            } else {
                let spec = Cursor { text, start: at, at: at + 1 }.spec()?;
                at += spec.len;
                if !literal.is_empty() {
                    segments.push(Segment::Literal(std::mem::take(&mut literal).into()));
                }
                segments.push(Segment::Spec(spec));
            }
        }
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal.into()));
        }
        Ok(Format { segments })
    }

    /// The conversions in order.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.segments.iter().filter_map(|s| match s {
            Segment::Spec(spec) => Some(spec),
            Segment::Literal(_) => None,
        })
    }

    /// The arguments it takes, in order.
    pub fn args(&self) -> impl Iterator<Item = Arg<'_>> {
        self.specs().flat_map(|spec| {
            let star = |count| (count == Some(Count::Arg)).then_some(Arg::Count(spec));
            [star(spec.width), star(spec.precision), Some(Arg::Value(spec))].into_iter().flatten()
        })
    }

    /// The text, when there are no conversions.
    pub fn as_literal(&self) -> Option<&[u8]> {
        match self.segments.as_slice() {
            [] => Some(b""),
            [Segment::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

/// Reads one conversion.
struct Cursor<'a> {
    text: &'a [u8],
    /// Where the `%` stands.
    start: usize,
    at: usize,
}

impl Cursor<'_> {
    fn error(&self, kind: FormatErrorKind) -> FormatError {
        let end = self.at.min(self.text.len());
        FormatError { offset: self.start, len: end - self.start, kind }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// The row of `table` whose spelling comes next.
    fn one_of<T: Copy>(&mut self, table: &[(&str, T)]) -> Option<T> {
        let &(spelling, value) = table.iter().find(|row| self.rest().starts_with(row.0.as_bytes()))?;
        self.at += spelling.len();
        Some(value)
    }

    fn spec(mut self) -> Result<Spec, FormatError> {
        let flags = self.flags();
        let width = if self.eat(b'*') { Some(Count::Arg) } else { self.number()?.map(Count::Fixed) };
        let precision = if !self.eat(b'.') {
            None
        } else if self.eat(b'*') {
            Some(Count::Arg)
        } else {
            Some(Count::Fixed(self.number()?.unwrap_or(0)))
        };
        let length = self.one_of(LENGTHS).unwrap_or_default();
        let Some(conv) = self.one_of(CONVERSIONS) else {
            if self.rest().is_empty() {
                return Err(self.error(FormatErrorKind::Unfinished));
            }
            // The whole character, so that the text stays readable.
            self.at += 1;
            while self.text.get(self.at).is_some_and(|b| b & 0xc0 == 0x80) {
                self.at += 1;
            }
            let text = String::from_utf8_lossy(&self.text[self.start..self.at]).into_owned();
            return Err(self.error(FormatErrorKind::Unknown(text)));
        };
        Ok(Spec { flags, width, precision, length, conv, offset: self.start, len: self.at - self.start })
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'-' => flags.left = true,
                b'+' => flags.plus = true,
                b' ' => flags.space = true,
                b'#' => flags.alternate = true,
                b'0' => flags.zero = true,
                _ => break,
            }
            self.at += 1;
        }
        flags
    }

    fn number(&mut self) -> Result<Option<u32>, FormatError> {
        let mut number = None;
        while let Some(digit) = self.text.get(self.at).filter(|b| b.is_ascii_digit()) {
            self.at += 1;
            let n = number.unwrap_or(0) * 10 + u32::from(digit - b'0');
            if n > MAX_WIDTH {
                return Err(self.error(FormatErrorKind::TooWide));
            }
            number = Some(n);
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Spec {
        let format = Format::parse(text).expect("a format");
        let spec = *format.specs().next().expect("a conversion");
        assert_eq!((spec.offset, spec.len), (0, text.len()), "{text}");
        spec
    }

    #[test]
    fn every_modifier_is_read() {
        let spec = one("%-+ #012.34lld");
        assert_eq!(spec.flags, Flags { left: true, plus: true, space: true, alternate: true, zero: true });
        assert_eq!(spec.width, Some(Count::Fixed(12)));
        assert_eq!(spec.precision, Some(Count::Fixed(34)));
        assert_eq!((spec.length, spec.conv), (Length::Long, Conv::Signed));
        let spec = one("%*.*s");
        assert_eq!((spec.width, spec.precision), (Some(Count::Arg), Some(Count::Arg)));
        assert_eq!(one("%.s").precision, Some(Count::Fixed(0)));
        for (text, bits) in [("%hhx", 8), ("%hx", 16), ("%x", 32), ("%lx", 64), ("%llx", 64)] {
            assert_eq!(one(text).length.bits(), bits);
        }
        for (text, bits) in [("%jx", 64), ("%zx", 64), ("%tx", 64)] {
            assert_eq!(one(text).length.bits(), bits);
        }
    }

    #[test]
    fn every_conversion_is_known_by_its_longest_spelling() {
        for &(spelling, conv) in CONVERSIONS {
            assert_eq!(one(&format!("%{spelling}")).conv, conv);
        }
        let format = Format::parse("%rx%rh%r.%grx").expect("a format");
        let convs: Vec<Conv> = format.specs().map(|s| s.conv).collect();
        assert_eq!(convs, [Conv::BufferEscaped, Conv::BufferHex, Conv::Buffer, Conv::GfpFlags]);
        assert_eq!(format.segments.last(), Some(&Segment::Literal(b"x"[..].into())));
        assert_eq!(Conv::GfpFlags.spelling(), "gr");
    }

    #[test]
    fn text_and_percent_signs_join() {
        let format = Format::parse("100%% of %%d %s!").expect("a format");
        assert_eq!(format.segments[0], Segment::Literal(b"100% of %d "[..].into()));
        assert_eq!(format.segments.len(), 3);
        assert_eq!(Format::parse("a%%").expect("a format").as_literal(), Some(&b"a%"[..]));
        assert_eq!(Format::parse("").expect("a format").as_literal(), Some(&b""[..]));
    }

    #[test]
    fn arguments_are_listed_with_their_stars() {
        let format = Format::parse("%*d %-.*s %p").expect("a format");
        let args: Vec<bool> = format.args().map(|a| matches!(a, Arg::Count(_))).collect();
        assert_eq!(args, [true, false, true, false, false]);
        let accepts: Vec<bool> = format.args().map(|a| a.accepts(ArgClass::Str)).collect();
        assert_eq!(accepts, [false, false, false, true, false]);
    }

    #[test]
    fn errors_name_their_place() {
        let err = |text: &str| Format::parse(text).expect_err("an error");
        assert_eq!(
            err("ab %y c"),
            FormatError { offset: 3, len: 2, kind: FormatErrorKind::Unknown("%y".into()) }
        );
        assert_eq!(err("%-5").kind, FormatErrorKind::Unfinished);
        assert_eq!(err("x%").offset, 1);
        assert_eq!(err("%99999999999d").kind, FormatErrorKind::TooWide);
        assert_eq!(err("%5é").kind, FormatErrorKind::Unknown("%5é".into()));
        assert!(err("%g").to_string().contains("`%g`"));
        assert!(Format::parse_bytes(b"%\xff").is_err());
    }
}
