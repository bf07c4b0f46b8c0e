//! Parsed files that builds share: with them, and whatever is in them, a build gives what it gives without, and has read what it reads without.

use hub_kustomize::{BuildError, BuildOptions, Files, LoadRestriction, Warning, build};
use hub_tree::{Budget, MemoryTree, ReadSet, Reader, TreePath};

const DEPLOYMENT: &str =
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: c, image: nginx}]}}}\n";

fn tree() -> MemoryTree {
    MemoryTree::of(&[
        ("base/kustomization.yaml", "resources: [x.yaml]\ncommonLabels: {a: b}\n"),
        ("base/x.yaml", DEPLOYMENT),
        ("one/kustomization.yaml", "resources: [../base]\nnamePrefix: one-\npatches: [{path: p.yaml}]\n"),
        ("one/p.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n"),
        ("two/kustomization.yaml", "resources: [../base]\nimages: [{name: nginx, newTag: \"2\"}]\nnamespace: two\n"),
        ("bad/kustomization.yaml", "resources: [../base, gone.yaml]\n"),
    ])
}

type Outcome<T> = (Result<T, BuildError>, ReadSet);

fn built(tree: &MemoryTree, directory: &str, budget: Budget, files: Option<&Files>) -> Outcome<String> {
    let (built, read) = built_as(tree, directory, budget, BuildOptions { files, ..BuildOptions::default() });
    (built.map(|(text, _)| text), read)
}

fn built_as(tree: &MemoryTree, directory: &str, budget: Budget, options: BuildOptions<'_>) -> Outcome<(String, Vec<Warning>)> {
    let reader = Reader::new(tree, budget);
    let built = build(&reader, &path(directory), &options);
    (built.map(|built| (built.to_yaml(), built.warnings)), reader.into_read_set())
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("a path")
}

#[test]
fn builds_that_share_files_give_and_read_what_they_do_alone() {
    let tree = tree();
    for limit in [0, 3_000, 1 << 20] {
        let files = Files::new(limit);
        for directory in ["one", "two", "bad", "one", "base", "two"] {
            assert_eq!(
                built(&tree, directory, Budget::RENDER, Some(&files)),
                built(&tree, directory, Budget::RENDER, None),
                "{directory} {limit}"
            );
        }
    }
}

#[test]
fn a_changed_file_is_read_anew() {
    let mut tree = tree();
    let files = Files::new(1 << 20);
    let before = built(&tree, "one", Budget::RENDER, Some(&files)).0.expect("built");
    tree.insert(path("base/x.yaml"), DEPLOYMENT.replace("nginx", "httpd").into_bytes());
    let after = built(&tree, "one", Budget::RENDER, Some(&files)).0.expect("built");
    assert_eq!(after, before.replace("nginx", "httpd"));
}

#[test]
fn a_budget_ends_a_build_at_the_same_place_whatever_is_known() {
    let tree = tree();
    let files = Files::new(1 << 20);
    built(&tree, "one", Budget::RENDER, Some(&files)).0.expect("built");
    for reads in 0..6 {
        let budget = Budget { reads, ..Budget::RENDER };
        assert_eq!(built(&tree, "one", budget, Some(&files)), built(&tree, "one", budget, None), "{reads}");
    }
    for total_bytes in [0, 100, 200, 300] {
        let budget = Budget { total_bytes, ..Budget::RENDER };
        assert_eq!(built(&tree, "one", budget, Some(&files)), built(&tree, "one", budget, None), "{total_bytes}");
    }
}

