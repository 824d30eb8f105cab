//! The optimiser: one file per pass. [`crate::passes`] has their order.

pub(crate) mod control;
pub(crate) mod dce;
pub(crate) mod fold;
pub(crate) mod gvn;
pub(crate) mod legalize;
mod replace;
mod rewrite;
mod rules;
pub(crate) mod stack;

/// For tests: the pass makes `after` of `before`, both well-formed.
#[cfg(test)]
fn check(run: fn(&mut crate::ir::Func, &crate::compile::CodegenOptions), before: &str, after: &str) {
    let read = |text: &str| {
        let func = crate::ir::parse::parse(text).unwrap().remove(0);
        crate::ir::verify::verify(&func).unwrap_or_else(|error| panic!("{error}: {text}"));
        func
    };
    let mut func = read(before);
    run(&mut func, &crate::compile::CodegenOptions::default());
    crate::ir::verify::verify(&func).unwrap_or_else(|error| panic!("{error}: {func}"));
    assert_eq!(func.to_string(), read(after).to_string());
}
