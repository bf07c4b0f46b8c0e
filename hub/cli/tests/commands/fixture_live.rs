//! The part of the fixture hub that looks into clusters: everything comes from `fleets/live.json`, for the app llm-gateway in gpu-a; gpu-b is silent.

use hub_api::{EventsView, LiveDiffView, LiveObjectView, TreeView};
use hub_web::{Actor, Answer, HubError, LiveHub, LogPiece, LogQuestion, LogStream, ObjectQuery, Place};
use serde::Deserialize;
use shared_model::{ClusterName, Reason, Severity};

use crate::fixture_hub::FixtureHub;

#[derive(Deserialize)]
struct Seen {
    tree: TreeView,
    object: LiveObjectView,
    events: EventsView,
    diff: LiveDiffView,
    log: Vec<String>,
}

fn seen(place: &Place) -> Result<Seen, HubError> {
    match place.cluster.as_str() {
        "gpu-a" => Ok(serde_json::from_str(include_str!("fleets/live.json")).unwrap()),
        "gpu-b" => Err(HubError::Refused {
            code: "ClusterStale",
            message: "cluster gpu-b cannot be looked into: its agent is not connected and was heard last 42 seconds ago".to_owned(),
            hint: Some("`capstan status` shows what it said last; it connects again by itself when it can".to_owned()),
        }),
        name => Err(HubError::NotFound { what: "cluster", name: name.to_owned() }),
    }
}

fn cluster_says(code: &str, message: &str) -> HubError {
    HubError::Cluster(Reason::new(Severity::Error, code, message))
}

fn answer<'a, T: Send + 'a>(result: Result<T, HubError>) -> Answer<'a, T> {
    Box::pin(async move { result })
}

impl LiveHub for FixtureHub {
    fn tree(&self, _: Actor, place: Place) -> Answer<'_, TreeView> {
        answer(seen(&place).map(|seen| seen.tree))
    }

    fn live_object(&self, _: Actor, place: Place, object: ObjectQuery) -> Answer<'_, LiveObjectView> {
        answer(seen(&place).and_then(|seen| match object.name == seen.object.object.name {
            true => Ok(seen.object),
            false => Err(cluster_says(
                "NoSuchObject",
                &format!("neither the app nor what it owns has a {}/{}; `capstan tree` shows what it has", object.kind, object.name),
            )),
        }))
    }

    fn events(&self, _: Actor, place: Place, _: Option<ObjectQuery>) -> Answer<'_, EventsView> {
        answer(seen(&place).map(|seen| seen.events))
    }

    fn live_diff(&self, _: Actor, place: Place) -> Answer<'_, LiveDiffView> {
        answer(seen(&place).map(|seen| seen.diff))
    }

    fn log(&self, _: Actor, cluster: ClusterName, question: LogQuestion) -> Answer<'_, LogStream> {
        let place = Place { app: question.app, cluster };
        let cut_short = LogPiece::CutShort(hub_api::ReasonView {
            severity: hub_api::SeverityWord::Error,
            code: "AgentGone".to_owned(),
            message: "the connection to the cluster's agent broke; the log goes on in the cluster: ask again".to_owned(),
        });
        answer(seen(&place).and_then(|seen| {
            let Some(pod) = question.object else {
                let message = "there are 3 pods; name one: pod/gateway-7d9-a, pod/gateway-7d9-b, pod/warm-up-x";
                return Err(cluster_says("SeveralPods", message));
            };
            let lines = seen.log.iter().map(|line| format!("{}: {line}\n", pod.name));
            let skip = question.tail.map_or(0, |tail| seen.log.len().saturating_sub(tail as usize));
            let pieces: Vec<LogPiece> = lines.skip(skip).map(|line| LogPiece::Data(line.into())).collect();
            // A log that is followed ends here because its agent goes away.
            Ok(Box::pin(tokio_stream::iter(pieces.into_iter().chain(question.follow.then_some(cut_short)))) as LogStream)
        }))
    }
}
