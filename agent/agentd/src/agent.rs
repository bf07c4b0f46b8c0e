//! The agent's loop: look at the whole present state, plan, carry the plan out, report. It is woken by anything and told nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_cluster::{Cluster, ClusterError, Discovery, Keys, Refusal, Resource, Role, View, Watches};
use agent_plan::{Attempts, Compared, Guardrail, Input, Inventory, KindState, Kinds, Observed, Owned, Plan, Planning, PrunePermit, Step};
use futures_util::{FutureExt as _, StreamExt as _};
use shared_model::{AppName, Clock, GroupKind, ObjectKey, Reason, ServiceAccount, Severity, Timestamp};
use shared_release::{Entry, Heal};
use tokio::sync::watch;

use crate::causes::{Causes, Means};
use crate::compared::{Compare, Comparisons};
use crate::copy::Copy;
use crate::deletions::Deletions;
use crate::desired::Wanted;
use crate::execute::{Execution, Outcome};
use crate::fault_point::FaultPoint;
use crate::rests::Rests;
use crate::scope::{Planned, Scope};
use crate::shared::{Shared, Status};
use crate::under_way::UnderWay;

/// Requests in flight at once. The API server is not faster with more, only slower to others (16 in flight give its full rate for ConfigMaps).
pub(crate) const IN_FLIGHT: usize = 8;

/// How long discovery is believed before a kind that is missing is looked for again: at first, and at most when nothing new is found.
const REDISCOVER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// How long what is told of the cluster (its version, its API versions) is believed: an upgrade shows within ten minutes, for three requests.
const FACTS_FOR: Duration = Duration::from_secs(600);

/// Apps that are planned at once: 50 of ten objects each, at some 700 bytes for what is looked at, are 350 KB.
const PLANNED_AT_ONCE: usize = 50;

/// How long an agent that starts waits for its first lists before it says of each object that it was not observed yet. That would be told to the hub, and
/// taken back a second later; a kind whose list hangs holds up the first plan no longer than this.
const FIRST_LISTS: Duration = Duration::from_secs(3);

/// After this the loop plans again even if nothing happened, so that no missed wake-up lasts.
const IDLE: Duration = Duration::from_secs(60);

/// Freshness older than this allows no deletion: the hub may want something else by now. Six heartbeats were missed.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(60);

