//! Random scripts in the running kernel: accepted by its verifier, optimised and not, and with the same result as in the interpreter.
//!
//! `FATHOM_PROPERTY_CASES` says how many, `FATHOM_SEED` from which seed on.

mod support;

use fathom_kernel::Root;
use fathom_probes::facts::FactsOptions;
use fathom_probes::KernelFacts;
use fathom_testkit::property::Target;

#[test]
fn random_scripts_run_the_same_in_the_kernel() {
    if std::env::var_os("FATHOM_PROPERTY_CASES").is_none() {
        eprintln!("skipped: set FATHOM_PROPERTY_CASES to a number of scripts");
        return;
    }
    if !support::can_load() {
        return;
    }
    let facts = KernelFacts::new(Root::host(), FactsOptions::default());
    support::check_many(200, &Target::Kernel(&facts));
}
