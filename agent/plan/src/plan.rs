//! The plan: for every app its next steps and its state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_health::End;
use shared_model::{
    AppName, AppState, Digest, FieldChange, Generation, GroupKind, Health, ObjectKey, ObjectState, Reason, ServiceAccount, Severity,
    Timestamp,
};
use shared_release::{Apply, Entry, Existing, Heal, Hold, Hook, Ignore, Phase, Release, TestRequest, Withdrawal};

use crate::attempts::Attempts;
use crate::guardrail::Guardrail;
use crate::hook::{self, HookInput};
use crate::inventory::{AppInventory, HookRun, HookRuns, Inventory, Owned};
use crate::observed::{Compared, KindState, Kinds, Objects, Observed, Present};
use crate::order::rank;
use crate::owners::Owners;
use crate::ownership::field_name;
use crate::prune::{PruneInput, PrunePermit, Pruning, plan_prune, unaccounted};
use crate::removal::{DesiredRemoval, Making};
use crate::testing::{TestInput, TestNote, Testing, plan_tests};

/// What the newest accepted index asks for.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// The apps by name.
    pub apps: BTreeMap<AppName, DesiredApp>,
}

/// What it asks of one app.
#[derive(Debug, Clone)]
pub struct DesiredApp {
    /// The release; `None` when the app leaves the cluster; a reason if the release cannot be used, and then the app is left as it is.
    pub release: Result<Option<(Digest, Arc<Release>)>, Reason>,
    /// What the app no longer has.
    pub withdrawals: BTreeSet<Withdrawal>,
    /// The withdrawals, exactly these, were approved.
    pub approved: bool,
    /// The apps that must be healthy at their wanted release before this one changes.
    pub depends_on: BTreeSet<AppName>,
    /// Until when nothing of it is changed.
    pub hold: Option<Hold>,
    /// Whose rights it is written and deleted with; the agent's own if `None`.
    pub service_account: Option<ServiceAccount>,
    /// The request to run the release's tests.
    pub test: Option<TestRequest>,
    /// The removal with hooks, if it leaves the cluster with one. `release` is then `None`, or a reason if its hooks cannot be told.
    pub removal: Option<DesiredRemoval>,
}

impl DesiredApp {
    /// Why nothing of the app is changed at `now`, if somebody holds it.
    pub fn held(&self, now: Timestamp) -> Option<Reason> {
        let hold = self.hold.as_ref().filter(|hold| hold.until > now)?;
        let message = format!("held by {} until {}: {}; nothing is applied, healed or deleted", hold.by, hold.until, hold.reason);
        Some(Reason::new(Severity::Wait, "Held", message))
    }
}

/// The whole present state.
pub struct Input<'a> {
    /// The time, by the agent's clock.
    pub now: Timestamp,
    /// What is wanted.
    pub desired: &'a Desired,
    /// What is owned.
    pub inventory: &'a Inventory,
    /// What is there.
    pub objects: &'a Objects,
    /// What the API server serves.
    pub kinds: &'a Kinds,
    /// What was tried.
    pub attempts: &'a Attempts,
    /// What the cluster's owner lets the hub do.
    pub guardrail: &'a Guardrail,
    /// Whether deleting is possible.
    pub prune: &'a PrunePermit,
    /// Deletions within the last hour.
    pub deletions_last_hour: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Steps of a lower order are done first; steps of one order may be done at once.
    pub order: u32,
    /// For which app.
    pub app: AppName,
    /// To which object.
    pub object: Arc<ObjectKey>,
    /// What.
    pub kind: StepKind,
}

/// What to do with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// Apply it as the entry says.
    Apply {
        /// The entry of the release.
        entry: Arc<Entry>,
        /// It was as wanted before and has these differences now (none: it was deleted). `None` when it is new or its content changed.
        drift: Option<Vec<FieldChange>>,
        /// Fields that keep their live value: the entry's own and those left to autoscalers.
        ignore: BTreeSet<Ignore>,
    },
    /// Try it in a dry run, before anything of its transactional release is written.
    Rehearse {
        /// The entry of the release.
        entry: Arc<Entry>,
        /// The release.
        release: Digest,
    },
    /// Delete it if it still has this uid.
    Delete {
        /// The uid.
        uid: String,
    },
    /// Take it into the inventory: it changes hands, or the inventory was lost.
    Adopt {
        /// The app that had it.
        from: Option<AppName>,
        /// Its uid.
        uid: String,
    },
    /// Take it out of the inventory without touching it.
    Forget(ForgetCause),
    /// Remember how it came to its end.
    Finish {
        /// How.
        end: End,
    },
    /// Run a hook: create its object, or apply it over what is there.
    RunHook {
        /// The entry of the release.
        entry: Arc<Entry>,
        /// The release.
        release: Digest,
        /// The phase.
        phase: Phase,
        /// It ran before in this phase of this release.
        again: bool,
        /// The uid of what is there now.
        over: Option<String>,
    },
    /// Remember how a hook ended.
    EndHook {
        /// The release.
        release: Digest,
        /// The phase.
        phase: Phase,
        /// The uid of its object.
        uid: String,
        /// How.
        end: End,
        /// When its object's time to live ends, if it has one.
        expires: Option<Timestamp>,
    },
    /// Delete a hook's object if it still has this uid: to make room for its next run, or because it ended and its policy says so.
    DeleteHook {
        /// The uid.
        uid: String,
        /// The release and phase of the run that ended.
        ended: Option<(Digest, Phase)>,
    },
}

