//! Holds: for a while nothing of an app is changed in a cluster, whatever Git says and whoever changes it there.

use serde::{Deserialize, Serialize};

use crate::Named;

/// Asks for a hold. One that stands already is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldRequest {
    /// The app.
    pub app: String,
    /// The cluster; in all of its clusters if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Why, for whoever wonders meanwhile; at most 500 bytes.
    pub reason: String,
    /// For how many seconds from now; at most a week.
    pub seconds: u64,
}

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldView {
    /// The app.
    pub app: String,
    /// The cluster; all of the app's clusters if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it ends by itself (RFC 3339).
    pub until: String,
    /// How many seconds that is from now.
    pub ends_in_seconds: u64,
}

impl Named for HoldView {
    const KIND: &'static str = "Hold";

    fn name(&self) -> String {
        match &self.cluster {
            Some(cluster) => format!("{}@{cluster}", self.app),
            None => self.app.clone(),
        }
    }
}
