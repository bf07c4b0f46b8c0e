//! One watch per kind: list in pages, then watch with bookmarks, again and again. A stream that ends is resumed where it was; a history that
//! is gone (410) is listed anew; an API group that answers errors makes its kind unknown and never empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_health::needs_body;
use futures_util::TryStreamExt as _;
use kube::core::WatchEvent;
use serde_json::Value;
use shared_model::{GroupKind, ObjectKey, Reason, Severity};
use tokio::task::JoinHandle;

use crate::connect::Cluster;
use crate::discovery::Resource;
use crate::error::{ClusterError, Refusal};
use crate::request::{self, JSON, METADATA_LIST, METADATA_ONE, collection};
use crate::view::View;

/// Objects per page of a list: 500 × about 2 KB of metadata is 1 MB in memory at a time.
const PAGE: u32 = 500;

/// How long one watch request lasts; the API server ends it then and it is opened again.
const WATCH_SECONDS: u32 = 240;

/// A stream that says nothing for this long is dead: the API server sends a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 20);

/// The first and the longest pause after an error.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// How long a watch may be broken before what it saw counts as out of date: a heartbeat's time.
const GRACE: Duration = Duration::from_secs(10);

/// The running watches.
pub struct Watches {
    cluster: Cluster,
    view: Arc<View>,
    tasks: BTreeMap<GroupKind, (Resource, JoinHandle<()>)>,
}

impl Watches {
    /// No watches yet.
    pub fn new(cluster: Cluster, view: Arc<View>) -> Self {
        Self { cluster, view, tasks: BTreeMap::new() }
    }

    /// Watches exactly these kinds: starts what is missing, ends what is not wanted, leaves the rest.
    pub fn set(&mut self, wanted: BTreeMap<GroupKind, Resource>) {
        self.tasks.retain(|kind, (resource, task)| {
            let keep = wanted.get(kind) == Some(resource) && !task.is_finished();
            if !keep {
                task.abort();
                self.view.dropped(kind);
            }
            keep
        });
        for (kind, resource) in wanted {
            if !self.tasks.contains_key(&kind) {
                self.view.begun(&kind);
                let watch =
                    Watch { cluster: self.cluster.clone(), view: self.view.clone(), kind: kind.clone(), resource: resource.clone() };
                self.tasks.insert(kind, (resource, tokio::spawn(watch.run())));
            }
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

struct Watch {
    cluster: Cluster,
    view: Arc<View>,
    kind: GroupKind,
    resource: Resource,
}

impl Watch {
    async fn run(self) {
        let mut version: Option<String> = None;
        let mut pause = PAUSES.0;
        let mut broken_since: Option<Instant> = None;
        loop {
            let result = match version.take() {
                None => self.list().await.map(Some),
                Some(from) => {
                    let (last, result) = self.watch(from, &mut broken_since, &mut pause).await;
                    version = Some(last);
                    result.map(|()| None)
                }
            };
            match result {
                Ok(Some(listed)) => {
                    version = Some(listed);
                    (pause, broken_since) = (PAUSES.0, None);
                }
                Ok(None) => {}
                Err(error) if error.refusal() == Some(Refusal::Gone) => {
                    tracing::info!(kind = %self.kind, "the watch's history is gone; listing again");
                    version = None;
                }
                Err(error) => {
                    let since = *broken_since.get_or_insert_with(Instant::now);
                    if version.is_none() || since.elapsed() >= GRACE || error.refusal().is_some() {
                        self.view.lost(&self.kind, self.unobserved(&error));
                    }
                    tracing::debug!(kind = %self.kind, %error, "the watch is broken");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    fn unobserved(&self, error: &ClusterError) -> Reason {
        Reason::new(Severity::Error, "NotObservable", format!("{} cannot be observed: {error}; nothing is concluded from that", self.kind))
    }

    /// Lists all objects and tells the view; returns the version to watch from.
    async fn list(&self) -> Result<String, ClusterError> {
        let accept = if needs_body(&self.kind) { JSON } else { METADATA_LIST };
        let covered = self.view.interest_in(&self.kind);
        let mut found = BTreeMap::new();
        let mut token = String::new();
        loop {
            let path = format!("{}?limit={PAGE}{token}", collection(&self.resource));
            let page = self.cluster.request(request::get(&path, accept)?).await?;
            let text = |pointer: &str| page.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
                let key = self.key(item);
                if covered.contains(&key) {
                    found.insert(key, self.complete(item.clone()));
                }
            }
            let next = text("/metadata/continue");
            if next.is_empty() {
                self.view.listed(&self.kind, &covered, &found);
                return Ok(text("/metadata/resourceVersion"));
            }
            token = format!("&continue={next}");
        }
    }

    /// Watches until the stream ends; returns the version to go on from.
    async fn watch(&self, from: String, broken_since: &mut Option<Instant>, pause: &mut Duration) -> (String, Result<(), ClusterError>) {
        let accept = if needs_body(&self.kind) { JSON } else { METADATA_ONE };
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={from}&timeoutSeconds={WATCH_SECONDS}",
            collection(&self.resource)
        );
        let mut last = from;
        let request = match request::get(&path, accept) {
            Ok(request) => request,
            Err(error) => return (last, Err(error)),
        };
        let stream = match self.cluster.client.request_events::<Value>(request).await {
            Ok(stream) => stream,
            Err(error) => return (last, Err(error.into())),
        };
        (*broken_since, *pause) = (None, PAUSES.0);
        self.view.resumed(&self.kind);
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = match tokio::time::timeout(SILENCE, stream.try_next()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return (last, Ok(())),
                Ok(Err(error)) => return (last, Err(error.into())),
                Err(_) => return (last, Err(ClusterError::Unreachable("the watch fell silent".to_owned()))),
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    last = version_of(&object).unwrap_or(last);
                    let key = self.key(&object);
                    self.view.appeared(&key, &self.complete(object));
                }
                WatchEvent::Deleted(object) => {
                    last = version_of(&object).unwrap_or(last);
                    let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
                    self.view.vanished(&self.key(&object), uid);
                }
                WatchEvent::Bookmark(bookmark) => last = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return (last, Err(kube::Error::Api(status).into())),
            }
        }
    }

    fn key(&self, object: &Value) -> ObjectKey {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        ObjectKey::new(self.kind.clone(), text("/metadata/namespace"), text("/metadata/name").unwrap_or_default())
    }

    /// Items of lists and metadata-only objects do not say what they are; health rules need to know.
    fn complete(&self, mut object: Value) -> Value {
        let api_version = if self.resource.group.is_empty() {
            self.resource.version.clone()
        } else {
            format!("{}/{}", self.resource.group, self.resource.version)
        };
        object["apiVersion"] = Value::String(api_version);
        object["kind"] = Value::String(self.resource.kind.clone());
        object
    }
}

fn version_of(object: &Value) -> Option<String> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned)
}
