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
pub const PASSES: &[Pass] = &[Pass {
    name: "legalize",
    doc: "Replaces operations that the target machine does not have.",
    when: When::Always,
    run: opt::legalize::run,
}];

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
