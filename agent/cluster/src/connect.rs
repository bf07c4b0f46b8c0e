//! The connection, and the requests that concern one object.

use std::fmt;
use std::path::PathBuf;

use http::HeaderValue;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use shared_model::{ClusterUid, ObjectKey, ServiceAccount};

use crate::discovery::{Discovery, Resource};
use crate::error::ClusterError;
use crate::pace::{AtOnce, Limits, Paced};
use crate::request;

/// The field manager of everything that Capstan applies.
pub const FIELD_MANAGER: &str = "capstan";

/// How often one request is sent at most when load is shed: with the pauses between them that is longer than anybody waits.
const TRIES: usize = 8;

/// How to reach the API server.
#[derive(Debug, Clone, Default)]
pub struct ClusterConfig {
    /// A kubeconfig; without one the pod's service account is used.
    pub kubeconfig: Option<PathBuf>,
}

/// Something that the API server may let somebody do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group.
    pub group: String,
    /// The resource in plural.
    pub resource: String,
    /// The namespace; every one if `None`.
    pub namespace: Option<String>,
    /// The object's name; any if `None`.
    pub name: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(f, "{} {}{dot}{}", self.verb, self.resource, self.group)?;
        match (&self.name, &self.namespace) {
            (Some(name), Some(namespace)) => write!(f, " {namespace}/{name}"),
            (None, Some(namespace)) => write!(f, " in {namespace}"),
            (Some(name), None) => write!(f, " {name}"),
            (None, None) => f.write_str(" in all namespaces"),
        }
    }
}

/// A connection to one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) limits: Limits,
    /// As whom requests are sent, if not as the agent itself.
    acts_as: Option<HeaderValue>,
}

impl Cluster {
    /// Connects as `config` says. Makes no request yet.
    pub async fn connect(config: &ClusterConfig) -> Result<Self, ClusterError> {
        Self::connect_with(config, Limits::default()).await
    }

