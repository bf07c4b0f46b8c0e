//! The content of a cluster's next index: which release each app runs, what it withdraws, what changes hands, and why the rest waits.
//!
//! Rules: absence removes nothing. A withdrawal names what an app had and has no longer; it stays until the agent reports it gone. One app
//! owns an object. What is over the deletion budget is put into the index without an approval, and the agent holds it; what its manifest
//! says to confirm stays out of the index until it is approved. Objects that are kept (`prune: false`, an orphaned app) are in no
//! withdrawal: the agent keeps and reports them, and this hub remembers them, so that another app can take them over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hub_fleet::OnDelete;
use shared_model::{AppName, ClusterName, ClusterUid, Digest, Generation, ObjectKey, Reason, ServiceAccount, Severity};
use shared_release::{Approval, Hold, Index, IndexApp, Prune, Release, Removal, Withdrawal, deletion_budget, waits_always};

use crate::approval::{Approved, Sanction};
use crate::conflict::shared_objects;
use crate::gate::Gate;
use crate::memory::{Leftover, Memory};
use crate::wanted::{Gone, Wanted, WantedApp, WantedRelease, WantedTest, claims_object, had};

/// The most withdrawals in one index: with 5,000 apps of about 150 bytes, 8,000 withdrawals of about 150 bytes stay under the 2 MiB that an
/// index may have. More follow when these are done.
pub const WITHDRAWAL_LIMIT: usize = 8_000;

/// What a plan of one cluster is made from.
#[derive(Debug, Clone, Copy)]
pub struct ClusterInput<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// Which one that is. What was published to another uid is not taken for this cluster's.
    pub uid: &'a ClusterUid,
    /// The index that was published last.
    pub previous: Option<&'a Index>,
    /// The releases that `previous` names, by digest.
    pub releases: &'a BTreeMap<Digest, Arc<Release>>,
    /// What the last plan remembered.
    pub memory: &'a Memory,
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// The approvals for this cluster that were not used yet.
    pub approvals: &'a [Approved],
    /// What nothing may be changed of for a while.
    pub holds: &'a BTreeMap<AppName, Hold>,
    /// The tests that were asked for, by app.
    pub tests: &'a BTreeMap<AppName, WantedTest>,
    /// What the agent reported gone, by app.
    pub gone: &'a BTreeMap<AppName, Gone>,
    /// The number of the next index, if there is one.
    pub next: Generation,
}

/// The next state of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterPlan {
    /// The next index; the previous one, to the number, if nothing changed.
    pub index: Index,
    /// Whether there is something to publish.
    pub changed: bool,
    /// What to remember, stored together with the index. It may change when the index does not.
    pub memory: Memory,
    /// What was decided about each app, and why.
    pub decisions: BTreeMap<AppName, AppDecision>,
    /// Approvals that took effect. They are deleted together with storing the index: an approval counts once.
    pub used: Vec<Approved>,
    /// Approvals of something that is not asked any more.
    pub void: Vec<VoidApproval>,
}

/// What was decided about one app in one cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AppDecision {
    /// The release that is wanted, also when it waits; `None` if none is, or that is not known.
    pub wanted: Option<Digest>,
    /// The release in the next index.
    pub published: Option<Digest>,
    /// Why not everything that is wanted is published.
    pub gates: Vec<Gate>,
    /// A suspicious change that waits for an approval.
    pub held: Option<HeldChange>,
    /// Deletions that the app asks for.
    pub deletions: Option<Deletions>,
    /// Objects that change hands, with the app that takes them.
    pub hand_overs: BTreeMap<ObjectKey, AppName>,
    /// Objects that the app has no longer and that stay in the cluster all the same.
    pub kept: BTreeSet<ObjectKey>,
}

/// A suspicious change.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldChange {
    /// What is suspicious.
    pub reason: Reason,
    /// What to approve: exactly this change, with exactly these deletions.
    pub digest: Digest,
    /// The release that the app would take; `None` if it would leave.
    pub release: Option<Digest>,
    /// The objects that would be withdrawn.
    pub withdraws: BTreeSet<ObjectKey>,
    /// It was approved, and this plan carries it out: the suspicion may be dropped.
    pub approved: bool,
}

