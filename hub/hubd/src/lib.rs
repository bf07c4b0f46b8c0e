//! `capstan-hub`: wiring, and one small task per file. What is decided is decided in the pure crates; this crate reads the inputs, calls them,
//! and carries the results out.

mod api;
mod audit;
mod charts;
mod collect;
mod conduct;
mod config;
mod core;
mod desk;
mod facts;
mod holds;
mod keys;
mod live;
mod look;
mod metrics;
mod mounts;
mod observe;
mod picture;
mod publish;
mod record;
mod registry;
mod render;
mod rollouts;
mod testing;
mod vault;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use hub_distribute::{DistributeConfig, EnrolmentConfig, EnrolmentHandle, Handle, serve, serve_enrolment};
use hub_source::{Mirror, Surroundings};
use hub_store::{SledConfig, SledStore, Store};
use hub_web::{AccessToken, WebConfig};
use shared_daemon::{AdminServer, Readiness, Registry, Shutdown};
use shared_identity::{RotatingCertificate, SERVER_CERTIFICATE_LIFETIME, agent_listener_config, enrolment_listener_config};
use shared_model::SourceName;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use crate::config::{Arguments, HubConfig};

use crate::api::HubApi;
use crate::audit::Audit;
use crate::charts::Charts;
use crate::conduct::Conductor;
use crate::core::{Core, Doors, Parts, Source};
use crate::desk::HubDesk;
use crate::metrics::Metrics;
use crate::vault::Vault;

/// How long sessions have to say goodbye when the hub ends.
const DRAIN: Duration = Duration::from_secs(5);

/// A running hub.
pub struct RunningHub {
    /// Where the HTTP API listens.
    pub api: SocketAddr,
    /// Where agents connect.
    pub agents: SocketAddr,
    /// Where agents enrol.
    pub enrolment: SocketAddr,
    /// Where metrics and readiness are served.
    pub admin: SocketAddr,
    /// The API's token. Never logged.
    pub token: String,
    core: Arc<Core>,
    sessions: Arc<Handle>,
    door: EnrolmentHandle,
    web: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    shutdown: Shutdown,
    _admin: AdminServer,
}

/// Starts a hub: opens its store, makes or reads its keys, puts in force again what clusters were told, and listens.
pub async fn start(config: HubConfig, shutdown: Shutdown) -> anyhow::Result<RunningHub> {
    let HubConfig { data_dir, clock, .. } = &config;
    std::fs::create_dir_all(data_dir).with_context(|| format!("the data directory {} cannot be made", data_dir.display()))?;
    let registry = Registry::new("capstan-hub", env!("CARGO_PKG_VERSION"), SystemTime::now())?;
    let readiness = Readiness::new();
    let admin = AdminServer::bind(config.listen_admin, registry.clone(), readiness.clone(), shutdown.clone())
        .await
        .with_context(|| format!("the admin endpoint cannot listen on {}", config.listen_admin))?;

    let store_ready = readiness.check("store");
    let store = open_store(data_dir).await?;
    store_ready.pass("open");
    let vault = Vault::open(&config.key_file, !keys::exist(&*store).await?)?;
    let keys = keys::load_or_make(&*store, &vault, clock.now()).await?;
    let token = token(&config.token_file)?;

    let mut tasks = Vec::new();
    let sources = start_sources(&config, &mut tasks)?;
    let core = Arc::new(Core::new(Parts {
        audit: Audit::open(&*store).await?,
        store,
        keys: Arc::new(keys),
        sources,
        fleet_source: config.fleet_source.clone(),
        remote_bases: mounts::remote_bases(&config.sources, &config.remote_bases)?,
        charts: Charts::open(data_dir, config.chart_repositories.clone(), clock.clone())?,
        accept_needed: config.accept_clusters,
        clock: clock.clone(),
    }));

    let certificate = core.keys.authority.issue_server(&config.names, core.now(), SERVER_CERTIFICATE_LIFETIME)?;
    let certificate = RotatingCertificate::server(&certificate)?;
    let trusted = core.keys.authority.certificate();
    let listen = async |address: SocketAddr, what: &str| {
        TcpListener::bind(address).await.with_context(|| format!("{what} cannot listen on {address}; is it in use?"))
    };
    let (agents, enrolment, web) = (
        listen(config.listen_agents, "the agents' door").await?,
        listen(config.listen_enrolment, "the enrolment door").await?,
        listen(config.listen_api, "the HTTP API").await?,
    );
    let (agents_at, enrolment_at, api_at) = (agents.local_addr()?, enrolment.local_addr()?, web.local_addr()?);
    let host = config.names.first().cloned().unwrap_or_else(|| "localhost".to_owned());
    *core.doors.write().unwrap_or_else(PoisonError::into_inner) =
        Doors { agents: format!("{host}:{}", agents_at.port()), enrolment: format!("{host}:{}", enrolment_at.port()) };

    let desk = Arc::new(HubDesk(core.clone()));
    let distribute = DistributeConfig { clock: clock.clone(), ..DistributeConfig::default() };
    let sessions = Arc::new(serve(agents, agent_listener_config(&trusted, certificate.clone())?, distribute, desk.clone()));
    // It is set nowhere else.
    let _: Result<(), _> = core.sessions.set(Arc::downgrade(&sessions));
    let door = serve_enrolment(enrolment, enrolment_listener_config(certificate.clone())?, &EnrolmentConfig::default(), desk);
    let hub = Arc::new(HubApi(core.clone()));
    let web_config = WebConfig { tokens: vec![AccessToken::of("bootstrap", &token)], tls: None };
    let ends = shutdown.clone();
    let web = tokio::spawn(hub_web::serve(web, web_config, hub.clone(), async move { ends.begun().await }));

    let conductor = Conductor::open(core.clone(), data_dir)?;
    tasks.push(tokio::spawn(conductor.run()));
    tasks.push(tokio::spawn(observe::state_freshness(core.clone())));
    tasks.push(tokio::spawn(observe::write_heard(core.clone())));
    tasks.push(tokio::spawn(collect::run(core.clone())));
    tasks.push(tokio::spawn(observe::measure(hub, Metrics::new(&registry)?)));
    tasks.push(tokio::spawn(observe::renew_certificate(core.clone(), config.names.clone(), certificate)));
    tasks.push(tokio::spawn(watch_fleet(core.clone(), readiness.check("fleet"))));
    tracing::info!(api = %api_at, agents = %agents_at, enrolment = %enrolment_at, admin = %admin.address(), "the hub is up");
    Ok(RunningHub {
        api: api_at,
        agents: agents_at,
        enrolment: enrolment_at,
        admin: admin.address(),
        token,
        core,
        sessions,
        door,
        web,
        tasks,
        shutdown,
        _admin: admin,
    })
}

