//! The agent's loop: look at the whole present state, plan, carry the plan out, report. It is woken by anything and told nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{Cluster, ClusterError, Discovery, Mark, Refusal, Resource, Role, View, Watches};
use agent_plan::{Attempts, Compared, Guardrail, Input, Inventory, KindState, Kinds, Observed, Plan, PrunePermit, Step, plan};
use futures_util::StreamExt as _;
use shared_model::{AppName, Clock, Digest, FieldChange, GroupKind, ObjectKey, Reason, Severity, Timestamp};
use shared_release::{Entry, Heal};
use tokio::sync::watch;

use crate::copy::Copy;
use crate::desired::Wanted;
use crate::execute::Execution;
use crate::shared::{Shared, Status};

/// Requests in flight at once. The API server is not faster with more, only slower to others (16 in flight give its full rate for ConfigMaps).
pub(crate) const IN_FLIGHT: usize = 8;

/// How long discovery is believed before a kind that is missing is looked for again.
const REDISCOVER: Duration = Duration::from_secs(2);

/// How long what is told of the cluster (its version, its API versions) is believed: an upgrade shows within ten minutes, for three requests.
const FACTS_FOR: Duration = Duration::from_secs(600);

/// After this the loop plans again even if nothing happened, so that no missed wake-up lasts.
const IDLE: Duration = Duration::from_secs(60);

/// Freshness older than this allows no deletion: the hub may want something else by now. Six heartbeats were missed.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// What was found when an object was last compared.
struct Compare {
    mark: Mark,
    digest: Digest,
    changes: Vec<FieldChange>,
}

/// One agent in its loop.
pub(crate) struct Agent {
    pub(crate) cluster: Cluster,
    pub(crate) guardrail: Guardrail,
    pub(crate) view: Arc<View>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) attempts: Attempts,
    pub(crate) discovery: Discovery,
    pub(crate) deletions: VecDeque<Timestamp>,
    /// Discovery is out of date: a kind was missing or went away.
    pub(crate) rediscover: bool,
    watches: Watches,
    pub(crate) healed: u64,
    kubernetes: String,
    api_versions: Arc<BTreeSet<String>>,
    discovered: Option<Timestamp>,
    discovery_failure: Option<Reason>,
    comparisons: BTreeMap<ObjectKey, Compare>,
    wanted: Arc<Wanted>,
    role: watch::Receiver<Option<Role>>,
    stopped: watch::Receiver<bool>,
    copy: Copy,
}

