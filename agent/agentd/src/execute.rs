//! Carries out the steps of a plan, in their order, several of one order at once. The intent to create is on disk before the create, the
//! uid within [`UID_LAG`] after it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_cluster::{Cluster, ClusterError, Discovery, HeldField, Refusal, Resource, View};
use agent_plan::{Guardrail, HookRun, Inventory, Owned, PrunePermit, Step, StepKind};
use serde_json::Value;
use shared_model::{AppName, Clock, Digest, GroupKind, Reason, Scope, ServiceAccount, Severity};
use shared_release::{Conflicts, Entry, Existing, Phase, waits_always};

use crate::agent::Agent;
use crate::compared::Compare;
use crate::deletions::Deletions;
use crate::desired::Wanted;
use crate::fault_point::FaultPoint;
use crate::shared::{Part, Shared};

/// How long the uids of what was created may be in memory alone. Writing the inventory takes milliseconds, and a thousand objects a second
/// come in; what is lost is applied again, which finds the object.
const UID_LAG: Duration = Duration::from_secs(1);

/// A plan under way.
pub(crate) struct Execution<'a> {
    pub(crate) agent: &'a mut Agent,
    pub(crate) inventory: Arc<Inventory>,
    /// Whose rights each app is written with, as the plan says.
    pub(crate) accounts: Arc<BTreeMap<AppName, Option<ServiceAccount>>>,
}

/// What carrying out a step needs, so that it can go on by itself.
struct Hands {
    cluster: Cluster,
    guardrail: Guardrail,
    discovery: Arc<Discovery>,
    view: Arc<View>,
    shared: Arc<Shared>,
    accounts: Arc<BTreeMap<AppName, Option<ServiceAccount>>>,
    wanted: Arc<Wanted>,
    deletions: Arc<Deletions>,
    prune: PrunePermit,
    clock: Clock,
}

/// What came of one step that talked to the API server.
pub(crate) enum Outcome {
    Applied(Landed),
    /// The API server accepted a dry run of it.
    Accepted,
    Deleted,
    /// It was deleted in order to be created again.
    Replaced,
    Failed(Failure),
}

/// What is kept of the answer to an apply. The answer itself is let go at once: thousands of them would be the agent's peak of memory.
pub(crate) struct Landed {
    uid: Option<String>,
    compared: Compare,
    /// Fields that an autoscaler governs.
    yields: BTreeSet<String>,
    /// All fields that were dropped, now or before, and are there all the same.
    kept: BTreeMap<Vec<String>, String>,
    /// Fields that others held with other values.
    taken: Vec<HeldField>,
}

impl Landed {
    /// Takes in what the API server answered. `before` is what was there, if the apply could drop fields of it.
    fn of(agent: &Hands, step: &Step, entry: &Entry, wanted: &Value, owned: &Owned, live: &Value, before: Option<&Value>) -> Self {
        let (compared, yields) = Compare::of(entry, wanted, &owned.yielded, live);
        let mut kept = owned.kept.clone();
        kept.extend(before.map(|before| agent_plan::kept(before, live, agent_cluster::FIELD_MANAGER)).unwrap_or_default());
        kept.retain(|path, _| agent_plan::kept_by(live, path, agent_cluster::FIELD_MANAGER).is_some());
        agent.view.record(&step.object, live);
        Self { uid: live.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned), compared, yields, kept, taken: Vec::new() }
    }
}

pub(crate) enum Failure {
    Cluster(ClusterError),
    Content(Reason),
}

