//! A hub in this process, with its data in a directory that outlives it, and its API's client.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e_cluster::PortLease;
use hub_api::{AddClusterRequest, ApprovalRequest, EnrolmentView, ProblemView, StatusFilter, StatusView};
use hub_cli::{Console, Exit};
use hub_client::{Client, ClientConfig, Token};
use hub_hubd::{HubConfig, RunningHub, start};
use hub_source::SourceSpec;
use hub_store::OpenError;
use shared_daemon::{LogConfig, Shutdown, Trigger};
use shared_model::{Clock, Timestamp};
use tokio::task::JoinHandle;

/// How long ports and the store may be in use after the hub that had them has ended: in one process, the task of its admin endpoint and a commit
/// that it no longer waits for end a moment later.
const ALL_IS_FREE: Duration = Duration::from_secs(10);

/// A hub. It listens on the same ports after a restart.
pub struct TestHub {
    config: HubConfig,
    _ports: [PortLease; 4],
    running: Option<(Trigger, JoinHandle<()>)>,
    api: SocketAddr,
    token: String,
}

impl TestHub {
    /// Starts a hub whose fleet repository is `fleet`, on free ports.
    ///
    /// # Errors
    /// Whatever keeps a hub from starting.
    pub async fn start(data_dir: PathBuf, fleet: SourceSpec) -> anyhow::Result<Self> {
        Self::start_with_clock(data_dir, fleet, Clock::new(Timestamp::now)).await
    }

    /// As [`TestHub::start`], with a clock.
    ///
    /// # Errors
    /// Whatever keeps a hub from starting.
    pub async fn start_with_clock(data_dir: PathBuf, fleet: SourceSpec, clock: Clock) -> anyhow::Result<Self> {
        Self::start_configured(data_dir, fleet, clock, |_| {}).await
    }

    /// As [`TestHub::start_with_clock`], with whatever `configure` changes.
    ///
    /// # Errors
    /// Whatever keeps a hub from starting.
    pub async fn start_configured(
        data_dir: PathBuf,
        fleet: SourceSpec,
        clock: Clock,
        configure: impl FnOnce(&mut HubConfig),
    ) -> anyhow::Result<Self> {
        let ports = [PortLease::take()?, PortLease::take()?, PortLease::take()?, PortLease::take()?];
        let [listen_api, listen_agents, listen_enrolment, listen_admin] =
            ports.each_ref().map(|port| ([127, 0, 0, 1], port.number()).into());
        let mut config = HubConfig {
            key_file: data_dir.join("hub.key"),
            token_file: data_dir.join("bootstrap-token"),
            data_dir,
            listen_api,
            listen_agents,
            listen_enrolment,
            listen_admin,
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            accept_clusters: false,
            remote_bases: std::collections::BTreeSet::new(),
            chart_repositories: Vec::new(),
            fleet_source: fleet.name.clone(),
            sources: vec![fleet],
            logs: LogConfig::default(),
            clock,
        };
        configure(&mut config);
        let mut hub = Self { config, _ports: ports, running: None, api: listen_api, token: String::new() };
        hub.resume().await?;
        Ok(hub)
    }

