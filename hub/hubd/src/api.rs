//! The hub as its HTTP API shows it: the newest picture, joined with what agents say, each health judged by its age.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hub_api::{
    AppView, ApprovalView, ChangeWord, ClusterCounts, ClusterState, ClusterView, DiffView, DriftView, EnrolmentView, FetchFailure,
    FieldDiff, HealthCounts, HoldView, Judged, Named, ObjectDiff, ObjectRef, ObjectView, PendingApproval, ProblemView, ReasonView,
    RegionView, SecretText, SourceView, StatusFilter, StatusView, TestView,
};
use hub_source::SourceState;
use hub_store::Commit;
use hub_web::{Actor, Answer, Approval, ClusterAddition, HoldWish, Hub, HubError, StatusPage, TestWish};
use shared_manifest::{Object, Redaction, diff};
use shared_model::{AppName, AppState, ClusterName, ClusterUid, Digest, Health, ObjectKey, SourceName, TestId, Timestamp};
use shared_release::{Release, SUPPORTED_FEATURES, decode_object};
use shared_session::CLONE_WINDOW;

use crate::audit::Action;
use crate::charts::Shown;
use crate::core::{Core, Source};
use crate::holds::{self, Holds};
use crate::live::LiveCluster;
use crate::look::nodes_view;
use crate::picture::{Pair, Pending, Picture, Trouble};
use crate::record::{self, Record, RecordError};
use crate::registry::{ClusterRecord, TOKEN_LIFETIME};
use crate::testing::{self, Asking, OpenTests};
use crate::vault;

/// An approval as it is stored, under the digest that was approved.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct ApprovalRecord {
    pub(crate) app: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) by: String,
    pub(crate) at: String,
}

impl Record for ApprovalRecord {
    const TREE: &'static str = "approvals";
}

/// The hub behind the web server.
pub(crate) struct HubApi(pub(crate) Arc<Core>);

/// Everything that an answer looks at, taken at one moment.
pub(crate) struct Look<'a> {
    core: &'a Core,
    pub(crate) picture: Arc<Picture>,
    pub(crate) records: BTreeMap<ClusterName, ClusterRecord>,
    open_tests: OpenTests,
    now: Timestamp,
}

impl HubApi {
    pub(crate) async fn look(&self) -> Result<Look<'_>, HubError> {
        let core = &*self.0;
        let records = record::read_all::<ClusterRecord>(&*core.store).await.map_err(internal)?;
        let records = records.into_iter().filter_map(|(name, record)| Some((name.parse().ok()?, record))).collect();
        let picture = core.picture.borrow().clone();
        let open_tests = OpenTests::read(&*core.store).await.map_err(internal)?;
        Ok(Look { core, picture, records, open_tests, now: core.now() })
    }

    /// Carries out a change with its record in the audit log.
    async fn commit(&self, actor: &Actor, action: Action, message: String, change: Commit) -> Result<(), RecordError> {
        let core = &*self.0;
        let actor = format!("token/{}", actor.name);
        record::won(core.audit.append_with(&*core.store, core.now(), &actor, action, message, change).await?).map(|_| ())
    }

    async fn change_cluster(
        &self,
        name: &ClusterName,
        (actor, action, message): (&Actor, Action, String),
        change: impl FnOnce(Option<ClusterRecord>) -> Result<ClusterRecord, HubError>,
    ) -> Result<(), HubError> {
        let store = &*self.0.store;
        let found = record::read::<ClusterRecord>(store, name.as_str()).await.map_err(internal)?;
        let (before, version) = found.unzip();
        let next = change(before)?;
        self.commit(actor, action, message, record::commit(name.as_str(), &next, version)).await.map_err(internal)?;
        self.0.admissions_changed();
        self.0.replan();
        Ok(())
    }
}

pub(crate) fn internal(error: RecordError) -> HubError {
    match error {
        RecordError::Lost { .. } => HubError::Refused { code: "ChangedMeanwhile", message: error.to_string(), hint: None },
        RecordError::Store(error) => HubError::Unavailable { message: error.to_string(), hint: None },
        RecordError::Newer { .. } | RecordError::Malformed { .. } => HubError::Internal { message: error.to_string() },
    }
}

fn no_cluster(name: &ClusterName) -> HubError {
    HubError::NotFound { what: "cluster", name: name.to_string() }
}