impl Execution<'_> {
    /// The inventory, to be changed.
    pub(crate) fn book(&mut self) -> &mut Inventory {
        Arc::make_mut(&mut self.inventory)
    }

    /// Carries out `steps`, which are sorted by order. A newer index, or the agent's end, ends it early. Says whether anything was done or begun.
    pub(crate) async fn run(mut self, mut steps: Vec<Step>) -> bool {
        let index = self.agent.shared.ledger().index().map(shared_release::SignedIndex::digest);
        let hands = Arc::new(self.hands());
        let mut progress = false;
        while let Some(order) = steps.first().map(|step| step.order) {
            let group = steps.iter().take_while(|step| step.order == order).count();
            let mut group: Vec<Step> = steps.drain(..group).collect();
            self.hold_back(&mut group);
            if !self.note_intents(&group) {
                return progress;
            }
            progress |= self.carry_out(group, &hands, index).await;
            if !self.save() || !self.may_go_on(index) {
                return progress;
            }
            self.pass(FaultPoint::OrderDurable);
        }
        self.save();
        progress
    }

    /// Leaves out what has to wait for an answer to what comes before it in its app: it is planned again then.
    fn hold_back(&mut self, group: &mut Vec<Step>) {
        let now = self.agent.clock.now();
        let agent = &mut *self.agent;
        group.retain(|step| {
            let Some(until) = agent.under_way.holds_up(step, now) else { return true };
            agent.held_back_until = Some(agent.held_back_until.map_or(until, |at| at.min(until)));
            agent.planned.touch(&step.app);
            false
        });
    }

    /// Whether the plan is still one to be carried out, by this agent.
    fn may_go_on(&self, index: Option<Digest>) -> bool {
        let same = self.agent.shared.ledger().index().map(shared_release::SignedIndex::digest) == index;
        same && !self.agent.is_stopped() && self.agent.is_writer()
    }

    /// Takes in a step that was answered after its turn.
    pub(crate) fn take_late(mut self, step: &Step, outcome: Option<Outcome>) {
        self.take(step, outcome);
        self.save();
    }

    fn hands(&self) -> Hands {
        Hands {
            cluster: self.agent.cluster.clone(),
            guardrail: self.agent.guardrail.clone(),
            discovery: self.agent.discovery.clone(),
            view: self.agent.view.clone(),
            shared: self.agent.shared.clone(),
            accounts: self.accounts.clone(),
            wanted: self.agent.wanted.clone(),
            deletions: self.agent.deletions.clone(),
            prune: self.agent.prune_permit(self.agent.clock.now()),
            clock: self.agent.clock.clone(),
        }
    }

    fn pass(&self, point: FaultPoint) {
        self.agent.shared.points.pass(point);
    }

    /// Does what needs no API server, and writes down what is about to be created.
    fn note_intents(&mut self, group: &[Step]) -> bool {
        for step in group {
            match &step.kind {
                StepKind::Apply { entry, .. } if !entry.is_claimed() => {}
                StepKind::Apply { entry, .. } => {
                    let stage = (entry.phase, entry.wave);
                    // A drifted object is in the book as it should be: nothing is written to heal it.
                    if self.inventory.get(&step.app, &step.object).is_none_or(|owned| owned.stage != stage) {
                        self.book().entry(&step.app, &step.object).stage = stage;
                    }
                }
                StepKind::Adopt { from, uid } => {
                    let mut owned = from.as_ref().and_then(|app| self.inventory.get(app, &step.object).cloned()).unwrap_or_default();
                    if let Some(app) = from {
                        self.book().forget(app, &step.object);
                    }
                    owned.uid = (!uid.is_empty()).then(|| uid.clone());
                    owned.applied = None;
                    *self.book().entry(&step.app, &step.object) = owned;
                    tracing::info!(app = %step.app, object = %step.object, ?from, "taken over");
                }
                StepKind::Forget(cause) => {
                    self.book().forget(&step.app, &step.object);
                    tracing::info!(app = %step.app, object = %step.object, ?cause, "no longer owned");
                }
                StepKind::Finish { end } => self.book().entry(&step.app, &step.object).ended = Some(end.clone()),
                StepKind::RunHook { entry, release, phase, over, .. } => {
                    self.book().entry(&step.app, &step.object).stage = (*phase, entry.wave);
                    let began = Some(self.agent.clock.now());
                    *self.hook_run(step, *release, *phase) = HookRun { over: over.clone(), began, ..HookRun::default() };
                }
                StepKind::EndHook { release, phase, uid, end, expires } => {
                    let now = self.agent.clock.now();
                    // Seen before its apply was answered: nothing else made it since the run began.
                    let made = self.hook_run(step, *release, *phase).uid.is_none();
                    let owned = self.book().entry(&step.app, &step.object);
                    owned.uid = Some(uid.clone());
                    owned.hook |= made;
                    let run = self.hook_run(step, *release, *phase);
                    run.uid = Some(uid.clone());
                    run.end = Some(end.clone());
                    run.expires = *expires;
                    run.ended = Some(now);
                    tracing::info!(app = %step.app, object = %step.object, ?phase, ?end, "a hook ended");
                }
                StepKind::Rehearse { release, .. } => self.agent.attempts.rehearsing(&step.app, release),
                StepKind::Delete { .. } | StepKind::DeleteHook { .. } => {}
            }
        }
        if group.iter().any(|step| matches!(step.kind, StepKind::EndHook { .. })) {
            self.pass(FaultPoint::HookEnded);
        }
        let saved = self.save();
        if saved && group.iter().any(|step| matches!(step.kind, StepKind::Apply { .. } | StepKind::RunHook { .. })) {
            self.pass(FaultPoint::IntentDurable);
        }
        saved
    }

    fn hook_run(&mut self, step: &Step, release: Digest, phase: Phase) -> &mut HookRun {
        self.book().app(&step.app).run(release, &step.object, phase)
    }

    /// Has the API server do one order's steps, as far as it answers. Says whether anything was done or begun.
    async fn carry_out(&mut self, group: Vec<Step>, hands: &Arc<Hands>, index: Option<Digest>) -> bool {
        let mut progress = false;
        let mut waiting: BTreeMap<GroupKind, VecDeque<Step>> = BTreeMap::new();
        for step in group {
            if step.kind.asks_the_api_server() {
                waiting.entry(step.object.kind.clone()).or_default().push_back(step);
            } else {
                progress = true;
            }
        }
        let go = |step: &Step| {
            let (hands, step) = (hands.clone(), step.clone());
            async move { attempt(&hands, &step).await.unwrap_or_else(Outcome::Failed) }
        };
        let mut unanswered = self.agent.under_way.begin(&mut waiting, self.agent.clock.now(), go);
        progress |= unanswered > 0;
        let mut durable = Instant::now();
        while unanswered > 0 {
            let Some((step, outcome)) = self.agent.under_way.next_soon().await else {
                tracing::debug!(unanswered, "going on without them; they are taken in when they are answered");
                break;
            };
            // An answer to a step of an earlier turn may come in here too; then this one's last is late in its place.
            unanswered -= 1;
            self.take(&step, outcome);
            self.pass(FaultPoint::BetweenObjects);
            if durable.elapsed() >= UID_LAG {
                if !self.save() {
                    break;
                }
                durable = Instant::now();
            }
            if self.may_go_on(index) {
                unanswered += self.agent.under_way.begin(&mut waiting, self.agent.clock.now(), go);
            }
        }
        progress
    }

    fn take(&mut self, step: &Step, outcome: Option<Outcome>) {
        let now = self.agent.clock.now();
        // What was left to its holders was not healed, so that they cannot have undone it.
        let is_left = matches!(outcome, Some(Outcome::Failed(Failure::Cluster(ClusterError::FieldsHeld { .. }))));
        match &step.kind {
            StepKind::Apply { drift: Some(changes), .. } if !is_left => self.agent.attempts.healing(&step.app, &step.object, changes, now),
            StepKind::RunHook { again: true, .. } => self.agent.attempts.healing(&step.app, &step.object, &[], now),
            _ => {}
        }
        if let (StepKind::RunHook { release, phase, over, .. }, Some(Outcome::Applied(landed))) = (&step.kind, &outcome)
            && self.has_moved_on(step, release, *phase)
        {
            let owned = self.book().entry(&step.app, &step.object);
            owned.hook |= landed.uid != *over;
            owned.uid.clone_from(&landed.uid);
            return;
        }
        if let StepKind::Rehearse { release, .. } = &step.kind
            && !self.agent.attempts.is_rehearsing(&step.app, release)
        {
            return;
        }
        let bug = || Reason::new(Severity::Error, "Bug", "BUG: an attempt panicked; it is tried again");
        self.settle(step, outcome.unwrap_or_else(|| Outcome::Failed(Failure::Content(bug()))));
    }

    /// Whether the app is at another release's hooks by now, so that this one's run counts no more.
    fn has_moved_on(&self, step: &Step, release: &Digest, phase: Phase) -> bool {
        let Some(inventory) = self.inventory.apps.get(&step.app) else { return false };
        match phase {
            Phase::Test => inventory.tests.as_ref().is_none_or(|tests| tests.release != *release),
            // A removal has one release, and its record is begun with it.
            Phase::PreDelete | Phase::PostDelete => inventory.removal.is_none(),
            _ => inventory.hooks.release.is_some_and(|now| now != *release),
        }
    }

    fn settle(&mut self, step: &Step, outcome: Outcome) {
        let now = self.agent.clock.now();
        let (app, object) = (&step.app, &step.object);
        match (outcome, &step.kind) {
            (Outcome::Applied(_), StepKind::Apply { entry, .. }) if !entry.is_claimed() => {
                self.agent.attempts.succeeded(app, object, now);
                tracing::info!(%app, %object, "made; it belongs to nobody");
            }
            (Outcome::Applied(landed), StepKind::Apply { entry, drift, .. }) => {
                // Its intent is in the book since before it was asked; if it is not there any more, somebody else has the object by now.
                let Some(before) = self.inventory.get(app, object).cloned() else { return };
                let mut owned = before.clone();
                if owned.uid != landed.uid {
                    owned.ended = None;
                }
                owned.uid = landed.uid;
                owned.applied = Some(entry.digest);
                owned.hook = false;
                owned.kept = landed.kept;
                owned.yielded.extend(landed.yields);
                if owned != before {
                    *self.book().entry(app, object) = owned;
                }
                self.agent.compared(object, landed.compared);
                self.agent.attempts.succeeded(app, object, now);
                if !landed.taken.is_empty() {
                    tracing::info!(%app, %object, from = ?landed.taken, "fields were taken over");
                    let taken: Vec<_> = landed.taken.into_iter().map(|field| (field.path, field.manager)).collect();
                    self.agent.attempts.took_over(app, object, &taken, now);
                }
                let cause = if drift.is_some() { "healed" } else { "applied" };
                self.agent.healed += u64::from(drift.is_some());
                tracing::info!(%app, %object, cause, "applied");
            }
            (Outcome::Applied(Landed { uid, .. }), StepKind::RunHook { entry, release, phase, over, .. }) => {
                let owned = self.book().entry(app, object);
                owned.hook |= uid != *over;
                owned.uid.clone_from(&uid);
                owned.applied = Some(entry.digest);
                self.hook_run(step, *release, *phase).uid = uid;
                self.agent.attempts.succeeded(app, object, now);
                tracing::info!(%app, %object, ?phase, "a hook runs");
            }
            (Outcome::Accepted, StepKind::Rehearse { release, .. }) => self.agent.attempts.rehearsed(app, release, object),
            (Outcome::Deleted, StepKind::DeleteHook { ended, .. }) => {
                if let Some((release, phase)) = ended.filter(|(release, phase)| !self.has_moved_on(step, release, *phase)) {
                    self.hook_run(step, release, phase).removed = true;
                }
                self.book().forget(app, object);
                tracing::info!(%app, %object, ran = ended.is_some(), "a hook's object is deleted");
            }
            (Outcome::Deleted, _) => {
                self.agent.deletions.note(now);
                // If it is wanted again by now, that is new content and no drift, whatever the policy of drift.
                if self.inventory.get(app, object).is_some() {
                    self.book().entry(app, object).applied = None;
                }
                tracing::info!(%app, %object, "deleted");
            }
            (Outcome::Replaced, _) => {
                self.book().entry(app, object).uid = None;
                tracing::info!(%app, %object, "deleted in order to be created again");
            }
            (Outcome::Failed(Failure::Cluster(error @ ClusterError::FieldsHeld { .. })), _) => {
                let mark = self.agent.view.observed(object).and_then(|(_, mark)| mark);
                tracing::info!(%app, %object, %error, "left to those who hold its fields");
                self.agent.attempts.yielded(app, object, error.reason(), mark, now);
            }
            (Outcome::Failed(failure), _) => {
                let reason = match failure {
                    Failure::Cluster(error) => {
                        self.agent.learn_from(&error);
                        error.reason_as(self.accounts.get(app).and_then(Option::as_ref))
                    }
                    Failure::Content(reason) => reason,
                };
                tracing::warn!(%app, %object, %reason, "a step failed");
                self.agent.attempts.failed(app, object, reason, now);
            }
            (Outcome::Applied(_) | Outcome::Accepted, _) => {}
        }
    }

    /// Makes the inventory durable. If the disk fails nothing more is done in this turn.
    fn save(&self) -> bool {
        match self.agent.shared.ledger().set_inventory(self.inventory.clone()) {
            Ok(()) => {
                self.agent.shared.set_problem(Part::Ledger, None);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the ledger cannot be written");
                self.agent.shared.set_problem(Part::Ledger, Some(error.to_string()));
                false
            }
        }
    }
}

