//! The agent's own Secrets, which hold the copy of its ledger. One Secret per part, so that a small change writes a small Secret.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use shared_model::{GroupKind, ObjectKey, Scope};

use crate::connect::Cluster;
use crate::discovery::Resource;
use crate::error::ClusterError;
use crate::request;

/// The label that marks these Secrets.
const LABEL: &str = "capstan.dev/ledger";
const PREFIX: &str = "capstan-ledger-";
const SELECTOR: &str = "labelSelector=capstan.dev/ledger";

/// Secrets per page: two of 700 KiB are 1.9 MB as base64, which is in memory twice while it is read.
const PAGE: u32 = 2;

/// Parts of the ledger's copy, each in a Secret of the agent's namespace.
#[derive(Clone)]
pub struct SecretParts {
    cluster: Cluster,
    namespace: String,
    resource: Resource,
}

impl SecretParts {
    /// The parts in `namespace`.
    pub fn new(cluster: Cluster, namespace: impl Into<String>) -> Self {
        let resource = Resource {
            group: String::new(),
            version: "v1".to_owned(),
            plural: "secrets".to_owned(),
            kind: "Secret".to_owned(),
            scope: Scope::Namespaced,
            watchable: true,
        };
        Self { cluster, namespace: namespace.into(), resource }
    }

    /// The mark of each part: its uid and version, which change whenever anybody writes it. No part's bytes are read.
    pub async fn marks(&self) -> Result<BTreeMap<String, String>, ClusterError> {
        let list = self.cluster.request(request::get(&format!("{}?{SELECTOR}", self.path()), request::METADATA_LIST)?).await?;
        let secrets = list.get("items").and_then(Value::as_array).into_iter().flatten();
        Ok(secrets.filter_map(|secret| Some((part_of(secret)?.to_owned(), mark_of(secret)))).collect())
    }

    /// All parts by name, with their marks; none if there are none yet, or no such namespace.
    pub async fn read(&self) -> Result<(BTreeMap<String, Vec<u8>>, BTreeMap<String, String>), ClusterError> {
        let (mut parts, mut marks) = (BTreeMap::new(), BTreeMap::new());
        let mut unreadable = None;
        let take = |secrets: &mut [Value]| {
            for secret in secrets {
                let Some(part) = part_of(secret) else { continue };
                let data = secret.pointer("/data/part").and_then(Value::as_str).unwrap_or_default();
                match BASE64.decode(data) {
                    Ok(bytes) => {
                        marks.insert(part.to_owned(), mark_of(secret));
                        parts.insert(part.to_owned(), bytes);
                    }
                    Err(_) => {
                        unreadable = Some(ClusterError::Unreadable(format!("the Secret {}/{PREFIX}{part} is not base64", self.namespace)));
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        };
        self.cluster.each_page(&self.path(), PAGE, &format!("&{SELECTOR}"), take).await?;
        unreadable.map_or(Ok((parts, marks)), Err)
    }

    /// Writes these parts; the namespace is made if it is not there. Returns the marks that they have now.
    pub async fn write(&self, parts: BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<String, String>, ClusterError> {
        let mut marks = BTreeMap::new();
        for (name, bytes) in parts {
            let key = self.key(&name);
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "capstan.dev/ledger",
                "metadata": {"name": key.name, "namespace": self.namespace, "labels": {LABEL: "true"}},
                "data": {"part": BASE64.encode(&bytes)},
            });
            drop(bytes);
            let written = match self.cluster.apply(&self.resource, &key, &secret).await {
                Err(error) if error.is_not_found() => {
                    self.cluster.ensure_namespace(&self.namespace).await?;
                    self.cluster.apply(&self.resource, &key, &secret).await?
                }
                other => other?,
            };
            marks.insert(name, mark_of(&written));
        }
        Ok(marks)
    }

    /// Removes these parts.
    pub async fn remove(&self, names: &[String]) -> Result<(), ClusterError> {
        for name in names {
            let request = request::send(http::Method::DELETE, &request::object(&self.resource, &self.key(name)), &json!({}))?;
            match self.cluster.request(request).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self) -> String {
        request::collection(&self.resource, Some(&self.namespace))
    }

    fn key(&self, part: &str) -> ObjectKey {
        ObjectKey::new(GroupKind::new("", "Secret"), Some(&self.namespace), format!("{PREFIX}{part}"))
    }
}

/// The name of the part that a Secret holds.
fn part_of(secret: &Value) -> Option<&str> {
    secret.pointer("/metadata/name")?.as_str()?.strip_prefix(PREFIX)
}

fn mark_of(secret: &Value) -> String {
    let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}", text("/metadata/uid"), text("/metadata/resourceVersion"))
}