impl StepKind {
    /// Whether it is carried out by the API server. The others change the inventory alone.
    pub fn asks_the_api_server(&self) -> bool {
        matches!(self, Self::Apply { .. } | Self::Rehearse { .. } | Self::Delete { .. } | Self::RunHook { .. } | Self::DeleteHook { .. })
    }
}

/// Why an object leaves the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgetCause {
    /// It does not exist any more.
    Gone,
    /// Another object has its name now, or its creation was never confirmed.
    NotOurs,
    /// A hook of the app's removal made it, and its policy leaves it.
    LeftBehind,
}

/// The plan for one app.
#[derive(Debug, Clone)]
pub struct AppPlan {
    /// Its state for the report.
    pub state: AppState,
    /// All objects of this release are applied: the inventory should say so.
    pub completed: Option<Digest>,
    /// Everything is healthy at this release and its hooks succeeded: the inventory should say that its rollout is over.
    pub rolled_out: Option<Digest>,
    /// What to write down about its tests, before any step.
    pub testing: Option<TestNote>,
    /// The removal that began with this index begins here: the inventory should say so, before any step of it.
    pub removal_begins: Option<Generation>,
    /// Objects that differ from what is wanted, and how; no fields means that the object was deleted.
    pub drifted: Vec<(Arc<ObjectKey>, Vec<FieldChange>)>,
    /// Objects of which something was tried, that were compared and are as wanted.
    pub settled: Vec<Arc<ObjectKey>>,
    /// Nothing more is to be done until one of its objects changes, or what is wanted of it.
    pub at_rest: bool,
}

/// What to do, and how things are.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The steps, by order.
    pub steps: Vec<Step>,
    /// Whose rights the steps of each app are carried out with; the agent's own if `None`.
    pub accounts: BTreeMap<AppName, Option<ServiceAccount>>,
    /// The apps.
    pub apps: BTreeMap<AppName, AppPlan>,
    /// When to plan again even if nothing happens.
    pub wake: Option<Timestamp>,
}

impl Plan {
    /// What is to be written down about tests, by app.
    pub fn test_notes(&self) -> impl Iterator<Item = (&AppName, &TestNote)> {
        self.apps.iter().filter_map(|(app, app_plan)| Some((app, app_plan.testing.as_ref()?)))
    }

    /// The removals that begin, by app, with the index that they began with.
    pub fn removals(&self) -> impl Iterator<Item = (&AppName, Generation)> {
        self.apps.iter().filter_map(|(app, app_plan)| Some((app, app_plan.removal_begins?)))
    }
}

/// Decides what to do next for all apps.
pub fn plan(input: &Input<'_>) -> Plan {
    let mut planning = Planning::default();
    planning.add(input, &input.desired.apps.keys().chain(input.inventory.apps.keys()).cloned().collect());
    planning.finish()
}

/// A plan that is made of some apps after the others, in the order of their names. What would be planned for apps that are left out is as it was
/// when they were planned last and came to rest.
#[derive(Debug, Default)]
pub struct Planning {
    plan: Plan,
    /// Objects that nobody has and that one of the apps takes.
    taken: BTreeSet<Arc<ObjectKey>>,
    deletions: u32,
}

impl Planning {
    /// Plans these apps. The objects and kinds of `input` need not hold more than they ask about, with those that they depend on; the rest of it is the
    /// same for all apps of the plan.
    pub fn add(&mut self, input: &Input<'_>, apps: &BTreeSet<AppName>) {
        let owners = Owners::of(input.inventory);
        let limit = input.guardrail.deletions_an_hour(false);
        for app in apps {
            let Some(desired) = input.desired.apps.get(app) else {
                self.add_abandoned(app, input);
                continue;
            };
            let planner = AppPlanner { input, app, desired, owners: &owners };
            let (mut app_plan, mut steps, wake) =
                planner.plan(limit.saturating_sub(input.deletions_last_hour).saturating_sub(self.deletions));
            app_plan.at_rest &= steps.is_empty() && wake.is_none() && is_at_rest(&app_plan, desired) && !planner.has_hooks_to_run();
            // Two apps that name an object which nobody has: the first takes it, and the other is told of that by the next plan.
            steps.retain(|step| match &step.kind {
                StepKind::Apply { entry, drift: None, .. } if entry.is_claimed() => self.taken.insert(step.object.clone()),
                _ => true,
            });
            let deletions = steps.iter().filter(|step| matches!(step.kind, StepKind::Delete { .. })).count();
            self.deletions = self.deletions.saturating_add(u32::try_from(deletions).unwrap_or(u32::MAX));
            self.plan.steps.extend(steps);
            self.plan.wake = [self.plan.wake, wake].into_iter().flatten().min();
            self.plan.accounts.insert(app.clone(), desired.service_account.clone());
            self.plan.apps.insert(app.clone(), app_plan);
        }
    }

    fn add_abandoned(&mut self, app: &AppName, input: &Input<'_>) {
        if let Some(inventory) = input.inventory.apps.get(app).filter(|inventory| !inventory.objects.is_empty()) {
            self.plan.apps.insert(app.clone(), abandoned(app, inventory, input));
        }
    }

