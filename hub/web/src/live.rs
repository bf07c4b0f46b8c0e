//! The paths below `/api/v1/clusters/{cluster}/apps/{app}/`: what is seen of an app in a cluster right now. Logs come as server-sent events, a
//! line each. Whose token allows what is checked here; what may be seen at all is decided in the cluster.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use hub_api::{EventsView, LiveDiffView, LiveObjectView, LogParameters, ObjectParameters, ReasonView, TreeView, log_event};
use shared_model::{AppName, ClusterName};
use shared_session::{LogQuestion, ObjectQuery};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::{Stream, StreamExt as _};

use crate::config::{LOG_LINE_LIMIT, LOG_SIGN_OF_LIFE};
use crate::refusal::Refusal;
use crate::routes::{Answered, HubState, one, parsed, query};
use crate::{Actor, Answer, Hub, Right};

/// An app in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The app.
    pub app: AppName,
    /// The cluster.
    pub cluster: ClusterName,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// What the container said, cut anywhere.
    Data(Bytes),
    /// The last piece, if the log ends for another cause than that its container said no more.
    CutShort(ReasonView),
}

/// A log as it is read. Dropping it ends the reading in the cluster.
pub type LogStream = Pin<Box<dyn Stream<Item = LogPiece> + Send>>;

/// The part of a hub that looks into clusters. Each call notes in the audit log who looked at what before it is answered, and refuses at once if the
/// cluster is silent.
pub trait LiveHub {
    /// The app's objects and what they own.
    fn tree(&self, actor: Actor, place: Place) -> Answer<'_, TreeView>;

    /// One of these, redacted.
    fn live_object(&self, actor: Actor, place: Place, object: ObjectQuery) -> Answer<'_, LiveObjectView>;

    /// Events of all of these, or of one and what it owns.
    fn events(&self, actor: Actor, place: Place, object: Option<ObjectQuery>) -> Answer<'_, EventsView>;

    /// How the app's objects differ from what is wanted, redacted.
    fn live_diff(&self, actor: Actor, place: Place) -> Answer<'_, LiveDiffView>;

    /// The log of one of the app's pods.
    fn log(&self, actor: Actor, cluster: ClusterName, question: LogQuestion) -> Answer<'_, LogStream>;
}

/// The turns of those who read logs.
#[derive(Debug, Clone)]
pub(crate) struct LogTurns(pub(crate) Arc<Semaphore>);

pub(crate) fn routes() -> Router<Arc<dyn Hub>> {
    Router::new()
        .route("/clusters/{cluster}/apps/{app}/tree", get(tree))
        .route("/clusters/{cluster}/apps/{app}/object", get(object))
        .route("/clusters/{cluster}/apps/{app}/events", get(events))
        .route("/clusters/{cluster}/apps/{app}/diff", get(diff))
        .route("/clusters/{cluster}/apps/{app}/logs", get(logs))
}

/// Cluster and app, as they stand in the path.
type Named = Path<(String, String)>;

fn place(Path((cluster, app)): Named) -> Result<Place, Refusal> {
    Ok(Place { app: parsed(&app)?, cluster: parsed(&cluster)? })
}

fn may_look(actor: &Actor) -> Result<(), Refusal> {
    if actor.rights.contains(&Right::LiveView) { Ok(()) } else { Err(Refusal::forbidden("look into clusters")) }
}

async fn tree(State(hub): HubState, Extension(actor): Extension<Actor>, named: Named) -> Answered {
    may_look(&actor)?;
    one(StatusCode::OK, hub.tree(actor, place(named)?).await?)
}

async fn object(State(hub): HubState, Extension(actor): Extension<Actor>, named: Named, request: Request) -> Answered {
    may_look(&actor)?;
    let ObjectParameters { kind, namespace, name } = query(&request)?;
    let object = object_query(kind, namespace, name)?;
    let object = object.ok_or_else(|| Refusal::invalid("the request names no object", "send kind and name"))?;
    one(StatusCode::OK, hub.live_object(actor, place(named)?, object).await?)
}

async fn events(State(hub): HubState, Extension(actor): Extension<Actor>, named: Named, request: Request) -> Answered {
    may_look(&actor)?;
    let ObjectParameters { kind, namespace, name } = query(&request)?;
    one(StatusCode::OK, hub.events(actor, place(named)?, object_query(kind, namespace, name)?).await?)
}

async fn diff(State(hub): HubState, Extension(actor): Extension<Actor>, named: Named) -> Answered {
    may_look(&actor)?;
    one(StatusCode::OK, hub.live_diff(actor, place(named)?).await?)
}

/// The longest name or kind that is passed on: Kubernetes allows 253 characters.
const NAME_LIMIT: usize = shared_session::OBJECT_NAME_LIMIT;

fn object_query(kind: Option<String>, namespace: Option<String>, name: Option<String>) -> Result<Option<ObjectQuery>, Refusal> {
    let too_long = [&kind, &namespace, &name].into_iter().flatten().any(|text| text.is_empty() || text.len() > NAME_LIMIT);
    match (kind, name) {
        _ if too_long => Err(Refusal::invalid("kind, namespace and name have 1 to 253 bytes each", "write them as kubectl takes them")),
        (Some(kind), Some(name)) => Ok(Some(ObjectQuery { kind, namespace, name })),
        (None, None) if namespace.is_none() => Ok(None),
        _ => Err(Refusal::invalid("an object is named by its kind and its name", "send both, or neither")),
    }
}

