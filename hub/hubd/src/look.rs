//! Looking into clusters for operators: who may be asked right now, a note in the audit log before anything is asked, and the agents' answers in the
//! API's words. What may be seen is decided by the agent.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::unfold;
use hub_api::{
    EventView, EventsView, FieldChangeView, LiveDiffView, LiveObjectDiff, LiveObjectView, NodeGroupView, NodesView, PodView, ReasonView,
    TreeNodeView, TreeView,
};
use hub_distribute::{AskError, Handle, LogReader};
use hub_web::{Actor, Answer, HubError, LiveHub, LogPiece, LogQuestion, LogStream, ObjectQuery, Place};
use serde_json::Value;
use shared_identity::AgentIdentity;
use shared_manifest::{Redaction, redact};
use shared_model::{ClusterName, Freshness, ObjectKey, Timestamp};
use shared_session::{self as session, AnswerError, NodeFacts, Nodes, Question};

use crate::api::HubApi;
use crate::audit::Action;

/// How long an agent may take to answer: less than the web server gives itself, so that the cause arrives.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// An agent that can be asked.
struct Line {
    sessions: Arc<Handle>,
    who: AgentIdentity,
}

impl HubApi {
    /// Finds the agent of a place and notes who looks at what there; refuses at once, with its age, if it is silent.
    async fn line(&self, actor: &Actor, (action, what): (Action, &str), place: &Place) -> Result<Line, HubError> {
        let Place { app, cluster } = place;
        let core = &*self.0;
        let (uid, silence) = {
            let look = self.look().await?;
            let record = look.records.get(cluster);
            if record.is_none() && !look.picture.fleet.clusters.contains_key(cluster) {
                return Err(HubError::NotFound { what: "cluster", name: cluster.to_string() });
            }
            let live = core.live.read();
            let found = live.get(cluster);
            let is_known = found.is_some_and(|found| found.apps.contains_key(app)) || look.app_names().contains(app);
            if !is_known {
                return Err(HubError::NotFound { what: "app", name: app.to_string() });
            }
            let age = look.age(cluster, found);
            let connected = found.is_some_and(|found| found.connected);
            let silence = (!connected || Freshness::of_age(age) != Freshness::Fresh).then(|| silent(cluster, age));
            (record.and_then(|record| record.uid.as_ref()?.parse().ok()), silence)
        };
        if let Some(silence) = silence {
            return Err(silence);
        }
        let sessions = core.sessions.get().and_then(Weak::upgrade);
        let (Some(sessions), Some(uid)) = (sessions, uid) else { return Err(silent(cluster, None)) };
        let message = format!("{what} of app {app} in cluster {cluster}");
        let actor = format!("token/{}", actor.name);
        core.audit.append(&*core.store, core.now(), &actor, action, message).await.map_err(crate::api::internal)?;
        Ok(Line { sessions, who: AgentIdentity::new(cluster.clone(), uid) })
    }

    async fn ask(&self, actor: &Actor, what: &str, place: &Place, question: Question) -> Result<session::Answer, HubError> {
        let Line { sessions, who } = self.line(actor, (Action::LookedAt, what), place).await?;
        sessions.ask(&who, &question, ANSWERS_WITHIN).await.map_err(|error| refused(&place.cluster, error))
    }
}

fn silent(cluster: &ClusterName, age: Option<Duration>) -> HubError {
    let heard = age.map_or_else(|| "was never heard".to_owned(), |age| format!("was heard last {} seconds ago", age.as_secs()));
    HubError::Refused {
        code: match Freshness::of_age(age) {
            Freshness::Offline => "ClusterOffline",
            Freshness::Fresh | Freshness::Stale => "ClusterStale",
        },
        message: format!("cluster {cluster} cannot be looked into: its agent is not connected and {heard}"),
        hint: Some("`capstan status` shows what it said last; it connects again by itself when it can".to_owned()),
    }
}

fn refused(cluster: &ClusterName, error: AskError) -> HubError {
    let message = error.to_string();
    match error {
        AskError::Refused(AnswerError::Refused(reason)) => HubError::Cluster(reason),
        AskError::Refused(AnswerError::UnknownQuestion) => HubError::Refused {
            code: "AgentTooOld",
            message: format!("the agent of {cluster} does not know this question"),
            hint: Some("upgrade the agent".to_owned()),
        },
        AskError::NotConnected => silent(cluster, Some(Duration::ZERO)),
        AskError::Busy => HubError::Refused { code: "Busy", message, hint: None },
        AskError::TooManyLogs => HubError::Refused { code: "TooManyLogs", message, hint: None },
        AskError::TimedOut(_) | AskError::Unreadable => HubError::Unavailable { message, hint: Some("ask again".to_owned()) },
    }
}

/// An agent that answers another question than it was asked breaks the protocol.
fn another_answer(cluster: &ClusterName) -> HubError {
    HubError::Unavailable {
        message: format!("the agent of {cluster} answered another question"),
        hint: Some("upgrade the agent".to_owned()),
    }
}

