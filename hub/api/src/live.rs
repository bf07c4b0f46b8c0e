//! What is seen of an app in a cluster right now, asked of the cluster itself: its objects and what they own, one of them in full, events,
//! differences, logs. Contents of Secrets are redacted in the cluster already.

use serde::{Deserialize, Serialize};

use crate::{FieldChangeView, HealthWord, Named, ObjectRef, ReasonView};

/// Which object is asked for, in a query: a kind in any spelling and a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectParameters {
    /// `deployment`, `Deployment`, `deployments.apps`; with a name or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The namespace; any of the app's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Which log is asked for, in a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogParameters {
    /// The kind of the pod, or of what owns pods; with a name or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its namespace; any of the app's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The container; if absent the only one, or the one that the pod names as its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What the container said before its last restart.
    #[serde(default)]
    pub previous: bool,
    /// Go on with what is said from now on.
    #[serde(default)]
    pub follow: bool,
    /// Begin each line with its time.
    #[serde(default)]
    pub timestamps: bool,
    /// Only so many of the last lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    /// Only what was said so many seconds ago or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
}

/// The objects of an app and what they own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeView {
    /// The app.
    pub app: String,
    /// The cluster.
    pub cluster: String,
    /// Owners before what they own.
    pub nodes: Vec<TreeNodeView>,
    /// How many more there are.
    pub left_out: u32,
    /// Kinds that could not be looked at, and why.
    #[serde(default)]
    pub unseen: Vec<ReasonView>,
}

/// One object in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeNodeView {
    /// The object.
    pub object: ObjectRef,
    /// The place in the list of the object that owns it; absent for the app's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// Its health, as it is right now.
    pub health: HealthWord,
    /// Why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonView>,
    /// If it is a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodView>,
}

/// What people look for in a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// The node that it is on; empty before.
    pub node: String,
    /// Its containers, those of the start first.
    pub containers: Vec<String>,
    /// How many of its containers are ready.
    pub ready: u32,
    /// How many it has, those of the start left out.
    pub wanted: u32,
    /// How often its containers were restarted.
    pub restarts: u32,
    /// How old it is, by the hub's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
}

/// A live object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveObjectView {
    /// The app.
    pub app: String,
    /// The cluster.
    pub cluster: String,
    /// Which object was meant.
    pub object: ObjectRef,
    /// The object as it is, redacted, without `managedFields`.
    pub manifest: serde_json::Value,
}

/// Events of an app's objects, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsView {
    /// The app.
    pub app: String,
    /// The cluster.
    pub cluster: String,
    /// The events.
    pub events: Vec<EventView>,
    /// How many older ones there are.
    pub left_out: u32,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// What it is about.
    pub object: ObjectRef,
    /// Whether it is a warning.
    pub is_warning: bool,
    /// CamelCase: `BackOff`.
    pub code: String,
    /// The facts.
    pub message: String,
    /// Who says so.
    pub source: String,
    /// How often it was said.
    pub count: u32,
    /// When it was said first, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// When it was said last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// How long ago that was, by the hub's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
}

/// How an app's objects differ from what is wanted, right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveDiffView {
    /// The app.
    pub app: String,
    /// The cluster.
    pub cluster: String,
    /// The objects that differ.
    pub objects: Vec<LiveObjectDiff>,
    /// How many more differ.
    pub left_out: u32,
}

/// How one object differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveObjectDiff {
    /// The object.
    pub object: ObjectRef,
    /// Whether it is not there at all.
    pub missing: bool,
    /// The fields that differ.
    #[serde(default)]
    pub fields: Vec<FieldChangeView>,
}

/// What a log is sent as: server-sent events of these names.
pub mod log_event {
    /// One line of the log.
    pub const LINE: &str = "line";
    /// The last event: empty if the log has ended by itself, otherwise a [`ReasonView`](crate::ReasonView) in JSON that says why it is cut short.
    pub const END: &str = "end";
}

macro_rules! of_an_app {
    ($($name:ident: $kind:literal),+) => {
        $(impl Named for $name {
            const KIND: &'static str = $kind;

            fn name(&self) -> String {
                format!("{}@{}", self.app, self.cluster)
            }
        })+
    };
}

of_an_app!(TreeView: "Tree", LiveObjectView: "LiveObject", EventsView: "Events", LiveDiffView: "LiveDiff");
