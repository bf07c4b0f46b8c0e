//! One cluster of the demo: a Kubernetes API in memory, its HTTP door and kubeconfig, and the agent that keeps it. What the agent does is
//! its own business.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_agentd::{AgentConfig, Guardrail, Token};
use agent_cluster::Cluster;
use anyhow::Context as _;
use e2e_fakekube::{FakeKube, Options, Workloads};
use hub_api::EnrolmentView;
use serde_json::Value;
use shared_daemon::{Shutdown, Trigger};
use shared_session::Secret;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long an agent has to end: its own last turn and giving back its lease.
const DRAIN: Duration = Duration::from_secs(5);
/// From a change of a workload until its pods are ready, long enough to be seen.
const READY_AFTER: Duration = Duration::from_millis(400);
/// The namespace of the agents' own Secrets and Leases.
const AGENT_NAMESPACE: &str = "capstan-system";
/// Requests that change something.
const WRITES: [&str; 6] = ["create", "update", "patch", "apply", "delete", "deletecollection"];

/// A cluster with its agent.
pub(crate) struct DemoCluster {
    pub(crate) name: &'static str,
    pub(crate) region: &'static str,
    pub(crate) kube: FakeKube,
    /// For whoever changes things past Capstan.
    pub(crate) client: kube::Client,
    pub(crate) kubeconfig: PathBuf,
    writes: Arc<Mutex<Vec<String>>>,
    tasks: [JoinHandle<()>; 2],
    config: Option<AgentConfig>,
    agent: Option<(Trigger, JoinHandle<anyhow::Result<()>>)>,
}

impl DemoCluster {
    /// Makes an empty cluster and writes its kubeconfig.
    pub(crate) async fn make(name: &'static str, region: &'static str, place: &Path) -> anyhow::Result<Self> {
        let kube = FakeKube::new(Options { workloads: Workloads::Full, ready_delay: READY_AFTER, ..Options::default() });
        let writes: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = writes.clone();
        kube.on_request(move |request| {
            if WRITES.contains(&request.verb) && request.namespace != AGENT_NAMESPACE && request.name != AGENT_NAMESPACE {
                log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} {}", request.verb, request.path));
            }
            None
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free")?;
        let server = format!("http://{}", listener.local_addr()?);
        let directory = place.join("kubeconfigs");
        std::fs::create_dir_all(&directory).with_context(|| format!("{} cannot be made", directory.display()))?;
        let kubeconfig = directory.join(name);
        std::fs::write(&kubeconfig, kubeconfig_text(name, &server))
            .with_context(|| format!("{} cannot be written", kubeconfig.display()))?;
        let client = kube::Client::new(kube.service(), "default");
        let tasks = [tokio::spawn(kube.clone().drive()), kube.serve_http(listener, None)];
        Ok(Self { name, region, kube, client, kubeconfig, writes, tasks, config: None, agent: None })
    }

    /// Sets up the agent as the command says that `capstan cluster add` gives, and starts it.
    pub(crate) fn enrol(&mut self, enrolment: &EnrolmentView, place: &Path) -> anyhow::Result<()> {
        let words: Vec<&str> = enrolment.command.expose().split_whitespace().collect();
        let after = |flag: &str| {
            let at = words.iter().position(|word| *word == flag).with_context(|| format!("the enrolment command has no {flag}"))?;
            words.get(at + 1).copied().with_context(|| format!("the enrolment command has nothing after {flag}"))
        };
        self.config = Some(AgentConfig {
            data_dir: place.join("agents").join(self.name),
            namespace: AGENT_NAMESPACE.to_owned(),
            hub: after("--hub")?.parse()?,
            enrolment: after("--enrolment")?.parse()?,
            ca_pin: Some(after("--ca-pin")?.parse()?),
            token: Some(Token::Text(Secret::new(after("--token")?.as_bytes().to_vec()))),
            admin_listen: None,
            guardrail: Guardrail::open(AGENT_NAMESPACE),
        });
        self.start_agent()
    }

    /// Starts the agent, if it does not run.
    pub(crate) fn start_agent(&mut self) -> anyhow::Result<()> {
        if self.agent.is_none() {
            let config = self.config.clone().with_context(|| format!("BUG: the agent of {} has no settings", self.name))?;
            let (trigger, shutdown) = Shutdown::manual(DRAIN);
            let cluster = Cluster::with_client(self.client.clone());
            self.agent = Some((trigger, tokio::spawn(agent_agentd::run(config, cluster, shutdown))));
        }
        Ok(())
    }

    /// Ends the agent in order, if it runs.
    pub(crate) async fn stop_agent(&mut self) -> anyhow::Result<()> {
        match self.agent.take() {
            Some((trigger, task)) => {
                trigger.begin();
                task.await.with_context(|| format!("the agent of {} panicked", self.name))?.with_context(|| self.failed())
            }
            None => Ok(()),
        }
    }

    /// An agent that ended by itself is a failure.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        match self.agent.take_if(|(_, task)| task.is_finished()) {
            Some((_, task)) => {
                task.await.with_context(|| format!("the agent of {} panicked", self.name))?.with_context(|| self.failed())?;
                anyhow::bail!("the agent of {} ended by itself", self.name)
            }
            None => Ok(()),
        }
    }

    fn failed(&self) -> String {
        format!("the agent of {} failed", self.name)
    }

    /// All changes that were asked of the API since the last call, but those to the agent's own namespace.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut *self.writes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The value at `pointer` in an object, as it is stored.
    pub(crate) fn field(&self, (group, plural, namespace, name): Place<'_>, pointer: &str) -> Option<Value> {
        self.kube.object(group, plural, namespace, name)?.pointer(pointer).cloned()
    }

    /// A request as any other client of this API server makes it.
    pub(crate) async fn ask(&self, method: &str, path: &str, media_type: &str, body: &Value) -> anyhow::Result<Value> {
        let request = http::Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, media_type);
        let request = request.body(body.to_string().into_bytes())?;
        self.client.request(request).await.with_context(|| format!("{method} {path} on {}", self.name))
    }
}

/// Group, plural, namespace and name of an object.
pub(crate) type Place<'a> = (&'a str, &'a str, &'a str, &'a str);

impl Drop for DemoCluster {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A kubeconfig with one context, as kubectl reads it.
fn kubeconfig_text(name: &str, server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster: {{server: \"{server}\"}}\nusers:\n- name: demo\n  user: {{}}\n\
         contexts:\n- name: {name}\n  context: {{cluster: {name}, user: demo}}\ncurrent-context: {name}\n"
    )
}
