//! Who may move when: the rollout of each app, from what was published and what clusters say. How far each one is, is on disk before anything
//! that follows from it is published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hub_fleet::{Fleet, Rollout};
use hub_plan::{Gate, Heard, Lag, Member, Permission, RolloutInput, RolloutState, Sanction, StageApproval, advance};
use serde::{Deserialize, Serialize};
use shared_model::{AppName, AppState, ClusterName, Digest, Reason, Severity, Timestamp};

use crate::api::ApprovalRecord;
use crate::core::Core;
use crate::picture::Pending;
use crate::publish::Told;
use crate::record::{self, Record};
use crate::registry::ClusterRecord;
use crate::render::Rendering;

/// How far the rollout of an app is, by the digest of its content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RolloutRecord {
    pub(crate) content: String,
}

impl Record for RolloutRecord {
    const TREE: &'static str = "rollouts";
}

/// What the rollouts of a fleet come to.
#[derive(Default)]
pub(crate) struct Rollouts {
    /// What each cluster may run; an app without a rollout has no entry and moves at once.
    pub(crate) permissions: BTreeMap<(AppName, ClusterName), Permission>,
    /// Stages that wait for an approval.
    pub(crate) held: BTreeMap<AppName, Vec<Pending>>,
    /// When to look again even if nothing happens.
    pub(crate) wake: Option<Timestamp>,
}

/// Advances the rollout of every app that has one.
pub(crate) async fn advance_all(
    core: &Core,
    fleet: &Fleet,
    rendering: &Rendering,
    records: &BTreeMap<ClusterName, ClusterRecord>,
    told: &BTreeMap<ClusterName, Told>,
) -> anyhow::Result<Rollouts> {
    let mut rollouts = Rollouts::default();
    for app in fleet.apps.values() {
        let Some(rollout) = app.rollout.as_ref().and_then(|name| fleet.rollouts.get(name)) else { continue };
        let stored = record::read::<RolloutRecord>(&*core.store, app.name.as_str()).await?;
        let state = match &stored {
            Some((record, _)) => {
                let digest: Digest = record.content.parse()?;
                let bytes =
                    core.store.get_blob(digest).await?.ok_or_else(|| anyhow::anyhow!("the content {digest} is not in the store"))?;
                RolloutState::decode(&bytes)?
            }
            None => RolloutState::default(),
        };
        let approvals = stage_approvals(core, &app.name).await?;
        let heard = heard(core, &app.name, records);
        let joined = |name: &ClusterName| records.get(name).is_some_and(|record| record.uid.is_some() && !record.revoked);
        let untellable = untellable(fleet, &app.name, rollout, rendering, &state, joined);
        let mut members = BTreeMap::new();
        for (name, cluster) in &fleet.clusters {
            let Some(Ok(output)) = rendering.pairs.get(&(app.name.clone(), name.clone())) else { continue };
            // A cluster that never had an agent holds nobody up; it takes its turn when it joins.
            if !joined(name) {
                continue;
            }
            let published = told.get(name).and_then(|told| told.index.apps.get(&app.name)).and_then(|app| app.release);
            if let Some(gate) = untellable.as_ref().and_then(|untellable| untellable.gate(rollout, rollout.stage_of(cluster))) {
                let waits = (published != Some(output.digest)).then_some(gate);
                rollouts.permissions.insert((app.name.clone(), name.clone()), Permission { release: output.digest, waits });
                continue;
            }
            let word = heard.get(name).map(|(age, state)| Heard { age: *age, app: state.as_deref() });
            members.insert(name.clone(), Member { cluster, wanted: output.digest, published, heard: word });
        }
        if matches!(untellable, Some(Untellable::Blocked(_))) {
            // How far it was is kept until the cluster can be asked again.
            continue;
        }
        let mut plan = advance(&RolloutInput {
            now: core.now(),
            app: &app.name,
            rollout: Some(rollout),
            members: &members,
            approvers: &fleet.approvers,
            approvals: &approvals,
            state: &state,
        });
        // Without those that wait outside it cannot be at its end.
        plan.state.finished &= untellable.is_none() || state.finished;
        if plan.state != state {
            let digests = core.store.put_blobs(vec![plan.state.encode().into()]).await?;
            let content = digests.first().map(ToString::to_string).unwrap_or_default();
            let version = stored.map(|(_, version)| version);
            record::write(&*core.store, app.name.as_str(), &RolloutRecord { content }, version).await?;
        }
        rollouts.wake = [rollouts.wake, plan.wake].into_iter().flatten().min();
        rollouts.note_approvals(&app.name, plan.permissions.values());
        rollouts.permissions.extend(plan.permissions.into_iter().map(|(name, permission)| ((app.name.clone(), name), permission)));
    }
    Ok(rollouts)
}