/// Deletions that an app asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletions {
    /// The objects.
    pub objects: BTreeSet<ObjectKey>,
    /// What to approve: exactly these.
    pub digest: Digest,
    /// How many may go without an approval.
    pub budget: usize,
    /// They need an approval and have none.
    pub waits: bool,
    /// The index does not name all of them, so that the agent cannot ask for an approval of those.
    pub withheld: bool,
    /// Who approved them.
    pub sanction: Option<Sanction>,
}

/// An approval of something that is not asked any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoidApproval {
    /// The approval.
    pub approval: Approved,
    /// What could be approved for the app instead.
    pub shown: Vec<Digest>,
}

/// Decides what one cluster runs next.
pub fn plan_cluster(input: &ClusterInput<'_>) -> ClusterPlan {
    let previous = input.previous.filter(|index| index.uid == *input.uid && index.cluster == *input.cluster);
    let nothing = Memory::default();
    let memory = if previous.is_some() || input.previous.is_none() { input.memory } else { &nothing };
    match input.wanted {
        Wanted::KeepAll(reason) => keep_all(input, previous, memory, reason),
        Wanted::Apps(apps) => Planner::new(input, previous, memory, apps).plan(),
    }
}

fn keep_all(input: &ClusterInput<'_>, previous: Option<&Index>, memory: &Memory, reason: &Reason) -> ClusterPlan {
    let mut index = previous.cloned().unwrap_or_else(|| empty_index(input, None));
    // A hold is no wish of the fleet's, and is needed most when the fleet is broken.
    index.apps.iter_mut().for_each(|(name, app)| app.hold = input.holds.get(name).cloned());
    let changed = previous.is_some_and(|previous| !previous.same_content(&index));
    if changed {
        (index.parent, index.generation) = (Some(index.generation), input.next);
    }
    let decision = |app: &IndexApp| AppDecision {
        published: app.release,
        gates: vec![Gate::KeepAll { reason: reason.clone() }],
        ..AppDecision::default()
    };
    let decisions = index.apps.iter().map(|(name, app)| (name.clone(), decision(app))).collect();
    ClusterPlan { index, changed, memory: memory.clone(), decisions, used: Vec::new(), void: Vec::new() }
}

fn empty_index(input: &ClusterInput<'_>, parent: Option<Generation>) -> Index {
    Index { cluster: input.cluster.clone(), uid: input.uid.clone(), generation: input.next, parent, apps: BTreeMap::new() }
}

/// Where an app goes.
#[derive(Clone, Copy)]
enum Course<'a> {
    /// It keeps what it has, or has nothing.
    Stay,
    /// It runs this release.
    Run(&'a WantedRelease),
    /// It leaves the cluster.
    Leave,
}

/// One app while it is planned.
struct AppWork<'a> {
    previous: Option<&'a IndexApp>,
    /// The content of the release that runs.
    old: Option<&'a Release>,
    /// What it wants to run, also when it waits.
    wants: Option<&'a WantedRelease>,
    /// What it would run if what is held were approved.
    would: Option<&'a WantedRelease>,
    course: Course<'a>,
    gates: Vec<Gate>,
    held: Option<HeldChange>,
    /// The approval of what was held.
    sanction: Option<&'a Approved>,
    leftovers: BTreeMap<ObjectKey, Leftover>,
}

impl<'a> AppWork<'a> {
    fn running(&self) -> Option<Digest> {
        self.previous?.release
    }

    /// Whether its course changes what it runs.
    fn moves(&self) -> bool {
        match self.course {
            Course::Stay => false,
            Course::Run(wanted) => self.running() != Some(wanted.digest),
            Course::Leave => self.running().is_some(),
        }
    }

    /// The content that it runs next, if it runs something that is known.
    fn next(&self) -> Option<&'a Release> {
        match self.course {
            Course::Stay => self.old,
            Course::Run(wanted) => Some(&wanted.release),
            Course::Leave => None,
        }
    }

    fn stay(&mut self, gate: Gate) {
        self.course = Course::Stay;
        if let Some(held) = &mut self.held {
            held.approved = false;
        }
        self.gates.push(gate);
    }
}

struct Planner<'a> {
    input: &'a ClusterInput<'a>,
    previous: Option<&'a Index>,
    memory: &'a Memory,
    work: BTreeMap<&'a AppName, AppWork<'a>>,
}

