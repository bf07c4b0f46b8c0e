//! Apps that are charts: from the App document to objects. Values in the order in which they win, charts of other sources, layers over a chart,
//! what a chart may ask of the cluster and of chance, and what is shared by clusters.

use std::collections::BTreeSet;
use std::sync::Arc;

use hub_fleet::{FLEET_BUDGET, choose_path, read_fleet, resolve};
use hub_render::{Builds, ChanceKey, ClusterFacts, RenderInput, RenderOutcome, render};
use hub_tree::{Budget, MemoryTree, Mount, MountRefusal, MountedTree, Mounts, Reader, SourceTree, TreePath};
use shared_manifest::{Object, to_yaml_documents};

const CLUSTERS: &str = "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu}\n---\napiVersion: capstan.dev/v1\nkind: Cluster\n\
                        metadata: {name: gpu-a}\nspec: {region: eu, vars: {replicas: '3'}}\n---\napiVersion: capstan.dev/v1\nkind: Cluster\n\
                        metadata: {name: gpu-b}\nspec: {region: eu, vars: {replicas: '3'}}\n---\napiVersion: capstan.dev/v1\nkind: Cluster\n\
                        metadata: {name: gpu-c}\nspec: {region: eu, vars: {replicas: '5'}}\n";

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.2.3\n";

/// Prints its values, so that a test sees which of them won.
const VALUES_TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n  namespace: {{ .Release.Namespace }}\ndata:\n\
                               {{- range $name, $value := .Values.data }}\n  {{ $name }}: {{ $value | quote }}\n{{- end }}\n";

fn app(helm: &str, more: &str) -> String {
    format!(
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: web}}\nspec:\n  regions: [eu]\n  namespace: apps\n  source:\n    helm:\n{helm}\n{more}"
    )
}

/// A repository with an app whose chart is in `chart/` beside it, and `files` beside both.
fn tree(helm: &str, more: &str, files: &[(&str, &str)]) -> MemoryTree {
    let app = app(helm, more);
    let mut tree = MemoryTree::of(&[("regions/all.yaml", CLUSTERS), ("apps/web/app.yaml", &app), ("apps/web/chart/Chart.yaml", CHART)]);
    for (path, text) in files {
        tree.insert(TreePath::parse(&format!("apps/web/{path}")).expect("a path"), text.as_bytes());
    }
    tree
}

fn facts(kubernetes: &str, versions: &[&str]) -> ClusterFacts {
    let versions: BTreeSet<String> = versions.iter().map(|version| (*version).to_owned()).collect();
    ClusterFacts { kube_version: Some(kubernetes.into()), api_versions: Some(Arc::new(versions)), ..ClusterFacts::default() }
}

fn input_with(tree: &dyn SourceTree, cluster: &str, facts: ClusterFacts) -> RenderInput {
    let (fleet, problems) = read_fleet(&Reader::new(tree, FLEET_BUDGET));
    assert_eq!(problems, []);
    let cluster = &fleet.clusters[&cluster.parse().expect("a name")];
    let resolved = resolve(&fleet, &fleet.apps[&"web".parse().expect("a name")], cluster).expect("resolved");
    let path = choose_path(&resolved, &Reader::new(tree, Budget::RENDER)).expect("a place").path;
    RenderInput::of(&resolved, path, facts).expect("names of variables").with_chance(ChanceKey::new([7; 32], 1_700_000_000), 1_750_000_000)
}

fn input(tree: &dyn SourceTree, cluster: &str) -> RenderInput {
    input_with(tree, cluster, ClusterFacts::default())
}

fn rendered(tree: &dyn SourceTree, cluster: &str) -> RenderOutcome {
    render(&input(tree, cluster), tree, &Builds::new(1 << 20))
}

fn yaml(outcome: &RenderOutcome) -> String {
    to_yaml_documents(outcome.result.as_ref().expect("objects").objects.iter().map(Object::value))
}

fn problem(outcome: &RenderOutcome) -> String {
    outcome.result.as_ref().expect_err("a refusal").to_string()
}