impl Look<'_> {
    /// The age of a cluster's last word: what was heard by this process, or what an earlier one wrote down.
    pub(crate) fn age(&self, name: &ClusterName, live: Option<&LiveCluster>) -> Option<Duration> {
        let written = self.records.get(name).and_then(|record| record.heard.as_ref()?.parse::<Timestamp>().ok());
        let at = live.and_then(|live| live.last_heard).max(written)?;
        Some(Duration::try_from(self.now.duration_since(at)).unwrap_or(Duration::ZERO))
    }

    fn cluster_names(&self) -> Vec<ClusterName> {
        let mut names: Vec<ClusterName> = self.records.keys().chain(self.picture.fleet.clusters.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn region(&self, name: &ClusterName) -> String {
        let recorded = || self.records.get(name).map(|record| record.region.clone());
        self.picture.region(name).map(ToString::to_string).or_else(recorded).unwrap_or_default()
    }

    fn status_rows(&self) -> Vec<StatusView> {
        let live = self.core.live.read();
        let nothing = Pair::default();
        let mut keys: Vec<(AppName, ClusterName)> = self.picture.pairs.keys().cloned().collect();
        for (cluster, found) in live.iter() {
            keys.extend(found.apps.keys().map(|app| (app.clone(), cluster.clone())));
        }
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .map(|key| {
                let pair = self.picture.pairs.get(&key).unwrap_or(&nothing);
                let (app, cluster) = key;
                let found = live.get(&cluster);
                self.status_row(&app, &cluster, pair, found)
            })
            .collect()
    }

    fn status_row(&self, app: &AppName, cluster: &ClusterName, pair: &Pair, live: Option<&LiveCluster>) -> StatusView {
        let age = self.age(cluster, live);
        let state: Option<&AppState> = live.and_then(|live| live.apps.get(app)).map(|state| &**state);
        let wanted = pair.wanted.or(pair.published);
        let applied = state.and_then(|state| state.applied);
        let refusal = live.and_then(|live| live.heard.as_ref()).and_then(|heard| heard.refusal.as_ref()).map(|(_, reason)| reason);
        let reason = pair.reasons.first().or(refusal).or_else(|| state.and_then(|state| state.reason.as_ref()));
        StatusView {
            app: app.to_string(),
            cluster: cluster.to_string(),
            region: self.region(cluster),
            wanted: wanted.map(|digest| digest.to_string()),
            applied: applied.map(|digest| digest.to_string()),
            sync: if wanted.is_none() && !pair.reasons.is_empty() {
                // What should run cannot be told, so neither can whether it does.
                hub_api::SyncWord::Unknown
            } else {
                StatusView::sync_of(wanted.as_ref(), applied.as_ref(), age)
            },
            judged: judged(state, wanted, age),
            reason: reason.map(ReasonView::from),
            objects: state.map_or(0, |state| state.objects),
            unhealthy: state.map(|state| state.unhealthy.iter().map(|object| ObjectView::of(object, age)).collect()).unwrap_or_default(),
            drift: state.map(|state| state.drift.iter().map(DriftView::from).collect()).unwrap_or_default(),
            taken_over: state.map(|state| state.taken_over.iter().map(hub_api::TakenOverView::from).collect()).unwrap_or_default(),
            awaiting_approval: pair.awaiting(state).map(pending),
            held_changes: pair.held.iter().map(pending).collect(),
            test: self.open_tests.view(app, cluster, live, age),
        }
    }

    /// Where `app` runs, in `cluster` or anywhere, with the release that is published there.
    fn published(&self, app: &AppName, cluster: Option<&ClusterName>) -> BTreeMap<ClusterName, Digest> {
        let pairs = self.picture.pairs.iter().filter(|((of, at), _)| of == app && cluster.is_none_or(|cluster| cluster == at));
        pairs.filter_map(|((_, at), pair)| Some((at.clone(), pair.published?))).collect()
    }

    fn cluster(&self, name: &ClusterName) -> ClusterView {
        let live = self.core.live.read();
        let found = live.get(name);
        let record = self.records.get(name);
        let age = self.age(name, found);
        let (state, reason) = cluster_state(name, record, found, self.now);
        let rows: Vec<Judged> = self.status_rows_of(name, found).into_iter().map(|row| row.judged).collect();
        let worst = rows.iter().filter_map(health_of).max();
        let heard = found.and_then(|live| live.heard.as_ref());
        let last_heard = found.and_then(|live| live.last_heard).map(|at| at.to_string()).or_else(|| record.and_then(|r| r.heard.clone()));
        let labels = self
            .picture
            .fleet
            .clusters
            .get(name)
            .map(|cluster| cluster.labels.iter().map(|(label, value)| (label.to_string(), value.to_string())).collect());
        ClusterView {
            name: name.to_string(),
            region: self.region(name),
            labels: labels.or_else(|| record.map(|record| record.labels.clone())).unwrap_or_default(),
            uid: record.and_then(ClusterRecord::shown_uid),
            state,
            reason,
            last_heard,
            judged: Judged::of(worst.or(age.map(|_| Health::Healthy)), age),
            apps: HealthCounts::of(&rows),
            wanted_generation: self.picture.generations.get(name).map(ToString::to_string),
            held_generation: heard.map(|heard| heard.held.generation.to_string()),
            agent_version: heard.map(|heard| heard.agent_version.clone()),
            kubernetes_version: heard.map(|heard| heard.kubernetes_version.clone()),
            nodes: found.and_then(|live| nodes_view(&live.facts.as_ref()?.nodes)),
            api_versions: Vec::new(),
            held_changes: Vec::new(),
        }
    }

    fn status_rows_of(&self, cluster: &ClusterName, live: Option<&LiveCluster>) -> Vec<StatusView> {
        let pairs = self.picture.pairs.iter().filter(|((_, of), _)| of == cluster);
        pairs.map(|((app, _), pair)| self.status_row(app, cluster, pair, live)).collect()
    }

    fn app(&self, name: &AppName) -> Option<AppView> {
        let rows: Vec<StatusView> = self.status_rows().into_iter().filter(|row| row.app == name.as_str()).collect();
        let app = self.picture.fleet.apps.get(name);
        if rows.is_empty() && app.is_none() && !self.picture.fleet.blocked.apps.contains_key(name) {
            return None;
        }
        let source = app.map(|app| app.source.name.clone().unwrap_or_else(|| self.core.fleet_source.clone()));
        let problems = self.picture.problems.iter().filter(|trouble| trouble.app.as_ref() == Some(name)).count();
        Some(AppView {
            name: name.to_string(),
            revision: source.as_ref().and_then(|source| self.picture.revisions.get(source)).map(Into::into),
            source: source.map(|source| source.to_string()),
            clusters: HealthCounts::of(rows.iter().map(|row| &row.judged)),
            synced: u32::try_from(rows.iter().filter(|row| row.sync == hub_api::SyncWord::Synced).count()).unwrap_or(u32::MAX),
            judged: Judged::worst(rows.iter().map(|row| row.judged)),
            problems: u32::try_from(problems).unwrap_or(u32::MAX),
            held_changes: self.picture.held_apps.get(name).into_iter().flatten().map(pending).collect(),
        })
    }

    pub(crate) fn app_names(&self) -> Vec<AppName> {
        let fleet = &self.picture.fleet;
        let known = fleet.apps.keys().chain(fleet.blocked.apps.keys());
        let mut names: Vec<AppName> = known.chain(self.picture.pairs.keys().map(|(app, _)| app)).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The sources and the charts that are followed; those called `only`, if that is said.
    fn all_sources(&self, core: &Core, only: Option<&SourceName>) -> Vec<SourceView> {
        let is_asked = |name: &SourceName| only.is_none_or(|only| only == name);
        let sources = core.sources.iter().filter(|(name, _)| is_asked(name)).map(|(name, source)| self.source(name, source));
        let charts = core.charts.shown().into_iter().filter(|chart| is_asked(&chart.repository)).map(|chart| {
            let Shown { repository, chart, url, state, planned } = chart;
            self.source_view(format!("{repository}/{chart}"), url, &state, planned.map(|revision| revision.commit))
        });
        sources.chain(charts).collect()
    }

    fn source(&self, name: &SourceName, source: &Source) -> SourceView {
        let state = source.state.borrow().clone();
        let published = self.picture.revisions.get(name).map(|revision| revision.commit.clone());
        self.source_view(name.to_string(), source.mirror.spec().url.to_string(), &state, published)
    }

    fn source_view(&self, name: String, url: String, state: &SourceState, published_commit: Option<String>) -> SourceView {
        let age = |at: Timestamp| u64::try_from(self.now.duration_since(at).as_secs()).unwrap_or(0);
        SourceView {
            name,
            url,
            revision: state.last_good.as_ref().map(|(revision, _)| revision.into()),
            published_commit,
            fetched_at: state.last_good.as_ref().map(|(_, at)| at.to_string()),
            age_seconds: state.last_good.as_ref().map(|(_, at)| age(*at)),
            failure: state.failure.as_ref().map(|failure| FetchFailure {
                code: "FetchFailed".to_owned(),
                message: failure.error.to_string(),
                hint: None,
                age_seconds: age(failure.since),
            }),
        }
    }
}

/// What may be said of an app here: what its agent said, if that concerns the release that is wanted.
fn judged(state: Option<&AppState>, wanted: Option<Digest>, age: Option<Duration>) -> Judged {
    let health = state.map(|state| match state.health {
        // Healthy at another release is not healthy at the one that is wanted.
        Health::Healthy if wanted.is_some() && state.applied != wanted => Health::Progressing,
        health => health,
    });
    Judged::of(health, age)
}

fn health_of(judged: &Judged) -> Option<Health> {
    Health::parse(judged.health().as_str())
}

fn pending(pending: &Pending) -> PendingApproval {
    PendingApproval {
        reason: (&pending.reason).into(),
        deletes: pending.deletes.iter().map(ObjectRef::from).collect(),
        affects: pending.affects.clone(),
        digest: pending.digest.map(|digest| digest.to_string()),
        age_seconds: None,
    }
}

fn cluster_state(
    name: &ClusterName,
    record: Option<&ClusterRecord>,
    live: Option<&LiveCluster>,
    now: Timestamp,
) -> (ClusterState, Option<ReasonView>) {
    let say = |code: &str, message: String| Some(ReasonView { severity: hub_api::SeverityWord::Warning, code: code.to_owned(), message });
    match record {
        None => (ClusterState::Pending, say("NotEnrolled", format!("no agent yet: run `capstan cluster add {name}`"))),
        Some(record) if record.revoked => (ClusterState::Revoked, say("Revoked", "the agent was revoked".to_owned())),
        Some(record) => match &record.asking {
            Some(asking) if !asking.accepted => {
                let message =
                    format!("the cluster with uid {} asks to be {name}; run `capstan cluster accept {name}` if that is right", asking.uid);
                (ClusterState::Held, say("AcceptanceNeeded", message))
            }
            _ if record.uid.is_none() => (ClusterState::Pending, say("NotEnrolled", "the agent has not enrolled yet".to_owned())),
            _ if live.and_then(|live| live.suspicion).is_some_and(|at| is_within(CLONE_WINDOW, at, now)) => {
                (ClusterState::Accepted, say("CloneSuspected", "two processes use this agent's identity; is it started twice?".to_owned()))
            }
            _ => (ClusterState::Accepted, None),
        },
    }
}

fn is_within(window: Duration, at: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(at)).unwrap_or(Duration::ZERO) < window
}

fn problem(trouble: &Trouble) -> ProblemView {
    let (file, position) = trouble.place.clone().map_or((None, None), |(file, position)| (Some(file), position));
    ProblemView {
        source: trouble.source.as_ref().map(ToString::to_string),
        app: trouble.app.as_ref().map(ToString::to_string),
        cluster: trouble.cluster.as_ref().map(ToString::to_string),
        file,
        line: position.map(|(line, _)| line),
        column: position.map(|(_, column)| column),
        severity: trouble.reason.severity.into(),
        code: trouble.reason.code.clone(),
        message: trouble.reason.message.clone(),
        hint: trouble.hint.clone(),
        blocks: trouble.blocks.clone(),
        age_seconds: None,
    }
}

fn fetch_problem(name: &SourceName, state: &SourceState, now: Timestamp) -> Option<ProblemView> {
    let failure = state.failure.as_ref()?;
    let serving = state.last_good.as_ref().map_or_else(
        || "nothing was ever fetched".to_owned(),
        |(revision, at)| format!("{revision} from {}s ago stays in force", now.duration_since(*at).as_secs().max(0)),
    );
    Some(ProblemView {
        source: Some(name.to_string()),
        app: None,
        cluster: None,
        file: None,
        line: None,
        column: None,
        severity: hub_api::SeverityWord::Error,
        code: "FetchFailed".to_owned(),
        message: format!("{}; {serving}", failure.error),
        hint: None,
        blocks: Vec::new(),
        age_seconds: u64::try_from(now.duration_since(failure.since).as_secs()).ok(),
    })
}

impl Hub for HubApi {
    fn regions(&self) -> Answer<'_, Vec<RegionView>> {
        Box::pin(async move {
            let look = self.look().await?;
            let clusters: Vec<ClusterView> = look.cluster_names().iter().map(|name| look.cluster(name)).collect();
            let rows = look.status_rows();
            let mut names: Vec<String> = look.picture.fleet.regions.keys().map(ToString::to_string).collect();
            names.extend(clusters.iter().map(|cluster| cluster.region.clone()).filter(|region| !region.is_empty()));
            names.sort_unstable();
            names.dedup();
            let view = |name: String| {
                let mine: Vec<&ClusterView> = clusters.iter().filter(|cluster| cluster.region == name).collect();
                RegionView {
                    clusters: ClusterCounts::of(mine.iter().map(|cluster| cluster.judged.freshness())),
                    apps: HealthCounts::of(rows.iter().filter(|row| row.region == name).map(|row| &row.judged)),
                    judged: Judged::worst(mine.iter().map(|cluster| cluster.judged)),
                    name,
                }
            };
            Ok(names.into_iter().map(view).collect())
        })
    }

    fn clusters(&self) -> Answer<'_, Vec<ClusterView>> {
        Box::pin(async move {
            let look = self.look().await?;
            Ok(look.cluster_names().iter().map(|name| look.cluster(name)).collect())
        })
    }

    fn cluster(&self, name: ClusterName) -> Answer<'_, ClusterView> {
        Box::pin(async move {
            let look = self.look().await?;
            if !look.records.contains_key(&name) && !look.picture.fleet.clusters.contains_key(&name) {
                return Err(no_cluster(&name));
            }
            let live = self.0.live.read();
            let facts = live.get(&name).and_then(|live| live.facts.clone());
            drop(live);
            let api_versions = facts.map(|facts| facts.api_versions.iter().cloned().collect()).unwrap_or_default();
            Ok(ClusterView { api_versions, ..look.cluster(&name) })
        })
    }

    fn apps(&self) -> Answer<'_, Vec<AppView>> {
        Box::pin(async move {
            let look = self.look().await?;
            Ok(look.app_names().iter().filter_map(|name| look.app(name)).collect())
        })
    }

    fn app(&self, name: AppName) -> Answer<'_, AppView> {
        Box::pin(async move { self.look().await?.app(&name).ok_or(HubError::NotFound { what: "app", name: name.to_string() }) })
    }

    fn status(&self, filter: StatusFilter, page: StatusPage) -> Answer<'_, Vec<StatusView>> {
        Box::pin(async move {
            let rows = self.look().await?.status_rows();
            let after = page.after.map(|(app, cluster)| (app.to_string(), cluster.to_string()));
            let later = rows.into_iter().filter(|row| after.as_ref().is_none_or(|after| (&row.app, &row.cluster) > (&after.0, &after.1)));
            Ok(later.filter(|row| filter.admits(row)).take(page.limit).collect())
        })
    }

    fn problems(&self) -> Answer<'_, Vec<ProblemView>> {
        Box::pin(async move {
            let look = self.look().await?;
            let mut problems: Vec<ProblemView> = look.picture.problems.iter().map(problem).collect();
            for (name, source) in &self.0.sources {
                problems.extend(fetch_problem(name, &source.state.borrow(), look.now));
            }
            for Shown { repository, chart, state, .. } in self.0.charts.shown() {
                let of_chart = |problem: ProblemView| ProblemView { message: format!("chart {chart}: {}", problem.message), ..problem };
                problems.extend(fetch_problem(&repository, &state, look.now).map(of_chart));
            }
            Ok(problems)
        })
    }

    fn sources(&self) -> Answer<'_, Vec<SourceView>> {
        Box::pin(async move {
            let look = self.look().await?;
            Ok(look.all_sources(&self.0, None))
        })
    }

    fn diff(&self, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, Vec<DiffView>> {
        Box::pin(async move {
            let rows = self.look().await?.status_rows();
            let mut rows: Vec<StatusView> = rows.into_iter().filter(|row| row.app == app.as_str()).collect();
            rows.retain(|row| cluster.as_ref().is_none_or(|cluster| row.cluster == cluster.as_str()));
            if rows.is_empty() {
                return Err(HubError::NotFound { what: "app", name: app.to_string() });
            }
            let mut views = Vec::with_capacity(rows.len());
            for row in rows {
                let parse = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Digest>().ok());
                let changes = self.changes(&app, parse(&row.applied), parse(&row.wanted)).await?;
                views.push(DiffView {
                    app: row.app,
                    cluster: row.cluster,
                    applied: row.applied,
                    wanted: row.wanted,
                    sync: row.sync,
                    age_seconds: row.judged.age_seconds(),
                    changes,
                });
            }
            Ok(views)
        })
    }

    fn refresh(&self, _actor: Actor, source: Option<SourceName>) -> Answer<'_, Vec<SourceView>> {
        Box::pin(async move {
            if let Some(name) = source.as_ref().filter(|name| !self.0.sources.contains_key(*name) && !self.0.charts.knows(name)) {
                return Err(HubError::NotFound { what: "source", name: name.to_string() });
            }
            let asked = self.0.sources.iter().filter(|(name, _)| source.as_ref().is_none_or(|source| source == *name));
            let asked = asked.map(|(_, source)| (source.refresh.clone(), source.state.clone()));
            let asked: Vec<_> = asked.chain(self.0.charts.pollers(source.as_ref())).collect();
            for (refresh, mut state) in asked {
                let before = state.borrow_and_update().last_attempt;
                refresh.notify_one();
                // An error means that the poller has ended; its last state is then the answer.
                let _ = state.wait_for(|state| state.last_attempt != before).await;
            }
            Ok(self.look().await?.all_sources(&self.0, source.as_ref()))
        })
    }

    fn add_cluster(&self, actor: Actor, addition: ClusterAddition) -> Answer<'_, EnrolmentView> {
        Box::pin(async move {
            let ClusterAddition { name, region, labels } = addition;
            let token = vault::hex(&shared_identity::random::<32>());
            let now = self.0.now();
            let deed = (&actor, Action::ClusterAdded, format!("cluster {name} of region {region} may enrol"));
            self.change_cluster(&name, deed, |before| match before {
                Some(record) if record.uid.is_some() && !record.revoked && !self.is_silent(&name, &record) => Err(HubError::Refused {
                    code: "ClusterExists",
                    message: format!("cluster {name} is enrolled and its agent is connected"),
                    hint: Some(format!("choose another name, or run `capstan cluster remove {name}` first")),
                }),
                Some(record) => Ok(ClusterRecord { region: region.to_string(), labels: labels.clone(), ..record }.with_token(&token, now)),
                None => Ok(ClusterRecord::new(region.as_str(), labels.clone()).with_token(&token, now)),
            })
            .await?;
            let doors = self.0.doors();
            let pin = self.0.keys.authority.pin();
            let command =
                format!("capstan-agent run --hub {} --enrolment {} --ca-pin {pin} --token {token}", doors.agents, doors.enrolment);
            Ok(EnrolmentView {
                cluster: name.to_string(),
                region: region.to_string(),
                command: SecretText::new(command),
                token: SecretText::new(token),
                expires_at: (now + TOKEN_LIFETIME).to_string(),
                expires_in_seconds: TOKEN_LIFETIME.as_secs(),
                accept_needed: self.0.accept_needed,
            })
        })
    }

    fn accept_cluster(&self, actor: Actor, name: ClusterName, uid: ClusterUid) -> Answer<'_, ClusterView> {
        Box::pin(async move {
            let deed = (&actor, Action::ClusterAccepted, format!("cluster {name} is now the one with uid {uid}"));
            self.change_cluster(&name, deed, |before| {
                let record = before.ok_or_else(|| no_cluster(&name))?;
                record.accept(&uid).ok_or_else(|| HubError::Refused {
                    code: "NotAsking",
                    message: format!("no cluster with uid {uid} asks to be {name}"),
                    hint: Some("look again with `capstan cluster list`".to_owned()),
                })
            })
            .await?;
            self.cluster(name).await
        })
    }

    fn remove_cluster(&self, actor: Actor, name: ClusterName) -> Answer<'_, ClusterView> {
        Box::pin(async move {
            let deed = (&actor, Action::ClusterRemoved, format!("the agent of cluster {name} is revoked; what runs there is left"));
            self.change_cluster(&name, deed, |before| Ok(before.ok_or_else(|| no_cluster(&name))?.revoke())).await?;
            self.0.live.forget(&name);
            self.cluster(name).await
        })
    }

    fn approve(&self, actor: Actor, approval: Approval) -> Answer<'_, ApprovalView> {
        Box::pin(async move {
            let look = self.look().await?;
            let found = look.picture.find_pending(approval.app.as_ref(), approval.cluster.as_ref(), &approval.digest);
            let Some(found) = found else {
                return Err(HubError::Refused {
                    code: "NothingToApprove",
                    message: "no held change has this digest (any more)".to_owned(),
                    hint: Some("look again with `capstan status`: an approval is of exactly what was shown".to_owned()),
                });
            };
            let deletes = u32::try_from(found.deletes.len()).unwrap_or(u32::MAX);
            let record = ApprovalRecord {
                app: approval.app.as_ref().map(ToString::to_string),
                cluster: approval.cluster.as_ref().map(ToString::to_string),
                by: actor.name.clone(),
                at: self.0.now().to_string(),
            };
            let name = approval_name(&record, &approval.digest);
            let what = [record.app.clone(), record.cluster.clone()].into_iter().flatten().collect::<Vec<_>>().join(" in ");
            let message = format!("{what}: {deletes} deletions, {}", approval.digest);
            match self.commit(&actor, Action::Approved, message, record::commit(&name, &record, None)).await {
                // One who approves again what is approved already is told yes.
                Ok(()) | Err(RecordError::Lost { .. }) => {}
                Err(error) => return Err(internal(error)),
            }
            self.0.replan();
            Ok(ApprovalView {
                digest: approval.digest.to_string(),
                app: record.app,
                cluster: record.cluster,
                deletes,
                approved_by: actor.name,
            })
        })
    }

    fn tests(&self, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, Vec<TestView>> {
        Box::pin(async move {
            let look = self.look().await?;
            let published = self.published(&look, &app, cluster.as_ref())?;
            let releases = self.releases(published.values()).await?;
            let live = self.0.live.read();
            let view = |cluster: &ClusterName, release: &Digest| {
                let found = live.get(cluster);
                let asked = look.open_tests.view(&app, cluster, found, look.age(cluster, found));
                asked.unwrap_or_else(|| testing::unasked(&app, cluster, releases.get(release)))
            };
            Ok(published.iter().map(|(cluster, release)| view(cluster, release)).collect())
        })
    }

    fn request_tests(&self, actor: Actor, wish: TestWish) -> Answer<'_, Vec<TestView>> {
        Box::pin(async move {
            let look = self.look().await?;
            let published = self.published(&look, &wish.app, wish.cluster.as_ref())?;
            let releases = self.releases(published.values()).await?;
            let has_tests = |release: &Digest| releases.get(release).is_some_and(|release| release.tests().next().is_some());
            let asked: BTreeMap<ClusterName, Digest> =
                published.iter().filter(|(_, release)| has_tests(release)).map(|(cluster, release)| (cluster.clone(), *release)).collect();
            if asked.is_empty() {
                let place = wish.cluster.as_ref().map_or_else(|| "any of its clusters".to_owned(), |cluster| format!("cluster {cluster}"));
                return Err(HubError::Refused {
                    code: "NoTests",
                    message: testing::no_tests_message(&wish.app, &place),
                    hint: Some("a chart's tests are in its templates/tests; see whether source.helm.skipTests leaves them out".to_owned()),
                });
            }
            let id: TestId = vault::hex(&shared_identity::random::<16>())
                .parse()
                .map_err(|error| HubError::Internal { message: format!("BUG: {error}") })?;
            let asking = Asking { wish: &wish, id: &id, by: &actor.name, at: self.0.now() };
            let seconds = asking.seconds()?;
            asking.check_room(&look.open_tests, &asked)?;
            let change = asking.commit(&*self.0.store, seconds, &asked).await.map_err(internal)?;
            let places: Vec<&str> = asked.keys().map(ClusterName::as_str).collect();
            let message = format!("{} in {}: request {id}", wish.app, places.join(", "));
            self.commit(&actor, Action::TestsAsked, message, change).await.map_err(internal)?;
            self.0.replan();
            self.tests(wish.app, wish.cluster).await
        })
    }

    fn holds(&self) -> Answer<'_, Vec<HoldView>> {
        Box::pin(async move {
            let now = self.0.now();
            Ok(Holds::read(&*self.0.store, now).await.map_err(internal)?.views(now))
        })
    }

    fn hold(&self, actor: Actor, wish: HoldWish) -> Answer<'_, HoldView> {
        Box::pin(async move {
            self.app(wish.app.clone()).await?;
            if let Some(cluster) = &wish.cluster {
                self.cluster(cluster.clone()).await?;
            }
            let (store, now) = (&*self.0.store, self.0.now());
            let hold = holds::grant(&wish, &actor.name, now)?;
            let standing = Holds::read(store, now).await.map_err(internal)?;
            if standing.len() >= holds::HOLDS_LIMIT && !standing.has(&wish.app, wish.cluster.as_ref()) {
                return Err(HubError::Refused {
                    code: "TooManyHolds",
                    message: format!("{} holds stand already", holds::HOLDS_LIMIT),
                    hint: Some("end some with `capstan resume`".to_owned()),
                });
            }
            let view = holds::view(&wish.app, wish.cluster.as_ref(), &hold, now);
            let change = holds::put(store, &wish, &hold).await.map_err(internal)?;
            self.commit(&actor, Action::Held, format!("{} until {}: {}", view.name(), hold.until, hold.reason), change)
                .await
                .map_err(internal)?;
            self.0.replan();
            Ok(view)
        })
    }

    fn resume(&self, actor: Actor, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, HoldView> {
        Box::pin(async move {
            let (store, now) = (&*self.0.store, self.0.now());
            let found = holds::end(store, &app, cluster.as_ref()).await.map_err(internal)?;
            let Some((hold, change)) = found.filter(|(hold, _)| hold.until > now) else {
                let of = cluster.as_ref().map_or_else(|| app.to_string(), |cluster| format!("{app}@{cluster}"));
                return Err(HubError::NotFound { what: "hold", name: of });
            };
            let view = holds::view(&app, cluster.as_ref(), &hold, now);
            self.commit(&actor, Action::Resumed, format!("{}, held until {}", view.name(), hold.until), change).await.map_err(internal)?;
            self.0.replan();
            Ok(view)
        })
    }
}