async fn attempt(agent: &Hands, step: &Step) -> Result<Outcome, Failure> {
    // The plan has asked already. This is the last place before the API server, and nothing passes it.
    let account = agent.accounts.get(&step.app).unwrap_or_else(|| unreachable!("BUG: the plan says whose rights each of its steps has"));
    agent.guardrail.permits_account(&step.app, account.as_ref()).map_err(Failure::Content)?;
    agent.guardrail.permits_for(&step.app, account.as_ref(), &step.object).map_err(Failure::Content)?;
    // What is only read is read with the agent's own rights, as watches are.
    let writer = agent.cluster.acting_as(account.as_ref());
    match &step.kind {
        StepKind::Apply { entry, drift, ignore } => {
            let resource = resource(agent, step, &entry.version)?;
            let wanted = content(agent, step, entry)?;
            let owned = agent.shared.ledger().inventory().get(&step.app, &step.object).cloned().unwrap_or_default();
            // New content may drop fields; what becomes of them shows only beside what was there before.
            let changes = drift.is_none() && owned.applied.is_some();
            let before = match changes || !ignore.is_empty() {
                true => agent.cluster.get(resource, &step.object).await.map_err(Failure::Cluster)?,
                false => None,
            };
            let prepared = agent_plan::prepare(&wanted, before.as_ref(), ignore, agent_cluster::FIELD_MANAGER);
            match apply(&writer, resource, step, entry, &prepared).await {
                Ok((live, taken)) => {
                    agent.shared.points.pass(FaultPoint::ObjectApplied);
                    let before = before.filter(|_| changes);
                    let landed = Landed::of(agent, step, entry, &wanted, &owned, &live, before.as_ref());
                    Ok(Outcome::Applied(Landed { taken, ..landed }))
                }
                // What was changed under our feet is never worth deleting what runs.
                Err(error) if drift.is_none() && would_land_anew(&writer, resource, entry, &prepared, &error).await => {
                    replace(agent, &writer, resource, step, entry, &owned, &error).await
                }
                Err(error) => Err(Failure::Cluster(error)),
            }
        }
        StepKind::Rehearse { entry, .. } => {
            let resource = resource(agent, step, &entry.version)?;
            let wanted = content(agent, step, entry)?;
            let before = match entry.policy.ignore.is_empty() {
                true => None,
                false => agent.cluster.get(resource, &step.object).await.map_err(Failure::Cluster)?,
            };
            let prepared = agent_plan::prepare(&wanted, before.as_ref(), &entry.policy.ignore, agent_cluster::FIELD_MANAGER);
            let takes_over = entry.policy.conflicts == Conflicts::Force;
            match writer.rehearse(resource, &step.object, &prepared, takes_over).await {
                Err(error) if waits_always(&entry.object) || !would_land_anew(&writer, resource, entry, &prepared, &error).await => {
                    Err(Failure::Cluster(error))
                }
                _ => Ok(Outcome::Accepted),
            }
        }
        StepKind::RunHook { entry, .. } => {
            let resource = resource(agent, step, &entry.version)?;
            let wanted = content(agent, step, entry)?;
            let prepared = agent_plan::prepare(&wanted, None, &BTreeSet::new(), agent_cluster::FIELD_MANAGER);
            let (live, _) = apply(&writer, resource, step, entry, &prepared).await.map_err(Failure::Cluster)?;
            agent.shared.points.pass(FaultPoint::HookStarted);
            Ok(Outcome::Applied(Landed::of(agent, step, entry, &wanted, &Owned::default(), &live, None)))
        }
        StepKind::Delete { uid } | StepKind::DeleteHook { uid, .. } => {
            writer.delete(resource(agent, step, "")?, &step.object, uid).await.map_err(Failure::Cluster)?;
            let is_hook = matches!(step.kind, StepKind::DeleteHook { .. });
            agent.shared.points.pass(if is_hook { FaultPoint::HookDeleted } else { FaultPoint::ObjectDeleted });
            Ok(Outcome::Deleted)
        }
        StepKind::Adopt { .. } | StepKind::Forget(_) | StepKind::Finish { .. } | StepKind::EndHook { .. } => {
            unreachable!("BUG: this step needs no API server")
        }
    }
}

