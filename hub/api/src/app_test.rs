//! Tests of apps: asking for them, and what came of it.

use serde::{Deserialize, Serialize};

use crate::{Named, ObjectRef, ReasonView, TestWord};

/// Asks for the tests of an app's release. A request that did not end in the same clusters is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestAppRequest {
    /// The cluster; all of the app's clusters if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How many seconds the tests may take from when the agent sees the request, at most a day; 300 if absent, as for Helm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// The tests of one app in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestView {
    /// The app.
    pub app: String,
    /// The cluster.
    pub cluster: String,
    /// How the tests that were asked for last stand.
    pub outcome: TestWord,
    /// The request; absent if nobody ever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The release that is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Who asked, while the hub still waits for the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When that was (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// When the agent saw the request, by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// When all of it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why it waits, failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonView>,
    /// How long ago the cluster was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// The tests in the order in which they run.
    #[serde(default)]
    pub tests: Vec<TestResultView>,
}

impl Named for TestView {
    const KIND: &'static str = "Test";

    fn name(&self) -> String {
        format!("{}@{}", self.app, self.cluster)
    }
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResultView {
    /// Its object.
    pub object: ObjectRef,
    /// How it stands.
    pub outcome: TestWord,
    /// What it says: of one that failed, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it began, by the agent's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// When its end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}