fn named(query: &ObjectQuery) -> String {
    let namespace = query.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    format!("{}/{}{namespace}", query.kind, query.name)
}

fn seconds_since(now: Timestamp, at: Option<Timestamp>) -> Option<u64> {
    // A cluster whose clock is ahead has events of age 0.
    at.map(|at| u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0))
}

impl LiveHub for HubApi {
    fn tree(&self, actor: Actor, place: Place) -> Answer<'_, TreeView> {
        Box::pin(async move {
            let answer = self.ask(&actor, "the objects", &place, Question::Tree { app: place.app.clone() }).await?;
            let session::Answer::Tree { nodes, left_out, unseen } = answer else { return Err(another_answer(&place.cluster)) };
            let now = self.0.now();
            Ok(TreeView {
                app: place.app.to_string(),
                cluster: place.cluster.to_string(),
                nodes: nodes.into_iter().map(|node| tree_node(node, now)).collect(),
                left_out,
                unseen: unseen.iter().map(ReasonView::from).collect(),
            })
        })
    }

    fn live_object(&self, actor: Actor, place: Place, object: ObjectQuery) -> Answer<'_, LiveObjectView> {
        Box::pin(async move {
            let what = named(&object);
            let answer = self.ask(&actor, &what, &place, Question::Object { app: place.app.clone(), object }).await?;
            let session::Answer::Object { object, json } = answer else { return Err(another_answer(&place.cluster)) };
            let manifest: Value = serde_json::from_str(&json)
                .ok()
                .filter(Value::is_object)
                .ok_or_else(|| HubError::Unavailable { message: format!("the agent of {} sent no object", place.cluster), hint: None })?;
            Ok(LiveObjectView {
                app: place.app.to_string(),
                cluster: place.cluster.to_string(),
                manifest: as_shown(&object, &manifest),
                object: (&object).into(),
            })
        })
    }

    fn events(&self, actor: Actor, place: Place, object: Option<ObjectQuery>) -> Answer<'_, EventsView> {
        Box::pin(async move {
            let what = object.as_ref().map_or_else(|| "the events".to_owned(), |object| format!("the events of {}", named(object)));
            let answer = self.ask(&actor, &what, &place, Question::Events { app: place.app.clone(), object }).await?;
            let session::Answer::Events { events, left_out } = answer else { return Err(another_answer(&place.cluster)) };
            let now = self.0.now();
            Ok(EventsView {
                app: place.app.to_string(),
                cluster: place.cluster.to_string(),
                events: events.into_iter().map(|event| event_view(event, now)).collect(),
                left_out,
            })
        })
    }

    fn live_diff(&self, actor: Actor, place: Place) -> Answer<'_, LiveDiffView> {
        Box::pin(async move {
            let answer = self.ask(&actor, "the differences", &place, Question::Diff { app: place.app.clone() }).await?;
            let session::Answer::Diff { objects, left_out } = answer else { return Err(another_answer(&place.cluster)) };
            Ok(LiveDiffView {
                app: place.app.to_string(),
                cluster: place.cluster.to_string(),
                objects: objects.into_iter().map(object_diff).collect(),
                left_out,
            })
        })
    }

    fn log(&self, actor: Actor, cluster: ClusterName, question: LogQuestion) -> Answer<'_, LogStream> {
        Box::pin(async move {
            let place = Place { app: question.app.clone(), cluster };
            let of = question.object.as_ref().map_or_else(|| "the only pod".to_owned(), named);
            let container = question.container.as_ref().map(|container| format!(", container {container}")).unwrap_or_default();
            let what = format!("the log of {of}{container}");
            let Line { sessions, who } = self.line(&actor, (Action::ReadLog, &what), &place).await?;
            let log = sessions.log(&who, question, ANSWERS_WITHIN).await.map_err(|error| refused(&place.cluster, error))?;
            Ok(pieces(log))
        })
    }
}

fn pieces(log: LogReader) -> LogStream {
    Box::pin(unfold(log, async |mut log| {
        let piece = match log.next().await? {
            hub_distribute::LogPiece::Data(data) => LogPiece::Data(data),
            hub_distribute::LogPiece::CutShort(reason) => LogPiece::CutShort((&reason).into()),
        };
        Some((piece, log))
    }))
}

/// The agent has redacted it already. That is not left to an agent alone: one of another version, or one that was taken over, may not have, and
/// what it calls a Secret is one whatever stands in its JSON.
fn as_shown(object: &ObjectKey, manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if object.kind.group.is_empty() && object.kind.kind == "Secret" {
        manifest["apiVersion"] = Value::from("v1");
        manifest["kind"] = Value::from("Secret");
    }
    redact(&manifest)
}

/// As [`as_shown`], for the differences of an object.
fn object_diff(diff: session::ObjectDiff) -> LiveObjectDiff {
    let session::ObjectDiff { object, fields, missing } = diff;
    let mut redaction = Redaction::default();
    let fields = fields.into_iter().map(|change| FieldChangeView::from(&redaction.redact_reported(&object.kind, change))).collect();
    LiveObjectDiff { object: (&object).into(), missing, fields }
}

