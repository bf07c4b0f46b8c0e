//! Which clusters may move to an app's new release now: stages in order, few clusters at once, each watched until it has been healthy at
//! exactly that release for long enough. It decides about one app; what a cluster then publishes is left to `cluster`, measurements in
//! Prometheus are refused as not carried out so far.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hub_fleet::{Cluster, EachRegion, OnFailure, Rollout, Stage, Supersede, WhenLost};
use shared_model::{AppName, AppState, ClusterName, Digest, Freshness, GroupName, Health, Timestamp};

use crate::approval::{StageApproval, approvers, stage_digest};
use crate::gate::{Gate, Lag};
use crate::progress::{Progress, RolloutState};

/// One cluster that the app is wanted on.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The newest release for it.
    pub wanted: Digest,
    /// The release in its index.
    pub published: Option<Digest>,
    /// The last word from it; `None` if there never was one.
    pub heard: Option<Heard<'a>>,
}

/// The last word from a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// How old it is, by the hub's clock.
    pub age: Duration,
    /// What it says about the app; `None` if nothing.
    pub app: Option<&'a AppState>,
}

/// What is decided from.
#[derive(Debug, Clone, Copy)]
pub struct RolloutInput<'a> {
    /// The hub's clock.
    pub now: Timestamp,
    /// The app.
    pub app: &'a AppName,
    /// How it goes from cluster to cluster; to all at once if there is none.
    pub rollout: Option<&'a Rollout>,
    /// The clusters it is wanted on.
    pub members: &'a BTreeMap<ClusterName, Member<'a>>,
    /// Who may approve, by group.
    pub approvers: &'a BTreeMap<GroupName, BTreeSet<String>>,
    /// Approvals of stages of this app.
    pub approvals: &'a [StageApproval],
    /// How far it was.
    pub state: &'a RolloutState,
}

/// What one cluster may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The release that it should run: the newest, that of the change under way, or, taken back, the one before.
    pub release: Digest,
    /// Why it may not move there yet; nothing for a cluster that may, or has it.
    pub waits: Option<Gate>,
}

/// Who may move.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RolloutPlan {
    /// Every cluster's permission.
    pub permissions: BTreeMap<ClusterName, Permission>,
    /// How far it is now; to be stored when it differs from before.
    pub state: RolloutState,
    /// When to look again even if nothing happens: a soak or a deadline ends.
    pub wake: Option<Timestamp>,
}

/// Decides which clusters may move now.
pub fn advance(input: &RolloutInput<'_>) -> RolloutPlan {
    let wanted: BTreeMap<ClusterName, Digest> = input.members.iter().map(|(name, member)| (name.clone(), member.wanted)).collect();
    let Some(rollout) = input.rollout else {
        let at_once = |(name, release)| (name, Permission { release, waits: None });
        return RolloutPlan { permissions: wanted.into_iter().map(at_once).collect(), ..RolloutPlan::default() };
    };
    let mut pinned = wanted.clone();
    for (name, release) in &input.state.target {
        pinned.entry(name.clone()).and_modify(|pinned| *pinned = *release);
    }
    if !input.state.target.is_empty() && pinned != wanted && rollout.supersede == Supersede::Queue {
        let under_way = !input.state.finished && input.state.clusters.values().any(|progress| progress.granted);
        let look = Look::new(input, rollout, &pinned, false).evaluate();
        if under_way && !look.ended {
            return queue_behind(look.plan, &pinned, input);
        }
    }
    let same = wanted == pinned;
    Look::new(input, rollout, &wanted, !same).evaluate().plan
}

/// The change under way goes on; clusters that have it wait for its end with the newer one.
fn queue_behind(mut plan: RolloutPlan, pinned: &BTreeMap<ClusterName, Digest>, input: &RolloutInput<'_>) -> RolloutPlan {
    let since = plan.state.since.unwrap_or(input.now);
    for (name, permission) in &mut plan.permissions {
        let Some(member) = input.members.get(name) else { continue };
        if member.published == pinned.get(name).copied() && member.published != Some(member.wanted) {
            *permission = Permission { release: member.wanted, waits: Some(Gate::Queued { since }) };
        }
    }
    plan
}