/// The name of an approval's record: what it is of, and the digest. A stage may need the word of several people, so theirs stands in it too.
pub(crate) fn approval_name(record: &ApprovalRecord, digest: &Digest) -> String {
    let app = record.app.as_deref().unwrap_or("_");
    match &record.cluster {
        Some(cluster) => format!("{app}/{cluster}/{}", digest.hex()),
        None => format!("{app}/_/{}/{}", digest.hex(), record.by),
    }
}

impl HubApi {
    /// Whether the agent of a cluster was not heard for long enough to be called offline.
    fn is_silent(&self, name: &ClusterName, record: &ClusterRecord) -> bool {
        let live = self.0.live.read();
        let written = record.heard.as_ref().and_then(|heard| heard.parse::<Timestamp>().ok());
        let at = live.get(name).and_then(|live| live.last_heard).max(written);
        let age = at.map(|at| Duration::try_from(self.0.now().duration_since(at)).unwrap_or(Duration::ZERO));
        shared_model::Freshness::of_age(age) == shared_model::Freshness::Offline
    }

    /// Where an app runs.
    fn published(&self, look: &Look<'_>, app: &AppName, cluster: Option<&ClusterName>) -> Result<BTreeMap<ClusterName, Digest>, HubError> {
        if look.app(app).is_none() {
            return Err(HubError::NotFound { what: "app", name: app.to_string() });
        }
        if let Some(cluster) = cluster.filter(|name| !look.records.contains_key(name) && !look.picture.fleet.clusters.contains_key(name)) {
            return Err(no_cluster(cluster));
        }
        let published = look.published(app, cluster);
        if published.is_empty() {
            let place = cluster.map_or_else(|| "any cluster".to_owned(), |cluster| format!("cluster {cluster}"));
            return Err(HubError::Refused {
                code: "NotPublished",
                message: format!("app {app} does not run in {place} yet, so there is nothing to test"),
                hint: Some(format!("`capstan status {app}` says why")),
            });
        }
        Ok(published)
    }

