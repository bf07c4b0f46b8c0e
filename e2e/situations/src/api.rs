//! The API servers that situations run on: a real one, and the one in memory over HTTP. What differs between them is in here.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use e2e_cluster::ControlPlane;
use e2e_fakekube::{FakeKube, Options};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::act::{self, Injection};
use crate::kinds::Subject;
use crate::requests::Requests;
use crate::webhook::Webhooks;

/// Pause between two looks at the pods of a Job.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// An API server that situations share.
pub struct Api {
    config: Config,
    server: Server,
}

enum Server {
    Real(Webhooks),
    Memory { kube: FakeKube, tasks: [JoinHandle<()>; 2] },
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Server::Memory { tasks, .. } = &self.server {
            tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

impl Api {
    /// A real one with controllers and pods.
    ///
    /// # Errors
    /// Its kubeconfig cannot be read, or no server for webhooks can be started.
    pub async fn real(plane: &ControlPlane) -> anyhow::Result<Self> {
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self { config, server: Server::Real(Webhooks::start(plane).await?) })
    }

    /// One in memory, over HTTP.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn in_memory() -> anyhow::Result<Self> {
        // The client's TLS wants a provider even where there is no TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kube = FakeKube::new(Options::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let config = Config::new(format!("http://{}", listener.local_addr()?).parse()?);
        let tasks = [kube.serve_http(listener, None), tokio::spawn(kube.clone().drive())];
        Ok(Self { config, server: Server::Memory { kube, tasks } })
    }

    /// What it is called in failures.
    pub fn name(&self) -> &'static str {
        match self.server {
            Server::Real(_) => "the real API server",
            Server::Memory { .. } => "the API server in memory",
        }
    }

    /// A client for a test.
    ///
    /// # Errors
    /// Its configuration cannot be used.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::try_from(self.config.clone())?)
    }

    /// A client for an agent, and its requests.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub fn counted_client(&self) -> anyhow::Result<(Client, Requests)> {
        let mut config = self.config.clone();
        config.read_timeout = None;
        Requests::of_client(config)
    }

    /// From now on objects in `namespace` are changed on their way in.
    ///
    /// # Errors
    /// The webhook cannot be registered.
    pub async fn inject(&self, namespace: &str, injections: &[Injection]) -> anyhow::Result<()> {
        match &self.server {
            Server::Real(webhooks) => webhooks.register(&self.client()?, namespace, injections).await,
            Server::Memory { kube, .. } => {
                let (namespace, injections) = (namespace.to_owned(), injections.to_vec());
                kube.on_admission(move |admission, object| {
                    let is_here = object.pointer("/metadata/namespace").and_then(Value::as_str) == Some(namespace.as_str());
                    let matching = injections.iter().filter(|injection| {
                        is_here
                            && admission.subresource.is_empty()
                            && (injection.group.as_str(), injection.resource.as_str()) == (admission.group, admission.plural)
                    });
                    matching.for_each(|injection| act::inject(injection, object));
                    Ok(())
                });
                Ok(())
            }
        }
    }

    /// Lets a Job run to its end: on a real API server its pods end, and the controller concludes; the other has no pods.
    ///
    /// # Errors
    /// There is no such Job, or it has no pods.
    pub(crate) async fn end_job(&self, client: &Client, job: &Subject, well: bool) -> anyhow::Result<()> {
        if matches!(self.server, Server::Memory { .. }) {
            let kind = if well { "Complete" } else { "Failed" };
            let now = shared_model::Timestamp::now();
            let condition =
                json!({"type": kind, "status": "True", "reason": "ToldSo", "message": "the test said so", "lastTransitionTime": now});
            let end = json!({"active": 0, "conditions": [condition], "completionTime": well.then_some(now)});
            return act::act(client, "kube-controller-manager", &act::Act::Status(job.clone(), end)).await;
        }
        // By uid, as a pod of an earlier Job of this name may still be there.
        let live = act::look(client, &job.path).await?.context("there is no such Job")?;
        let uid = live.pointer("/metadata/uid").and_then(Value::as_str).context("a Job without a uid")?;
        let namespaced = job.collection.trim_start_matches("/apis/batch/v1").trim_end_matches("/jobs");
        let pods = format!("/api/v1{namespaced}/pods");
        let pods = format!("{pods}?labelSelector=batch.kubernetes.io%2Fcontroller-uid%3D{uid}");
        // A Job whose pods were not made yet gets them in a moment, and what is said of a pod before its node has taken it on would be written over.
        let names: Vec<String> = loop {
            let found = act::look(client, &pods).await?.context("the API server lists no pods")?;
            let items = found["items"].as_array().map_or(&[][..], Vec::as_slice);
            if !items.is_empty() && items.iter().all(|pod| pod["status"]["phase"] == "Running") {
                break items.iter().filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let phase = if well { "Succeeded" } else { "Failed" };
        for name in names {
            let namespace = job.key.namespace.as_deref().unwrap_or_default();
            let url = format!("/api/v1/namespaces/{namespace}/pods/{name}/status?fieldManager=kubelet");
            let patch = json!({"status": {"phase": phase}}).to_string().into_bytes();
            let request = http::Request::patch(url).header(http::header::CONTENT_TYPE, "application/merge-patch+json").body(patch)?;
            client.request_text(request).await?;
        }
        Ok(())
    }
}