/// The data of the one ConfigMap that came of it, as `key=value`.
fn data(outcome: &RenderOutcome) -> Vec<String> {
    let objects = &outcome.result.as_ref().unwrap_or_else(|problem| panic!("{problem}")).objects;
    let data = objects[0].value()["data"].as_object().expect("data");
    data.iter().map(|(key, value)| format!("{key}={}", value.as_str().expect("text"))).collect()
}

#[test]
fn values_win_in_the_order_of_argo_cd() {
    let helm = "      chart: chart\n      releaseName: web-${region}\n      valuesFiles: [values.yaml, 'values.${cluster}.yaml', gone.yaml]\n      \
                ignoreMissingValueFiles: true\n      values: {data: {d: 'inline ${cluster}', e: inline, f: inline, g: inline, gone: null}}\n      \
                parameters:\n      - {name: data.e, value: 'set,${vars.replicas}'}\n      - {name: data.f, value: first}\n      \
                - {name: data.f, value: '007', forceString: true}\n      fileParameters: [{name: data.g, path: text.txt}]";
    let files = [
        ("chart/values.yaml", "data: {a: chart, b: chart, c: chart, d: chart, e: chart, gone: chart}\n"),
        ("chart/templates/cm.yaml", VALUES_TEMPLATE),
        ("values.yaml", "data: {b: file, c: file, d: file}\n"),
        ("values.gpu-a.yaml", "data: {c: cluster, d: cluster}\n"),
        ("text.txt", "from a file"),
    ];
    let outcome = rendered(&tree(helm, "", &files), "gpu-a");
    assert_eq!(data(&outcome), ["a=chart", "b=file", "c=cluster", "d=inline gpu-a", "e=set,3", "f=007", "g=from a file"]);
    assert!(yaml(&outcome).contains("name: web-eu\n  namespace: apps\n"));
    let without = tree(&helm.replace("ignoreMissingValueFiles: true", "skipTests: true"), "", &files);
    assert!(problem(&rendered(&without, "gpu-a")).starts_with("apps/web/gone.yaml is not there, and source.helm names it"));
}

/// The rule is Flux's, with the table of its `TestChartValuesFromReferences`: in order, then inline values, and what has a target path last.
#[test]
fn values_from_objects_win_in_the_order_of_flux() {
    let all = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base}\ndata:\n  values.yaml: |\n    data: {b: map, c: map, d: map, e: map, list: [one, two]}\n---\n\
               apiVersion: v1\nkind: Secret\nmetadata: {name: gpu-a-keys}\nstringData:\n  values.yaml: 'data: {c: secret, d: secret, e: secret}'\n  \
               port: '5432'\n  quoted: '\"5432\"'\n  list: 'x,y={z}'\ndata: {single: dGFyZ2V0}\n";
    let files = [
        ("chart/values.yaml", "data: {a: chart, b: chart, gone: chart}\n"),
        ("chart/templates/cm.yaml", VALUES_TEMPLATE),
        ("values.yaml", "data: {b: file, gone: null}\n"),
        ("objects/eu.yaml", all),
    ];
    let from = |more: &str| {
        format!(
            "      chart: chart\n      valuesFiles: [values.yaml]\n      values: {{data: {{d: inline, e: inline}}}}\n      valuesFrom:\n      \
             - {{kind: Secret, name: '${{cluster}}-keys', path: 'objects/${{region}}.yaml', valuesKey: single, targetPath: data.e}}\n      \
             - {{kind: ConfigMap, name: base, path: objects/eu.yaml}}\n      \
             - {{kind: Secret, name: '${{cluster}}-keys', path: 'objects/eu.yaml'}}\n{more}"
        )
    };
    let won = |more: &str| data(&rendered(&tree(&from(more), "", &files), "gpu-a"));
    let plain = ["a=chart", "b=map", "c=secret", "d=inline", "e=target", "list=[one two]"];
    assert_eq!(won(""), plain);
    let secret = |key: &str, target: &str| {
        format!("      - {{kind: Secret, name: gpu-a-keys, path: objects/eu.yaml, valuesKey: {key}, targetPath: '{target}'}}\n")
    };
    for (more, changed) in [
        (secret("port", "data.d"), "d=5432"),
        (secret("quoted", "data.d"), "d=5432"),
        (secret("single", "data.list[1]"), "list=[one target]"),
        (secret("list", "data.d").replace("}\n", ", literal: true}\n"), "d=x,y={z}"),
        ("      parameters: [{name: data.e, value: set}]\n".to_owned(), "e=set"),
        ("      - {kind: Secret, name: none, path: objects/eu.yaml, optional: true}\n".to_owned(), "a=chart"),
        ("      - {kind: ConfigMap, name: base, path: none.yaml, optional: true}\n".to_owned(), "a=chart"),
    ] {
        let key = changed.split('=').next().expect("a key");
        let expected: Vec<&str> = plain.iter().map(|line| if line.starts_with(&format!("{key}=")) { changed } else { line }).collect();
        assert_eq!(won(&more), expected, "{more}");
    }
    for (more, words) in [
        (
            "      - {kind: Secret, name: none, path: objects/eu.yaml}\n",
            vec!["objects/eu.yaml", "source.helm.valuesFrom[3]", "no Secret none"],
        ),
        ("      - {kind: ConfigMap, name: base, path: none.yaml}\n", vec!["apps/web/none.yaml", "valuesFrom[3]", "optional: true"]),
        ("      - {kind: ConfigMap, name: base, path: objects/eu.yaml, valuesKey: x}\n", vec!["ConfigMap base has no key x", "valuesKey"]),
    ] {
        let text = problem(&rendered(&tree(&from(more), "", &files), "gpu-a"));
        assert!(words.iter().all(|word| text.contains(word)), "{more}: {text}");
    }
}

