//! The removal of an app whose release has hooks for that: what must succeed before anything is deleted, and what runs when all of it is gone
//! (Argo CD's `PreDelete` and `PostDelete`, Helm's `pre-delete` and `post-delete`). What may be deleted is left to `prune`, how one hook comes
//! to its end to `hook`.
//!
//! No hook runs before its app's deletions are permitted and approved: what prepares for an end must not run while the end is in question. A
//! hook that failed stops the removal until it succeeds; deleting its object asks for another run, and where its policy deletes it, or its time
//! to live, it is run again after a pause, as no new release can mend it. What its policy does not take stays when the removal is over, and
//! Capstan lets go of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_health::End;
use shared_model::{Generation, ObjectKey, Reason, Severity, Timestamp};
use shared_release::{Entry, Hook, Phase, Release, Removal};

use crate::hook;
use crate::inventory::{AppInventory, HookRun, RemovalRuns};
use crate::plan::{AppPlan, AppPlanner, ForgetCause, Standing, Step, StepKind, wave_waits};
use crate::prune::{PruneInput, PrunePermit, Pruning, plan_prune};

/// The removal of an app that has hooks.
#[derive(Debug, Clone)]
pub struct DesiredRemoval {
    /// What the index says of it.
    pub removal: Removal,
    /// The last release.
    pub release: Arc<Release>,
}

impl DesiredRemoval {
    /// Its hooks of `phase`.
    fn hooks(&self, phase: Phase) -> impl Iterator<Item = (&Arc<Entry>, &Hook)> {
        let hooks = self.release.removal_hooks().filter_map(|entry| Some((entry, entry.hook.as_ref()?)));
        hooks.filter(move |(_, hook)| hook.phases.contains(&phase))
    }

    /// Whether all of its hooks are known to have succeeded.
    fn has_run(&self, runs: &RemovalRuns) -> bool {
        let succeeded = |object: &Arc<ObjectKey>, phase| {
            let run = runs.runs.get(&(object.clone(), phase));
            run.is_some_and(|run| run.end == Some(End::Succeeded))
        };
        [Phase::PreDelete, Phase::PostDelete].into_iter().all(|phase| self.hooks(phase).all(|(entry, _)| succeeded(&entry.object, phase)))
    }

    /// Whether `object` is one of its hooks.
    pub(crate) fn runs(&self, object: &ObjectKey) -> bool {
        self.release.entries.get(object).is_some_and(|entry| entry.is_of_removal())
    }
}

impl AppInventory {
    /// Begins a removal: what is known of an earlier one is forgotten.
    pub fn begin_removal(&mut self, since: Generation) {
        self.removal = Some(RemovalRuns { since, runs: BTreeMap::new() });
    }

    /// Whether `object` was made by a hook of a removal.
    pub(crate) fn ran_for_removal(&self, object: &ObjectKey) -> bool {
        let made = self.objects.get(object).filter(|owned| owned.hook).and_then(|owned| owned.uid.as_ref());
        let runs = self.removal.iter().flat_map(|removal| &removal.runs);
        made.is_some() && runs.into_iter().any(|((key, _), run)| **key == *object && run.uid.as_ref() == made)
    }

    /// What is known of the removal that began with index `since`.
    fn removal(&self, since: Generation) -> Option<&RemovalRuns> {
        self.removal.as_ref().filter(|runs| runs.since == since)
    }
}

/// What the plan of an app is put together from.
pub(crate) struct Making<'a> {
    pub(crate) app_plan: &'a mut AppPlan,
    pub(crate) steps: &'a mut Vec<Step>,
    pub(crate) wake: &'a mut Option<Timestamp>,
}

