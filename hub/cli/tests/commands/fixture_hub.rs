//! A hub that answers from a JSON file and keeps the promises of its trait: it refuses what was not shown, and publishes a fetched
//! revision some looks later.

use std::sync::atomic::{AtomicUsize, Ordering};

use hub_api::{
    AppView, ApprovalView, ClusterState, ClusterView, DiffView, EnrolmentView, HoldView, Named, PendingApproval, ProblemView, RegionView,
    SecretText, SourceView, StatusFilter, StatusView, TestView,
};
use hub_web::{Actor, Answer, Approval, ClusterAddition, HoldWish, Hub, HubError, StatusPage, TestWish};
use serde::Deserialize;
use shared_model::{AppName, ClusterName, ClusterUid, SourceName};

/// What a fleet file holds.
#[derive(Deserialize)]
pub(crate) struct FixtureHub {
    regions: Vec<RegionView>,
    clusters: Vec<ClusterView>,
    apps: Vec<AppView>,
    status: Vec<StatusView>,
    problems: Vec<ProblemView>,
    sources: Vec<SourceView>,
    diffs: Vec<DiffView>,
    #[serde(skip)]
    looks: AtomicUsize,
}

/// How often the sources are looked at before a fetched revision is published.
const LOOKS_UNTIL_PUBLISHED: usize = 2;

fn answer<'a, T: Send + 'a>(result: Result<T, HubError>) -> Answer<'a, T> {
    Box::pin(async move { result })
}

fn find<T: Named + Clone>(items: &[T], what: &'static str, name: &str) -> Result<T, HubError> {
    let found = items.iter().find(|item| item.name() == name).cloned();
    found.ok_or_else(|| HubError::NotFound { what, name: name.to_owned() })
}

fn hold(app: &str, cluster: Option<&str>, by: &str, reason: &str, ends_in_seconds: u64) -> HoldView {
    HoldView {
        app: app.to_owned(),
        cluster: cluster.map(str::to_owned),
        by: by.to_owned(),
        reason: reason.to_owned(),
        until: "2026-01-01T00:00:00Z".to_owned(),
        ends_in_seconds,
    }
}

impl FixtureHub {
    fn held(&self) -> impl Iterator<Item = &PendingApproval> {
        let rows = self.status.iter().flat_map(|row| row.awaiting_approval.iter().chain(&row.held_changes));
        let clusters = self.clusters.iter().flat_map(|cluster| &cluster.held_changes);
        rows.chain(clusters).chain(self.apps.iter().flat_map(|app| &app.held_changes))
    }
}

/// Tests of an app in two clusters, or one: `web` passes, `llm-gateway` fails in gpu-a.
fn tests_of(app: &str, cluster: Option<&ClusterName>, ended: bool) -> Vec<TestView> {
    let fails = |at: &str| app == "llm-gateway" && at == "gpu-a";
    let outcome = |at: &str| match (ended, fails(at)) {
        (false, _) => "Running",
        (true, true) => "Failed",
        (true, false) => "Succeeded",
    };
    let view = |at: &str| {
        let reason = serde_json::json!({"severity": "Error", "code": "TestFailed", "message": "Pod web/smoke failed: exit code 3"});
        let mut view = serde_json::json!({
            "app": app, "cluster": at, "outcome": outcome(at), "request": "7f3a", "seen": "2026-01-01T00:00:00Z",
            "tests": [{"object": {"kind": "Pod", "namespace": "web", "name": "smoke"}, "outcome": outcome(at), "began": "2026-01-01T00:00:01Z"}],
        });
        if ended && fails(at) {
            view["reason"] = reason;
            view["tests"][0]["message"] = "exit code 3".into();
        }
        serde_json::from_value(view).expect("a view")
    };
    let places = ["gpu-a", "web-b"].into_iter().filter(|at| cluster.is_none_or(|cluster| cluster.as_str() == *at));
    places.map(view).collect()
}