/// How a cluster stands with the target.
#[derive(Debug, Clone, PartialEq)]
enum Standing {
    Done,
    /// Not done, and within its time.
    Lagging(Lag),
    /// Not done, and out of time.
    Failed(Lag),
    /// Not heard from, and gone on without.
    Skipped,
}

/// A stage, or one region of it.
struct Step<'a> {
    stage: &'a Stage,
    members: Vec<&'a ClusterName>,
}

/// One look at one target.
struct Look<'a> {
    input: &'a RolloutInput<'a>,
    rollout: &'a Rollout,
    state: RolloutState,
    wake: Option<Timestamp>,
}

struct Evaluation {
    plan: RolloutPlan,
    /// Nothing more comes of it by itself: it is finished, failed or was taken back.
    ended: bool,
}

impl<'a> Look<'a> {
    fn new(input: &'a RolloutInput<'a>, rollout: &'a Rollout, target: &BTreeMap<ClusterName, Digest>, another: bool) -> Self {
        let before = input.state;
        let another = another || before.target.is_empty();
        let mut state = RolloutState { target: target.clone(), since: Some(input.now), ..RolloutState::default() };
        if !another {
            state = RolloutState { target: target.clone(), clusters: BTreeMap::new(), ..before.clone() };
        }
        for (name, release) in target {
            let known = before.clusters.get(name).filter(|progress| progress.release == *release);
            let mut progress = known.cloned().unwrap_or_else(|| Progress::new(*release));
            if another {
                progress.granted = false;
                progress.before = None;
            }
            if let Some(member) = input.members.get(name) {
                observe(&mut progress, member, input.now);
            }
            state.clusters.insert(name.clone(), progress);
        }
        Self { input, rollout, state, wake: None }
    }

    fn evaluate(mut self) -> Evaluation {
        let mut permissions = BTreeMap::new();
        let steps = self.steps(&mut permissions);
        let mut behind: Option<(&Stage, ClusterName, Lag)> = None;
        let mut failed = false;
        for step in &steps {
            if let Some((stage, cluster, lag)) = &behind {
                let gate = Gate::StageWaits {
                    stage: step.stage.name.clone(),
                    behind: stage.name.clone(),
                    cluster: cluster.clone(),
                    lag: lag.clone(),
                };
                self.permit(step, &mut permissions, |_| Some(gate.clone()));
                continue;
            }
            let standings: BTreeMap<&ClusterName, Standing> =
                step.members.iter().map(|name| (*name, self.standing(name, step.stage))).collect();
            let failure = failure(step, &standings);
            if let Some(gate) = &failure {
                failed = true;
                if step.stage.on_failure == OnFailure::Rollback && !self.state.finished && self.state.taken_back.is_none() {
                    self.state.taken_back = Some((self.input.now, gate.to_string()));
                }
            }
            match failure.or_else(|| not_yet(step.stage)).or_else(|| self.unapproved(step, &steps)) {
                Some(gate) => self.permit(step, &mut permissions, |_| Some(gate.clone())),
                // All of them are told below why nothing moves.
                None if self.state.taken_back.is_some() => self.permit(step, &mut permissions, |_| None),
                None => self.grant(step, &standings, &mut permissions),
            }
            behind = first_open(step, &standings).map(|(cluster, lag)| (step.stage, cluster, lag));
        }
        self.state.finished |= behind.is_none() && !failed && self.state.taken_back.is_none();
        if let Some((at, why)) = self.state.taken_back.clone() {
            self.take_back(&mut permissions, at, &why);
        }
        let ended = self.state.finished || failed || self.state.taken_back.is_some();
        Evaluation { plan: RolloutPlan { permissions, state: self.state, wake: self.wake }, ended }
    }

