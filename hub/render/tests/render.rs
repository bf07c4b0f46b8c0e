//! What a render makes of a tree: engines, namespaces, refusals with their places, and the law that the same inputs have the same digest.

use std::collections::BTreeMap;

use hub_render::{Builds, ClusterFacts, CommonMetadata, Engine, EngineChoice, InputDigest, RenderInput, RenderOutcome, RenderProblem};
use hub_tree::{ContentId, MemoryTree, SourceTree, TreePath};
use proptest::prelude::*;
use shared_model::{GroupKind, Scope};

fn input(path: &str) -> RenderInput {
    RenderInput {
        app: "web".parse().expect("a name"),
        cluster: "gpu-a".parse().expect("a name"),
        path: TreePath::parse(path).expect("a path"),
        base: TreePath::root(),
        helm: None,
        chance: None,
        today: 0,
        namespace: Some("apps".to_owned()),
        engine: EngineChoice::Detect,
        recurse: false,
        layers: hub_kustomize::Layers::default(),
        substitution: None,
        common: CommonMetadata::default(),
        facts: ClusterFacts::default(),
    }
}

/// A render that shares nothing with others.
fn render(input: &RenderInput, tree: &dyn SourceTree) -> RenderOutcome {
    hub_render::render(input, tree, &Builds::new(1 << 20))
}

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

fn names(outcome: &RenderOutcome) -> Vec<String> {
    outcome.result.as_ref().expect("objects").objects.iter().map(ToString::to_string).collect()
}

fn problem(files: &[(&str, &str)]) -> RenderProblem {
    render(&input("app"), &MemoryTree::of(files)).result.expect_err("a problem")
}

#[test]
fn plain_files_come_in_the_order_of_their_paths_with_lists_taken_apart() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}\n- {apiVersion: v1, kind: Secret, metadata: {name: z}}\n";
    let (one, two) = (config_map("one"), format!("{}---\n{}", config_map("two"), config_map("three")));
    let tree = MemoryTree::of(&[
        ("app/b.yaml", &two),
        ("app/a.yml", &one),
        ("app/c.json", "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"n\"}}"),
        ("app/d.yaml", list),
        ("app/notes.txt", "no manifest"),
        ("app/below/e.yaml", &config_map("below")),
        ("app/skipped.yaml", "# +argocd:skip-file-rendering\nnot: an object\n"),
    ]);
    let flat = render(&input("app"), &tree);
    assert_eq!(
        names(&flat),
        ["ConfigMap apps/one", "ConfigMap apps/two", "ConfigMap apps/three", "Namespace n", "ConfigMap apps/x", "Secret apps/z"]
    );
    let deep = render(&RenderInput { recurse: true, ..input("app") }, &tree);
    assert_eq!(names(&deep).len(), 7);
}

#[test]
fn a_kustomization_file_chooses_kustomize_and_a_chart_file_helm() {
    let kustomization = "resources: [cm.yaml]\nnamePrefix: eu-\n";
    let tree = MemoryTree::of(&[("app/kustomization.yml", kustomization), ("app/cm.yaml", &config_map("one"))]);
    let outcome = render(&input("app"), &tree);
    assert_eq!(names(&outcome), ["ConfigMap apps/eu-one"]);
    assert_eq!(outcome.inputs_used.engine, Some(Engine::Kustomize));
    let plain = render(&RenderInput { engine: EngineChoice::Use(Engine::Plain), ..input("app") }, &tree);
    assert!(matches!(plain.result, Err(RenderProblem::NotAnObject { .. })), "the kustomization is no object");
    let chart = "apiVersion: v2\nname: any\nversion: 1.0.0\n";
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-{{ .Release.Namespace }}'}\n";
    let tree = MemoryTree::of(&[("app/Chart.yaml", chart), ("app/templates/cm.yaml", template), ("app/kustomization.yaml", "x")]);
    let outcome = render(&input("app"), &tree);
    assert_eq!(names(&outcome), ["ConfigMap apps/web-apps"], "the release is called as the app");
    assert_eq!(outcome.inputs_used.engine, Some(Engine::Helm));
    assert!(matches!(problem(&[("app/Chart.yaml", "name: web")]), RenderProblem::Chart { .. }));
}