    /// The plan for all of them.
    pub fn finish(self) -> Plan {
        let mut plan = self.plan;
        plan.steps.sort_by(|a, b| (a.order, &a.app, &a.object).cmp(&(b.order, &b.app, &b.object)));
        plan
    }
}

/// Whether nothing more is to be done for an app of which all is current until one of its objects changes, or what it should be.
fn is_at_rest(plan: &AppPlan, desired: &DesiredApp) -> bool {
    let state = &plan.state;
    let is_open = plan.completed.is_some() || plan.rolled_out.is_some() || !plan.drifted.is_empty() || !state.awaiting_approval.is_empty();
    let tests = plan.testing.is_some() || state.test.as_ref().is_some_and(|test| !test.outcome.is_end());
    let removing = plan.removal_begins.is_some() || (desired.removal.is_some() && !state.removed);
    !is_open && !tests && !removing && state.wanted == state.applied && desired.withdrawals.len() == state.withdrawn.len()
}

/// An app that the index does not name although its objects are here: nothing asked for their deletion, so they stay.
fn abandoned(app: &AppName, inventory: &AppInventory, input: &Input<'_>) -> AppPlan {
    let message = format!("the hub's index does not name this app; its {} objects are kept as they are", inventory.objects.len());
    AppPlan {
        state: AppState {
            wanted: None,
            applied: inventory.release,
            health: Health::Unknown,
            reason: Some(Reason::new(Severity::Warning, "NotInIndex", message)),
            objects: count(inventory),
            unhealthy: Vec::new(),
            drift: input.attempts.drift(app),
            awaiting_approval: Vec::new(),
            withdrawn: Vec::new(),
            removed: false,
            taken_over: input.attempts.taken_over(app),
            test: None,
        },
        completed: None,
        rolled_out: None,
        testing: None,
        removal_begins: None,
        drifted: Vec::new(),
        settled: Vec::new(),
        at_rest: true,
    }
}

/// The objects that are certainly there; an intent to create is not one of them.
fn count(inventory: &AppInventory) -> u32 {
    let confirmed = inventory.objects.values().filter(|owned| owned.uid.is_some()).count();
    u32::try_from(confirmed).unwrap_or(u32::MAX)
}

/// How one entry of a release stands.
pub(crate) struct Standing {
    /// Applied at its wanted content; of a hook: it succeeded.
    current: bool,
    pub(crate) health: Health,
    pub(crate) reason: Option<Reason>,
    pub(crate) step: Option<StepKind>,
    pub(crate) wake: Option<Timestamp>,
    /// What a comparison found: differences, or none.
    compared: Option<Vec<FieldChange>>,
    /// It is gone although it is wanted.
    deleted: bool,
}

impl Standing {
    pub(crate) fn new(current: bool, health: Health, reason: Option<Reason>) -> Self {
        Self { current, health, reason, step: None, wake: None, compared: None, deleted: false }
    }

    /// Whether later waves may go on. What is suspended is held on purpose and holds up nobody else.
    pub(crate) fn is_done(&self) -> bool {
        self.current && matches!(self.health, Health::Healthy | Health::Suspended)
    }
}

/// Plans one app.
pub(crate) struct AppPlanner<'a> {
    pub(crate) input: &'a Input<'a>,
    pub(crate) app: &'a AppName,
    desired: &'a DesiredApp,
    owners: &'a Owners<'a>,
}

