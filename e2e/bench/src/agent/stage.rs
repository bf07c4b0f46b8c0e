//! What the parts stand on: a control plane of their own, a hub, and a place for the agent's ledger.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e_cluster::{ControlPlane, Options};
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use shared_model::Digest;

use super::Bench;
use super::client::{self, Witness};
use super::hub::Hub;
use super::processes::{AGENT_USER, Agent, Launch, Servers};
use super::requests::Requests;
use super::workload::App;

/// How long anything may take that is waited for: far longer than it does on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// How long a process is left alone before what it did is counted, so that what follows from an event belongs to it.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// One part's surroundings. There are controllers, so that Deployments come to rest, and no nodes: none of them has a replica.
pub(super) struct Stage {
    pub(super) plane: ControlPlane,
    pub(super) servers: Servers,
    pub(super) client: Client,
    pub(super) hub: Hub,
    pub(super) launch: Launch,
    _directory: tempfile::TempDir,
}

/// What was used between two looks.
#[derive(Debug, Clone)]
pub(super) struct Used {
    /// The time that passed.
    pub(super) wall: Duration,
    /// The time that the agent worked.
    pub(super) agent: Duration,
    /// The time that API server and etcd worked.
    pub(super) servers: Duration,
    /// What the agent asked for.
    pub(super) requests: Requests,
}

/// A look from which on use is counted.
pub(super) struct Look {
    at: Timestamp,
    since: Instant,
    agent: Duration,
    servers: Duration,
}

impl Stage {
    /// Starts everything but the agent.
    pub(super) async fn set(bench: &Bench) -> anyhow::Result<Self> {
        let plane = ControlPlane::start(Options { controllers: true, ..Options::default() }).await?;
        let client = plane.client_for("bench", &["system:masters"]).await?;
        let system: Value = client.request(http::Request::get("/api/v1/namespaces/kube-system").body(Vec::new())?).await?;
        let uid = system.pointer("/metadata/uid").and_then(Value::as_str).context("kube-system has no uid")?;
        let directory = super::processes::work_directory()?;
        Ok(Self {
            servers: Servers::of(&plane)?,
            hub: Hub::start(uid.parse()?).await?,
            launch: Launch { program: bench.agent.clone(), under: Vec::new(), directory: directory.path().to_owned() },
            client,
            plane,
            _directory: directory,
        })
    }

    /// Starts the agent on this stage's ledger.
    pub(super) fn start_agent(&self) -> anyhow::Result<Agent> {
        Agent::start(&self.launch, &self.plane, &self.hub)
    }

    /// Starts the agent and waits until it holds an index without apps.
    pub(super) async fn agent(&mut self) -> anyhow::Result<Agent> {
        let agent = self.start_agent()?;
        let empty = self.hub.publish(&[])?;
        self.hub.applied(empty, PATIENCE).await.with_context(|| format!("the agent did not join; it says:\n{}", agent.last_words()))?;
        Ok(agent)
    }

    /// Publishes `apps` in `namespace` and waits until the API server has told of all their objects; returns how long that took and the index.
    pub(super) async fn publish_and_see(&mut self, namespace: &str, apps: &[App]) -> anyhow::Result<(Duration, Digest)> {
        let mut witness = Witness::open(&self.client, namespace).await?;
        let started = Instant::now();
        let index = self.hub.publish(apps)?;
        let wanted = apps.iter().map(|app| app.objects.len()).sum();
        Ok((witness.all(wanted, PATIENCE).await? - started, index))
    }

    /// From now on.
    pub(super) fn look(&self, agent: &Agent) -> anyhow::Result<Look> {
        Ok(Look { at: Timestamp::now(), since: Instant::now(), agent: agent.worked()?, servers: self.servers.worked()? })
    }

    /// What was used since `look`.
    pub(super) async fn used(&self, agent: &Agent, look: &Look) -> anyhow::Result<Used> {
        let (wall, worked, servers) = (look.since.elapsed(), agent.worked()?, self.servers.worked()?);
        Ok(Used {
            wall,
            agent: worked.saturating_sub(look.agent),
            servers: servers.saturating_sub(look.servers),
            requests: Requests::of(&self.plane, AGENT_USER, look.at).await?,
        })
    }

    /// As [`Stage::used`], once what follows from the last event is over.
    pub(super) async fn used_in_the_end(&self, agent: &Agent, look: &Look) -> anyhow::Result<Used> {
        tokio::time::sleep(AFTERWARDS).await;
        self.used(agent, look).await
    }

    /// Makes a namespace.
    pub(super) async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/{name}?fieldManager=bench");
        client::send(&self.client, &(path, namespace.to_string().into_bytes())).await
    }

    /// Ends the agent and starts it again. Returns how long it took from the start until it said that all is as the index wants.
    pub(super) async fn restart(&self, agent: Agent, index: Digest) -> anyhow::Result<(Agent, Duration, Used)> {
        agent.stop().await?;
        self.hub.forget();
        let (at, servers, since) = (Timestamp::now(), self.servers.worked()?, Instant::now());
        let agent = self.start_agent()?;
        self.hub.applied(index, PATIENCE).await?;
        let took = since.elapsed();
        let look = Look { at, since, agent: Duration::ZERO, servers };
        let used = self.used_in_the_end(&agent, &look).await?;
        Ok((agent, took, used))
    }
}
