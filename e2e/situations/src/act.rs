//! What somebody else does to a cluster, as requests: the same for every API server.

use anyhow::Context as _;
use http::{Method, Request, header};
use kube::Client;
use serde_json::{Value, json};

use crate::kinds::Subject;

/// The annotation of `kubectl apply` without `--server-side`.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One deed.
#[derive(Debug)]
pub enum Act {
    /// Creates it.
    Create(Subject, Value),
    /// Server-side apply with force.
    Apply(Subject, Value),
    /// What `kubectl apply` does: create, or else patch, with the annotation of what was applied.
    ClientSideApply(Subject, Value),
    /// A merge patch (RFC 7396).
    Merge(Subject, Value),
    /// A JSON patch (RFC 6902).
    Json(Subject, Value),
    /// A merge patch of the status.
    Status(Subject, Value),
    /// A write through the scale subresource.
    Scale(Subject, u32),
    /// Deletes it, with this propagation policy.
    Delete(Subject, Option<String>),
    /// The pods of a Job come to their end, well or not.
    EndJob(Subject, bool),
}

/// What is changed in objects of one resource on their way in, as an injecting webhook does it.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The API group.
    pub group: String,
    /// The resource in plural.
    pub resource: String,
    /// A JSON pointer: where it finds something, nothing is injected any more.
    pub unless: String,
    /// The change (RFC 6902).
    pub patch: Vec<Value>,
}

impl Injection {
    /// Whether the object has not got it yet.
    pub(crate) fn is_due(&self, object: &Value) -> bool {
        object.pointer(&self.unless).is_none()
    }
}

impl Act {
    /// Whom it is done to.
    pub fn subject(&self) -> &Subject {
        match self {
            Self::Create(subject, _)
            | Self::Apply(subject, _)
            | Self::ClientSideApply(subject, _)
            | Self::Merge(subject, _)
            | Self::Json(subject, _)
            | Self::Status(subject, _)
            | Self::Scale(subject, _)
            | Self::Delete(subject, _)
            | Self::EndJob(subject, _) => subject,
        }
    }
}

/// Does it as the field manager `by`. How a Job ends is another matter for each API server: [`crate::Api::end_job`].
///
/// # Errors
/// The API server refuses it.
pub(crate) async fn act(client: &Client, by: &str, act: &Act) -> anyhow::Result<()> {
    let Subject { path, collection, .. } = act.subject();
    let manager = format!("fieldManager={by}");
    let (method, url, media, body) = match act {
        Act::Create(_, manifest) => (Method::POST, format!("{collection}?{manager}"), "json", manifest.clone()),
        Act::Apply(_, manifest) => (Method::PATCH, format!("{path}?{manager}&force=true"), "apply-patch+yaml", manifest.clone()),
        Act::ClientSideApply(_, manifest) => {
            let mut annotated = manifest.clone();
            annotated["metadata"]["annotations"][LAST_APPLIED] = json!(manifest.to_string());
            if look(client, path).await?.is_none() {
                (Method::POST, format!("{collection}?{manager}"), "json", annotated)
            } else {
                (Method::PATCH, format!("{path}?{manager}"), "merge-patch+json", annotated)
            }
        }
        Act::Merge(_, patch) => (Method::PATCH, format!("{path}?{manager}"), "merge-patch+json", patch.clone()),
        Act::Json(_, patch) => (Method::PATCH, format!("{path}?{manager}"), "json-patch+json", patch.clone()),
        Act::Status(_, patch) => (Method::PATCH, format!("{path}/status?{manager}"), "merge-patch+json", json!({"status": patch})),
        Act::Scale(_, replicas) => {
            (Method::PATCH, format!("{path}/scale?{manager}"), "merge-patch+json", json!({"spec": {"replicas": replicas}}))
        }
        Act::Delete(_, propagation) => {
            let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
            (Method::DELETE, path.clone(), "json", options)
        }
        Act::EndJob(..) => unreachable!("BUG: how a Job ends is up to the API server"),
    };
    let request = Request::builder().method(method.clone()).uri(&url).header(header::CONTENT_TYPE, format!("application/{media}"));
    let request = request.body(body.to_string().into_bytes())?;
    client.request_text(request).await.with_context(|| format!("{by}: {method} {url}"))?;
    Ok(())
}

/// The object at `path`; `None` if there is none, or no such kind.
pub(crate) async fn look(client: &Client, path: &str) -> anyhow::Result<Option<Value>> {
    match client.request::<Value>(Request::get(path).body(Vec::new())?).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error).with_context(|| format!("GET {path}")),
    }
}

/// Applies a JSON patch of `add` and `replace` operations, of which a path may end in `-`.
pub(crate) fn inject(injection: &Injection, object: &mut Value) {
    if !injection.is_due(object) {
        return;
    }
    for operation in &injection.patch {
        let path = operation["path"].as_str().unwrap_or_default();
        let Some((parent, last)) = path.rsplit_once('/') else { continue };
        let last = last.replace("~1", "/").replace("~0", "~");
        match object.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.insert(last, operation["value"].clone());
            }
            Some(Value::Array(items)) => match last.parse::<usize>() {
                Ok(index) if operation["op"] == "replace" && index < items.len() => items[index] = operation["value"].clone(),
                Ok(index) if index <= items.len() => items.insert(index, operation["value"].clone()),
                _ => items.push(operation["value"].clone()),
            },
            _ => {}
        }
    }
}
