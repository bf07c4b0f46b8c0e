//! One watch per kind: list in pages, then watch with bookmarks, again and again. A stream that ends is resumed where it was; a history that
//! is gone (410) is listed anew; an API group that answers errors makes its kind unknown and never empty.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::field::{Field, Sight, divide};
use crate::listing::read_page;
use crate::pace::jitter;
use crate::request::{self, JSON, METADATA_LIST, METADATA_ONE, collection};
use crate::view::{Seen, View};

/// Objects per page of a list: 250 × about 6 KB with body and managedFields is 1.5 MB in memory at a time.
const PAGE: u32 = 250;

/// How long one watch request lasts; the API server ends it then and it is opened again.
const WATCH_SECONDS: u32 = 240;

/// The first and the longest pause after an error.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The longest pause while nothing answers at all: asking costs nobody anything then, and the first answer is worth having soon.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(5);

/// How long a watch may be broken before what it saw counts as out of date: a heartbeat's time.
const GRACE: Duration = Duration::from_secs(10);

/// A stream that ended sooner than this and said nothing was no good, and the next one is not opened at once.
const WORTHWHILE: Duration = Duration::from_secs(5);

/// The running watches.
pub struct Watches {
    cluster: Cluster,
    view: Arc<View>,
    /// Where the agent may look; everywhere if `None`.
    namespaces: Option<BTreeSet<String>>,
    tasks: BTreeMap<Field, (Resource, JoinHandle<()>)>,
}

impl Watches {
    /// No watches yet. They will be of the whole cluster, or of each of `namespaces` by itself.
    pub fn new(cluster: Cluster, view: Arc<View>, namespaces: Option<BTreeSet<String>>) -> Self {
        Self { cluster, view, namespaces, tasks: BTreeMap::new() }
    }

