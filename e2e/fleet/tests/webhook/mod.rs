//! A mutating webhook of the test's own: it changes `data.number` of one ConfigMap, as an admission controller of somebody else might.

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use e2e_cluster::ControlPlane;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const NAME: &str = "mutator.example.test";

pub(crate) struct Webhook {
    server: JoinHandle<()>,
}

impl Webhook {
    /// Serves the webhook and registers it at `plane` for the ConfigMap `target`.
    pub(crate) async fn start(plane: &ControlPlane, target: &'static str) -> anyhow::Result<Self> {
        let pair = plane.serving_certificate(&["127.0.0.1", "localhost"])?;
        let chain = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes())?;
        let tls = TlsAcceptor::from(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}/", listener.local_addr()?.port());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, target));
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": NAME},
            "webhooks": [{
                "name": NAME, "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "clientConfig": {"url": url, "caBundle": BASE64.encode(plane.ca_pem())},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}],
            }],
        });
        plane.kubectl_reading(&configuration.to_string(), &["apply", "-f", "-"]).await?;
        Self::wait_until_asked(plane, target).await?;
        Ok(Self { server })
    }

    /// The API server learns of a configuration by its own watch: wait until it mutates.
    async fn wait_until_asked(plane: &ControlPlane, target: &str) -> anyhow::Result<()> {
        let probe =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": target, "namespace": "web"}, "data": {"number": "x"}});
        let probe = probe.to_string();
        let ask = || plane.kubectl_reading(&probe, &["replace", "--dry-run=server", "-o", "jsonpath={.data.number}", "-f", "-"]);
        e2e_fleet::eventually("the webhook is asked", ask, |value| value == "mutated").await.map(|_| ())
    }

    /// Takes it away again.
    pub(crate) async fn remove(self, plane: &ControlPlane) -> anyhow::Result<()> {
        plane.kubectl(&["delete", "mutatingwebhookconfiguration", NAME]).await.context("the webhook cannot be removed")?;
        self.server.abort();
        Ok(())
    }
}

async fn answer(request: Request<Incoming>, target: &str) -> anyhow::Result<Response<Full<Bytes>>> {
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    if review["request"]["name"] == target {
        let patch = json!([{"op": "replace", "path": "/data/number", "value": "mutated"}]);
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(BASE64.encode(patch.to_string()));
    }
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::builder().header("content-type", "application/json").body(Full::new(Bytes::from(body.to_string())))?)
}
