//! The planning: from the newest revisions, what clusters said, and what was approved, to what each cluster is told. Woken by anything and told
//! nothing: it looks at the whole present state and does the same each time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hub_fleet::{FLEET_BUDGET, Fleet, FleetFiles, Known, Present, Problem, Suspicion, suspicions, wanted_charts};
use hub_plan::{AppDecision, Approved, Asked, ClusterInput, ClusterPlan, Gone, LastPlan, Memory, Sanction};
use hub_source::Rewrite;
use hub_store::Version;
use hub_tree::{Mount, Reader};
use serde::{Deserialize, Serialize};
use shared_model::{
    AppName, AppState, AppTest, ClusterName, ClusterUid, Digest, Generation, Reason, Revision, Severity, SourceName, Timestamp,
};
use shared_release::Release;

use crate::api::ApprovalRecord;
use crate::audit::Action;
use crate::charts::{Charted, WantedCharts};
use crate::core::Core;
use crate::facts::Facts;
use crate::holds::{self, Holds};
use crate::picture::{Pair, Pending, Picture, Trouble};
use crate::publish::{Told, reachable};
use crate::record::{self, Record};
use crate::registry::ClusterRecord;
use crate::render::{Renderer, Rendering, Revised, Sources};
use crate::rollouts::{Rollouts, advance_all};
use crate::testing::OpenTests;

/// Planning happens at least this often, so that no missed wake-up lasts.
const IDLE: Duration = Duration::from_secs(30);

/// The record of what was known of the fleet, by the digest of its content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KnownRecord {
    pub(crate) content: String,
}

impl Record for KnownRecord {
    const TREE: &'static str = "fleet";
}

const KNOWN: &str = "known";

/// Up to when the rewritten histories of a source stand in the audit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RewriteRecord {
    pub(crate) audited: String,
}

impl Record for RewriteRecord {
    const TREE: &'static str = "rewrites";
}

/// What a rendering was made from.
#[derive(PartialEq)]
struct RenderedFrom {
    revisions: BTreeMap<SourceName, Revision>,
    /// The revision of each chart, or why there is none.
    charts: BTreeMap<Mount, String>,
    /// How often the facts of clusters had changed.
    facts: u64,
}

/// The planning with what it remembers between two times. Everything here but the quarantine can be made anew.
pub(crate) struct Conductor {
    core: Arc<Core>,
    files: FleetFiles,
    renderer: Option<Renderer>,
    trees: BTreeMap<SourceName, Revised>,
    /// What was rendered last, and from what: a report from a cluster renders nothing again.
    rendering: Option<(RenderedFrom, Arc<Rendering>)>,
    fleet: Option<(String, Arc<Fleet>, Vec<Problem>)>,
    /// The charts from repositories that the fleet of a commit asks for.
    wanted: Option<(Arc<Fleet>, Arc<WantedCharts>)>,
    facts: Facts,
    told: BTreeMap<ClusterName, Told>,
    plans: BTreeMap<ClusterName, LastPlan>,
    settled: Option<Settled>,
    releases: BTreeMap<Digest, Arc<Release>>,
    /// The rewritten history of each source that was audited last, by when it was seen.
    audited_rewrites: BTreeMap<SourceName, Timestamp>,
    /// When to plan again even if nothing happens.
    wake: Option<Timestamp>,
}

