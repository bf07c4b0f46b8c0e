//! `helmCharts` of kustomizations, as the real tools render them: `kustomize_charts/expected.sh` made what is expected with kustomize 5.8.1 and
//! Helm 4.2.4. And what is refused here, with what to do.
#![expect(clippy::disallowed_methods, reason = "the fixtures are files")]

use std::fs;
use std::path::{Path, PathBuf};

use hub_kustomize::{BuildError, BuildOptions, build};
use hub_render::{ChanceKey, LocalCharts};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("a path")
}

fn load(root: &Path) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let file = entry.expect("an entry").path();
            if file.is_dir() {
                todo.push(file);
            } else {
                let name = file.strip_prefix(root).expect("inside").to_str().expect("UTF-8");
                tree.insert(path(name), fs::read(&file).expect("readable"));
            }
        }
    }
    tree
}

fn built(tree: &MemoryTree, directory: &str) -> Result<String, BuildError> {
    let charts = LocalCharts::new(ChanceKey::new([0; 32], 0), 0);
    let options = BuildOptions { charts: Some(&charts), ..BuildOptions::default() };
    build(&Reader::new(tree, Budget::RENDER), &path(directory), &options).map(|built| built.to_yaml())
}

#[test]
fn charts_are_rendered_as_kustomize_and_helm_render_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kustomize_charts");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).expect("cases").map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    assert!(cases.len() >= 10, "{} cases", cases.len());
    for case in cases {
        let tree = load(&case.join("in"));
        let directory = if case.join("in/overlay").is_dir() { "overlay" } else { "." };
        let yaml = built(&tree, directory).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        let expected = fs::read_to_string(case.join("expected.yaml")).expect("what is expected");
        assert_eq!(yaml, expected, "{}", case.display());
    }
}

#[test]
fn what_cannot_be_the_same_each_time_or_is_not_there_is_refused_with_a_remedy() {
    let chart = "- name: web\n  releaseName: rel\n";
    for (charts, words) in [
        ("- name: web\n", "it has no releaseName, and Helm would make up another one at every build; set releaseName"),
        ("- {name: web, nameTemplate: '{{ randAlpha 5 }}'}\n", "nameTemplate is a template"),
        ("- {name: web, releaseName: a, nameTemplate: b}\n", "releaseName and nameTemplate exclude each other"),
        ("- {releaseName: rel}\n", "a chart needs a name"),
        (
            "- {name: gone, releaseName: rel}\n",
            "charts/gone is not there, and nothing is fetched while rendering. Vendor it: copy the chart there",
        ),
        (
            "- {name: gone, releaseName: rel, repo: 'oci://registry.example.com/charts', version: 1.0.0}\n",
            "helm pull --untar --untardir charts/gone-1.0.0 oci://registry.example.com/charts/gone --version 1.0.0",
        ),
        ("- {name: gone, releaseName: rel, repo: 'https://x.example/$(id)', version: 1.0.0}\n", "Vendor it: copy the chart there"),
        ("- {name: ../../../etc, releaseName: rel}\n", "leads out of the source"),
        ("- {name: web, releaseName: rel, valuesFile: ../values.yaml}\n", "is not in or below app"),
        ("- {name: web, releaseName: rel, valuesFile: gone.yaml}\n", "app/gone.yaml does not exist; valuesFile names it"),
        ("- {name: web, releaseName: rel, valuesMerge: deep}\n", "valuesMerge is \"deep\" and must be merge, override or replace"),
        ("- {name: web, releaseName: rel, valuesInline: [a]}\n", "valuesInline must be a map of values"),
        ("- {name: web, releaseName: Not_A_Name}\n", "Not_A_Name"),
        ("- {name: web, releaseName: rel, kubeVersion: new}\n", "invalid kube version"),
        ("- {name: web, releaseName: rel, valuesInline: {fail: 'on purpose'}}\n", "on purpose"),
    ] {
        let kustomization = format!("helmCharts:\n{charts}");
        let tree = MemoryTree::of(&[
            ("values.yaml", ""),
            ("app/kustomization.yaml", &kustomization),
            ("app/charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
            ("app/charts/web/templates/x.yaml", "{{ with .Values.fail }}{{ fail . }}{{ end }}"),
        ]);
        let error = built(&tree, "app").expect_err(charts).to_string();
        assert!(error.starts_with("app/kustomization.yaml:") && error.contains(words), "{charts}: {error}");
    }
    let tree = MemoryTree::of(&[("app/kustomization.yaml", &format!("helmCharts:\n{chart}"))]);
    let refused = build(&Reader::new(&tree, Budget::RENDER), &path("app"), &BuildOptions::default()).expect_err("refused").to_string();
    assert_eq!(
        refused,
        "app/kustomization.yaml:2: helmCharts is not supported: charts are rendered only where that is asked for, with --enable-helm"
    );
}
