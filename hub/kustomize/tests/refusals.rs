//! What is refused, with which words, where, and through which kustomizations; and that every budget holds at its limit and one beyond.

use hub_kustomize::{BuildError, BuildOptions, LoadRestriction, Reason, build};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

fn built(tree: &MemoryTree, dir: &str) -> Result<usize, BuildError> {
    let reader = Reader::new(tree, Budget::RENDER);
    build(&reader, &TreePath::parse(dir).expect("a path"), &BuildOptions::default()).map(|built| built.trees.len())
}

fn refusal(files: &[(&str, &str)], dir: &str) -> BuildError {
    built(&MemoryTree::of(files), dir).expect_err("a refusal")
}

const CM: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\n";

#[test]
fn every_refusal_names_its_cause_and_its_place() {
    type Case = (&'static [(&'static str, &'static str)], &'static str);
    let cases: &[Case] = &[
        (&[("a/x.yaml", CM)], "a: no kustomization.yaml, kustomization.yml or Kustomization in a"),
        (&[("a/kustomization.yaml", "resources: []"), ("a/Kustomization", "")], "a: kustomization.yaml and Kustomization in one directory"),
        (&[("a/kustomization.yaml", "kind: Kustomization\n")], "a/kustomization.yaml:1: the kustomization is empty"),
        (&[("a/kustomization.yaml", "kind: Deployment\n")], "kind is \"Deployment\" and should be Kustomization or Component"),
        (
            &[("a/kustomization.yaml", "resources: []\nnamePrefx: x\n")],
            "a/kustomization.yaml:2: a kustomization has no field \"namePrefx\"; did you mean \"namePrefix\"?",
        ),
        (
            &[("a/kustomization.yaml", "images:\n- {name: x, newTag: 1.2}\n")],
            "a/kustomization.yaml:2: newTag must be text, not a number; quote it",
        ),
        (&[("a/kustomization.yaml", "helmCharts:\n- {name: x}\n")], "helmCharts is not supported"),
        (
            &[
                ("a/kustomization.yaml", "resources: [x.yaml]\nvalidators: [v.yaml]\n"),
                ("a/x.yaml", CM),
                (
                    "a/v.yaml",
                    "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: v}\nprefix: x-\nfieldSpecs: [{path: metadata/name}]\n",
                ),
            ],
            "a/v.yaml:1: the validator PrefixTransformer v changes resources",
        ),
        (
            &[("a/kustomization.yaml", "validators: [v.yaml]\n"), ("a/v.yaml", "apiVersion: evil/v1\nkind: Exec\nmetadata: {name: e}\n")],
            "the plugin Exec.evil e is not supported: no program is run while rendering",
        ),
        (
            &[("a/kustomization.yaml", "resources:\n- https://github.com/x/y?ref=v1\n")],
            "a/kustomization.yaml:2: \"https://github.com/x/y?ref=v1\" is remote; nothing is fetched while rendering. Vendor it",
        ),
        (&[("a/kustomization.yaml", "resources: [github.com/x/y]\n")], "is remote"),
        (
            &[("a/kustomization.yaml", "resources: ['file:///srv/x']\n")],
            "\"file:///srv/x\" is remote; nothing is fetched while rendering. Vendor it",
        ),
        (
            &[("a/kustomization.yaml", "components:\n- git@h:x/y.git//c?ref=v1\n")],
            "a/kustomization.yaml:2: \"git@h:x/y.git//c?ref=v1\" is remote; nothing is fetched while rendering. Vendor it: git clone git@h:x/y.git \
             /tmp/y && git -C /tmp/y checkout v1 && mkdir -p vendor && cp -r /tmp/y/c vendor/y, and name vendor/y here; or let the hub fetch it",
        ),
        (&[("a/kustomization.yaml", "patches: [{path: 'https://h/p.yaml'}]\n")], "Vendor it: curl -fsSL -o p.yaml https://h/p.yaml"),
        (
            &[("a/kustomization.yaml", "resources:\n\n- gone.yaml\n")],
            "a/kustomization.yaml:3: a/gone.yaml does not exist; resources names it",
        ),
        (&[("a/kustomization.yaml", "resources: [/etc/passwd]\n")], "is absolute"),
        (&[("a/kustomization.yaml", "resources: [../../x]\n")], "leads out of the source"),
        (
            &[("a/kustomization.yaml", "resources: [../b/x.yaml]\n"), ("b/x.yaml", CM)],
            "b/x.yaml is not in or below a; a kustomization may read files only there",
        ),
        (&[("a/kustomization.yaml", "configMapGenerator: [{name: x, files: [../b/x]}]\n"), ("b/x", "")], "b/x is not in or below a"),
        (&[("a/kustomization.yaml", "resources: [x.yaml]\n"), ("a/x.yaml", "a: 1\n  b: 2\n")], "a/x.yaml:2: "),
        (
            &[("a/kustomization.yaml", "resources: [x.yaml]\n"), ("a/x.yaml", "---\nkind: X\nmetadata: {}\n")],
            "a/x.yaml:2: X: metadata.name is missing",
        ),
        (
            &[("a/kustomization.yaml", "resources: [x.yaml, y.yaml]\n"), ("a/x.yaml", CM), ("a/y.yaml", CM)],
            "ConfigMap cm is there twice: a/x.yaml:1 and a/y.yaml:1",
        ),
        (&[("a/kustomization.yaml", "resources: [.]\n")], "contains a, which is being built already"),
        (
            &[("a/kustomization.yaml", "resources: [../c]\n"), ("c/kustomization.yaml", "kind: Component\nnamePrefix: x\n")],
            "c holds a Component; list it under `components`",
        ),
        (
            &[("a/kustomization.yaml", "patches: [{path: p.yaml}]\nresources: [x.yaml]\n"), ("a/x.yaml", CM), ("a/p.yaml", DEPLOYMENT)],
            "no unique target for the patch of Deployment.apps web: 0 resources match",
        ),
        (
            &[
                (
                    "a/kustomization.yaml",
                    "patches: [{patch: \"[{op: remove, path: /spec/no}]\", target: {kind: Deployment}}]\nresources: [x.yaml]\n",
                ),
                ("a/x.yaml", DEPLOYMENT),
            ],
            "operation remove /spec/no of the JSON patch does not apply to Deployment.apps web: there is no \"no\"",
        ),
        (
            &[
                ("a/kustomization.yaml", "patches: [{path: p.yaml}]\nresources: [x.yaml]\n"),
                ("a/x.yaml", DEPLOYMENT),
                ("a/p.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: []\n"),
            ],
            "cannot merge into spec of Deployment.apps web: it is a map there and a list in the patch",
        ),
        (&[("a/kustomization.yaml", "patches: [{target: {name: \"(\"}, patch: \"[]\"}]\n")], "\"(\" is no valid regular expression"),
        (
            &[("a/kustomization.yaml", "replicas: [{name: web, count: 2}]\nresources: [x.yaml]\n"), ("a/x.yaml", CM)],
            "`replicas` names \"web\"",
        ),
        (
            &[("a/kustomization.yaml", "configMapGenerator: [{name: x, literals: [novalue]}]\n")],
            "generator \"x\": a literal must be key=value",
        ),
        (
            &[("a/kustomization.yaml", "configMapGenerator:\n- {name: x, behavior: merge, literals: [a=b]}\n")],
            "a/kustomization.yaml:2: ConfigMap x does not exist, so there is nothing to merge into",
        ),
        (
            &[("a/kustomization.yaml", "transformers: [t.yaml]\n"), ("a/t.yaml", "apiVersion: evil/v1\nkind: Exec\nmetadata: {name: e}\n")],
            "the plugin Exec.evil e is not supported: no program is run while rendering",
        ),
        (&[("a/kustomization.yaml", "openapi: {version: v1.99}\n")], "openapi version \"v1.99\" is not supported"),
        (
            &[("a/kustomization.yaml", "vars: [{name: V, objref: {kind: X, name: x}}]\nresources: [x.yaml]\n"), ("a/x.yaml", CM)],
            "variable V: no resource is X x",
        ),
    ];
    for (files, words) in cases {
        let error = refusal(files, "a").to_string();
        assert!(error.contains(words), "{words}\nis not in\n{error}");
    }
}