    /// The stages with their clusters, one region after another where the stage says so. Clusters that no stage takes wait.
    fn steps(&self, permissions: &mut BTreeMap<ClusterName, Permission>) -> Vec<Step<'a>> {
        let mut stages: BTreeMap<usize, Vec<(&'a ClusterName, &'a Cluster)>> = BTreeMap::new();
        for (name, member) in self.input.members {
            match self.rollout.stage_of(member.cluster) {
                Some(stage) => stages.entry(stage).or_default().push((name, member.cluster)),
                None => {
                    let release = self.target(name).unwrap_or(member.wanted);
                    permissions.insert(name.clone(), Permission { release, waits: Some(Gate::NoStage) });
                }
            }
        }
        let mut steps = Vec::new();
        for (number, members) in stages {
            let Some(stage) = self.rollout.stages.get(number) else { continue };
            match stage.each_region {
                EachRegion::Parallel => steps.push(Step { stage, members: members.into_iter().map(|(name, _)| name).collect() }),
                EachRegion::Sequential => {
                    let mut regions: BTreeMap<_, Vec<_>> = BTreeMap::new();
                    for (name, cluster) in members {
                        regions.entry(&cluster.region).or_default().push(name);
                    }
                    steps.extend(regions.into_values().map(|members| Step { stage, members }));
                }
            }
        }
        steps
    }

    fn target(&self, name: &ClusterName) -> Option<Digest> {
        self.state.target.get(name).copied()
    }

    fn has_target(&self, name: &ClusterName) -> bool {
        self.input.members.get(name).is_some_and(|member| member.published.is_some() && member.published == self.target(name))
    }

    fn standing(&mut self, name: &ClusterName, stage: &Stage) -> Standing {
        let (Some(member), Some(progress)) = (self.input.members.get(name), self.state.clusters.get(name)) else {
            return Standing::Lagging(Lag::NotMoved);
        };
        let now = self.input.now;
        let freshness = Freshness::of_age(member.heard.map(|heard| heard.age));
        if freshness != Freshness::Fresh {
            let skipped = freshness == Freshness::Offline && stage.when_lost == WhenLost::Skip;
            let silent = member.heard.map(|heard| heard.age);
            return if skipped { Standing::Skipped } else { Standing::Lagging(Lag::Lost { silent }) };
        }
        let Some(moved) = progress.moved else { return Standing::Lagging(Lag::NotMoved) };
        let lag = match progress.healthy {
            Some(healthy) => {
                let until = after(healthy, stage.soak);
                if until <= now {
                    return Standing::Done;
                }
                self.wake = earlier(self.wake, until);
                return Standing::Lagging(Lag::Soaking { until });
            }
            None => lag_of(member, &progress.release, moved),
        };
        let until = after(moved, stage.deadline);
        if !progress.granted || until > now {
            if progress.granted {
                self.wake = earlier(self.wake, until);
            }
            return Standing::Lagging(lag);
        }
        Standing::Failed(lag)
    }

    /// Lets as many clusters of a step move as may, those first that were let before.
    fn grant(
        &mut self,
        step: &Step<'_>,
        standings: &BTreeMap<&ClusterName, Standing>,
        permissions: &mut BTreeMap<ClusterName, Permission>,
    ) {
        let limit = step.stage.max_concurrency.of(step.members.len());
        let in_change: Vec<&ClusterName> = step
            .members
            .iter()
            .copied()
            .filter(|name| self.has_target(name) && matches!(standings.get(name), Some(Standing::Lagging(_))))
            .collect();
        let mut waiting: Vec<&ClusterName> = step.members.iter().copied().filter(|name| !self.has_target(name)).collect();
        let lost = |name: &ClusterName| {
            let heard = self.input.members.get(name).and_then(|member| member.heard);
            let silent = heard.map(|heard| heard.age);
            (Freshness::of_age(silent) != Freshness::Fresh).then_some(Gate::Lost { silent })
        };
        let (absent, reachable): (Vec<_>, Vec<_>) = waiting.drain(..).map(|name| (name, lost(name))).partition(|(_, lost)| lost.is_some());
        let mut reachable: Vec<&ClusterName> = reachable.into_iter().map(|(name, _)| name).collect();
        reachable.sort_by_key(|name| (!self.state.clusters.get(*name).is_some_and(|progress| progress.granted), *name));
        let granted: BTreeSet<&ClusterName> = reachable.iter().copied().take(limit.saturating_sub(in_change.len())).collect();
        let first = in_change.first().copied().or_else(|| granted.first().copied());
        let busy = match first {
            Some(cluster) => Gate::StageBusy {
                stage: step.stage.name.clone(),
                limit,
                cluster: cluster.clone(),
                lag: match standings.get(cluster) {
                    Some(Standing::Lagging(lag) | Standing::Failed(lag)) => lag.clone(),
                    _ => Lag::NotMoved,
                },
            },
            None => Gate::StageClosed { stage: step.stage.name.clone() },
        };
        let absent: BTreeMap<&ClusterName, Option<Gate>> = absent.into_iter().collect();
        self.permit(step, permissions, |name| match absent.get(name) {
            Some(lost) => lost.clone(),
            None => (!granted.contains(name)).then(|| busy.clone()),
        });
        for name in granted {
            let before = self.input.members.get(name).and_then(|member| member.published);
            if let Some(progress) = self.state.clusters.get_mut(name)
                && !progress.granted
            {
                progress.granted = true;
                progress.before = before;
            }
        }
    }

    /// Writes down the permissions of a step: clusters that have the target may, others as `waits` says.
    fn permit(&self, step: &Step<'_>, permissions: &mut BTreeMap<ClusterName, Permission>, waits: impl Fn(&ClusterName) -> Option<Gate>) {
        for name in &step.members {
            let Some(release) = self.target(name) else { continue };
            let waits = if self.has_target(name) { None } else { waits(name) };
            permissions.insert((*name).clone(), Permission { release, waits });
        }
    }

    /// The approval that a stage lacks. A stage that has begun was approved.
    fn unapproved(&self, step: &Step<'_>, steps: &[Step<'_>]) -> Option<Gate> {
        let approval = step.stage.approval.as_ref()?;
        let members: Vec<&ClusterName> =
            steps.iter().filter(|other| other.stage.name == step.stage.name).flat_map(|step| step.members.iter().copied()).collect();
        let begun = members.iter().any(|name| self.state.clusters.get(*name).is_some_and(|progress| progress.granted));
        if begun || members.iter().all(|name| self.has_target(name)) {
            return None;
        }
        let releases = members.into_iter().filter_map(|name| Some((name.clone(), self.target(name)?))).collect();
        let stage = &step.stage.name;
        let digest = stage_digest(self.input.app, self.rollout.name.as_str(), stage.as_str(), &releases);
        let nobody = BTreeSet::new();
        let people = self.input.approvers.get(&approval.group).unwrap_or(&nobody);
        let given = approvers(self.input.approvals, &digest, people, approval.expires, self.input.now).len();
        (given < approval.count as usize).then(|| Gate::StageApproval {
            stage: stage.clone(),
            group: approval.group.clone(),
            given,
            count: approval.count,
            digest,
        })
    }

    /// Sends the clusters that the failed change has reached back to what they ran; one that ran nothing keeps the change.
    fn take_back(&self, permissions: &mut BTreeMap<ClusterName, Permission>, at: Timestamp, why: &str) {
        for (name, permission) in permissions.iter_mut() {
            let before = self.state.clusters.get(name).filter(|progress| progress.granted).and_then(|progress| progress.before);
            *permission = match (self.has_target(name), before) {
                (true, Some(before)) => Permission { release: before, waits: None },
                (true, None) => continue,
                (false, _) => Permission { release: permission.release, waits: Some(Gate::RolledBack { why: why.to_owned(), at }) },
            };
        }
    }
}

