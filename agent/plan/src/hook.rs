//! Hooks: objects that run to an end in a phase, once for each release. How one stands, what to do about it, and when its object goes
//! (Argo CD's `sync_context.go` and Helm's `hooks.go`; the two agree but for retries, and here as in Helm a hook that failed stays failed).

use std::sync::Arc;
use std::time::Duration;

use agent_health::{End, Ending, runs_to_an_end};
use shared_model::{Digest, Health, Reason, Severity, Timestamp};
use shared_release::{Entry, Hook, HookDelete, Phase, Release, waits_always};

use crate::inventory::{AppInventory, HookRun, HookRuns, Owned};
use crate::observed::{Observed, Present};
use crate::plan::{Standing, Step, StepKind, not_observed};
use crate::testing::test_runs;

/// How far the clocks of the cluster and of the agent may be apart, and how late a deletion may be seen. What is deleted so shortly before its time
/// to live ends counts as removed by that: a failed migration that runs again unasked is worse than one that waits for a commit.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// What deciding about one hook in one phase needs.
pub(crate) struct HookInput<'a> {
    pub(crate) entry: &'a Arc<Entry>,
    pub(crate) hook: &'a Hook,
    pub(crate) phase: Phase,
    /// The release whose hook it is.
    pub(crate) release: Digest,
    /// The run in this phase of this release, if it began.
    pub(crate) run: Option<&'a HookRun>,
    /// What the app owns under this name, perhaps from an earlier release.
    pub(crate) owned: Option<&'a Owned>,
    pub(crate) observed: Option<&'a Observed>,
    /// Why nothing may begin yet.
    pub(crate) blocked: Option<Reason>,
    /// Why the last attempt to create it failed.
    pub(crate) error: Option<Reason>,
    pub(crate) now: Timestamp,
    /// When it may be created, for the first time and again.
    pub(crate) due: [Timestamp; 2],
}

/// How the hook stands, and the next step.
pub(crate) fn stand(input: &HookInput<'_>) -> Standing {
    match input.run.map(|run| (run, &run.end)) {
        Some((_, Some(End::Succeeded))) => Standing::new(true, Health::Healthy, None),
        Some((run, Some(End::Failed(message)))) => match input.observed {
            // Deleting what failed is how a person asks for another run. What its time to live removed nobody has asked for.
            Some(Observed::Absent | Observed::Ended { .. })
                if !run.removed && last_wish(run.expires).is_none_or(|last| input.now < last) =>
            {
                input.begin(true)
            }
            // No new release comes that could mend a removal.
            Some(Observed::Absent | Observed::Ended { .. }) if input.phase.is_of_removal() => {
                let mut standing = input.begin(true);
                (standing.health, standing.reason) = (Health::Degraded, Some(input.failed(message, run.expires, run.ended)));
                standing
            }
            _ => Standing::new(false, Health::Degraded, Some(input.failed(message, run.expires, run.ended))),
        },
        Some((run, None)) => input.stand_running(run),
        None => input.begin(false),
    }
}