/// A value of a Secret reaches objects, and no message, whatever fails.
#[test]
fn values_from_secrets_are_in_no_message() {
    let helm = "      chart: chart\n      valuesFrom: [{kind: Secret, name: keys, path: keys.yaml}, {kind: Secret, name: keys, path: keys.yaml, \
                valuesKey: single, targetPath: data.x}]";
    let keys = |values: &str, single: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData:\n  values.yaml: '{values}'\n  single: '{single}'\n")
    };
    let good = keys("data: {a: hunter2}", "hunter2");
    let schema = r#"{"properties": {"data": {"properties": {"a": {"enum": ["x"]}}}}}"#;
    for (files, expected) in [
        (
            vec![("keys.yaml", good.as_str()), ("chart/templates/x.yaml", "{{ fail .Values.data.a }}")],
            "the template web/templates/x.yaml fails",
        ),
        (
            vec![("keys.yaml", good.as_str()), ("chart/templates/x.yaml", "{{ tpl (printf \"{{ %s\" .Values.data.a) . }}")],
            "web/templates/x.yaml",
        ),
        (vec![("keys.yaml", good.as_str()), ("chart/values.schema.json", schema), ("chart/templates/x.yaml", "")], "schema"),
        (vec![("keys.yaml", &keys("hunter2", "a")), ("chart/templates/x.yaml", "")], "do not fit together"),
        (vec![("keys.yaml", &keys("data: {hunter2: [}", "a")), ("chart/templates/x.yaml", "")], "do not fit together"),
        (vec![("keys.yaml", &keys("data: {x: {}}", "{hunter2")), ("chart/templates/x.yaml", "")], "do not fit together"),
    ] {
        let outcome = rendered(&tree(helm, "", &files), "gpu-a");
        let text = problem(&outcome);
        assert!(text.contains(expected) && !text.contains("hunter2"), "{files:?}: {text}");
        assert!(!format!("{outcome:?}").contains("hunter2"), "{files:?}");
    }
    let files = [("keys.yaml", good.as_str()), ("chart/templates/cm.yaml", VALUES_TEMPLATE)];
    assert_eq!(data(&rendered(&tree(helm, "", &files), "gpu-a")), ["a=hunter2", "x=hunter2"]);
}