impl<'a> Planner<'a> {
    fn new(input: &'a ClusterInput<'a>, previous: Option<&'a Index>, memory: &'a Memory, wanted: &'a BTreeMap<AppName, WantedApp>) -> Self {
        let mut planner = Self { input, previous, memory, work: BTreeMap::new() };
        let indexed = previous.into_iter().flat_map(|index| index.apps.keys());
        let names: BTreeSet<&AppName> = indexed.chain(wanted.keys()).chain(memory.leftovers.keys()).collect();
        for name in names {
            let work = planner.intent(name, wanted.get(name));
            planner.work.insert(name, work);
        }
        planner
    }

    fn plan(mut self) -> ClusterPlan {
        self.limit_apps();
        self.refuse_shared_objects();
        self.wait_for_owners();
        let leftovers: BTreeMap<&AppName, _> = self.work.iter().map(|(name, work)| (*name, self.leftovers(name, work))).collect();
        let takers = self.takers(&leftovers);
        let mut room = WITHDRAWAL_LIMIT;
        let mut index = empty_index(self.input, self.previous.map(|index| index.generation));
        let mut memory = Memory::default();
        let mut decisions = BTreeMap::new();
        let mut used: Vec<Approved> = Vec::new();
        let mut leftovers = leftovers;
        for (name, mut work) in std::mem::take(&mut self.work) {
            work.leftovers = leftovers.remove(name).unwrap_or_default();
            let settled = self.settle(name, work, &takers, &mut room);
            let entry = &settled.entry;
            if entry.release.is_some() || entry.removal.is_some() || !entry.withdrawals.is_empty() {
                index.apps.insert(name.clone(), settled.entry);
            }
            if let Some(account) = settled.account.filter(|_| !settled.leftovers.is_empty()) {
                memory.accounts.insert(name.clone(), account);
            }
            if !settled.leftovers.is_empty() {
                memory.leftovers.insert(name.clone(), settled.leftovers);
            }
            if settled.cascades {
                memory.cascades.insert(name.clone());
            }
            used.extend(settled.used);
            decisions.insert(name.clone(), settled.decision);
        }
        let void = void_approvals(self.input.approvals, &decisions, &used);
        let (index, changed) = match self.previous {
            Some(previous) if previous.same_content(&index) => (previous.clone(), false),
            _ => (index, true),
        };
        ClusterPlan { index, changed, memory, decisions, used, void }
    }

