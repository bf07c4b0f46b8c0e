//! A cluster whose agent is silent is Stale, then Offline, and never healthy, in every field of API, CLI and metrics that speaks of health, also
//! after a restart of the hub: by the rule, with a clock that the test moves, and once for real.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use e2e_cluster::{ControlPlane, Options, require_control_plane};
use e2e_fleet::{FleetRepository, Process, TestAgent, TestHub, eventually, eventually_within, prepare};
use hub_cli::Exit;
use serde_json::Value;
use shared_model::{Clock, OFFLINE_AFTER, STALE_AFTER, Timestamp};

const FLEET: [(&str, &str); 5] = [
    ("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n"),
    ("regions/eu-west/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu-west}\nspec: {}\n"),
    (
        "regions/eu-west/eu-1.yaml",
        "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-1, labels: {workload: serving}}\nspec: {}\n",
    ),
    (
        "apps/settings/app.yaml",
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: settings}\nspec:\n  namespace: default\n  clusters: {matchLabels: {workload: serving}}\n  source: {path: manifests}\n",
    ),
    ("apps/settings/manifests/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: one}\n"),
];

/// What must be said everywhere of a fleet of one region, one cluster and one app, all good as far as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Fresh,
    Stale,
    Offline,
}

impl Said {
    fn freshness(self) -> &'static str {
        match self {
            Self::Fresh => "Fresh",
            Self::Stale => "Stale",
            Self::Offline => "Offline",
        }
    }

    /// The word for `good` if the cluster is heard.
    fn if_fresh(self, good: &'static str) -> &'static str {
        if self == Self::Fresh { good } else { "Unknown" }
    }

    /// What a field of this name must hold, if the name speaks of health.
    fn of_field(self, name: &str) -> Option<Value> {
        let count = |claim: bool| Some(Value::from(u8::from(claim)));
        match name {
            "health" => Some(self.if_fresh("Healthy").into()),
            "freshness" => Some(self.freshness().into()),
            "sync" => Some(self.if_fresh("Synced").into()),
            "healthy" | "synced" | "fresh" => count(self == Self::Fresh),
            "unknown" => count(self != Self::Fresh),
            "stale" => count(self == Self::Stale),
            "offline" => count(self == Self::Offline),
            "suspended" | "progressing" | "waiting" | "missing" | "degraded" => count(false),
            _ => None,
        }
    }

    /// What a cell below this heading must hold, if the heading speaks of health.
    fn of_cell(self, heading: &str) -> Option<String> {
        let part = |claim: bool| Some(format!("{}/1", u8::from(claim)));
        match heading {
            "HEALTH" => Some(self.if_fresh("Healthy").to_owned()),
            "FRESHNESS" => Some(self.freshness().to_owned()),
            "SYNC" => Some(self.if_fresh("Synced").to_owned()),
            "HEALTHY" | "SYNCED" | "FRESH" => part(self == Self::Fresh),
            "STALE" => Some(u8::from(self == Self::Stale).to_string()),
            "OFFLINE" => Some(u8::from(self == Self::Offline).to_string()),
            _ => None,
        }
    }
}

/// What was looked at and found otherwise.
#[derive(Debug, Default)]
struct Found {
    fields: usize,
    wrong: Vec<String>,
}

impl Found {
    fn compare(&mut self, place: &str, found: &impl ToString, wanted: &impl ToString) {
        self.fields += 1;
        let (found, wanted) = (found.to_string(), wanted.to_string());
        if found != wanted {
            self.wrong.push(format!("{place} is {found} and should be {wanted}"));
        }
    }

