//! Lists and watches: which objects a selector sees, pages, and the stream of events with bookmarks and 410.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::registry::Resource;
use crate::select::{Fields, Labels};
use crate::state::{Change, State};
use crate::status::ApiError;

/// Between two bookmarks of a quiet watch, as the real server: about once a minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A watch without `timeoutSeconds` ends after half an hour; the real server ends it after 30 to 60 minutes.
const LONGEST_WATCH: Duration = Duration::from_secs(1_800);

/// Which form of the objects was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    Metadata,
    Table,
}

/// What a list or watch is about.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) resource: Arc<Resource>,
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
    pub(crate) form: Form,
}

impl Scope {
    fn sees(&self, o: &Value) -> bool {
        (self.namespace.is_empty() || o["metadata"]["namespace"] == self.namespace.as_str())
            && self.labels.matches(&o["metadata"]["labels"])
            && self.fields.matches(o)
    }
}

/// The annotation in which a DaemonSet keeps its generation.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// An object as this version and form show it.
pub(crate) fn shown(r: &Resource, form: Form, o: &Value) -> Value {
    match form {
        Form::Whole | Form::Table => {
            let mut o = o.clone();
            o["apiVersion"] = json!(r.api_version());
            o["kind"] = json!(r.kind);
            o
        }
        Form::Metadata => {
            let mut metadata = o["metadata"].clone();
            // The real server writes this annotation when it shows the whole object and not before.
            if r.is("apps", "daemonsets")
                && let Some(annotations) = metadata["annotations"].as_object_mut()
            {
                annotations.remove(TEMPLATE_GENERATION);
                if annotations.is_empty()
                    && let Some(m) = metadata.as_object_mut()
                {
                    m.remove("annotations");
                }
            }
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
        }
    }
}

/// Parameters of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    pub(crate) limit: usize,
    pub(crate) from: Option<String>,
}

/// A page of a collection.
pub(crate) fn list(state: &State, scope: &Scope, options: &ListOptions, now: i64) -> Result<Value, ApiError> {
    let r = &scope.resource;
    let key = (r.group.clone(), r.plural.clone());
    let mut version = state.version;
    let mut after = None;
    if let Some(token) = &options.from {
        let (v, rest) = token.split_once('|').ok_or_else(|| ApiError::bad_request("continue key is not valid: invalid character"))?;
        let (ns, name) = rest.split_once('/').unwrap_or(("", rest));
        version = v.parse().map_err(|_| ApiError::bad_request("continue key is not valid: invalid version"))?;
        after = Some((ns.to_owned(), name.to_owned()));
    }
    let found: Vec<_> = state
        .collections
        .get(&key)
        .into_iter()
        .flat_map(|c| &c.objects)
        .filter(|(k, o)| after.as_ref().is_none_or(|a| *k > a) && scope.sees(o))
        .collect();
    let take = if options.limit == 0 { found.len() } else { options.limit.min(found.len()) };
    let mut meta = json!({"resourceVersion": version.to_string()});
    if take < found.len() {
        let (ns, name) = found[take - 1].0;
        meta["continue"] = json!(format!("{version}|{ns}/{name}"));
        meta["remainingItemCount"] = json!(found.len() - take);
    }
    let page = found[..take].iter().map(|(_, o)| &***o);
    Ok(match scope.form {
        Form::Table => table(r, page, &meta, now),
        form => {
            let items: Vec<Value> = page
                .map(|o| {
                    let mut o = shown(r, form, o);
                    // Items of built-in lists do not repeat what the list says.
                    if form == Form::Whole && !r.is_custom() {
                        let m = o.as_object_mut().expect("an object");
                        m.remove("apiVersion");
                        m.remove("kind");
                    }
                    o
                })
                .collect();
            let (api, kind, items) = match form {
                // A list of metadata without any has no list at all, not an empty one.
                Form::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList", (!items.is_empty()).then_some(items)),
                _ => (r.api_version(), r.list_kind.as_str(), Some(items)),
            };
            json!({"kind": kind, "apiVersion": api, "metadata": meta, "items": items})
        }
    })
}

