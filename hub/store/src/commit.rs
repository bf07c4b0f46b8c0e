//! What one commit is, and the one judgement of whether it may be carried out. Carrying it out is left to each store.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use crate::error::{Bound, StoreError, within};
use crate::key::{Key, Term, Version};

/// The most conditions and operations of one commit together; etcd's own default, so that a distributed store can keep the promise.
pub const COMMIT_PARTS: usize = 128;

/// The largest value of a record in bytes: 100 KiB. Anything larger is a blob.
pub const VALUE_LIMIT: usize = 100 * 1024;

/// The most bytes of values in one commit: 1 MiB. The embedded engine cuts values into pieces of 4 KiB: 256 pieces, 128 heads and 128
/// accounts of trees are 512 writes, below the 1,000 that one of its batches may have.
pub const COMMIT_BYTES: usize = 1024 * 1024;

/// Changes that happen together or not at all, and what must hold for them to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// The writer's term; a commit whose term is not the newest is refused. `None` for writers that need no leader.
    pub fence: Option<Term>,
    /// What must hold; checked in this order, the first that fails is reported.
    pub conditions: Vec<Condition>,
    /// What is changed, each key at most once.
    pub operations: Vec<Operation>,
}

/// What a key must be for the commit to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has no value.
    Absent(Key),
    /// The key has a value, whichever.
    Exists(Key),
    /// The key's value was written by this version.
    Version(Key, Version),
}

/// One change. Its `Debug` tells the length of a value only: values may be secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets the key's value.
    Put(Key, Bytes),
    /// Removes the key; nothing happens if it is absent.
    Delete(Key),
}

/// How a commit ended. Both are ordinary.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum CommitOutcome {
    /// Done, and on disk. All values it put carry this version. A commit that changed nothing has the version of the last one that did.
    Committed(Version),
    /// A condition did not hold and nothing was changed.
    Conflict {
        /// The key of the first condition that did not hold.
        key: Key,
        /// What the key has instead: the version of its value, or `None` if it has none.
        found: Option<Version>,
    },
}

impl Commit {
    /// A commit that puts one value under one condition.
    pub fn put(condition: Condition, key: Key, value: impl Into<Bytes>) -> Self {
        Self { fence: None, conditions: vec![condition], operations: vec![Operation::Put(key, value.into())] }
    }

    /// The same commit, fenced by `term`.
    pub fn fenced(mut self, term: Term) -> Self {
        self.fence = Some(term);
        self
    }

    /// Whether it only removes, and so may pass when the disk is nearly full.
    pub(crate) fn only_removes(&self) -> bool {
        self.operations.iter().all(|operation| matches!(operation, Operation::Delete(_)))
    }

    /// Checks what can be said without a store: sizes, and that no key is changed twice.
    pub(crate) fn check_limits(&self) -> Result<(), StoreError> {
        within(Bound::CommitParts, self.conditions.len() + self.operations.len(), COMMIT_PARTS)?;
        let mut keys = BTreeSet::new();
        let mut total = 0;
        for operation in &self.operations {
            if !keys.insert(operation.key()) {
                return Err(StoreError::Repeated { key: operation.key().clone() });
            }
            if let Operation::Put(_, value) = operation {
                within(Bound::ValueBytes, value.len(), VALUE_LIMIT)?;
                total += value.len();
            }
        }
        within(Bound::CommitBytes, total, COMMIT_BYTES)
    }
}

impl Condition {
    /// The key that the condition is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Exists(key) | Self::Version(key, _) => key,
        }
    }

    fn holds(&self, found: Option<Version>) -> bool {
        match self {
            Self::Absent(_) => found.is_none(),
            Self::Exists(_) => found.is_some(),
            Self::Version(_, version) => found == Some(*version),
        }
    }
}

impl Operation {
    /// The key that is changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Delete(key) => write!(f, "Delete({key})"),
        }
    }
}

/// Refuses a term that is not the newest. A term above it was never issued by this store (it was restored from an older copy), and its
/// holder acts on a state that this store does not have.
pub(crate) fn check_fence(fence: Option<Term>, highest: Term) -> Result<(), StoreError> {
    match fence {
        Some(held) if held != highest => Err(StoreError::Fenced { held, highest }),
        _ => Ok(()),
    }
}

/// The first condition that does not hold, as the outcome to report; `None` if all hold.
pub(crate) fn first_conflict(
    conditions: &[Condition],
    mut version_of: impl FnMut(&Key) -> Result<Option<Version>, StoreError>,
) -> Result<Option<CommitOutcome>, StoreError> {
    for condition in conditions {
        let found = version_of(condition.key())?;
        if !condition.holds(found) {
            return Ok(Some(CommitOutcome::Conflict { key: condition.key().clone(), found }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_for_debugging_never_holds_a_value() {
        let secret = Bytes::from_static(b"hunter2");
        let key: Key = "tokens/a".parse().unwrap();
        let commit = Commit::put(Condition::Absent(key), "tokens/a".parse().unwrap(), secret.clone());
        let entry = crate::Entry { value: secret, version: Version(7) };
        for printed in [format!("{commit:?}"), format!("{entry:?}")] {
            assert!(printed.contains("7 bytes") && !printed.contains("hunter"), "{printed}");
        }
    }
}