    /// Each field below `value` that speaks of health.
    fn json(&mut self, place: &str, value: &Value, said: Said) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let place = format!("{place}.{name}");
                    match said.of_field(name) {
                        Some(wanted) => self.compare(&place, value, &wanted),
                        None => self.json(&place, value, said),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.json(place, item, said)),
            _ => {}
        }
    }

    /// Each cell that speaks of health. Below the table there may be details after an empty line.
    fn table(&mut self, place: &str, text: &str, said: Said) {
        let mut lines = text.lines();
        let headings = columns(lines.next().unwrap_or_default());
        for line in lines.take_while(|line| !line.is_empty()) {
            for (at, (start, heading)) in headings.iter().enumerate() {
                let end = headings.get(at + 1).map_or(line.len(), |(end, _)| *end).min(line.len());
                let cell = line.get(*start..end).unwrap_or_default().trim();
                // What was known last may stand aside.
                let cell = cell.strip_suffix(" (was Healthy)").unwrap_or(cell);
                if let Some(wanted) = said.of_cell(heading) {
                    self.compare(&format!("{place} {heading}"), &cell, &wanted);
                }
            }
        }
    }

    /// Each series that speaks of health.
    fn metrics(&mut self, text: &str, said: Said) {
        for (name, label, word) in
            [("capstan_app_clusters", "health", said.if_fresh("Healthy")), ("capstan_clusters", "freshness", said.freshness())]
        {
            let series: Vec<&str> = text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect();
            self.compare(&format!("number of series of {name}"), &series.len(), &1);
            for line in series {
                let wanted = format!("{label}=\"{word}\"");
                self.compare(&format!("metric {line}"), &(line.contains(&wanted) && line.ends_with(" 1")), &true);
            }
        }
        for line in text.lines().filter(|line| !line.starts_with('#') && said != Said::Fresh) {
            self.compare(&format!("metric {line} says good"), &(line.contains("Healthy") || line.contains("Fresh")), &false);
        }
    }
}

/// Where each heading begins.
fn columns(header: &str) -> Vec<(usize, &str)> {
    header.split_whitespace().map(|heading| (heading.as_ptr() as usize - header.as_ptr() as usize, heading)).collect()
}

/// Everything that the hub's API and the command say of health, compared.
async fn look(hub: &TestHub, said: Said) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in ["regions", "clusters", "clusters/eu-1", "apps", "apps/settings", "status"] {
        let before = found.fields;
        found.json(path, &serde_json::from_str(&hub.get(&format!("/api/v1/{path}")).await?)?, said);
        anyhow::ensure!(found.fields > before, "{path} says nothing of health");
    }
    for verb in
        [&["get", "regions"][..], &["get", "clusters"], &["cluster", "list"], &["get", "apps"], &["status"], &["status", "settings"]]
    {
        let place = verb.join(" ");
        let before = found.fields;
        found.table(&place, &hub.capstan(verb).await?.1, said);
        anyhow::ensure!(found.fields > before, "capstan {place} says nothing of health");
        let before = found.fields;
        let json = [verb, &["-o", "json"]].concat();
        found.json(&place, &serde_json::from_str(&hub.capstan(&json).await?.1)?, said);
        anyhow::ensure!(found.fields > before, "capstan {place} -o json says nothing of health");
    }
    let (exit, _) = hub.capstan(&["status", "--exit-code"]).await?;
    found.compare("exit code of status --exit-code", &exit.code(), &if said == Said::Fresh { Exit::Ok } else { Exit::Differs }.code());
    Ok(found)
}

/// Answers are judged when they are asked for, so nothing is waited for; metrics are taken every few seconds.
async fn everything_says(said: Said, hub: &TestHub, when: &str) -> anyhow::Result<()> {
    let found = look(hub, said).await?;
    assert!(found.wrong.is_empty(), "{when}: {:#?}", found.wrong);
    let metrics = || async {
        let mut found = Found::default();
        found.metrics(&hub.metrics().await?, said);
        Ok(found)
    };
    let (metrics, _) = eventually("the metrics follow", metrics, |found| found.wrong.is_empty()).await?;
    println!("{when}: {} fields and {} series say {}", found.fields, metrics.fields, said.freshness());
    Ok(())
}

/// Waits until everything is good, which is what the silence is told from.
async fn all_good(hub: &TestHub) -> anyhow::Result<()> {
    eventually("everything is good", || look(hub, Said::Fresh), |found| found.wrong.is_empty()).await.map(drop)
}

/// A restarted hub has read its repository again when it shows the app's row.
async fn restart(hub: &mut TestHub) -> anyhow::Result<()> {
    hub.stop().await?;
    hub.resume().await?;
    eventually("the hub shows its fleet again", || hub.status(), |rows| !rows.is_empty()).await.map(drop)
}

