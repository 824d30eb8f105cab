//! Types as written, and the question whether a parenthesis holds one.

use std::collections::HashSet;

use super::Parser;
use crate::ast::{ExprKind, TypeExpr, TypeExprKind, TypeOrExpr, TypeTag};
use crate::lexer;
use crate::token::{is_keyword, Tok, Token};

/// Words that form the names of C integer types, alone or several of them.
const C_WORDS: &[&str] =
    &["_Bool", "__int128", "char", "double", "float", "int", "long", "short", "signed", "unsigned", "void"];

/// Words that say nothing about the layout of a type.
const QUALIFIERS: &[&str] = &["const", "restrict", "volatile"];

/// Names that always mean a type. Names that end in `_t` do so too where there is a choice.
const TYPE_NAMES: &[&str] = &[
    "__be16",
    "__be32",
    "__be64",
    "__le16",
    "__le32",
    "__le64",
    "__s16",
    "__s32",
    "__s64",
    "__s8",
    "__u16",
    "__u32",
    "__u64",
    "__u8",
    "bool",
    "buffer",
    "inet",
    "int16",
    "int32",
    "int64",
    "int8",
    "s16",
    "s32",
    "s64",
    "s8",
    "string",
    "timestamp",
    "u16",
    "u32",
    "u64",
    "u8",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
];

/// Builtin values: in parentheses they are never a cast.
const VALUE_NAMES: &[&str] = &[
    "args",
    "cgroup",
    "comm",
    "config",
    "cpid",
    "cpu",
    "ctx",
    "curtask",
    "dw_ustack",
    "elapsed",
    "false",
    "func",
    "gid",
    "has_cpid",
    "jiffies",
    "kstack",
    "leader_comm",
    "leader_tid",
    "ncpus",
    "nsecs",
    "numaid",
    "pcomm",
    "pid",
    "ppid",
    "probe",
    "probetype",
    "rand",
    "retval",
    "tid",
    "true",
    "uid",
    "usermode",
    "username",
    "ustack",
];

/// The most tokens that the length of an array in a cast may have.
const MAX_LENGTH_TOKENS: usize = 48;
/// The most `*` and `[]` of one type.
const MAX_TYPE_SUFFIXES: usize = 32;

/// What a look ahead found: text that has the form of a type.
pub(super) struct TypeShape<'a> {
    /// Its first word (not that of `struct x`).
    name: &'a str,
    /// It has a keyword, several words, a `*` or a `[]`, and so cannot be an expression.
    certain: bool,
    /// It has a `[n]`.
    array: bool,
    /// The token behind it.
    pub(super) next: Token,
}

impl TypeShape<'_> {
    /// Whether its form alone shows that it is a type.
    pub(super) fn is_certain(&self) -> bool {
        self.certain
    }

    /// Whether it is a type wherever it stands.
    pub(super) fn is_type(&self) -> bool {
        self.certain || is_type_name(self.name)
    }
}

/// Whether the name means a type where there is a choice.
pub(crate) fn is_type_name(name: &str) -> bool {
    name.ends_with("_t") || TYPE_NAMES.binary_search(&name).is_ok() || C_WORDS.binary_search(&name).is_ok()
}

fn tag_of(word: &str) -> Option<TypeTag> {
    match word {
        "struct" => Some(TypeTag::Struct),
        "union" => Some(TypeTag::Union),
        "enum" => Some(TypeTag::Enum),
        _ => None,
    }
}

impl<'a> Parser<'a> {
    /// Whether the current token is `struct`, `union` or `enum` with a name behind it.
    pub(super) fn at_tagged_type(&self) -> bool {
        self.at(Tok::Ident) && tag_of(self.word()).is_some() && self.peek().kind == Tok::Ident
    }

