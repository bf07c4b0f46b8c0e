//! The agent goes: however `deploy/agent` installed it, it leaves by the Jobs of `deploy/agent/leave`. The API server takes these as they are; what
//! their container would run runs here, with the Job's own arguments and environment and the token of its service account.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use e2e_cluster::{AuditEvent as Write, require_control_plane};
use e2e_fleet::{Process, eventually};
use hub_api::SyncWord;
use serde_json::{Value, json};

use crate::scene::Scene;

/// The agent's own namespace.
const OWN: &str = "capstan-system";
const USER: &str = "system:serviceaccount:capstan-system:capstan-agent";
/// Where the app runs.
const TEAM: &str = "team-a";
/// Kinds of what the app has.
const KINDS: &str = "configmaps,deployments,secrets,services";
/// And their objects, but for what Kubernetes makes in each namespace.
const NAMES: [&str; 4] = ["ConfigMap settings", "Deployment api", "Secret key", "Service api"];

const PROJECT: &str = r#"apiVersion: capstan.dev/v1
kind: Project
metadata: {name: team-a}
spec: {sources: [fleet], namespaces: [team-a], clusters: {}, serviceAccount: deployer}
"#;
const MANIFESTS: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: settings, annotations: {note: ours}}
data: {value: "1"}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {token: abc}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers: [{name: api, image: "example.test/api:1", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]
"#;

/// What Kubernetes makes of it, by which it shows whether a workload was touched.
const MADE: [&str; 5] = ["get", "replicasets,pods", "-o", "jsonpath={range .items[*]}{.kind} {.metadata.uid}{\"\\n\"}{end}", "-n=team-a"];

/// The app's objects in full, by kind and name.
type Objects = BTreeMap<String, Value>;

impl Scene {
    fn deploy(directory: &str) -> String {
        format!("{}/../../deploy/agent/{directory}", env!("CARGO_MANIFEST_DIR"))
    }

    async fn own(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.plane.kubectl(&[&["-n", OWN], arguments].concat()).await
    }

    /// A kubeconfig with what the agent's pods have: the service account's token, as long as it is valid.
    async fn token_kubeconfig(&self) -> anyhow::Result<PathBuf> {
        let token = self.own(&["create", "token", "capstan-agent"]).await?;
        let authority = self.plane.directory().join("ca.crt");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "agent",
            "clusters": [{"name": "plane", "cluster": {"server": self.plane.server_url(), "certificate-authority": authority}}],
            "users": [{"name": "agent", "user": {"token": token.trim()}}],
            "contexts": [{"name": "agent", "context": {"cluster": "plane", "user": "agent"}}],
        });
        let path = self.disk.path().join("agent.kubeconfig");
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }

    async fn objects(&self) -> anyhow::Result<Objects> {
        let list = self.plane.kubectl(&["-n", TEAM, "get", KINDS, "-o", "json", "--show-managed-fields"]).await?;
        let list: Value = serde_json::from_str(&list)?;
        let items = list["items"].as_array().context("a list has items")?.iter().cloned();
        let name = |object: &Value| {
            format!("{} {}", object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default())
        };
        Ok(items.map(|object| (name(&object), object)).filter(|(name, _)| name != "ConfigMap kube-root-ca.crt").collect())
    }

    /// What the service account wrote after the moment, or tried to.
    async fn wrote_since(&self, moment: &str) -> anyhow::Result<Vec<Write>> {
        let log = self.log().await?;
        let since = log.moment(moment)?;
        Ok(log.events.into_iter().filter(|event| event.user == USER && event.is_write() && event.time > since).collect())
    }

    /// Waits until the controller of the app's Deployment has seen it as it is.
    async fn controller_rests(&self) -> anyhow::Result<()> {
        let show = "jsonpath={.metadata.generation} {.status.observedGeneration} {.status.updatedReplicas}";
        let shown = async || self.plane.kubectl(&["-n", TEAM, "get", "deployment", "api", "-o", show]).await;
        let rests = |shown: &String| matches!(shown.split(' ').collect::<Vec<_>>()[..], [now, seen, "1"] if now == seen);
        eventually("the controller has seen the Deployment", shown, rests).await.map(drop)
    }

    /// Applies the kustomization, waits until its pod is admitted, and runs what the pod would run.
    async fn leave(&self, kustomization: &str, job: &str, kubeconfig: &Path) -> anyhow::Result<String> {
        self.plane.kubectl(&["apply", "-k", &Self::deploy(kustomization)]).await?;
        let label = format!("job-name={job}");
        let pods = async || {
            let list: Value = serde_json::from_str(&self.own(&["get", "pods", "-l", &label, "-o", "json"]).await?)?;
            Ok(list["items"].as_array().cloned().unwrap_or_default())
        };
        let (pods, _) = eventually(&format!("the pod of {job} is admitted"), pods, |pods| pods.len() == 1).await?;
        let spec = &pods[0]["spec"];
        ensure!(spec["serviceAccountName"] == "capstan-agent", "{spec}");
        let container = &spec["containers"][0];
        let mounts = container["volumeMounts"].as_array().context("mounts")?;
        for path in ["/var/lib/capstan-agent", "/var/run/secrets/kubernetes.io/serviceaccount"] {
            ensure!(mounts.iter().any(|mount| mount["mountPath"] == path), "{path} is not mounted: {mounts:?}");
        }
        let arguments: Vec<&str> = container["args"].as_array().context("arguments")?.iter().filter_map(Value::as_str).collect();
        let environment = container["env"].as_array().context("an environment")?.iter().map(|variable| {
            let name = variable["name"].as_str().unwrap_or_default().to_owned();
            let value = match variable.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str) {
                Some("metadata.namespace") => &pods[0]["metadata"]["namespace"],
                _ => &variable["value"],
            };
            (name, value.as_str().unwrap_or_default().to_owned())
        });
        let (done, said) = self.capstan_agent(kubeconfig, &arguments, environment.collect()).await?;
        ensure!(done, "{said}");
        Ok(said)
    }
}

