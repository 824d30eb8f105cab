//! Diagnostics: what is wrong with a script, where, and what to do about it.

use crate::span::Span;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The script cannot run.
    Error,
    /// The script runs, but perhaps not as meant.
    Warning,
}

/// One message about a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The place; `None` when no place of the script is to blame.
    pub span: Option<Span>,
    /// What is wrong, without a full stop unless it is several sentences.
    pub message: String,
    /// Further places that explain it, shown like the first.
    pub notes: Vec<(Span, String)>,
    /// What to do, each shown behind `HINT: `.
    pub hints: Vec<String>,
    /// Lines shown as they are behind the hints, such as a list of what was expected.
    pub context: Vec<String>,
}

impl Diagnostic {
    fn new(severity: Severity, span: Option<Span>, message: impl Into<String>) -> Diagnostic {
        let message = message.into();
        Diagnostic { severity, span, message, notes: Vec::new(), hints: Vec::new(), context: Vec::new() }
    }

    /// An error at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, Some(span), message)
    }

    /// A warning at a place.
    pub fn warning(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, Some(span), message)
    }

    /// An error of the whole script.
    pub fn error_anywhere(message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, None, message)
    }

    /// A warning about the whole script.
    pub fn warning_anywhere(message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, None, message)
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Diagnostic {
        self.hints.push(text.into());
        self
    }

    /// Adds a place that explains it.
    #[must_use]
    pub fn note(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.notes.push((span, text.into()));
        self
    }

    /// Adds a line that is shown as it is behind the hints.
    #[must_use]
    pub fn context(mut self, line: impl Into<String>) -> Diagnostic {
        self.context.push(line.into());
        self
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Whether any of them is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}