#[test]
fn what_is_left_out_and_what_stays_for_the_planner() {
    let hook = |kind: &str, hook: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {kind}\n  annotations: {{helm.sh/hook: {hook}, helm.sh/hook-weight: '-1'}}\n"
        )
    };
    let (before, test) = (hook("before", "pre-install,pre-upgrade"), hook("test", "test"));
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}\n";
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x.example.com}\n";
    let files = [
        ("chart/templates/before.yaml", before.as_str()),
        ("chart/templates/tests/test.yaml", test.as_str()),
        ("chart/templates/kept.yaml", kept),
        ("chart/templates/NOTES.txt", "{{ .Release.Name }} is there"),
        ("chart/crds/x.yaml", definition),
    ];
    let names = |helm: &str| {
        let outcome = rendered(&tree(helm, "", &files), "gpu-a");
        outcome.result.expect("objects").objects.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (crd, cm) = ("CustomResourceDefinition.apiextensions.k8s.io x.example.com", "ConfigMap apps/kept");
    assert_eq!(names("      chart: chart"), [crd, cm, "Job.batch apps/before", "Job.batch apps/test"]);
    assert_eq!(names("      {chart: chart, skipCrds: true, skipTests: true}"), [cm, "Job.batch apps/before"]);
    assert_eq!(names("      {chart: chart, skipHooks: true}"), [crd, cm]);
    let outcome = rendered(&tree("      chart: chart", "", &files), "gpu-a");
    assert!(yaml(&outcome).contains("helm.sh/resource-policy: keep"), "annotations stay, and say how an object is treated");
}