/// Brings what is known of a cluster up to its last word. Only a fresh word about exactly this release counts; silence of 90 seconds ends
/// what was known.
fn observe(progress: &mut Progress, member: &Member<'_>, now: Timestamp) {
    if member.published != Some(progress.release) {
        progress.moved = None;
        progress.healthy = None;
        return;
    }
    progress.moved.get_or_insert(now);
    match Freshness::of_age(member.heard.map(|heard| heard.age)) {
        Freshness::Fresh => {
            let app = member.heard.and_then(|heard| heard.app);
            let well = app.is_some_and(|app| is_at(app, &progress.release) && matches!(app.health, Health::Healthy | Health::Suspended));
            progress.healthy = if well { progress.healthy.or(Some(now)) } else { None };
        }
        Freshness::Stale => {}
        Freshness::Offline => progress.healthy = None,
    }
}

fn is_at(app: &AppState, release: &Digest) -> bool {
    app.wanted.as_ref() == Some(release) && app.applied.as_ref() == Some(release)
}

fn lag_of(member: &Member<'_>, release: &Digest, since: Timestamp) -> Lag {
    let app = member.heard.and_then(|heard| heard.app).filter(|app| app.wanted.as_ref() == Some(release));
    let Some(app) = app else { return Lag::NotApplied { reason: None } };
    let worst = app.unhealthy.iter().max_by_key(|object| object.health);
    match worst {
        Some(worst) if worst.health > Health::Waiting || is_at(app, release) => Lag::Unhealthy {
            object: Some(worst.object.clone()),
            health: worst.health,
            reason: worst.reason.clone().or_else(|| app.reason.clone()),
            since,
        },
        _ if is_at(app, release) => Lag::Unhealthy { object: None, health: app.health, reason: app.reason.clone(), since },
        _ => Lag::NotApplied { reason: app.reason.clone() },
    }
}

