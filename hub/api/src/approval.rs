//! What waits for an operator's approval, and the approval itself, which is of exactly one content.

use serde::{Deserialize, Serialize};

use crate::{Named, ObjectRef, ReasonView};

/// A change that is held until somebody approves exactly this content: deletions beyond the budget, or something that disappeared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingApproval {
    /// Why it is held.
    pub reason: ReasonView,
    /// The objects that would be deleted, all of them.
    pub deletes: Vec<ObjectRef>,
    /// What else would change, in words.
    #[serde(default)]
    pub affects: Vec<String>,
    /// The digest of exactly this change. Absent if no approval can let it happen and only mending helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How long it has been held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
}

/// Approves what was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The app, if the change is an app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The cluster, if the change is in one cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The digest of the change that was shown. If the change is another by now, the approval is refused.
    pub digest: String,
}

/// An approval that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    /// What was approved.
    pub digest: String,
    /// The app, if the change is an app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The cluster, if the change is in one cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How many objects it lets go.
    pub deletes: u32,
    /// Who approved it.
    pub approved_by: String,
}

impl Named for ApprovalView {
    const KIND: &'static str = "Approval";

    fn name(&self) -> String {
        self.digest.clone()
    }
}
