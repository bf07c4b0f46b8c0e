//! Apps over the whole fleet, and each app in each cluster.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_model::{Digest, Drift, FieldChange, Freshness, GroupKind, ObjectKey, ObjectState, TakenOver};

use crate::{DriftWord, HealthCounts, Judged, Named, PendingApproval, ReasonView, RevisionView, SyncWord, TestView};

/// An app over all its clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppView {
    /// Its name.
    pub name: String,
    /// The source that defines it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The revision it was last rendered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionView>,
    /// Its clusters by health.
    pub clusters: HealthCounts,
    /// Those that run what is wanted and were heard just now.
    pub synced: u32,
    /// The worst of its clusters, as old as the oldest word from one of them.
    #[serde(flatten)]
    pub judged: Judged,
    /// How many problems block it.
    pub problems: u32,
    /// Changes of the whole app that are held.
    #[serde(default)]
    pub held_changes: Vec<PendingApproval>,
}

impl Named for AppView {
    const KIND: &'static str = "App";

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// One app in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The app.
    pub app: String,
    /// The cluster.
    pub cluster: String,
    /// The cluster's region.
    pub region: String,
    /// The release that should run here; absent if the app is being withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// The release that was applied last, as the cluster said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Whether these are the same; Unknown if the cluster is silent.
    pub sync: SyncWord,
    /// Its health.
    #[serde(flatten)]
    pub judged: Judged,
    /// Why it is not healthy and applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonView>,
    /// How many objects the app owns here.
    pub objects: u32,
    /// The objects that are not healthy or not as wanted.
    #[serde(default)]
    pub unhealthy: Vec<ObjectView>,
    /// Standing and recent drift, newest first.
    #[serde(default)]
    pub drift: Vec<DriftView>,
    /// What was taken over from other field managers, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_over: Vec<TakenOverView>,
    /// Deletions that wait for an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting_approval: Option<PendingApproval>,
    /// Other changes here that are held.
    #[serde(default)]
    pub held_changes: Vec<PendingApproval>,
    /// The tests that were asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestView>,
}

impl StatusView {
    /// Whether the cluster runs `wanted`, having said `age` ago that it applied `applied`.
    pub fn sync_of(wanted: Option<&Digest>, applied: Option<&Digest>, age: Option<Duration>) -> SyncWord {
        match Freshness::of_age(age) {
            Freshness::Fresh if wanted == applied => SyncWord::Synced,
            Freshness::Fresh => SyncWord::OutOfSync,
            Freshness::Stale | Freshness::Offline => SyncWord::Unknown,
        }
    }
}

impl Named for StatusView {
    const KIND: &'static str = "Status";

    fn name(&self) -> String {
        format!("{}@{}", self.app, self.cluster)
    }
}

/// Which object: `Deployment.apps web/api` in its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// API group, empty for core.
    #[serde(default)]
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl From<&ObjectKey> for ObjectRef {
    fn from(key: &ObjectKey) -> Self {
        let GroupKind { group, kind } = &key.kind;
        Self { group: group.clone(), kind: kind.clone(), namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

impl fmt::Display for ObjectRef {
    /// As people say it: `Deployment.apps web/api`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = GroupKind::new(&self.group, &self.kind);
        f.pad(&ObjectKey::new(kind, self.namespace.as_deref(), &self.name).to_string())
    }
}

/// An object that is not healthy or not as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectView {
    /// The object.
    pub object: ObjectRef,
    /// Its health.
    #[serde(flatten)]
    pub judged: Judged,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonView>,
}

impl ObjectView {
    /// What an agent said of an object `age` ago.
    pub fn of(state: &ObjectState, age: Option<Duration>) -> Self {
        Self { object: (&state.object).into(), judged: Judged::of(Some(state.health), age), reason: state.reason.as_ref().map(Into::into) }
    }
}

/// A difference between what is wanted and what was found, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftView {
    /// The object.
    pub object: ObjectRef,
    /// The kind of difference.
    pub kind: DriftWord,
    /// The fields that differ.
    #[serde(default)]
    pub fields: Vec<FieldChangeView>,
    /// When the agent saw it, RFC 3339, by the agent's clock.
    pub seen: String,
    /// When it was healed, RFC 3339; absent while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<String>,
}

impl From<&Drift> for DriftView {
    fn from(drift: &Drift) -> Self {
        Self {
            object: (&drift.object).into(),
            kind: drift.kind.into(),
            fields: drift.fields.iter().map(Into::into).collect(),
            seen: drift.seen.to_string(),
            healed: drift.healed.map(|at| at.to_string()),
        }
    }
}

/// Fields that an apply took over from another manager, which had set them otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenOverView {
    /// The object.
    pub object: ObjectRef,
    /// Whom they were taken from.
    pub manager: String,
    /// Their paths as people write them.
    #[serde(default)]
    pub fields: Vec<String>,
    /// When, RFC 3339, by the agent's clock.
    pub at: String,
}

impl From<&TakenOver> for TakenOverView {
    fn from(taken: &TakenOver) -> Self {
        Self { object: (&taken.object).into(), manager: taken.manager.clone(), fields: taken.fields.clone(), at: taken.at.to_string() }
    }
}

/// One field that was changed. Secret values are redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChangeView {
    /// The path as people write it.
    pub path: String,
    /// What is wanted, as compact JSON; absent if the field is not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What was found, as compact JSON; absent if the field was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The field manager that holds the field now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Since when that manager's entry dates, RFC 3339, by the API server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

impl From<&FieldChange> for FieldChangeView {
    fn from(change: &FieldChange) -> Self {
        Self {
            path: change.path.clone(),
            wanted: change.wanted.clone(),
            found: change.found.clone(),
            manager: change.manager.clone(),
            since: change.since.map(|at| at.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HealthWord;
    use shared_model::Health;

    #[test]
    fn a_silent_cluster_is_never_called_synced() {
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let sync = |applied, seconds| StatusView::sync_of(Some(&one), Some(applied), Some(Duration::from_secs(seconds)));
        assert_eq!([sync(&one, 5), sync(&other, 5), sync(&one, 30)], [SyncWord::Synced, SyncWord::OutOfSync, SyncWord::Unknown]);
    }

    #[test]
    fn the_health_of_an_object_goes_unknown_with_its_cluster() {
        let api = ObjectKey::new(GroupKind::of("apps/v1", "Deployment"), Some("web"), "api");
        let state = ObjectState { object: api, health: Health::Degraded, reason: None };
        let health = |seconds| ObjectView::of(&state, Some(Duration::from_secs(seconds))).judged.health();
        assert_eq!([health(3), health(42)], [HealthWord::Degraded, HealthWord::Unknown]);
    }

    #[test]
    fn an_object_is_written_as_people_say_it() {
        let api = ObjectKey::new(GroupKind::of("apps/v1", "Deployment"), Some("web"), "api");
        assert_eq!(ObjectRef::from(&api).to_string(), "Deployment.apps web/api");
    }
}
