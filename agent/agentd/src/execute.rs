//! Carries out the steps of a plan, in their order, several of one order at once. The intent to create is on disk before the create, the
//! uid right after.

use std::collections::{BTreeMap, BTreeSet};

use agent_cluster::{ClusterError, Refusal, Resource};
use agent_plan::{HookRun, Inventory, Step, StepKind};
use futures_util::StreamExt as _;
use serde_json::Value;
use shared_model::{Digest, Reason};
use shared_release::Phase;

use crate::agent::{Agent, IN_FLIGHT};
use crate::shared::Part;

/// A plan under way.
pub(crate) struct Execution<'a> {
    pub(crate) agent: &'a mut Agent,
    pub(crate) inventory: Inventory,
}

/// What came of one step that talked to the API server.
enum Outcome {
    /// It is as it was answered now. `kept` are fields that were dropped and are there all the same.
    Applied {
        live: Value,
        kept: Option<BTreeMap<Vec<String>, String>>,
    },
    Deleted,
    /// It was deleted in order to be created again.
    Replaced,
    Failed(Failure),
}

enum Failure {
    Cluster(ClusterError),
    Content(Reason),
}

impl Execution<'_> {
    /// Carries out `steps`, which are sorted by order. A newer index, or the agent's end, ends it early.
    pub(crate) async fn run(mut self, mut steps: Vec<Step>) {
        let index = self.agent.shared.ledger().index().map(shared_release::SignedIndex::digest);
        while let Some(order) = steps.first().map(|step| step.order) {
            let group = steps.iter().take_while(|step| step.order == order).count();
            let group: Vec<Step> = steps.drain(..group).collect();
            if !self.note_intents(&group) {
                return;
            }
            self.carry_out(group).await;
            if !self.save()
                || self.agent.is_stopped()
                || self.agent.shared.ledger().index().map(shared_release::SignedIndex::digest) != index
            {
                return;
            }
        }
        self.save();
    }

    /// Does what needs no API server, and writes down what is about to be created.
    fn note_intents(&mut self, group: &[Step]) -> bool {
        for step in group {
            match &step.kind {
                StepKind::Apply { entry, .. } if !entry.is_claimed() => {}
                StepKind::Apply { entry, .. } => {
                    self.inventory.entry(&step.app, &step.object).stage = (entry.phase, entry.wave);
                }
                StepKind::Adopt { from, uid } => {
                    let mut owned = from.as_ref().and_then(|app| self.inventory.get(app, &step.object).cloned()).unwrap_or_default();
                    if let Some(app) = from {
                        self.inventory.forget(app, &step.object);
                    }
                    owned.uid = (!uid.is_empty()).then(|| uid.clone());
                    owned.applied = None;
                    *self.inventory.entry(&step.app, &step.object) = owned;
                    tracing::info!(app = %step.app, object = %step.object, ?from, "taken over");
                }
                StepKind::Forget(cause) => {
                    self.inventory.forget(&step.app, &step.object);
                    tracing::info!(app = %step.app, object = %step.object, ?cause, "no longer owned");
                }
                StepKind::Finish => self.inventory.entry(&step.app, &step.object).finished = true,
                StepKind::RunHook { entry, release, phase, over, .. } => {
                    self.inventory.entry(&step.app, &step.object).stage = (*phase, entry.wave);
                    *self.hook_run(step, *release, *phase) = HookRun { over: over.clone(), ..HookRun::default() };
                }
                StepKind::EndHook { release, phase, uid, end } => {
                    // Seen before its apply was answered: nothing else made it since the run began.
                    let made = self.hook_run(step, *release, *phase).uid.is_none();
                    let owned = self.inventory.entry(&step.app, &step.object);
                    owned.uid = Some(uid.clone());
                    owned.hook |= made;
                    let run = self.hook_run(step, *release, *phase);
                    run.uid = Some(uid.clone());
                    run.end = Some(end.clone());
                    tracing::info!(app = %step.app, object = %step.object, ?phase, ?end, "a hook ended");
                }
                StepKind::Delete { .. } | StepKind::DeleteHook { .. } => {}
            }
        }
        self.save()
    }

    fn hook_run(&mut self, step: &Step, release: Digest, phase: Phase) -> &mut HookRun {
        self.inventory.apps.entry(step.app.clone()).or_default().hooks.entry(release, &step.object, phase)
    }

    async fn carry_out(&mut self, group: Vec<Step>) {
        let now = self.agent.clock.now();
        for step in &group {
            match &step.kind {
                StepKind::Apply { drift: Some(changes), .. } => self.agent.attempts.healing(&step.app, &step.object, changes, now),
                StepKind::RunHook { again: true, .. } => self.agent.attempts.healing(&step.app, &step.object, &[], now),
                _ => {}
            }
        }
        let agent = &*self.agent;
        let work = group.into_iter().filter(|step| step.kind.asks_the_api_server());
        let outcomes: Vec<(Step, Outcome)> = futures_util::stream::iter(work.map(|step| async move {
            let outcome = attempt(agent, &step).await.unwrap_or_else(Outcome::Failed);
            (step, outcome)
        }))
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
        for (step, outcome) in outcomes {
            self.settle(&step, outcome);
        }
    }

    fn settle(&mut self, step: &Step, outcome: Outcome) {
        let now = self.agent.clock.now();
        let (app, object) = (&step.app, &step.object);
        match (outcome, &step.kind) {
            (Outcome::Applied { live, .. }, StepKind::Apply { entry, .. }) if !entry.is_claimed() => {
                self.agent.view.record(object, &live);
                self.agent.attempts.succeeded(app, object, now);
                tracing::info!(%app, %object, "made; it belongs to nobody");
            }
            (Outcome::Applied { live, kept }, StepKind::Apply { entry, drift, .. }) => {
                let uid = live.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
                let owned = self.inventory.entry(app, object);
                owned.uid = uid;
                owned.applied = Some(entry.digest);
                owned.finished = false;
                owned.hook = false;
                owned.kept.extend(kept.unwrap_or_default());
                owned.kept.retain(|path, _| agent_plan::kept_by(&live, path, agent_cluster::FIELD_MANAGER).is_some());
                let yielded = owned.yielded.clone();
                self.agent.view.record(object, &live);
                let yields = self.agent.compare(app, entry, &yielded, &live);
                self.inventory.entry(app, object).yielded.extend(yields);
                self.agent.attempts.succeeded(app, object, now);
                let cause = if drift.is_some() { "healed" } else { "applied" };
                self.agent.healed += u64::from(drift.is_some());
                tracing::info!(%app, %object, cause, "applied");
            }
            (Outcome::Applied { live, .. }, StepKind::RunHook { entry, release, phase, over, .. }) => {
                let uid = live.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
                let owned = self.inventory.entry(app, object);
                owned.hook |= uid != *over;
                owned.uid.clone_from(&uid);
                owned.applied = Some(entry.digest);
                self.hook_run(step, *release, *phase).uid = uid;
                self.agent.view.record(object, &live);
                self.agent.attempts.succeeded(app, object, now);
                tracing::info!(%app, %object, ?phase, "a hook runs");
            }
            (Outcome::Deleted, StepKind::DeleteHook { ended, .. }) => {
                if let Some((release, phase)) = ended {
                    self.hook_run(step, *release, *phase).removed = true;
                }
                self.inventory.forget(app, object);
                tracing::info!(%app, %object, ran = ended.is_some(), "a hook's object is deleted");
            }
            (Outcome::Deleted, _) => {
                self.agent.deletions.push_back(now);
                tracing::info!(%app, %object, "deleted");
            }
            (Outcome::Replaced, _) => {
                self.agent.deletions.push_back(now);
                self.inventory.entry(app, object).uid = None;
                tracing::info!(%app, %object, "deleted in order to be created again");
            }
            (Outcome::Failed(failure), _) => {
                let reason = match failure {
                    Failure::Cluster(error) => {
                        self.agent.learn_from(&error);
                        error.reason()
                    }
                    Failure::Content(reason) => reason,
                };
                tracing::warn!(%app, %object, %reason, "a step failed");
                self.agent.attempts.failed(app, object, reason, now);
            }
            (Outcome::Applied { .. }, _) => {}
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

async fn attempt(agent: &Agent, step: &Step) -> Result<Outcome, Failure> {
    // The plan has asked already. This is the last place before the API server, and nothing passes it.
    agent.guardrail.permits(&step.object).map_err(Failure::Content)?;
    match &step.kind {
        StepKind::Apply { entry, drift, ignore } => {
            let resource = resource(agent, step, &entry.version)?;
            let wanted = agent.shared.ledger_object(&step.app, entry).map_err(Failure::Content)?;
            let owned = agent.shared.ledger().inventory().get(&step.app, &step.object).cloned().unwrap_or_default();
            // New content may drop fields; what becomes of them shows only beside what was there before.
            let changes = drift.is_none() && owned.applied.is_some();
            let before = match changes || !ignore.is_empty() {
                true => agent.cluster.get(resource, &step.object).await.map_err(Failure::Cluster)?,
                false => None,
            };
            let prepared = agent_plan::prepare(&wanted, before.as_ref(), ignore, agent_cluster::FIELD_MANAGER);
            match apply(agent, resource, step, &prepared).await {
                Ok(live) => {
                    let before = before.filter(|_| changes);
                    let kept = before.map(|before| agent_plan::kept(&before, &live, agent_cluster::FIELD_MANAGER));
                    Ok(Outcome::Applied { live, kept })
                }
                Err(error) if error.refusal() == Some(Refusal::Immutable) && entry.policy.recreate => {
                    let Some(uid) = owned.uid else { return Err(Failure::Cluster(error)) };
                    agent.cluster.delete(resource, &step.object, &uid).await.map_err(Failure::Cluster)?;
                    Ok(Outcome::Replaced)
                }
                Err(error) => Err(Failure::Cluster(error)),
            }
        }
        StepKind::RunHook { entry, .. } => {
            let resource = resource(agent, step, &entry.version)?;
            let wanted = agent.shared.ledger_object(&step.app, entry).map_err(Failure::Content)?;
            let prepared = agent_plan::prepare(&wanted, None, &BTreeSet::new(), agent_cluster::FIELD_MANAGER);
            let live = apply(agent, resource, step, &prepared).await.map_err(Failure::Cluster)?;
            Ok(Outcome::Applied { live, kept: None })
        }
        StepKind::Delete { uid } | StepKind::DeleteHook { uid, .. } => {
            agent.cluster.delete(resource(agent, step, "")?, &step.object, uid).await.map_err(Failure::Cluster)?;
            Ok(Outcome::Deleted)
        }
        StepKind::Adopt { .. } | StepKind::Forget(_) | StepKind::Finish | StepKind::EndHook { .. } => {
            unreachable!("BUG: this step needs no API server")
        }
    }
}

/// Applies, and takes over what a tool that applied before us holds: only then does applying again remove what is not wanted any more.
async fn apply(agent: &Agent, resource: &Resource, step: &Step, object: &Value) -> Result<Value, ClusterError> {
    let live = agent.cluster.apply(resource, &step.object, object).await?;
    let Some(fields) = agent_plan::take_over(&live, agent_cluster::FIELD_MANAGER) else { return Ok(live) };
    agent.cluster.set_managed_fields(resource, &step.object, &live, &fields).await?;
    tracing::info!(app = %step.app, object = %step.object, "took over the fields of the tool that applied it before");
    agent.cluster.apply(resource, &step.object, object).await
}

fn resource<'a>(agent: &'a Agent, step: &Step, version: &str) -> Result<&'a Resource, Failure> {
    let refused = || ClusterError::Refused {
        refusal: Refusal::KindNotServed,
        message: format!("the API server does not serve {}", step.object.kind),
    };
    agent.discovery.resource(&step.object.kind, version).ok_or_else(|| Failure::Cluster(refused()))
}
