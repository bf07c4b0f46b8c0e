//! What a store says about its own condition, for readiness and for operators. Acting on it is left to them.

use std::fmt;

use shared_model::Digest;

use crate::error::Flaw;
use crate::key::Key;

/// The most damages that a report names; the rest is counted. 100 lines are as many as anyone reads.
pub const DAMAGE_LIMIT: usize = 100;

/// How much a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is known without reading: cheap enough for each readiness probe.
    Quick,
    /// Everything stored is read and verified. Takes as long as reading it takes; writes wait while records are read, not while
    /// blobs are.
    Full,
}

/// The condition of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Records stored.
    pub records: u64,
    /// Blobs stored.
    pub blobs: u64,
    /// What is damaged, up to [`DAMAGE_LIMIT`] of it: found now, or at open.
    pub damages: Vec<Damage>,
    /// How many damages there are in all.
    pub damage_count: u64,
    /// Why the store stopped, if it did.
    pub stopped: Option<String>,
    /// Free bytes on its disk and the floor below which it refuses writes; `None` for a store without a disk.
    pub disk: Option<(u64, u64)>,
}

/// One thing that is wrong with what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A record that cannot be trusted.
    Record(Key, Flaw),
    /// A blob that cannot be trusted.
    Blob(Digest, Flaw),
    /// A stored item of the engine that is neither, by its name in hexadecimal digits.
    Item(String, Flaw),
    /// The store's own account of itself is missing or damaged.
    Manifest(Flaw),
    /// A tree holds other records than its manifest says: some were lost, or came back.
    Tree {
        /// Which tree.
        tree: String,
        /// How many records there should be.
        expected: u64,
        /// How many there are. If the numbers are equal, some are of a wrong version.
        found: u64,
    },
    /// There are other blobs than the manifest says.
    Blobs {
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The store is older than what it has acknowledged: its newest writes are gone.
    RolledBack {
        /// The newest version that was acknowledged.
        acknowledged: u64,
        /// The newest version that is there.
        found: u64,
    },
}

impl CheckReport {
    /// Whether the store can be read and written.
    pub fn is_ready(&self) -> bool {
        self.stopped.is_none() && self.damage_count == 0 && self.disk.is_none_or(|(free, floor)| free >= floor)
    }

    pub(crate) fn damaged(&mut self, damage: Damage) {
        self.damage_count += 1;
        if self.damages.len() < DAMAGE_LIMIT {
            self.damages.push(damage);
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(key, flaw) => write!(f, "record {key}: {flaw}"),
            Self::Blob(digest, flaw) => write!(f, "blob {digest}: {flaw}"),
            Self::Item(name, flaw) => write!(f, "item {name}: {flaw}"),
            Self::Manifest(flaw) => write!(f, "manifest: {flaw}"),
            Self::Tree { tree, expected, found } => write!(f, "tree {tree}: {found} of {expected} records as written"),
            Self::Blobs { expected, found } => write!(f, "blobs: {found} of {expected} as written"),
            Self::RolledBack { acknowledged, found } => {
                write!(f, "the newest write is version {found}, but {acknowledged} was acknowledged")
            }
        }
    }
}