#[test]
fn layers_are_laid_over_what_a_chart_gives() {
    let more = "  kustomize:\n    namePrefix: ${region}-\n    images: [{name: web, newTag: '2'}]\n    components: [gold]\n    patches:\n    - target: {kind: Deployment}\n      \
                patch: |-\n        - {op: replace, path: /spec/replicas, value: 7}\n    commonMetadata: {labels: {team: a}}\n  postBuild:\n    substitute: {HOST: '${cluster}.example'}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - {name: web, \
                      image: 'web:1', args: ['${HOST}'], envFrom: [{configMapRef: {name: web}}]}\n";
    let files = [
        ("chart/templates/d.yaml", deployment),
        ("chart/templates/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"),
        ("gold/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnameSuffix: -gold\n"),
    ];
    let text = yaml(&rendered(&tree("      chart: chart", more, &files), "gpu-a"));
    for expected in
        ["name: eu-web-gold\n", "image: web:2", "replicas: 7", "- gpu-a.example", "team: a", "configMapRef:\n            name: eu-web-gold"]
    {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    let bad = tree("      chart: chart", &more.replace("/spec/replicas, value", "/spec/gone/x, value"), &files);
    let refused = problem(&rendered(&bad, "gpu-a"));
    assert!(refused.contains("patches[0] of what is laid over the kustomization"), "{refused}");
}

#[test]
fn a_problem_names_the_chart_the_template_and_the_line() {
    for (files, words) in [
        (vec![("chart/templates/bad.yaml", "a: 1\nb: {{ .Values.x.y.z }}\n")], vec!["apps/web/chart: ", "web/templates/bad.yaml:2"]),
        (vec![("chart/templates/bad.yaml", "a: 1\nb: {{ fail \"needs a name\" }}\n")], vec!["needs a name", "web/templates/bad.yaml:2"]),
        (vec![("chart/templates/bad.yaml", "{{ if }}")], vec!["apps/web/chart", "web/templates/bad.yaml:1"]),
        (vec![("chart/templates/bad.yaml", "kind: ConfigMap\n")], vec!["apps/web/chart/templates/bad.yaml"]),
        (vec![("chart/values.schema.json", "{\"required\": [\"image\"]}"), ("chart/templates/x.yaml", "")], vec!["image"]),
    ] {
        let outcome = rendered(&tree("      chart: chart", "", &files), "gpu-a");
        let text = problem(&outcome);
        assert!(words.iter().all(|word| text.contains(word)), "{files:?}: {text}");
    }
    let gone = app("      chart: charts/gone", "");
    let gone = MemoryTree::of(&[("regions/all.yaml", CLUSTERS), ("apps/web/app.yaml", &gone)]);
    let (fleet, _) = read_fleet(&Reader::new(&gone, FLEET_BUDGET));
    let resolved =
        resolve(&fleet, fleet.apps.values().next().expect("an app"), fleet.clusters.values().next().expect("a cluster")).expect("resolved");
    assert!(choose_path(&resolved, &Reader::new(&gone, Budget::RENDER)).is_err());
}

#[test]
fn what_a_chart_asks_of_the_cluster_is_remembered_and_nothing_else_matters() {
    let template = "{{- if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" }}\napiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\n{{- else }}\napiVersion: v1\n\
                    kind: ConfigMap\n{{- end }}\nmetadata: {name: web}\n";
    let tree = tree("      chart: chart", "", &[("chart/templates/x.yaml", template)]);
    let builds = Builds::new(1 << 20);
    let with = input_with(&tree, "gpu-a", facts("v1.33.4", &["v1", "monitoring.coreos.com/v1"]));
    let without = input_with(&tree, "gpu-a", facts("v1.33.4", &["v1"]));
    let outcome = render(&with, &tree, &builds);
    assert!(yaml(&outcome).contains("kind: ServiceMonitor"));
    assert!(yaml(&render(&without, &tree, &builds)).contains("kind: ConfigMap"), "builds are not shared where the answers differ");
    let used = &outcome.inputs_used;
    assert!(
        used.agree(&with, &input_with(&tree, "gpu-b", facts("v1.34.0", &["v1", "apps/v1", "monitoring.coreos.com/v1"]))),
        "nobody asked"
    );
    assert!(!used.agree(&with, &without) && !used.agree(&with, &input(&tree, "gpu-a")), "Helm assumes that there is none");

    let version = tree_with_version();
    let outcome = render(&input_with(&version, "gpu-a", facts("v1.33.4-gke.1", &["v1"])), &version, &builds);
    assert_eq!(data(&outcome), ["minor=33", "version=v1.33.4-gke.1"]);
    let this = input_with(&version, "gpu-a", facts("v1.33.4-gke.1", &["v1"]));
    assert!(outcome.inputs_used.agree(&this, &input_with(&version, "gpu-b", facts("v1.33.4-gke.1", &["v2"]))));
    assert!(!outcome.inputs_used.agree(&this, &input_with(&version, "gpu-a", facts("v1.34.0", &["v1"]))));

    let refusing = self::tree("      chart: chart", "", &[("chart/templates/x.yaml", "{{ fail .Capabilities.KubeVersion.Version }}")]);
    let this = input_with(&refusing, "gpu-a", facts("v1.33.4", &["v1"]));
    let outcome = render(&this, &refusing, &builds);
    assert!(
        !outcome.inputs_used.agree(&this, &input_with(&refusing, "gpu-a", facts("v1.34.0", &["v1"]))),
        "a failure may have asked anything"
    );

    let own = self::tree(
        "      {chart: chart, kubeVersion: v1.30.0, apiVersions: [monitoring.coreos.com/v1]}",
        "",
        &[("chart/templates/x.yaml", template)],
    );
    let this = input_with(&own, "gpu-a", facts("v1.33.4", &["v1"]));
    let outcome = render(&this, &own, &builds);
    assert!(yaml(&outcome).contains("kind: ServiceMonitor"));
    assert!(
        outcome.inputs_used.agree(&this, &input_with(&own, "gpu-a", facts("v1.34.0", &["v2"]))),
        "what the app says is the same everywhere"
    );
}

fn tree_with_version() -> MemoryTree {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata:\n  version: {{ .Capabilities.KubeVersion.Version }}\n  minor: {{ .Capabilities.KubeVersion.Minor | quote }}\n";
    tree("      chart: chart", "", &[("chart/templates/x.yaml", template)])
}