/// More failed than may.
fn failure(step: &Step<'_>, standings: &BTreeMap<&ClusterName, Standing>) -> Option<Gate> {
    let failed: Vec<(&ClusterName, &Lag)> = standings
        .iter()
        .filter_map(|(name, standing)| if let Standing::Failed(lag) = standing { Some((*name, lag)) } else { None })
        .collect();
    let limit = step.stage.max_failures.of(step.members.len());
    let (cluster, lag) = failed.first().filter(|_| failed.len() > limit)?;
    Some(Gate::StageFailed {
        stage: step.stage.name.clone(),
        failed: failed.len(),
        limit,
        cluster: (*cluster).clone(),
        lag: (*lag).clone(),
    })
}

/// The first cluster that keeps later steps waiting; clusters that failed within the limit do not.
fn first_open(step: &Step<'_>, standings: &BTreeMap<&ClusterName, Standing>) -> Option<(ClusterName, Lag)> {
    let too_many = failure(step, standings).is_some();
    standings.iter().find_map(|(name, standing)| match standing {
        Standing::Lagging(lag) => Some(((*name).clone(), lag.clone())),
        Standing::Failed(lag) if too_many => Some(((*name).clone(), lag.clone())),
        Standing::Failed(_) | Standing::Done | Standing::Skipped => None,
    })
}

fn not_yet(stage: &Stage) -> Option<Gate> {
    (!stage.gates.is_empty()).then(|| Gate::NotYet { stage: stage.name.clone(), field: "gate" })
}

/// Time's end if it is beyond that.
fn after(time: Timestamp, span: Duration) -> Timestamp {
    time.saturating_add(span).unwrap_or(Timestamp::MAX)
}

fn earlier(one: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(one.map_or(other, |one| one.min(other)))
}

#[cfg(test)]
mod tests;