    /// Starts it again on the same data and ports.
    ///
    /// # Errors
    /// Whatever keeps a hub from starting.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        let (trigger, running): (Trigger, RunningHub) = loop {
            let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(10));
            match start(self.config.clone(), shutdown).await {
                Err(error) if is_in_use(&error) && since.elapsed() < ALL_IS_FREE => tokio::time::sleep(Duration::from_millis(20)).await,
                started => break (trigger, started?),
            }
        };
        (self.api, self.token) = (running.api, running.token.clone());
        self.running = Some((trigger, tokio::spawn(running.ended())));
        Ok(())
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It panicked on the way.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some((trigger, task)) = self.running.take() else { return Ok(()) };
        trigger.begin();
        task.await.context("the hub panicked")
    }

    /// Where its metrics are.
    pub fn admin(&self) -> SocketAddr {
        self.config.listen_admin
    }

    /// What its API answers to `GET path`, as it is on the wire.
    ///
    /// # Errors
    /// The hub does not answer with 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        crate::get(self.api, path, Some(&self.token)).await
    }

    /// Its metrics as text.
    ///
    /// # Errors
    /// The hub does not answer.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        crate::get(self.config.listen_admin, "/metrics", None).await
    }

    /// Runs `capstan` as an operator does: its exit code and standard output.
    ///
    /// # Errors
    /// It says something on standard error.
    pub async fn capstan(&self, arguments: &[&str]) -> anyhow::Result<(Exit, String)> {
        let (exit, out, err) = self.capstan_saying(arguments).await?;
        anyhow::ensure!(err.is_empty(), "capstan {} ended with {exit:?}: {err}", arguments.join(" "));
        Ok((exit, out))
    }

    /// As [`TestHub::capstan`], for a command that talks to people: its exit code, standard output and standard error.
    ///
    /// # Errors
    /// What it prints is no text.
    pub async fn capstan_saying(&self, arguments: &[&str]) -> anyhow::Result<(Exit, String, String)> {
        let (hub, token_file) = (format!("http://{}", self.api), self.config.token_file.display().to_string());
        let words = ["capstan", "--hub", &hub, "--token-file", &token_file];
        let words = words.iter().chain(arguments).map(OsString::from);
        let (mut input, mut out, mut err) = (std::io::empty(), Vec::new(), Vec::new());
        let mut console = Console { input: &mut input, out: &mut out, err: &mut err, interactive: false };
        let exit = hub_cli::run(words, &mut console).await;
        Ok((exit, String::from_utf8(out)?, String::from_utf8(err)?))
    }

    /// Where its data is.
    pub fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// The API's client.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn client(&self) -> anyhow::Result<Client> {
        let token = Token::parse(&self.token)?;
        Ok(Client::new(&ClientConfig {
            hub: format!("http://{}", self.api),
            token,
            authorities_pem: None,
            user_agent: "e2e-fleet".to_owned(),
        })?)
    }

    /// Lets a cluster join.
    ///
    /// # Errors
    /// The hub refuses.
    pub async fn add_cluster(&self, name: &str, region: &str) -> anyhow::Result<EnrolmentView> {
        let request = AddClusterRequest { name: name.to_owned(), region: region.to_owned(), labels: std::collections::BTreeMap::new() };
        Ok(self.client()?.add_cluster(&request).await?)
    }

    /// All rows of the status.
    ///
    /// # Errors
    /// The hub does not answer.
    pub async fn status(&self) -> anyhow::Result<Vec<StatusView>> {
        Ok(self.client()?.status(&StatusFilter::default()).await?)
    }

    /// One app in one cluster.
    ///
    /// # Errors
    /// The hub does not answer, or has no such row.
    pub async fn row(&self, app: &str, cluster: &str) -> anyhow::Result<StatusView> {
        let row = self.status().await?.into_iter().find(|row| row.app == app && row.cluster == cluster);
        row.with_context(|| format!("there is no row for {app} on {cluster}"))
    }

    /// The problems.
    ///
    /// # Errors
    /// The hub does not answer.
    pub async fn problems(&self) -> anyhow::Result<Vec<ProblemView>> {
        Ok(self.client()?.problems().await?)
    }

    /// Fetches all sources now.
    ///
    /// # Errors
    /// The hub does not answer.
    pub async fn refresh(&self) -> anyhow::Result<()> {
        self.client()?.refresh(None).await?;
        Ok(())
    }

    /// Approves what `row` shows as waiting: its deletions, or else its held change.
    ///
    /// # Errors
    /// Nothing waits, or the hub refuses.
    pub async fn approve(&self, row: &StatusView) -> anyhow::Result<()> {
        let pending = row.awaiting_approval.as_ref().or(row.held_changes.first()).context("nothing waits for an approval")?;
        let digest = pending.digest.clone().context("what waits cannot be approved")?;
        self.client()?.approve(&ApprovalRequest { app: Some(row.app.clone()), cluster: Some(row.cluster.clone()), digest }).await?;
        Ok(())
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|cause| cause.kind() == std::io::ErrorKind::AddrInUse)
            || matches!(cause.downcast_ref(), Some(OpenError::InUse { .. }))
    })
}
