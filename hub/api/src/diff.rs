//! What would change in a cluster: its applied release against the wanted one. Secret values are redacted by whoever fills it in.

use serde::{Deserialize, Serialize};

use crate::{ChangeWord, Named, ObjectRef, SyncWord};

/// The difference of one app in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    /// The app.
    pub app: String,
    /// The cluster.
    pub cluster: String,
    /// The release that was applied last, as the cluster said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// The release that should run; absent if the app is being withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Whether these are the same; Unknown if the cluster is silent, and the difference is then to what it said last.
    pub sync: SyncWord,
    /// How old the last word from the cluster is; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// The objects that would change, in order of their keys.
    pub changes: Vec<ObjectDiff>,
}

impl Named for DiffView {
    const KIND: &'static str = "Diff";

    fn name(&self) -> String {
        format!("{}@{}", self.app, self.cluster)
    }
}

/// What would happen to one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDiff {
    /// The object.
    pub object: ObjectRef,
    /// What would happen to it.
    pub change: ChangeWord,
    /// The fields, if it would be changed.
    #[serde(default)]
    pub fields: Vec<FieldDiff>,
}

/// What would happen to one field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDiff {
    /// The path as people write it.
    pub path: String,
    /// The value now, as compact JSON; absent if the field is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value then, as compact JSON; absent if the field is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