#[test]
fn a_problem_names_file_and_line() {
    let no_name = "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n";
    let (fine, twice) = (config_map("a"), format!("{}---\n{}", config_map("b"), config_map("a")));
    for (files, line, text) in [
        (vec![("app/a.yaml", fine.as_str()), ("app/b.yaml", no_name)], Some(1), "metadata.name is missing"),
        (vec![("app/b.yaml", "a: [")], Some(1), "app/b.yaml"),
        (
            vec![("app/a.yaml", fine.as_str()), ("app/b.yaml", twice.as_str())],
            Some(5),
            "ConfigMap apps/a is there twice: app/a.yaml:1 and app/b.yaml:5",
        ),
        (vec![("app/kustomization.yaml", "resource: [a.yaml]\n")], Some(1), "did you mean \"resources\""),
        (vec![("app/kustomization.yaml", "resources:\n- gone.yaml\n")], Some(2), "app/gone.yaml does not exist"),
    ] {
        let problem = problem(&files);
        assert!(problem.to_string().contains(text), "{problem}");
        let (file, at) = problem.location().expect("a place");
        assert!(file.as_str().starts_with("app/"), "{file}");
        assert_eq!(at, line, "{problem}");
    }
    assert!(matches!(problem(&[("other/a.yaml", &fine)]), RenderProblem::NoDirectory { .. }));
}

#[test]
fn two_versions_of_one_object_are_the_same_object() {
    let old = "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: web}\n";
    let new = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: apps}\n";
    assert!(matches!(problem(&[("app/a.yaml", old), ("app/b.yaml", new)]), RenderProblem::Duplicate { .. }));
}

#[test]
fn namespaces_follow_the_scope_of_the_kind() {
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: fleets.x.io}\nspec: {group: x.io, scope: Cluster, names: {kind: Fleet}}\n";
    let tree = MemoryTree::of(&[
        ("app/a.yaml", definition),
        ("app/b.yaml", "apiVersion: x.io/v1\nkind: Fleet\nmetadata: {name: f, namespace: lost}\n"),
        ("app/c.yaml", "apiVersion: y.io/v1\nkind: Job\nmetadata: {name: j}\n"),
        ("app/d.yaml", "apiVersion: y.io/v1\nkind: Global\nmetadata: {name: g}\n"),
        ("app/e.yaml", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n"),
        ("app/f.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: own}\n"),
    ]);
    let global = GroupKind::new("y.io", "Global");
    let facts = ClusterFacts { scopes: BTreeMap::from([(global.clone(), Scope::Cluster)]), ..ClusterFacts::default() };
    let this = RenderInput { facts, ..input("app") };
    let outcome = render(&this, &tree);
    assert_eq!(
        names(&outcome),
        [
            "CustomResourceDefinition.apiextensions.k8s.io fleets.x.io",
            "Fleet.x.io f",
            "Job.y.io apps/j",
            "Global.y.io g",
            "ClusterRole.rbac.authorization.k8s.io r",
            "Secret own/s"
        ]
    );
    let asked = BTreeMap::from([(GroupKind::new("y.io", "Job"), None), (global.clone(), Some(Scope::Cluster))]);
    assert_eq!(outcome.inputs_used.scopes, asked);
    assert!(outcome.inputs_used.namespace);
    let mut other = this.clone();
    other.facts.scopes.insert(GroupKind::new("z.io", "Unused"), Scope::Cluster);
    assert!(outcome.inputs_used.agree(&this, &other), "what nobody asked makes no difference");
    other.facts.scopes.insert(global, Scope::Namespaced);
    assert!(!outcome.inputs_used.agree(&this, &other));
}