impl AppPlanner<'_> {
    fn plan(&self, deletions_left: u32) -> (AppPlan, Vec<Step>, Option<Timestamp>) {
        let nothing = AppInventory::default();
        let inventory = self.input.inventory.apps.get(self.app).map_or(&nothing, |inventory| &**inventory);
        let account = self.input.guardrail.permits_account(self.app, self.desired.service_account.as_ref());
        let (release, unusable) = match (&self.desired.release, account) {
            (Err(reason), _) => (None, Some(reason.clone())),
            (_, Err(reason)) => (None, Some(reason)),
            (Ok(release), Ok(())) => (release.as_ref(), None),
        };
        let mut wake = None;
        let mut steps = Vec::new();
        let mut app_plan = AppPlan {
            state: AppState {
                wanted: release.map(|(digest, _)| *digest),
                applied: inventory.release,
                health: Health::Healthy,
                reason: None,
                objects: count(inventory),
                unhealthy: Vec::new(),
                drift: self.input.attempts.drift(self.app),
                awaiting_approval: Vec::new(),
                withdrawn: Vec::new(),
                removed: false,
                taken_over: self.input.attempts.taken_over(self.app),
                test: None,
            },
            completed: None,
            rolled_out: None,
            testing: None,
            removal_begins: None,
            drifted: Vec::new(),
            settled: Vec::new(),
            at_rest: false,
        };
        let mut blocked = unusable.clone();
        if unusable.is_some() {
            app_plan.state.health = Health::Unknown;
        }
        let mut all_current = unusable.is_none();
        if let Some((digest, release)) = release {
            blocked = self.held().or_else(|| self.waits_for_dependency());
            all_current = self.plan_release((digest, release), blocked.clone(), &mut app_plan, &mut steps, &mut wake);
            if all_current {
                blocked = None;
            }
            if all_current {
                app_plan.state.applied = Some(*digest);
                app_plan.completed = (inventory.release != Some(*digest)).then_some(*digest);
            }
        }
        app_plan.at_rest = all_current;
        let held = self.held().map(PrunePermit::Held);
        let prune = PruneInput {
            app: self.app,
            desired: self.desired,
            inventory,
            objects: self.input.objects,
            waits: (!all_current).then_some("until the release's own objects are applied"),
            settled: None,
            permit: held.as_ref().unwrap_or(self.input.prune),
            guardrail: self.input.guardrail,
            attempts: self.input.attempts,
            now: self.input.now,
            deletions_left_this_hour: deletions_left,
        };
        let pruning = match &self.desired.removal {
            _ if unusable.is_some() => Pruning::default(),
            Some(removal) => {
                let mut making = Making { app_plan: &mut app_plan, steps: &mut steps, wake: &mut wake };
                self.plan_removal(removal, &prune, &mut making)
            }
            None => plan_prune(&prune),
        };
        steps.extend(pruning.steps);
        wake = [wake, pruning.wake].into_iter().flatten().min();
        app_plan.state.withdrawn = pruning.withdrawn;
        app_plan.state.awaiting_approval = pruning.awaiting;
        let mut kept = unaccounted(inventory, self.desired, release.map(|(_, release)| &**release));
        kept.retain(|key| !self.desired.removal.as_ref().is_some_and(|removal| removal.runs(key)));
        if self.desired.removal.is_none() && unusable.is_none() {
            // What a hook of a removal made that was called off is as little the app's as what one of a finished removal left.
            let (left, others) = kept.into_iter().partition::<Vec<_>, _>(|key| inventory.ran_for_removal(key));
            steps.extend(left.into_iter().map(|object| self.leave_behind(object)));
            kept = others;
        }
        app_plan.state.reason = blocked
            .or_else(|| app_plan.state.unhealthy.iter().max_by_key(|object| object.health).and_then(|object| object.reason.clone()))
            .or(pruning.reason)
            .or_else(|| kept_reason(&kept).filter(|_| unusable.is_none()));
        let testing = self.plan_tests(release, unusable.as_ref(), all_current, inventory, &app_plan);
        wake = [wake, testing.wake].into_iter().flatten().min();
        steps.extend(testing.step.map(|(object, kind)| Step { order: step_order(&object, &kind), app: self.app.clone(), object, kind }));
        app_plan.testing = testing.note;
        app_plan.state.test = testing.report;
        if let Some(reason) = self.held() {
            steps.retain(|step| !step.kind.asks_the_api_server());
            wake = [wake, self.desired.hold.as_ref().map(|hold| hold.until)].into_iter().flatten().min();
            app_plan.state.reason = Some(reason);
        }
        (app_plan, steps, wake)
    }

    /// Whether hooks of the release have yet to run: they may wait for another app.
    fn has_hooks_to_run(&self) -> bool {
        let runs = self.input.inventory.apps.get(self.app).map(|inventory| &inventory.hooks);
        let Ok(Some((digest, release))) = &self.desired.release else { return false };
        let over = runs.is_some_and(|runs| runs.over && runs.release.as_ref() == Some(digest));
        !over && release.entries.values().any(|entry| entry.hook.is_some() && entry.is_of_rollout())
    }

    fn held(&self) -> Option<Reason> {
        self.desired.held(self.input.now)
    }

    /// Plans the release's own objects stage by stage; says whether all are applied and the hooks before them have succeeded. A stage that is
    /// not done blocks the changes of all after it.
    fn plan_release(
        &self,
        (digest, release): (&Digest, &Release),
        mut blocked: Option<Reason>,
        app_plan: &mut AppPlan,
        steps: &mut Vec<Step>,
        wake: &mut Option<Timestamp>,
    ) -> bool {
        let nothing = AppInventory::default();
        let inventory = self.input.inventory.apps.get(self.app).map_or(&nothing, |inventory| &**inventory);
        let runs = &inventory.hooks;
        let over = runs.release.as_ref() == Some(digest) && runs.over;
        if release.apply == Apply::Transactional
            && blocked.is_none()
            && inventory.release.as_ref() != Some(digest)
            && let Some(rehearsal) = self.rehearse(digest, release, &self.unapplied(digest, release))
        {
            if rehearsal.refused {
                app_plan.state.health = Health::Degraded;
            }
            *wake = [*wake, rehearsal.wake].into_iter().flatten().min();
            let step =
                |(entry, kind): (&Arc<Entry>, StepKind)| Step { order: 0, app: self.app.clone(), object: entry.object.clone(), kind };
            steps.extend(rehearsal.steps.into_iter().map(step));
            blocked = Some(rehearsal.reason);
        }
        let mut stages: BTreeMap<(Phase, i32), Vec<&Arc<Entry>>> = BTreeMap::new();
        for entry in release.entries.values() {
            let phases = entry.hook.as_ref().map_or_else(|| BTreeSet::from([entry.phase]), |hook| hook.phases.clone());
            phases
                .into_iter()
                .filter(|phase| phase.is_of_rollout())
                .for_each(|phase| stages.entry((phase, entry.wave)).or_default().push(entry));
        }
        let mut all_current = true;
        let mut failed = false;
        // A rollout that may not begin cannot have failed.
        let may_begin = blocked.is_none();
        for (stage, entries) in stages {
            let (phase, _) = stage;
            if phase == Phase::SyncFail && (!failed || over || !may_begin) {
                continue;
            }
            let mut holds_up = None;
            for entry in entries {
                let blocked = if phase == Phase::SyncFail { None } else { blocked.as_ref() };
                let standing = match &entry.hook {
                    Some(hook) => self.stand_hook(entry, hook, phase, (digest, release), runs.get(digest, &entry.object, phase), blocked),
                    None => self.stand(entry, release, blocked),
                };
                // What runs after everything is applied does not make it less so.
                all_current &= standing.current || phase > Phase::Sync;
                failed |= standing.health == Health::Degraded;
                if !standing.is_done() {
                    holds_up.get_or_insert_with(|| wave_waits(stage, entry, &standing));
                }
                self.note(entry, standing, app_plan, steps, wake);
            }
            if phase != Phase::SyncFail {
                blocked = blocked.or(holds_up);
            }
        }
        let leftovers = hook::leftovers((digest, release), inventory, |entry| self.input.objects.get(&entry.object));
        steps.extend(leftovers.into_iter().map(|(entry, kind)| Step::leftover(self.app, entry, kind)));
        let has_hooks = release.entries.values().any(|entry| entry.hook.is_some() && entry.is_of_rollout());
        app_plan.rolled_out = (has_hooks && !over && blocked.is_none()).then_some(*digest);
        all_current
    }

    /// What comes next of the release's tests: they begin when all of it is applied and healthy.
    fn plan_tests(
        &self,
        release: Option<&(Digest, Arc<Release>)>,
        unusable: Option<&Reason>,
        all_current: bool,
        inventory: &AppInventory,
        app_plan: &AppPlan,
    ) -> Testing {
        let state = &app_plan.state;
        let healthy = all_current && matches!(state.health, Health::Healthy | Health::Suspended);
        let unready = self.held().or_else(|| (!healthy).then(|| tests_wait(state)));
        let release = release.map(|(digest, release)| (digest, &**release));
        let input = TestInput {
            request: self.desired.test.as_ref(),
            release,
            unusable,
            unready,
            inventory,
            objects: self.input.objects,
            now: self.input.now,
        };
        plan_tests(&input, |entry, hook, run| match release {
            Some(release) => self.stand_hook(entry, hook, Phase::Test, release, run, None),
            None => Standing::new(false, Health::Unknown, None),
        })
    }

    pub(crate) fn stand_hook(
        &self,
        entry: &Arc<Entry>,
        hook: &Hook,
        phase: Phase,
        (digest, release): (&Digest, &Release),
        run: Option<&HookRun>,
        blocked: Option<&Reason>,
    ) -> Standing {
        let key = &entry.object;
        if run.is_none_or(|run| run.end.is_none())
            && let Some(standing) = self.stand_unready(entry, release)
        {
            return standing;
        }
        let due = [false, true].map(|again| self.input.attempts.next(self.app, key, again));
        hook::stand(&HookInput {
            entry,
            hook,
            phase,
            release: *digest,
            run,
            owned: self.input.inventory.get(self.app, key),
            observed: self.input.objects.get(key),
            // A removal brings no namespace.
            blocked: blocked.cloned().or_else(|| self.waits_for_namespace(entry, release).filter(|_| !phase.is_of_removal())),
            error: self.input.attempts.error(self.app, key).cloned(),
            now: self.input.now,
            due,
        })
    }

    pub(crate) fn note(
        &self,
        entry: &Arc<Entry>,
        standing: Standing,
        app_plan: &mut AppPlan,
        steps: &mut Vec<Step>,
        wake: &mut Option<Timestamp>,
    ) {
        let key = &entry.object;
        if !entry.policy.ignore_health {
            app_plan.state.health = app_plan.state.health.max(standing.health);
        }
        if (standing.health != Health::Healthy || standing.reason.is_some()) && app_plan.state.unhealthy.len() < AppState::OBJECT_LIMIT {
            app_plan.state.unhealthy.push(ObjectState { object: ObjectKey::clone(key), health: standing.health, reason: standing.reason });
        }
        match standing.compared {
            Some(changes) if changes.is_empty() && self.input.attempts.remembers(self.app, key) => app_plan.settled.push(key.clone()),
            // Of all others there is nothing to be taken down.
            Some(changes) if changes.is_empty() => {}
            Some(changes) => app_plan.drifted.push((key.clone(), changes)),
            None if standing.deleted => app_plan.drifted.push((key.clone(), Vec::new())),
            None => {}
        }
        *wake = [*wake, standing.wake].into_iter().flatten().min();
        if let Some(kind) = standing.step {
            steps.push(Step { order: step_order(key, &kind), app: self.app.clone(), object: key.clone(), kind });
        }
    }

    /// How one entry stands and what to do about it.
    fn stand(&self, entry: &Arc<Entry>, release: &Release, blocked: Option<&Reason>) -> Standing {
        if let Some(standing) = self.stand_unready(entry, release) {
            return standing;
        }
        let owned = self.input.inventory.get(self.app, &entry.object).filter(|_| entry.is_claimed());
        match owned.filter(|owned| owned.applied == Some(entry.digest) && owned.uid.is_some()) {
            Some(owned) => self.stand_applied(entry, owned),
            None => self.stand_unapplied(entry, owned, release, blocked),
        }
    }

    /// How an entry stands that cannot be looked at yet: another app has it, or its kind is not served.
    pub(crate) fn stand_unready(&self, entry: &Arc<Entry>, release: &Release) -> Option<Standing> {
        let key = &entry.object;
        if let Err(reason) = self.input.guardrail.permits_for(self.app, self.desired.service_account.as_ref(), key) {
            return Some(Standing::new(false, Health::Degraded, Some(reason)));
        }
        let owner = Some(key).filter(|_| entry.is_claimed()).and_then(|key| self.owners.other(self.app, key));
        if let Some((owner, owned)) = owner {
            return Some(self.owned_by_other(entry, owner, owned));
        }
        match self.input.kinds.get(&key.kind) {
            Some(KindState::Served(_)) => None,
            Some(KindState::NotServed) => Some(kind_not_served(entry, release)),
            Some(KindState::Unknown(reason)) => Some(Standing::new(false, Health::Unknown, Some(reason.clone()))),
            None => Some(Standing::new(false, Health::Unknown, Some(not_observed()))),
        }
    }

    fn owned_by_other(&self, entry: &Arc<Entry>, owner: &AppName, owned: &Owned) -> Standing {
        let key = &entry.object;
        let handed_over = self.input.desired.apps.get(owner).is_some_and(|other| {
            other.withdrawals.iter().any(|withdrawal| withdrawal.object == **key && withdrawal.to.as_ref() == Some(self.app))
        });
        let mut standing = if handed_over {
            let message = format!("{key} comes over from app {owner}");
            Standing::new(false, Health::Progressing, Some(Reason::new(Severity::Wait, "HandOver", message)))
        } else {
            let message = format!("{key} belongs to app {owner}, which still runs it; take it out of one of the two apps");
            Standing::new(false, Health::Degraded, Some(Reason::new(Severity::Error, "OwnedByOtherApp", message)))
        };
        let held = |name| self.input.desired.apps.get(name).is_some_and(|app| app.held(self.input.now).is_some());
        if handed_over && !held(owner) && !held(self.app) {
            let uid = owned.uid.clone().unwrap_or_default();
            standing.step = Some(StepKind::Adopt { from: Some(owner.clone()), uid });
        }
        standing
    }

    fn stand_unapplied(&self, entry: &Arc<Entry>, owned: Option<&Owned>, release: &Release, blocked: Option<&Reason>) -> Standing {
        let key = &entry.object;
        let observed = self.input.objects.get(key);
        if entry.policy.existing == Existing::Ignore {
            return Standing::new(true, Health::Healthy, None);
        }
        if entry.policy.existing == Existing::IfNotPresent {
            match observed {
                // Whose it is makes no difference to what needs it.
                Some(Observed::Present(Present { verdict, .. })) => return Standing::new(true, verdict.health, verdict.reason.clone()),
                Some(Observed::Absent | Observed::Ended { .. }) => {}
                Some(Observed::Unknown(reason)) => return Standing::new(false, Health::Unknown, Some(reason.clone())),
                None => return Standing::new(false, Health::Unknown, Some(not_observed())),
            }
        }
        if let Some(Observed::Present(present)) = observed
            && present.deleting
        {
            return Standing::new(false, Health::Progressing, present.verdict.reason.clone());
        }
        if let Some(reason) = blocked {
            let health = if owned.is_some() { Health::Progressing } else { Health::Waiting };
            return Standing::new(false, health, Some(reason.clone()));
        }
        if let Some(reason) = self.waits_for_namespace(entry, release) {
            return Standing::new(false, Health::Progressing, Some(reason));
        }
        let error = self.input.attempts.error(self.app, key).cloned();
        // An API server that asks to wait says nothing about the object.
        let failed = error.as_ref().is_some_and(|reason| reason.severity != Severity::Wait);
        let health = if failed { Health::Degraded } else { Health::Progressing };
        let mut standing = Standing::new(false, health, error.or_else(|| Some(applying(entry))));
        self.apply_when_due(&mut standing, entry, owned, None);
        standing
    }

    /// A namespace that the same release brings is there before anything is put into it.
    pub(crate) fn waits_for_namespace(&self, entry: &Arc<Entry>, release: &Release) -> Option<Reason> {
        let namespace = entry.object.namespace.as_ref()?;
        let key = ObjectKey::new(GroupKind::new("", "Namespace"), None, namespace);
        let there = matches!(self.input.objects.get(&key), Some(Observed::Present(present)) if !present.deleting);
        let brought = release.entries.contains_key(&key);
        (brought && !there).then(|| Reason::new(Severity::Wait, "NamespaceFirst", format!("{} waits for {key}", entry.object)))
    }

    fn stand_applied(&self, entry: &Arc<Entry>, owned: &Owned) -> Standing {
        match self.input.objects.get(&entry.object) {
            None => Standing::new(true, Health::Unknown, Some(not_observed())),
            Some(Observed::Unknown(reason)) => Standing::new(true, Health::Unknown, Some(reason.clone())),
            Some(Observed::Ended { uid, ending }) if owned.uid.as_ref() == Some(uid) => {
                let mut standing = stand_gone(entry, &ending.end);
                standing.step = finish(owned, &ending.end);
                standing
            }
            Some(Observed::Absent | Observed::Ended { .. }) => {
                if let Some(end) = &owned.ended {
                    return stand_gone(entry, end);
                }
                let mut standing = Standing::new(true, Health::Missing, Some(self.drift_reason(entry, "was deleted")));
                standing.deleted = true;
                self.heal(&mut standing, entry, owned, Vec::new());
                standing
            }
            Some(Observed::Present(present)) => self.stand_present(entry, owned, present),
        }
    }

    fn stand_present(&self, entry: &Arc<Entry>, owned: &Owned, present: &Present) -> Standing {
        let mut standing = Standing::new(true, present.verdict.health, present.verdict.reason.clone());
        if present.deleting {
            return standing;
        }
        let is_it = owned.uid.as_ref() == Some(&present.uid);
        let end = present.ending.as_ref().filter(|_| is_it).map(|ending| &ending.end);
        if let Some(step) = end.and_then(|end| finish(owned, end)) {
            standing.step = Some(step);
            return standing;
        }
        if entry.policy.existing == Existing::IfNotPresent {
            // Made where it was missing; from then on it is whatever its users make of it (Flux's `IfNotPresent`).
            return standing;
        }
        if !is_it {
            standing.reason = Some(self.drift_reason(entry, "was deleted and created again by somebody else"));
            self.heal(&mut standing, entry, owned, Vec::new());
            return standing;
        }
        match &present.compared {
            Compared::With { digest, changes } if *digest == entry.digest => {
                standing.compared = Some(changes.clone());
                if !changes.is_empty() {
                    let first = &changes[0];
                    let by = first.manager.as_ref().map_or(String::new(), |manager| format!(" by {manager}"));
                    let text = format!("was changed{by}: {} is {}", first.path, first.found.as_deref().unwrap_or("gone"));
                    standing.reason = Some(self.drift_reason(entry, &text));
                    self.heal(&mut standing, entry, owned, changes.clone());
                }
            }
            Compared::With { .. } | Compared::NotYet => {}
        }
        if let (Some(_), Some(error)) = (&standing.reason, self.input.attempts.fields_held(self.app, &entry.object)) {
            standing.reason = Some(error.clone());
        }
        if let (None, Some((path, manager))) = (&standing.reason, owned.kept.first_key_value()) {
            let (field, more) = (field_name(path), owned.kept.len() - 1);
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            let message = format!(
                "{field} of {}{more} was dropped from its source and stays, because {manager} holds it; remove it there, or by hand",
                entry.object
            );
            standing.reason = Some(Reason::new(Severity::Warning, "FieldKept", message));
        }
        standing
    }

    /// Heals drift if the policy says so and it is time.
    fn heal(&self, standing: &mut Standing, entry: &Arc<Entry>, owned: &Owned, changes: Vec<FieldChange>) {
        if entry.policy.heal == Heal::Correct {
            self.apply_when_due(standing, entry, Some(owned), Some(changes));
        }
    }

    fn apply_when_due(&self, standing: &mut Standing, entry: &Arc<Entry>, owned: Option<&Owned>, drift: Option<Vec<FieldChange>>) {
        let due = self.input.attempts.next(self.app, &entry.object, drift.is_some());
        if due > self.input.now {
            standing.wake = Some(due);
            return;
        }
        let mut ignore = entry.policy.ignore.clone();
        ignore.extend(owned.into_iter().flat_map(|owned| owned.yielded.iter().cloned().map(Ignore::Pointer)));
        standing.step = Some(StepKind::Apply { entry: entry.clone(), drift, ignore });
    }

    fn drift_reason(&self, entry: &Arc<Entry>, what: &str) -> Reason {
        let key = &entry.object;
        if let (Heal::Correct, None, Some(Reason { severity, code, message })) =
            (entry.policy.heal, self.held(), self.input.attempts.error(self.app, key))
        {
            return Reason::new(*severity, code.clone(), format!("{key} {what}, and could not be set right: {message}"));
        }
        let (code, outcome) = match (entry.policy.heal, self.input.attempts.fight(self.app, key)) {
            _ if self.held().is_some() => ("Drifted", "its app is held".to_owned()),
            (Heal::Correct, Some(manager)) => ("Fight", format!("{manager} rewrites it again and again, so it is healed less often")),
            (Heal::Correct, None) => ("Drifted", "it is being set right".to_owned()),
            (Heal::Report | Heal::None, _) => ("Drifted", "its app says to leave it".to_owned()),
        };
        Reason::new(Severity::Warning, code, format!("{key} {what}; {outcome}"))
    }

    /// The first dependency that is not healthy at what it should run.
    fn waits_for_dependency(&self) -> Option<Reason> {
        self.desired.depends_on.iter().find_map(|name| {
            let why = match self.input.desired.apps.get(name) {
                None => Some("which does not run in this cluster".to_owned()),
                Some(other) => unsettled(self.input, name, other),
            };
            why.map(|why| Reason::new(Severity::Wait, "DependencyNotReady", format!("waits for app {name}, {why}")))
        })
    }
}

