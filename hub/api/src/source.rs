//! Sources of manifests: at which revision they are, how old that knowledge is, and why it is not newer.

use serde::{Deserialize, Serialize};
use shared_model::Revision;

use crate::Named;

/// A revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionView {
    /// What is followed: `main`, `v1.2.0`.
    pub reference: String,
    /// The commit in hexadecimal digits.
    pub commit: String,
}

impl RevisionView {
    /// `main@3f2a9c1b04de`.
    pub fn short(&self) -> String {
        Revision { reference: self.reference.clone(), commit: self.commit.clone() }.to_string()
    }
}

impl From<&Revision> for RevisionView {
    fn from(revision: &Revision) -> Self {
        Self { reference: revision.reference.clone(), commit: revision.commit.clone() }
    }
}

/// Why the last fetch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchFailure {
    /// CamelCase, stable.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How long ago the last attempt failed.
    pub age_seconds: u64,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceView {
    /// Its name, as configured on the hub.
    pub name: String,
    /// Where it is, without credentials.
    pub url: String,
    /// The revision that is used; absent before the first fetch. A failing fetch keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionView>,
    /// The commit up to which everything has been rendered, planned and published to the clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_commit: Option<String>,
    /// When it was last fetched with success, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<String>,
    /// How long ago that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// Why the last fetch failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FetchFailure>,
}

impl Named for SourceView {
    const KIND: &'static str = "Source";

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Asks for a fetch now. The answer comes when the fetch is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshRequest {
    /// Which source; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}
