//! What an agent reports about an app and its objects, and what a source is at.

use std::fmt;

use crate::{AppTest, Digest, Health, ObjectKey, Reason, Timestamp};

/// A revision of a source: what was asked for and what it was when last looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// What was followed, as people write it: `main`, `v1.2.0`, `refs/heads/x`.
    pub reference: String,
    /// The commit or content id in hexadecimal digits.
    pub commit: String,
}

impl fmt::Display for Revision {
    /// `main@3f2a9c1b04de`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.commit.get(..12).unwrap_or(&self.commit);
        write!(f, "{}@{short}", self.reference)
    }
}

/// How an object differed from what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftKind {
    /// Owned values were changed.
    Changed,
    /// The object was deleted.
    Deleted,
    /// The same other manager rewrites a field again and again.
    Fight,
}

impl DriftKind {
    /// The word used in every table, API and metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "Changed",
            Self::Deleted => "Deleted",
            Self::Fight => "Fight",
        }
    }
}

/// One field that was changed. Values are already redacted where they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The path as people write it: `spec.template.spec.containers[name=api].image`.
    pub path: String,
    /// What is wanted, as compact JSON; `None` if the field is not wanted.
    pub wanted: Option<String>,
    /// What was found, as compact JSON; `None` if the field was gone.
    pub found: Option<String>,
    /// The field manager that holds the field now, if the API server tells one.
    pub manager: Option<String>,
    /// Since when that manager's entry dates, by the API server's clock.
    pub since: Option<Timestamp>,
}

/// A difference between what is wanted and what was found, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The object.
    pub object: ObjectKey,
    /// The kind of difference.
    pub kind: DriftKind,
    /// The fields, at most [`Drift::FIELD_LIMIT`].
    pub fields: Vec<FieldChange>,
    /// When the agent saw it, by the agent's clock.
    pub seen: Timestamp,
    /// When it was healed; `None` while it stands.
    pub healed: Option<Timestamp>,
}

impl Drift {
    /// The most fields that one drift lists: enough to understand it, and 32 × about 300 bytes stay under 10 KB in a report.
    pub const FIELD_LIMIT: usize = 32;
}

/// Fields that an apply took over from another manager, which had set them otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// The object.
    pub object: ObjectKey,
    /// Whom they were taken from.
    pub manager: String,
    /// Their paths as people write them, at most [`Drift::FIELD_LIMIT`].
    pub fields: Vec<String>,
    /// When, by the agent's clock.
    pub at: Timestamp,
}

/// One object as an agent sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectState {
    /// The object.
    pub object: ObjectKey,
    /// Its health.
    pub health: Health,
    /// Why it is not healthy or not as wanted.
    pub reason: Option<Reason>,
}

/// One app in one cluster as its agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppState {
    /// The release that is wanted, as the agent's newest index says; `None` if the app is being withdrawn.
    pub wanted: Option<Digest>,
    /// The release whose objects were all applied last; `None` before the first.
    pub applied: Option<Digest>,
    /// The worst health over the app's objects.
    pub health: Health,
    /// Why, if the app is not healthy and applied.
    pub reason: Option<Reason>,
    /// How many objects the app owns here.
    pub objects: u32,
    /// The objects that are not healthy or not as wanted, at most [`AppState::OBJECT_LIMIT`].
    pub unhealthy: Vec<ObjectState>,
    /// Standing and recent drift, newest first, at most [`AppState::DRIFT_LIMIT`].
    pub drift: Vec<Drift>,
    /// Deletions that wait for an approval, if any: the objects by name.
    pub awaiting_approval: Vec<ObjectKey>,
    /// Objects that a withdrawal named and that are gone now.
    pub withdrawn: Vec<ObjectKey>,
    /// The app's removal is over, hooks included: the index need not name it any more.
    pub removed: bool,
    /// What was taken over from other managers, newest first, at most [`AppState::TAKEN_OVER_LIMIT`].
    pub taken_over: Vec<TakenOver>,
    /// What came of the last request to run the release's tests.
    pub test: Option<AppTest>,
}

impl AppState {
    /// The most objects that a report lists for one app.
    pub const OBJECT_LIMIT: usize = 50;
    /// The most drifts that a report lists for one app.
    pub const DRIFT_LIMIT: usize = 20;
    /// The most entries on what was taken over that a report lists for one app.
    pub const TAKEN_OVER_LIMIT: usize = 20;
}
