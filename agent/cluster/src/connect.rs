//! The connection, and the requests that concern one object.

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use shared_model::{ClusterUid, ObjectKey};

use crate::discovery::{Discovery, Resource};
use crate::error::ClusterError;
use crate::request;

/// The field manager of everything that Capstan applies.
pub const FIELD_MANAGER: &str = "capstan";

/// No single request but a watch takes longer: the API server's own limit is 60 seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);

/// How to reach the API server.
#[derive(Debug, Clone, Default)]
pub struct ClusterConfig {
    /// A kubeconfig; without one the pod's service account is used.
    pub kubeconfig: Option<PathBuf>,
}

/// A connection to one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
}

impl Cluster {
    /// Connects as `config` says. Makes no request yet.
    pub async fn connect(config: &ClusterConfig) -> Result<Self, ClusterError> {
        let unusable = |error: &dyn std::error::Error| ClusterError::Configuration(error.to_string());
        let mut kube_config = match &config.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
                kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(|error| unusable(&error))?
            }
            None => kube::Config::incluster().map_err(|error| unusable(&error))?,
        };
        // A watch is silent for up to a minute between bookmarks; its own timeouts are in `watch`.
        kube_config.read_timeout = None;
        let client = Client::try_from(kube_config).map_err(|error| unusable(&error))?;
        Ok(Self { client })
    }

    /// Uses a client that was made elsewhere: an API server in memory is a service without a socket.
    pub fn with_client(client: Client) -> Self {
        Self { client }
    }

    /// The uid of the namespace `kube-system`, which is what a cluster is, whatever it is called.
    pub async fn uid(&self) -> Result<ClusterUid, ClusterError> {
        let namespace = self.request(request::get("/api/v1/namespaces/kube-system", request::JSON)?).await?;
        let uid = namespace.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        uid.parse().map_err(|_| ClusterError::Unreadable(format!("the namespace kube-system has the uid {uid:?}")))
    }

    /// The Kubernetes version: `v1.36.3`.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let version = self.request(request::get("/version", request::JSON)?).await?;
        Ok(version.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// What the API server serves now.
    pub async fn discover(&self) -> Result<Discovery, ClusterError> {
        const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let mut discovery = Discovery::default();
        for path in ["/api", "/apis"] {
            discovery.add(&self.request(request::get(path, AGGREGATED)?).await?);
        }
        Ok(discovery)
    }

    /// The live object; `None` if it is certainly not there.
    pub async fn get(&self, resource: &Resource, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        match self.request(request::get(&request::object(resource, key), request::JSON)?).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies `object` by server-side apply with force, and returns it as it is now. Unknown fields are refused.
    pub async fn apply(&self, resource: &Resource, key: &ObjectKey, object: &Value) -> Result<Value, ClusterError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict", request::object(resource, key));
        self.request(request::apply(&path, object)?).await
    }

    /// Replaces the object's `managedFields` if it still is the one that `live` shows; a conflict otherwise.
    pub async fn set_managed_fields(&self, resource: &Resource, key: &ObjectKey, live: &Value, fields: &Value) -> Result<(), ClusterError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", request::object(resource, key));
        let version = live.pointer("/metadata/resourceVersion").unwrap_or(&Value::Null);
        let patch = json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        ]);
        self.request(request::json_patch(&path, &patch)?).await.map(|_| ())
    }

    /// Deletes the object if it still has this uid; `false` if it was gone already, or is another one now.
    pub async fn delete(&self, resource: &Resource, key: &ObjectKey, uid: &str) -> Result<bool, ClusterError> {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": {"uid": uid}});
        let request = request::send(http::Method::DELETE, &request::object(resource, key), &body)?;
        match self.request(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || error.refusal() == Some(crate::Refusal::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the agent's own namespace if it is not there.
    pub(crate) async fn ensure_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/{name}?fieldManager={FIELD_MANAGER}");
        self.request(request::apply(&path, &namespace)?).await.map(|_| ())
    }

    pub(crate) async fn request(&self, request: http::Request<Vec<u8>>) -> Result<Value, ClusterError> {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.client.request::<Value>(request)).await;
        Ok(answer.map_err(|_| ClusterError::Unreachable("no answer within 65 seconds".to_owned()))??)
    }
}
