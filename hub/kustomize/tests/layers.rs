//! Layers beside the real thing: `tests/layers/cases.jsonl` holds trees, the fields of a Flux Kustomization, and what the generator and build of
//! `github.com/fluxcd/pkg/kustomize` v1.41.0 (kustomize 5.8.1) printed for them.

use hub_kustomize::{BuildOptions, ImageLayer, Layers, LoadRestriction, PatchLayer, PatchSelector, build};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};
use shared_manifest::{Value, YamlBudget, YamlMode, parse_yaml};

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn each<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().into_iter().flatten().map(of).collect()
}

fn selector(value: &Value) -> PatchSelector {
    PatchSelector {
        group: text(value, "group"),
        version: text(value, "version"),
        kind: text(value, "kind"),
        name: text(value, "name"),
        namespace: text(value, "namespace"),
        label_selector: text(value, "labelSelector"),
        annotation_selector: text(value, "annotationSelector"),
    }
}

fn layers(value: &Value) -> Layers {
    let image = |image: &Value| ImageLayer {
        name: text(image, "name"),
        new_name: text(image, "newName"),
        new_tag: text(image, "newTag"),
        digest: text(image, "digest"),
    };
    let given = |field: &str| value.get(field).map(|_| text(value, field));
    let target = |patch: &Value| patch.get("target").map(selector);
    Layers {
        target_namespace: given("targetNamespace"),
        name_prefix: given("namePrefix"),
        name_suffix: given("nameSuffix"),
        components: each(&value["components"], |path| path.as_str().expect("a path").to_owned()),
        ignore_missing_components: value["ignoreMissingComponents"] == true,
        images: each(&value["images"], image),
        patches: each(&value["patches"], |patch| PatchLayer { patch: text(patch, "patch"), target: target(patch) }),
    }
}

/// The documents of a build in one order: Flux builds without that of `kustomize build`, as it sorts objects when it applies them.
fn documents(text: &str) -> Vec<&str> {
    let mut documents: Vec<&str> = text.split("---\n").collect();
    documents.sort_unstable();
    documents
}

/// What is built in the directory `app` of the files with these layers.
fn built(files: &[(&str, &str)], layers: &Layers) -> Result<String, String> {
    let tree = MemoryTree::of(files);
    let reader = Reader::new(&tree, Budget::RENDER);
    let options = BuildOptions { load_restriction: LoadRestriction::Tree, layers: Some(layers), ..BuildOptions::default() };
    let built = build(&reader, &TreePath::parse("app").expect("a path"), &options);
    built.map(|built| built.to_yaml()).map_err(|error| error.to_string())
}

#[test]
fn a_problem_of_a_layer_says_which_it_is() {
    let files =
        [("app/kustomization.yaml", "resources: [cm.yaml]"), ("app/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")];
    let patch = |patch: &str, kind: &str| PatchLayer {
        patch: patch.to_owned(),
        target: Some(PatchSelector { kind: kind.to_owned(), ..PatchSelector::default() }),
    };
    let fine = patch("- {op: add, path: /data, value: {}}", "ConfigMap");
    for (layers, said) in [
        (Layers { patches: vec![fine.clone(), patch("x: [", "ConfigMap")], ..Layers::default() }, "patches[1] of what is laid over"),
        (Layers { patches: vec![fine, patch("- {op: remove, path: /no}", "ConfigMap")], ..Layers::default() }, "patches[1]"),
        (Layers { patches: vec![patch("a: b", "(")], ..Layers::default() }, "patches[0]"),
        (Layers { components: vec!["gone".to_owned()], ..Layers::default() }, "app/gone does not exist"),
        (Layers { components: vec!["https://example.com/c".to_owned()], ..Layers::default() }, "https://example.com/c"),
        (Layers { components: vec!["/etc".to_owned()], ..Layers::default() }, "/etc"),
        (Layers { images: vec![ImageLayer { name: "(".to_owned(), ..ImageLayer::default() }], ..Layers::default() }, "images[0]"),
    ] {
        let problem = built(&files, &layers).expect_err("a refusal");
        assert!(problem.starts_with("app/kustomization.yaml") || problem.starts_with("app/"), "{problem}");
        assert!(problem.contains(said), "{said}: {problem}");
    }
}

#[test]
fn a_kustomization_is_made_up_only_where_layers_are_and_within_its_depth() {
    let deep = |depth: usize| format!("app/{}cm.yaml", "d/".repeat(depth));
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let layers = Layers { name_prefix: Some("p-".to_owned()), ..Layers::default() };
    assert!(built(&[(&deep(63), config_map)], &layers).expect("at the limit").contains("name: p-a"));
    assert!(built(&[(&deep(64), config_map)], &layers).expect_err("beyond").contains("64"));
    let tree = MemoryTree::of(&[("app/cm.yaml", config_map)]);
    let options = BuildOptions::default();
    assert!(build(&Reader::new(&tree, Budget::RENDER), &TreePath::parse("app").expect("a path"), &options).is_err());
}

#[test]
fn layers_change_a_kustomization_as_flux_does() {
    let (mut wrong, mut count) = (Vec::new(), [0, 0]);
    for line in include_str!("layers/cases.jsonl").lines() {
        let case = parse_yaml(line, YamlMode::Kustomize, YamlBudget::MANIFEST).expect("JSON").remove(0).value;
        let files = case["files"].as_object().expect("files").iter();
        let files: Vec<(&str, &str)> = files.map(|(path, text)| (path.as_str(), text.as_str().expect("text"))).collect();
        let ours = built(&files, &layers(&case["layers"]));
        let wanted = case["output"].as_str();
        count[usize::from(wanted.is_none())] += 1;
        if ours.as_deref().map(documents).ok() != wanted.map(documents) {
            let (Ok(ours) | Err(ours)) = ours;
            wrong.push(format!("{case:#}\nwanted:\n{}\nours:\n{ours}", wanted.unwrap_or("a refusal")));
        }
    }
    assert!(wrong.is_empty(), "{} of {count:?} differ:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n\n"));
    assert!(count[0] >= 100 && count[1] >= 20, "{count:?}");
}
