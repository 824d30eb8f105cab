//! The rules of simplification: one row per equation, with an example that is its test.
//!
//! In an example the operation under test defines `v9`; `v1`, `v2` are numbers and `p` pointers that nothing is known of.
//! The kernel's verifier follows a pointer only through addition of a number: no rule makes anything else of pointers,
//! and none moves a variable part past another.

mod address;
mod binary;
mod compare;
mod extend;
mod strength;

use super::fold::{Defs, Simple};
use crate::ir::Op;

/// One equation.
pub(super) struct Rule {
    /// In the notation of C; `c`, `d` are numbers.
    #[cfg_attr(not(test), expect(dead_code, reason = "the name of the rule is for readers and tests"))]
    pub(super) equation: &'static str,
    /// Operations of the text form before and after: what defines `v9`, and what it needs.
    #[cfg_attr(not(test), expect(dead_code, reason = "examples are tests"))]
    pub(super) example: (&'static str, &'static str),
    /// Applies it.
    pub(super) run: fn(&mut Defs<'_>, &Op) -> Option<Simple>,
}

pub(super) use address::ADDRESS;
pub(super) use binary::BINARY;
pub(super) use compare::COMPARE;
pub(super) use extend::EXTEND;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::CodegenOptions;
    use crate::ir::parse::parse;
    use crate::ir::verify::verify;
    use crate::opt::{dce, fold};

    /// A function that returns `v9`, or stores it where the example has a place `v0`.
    fn simplified(lines: &str, run_fold: bool) -> String {
        let has_result = lines.contains("v9 =") || lines.contains("v9: ptr =");
        let end = if has_result { "store.8 [v0], v9\n" } else { "" };
        let body: String = lines.split(';').map(|line| format!("  {}\n", line.trim())).collect();
        let text = format!("func \"f\" {{\n s0: 64\nb0(v0: ptr, v1, v2):\n{body}{end} return v1\n}}\n");
        let mut func = parse(&text).unwrap_or_else(|error| panic!("{error}: {text}")).remove(0);
        verify(&func).unwrap_or_else(|error| panic!("{error}: {text}"));
        if run_fold {
            fold::run(&mut func, &CodegenOptions::default());
            verify(&func).unwrap_or_else(|error| panic!("{error}: {func}"));
        }
        dce::run(&mut func, &CodegenOptions::default());
        // Numbers of values differ: they are named in the order of their appearance.
        let mut names = vec!["v0".to_owned(), "v1".to_owned(), "v2".to_owned()];
        let printed = func.to_string();
        let mut out = String::new();
        let mut rest =
            printed.split_once(":\n").map_or("", |(_, rest)| rest.split_once(":\n").map_or(rest, |r| r.1));
        while let Some(at) = rest.find('v') {
            let end = rest[at + 1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| at + 1 + n);
            out.push_str(&rest[..at]);
            let name = &rest[at..end];
            if name.len() > 1 {
                let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                out.push_str(&format!("v{number}"));
            } else {
                out.push_str(name);
            }
            rest = &rest[end..];
        }
        out + rest
    }

    #[test]
    fn every_rule_does_what_its_example_says() {
        for rule in [BINARY, EXTEND, COMPARE, ADDRESS].into_iter().flatten() {
            let (before, after) = rule.example;
            let got = simplified(before, true);
            let wanted = simplified(after, false);
            assert_eq!(got, wanted, "{}: {before}", rule.equation);
            assert_ne!(simplified(before, false), wanted, "{}: the example shows nothing", rule.equation);
        }
    }
}