const APPLY_ORDER: u32 = 10;

/// What is applied follows the order of kinds; all else comes before it.
fn step_order(object: &ObjectKey, kind: &StepKind) -> u32 {
    let applies = matches!(kind, StepKind::Apply { .. } | StepKind::RunHook { .. });
    if applies { APPLY_ORDER + rank(&object.kind) } else { 0 }
}

fn tests_wait(state: &AppState) -> Reason {
    let why = state.reason.as_ref().map_or_else(|| format!("it is {}", state.health), |reason| reason.message.clone());
    Reason::new(Severity::Wait, "TestsWait", format!("the release is not applied and healthy ({why})"))
}

/// The step that remembers this end, unless it is known.
fn finish(owned: &Owned, end: &End) -> Option<StepKind> {
    (owned.ended.as_ref() != Some(end)).then(|| StepKind::Finish { end: end.clone() })
}

/// How an entry stands that ran to its end and is gone since: its success is as good as there, and its failure stays one.
fn stand_gone(entry: &Arc<Entry>, end: &End) -> Standing {
    match end {
        End::Succeeded => Standing::new(true, Health::Healthy, None),
        End::Failed(message) => {
            let key = &entry.object;
            let message = format!("{key} failed ({message}) and is gone since; it is not run again before a commit changes it");
            Standing::new(true, Health::Degraded, Some(Reason::new(Severity::Error, "JobFailed", message)))
        }
    }
}

