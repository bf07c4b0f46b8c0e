//! What annotations of Flux and Argo CD in manifests, and fields of an app, come to on live objects: one repository with small apps, from Git over
//! the hub to the agent of a real API server. Others were there before the first commit, others edit after it, and a second commit comes then.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use base64::Engine as _;
use e2e_cluster::{ControlPlane, GitServer, Options, WorkTree, require_control_plane};
use e2e_fleet::{TestAgent, TestHub, eventually, prepare};
use hub_api::{StatusView, SyncWord};
use hub_cli::Exit;
use hub_source::{Reference, SourceSpec};
use serde_json::Value;
use tempfile::TempDir;

const CLUSTER: &str = "eu-1";

/// The apps; each has a namespace of its name, and what else its `spec` says.
const APPS: [(&str, &str); 4] = [
    ("flux", ""),
    ("argo", ""),
    (
        "lenient",
        "  ignoreDifferences:\n  - {kind: ConfigMap, name: pointed, jsonPointers: [/data/a]}\n  - {kind: ConfigMap, name: tuned, managedFieldsManagers: [tuner]}\n  - group: apps\n    kind: Deploy*\n    jsonPointers: [/spec/template/spec/containers/0/env/0/value]\n    jqPathExpressions: ['.spec.template.spec.containers[] | select(.name == \"api\") | .image']\n",
    ),
    ("polite", ""),
];

const SSA: &str = "kustomize.toolkit.fluxcd.io/ssa";
const FLUX_PRUNE: &str = "kustomize.toolkit.fluxcd.io/prune";
const FLUX_FORCE: &str = "kustomize.toolkit.fluxcd.io/force";
const RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";
const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
const CONFLICTS: &str = "capstan.dev/conflicts";

/// In each app: by its last edit, or by its new value, it shows that the agent has looked at all that came before.
const BEAT: &str = "beat";

/// The ConfigMaps of an app: name, annotation with its value, more of the manifest.
type Wanted = (&'static str, Option<(&'static str, &'static str)>, &'static str);

const FLUX: [Wanted; 8] = [
    ("made-once", Some((SSA, "IfNotPresent")), ""),
    ("was-there", Some((SSA, "IfNotPresent")), ""),
    ("merged", Some((SSA, "Merge")), ""),
    ("taken", None, ""),
    ("untouched", Some((SSA, "Ignore")), ""),
    ("never-made", Some((SSA, "Ignore")), ""),
    ("renewed", Some((FLUX_FORCE, "enabled")), "immutable: true\n"),
    ("left-alone", Some((RECONCILE, "disabled")), ""),
];
/// What of app `flux` the second commit does not have any more.
const FLUX_FIRST: [Wanted; 3] =
    [("kept", Some((FLUX_PRUNE, "disabled")), ""), ("left-behind", Some((RECONCILE, "disabled")), ""), ("pruned", None, "")];

const ARGO: [Wanted; 1] = [("forced", Some((SYNC_OPTIONS, "Force=true")), "immutable: true\n")];
/// What of app `argo` the second commit does not have any more.
const ARGO_FIRST: [Wanted; 2] =
    [("kept", Some((SYNC_OPTIONS, "Prune=false")), ""), ("confirmed", Some((SYNC_OPTIONS, "Prune=confirm")), "")];

const LENIENT: [Wanted; 3] = [("pointed", None, ""), ("tuned", None, ""), ("plain", None, "")];
const POLITE: [Wanted; 2] = [("shared", Some((CONFLICTS, "report")), ""), ("let-go", Some((CONFLICTS, "report")), "")];

/// The manifests of ConfigMaps whose values are `value`.
fn config_maps(wanted: &[Wanted], value: &str) -> String {
    let one = |(name, annotation, more): &Wanted| {
        let annotations = annotation.map(|(name, value)| format!(", annotations: {{{name}: \"{value}\"}}")).unwrap_or_default();
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{annotations}}}\n{more}data: {{a: \"{value}\", b: \"{value}\"}}\n"
        )
    };
    let beat: Wanted = (BEAT, None, "");
    wanted.iter().chain([&beat]).map(one).collect::<Vec<_>>().join("---\n")
}

