//! A hub with its repository, and clusters in memory with real agents: whole fleets that start in a second. What is played on them is in the
//! test files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_agentd::{AgentConfig, Guardrail, Token};
use agent_cluster::Cluster;
use anyhow::Context as _;
use e2e_fakekube::FakeKube;
use e2e_fleet::{FleetRepository, TestHub, eventually, prepare};
use hub_api::{EnrolmentView, HealthWord, StatusView, SyncWord};
use hub_hubd::HubConfig;
use hub_source::SourceSpec;
use serde_json::Value;
use shared_daemon::{Shutdown, Trigger};
use shared_model::{Clock, Timestamp};
use shared_session::Secret;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A clock that a test moves on.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    /// From now on it is so much later.
    pub(crate) fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let ahead = self.0.clone();
        Clock::new(move || Timestamp::now() + Duration::from_secs(ahead.load(Ordering::Relaxed)))
    }
}

/// A cluster in memory and its agent.
pub(crate) struct Site {
    pub(crate) kube: FakeKube,
    driver: JoinHandle<()>,
    config: AgentConfig,
    agent: Option<(Trigger, JoinHandle<anyhow::Result<()>>)>,
}

impl Site {
    /// An empty cluster whose agent would start as `capstan cluster add` says.
    pub(crate) fn new(enrolment: &EnrolmentView, data_dir: PathBuf) -> anyhow::Result<Self> {
        let words: Vec<&str> = enrolment.command.expose().split_whitespace().collect();
        let word = |flag: &str| {
            let at = words.iter().position(|word| *word == flag).with_context(|| format!("the command has no {flag}"))?;
            words.get(at + 1).copied().with_context(|| format!("{flag} has no value"))
        };
        let kube = FakeKube::default();
        let config = AgentConfig {
            data_dir,
            namespace: "capstan-system".to_owned(),
            hub: word("--hub")?.parse()?,
            enrolment: word("--enrolment")?.parse()?,
            ca_pin: Some(word("--ca-pin")?.parse()?),
            token: Some(Token::Text(Secret::new(word("--token")?.as_bytes().to_vec()))),
            admin_listen: None,
            guardrail: Guardrail::open("capstan-system"),
        };
        Ok(Self { driver: tokio::spawn(kube.clone().drive()), kube, config, agent: None })
    }

    /// How its agent runs.
    pub(crate) fn config(&self) -> &AgentConfig {
        &self.config
    }

    /// Runs an agent on this cluster until it ends by itself or `shutdown` begins.
    pub(crate) async fn run(&self, config: AgentConfig, shutdown: Shutdown) -> anyhow::Result<()> {
        agent_agentd::run(config, self.cluster(), shutdown).await
    }

    fn cluster(&self) -> Cluster {
        Cluster::with_client(kube::Client::new(self.kube.service(), "default"))
    }

    /// Starts its agent.
    pub(crate) fn start(&mut self) {
        let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(5));
        self.agent = Some((trigger, tokio::spawn(agent_agentd::run(self.config.clone(), self.cluster(), shutdown))));
    }

    /// Ends its agent in order.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some((trigger, task)) = self.agent.take() else { return Ok(()) };
        trigger.begin();
        task.await?
    }

    /// What the cluster is known by: the uid of its `kube-system` namespace.
    pub(crate) fn uid(&self) -> anyhow::Result<String> {
        let namespace = self.kube.object("", "namespaces", "", "kube-system").context("there is no kube-system")?;
        Ok(namespace.pointer("/metadata/uid").and_then(Value::as_str).context("it has no uid")?.to_owned())
    }

    /// A config map of namespace `default`: its value, if it is there.
    pub(crate) fn value(&self, config_map: &str) -> Option<String> {
        let object = self.kube.object("", "configmaps", "default", config_map)?;
        object.pointer("/data/value").and_then(Value::as_str).map(str::to_owned)
    }

    /// Waits until a config map has a value, or is gone.
    pub(crate) async fn has(&self, config_map: &str, value: Option<&str>) -> anyhow::Result<()> {
        let what = format!("config map {config_map} is {value:?}");
        eventually(&what, || async { Ok(self.value(config_map)) }, |found| found.as_deref() == value).await.map(drop)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.driver.abort();
        if let Some((_, task)) = &self.agent {
            task.abort();
        }
    }
}

