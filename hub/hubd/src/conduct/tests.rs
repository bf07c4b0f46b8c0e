//! The planning of a whole fleet with a store in memory: what a report from one cluster costs where many have nothing to say, and what is shown
//! as waiting for an approval.

use std::time::Duration;

use anyhow::Context as _;
use hub_api::StatusFilter;
use hub_fleet::{FLEET_BUDGET, read_fleet};
use hub_store::MemoryStore;
use hub_tree::{MemoryTree, SourceTree, TreePath};
use hub_web::{Actor, Approval, Hub as _, HubError, StatusPage};
use shared_model::{Clock, GroupKind, Health, ObjectKey};

use super::*;
use crate::api::HubApi;
use crate::audit::Audit;
use crate::charts::Charts;
use crate::core::Parts;
use crate::vault::Vault;

const REVISION: &str = "0123456789012345678901234567890123456789";

/// A planning of `clusters`, all joined, each with all of `apps`, which have four objects each.
struct Place {
    conductor: Conductor,
    fleet: Arc<Fleet>,
    rendering: Arc<Rendering>,
    _disk: tempfile::TempDir,
}

impl Place {
    async fn of(clusters: usize, apps: usize) -> anyhow::Result<Self> {
        Self::with(repository(clusters, apps), clusters, apps).await
    }

    async fn with(tree: MemoryTree, clusters: usize, apps: usize) -> anyhow::Result<Self> {
        let disk = tempfile::tempdir()?;
        let store = Arc::new(MemoryStore::default());
        let clock = Clock::new(Timestamp::now);
        let vault = Vault::open(&disk.path().join("key"), true)?;
        let keys = Arc::new(crate::keys::load_or_make(&*store, &vault, clock.now()).await?);
        let fleet_source: SourceName = "fleet".parse()?;
        let core = Arc::new(Core::new(Parts {
            audit: Audit::open(&*store).await?,
            store,
            keys: keys.clone(),
            sources: BTreeMap::new(),
            fleet_source: fleet_source.clone(),
            remote_bases: Vec::new(),
            charts: Charts::open(disk.path(), Vec::new(), clock.clone())?,
            accept_needed: false,
            clock,
        }));
        for number in 0..clusters {
            let uid = Some(format!("uid-{number}"));
            let record = ClusterRecord { uid, ..ClusterRecord::new("eu", BTreeMap::new()) };
            record::write(&*core.store, &cluster(number).to_string(), &record, None).await?;
        }
        let tree: Arc<dyn SourceTree> = Arc::new(tree);
        let (fleet, problems) = read_fleet(&Reader::new(&*tree, FLEET_BUDGET));
        anyhow::ensure!(fleet.clusters.len() == clusters && fleet.apps.len() == apps, "{problems:?}");
        let fleet = Arc::new(fleet);
        let revision = Revision { reference: "main".to_owned(), commit: REVISION.to_owned() };
        let mut conductor = Conductor::open(core.clone(), disk.path())?;
        conductor.trees.insert(fleet_source, Revised { revision, tree });
        let rendering = conductor.render(&fleet).await?;
        Ok(Self { conductor, fleet, rendering, _disk: disk })
    }

    async fn plan(&mut self) -> anyhow::Result<Picture> {
        let mut picture = Picture::default();
        self.conductor.plan(&self.fleet, &self.rendering, &mut picture).await?;
        Ok(picture)
    }

    /// Another commit with this content, planned and shown.
    async fn move_to(&mut self, commit: char, tree: &MemoryTree) -> anyhow::Result<()> {
        let revision = Revision { reference: "main".to_owned(), commit: commit.to_string().repeat(40) };
        self.conductor.trees.insert("fleet".parse()?, Revised { revision, tree: Arc::new(tree.clone()) });
        self.rendering = self.conductor.render(&self.fleet).await?;
        self.show().await
    }