/// `kubectl get` prints tables: name and age, and for the common kinds what people look for.
pub(crate) fn table<'v>(r: &Resource, objects: impl Iterator<Item = &'v Value>, meta: &Value, now: i64) -> Value {
    let extra = columns(r);
    let column =
        |name: &str, kind: &str, format: &str| json!({"name": name, "type": kind, "format": format, "description": "", "priority": 0});
    let mut definitions = vec![column("Name", "string", "name")];
    definitions.extend(extra.iter().map(|(n, _)| column(n, "string", "")));
    definitions.push(column("Age", "string", ""));
    let rows: Vec<Value> = objects
        .map(|o| {
            let mut cells = vec![o["metadata"]["name"].clone()];
            cells.extend(extra.iter().map(|(_, f)| json!(f(o))));
            cells.push(json!(age(o, now)));
            json!({"cells": cells, "object": shown(r, Form::Metadata, o)})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": definitions, "rows": rows})
}

type Cell = fn(&Value) -> String;

fn number(v: &Value) -> String {
    v.as_i64().unwrap_or(0).to_string()
}

fn word(v: &Value) -> String {
    v.as_str().map_or_else(|| "<none>".to_owned(), str::to_owned)
}

fn columns(r: &Resource) -> Vec<(&'static str, Cell)> {
    match (r.group.as_str(), r.plural.as_str()) {
        ("apps", "deployments") => vec![
            ("Ready", |o| format!("{}/{}", number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"]))),
            ("Up-to-date", |o| number(&o["status"]["updatedReplicas"])),
            ("Available", |o| number(&o["status"]["availableReplicas"])),
        ],
        ("apps", "statefulsets") => {
            vec![("Ready", |o| format!("{}/{}", number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"])))]
        }
        ("apps", "daemonsets") => {
            vec![("Desired", |o| number(&o["status"]["desiredNumberScheduled"])), ("Ready", |o| number(&o["status"]["numberReady"]))]
        }
        ("apps", "replicasets") => {
            vec![("Desired", |o| number(&o["spec"]["replicas"])), ("Ready", |o| number(&o["status"]["readyReplicas"]))]
        }
        ("", "pods") => vec![
            ("Ready", pod_ready),
            ("Status", pod_status),
            ("Restarts", |o| number(&o["status"]["containerStatuses"][0]["restartCount"])),
        ],
        ("", "namespaces" | "persistentvolumeclaims" | "persistentvolumes") => vec![("Status", |o| word(&o["status"]["phase"]))],
        ("", "services") => vec![("Type", |o| word(&o["spec"]["type"])), ("Cluster-IP", |o| word(&o["spec"]["clusterIP"]))],
        ("", "configmaps" | "secrets") => vec![("Data", |o| o["data"].as_object().map_or(0, Map::len).to_string())],
        ("batch", "cronjobs") => {
            vec![("Schedule", |o| word(&o["spec"]["schedule"])), ("Suspend", |o| (o["spec"]["suspend"] == true).to_string())]
        }
        ("batch", "jobs") => {
            vec![("Completions", |o| format!("{}/{}", number(&o["status"]["succeeded"]), number(&o["spec"]["completions"])))]
        }
        _ => Vec::new(),
    }
}

fn pod_ready(o: &Value) -> String {
    let list = o["status"]["containerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
    let total = o["spec"]["containers"].as_array().map_or(0, Vec::len);
    format!("{}/{total}", list.iter().filter(|c| c["ready"] == true).count())
}

fn pod_status(o: &Value) -> String {
    if o["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating".into();
    }
    let waiting = o["status"]["containerStatuses"].as_array().into_iter().flatten().find_map(|c| c["state"]["waiting"]["reason"].as_str());
    waiting.map_or_else(|| word(&o["status"]["phase"]), str::to_owned)
}

fn age(o: &Value, now: i64) -> String {
    let Some(born) = o["metadata"]["creationTimestamp"].as_str().and_then(crate::state::seconds) else { return "<unknown>".into() };
    match (now - born).max(0) {
        s if s < 120 => format!("{s}s"),
        s if s < 7_200 => format!("{}m", s / 60),
        s if s < 172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// Parameters of a watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchOptions {
    pub(crate) from: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) initial_events: Option<bool>,
    pub(crate) timeout: Option<u64>,
}

/// An open watch: where it stands and what it has yet to send.
pub(crate) struct Watch {
    state: Arc<Mutex<State>>,
    scope: Scope,
    bookmarks: bool,
    /// Events up to this version have been sent.
    at: u64,
    queue: std::collections::VecDeque<Value>,
    /// After this version the initial events are complete, and a bookmark says so.
    initial_until: Option<u64>,
    ends: tokio::time::Instant,
    over: bool,
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Watch {
    pub(crate) fn open(shared: &Arc<Mutex<State>>, state: &mut State, scope: Scope, o: &WatchOptions) -> Result<Watch, ApiError> {
        let version = state.version;
        let collection = state.collection(&scope.resource);
        let initial = match (o.initial_events, o.from) {
            (Some(wanted), _) => wanted,
            (None, None | Some(0)) => true,
            _ => false,
        };
        let mut at = version;
        let mut queue = std::collections::VecDeque::new();
        if initial {
            let objects = collection.objects.values().filter(|v| scope.sees(v));
            let mut seen: Vec<_> = objects.collect();
            seen.sort_by_key(|v| v["metadata"]["name"].as_str().map(|n| (v["metadata"]["namespace"].as_str(), n)));
            queue.extend(seen.into_iter().map(|v| frame(&scope, "ADDED", v)));
        } else if let Some(from) = o.from.filter(|f| *f > 0) {
            if from < collection.forgotten {
                return Err(ApiError::expired(format!("too old resource version: {from} ({})", collection.forgotten)));
            }
            at = from;
        }
        let timeout = o.timeout.map_or(LONGEST_WATCH, Duration::from_secs);
        Ok(Watch {
            state: shared.clone(),
            bookmarks: o.bookmarks,
            at,
            queue,
            initial_until: initial.then_some(version),
            ends: tokio::time::Instant::now() + timeout,
            over: false,
            scope,
        })
    }

    /// The next line of the answer; `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let mut bookmark_at = tokio::time::Instant::now() + BOOKMARK_EVERY;
        loop {
            if let Some(v) = self.queue.pop_front() {
                return Some(line(&v));
            }
            if let Some(v) = self.initial_until.take()
                && self.bookmarks
            {
                return Some(line(&self.bookmark(v, true)));
            }
            if self.over {
                return None;
            }
            let wake = {
                let mut state = lock(&self.state);
                let c = state.collection(&self.scope.resource);
                c.wake.clone()
            };
            let notified = wake.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            self.read();
            if !self.queue.is_empty() || self.over {
                continue;
            }
            let until = self.ends.min(bookmark_at);
            tokio::select! {
                () = &mut notified => {}
                () = tokio::time::sleep_until(until) => {
                    if tokio::time::Instant::now() >= self.ends {
                        return None;
                    }
                    bookmark_at = tokio::time::Instant::now() + BOOKMARK_EVERY;
                    if self.bookmarks {
                        self.at = lock(&self.state).version;
                        return Some(line(&self.bookmark(self.at, false)));
                    }
                }
            }
        }
    }

    /// Takes over what happened since the last look.
    fn read(&mut self) {
        let mut state = lock(&self.state);
        let served = state.find(&self.scope.resource.group, &self.scope.resource.version, &self.scope.resource.plural).is_some();
        let c = state.collection(&self.scope.resource);
        if self.at < c.forgotten {
            let e = ApiError::expired(format!("too old resource version: {} ({})", self.at, c.forgotten));
            self.queue.push_back(json!({"type": "ERROR", "object": e.to_value()}));
            self.over = true;
            return;
        }
        let start = c.log.partition_point(|e| e.version <= self.at);
        for e in c.log.iter().skip(start) {
            let (before, after) =
                (e.previous.as_deref().is_some_and(|p| self.scope.sees(p)), e.change != Change::Deleted && self.scope.sees(&e.object));
            let kind = match (before, after) {
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
                (false, false) => continue,
            };
            self.queue.push_back(if kind == "DELETED" && e.change != Change::Deleted {
                // What leaves the selection is shown as it was, at the version that made it leave.
                let mut old = e.previous.as_deref().cloned().unwrap_or_default();
                old["metadata"]["resourceVersion"] = e.object["metadata"]["resourceVersion"].clone();
                frame(&self.scope, kind, &old)
            } else {
                frame(&self.scope, kind, &e.object)
            });
        }
        self.at = c.log.back().map_or(self.at, |e| e.version.max(self.at));
        if !served {
            self.over = true;
        }
    }

    fn bookmark(&self, version: u64, initial_end: bool) -> Value {
        let r = &self.scope.resource;
        let mut meta = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        if let Some(m) = meta.as_object_mut() {
            m.retain(|_, v| !v.is_null());
        }
        let object = match self.scope.form {
            Form::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}),
            _ => json!({"kind": r.kind, "apiVersion": r.api_version(), "metadata": meta}),
        };
        json!({"type": "BOOKMARK", "object": object})
    }
}

fn frame(scope: &Scope, kind: &str, o: &Value) -> Value {
    let object = match scope.form {
        Form::Table => {
            let version = o["metadata"]["resourceVersion"].clone();
            table(&scope.resource, std::iter::once(o), &json!({"resourceVersion": version}), 0)
        }
        form => shown(&scope.resource, form, o),
    };
    json!({"type": kind, "object": object})
}

fn line(v: &Value) -> Bytes {
    let mut text = v.to_string();
    text.push('\n');
    Bytes::from(text)
}