/// A cluster of a rollout of which it cannot be told what it should run, so that it cannot take its turn. Those behind it wait.
enum Untellable {
    /// Its own file has a problem, so not even its stage is known.
    Blocked(Reason),
    /// The app cannot be rendered for it.
    NotRendered { stage: usize, cluster: ClusterName, reason: Reason },
}

/// The first such cluster that has an agent.
fn untellable(
    fleet: &Fleet,
    app: &AppName,
    rollout: &Rollout,
    rendering: &Rendering,
    state: &RolloutState,
    joined: impl Fn(&ClusterName) -> bool,
) -> Option<Untellable> {
    let blocked = fleet.blocked.clusters.iter().find(|(name, _)| state.target.contains_key(*name) && joined(name));
    if let Some((name, location)) = blocked {
        let message =
            format!("cluster {name} has a turn in rollout {}, and cannot take it because of the problem at {location}", rollout.name);
        return Some(Untellable::Blocked(Reason::new(Severity::Error, "ClusterBlocked", message)));
    }
    let failed = fleet.clusters.iter().filter(|(name, _)| joined(name)).filter_map(|(name, cluster)| {
        let Some(Err(reason)) = rendering.pairs.get(&(app.clone(), name.clone())) else { return None };
        Some((rollout.stage_of(cluster)?, name, reason))
    });
    let (stage, cluster, reason) = failed.min_by_key(|(stage, name, _)| (*stage, *name))?;
    Some(Untellable::NotRendered { stage, cluster: cluster.clone(), reason: reason.clone() })
}

impl Untellable {
    /// Why a cluster of stage `mine` waits, if it does.
    fn gate(&self, rollout: &Rollout, mine: Option<usize>) -> Option<Gate> {
        match self {
            Self::Blocked(reason) => Some(Gate::Blocked { reason: reason.clone() }),
            Self::NotRendered { stage, cluster, reason } => {
                let mine = mine.filter(|mine| mine > stage)?;
                Some(Gate::StageWaits {
                    stage: rollout.stages.get(mine)?.name.clone(),
                    behind: rollout.stages.get(*stage)?.name.clone(),
                    cluster: cluster.clone(),
                    lag: Lag::NotApplied { reason: Some(reason.clone()) },
                })
            }
        }
    }
}

impl Rollouts {
    fn note_approvals<'a>(&mut self, app: &AppName, permissions: impl Iterator<Item = &'a Permission>) {
        let mut seen = BTreeSet::new();
        for gate in permissions.filter_map(|permission| permission.waits.as_ref()) {
            if let Gate::StageApproval { digest, .. } = gate
                && seen.insert(*digest)
            {
                let pending = Pending { reason: gate.into(), deletes: Vec::new(), affects: Vec::new(), digest: Some(*digest) };
                self.held.entry(app.clone()).or_default().push(pending);
            }
        }
    }
}

type Word = (Duration, Option<Arc<AppState>>);

/// The last word of each cluster about an app, also of those that were heard only before this process started.
fn heard(core: &Core, app: &AppName, records: &BTreeMap<ClusterName, ClusterRecord>) -> BTreeMap<ClusterName, Word> {
    let live = core.live.read();
    let now = core.now();
    let word = |(name, record): (&ClusterName, &ClusterRecord)| {
        let found = live.get(name);
        let written = record.heard.as_ref().and_then(|heard| heard.parse::<Timestamp>().ok());
        let at = found.and_then(|live| live.last_heard).max(written)?;
        let age = Duration::try_from(now.duration_since(at)).unwrap_or(Duration::ZERO);
        Some((name.clone(), (age, found.and_then(|live| live.apps.get(app).cloned()))))
    };
    records.iter().filter_map(word).collect()
}

async fn stage_approvals(core: &Core, app: &AppName) -> anyhow::Result<Vec<StageApproval>> {
    let mut approvals = Vec::new();
    for (name, record) in record::read_all::<ApprovalRecord>(&*core.store).await? {
        let mine = record.app.as_deref() == Some(app.as_str()) && record.cluster.is_none();
        let digest = name.split('/').nth(2).and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        if let (true, Some(digest), Ok(at)) = (mine, digest, record.at.parse()) {
            approvals.push(StageApproval { digest, sanction: Sanction { by: record.by, at } });
        }
    }
    Ok(approvals)
}
