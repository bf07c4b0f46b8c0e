//! What may be deleted, and why not: withdrawn by the index, owned by uid, within the budget, in reverse order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared_model::{AppName, ObjectKey, Reason, Severity, Timestamp};
use shared_release::{Phase, Release, deletion_budget, waits_always};

use crate::attempts::Attempts;
use crate::guardrail::Guardrail;
use crate::inventory::{AppInventory, Owned};
use crate::observed::{Objects, Observed};
use crate::order::rank;
use crate::plan::{DesiredApp, ForgetCause, Step, StepKind};
use crate::tracking::Tracking;

/// The most deletions in one cluster within an hour without an approval: ten changes that each use their whole budget of 10.
pub(crate) const HOURLY_DELETIONS: u32 = 100;

/// Whether deleting is possible at all at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrunePermit {
    /// It is.
    Granted,
    /// It is not: the index may be out of date, or the agent is not the writer.
    Held(Reason),
}

/// What pruning comes to for one app.
#[derive(Debug, Default)]
pub(crate) struct Pruning {
    pub(crate) steps: Vec<Step>,
    /// Withdrawals that have come true.
    pub(crate) withdrawn: Vec<ObjectKey>,
    /// Deletions that wait for an approval.
    pub(crate) awaiting: Vec<ObjectKey>,
    pub(crate) reason: Option<Reason>,
    /// The reason is that nothing may be deleted: the permit, an approval or the hourly budget lacks.
    pub(crate) refused: bool,
    /// When a deletion that was refused is tried again.
    pub(crate) wake: Option<Timestamp>,
}

/// What deciding about deletions of one app needs.
#[derive(Clone, Copy)]
pub(crate) struct PruneInput<'a> {
    pub(crate) app: &'a AppName,
    pub(crate) desired: &'a DesiredApp,
    pub(crate) inventory: &'a AppInventory,
    pub(crate) objects: &'a Objects,
    /// What permitted and approved deletions still wait for, as "until ...".
    pub(crate) waits: Option<&'a str>,
    /// Withdrawn objects that count as gone, whatever is there now.
    pub(crate) settled: Option<&'a BTreeSet<Arc<ObjectKey>>>,
    pub(crate) permit: &'a PrunePermit,
    pub(crate) guardrail: &'a Guardrail,
    pub(crate) attempts: &'a Attempts,
    pub(crate) now: Timestamp,
    pub(crate) deletions_left_this_hour: u32,
}

pub(crate) fn plan_prune(input: &PruneInput<'_>) -> Pruning {
    let mut pruning = Pruning::default();
    let mut doomed: BTreeMap<(Phase, i32), Vec<(&ObjectKey, &str)>> = BTreeMap::new();
    let mut confirm = false;
    let wanted = |key: &ObjectKey| matches!(&input.desired.release, Ok(Some((_, release))) if release.entries.contains_key(key));
    // What is wanted is never deleted, even if a hub withdraws it in the same index.
    for withdrawal in input.desired.withdrawals.iter().filter(|withdrawal| !wanted(&withdrawal.object)) {
        let key = &withdrawal.object;
        if input.settled.is_some_and(|settled| settled.contains(key)) {
            pruning.withdrawn.push(key.clone());
            continue;
        }
        let Some(owned) = input.inventory.objects.get(key) else {
            if withdrawal.to.is_some() {
                // It is the taker's now, or will be when the taker applies it.
                pruning.withdrawn.push(key.clone());
            } else {
                pruning.settle_unowned(input, key);
            }
            continue;
        };
        if withdrawal.to.is_some() {
            continue;
        }
        match judge(owned, input.objects.get(key)) {
            Judgement::Delete(_)
                if let Err(reason) = input.guardrail.permits_for(input.app, input.desired.service_account.as_ref(), key) =>
            {
                pruning.reason.get_or_insert(reason);
            }
            Judgement::Forget(cause) => pruning.step(input.app, key, 0, StepKind::Forget(cause)),
            Judgement::Delete(uid) => {
                confirm |= waits_always(key);
                doomed.entry(owned.stage).or_default().push((key, uid));
            }
            Judgement::Going(since) => {
                doomed.entry(owned.stage).or_default();
                pruning.reason.get_or_insert_with(|| Reason::new(Severity::Wait, "Deleting", format!("{key} {since}")));
            }
            Judgement::Wait(reason) => {
                pruning.reason.get_or_insert(reason);
            }
        }
    }
    let count: usize = doomed.values().map(Vec::len).sum();
    if count == 0 {
        return pruning;
    }
    let all: Vec<&ObjectKey> = doomed.values().flatten().map(|(key, _)| *key).collect();
    let budget = deletion_budget(input.inventory.objects.len());
    if let PrunePermit::Held(reason) = input.permit {
        pruning.refuse(reason.clone());
    } else if !input.desired.approved && (count > budget || confirm) {
        pruning.awaiting = all.iter().map(|key| (*key).clone()).collect();
        pruning.refuse(approval_needed(input, &all, budget, confirm));
    } else if let Some(waits) = input.waits {
        pruning.reason = Some(Reason::new(Severity::Wait, "PruneWaits", format!("{count} deletions wait {waits}")));
    } else if !input.desired.approved && count > input.deletions_left_this_hour as usize {
        let limit = input.guardrail.deletions_an_hour(false);
        let message = format!("{count} deletions wait: this cluster allows {limit} an hour without an approval");
        pruning.refuse(Reason::new(Severity::Warning, "HourlyBudget", message));
    } else if let Some((_, last)) = doomed.into_iter().next_back() {
        // An approval comes from the hub, and the guardrail holds against the hub: what exceeds it waits for the next hour.
        let at_most = input.guardrail.deletions_per_hour.map_or(usize::MAX, |_| input.deletions_left_this_hour as usize);
        if count > at_most {
            let message = format!("{count} deletions wait: this cluster's guardrail lets {at_most} more happen within this hour");
            pruning.reason = Some(Reason::new(Severity::Warning, "HourlyBudget", message));
        }
        // The highest stage goes first, and the next one only when it is gone: a later plan sees to that.
        for (key, uid) in last.into_iter().take(at_most) {
            if let Some(refused) = input.attempts.error(input.app, key) {
                pruning.reason.get_or_insert_with(|| refused.clone());
                let due = input.attempts.next(input.app, key, false);
                if due > input.now {
                    pruning.wake = [pruning.wake, Some(due)].into_iter().flatten().min();
                    continue;
                }
            }
            let order = DELETE_ORDER + 100_u32.saturating_sub(rank(&key.kind));
            pruning.step(input.app, key, order, StepKind::Delete { uid: uid.to_owned() });
        }
    }
    pruning
}

