//! What goes wrong in a template, in Go's words, with the facts beside for messages of one's own.

use std::fmt;
use std::sync::Arc;

use crate::{Exceeded, Text, fmt as go};

/// Why a template cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {template}:{line}: {message}")]
pub struct ParseError {
    /// The name under which the source was parsed.
    pub template: Text,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Why a call gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// What the function says. The evaluator puts `error calling NAME: ` before it, as Go does.
    Failed(String),
    /// What the template language says of the call itself, such as `wrong number of args for Has: want 1 got 0`; nothing is put before it.
    Wrong(String),
    /// A template that the function executed failed. The function may put words before it.
    Nested {
        /// Those words, such as `error during tpl function execution for "…": `.
        prefix: String,
        /// What failed.
        error: Box<ExecError>,
    },
    /// A text that the function wanted to execute is no template.
    Unparsed(Box<ParseError>),
    /// A budget is used up. It ends the whole evaluation and no function may turn it into something else.
    Exceeded(Exceeded),
}

impl CallError {
    /// The failure that says `message`.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl From<Exceeded> for CallError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Wrong(message) => f.write_str(message),
            Self::Nested { prefix, error } => write!(f, "{prefix}{error}"),
            Self::Unparsed(error) => error.fmt(f),
            Self::Exceeded(exceeded) => exceeded.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

/// Why an execution ended early. It prints as Go prints it.
///
/// Executions within executions can be thousands deep, so neither printing nor dropping goes down the native stack.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecError(Arc<Failure>);

/// The facts of an [`ExecError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The template that was executed; empty if there is none.
    pub template: Text,
    /// Where; `None` if it is not about a place in a template.
    pub place: Option<Place>,
    /// What happened there.
    pub reason: Reason,
}

/// A place in the source of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name under which the source was parsed, for charts the path of a file.
    pub source: Text,
    /// The line, from 1.
    pub line: usize,
    /// The bytes before it on that line, as Go counts columns.
    pub column: usize,
    /// What stands there, such as `.Values.image.tag`.
    pub text: String,
}

/// What ended an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// What the template language says.
    Message(String),
    /// A function or a method failed.
    Call {
        /// Its name.
        function: String,
        /// What it says.
        error: CallError,
    },
    /// A budget is used up.
    Exceeded(Exceeded),
}

impl ExecError {
    pub(crate) fn new(template: Text, place: Option<Place>, reason: Reason) -> Self {
        Self(Arc::new(Failure { template, place, reason }))
    }

    /// What happened, and where.
    pub fn failure(&self) -> &Failure {
        &self.0
    }

    /// The execution within this one that failed, if this one failed in `include` or its like.
    pub fn nested(&self) -> Option<&ExecError> {
        match &self.0.reason {
            Reason::Call { error: CallError::Nested { error, .. }, .. } => Some(error),
            _ => None,
        }
    }

    /// This failure and those within it, the outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Failure> {
        std::iter::successors(Some(self), |error| error.nested()).map(Self::failure)
    }

    /// The budget that is used up, if it is that.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.chain().find_map(|failure| match &failure.reason {
            Reason::Exceeded(exceeded) | Reason::Call { error: CallError::Exceeded(exceeded), .. } => Some(*exceeded),
            _ => None,
        })
    }

    /// The messages that Go's `errors.Unwrap` would give one after another, from the whole message inwards. Together they grow with the square of
    /// the number of executions within each other; [`Self::chain`] does not.
    pub fn unwrapped(&self) -> impl Iterator<Item = String> {
        std::iter::successors(Some(self), |error| error.nested()).flat_map(|error| {
            let whole = error.to_string();
            match &error.0.reason {
                Reason::Message(_) | Reason::Exceeded(_) | Reason::Call { error: CallError::Wrong(_), .. } => vec![whole],
                // The error that `text/template` wraps the cause in has the same text as the whole.
                Reason::Call { error: CallError::Nested { prefix, .. }, .. } if prefix.is_empty() => vec![whole.clone(), whole],
                Reason::Call { error, .. } => vec![whole.clone(), whole, error.to_string()],
            }
        })
    }

    /// Takes the execution within this one out of it, if no one else has this one.
    fn take_nested(&mut self) -> Option<Box<ExecError>> {
        match &mut Arc::get_mut(&mut self.0)?.reason {
            Reason::Call { error, .. } if matches!(error, CallError::Nested { .. }) => {
                match std::mem::replace(error, CallError::Failed(String::new())) {
                    CallError::Nested { error, .. } => Some(error),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Drop for ExecError {
    fn drop(&mut self) {
        let mut next = self.take_nested();
        while let Some(mut error) = next {
            next = error.take_nested();
        }
    }
}

impl fmt::Debug for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecError({:?})", self.to_string())
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = self;
        loop {
            let Failure { template, place, reason } = &*error.0;
            match place {
                None if template.is_empty() => f.write_str("template: ")?,
                None => write!(f, "template: {template}: ")?,
                Some(Place { source, line, column, text }) => {
                    write!(f, "template: {source}:{line}:{column}: executing {} at <{text}>: ", go::quote(template))?;
                }
            }
            match reason {
                Reason::Message(message) => return f.write_str(message),
                Reason::Exceeded(exceeded) => return exceeded.fmt(f),
                Reason::Call { error: CallError::Wrong(message), .. } => return f.write_str(message),
                Reason::Call { function, error: CallError::Nested { prefix, error: inner } } => {
                    write!(f, "error calling {function}: {prefix}")?;
                    error = inner;
                }
                Reason::Call { function, error } => return write!(f, "error calling {function}: {error}"),
            }
        }
    }
}

impl std::error::Error for ExecError {}