    /// What an app would do if it were alone in the cluster.
    fn intent(&self, name: &'a AppName, wanted: Option<&'a WantedApp>) -> AppWork<'a> {
        let previous = self.previous.and_then(|index| index.apps.get(name));
        let running = previous.and_then(|app| app.release);
        let old = running.and_then(|digest| self.input.releases.get(&digest)).map(|release| &**release);
        let mut work = AppWork {
            previous,
            old,
            wants: None,
            would: None,
            course: Course::Stay,
            gates: Vec::new(),
            held: None,
            sanction: None,
            leftovers: BTreeMap::new(),
        };
        match wanted {
            Some(wanted) => self.steer(name, wanted, &mut work),
            None if running.is_some() => work.gates.push(Gate::Unmentioned),
            // It was leaving already, and goes on to.
            None => work.course = Course::Leave,
        }
        if let (true, None, Some(release)) = (work.moves(), work.old, running) {
            work.stay(Gate::ContentUnknown { release });
        }
        work
    }

    fn steer(&self, name: &'a AppName, wanted: &'a WantedApp, work: &mut AppWork<'a>) {
        match wanted {
            WantedApp::Blocked(reason) => work.gates.push(Gate::Blocked { reason: reason.clone() }),
            WantedApp::Removed => work.course = Course::Leave,
            WantedApp::Release(release) => {
                work.wants = Some(release);
                work.course = Course::Run(release);
                if let Some(gate) = release.waits.as_ref().filter(|_| work.moves()) {
                    work.stay(gate.clone());
                }
                // Without an account the agent's own rights count. That is nothing that may happen because a line is missing somewhere.
                let account = work.previous.and_then(|app| app.service_account.as_ref()).filter(|_| release.service_account.is_none());
                if let (Some(account), Course::Run(_)) = (account, work.course) {
                    let message =
                        format!("it runs as service account {account} and names none any more: it would get the agent's own rights");
                    self.hold(name, &Reason::new(Severity::Warning, "AccountDropped", message), work);
                }
            }
            WantedApp::Held { reason, then } => {
                self.steer(name, then, work);
                if work.moves() {
                    self.hold(name, reason, work);
                }
            }
        }
    }

    /// Holds what the app is about to do, unless exactly this was approved.
    fn hold(&self, name: &'a AppName, reason: &Reason, work: &mut AppWork<'a>) {
        let release = match work.course {
            Course::Run(wanted) => Some(wanted.digest),
            Course::Stay | Course::Leave => None,
        };
        let next = work.next();
        let old = work.old.into_iter().flat_map(had);
        let withdraws: BTreeSet<ObjectKey> = old
            .map(|entry| &*entry.object)
            .filter(|object| !next.is_some_and(|next| next.entries.contains_key(*object)))
            .cloned()
            .collect();
        let digest = held_digest(self.input.cluster, name, reason, release.as_ref(), &withdraws);
        work.sanction = self.input.approvals.iter().filter(|approval| approval.app == *name && approval.digest == digest).min();
        let approved = work.sanction.is_some();
        work.held = Some(HeldChange { reason: reason.clone(), digest, release, withdraws, approved });
        if !approved {
            work.would = work.wants.take();
            work.stay(Gate::Held { reason: reason.clone(), digest });
        }
    }

    /// Keeps newcomers out that no index holds.
    fn limit_apps(&mut self) {
        let mut room = Index::APP_LIMIT.saturating_sub(self.previous.map_or(0, |index| index.apps.len()));
        for work in self.work.values_mut().filter(|work| work.previous.is_none() && work.moves()) {
            match room.checked_sub(1) {
                Some(left) => room = left,
                None => work.stay(Gate::TooManyApps { limit: Index::APP_LIMIT }),
            }
        }
    }

    /// Two apps that want the same object stay as they are, both.
    fn refuse_shared_objects(&mut self) {
        let mut fresh = BTreeMap::new();
        let mut settled = BTreeMap::new();
        for (name, work) in &self.work {
            if let Some(wanted) = work.wants {
                let side = if work.running() == Some(wanted.digest) { &mut settled } else { &mut fresh };
                side.insert(*name, &*wanted.release);
            }
        }
        for (name, others) in shared_objects(&fresh, &settled) {
            let Some(work) = self.work.get_mut(name) else { continue };
            for (other, object) in others {
                let gate = Gate::SharedObject { object: object.clone(), other: other.clone() };
                if work.moves() { work.stay(gate) } else { work.gates.push(gate) }
            }
        }
    }

    /// Who would take an object from an app that still runs it waits for that app. Each round makes somebody wait, and where nobody moves
    /// nothing is shared, so this ends.
    fn wait_for_owners(&mut self) {
        loop {
            let mut fresh = BTreeMap::new();
            let mut settled = BTreeMap::new();
            for (name, work) in &self.work {
                if let Some(next) = work.next() {
                    let side = if work.moves() { &mut fresh } else { &mut settled };
                    side.insert(*name, next);
                }
            }
            let mut waited = false;
            for (name, others) in shared_objects(&fresh, &settled) {
                let Some(work) = self.work.get_mut(name).filter(|work| work.moves()) else { continue };
                if let Some((other, object)) = others.into_iter().next() {
                    work.stay(Gate::StillRunBy { object: object.clone(), other: other.clone() });
                    waited = true;
                }
            }
            if !waited {
                return;
            }
        }
    }

    /// The objects that an app had, has no longer, and that were not reported gone.
    fn leftovers(&self, name: &AppName, work: &AppWork<'a>) -> BTreeMap<ObjectKey, Leftover> {
        let mut leftovers = self.memory.leftovers.get(name).cloned().unwrap_or_default();
        if let (Some(app), Some(index)) = (work.previous, self.previous) {
            let sanction = app.approval.as_ref().filter(|_| app.is_approved(name));
            let sanction = sanction.map(|approval| Sanction { by: approval.by.clone(), at: approval.at });
            for Withdrawal { object, to } in &app.withdrawals {
                let sanction = sanction.clone().filter(|_| to.is_none());
                let leftover = Leftover { prune: Prune::Allowed, since: index.generation, sanction };
                leftovers.entry(object.clone()).or_insert(leftover);
            }
        }
        if let Some(gone) = self.input.gone.get(name) {
            leftovers.retain(|object, leftover| gone.as_of < leftover.since || !gone.objects.contains(object));
        }
        if work.moves() {
            let orphans = matches!(work.course, Course::Leave) && !self.memory.cascades.contains(name);
            let sanction = work.sanction.map(|approval| &approval.sanction);
            for entry in work.old.into_iter().flat_map(had) {
                let prune = if orphans { Prune::Never } else { entry.policy.prune };
                let leftover = Leftover { prune, since: self.input.next, sanction: sanction.cloned() };
                leftovers.insert(ObjectKey::clone(&entry.object), leftover);
            }
        }
        if let Some(next) = work.next() {
            leftovers.retain(|object, _| !next.entries.contains_key(object));
        }
        leftovers
    }

    /// Who else has, or will have, an object that an app left over.
    fn takers(&self, leftovers: &BTreeMap<&'a AppName, BTreeMap<ObjectKey, Leftover>>) -> BTreeMap<ObjectKey, Taker> {
        let objects: BTreeSet<&ObjectKey> = leftovers.values().flat_map(BTreeMap::keys).collect();
        let mut takers = BTreeMap::new();
        if objects.is_empty() {
            return takers;
        }
        let mut note = |object: &ObjectKey, taker: Taker| {
            let known = takers.entry(object.clone()).or_insert_with(|| taker.clone());
            if taker < *known {
                *known = taker;
            }
        };
        for (name, work) in &self.work {
            if let Some(next) = work.next() {
                for object in common(next, &objects) {
                    let owns = claims_object(next, object);
                    note(object, if owns { Taker::Owner((*name).clone()) } else { Taker::Shared });
                }
            }
            if let Some(wanted) = work.wants.or(work.would).filter(|_| !work.moves()) {
                common(&wanted.release, &objects).for_each(|object| note(object, Taker::Awaited((*name).clone())));
            }
        }
        takers
    }

    fn settle(&self, name: &AppName, work: AppWork<'a>, takers: &BTreeMap<ObjectKey, Taker>, room: &mut usize) -> Settled {
        let next = work.next();
        let removal = self.removal(name, &work);
        let AppWork { course, gates, held, sanction, mut leftovers, previous, .. } = work;
        let mut used: Vec<Approved> = sanction.filter(|_| held.as_ref().is_some_and(|held| held.approved)).cloned().into_iter().collect();
        let mut entry = match course {
            Course::Stay => IndexApp { release: work.previous.and_then(|app| app.release), ..IndexApp::default() },
            Course::Run(wanted) => IndexApp {
                release: Some(wanted.digest),
                depends_on: wanted.depends_on.clone(),
                service_account: wanted.service_account.clone(),
                ..IndexApp::default()
            },
            Course::Leave => IndexApp::default(),
        };
        entry.hold = self.input.holds.get(name).cloned();
        if let (Course::Stay, Some(previous)) = (course, previous) {
            entry.depends_on = previous.depends_on.clone();
        }
        if let Course::Stay | Course::Leave = course {
            // What leaves is deleted with the rights that it was written with, also when its deletion is approved long after.
            let before = previous.and_then(|previous| previous.service_account.as_ref());
            entry.service_account = before.or_else(|| self.memory.accounts.get(name)).cloned();
        }
        // Tests are asked of one release: with another the request has no object.
        entry.test = self.input.tests.get(name).filter(|test| entry.release == Some(test.release)).map(|test| test.request.clone());
        let cascades = match course {
            Course::Run(wanted) => wanted.on_delete == OnDelete::Cascade,
            Course::Stay => entry.release.is_some() && self.memory.cascades.contains(name),
            Course::Leave => false,
        };
        let mut decision =
            AppDecision { wanted: work.wants.map(|wanted| wanted.digest), published: entry.release, gates, held, ..AppDecision::default() };

        let mut asked: BTreeSet<ObjectKey> = BTreeSet::new();
        for (object, leftover) in &leftovers {
            match takers.get(object) {
                Some(Taker::Owner(to)) => {
                    decision.hand_overs.insert(object.clone(), to.clone());
                }
                Some(Taker::Awaited(to)) => {
                    decision.gates.push(Gate::AwaitsTaker { object: object.clone(), to: to.clone() });
                    decision.kept.insert(object.clone());
                }
                None if leftover.prune != Prune::Never => {
                    asked.insert(object.clone());
                }
                Some(Taker::Shared) | None => {
                    decision.kept.insert(object.clone());
                }
            }
        }
        if !asked.is_empty() {
            // The agent applies before it deletes, so that it then has both.
            let owned = next.map_or(0, |next| had(next).count()) + leftovers.len();
            let deletions = self.deletions(name, &mut leftovers, asked, owned, &mut used);
            if deletions.waits
                && let Some(first) = deletions.objects.first()
            {
                let Deletions { digest, budget, .. } = deletions;
                decision.gates.push(Gate::ApprovalNeeded { count: deletions.objects.len(), first: first.clone(), budget, digest });
            }
            decision.deletions = Some(deletions);
        }
        self.withdraw(name, &mut entry, &mut decision, &leftovers, room);
        let named = |object: &ObjectKey| entry.withdrawals.contains(&Withdrawal { object: object.clone(), to: None });
        if let Some(deletions) = &mut decision.deletions {
            deletions.withheld = !deletions.objects.iter().all(named);
        }
        let complete = decision.deletions.as_ref().is_none_or(|deletions| !deletions.withheld);
        entry.removal = removal.map(|removal| Removal { complete, ..removal });
        let account = entry.service_account.clone();
        Settled { entry, account, leftovers, cascades, used, decision }
    }

    /// The removal whose hooks run, if the app leaves with some, or is leaving. What is orphaned has none: its hooks prepare for an end.
    fn removal(&self, name: &AppName, work: &AppWork<'a>) -> Option<Removal> {
        match work.course {
            Course::Run(_) => None,
            Course::Leave if work.moves() => {
                let runs = self.memory.cascades.contains(name) && work.old?.removal_hooks().next().is_some();
                let release = work.running().filter(|_| runs)?;
                Some(Removal { release, since: self.input.next, complete: false })
            }
            Course::Leave | Course::Stay => {
                let removal = work.previous?.removal?;
                let is_over = |gone: &Gone| gone.removed && gone.as_of >= removal.since;
                (!self.input.gone.get(name).is_some_and(is_over)).then_some(removal)
            }
        }
    }

    /// Judges the deletions that an app asks for, and marks those that were approved.
    fn deletions(
        &self,
        name: &AppName,
        leftovers: &mut BTreeMap<ObjectKey, Leftover>,
        objects: BTreeSet<ObjectKey>,
        owned: usize,
        used: &mut Vec<Approved>,
    ) -> Deletions {
        let withdrawals = objects.iter().map(|object| Withdrawal { object: object.clone(), to: None }).collect();
        let digest = IndexApp { withdrawals, ..IndexApp::default() }.withdrawals_digest(name);
        let approval = self.input.approvals.iter().filter(|approval| approval.app == *name && approval.digest == digest).min();
        if let Some(approval) = approval {
            for (_, leftover) in leftovers.iter_mut().filter(|(object, _)| objects.contains(*object)) {
                leftover.sanction.get_or_insert_with(|| approval.sanction.clone());
            }
            used.push(approval.clone());
        }
        let asked = leftovers.iter().filter(|(object, _)| objects.contains(*object));
        let sanctions: Option<Vec<&Sanction>> = asked.clone().map(|(_, leftover)| leftover.sanction.as_ref()).collect();
        let sanction = sanctions.and_then(|sanctions| sanctions.into_iter().max_by_key(|sanction| (sanction.at, &sanction.by)).cloned());
        let budget = deletion_budget(owned);
        let careful = asked.clone().any(|(object, leftover)| waits_always(object) || leftover.prune == Prune::Confirm);
        let waits = sanction.is_none() && (careful || objects.len() > budget);
        Deletions { objects, digest, budget, waits, withheld: false, sanction }
    }

    /// Puts hand-overs and deletions into the index as far as they may be there.
    fn withdraw(
        &self,
        name: &AppName,
        entry: &mut IndexApp,
        decision: &mut AppDecision,
        leftovers: &BTreeMap<ObjectKey, Leftover>,
        room: &mut usize,
    ) {
        let hand_overs = decision.hand_overs.iter().map(|(object, to)| Withdrawal { object: object.clone(), to: Some(to.clone()) });
        let asked = decision.deletions.iter().flat_map(|deletions| &deletions.objects);
        let may_be_named =
            |object: &&ObjectKey| leftovers.get(*object).is_some_and(|left| left.prune != Prune::Confirm || left.sanction.is_some());
        let deletions = asked.filter(may_be_named).map(|object| Withdrawal { object: object.clone(), to: None });
        let mut withdrawals: Vec<Withdrawal> = hand_overs.chain(deletions).collect();
        if withdrawals.len() > *room {
            decision.gates.push(Gate::IndexFull { waiting: withdrawals.len() - *room });
            withdrawals.truncate(*room);
        }
        *room -= withdrawals.len();
        let deleted = withdrawals.iter().filter(|withdrawal| withdrawal.to.is_none());
        let sanctions: Option<Vec<&Sanction>> =
            deleted.map(|withdrawal| leftovers.get(&withdrawal.object).and_then(|leftover| leftover.sanction.as_ref())).collect();
        let sanction = sanctions.and_then(|sanctions| sanctions.into_iter().max_by_key(|sanction| (sanction.at, &sanction.by)));
        entry.withdrawals = withdrawals.into_iter().collect();
        let of = entry.withdrawals_digest(name);
        entry.approval = sanction.map(|sanction| Approval { of, by: sanction.by.clone(), at: sanction.at });
    }
}

