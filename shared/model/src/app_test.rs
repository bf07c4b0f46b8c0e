//! What an agent reports about the tests of an app's release, which run when they are asked for. How they are run is left to `agent/plan`.

use crate::{Digest, ObjectKey, Reason, TestId, Timestamp};

/// How a test, or all tests of a request, stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TestOutcome {
    /// It ended well.
    Succeeded,
    /// It runs.
    Running,
    /// It did not begin yet.
    Waiting,
    /// It will not run, or what it came to does not count: a newer request or another release came before its end, or an earlier test failed.
    Cancelled,
    /// It ended badly, or took too long.
    Failed,
}

impl TestOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Succeeded, Self::Running, Self::Waiting, Self::Cancelled, Self::Failed];

    /// The word used in every table and API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Cancelled => "Cancelled",
            Self::Failed => "Failed",
        }
    }

    /// Whether nothing more will come of it.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Cancelled | Self::Failed)
    }
}

/// What came of one request to test an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTest {
    /// The request.
    pub request: TestId,
    /// The release that is tested.
    pub release: Digest,
    /// How all of it stands.
    pub outcome: TestOutcome,
    /// Why it waits, failed or was cancelled.
    pub reason: Option<Reason>,
    /// When the agent saw the request, by the agent's clock.
    pub seen: Timestamp,
    /// When it came to its end.
    pub ended: Option<Timestamp>,
    /// The tests in the order in which they run, at most [`AppTest::RESULT_LIMIT`].
    pub results: Vec<TestResult>,
}

impl AppTest {
    /// The most tests that a report lists for one app. Charts have one to five; with messages of 300 characters these stay under 50 KB.
    pub const RESULT_LIMIT: usize = 100;
}

/// One test: an object that runs to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// The object.
    pub object: ObjectKey,
    /// How it stands.
    pub outcome: TestOutcome,
    /// What it says: of one that failed, why.
    pub message: Option<String>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When its end was seen.
    pub ended: Option<Timestamp>,
}
