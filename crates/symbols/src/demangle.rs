//! C++ and Rust symbol names in the form of their source.

use std::borrow::Cow;

/// The source form of a mangled name; a name that is not mangled, or not known how, comes back as it is.
///
/// The hash that Rust appends is left out. C++ names keep their parameter lists, which tell overloads apart.
pub fn demangle(name: &str) -> Cow<'_, str> {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return Cow::Owned(format!("{rust:#}"));
    }
    // `_ZTI` and friends are data, but are named as well; anything else is C.
    if name.starts_with("_Z") || name.starts_with("__Z") || name.starts_with("____Z") {
        if let Ok(symbol) = cpp_demangle::Symbol::new(name) {
            if let Ok(text) = symbol.demangle() {
                return Cow::Owned(text);
            }
        }
    }
    Cow::Borrowed(name)
}

/// A C++ name without its parameter list, for matching `ns::f` against `ns::f(int)`.
pub fn without_parameters(demangled: &str) -> &str {
    let bytes = demangled.as_bytes();
    let (mut depth, mut at) = (0i32, bytes.len());
    // The list is the last balanced pair of parentheses, maybe followed by `const` and the like.
    while at > 0 {
        at -= 1;
        match bytes[at] {
            b')' => depth += 1,
            b'(' => {
                depth -= 1;
                if depth == 0 {
                    let head = &demangled[..at];
                    // `(anonymous namespace)::f` without a list, and `operator()`, are no lists.
                    return if head.is_empty() || demangled[at..].contains("::") { demangled } else { head };
                }
            }
            _ => {}
        }
    }
    demangled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_and_c() {
        assert_eq!(demangle("_ZN3foo3barEi"), "foo::bar(int)");
        assert_eq!(
            demangle("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"),
            "core::fmt::Write::write_fmt"
        );
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(demangle("printf"), "printf");
        assert_eq!(demangle("_Znotaname"), "_Znotaname");
        assert_eq!(demangle(""), "");
    }

    #[test]
    fn parameter_lists_come_off() {
        assert_eq!(without_parameters("foo::bar(int, void (*)(char)) const"), "foo::bar");
        assert_eq!(without_parameters("main"), "main");
        assert_eq!(without_parameters("(anonymous namespace)::f"), "(anonymous namespace)::f");
        assert_eq!(without_parameters("(anonymous namespace)::f(int)"), "(anonymous namespace)::f");
        assert_eq!(without_parameters("A::operator()(int)"), "A::operator()");
        assert_eq!(without_parameters("))(("), "))((");
    }
}
