//! What becomes of rendered objects, as a table of the release's entries.

use hub_fleet::{FLEET_BUDGET, read_fleet};
use hub_tree::{MemoryTree, Reader};
use serde_json::Value;
use shared_release::{DataKey, decode_object};

use super::*;

fn app(spec: &str) -> App {
    let text = format!(
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: web}}\nspec: {{regions: ['*'], source: {{path: base}}, namespace: web, {spec}}}\n"
    );
    let cluster = "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: a}\nspec: {}\n";
    let region = "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu}\n";
    let files = [("apps/web/app.yaml", text.as_str()), ("regions/eu/a.yaml", cluster), ("regions/eu/region.yaml", region)];
    let (fleet, problems) = read_fleet(&Reader::new(&MemoryTree::of(&files), FLEET_BUDGET));
    assert!(problems.is_empty(), "{problems:?}");
    fleet.apps.into_values().next().expect("the app")
}

fn key() -> AppKey {
    DataKey::from_bytes([7; 32]).app_key(&"web".parse().expect("valid"))
}

fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object")
}

/// `apps/v1 Deployment web/api annotation=value;annotation=value`.
fn parse(text: &str) -> Object {
    let mut words = text.splitn(4, ' ');
    let (version, kind, name) = (words.next().expect("version"), words.next().expect("kind"), words.next().expect("name"));
    let (namespace, name) = name.split_once('/').map_or((None, name), |(namespace, name)| (Some(namespace), name));
    let mut object = object(json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}}));
    if namespace.is_some() {
        object.set_namespace(namespace);
    }
    for annotation in words.next().into_iter().flat_map(|rest| rest.split(';')) {
        let (name, value) = annotation.split_once('=').expect("name=value");
        object.set_annotation(name, value);
    }
    object
}

fn assembled(app: &App, objects: &[&str]) -> Result<Assembled, Vec<AssembleError>> {
    let objects: Vec<Object> = objects.iter().map(|text| parse(text)).collect();
    assemble(app, Some("web"), &objects, &key())
}

/// `ConfigMap web/a wave 0 Allowed Correct Override recreate ignore=/data`, one line for each entry.
fn table(assembled: &Assembled) -> Vec<String> {
    let line = |entry: &Arc<Entry>| {
        let Policy { prune, heal, existing, recreate, ignore_health, conflicts, ignore } = &entry.policy;
        let recreate =
            [(*recreate, " recreate"), (*ignore_health, " whatever its health"), (*conflicts == Conflicts::Report, " reports conflicts")]
                .map(|(is, word)| if is { word } else { "" })
                .concat();
        let ignore: String = ignore.iter().map(|pointer| format!(" ignore={pointer}")).collect();
        format!("{} {} {} {prune:?} {heal:?} {existing:?}{recreate}{ignore}", entry.object, entry.version, entry.wave)
    };
    assembled.release.entries.values().map(line).collect()
}

#[test]
fn app_and_annotations_resolve_to_policies_and_the_more_careful_holds() {
    let objects = [
        "v1 ConfigMap web/a",
        "v1 ConfigMap web/b argocd.argoproj.io/sync-wave=3;argocd.argoproj.io/sync-options=Prune=confirm",
        "v1 ConfigMap web/c helm.sh/resource-policy=keep;kustomize.toolkit.fluxcd.io/force=enabled",
        "v1 ConfigMap web/d kustomize.toolkit.fluxcd.io/reconcile=disabled",
        "v1 ConfigMap web/e kustomize.toolkit.fluxcd.io/ssa=Ignore",
        "v1 ConfigMap web/f kustomize.toolkit.fluxcd.io/ssa=Merge;argocd.argoproj.io/ignore-healthcheck=true",
        "apps/v1 Deployment web/api",
    ];
    let ignore = "ignoreDifferences: [{group: apps, kind: Deploy*, jsonPointers: [/spec/replicas]}]";
    assert_eq!(
        table(&assembled(&app(&format!("prune: true, {ignore}")), &objects).expect("assembles")),
        [
            "ConfigMap web/a v1 0 Allowed Correct Override",
            "ConfigMap web/b v1 3 Confirm Correct Override",
            "ConfigMap web/c v1 0 Never Correct Override recreate",
            "ConfigMap web/d v1 0 Never None IfNotPresent",
            "ConfigMap web/e v1 0 Never None Ignore",
            "ConfigMap web/f v1 0 Allowed Correct Merge whatever its health",
            "Deployment.apps web/api v1 0 Allowed Correct Override ignore=/spec/replicas",
        ]
    );
    assert_eq!(
        table(&assembled(&app("prune: false, heal: report"), &objects[..2]).expect("assembles")),
        ["ConfigMap web/a v1 0 Never Report Override", "ConfigMap web/b v1 3 Never Report Override"]
    );
}