/// Bases in bases, beside each other, behind links, with files from outside, components, variables, notes and a schema of their own.
fn bases() -> MemoryTree {
    let mut tree = MemoryTree::of(&[
        ("deep/kustomization.yaml", "resources: [x.yaml]\nnamePrefix: deep-\nnameSuffix: -x\nnameSuffix: -y\n"),
        ("deep/x.yaml", DEPLOYMENT),
        ("base/kustomization.yaml", "resources: [../deep, y.yaml, ../linked]\ncomponents: [../part]\ncommonLabels: {a: b}\n"),
        ("base/y.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"),
        ("part/kustomization.yaml", "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nnamespace: part\n"),
        ("real/kustomization.yaml", "resources: [z.yaml]\n"),
        ("real/z.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\n"),
        ("other/kustomization.yaml", "configMapGenerator: [{name: other, literals: [a=b]}]\n"),
        ("other/z.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\n"),
        ("outside/kustomization.yaml", "resources: [../deep/x.yaml]\n"),
        ("schema/kustomization.yaml", "resources: [../deep]\nopenapi: {version: v1.20.4}\n"),
        ("one/kustomization.yaml", "resources: [../base]\nnamePrefix: one-\n"),
        ("two/kustomization.yaml", "resources: [../base, ../other]\nbuildMetadata: [originAnnotations]\n"),
        ("three/kustomization.yaml", "resources: [../outside]\n"),
        ("four/kustomization.yaml", "resources: [../schema, ../base]\n"),
        ("five/kustomization.yaml", "resources: [../deep, ../base]\n"),
        ("deep/round/kustomization.yaml", "resources: [../../base]\n"),
    ]);
    tree.insert_link(path("linked"), "real");
    tree
}

const OVERLAYS: [&str; 8] = ["one", "two", "three", "four", "five", "deep/round", "base", "one"];

/// Builds everything with `files` and without, under both restrictions.
fn check(tree: &MemoryTree, files: &Files, state: &str) {
    for load_restriction in [LoadRestriction::RootOnly, LoadRestriction::Tree] {
        for overlay in OVERLAYS {
            let with = BuildOptions { files: Some(files), load_restriction, ..BuildOptions::default() };
            let without = BuildOptions { files: None, ..with };
            let (with, without) = (built_as(tree, overlay, Budget::RENDER, with), built_as(tree, overlay, Budget::RENDER, without));
            assert_eq!(with, without, "{overlay} {load_restriction:?} after {state}");
        }
    }
}

#[test]
fn bases_that_were_built_before_are_as_if_built_anew_whatever_has_changed_since() {
    let files = Files::new(1 << 20);
    let mut tree = bases();
    check(&tree, &files, "nothing");
    assert!(built(&tree, "one", Budget::RENDER, Some(&files)).0.is_ok() && built(&tree, "three", Budget::RENDER, Some(&files)).0.is_err());
    tree.insert(path("deep/x.yaml"), DEPLOYMENT.replace("nginx", "httpd").into_bytes());
    check(&tree, &files, "a changed resource");
    tree.insert(path("deep/kustomization.yaml"), b"resources: [x.yaml]\nnamePrefix: deeper-\n".as_slice());
    check(&tree, &files, "a changed kustomization");
    tree.insert(path("deep/Kustomization"), b"resources: [x.yaml]\n".as_slice());
    check(&tree, &files, "a second kustomization");
    tree.remove(&path("deep/Kustomization"));
    check(&tree, &files, "none again");
    tree.insert_link(path("linked"), "other");
    check(&tree, &files, "a link that leads elsewhere");
    tree.remove(&path("linked"));
    check(&tree, &files, "a link that is gone");
    tree.insert_link(path("linked"), "real");
    tree.insert_link(path("real/z.yaml"), "../other/z.yaml");
    check(&tree, &files, "a resource that has become a link");
    tree.insert(path("part/kustomization.yaml"), b"kind: Kustomization\n".as_slice());
    check(&tree, &files, "a component that is none any more");
    check(&bases(), &files, "all changes were taken back");
}

#[test]
fn a_budget_ends_a_build_of_known_bases_at_the_same_place() {
    let tree = bases();
    let files = Files::new(1 << 20);
    check(&tree, &files, "nothing");
    let most = Budget::RENDER;
    let by_reads = (0..20).map(|reads| Budget { reads, ..most });
    let by_bytes = (0..40).map(|tenth| Budget { total_bytes: 20 * tenth, ..most });
    let by_file = (0..10).map(|tenth| Budget { file_bytes: 20 * tenth, ..most });
    for budget in by_reads.chain(by_bytes).chain(by_file) {
        assert_eq!(built(&tree, "five", budget, Some(&files)), built(&tree, "five", budget, None), "{budget:?}");
    }
}