    /// The releases with these digests, as far as they are in the store.
    async fn releases(&self, digests: impl Iterator<Item = &Digest>) -> Result<BTreeMap<Digest, Release>, HubError> {
        let digests: BTreeSet<Digest> = digests.copied().collect();
        let mut releases = BTreeMap::new();
        for digest in digests {
            releases.extend(self.release(Some(digest)).await?.map(|release| (digest, release)));
        }
        Ok(releases)
    }

    async fn release(&self, digest: Option<Digest>) -> Result<Option<Release>, HubError> {
        let Some(digest) = digest else { return Ok(None) };
        let unavailable = |error: &dyn std::fmt::Display| HubError::Unavailable { message: error.to_string(), hint: None };
        let Some(bytes) = self.0.store.get_blob(digest).await.map_err(|error| unavailable(&error))? else { return Ok(None) };
        Release::decode(&bytes, SUPPORTED_FEATURES).map(Some).map_err(|error| unavailable(&error))
    }

    async fn object(&self, release: Option<&Release>, app: &AppName, key: &ObjectKey) -> Result<Option<Object>, HubError> {
        let Some(entry) = release.and_then(|release| release.entries.get(key)) else { return Ok(None) };
        let unavailable = |error: &dyn std::fmt::Display| HubError::Unavailable { message: error.to_string(), hint: None };
        let Some(blob) = self.0.store.get_blob(entry.digest).await.map_err(|error| unavailable(&error))? else { return Ok(None) };
        let app_key = self.0.keys.data.app_key(app);
        let sealed = entry.sealed.as_ref().map(|_| &app_key);
        decode_object(key, &entry.digest, &blob, sealed).map(Some).map_err(|error| unavailable(&error))
    }