    /// Watches exactly these kinds: starts what is missing, ends what is not wanted, leaves the rest.
    pub fn set(&mut self, wanted: BTreeMap<GroupKind, Resource>) {
        let wanted = divide(wanted, self.namespaces.as_ref());
        self.tasks.retain(|field, (resource, task)| {
            let keep = wanted.get(field).is_some_and(|(wanted, _)| wanted == resource) && !task.is_finished();
            if !keep {
                task.abort();
                self.view.dropped(field);
            }
            keep
        });
        for (field, (resource, sight)) in wanted {
            match sight {
                Sight::Watched if !self.tasks.contains_key(&field) => {
                    self.view.begun(&field);
                    let watch =
                        Watch { cluster: self.cluster.clone(), view: self.view.clone(), field: field.clone(), resource: resource.clone() };
                    self.tasks.insert(field, (resource, tokio::spawn(watch.run())));
                }
                Sight::Watched => {}
                Sight::LookedAt => self.view.looked_at(&field),
                Sight::Outside => self.view.outside(&field),
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
    field: Field,
    resource: Resource,
}

/// How it stands with one watch.
struct Standing {
    /// The version to go on from; without one the kind is listed.
    version: Option<String>,
    /// The next pause.
    pause: Duration,
    /// Since when nothing is certain.
    broken_since: Option<Instant>,
}

/// How one request ended that did not fail.
enum Ended {
    /// The list is complete.
    Listed,
    /// The stream was closed.
    Closed,
    /// The stream said nothing for too long: it is quiet, or the connection is only half there.
    Silent,
}

impl Standing {
    fn new() -> Self {
        Self { version: None, pause: PAUSES.0, broken_since: None }
    }

    fn is_well(&mut self) {
        (self.pause, self.broken_since) = (PAUSES.0, None);
    }

    /// The pause to make now; the next one is twice as long.
    fn next_pause(&mut self, unanswered: bool) -> Duration {
        let pause = if unanswered { self.pause.min(UNANSWERED_PAUSE) } else { self.pause };
        self.pause = (self.pause * 2).min(PAUSES.1);
        pause + jitter(pause / 4)
    }
}

impl Watch {
    async fn run(self) {
        let mut doubts = self.view.doubts();
        let mut standing = Standing::new();
        loop {
            let pause = tokio::select! {
                biased;
                Ok(()) = doubts.changed() => {
                    tracing::info!(kind = %self.field.kind, "listing again, as what was seen is in doubt");
                    let message = format!("{} is listed again: what was seen before may not be so any more", self.field.kind);
                    self.view.lost(&self.field, Reason::new(Severity::Wait, "NotObserved", message));
                    standing = Standing::new();
                    continue;
                }
                pause = self.go_on(&mut standing) => pause,
            };
            let doubted = async {
                if doubts.changed().await.is_ok() {
                    // The loop takes it in.
                    doubts.mark_changed();
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = doubted => {}
            }
        }
    }

    /// Lists, or watches until the stream ends. Returns the pause before it goes on.
    async fn go_on(&self, standing: &mut Standing) -> Duration {
        let begun = Instant::now();
        let listing = standing.version.is_none();
        let result = match standing.version.clone() {
            None => self.list().await.map(|version| {
                standing.version = Some(version);
                Ended::Listed
            }),
            Some(from) => self.watch(from, standing).await,
        };
        match result {
            // Listing is not yet watching: a pause that grew because watches fail stays until one tells something.
            Ok(Ended::Listed) => {
                standing.broken_since = None;
                Duration::ZERO
            }
            // Whether it was only quiet shows when it is opened anew; until then nothing is certain.
            Ok(Ended::Silent) => {
                standing.broken_since = begun.checked_sub(GRACE);
                Duration::ZERO
            }
            Ok(Ended::Closed) if begun.elapsed() >= WORTHWHILE => {
                standing.pause = PAUSES.0;
                Duration::ZERO
            }
            Ok(Ended::Closed) => standing.next_pause(false),
            Err(error) if error.refusal() == Some(Refusal::Gone) => {
                tracing::info!(kind = %self.field.kind, "the watch's history is gone; listing again");
                standing.version = None;
                standing.next_pause(false)
            }
            Err(error) => {
                if error.refusal() == Some(Refusal::KindNotServed) {
                    self.view.note_unserved();
                }
                let since = *standing.broken_since.get_or_insert(begun);
                if listing || since.elapsed() >= GRACE || error.refusal().is_some() {
                    self.view.lost(&self.field, self.unobserved(&error));
                }
                tracing::debug!(kind = %self.field.kind, %error, "the watch is broken");
                standing.next_pause(error.is_unanswered())
            }
        }
    }

    fn unobserved(&self, error: &ClusterError) -> Reason {
        Reason::new(
            Severity::Error,
            "NotObservable",
            format!("{} cannot be observed: {error}; nothing is concluded from that", self.field.kind),
        )
    }

    /// Lists all objects and tells the view; returns the version to watch from.
    async fn list(&self) -> Result<String, ClusterError> {
        let accept = if self.needs_body() { JSON } else { METADATA_LIST };
        let rules = self.view.rules();
        let covered = self.view.interest_in(&self.field);
        let mut found = BTreeMap::new();
        let mut token = String::new();
        loop {
            let path = format!("{}?limit={PAGE}{token}", self.collection());
            let text = self.cluster.request_text(request::get(&path, accept)?).await?;
            let page = read_page(&text, |item| {
                if let Some(key) = covered.get(&self.key(&item)) {
                    found.insert(key.clone(), Seen::of(key, &self.complete(item), &rules));
                }
            })?;
            if page.next.is_empty() {
                self.view.listed(&self.field, &covered, found, page.version.parse().unwrap_or(0));
                return Ok(page.version);
            }
            token = format!("&continue={}", page.next);
        }
    }

    /// Watches from a version until the stream ends, and takes down how far it came.
    async fn watch(&self, from: String, standing: &mut Standing) -> Result<Ended, ClusterError> {
        let bodies = self.needs_body();
        let accept = if bodies { JSON } else { METADATA_ONE };
        let path =
            format!("{}?watch=true&allowWatchBookmarks=true&resourceVersion={from}&timeoutSeconds={WATCH_SECONDS}", self.collection());
        let stream = self.cluster.client.request_events::<Value>(request::get(&path, accept)?).await?;
        self.view.resumed(&self.field);
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = match tokio::time::timeout(self.cluster.limits.silence, stream.try_next()).await {
                Ok(event) => event?,
                Err(_) => return Ok(Ended::Silent),
            };
            let Some(event) = event else { return Ok(Ended::Closed) };
            if !bodies && self.needs_body() {
                // An app judges this kind itself since; the same event comes again with its body.
                return Ok(Ended::Closed);
            }
            if !matches!(event, WatchEvent::Error(_)) {
                standing.is_well();
            }
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    standing.version = version_of(&object).or(standing.version.take());
                    let key = self.key(&object);
                    self.view.appeared(&self.field, &key, &self.complete(object));
                }
                WatchEvent::Deleted(object) => {
                    standing.version = version_of(&object).or(standing.version.take());
                    self.view.vanished(&self.field, &self.key(&object), &object);
                }
                WatchEvent::Bookmark(bookmark) => standing.version = Some(bookmark.metadata.resource_version),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
            }
        }
    }

    /// Whether health needs more of an object than its metadata.
    fn needs_body(&self) -> bool {
        needs_body(&self.field.kind) || self.view.judges(&self.field.kind)
    }

    /// The path of what is watched.
    fn collection(&self) -> String {
        collection(&self.resource, self.field.namespace.as_deref())
    }

    fn key(&self, object: &Value) -> ObjectKey {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        ObjectKey::new(self.field.kind.clone(), text("/metadata/namespace"), text("/metadata/name").unwrap_or_default())
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