impl Conductor {
    pub(crate) fn open(core: Arc<Core>, data_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            core,
            files: FleetFiles::new(),
            renderer: Some(Renderer::open(data_dir.join("quarantine"))?),
            trees: BTreeMap::new(),
            rendering: None,
            fleet: None,
            wanted: None,
            facts: Facts::default(),
            told: BTreeMap::new(),
            plans: BTreeMap::new(),
            settled: None,
            releases: BTreeMap::new(),
            audited_rewrites: BTreeMap::new(),
            wake: None,
        })
    }

    /// Plans whenever something changed. Ends when it is dropped.
    pub(crate) async fn run(mut self) {
        let mut states: Vec<_> = self.core.sources.values().map(|source| source.state.clone()).collect();
        loop {
            if let Err(error) = self.conduct().await {
                tracing::error!(error = format!("{error:#}"), "planning failed; it is tried again");
            }
            let core = self.core.clone();
            let pause = self.wake.map_or(IDLE, |at| Duration::try_from(at.duration_since(core.now())).unwrap_or_default().min(IDLE));
            let changes = states.iter_mut().map(|state| Box::pin(state.changed()));
            tokio::select! {
                () = core.replan_asked() => {}
                () = core.live.reported.notified() => {}
                () = core.charts.changed.notified() => {}
                _ = futures_util::future::select_all(changes) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn conduct(&mut self) -> anyhow::Result<()> {
        let core = self.core.clone();
        self.read_sources().await?;
        self.audit_rewrites().await?;
        let mut picture = Picture::default();
        picture.revisions = self.trees.iter().map(|(name, revised)| (name.clone(), revised.revision.clone())).collect();
        picture.revision = picture.revisions.get(&core.fleet_source).cloned();
        let Some((fleet, problems)) = self.read_fleet().await? else {
            // Nothing is known of the fleet yet: what clusters were told stands.
            self.restate(&mut picture).await?;
            core.picture.send_replace(Arc::new(picture));
            return Ok(());
        };
        picture.problems = problems.iter().map(|problem| trouble_of(&core.fleet_source, problem)).collect();
        picture.fleet = fleet.clone();
        let rendering = self.render(&fleet).await?;
        picture.problems.extend(rendering.troubles.iter().cloned());
        self.plan(&fleet, &rendering, &mut picture).await?;
        core.picture.send_replace(Arc::new(picture));
        Ok(())
    }

    /// Opens the tree of each source's last good revision, if that moved.
    async fn read_sources(&mut self) -> anyhow::Result<()> {
        for (name, source) in &self.core.sources {
            let Some((revision, _)) = source.state.borrow().last_good.clone() else { continue };
            if self.trees.get(name).is_some_and(|revised| revised.revision == revision) {
                continue;
            }
            let mirror = source.mirror.clone();
            let wanted = revision.clone();
            match tokio::task::spawn_blocking(move || mirror.tree(&wanted)).await? {
                Ok(tree) => {
                    tracing::info!(source = %name, %revision, "a new revision");
                    self.trees.insert(name.clone(), Revised { revision, tree });
                }
                Err(error) => tracing::error!(source = %name, %revision, %error, "the revision cannot be read; the one before stays"),
            }
        }
        Ok(())
    }

    /// Says once in the audit log that a history was rewritten and is followed, also if the hub restarts in between.
    async fn audit_rewrites(&mut self) -> anyhow::Result<()> {
        let core = &self.core;
        for (name, source) in &core.sources {
            let rewrites = source.state.borrow().rewrites.clone();
            let Some(newest) = rewrites.iter().map(|rewrite| rewrite.seen).max() else { continue };
            if self.audited_rewrites.get(name).is_some_and(|audited| *audited >= newest) {
                continue;
            }
            let stored = record::read::<RewriteRecord>(&*core.store, name.as_str()).await?;
            let audited = stored.as_ref().and_then(|(record, _)| record.audited.parse::<Timestamp>().ok());
            for rewrite in rewrites.iter().filter(|rewrite| audited.is_none_or(|audited| rewrite.seen > audited)) {
                let Rewrite { lost_commit, revision, .. } = rewrite;
                let message = format!("the history of source {name} was rewritten without {lost_commit}; {revision} is followed");
                core.audit.append(&*core.store, core.now(), "hub", Action::HistoryRewritten, message).await?;
            }
            if audited.is_none_or(|audited| newest > audited) {
                let version = stored.map(|(_, version)| version);
                record::write(&*core.store, name.as_str(), &RewriteRecord { audited: newest.to_string() }, version).await?;
            }
            self.audited_rewrites.insert(name.clone(), newest);
        }
        Ok(())
    }

    async fn read_fleet(&mut self) -> anyhow::Result<Option<(Arc<Fleet>, Vec<Problem>)>> {
        let Some(revised) = self.trees.get(&self.core.fleet_source).cloned() else { return Ok(None) };
        if let Some((commit, fleet, problems)) = &self.fleet
            && *commit == revised.revision.commit
        {
            return Ok(Some((fleet.clone(), problems.clone())));
        }
        let mut files = std::mem::take(&mut self.files);
        let tree = revised.tree.clone();
        let (files, fleet, problems) = tokio::task::spawn_blocking(move || {
            let (fleet, problems) = files.read(&Reader::new(&*tree, FLEET_BUDGET));
            (files, fleet, problems)
        })
        .await?;
        self.files = files;
        let fleet = Arc::new(fleet);
        self.fleet = Some((revised.revision.commit, fleet.clone(), problems.clone()));
        Ok(Some((fleet, problems)))
    }

    async fn render(&mut self, fleet: &Arc<Fleet>) -> anyhow::Result<Arc<Rendering>> {
        let core = self.core.clone();
        let wanted = self.wanted_charts(fleet);
        let charts = core.charts.follow(&wanted.values().flatten().cloned().collect());
        self.facts.refresh(&core).await?;
        let state = |charted: &Charted| match (&charted.revision, &charted.tree) {
            (Some(revision), _) => revision.to_string(),
            (None, Err(refusal)) => refusal.to_string(),
            (None, Ok(_)) => String::new(),
        };
        let from = RenderedFrom {
            revisions: self.trees.iter().map(|(name, revised)| (name.clone(), revised.revision.clone())).collect(),
            charts: charts.iter().map(|(mount, charted)| (mount.clone(), state(charted))).collect(),
            facts: self.facts.changes,
        };
        let today = core.now().as_second();
        let is_good = |rendering: &Rendering| rendering.good_until.is_none_or(|until| today < until);
        if let Some((_, rendering)) = self.rendering.as_ref().filter(|(of, rendering)| *of == from && is_good(rendering)) {
            return Ok(rendering.clone());
        }
        let Some(renderer) = self.renderer.take() else { anyhow::bail!("BUG: the renderer was lost in an earlier failure") };
        let sources = Sources {
            fleet: core.fleet_source.clone(),
            trees: self.trees.clone(),
            remote_bases: core.remote_bases.clone(),
            charts,
            wanted,
            facts: self.facts.known().clone(),
            today,
        };
        let (mut renderer, mut rendering) = renderer.run(fleet.clone(), sources, core.keys.clone()).await?;
        if rendering.rendered > 0 {
            tracing::info!(rendered = rendering.rendered, reused = rendering.reused, blobs = rendering.blobs.len(), "rendered");
        }
        let mut stored = Ok(());
        for chunk in rendering.blobs.chunks(hub_store::BLOBS_PER_CALL) {
            let bytes = chunk.iter().map(|(_, bytes)| bytes.clone().into()).collect();
            stored = core.store.put_blobs(bytes).await.map(|_| ());
            if stored.is_err() {
                renderer.not_stored(&rendering.blobs);
                break;
            }
        }
        self.renderer = Some(renderer);
        stored?;
        for output in rendering.pairs.values().flatten() {
            self.releases.insert(output.digest, output.release.clone());
        }
        // The contents are in the store now and need no second place.
        rendering.blobs.clear();
        let rendering = Arc::new(rendering);
        self.rendering = Some((from, rendering.clone()));
        Ok(rendering)
    }

    fn wanted_charts(&mut self, fleet: &Arc<Fleet>) -> Arc<WantedCharts> {
        match &self.wanted {
            Some((of, wanted)) if Arc::ptr_eq(of, fleet) => wanted.clone(),
            _ => {
                let wanted = Arc::new(wanted_charts(fleet));
                self.wanted = Some((fleet.clone(), wanted.clone()));
                wanted
            }
        }
    }

    /// Puts in force again what clusters were told before this process started.
    async fn restate(&mut self, picture: &mut Picture) -> anyhow::Result<()> {
        for (name, record) in record::read_all::<ClusterRecord>(&*self.core.store).await? {
            let Ok(name) = name.parse::<ClusterName>() else { continue };
            if record.uid.is_none() {
                continue;
            }
            self.recall(&name).await?;
            if let Some(told) = self.told.get(&name) {
                picture.generations.insert(name.clone(), told.index.generation);
                self.put_in_force(&name)?;
            }
        }
        Ok(())
    }

    /// Reads what a cluster was told, with the releases that it names, if that is not known yet.
    async fn recall(&mut self, name: &ClusterName) -> anyhow::Result<()> {
        if !self.told.contains_key(name)
            && let Some(told) = self.core.told(name).await?
        {
            self.told.insert(name.clone(), told);
        }
        let named: Vec<Digest> = self
            .told
            .get(name)
            .into_iter()
            .flat_map(|told| told.index.apps.values())
            .filter_map(shared_release::IndexApp::content)
            .collect();
        for digest in named {
            self.recall_release(digest).await?;
        }
        Ok(())
    }

    async fn recall_release(&mut self, digest: Digest) -> anyhow::Result<()> {
        if !self.releases.contains_key(&digest)
            && let Some(release) = self.core.release(digest).await?
        {
            self.releases.insert(digest, release);
        }
        Ok(())
    }

    /// Hands a cluster's target to its session, if it is not there yet.
    fn put_in_force(&self, name: &ClusterName) -> anyhow::Result<()> {
        let Some(told) = self.told.get(name) else { return Ok(()) };
        let current = self.core.live.read().get(name).and_then(|live| live.index.clone());
        if current.as_deref() == Some(&*told.index) {
            return Ok(());
        }
        let target = self.core.target(told)?;
        self.core.live.set_target(name, told.index.clone(), reachable(&told.index, &self.releases), target);
        Ok(())
    }

    async fn plan(&mut self, fleet: &Arc<Fleet>, rendering: &Arc<Rendering>, picture: &mut Picture) -> anyhow::Result<()> {
        let core = self.core.clone();
        let (content, version) = self.known_content().await?.unzip();
        let settled = Settled { fleet: fleet.clone(), rendering: rendering.clone(), content: content.clone() };
        let compared = match &self.settled {
            Some(before) if before.is(&settled) => None,
            _ => Some(Compared { known: self.known(content.as_deref()).await?, present: present(rendering) }),
        };
        let suspected = compared.as_ref().map_or_else(Vec::new, |compared| suspicions(&compared.known, fleet, &compared.present));
        let approvals = approvals(&core).await?;
        let holds = Holds::read(&*core.store, core.now()).await?;
        if holds.any_ended {
            holds::sweep(&*core.store, core.now()).await?;
        }
        let records = record::read_all::<ClusterRecord>(&*core.store).await?;
        let records: BTreeMap<ClusterName, ClusterRecord> =
            records.into_iter().filter_map(|(name, record)| Some((name.parse().ok()?, record))).collect();
        for name in records.keys() {
            self.recall(name).await?;
        }
        let mut tests = OpenTests::read(&*core.store).await?;
        tests.sweep(&*core.store, &self.tests_told(), &self.told).await?;
        let rollouts = advance_all(&core, fleet, rendering, &records, &self.told).await?;
        self.wake = [rollouts.wake, holds.next_end()].into_iter().flatten().min();
        for permission in rollouts.permissions.values() {
            self.recall_release(permission.release).await?;
        }
        let mut decided: BTreeMap<ClusterName, Arc<ClusterPlan>> = BTreeMap::new();
        self.plans.retain(|name, _| records.contains_key(name));
        for (name, record) in records {
            let Some(uid) = record.uid.as_deref().and_then(|uid| uid.parse::<ClusterUid>().ok()).filter(|_| !record.revoked) else {
                continue;
            };
            let said = Said { suspected: &suspected, rollouts: &rollouts, approvals: &approvals, holds: &holds, tests: &tests };
            let plan = self.plan_one((&name, &uid), (fleet, rendering), &said);
            let before = self.told.get(&name);
            if plan.changed || before.is_none_or(|told| told.memory != plan.memory) || !plan.used.is_empty() {
                let told = core.publish(&name, before, &plan).await?;
                self.told.insert(name.clone(), told);
            }
            self.put_in_force(&name)?;
            picture.generations.insert(name.clone(), plan.index.generation);
            decided.insert(name, plan);
        }
        self.paint(fleet, rendering, &decided, picture);
        picture.held_apps = rollouts.held;
        for suspicion in &suspected {
            picture.problems.push(suspicion_trouble(&core.fleet_source, suspicion));
        }
        if let Some(Compared { known, present }) = compared {
            let quiet = suspected.is_empty();
            let held: Vec<Suspicion> = suspected.into_iter().filter(|suspicion| !carried_out(suspicion, &decided)).collect();
            let next = known.after(fleet, &present, &held);
            if next != known {
                self.remember(&next, version).await?;
            } else if quiet {
                self.settled = Some(settled);
            }
        }
        let in_use: BTreeSet<Digest> =
            self.told.values().flat_map(|told| told.index.apps.values()).filter_map(shared_release::IndexApp::content).collect();
        let rendered: BTreeSet<Digest> = rendering.pairs.values().flatten().map(|output| output.digest).collect();
        self.releases.retain(|digest, _| in_use.contains(digest) || rendered.contains(digest));
        Ok(())
    }

    fn plan_one(
        &mut self,
        (name, uid): (&ClusterName, &ClusterUid),
        (fleet, rendering): (&Fleet, &Rendering),
        said: &Said<'_>,
    ) -> Arc<ClusterPlan> {
        let told = self.told.get(name);
        let previous = told.map(|told| &*told.index);
        let permissions = &said.rollouts.permissions;
        let asked = Asked { fleet, rendered: &rendering.pairs, suspected: said.suspected, permissions, releases: &self.releases };
        let nothing = Memory::default();
        let first = Generation { epoch: self.core.keys.epoch, ..Generation::default() }.next();
        let input = ClusterInput {
            cluster: name,
            uid,
            previous,
            releases: &self.releases,
            memory: told.map_or(&nothing, |told| &told.memory),
            wanted: &asked.of(name, previous),
            approvals: said.approvals.get(name).map_or(&[][..], Vec::as_slice),
            holds: &said.holds.in_cluster(name),
            tests: &said.tests.in_cluster(name),
            gone: &self.gone(name),
            next: told.map_or(first, |told| told.index.generation.next().max(first)),
        };
        self.plans.entry(name.clone()).or_default().plan(&input)
    }

    /// What agents say of tests.
    fn tests_told(&self) -> BTreeMap<ClusterName, BTreeMap<AppName, AppTest>> {
        let live = self.core.live.read();
        let told = |apps: &BTreeMap<AppName, Arc<AppState>>| {
            apps.iter().filter_map(|(app, state)| Some((app.clone(), state.test.clone()?))).collect::<BTreeMap<_, _>>()
        };
        live.iter().map(|(cluster, live)| (cluster.clone(), told(&live.apps))).collect()
    }

    /// What a cluster's agent reported gone, if it speaks of the index that is in force.
    fn gone(&self, name: &ClusterName) -> BTreeMap<AppName, Gone> {
        let live = self.core.live.read();
        let (Some(live), Some(told)) = (live.get(name), self.told.get(name)) else { return BTreeMap::new() };
        let in_force = shared_session::IndexDocument::new(told.signed.to_bytes()).digest();
        if live.heard.as_ref().and_then(|heard| heard.held.index) != Some(in_force) {
            return BTreeMap::new();
        }
        let gone = |state: &shared_model::AppState| Gone {
            as_of: told.index.generation,
            objects: state.withdrawn.iter().cloned().collect(),
            removed: state.removed,
        };
        let told = live.apps.iter().filter(|(_, state)| state.removed || !state.withdrawn.is_empty());
        told.map(|(app, state)| (app.clone(), gone(state))).collect()
    }

    fn paint(&self, fleet: &Fleet, rendering: &Rendering, decided: &BTreeMap<ClusterName, Arc<ClusterPlan>>, picture: &mut Picture) {
        for (cluster, plan) in decided {
            for (app, decision) in &plan.decisions {
                picture.pairs.insert((app.clone(), cluster.clone()), pair_of(decision));
            }
        }
        // What is asked for where no agent is yet.
        for ((app, cluster), output) in &rendering.pairs {
            if fleet.clusters.contains_key(cluster) && !decided.contains_key(cluster) {
                let pair = Pair {
                    wanted: output.as_ref().ok().map(|output| output.digest),
                    reasons: vec![Reason::new(
                        Severity::Wait,
                        "NotEnrolled",
                        format!("cluster {cluster} has no agent: run `capstan cluster add {cluster}`"),
                    )],
                    ..Pair::default()
                };
                picture.pairs.insert((app.clone(), cluster.clone()), pair);
            }
        }
    }

    /// Which content is what was known of the fleet, with the version of the record that says so.
    async fn known_content(&self) -> anyhow::Result<Option<(String, Version)>> {
        let found = record::read::<KnownRecord>(&*self.core.store, KNOWN).await?;
        Ok(found.map(|(record, version)| (record.content, version)))
    }

    async fn known(&self, content: Option<&str>) -> anyhow::Result<Known> {
        let Some(content) = content else { return Ok(Known::default()) };
        let digest: Digest = content.parse()?;
        let bytes = self.core.store.get_blob(digest).await?;
        Ok(Known::decode(&bytes.ok_or_else(|| anyhow::anyhow!("the content {digest} is not in the store"))?)?)
    }

    async fn remember(&self, known: &Known, version: Option<Version>) -> anyhow::Result<()> {
        let store = &*self.core.store;
        let digests = store.put_blobs(vec![known.encode().into()]).await?;
        let content = digests.first().map(ToString::to_string).unwrap_or_default();
        record::write(store, KNOWN, &KnownRecord { content }, version).await?;
        Ok(())
    }
}

/// What was compared with what was known, when nothing of it was suspicious and nothing new: while it is the same, it need not be compared again.
struct Settled {
    fleet: Arc<Fleet>,
    rendering: Arc<Rendering>,
    /// The digest of what was known.
    content: Option<String>,
}

impl Settled {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.fleet, &other.fleet) && Arc::ptr_eq(&self.rendering, &other.rendering) && self.content == other.content
    }
}

