//! From the fleet's files to objects: layers and variables of an app on two clusters.

use hub_fleet::{FLEET_BUDGET, choose_path, read_fleet, resolve};
use hub_render::{Builds, ClusterFacts, RenderInput, RenderOutcome, render};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};
use shared_manifest::{Object, to_yaml_documents};

const CLUSTERS: &str = "apiVersion: capstan.dev/v1
kind: Cluster
metadata: {name: gpu-a, labels: {tier: gold}}
spec: {region: eu-west, vars: {replicas: \"5\"}}
---
apiVersion: capstan.dev/v1
kind: Cluster
metadata: {name: gpu-b}
spec: {region: eu-west}
---
apiVersion: capstan.dev/v1
kind: Region
metadata: {name: eu-west}
";

const APP: &str = "apiVersion: capstan.dev/v1
kind: App
metadata: {name: web}
spec:
  namespace: web
  source: {path: deploy}
  regions: [\"*\"]
  vars: {replicas: \"2\"}
  kustomize:
    namePrefix: ${region}-
    components: [\"../gold\", ../gone]
    ignoreMissingComponents: true
    images: [{name: web, newTag: \"1.4\"}]
    patches:
    - patch: |
        - op: replace
          path: /spec/replicas
          value: ${REPLICAS}
      target: {kind: Deployment}
    commonMetadata:
      labels: {team: \"a-${region}\"}
      annotations: {note: \"$${REPLICAS} stays\"}
  postBuild:
    substitute:
      REPLICAS: ${vars.replicas}
      HOST: ${cluster}.example
";

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {team: nobody}}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: web
        image: web:1.0
        command: [sh, -c, \"echo $HOME $${HOST}\"]
        env: [{name: URL, value: \"https://${HOST}/${PATH_PREFIX:=api}\"}]
";

const CONFIG_MAP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}}
data: {template: \"${NOT_OURS}\"}
";

const ON_GPU_A: &str = "apiVersion: v1
data:
  template: ${NOT_OURS}
kind: ConfigMap
metadata:
  annotations:
    kustomize.toolkit.fluxcd.io/substitute: disabled
    note: ${REPLICAS} stays
  labels:
    team: a-eu-west
  name: eu-west-settings
  namespace: web
---
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    note: ${REPLICAS} stays
    tier: gold
  labels:
    team: a-eu-west
  name: eu-west-web
  namespace: web
spec:
  replicas: 5
  template:
    spec:
      containers:
      - command:
        - sh
        - -c
        - echo $HOME ${HOST}
        env:
        - name: URL
          value: https://gpu-a.example/api
        image: web:1.4
        name: web
";

fn repository() -> MemoryTree {
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- target: {kind: Deployment}\n  patch: |-\n    - {op: add, path: /metadata/annotations, value: {tier: gold}}\n";
    MemoryTree::of(&[
        ("regions/all.yaml", CLUSTERS),
        ("apps/web/app.yaml", APP),
        ("apps/web/deploy/deployment.yaml", DEPLOYMENT),
        ("apps/web/deploy/below/settings.yaml", CONFIG_MAP),
        ("apps/web/gold/kustomization.yaml", component),
    ])
}

/// The input of the app `web` on a cluster.
fn input(tree: &MemoryTree, cluster: &str) -> RenderInput {
    let (fleet, problems) = read_fleet(&Reader::new(tree, FLEET_BUDGET));
    assert_eq!(problems, []);
    let cluster = &fleet.clusters[&cluster.parse().expect("a name")];
    let resolved = resolve(&fleet, &fleet.apps[&"web".parse().expect("a name")], cluster).expect("resolved");
    let path = choose_path(&resolved, &Reader::new(tree, Budget::RENDER)).expect("a directory").path;
    RenderInput::of(&resolved, path, ClusterFacts::default()).expect("names of variables")
}

fn yaml(outcome: &RenderOutcome) -> String {
    to_yaml_documents(outcome.result.as_ref().expect("objects").objects.iter().map(Object::value))
}

#[test]
fn an_app_is_built_once_and_substituted_for_each_cluster() {
    let (tree, builds) = (repository(), Builds::new(1 << 20));
    let (a, b) = (input(&tree, "gpu-a"), input(&tree, "gpu-b"));
    let on_a = render(&a, &tree, &builds);
    assert_eq!(yaml(&on_a), ON_GPU_A);
    let on_b = render(&b, &tree, &builds);
    assert_eq!(yaml(&on_b), ON_GPU_A.replace("gpu-a.example", "gpu-b.example").replace("replicas: 5", "replicas: 2"));
    assert_eq!(on_b.read_set, on_a.read_set, "what was shared was learned from the tree all the same");
    assert_eq!(yaml(&on_b), yaml(&render(&b, &tree, &Builds::new(0))), "sharing changes nothing");
}

#[test]
fn a_change_is_seen_by_those_who_share() {
    let (mut tree, builds) = (repository(), Builds::new(1 << 20));
    let a = input(&tree, "gpu-a");
    let before = render(&a, &tree, &builds);
    tree.insert(TreePath::parse("apps/web/deploy/deployment.yaml").expect("a path"), DEPLOYMENT.replace("$HOME", "$PWD").into_bytes());
    assert!(!before.read_set.still_holds(&tree));
    assert_eq!(yaml(&render(&a, &tree, &builds)), ON_GPU_A.replace("$HOME", "$PWD"));
    tree.insert(TreePath::parse("apps/web/gone/kustomization.yaml").expect("a path"), b"kind: Component\nnameSuffix: -x\n".as_slice());
    assert!(yaml(&render(&a, &tree, &builds)).contains("name: eu-west-web-x"), "a component that was missing is there");
}

#[test]
fn clusters_agree_if_what_the_expressions_named_is_the_same() {
    let tree = repository();
    let (a, b) = (input(&tree, "gpu-a"), input(&tree, "gpu-b"));
    let used = render(&a, &tree, &Builds::new(0)).inputs_used;
    let names: Vec<&str> = used.variables.keys().map(String::as_str).collect();
    assert_eq!(names, ["HOST", "PATH_PREFIX", "REPLICAS"]);
    assert!(used.agree(&a, &a) && !used.agree(&a, &b));
    let with = |name: &str, value: &str| {
        let mut other = a.clone();
        let substitution = other.substitution.as_mut().expect("a substitution");
        let mut values =
            std::collections::BTreeMap::from([("HOST".to_owned(), "gpu-a.example".to_owned()), ("REPLICAS".to_owned(), "5".to_owned())]);
        values.insert(name.to_owned(), value.to_owned());
        substitution.variables = hub_render::Variables::new(values).expect("names");
        other
    };
    assert!(used.agree(&a, &with("UNUSED", "x")));
    assert!(!used.agree(&a, &with("REPLICAS", "6")));
    assert!(!used.agree(&a, &with("PATH_PREFIX", "x")), "a default was taken");
    let mut other = a.clone();
    other.layers.name_prefix = None;
    assert!(!used.agree(&a, &other));
    let mut other = a.clone();
    other.common.labels.clear();
    assert!(!used.agree(&a, &other));
    let mut other = a.clone();
    other.substitution = None;
    assert!(!used.agree(&a, &other));
}

#[test]
fn plain_manifests_are_substituted_and_labelled_too() {
    let app = APP.replace(&APP[APP.find("    namePrefix").expect("layers")..APP.find("    commonMetadata").expect("layers")], "");
    let mut tree = repository();
    tree.insert(TreePath::parse("apps/web/app.yaml").expect("a path"), app.into_bytes());
    let outcome = render(&input(&tree, "gpu-b"), &tree, &Builds::new(0));
    let text = yaml(&outcome);
    assert!(text.contains("value: https://gpu-b.example/api") && text.contains("team: a-eu-west") && !text.contains("settings"), "{text}");
    assert_eq!(outcome.inputs_used.engine, Some(hub_render::Engine::Plain));
}

#[test]
fn a_variable_that_is_not_set_is_refused_with_object_line_and_remedy() {
    let mut tree = repository();
    let deployment = DEPLOYMENT.replace("${PATH_PREFIX:=api}", "${PATH_PREFIX}");
    tree.insert(TreePath::parse("apps/web/deploy/deployment.yaml").expect("a path"), deployment.into_bytes());
    let a = input(&tree, "gpu-a");
    let outcome = render(&a, &tree, &Builds::new(0));
    let problem = outcome.result.expect_err("a refusal");
    let text = problem.to_string();
    let said = "apps/web/deploy/deployment.yaml:1: Deployment.apps eu-west-web, line 20 of its text as it was built: the variable PATH_PREFIX is not set; set it in postBuild.substitute";
    assert!(text.starts_with(said), "{text}");
    assert_eq!(problem.location().map(|(file, _)| file.as_str()), Some("apps/web/deploy/deployment.yaml"));
    let mut set = a.clone();
    let values = [("PATH_PREFIX", "v1"), ("HOST", "h"), ("REPLICAS", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    set.substitution.as_mut().expect("a substitution").variables = hub_render::Variables::new(values.into()).expect("names");
    assert!(!outcome.inputs_used.agree(&a, &set), "the refusal is not shared with a cluster that sets it");
    assert!(render(&set, &tree, &Builds::new(0)).result.is_ok());
    let mut lenient = a;
    lenient.substitution.as_mut().expect("a substitution").is_strict = false;
    assert!(yaml(&render(&lenient, &tree, &Builds::new(0))).contains("value: https://gpu-a.example/\n"));
}