/// Whether the object is to be recreated where it cannot be changed, and was refused only as a change of what is there. Kinds, rules in definitions
/// and webhooks say so in words of their own; where these tell nothing, a dry run of its creation does, so that nothing is deleted that could not be
/// made again.
async fn would_land_anew(writer: &Cluster, resource: &Resource, entry: &Entry, object: &Value, error: &ClusterError) -> bool {
    entry.policy.recreate
        && match error.refusal() {
            Some(Refusal::Immutable) => true,
            Some(Refusal::Invalid | Refusal::Denied) => writer.could_create(resource, &entry.object, object).await.unwrap_or(false),
            _ => false,
        }
}

/// Deletes the object, so that the next plan makes it anew.
async fn replace(
    agent: &Hands,
    writer: &Cluster,
    resource: &Resource,
    step: &Step,
    entry: &Entry,
    owned: &Owned,
    error: &ClusterError,
) -> Result<Outcome, Failure> {
    let uid = agent_plan::replaceable(entry, owned, &agent.prune, &error.reason()).map_err(Failure::Content)?;
    let approved = agent.wanted.desired.apps.get(&step.app).is_some_and(|app| app.approved);
    let limit = agent.guardrail.deletions_an_hour(approved);
    let now = agent.clock.now();
    if !agent.deletions.reserve(limit, now) {
        let message = format!("{} waits to be recreated: this cluster allows {limit} deletions an hour", step.object);
        return Err(Failure::Content(Reason::new(Severity::Wait, "HourlyBudget", message)));
    }
    if let Err(error) = writer.delete(resource, &step.object, uid).await {
        // Without an answer nobody knows whether it happened.
        if !error.is_unanswered() {
            agent.deletions.take_back(now);
        }
        return Err(Failure::Cluster(error));
    }
    agent.shared.points.pass(FaultPoint::ObjectReplaced);
    Ok(Outcome::Replaced)
}