    /// What changes from one release to another, redacted.
    async fn changes(&self, app: &AppName, applied: Option<Digest>, wanted: Option<Digest>) -> Result<Vec<ObjectDiff>, HubError> {
        let (before, after) = (self.release(applied).await?, self.release(wanted).await?);
        let keys = |release: &Option<Release>| {
            release.as_ref().map(|release| release.entries.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        let mut all = keys(&before);
        all.extend(keys(&after));
        all.sort_unstable();
        all.dedup();
        let mut redaction = Redaction::default();
        let mut changes = Vec::new();
        for key in all {
            let digest =
                |release: &Option<Release>| release.as_ref().and_then(|release| release.entries.get(&key)).map(|entry| entry.digest);
            if digest(&before) == digest(&after) {
                continue;
            }
            let (old, new) = (self.object(before.as_ref(), app, &key).await?, self.object(after.as_ref(), app, &key).await?);
            let (change, fields) = match (&old, &new) {
                (None, _) => (ChangeWord::Added, Vec::new()),
                (_, None) => (ChangeWord::Removed, Vec::new()),
                (Some(old), Some(new)) => {
                    let found = redaction.redact_changes(&key.kind, diff(&key.kind, old.value(), new.value()));
                    let field = |change: shared_manifest::Change| FieldDiff {
                        path: change.path.to_string(),
                        before: change.before.map(|value| value.to_string()),
                        after: change.after.map(|value| value.to_string()),
                    };
                    (ChangeWord::Changed, found.into_iter().map(field).collect())
                }
            };
            changes.push(ObjectDiff { object: (&*key).into(), change, fields });
        }
        Ok(changes)
    }
}

impl Picture {
    /// The held change of this digest.
    fn find_pending(&self, app: Option<&AppName>, cluster: Option<&ClusterName>, digest: &Digest) -> Option<&Pending> {
        let asked = |pending: &&Pending| pending.digest.as_ref() == Some(digest);
        match (app, cluster) {
            (Some(app), Some(cluster)) => {
                let pair = self.pairs.get(&(app.clone(), cluster.clone()))?;
                pair.deletions.iter().chain(&pair.held).find(asked)
            }
            (Some(app), None) => self.held_apps.get(app)?.iter().find(asked),
            (None, _) => None,
        }
    }
}