#[test]
fn an_object_without_any_namespace_is_refused_and_a_failed_render_has_its_read_set() {
    let tree = MemoryTree::of(&[("app/a.yaml", &config_map("a"))]);
    let outcome = render(&RenderInput { namespace: None, ..input("app") }, &tree);
    assert!(matches!(outcome.result, Err(RenderProblem::NoNamespace { .. })));
    assert!(outcome.read_set.still_holds(&tree));
    let mut repaired = tree;
    repaired.insert(TreePath::parse("app/a.yaml").expect("a path"), b"".as_slice());
    assert!(!outcome.read_set.still_holds(&repaired));
}

#[test]
fn nothing_rendered_is_a_fact_and_no_error() {
    let outcome = render(&input("app"), &MemoryTree::of(&[("app/readme.md", "")]));
    assert!(outcome.result.expect("no error").is_empty());
}

#[test]
fn the_limit_of_objects_passes_and_one_more_does_not() {
    let many = |count: usize| (0..count).map(|index| config_map(&format!("c{index}"))).collect::<Vec<_>>().join("---\n");
    let rendered = |count| render(&input("app"), &MemoryTree::of(&[("app/a.yaml", &many(count))])).result;
    assert_eq!(rendered(5_000).expect("at the limit").objects.len(), 5_000);
    assert!(matches!(rendered(5_001), Err(RenderProblem::TooManyObjects { .. })));
}

#[test]
fn the_digest_of_an_input_covers_everything_known_before_its_render() {
    let of = |tree: &[u8], app: &str, cluster: &str, vars: &[(&str, &str)]| {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let input = RenderInput { app: app.parse().expect("a name"), ..input("app") };
        InputDigest::of(&ContentId::new(tree), &cluster.parse().expect("a name"), &vars, &input)
    };
    let base = of(b"t", "web", "gpu-a", &[("a", "bc")]);
    assert_eq!(base, of(b"t", "web", "gpu-a", &[("a", "bc")]));
    for other in [
        of(b"u", "web", "gpu-a", &[("a", "bc")]),
        of(b"t", "api", "gpu-a", &[("a", "bc")]),
        of(b"t", "web", "gpu-b", &[("a", "bc")]),
        of(b"t", "web", "gpu-a", &[("ab", "c")]),
        of(b"t", "web", "gpu-a", &[]),
    ] {
        assert_ne!(base, other);
    }
}

/// A few files that often hang together: manifests, a base, an overlay, and odd texts.
fn trees() -> impl Strategy<Value = BTreeMap<&'static str, String>> {
    let path = prop::sample::select(vec![
        "app/a.yaml",
        "app/b.yaml",
        "app/kustomization.yaml",
        "base/kustomization.yaml",
        "base/cm.yaml",
        "app/values.env",
        "other/x.yaml",
    ]);
    let text = prop_oneof![
        "[a-c]{1}".prop_map(|name| config_map(&name)),
        Just("resources: [../base]\nnamePrefix: p-\n".to_owned()),
        Just("resources: [cm.yaml]\nnamespace: inner\n".to_owned()),
        Just("resources: [a.yaml]\nconfigMapGenerator:\n- {name: gen, envs: [values.env]}\n".to_owned()),
        Just("A=1\nB=2\n".to_owned()),
        Just(": broken [".to_owned()),
    ];
    prop::collection::btree_map(path, text, 0..7)
}

fn tree(files: &BTreeMap<&'static str, String>) -> MemoryTree {
    MemoryTree::of(&files.iter().map(|(path, text)| (*path, text.as_str())).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn the_same_inputs_render_the_same_and_only_what_was_read_can_change_it(before in trees(), after in trees()) {
        let first = render(&input("app"), &tree(&before));
        let again = render(&input("app"), &tree(&before));
        prop_assert_eq!(&first.result, &again.result);
        prop_assert_eq!(&first.read_set, &again.read_set);
        prop_assert!(first.read_set.still_holds(&tree(&before)));
        if first.read_set.still_holds(&tree(&after)) {
            prop_assert_eq!(&first.result, &render(&input("app"), &tree(&after)).result);
        }
    }
}
