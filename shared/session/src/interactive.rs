//! What a hub asks of a connected agent while somebody waits for the answer.

use shared_model::{AppName, FieldChange, ObjectKey, Reason};

use crate::status::cut_field;

/// The most objects in one answer: a person reads a few, a script compares some hundred. 500 × about 4 KB stay under 2 MiB.
pub const DIFF_OBJECT_LIMIT: usize = 500;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// How do the objects of this app differ from what is wanted, right now?
    Diff {
        /// The app.
        app: AppName,
    },
}

/// How one object differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDiff {
    /// The object.
    pub object: ObjectKey,
    /// The differing fields, redacted where they must be; empty if the object is missing as a whole.
    pub fields: Vec<FieldChange>,
    /// Whether the object is not there at all.
    pub missing: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The differing objects of an app.
    Diff {
        /// At most [`DIFF_OBJECT_LIMIT`] of them.
        objects: Vec<ObjectDiff>,
        /// How many more differ.
        left_out: u32,
    },
}

impl Answer {
    /// The answer to [`Question::Diff`], cut to what travels.
    pub fn diff(mut objects: Vec<ObjectDiff>) -> Self {
        let left_out = u32::try_from(objects.len().saturating_sub(DIFF_OBJECT_LIMIT)).unwrap_or(u32::MAX);
        objects.truncate(DIFF_OBJECT_LIMIT);
        for object in &mut objects {
            object.fields.truncate(shared_model::Drift::FIELD_LIMIT);
            object.fields.iter_mut().for_each(cut_field);
        }
        Self::Diff { objects, left_out }
    }
}

/// An agent cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It says why.
    #[error("{0}")]
    Refused(Reason),
    /// This version of the agent does not know the question.
    #[error("the agent does not know this request; upgrade it")]
    UnknownQuestion,
}
