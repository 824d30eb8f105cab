//! The standard library: macros in the language itself, part of the program file.

/// What every script gets.
pub const BASE: (&str, &str) = ("stdlib/base.bt", include_str!("../../stdlib/base.bt"));

/// What `import "stdlib/NAME"` gives.
const PARTS: &[(&str, &str, &str)] =
    &[("stdlib/test", "stdlib/test.bt", include_str!("../../stdlib/test.bt"))];

/// A part by its import path: file name and text.
pub fn part(path: &str) -> Option<(&'static str, &'static str)> {
    let path = path.strip_suffix(".bt").unwrap_or(path);
    PARTS.iter().find(|(p, _, _)| *p == path).map(|(_, name, text)| (*name, *text))
}

/// Import paths of all parts.
pub fn parts() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|(p, _, _)| *p)
}
