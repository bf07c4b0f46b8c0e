//! The limit: a bare client that does nothing but what must be done. It sends the same objects by server-side apply with as many requests in
//! flight as make it fastest, and holds the same watches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Request;
use kube::Client;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Requests in flight at once: the API server gives its full rate for these objects from 8 on.
const IN_FLIGHT: usize = 16;

/// The kinds of the workloads, as paths.
pub(super) const KINDS: [(&str, &str); 4] =
    [("/api/v1", "configmaps"), ("/api/v1", "serviceaccounts"), ("/api/v1", "services"), ("/apis/apps/v1", "deployments")];

/// Asks for metadata only.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// One apply, ready to be sent: its path and its body.
pub(super) type Apply = (String, Vec<u8>);

/// The apply of `object` by the field manager `manager`.
pub(super) fn apply_of(object: &Value, manager: &str) -> Apply {
    let kind = object["kind"].as_str().unwrap_or_default();
    let root = if kind == "Deployment" { "/apis/apps/v1" } else { "/api/v1" };
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let path = format!(
        "{root}/namespaces/{}/{}s/{}?fieldManager={manager}&force=true&fieldValidation=Strict",
        text("/metadata/namespace"),
        kind.to_lowercase(),
        text("/metadata/name")
    );
    (path, object.to_string().into_bytes())
}

/// Sends one apply.
pub(super) async fn send(client: &Client, apply: &Apply) -> anyhow::Result<()> {
    let request = Request::patch(&apply.0).header("content-type", "application/apply-patch+yaml").header("accept", "application/json");
    client.request_text(request.body(apply.1.clone())?).await.with_context(|| apply.0.clone()).map(drop)
}

/// Sends all of them.
pub(super) async fn send_all(client: &Client, applies: &[Apply]) -> anyhow::Result<()> {
    futures_util::stream::iter(applies.iter().map(Ok)).try_for_each_concurrent(IN_FLIGHT, |apply| send(client, apply)).await
}

/// Watches that are held and whose events are thrown away. They end when this is dropped.
pub(super) struct Held(Vec<JoinHandle<()>>);

impl Held {
    /// Watches all kinds in all namespaces: bodies of Deployments, metadata of the others, as the agent does.
    pub(super) async fn open(client: &Client) -> anyhow::Result<Self> {
        let mut tasks = Vec::new();
        for (root, plural) in KINDS {
            let accept = if plural == "deployments" { "application/json" } else { METADATA };
            let stream = watch_of(client, &format!("{root}/{plural}"), accept).await?;
            tasks.push(tokio::spawn(async move { stream.for_each(|_| std::future::ready(())).await }));
        }
        Ok(Self(tasks))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

type Events = futures_util::stream::BoxStream<'static, Result<WatchEvent<Value>, kube::Error>>;

async fn watch_of(client: &Client, path: &str, accept: &str) -> anyhow::Result<Events> {
    let request = Request::get(format!("{path}?watch=true&timeoutSeconds=3600")).header("accept", accept).body(Vec::new())?;
    Ok(client.request_events::<Value>(request).await?.boxed())
}

/// Counts objects of a namespace as the API server tells of them.
pub(super) struct Witness {
    counted: watch::Receiver<usize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Witness {
    /// Watches the kinds of the workloads in `namespace`, where none of them may be yet.
    pub(super) async fn open(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let (count, counted) = watch::channel(0);
        let count = Arc::new(count);
        let mut tasks = Vec::new();
        for (root, plural) in KINDS {
            let stream = watch_of(client, &format!("{root}/namespaces/{namespace}/{plural}"), METADATA).await?;
            let count = count.clone();
            tasks.push(tokio::spawn(async move {
                let each = |event| {
                    // The controllers put objects of their own into each namespace.
                    if matches!(&event, Ok(WatchEvent::Added(object)) if is_ours(object)) {
                        count.send_modify(|count| *count += 1);
                    }
                    std::future::ready(())
                };
                stream.for_each(each).await;
            }));
        }
        Ok(Self { counted, tasks })
    }

    /// Waits until there are so many, and says when that was.
    pub(super) async fn all(&mut self, wanted: usize, limit: Duration) -> anyhow::Result<Instant> {
        let waited = tokio::time::timeout(limit, self.counted.wait_for(|count| *count >= wanted)).await.map(|found| found.map(drop));
        match waited {
            Ok(found) => found.map(|()| Instant::now()).context("the watches ended"),
            Err(_) => anyhow::bail!("after {limit:?} only {} of {wanted} objects exist", *self.counted.borrow()),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Whether an object belongs to a workload.
fn is_ours(object: &Value) -> bool {
    object.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|name| name.starts_with("app-"))
}

/// Follows one value of the ConfigMaps of a namespace: each change with the moment it was told of.
pub(super) async fn follow(
    client: &Client,
    namespace: &str,
) -> anyhow::Result<futures_util::stream::BoxStream<'static, (String, String, Instant)>> {
    let stream = watch_of(client, &format!("/api/v1/namespaces/{namespace}/configmaps"), "application/json").await?;
    let told = stream.filter_map(|event| {
        let told = match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                Some((text("/metadata/name"), text("/data/value"), Instant::now()))
            }
            _ => None,
        };
        std::future::ready(told)
    });
    Ok(told.boxed())
}

/// Changes a value of a ConfigMap as a person does with an editor.
pub(super) async fn edit(client: &Client, namespace: &str, name: &str, value: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager=kubectl-edit");
    let body = serde_json::json!({"data": {"value": value}}).to_string().into_bytes();
    let request = Request::patch(path).header("content-type", "application/merge-patch+json").body(body)?;
    client.request_text(request).await.map(drop).context("an edit was refused")
}