    /// Looks ahead from `first` for the form of a type. Needs a bounded number of tokens.
    pub(super) fn type_shape(&self, first: Token) -> Option<TypeShape<'a>> {
        let mut token = first;
        while token.kind == Tok::Ident && QUALIFIERS.contains(&self.text_of(token)) {
            token = self.after(token);
        }
        let name = self.text_of(token);
        if token.kind != Tok::Ident || is_keyword(name) {
            return None;
        }
        let mut certain = token != first;
        let tagged = tag_of(name).is_some();
        token = self.after(token);
        if tagged {
            if token.kind != Tok::Ident {
                return None;
            }
            certain = true;
            token = self.after(token);
        }
        while !tagged && C_WORDS.contains(&name) && token.kind == Tok::Ident && self.is_type_word(token) {
            certain = true;
            token = self.after(token);
        }
        let mut array = false;
        for _ in 0..MAX_TYPE_SUFFIXES {
            match token.kind {
                Tok::Star => {
                    certain = true;
                    token = self.after(token);
                }
                Tok::Ident if QUALIFIERS.contains(&self.text_of(token)) => token = self.after(token),
                Tok::LBracket => {
                    array = true;
                    let next = self.after(token);
                    certain |= next.kind == Tok::RBracket;
                    token = self.behind_bracket(next)?;
                }
                _ => break,
            }
        }
        Some(TypeShape { name, certain, array, next: token })
    }

    fn after(&self, token: Token) -> Token {
        lexer::token(self.src, token.end)
    }

    fn is_type_word(&self, token: Token) -> bool {
        let word = self.text_of(token);
        C_WORDS.contains(&word) || QUALIFIERS.contains(&word)
    }

    /// The token behind the `]` that closes a bracket whose inside begins with `token`.
    fn behind_bracket(&self, mut token: Token) -> Option<Token> {
        let mut depth = 0;
        for _ in 0..MAX_LENGTH_TOKENS {
            match token.kind {
                Tok::RBracket if depth == 0 => return Some(self.after(token)),
                Tok::LBracket | Tok::LParen => depth += 1,
                Tok::RBracket | Tok::RParen => depth -= 1,
                Tok::Eof | Tok::Semi | Tok::LBrace | Tok::RBrace => return None,
                _ => {}
            }
            token = self.after(token);
        }
        None
    }

    /// At `(`: whether it begins a cast.
    ///
    /// A bare name in parentheses is a type when an operand follows; when what follows may be an infix operator as
    /// well, it is one unless the name is known to be a value.
    pub(super) fn at_cast(&mut self) -> bool {
        let Some(shape) = self.type_shape(self.peek()) else { return false };
        if shape.next.kind != Tok::RParen {
            return false;
        }
        if shape.is_type() {
            return true;
        }
        let behind = self.after(shape.next);
        match behind.kind {
            Tok::Int | Tok::Str | Tok::Var | Tok::Map | Tok::Positional | Tok::ParamCount => true,
            Tok::LParen | Tok::Tilde | Tok::Bang => !self.is_value_name(shape.name),
            Tok::Ident => self.is_operand_word(behind),
            Tok::Inc | Tok::Dec => !shape.array,
            Tok::Minus | Tok::Star | Tok::Amp => !shape.array && !self.is_value_name(shape.name),
            _ => false,
        }
    }

    /// Whether the name is a value for all that can be known without types.
    fn is_value_name(&mut self, name: &str) -> bool {
        let constant_style =
            name.bytes().all(|b| !b.is_ascii_lowercase()) && name.bytes().any(|b| b.is_ascii_uppercase());
        constant_style
            || VALUE_NAMES.binary_search(&name).is_ok()
            || is_argument(name)
            || name.starts_with("__builtin_")
            || self.macro_params.iter().any(|p| p == name)
            || self.defined_names().contains(name)
    }

    /// Names of the text's macros and `#define`s.
    fn defined_names(&mut self) -> &HashSet<&'a str> {
        let text = self.text;
        self.value_names.get_or_insert_with(|| {
            let mut names = HashSet::new();
            for keyword in ["macro ", "#define "] {
                for (at, _) in text.match_indices(keyword) {
                    let rest = text[at + keyword.len()..].trim_start_matches([' ', '\t']);
                    let len = lexer::name_end(rest.as_bytes(), 0);
                    names.insert(&rest[..len]);
                }
            }
            names
        })
    }

    /// Reads a type.
    pub(super) fn type_expr(&mut self) -> TypeExpr {
        self.nested(Self::type_expr_inner)
    }

    fn type_expr_inner(&mut self) -> TypeExpr {
        let start = self.tok.start;
        self.height = 0;
        while QUALIFIERS.contains(&self.word()) {
            self.bump();
        }
        let kind = if self.at_word("typeof") {
            TypeExprKind::Typeof(Box::new(self.type_operand()))
        } else if self.at(Tok::LParen) {
            self.tuple_type()
        } else if self.at(Tok::Ident) && !is_keyword(self.word()) {
            self.named_type()
        } else {
            self.expected("a type");
            TypeExprKind::Name(String::new())
        };
        let base = TypeExpr { span: self.span_from(start), kind };
        self.type_suffixes(base)
    }

    /// Reads `*` and `[n]` behind a type.
    pub(super) fn type_suffixes(&mut self, mut ty: TypeExpr) -> TypeExpr {
        let (start, mut height) = (ty.span.start as usize, self.height);
        for count in 0.. {
            let kind = if self.eat(Tok::Star) {
                TypeExprKind::Pointer(Box::new(ty))
            } else if self.at(Tok::LBracket) {
                self.bump();
                self.height = 0;
                let length = (!self.at(Tok::RBracket)).then(|| Box::new(self.expr_in_brackets()));
                self.expect(Tok::RBracket, "']'");
                height = height.max(self.height);
                TypeExprKind::Array(Box::new(ty), length)
            } else if self.at(Tok::Ident) && QUALIFIERS.contains(&self.word()) {
                self.bump();
                continue;
            } else {
                break;
            };
            ty = TypeExpr { span: self.span_from(start), kind };
            height += 1;
            if count >= MAX_TYPE_SUFFIXES {
                self.too_deep();
                break;
            }
        }
        self.grow(height);
        ty
    }

    fn named_type(&mut self) -> TypeExprKind {
        let word = self.word();
        self.bump();
        if let Some(tag) = tag_of(word) {
            let (name, _) = self.expect_name(&format!("the name of the {word}"));
            return TypeExprKind::Tagged { tag, name };
        }
        let mut name = word.to_string();
        while C_WORDS.contains(&word) && self.at(Tok::Ident) && self.is_type_word(self.tok) {
            let more = self.word();
            self.bump();
            if !QUALIFIERS.contains(&more) {
                name.push(' ');
                name.push_str(more);
            }
        }
        TypeExprKind::Name(name)
    }

    fn tuple_type(&mut self) -> TypeExprKind {
        self.bump();
        let mut types = Vec::new();
        let (height, _) = self.comma_list(Tok::RParen, |p| types.push(p.type_expr()));
        self.expect(Tok::RParen, "')'");
        self.height = height;
        TypeExprKind::Tuple(types)
    }

    /// Reads `typeof`, `sizeof` or `typeinfo` and its operand in parentheses.
    pub(super) fn type_operand(&mut self) -> TypeOrExpr {
        self.bump();
        self.expect(Tok::LParen, "'('");
        let operand = self.type_or_expr();
        self.expect(Tok::RParen, "')'");
        operand
    }

    /// Reads a type or an expression, up to `)` or `,`. A bare name that may be either is an expression.
    pub(super) fn type_or_expr(&mut self) -> TypeOrExpr {
        if self.at_word("typeof") {
            let ty = self.type_expr();
            if self.at(Tok::RParen) || self.at(Tok::Comma) {
                return TypeOrExpr::Type(ty);
            }
            let operand = self.typeof_as_expr(ty);
            return TypeOrExpr::Expr(self.expr_from(operand));
        }
        if self.at_whole_type() {
            return TypeOrExpr::Type(self.type_expr());
        }
        TypeOrExpr::Expr(self.expr_in_brackets())
    }

    /// Whether a type that cannot be an expression stands here, up to `)` or `,`.
    pub(super) fn at_whole_type(&self) -> bool {
        self.type_shape(self.tok)
            .is_some_and(|shape| shape.is_type() && matches!(shape.next.kind, Tok::RParen | Tok::Comma))
    }

    /// A type where an expression stands: an argument of a macro.
    pub(super) fn typeof_as_expr(&mut self, ty: TypeExpr) -> crate::ast::Expr {
        let (span, height) = (ty.span, self.height);
        let operand = match ty.kind {
            TypeExprKind::Typeof(operand) => operand,
            _ => Box::new(TypeOrExpr::Type(ty)),
        };
        self.make(span, ExprKind::Typeof(operand), height)
    }
}

/// `arg0` and so on.
fn is_argument(name: &str) -> bool {
    name.strip_prefix("arg").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        for table in [C_WORDS, TYPE_NAMES, VALUE_NAMES, QUALIFIERS] {
            assert!(table.windows(2).all(|w| w[0] < w[1]), "{table:?}");
        }
    }
}