#[test]
fn chance_is_the_same_each_time_and_another_one_for_each_cluster_app_and_fleet() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {password: {{ randAlphaNum 20 }}}\n";
    let tree = tree("      chart: chart", "", &[("chart/templates/x.yaml", template)]);
    let builds = Builds::new(1 << 20);
    let password = |input: &RenderInput| data(&render(input, &tree, &builds));
    let a = input(&tree, "gpu-a");
    let outcome = render(&a, &tree, &builds);
    assert_eq!(password(&a), data(&rendered(&tree, "gpu-a")));
    let mut others = vec![input(&tree, "gpu-b"), a.clone(), a.clone()];
    others[1].app = "other".parse().expect("a name");
    others[2].chance = Some(ChanceKey::new([8; 32], 1_700_000_000));
    for other in &others {
        assert_ne!(password(&a), password(other));
        assert!(!outcome.inputs_used.agree(&a, other));
    }
    let later = RenderInput { today: a.today + 1_000_000_000, ..a.clone() };
    assert!(outcome.inputs_used.agree(&a, &later) && password(&later) == password(&a), "time changes nothing that is not a certificate");
    let said: Vec<&str> = outcome.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert!(
        said.iter().any(|text| text.contains("it uses randAlphaNum: what they give is derived from a secret of the fleet")),
        "{said:?}"
    );
    let without = RenderInput { chance: None, ..a };
    assert!(problem(&render(&without, &tree, &builds)).contains("randAlphaNum"));
}

#[test]
fn a_certificate_is_made_again_in_time() {
    let template =
        "{{- $ca := genCA \"web\" 90 }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {ca: {{ $ca.Cert | b64enc }}}\n";
    let tree = tree("      chart: chart", "", &[("chart/templates/x.yaml", template)]);
    let builds = Builds::new(1 << 20);
    let a = input(&tree, "gpu-a");
    let outcome = render(&a, &tree, &builds);
    let until = outcome.inputs_used.charts.good_until.expect("it grows old");
    assert!(until > a.today && until <= a.today + 60 * 86_400);
    let at = |today: i64| RenderInput { today, ..a.clone() };
    assert!(outcome.inputs_used.agree(&a, &at(until - 1)) && !outcome.inputs_used.agree(&a, &at(until)));
    assert_eq!(data(&outcome), data(&render(&at(until - 1), &tree, &builds)));
    assert_ne!(data(&outcome), data(&render(&at(until), &tree, &builds)));
}

/// As the hub renders: on a thread of its own with the stack that renders are promised.
fn on_a_render_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(hub_render::STACK_BYTES).spawn(work).expect("a thread").join().expect("no panic")
}

#[test]
fn a_hostile_chart_is_a_problem_of_its_app_within_the_stack_of_a_render() {
    for template in [
        "{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}",
        "{{ define \"a\" }}{{ tpl \"{{ include \\\"a\\\" . }}\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ range until 100000000 }}x{{ end }}",
        "{{ range 1000000000 }}{{ end }}",
        "{{ repeat 1000000000 \"x\" }}",
        "{{ $x := \"xxxxxxxxxxxxxxxx\" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}{{ $x }}",
    ] {
        let template = template.to_owned();
        let text = on_a_render_thread(move || {
            problem(&rendered(&tree("      chart: chart", "", &[("chart/templates/x.yaml", &template)]), "gpu-a"))
        });
        assert!(text.starts_with("apps/web/chart: ") && !text.contains("BUG"), "{text}");
    }
    let deep = format!("{}{}", "{{ if true }}".repeat(5_000), "{{ end }}".repeat(5_000));
    let wide = format!("a: {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for template in [deep, wide] {
        on_a_render_thread(move || {
            let outcome = rendered(&tree("      chart: chart", "", &[("chart/templates/x.yaml", &template)]), "gpu-a");
            assert!(outcome.result.is_err() || outcome.result.is_ok_and(|rendered| rendered.is_empty()));
        });
    }
}

