//! What is known about a source, of whatever kind, and how an attempt to refresh it changes that. How one is refreshed is left to `mirror`
//! and `chart`.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use shared_model::{Revision, Timestamp};

use crate::error::{FetchError, cut};
use crate::record::{REWRITE_LIMIT, Rewrite};

/// How a revision follows the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum History {
    /// It is the one before.
    Unchanged,
    /// There was none before.
    First,
    /// The one before is among its ancestors.
    FastForward,
    /// The range of versions selects another tag now.
    OtherTag {
        /// The tag before.
        before: String,
    },
    /// The same name leads to another history: it was force-pushed.
    Rewritten {
        /// The commit that is no longer among its ancestors.
        lost_commit: String,
    },
}

/// A refresh that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// Where the source is.
    pub revision: Revision,
    /// How that follows what was before.
    pub history: History,
}

impl Refreshed {
    /// Whether there is something new.
    pub fn changed(&self) -> bool {
        self.history != History::Unchanged
    }
}

/// A failure that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The latest error.
    pub error: FetchError,
    /// When the first refresh failed after the last that succeeded.
    pub since: Timestamp,
}

/// What is known about a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceState {
    /// The last good revision, and when a refresh last confirmed it.
    pub last_good: Option<(Revision, Timestamp)>,
    /// When the last refresh ended, of this process.
    pub last_attempt: Option<Timestamp>,
    /// The failure, if the last refresh failed.
    pub failure: Option<Failure>,
    /// How many refreshes failed one after the other.
    pub consecutive_failures: u32,
    /// Rewritten histories, the latest last; for the audit log. At most 16, kept across restarts.
    pub rewrites: Vec<Rewrite>,
}

impl SourceState {
    /// Takes the end of an attempt; `error` is why it failed. What was good stays.
    pub(crate) fn attempted(&mut self, now: Timestamp, error: Option<&FetchError>) {
        self.last_attempt = Some(now);
        match error {
            None => {
                self.failure = None;
                self.consecutive_failures = 0;
            }
            Some(error) => {
                let since = self.failure.as_ref().map_or(now, |failure| failure.since);
                self.failure = Some(Failure { error: error.clone(), since });
                self.consecutive_failures = self.consecutive_failures.saturating_add(1);
            }
        }
    }

    /// The rewritten histories, with this one if it is another.
    pub(crate) fn rewrites_with(&self, revision: &Revision, history: &History, now: Timestamp) -> Vec<Rewrite> {
        let mut rewrites = self.rewrites.clone();
        if let History::Rewritten { lost_commit } = history {
            rewrites.push(Rewrite { lost_commit: lost_commit.clone(), revision: revision.clone(), seen: now });
            let surplus = rewrites.len().saturating_sub(REWRITE_LIMIT);
            rewrites.drain(..surplus);
        }
        rewrites
    }
}

/// Runs `find`. What a hostile server makes a library do must not end the task that polls.
pub(crate) fn guarded<T>(url: &dyn fmt::Display, find: impl FnOnce() -> Result<T, FetchError>) -> Result<T, FetchError> {
    catch_unwind(AssertUnwindSafe(find))
        .unwrap_or_else(|panic| Err(FetchError::Panicked { url: url.to_string(), detail: panic_text(panic.as_ref()) }))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    cut(text.unwrap_or("without a message"))
}