impl Agent {
    pub(crate) fn new(
        cluster: Cluster,
        guardrail: Guardrail,
        shared: Arc<Shared>,
        clock: Clock,
        role: watch::Receiver<Option<Role>>,
        stopped: watch::Receiver<bool>,
        copy: Copy,
    ) -> Self {
        let view = shared.view.clone();
        Self {
            watches: Watches::new(cluster.clone(), view.clone()),
            cluster,
            guardrail,
            view,
            shared,
            clock,
            attempts: Attempts::default(),
            discovery: Discovery::default(),
            deletions: VecDeque::new(),
            rediscover: true,
            healed: 0,
            kubernetes: String::new(),
            api_versions: Arc::default(),
            discovered: None,
            discovery_failure: None,
            comparisons: BTreeMap::new(),
            wanted: Arc::default(),
            role,
            stopped,
            copy,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Runs until it is to stop, and then to the end of its turn.
    pub(crate) async fn run(mut self) {
        while !self.is_stopped() {
            let wake = self.turn().await;
            let pause = wake.map_or(IDLE, |at| Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default()).min(IDLE);
            tokio::select! {
                () = self.view.changed() => {}
                () = self.shared.nudged() => {}
                Ok(()) = self.role.changed() => {}
                _ = self.stopped.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look at everything, and what follows from it. Returns when to look again at the latest.
    async fn turn(&mut self) -> Option<Timestamp> {
        let now = self.clock.now();
        self.want();
        let inventory = self.shared.ledger().inventory().clone();
        self.discover(&inventory, now).await;
        self.look(&inventory).await;
        let inventory = self.compare_suspects(inventory).await;
        let plan = self.decide(&inventory, now);
        let wake = plan.wake;
        self.remember(&plan, now);
        let writer = matches!(*self.role.borrow(), Some(Role::Writer));
        let steps = if writer { plan.steps.clone() } else { Vec::new() };
        let busy = !steps.is_empty();
        self.report(&plan);
        self.carry_out(inventory, &plan, steps).await;
        if writer {
            self.copy.bring_up_to_date(&self.shared, &self.wanted.digests, self.clock.now()).await;
        }
        let rediscovery = self.rediscover.then(|| now + REDISCOVER);
        let again = busy.then_some(now);
        [wake, rediscovery, again, self.copy.retry_at()].into_iter().flatten().min()
    }

    /// Reads the index in force anew if it changed.
    fn want(&mut self) {
        let signed = self.shared.ledger().index().cloned();
        if signed.as_ref().map(shared_release::SignedIndex::digest) == self.wanted.index && !self.wanted.is_incomplete() {
            return;
        }
        let wanted = Wanted::read(signed.as_ref(), self.shared.contents(), &self.wanted);
        for (app, content) in &wanted.desired.apps {
            let before = self.wanted.desired.apps.get(app).map(|app| &app.release);
            let same = matches!((before, &content.release), (Some(Ok(Some((a, _)))), Ok(Some((b, _)))) if a == b);
            if !same {
                self.attempts.forgive(app);
            }
        }
        self.wanted = Arc::new(wanted);
    }

    /// Learns which kinds are served, if that is needed, and watches those that matter.
    async fn discover(&mut self, inventory: &Inventory, now: Timestamp) {
        let mut interest: BTreeSet<ObjectKey> = inventory.iter().map(|(_, key, _)| key.clone()).collect();
        interest.extend(self.wanted.keys().cloned());
        let kinds: BTreeSet<&GroupKind> = interest.iter().map(|key| &key.kind).collect();
        let missing = kinds.iter().any(|kind| !matches!(self.discovery.state(kind), KindState::Served(_)));
        let older_than = |limit| self.discovered.is_none_or(|at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= limit));
        if ((missing || self.rediscover) && older_than(REDISCOVER)) || older_than(FACTS_FOR) {
            self.discovered = Some(now);
            match self.cluster.discover().await {
                Ok(discovery) => {
                    self.api_versions = Arc::new(discovery.api_versions());
                    if let Ok(version) = self.cluster.version().await {
                        self.kubernetes = version;
                    }
                    self.discovery = discovery;
                    self.discovery_failure = None;
                    self.rediscover = false;
                }
                Err(error) => {
                    tracing::warn!(%error, "discovery failed");
                    self.discovery_failure = Some(error.reason());
                    self.rediscover = true;
                }
            }
        }
        // A kind that is wanted and not served may be served soon: its definition may be on its way.
        let still_missing = kinds.iter().any(|kind| !matches!(self.discovery.state(kind), KindState::Served(_)));
        self.rediscover |= still_missing;
        let served: BTreeMap<GroupKind, Resource> =
            kinds.iter().filter_map(|kind| Some(((*kind).clone(), self.resource(kind, "")?.clone()))).collect();
        self.view.set_interest(interest);
        self.watches.set(served);
    }

    fn resource(&self, kind: &GroupKind, version: &str) -> Option<&Resource> {
        self.discovery.resource(kind, version).filter(|resource| resource.watchable)
    }

    /// Looks once at each object that no list has covered.
    async fn look(&self, inventory: &Inventory) {
        let about_to_create = |key: &ObjectKey| {
            inventory.owner(key).is_none() && self.wanted.entry(key).is_some_and(|entry| entry.policy == shared_release::Policy::default())
        };
        let mut looks = Vec::new();
        for key in self.view.unchecked() {
            if let Some(resource) = self.resource(&key.kind, "").filter(|_| !about_to_create(&key)) {
                let (cluster, resource) = (self.cluster.clone(), resource.clone());
                looks.push(async move {
                    let answer = cluster.get(&resource, &key).await;
                    (key, answer)
                });
            }
        }
        let mut answers = futures_util::stream::iter(looks).buffer_unordered(IN_FLIGHT);
        while let Some((key, answer)) = answers.next().await {
            match answer {
                Ok(Some(object)) => self.view.record(&key, &object),
                Ok(None) => self.view.record_absent(&key),
                Err(error) => tracing::debug!(object = %key, %error, "an object could not be read"),
            }
        }
    }

    /// Compares every applied object whose mark moved since it was last compared: one GET each. Returns the inventory with what
    /// autoscalers were found to govern.
    async fn compare_suspects(&mut self, mut inventory: Inventory) -> Inventory {
        let mut suspects = Vec::new();
        for (app, entry) in self.wanted.entries() {
            let key = &entry.object;
            let applied = inventory.get(app, key).filter(|owned| owned.applied == Some(entry.digest));
            let (Some(owned), Some((Observed::Present(present), Some(mark)))) = (applied, self.view.observed(key)) else { continue };
            let known = self.comparisons.get(key).is_some_and(|known| known.mark == mark && known.digest == entry.digest);
            if !known && !present.deleting && entry.policy.heal != Heal::None {
                suspects.push((app.clone(), entry.clone(), owned.yielded.clone()));
            }
        }
        let looks = suspects.into_iter().filter_map(|(app, entry, yielded)| {
            let resource = self.resource(&entry.object.kind, &entry.version)?.clone();
            let (cluster, key) = (self.cluster.clone(), entry.object.clone());
            Some(async move { (app, entry, yielded, cluster.get(&resource, &key).await) })
        });
        let answers: Vec<_> = futures_util::stream::iter(looks).buffer_unordered(IN_FLIGHT).collect().await;
        for (app, entry, yielded, answer) in answers {
            match answer {
                Ok(Some(live)) => {
                    self.view.record(&entry.object, &live);
                    let yields = self.compare(&app, &entry, &yielded, &live);
                    let kept = &mut inventory.entry(&app, &entry.object).kept;
                    kept.retain(|path, _| agent_plan::kept_by(&live, path, agent_cluster::FIELD_MANAGER).is_some());
                    if !yields.is_empty() {
                        tracing::info!(%app, object = %entry.object, fields = ?yields, "left to an autoscaler");
                        inventory.entry(&app, &entry.object).yielded.extend(yields);
                    }
                }
                Ok(None) => self.view.record_absent(&entry.object),
                Err(error) => tracing::debug!(object = %entry.object, %error, "an object could not be compared"),
            }
        }
        inventory
    }

    /// Compares one live object with what is wanted and remembers the outcome. Returns the fields that an autoscaler governs.
    pub(crate) fn compare(
        &mut self,
        app: &AppName,
        entry: &Entry,
        yielded: &BTreeSet<String>,
        live: &serde_json::Value,
    ) -> BTreeSet<String> {
        let wanted = match self.shared.ledger_object(app, entry) {
            Ok(wanted) => wanted,
            Err(reason) => {
                tracing::warn!(%app, object = %entry.object, %reason, "the wanted content cannot be read");
                return BTreeSet::new();
            }
        };
        let ignore: BTreeSet<String> = entry.policy.ignore.union(yielded).cloned().collect();
        let comparison = agent_plan::compare(&wanted, live, &ignore, agent_cluster::FIELD_MANAGER);
        let mark = agent_plan::fingerprint(live);
        self.comparisons.insert(entry.object.clone(), Compare { mark, digest: entry.digest, changes: comparison.changes });
        comparison.yields
    }

    fn decide(&mut self, inventory: &Inventory, now: Timestamp) -> Plan {
        let mut objects = BTreeMap::new();
        let mut kinds = Kinds::new();
        for key in self.wanted.keys().chain(inventory.iter().map(|(_, key, _)| key)) {
            if !kinds.contains_key(&key.kind) {
                kinds.insert(key.kind.clone(), self.kind_state(&key.kind));
            }
            if objects.contains_key(key) {
                continue;
            }
            let observed = match self.view.observed(key) {
                Some((Observed::Present(mut present), Some(mark))) => {
                    if let Some(known) = self.comparisons.get(key).filter(|known| known.mark == mark) {
                        present.compared = Compared::With { digest: known.digest, changes: known.changes.clone() };
                    }
                    Observed::Present(present)
                }
                Some((observed, _)) => observed,
                None => continue,
            };
            objects.insert(key.clone(), observed);
        }
        self.comparisons.retain(|key, _| objects.contains_key(key));
        self.deletions.retain(|at| Duration::try_from(now.duration_since(*at)).is_ok_and(|age| age < Duration::from_secs(3600)));
        let prune = self.prune_permit(now);
        plan(&Input {
            now,
            desired: &self.wanted.desired,
            inventory,
            objects: &objects,
            kinds: &kinds,
            attempts: &self.attempts,
            guardrail: &self.guardrail,
            prune: &prune,
            deletions_last_hour: u32::try_from(self.deletions.len()).unwrap_or(u32::MAX),
        })
    }

    fn kind_state(&self, kind: &GroupKind) -> KindState {
        match (self.discovery.state(kind), &self.discovery_failure) {
            (KindState::NotServed, Some(reason)) => KindState::Unknown(reason.clone()),
            (state, _) => state,
        }
    }

    fn prune_permit(&self, now: Timestamp) -> PrunePermit {
        let fresh = self.shared.freshness().filter(|confirmed| Some(confirmed.index) == self.wanted.index);
        let age = fresh.and_then(|confirmed| Duration::try_from(now.duration_since(confirmed.received)).ok());
        match age {
            Some(age) if age < FRESH_FOR => PrunePermit::Granted,
            _ => PrunePermit::Held(Reason::new(
                Severity::Wait,
                "HubAway",
                "deletions wait until the hub says again that this index is what it wants; healing goes on",
            )),
        }
    }

    /// Takes down what the plan has found out, before anything is done about it.
    fn remember(&mut self, plan: &Plan, now: Timestamp) {
        for (app, app_plan) in &plan.apps {
            for (object, changes) in &app_plan.drifted {
                self.attempts.drifted(app, object, changes, now);
            }
            for object in &app_plan.settled {
                self.attempts.settled(app, object, now);
            }
        }
        let wanted = self.wanted.clone();
        self.attempts.retain(|app, object| wanted.desired.apps.contains_key(app) && wanted.entry(object).is_some());
    }

    async fn carry_out(&mut self, inventory: Inventory, plan: &Plan, steps: Vec<Step>) {
        let mut execution = Execution { agent: self, inventory };
        for (app, app_plan) in &plan.apps {
            if let Some(release) = app_plan.completed {
                tracing::info!(%app, release = %release.short(), "the release is applied");
                execution.inventory.apps.entry(app.clone()).or_default().release = Some(release);
            }
            if let Some(release) = app_plan.rolled_out {
                tracing::info!(%app, release = %release.short(), "the release is rolled out, hooks included");
                let hooks = &mut execution.inventory.apps.entry(app.clone()).or_default().hooks;
                hooks.begin(release);
                hooks.over = true;
            }
        }
        execution.run(steps).await;
    }

    fn report(&self, plan: &Plan) {
        let mut apps: BTreeMap<_, _> = plan.apps.iter().map(|(app, app_plan)| (app.clone(), app_plan.state.clone())).collect();
        for (app, state) in &mut apps {
            state.drift = self.attempts.drift(app);
        }
        let settled = plan.apps.values().all(|app| app.state.wanted == app.state.applied && app.state.awaiting_approval.is_empty());
        let applied = self.wanted.index.filter(|_| settled);
        self.shared.report(Status {
            apps,
            held: self.wanted.index,
            applied,
            role: self.role.borrow().clone(),
            kubernetes: self.kubernetes.clone(),
            api_versions: self.api_versions.clone(),
            healed: self.healed,
        });
    }

    /// What the API server's answer to a write says about the rest of the world.
    pub(crate) fn learn_from(&mut self, error: &ClusterError) {
        if error.refusal() == Some(Refusal::KindNotServed) {
            self.rediscover = true;
        }
    }
}
