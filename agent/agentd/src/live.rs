//! What operators see of the cluster through the hub: an app's objects and what they own, one of them in full, events, differences, logs. Only what
//! hangs on an object that this agent owns by uid can be asked for, whatever the hub asks; the content of Secrets never leaves the cluster. Which
//! object is meant and what hangs where is decided in `tree`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{Cluster, ClusterError, Discovery, LogOptions, Refusal};
use agent_health::assess;
use agent_link::LogSource;
use agent_plan::{End, Guardrail, KindState, Observed};
use bytes::Bytes;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, once};
use serde_json::Value;
use shared_manifest::redact;
use shared_model::{AppName, FieldChange, GroupKind, Health, ObjectKey, Reason, Severity};
use shared_release::{Entry, Existing, Ignore, Release, SUPPORTED_FEATURES};
use shared_session::{Answer, LIVE_OBJECT_LIMIT, LogQuestion, ObjectDiff, ObjectQuery, Question};

use crate::agent::IN_FLIGHT;
use crate::shared::Shared;
use crate::tree::{Branch, Candidate, OWNED_KINDS, Root, candidate, container, find, grow, may_own, only_pod, with_owned};

/// The most objects of one kind in one namespace that are looked through for what an app owns: 20,000 × about 300 bytes are 6 MB for a moment.
const CANDIDATE_LIMIT: usize = 20_000;

/// How long a log may say nothing before it counts as begun: what the API server refuses, it refuses well within that.
const LOG_BEGINS: Duration = Duration::from_secs(2);

/// Where events about objects outside of namespaces are kept.
const EVENTS_OF_CLUSTER: &str = "default";

/// The eyes of operators.
pub(crate) struct LiveView {
    pub(crate) cluster: Cluster,
    pub(crate) guardrail: Guardrail,
    pub(crate) shared: Arc<Shared>,
}

/// An app's objects as they are now.
struct Sight {
    discovery: Discovery,
    branches: Vec<Branch>,
    unseen: Vec<Reason>,
}

impl Sight {
    fn find(&self, query: &ObjectQuery) -> Result<usize, Reason> {
        find(self.branches.iter().map(|branch| &branch.node.object), query, |kind| plural(&self.discovery, kind))
    }
}

fn plural(discovery: &Discovery, kind: &GroupKind) -> Option<String> {
    discovery.resource(kind, "").map(|resource| resource.plural.clone())
}

fn error(code: &str, message: impl Into<String>) -> Reason {
    Reason::new(Severity::Error, code, message)
}

/// Why something cannot be read, in words for whoever looks at it.
fn unreadable(failure: &ClusterError, what: &str, right: &str) -> Reason {
    match failure.refusal() {
        Some(Refusal::Forbidden) => {
            error("Forbidden", format!("{what} cannot be read: the agent's service account may not {right}; grant it that right"))
        }
        Some(Refusal::NotFound) => error("Gone", format!("{what} is not there (any more)")),
        _ => error("NotReadable", format!("{what} cannot be read: {failure}")),
    }
}

impl LiveView {
    /// Answers a question.
    pub(crate) async fn answer(&self, question: Question) -> Result<Answer, Reason> {
        match question {
            Question::Diff { app } => Ok(Answer::diff(self.differences(app).await?)),
            Question::Tree { app } => {
                let Sight { branches, unseen, .. } = self.see(&app).await?;
                Ok(Answer::tree(branches.into_iter().map(|branch| branch.node).collect(), unseen))
            }
            Question::Object { app, object } => self.object(&app, &object).await,
            Question::Events { app, object } => self.events(&app, object.as_ref()).await,
            Question::Log(_) => Err(error("BadRequest", "BUG: a log is not answered but read")),
        }
    }

    /// The app's own objects: what it wants here, and what it owns.
    async fn roots(&self, app: &AppName) -> Result<Vec<Root>, Reason> {
        let (shared, name) = (self.shared.clone(), app.clone());
        let owned: BTreeMap<ObjectKey, Option<String>> = {
            let ledger = self.shared.ledger();
            let objects = ledger.inventory().apps.get(app).map(|inventory| &inventory.objects);
            objects.into_iter().flatten().map(|(key, owned)| (ObjectKey::clone(key), owned.uid.clone())).collect()
        };
        let release = match blocking(move || wanted_release(&shared, &name)).await {
            Ok(release) => release,
            // An app that left the index still owns what it has not given up.
            Err(reason) if owned.is_empty() => return Err(reason),
            Err(_) => None,
        };
        let mut keys: BTreeSet<ObjectKey> =
            release.into_iter().flat_map(|release| release.entries.into_keys()).map(Arc::unwrap_or_clone).collect();
        keys.extend(owned.keys().cloned());
        keys.retain(|key| self.guardrail.permits(key).is_ok());
        Ok(keys.into_iter().map(|key| self.root(owned.get(&key).cloned().flatten(), key)).collect())
    }

