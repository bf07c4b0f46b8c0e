//! Which charts of repositories the apps of a fleet ask for. Finding and fetching them is left to `hub/source`, what an app may read of them to
//! who mounts them.

use std::collections::{BTreeMap, BTreeSet};

use hub_tree::{Mount, TreePath};
use shared_model::AppName;

use crate::fleet::{App, Fleet};
use crate::helm::{ChartFrom, HelmSource};
use crate::place::place;
use crate::resolve::resolve;

/// The charts of repositories that each app asks for on the clusters that it wants. An app whose chart is elsewhere has no entry.
pub fn wanted_charts(fleet: &Fleet) -> BTreeMap<AppName, BTreeSet<Mount>> {
    let mut wanted = BTreeMap::new();
    for app in fleet.apps.values() {
        let Some(HelmSource { chart: ChartFrom::Repository { repository, name, version }, .. }) = &app.source.helm else { continue };
        let mounts = match (name.constant(), version.constant()) {
            (Some(name), Some(version)) => {
                let (name, version) = (name.to_owned(), version.to_owned());
                BTreeSet::from([Mount::Chart { repository: repository.clone(), name, version }])
            }
            _ => on_clusters(fleet, app),
        };
        wanted.insert(app.name.clone(), mounts);
    }
    wanted
}

/// What `app` asks for where that is not the same everywhere.
fn on_clusters(fleet: &Fleet, app: &App) -> BTreeSet<Mount> {
    let clusters = place(fleet, app).clusters;
    let clusters = clusters.iter().filter_map(|name| fleet.clusters.get(name));
    let mount = |cluster| match resolve(fleet, app, cluster).ok()?.helm?.chart {
        ChartFrom::<String, TreePath>::Repository { repository, name, version } => Some(Mount::Chart { repository, name, version }),
        ChartFrom::Here(_) | ChartFrom::Source { .. } => None,
    };
    clusters.filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use hub_tree::{MemoryTree, Reader};

    use super::*;
    use crate::{FLEET_BUDGET, read_fleet};

    #[test]
    fn charts_are_asked_for_by_each_app_as_its_clusters_say_and_only_from_repositories() {
        const REGIONS: &str = "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu}\n---\napiVersion: capstan.dev/v1\nkind: Cluster\n\
                               metadata: {name: eu-1, labels: {ring: one}}\nspec: {region: eu, vars: {version: '1'}}\n---\n\
                               apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-2, labels: {ring: two}}\n\
                               spec: {region: eu, vars: {version: '2'}}\n";
        let app = |name: &str, helm: &str| {
            format!(
                "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  regions: [eu]\n  source: {{helm: {helm}}}\n"
            )
        };
        let fixed = app("fixed", "{repo: stable, chart: web, version: '3'}");
        let varied = app("varied", "{repo: stable, chart: web, version: '${vars.version}'}");
        let own = app("own", "{chart: chart}");
        let tree = MemoryTree::of(&[
            ("regions/all.yaml", REGIONS),
            ("apps/fixed/app.yaml", &fixed),
            ("apps/varied/app.yaml", &varied),
            ("apps/own/app.yaml", &own),
        ]);
        let (fleet, problems) = read_fleet(&Reader::new(&tree, FLEET_BUDGET));
        assert_eq!((fleet.clusters.len(), fleet.apps.len()), (2, 3), "{problems:?}");
        let shown = |mounts: &BTreeSet<Mount>| mounts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let wanted: Vec<(String, Vec<String>)> =
            wanted_charts(&fleet).iter().map(|(app, mounts)| (app.to_string(), shown(mounts))).collect();
        let expected = [("fixed", vec!["stable/web:3"]), ("varied", vec!["stable/web:1", "stable/web:2"])];
        assert_eq!(wanted, expected.map(|(app, mounts)| (app.to_owned(), mounts.into_iter().map(str::to_owned).collect())));
    }
}