/// Deletions come after everything that is applied in the same plan.
const DELETE_ORDER: u32 = 1_000;

enum Judgement<'a> {
    Forget(ForgetCause),
    Delete(&'a str),
    Going(String),
    Wait(Reason),
}

fn judge<'a>(owned: &'a Owned, observed: Option<&Observed>) -> Judgement<'a> {
    let unknown = |message: String| Judgement::Wait(Reason::new(Severity::Wait, "NotObserved", message));
    match (observed, &owned.uid) {
        (None, _) => unknown("an object to delete was not observed yet".to_owned()),
        (Some(Observed::Unknown(reason)), _) => Judgement::Wait(reason.clone()),
        (Some(Observed::Absent | Observed::Ended { .. }), _) => Judgement::Forget(ForgetCause::Gone),
        // An intent without a uid is resolved by reading, never by deleting: whatever is there was perhaps not made by us.
        (Some(Observed::Present(_)), None) => Judgement::Forget(ForgetCause::NotOurs),
        (Some(Observed::Present(present)), Some(uid)) if present.uid != *uid => Judgement::Forget(ForgetCause::NotOurs),
        (Some(Observed::Present(present)), Some(_)) if present.deleting => {
            Judgement::Going(present.verdict.reason.as_ref().map_or_else(|| "is being deleted".to_owned(), |r| r.message.clone()))
        }
        (Some(Observed::Present(_)), Some(uid)) => Judgement::Delete(uid),
    }
}

fn approval_needed(input: &PruneInput<'_>, all: &[&ObjectKey], budget: usize, confirm: bool) -> Reason {
    let names: Vec<String> = all.iter().take(5).map(ToString::to_string).collect();
    let more = if all.len() > 5 { format!(" and {} more", all.len() - 5) } else { String::new() };
    let why = if confirm {
        "namespaces, custom resource definitions, volumes and claims always wait for an approval".to_owned()
    } else {
        format!("{budget} of {} objects may go without one", input.inventory.objects.len())
    };
    let message = format!(
        "{} deletions need an approval ({why}): {}{more}; run `capstan approve {} --cluster` with the name of this cluster, or put the objects back",
        all.len(),
        names.join(", "),
        input.app
    );
    Reason::new(Severity::Warning, "ApprovalNeeded", message)
}

impl Pruning {
    fn refuse(&mut self, reason: Reason) {
        self.reason = Some(reason);
        self.refused = true;
    }

    fn step(&mut self, app: &AppName, object: &ObjectKey, order: u32, kind: StepKind) {
        self.steps.push(Step { order, app: app.clone(), object: Arc::new(object.clone()), kind });
    }

    /// A withdrawal of something that the inventory does not have: it is gone, or the inventory was lost and the tracking annotation tells.
    fn settle_unowned(&mut self, input: &PruneInput<'_>, key: &ObjectKey) {
        match input.objects.get(key) {
            Some(Observed::Present(present)) => {
                let ours = Tracking { app: input.app.clone(), object: key.clone() };
                if present.tracking.as_ref() == Some(&ours) {
                    self.step(input.app, key, 0, StepKind::Adopt { from: None, uid: present.uid.clone() });
                } else {
                    self.withdrawn.push(key.clone());
                }
            }
            Some(Observed::Absent | Observed::Ended { .. }) => self.withdrawn.push(key.clone()),
            Some(Observed::Unknown(_)) | None => {}
        }
    }
}

/// Objects that the app owns and that are neither wanted nor withdrawn: kept, and reported.
pub(crate) fn unaccounted<'a>(inventory: &'a AppInventory, desired: &DesiredApp, release: Option<&Release>) -> Vec<&'a Arc<ObjectKey>> {
    let withdrawn = |key: &ObjectKey| desired.withdrawals.iter().any(|withdrawal| withdrawal.object == *key);
    let wanted = |key: &ObjectKey| release.is_some_and(|release| release.entries.contains_key(key));
    inventory.objects.keys().filter(|key| !wanted(key) && !withdrawn(key)).collect()
}