    fn root(&self, owned: Option<String>, object: ObjectKey) -> Root {
        let (uid, health, reason) = match self.shared.view.observed(&object).map(|(observed, _)| observed) {
            Some(Observed::Present(present)) => {
                let is_ours = owned.as_ref() == Some(&present.uid);
                let foreign = || Reason::new(Severity::Warning, "NotOwned", "there is one, and it is not this app's");
                let reason = if is_ours { present.verdict.reason } else { Some(foreign()) };
                (owned.filter(|_| is_ours), present.verdict.health, reason)
            }
            Some(Observed::Absent) => (None, Health::Missing, None),
            Some(Observed::Ended { ending, .. }) => match ending.end {
                End::Succeeded => (owned, Health::Healthy, None),
                End::Failed(message) => (owned, Health::Degraded, Some(Reason::new(Severity::Error, "JobFailed", message))),
            },
            Some(Observed::Unknown(reason)) => (owned, Health::Unknown, Some(reason)),
            None => (owned, Health::Unknown, None),
        };
        Root { object, uid, health, reason }
    }

    /// Looks at the app's objects and at all that they own.
    async fn see(&self, app: &AppName) -> Result<Sight, Reason> {
        let roots = self.roots(app).await?;
        let discovery =
            self.cluster.discover().await.map_err(|failure| unreadable(&failure, "what the API server serves", "discover it"))?;
        let owners = roots.iter().filter(|root| root.uid.is_some() && may_own(&root.object.kind));
        let namespaces: BTreeSet<String> = owners.filter_map(|root| root.object.namespace.clone()).collect();
        let mut candidates = Vec::new();
        let mut unseen = Vec::new();
        for namespace in &namespaces {
            for (group, kind) in OWNED_KINDS {
                let kind = GroupKind::new(group, kind);
                match self.owned_in(&discovery, &kind, namespace, &mut candidates).await {
                    Ok(()) => {}
                    Err(reason) => unseen.push(reason),
                }
            }
        }
        Ok(Sight { discovery, branches: grow(roots, &candidates), unseen })
    }

