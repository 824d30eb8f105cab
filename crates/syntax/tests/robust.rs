//! Any text is parsed: without panic, without overflow of the stack, in linear time; and what parses can be formatted.

use std::time::Instant;

use fathom_syntax::{dump, format, parse, parse_expr, parse_type};
use proptest::prelude::*;

const CORPUS: &[&str] = &[
    include_str!("corpus/head.bt"),
    include_str!("corpus/probes.bt"),
    include_str!("corpus/statements.bt"),
    include_str!("corpus/expressions.bt"),
    include_str!("corpus/comments.bt"),
    include_str!("corpus/layout.bt"),
    include_str!("errors/statements.bt"),
    include_str!("errors/items.bt"),
];

/// Pieces that scripts are made of.
const PIECES: &[&str] = &[
    "begin",
    "kprobe:f",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    ":",
    "?",
    ".",
    "..",
    "->",
    "=",
    "+=",
    "++",
    "--",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "&&",
    "|",
    "<",
    "==",
    "!",
    "~",
    "$x",
    "@m",
    "@",
    "$1",
    "$#",
    "$",
    "x",
    "foo",
    "int32",
    "size_t",
    "unsigned",
    "long",
    "struct",
    "enum",
    "typedef",
    "if",
    "else",
    "for",
    "while",
    "unroll",
    "let",
    "return",
    "break",
    "macro",
    "fn",
    "config",
    "import",
    "comptime",
    "sizeof",
    "offsetof",
    "typeof",
    "1",
    "0x1f",
    "5ms",
    "089",
    "\"s\"",
    "\"",
    "\"\\q\"",
    "// c\n",
    "/* c */",
    "/*",
    "*/",
    "\n",
    "#define X 1\n",
    "__attribute__",
    "\\",
    "'",
    "\u{20ac}",
    "\0",
];

/// Parses the text; if that works, formats it and compares the trees.
fn examine(source: &str) {
    let (script, diagnostics) = parse(source, Default::default());
    for diagnostic in &diagnostics {
        let span = diagnostic.span.unwrap_or_default();
        assert!(span.start <= span.end && span.end as usize <= source.len(), "{diagnostic:?} in {source:?}");
        assert!(source.is_char_boundary(span.start as usize) && source.is_char_boundary(span.end as usize));
    }
    if !diagnostics.is_empty() {
        return;
    }
    let formatted = format(source).unwrap();
    let (again, errors) = parse(&formatted, Default::default());
    assert_eq!(errors, [], "{source:?} became {formatted:?}");
    assert_eq!(dump(&again), dump(&script), "{source:?} became {formatted:?}");
    assert_eq!(again.comments.len(), script.comments.len(), "{source:?} became {formatted:?}");
    assert_eq!(format(&formatted).unwrap(), formatted, "{source:?}");
}

/// A text of the corpus with some ranges removed, doubled or replaced by pieces.
fn mutated(text: &str, edits: &[(f64, usize, usize, usize)]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (place, len, kind, piece) in edits {
        let start = ((text.len() as f64) * place) as usize;
        let end = (start + len).min(text.len());
        let old: Vec<char> = text[start..end].to_vec();
        let new: Vec<char> = match kind {
            0 => Vec::new(),
            1 => [old.clone(), old].concat(),
            _ => PIECES[piece % PIECES.len()].chars().collect(),
        };
        text.splice(start..end, new);
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        examine(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_pieces(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        examine(&pieces.concat());
        let body = format!("begin {{ {} }}", pieces.join(" "));
        examine(&body);
        let mut ids = Default::default();
        parse_expr(&body, Default::default(), &mut ids);
        parse_type(&body, Default::default(), &mut ids);
    }

    #[test]
    fn random_expressions(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[2..56]), 1..9)) {
        examine(&format!("begin {{ $y = {} }}", pieces.join(" ")));
        examine(&format!("begin /{}/ {{ }}", pieces.join(" ")));
    }

    #[test]
    fn mutations(
        text in proptest::sample::select(CORPUS),
        edits in proptest::collection::vec((0.0..1.0f64, 0..12usize, 0..4usize, any::<usize>()), 1..4),
    ) {
        examine(&mutated(text, &edits));
    }

    #[test]
    fn small_mutations(
        line in proptest::sample::select(CORPUS.iter().flat_map(|t| t.lines()).collect::<Vec<_>>()),
        edits in proptest::collection::vec((0.0..1.0f64, 0..3usize, 0..4usize, any::<usize>()), 0..2),
    ) {
        let line = mutated(line, &edits);
        examine(&line);
        examine(&format!("begin {{ {line} }}"));
        examine(&format!("begin {{ {line}\n }}"));
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    for piece in [
        "(",
        "{",
        "[",
        "-",
        "!",
        "*",
        "& ",
        "(a, ",
        "(a=",
        "f(",
        "@m[",
        "$x[",
        "a ? ",
        "a ? 1 : ",
        "a ?: ",
        "if 1 {} else ",
        "if (",
        "if 1 { ",
        "while ",
        "for ($x : ",
        "(typeof(",
        "(int)",
        "(x)",
        "sizeof(",
        "comptime ",
        "1 + ",
        "1 || ",
        "$x.",
        "let $x : (",
        "let $x : typeof(",
        "(a || b && c | d ^ e & f == g < h << i + j * -",
        "{ $x = ",
        "/ ",
        "++",
        "$x = ",
        "(int[",
        "(x[1] ",
        "((struct a *)",
        "return ",
        "(uint8[sizeof(",
    ] {
        for tail in ["", "1", "}", ";"] {
            let source = format!("begin {{ {}{tail}", piece.repeat(30_000));
            let (_, diagnostics) = parse(&source, Default::default());
            assert!(!diagnostics.is_empty() && diagnostics.len() <= 26, "{piece}");
        }
    }
    for (open, close) in [("begin { $x = 1", " + 1"), ("begin { $x = $y", ".a"), ("begin { $x = (int", "*")] {
        let (_, diagnostics) = parse(&format!("{open}{} }}", close.repeat(30_000)), Default::default());
        assert!(!diagnostics.is_empty(), "{close}");
    }
}

#[test]
fn what_is_deep_but_allowed_works() {
    let nested = format!("begin {{ $x = {}1{} }}", "(-(".repeat(30), "))".repeat(30));
    examine(&nested);
    examine(&format!("begin {{ $x = 1{} }}", " + 1".repeat(300)));
    examine(&format!("begin {{ {}{} }}", "if (1) { ".repeat(40), "}".repeat(40)));
    examine(&format!("begin {{ if (1) {{}} {} }}", "else if (1) {} ".repeat(150)));
}

#[test]
fn time_is_linear() {
    let line = "    @m[pid, comm] = count(); if ($x > 5 && $y < (int32)3) { printf(\"%d %s\\n\", pid, str(args->filename)); }\n";
    let time_of = |lines: usize| {
        let source = format!("begin {{\n{}}}\n", line.repeat(lines));
        let started = Instant::now();
        let (script, diagnostics) = parse(&source, Default::default());
        assert!(diagnostics.is_empty() && script.items.len() == 1);
        started.elapsed()
    };
    // The machine may be busy with other things, so the best of some tries counts.
    let best_of = |lines: usize| (0..5).map(|_| time_of(lines)).min().unwrap_or_default();
    let (small, large) = (best_of(1_000), best_of(8_000));
    assert!(large < small * 40, "{small:?} for 1000 lines, {large:?} for 8000");
}