impl HookInput<'_> {
    fn stand_running(&self, run: &HookRun) -> Standing {
        match self.observed {
            Some(Observed::Present(present)) if is_of(run, &present.uid) => self.stand_present(present),
            Some(Observed::Ended { uid, ending }) if is_of(run, uid) => self.ended(uid, ending),
            Some(Observed::Present(_) | Observed::Absent | Observed::Ended { .. }) => self.begin(run.uid.is_some()),
            Some(Observed::Unknown(reason)) => Standing::new(false, Health::Unknown, Some(reason.clone())),
            None => Standing::new(false, Health::Unknown, Some(not_observed())),
        }
    }

    /// How a run stands that is there. One that tells its end has ended when it says so; all others by their health, as in Argo CD.
    fn stand_present(&self, present: &Present) -> Standing {
        let verdict = &present.verdict;
        let ending = match verdict.health {
            _ if runs_to_an_end(&self.entry.object.kind) => present.ending.as_deref().cloned(),
            Health::Healthy => Some(Ending { end: End::Succeeded, expires: None, gives_way: false }),
            Health::Degraded => {
                let message = verdict.reason.as_ref().map_or_else(|| verdict.health.to_string(), |reason| reason.message.clone());
                Some(Ending { end: End::failed(&message), expires: None, gives_way: false })
            }
            _ => None,
        };
        if let Some(ending) = ending {
            return self.ended(&present.uid, &ending);
        }
        let what = verdict.reason.as_ref().map_or(String::new(), |reason| format!(" ({})", reason.message));
        let message = format!("{} runs in {:?}{what}", self.entry.object, self.phase);
        Standing::new(false, Health::Progressing, Some(Reason::new(Severity::Wait, "HookRunning", message)))
    }

    fn ended(&self, uid: &str, Ending { end, expires, .. }: &Ending) -> Standing {
        let mut standing = match end {
            End::Succeeded => Standing::new(true, Health::Healthy, None),
            End::Failed(message) => Standing::new(false, Health::Degraded, Some(self.failed(message, *expires, None))),
        };
        let (release, phase) = (self.release, self.phase);
        standing.step = Some(StepKind::EndHook { release, phase, uid: uid.to_owned(), end: end.clone(), expires: *expires });
        standing
    }

    /// The next step towards a run: what an earlier one left goes first, if the policy says so.
    fn begin(&self, again: bool) -> Standing {
        if let Some(reason) = &self.blocked {
            return Standing::new(false, Health::Waiting, Some(reason.clone()));
        }
        let waits =
            |code: &str, message: String| Standing::new(false, Health::Progressing, Some(Reason::new(Severity::Wait, code, message)));
        match self.observed {
            None => return Standing::new(false, Health::Unknown, Some(not_observed())),
            Some(Observed::Unknown(reason)) => return Standing::new(false, Health::Unknown, Some(reason.clone())),
            Some(Observed::Present(present)) if present.deleting => {
                return waits("HookWaits", format!("{} waits until its last run is deleted", self.entry.object));
            }
            Some(Observed::Present(present)) => {
                let may_go = may_delete(self.entry, self.owned, &present.uid) || self.gives_way(present);
                if may_go && self.hook.delete.contains(&HookDelete::BeforeHookCreation) {
                    let mut standing = waits("HookWaits", format!("the last run of {} is deleted before the next", self.entry.object));
                    standing.step = Some(StepKind::DeleteHook { uid: present.uid.clone(), ended: None });
                    return standing;
                }
                // A test over something old is told of as such where tests are planned.
                if present.ending.is_some() && self.phase != Phase::Test {
                    return Standing::new(false, Health::Degraded, Some(self.would_not_run(&present.uid)));
                }
            }
            Some(Observed::Absent | Observed::Ended { .. }) => {}
        }
        let health = if self.error.is_some() { Health::Degraded } else { Health::Progressing };
        let starting = || Reason::new(Severity::Wait, "HookRunning", format!("{} is about to run in {:?}", self.entry.object, self.phase));
        let mut standing = Standing::new(false, health, Some(self.error.clone().unwrap_or_else(starting)));
        let due = self.due[usize::from(again)];
        if due > self.now {
            standing.wake = Some(due);
        } else {
            let over = match self.observed {
                Some(Observed::Present(present)) => Some(present.uid.clone()),
                _ => None,
            };
            let (entry, release, phase) = (self.entry.clone(), self.release, self.phase);
            standing.step = Some(StepKind::RunHook { entry, release, phase, again, over });
        }
        standing
    }

    /// What it says of a run that failed, whose end was seen at `seen`, or is seen now.
    fn failed(&self, message: &str, expires: Option<Timestamp>, seen: Option<Timestamp>) -> Reason {
        let is_gone = matches!(self.observed, Some(Observed::Absent | Observed::Ended { .. }));
        let goes_by_policy = self.hook.delete.contains(&HookDelete::HookFailed);
        let in_time = last_wish(expires).filter(|last| *last > seen.unwrap_or(self.now));
        let remedy = match (self.phase.is_of_removal(), goes_by_policy, expires) {
            (false, true, _) => "commit what mends it".to_owned(),
            (false, false, None) => "delete it to run it again, or commit what mends it".to_owned(),
            (false, false, Some(_)) if is_gone => {
                "it is gone with its time to live, and is not run again for that; commit what mends it".to_owned()
            }
            (false, false, Some(_)) => match in_time {
                Some(last) => format!("delete it by {last}, before its time to live ends, to run it again, or commit what mends it"),
                None => "commit what mends it; its time to live is too short to run it again by deleting it".to_owned(),
            },
            (true, false, None) => {
                "the removal waits; delete it to run it again, or put the app back without this hook, and remove it again".to_owned()
            }
            (true, _, _) => {
                "the removal waits, and it is run again when it is gone; or put the app back without this hook, and remove it again"
                    .to_owned()
            }
        };
        let object = &self.entry.object;
        Reason::new(Severity::Error, "HookFailed", format!("{object} failed in {:?} ({message}); {remedy}", self.phase))
    }

    /// Whether what is there is the spent hook of another tool, or of an agent that lost its disk: it ended, and by its own word it goes before the
    /// next. No app has it.
    fn gives_way(&self, present: &Present) -> bool {
        let spent = present.ending.as_ref().is_some_and(|ending| ending.gives_way);
        spent && self.owned.is_none_or(|owned| owned.uid.as_deref() != Some(&present.uid)) && !waits_always(&self.entry.object)
    }

    /// Why it cannot run: what has this uid ended before, and applying it once more runs nothing. What does not say that it was a hook which gives way
    /// is not certainly one, and not deleted.
    fn would_not_run(&self, uid: &str) -> Reason {
        let of_a_run = self.owned.is_some_and(|owned| owned.hook && owned.uid.as_deref() == Some(uid));
        let remedy = match of_a_run {
            true => "its delete policy keeps what its last run left: delete that, or add BeforeHookCreation to the policy",
            false => "no run of this hook made it, so that it is left alone: delete it, and the hook runs",
        };
        let message = format!(
            "{} cannot run in {:?}: one that has ended is there already, and to apply it again would run nothing; {remedy}",
            self.entry.object, self.phase
        );
        Reason::new(Severity::Error, "HookNotRun", message)
    }
}