#[test]
fn a_problem_in_a_base_says_how_it_was_reached() {
    let error = refusal(
        &[
            ("over/kustomization.yaml", "resources: [../mid]\n"),
            ("mid/kustomization.yaml", "resources: [../base]\n"),
            ("base/kustomization.yaml", "resources:\n- gone.yaml\n"),
        ],
        "over",
    );
    assert_eq!((error.file.as_str(), error.line), ("base/kustomization.yaml", Some(2)));
    let chain: Vec<&str> = error.chain.iter().map(TreePath::as_str).collect();
    assert_eq!(chain, ["over/kustomization.yaml", "mid/kustomization.yaml", "base/kustomization.yaml"]);
    assert!(error.to_string().ends_with("(reached through over/kustomization.yaml → mid/kustomization.yaml)"), "{error}");
}

#[test]
fn symlinks_are_followed_inside_the_root_and_nowhere_else() {
    let mut tree = MemoryTree::of(&[("a/kustomization.yaml", "resources: [link.yaml]\n"), ("a/real.yaml", CM), ("b/other.yaml", CM)]);
    let link = TreePath::parse("a/link.yaml").expect("a path");
    for (target, outcome) in [("real.yaml", "1"), ("../b/other.yaml", "not in or below"), ("../../etc/passwd", "leads out of the source")] {
        tree.insert_link(link.clone(), target);
        let built = built(&tree, "a").map_or_else(|error| error.to_string(), |count| count.to_string());
        assert!(built.contains(outcome), "{target}: {built}");
    }
}

