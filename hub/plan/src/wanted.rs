//! What is wanted of one cluster, app by app, as the hub's process hands it to a plan: rendered, blocked, held or removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hub_fleet::{OnDelete, Suspicion};
use shared_model::{AppName, Digest, Generation, ObjectKey, Reason, ServiceAccount};
use shared_release::{Entry, Release, TestRequest};

use crate::gate::Gate;

/// The wanted state of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These apps. One that ran and is not among them keeps running: absence is never a removal.
    Apps(BTreeMap<AppName, WantedApp>),
    /// It cannot be told, as the fleet is incomplete or the cluster is blocked: everything stays exactly as it is.
    KeepAll(Reason),
}

/// What is wanted of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every app is a release, so that a box would only cost an allocation each")]
pub enum WantedApp {
    /// This release.
    Release(WantedRelease),
    /// It cannot be told (a problem in the fleet, a failed render): what runs keeps running.
    Blocked(Reason),
    /// Something is suspicious: what runs keeps running until somebody approves exactly this.
    Held {
        /// What is suspicious.
        reason: Reason,
        /// What happens once it is approved.
        then: Box<WantedApp>,
    },
    /// It is removed; what becomes of its objects was said by its last release. Nothing removes an app but an approval given before, or a
    /// placement that moved away while the app is still defined.
    Removed,
}

impl WantedApp {
    /// Holds `then` because of `suspicion`. What no approval can let happen is blocked.
    pub fn suspected(suspicion: &Suspicion, then: Self) -> Self {
        if suspicion.can_be_approved() {
            Self::Held { reason: suspicion.into(), then: Box::new(then) }
        } else {
            Self::Blocked(suspicion.into())
        }
    }
}

/// A release that a cluster should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRelease {
    /// Its digest.
    pub digest: Digest,
    /// Its content.
    pub release: Arc<Release>,
    /// The apps that must be healthy first, in this cluster.
    pub depends_on: BTreeSet<AppName>,
    /// Whose rights it is written with; the agent's own if `None`.
    pub service_account: Option<ServiceAccount>,
    /// What becomes of the objects when the app is removed.
    pub on_delete: OnDelete,
    /// Why the cluster may not move to it yet, if it may not: what [`crate::Permission`] says.
    pub waits: Option<Gate>,
}

/// Tests that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTest {
    /// The release that is to be tested; of another nothing runs.
    pub release: Digest,
    /// The request.
    pub request: TestRequest,
}

/// What an agent reported about an app: objects that a withdrawal named and that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The index that the agent had when it said so.
    pub as_of: Generation,
    /// The objects.
    pub objects: BTreeSet<ObjectKey>,
    /// The app's removal is over, hooks included.
    pub removed: bool,
}

/// The entries of a release that its app claims for itself.
pub fn claims(release: &Release) -> impl Iterator<Item = &Entry> {
    release.entries.values().map(Arc::as_ref).filter(|entry| entry.is_claimed())
}

/// The entries of a release that its app has while it runs: all that it claims but the hooks of its removal.
pub(crate) fn had(release: &Release) -> impl Iterator<Item = &Entry> {
    claims(release).filter(|entry| !entry.is_only_of_removal())
}

/// Whether `release` claims `object`.
pub(crate) fn claims_object(release: &Release, object: &ObjectKey) -> bool {
    release.entries.get(object).is_some_and(|entry| entry.is_claimed())
}