    /// Plans, and lets the API show what came of it.
    async fn show(&mut self) -> anyhow::Result<()> {
        let picture = Picture { fleet: self.fleet.clone(), ..self.plan().await? };
        self.conductor.core.picture.send_replace(Arc::new(picture));
        Ok(())
    }

    /// What the API shows as waiting of the first app in the first cluster: the objects, and the digest to approve.
    async fn awaiting(&self) -> anyhow::Result<Option<(Vec<String>, Digest)>> {
        let hub = HubApi(self.conductor.core.clone());
        let page = StatusPage { after: None, limit: 1 };
        let rows = hub.status(StatusFilter::default(), page).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let Some(shown) = rows.into_iter().next().and_then(|row| row.awaiting_approval) else { return Ok(None) };
        let digest = shown.digest.context("it can be approved")?.parse()?;
        Ok(Some((shown.deletes.into_iter().map(|object| object.name).collect(), digest)))
    }

    /// Approves a digest in the first cluster, as the command does; the code of the refusal, if it is refused.
    async fn approve(&self, digest: Digest) -> anyhow::Result<Result<u32, &'static str>> {
        let actor = Actor { name: "ann".to_owned(), rights: BTreeSet::new() };
        let approval = Approval { app: Some("app-0".parse()?), cluster: Some(cluster(0)), digest };
        match HubApi(self.conductor.core.clone()).approve(actor, approval).await {
            Ok(view) => Ok(Ok(view.deletes)),
            Err(HubError::Refused { code, .. }) => Ok(Err(code)),
            Err(error) => anyhow::bail!("{error:?}"),
        }
    }

    /// What the first cluster is told to delete of the first app, and whether an approval covers it.
    fn withdrawn(&self) -> (Vec<String>, bool) {
        let app: AppName = "app-0".parse().expect("a name");
        let entry = &self.conductor.told[&cluster(0)].index.apps[&app];
        (entry.withdrawals.iter().map(|withdrawal| withdrawal.object.name.clone()).collect(), entry.is_approved(&app))
    }

    /// A cluster says that it has applied everything and how one app is.
    fn report(&self, number: usize, health: Health) {
        self.report_awaiting(number, health, Vec::new());
    }

    fn report_awaiting(&self, number: usize, health: Health, awaiting_approval: Vec<ObjectKey>) {
        let name = cluster(number);
        let told = &self.conductor.told[&name].index.apps;
        let app = told.keys().next().expect("an app").clone();
        let state = AppState {
            wanted: told[&app].release,
            applied: told[&app].release,
            health,
            reason: None,
            objects: 4,
            unhealthy: Vec::new(),
            drift: Vec::new(),
            awaiting_approval,
            withdrawn: Vec::new(),
            removed: false,
            taken_over: Vec::new(),
            test: None,
        };
        self.conductor.core.live.with(&name, |live| drop(live.apps.insert(app, Arc::new(state))));
    }
}

fn cluster(number: usize) -> ClusterName {
    format!("cluster-{number}").parse().expect("a name")
}

fn repository(clusters: usize, apps: usize) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let mut put = |path: &str, text: String| tree.insert(TreePath::parse(path).expect("a path"), text.into_bytes());
    put("regions/eu/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu}\n".to_owned());
    for number in 0..clusters {
        let name = cluster(number);
        let text = format!("apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec: {{}}\n");
        put(&format!("regions/eu/{name}.yaml"), text);
    }
    for app in 0..apps {
        let text = format!(
            "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: app-{app}}}\nspec: {{namespace: app-{app}, clusters: {{}}, source: {{path: objects}}}}\n"
        );
        put(&format!("apps/app-{app}/app.yaml"), text);
        for object in 0..4 {
            let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c-{object}}}\ndata: {{app: \"{app}\"}}\n");
            put(&format!("apps/app-{app}/objects/c-{object}.yaml"), text);
        }
    }
    tree
}

