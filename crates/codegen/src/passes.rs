//! The passes over the intermediate representation, in their order.

use crate::compile::{CodegenError, CodegenErrorKind, CodegenOptions, Trace};
use crate::ir::{verify, Func};
use crate::opt;

/// A pass over one function.
pub struct Pass {
    /// Name, as `--dump=after:NAME` takes it.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// When it runs.
    pub when: When,
    /// Does it.
    pub run: fn(&mut Func, &CodegenOptions),
}

/// When a pass runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always: the code cannot be made without it.
    Always,
    /// When optimising.
    Optimising,
}

/// All passes in their order.
pub const PASSES: &[Pass] = &[
    Pass {
        name: "fold",
        doc: "Folds constants, simplifies operations and the tests of branches.",
        when: When::Optimising,
        run: opt::fold::run,
    },
    Pass {
        name: "control",
        doc: "Leads jumps through empty blocks, joins blocks, drops parameters with one value.",
        when: When::Optimising,
        run: opt::control::run,
    },
    Pass {
        name: "gvn",
        doc: "Merges equal operations and drops tests whose outcome is known on the way.",
        when: When::Optimising,
        run: opt::gvn::run,
    },
    Pass {
        name: "stack",
        doc: "Takes values from stores to stack slots, drops slots that are only written.",
        when: When::Optimising,
        run: opt::stack::run,
    },
    Pass {
        name: "legalize",
        doc: "Replaces operations that the target machine does not have.",
        when: When::Always,
        run: opt::legalize::run,
    },
    Pass {
        name: "fold-again",
        doc: "Folds what earlier passes uncovered.",
        when: When::Optimising,
        run: opt::fold::run,
    },
    Pass {
        name: "control-again",
        doc: "Simplifies control flow that earlier passes uncovered.",
        when: When::Optimising,
        run: opt::control::run,
    },
    Pass {
        name: "gvn-again",
        doc: "Merges what earlier passes uncovered.",
        when: When::Optimising,
        run: opt::gvn::run,
    },
    Pass {
        name: "dce",
        doc: "Drops operations and parameters that nobody needs.",
        when: When::Optimising,
        run: opt::dce::run,
    },
];

/// Runs all passes on a function.
pub(crate) fn run(
    func: &mut Func,
    options: &CodegenOptions,
    trace: &mut dyn Trace,
) -> Result<(), CodegenError> {
    let check = |func: &Func, pass: &'static str| {
        if !options.verify {
            return Ok(());
        }
        verify::verify(func).map_err(|problem| CodegenError {
            func: func.name.clone(),
            kind: CodegenErrorKind::Malformed { pass, problem: problem.to_string() },
        })
    };
    check(func, "lower")?;
    for pass in PASSES.iter().filter(|pass| options.optimise || pass.when == When::Always) {
        (pass.run)(func, options);
        trace.after(pass.name, func);
        check(func, pass.name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = PASSES.iter().map(|pass| pass.name).collect();
        assert_eq!(names.len(), PASSES.len());
        assert!(!names.contains("lower"), "the name of what the passes begin with");
    }
}