    /// As [`Cluster::connect`], with other limits of time.
    pub async fn connect_with(config: &ClusterConfig, limits: Limits) -> Result<Self, ClusterError> {
        let unusable = |error: &dyn std::error::Error| ClusterError::Configuration(error.to_string());
        let mut kube_config = match &config.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
                kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(|error| unusable(&error))?
            }
            None => kube::Config::incluster().map_err(|error| unusable(&error))?,
        };
        // kube would send these headers after ours, and the API server adds up the groups of both: a tenant would have them too.
        let auth = &kube_config.auth_info;
        if auth.impersonate.is_some() || auth.impersonate_groups.is_some() {
            return Err(ClusterError::Configuration(
                "the kubeconfig's user acts as somebody else (`as`, `as-groups`); give the agent an account of its own".to_owned(),
            ));
        }
        // A watch is silent for up to a minute between bookmarks. How long to wait, and when to ask again, is decided in `pace` and `watch`:
        // kube's own retries would hold up a whole turn for what may be one broken kind.
        kube_config.read_timeout = None;
        kube_config.default_retry = false;
        let client = Client::try_from(kube_config).map_err(|error| unusable(&error))?;
        Ok(Self::with_limits(client, limits))
    }

    /// Uses a client that was made elsewhere: an API server in memory is a service without a socket.
    pub fn with_client(client: Client) -> Self {
        Self::with_limits(client, Limits::default())
    }

    fn with_limits(client: Client, limits: Limits) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self { client: Client::new(Paced::new(client, limits), namespace), limits, acts_as: None }
    }

    /// The same connection, whose single requests are judged by the rights of `account`: the API server then knows its user and its groups, and
    /// nothing of the agent's own rights counts. Without one, the agent itself. Watches are always the agent's.
    pub fn acting_as(&self, account: Option<&ServiceAccount>) -> Self {
        // A service account's groups follow from its name; naming them would need rights to impersonate groups.
        let header = |account: &ServiceAccount| {
            HeaderValue::from_str(&account.user())
                .unwrap_or_else(|_| unreachable!("BUG: a service account's name has only letters, digits, '-', '.' and ':'"))
        };
        Self { acts_as: account.map(header), ..self.clone() }
    }

    /// How long things may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The uid of the namespace `kube-system`, which is what a cluster is, whatever it is called.
    pub async fn uid(&self) -> Result<ClusterUid, ClusterError> {
        self.namespace_uid("kube-system").await
    }

    /// The uid of a namespace.
    pub async fn namespace_uid(&self, name: &str) -> Result<ClusterUid, ClusterError> {
        let namespace = self.request(request::get(&format!("/api/v1/namespaces/{name}"), request::JSON)?).await?;
        let uid = namespace.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        uid.parse().map_err(|_| ClusterError::Unreadable(format!("the namespace {name} has the uid {uid:?}")))
    }

    /// Of these rights, those that the agent itself does not have, as the API server says (`SelfSubjectAccessReview`, which anybody may ask).
    pub async fn lacking(&self, rights: &[Right]) -> Result<Vec<Right>, ClusterError> {
        let mut lacking = Vec::new();
        for right in rights {
            let Right { verb, group, resource, namespace, name } = right;
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name}},
            });
            let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let answer = self.request(request::send(http::Method::POST, path, &review)?).await?;
            if answer.pointer("/status/allowed").and_then(Value::as_bool) != Some(true) {
                lacking.push(right.clone());
            }
        }
        Ok(lacking)
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

    /// As [`Cluster::apply`], but refused with [`ClusterError::FieldsHeld`] where other managers hold fields with other values.
    pub async fn apply_unless_held(&self, resource: &Resource, key: &ObjectKey, object: &Value) -> Result<Value, ClusterError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}&force=false&fieldValidation=Strict", request::object(resource, key));
        self.request(request::apply(&path, object)?).await
    }

    /// Asks whether applying the object would be accepted, admission included, without doing it; with `takes_over` also where other managers
    /// hold fields with other values.
    pub async fn rehearse(&self, resource: &Resource, key: &ObjectKey, object: &Value, takes_over: bool) -> Result<(), ClusterError> {
        let object_path = request::object(resource, key);
        let path = format!("{object_path}?fieldManager={FIELD_MANAGER}&force={takes_over}&fieldValidation=Strict&dryRun=All");
        self.request(request::apply(&path, object)?).await.map(|_| ())
    }

    /// Whether the object could be created, admission included, if it were not there.
    pub async fn could_create(&self, resource: &Resource, key: &ObjectKey, object: &Value) -> Result<bool, ClusterError> {
        let path = request::collection(resource, key.namespace.as_deref());
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict&dryRun=All");
        match self.request(request::send(http::Method::POST, &path, object)?).await {
            Ok(_) => Ok(true),
            // That it exists is looked at last (`apiserver/pkg/registry/generic/registry`, `Store.Create` and `DryRunnableStorage`).
            Err(error) => Ok(error.is_already_there()),
        }
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

    /// Takes marks off the object if it still is the one that `live` shows: its `managedFields` become `fields`, and `annotation` goes.
    ///
    /// # Errors
    /// It was changed meanwhile, among others.
    pub async fn let_go(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        live: &Value,
        fields: Option<&Value>,
        annotation: Option<&str>,
    ) -> Result<(), ClusterError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}-leave", request::object(resource, key));
        let version = live.pointer("/metadata/resourceVersion").unwrap_or(&Value::Null);
        let mut patch = vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})];
        patch.extend(annotation.map(|name| {
            let name = name.replace('~', "~0").replace('/', "~1");
            json!({"op": "remove", "path": format!("/metadata/annotations/{name}")})
        }));
        patch.extend(fields.map(|fields| json!({"op": "replace", "path": "/metadata/managedFields", "value": fields})));
        self.request(request::json_patch(&path, &Value::Array(patch))?).await.map(|_| ())
    }

    /// Deletes the object if it still has this uid; `false` if it was gone already, or is another one now.
    pub async fn delete(&self, resource: &Resource, key: &ObjectKey, uid: &str) -> Result<bool, ClusterError> {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": {"uid": uid}});
        let request = request::send(http::Method::DELETE, &request::object(resource, key), &body)?;
        match self.request(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || error.is_other_uid() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the agent's own namespace if it is not there.
    pub(crate) async fn ensure_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/{name}?fieldManager={FIELD_MANAGER}");
        self.request(request::apply(&path, &namespace)?).await.map(|_| ())
    }

    /// Sends a request and reads its answer. One that was refused because load is shed is sent again when the API server wants it: nothing
    /// has been done about it.
    pub(crate) async fn request(&self, request: http::Request<Vec<u8>>) -> Result<Value, ClusterError> {
        let text = self.request_text(request).await?;
        serde_json::from_str(&text).map_err(|error| ClusterError::Unreadable(error.to_string()))
    }

    /// As [`Cluster::request`], for an answer that is better not read as a whole.
    pub(crate) async fn request_text(&self, request: http::Request<Vec<u8>>) -> Result<String, ClusterError> {
        let Limits { read, write, wait, .. } = self.limits;
        // Its turn, its answer, and the answer's body.
        let limit = wait + if request.method() == http::Method::GET { read } else { write } + read;
        let answer = tokio::time::timeout(limit, async {
            let tries = if request.extensions().get::<AtOnce>().is_some() { 1 } else { TRIES };
            for _ in 1..tries {
                match self.send(request.clone()).await {
                    Err(error) if error.is_shed_load() => {}
                    answer => return answer,
                }
            }
            self.send(request).await
        });
        answer.await.map_err(|_| ClusterError::Unreachable(format!("no whole answer within {} seconds", limit.as_secs())))?
    }

    async fn send(&self, mut request: http::Request<Vec<u8>>) -> Result<String, ClusterError> {
        if let Some(user) = &self.acts_as {
            request.headers_mut().insert("impersonate-user", user.clone());
        }
        Ok(self.client.request_text(request).await?)
    }
}