/// Why an app is not healthy at its wanted release; `None` if it is.
fn unsettled(input: &Input<'_>, name: &AppName, app: &DesiredApp) -> Option<String> {
    let (digest, release) = match &app.release {
        Ok(Some((digest, release))) => (digest, release),
        Ok(None) => return Some("which is leaving this cluster".to_owned()),
        Err(reason) => return Some(format!("whose release cannot be used ({reason})")),
    };
    let no_runs = HookRuns::default();
    let runs = input.inventory.apps.get(name).map_or(&no_runs, |inventory| &inventory.hooks);
    if !hook::all_succeeded((digest, release), runs) {
        return Some("whose hooks have not all run".to_owned());
    }
    release.entries.values().filter(|entry| entry.hook.is_none()).find_map(|entry| {
        let key = &entry.object;
        let owned = input.inventory.get(name, key).filter(|owned| owned.applied == Some(entry.digest));
        match entry.policy.existing {
            Existing::Ignore => return None,
            // What somebody else made is as good; whether it is there is seen below.
            Existing::IfNotPresent => {}
            Existing::Override | Existing::Merge if owned.is_none() => return Some(format!("whose {key} is not applied yet")),
            Existing::Override | Existing::Merge => {}
        }
        let ended = owned.and_then(|owned| owned.ended.as_ref());
        match input.objects.get(key) {
            Some(Observed::Present(present)) if matches!(present.verdict.health, Health::Healthy | Health::Suspended) => None,
            Some(Observed::Present(present)) => Some(format!("whose {key} is {}", present.verdict.health)),
            Some(Observed::Absent | Observed::Ended { .. }) if ended == Some(&End::Succeeded) => None,
            Some(Observed::Absent | Observed::Ended { .. }) if ended.is_some() => Some(format!("whose {key} failed and is gone since")),
            Some(Observed::Absent | Observed::Ended { .. }) => Some(format!("whose {key} is missing")),
            Some(Observed::Unknown(_)) | None => Some(format!("whose {key} cannot be observed")),
        }
    })
}

