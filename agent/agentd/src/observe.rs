//! What an agent shows of itself on its admin endpoint: whether it can work, and its numbers. An agent whose hub is away is ready: it heals.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use agent_cluster::Role;
use agent_link::LinkState;
use shared_daemon::{Check, Counter, Gauge, Metric, MetricError, Readiness, Registry};
use shared_model::{Generation, Health, Timestamp};

use crate::shared::{Confirmed, Part, Problems, Status};

const APPS: Metric<1> = Metric { name: "capstan_agent_apps", help: "Apps in this cluster by health.", labels: ["health"] };
const OBJECTS: Metric<0> = Metric { name: "capstan_agent_objects", help: "Objects that the agent owns.", labels: [] };
const HEALED: Metric<0> =
    Metric { name: "capstan_agent_healed_total", help: "Objects that drifted and were set right since the agent's start.", labels: [] };
const CONNECTED: Metric<0> = Metric { name: "capstan_agent_connected", help: "1 while the hub is connected, 0 otherwise.", labels: [] };
const GENERATION: Metric<1> = Metric {
    name: "capstan_agent_index_generation",
    help: "The number of the newest accepted index, its epoch and its sequence.",
    labels: ["part"],
};
const CONFIRMED: Metric<0> = Metric {
    name: "capstan_agent_freshness_age_seconds",
    help: "Seconds since the hub said last that it wants this index; absent before it said so for the first time.",
    labels: [],
};
const WRITER: Metric<0> = Metric { name: "capstan_agent_writer", help: "1 while this agent holds the lease and writes.", labels: [] };

/// How often ages are brought up to date.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The agent's checks and metrics.
pub(crate) struct Observer {
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) enrolled: Check,
    pub(crate) api_server: Check,
    pub(crate) ledger: Check,
    hub: Check,
    apps: Gauge<1>,
    objects: Gauge<0>,
    healed: Counter<0>,
    healed_before: u64,
    connected: Gauge<0>,
    generation: Gauge<1>,
    confirmed: Gauge<0>,
    writer: Gauge<0>,
}

/// Everything that is looked at.
pub(crate) struct Sight<'a> {
    pub(crate) now: Timestamp,
    pub(crate) status: &'a Status,
    pub(crate) problems: &'a Problems,
    pub(crate) link: &'a LinkState,
    pub(crate) generation: Generation,
    pub(crate) confirmed: Option<Confirmed>,
}

impl Observer {
    pub(crate) fn new() -> Result<Self, MetricError> {
        let registry = Registry::new("capstan-agent", env!("CARGO_PKG_VERSION"), SystemTime::now())?;
        let readiness = Readiness::new();
        let hub = readiness.check("hub");
        hub.pass("not asked yet");
        Ok(Self {
            enrolled: readiness.check("enrolled"),
            api_server: readiness.check("api-server"),
            ledger: readiness.check("ledger"),
            hub,
            apps: registry.gauge(APPS)?,
            objects: registry.gauge(OBJECTS)?,
            healed: registry.counter(HEALED)?,
            healed_before: 0,
            connected: registry.gauge(CONNECTED)?,
            generation: registry.gauge(GENERATION)?,
            confirmed: registry.gauge(CONFIRMED)?,
            writer: registry.gauge(WRITER)?,
            registry,
            readiness,
        })
    }

    /// Brings checks and metrics up to date.
    pub(crate) fn look(&mut self, sight: &Sight<'_>) {
        self.check(sight);
        self.measure(sight);
    }

    fn check(&self, sight: &Sight<'_>) {
        match sight.problems.get(&Part::Ledger) {
            Some(problem) => self.ledger.fail(problem.clone()),
            None => self.ledger.pass("writable"),
        }
        match (sight.problems.get(&Part::ApiServer), &sight.status.role) {
            (Some(problem), _) => self.api_server.fail(problem.clone()),
            (None, None) => self.api_server.fail("the lease was not asked yet"),
            (None, Some(Role::Writer)) => self.api_server.pass("reached; this agent holds the lease and writes"),
            // A successor must be ready before its predecessor goes.
            (None, Some(Role::Reader { holder })) => {
                self.api_server.pass(format!("reached; {holder} holds the lease, this agent only reads"));
            }
        }
        match sight.link {
            LinkState::Connecting => self.hub.pass("connecting; healing goes on"),
            LinkState::Connected { since, version, .. } => self.hub.pass(format!("connected since {since}, protocol {version}")),
            LinkState::Away { reason, .. } => self.hub.pass(format!("away: {reason}; healing goes on")),
        }
    }

    fn measure(&mut self, sight: &Sight<'_>) {
        let status = sight.status;
        let mut apps: BTreeMap<Health, f64> = Health::ALL.into_iter().map(|health| (health, 0.0)).collect();
        for app in status.apps.values() {
            *apps.entry(app.health).or_default() += 1.0;
        }
        self.apps.replace(apps.iter().map(|(health, count)| ([health.as_str()], *count)));
        self.objects.set([], status.apps.values().map(|app| f64::from(app.objects)).sum());
        self.healed.add([], status.healed.saturating_sub(self.healed_before));
        self.healed_before = status.healed;
        self.connected.set([], f64::from(u8::from(sight.link.is_connected())));
        self.writer.set([], f64::from(u8::from(status.role == Some(Role::Writer))));
        self.generation.set(["epoch"], sight.generation.epoch.0 as f64);
        self.generation.set(["sequence"], sight.generation.sequence.0 as f64);
        if let Some(confirmed) = sight.confirmed {
            self.confirmed.set([], sight.now.duration_since(confirmed.received).as_secs_f64().max(0.0));
        }
    }
}