#[tokio::test]
async fn planning_again_after_reports_tells_nobody_anything_new_and_a_hold_only_its_cluster() -> anyhow::Result<()> {
    let mut place = Place::of(3, 2).await?;
    place.plan().await?;
    let told = |place: &Place| place.conductor.told.values().map(|told| told.index.generation.sequence.0).collect::<Vec<_>>();
    assert_eq!(told(&place), [1, 1, 1]);
    for number in [1, 1, 2] {
        place.report(number, Health::Healthy);
        let picture = place.plan().await?;
        assert_eq!((told(&place), picture.pairs.len()), (vec![1, 1, 1], 6));
    }
    let wish = hub_web::HoldWish {
        app: "app-1".parse()?,
        cluster: Some(cluster(1)),
        reason: "incident".to_owned(),
        time: Duration::from_secs(600),
    };
    let core = place.conductor.core.clone();
    let hold = holds::grant(&wish, "ann", core.now()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    record::won(core.store.commit(holds::put(&*core.store, &wish, &hold).await?).await?)?;
    place.plan().await?;
    place.plan().await?;
    assert_eq!(told(&place), [1, 2, 1]);
    let held = &place.conductor.told[&cluster(1)].index.apps[&wish.app].hold;
    assert_eq!(held.as_ref(), Some(&hold));
    Ok(())
}

fn object(name: &str) -> TreePath {
    TreePath::parse(&format!("apps/app-0/objects/{name}.yaml")).expect("a path")
}

#[tokio::test]
async fn deletions_that_no_agent_is_told_of_are_shown_and_go_with_an_approval_of_exactly_them() -> anyhow::Result<()> {
    let mut tree = repository(1, 1);
    let app = "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: app-0}\nspec: {namespace: app-0, prune: true, clusters: {}, source: {path: objects}}\n";
    tree.insert(TreePath::parse("apps/app-0/app.yaml")?, app.as_bytes());
    let confirm = "metadata: {name: careful, annotations: {argocd.argoproj.io/sync-options: Prune=confirm}}";
    tree.insert(object("careful"), format!("apiVersion: v1\nkind: ConfigMap\n{confirm}\n").into_bytes());
    let mut place = Place::with(tree.clone(), 1, 1).await?;
    place.show().await?;
    place.report(0, Health::Healthy);
    assert_eq!(place.awaiting().await?, None);

    // The agent was not told, so it says that nothing waits.
    tree.remove(&object("careful"));
    place.move_to('1', &tree).await?;
    let (objects, first) = place.awaiting().await?.context("it waits")?;
    assert_eq!((objects, place.withdrawn()), (vec!["careful".to_owned()], (vec![], false)));

    // More leaves: that is another approval, and the agent may do by itself what it was told.
    tree.remove(&object("c-0"));
    place.move_to('2', &tree).await?;
    let (objects, both) = place.awaiting().await?.context("both wait")?;
    assert_eq!((objects, place.withdrawn()), (vec!["c-0".to_owned(), "careful".to_owned()], (vec!["c-0".to_owned()], false)));
    assert_eq!(place.approve(first).await?, Err("NothingToApprove"));
    place.show().await?;
    assert_eq!(place.withdrawn(), (vec!["c-0".to_owned()], false));

    assert_eq!(place.approve(both).await?, Ok(2));
    place.show().await?;
    assert_eq!(place.withdrawn(), (vec!["c-0".to_owned(), "careful".to_owned()], true));
    assert_eq!((place.awaiting().await?, place.approve(both).await?), (None, Err("NothingToApprove")));

    // What an agent is told of, it judges itself.
    for name in ["c-1", "c-2"] {
        tree.remove(&object(name));
    }
    place.move_to('3', &tree).await?;
    assert_eq!((place.withdrawn().0.len(), place.awaiting().await?), (4, None));
    let asked = ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("app-0"), "c-1");
    place.report_awaiting(0, Health::Healthy, vec![asked]);
    assert_eq!(place.awaiting().await?.context("they wait")?.0, ["c-0", "c-1", "c-2", "careful"]);
    Ok(())
}
