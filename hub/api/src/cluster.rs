//! Regions and clusters, and how a cluster joins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ClusterState, FreshnessWord, HealthCounts, Judged, Named, NodesView, PendingApproval, ReasonView, SecretText};

/// Clusters by freshness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCounts {
    /// All.
    pub total: u32,
    /// Heard within 30 seconds.
    pub fresh: u32,
    /// Silent for 30 seconds or more.
    pub stale: u32,
    /// Silent for 90 seconds or more, or never heard.
    pub offline: u32,
}

impl ClusterCounts {
    /// Counts clusters.
    pub fn of(all: impl IntoIterator<Item = FreshnessWord>) -> Self {
        let mut counts = Self::default();
        for freshness in all {
            counts.total += 1;
            match freshness {
                FreshnessWord::Fresh => counts.fresh += 1,
                FreshnessWord::Stale => counts.stale += 1,
                FreshnessWord::Offline => counts.offline += 1,
            }
        }
        counts
    }
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionView {
    /// Its name.
    pub name: String,
    /// Its clusters.
    pub clusters: ClusterCounts,
    /// The apps in its clusters, one count for each cluster that an app is in.
    pub apps: HealthCounts,
    /// The worst of them.
    #[serde(flatten)]
    pub judged: Judged,
}

impl Named for RegionView {
    const KIND: &'static str = "Region";

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its labels, from Git.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The uid of its `kube-system` namespace; absent before its agent enrolled. For a held cluster the one that asks to be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Where it stands with the hub.
    pub state: ClusterState,
    /// Why it is not accepted, or not as wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonView>,
    /// When it was last heard, RFC 3339, by the hub's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<String>,
    /// The worst of its apps, as old as the last word from the cluster.
    #[serde(flatten)]
    pub judged: Judged,
    /// Its apps.
    pub apps: HealthCounts,
    /// The index that it should hold, as `epoch.sequence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_generation: Option<String>,
    /// The index that it holds, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_generation: Option<String>,
    /// The version of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The version of its API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// Its nodes and devices; absent before its agent has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodesView>,
    /// The API versions that it serves; where one cluster is asked for, not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_versions: Vec<String>,
    /// Changes of the cluster itself that are held.
    #[serde(default)]
    pub held_changes: Vec<PendingApproval>,
}

impl Named for ClusterView {
    const KIND: &'static str = "Cluster";

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Adds a cluster: makes a one-time token for an agent of this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddClusterRequest {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// How to enrol a cluster. The token is shown this once; the hub keeps its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrolmentView {
    /// The cluster.
    pub cluster: String,
    /// Its region.
    pub region: String,
    /// The one command to run where the cluster can be reached. It holds the token.
    pub command: SecretText,
    /// The one-time token.
    pub token: SecretText,
    /// When the token ends, RFC 3339.
    pub expires_at: String,
    /// How long the token lasts.
    pub expires_in_seconds: u64,
    /// Whether an operator has to accept the cluster after its agent came.
    pub accept_needed: bool,
}

impl Named for EnrolmentView {
    const KIND: &'static str = "Enrolment";

    fn name(&self) -> String {
        self.cluster.clone()
    }
}

/// Accepts a held cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptRequest {
    /// The uid that was shown. If another cluster asks by now, the accept is refused.
    pub uid: String,
}