async fn start(disk: &Path, clock: Clock) -> anyhow::Result<(TestHub, ControlPlane, TestAgent)> {
    let repository = FleetRepository::init(&disk.join("fleet.git"), &FLEET)?;
    let hub = TestHub::start_with_clock(disk.join("hub"), repository.source()?, clock).await?;
    let plane = ControlPlane::start(Options::default()).await?;
    let mut agent = TestAgent::new(&hub.add_cluster("eu-1", "eu-west").await?, disk.join("agent"))?;
    agent.start(&plane).await?;
    all_good(&hub).await?;
    everything_says(Said::Fresh, &hub, "with its agent").await?;
    Ok((hub, plane, agent))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_cluster_is_stale_then_offline_in_every_field_also_after_a_restart_of_the_hub() -> anyhow::Result<()> {
    require_control_plane!();
    prepare();
    let disk = tempfile::tempdir()?;
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = {
        let ahead = ahead.clone();
        Clock::new(move || Timestamp::now() + Duration::from_secs(ahead.load(Ordering::Relaxed).unsigned_abs()))
    };
    let pass = |time: Duration| ahead.fetch_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX), Ordering::Relaxed);
    let (mut hub, plane, mut agent) = start(disk.path(), clock).await?;

    agent.stop().await?;
    pass(STALE_AFTER + Duration::from_secs(1));
    everything_says(Said::Stale, &hub, "agent stopped, after 31 s").await?;
    restart(&mut hub).await?;
    everything_says(Said::Stale, &hub, "agent stopped, after 31 s and a restart").await?;
    pass(OFFLINE_AFTER - STALE_AFTER);
    everything_says(Said::Offline, &hub, "agent stopped, after 91 s").await?;
    restart(&mut hub).await?;
    everything_says(Said::Offline, &hub, "agent stopped, after 91 s and a restart").await?;

    // Heard again it is good again; then its process freezes, and its connection stays half open.
    let log = disk.path().join("agent.log");
    let frozen = Process::start(env!("CARGO_BIN_EXE_fleet-process"), &agent.flags(&plane)?, &log)?;
    all_good(&hub).await?;
    frozen.freeze().await?;
    pass(STALE_AFTER + Duration::from_secs(1));
    everything_says(Said::Stale, &hub, "agent frozen, after 31 s").await?;
    pass(OFFLINE_AFTER - STALE_AFTER);
    everything_says(Said::Offline, &hub, "agent frozen, after 91 s").await?;
    restart(&mut hub).await?;
    everything_says(Said::Offline, &hub, "agent frozen, after 91 s and a restart").await?;
    hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_is_shown_as_offline_within_ninety_seconds() -> anyhow::Result<()> {
    /// Metrics are taken every 5 s, and a look takes its time.
    const LOOK: Duration = Duration::from_secs(5);
    require_control_plane!();
    prepare();
    let disk = tempfile::tempdir()?;
    let (mut hub, _plane, mut agent) = start(disk.path(), Clock::new(Timestamp::now)).await?;
    let stopped = Instant::now();
    agent.stop().await?;
    let mut times = BTreeMap::new();
    for (said, limit) in [(Said::Stale, STALE_AFTER), (Said::Offline, OFFLINE_AFTER)] {
        let freshness = || async { Ok(serde_json::from_str::<Value>(&hub.get("/api/v1/clusters/eu-1").await?)?.to_string()) };
        let word = format!("\"{}\"", said.freshness());
        eventually_within(limit + LOOK, "the silence is noticed", freshness, |view| view.contains(&word)).await?;
        everything_says(said, &hub, "for real").await?;
        let after = stopped.elapsed();
        assert!(after <= limit + LOOK, "{} after {after:?}", said.freshness());
        times.insert(limit, (said, after));
        if said == Said::Stale {
            restart(&mut hub).await?;
        }
    }
    for (said, after) in times.values() {
        println!("agent stopped -> {} everywhere: {:.1} s", said.freshness(), after.as_secs_f64());
    }
    hub.stop().await
}
