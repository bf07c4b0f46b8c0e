//! Hub and agent are killed again and again at random moments under load: both always start again, nothing that was acknowledged is lost, the
//! cluster ends as the repository says, and nothing is deleted that no index withdrew.
//!
//! `CAPSTAN_KILLS` sets how often each is killed (15), `CAPSTAN_KILLS_SEED` the moments.

mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use e2e_cluster::{ControlPlane, Options, PortLease, require_control_plane};
use e2e_fleet::{FleetRepository, PATIENCE, Process, TestAgent, eventually, prepare};
use hub_api::{AddClusterRequest, ApprovalRequest, FreshnessWord, HealthWord, StatusFilter, StatusView, SyncWord};
use hub_client::{Client, ClientConfig, Token};
use shared_model::{ClusterName, Generation, Timestamp};
use tokio::sync::watch;
use witness::{Acknowledged, Witness, explain};

const CLUSTER: &str = "eu-1";
const APP: &str = "load";
const FLEET: [(&str, &str); 4] = [
    ("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n"),
    ("regions/eu-west/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu-west}\nspec: {}\n"),
    (
        "regions/eu-west/eu-1.yaml",
        "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-1, labels: {workload: serving}}\nspec: {}\n",
    ),
    (
        "apps/load/app.yaml",
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: load}\nspec:\n  namespace: load\n  createNamespace: true\n  prune: true\n  clusters: {matchLabels: {workload: serving}}\n  source: {path: manifests}\n",
    ),
];
/// Objects at the start. 8 of 40 may go without an approval: 20 %.
const OBJECTS: u64 = 40;
/// Objects that a removal takes that needs an approval: more than the 10 that pass at most.
const TOO_MANY: usize = 12;
/// An agent deletes 100 objects an hour without an approval; the load asks for fewer.
const FREE_DELETIONS: usize = 60;
/// How long an approval that was given may take to show, with both ends being killed meanwhile.
const APPROVAL_TAKES: Duration = Duration::from_secs(45);
/// One in so many kills of an agent leaves its Lease to run out, which takes 20 s; else it is taken away, as the holder is known to be gone.
const LEASE_RUNS_OUT: u64 = 12;
/// After so many kills it is waited until hub and agent have found each other again.
const KILLS_BETWEEN_LOOKS: u64 = 5;

/// xorshift64: random enough to kill at any moment, and the same again for the same seed.
struct Chance(u64);

