//! Random scripts that are well-typed: every one has to compile, to pass the kernel's verifier, and to mean the same however it is run.
//!
//! A script prints all that it computes, and what it computes depends on nothing but its text: no clocks, no numbers of processes, no order of
//! hash maps. The same seed gives the same script.

mod decls;
mod exprs;
mod node;
mod rng;
mod scope;
mod shrink;
mod stmts;

pub use node::{Node, Part, Ty};
pub use rng::Rng;
pub use shrink::shrink;

use scope::Scope;

/// How large scripts become.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Most statements of the `begin` clause, nested ones included.
    pub stmts: u32,
    /// Deepest nesting of expressions.
    pub depth: u32,
}

impl Default for Size {
    fn default() -> Size {
        Size { stmts: 24, depth: 3 }
    }
}

/// A generated script, as a tree that can be made smaller.
#[derive(Clone, Debug)]
pub struct Script {
    /// Settings, declarations of C, macros and subprograms.
    pub head: Vec<Node>,
    /// Statements of `begin`.
    pub begin: Vec<Node>,
    /// Statements of `end`.
    pub end: Vec<Node>,
}

impl Script {
    /// The text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for node in &self.head {
            node.write(0, &mut out);
            out.push('\n');
        }
        for (name, body) in [("begin", &self.begin), ("end", &self.end)] {
            if name == "begin" || !body.is_empty() {
                out.push_str(name);
                out.push(' ');
                node::write_block(body, 0, &mut out);
                out.push('\n');
            }
        }
        out
    }
}

/// The script of a seed.
pub fn script(seed: u64, size: Size) -> Script {
    let mut gen = Gen::new(seed, size);
    let mut head = gen.declarations();
    let mut begin = gen.first_values();
    begin.extend(gen.block_of_about(size.stmts));
    gen.print_all(&mut begin);
    gen.scope.leave_clause();
    let mut end = Vec::new();
    if gen.rng.one_in(3) {
        gen.budget = size.stmts.min(5);
        end = gen.block_of_about(4);
    }
    head.append(&mut gen.late_head);
    Script { head, begin, end }
}

/// The generator: what exists so far, and how much may still come.
pub(crate) struct Gen {
    rng: Rng,
    size: Size,
    scope: Scope,
    /// Statements that may still be made.
    budget: u32,
    /// How often what is being made runs, about: loops multiply it.
    weight: u32,
    /// Loops around, which `break` and `continue` are for.
    loops: u32,
    /// Only what has no effect and reads nothing that changes: bodies whose order of runs is not known.
    pure_only: bool,
    /// No `return`: within macros and expressions.
    no_return: bool,
    /// Things of the head that came up on the way.
    late_head: Vec<Node>,
}

impl Gen {
    fn new(seed: u64, size: Size) -> Gen {
        Gen {
            rng: Rng::new(seed),
            size,
            scope: Scope::default(),
            budget: size.stmts,
            weight: 1,
            loops: 0,
            pure_only: false,
            no_return: false,
            late_head: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_and_differ() {
        let text = |seed| script(seed, Size::default()).text();
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }
}