impl Hub for FixtureHub {
    fn regions(&self) -> Answer<'_, Vec<RegionView>> {
        answer(Ok(self.regions.clone()))
    }
    fn clusters(&self) -> Answer<'_, Vec<ClusterView>> {
        answer(Ok(self.clusters.clone()))
    }
    fn cluster(&self, name: ClusterName) -> Answer<'_, ClusterView> {
        answer(find(&self.clusters, "cluster", name.as_str()))
    }
    fn apps(&self) -> Answer<'_, Vec<AppView>> {
        answer(Ok(self.apps.clone()))
    }
    fn app(&self, name: AppName) -> Answer<'_, AppView> {
        answer(find(&self.apps, "app", name.as_str()))
    }
    fn status(&self, filter: StatusFilter, page: StatusPage) -> Answer<'_, Vec<StatusView>> {
        let after = page.after.map(|(app, cluster)| (app.to_string(), cluster.to_string()));
        let rows = self.status.iter().filter(|row| filter.admits(row));
        let rows = rows.filter(|row| after.as_ref().is_none_or(|after| (row.app.clone(), row.cluster.clone()) > *after));
        answer(Ok(rows.take(page.limit).cloned().collect()))
    }
    fn problems(&self) -> Answer<'_, Vec<ProblemView>> {
        answer(Ok(self.problems.clone()))
    }
    fn sources(&self) -> Answer<'_, Vec<SourceView>> {
        let published = self.looks.fetch_add(1, Ordering::Relaxed) + 1 >= LOOKS_UNTIL_PUBLISHED;
        let publish = |mut source: SourceView| {
            source.published_commit = source.revision.as_ref().filter(|_| published).map(|revision| revision.commit.clone());
            source
        };
        answer(Ok(self.sources.iter().cloned().map(publish).collect()))
    }
    fn diff(&self, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, Vec<DiffView>> {
        let of_app = self.diffs.iter().filter(|diff| diff.app == app.as_str());
        let diffs: Vec<DiffView> =
            of_app.filter(|diff| cluster.as_ref().is_none_or(|cluster| cluster.as_str() == diff.cluster)).cloned().collect();
        answer(find(&self.apps, "app", app.as_str()).map(|_| diffs))
    }
    fn refresh(&self, _: Actor, source: Option<SourceName>) -> Answer<'_, Vec<SourceView>> {
        answer(match source {
            Some(name) => find(&self.sources, "source", name.as_str()).map(|source| vec![source]),
            None => Ok(self.sources.clone()),
        })
    }
    fn add_cluster(&self, _: Actor, addition: ClusterAddition) -> Answer<'_, EnrolmentView> {
        if find(&self.clusters, "cluster", addition.name.as_str()).is_ok() {
            let message = format!("there is a cluster {} already", addition.name);
            return answer(Err(HubError::Refused { code: "ClusterExists", message, hint: Some("choose another name".to_owned()) }));
        }
        let labels: Vec<String> = addition.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        answer(Ok(EnrolmentView {
            cluster: addition.name.to_string(),
            region: addition.region.to_string(),
            command: SecretText::new(format!("capstan-agent enrol --labels '{}' --token t0k3n", labels.join(","))),
            token: SecretText::new("t0k3n"),
            expires_at: "2026-03-01T10:15:00Z".to_owned(),
            expires_in_seconds: 900,
            accept_needed: true,
        }))
    }
    fn accept_cluster(&self, _: Actor, name: ClusterName, uid: ClusterUid) -> Answer<'_, ClusterView> {
        answer(find(&self.clusters, "cluster", name.as_str()).and_then(|cluster| match cluster.uid.as_deref() == Some(uid.as_str()) {
            true => Ok(ClusterView { state: ClusterState::Accepted, ..cluster }),
            false => Err(HubError::Refused { code: "AnotherCluster", message: "another cluster asks".to_owned(), hint: None }),
        }))
    }
    fn remove_cluster(&self, _: Actor, name: ClusterName) -> Answer<'_, ClusterView> {
        let revoked = |cluster| ClusterView { state: ClusterState::Revoked, ..cluster };
        answer(find(&self.clusters, "cluster", name.as_str()).map(revoked))
    }
    fn tests(&self, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, Vec<TestView>> {
        let ended = self.looks.fetch_add(1, Ordering::Relaxed) + 1 >= LOOKS_UNTIL_PUBLISHED;
        answer(Ok(tests_of(app.as_str(), cluster.as_ref(), ended)))
    }
    fn request_tests(&self, _: Actor, wish: TestWish) -> Answer<'_, Vec<TestView>> {
        answer(match wish.app.as_str() {
            "quiet" => Err(HubError::Refused {
                code: "NoTests",
                message: "app quiet has no tests in any of its clusters".to_owned(),
                hint: Some("a chart's tests are in its templates/tests".to_owned()),
            }),
            app => Ok(tests_of(app, wish.cluster.as_ref(), false)),
        })
    }
    fn holds(&self) -> Answer<'_, Vec<HoldView>> {
        answer(Ok(vec![hold("web", Some("gpu-a"), "ada", "INC-7: a look at the cache", 5_400)]))
    }
    fn hold(&self, actor: Actor, wish: HoldWish) -> Answer<'_, HoldView> {
        let cluster = wish.cluster.as_ref().map(ClusterName::as_str);
        answer(Ok(hold(wish.app.as_str(), cluster, &actor.name, &wish.reason, wish.time.as_secs())))
    }
    fn resume(&self, _: Actor, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, HoldView> {
        let cluster = cluster.as_ref().map(ClusterName::as_str);
        answer(match cluster {
            Some(_) => Ok(hold(app.as_str(), cluster, "ada", "INC-7: a look at the cache", 5_400)),
            None => Err(HubError::NotFound { what: "hold", name: app.to_string() }),
        })
    }
    fn approve(&self, actor: Actor, approval: Approval) -> Answer<'_, ApprovalView> {
        let digest = approval.digest.to_string();
        answer(match self.held().find(|held| held.digest.as_ref() == Some(&digest)) {
            Some(held) => Ok(ApprovalView {
                digest,
                app: approval.app.map(|app| app.to_string()),
                cluster: approval.cluster.map(|cluster| cluster.to_string()),
                deletes: held.deletes.len() as u32,
                approved_by: actor.name,
            }),
            None => Err(HubError::Refused { code: "ChangedSince", message: "the change is another by now".to_owned(), hint: None }),
        })
    }
}