#[test]
fn of_a_key_that_a_template_gives_twice_the_last_counts_and_is_reported() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n  labels: {a: b}\n  labels:\n    c: d\ndata:\n  x: one\n  z: two\n  x: three\n";
    let outcome = rendered(&tree("      chart: chart", "", &[("chart/templates/x.yaml", template)]), "gpu-a");
    assert_eq!(data(&outcome), ["x=three", "z=two"]);
    assert!(yaml(&outcome).contains("labels:\n    c: d\n"));
    let said: Vec<String> = outcome.warnings.iter().map(|warning| format!("{}: {}", warning.file, warning.text)).collect();
    assert!(said[0].starts_with("apps/web/chart/templates/x.yaml: in its output, line 5: \"labels\" is set again in line 6"), "{said:?}");
}

#[test]
fn a_lookup_says_what_to_do() {
    let template = "{{- $old := lookup \"v1\" \"Secret\" .Release.Namespace \"web\" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {password: {{ if $old }}old{{ else }}\
                    {{ randAlphaNum 9 }}{{ end }}}\n";
    let outcome = rendered(&tree("      chart: chart", "", &[("chart/templates/x.yaml", template)]), "gpu-a");
    assert!(outcome.result.is_ok());
    let text = &outcome.warnings.first().expect("a warning").text;
    assert!(text.contains("looks ") && text.contains("set it as values, or name the existing Secret"), "{text}");
    assert_eq!(outcome.warnings[0].file.as_str(), "apps/web/chart/Chart.yaml");
}

#[test]
fn a_chart_of_another_source_or_repository_is_mounted_and_values_stay_here() {
    let chart = || {
        MemoryTree::of(&[
            ("charts/web/Chart.yaml", CHART),
            ("charts/web/templates/cm.yaml", VALUES_TEMPLATE),
            ("charts/web/values.yaml", "data: {a: theirs}\n"),
        ])
    };
    let helm = "      {source: platform, chart: charts/web, valuesFiles: [values.yaml]}";
    let main = tree(helm, "", &[("values.yaml", "data: {b: ours}\n")]);
    let mounted = |mount: Mount, theirs: Result<MemoryTree, MountRefusal>| {
        let mut mounts = Mounts::default();
        mounts.insert(mount, theirs.map(|tree| -> Arc<dyn SourceTree> { Arc::new(tree) }));
        MountedTree::new(Arc::new(main.clone()), Arc::new(mounts))
    };
    let platform = Mount::Source { name: "platform".to_owned() };
    let tree = mounted(platform.clone(), Ok(chart()));
    let outcome = rendered(&tree, "gpu-a");
    assert_eq!(data(&outcome), ["a=theirs", "b=ours"]);
    let mut changed = chart();
    changed.insert(TreePath::parse("charts/web/values.yaml").expect("a path"), b"data: {a: changed}\n".as_slice());
    let changed = mounted(platform.clone(), Ok(changed));
    assert!(outcome.read_set.still_holds(&tree) && !outcome.read_set.still_holds(&changed));
    let builds = Builds::new(1 << 20);
    assert_eq!(data(&render(&input(&tree, "gpu-a"), &tree, &builds)), ["a=theirs", "b=ours"]);
    assert_eq!(data(&render(&input(&changed, "gpu-a"), &changed, &builds)), ["a=changed", "b=ours"]);
    let refused = MountRefusal::NotPermitted { reason: "project ml does not permit the source \"platform\"".to_owned() };
    let text = problem(&rendered(&mounted(platform, Err(refused)), "gpu-a"));
    assert_eq!(text, "the chart platform:: project ml does not permit the source \"platform\"");
}

#[test]
fn a_repository_that_nobody_asks_is_refused_with_what_can_be_done() {
    let tree = tree("      {repo: 'oci://registry.example.com/charts', chart: web, version: ^1.2}", "", &[]);
    let outcome = rendered(&tree, "gpu-a");
    let text = problem(&outcome);
    assert!(
        text.starts_with("the chart oci://registry.example.com/charts/web:^1.2: the hub fetches charts only from the repositories"),
        "{text}"
    );
    assert!(text.contains("chartRepositories") && text.contains("commit the chart"), "{text}");
    let mut mounts = Mounts::default();
    let (repository, name, version) = ("oci://registry.example.com/charts".to_owned(), "web".to_owned(), "^1.2".to_owned());
    let theirs = MemoryTree::of(&[("Chart.yaml", CHART), ("templates/cm.yaml", VALUES_TEMPLATE)]);
    mounts.insert(Mount::Chart { repository, name, version }, Ok(Arc::new(theirs)));
    let now = MountedTree::new(Arc::new(tree), Arc::new(mounts));
    assert!(!outcome.read_set.still_holds(&now), "it is there now");
    assert!(rendered(&now, "gpu-a").result.is_ok());
}