impl RunningHub {
    /// Waits for the end of the process and ends in order: no new work, goodbyes to the agents, what was heard written down.
    pub async fn ended(self) {
        self.shutdown.begun().await;
        for task in &self.tasks {
            task.abort();
        }
        // A task that was aborted holds the store until it is gone; one that is in the middle of blocking work gets as long as the agents do.
        let _ = tokio::time::timeout(DRAIN, futures_util::future::join_all(self.tasks)).await;
        self.sessions.drain(DRAIN).await;
        self.door.drain(DRAIN).await;
        observe::save_heard(&self.core).await;
        if let Err(error) = self.web.await {
            tracing::error!(%error, "the HTTP API ended badly");
        }
        tracing::info!("the hub has ended");
    }
}

async fn open_store(data_dir: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let path = data_dir.join("store");
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&path, SledConfig::default())).await?;
    Ok(Arc::new(opened.context("the hub's store cannot be opened")?))
}

/// Reads the API's token, or makes one at the first start.
fn token(path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let token = vault::make(path)?;
            tracing::info!(file = %path.display(), "made the token of the HTTP API");
            Ok(token)
        }
        Err(error) => Err(error).with_context(|| format!("the token file {} cannot be read", path.display())),
    }
}

fn start_sources(config: &HubConfig, tasks: &mut Vec<JoinHandle<()>>) -> anyhow::Result<BTreeMap<SourceName, Source>> {
    let mut sources = BTreeMap::new();
    for spec in &config.sources {
        let directory = config.data_dir.join("sources").join(spec.name.as_str());
        std::fs::create_dir_all(&directory).with_context(|| format!("{} cannot be made", directory.display()))?;
        let mirror = Mirror::open(&directory, spec.clone(), Surroundings::default())
            .with_context(|| format!("the mirror of source {} cannot be opened", spec.name))?;
        let mirror = Arc::new(mirror);
        let refresh = Arc::new(Notify::new());
        let (sender, state) = watch::channel(mirror.state());
        tasks.push(tokio::spawn(hub_source::run(mirror.clone(), refresh.clone(), sender)));
        sources.insert(spec.name.clone(), Source { mirror, state, refresh });
    }
    Ok(sources)
}

/// The hub is ready when the fleet was planned once.
async fn watch_fleet(core: Arc<Core>, check: shared_daemon::Check) {
    let mut picture = core.picture.subscribe();
    loop {
        match &picture.borrow_and_update().revision {
            Some(revision) => check.pass(format!("planned at {revision}")),
            None => check.fail(format!("the source {} was never fetched", core.fleet_source)),
        }
        if picture.changed().await.is_err() {
            return;
        }
    }
}
