//! The planning of a whole fleet with a store in memory: what a report from one cluster costs where many have nothing to say.

use std::time::Duration;

use hub_fleet::{FLEET_BUDGET, read_fleet};
use hub_store::MemoryStore;
use hub_tree::{MemoryTree, SourceTree, TreePath};
use shared_model::{Clock, Health};

use super::*;
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
        let tree: Arc<dyn SourceTree> = Arc::new(repository(clusters, apps));
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

    /// A cluster says that it has applied everything and how one app is.
    fn report(&self, number: usize, health: Health) {
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
            awaiting_approval: Vec::new(),
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