#[test]
fn clusters_with_the_same_values_share_and_others_do_not() {
    let tree = tree(
        "      {chart: chart, values: {data: {replicas: '${vars.replicas}'}}}",
        "",
        &[("chart/templates/cm.yaml", VALUES_TEMPLATE), ("README.md", "")],
    );
    let builds = Builds::new(1 << 20);
    let (a, b, c) = (input(&tree, "gpu-a"), input(&tree, "gpu-b"), input(&tree, "gpu-c"));
    let outcome = render(&a, &tree, &builds);
    assert!(outcome.inputs_used.agree(&a, &b) && !outcome.inputs_used.agree(&a, &c));
    assert_eq!(data(&render(&c, &tree, &builds)), ["replicas=5"]);
    assert_eq!(render(&b, &tree, &builds).read_set, outcome.read_set, "also what was not read again");
    let mut namespace = b;
    namespace.namespace = Some("other".to_owned());
    assert!(!outcome.inputs_used.agree(&a, &namespace), "a release has a namespace");
}

#[test]
fn charts_of_kustomizations_are_rendered_in_the_tree() {
    let kustomization = "namespace: ml\nnamePrefix: x-\nhelmCharts:\n- name: web\n  releaseName: rel\n  valuesInline: {data: {b: inline}}\n  additionalValuesFiles: [more.yaml]\n";
    let app = "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: web}\nspec: {regions: [eu], namespace: apps, source: {path: .}}\n";
    let version = "{{ .Capabilities.KubeVersion.Minor }}";
    let template = format!("{VALUES_TEMPLATE}  minor: \"{version}\"\n");
    let files = [
        ("regions/all.yaml", CLUSTERS),
        ("apps/web/app.yaml", app),
        ("apps/web/kustomization.yaml", kustomization),
        ("apps/web/charts/web/Chart.yaml", CHART),
        ("apps/web/charts/web/values.yaml", "data: {a: chart, b: chart, c: chart}\n"),
        ("apps/web/charts/web/templates/cm.yaml", template.as_str()),
        ("apps/web/more.yaml", "data: {c: more}\n"),
    ];
    let tree = MemoryTree::of(&files);
    let this = input_with(&tree, "gpu-a", facts("v1.33.4", &["v1"]));
    let builds = Builds::new(1 << 20);
    let outcome = render(&this, &tree, &builds);
    assert_eq!(data(&outcome), ["a=chart", "b=inline", "c=more", "minor=33"]);
    assert!(yaml(&outcome).contains("name: x-rel\n  namespace: ml\n"), "{}", yaml(&outcome));
    let other = input_with(&tree, "gpu-a", facts("v1.34.0", &["v1"]));
    assert!(!outcome.inputs_used.agree(&this, &other));
    assert_eq!(data(&render(&other, &tree, &builds)), ["a=chart", "b=inline", "c=more", "minor=34"]);
    let mut remote = files.to_vec();
    let pulled = kustomization.replace("releaseName: rel", "releaseName: rel\n  repo: https://charts.example.com\n  version: 1.0.0");
    remote[2] = ("apps/web/kustomization.yaml", &pulled);
    let tree = MemoryTree::of(&remote);
    let text = problem(&rendered(&tree, "gpu-a"));
    assert!(
        text.starts_with("apps/web/kustomization.yaml:4: the chart \"web\" in helmCharts: apps/web/charts/web-1.0.0/web is not there"),
        "{text}"
    );
    assert!(text.contains("helm pull --untar --untardir charts/web-1.0.0 --repo https://charts.example.com web --version 1.0.0"), "{text}");
}