    async fn owned_in(&self, discovery: &Discovery, kind: &GroupKind, namespace: &str, found: &mut Vec<Candidate>) -> Result<(), Reason> {
        let Some(resource) = discovery.resource(kind, "").filter(|resource| resource.watchable) else {
            return match discovery.state(kind) {
                KindState::Unknown(reason) => Err(reason),
                KindState::NotServed | KindState::Served(_) => Ok(()),
            };
        };
        let mut looked_at = 0;
        let looked = self.cluster.objects_in(resource, namespace, |object| {
            looked_at += 1;
            let seen = candidate(object, |object| {
                let verdict = assess(object);
                (verdict.health, verdict.reason)
            });
            found.extend(seen.filter(|seen| !seen.owners.is_empty()));
            if looked_at < CANDIDATE_LIMIT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let what = || format!("{} in namespace {namespace}", resource.plural);
        looked.await.map_err(|failure| unreadable(&failure, &what(), &format!("list {}", what())))?;
        if looked_at < CANDIDATE_LIMIT {
            return Ok(());
        }
        Err(Reason::new(Severity::Warning, "TooMany", format!("only {CANDIDATE_LIMIT} {} were looked through", what())))
    }

    /// Finds an object: among the app's own first, which costs no look at what these own.
    async fn locate(&self, app: &AppName, query: &ObjectQuery) -> Result<(Discovery, Branch), Reason> {
        let discovery =
            self.cluster.discover().await.map_err(|failure| unreadable(&failure, "what the API server serves", "discover it"))?;
        let roots = grow(self.roots(app).await?, &[]);
        let own = find(roots.iter().map(|branch| &branch.node.object), query, |kind| plural(&discovery, kind));
        if let Ok(place) = own {
            return roots.into_iter().nth(place).map(|branch| (discovery, branch)).ok_or_else(|| error("BUG", "a place without a branch"));
        }
        let sight = self.see(app).await?;
        let place = sight.find(query)?;
        let branch = sight.branches[place].clone();
        Ok((sight.discovery, branch))
    }

    /// The live object behind a branch, if it is still the one that hangs there.
    async fn fetch(&self, discovery: &Discovery, branch: &Branch) -> Result<Value, Reason> {
        let object = &branch.node.object;
        let Some(uid) = &branch.uid else {
            let why = branch.node.reason.as_ref().map(|reason| format!(": {}", reason.message)).unwrap_or_default();
            return Err(error("NotOwned", format!("the app has no {object} here{why}")));
        };
        let Some(resource) = discovery.resource(&object.kind, "") else {
            return Err(error("KindUnknown", format!("{} is not served (any more)", object.kind)));
        };
        let right = format!("get {}", resource.plural);
        let live = self.cluster.get(resource, object).await.map_err(|failure| unreadable(&failure, &object.to_string(), &right))?;
        let live = live.ok_or_else(|| error("Gone", format!("{object} is not there (any more)")))?;
        if live.pointer("/metadata/uid").and_then(Value::as_str) != Some(uid) {
            return Err(error("NotOwned", format!("{object} is another one now, and not this app's")));
        }
        Ok(live)
    }

    async fn object(&self, app: &AppName, query: &ObjectQuery) -> Result<Answer, Reason> {
        let (discovery, branch) = self.locate(app, query).await?;
        let live = self.fetch(&discovery, &branch).await?;
        let object = branch.node.object;
        let json = shown(&live).to_string();
        if json.len() > LIVE_OBJECT_LIMIT {
            return Err(error("TooLarge", format!("{object} has {} bytes, more than the {LIVE_OBJECT_LIMIT} that are shown", json.len())));
        }
        Ok(Answer::Object { object, json })
    }

    async fn events(&self, app: &AppName, query: Option<&ObjectQuery>) -> Result<Answer, Reason> {
        let sight = self.see(app).await?;
        let places = match query {
            Some(query) => with_owned(&sight.branches, sight.find(query)?),
            None => (0..sight.branches.len()).collect(),
        };
        let among: Vec<&Branch> = places.iter().map(|place| &sight.branches[*place]).filter(|branch| branch.uid.is_some()).collect();
        let uids: BTreeSet<&str> = among.iter().filter_map(|branch| branch.uid.as_deref()).collect();
        let home = |branch: &&Branch| branch.node.object.namespace.clone().unwrap_or_else(|| EVENTS_OF_CLUSTER.to_owned());
        let namespaces: BTreeSet<String> = among.iter().map(home).collect();
        let only = (uids.len() == 1).then(|| uids.first().copied()).flatten();
        let mut events = Vec::new();
        for namespace in &namespaces {
            let what = format!("events in namespace {namespace}");
            let found = self.cluster.events_in(namespace, |uid| uids.contains(uid), only).await;
            events.extend(found.map_err(|failure| unreadable(&failure, &what, &format!("list {what}")))?);
        }
        Ok(Answer::events(events))
    }

    /// Begins to read the log of a pod of the app.
    pub(crate) async fn read_log(&self, question: LogQuestion) -> Result<LogSource, Reason> {
        let sight = self.see(&question.app).await?;
        let among = match &question.object {
            Some(query) => with_owned(&sight.branches, sight.find(query)?),
            None => (0..sight.branches.len()).collect(),
        };
        let branch = only_pod_or_itself(&sight, &among, question.object.as_ref())?;
        let pod = self.fetch(&sight.discovery, branch).await?;
        let LogQuestion { previous, follow, timestamps, tail, since, .. } = question;
        let container = container(&pod, question.container.as_deref())?;
        let options = LogOptions { container, previous, follow, timestamps, tail, since };
        let what = format!("the log of {}", branch.node.object);
        let opening = self.cluster.clone().pod_log(branch.node.object.clone(), options);
        let explain = move |failure: ClusterError| unreadable(&failure, &what, "get pods/log");
        let mut opening = Box::pin(opening);
        Ok(match tokio::time::timeout(LOG_BEGINS, &mut opening).await {
            Ok(Err(failure)) => return Err(explain(failure)),
            Ok(Ok(log)) => Box::pin(log.map_ok(Bytes::from).map_err(explain)),
            Err(_) => Box::pin(once(opening).try_flatten().map_ok(Bytes::from).map_err(explain)),
        })
    }
}

/// A pod that the app wants itself is a root, of which no list was taken.
fn only_pod_or_itself<'a>(sight: &'a Sight, among: &BTreeSet<usize>, query: Option<&ObjectQuery>) -> Result<&'a Branch, Reason> {
    let is_pod = |branch: &&Branch| branch.node.object.kind == GroupKind::new("", "Pod") && branch.uid.is_some();
    let first = query.and(among.first()).and_then(|place| sight.branches.get(*place));
    match first.filter(is_pod) {
        Some(pod) => Ok(pod),
        None => only_pod(&sight.branches, among),
    }
}