/// A Secret that cannot be changed.
fn secret(value: &str) -> String {
    let token = base64::engine::general_purpose::STANDARD.encode(format!("token-{value}"));
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: key, annotations: {{{SYNC_OPTIONS}: \"Force=true\"}}}}\nimmutable: true\ndata: {{token: {token}}}\n"
    )
}

fn deployment(mode: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    spec: {{containers: [{{name: api, image: \"example.test/api:1\", env: [{{name: LEVEL, value: info}}, {{name: MODE, value: \"{mode}\"}}]}}]}}\n"
    )
}

/// Writes the manifests of all apps.
fn write(tree: &WorkTree, value: &str, flux: &[Wanted], argo: &[Wanted]) -> anyhow::Result<()> {
    let manifests = [
        ("flux", config_maps(&[&FLUX, flux].concat(), value)),
        ("argo", config_maps(&[&ARGO, argo].concat(), value) + "---\n" + &secret(value)),
        ("lenient", config_maps(&LENIENT, value) + "---\n" + &deployment(value)),
        ("polite", config_maps(&POLITE, value)),
    ];
    for (app, text) in manifests {
        tree.write(&format!("apps/{app}/manifests/all.yaml"), &text)?;
    }
    Ok(())
}

/// A fleet of one cluster, in which others have been at work.
struct Place {
    hub: TestHub,
    tree: WorkTree,
    _git: GitServer,
    plane: ControlPlane,
    agent: TestAgent,
    _disk: TempDir,
}

/// Objects by name: their uid, and how they look.
type Objects = BTreeMap<String, (String, String)>;

impl Place {
    async fn set() -> anyhow::Result<Self> {
        prepare();
        let disk = tempfile::tempdir()?;
        let git = GitServer::start()?;
        git.create_repository("fleet.git")?;
        let tree = WorkTree::clone(&git.url("fleet.git"))?;
        tree.write("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n")?;
        tree.write("regions/eu-west/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu-west}\nspec: {}\n")?;
        let cluster = "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-1, labels: {workload: serving}}\nspec: {}\n";
        tree.write("regions/eu-west/eu-1.yaml", cluster)?;
        for (app, more) in APPS {
            let text = format!(
                "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: {app}}}\nspec:\n  namespace: {app}\n  prune: true\n  clusters: {{matchLabels: {{workload: serving}}}}\n  source: {{path: manifests}}\n{more}"
            );
            tree.write(&format!("apps/{app}/app.yaml"), &text)?;
        }
        write(&tree, "1", &FLUX_FIRST, &ARGO_FIRST)?;
        tree.commit_and_push("the fleet")?;
        let source = SourceSpec::new("fleet".parse()?, git.url("fleet.git").parse()?, Reference::branch("main")?);
        let hub = TestHub::start(disk.path().join("hub"), source).await?;
        let plane = ControlPlane::start(Options::default()).await?;
        let agent = TestAgent::new(&hub.add_cluster(CLUSTER, "eu-west").await?, disk.path().join("agent"))?;
        Ok(Self { hub, tree, _git: git, plane, agent, _disk: disk })
    }

    async fn kubectl(&self, app: &str, arguments: &[&str]) -> anyhow::Result<String> {
        self.plane.kubectl(&[&["-n", app], arguments].concat()).await
    }

    /// A merge patch of a ConfigMap's data, as this field manager.
    async fn edit(&self, app: &str, name: &str, data: &str, manager: &str) -> anyhow::Result<()> {
        let patch = format!("{{\"data\":{data}}}");
        self.kubectl(app, &["patch", "configmap", name, "--type=merge", "-p", &patch, &format!("--field-manager={manager}")])
            .await
            .map(drop)
    }

    async fn object(&self, app: &str, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(app, &["get", kind, name, "-o", "json", "--show-managed-fields"]).await?)?)
    }

    /// The app's ConfigMaps and Secrets: their data, and who holds which of it.
    async fn objects(&self, app: &str) -> anyhow::Result<Objects> {
        let list = self.kubectl(app, &["get", "configmaps,secrets", "-o", "json", "--show-managed-fields"]).await?;
        let list: Value = serde_json::from_str(&list)?;
        let objects = list["items"].as_array().context("a list has items")?.iter().filter_map(|object| {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            (text("name") != "kube-root-ca.crt").then(|| (text("name"), (text("uid"), look(object))))
        });
        Ok(objects.collect())
    }

    /// Waits until the agent has set right a person's edit of the app's beat: it has looked at all that was changed before.
    async fn has_looked(&self, app: &str, value: &str) -> anyhow::Result<()> {
        self.edit(app, BEAT, r#"{"b":"by hand"}"#, "kubectl-edit").await?;
        let beat = || self.object(app, "configmap", BEAT);
        eventually("the edit is healed", beat, |beat| beat["data"]["b"] == value).await.map(drop)
    }

    /// Waits until the app is applied as far as `good` asks, at these values.
    async fn applied(&self, app: &str, value: &str, good: impl Fn(&StatusView) -> bool) -> anyhow::Result<StatusView> {
        let beat = || self.kubectl(app, &["get", "configmap", BEAT, "--ignore-not-found", "-o", "jsonpath={.data.a}"]);
        eventually(&format!("{app} has the values {value}"), beat, |found| found == value).await?;
        Ok(eventually(&format!("{app} is applied"), || self.hub.row(app, CLUSTER), good).await?.0)
    }
}

/// An object's data and the managers that hold it, as `a=1 b=1; capstan: a b`.
fn look(object: &Value) -> String {
    let data = object["data"].as_object().into_iter().flatten();
    let data: Vec<String> = data.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let mut held: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let fields = entry["fieldsV1"]["f:data"].as_object().into_iter().flatten();
        let fields = fields.filter_map(|(name, _)| name.strip_prefix("f:"));
        held.entry(entry["manager"].as_str().unwrap_or_default()).or_default().extend(fields);
    }
    let held = held.into_iter().filter(|(_, fields)| !fields.is_empty());
    let held: Vec<String> =
        held.map(|(manager, fields)| format!("; {manager}: {}", fields.into_iter().collect::<Vec<_>>().join(" "))).collect();
    data.join(" ") + &held.concat()
}

/// The objects as text, one a line, with what became of each since `before`.
fn told(now: &Objects, before: &Objects) -> String {
    let line = |(name, (uid, look)): (&String, &(String, String))| match before.get(name) {
        Some((old, _)) if old == uid => format!("{name}: {look}\n"),
        Some(_) => format!("{name}, made anew: {look}\n"),
        None => format!("{name}, new: {look}\n"),
    };
    let gone = before.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name}, gone\n"));
    now.iter().map(line).chain(gone).collect()
}

fn in_sync(row: &StatusView) -> bool {
    row.sync == SyncWord::Synced
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_and_ignored_fields_mean_on_live_objects_what_flux_and_argo_cd_mean_by_them() -> anyhow::Result<()> {
    require_control_plane!();
    let mut place = Place::set().await?;
    for (app, _) in APPS {
        place.plane.kubectl(&["create", "namespace", app]).await?;
    }
    let given = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: theirs, theirs: here}}\n");
    for name in ["was-there", "merged", "taken", "untouched"] {
        place.plane.kubectl_reading(&given(name), &["-n", "flux", "apply", "-f", "-"]).await?;
    }
    let configurator = ["-n", "polite", "apply", "--server-side", "--field-manager=configurator", "-f", "-"];
    for name in ["shared", "let-go"] {
        place.plane.kubectl_reading(&given(name), &configurator).await?;
    }
    place.agent.start(&place.plane).await?;

    let flux = flux_begins(&place).await?;
    let argo = argo_begins(&place).await?;
    let lenient = lenient_begins(&place).await?;
    polite_waits_until_it_is_let(&place, &given("let-go").replace("a: theirs, ", ""), &configurator).await?;

    write(&place.tree, "2", &[], &[])?;
    place.tree.commit_and_push("the second commit")?;
    place.hub.refresh().await?;
    flux_goes_on(&place, &flux).await?;
    argo_goes_on(&place, &argo).await?;
    lenient_goes_on(&place, &lenient).await?;
    place.agent.stop().await?;
    place.hub.stop().await
}

/// The first commit beside what was there, and edits of all of it.
async fn flux_begins(place: &Place) -> anyhow::Result<Objects> {
    place.applied("flux", "1", in_sync).await?;
    let first = place.objects("flux").await?;
    let expected = "\
beat, new: a=1 b=1; capstan: a b
kept, new: a=1 b=1; capstan: a b
left-alone, new: a=1 b=1; capstan: a b
left-behind, new: a=1 b=1; capstan: a b
made-once, new: a=1 b=1; capstan: a b
merged, new: a=1 b=1 theirs=here; capstan: a b; kubectl-client-side-apply: theirs
pruned, new: a=1 b=1; capstan: a b
renewed, new: a=1 b=1; capstan: a b
taken, new: a=1 b=1; capstan: a b
untouched, new: a=theirs theirs=here; kubectl-client-side-apply: a theirs
was-there, new: a=theirs theirs=here; kubectl-client-side-apply: a theirs
";
    assert_eq!(told(&first, &Objects::new()), expected);

    for name in ["made-once", "was-there", "merged", "taken", "untouched", "left-alone"] {
        place.edit("flux", name, r#"{"b":"edited","more":"edited"}"#, "kubectl-edit").await?;
    }
    place.has_looked("flux", "1").await?;
    let edited = place.objects("flux").await?;
    let expected = "\
beat: a=1 b=1; capstan: a b
kept: a=1 b=1; capstan: a b
left-alone: a=1 b=edited more=edited; capstan: a; kubectl-edit: b more
left-behind: a=1 b=1; capstan: a b
made-once: a=1 b=edited more=edited; capstan: a; kubectl-edit: b more
merged: a=1 b=1 more=edited theirs=here; capstan: a b; kubectl-client-side-apply: theirs; kubectl-edit: more
pruned: a=1 b=1; capstan: a b
renewed: a=1 b=1; capstan: a b
taken: a=1 b=1 more=edited; capstan: a b; kubectl-edit: more
untouched: a=theirs b=edited more=edited theirs=here; kubectl-client-side-apply: a theirs; kubectl-edit: b more
was-there: a=theirs b=edited more=edited theirs=here; kubectl-client-side-apply: a theirs; kubectl-edit: b more
";
    assert_eq!(told(&edited, &first), expected);
    Ok(edited)
}

/// All values change, and three objects leave, of which one may be deleted.
async fn flux_goes_on(place: &Place, before: &Objects) -> anyhow::Result<()> {
    place.applied("flux", "2", in_sync).await?;
    let gone = |objects: &Objects| !objects.contains_key("pruned");
    let (now, _) = eventually("what left the source is deleted", || place.objects("flux"), gone).await?;
    let expected = "\
beat: a=2 b=2; capstan: a b
kept: a=1 b=1; capstan: a b
left-alone: a=1 b=edited more=edited; capstan: a; kubectl-edit: b more
left-behind: a=1 b=1; capstan: a b
made-once: a=1 b=edited more=edited; capstan: a; kubectl-edit: b more
merged: a=2 b=2 more=edited theirs=here; capstan: a b; kubectl-client-side-apply: theirs; kubectl-edit: more
renewed, made anew: a=2 b=2; capstan: a b
taken: a=2 b=2 more=edited; capstan: a b; kubectl-edit: more
untouched: a=theirs b=edited more=edited theirs=here; kubectl-client-side-apply: a theirs; kubectl-edit: b more
was-there: a=theirs b=edited more=edited theirs=here; kubectl-client-side-apply: a theirs; kubectl-edit: b more
pruned, gone
";
    assert_eq!(told(&now, before), expected);
    Ok(())
}

async fn argo_begins(place: &Place) -> anyhow::Result<Objects> {
    place.applied("argo", "1", in_sync).await?;
    let first = place.objects("argo").await?;
    let expected = "\
beat, new: a=1 b=1; capstan: a b
confirmed, new: a=1 b=1; capstan: a b
forced, new: a=1 b=1; capstan: a b
kept, new: a=1 b=1; capstan: a b
key, new: token=dG9rZW4tMQ==; capstan: token
";
    assert_eq!(told(&first, &Objects::new()), expected);
    for name in ["kept", "confirmed"] {
        place.edit("argo", name, r#"{"b":"edited"}"#, "kubectl-edit").await?;
    }
    place.has_looked("argo", "1").await?;
    let healed = place.objects("argo").await?;
    assert_eq!(told(&healed, &first), expected.replace(", new", ""), "these are about deletion, not about edits");
    Ok(healed)
}

/// What cannot be changed is made anew, and of what leaves nothing is deleted before an operator allows it.
async fn argo_goes_on(place: &Place, before: &Objects) -> anyhow::Result<()> {
    let waits = |row: &StatusView| row.reason.as_ref().is_some_and(|reason| reason.code == "ApprovalNeeded");
    let row = place.applied("argo", "2", waits).await?;
    let reason = row.reason.map(|reason| reason.message).unwrap_or_default();
    assert!(reason.contains("ConfigMap argo/confirmed") && !reason.contains("more"), "{reason}");
    let renewed = |objects: &Objects| objects.get("key").is_some_and(|(_, look)| look.contains("dG9rZW4tMg=="));
    let (now, _) = eventually("the Secret is made anew", || place.objects("argo"), renewed).await?;
    let left = "\
forced, made anew: a=2 b=2; capstan: a b
kept: a=1 b=1; capstan: a b
key, made anew: token=dG9rZW4tMg==; capstan: token
";
    assert_eq!(told(&now, before), format!("beat: a=2 b=2; capstan: a b\nconfirmed: a=1 b=1; capstan: a b\n{left}"));

    // The command shows exactly this deletion, and approves it.
    let (exit, out, said) = place.hub.capstan_saying(&["approve", "argo", "--cluster", CLUSTER, "--yes"]).await?;
    let shown = out + &said;
    assert!(exit == Exit::Ok && shown.contains("would delete 1 object:\n    ConfigMap argo/confirmed\n"), "{exit:?} {shown}");
    let gone = |objects: &Objects| !objects.contains_key("confirmed");
    let (now, _) = eventually("what is approved is deleted", || place.objects("argo"), gone).await?;
    assert_eq!(told(&now, before), format!("beat: a=2 b=2; capstan: a b\n{left}confirmed, gone\n"));
    place.applied("argo", "2", in_sync).await.map(drop)
}

async fn lenient_begins(place: &Place) -> anyhow::Result<Objects> {
    place.applied("lenient", "1", in_sync).await?;
    let first = place.objects("lenient").await?;
    place.edit("lenient", "pointed", r#"{"a":"edited","b":"edited"}"#, "kubectl-edit").await?;
    place.edit("lenient", "plain", r#"{"a":"edited","b":"edited"}"#, "kubectl-edit").await?;
    place.edit("lenient", "tuned", r#"{"a":"tuned"}"#, "tuner").await?;
    place.edit("lenient", "tuned", r#"{"b":"edited"}"#, "kubectl-edit").await?;
    place.has_looked("lenient", "1").await?;
    let edited = place.objects("lenient").await?;
    let expected = "\
beat: a=1 b=1; capstan: a b
plain: a=1 b=1; capstan: a b
pointed: a=edited b=1; capstan: a b; kubectl-edit: a
tuned: a=tuned b=1; capstan: a b; tuner: a
";
    assert_eq!(told(&edited, &first), expected);

    // Somebody puts a container before ours, so that an index that counted live elements would mean theirs.
    let sidecar = r#"[{"op":"add","path":"/spec/template/spec/containers/0","value":{"name":"sidecar","image":"example.test/sidecar:1","env":[{"name":"SIDE","value":"theirs"}]}}]"#;
    place.kubectl("lenient", &["patch", "deployment", "api", "--type=json", "-p", sidecar, "--field-manager=injector"]).await?;
    let ours = r#"{"spec":{"template":{"spec":{"containers":[{"name":"api","image":"example.test/api:2","env":[{"name":"LEVEL","value":"debug"},{"name":"MODE","value":"edited"}]}]}}}}"#;
    place.kubectl("lenient", &["patch", "deployment", "api", "-p", ours, "--field-manager=kubectl-edit"]).await?;
    containers_are(place, "MODE=1").await?;
    Ok(edited)
}

/// Waits until our container has this mode; image and level are as they were edited, and theirs is untouched.
async fn containers_are(place: &Place, mode: &str) -> anyhow::Result<()> {
    let containers = async || {
        let object = place.object("lenient", "deployment", "api").await?;
        let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let variables = |container: &Value| {
            let env = container["env"].as_array().cloned().unwrap_or_default();
            env.iter().map(|variable| format!(" {}={}", text(&variable["name"]), text(&variable["value"]))).collect::<String>()
        };
        Ok(containers.iter().map(|container| format!("{}{}", text(&container["image"]), variables(container))).collect::<Vec<_>>())
    };
    let has_mode = |found: &Vec<String>| found.iter().any(|container| container.ends_with(mode));
    let (found, _) = eventually("the Deployment is as wanted", containers, has_mode).await?;
    assert_eq!(found, ["example.test/sidecar:1 SIDE=theirs".to_owned(), format!("example.test/api:2 LEVEL=debug {mode}")]);
    Ok(())
}

async fn lenient_goes_on(place: &Place, before: &Objects) -> anyhow::Result<()> {
    place.applied("lenient", "2", in_sync).await?;
    let expected = "\
beat: a=2 b=2; capstan: a b
plain: a=2 b=2; capstan: a b
pointed: a=edited b=2; capstan: a b; kubectl-edit: a
tuned: a=tuned b=2; capstan: a b; tuner: a
";
    assert_eq!(told(&place.objects("lenient").await?, before), expected);
    containers_are(place, "MODE=2").await
}

/// What others hold with other values is reported and not taken, and applied when they let go of it.
async fn polite_waits_until_it_is_let(place: &Place, without_a: &str, configurator: &[&str]) -> anyhow::Result<()> {
    let reported = |row: &StatusView| row.unhealthy.len() == 2 && row.taken_over.is_empty();
    let row = place.applied("polite", "1", reported).await?;
    for object in &row.unhealthy {
        let reason = object.reason.as_ref().context("there is a reason")?;
        assert!(reason.code == "FieldsHeld" && reason.message.contains("configurator") && reason.message.contains("data.a"), "{reason:?}");
    }
    let before = place.objects("polite").await?;
    let shared = "shared: a=theirs theirs=here; configurator: a theirs\n";
    assert_eq!(
        told(&before, &before),
        format!("beat: a=1 b=1; capstan: a b\nlet-go: a=theirs theirs=here; configurator: a theirs\n{shared}")
    );
    place.plane.kubectl_reading(without_a, configurator).await?;
    let applied = |objects: &Objects| objects.get("let-go").is_some_and(|(_, look)| look.contains("a=1"));
    let (now, _) = eventually("what was let go of is applied", || place.objects("polite"), applied).await?;
    let expected = format!("beat: a=1 b=1; capstan: a b\nlet-go: a=1 b=1 theirs=here; capstan: a b; configurator: theirs\n{shared}");
    assert_eq!(told(&now, &before), expected);
    Ok(())
}
