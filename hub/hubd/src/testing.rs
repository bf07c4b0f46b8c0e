//! Requests to run the tests of apps: how they are stored, asked for and ended, and what agents say came of them. A request stands in a
//! cluster's index until its agent has told the end, or another release came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hub_api::{ObjectRef, ReasonView, TestResultView, TestView, TestWord};
use hub_plan::WantedTest;
use hub_store::{COMMIT_PARTS, Commit, CommitOutcome, Condition, Operation, Store};
use hub_web::{HubError, TestWish};
use serde::{Deserialize, Serialize};
use shared_model::{AppName, AppTest, ClusterName, Digest, Freshness, Reason, Severity, TestId, Timestamp};
use shared_release::{Index, Release, TestRequest};

use crate::live::LiveCluster;
use crate::publish::Told;
use crate::record::{self, Record, RecordError};

/// The most clusters whose tests one request asks for: each is a condition and an operation of one commit, beside those of the audit log.
pub(crate) const CLUSTERS_LIMIT: usize = (COMMIT_PARTS - 2) / 2;

/// How long tests may take if nobody says (Helm's `--timeout`).
pub(crate) const SECONDS_DEFAULT: u32 = 300;

/// A request under `app/cluster`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TestRecord {
    app: String,
    cluster: String,
    request: String,
    release: String,
    by: String,
    at: String,
    seconds: u32,
}

impl Record for TestRecord {
    const TREE: &'static str = "tests";
}

/// A request that did not end.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    wanted: WantedTest,
    at: String,
}

/// All requests that did not end.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenTests(BTreeMap<(AppName, ClusterName), Open>);

impl OpenTests {
    /// Those of the store.
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, RecordError> {
        let mut open = BTreeMap::new();
        for (_, record) in record::read_all::<TestRecord>(store).await? {
            // Names were checked when it was written.
            let (Ok(app), Ok(cluster), Ok(id), Ok(release)) =
                (record.app.parse(), record.cluster.parse(), record.request.parse(), record.release.parse())
            else {
                continue;
            };
            let request = TestRequest { id, by: record.by, seconds: record.seconds };
            open.insert((app, cluster), Open { wanted: WantedTest { release, request }, at: record.at });
        }
        Ok(Self(open))
    }

    /// What is asked for in `cluster`.
    pub(crate) fn in_cluster(&self, cluster: &ClusterName) -> BTreeMap<AppName, WantedTest> {
        let here = self.0.iter().filter(|((_, of), _)| of == cluster).take(Index::TEST_LIMIT);
        here.map(|((app, _), open)| (app.clone(), open.wanted.clone())).collect()
    }

    /// Drops, here and in the store, the requests whose end was told, and those that are for another release or cluster than there is.
    pub(crate) async fn sweep(
        &mut self,
        store: &dyn Store,
        live: &BTreeMap<ClusterName, BTreeMap<AppName, AppTest>>,
        told: &BTreeMap<ClusterName, Told>,
    ) -> Result<(), RecordError> {
        let is_over = |app: &AppName, cluster: &ClusterName, wanted: &WantedTest| {
            let ended = live.get(cluster).and_then(|apps| apps.get(app));
            let ended = ended.is_some_and(|test| test.request == wanted.request.id && test.outcome.is_end());
            let runs = told.get(cluster).and_then(|told| told.index.apps.get(app)).and_then(|app| app.release);
            ended || runs != Some(wanted.release)
        };
        let over: Vec<_> = self.0.iter().filter(|((app, cluster), open)| is_over(app, cluster, &open.wanted)).collect();
        let over: Vec<(AppName, ClusterName)> = over.into_iter().map(|(of, _)| of.clone()).collect();
        for of in over {
            let Some(open) = self.0.remove(&of) else { continue };
            let name = name(&of.0, &of.1);
            let found = record::read::<TestRecord>(store, &name).await?;
            let same = |record: &TestRecord| record.request == open.wanted.request.id.as_str();
            if let Some((_, version)) = found.filter(|(record, _)| same(record)) {
                let key = record::key::<TestRecord>(&name);
                let commit = Commit {
                    conditions: vec![Condition::Version(key.clone(), version)],
                    operations: vec![Operation::Delete(key)],
                    ..Commit::default()
                };
                // Somebody who asked anew meanwhile comes first.
                let _: CommitOutcome = store.commit(commit).await?;
            }
        }
        Ok(())
    }

    /// How the tests of an app in a cluster stand, as far as somebody asked for them.
    pub(crate) fn view(&self, app: &AppName, cluster: &ClusterName, live: Option<&LiveCluster>, age: Option<Duration>) -> Option<TestView> {
        let open = self.0.get(&(app.clone(), cluster.clone()));
        let told = live.and_then(|live| live.apps.get(app)).and_then(|state| state.test.as_ref());
        let told = told.filter(|told| open.is_none_or(|open| open.wanted.request.id == told.request));
        let base = TestView { age_seconds: age.map(|age| age.as_secs()), ..blank(app, cluster, TestWord::Asked) };
        let mut view = match (told, open) {
            (Some(told), _) => told_view(told, base),
            (None, Some(open)) => {
                TestView { request: Some(open.wanted.request.id.to_string()), release: Some(open.wanted.release.to_string()), ..base }
            }
            (None, None) => return None,
        };
        view.by = open.map(|open| open.wanted.request.by.clone());
        view.asked = open.map(|open| open.at.clone());
        // What ended has ended; what ran when the cluster fell silent may be anything by now.
        if Freshness::of_age(age) != Freshness::Fresh && !view.outcome.is_end() {
            let since = age.map_or_else(|| "ever".to_owned(), |age| format!("for {} seconds", age.as_secs()));
            view.reason = Some((&Reason::new(Severity::Warning, "NotHeard", format!("the cluster was not heard {since}"))).into());
        }
        Some(view)
    }
}

