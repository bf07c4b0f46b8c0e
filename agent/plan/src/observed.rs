//! What is known of the cluster: kinds and objects. "Cannot be read" is a value of its own and never means "gone".

use std::collections::BTreeMap;

use agent_health::{Ending, Verdict};
use shared_model::{Digest, FieldChange, GroupKind, ObjectKey, Reason, Scope};

use crate::Tracking;

/// What discovery says of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindState {
    /// The API server serves it.
    Served(Scope),
    /// The API server answers for the group and does not have the kind.
    NotServed,
    /// The group answers errors, or discovery failed.
    Unknown(Reason),
}

/// The kinds that matter here.
pub type Kinds = BTreeMap<GroupKind, KindState>;

/// What is known of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Its kind's watch has an answer for every object, and this one is not there.
    Absent,
    /// It is not there, and the last that was seen of it was its end: a Job that its time to live took away at once.
    Ended {
        /// Its uid.
        uid: String,
        /// Its end.
        ending: Ending,
    },
    /// It is there.
    Present(Present),
    /// It cannot be told.
    Unknown(Reason),
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its uid.
    pub uid: String,
    /// Its tracking annotation, if it carries one of ours.
    pub tracking: Option<Tracking>,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// Its health.
    pub verdict: Verdict,
    /// Its end, if it is of a kind that runs to one and came to it.
    pub ending: Option<Box<Ending>>,
    /// How it compares with what is wanted.
    pub compared: Compared,
}

/// How the owned values of an object compare with what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Something changed since the last comparison; there will be one.
    NotYet,
    /// Compared with the blob of this digest.
    With {
        /// The blob.
        digest: Digest,
        /// The differences, redacted; none if all owned values are as wanted.
        changes: Vec<FieldChange>,
    },
}

/// The objects that matter here.
pub(crate) type Objects = BTreeMap<ObjectKey, Observed>;