/// The next state of one app.
struct Settled {
    entry: IndexApp,
    /// Whose rights what is left over is deleted with.
    account: Option<ServiceAccount>,
    leftovers: BTreeMap<ObjectKey, Leftover>,
    cascades: bool,
    used: Vec<Approved>,
    decision: AppDecision,
}

/// Who else has an object that an app left over. The first that holds counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Taker {
    /// Another app owns it in the next index.
    Owner(AppName),
    /// Another app names it without owning it.
    Shared,
    /// An app wants it and must wait.
    Awaited(AppName),
}

/// The objects of `release` that are among `objects`, at the cost of the smaller side.
fn common<'r>(release: &'r Release, objects: &'r BTreeSet<&'r ObjectKey>) -> Box<dyn Iterator<Item = &'r ObjectKey> + 'r> {
    if release.entries.len() <= objects.len() {
        Box::new(release.entries.keys().map(Arc::as_ref).filter(|object| objects.contains(object)))
    } else {
        Box::new(objects.iter().copied().filter(|object| release.entries.contains_key(*object)))
    }
}

/// What an approval of a held change is bound to: cluster, app, the suspicion to the word, the outcome, and what would be withdrawn.
fn held_digest(cluster: &ClusterName, app: &AppName, reason: &Reason, release: Option<&Digest>, withdraws: &BTreeSet<ObjectKey>) -> Digest {
    let outcome = release.map_or_else(|| "removed".to_owned(), ToString::to_string);
    let mut text = format!("capstan.dev/held.v1\n{cluster}\n{app}\n{}\n{}\n{outcome}\n", reason.code, reason.message);
    for object in withdraws {
        text.push_str(&format!("{object}\n"));
    }
    Digest::of(text.as_bytes())
}

fn void_approvals(approvals: &[Approved], decisions: &BTreeMap<AppName, AppDecision>, used: &[Approved]) -> Vec<VoidApproval> {
    let mut void = Vec::new();
    for approval in approvals.iter().filter(|approval| !used.contains(approval)) {
        let decision = decisions.get(&approval.app);
        let held = decision.and_then(|decision| decision.held.as_ref()).map(|held| held.digest);
        let deletions = decision.and_then(|decision| decision.deletions.as_ref()).map(|deletions| deletions.digest);
        let shown: Vec<Digest> = held.into_iter().chain(deletions).collect();
        if !shown.contains(&approval.digest) {
            void.push(VoidApproval { approval: approval.clone(), shown });
        }
    }
    void
}

#[cfg(test)]
mod tests;
