//! The agent's own Secrets, which hold the copy of its ledger. One Secret per part, so that a small change writes a small Secret.

use std::collections::BTreeMap;

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

    /// All parts by name; none if there are none yet, or no such namespace.
    pub async fn read(&self) -> Result<BTreeMap<String, Vec<u8>>, ClusterError> {
        let path = format!("/api/v1/namespaces/{}/secrets?labelSelector={LABEL}", self.namespace);
        let list = self.cluster.request(request::get(&path, request::JSON)?).await?;
        let mut parts = BTreeMap::new();
        for secret in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            let name = secret.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let data = secret.pointer("/data/part").and_then(Value::as_str).unwrap_or_default();
            if let Some(part) = name.strip_prefix(PREFIX) {
                let unreadable = |_| ClusterError::Unreadable(format!("the Secret {}/{name} is not base64", self.namespace));
                parts.insert(part.to_owned(), BASE64.decode(data).map_err(unreadable)?);
            }
        }
        Ok(parts)
    }

    /// Writes these parts; the namespace is made if it is not there.
    pub async fn write(&self, parts: &BTreeMap<String, Vec<u8>>) -> Result<(), ClusterError> {
        for (name, bytes) in parts {
            let key = self.key(name);
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "capstan.dev/ledger",
                "metadata": {"name": key.name, "namespace": self.namespace, "labels": {LABEL: "true"}},
                "data": {"part": BASE64.encode(bytes)},
            });
            match self.cluster.apply(&self.resource, &key, &secret).await {
                Err(error) if error.is_not_found() => {
                    self.cluster.ensure_namespace(&self.namespace).await?;
                    self.cluster.apply(&self.resource, &key, &secret).await?;
                }
                other => {
                    other?;
                }
            }
        }
        Ok(())
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

    fn key(&self, part: &str) -> ObjectKey {
        ObjectKey::new(GroupKind::new("", "Secret"), Some(&self.namespace), format!("{PREFIX}{part}"))
    }
}