/// Until when a person who deletes what failed asks for another run by it; `None` if that is never too late. After it, and if the agent looks only
/// then, its time to live has removed it.
fn last_wish(expires: Option<Timestamp>) -> Option<Timestamp> {
    expires.map(|at| at.checked_sub(CLOCKS_APART).unwrap_or(Timestamp::MIN))
}

/// Whether the policy of a hook may delete what has this uid: a run of a hook made it, and it is of no kind that always waits for an approval.
pub(crate) fn may_delete(entry: &Arc<Entry>, owned: Option<&Owned>, uid: &str) -> bool {
    owned.is_some_and(|owned| owned.hook && owned.uid.as_deref() == Some(uid)) && !waits_always(&entry.object)
}

/// Whether the object with this uid is the run's. Before an apply has said so it is, if it was not there when the run began.
pub(crate) fn is_of(run: &HookRun, uid: &str) -> bool {
    run.uid.as_deref().map_or(run.over.as_deref() != Some(uid), |own| own == uid)
}

/// A hook of a release with its run, if it ran.
pub(crate) type Ran<'a> = (&'a Arc<Entry>, &'a Hook, Option<&'a HookRun>);

/// The objects of hooks that ended and whose policy says that they go then. A phase's successes stay until all of its hooks have ended: a
/// role is needed as long as the Job that uses it.
pub(crate) fn leftovers<'a>(
    release: (&'a Digest, &'a Release),
    inventory: &'a AppInventory,
    observed: impl Fn(&'a Arc<Entry>) -> Option<&'a Observed>,
) -> Vec<(&'a Arc<Entry>, StepKind)> {
    let end = |run: &Option<&'a HookRun>| run.and_then(|run| run.end.as_ref());
    let mut ended: Vec<(Phase, Ran<'_>)> = Vec::new();
    for phase in [Phase::PreSync, Phase::Sync, Phase::PostSync, Phase::SyncFail] {
        let hooks = release.1.entries.values().filter_map(|entry| Some((entry, entry.hook.as_ref()?)));
        let runs: Vec<Ran<'_>> = hooks
            .filter(|(_, hook)| hook.phases.contains(&phase))
            .map(|(entry, hook)| (entry, hook, inventory.hooks.get(release.0, &entry.object, phase)))
            .collect();
        let failed = runs.iter().any(|(_, _, run)| matches!(end(run), Some(End::Failed(_))));
        if failed || runs.iter().all(|(_, _, run)| end(run).is_some()) {
            ended.extend(runs.into_iter().map(|run| (phase, run)));
        }
    }
    ended.extend(test_runs(release, inventory).into_iter().map(|run| (Phase::Test, run)));
    gone_by_policy(ended, release.0, inventory, observed)
}

/// Those of `ended` hooks of `release` whose policy says that they go then.
pub(crate) fn gone_by_policy<'a>(
    ended: Vec<(Phase, Ran<'a>)>,
    release: &Digest,
    inventory: &AppInventory,
    observed: impl Fn(&'a Arc<Entry>) -> Option<&'a Observed>,
) -> Vec<(&'a Arc<Entry>, StepKind)> {
    let mut leftovers = Vec::new();
    for (phase, (entry, hook, run)) in ended {
        let policy = match run.and_then(|run| run.end.as_ref()) {
            Some(End::Succeeded) => HookDelete::HookSucceeded,
            Some(End::Failed(_)) => HookDelete::HookFailed,
            None => continue,
        };
        let owned = inventory.objects.get(&entry.object);
        let there = match (run, observed(entry)) {
            (Some(run), Some(Observed::Present(present))) => {
                let is_run = !run.removed && !present.deleting && run.uid.as_ref() == Some(&present.uid);
                is_run && may_delete(entry, owned, &present.uid)
            }
            _ => false,
        };
        if let Some(uid) = run.and_then(|run| run.uid.clone()).filter(|_| there && hook.delete.contains(&policy)) {
            leftovers.push((entry, StepKind::DeleteHook { uid, ended: Some((*release, phase)) }));
        }
    }
    leftovers
}

/// Whether every hook of the phases up to the end of a good rollout has succeeded.
pub(crate) fn all_succeeded(release: (&Digest, &Release), runs: &HookRuns) -> bool {
    release.1.entries.values().filter_map(|entry| Some((entry, entry.hook.as_ref()?))).all(|(entry, hook)| {
        let phases = hook.phases.iter().filter(|phase| phase.is_of_good_rollout());
        phases.copied().all(|phase| {
            let run = runs.get(release.0, &entry.object, phase);
            run.is_some_and(|run| run.end == Some(End::Succeeded))
        })
    })
}

impl Step {
    /// The step of `app` for a hook's leftover.
    pub(crate) fn leftover(app: &shared_model::AppName, entry: &Arc<Entry>, kind: StepKind) -> Self {
        Self { order: 0, app: app.clone(), object: entry.object.clone(), kind }
    }
}
