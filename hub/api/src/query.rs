//! What a list may be asked for.

use serde::{Deserialize, Serialize};
use shared_model::{AppName, ClusterName, RegionName};

use crate::{HealthWord, StatusView};

/// The most items on one page: a status row is about 1 KB with its drift, so a page stays near 1 MB.
pub const PAGE_LIMIT: u32 = 1_000;

/// The items on a page when nothing is asked for.
pub const PAGE_DEFAULT: u32 = 500;

/// Which page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageQuery {
    /// The most items wanted; more than [`PAGE_LIMIT`] are never given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// What the page before said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#continue: Option<String>,
}

/// Which rows of the status, and which page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusQuery {
    /// Only this app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Only clusters of this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Only rows in this health, as it may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// The most rows wanted; more than [`PAGE_LIMIT`] are never given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// What the page before said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#continue: Option<String>,
}

/// Which rows of the status, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusFilter {
    /// Only this app.
    pub app: Option<AppName>,
    /// Only this cluster.
    pub cluster: Option<ClusterName>,
    /// Only clusters of this region.
    pub region: Option<RegionName>,
    /// Only rows in this health, as it may be shown.
    pub health: Option<HealthWord>,
}

impl StatusFilter {
    /// Whether `row` is asked for.
    pub fn admits(&self, row: &StatusView) -> bool {
        self.app.as_ref().is_none_or(|app| app.as_str() == row.app)
            && self.cluster.as_ref().is_none_or(|cluster| cluster.as_str() == row.cluster)
            && self.region.as_ref().is_none_or(|region| region.as_str() == row.region)
            && self.health.is_none_or(|health| health == row.judged.health())
    }
}
