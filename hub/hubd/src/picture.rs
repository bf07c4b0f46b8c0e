//! What came of the newest planning, for those who look: API, CLI, metrics. A new picture replaces the old one as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_fleet::Fleet;
use shared_model::{AppName, AppState, ClusterName, Digest, Generation, ObjectKey, Reason, RegionName, Revision, SourceName};

/// The fleet as it was planned last.
#[derive(Default)]
pub(crate) struct Picture {
    /// The fleet repository's revision.
    pub(crate) revision: Option<Revision>,
    /// The revisions of all sources.
    pub(crate) revisions: BTreeMap<SourceName, Revision>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) problems: Vec<Trouble>,
    pub(crate) pairs: BTreeMap<(AppName, ClusterName), Pair>,
    /// Stages of rollouts that wait for an approval.
    pub(crate) held_apps: BTreeMap<AppName, Vec<Pending>>,
    /// The generation of each cluster's index.
    pub(crate) generations: BTreeMap<ClusterName, Generation>,
}

/// One app in one cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pair {
    /// The release that the repository asks for; `None` if that cannot be told, or nothing is.
    pub(crate) wanted: Option<Digest>,
    /// The release in the cluster's index.
    pub(crate) published: Option<Digest>,
    /// Why the index is not what the repository asks for.
    pub(crate) reasons: Vec<Reason>,
    /// Deletions that need an approval.
    pub(crate) deletions: Option<Pending>,
    /// The index does not name all of these deletions.
    pub(crate) withheld: bool,
    /// Other changes that are held.
    pub(crate) held: Vec<Pending>,
}

impl Pair {
    /// The deletions that wait for an approval, all that one approval is of. Whether what the index names needs one is the agent's to say, who
    /// knows what it owns; what the index does not name no agent can ask about.
    pub(crate) fn awaiting(&self, state: Option<&AppState>) -> Option<&Pending> {
        let asks = state.is_none_or(|state| !state.awaiting_approval.is_empty());
        self.deletions.as_ref().filter(|_| self.withheld || asks)
    }
}

/// A change that waits for an approval of exactly it.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) reason: Reason,
    pub(crate) deletes: Vec<ObjectKey>,
    pub(crate) affects: Vec<String>,
    pub(crate) digest: Option<Digest>,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) source: Option<SourceName>,
    pub(crate) app: Option<AppName>,
    pub(crate) cluster: Option<ClusterName>,
    pub(crate) place: Option<(String, Option<(u32, u32)>)>,
    pub(crate) reason: Reason,
    pub(crate) hint: Option<String>,
    pub(crate) blocks: Vec<String>,
}

impl Picture {
    /// The region of a cluster, as the repository says.
    pub(crate) fn region(&self, cluster: &ClusterName) -> Option<&RegionName> {
        self.fleet.clusters.get(cluster).map(|cluster| &cluster.region)
    }
}