/// A hub, its repository, and clusters.
pub(crate) struct Stage {
    pub(crate) hub: TestHub,
    pub(crate) clock: TestClock,
    pub(crate) sites: BTreeMap<&'static str, Site>,
    disk: TempDir,
}

impl Stage {
    /// A hub that reads `source`, without clusters.
    pub(crate) async fn of_source(disk: TempDir, source: SourceSpec) -> anyhow::Result<Self> {
        Self::configured(disk, source, |_| {}).await
    }

    /// As [`Stage::of_source`], with whatever `configure` changes at the hub.
    pub(crate) async fn configured(disk: TempDir, source: SourceSpec, configure: impl FnOnce(&mut HubConfig)) -> anyhow::Result<Self> {
        prepare();
        let clock = TestClock::default();
        let hub = TestHub::start_configured(disk.path().join("hub"), source, clock.clock(), configure).await?;
        Ok(Self { hub, clock, sites: BTreeMap::new(), disk })
    }

    /// A hub, its repository with these files and those of the fleet, and clusters, which are given by region and name.
    pub(crate) async fn set(clusters: &[(&str, &'static str)], files: &[(&str, &str)]) -> anyhow::Result<(Self, FleetRepository)> {
        let disk = tempfile::tempdir()?;
        let mut all = fleet_of(clusters);
        all.extend(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        let all: Vec<(&str, &str)> = all.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let repository = FleetRepository::init(&disk.path().join("fleet.git"), &all)?;
        let mut stage = Self::of_source(disk, repository.source()?).await?;
        for (region, name) in clusters {
            stage.enter(region, name).await?;
        }
        Ok((stage, repository))
    }

    /// A cluster joins.
    pub(crate) async fn enter(&mut self, region: &str, name: &'static str) -> anyhow::Result<()> {
        let mut site = Site::new(&self.hub.add_cluster(name, region).await?, self.disk.path().join(name))?;
        site.start();
        self.sites.insert(name, site);
        Ok(())
    }

    /// Where its parts keep their data.
    pub(crate) fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// Commits and makes the hub look.
    pub(crate) async fn commit(&self, repository: &FleetRepository, changes: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
        repository.commit(changes, "a change")?;
        self.hub.refresh().await
    }

    /// Waits for a row of the status.
    pub(crate) async fn row(&self, app: &str, cluster: &str, what: &str, good: impl Fn(&StatusView) -> bool) -> anyhow::Result<StatusView> {
        Ok(eventually(what, || self.hub.row(app, cluster), good).await?.0)
    }

    /// Waits until an app is as wanted and healthy on a cluster.
    pub(crate) async fn well(&self, app: &str, cluster: &str) -> anyhow::Result<StatusView> {
        let well = |row: &StatusView| row.sync == SyncWord::Synced && row.judged.health() == HealthWord::Healthy && row.reason.is_none();
        self.row(app, cluster, &format!("{app} is well on {cluster}"), well).await
    }
}

/// The fleet's own file and those of its regions and clusters. Each cluster has the label `workload: serving`.
pub(crate) fn fleet_of(clusters: &[(&str, &str)]) -> Vec<(String, String)> {
    let document =
        |kind: &str, name: &str, more: &str| format!("apiVersion: capstan.dev/v1\nkind: {kind}\nmetadata: {{name: {name}{more}}}\n");
    let approvers = "spec: {approverGroups: [{name: sre, members: [bootstrap]}]}\n";
    let mut files = vec![("fleet.yaml".to_owned(), format!("{}{approvers}", document("Fleet", "test", "")))];
    for (region, name) in clusters {
        let file = (format!("regions/{region}/region.yaml"), document("Region", region, ""));
        if !files.contains(&file) {
            files.push(file);
        }
        files.push((format!("regions/{region}/{name}.yaml"), document("Cluster", name, ", labels: {workload: serving}")));
    }
    files
}

/// An App whose objects go to namespace `default` of each cluster; `more` are further lines of its spec.
pub(crate) fn app(name: &str, more: &str) -> String {
    format!(
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  namespace: default\n  prune: true\n  \
         clusters: {{matchLabels: {{workload: serving}}}}\n{more}"
    )
}
