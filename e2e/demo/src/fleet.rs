//! The files of the demo's fleet repository, which lie in `e2e/demo/fleet` and are built into the program. What they mean is the business of
//! the hub.

macro_rules! files {
    ($($path:literal),+ $(,)?) => { &[$(($path, include_str!(concat!("../fleet/", $path)))),+] };
}

/// Each file with its path in the repository.
pub(crate) const FILES: &[(&str, &str)] = files![
    "apps/gpu-settings/app.yaml",
    "apps/gpu-settings/base/crd.yaml",
    "apps/gpu-settings/base/device-plugin.yaml",
    "apps/gpu-settings/base/kustomization.yaml",
    "apps/gpu-settings/base/priority-classes.yaml",
    "apps/gpu-settings/base/profile.yaml",
    "apps/gpu-settings/overlays/l40s/kustomization.yaml",
    "apps/llm-gateway/app.yaml",
    "apps/llm-gateway/base/autoscaler.yaml",
    "apps/llm-gateway/base/deployment.yaml",
    "apps/llm-gateway/base/kustomization.yaml",
    "apps/llm-gateway/base/routes.yaml",
    "apps/llm-gateway/base/service.yaml",
    "apps/llm-gateway/overlays/ap-south/kustomization.yaml",
    "apps/llm-gateway/overlays/eu-west/kustomization.yaml",
    "apps/llm-gateway/overlays/us-east/kustomization.yaml",
    "apps/model-server/app.yaml",
    "apps/model-server/base/disruption-budget.yaml",
    "apps/model-server/base/kustomization.yaml",
    "apps/model-server/base/service.yaml",
    "apps/model-server/base/stateful-set.yaml",
    "apps/model-server/overlays/ap-south/kustomization.yaml",
    "apps/model-server/overlays/eu-west/kustomization.yaml",
    "apps/model-server/overlays/us-east/kustomization.yaml",
    "apps/monitoring/app.yaml",
    "apps/monitoring/base/gpu-exporter.yaml",
    "apps/monitoring/base/kustomization.yaml",
    "apps/monitoring/base/namespace.yaml",
    "apps/monitoring/base/node-exporter.yaml",
    "apps/monitoring/base/rbac.yaml",
    "apps/monitoring/base/rules.yaml",
    "apps/monitoring/base/service-account.yaml",
    "apps/training/app.yaml",
    "apps/training/base/checkpoint-cleanup.yaml",
    "apps/training/base/evaluation.yaml",
    "apps/training/base/kustomization.yaml",
    "apps/training/base/nightly-finetune.yaml",
    "apps/training/base/quota.yaml",
    "apps/training/base/service-account.yaml",
    "apps/training/base/weekly-pretrain.yaml",
    "fleet.yaml",
    "regions/ap-south/ap-south-gpu-a.yaml",
    "regions/ap-south/ap-south-web-b.yaml",
    "regions/ap-south/region.yaml",
    "regions/eu-west/eu-west-gpu-a.yaml",
    "regions/eu-west/eu-west-web-b.yaml",
    "regions/eu-west/region.yaml",
    "regions/us-east/region.yaml",
    "regions/us-east/us-east-gpu-a.yaml",
    "regions/us-east/us-east-train-b.yaml",
];

/// The clusters, with their regions.
pub(crate) const CLUSTERS: [(&str, &str); 6] = [
    ("ap-south-gpu-a", "ap-south"),
    ("ap-south-web-b", "ap-south"),
    ("eu-west-gpu-a", "eu-west"),
    ("eu-west-web-b", "eu-west"),
    ("us-east-gpu-a", "us-east"),
    ("us-east-train-b", "us-east"),
];

/// How many rows the hub's status has: each app in each of its clusters.
pub(crate) const ROWS: usize = 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use hub_fleet::{FLEET_BUDGET, Fleet, choose_path, read_fleet, resolve, why_not};
    use hub_render::{Builds, ClusterFacts, RenderInput, STACK_BYTES, render};
    use hub_tree::{Budget, MemoryTree, Reader};

    use super::*;

    fn files_below(directory: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
            let name = format!("{prefix}{}", entry.file_name().to_str().expect("a name"));
            match entry.path().is_dir() {
                true => files_below(&entry.path(), &format!("{name}/"), found),
                false => drop(found.insert(name)),
            }
        }
    }

    #[test]
    fn every_file_of_the_directory_is_built_in() {
        let mut found = BTreeSet::new();
        files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fleet"), "", &mut found);
        assert_eq!(FILES.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>(), found);
    }

    fn rendered(fleet: &Fleet, tree: &MemoryTree) -> usize {
        let mut rows = 0;
        let builds = Builds::new(1 << 20);
        for cluster in fleet.clusters.values() {
            for app in fleet.apps.values().filter(|app| why_not(fleet, &app.name, &cluster.name).is_none()) {
                let resolved = resolve(fleet, app, cluster).expect("all variables are set");
                let path = choose_path(&resolved, &Reader::new(tree, Budget::RENDER)).expect("a directory").path;
                let input = RenderInput::of(&resolved, path, ClusterFacts::default()).expect("names of variables");
                let outcome = render(&input, tree, &builds);
                assert_eq!(outcome.warnings, [], "{} on {}", app.name, cluster.name);
                assert!(!outcome.result.expect("no problem").objects.is_empty(), "{} on {}", app.name, cluster.name);
                rows += 1;
            }
        }
        rows
    }

    #[test]
    fn the_fleet_has_no_problem_and_every_app_renders_on_each_of_its_clusters() {
        let tree = MemoryTree::of(FILES);
        let (fleet, problems) = read_fleet(&Reader::new(&tree, FLEET_BUDGET));
        assert_eq!(problems, []);
        let clusters: Vec<_> = fleet.clusters.values().map(|cluster| (cluster.name.as_str(), cluster.region.as_str())).collect();
        assert_eq!(clusters, CLUSTERS);
        let rows = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            thread.spawn_scoped(scope, || rendered(&fleet, &tree)).expect("a thread").join().expect("no panic")
        });
        assert_eq!(rows, ROWS);
    }
}