#[test]
fn without_the_restriction_files_may_lie_anywhere_in_the_tree() {
    let tree = MemoryTree::of(&[("a/kustomization.yaml", "resources: [../b/x.yaml]\n"), ("b/x.yaml", CM)]);
    let reader = Reader::new(&tree, Budget::RENDER);
    let options = BuildOptions { load_restriction: LoadRestriction::Tree, ..BuildOptions::default() };
    assert_eq!(build(&reader, &TreePath::parse("a").expect("a path"), &options).expect("built").trees.len(), 1);
}

#[test]
fn a_refused_build_leaves_its_read_set() {
    let tree = MemoryTree::of(&[("a/kustomization.yaml", "resources: [gone.yaml]\n")]);
    let reader = Reader::new(&tree, Budget::RENDER);
    build(&reader, &TreePath::parse("a").expect("a path"), &BuildOptions::default()).expect_err("a refusal");
    let set = reader.into_read_set();
    assert!(set.still_holds(&tree));
    let mut repaired = tree.clone();
    repaired.insert(TreePath::parse("a/gone.yaml").expect("a path"), CM.as_bytes());
    assert!(!set.still_holds(&repaired));
}

#[test]
fn kustomizations_nest_up_to_their_limit() {
    let chain = |length: usize| {
        let mut tree = MemoryTree::new();
        for level in 0..length {
            let text = if level + 1 == length { "resources: [x.yaml]\n".to_owned() } else { format!("resources: [../d{}]\n", level + 1) };
            tree.insert(TreePath::parse(&format!("d{level}/kustomization.yaml")).expect("a path"), text.into_bytes());
        }
        tree.insert(TreePath::parse(&format!("d{}/x.yaml", length - 1)).expect("a path"), CM.as_bytes());
        built(&tree, "d0")
    };
    assert_eq!(chain(64), Ok(1));
    assert!(chain(65).expect_err("too deep").to_string().contains("more than 64 kustomizations inside of each other"));
}

#[test]
fn a_tree_that_doubles_at_every_level_ends_at_a_budget() {
    let mut tree = MemoryTree::of(&[("d0/kustomization.yaml", "resources: [x.yaml]\n"), ("d0/x.yaml", CM)]);
    for level in 1..14 {
        let below = level - 1;
        for side in ["l", "r"] {
            let text = format!("resources: [../../d{below}]\nnamePrefix: {side}\n");
            tree.insert(TreePath::parse(&format!("d{level}s/{side}/kustomization.yaml")).expect("a path"), text.into_bytes());
        }
        let text = format!("resources: [../d{level}s/l, ../d{level}s/r]\n");
        tree.insert(TreePath::parse(&format!("d{level}/kustomization.yaml")).expect("a path"), text.into_bytes());
    }
    let error = built(&tree, "d13").expect_err("too much");
    assert!(matches!(*error.reason, Reason::TooMuch { .. }), "{error}");
}

#[test]
fn replacements_that_double_a_text_end_at_a_budget() {
    let double = "- source: {kind: ConfigMap, name: cm, fieldPath: data.x}\n  targets:\n  - select: {name: cm}\n    fieldPaths: [data.x]\n    options: {delimiter: \"|\", index: 99999}\n";
    let kustomization = format!("resources: [x.yaml]\nreplacements:\n{}", double.repeat(60));
    let text = format!("{CM}data: {{x: \"{}\"}}\n", "x".repeat(1000));
    let error = refusal(&[("a/kustomization.yaml", &kustomization), ("a/x.yaml", &text)], "a");
    assert!(matches!(*error.reason, Reason::TooMuch { .. }), "{error}");
}

#[test]
fn a_release_of_objects_passes_and_one_more_does_not() {
    let many = |count: usize| {
        let text = (0..count)
            .map(|index| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\n"))
            .collect::<Vec<_>>()
            .join("---\n");
        built(&MemoryTree::of(&[("a/kustomization.yaml", "resources: [x.yaml]\n"), ("a/x.yaml", &text)]), "a")
    };
    assert_eq!(many(5_000), Ok(5_000));
    assert!(many(5_001).expect_err("too many").to_string().contains("more than 5000 objects"));
}

#[test]
fn a_key_that_is_set_twice_counts_the_last_time_and_is_reported() {
    let tree = MemoryTree::of(&[("a/kustomization.yaml", "namePrefix: x-\nresources:\n- x.yaml\nnamePrefix: y-\n"), ("a/x.yaml", CM)]);
    let reader = Reader::new(&tree, Budget::RENDER);
    let built = build(&reader, &TreePath::parse("a").expect("a path"), &BuildOptions::default()).expect("built");
    assert_eq!(built.trees[0]["metadata"]["name"].as_str(), Some("y-cm"));
    assert_eq!(built.warnings[0].text, "line 1: \"namePrefix\" is set again in line 4, and only the last counts");
    assert_eq!(built.places[0].to_string(), "a/x.yaml:1");
}