/// The view of an app that nobody asked to test.
pub(crate) fn unasked(app: &AppName, cluster: &ClusterName, release: Option<&Release>) -> TestView {
    match release.is_some_and(|release| release.tests().next().is_some()) {
        true => blank(app, cluster, TestWord::NeverRun),
        false => TestView { reason: Some(no_tests(app, cluster)), ..blank(app, cluster, TestWord::NoTests) },
    }
}

fn no_tests(app: &AppName, cluster: &ClusterName) -> ReasonView {
    (&Reason::new(Severity::Warning, "NoTests", no_tests_message(app, &cluster.to_string()))).into()
}

/// That there is nothing to run, and what would be.
pub(crate) fn no_tests_message(app: &AppName, place: &str) -> String {
    format!("app {app} has no tests in {place}: no object of its release has the annotation helm.sh/hook: test")
}

fn blank(app: &AppName, cluster: &ClusterName, outcome: TestWord) -> TestView {
    TestView {
        app: app.to_string(),
        cluster: cluster.to_string(),
        outcome,
        request: None,
        release: None,
        by: None,
        asked: None,
        seen: None,
        ended: None,
        reason: None,
        age_seconds: None,
        tests: Vec::new(),
    }
}

fn told_view(test: &AppTest, base: TestView) -> TestView {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let results = test.results.iter().map(|result| TestResultView {
        object: ObjectRef::from(&result.object),
        outcome: result.outcome.into(),
        message: result.message.clone(),
        began: time(result.began),
        ended: time(result.ended),
    });
    TestView {
        outcome: test.outcome.into(),
        request: Some(test.request.to_string()),
        release: Some(test.release.to_string()),
        seen: Some(test.seen.to_string()),
        ended: time(test.ended),
        reason: test.reason.as_ref().map(ReasonView::from),
        tests: results.collect(),
        ..base
    }
}

/// What is asked of which clusters.
pub(crate) struct Asking<'a> {
    pub(crate) wish: &'a TestWish,
    pub(crate) id: &'a TestId,
    pub(crate) by: &'a str,
    pub(crate) at: Timestamp,
}

impl Asking<'_> {
    /// How many seconds the tests may take.
    ///
    /// # Errors
    /// None, or more than a day.
    pub(crate) fn seconds(&self) -> Result<u32, HubError> {
        let seconds = self.wish.seconds.unwrap_or(SECONDS_DEFAULT);
        match (1..=TestRequest::SECONDS_LIMIT).contains(&seconds) {
            true => Ok(seconds),
            false => Err(HubError::Refused {
                code: "BadTime",
                message: format!("tests may take 1 to {} seconds, not {seconds}", TestRequest::SECONDS_LIMIT),
                hint: None,
            }),
        }
    }

    /// The commit that writes the request for each of `clusters` with its release, in the place of older ones.
    pub(crate) async fn commit(
        &self,
        store: &dyn Store,
        seconds: u32,
        clusters: &BTreeMap<ClusterName, Digest>,
    ) -> Result<Commit, RecordError> {
        let mut all = Commit::default();
        let by: String = self.by.chars().take(TestRequest::BY_LIMIT / 4).collect();
        for (cluster, release) in clusters {
            let record = TestRecord {
                app: self.wish.app.to_string(),
                cluster: cluster.to_string(),
                request: self.id.to_string(),
                release: release.to_string(),
                by: by.clone(),
                at: self.at.to_string(),
                seconds,
            };
            let name = name(&self.wish.app, cluster);
            let version = record::read::<TestRecord>(store, &name).await?.map(|(_, version)| version);
            let one = record::commit(&name, &record, version);
            all.conditions.extend(one.conditions);
            all.operations.extend(one.operations);
        }
        Ok(all)
    }

    /// Refuses what no index holds.
    ///
    /// # Errors
    /// Too many clusters at once, or too many requests in one of them.
    pub(crate) fn check_room(&self, open: &OpenTests, clusters: &BTreeMap<ClusterName, Digest>) -> Result<(), HubError> {
        let refused = |message: String, hint: &str| Err(HubError::Refused { code: "TooManyTests", message, hint: Some(hint.to_owned()) });
        if clusters.len() > CLUSTERS_LIMIT {
            let message = format!(
                "app {} runs in {} clusters, and tests are asked for in at most {CLUSTERS_LIMIT} at a time",
                self.wish.app,
                clusters.len()
            );
            return refused(message, "name a cluster");
        }
        let asked = |cluster: &ClusterName| open.0.keys().filter(|(_, of)| of == cluster).map(|(app, _)| app).collect::<BTreeSet<_>>();
        for cluster in clusters.keys() {
            let asked = asked(cluster);
            if asked.len() >= Index::TEST_LIMIT && !asked.contains(&self.wish.app) {
                let message = format!("cluster {cluster} has {} requests for tests that did not end", asked.len());
                return refused(message, "try again when some have ended");
            }
        }
        Ok(())
    }
}

fn name(app: &AppName, cluster: &ClusterName) -> String {
    format!("{app}/{cluster}")
}
