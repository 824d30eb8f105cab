//! Parameters of the script: getopt.

use super::{Builtin, Form};
use crate::analyse::params;
use crate::lower::LowerError;

/// The family.
pub(super) static ROWS: &[Builtin] = &[Builtin {
    name: "getopt",
    form: Form::Function,
    signature: "T getopt(const string name[, const T default[, const string description]])",
    args: (1, 3),
    is_unsafe: false,
    pure_value: true,
    infer: params::getopt,
    // always a constant, which is lowered as such
    lower: |_, call, _| Err(LowerError::new(call.span, "getopt() has no value that is known when compiling")),
    doc: "Value of the option --name given behind `--` on the command line, of the default's type; a switch that is false \
          unless given, if there is no default. `--help` lists a script's options with their descriptions.",
    example: r#"begin { print(getopt("count", 10, "how many")); }"#,
}];