async fn logs(
    State(hub): HubState,
    Extension(actor): Extension<Actor>,
    Extension(LogTurns(turns)): Extension<LogTurns>,
    named: Named,
    request: Request,
) -> Answered {
    if !actor.rights.contains(&Right::PodLogs) {
        return Err(Refusal::forbidden("read the logs of pods"));
    }
    let Place { app, cluster } = place(named)?;
    let parameters: LogParameters = query(&request)?;
    let LogParameters { kind, namespace, name, container, previous, follow, timestamps, tail, since_seconds } = parameters;
    if container.as_ref().is_some_and(|container| container.len() > NAME_LIMIT) {
        return Err(Refusal::invalid("the container's name is too long", "write it as kubectl takes it"));
    }
    let object = object_query(kind, namespace, name)?;
    let since = since_seconds.map(Duration::from_secs);
    let question = LogQuestion { app, object, container, previous, follow, timestamps, tail, since };
    let turn = turns.try_acquire_owned().map_err(|_| Refusal::overloaded())?;
    let log = hub.log(actor, cluster, question).await?;
    let mut response = Response::new(Body::from_stream(sent(log, turn)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The log as server-sent events, with a sign of life while it says nothing. The turn is given back when nobody reads any more.
fn sent(log: LogStream, turn: OwnedSemaphorePermit) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let ended = tokio_stream::once(None);
    let mut lines = Lines::default();
    let events = log.map(Some).chain(ended).timeout_repeating(tokio::time::interval(LOG_SIGN_OF_LIFE)).map(move |piece| {
        let _turn = &turn;
        match piece {
            Err(_) => ": still here\n\n".to_owned(),
            Ok(Some(LogPiece::Data(data))) => lines.take(&data),
            Ok(Some(LogPiece::CutShort(reason))) => lines.end(Some(&reason)),
            Ok(None) => lines.end(None),
        }
    });
    events.filter(|text| !text.is_empty()).map(|text| Ok(Bytes::from(text)))
}

/// Bytes into events of one line each.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    after_return: bool,
    is_over: bool,
}

impl Lines {
    /// The events of all lines that are whole now. A line that is too long goes in parts.
    fn take(&mut self, data: &[u8]) -> String {
        let mut events = String::new();
        for byte in data {
            // Server-sent events end a line at either, so that a progress bar becomes lines; `\r\n` ends one line and not two.
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' => self.line(&mut events),
                byte => {
                    self.begun.push(*byte);
                    if self.begun.len() >= LOG_LINE_LIMIT {
                        self.line(&mut events);
                    }
                }
            }
            self.after_return = *byte == b'\r';
        }
        events
    }

    fn line(&mut self, events: &mut String) {
        events.push_str(&format!("event: {}\ndata: {}\n\n", log_event::LINE, String::from_utf8_lossy(&self.begun)));
        self.begun.clear();
    }

    /// The last event, once.
    fn end(&mut self, reason: Option<&ReasonView>) -> String {
        let mut events = String::new();
        if std::mem::replace(&mut self.is_over, true) {
            return events;
        }
        if !self.begun.is_empty() {
            self.line(&mut events);
        }
        let why = reason.and_then(|reason| serde_json::to_string(reason).ok()).unwrap_or_default();
        events.push_str(&format!("event: {}\ndata: {why}\n\n", log_event::END));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut events: String = pieces.iter().map(|piece| lines.take(piece)).collect();
        events.push_str(&lines.end(None));
        let data = |event: &str| event.split_once("\ndata: ").map(|(_, data)| data.to_owned());
        events.split_terminator("\n\n").filter_map(data).collect()
    }

    #[test]
    fn lines_are_whole_wherever_the_log_was_cut() {
        assert_eq!(lines(&[b"one\ntw", b"o\r", b"\n\nthree"]), ["one", "two", "", "three", ""]);
        assert_eq!(lines(&[b"10%\r20%\r\n"]), ["10%", "20%", ""]);
        assert_eq!(lines(&["gr\u{fc}n\n".as_bytes(), b"\xff\n"]), ["gr\u{fc}n", "\u{fffd}", ""]);
        let long = lines(&[&[b'x'; LOG_LINE_LIMIT + 5]]);
        assert_eq!(long.iter().map(String::len).collect::<Vec<_>>(), [LOG_LINE_LIMIT, 5, 0]);
    }

    #[test]
    fn the_end_is_said_once_and_says_why() {
        let mut lines = Lines::default();
        let reason = ReasonView { severity: hub_api::SeverityWord::Error, code: "AgentGone".into(), message: "it broke".into() };
        assert_eq!(
            lines.end(Some(&reason)),
            "event: end\ndata: {\"severity\":\"Error\",\"code\":\"AgentGone\",\"message\":\"it broke\"}\n\n"
        );
        assert_eq!(lines.end(None), "");
    }

    #[test]
    fn an_object_is_named_by_kind_and_name_or_not_at_all() {
        let ask = |kind: Option<&str>, namespace: Option<&str>, name: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            object_query(text(kind), text(namespace), text(name)).map(|object| object.is_some()).ok()
        };
        assert_eq!(
            [ask(None, None, None), ask(Some("pod"), None, Some("a")), ask(Some("pod"), Some("web"), Some("a"))],
            [false, true, true].map(Some)
        );
        assert_eq!(
            [ask(Some("pod"), None, None), ask(None, None, Some("a")), ask(None, Some("web"), None), ask(Some(""), None, Some("a"))],
            [None; 4]
        );
        assert_eq!(ask(Some("pod"), None, Some(&"x".repeat(254))), None);
    }
}