/// A live object as it may be shown: Secrets without their content, and nothing of who manages which field.
fn shown(live: &Value) -> Value {
    let mut shown = redact(live);
    if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    shown
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process ends.
            Err(_) => std::future::pending().await,
        },
    }
}

impl LiveView {
    /// Compares every object of `app` right now.
    async fn differences(&self, app: AppName) -> Result<Vec<ObjectDiff>, Reason> {
        let name = app.clone();
        let shared = self.shared.clone();
        let release = blocking(move || wanted_release(&shared, &name)).await?;
        let discovery = self.cluster.discover().await.map_err(|error| error.reason())?;
        let looks = release.into_iter().flat_map(|release| release.entries.into_values()).map(|entry| {
            let (app, discovery) = (&app, &discovery);
            async move {
                let missing = || ObjectDiff { object: ObjectKey::clone(&entry.object), fields: Vec::new(), missing: true };
                let Some(resource) = discovery.resource(&entry.object.kind, &entry.version) else {
                    return match discovery.state(&entry.object.kind) {
                        KindState::Unknown(reason) => Err(reason),
                        KindState::NotServed | KindState::Served(_) => Ok(Some(missing())),
                    };
                };
                match self.cluster.get(resource, &entry.object).await.map_err(|error| error.reason())? {
                    None => Ok(Some(missing())),
                    Some(live) => self.compare_object(app, &entry, &live),
                }
            }
        });
        let found: Vec<Result<Option<ObjectDiff>, Reason>> = futures_util::stream::iter(looks).buffered(IN_FLIGHT).collect().await;
        found.into_iter().filter_map(Result::transpose).collect()
    }

    fn compare_object(&self, app: &AppName, entry: &Entry, live: &Value) -> Result<Option<ObjectDiff>, Reason> {
        if entry.policy.existing == Existing::IfNotPresent {
            return Ok(None);
        }
        let object = ObjectKey::clone(&entry.object);
        let owned = self.shared.ledger().inventory().get(app, &object).cloned().unwrap_or_default();
        if owned.uid.is_none() || owned.uid.as_deref() != live.pointer("/metadata/uid").and_then(Value::as_str) {
            // What is in there is none of this app's business.
            let field = FieldChange {
                path: "metadata.uid".to_owned(),
                wanted: owned.uid,
                found: Some("an object that is not this app's".to_owned()),
                manager: None,
                since: None,
            };
            return Ok(Some(ObjectDiff { object, fields: vec![field], missing: false }));
        }
        let wanted = self.shared.ledger_object(app, entry)?;
        let mut ignore = entry.policy.ignore.clone();
        ignore.extend(owned.yielded.into_iter().map(Ignore::Pointer));
        let fields = agent_plan::compare(&wanted, live, &ignore, agent_cluster::FIELD_MANAGER).changes;
        Ok((!fields.is_empty()).then_some(ObjectDiff { object, fields, missing: false }))
    }
}

/// The release of `app` that is in force; `None` when the app is leaving the cluster.
fn wanted_release(shared: &Shared, app: &AppName) -> Result<Option<Release>, Reason> {
    let index = shared.ledger().index().cloned();
    let index = index.map(|signed| signed.read_own()).transpose().map_err(|failure| error("ContentUnusable", failure.to_string()))?;
    let content = index.as_ref().and_then(|index| index.apps.get(app));
    let content = content.ok_or_else(|| error("NoSuchApp", format!("app {app} is not in the index that is in force in this cluster")))?;
    let Some(digest) = &content.release else { return Ok(None) };
    let bytes = shared.contents().read(digest).map_err(|failure| error("ContentMissing", failure.to_string()))?;
    Release::decode(&bytes, SUPPORTED_FEATURES).map(Some).map_err(|failure| error("ReleaseNotUnderstood", failure.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_content_of_a_secret_is_shown_whatever_holds_it() {
        let canary = "Y2FuYXJ5LTcxMQ==";
        let applied = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": canary}}).to_string();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": canary}, "stringData": {"plain": "canary-711"},
            "metadata": {"name": "s", "managedFields": [{"manager": "capstan"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}});
        let text = shown(&secret).to_string();
        assert!(!text.contains("canary-711") && !text.contains(canary) && !text.contains("managedFields"), "{text}");
        assert!(text.contains("token"), "which keys there are may be known: {text}");
        let open = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}, "metadata": {"name": "c"}});
        assert_eq!(shown(&open), open);
    }
}
