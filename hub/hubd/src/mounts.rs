//! What a render may read beside its own source, each at the revision that is planned, and only as far as the app's project permits: the
//! repositories that the operator has marked as remote bases, the source of its chart, and its charts from repositories.

use std::collections::BTreeSet;

use hub_fleet::{App, ChartFrom, HelmSource, Project};
use hub_source::{Reference, SourceSpec};
use hub_tree::{Mount, MountRefusal, Mounts, Offer, Repository};
use shared_model::SourceName;

use crate::charts::Charted;
use crate::render::Sources;

/// A source that kustomizations may name by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteBase {
    source: SourceName,
    repository: Repository,
    references: Vec<String>,
}

/// The sources of `specs` that are remote bases.
///
/// # Errors
/// One that has no address by which anybody else could name it.
pub(crate) fn remote_bases(specs: &[SourceSpec], names: &BTreeSet<SourceName>) -> anyhow::Result<Vec<RemoteBase>> {
    let marked = specs.iter().filter(|spec| names.contains(&spec.name));
    let base = |spec: &SourceSpec| {
        let repository = Repository::parse(&spec.url.to_string()).ok_or_else(|| {
            let name = &spec.name;
            anyhow::anyhow!("the source {name} is a remote base and has no URL by which a kustomization could name it; use https or ssh")
        })?;
        Ok(RemoteBase { source: spec.name.clone(), repository, references: spellings(&spec.reference) })
    };
    marked.map(base).collect()
}

/// How a kustomization may write what is followed.
fn spellings(reference: &Reference) -> Vec<String> {
    match reference {
        Reference::Branch(name) => vec![name.clone(), format!("refs/heads/{name}")],
        Reference::Tag(name) => vec![name.clone(), format!("refs/tags/{name}")],
        Reference::Semver(range) => vec![range.to_string()],
        Reference::Commit(id) => vec![id.to_string()],
        Reference::Name(name) => {
            let short = ["refs/heads/", "refs/tags/"].iter().find_map(|prefix| name.strip_prefix(prefix));
            std::iter::once(name.as_str()).chain(short).map(str::to_owned).collect()
        }
    }
}

/// What `app` of `project` may mount.
pub(crate) fn mounts_for(app: &App, project: Option<&Project>, sources: &Sources) -> Mounts {
    let permitted = |source: &SourceName| match project.map_or(Ok(()), |project| project.permits_source(Some(source))) {
        Ok(()) => Ok(()),
        Err(refusal) => Err(MountRefusal::NotPermitted { reason: refusal.to_string() }),
    };
    let tree_of = |source: &SourceName| {
        permitted(source)?;
        let tree = sources.trees.get(source).map(|revised| revised.tree.clone());
        tree.ok_or_else(|| MountRefusal::NotFetched { reason: format!("see the source {source}") })
    };
    let mut mounts = Mounts::default();
    for RemoteBase { source, repository, references } in sources.remote_bases.iter().cloned() {
        let tree = tree_of(&source);
        mounts.offer(Offer { source: source.to_string(), repository, references, tree });
    }
    if let Some(HelmSource { chart: ChartFrom::Source { name, .. }, .. }) = &app.source.helm {
        mounts.insert(Mount::Source { name: name.to_string() }, tree_of(name));
    }
    for mount in sources.wanted.get(&app.name).into_iter().flatten() {
        if let Some(Charted { repository, tree, .. }) = sources.charts.get(mount) {
            let permitted = repository.as_ref().map_or(Ok(()), permitted);
            mounts.insert(mount.clone(), permitted.and_then(|()| tree.clone()));
        }
    }
    mounts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use hub_fleet::{FLEET_BUDGET, read_fleet, wanted_charts};
    use hub_tree::{MemoryTree, MountedTree, Reader, SourceTree};
    use shared_model::Revision;

    use super::*;
    use crate::render::Revised;

    const FLEET: &str = "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu}\n---\napiVersion: capstan.dev/v1\nkind: Project\n\
                         metadata: {name: ml}\nspec: {sources: [platform, stable], namespaces: ['*'], regions: ['*']}\n";

    fn app(name: &str, project: &str, helm: &str) -> String {
        format!(
            "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  regions: [eu]\n  {project}\n  source: {{helm: {helm}}}\n"
        )
    }

    #[test]
    fn an_app_mounts_what_it_asks_for_and_its_project_permits() {
        let (chart, other) = ("{repo: 'https://charts.example.com', chart: web}", "{source: other, chart: web}");
        let (free, tenant, stranger) = (app("free", "", chart), app("tenant", "project: ml", chart), app("stranger", "", other));
        let tree = MemoryTree::of(&[
            ("regions/all.yaml", FLEET),
            ("apps/free/app.yaml", &free),
            ("apps/tenant/app.yaml", &tenant),
            ("apps/stranger/app.yaml", &stranger),
        ]);
        let (fleet, problems) = read_fleet(&Reader::new(&tree, FLEET_BUDGET));
        assert_eq!(problems.iter().filter(|problem| problem.severity == shared_model::Severity::Error).count(), 0, "{problems:?}");
        let shared: Arc<dyn SourceTree> = Arc::new(tree);
        let name = |text: &str| text.parse::<SourceName>().expect("a name");
        let revised = || Revised { revision: Revision { reference: "main".to_owned(), commit: "0".repeat(40) }, tree: shared.clone() };
        let base = |source: &str| RemoteBase {
            source: name(source),
            repository: Repository::parse(&format!("https://git.example.com/{source}")).expect("a repository"),
            references: vec!["main".to_owned()],
        };
        let mount = Mount::Chart { repository: "https://charts.example.com".to_owned(), name: "web".to_owned(), version: String::new() };
        let charted = Charted { repository: Some(name("team")), revision: None, tree: Ok(shared.clone()) };
        let sources = Sources {
            fleet: name("fleet"),
            trees: BTreeMap::from([(name("platform"), revised()), (name("other"), revised())]),
            remote_bases: Arc::new(vec![base("platform"), base("other"), base("away")]),
            charts: BTreeMap::from([(mount.clone(), charted)]),
            wanted: Arc::new(wanted_charts(&fleet)),
            facts: BTreeMap::new(),
            today: 0,
        };
        let finds = |app: &str, mount: &Mount| {
            let app = &fleet.apps[&app.parse().expect("a name")];
            let project = app.project.as_ref().and_then(|name| fleet.projects.get(name));
            let tree = MountedTree::new(shared.clone(), Arc::new(mounts_for(app, project, &sources)));
            tree.mount(mount).map(|_| "there").map_err(|refusal| refusal.to_string())
        };
        let remote = |source: &str| Mount::Repository {
            repository: Repository::parse(&format!("git@git.example.com:{source}.git")).expect("a repository"),
            reference: Some("main".to_owned()),
        };
        let not = |app, mount: &Mount, words: &str| {
            let refusal = finds(app, mount).expect_err("refused");
            assert!(refusal.contains(words), "{refusal}");
        };
        assert!(finds("free", &remote("platform")).is_ok() && finds("free", &remote("other")).is_ok() && finds("free", &mount).is_ok());
        assert!(finds("tenant", &remote("platform")).is_ok());
        not("tenant", &remote("other"), "project ml does not permit the source \"other\"");
        not("tenant", &mount, "project ml does not permit the source \"team\"");
        not("free", &remote("away"), "see the source away");
        let source = Mount::Source { name: "other".to_owned() };
        assert!(finds("stranger", &source).is_ok());
        not("free", &source, "nobody fetches it");
        not("stranger", &mount, "nobody fetches it");
    }
}