fn kind_not_served(entry: &Arc<Entry>, release: &Release) -> Standing {
    let key = &entry.object;
    let brings_its_own = release.entries.keys().any(|other| {
        other.kind.kind == "CustomResourceDefinition" && other.name.split_once('.').is_some_and(|(_, group)| group == key.kind.group)
    });
    if brings_its_own {
        let message = format!("{key} waits until the API server serves its kind, whose definition is in this app");
        return Standing::new(false, Health::Progressing, Some(Reason::new(Severity::Wait, "KindNotServedYet", message)));
    }
    let message =
        format!("the API server does not know the kind {}; install its CustomResourceDefinition, or correct apiVersion and kind", key.kind);
    Standing::new(false, Health::Degraded, Some(Reason::new(Severity::Error, "KindUnknown", message)))
}

pub(crate) fn not_observed() -> Reason {
    Reason::new(Severity::Wait, "NotObserved", "was not observed yet")
}

fn applying(entry: &Arc<Entry>) -> Reason {
    Reason::new(Severity::Wait, "Applying", format!("{} is about to be applied", entry.object))
}

pub(crate) fn wave_waits((phase, wave): (Phase, i32), entry: &Arc<Entry>, standing: &Standing) -> Reason {
    let why = standing.reason.as_ref().map_or(String::new(), |reason| format!(" ({})", reason.message));
    let message = format!("later waves wait for {phase:?} wave {wave}: {} is {}{why}", entry.object, standing.health);
    Reason::new(Severity::Wait, "WaveNotHealthy", message)
}

fn kept_reason(kept: &[&Arc<ObjectKey>]) -> Option<Reason> {
    let first = kept.first()?;
    let message = format!("{} objects are neither wanted nor withdrawn and are kept, {first} among them", kept.len());
    Some(Reason::new(Severity::Warning, "Unaccounted", message))
}