/// One agent in its loop.
pub(crate) struct Agent {
    pub(crate) cluster: Cluster,
    pub(crate) guardrail: Guardrail,
    pub(crate) view: Arc<View>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) attempts: Attempts,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) deletions: Arc<Deletions>,
    /// Discovery is out of date: a kind was missing or went away.
    pub(crate) rediscover: bool,
    watches: Watches,
    pub(crate) healed: u64,
    kubernetes: String,
    api_versions: Arc<BTreeSet<String>>,
    discovered: Option<Timestamp>,
    discovery_failure: Option<Reason>,
    comparisons: Comparisons,
    /// What the apps that a turn does not look at came to.
    pub(crate) planned: Planned,
    /// For which index and which revision of the inventory it was said what matters.
    interest_of: Option<(Arc<Wanted>, u64)>,
    kinds: BTreeSet<GroupKind>,
    pub(crate) wanted: Arc<Wanted>,
    role: watch::Receiver<Option<Role>>,
    stopped: watch::Receiver<bool>,
    copy: Copy,
    /// Steps that were asked and not answered.
    pub(crate) under_way: UnderWay<Outcome>,
    /// When steps that wait for them go on without them.
    pub(crate) held_back_until: Option<Timestamp>,
    /// Whose rights each app is written with, as the newest plan says.
    accounts: Arc<BTreeMap<AppName, Option<ServiceAccount>>>,
    /// Kinds that could not be read.
    rests: Rests,
    causes: Causes,
    rediscover_after: Duration,
    doubts: watch::Receiver<u64>,
    /// Until when the first lists are waited for.
    first_lists: Instant,
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
        let doubts = view.doubts();
        let comparisons = Comparisons::new(shared.ledger().settled());
        let first_lists = Instant::now() + FIRST_LISTS;
        Self {
            watches: Watches::new(cluster.clone(), view.clone(), guardrail.installed_for.clone()),
            cluster,
            guardrail,
            view,
            shared,
            clock,
            attempts: Attempts::default(),
            discovery: Arc::default(),
            deletions: Arc::default(),
            rediscover: true,
            healed: 0,
            kubernetes: String::new(),
            api_versions: Arc::default(),
            discovered: None,
            discovery_failure: None,
            comparisons,
            planned: Planned::default(),
            interest_of: None,
            kinds: BTreeSet::new(),
            wanted: Arc::default(),
            role,
            stopped,
            copy,
            under_way: UnderWay::default(),
            held_back_until: None,
            accounts: Arc::default(),
            rests: Rests::default(),
            causes: Causes::default(),
            rediscover_after: REDISCOVER.0,
            doubts,
            first_lists,
        }
    }

    /// Whether this agent holds the lease, so that it may write.
    pub(crate) fn is_writer(&self) -> bool {
        matches!(*self.role.borrow(), Some(Role::Writer))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Runs until it is to stop, and then to the end of its turn.
    pub(crate) async fn run(mut self) {
        while !self.is_stopped() {
            let wake = self.turn().await;
            let pause = wake.map_or(IDLE, |at| Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default()).min(IDLE);
            let late = tokio::select! {
                () = self.view.changed() => None,
                () = self.shared.nudged() => None,
                Ok(()) = self.role.changed() => None,
                _ = self.stopped.changed() => None,
                Some(late) = self.under_way.next() => Some(late),
                () = tokio::time::sleep(pause) => None,
            };
            if let Some((step, outcome)) = late {
                self.take_late(&step, outcome);
            }
        }
        self.note_settled(self.clock.now());
    }

    /// One look at everything, and what follows from it. Returns when to look again at the latest.
    async fn turn(&mut self) -> Option<Timestamp> {
        let now = self.clock.now();
        self.take_doubts();
        self.want();
        let inventory = self.shared.ledger().inventory().clone();
        self.discover(&inventory, now).await;
        let patience = self.first_lists.saturating_duration_since(Instant::now());
        if !patience.is_zero() && self.view.is_starting() {
            return Some(now + patience);
        }
        self.look(&inventory).await;
        let kinds: Kinds = self.kinds.iter().map(|kind| (kind.clone(), self.kind_state(kind))).collect();
        let scope = self.scope(&inventory, &kinds, now);
        let inventory = self.compare_suspects(inventory, &scope).await;
        let mut plan = self.decide(&inventory, &kinds, &scope, now);
        let wake = plan.wake;
        self.remember(&plan, now);
        self.note_settled(now);
        let writer = self.is_writer();
        let mut steps = std::mem::take(&mut plan.steps);
        steps.retain(|step| writer && !self.under_way.is_busy(&step.object));
        let noted = writer && (plan.test_notes().next().is_some() || plan.removals().next().is_some());
        self.report(&scope, &mut plan);
        self.held_back_until = None;
        let progress = self.carry_out(inventory, &plan, steps).await || noted;
        if writer {
            self.copy.bring_up_to_date(&self.shared, &self.wanted, self.clock.now()).await;
        }
        let means = Means { cluster: &self.cluster, view: &self.view, discovery: &self.discovery, lines: self.guardrail.crash_lines };
        let causes = if writer { self.causes.look(self.clock.now(), &means) } else { None };
        let rediscovery = self.rediscover.then(|| now + self.rediscover_after);
        let again = progress.then_some(now);
        if progress {
            self.shared.points.pass(FaultPoint::BetweenWaves);
        }
        [wake, rediscovery, again, self.copy.retry_at(), self.rests.next(), self.comparisons.write_at(), causes, self.held_back_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Forgets what rests on what was seen of the cluster, if that may not be so any more.
    fn take_doubts(&mut self) {
        if self.doubts.has_changed().unwrap_or(false) {
            self.doubts.mark_unchanged();
            self.comparisons.forget();
            self.planned.doubt();
            self.copy.doubt();
            self.look_for_kinds();
        }
    }

    /// Discovery is out of date.
    pub(crate) fn look_for_kinds(&mut self) {
        (self.rediscover, self.rediscover_after) = (true, REDISCOVER.0);
    }

    /// Takes in a step that was answered after its turn.
    fn take_late(&mut self, step: &Step, outcome: Option<Outcome>) {
        let inventory = self.shared.ledger().inventory().clone();
        let accounts = self.accounts.clone();
        self.planned.touch(&step.app);
        Execution { agent: self, inventory, accounts }.take_late(step, outcome);
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
        self.view.set_rules(wanted.rules().clone());
        self.wanted = Arc::new(wanted);
        self.rediscover_after = REDISCOVER.0;
    }

    /// Learns which kinds are served, if that is needed, and watches those that matter.
    async fn discover(&mut self, inventory: &Arc<Inventory>, now: Timestamp) {
        let (_, revision) = self.shared.ledger().core_revision();
        let is_new = |(wanted, known): &(Arc<Wanted>, u64)| !Arc::ptr_eq(wanted, &self.wanted) || *known != revision;
        let interest = self.interest_of.as_ref().is_none_or(is_new).then(|| {
            let mut keys: Keys = self.wanted.keys().cloned().collect();
            let others: Vec<_> = inventory.iter().filter(|(_, key, _)| !keys.contains(*key)).map(|(_, key, _)| key.clone()).collect();
            keys.extend(others);
            keys
        });
        if let Some(interest) = &interest {
            self.kinds = interest.iter().map(|key| &key.kind).collect::<BTreeSet<_>>().into_iter().cloned().collect();
            self.interest_of = Some((self.wanted.clone(), revision));
        }
        let kinds = self.kinds.clone();
        let missing = kinds.iter().any(|kind| !matches!(self.discovery.state(kind), KindState::Served(_)));
        if self.view.take_unserved() {
            self.look_for_kinds();
        }
        let older_than = |limit| self.discovered.is_none_or(|at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= limit));
        if ((missing || self.rediscover) && older_than(self.rediscover_after)) || older_than(FACTS_FOR) {
            self.discovered = Some(now);
            match self.cluster.discover().await {
                Ok(discovery) => {
                    if let Some(versions) = discovery.api_versions() {
                        self.api_versions = Arc::new(versions);
                    }
                    if let Ok(version) = self.cluster.version().await {
                        self.kubernetes = version;
                    }
                    self.rediscover_after = match *self.discovery == discovery {
                        true => (self.rediscover_after * 2).min(REDISCOVER.1),
                        false => REDISCOVER.0,
                    };
                    self.discovery = Arc::new(discovery);
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
            kinds.iter().filter_map(|kind| Some((kind.clone(), self.resource(kind, "")?.clone()))).collect();
        if let Some(interest) = interest {
            self.view.set_interest(interest);
        }
        self.watches.set(served);
    }

    fn resource(&self, kind: &GroupKind, version: &str) -> Option<&Resource> {
        self.discovery.resource(kind, version).filter(|resource| resource.watchable)
    }

    /// Reads an object, unless its kind rests because others of it could not be read.
    async fn read(&self, resource: &Resource, key: &ObjectKey) -> Option<Result<Option<serde_json::Value>, ClusterError>> {
        if self.rests.contains(&key.kind, self.clock.now()) {
            return None;
        }
        let answer = self.cluster.get(resource, key).await;
        self.rests.note(&key.kind, answer.is_ok(), self.clock.now());
        Some(answer)
    }

    /// Looks once at each object that no list has covered.
    async fn look(&self, inventory: &Inventory) {
        let unchecked = self.view.unchecked();
        if unchecked.is_empty() {
            return;
        }
        let owned: BTreeSet<&ObjectKey> = inventory.iter().map(|(_, key, _)| &**key).collect();
        let about_to_create = |key: &ObjectKey| {
            let plain = |entry: &Entry| entry.policy == shared_release::Policy::default() && entry.hook.is_none();
            !owned.contains(key) && self.wanted.entry(key).is_some_and(plain)
        };
        let mut looks = Vec::new();
        for key in unchecked {
            // An answer about what is just being written would be out of date when it comes.
            let leave = about_to_create(&key) || self.under_way.is_busy(&key);
            if let Some(resource) = self.resource(&key.kind, "").filter(|_| !leave) {
                let resource = resource.clone();
                looks.push(
                    async move {
                        let answer = self.read(&resource, &key).await;
                        (key, answer)
                    }
                    .boxed(),
                );
            }
        }
        let mut answers = futures_util::stream::iter(looks).buffer_unordered(IN_FLIGHT);
        while let Some((key, answer)) = answers.next().await {
            match answer {
                Some(Ok(Some(object))) => self.view.record(&key, &object),
                Some(Ok(None)) => self.view.record_absent(&key),
                Some(Err(error)) => tracing::debug!(object = %key, %error, "an object could not be read"),
                None => {}
            }
        }
    }

    /// Compares every applied object whose mark moved since it was last compared: one GET each. Returns the inventory with what
    /// autoscalers were found to govern.
    async fn compare_suspects(&mut self, mut inventory: Arc<Inventory>, scope: &Scope) -> Arc<Inventory> {
        let mut suspects = Vec::new();
        let wanted = self.wanted.clone();
        let entries: Vec<_> = match scope {
            Scope::Everything => wanted.entries().collect(),
            Scope::Apps(apps) => apps.iter().flat_map(|app| wanted.entries_of(app)).collect(),
        };
        for (app, entry) in entries {
            let key = &entry.object;
            let applied = inventory.get(app, key).filter(|owned| owned.applied == Some(entry.digest));
            let (Some(owned), Some(mark)) = (applied, self.view.mark(key)) else { continue };
            if !self.under_way.is_busy(key) && entry.policy.heal != Heal::None && !self.comparisons.knows(entry, &owned.yielded, &mark) {
                suspects.push((app, entry, owned));
            }
        }
        let asked = suspects.len();
        let (agent, shared, view) = (&*self, &*self.shared, &*self.view);
        let looks = suspects.into_iter().filter_map(|(app, entry, owned)| {
            let resource = agent.resource(&entry.object.kind, &entry.version)?;
            // Boxed, as the compiler cannot see that the loop may move between threads with a stream of these in it.
            Some(
                async move {
                    match agent.read(resource, &entry.object).await? {
                        Ok(Some(live)) => {
                            view.record(&entry.object, &live);
                            Some((app, entry, compare(shared, app, entry, owned, &live)?))
                        }
                        Ok(None) => {
                            view.record_absent(&entry.object);
                            None
                        }
                        Err(error) => {
                            tracing::debug!(object = %entry.object, %error, "an object could not be compared");
                            None
                        }
                    }
                }
                .boxed(),
            )
        });
        let looks: Vec<_> = looks.collect();
        // Each answer is let go as soon as it was compared: after a restore there may be one for every object.
        let found: Vec<_> = futures_util::stream::iter(looks).buffer_unordered(IN_FLIGHT).filter_map(std::future::ready).collect().await;
        if found.len() < asked {
            // Whatever could not be read is looked at again.
            self.planned.doubt();
        }
        let mut changed = Vec::new();
        for (app, entry, (compared, yields, kept)) in found {
            if !yields.is_empty() {
                tracing::info!(%app, object = %entry.object, fields = ?yields, "left to an autoscaler");
            }
            changed.push((app, &entry.object, yields, kept));
            self.comparisons.insert(entry.object.clone(), compared);
        }
        for (app, key, yields, kept) in changed {
            let Some(owned) = inventory.get(app, key) else { continue };
            if owned.kept != kept || !yields.is_subset(&owned.yielded) {
                let owned = Arc::make_mut(&mut inventory).entry(app, key);
                owned.kept = kept;
                owned.yielded.extend(yields);
            }
        }
        inventory
    }

    /// Remembers how an object compared that was applied just now.
    pub(crate) fn compared(&mut self, key: &Arc<ObjectKey>, compared: Compare) {
        self.comparisons.insert(key.clone(), compared);
    }

    /// Writes down what was found as wanted, if it is time.
    fn note_settled(&mut self, now: Timestamp) {
        let inventory = self.shared.ledger().inventory().clone();
        let nothing = BTreeSet::new();
        let entries = self.wanted.entries().map(|(app, entry)| {
            let owned = inventory.get(app, &entry.object);
            (entry, owned.map_or(&nothing, |owned| &owned.yielded))
        });
        let at_once = *self.stopped.borrow();
        let Some(settled) = self.comparisons.settled(now, at_once, entries) else { return };
        if let Err(error) = self.shared.ledger().set_settled(&settled) {
            tracing::warn!(%error, "what was found as wanted is read again at the next start");
        }
    }

    /// What this turn looks at.
    fn scope(&mut self, inventory: &Inventory, kinds: &Kinds, now: Timestamp) -> Scope {
        let wanted = self.wanted.clone();
        self.planned.scope(self.view.take_news(), wanted.index, kinds, now, |key| {
            let mut apps = wanted.apps_of(key);
            // Nearly all objects belong to the app that wants them; who else has one is only found by asking each app.
            if !apps.iter().any(|app| inventory.get(app, key).is_some()) {
                apps.extend(inventory.owner(key).map(|(app, _)| app.clone()));
            }
            apps
        })
    }

    /// The objects that these apps and those that they depend on ask about.
    fn keys<'a>(&'a self, inventory: &'a Inventory, apps: &BTreeSet<AppName>) -> Vec<&'a ObjectKey> {
        let owned = |app: &AppName| inventory.apps.get(app).into_iter().flat_map(|inventory| inventory.objects.keys()).map(Arc::as_ref);
        let needed = apps.iter().flat_map(|app| self.wanted.desired.apps.get(app)).flat_map(|app| &app.depends_on);
        let all: BTreeSet<&AppName> = apps.iter().chain(needed).collect();
        all.into_iter().flat_map(|app| self.wanted.keys_of(app).chain(owned(app))).collect()
    }

    /// Plans the apps of `scope`, some at a time: what is looked at of ten thousand objects at once would be as much memory as all that is kept of
    /// them.
    fn decide(&mut self, inventory: &Inventory, kinds: &Kinds, scope: &Scope, now: Timestamp) -> Plan {
        let apps: BTreeSet<AppName> = match scope {
            Scope::Everything => {
                let wanted = self.wanted.clone();
                self.comparisons.retain(|key| wanted.names(key));
                wanted.desired.apps.keys().chain(inventory.apps.keys()).cloned().collect()
            }
            Scope::Apps(apps) => apps.clone(),
        };
        let prune = self.prune_permit(now);
        let mut planning = Planning::default();
        let mut apps = apps.into_iter();
        loop {
            let group: BTreeSet<AppName> = apps.by_ref().take(PLANNED_AT_ONCE).collect();
            if group.is_empty() {
                return planning.finish();
            }
            let objects = self.observed(&self.keys(inventory, &group));
            let input = Input {
                now,
                desired: &self.wanted.desired,
                inventory,
                objects: &objects,
                kinds,
                attempts: &self.attempts,
                guardrail: &self.guardrail,
                prune: &prune,
                deletions_last_hour: self.deletions.within_an_hour(now),
            };
            planning.add(&input, &group);
        }
    }

    /// What is known of these objects.
    fn observed(&self, keys: &[&ObjectKey]) -> BTreeMap<ObjectKey, Observed> {
        let mut objects = BTreeMap::new();
        for key in keys {
            if objects.contains_key(*key) {
                continue;
            }
            let observed = match self.view.observed(key) {
                Some((Observed::Present(mut present), Some(mark))) => {
                    if let Some(known) = self.comparisons.at(key, &mark) {
                        present.compared = Compared::With { digest: known.digest, changes: known.changes.clone() };
                    }
                    Observed::Present(present)
                }
                Some((observed, _)) => observed,
                None => continue,
            };
            objects.insert(ObjectKey::clone(key), observed);
        }
        objects
    }

    fn kind_state(&self, kind: &GroupKind) -> KindState {
        match (self.discovery.state(kind), &self.discovery_failure) {
            (KindState::NotServed, Some(reason)) => KindState::Unknown(reason.clone()),
            (state, _) => state,
        }
    }

    pub(crate) fn prune_permit(&self, now: Timestamp) -> PrunePermit {
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
        self.attempts.retain(|app, object| wanted.desired.apps.contains_key(app) && wanted.names(object));
    }

    async fn carry_out(&mut self, inventory: Arc<Inventory>, plan: &Plan, steps: Vec<Step>) -> bool {
        if *self.accounts != plan.accounts {
            self.accounts = Arc::new(plan.accounts.clone());
        }
        let accounts = self.accounts.clone();
        let mut execution = Execution { agent: self, inventory, accounts };
        for (app, app_plan) in &plan.apps {
            if let Some(release) = app_plan.completed {
                tracing::info!(%app, release = %release.short(), "the release is applied");
                execution.book().app(app).release = Some(release);
                execution.agent.attempts.completed(app);
            }
            if let Some(release) = app_plan.rolled_out {
                tracing::info!(%app, release = %release.short(), "the release is rolled out, hooks included");
                let hooks = &mut execution.book().app(app).hooks;
                hooks.begin(release);
                hooks.over = true;
            }
        }
        let writer = matches!(*execution.agent.role.borrow(), Some(Role::Writer));
        let now = execution.agent.clock.now();
        for (app, note) in plan.test_notes().filter(|_| writer) {
            tracing::info!(%app, ?note, "the tests of the release");
            execution.book().app(app).take_test_note(note, now);
        }
        for (app, since) in plan.removals().filter(|_| writer) {
            tracing::info!(%app, %since, "the app's removal begins");
            execution.book().app(app).begin_removal(since);
        }
        execution.run(steps).await
    }

    fn report(&mut self, scope: &Scope, plan: &mut Plan) {
        for (app, planned) in &mut plan.apps {
            planned.state.drift = self.attempts.drift(app);
            planned.state.taken_over = self.attempts.taken_over(app);
        }
        let changed = self.planned.take(scope, &mut plan.apps);
        let applied = self.wanted.index.filter(|_| self.planned.is_settled());
        let is_told = {
            let status = self.shared.status();
            let told = status.borrow();
            (told.held, told.applied, told.healed) == (self.wanted.index, applied, self.healed)
                && told.role == *self.role.borrow()
                && told.kubernetes == self.kubernetes
                && told.api_versions == self.api_versions
        };
        if is_told && !changed {
            return;
        }
        self.shared.report(Status {
            apps: self.planned.states().clone(),
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
            self.look_for_kinds();
        }
    }
}

/// A comparison, the fields that an autoscaler governs, and the dropped fields that are still kept there, with who keeps them.
type Look = (Compare, BTreeSet<String>, BTreeMap<Vec<String>, String>);

/// Compares one live object with what is wanted. `None` if what is wanted cannot be read.
fn compare(shared: &Shared, app: &AppName, entry: &Entry, owned: &Owned, live: &serde_json::Value) -> Option<Look> {
    match shared.ledger_object(app, entry) {
        Ok(wanted) => {
            let (compared, yields) = Compare::of(entry, &wanted, &owned.yielded, live);
            let mut kept = owned.kept.clone();
            kept.retain(|path, _| agent_plan::kept_by(live, path, agent_cluster::FIELD_MANAGER).is_some());
            Some((compared, yields, kept))
        }
        Err(reason) => {
            tracing::warn!(%app, object = %entry.object, %reason, "the wanted content cannot be read");
            None
        }
    }
}
