//! Random scripts without a kernel: they compile, pass the checks that stand for the verifier, and mean the same optimised and not.

mod support;

use fathom_testkit::property::Target;
use fathom_testkit::FixtureFacts;

#[test]
fn random_scripts_compile_and_mean_the_same() {
    support::check_many(200, &Target::Interpreter(&FixtureFacts::new()));
}
