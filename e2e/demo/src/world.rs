//! The whole fleet of the demo in one process: repository, hub, clusters with their agents. What is done with it is left to `once` and
//! `live`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use hub_api::{AddClusterRequest, StatusFilter, StatusView};
use hub_client::{Client, ClientConfig, Token};
use hub_hubd::{HubConfig, RunningHub};
use hub_source::{GitUrl, ReferenceFields, SourceSpec};
use shared_daemon::{LogConfig, Shutdown, Trigger};
use tokio::task::JoinHandle;

use crate::clock::MovableClock;
use crate::cluster::DemoCluster;
use crate::fleet::CLUSTERS;
use crate::repository::{Commit, Repository};

/// How long the hub has to say goodbye to its agents.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the hub looks at the repository by itself; the demo also tells it of each commit.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Everything.
pub(crate) struct World {
    pub(crate) place: PathBuf,
    pub(crate) repository: Repository,
    pub(crate) clock: MovableClock,
    pub(crate) client: Client,
    pub(crate) clusters: Vec<DemoCluster>,
    config: HubConfig,
    hub: Option<(Trigger, JoinHandle<()>)>,
}

impl World {
    /// Makes everything in `place` and starts it.
    pub(crate) async fn start(place: &Path) -> anyhow::Result<Self> {
        let repository = Repository::make(place)?;
        let clock = MovableClock::default();
        let mut config = hub_config(place, repository.git(), &clock)?;
        let (hub, token) = start_hub(&mut config).await?;
        let client = Client::new(&ClientConfig {
            hub: format!("http://{}", config.listen_api),
            token: Token::parse(&token)?,
            authorities_pem: None,
            user_agent: concat!("capstan-demo/", env!("CARGO_PKG_VERSION")).to_owned(),
        })?;
        let mut clusters = Vec::new();
        for (name, region) in CLUSTERS {
            let mut cluster = DemoCluster::make(name, region, place).await?;
            let request = AddClusterRequest { name: name.to_owned(), region: region.to_owned(), labels: BTreeMap::new() };
            cluster.enrol(&client.add_cluster(&request).await?, place)?;
            clusters.push(cluster);
        }
        let world = Self { place: place.to_owned(), repository, clock, client, clusters, config, hub: Some(hub) };
        world.write_command()?;
        Ok(world)
    }

    /// A script that is `capstan` for this hub.
    fn write_command(&self) -> anyhow::Result<()> {
        let this = std::env::current_exe().context("the path of this program is not known")?;
        let (hub, token) = (self.api(), self.token_file().display());
        let text = format!("#!/bin/sh\nexec '{}' capstan --hub '{hub}' --token-file '{token}' \"$@\"\n", this.display());
        let path = self.place.join("capstan");
        fs::write(&path, text).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))?;
        Ok(())
    }

    /// The API's address.
    pub(crate) fn api(&self) -> String {
        format!("http://{}", self.config.listen_api)
    }

    /// Where the API's token is.
    pub(crate) fn token_file(&self) -> &Path {
        &self.config.token_file
    }

    pub(crate) fn cluster(&self, name: &str) -> anyhow::Result<&DemoCluster> {
        self.clusters.iter().find(|cluster| cluster.name == name).with_context(|| format!("BUG: there is no cluster {name}"))
    }

    pub(crate) fn cluster_mut(&mut self, name: &str) -> anyhow::Result<&mut DemoCluster> {
        self.clusters.iter_mut().find(|cluster| cluster.name == name).with_context(|| format!("BUG: there is no cluster {name}"))
    }

    /// Commits what was changed in the directory and tells the hub.
    pub(crate) async fn commit(&mut self, message: &str) -> anyhow::Result<Option<Commit>> {
        let commit = self.repository.commit_changes(message)?;
        if commit.is_some() && self.hub_runs() {
            self.client.refresh(None).await?;
        }
        Ok(commit)
    }

    /// Every app in every cluster, as an operator sees it.
    pub(crate) async fn status(&self) -> anyhow::Result<Vec<StatusView>> {
        Ok(self.client.status(&StatusFilter::default()).await?)
    }

    pub(crate) fn hub_runs(&self) -> bool {
        self.hub.is_some()
    }

    /// Ends the hub in order, if it runs.
    pub(crate) async fn stop_hub(&mut self) -> anyhow::Result<()> {
        match self.hub.take() {
            Some((trigger, task)) => {
                trigger.begin();
                task.await.context("the hub panicked")
            }
            None => Ok(()),
        }
    }

    /// Starts the hub again, on the same data and ports, if it does not run.
    pub(crate) async fn resume_hub(&mut self) -> anyhow::Result<()> {
        if self.hub.is_none() {
            self.hub = Some(start_hub(&mut self.config).await?.0);
        }
        Ok(())
    }

    /// A hub or an agent that ended by itself is a failure.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        if let Some((_, task)) = self.hub.take_if(|(_, task)| task.is_finished()) {
            task.await.context("the hub panicked")?;
            anyhow::bail!("the hub ended by itself");
        }
        for cluster in &mut self.clusters {
            cluster.check().await?;
        }
        Ok(())
    }

    /// Ends everything: agents first, all together, then the hub.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let mut outcomes = Vec::new();
        let mut ending = tokio::task::JoinSet::new();
        for mut cluster in std::mem::take(&mut self.clusters) {
            ending.spawn(async move { cluster.stop_agent().await });
        }
        while let Some(ended) = ending.join_next().await {
            outcomes.push(ended?);
        }
        outcomes.push(self.stop_hub().await);
        outcomes.into_iter().collect()
    }
}

fn hub_config(place: &Path, repository: &Path, clock: &MovableClock) -> anyhow::Result<HubConfig> {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let branch = ReferenceFields { branch: Some("main".to_owned()), ..ReferenceFields::default() };
    let mut source = SourceSpec::new("fleet".parse()?, GitUrl::Local(repository.to_owned()), branch.choose()?);
    source.interval = LOOK_EVERY;
    let data_dir = place.join("hub");
    Ok(HubConfig {
        key_file: data_dir.join("hub.key"),
        token_file: place.join("token"),
        data_dir,
        listen_api: any,
        listen_agents: any,
        listen_enrolment: any,
        listen_admin: any,
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        accept_clusters: false,
        remote_bases: std::collections::BTreeSet::new(),
        chart_repositories: Vec::new(),
        fleet_source: source.name.clone(),
        sources: vec![source],
        logs: LogConfig::default(),
        clock: clock.for_hub(),
    })
}

/// Starts the hub and keeps its ports in `config`, so that it can be started again on them. Gives its API's token too.
async fn start_hub(config: &mut HubConfig) -> anyhow::Result<((Trigger, JoinHandle<()>), String)> {
    let (trigger, shutdown) = Shutdown::manual(DRAIN);
    let running: RunningHub = hub_hubd::start(config.clone(), shutdown).await.context("the hub cannot be started")?;
    config.listen_api = running.api;
    config.listen_agents = running.agents;
    config.listen_enrolment = running.enrolment;
    config.listen_admin = running.admin;
    let token = running.token.clone();
    Ok(((trigger, tokio::spawn(running.ended())), token))
}