fn tree_node(node: session::TreeNode, now: Timestamp) -> TreeNodeView {
    let pod = node.pod.map(|pod| PodView {
        phase: pod.phase,
        node: pod.node,
        containers: pod.containers,
        ready: pod.ready,
        wanted: pod.wanted,
        restarts: pod.restarts,
        age_seconds: seconds_since(now, pod.created),
    });
    TreeNodeView {
        object: (&node.object).into(),
        owner: node.owner,
        health: node.health.into(),
        reason: node.reason.as_ref().map(Into::into),
        pod,
    }
}

fn event_view(event: session::Event, now: Timestamp) -> EventView {
    EventView {
        object: (&event.object).into(),
        is_warning: event.is_warning,
        code: event.code,
        message: event.message,
        source: event.source,
        count: event.count,
        first: event.first.map(|at| at.to_string()),
        last: event.last.map(|at| at.to_string()),
        age_seconds: seconds_since(now, event.last.or(event.first)),
    }
}

/// What an agent says of its nodes; `None` before it has looked.
pub(crate) fn nodes_view(nodes: &Nodes) -> Option<NodesView> {
    match nodes {
        Nodes::NotSeen => None,
        Nodes::Unknown(reason) => Some(NodesView { unknown: Some(reason.into()), ..NodesView::default() }),
        Nodes::Seen(facts) => Some(seen_nodes(facts)),
    }
}

fn seen_nodes(facts: &NodeFacts) -> NodesView {
    let group = |group: &session::NodeGroup| NodeGroupView {
        instance_type: group.instance_type.clone(),
        architecture: group.architecture.clone(),
        region: group.region.clone(),
        zone: group.zone.clone(),
        kubelet: group.kubelet.clone(),
        nodes: group.nodes,
        ready: group.ready,
    };
    let device = |device: &session::Device| hub_api::DeviceView {
        resource: device.resource.clone(),
        product: device.product.clone(),
        nodes: device.nodes,
        capacity: device.capacity,
        allocatable: device.allocatable,
        used: device.used,
    };
    NodesView {
        unknown: None,
        total: facts.total,
        ready: facts.ready,
        groups: facts.groups.iter().map(group).collect(),
        groups_left_out: facts.groups_left_out,
        devices: facts.devices.iter().map(device).collect(),
        devices_left_out: facts.devices_left_out,
        use_unknown: facts.use_unknown.as_ref().map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared_model::{FieldChange, GroupKind};

    use super::*;

    #[test]
    fn a_secret_is_redacted_here_too_whatever_its_agent_calls_it() {
        let key = ObjectKey::new(GroupKind::new("", "Secret"), Some("web"), "s");
        for kind in [json!("Secret"), json!("ConfigMap"), Value::Null] {
            let sent = json!({"apiVersion": "v1", "kind": kind, "data": {"token": "Y2FuYXJ5LTcxMQ=="}});
            let shown = as_shown(&key, &sent).to_string();
            assert!(!shown.contains("Y2FuYXJ5LTcxMQ") && shown.contains("token"), "{shown}");
        }
    }

    #[test]
    fn differences_of_a_secret_are_redacted_here_too_and_those_of_others_shown() {
        let change = |path: &str, found: &str| FieldChange {
            path: path.to_owned(),
            wanted: Some("\"++++++++\"".to_owned()),
            found: Some(found.to_owned()),
            manager: Some("kubectl-edit".to_owned()),
            since: None,
        };
        let fields = vec![change("data.token", "\"Y2FuYXJ5LTcxMQ==\""), change("metadata.labels.tier", "\"gold\"")];
        for (kind, leaks) in [("Secret", false), ("ConfigMap", true)] {
            let object = ObjectKey::new(GroupKind::new("", kind), Some("web"), "s");
            let shown = object_diff(session::ObjectDiff { object, fields: fields.clone(), missing: false });
            let found: Vec<&str> = shown.fields.iter().filter_map(|field| field.found.as_deref()).collect();
            assert_eq!(found, [if leaks { "\"Y2FuYXJ5LTcxMQ==\"" } else { "\"++++++++\"" }, "\"gold\""], "{kind}");
            assert_eq!(shown.fields[0].path, "data.token");
        }
    }

    #[test]
    fn a_silent_cluster_says_since_when() {
        let cluster: ClusterName = "gpu-a".parse().unwrap();
        let said = |seconds: Option<u64>| {
            let HubError::Refused { code, message, .. } = silent(&cluster, seconds.map(Duration::from_secs)) else { panic!("refused") };
            (code, message)
        };
        assert_eq!(said(Some(45)).0, "ClusterStale");
        let (code, message) = said(Some(95));
        assert!(code == "ClusterOffline" && message.ends_with("was heard last 95 seconds ago"), "{message}");
        assert!(said(None).1.ends_with("was never heard"));
    }
}
