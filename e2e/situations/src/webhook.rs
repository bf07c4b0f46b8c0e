//! A mutating admission webhook of a real API server: injects what situations say into the objects of their namespaces.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use e2e_cluster::ControlPlane;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::act::Injection;

/// How long the API server waits for the webhook, in seconds: its most, so that a busy machine fails no situation.
const TIMEOUT_SECONDS: u32 = 30;

/// Pause between two dry runs: a configuration takes effect within a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

type ByNamespace = Arc<Mutex<BTreeMap<String, Vec<Injection>>>>;

/// The server of all webhooks of one plane. It ends with this value.
pub(crate) struct Webhooks {
    address: SocketAddr,
    ca_pem: String,
    injections: ByNamespace,
    task: JoinHandle<()>,
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Webhooks {
    pub(crate) async fn start(plane: &ControlPlane) -> anyhow::Result<Self> {
        let pair = plane.serving_certificate(&["127.0.0.1", "localhost"])?;
        let chain = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let injections = ByNamespace::default();
        let task = tokio::spawn(accept(listener, acceptor, injections.clone()));
        Ok(Self { address, ca_pem: plane.ca_pem(), injections, task })
    }

    /// Registers a webhook for the objects of `namespace`.
    pub(crate) async fn register(&self, client: &Client, namespace: &str, injections: &[Injection]) -> anyhow::Result<()> {
        self.injections.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned(), injections.to_vec());
        let rules: Vec<Value> = injections
            .iter()
            .map(|i| json!({"apiGroups": [i.group], "apiVersions": ["*"], "resources": [i.resource], "operations": ["CREATE", "UPDATE"]}))
            .collect();
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": format!("injector-{namespace}")},
            "webhooks": [{
                "name": "injector.example.test", "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": TIMEOUT_SECONDS,
                "clientConfig": {"url": format!("https://{}/{namespace}", self.address), "caBundle": ca},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}, "rules": rules}]});
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        let request = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, "application/json");
        client.request_text(request.body(configuration.to_string().into_bytes())?).await.context("registering a webhook")?;
        self.wait_until_called(client, namespace, injections).await
    }

    /// A configuration takes effect some time after it is stored: dry runs tell.
    async fn wait_until_called(&self, client: &Client, namespace: &str, injections: &[Injection]) -> anyhow::Result<()> {
        let probe = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe", "namespace": namespace}, "spec": {
            "selector": {"matchLabels": {"app": "probe"}},
            "template": {"metadata": {"labels": {"app": "probe"}}, "spec": {"containers": [{"name": "probe", "image": "example.test/probe:1"}]}}}});
        let Some(injection) = injections.iter().find(|injection| injection.resource == "deployments") else { return Ok(()) };
        loop {
            let url = format!("/apis/apps/v1/namespaces/{namespace}/deployments?dryRun=All");
            let request = Request::post(url).header(header::CONTENT_TYPE, "application/json").body(probe.to_string().into_bytes())?;
            let answer: Value = client.request(request).await.context("a dry run")?;
            if answer.pointer(&injection.unless).is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, injections: ByNamespace) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // A connection that broke before it was accepted is its client's matter.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, injections) = (acceptor.clone(), injections.clone());
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let injections = injections.clone();
                async move { Ok::<_, Infallible>(answer(request, &injections).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers an AdmissionReview with the JSON patches of what is to be injected.
async fn answer(request: Request<Incoming>, injections: &ByNamespace) -> Response<Full<Bytes>> {
    let namespace = request.uri().path().trim_start_matches('/').to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asked = &review["request"];
    let matching = injections.lock().unwrap_or_else(PoisonError::into_inner).get(&namespace).cloned().unwrap_or_default();
    let wanted = matching
        .iter()
        .filter(|injection| asked["resource"]["resource"] == injection.resource.as_str() && injection.is_due(&asked["object"]));
    let patch = Value::Array(wanted.flat_map(|injection| injection.patch.iter().cloned()).collect()).to_string();
    let encoded = base64::engine::general_purpose::STANDARD.encode(patch);
    let response = json!({"uid": asked["uid"], "allowed": true, "patchType": "JSONPatch", "patch": encoded});
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string();
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