/// What the entry wants written, if the guardrail lets it be.
fn content(agent: &Hands, step: &Step, entry: &Entry) -> Result<Value, Failure> {
    let wanted = agent.shared.ledger_object(&step.app, entry).map_err(Failure::Content)?;
    agent.guardrail.permits_content(&step.object, &wanted).map_err(Failure::Content)?;
    Ok(wanted)
}

/// What an apply does about fields that others hold with other values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It takes them: who held them was said as drift.
    Take,
    /// It takes them, and learns from whom.
    Ask,
    /// It leaves the object.
    Leave,
}

impl Way {
    fn of(step: &Step, entry: &Entry) -> Self {
        match (entry.policy.conflicts, &step.kind) {
            (Conflicts::Report, _) => Self::Leave,
            (Conflicts::Force, StepKind::Apply { drift: Some(_), .. }) => Self::Take,
            (Conflicts::Force, _) => Self::Ask,
        }
    }
}

/// Applies, and takes over what a tool that applied before us holds: only then does applying again remove what is not wanted any more. Returns
/// the object, and the fields that others held with other values.
async fn apply(
    writer: &Cluster,
    resource: &Resource,
    step: &Step,
    entry: &Entry,
    object: &Value,
) -> Result<(Value, Vec<HeldField>), ClusterError> {
    let way = Way::of(step, entry);
    let sent = send(writer, resource, step, object, way).await;
    // What belongs to others is left to them, also by whom it was applied before.
    if entry.policy.existing == Existing::Merge || way == Way::Leave {
        return sent;
    }
    let (live, taken) = match sent {
        // It may be refused for what that tool left beside it, or for what was filled in: a value beside our reference.
        Err(error) if error.refusal() == Some(Refusal::Invalid) => {
            let found = writer.get(resource, &step.object).await?;
            let fields = found.as_ref().and_then(|found| agent_plan::make_way(object, found, agent_cluster::FIELD_MANAGER));
            let (Some(found), Some(fields)) = (found, fields) else { return Err(error) };
            writer.set_managed_fields(resource, &step.object, &found, &fields).await?;
            tracing::info!(app = %step.app, object = %step.object, "took over the fields that stood in its way");
            return Ok((writer.apply(resource, &step.object, object).await?, Vec::new()));
        }
        outcome => outcome?,
    };
    let Some(fields) = agent_plan::take_over(&live, agent_cluster::FIELD_MANAGER) else { return Ok((live, taken)) };
    writer.set_managed_fields(resource, &step.object, &live, &fields).await?;
    tracing::info!(app = %step.app, object = %step.object, "took over the fields of the tool that applied it before");
    Ok((writer.apply(resource, &step.object, object).await?, taken))
}