/// What was known of the fleet, and what is there.
struct Compared {
    known: Known,
    present: BTreeMap<(AppName, ClusterName), Present>,
}

fn present(rendering: &Rendering) -> BTreeMap<(AppName, ClusterName), Present> {
    let rendered = rendering.pairs.iter().filter_map(|(pair, output)| Some((pair, output.as_ref().ok()?)));
    rendered.map(|(pair, output)| (pair.clone(), Present { choice: output.choice.clone(), objects: output.objects })).collect()
}

/// What is known beside what the repository says.
struct Said<'a> {
    suspected: &'a [Suspicion],
    rollouts: &'a Rollouts,
    approvals: &'a BTreeMap<ClusterName, Vec<Approved>>,
    holds: &'a Holds,
    tests: &'a OpenTests,
}

fn pair_of(decision: &AppDecision) -> Pair {
    let deletions = decision.deletions.as_ref().filter(|deletions| deletions.waits).map(|deletions| Pending {
        reason: decision.gates.iter().map(Reason::from).find(|reason| reason.code == "ApprovalNeeded").unwrap_or_else(|| {
            Reason::new(Severity::Warning, "ApprovalNeeded", format!("{} deletions need an approval", deletions.objects.len()))
        }),
        deletes: deletions.objects.iter().cloned().collect(),
        affects: Vec::new(),
        digest: Some(deletions.digest),
    });
    let held = decision.held.iter().filter(|held| !held.approved).map(|held| Pending {
        reason: held.reason.clone(),
        deletes: held.withdraws.iter().cloned().collect(),
        affects: Vec::new(),
        digest: Some(held.digest),
    });
    Pair {
        wanted: decision.wanted,
        published: decision.published,
        reasons: decision.gates.iter().map(Reason::from).collect(),
        deletions,
        withheld: decision.deletions.as_ref().is_some_and(|deletions| deletions.withheld),
        held: held.collect(),
    }
}

