//! Why something is not as wanted: a stable CamelCase code for machines, a message with the facts for people. Each "no", "wait" and "skip"
//! is one of these from the place that decides it to the API, the CLI, the page and the metric.

use std::fmt;

/// How serious a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Expected and passing.
    Wait,
    /// Somebody should look.
    Warning,
    /// Something does not work.
    Error,
}

/// A typed reason. Crates that decide make it from enums of their own (`impl From<&Skip> for Reason`), so that the code set is closed there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// How serious it is.
    pub severity: Severity,
    /// CamelCase, stable, few in number: `ApprovalNeeded`, `ApplyRefused`.
    pub code: String,
    /// The facts and the remedy in one sentence.
    pub message: String,
}

impl Reason {
    /// A reason of `severity`.
    pub fn new(severity: Severity, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity, code: code.into(), message: message.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