impl AppPlanner<'_> {
    /// Plans the removal. `prune` is what deciding about the app's deletions needs.
    pub(crate) fn plan_removal(&self, desired: &DesiredRemoval, prune: &PruneInput<'_>, making: &mut Making<'_>) -> Pruning {
        let since = desired.removal.since;
        let Some(runs) = prune.inventory.removal(since) else {
            // Nothing of a removal is done before it is written down that it was begun.
            making.app_plan.removal_begins = Some(since);
            let reason = Reason::new(Severity::Wait, "Removing", "its removal begins");
            return Pruning { reason: Some(reason), ..Pruning::default() };
        };
        // What PostDelete hooks made is of the removal, also where the app had an object of that name before.
        let made: BTreeSet<Arc<ObjectKey>> =
            runs.runs.keys().filter(|(_, phase)| *phase == Phase::PostDelete).map(|(key, _)| key.clone()).collect();
        let prune = PruneInput { settled: Some(&made), ..*prune };
        let permitted = match prune.permit {
            PrunePermit::Held(reason) => Some(reason.clone()),
            PrunePermit::Granted => None,
        };
        // What is in the way of deleting anything at all is in the way of hooks that prepare for it.
        let trial = plan_prune(&PruneInput { waits: Some("until the hooks before it have succeeded"), ..prune });
        let blocked = permitted.clone().or_else(|| trial.reason.clone().filter(|_| trial.refused));
        let prepared = self.plan_removal_hooks(desired, runs, Phase::PreDelete, blocked, making);
        let mut pruning = if prepared { plan_prune(&prune) } else { trial };
        let asked = prune.desired.withdrawals.iter().filter(|withdrawal| withdrawal.to.is_none());
        let gone = asked.clone().all(|withdrawal| pruning.withdrawn.contains(&withdrawal.object));
        let all_gone = prepared && gone && desired.removal.complete;
        let ended = all_gone && self.plan_removal_hooks(desired, runs, Phase::PostDelete, permitted, making);
        if !ended && pruning.reason.is_none() {
            let why = match (prepared, gone) {
                (false, _) => "its hooks before the removal run",
                (true, false) => "its objects are deleted",
                (true, true) if !desired.removal.complete => "more of it is yet to be withdrawn",
                (true, true) => "its hooks after the removal run",
            };
            pruning.reason = Some(Reason::new(Severity::Wait, "Removing", format!("it is removed: {why}")));
        }
        let leftovers = self.removal_leftovers(desired, runs, prune.inventory);
        let none_left = leftovers.is_empty();
        making.steps.extend(leftovers);
        // What ends with this very plan is only then known to leave nothing behind.
        if ended && none_left && desired.has_run(runs) {
            let kept: Vec<&Arc<ObjectKey>> = prune.inventory.objects.keys().filter(|key| desired.runs(key)).collect();
            making.app_plan.state.removed = kept.is_empty();
            making.steps.extend(kept.into_iter().map(|object| self.leave_behind(object)));
        }
        pruning
    }

    /// Lets go of what a hook of a removal made.
    pub(crate) fn leave_behind(&self, object: &Arc<ObjectKey>) -> Step {
        Step { order: 0, app: self.app.clone(), object: object.clone(), kind: StepKind::Forget(ForgetCause::LeftBehind) }
    }

    /// Plans the hooks of `phase` wave by wave; says whether all have succeeded.
    fn plan_removal_hooks(
        &self,
        desired: &DesiredRemoval,
        runs: &RemovalRuns,
        phase: Phase,
        mut blocked: Option<Reason>,
        making: &mut Making<'_>,
    ) -> bool {
        let mut waves: BTreeMap<i32, Vec<(&Arc<Entry>, &Hook)>> = BTreeMap::new();
        desired.hooks(phase).for_each(|(entry, hook)| waves.entry(entry.wave).or_default().push((entry, hook)));
        let release = (&desired.removal.release, &*desired.release);
        let mut all = true;
        for (wave, hooks) in waves {
            let mut holds_up = None;
            for (entry, hook) in hooks {
                let run = runs.runs.get(&(entry.object.clone(), phase));
                let standing: Standing = self.stand_hook(entry, hook, phase, release, run, blocked.as_ref());
                all &= standing.is_done();
                if !standing.is_done() {
                    holds_up.get_or_insert_with(|| wave_waits((phase, wave), entry, &standing));
                }
                self.note(entry, standing, making.app_plan, making.steps, making.wake);
            }
            blocked = blocked.or(holds_up);
        }
        all
    }

    /// Deletes the objects of hooks that ended and whose policy says that they go then.
    fn removal_leftovers(&self, desired: &DesiredRemoval, runs: &RemovalRuns, inventory: &AppInventory) -> Vec<Step> {
        let mut ended = Vec::new();
        for phase in [Phase::PreDelete, Phase::PostDelete] {
            let hooks = desired.hooks(phase).map(|(entry, hook)| (entry, hook, runs.runs.get(&(entry.object.clone(), phase))));
            let hooks: Vec<hook::Ran<'_>> = hooks.collect();
            let is_over = |run: Option<&HookRun>| run.is_some_and(|run| run.end.is_some());
            let has_failed = |run: Option<&HookRun>| run.is_some_and(|run| matches!(run.end, Some(End::Failed(_))));
            if hooks.iter().any(|(_, _, run)| has_failed(*run)) || hooks.iter().all(|(_, _, run)| is_over(*run)) {
                ended.extend(hooks.into_iter().map(|ran| (phase, ran)));
            }
        }
        let leftovers = hook::gone_by_policy(ended, &desired.removal.release, inventory, |entry| self.input.objects.get(&entry.object));
        leftovers.into_iter().map(|(entry, kind)| Step::leftover(self.app, entry, kind)).collect()
    }
}