/// Whether what is suspicious was approved wherever it mattered, so that it need not be remembered any more.
fn carried_out(suspicion: &Suspicion, decided: &BTreeMap<ClusterName, Arc<ClusterPlan>>) -> bool {
    let Some(app) = suspicion.app() else { return false };
    let concerned = decided.iter().filter(|(name, _)| suspicion.cluster().is_none_or(|cluster| cluster == *name));
    let mut any = false;
    for decision in concerned.filter_map(|(_, plan)| plan.decisions.get(app)) {
        match &decision.held {
            Some(held) if held.approved => any = true,
            Some(_) => return false,
            None if decision.published.is_some() => return false,
            None => any = true,
        }
    }
    any
}

async fn approvals(core: &Core) -> anyhow::Result<BTreeMap<ClusterName, Vec<Approved>>> {
    let mut approvals: BTreeMap<ClusterName, Vec<Approved>> = BTreeMap::new();
    for (name, record) in record::read_all::<ApprovalRecord>(&*core.store).await? {
        let (Some(app), Some(cluster)) = (&record.app, &record.cluster) else { continue };
        let digest = name.rsplit('/').next().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        let (Ok(app), Ok(cluster), Some(digest), Ok(at)) = (app.parse(), cluster.parse(), digest, record.at.parse()) else { continue };
        approvals.entry(cluster).or_default().push(Approved { app, digest, sanction: Sanction { by: record.by.clone(), at } });
    }
    Ok(approvals)
}