#[test]
fn the_namespace_is_made_where_it_is_missing_and_belongs_to_nobody() {
    let create = app("prune: true, createNamespace: true");
    let made = assembled(&create, &["v1 ConfigMap web/a argocd.argoproj.io/sync-wave=-2"]).expect("assembles");
    assert_eq!(table(&made), ["ConfigMap web/a v1 -2 Allowed Correct Override", "Namespace web v1 -2 Never Correct IfNotPresent"]);
    assert_eq!(crate::claims(&made.release).count(), 1);
    let own = assembled(&create, &["v1 Namespace web", "v1 ConfigMap web/a"]).expect("assembles");
    assert_eq!(table(&own)[1], "Namespace web v1 0 Allowed Correct Override");
    let nowhere = assemble(&create, None, &[], &key()).expect_err("has no namespace");
    assert_eq!(nowhere, [AssembleError::NothingToCreate { app: create.name }]);
}

#[test]
fn definitions_and_namespaces_come_no_later_than_what_lives_in_them() {
    let mut definition = parse("apiextensions.k8s.io/v1 CustomResourceDefinition widgets.example.com argocd.argoproj.io/sync-wave=5");
    definition.value_mut()["spec"] = json!({"group": "example.com", "names": {"kind": "Widget"}});
    let objects = [
        definition,
        parse("example.com/v1 Widget x/w argocd.argoproj.io/sync-wave=1"),
        parse("v1 Namespace x argocd.argoproj.io/sync-wave=7"),
        parse("v1 Namespace empty argocd.argoproj.io/sync-wave=7"),
    ];
    let waves: Vec<(String, i32)> = assemble(&app("prune: true"), Some("web"), &objects, &key())
        .expect("assembles")
        .release
        .entries
        .values()
        .map(|entry| (entry.object.name.clone(), entry.wave))
        .collect();
    let expected = [("empty", 7), ("x", 1), ("widgets.example.com", 1), ("w", 1)].map(|(name, wave)| (name.to_owned(), wave));
    assert_eq!(waves, expected);
}

#[test]
fn what_does_not_resolve_blocks_the_app_and_names_object_and_annotation() {
    for (spec, objects, expected) in [
        (
            "prune: true",
            vec!["batch/v1 Job web/migrate argocd.argoproj.io/hook=BeforeSync"],
            "NotHonoured: Job.batch web/migrate: the annotation argocd.argoproj.io/hook says \"BeforeSync\", which Capstan does not carry out: this is no hook; write one that Argo CD or Helm has, or take it out",
        ),
        (
            "prune: true",
            vec!["v1 ConfigMap web/a argocd.argoproj.io/sync-wave=early"],
            "NotHonoured: ConfigMap web/a: the annotation argocd.argoproj.io/sync-wave says \"early\", which Capstan does not carry out: write a whole number in quotes, as in \"-1\"",
        ),
        (
            "prune: true",
            vec!["v1 Namespace capstan-system"],
            "AgentsOwn: Namespace capstan-system belongs to Capstan's agent, which no app may change; take it out",
        ),
        (
            "prune: true",
            vec!["v1 Secret capstan-system/capstan-ledger"],
            "AgentsOwn: Secret capstan-system/capstan-ledger belongs to Capstan's agent, which no app may change; take it out",
        ),
        (
            "prune: true",
            vec!["rbac.authorization.k8s.io/v1 ClusterRoleBinding capstan-agent"],
            "AgentsOwn: ClusterRoleBinding.rbac.authorization.k8s.io capstan-agent belongs to Capstan's agent, which no app may change; take it out",
        ),
        (
            "prune: true",
            vec!["v1 ConfigMap a"],
            "NoNamespace: ConfigMap a has no namespace; set one in the manifest, or for all of them as spec.namespace of app web",
        ),
        (
            "prune: true",
            vec!["v1 ConfigMap web/a", "v1 ConfigMap web/a"],
            "DuplicateObject: ConfigMap web/a is there twice; take one of the two out",
        ),
        (
            "prune: false, onDelete: cascade",
            vec![],
            "FieldConflict: app web says onDelete: cascade and prune: false, and where nothing is pruned nothing is deleted; set prune: true, or onDelete: orphan",
        ),
    ] {
        let errors = assembled(&app(spec), &objects).expect_err(expected);
        let reasons: Vec<String> = errors.iter().map(|error| Reason::from(error).to_string()).collect();
        assert_eq!(reasons, [expected]);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let objects = ["v1 ConfigMap a argocd.argoproj.io/sync-wave=x", "v1 Secret capstan-system/b helm.sh/hook=soon"];
    let errors = assembled(&app("prune: true"), &objects).expect_err("is wrong");
    let codes: Vec<&str> = errors.iter().map(AssembleError::code).collect();
    assert_eq!(codes, ["NotHonoured", "NoNamespace", "NotHonoured", "AgentsOwn"]);
}

#[test]
fn a_name_is_needed_and_an_object_has_a_limit() {
    let generated = object(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "train-", "namespace": "web"}}));
    let mut large = parse("v1 ConfigMap web/large");
    large.value_mut()["data"] = json!({"text": "x".repeat(shared_release::OBJECT_LIMIT)});
    let errors = assemble(&app("prune: true"), Some("web"), &[generated, large], &key()).expect_err("is wrong");
    let codes: Vec<&str> = errors.iter().map(AssembleError::code).collect();
    assert_eq!(codes, ["NoName", "ObjectTooLarge"]);
    let other = DataKey::from_bytes([7; 32]).app_key(&"api".parse().expect("valid"));
    assert_eq!(assemble(&app("prune: true"), None, &[], &other).expect_err("is another's")[0].code(), "Bug");
}