impl Chance {
    fn from_environment() -> anyhow::Result<Self> {
        let seed = match std::env::var("CAPSTAN_KILLS_SEED") {
            Ok(text) => text.parse::<u64>().context("CAPSTAN_KILLS_SEED")?,
            Err(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.subsec_nanos().into(),
        };
        println!("seed {seed}");
        Ok(Self(seed ^ 0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }

    /// Mostly anywhere in a life of two seconds, one time in four during the start.
    fn life(&mut self) -> Duration {
        let limit = if self.below(4) == 0 { 200 } else { 2_000 };
        self.millis(limit)
    }
}

// ---- The hub as a process ----

struct HubProcess {
    process: Process,
    data_dir: PathBuf,
    config: PathBuf,
    log: PathBuf,
    ports: [PortLease; 4],
}

impl HubProcess {
    async fn first_start(disk: &Path, fleet: &FleetRepository) -> anyhow::Result<Self> {
        let (data_dir, config, log) = (disk.join("hub"), disk.join("hub.yaml"), disk.join("hub.log"));
        let source = format!("sources: [{{name: fleet, url: {}, ref: {{branch: main}}, intervalSeconds: 1}}]\n", fleet.path().display());
        std::fs::write(&config, source)?;
        let ports = [PortLease::take()?, PortLease::take()?, PortLease::take()?, PortLease::take()?];
        let process = Process::start(PROGRAM, &hub_flags(&data_dir, &config, &ports), &log)?;
        let mut hub = Self { process, data_dir, config, log, ports };
        hub.process.line().await?.with_context(|| format!("the hub does not start:\n{}", hub.process.last_words()))?;
        Ok(hub)
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.process = Process::start(PROGRAM, &hub_flags(&self.data_dir, &self.config, &self.ports), &self.log)?;
        Ok(())
    }

    fn client(&self) -> anyhow::Result<Client> {
        let token = Token::parse(&std::fs::read_to_string(self.data_dir.join("bootstrap-token"))?)?;
        let hub = format!("http://127.0.0.1:{}", self.ports[0].number());
        Ok(Client::new(&ClientConfig { hub, token, authorities_pem: None, user_agent: "e2e-fleet".to_owned() })?)
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-process");

fn hub_flags(data_dir: &Path, config: &Path, ports: &[PortLease; 4]) -> Vec<OsString> {
    let flags = ["--listen-api", "--listen-agents", "--listen-enrolment", "--listen-admin"];
    let mut all: Vec<OsString> = vec!["hub".into(), "--config".into(), config.into(), "--data-dir".into(), data_dir.into()];
    all.extend(flags.into_iter().zip(ports).flat_map(|(flag, port)| [flag.into(), format!("127.0.0.1:{}", port.number()).into()]));
    all
}

// ---- The load ----

/// Commits, adds clusters and approves, without a thought of who is alive.
struct Load {
    repository: FleetRepository,
    client: Client,
    chance: Chance,
    /// What the last commit holds.
    objects: BTreeMap<String, u64>,
    last_commit: String,
    acknowledged: Arc<Mutex<Acknowledged>>,
    /// Approvals that were given and whose effect was not seen yet.
    approved: BTreeMap<String, Instant>,
    /// Objects that were ever named.
    names: u64,
    removed: usize,
    commits: usize,
}

impl Load {
    async fn run(mut self, stop: watch::Receiver<bool>) -> anyhow::Result<Self> {
        while !*stop.borrow() {
            match self.chance.below(20) {
                0..=1 => self.add_cluster().await,
                2..=3 if self.objects.len() > 2 * TOO_MANY => self.remove(TOO_MANY)?,
                4..=6 if self.removed < FREE_DELETIONS && self.objects.len() > TOO_MANY => self.remove(2)?,
                7..=12 => self.add()?,
                _ => self.change()?,
            }
            // A hub that is away looks by itself when it is back.
            let _ = self.client.refresh(None).await;
            self.approve().await?;
            tokio::time::sleep(self.chance.millis(300)).await;
        }
        Ok(self)
    }

    fn commit(&mut self, changes: &[(String, Option<u64>)]) -> anyhow::Result<()> {
        let files: Vec<(String, Option<String>)> =
            changes.iter().map(|(name, value)| (file(name), value.map(|value| text(name, value)))).collect();
        let files: Vec<(&str, Option<&str>)> = files.iter().map(|(path, text)| (path.as_str(), text.as_deref())).collect();
        self.last_commit = self.repository.commit(&files, "load")?;
        for (name, value) in changes {
            match value {
                Some(value) => drop(self.objects.insert(name.clone(), *value)),
                None => drop(self.objects.remove(name)),
            }
        }
        self.commits += 1;
        Ok(())
    }

    /// Adds new objects, and now and then one that was there before.
    fn add(&mut self) -> anyhow::Result<()> {
        let mut changes = BTreeMap::new();
        for _ in 0..=self.chance.below(5) {
            let number = if self.names > 0 && self.chance.below(3) == 0 { self.chance.below(self.names) } else { self.names };
            self.names = self.names.max(number + 1);
            changes.insert(format!("object-{number}"), Some(self.chance.below(1_000)));
        }
        self.commit(&changes.into_iter().collect::<Vec<_>>())
    }

    fn change(&mut self) -> anyhow::Result<()> {
        let chosen: Vec<String> = (0..3).filter_map(|_| self.any_object()).collect::<BTreeSet<_>>().into_iter().collect();
        let value = self.chance.below(1_000_000);
        self.commit(&chosen.into_iter().map(|name| (name, Some(value))).collect::<Vec<_>>())
    }

    fn remove(&mut self, most: usize) -> anyhow::Result<()> {
        let mut chosen = BTreeSet::new();
        while chosen.len() < most {
            chosen.extend(self.any_object());
        }
        self.removed += chosen.len();
        self.commit(&chosen.into_iter().map(|name| (name, None)).collect::<Vec<_>>())
    }

    fn any_object(&mut self) -> Option<String> {
        let at = self.chance.below(self.objects.len().max(1) as u64) as usize;
        self.objects.keys().nth(at).cloned()
    }

    async fn add_cluster(&mut self) {
        let name = format!("spare-{:06x}", self.chance.below(1 << 24));
        let request = AddClusterRequest { name: name.clone(), region: "eu-west".to_owned(), labels: BTreeMap::new() };
        if self.client.add_cluster(&request).await.is_ok() {
            self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clusters.insert(name);
        }
    }

    /// Approves what waits. What was approved must go, however often hub and agent die meanwhile.
    async fn approve(&mut self) -> anyhow::Result<()> {
        let Ok(rows) = self.client.status(&StatusFilter::default()).await else { return Ok(()) };
        // A hub that has not planned yet does not know what waits.
        let Some(row) = rows.iter().find(|row| row.app == APP && row.cluster == CLUSTER && row.wanted.is_some()) else { return Ok(()) };
        let waiting: Vec<String> =
            row.awaiting_approval.iter().chain(&row.held_changes).filter_map(|pending| pending.digest.clone()).collect();
        self.approved.retain(|digest, _| waiting.contains(digest));
        for digest in waiting {
            if let Some(since) = self.approved.get(&digest) {
                ensure!(since.elapsed() < APPROVAL_TAKES, "{digest} was approved {:?} ago and still waits: {row:#?}", since.elapsed());
                continue;
            }
            let request = ApprovalRequest { app: Some(APP.to_owned()), cluster: Some(CLUSTER.to_owned()), digest: digest.clone() };
            if self.client.approve(&request).await.is_ok() {
                self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).approvals.insert(digest.clone());
                self.approved.insert(digest, Instant::now());
            }
        }
        Ok(())
    }
}

fn file(name: &str) -> String {
    format!("apps/load/manifests/{name}.yaml")
}

fn text(name: &str, value: u64) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: \"{value}\"}}\n")
}

// ---- The kills ----

struct Scene {
    plane: ControlPlane,
    hub: HubProcess,
    client: Client,
    agent: Process,
    agent_flags: Vec<OsString>,
    agent_log: PathBuf,
    agent_started: Timestamp,
    witness: Witness,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

impl Scene {
    async fn kill_hub(&mut self) -> anyhow::Result<()> {
        self.hub.process.kill().await.context("the hub")?;
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.witness.look(&self.hub.data_dir, &acknowledged).await
    }

    async fn kill_agent(&mut self, lease_runs_out: bool) -> anyhow::Result<()> {
        self.agent.kill().await.context("the agent")?;
        if !lease_runs_out {
            self.plane.kubectl(&["-n", "capstan-system", "delete", "lease", "capstan-agent", "--ignore-not-found"]).await?;
        }
        self.agent_started = Timestamp::now();
        self.agent = Process::start(PROGRAM, &self.agent_flags, &self.agent_log)?;
        Ok(())
    }

    /// Both have started again: the API answers and knows all that it said yes to, the agent was heard since its start, no index went back.
    async fn both_are_back(&mut self) -> anyhow::Result<Duration> {
        let name: ClusterName = CLUSTER.parse()?;
        let heard = eventually(
            "hub and agent are back",
            || async { Ok(self.client.cluster(&name).await?) },
            |view| {
                let heard = view.last_heard.as_ref().and_then(|heard| heard.parse::<Timestamp>().ok());
                view.judged.freshness() == FreshnessWord::Fresh
                    && heard.is_some_and(|heard| heard > self.agent_started)
                    && view.wanted_generation.is_some()
            },
        );
        let heard = heard.await;
        self.hub.process.check_runs().context("the hub")?;
        self.agent.check_runs().context("the agent")?;
        let (view, time) =
            heard.with_context(|| format!("hub:\n{}\nagent:\n{}", self.hub.process.last_words(), self.agent.last_words()))?;
        let generation = generation(view.wanted_generation.as_deref().unwrap_or_default())?;
        ensure!(generation >= self.witness.newest(), "the API wants index {generation} after {}", self.witness.newest());
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let listed: BTreeSet<String> = self.client.clusters().await?.into_iter().map(|view| view.name).collect();
        let lost: Vec<&String> = acknowledged.clusters.difference(&listed).collect();
        ensure!(lost.is_empty(), "the API does not list clusters that it acknowledged: {lost:?}");
        Ok(time)
    }

    async fn row(&self) -> anyhow::Result<StatusView> {
        let rows = self.client.status(&StatusFilter::default()).await?;
        rows.into_iter().find(|row| row.app == APP && row.cluster == CLUSTER).context("there is no row")
    }

    /// The ConfigMaps in the cluster, with their values.
    async fn objects(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let template = r#"jsonpath={range .items[*]}{.metadata.name}={.data.value}{"\n"}{end}"#;
        let text = self.plane.kubectl(&["-n", "load", "get", "configmaps", "-o", template]).await?;
        Ok(text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

fn generation(text: &str) -> anyhow::Result<Generation> {
    let (epoch, sequence) = text.split_once('.').context("no generation")?;
    Ok(Generation::new(epoch.parse()?, sequence.parse()?))
}

async fn kill_at_random(scene: &mut Scene, chance: &mut Chance, times: u64) -> anyhow::Result<(u64, u64, Duration)> {
    let (mut hubs, mut agents, mut longest) = (times, times, Duration::ZERO);
    for kill in 1.. {
        if hubs + agents == 0 {
            break;
        }
        tokio::time::sleep(chance.life()).await;
        if chance.below(hubs + agents) < hubs {
            scene.kill_hub().await.with_context(|| format!("kill {kill}"))?;
            scene.hub.restart()?;
            hubs -= 1;
        } else {
            scene.kill_agent(chance.below(LEASE_RUNS_OUT) == 0).await.with_context(|| format!("kill {kill}"))?;
            agents -= 1;
        }
        if kill % KILLS_BETWEEN_LOOKS == 0 {
            longest = longest.max(scene.both_are_back().await.with_context(|| format!("after kill {kill}"))?);
        }
    }
    Ok((times - hubs, times - agents, longest))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_is_deleted_that_was_not_withdrawn_however_hub_and_agent_die() -> anyhow::Result<()> {
    require_control_plane!();
    prepare();
    let times = std::env::var("CAPSTAN_KILLS").map_or(Ok(15), |text| text.parse()).context("CAPSTAN_KILLS")?;
    let mut chance = Chance::from_environment()?;
    let disk = tempfile::tempdir()?;
    let start: Vec<(String, String)> = (0..OBJECTS).map(|n| format!("object-{n}")).map(|name| (file(&name), text(&name, 0))).collect();
    let files: Vec<(&str, &str)> = FLEET.into_iter().chain(start.iter().map(|(path, text)| (path.as_str(), text.as_str()))).collect();
    let repository = FleetRepository::init(&disk.path().join("fleet.git"), &files)?;
    let (plane, hub) = tokio::join!(ControlPlane::start(Options::default()), HubProcess::first_start(disk.path(), &repository));
    let (plane, hub) = (plane?, hub?);
    plane.kubectl(&["create", "namespace", "load"]).await?;
    plane.kubectl(&["-n", "load", "create", "configmap", "foreign", "--from-literal=value=foreign"]).await?;
    let client = hub.client()?;
    let request = AddClusterRequest { name: CLUSTER.to_owned(), region: "eu-west".to_owned(), labels: BTreeMap::new() };
    let agent = TestAgent::new(&client.add_cluster(&request).await?, disk.path().join("agent"))?;
    let (agent_flags, agent_log) = (agent.flags(&plane)?, disk.path().join("agent.log"));
    let agent_started = Timestamp::now();
    let process = Process::start(PROGRAM, &agent_flags, &agent_log)?;
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clusters.insert(CLUSTER.to_owned());
    let witness = Witness::new(APP, CLUSTER)?;
    let load = Load {
        repository,
        client: hub.client()?,
        chance: Chance(chance.below(u64::MAX) | 1),
        objects: (0..OBJECTS).map(|n| (format!("object-{n}"), 0)).collect(),
        last_commit: String::new(),
        acknowledged: acknowledged.clone(),
        approved: BTreeMap::new(),
        names: OBJECTS,
        removed: 0,
        commits: 0,
    };
    let mut scene = Scene { plane, hub, client, agent: process, agent_flags, agent_log, agent_started, witness, acknowledged };
    scene.both_are_back().await?;
    eventually("the fleet is in sync", || scene.row(), |row| row.sync == SyncWord::Synced).await?;

    let begun = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(load.run(stopped));
    let (hubs, agents, longest) = kill_at_random(&mut scene, &mut chance, times).await?;
    let lasted = begun.elapsed();
    stop.send_replace(true);
    let mut load = load.await??;

    // Left alone, the cluster becomes as the last commit says.
    load.change()?;
    scene.both_are_back().await?;
    scene.client.refresh(None).await?;
    let settled =
        |row: &StatusView| row.sync == SyncWord::Synced && row.judged.health() == HealthWord::Healthy && row.awaiting_approval.is_none();
    let wanted: BTreeMap<String, String> = load.objects.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let wanted: BTreeMap<String, String> = wanted.into_iter().chain([("foreign".to_owned(), "foreign".to_owned())]).collect();
    let begun = Instant::now();
    loop {
        load.approve().await?;
        let (row, found) = (scene.row().await?, scene.objects().await?);
        if settled(&row) && found == wanted {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "the cluster is not as commit {} says: {found:#?}\nbut: {row:#?}", load.last_commit);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    scene.kill_hub().await?;
    scene.agent.kill().await?;

    let events: Vec<_> = scene.plane.audit_events().await?.into_iter().filter(|event| event.user == agent.user()).collect();
    let published = scene.witness.all_published();
    let explained = explain(&events, "load", &published)?;
    let acknowledged = scene.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
    println!(
        "{hubs} kills of the hub and {agents} of the agent in {:.0} s; at most {:.1} s until both were back; {} commits; \
         {} clusters and {} approvals acknowledged, none lost; {} indexes, each in the audit log; \
         {} creations and {} deletions, each explained by an index; settled after {:.1} s",
        lasted.as_secs_f64(),
        longest.as_secs_f64(),
        load.commits,
        acknowledged.clusters.len(),
        acknowledged.approvals.len(),
        published.len(),
        explained.creations,
        explained.deletions,
        begun.elapsed().as_secs_f64(),
    );
    ensure!(explained.deletions > 0 && !acknowledged.approvals.is_empty(), "the load asked for too little to show anything");
    Ok(())
}