fn trouble_of(source: &SourceName, problem: &Problem) -> Trouble {
    let (app, cluster) = match &problem.blocks {
        Some(hub_fleet::Blocks::App(app) | hub_fleet::Blocks::AppOn { app, .. }) => (Some(app.clone()), None),
        Some(hub_fleet::Blocks::Cluster(cluster)) => (None, Some(cluster.clone())),
        _ => (None, None),
    };
    Trouble {
        source: Some(source.clone()),
        app,
        cluster,
        place: Some((problem.file.to_string(), Some((problem.line, problem.column)))),
        reason: Reason::new(problem.severity, problem.code.as_str(), problem.message.clone()),
        hint: problem.hint.clone(),
        blocks: problem.blocks.iter().map(ToString::to_string).collect(),
    }
}

fn suspicion_trouble(source: &SourceName, suspicion: &Suspicion) -> Trouble {
    let hint = suspicion
        .app()
        .filter(|_| suspicion.can_be_approved())
        .map(|app| format!("if that is meant, run `capstan approve {app} --cluster NAME` for each cluster; if not, put it back"));
    Trouble {
        source: Some(source.clone()),
        app: suspicion.app().cloned(),
        cluster: suspicion.cluster().cloned(),
        place: None,
        reason: suspicion.into(),
        hint,
        blocks: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