#[test]
fn hooks_run_in_their_phases_and_what_lives_with_them_comes_no_later() {
    let mut unnamed = object(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "smoke-", "namespace": "web"}}));
    unnamed.value_mut()["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PostSync"});
    let objects = [
        parse("v1 Namespace web"),
        parse("batch/v1 Job web/migrate helm.sh/hook=pre-install,pre-upgrade;helm.sh/hook-weight=-5"),
        parse("v1 ConfigMap web/notice helm.sh/hook=post-install,pre-rollback;helm.sh/hook-delete-policy=hook-succeeded"),
        unnamed,
    ];
    let assembled = assemble(&app("prune: true"), Some("web"), &objects, &key()).expect("assembles");
    let told: Vec<String> = assembled
        .release
        .entries
        .values()
        .map(|entry| format!("{} {:?} {} {:?}", entry.object.name, entry.phase, entry.wave, entry.hook.as_ref().map(|hook| &hook.delete)))
        .collect();
    let generated = told.iter().find_map(|line| line.strip_prefix("smoke-")).expect("it has a name");
    assert_eq!(generated.find(' '), Some(7), "{generated}");
    for expected in ["web PreSync -5 None", "migrate PreSync -5 Some({BeforeHookCreation})", "notice PostSync 0 Some({HookSucceeded})"] {
        assert!(told.iter().any(|line| line == expected), "{expected} is not in {told:?}");
    }
    let reasons: Vec<String> = assembled.left_out.iter().map(|left| Reason::from(left).to_string()).collect();
    assert_eq!(reasons, ["HookRunsInPart: ConfigMap web/notice is also a hook for pre-rollback, which is never run"]);
}

#[test]
fn helm_tests_are_part_of_a_release_that_says_so_and_what_never_runs_is_left_out() {
    let objects = ["v1 Pod web/test helm.sh/hook=test", "v1 Pod web/undo helm.sh/hook=pre-rollback", "v1 ConfigMap web/a"];
    let assembled = assembled(&app("prune: true"), &objects).expect("assembles");
    let tests: Vec<String> = assembled.release.tests().map(|entry| entry.object.to_string()).collect();
    assert_eq!(tests, ["Pod web/test"]);
    assert!(assembled.release.requires.contains(shared_release::FEATURE_TESTS));
    let left_out: Vec<String> = assembled.left_out.iter().map(|left| left.object.to_string()).collect();
    assert_eq!(left_out, ["Pod web/undo"]);
}

#[test]
fn secrets_are_sealed_and_everything_reads_back() {
    let mut secret = parse("v1 Secret web/s");
    secret.value_mut()["stringData"] = json!({"token": "hunter2"});
    let objects = [secret, parse("v1 ConfigMap web/a"), parse("rbac.authorization.k8s.io/v1 ClusterRole web/reader")];
    let assembled = assemble(&app("prune: true"), Some("web"), &objects, &key()).expect("assembles");
    assert_eq!(Release::decode(&assembled.bytes, &[]), Ok(assembled.release.clone()));
    assert_eq!(Digest::of(&assembled.bytes), assembled.digest);
    for entry in assembled.release.entries.values() {
        let blob = &assembled.blobs[&entry.digest];
        assert!(!String::from_utf8_lossy(blob).contains("hunter2"));
        let sealed = entry.sealed.as_ref().map(|_| key());
        assert!(decode_object(&entry.object, &entry.digest, blob, sealed.as_ref()).is_ok(), "{}", entry.object);
    }
    let role = ObjectKey::new(GroupKind::new("rbac.authorization.k8s.io", "ClusterRole"), None, "reader");
    assert!(assembled.release.entries.contains_key(&role), "what lives in no namespace has none");
    let mut reversed = objects;
    reversed.reverse();
    assert_eq!(assemble(&app("prune: true"), Some("web"), &reversed, &key()).expect("assembles"), assembled);
}