/// An object without what any write changes of itself. A Deployment's generation counts its annotations, and its controller answers in the status.
fn resting(object: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().and_then(|object| object.remove("status"));
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, _| name != "resourceVersion" && name != "generation");
        let fields = metadata.get_mut("managedFields").and_then(Value::as_array_mut);
        fields.into_iter().flatten().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("time")));
    }
    object
}

/// An object without Capstan's annotation, and without its fields among those that somebody manages.
fn unmarked(object: &Value) -> Value {
    let mut object = resting(object);
    let Some(metadata) = object["metadata"].as_object_mut() else { return object };
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("capstan.dev/tracking-id");
    }
    if let Some(fields) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
        fields.retain(|entry| entry["manager"] != "capstan");
    }
    let is_empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    metadata.retain(|_, value| !is_empty(value));
    object
}

/// One of the installations in `deploy/agent`.
struct Way {
    installation: &'static str,
    /// Further flags that its Deployment has.
    flags: &'static [&'static str],
    /// Rights that the agent has once its roles are in force.
    rights: &'static [&'static [&'static str]],
    /// What the app says beside its source, and the project.
    app: &'static str,
    /// As whom the app's objects are written.
    acts_as: Option<&'static str>,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_a_cluster_leaves_with_its_own_rights_and_only_marks_change() -> anyhow::Result<()> {
    let rights: &[&[&str]] = &[&["create", "services", "-n=team-a"], &["list", "deployments", "-A"]];
    leaves(&Way { installation: "cluster", flags: &[], rights, app: "", acts_as: None }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_tenants_leaves_with_their_accounts_rights_and_only_marks_change() -> anyhow::Result<()> {
    let acts_as = Some("system:serviceaccount:team-a:deployer");
    let rights: &[&[&str]] = &[&["impersonate", "serviceaccounts/deployer", "-n=team-a"], &["list", "deployments", "-A"]];
    leaves(&Way { installation: "tenants", flags: &[], rights, app: "  project: team-a\n", acts_as }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_some_namespaces_leaves_without_rights_on_the_cluster() -> anyhow::Result<()> {
    let (flags, rights): (_, &[&[&str]]) = (&["--namespaces", TEAM], &[&["create", "services", "-n=team-a"]]);
    leaves(&Way { installation: "namespaces", flags, rights, app: "", acts_as: None }).await
}

async fn leaves(way: &Way) -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let app = format!(
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: web}}\nspec:\n  namespace: {TEAM}\n{}  \
         clusters: {{matchLabels: {{serving: \"yes\"}}}}\n  source: {{path: manifests}}\n",
        way.app
    );
    let mut scene =
        Scene::set(&[("projects/team-a.yaml", PROJECT), ("apps/web/app.yaml", &app), ("apps/web/manifests/web.yaml", MANIFESTS)]).await?;
    scene.plane.kubectl(&["create", "namespace", TEAM]).await?;
    scene.plane.kubectl(&["apply", "-k", &Scene::deploy(way.installation)]).await?;
    for right in way.rights {
        let question = [&["auth", "can-i", "--as", USER], *right].concat();
        let answer = async || Ok(scene.plane.kubectl(&question).await.unwrap_or_default());
        eventually("the roles are in force", answer, |answer| answer.trim() == "yes").await?;
    }
    let kubeconfig = scene.token_kubeconfig().await?;
    let guardrail = scene.disk.path().join("guardrail.yaml");
    std::fs::write(
        &guardrail,
        scene.own(&["get", "configmap", "capstan-agent-guardrail", "-o", "jsonpath={.data.guardrail\\.yaml}"]).await?,
    )?;
    let mut flags = scene.agent.flags_with(&kubeconfig);
    flags.extend(["--guardrail".into(), guardrail.into()]);
    flags.extend(way.flags.iter().map(Into::into));
    let mut agent = Process::start(env!("CARGO_BIN_EXE_fleet-process"), &flags, &scene.disk.path().join("agent.log"))?;
    scene.row("web", "is applied", |row| row.sync == SyncWord::Synced).await?;
    let copied = async || scene.leave("leave", "capstan-agent-leave", &kubeconfig).await;
    eventually("what is owned is in the copy", copied, |said| said.contains("4 objects;")).await?;
    let pods = async || Ok(scene.plane.kubectl(&MADE).await?);
    eventually("its workload has its pod", pods, |made| made.contains("Pod ")).await?;
    scene.controller_rests().await?;

    scene.own(&["scale", "deployment", "capstan-agent", "--replicas=0"]).await?;
    agent.end().await?;
    scene.moment("stopped").await?;
    let (before, made) = (scene.objects().await?, scene.plane.kubectl(&MADE).await?);
    assert_eq!(before.keys().map(String::as_str).collect::<Vec<_>>(), NAMES);
    assert!(before.values().all(|object| resting(object) != unmarked(object)), "each has marks: {before:#?}");
    let said = scene.leave("leave", "capstan-agent-leave", &kubeconfig).await?;
    for object in ["ConfigMap team-a/settings", "Deployment.apps team-a/api", "Secret team-a/key", "Service team-a/api"] {
        ensure!(said.contains(&format!("web: {object} would be let go\n")), "{object} is not in {said}");
    }
    assert_eq!(scene.objects().await?, before);
    assert_eq!(scene.wrote_since("stopped").await?, [] as [Write; 0], "a dry run writes nothing");

    let said = scene.leave("leave/meant", "capstan-agent-leave-meant", &kubeconfig).await?;
    ensure!(said.contains("4 objects; they are nobody's now"), "{said}");
    scene.controller_rests().await?;
    let after = scene.objects().await?;
    for (name, object) in &before {
        assert_eq!(after.get(name).map(resting), Some(unmarked(object)), "{name}");
    }
    assert_eq!(scene.plane.kubectl(&MADE).await?, made, "no pod and no ReplicaSet came or went");
    let wrote = scene.wrote_since("stopped").await?;
    let foreign: Vec<&Write> = wrote.iter().filter(|write| write.namespace.as_deref() != Some(OWN)).collect();
    assert_eq!(foreign.len(), NAMES.len(), "{foreign:#?}");
    assert!(foreign.iter().all(|write| write.verb == "patch" && write.acts_as.as_deref() == way.acts_as), "{foreign:#?}");
    assert!(wrote.iter().all(|write| write.code < 300), "it may do all that it asks: {wrote:#?}");
    assert_eq!(scene.own(&["get", "leases,secrets", "-o", "name"]).await?, "", "nothing of the agent's own is left");
    scene.hub.stop().await
}