/// Sends it. Asking first costs nothing where nobody holds anything, which is nearly always.
async fn send(
    writer: &Cluster,
    resource: &Resource,
    step: &Step,
    object: &Value,
    way: Way,
) -> Result<(Value, Vec<HeldField>), ClusterError> {
    if way == Way::Take {
        return Ok((writer.apply(resource, &step.object, object).await?, Vec::new()));
    }
    match writer.apply_unless_held(resource, &step.object, object).await {
        Err(ClusterError::FieldsHeld { fields }) if way == Way::Ask => Ok((writer.apply(resource, &step.object, object).await?, fields)),
        outcome => Ok((outcome?, Vec::new())),
    }
}

fn resource<'a>(agent: &'a Hands, step: &Step, version: &str) -> Result<&'a Resource, Failure> {
    let refused = || ClusterError::Refused {
        refusal: Refusal::KindNotServed,
        message: format!("the API server does not serve {}", step.object.kind),
    };
    let resource = agent.discovery.resource(&step.object.kind, version).ok_or_else(|| Failure::Cluster(refused()))?;
    // A path that mixes both leads nowhere, or to something else than was judged.
    let wrong = match (resource.scope, &step.object.namespace) {
        (Scope::Cluster, Some(namespace)) => {
            format!("is a kind of the cluster, and the object names the namespace {namespace}; take it out")
        }
        (Scope::Namespaced, None) => "is a kind of namespaces, and the object names none; set metadata.namespace, or the app's".to_owned(),
        _ => return Ok(resource),
    };
    Err(Failure::Content(Reason::new(Severity::Error, "WrongScope", format!("{}: {} {wrong}", step.object, step.object.kind))))
}
