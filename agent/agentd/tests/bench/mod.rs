//! What the tests stand on: a namespace of a real control plane, agents in it, and a hub played by a signing key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_agentd::{FaultPoints, Guardrail, Intake, Leaving, LeavingSeat, Parted, Running, Seat, Status, leave, start_watched};
use agent_cluster::{Cluster, ClusterConfig};
use anyhow::{Context as _, bail};
use e2e_cluster::ControlPlane;
use e2e_situations::{Publication, PublishedApp, PublishedObject, TestHub};
use serde_json::{Value, json};
use shared_manifest::{Object, YamlBudget, YamlMode, parse_yaml};
use shared_model::{AppState, Clock, ClusterUid, Digest, GroupKind, ObjectKey, ServiceAccount, Timestamp};
use shared_release::{Existing, HealthRule, Hook, Policy, Prune, TestRequest, Withdrawal};

/// Long enough for a busy machine; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn manifest(yaml: &str) -> Value {
    parse_yaml(yaml, YamlMode::Kubernetes, YamlBudget::MANIFEST).expect("valid").remove(0).value
}

pub(crate) fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"value": value}})
}

/// Asks again until the answer is good. Who cannot answer has said something, too.
pub(crate) async fn until<F: Future<Output = anyhow::Result<String>>>(
    what: &str,
    ask: impl Fn() -> F,
    good: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let mut last = String::new();
    let waiting = async {
        loop {
            last = ask().await.unwrap_or_else(|error| error.to_string());
            if good(&last) {
                return;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        bail!("{what} still says {last:?}");
    }
    Ok(())
}

pub(crate) struct Bench<'a> {
    plane: &'a ControlPlane,
    pub(crate) namespace: String,
    pub(crate) agent_namespace: String,
    user: String,
    disk: tempfile::TempDir,
    uid: ClusterUid,
    sequence: Arc<AtomicU64>,
    pub(crate) guardrail: Guardrail,
}

impl<'a> Bench<'a> {
    pub(crate) async fn new(plane: &'a ControlPlane) -> anyhow::Result<Self> {
        let _ = tracing_subscriber::fmt().with_env_filter("info").with_test_writer().try_init();
        let namespace = plane.fresh_namespace().await?;
        let cluster = Cluster::with_client(plane.client().await?);
        Ok(Self {
            agent_namespace: format!("{namespace}-agent"),
            user: format!("agent-{namespace}"),
            guardrail: Guardrail::open(format!("{namespace}-agent")),
            plane,
            namespace,
            disk: tempfile::tempdir()?,
            uid: cluster.uid().await?,
            sequence: Arc::default(),
        })
    }

    pub(crate) async fn start_agent(&self) -> anyhow::Result<TestAgent> {
        self.start_on(self.ledger()).await
    }

    pub(crate) async fn start_agent_with_empty_disk(&self) -> anyhow::Result<TestAgent> {
        let next = self.sequence.fetch_add(1, Ordering::Relaxed);
        self.start_on(self.disk.path().join(format!("ledger-{next}"))).await
    }

    async fn start_on(&self, ledger: std::path::PathBuf) -> anyhow::Result<TestAgent> {
        let kubeconfig = self.plane.kubeconfig_for(&self.user, &["system:masters"])?;
        self.start_in(Cluster::connect(&ClusterConfig { kubeconfig: Some(kubeconfig) }).await?, &ledger).await
    }

    /// Starts an agent that reaches the cluster in another way.
    pub(crate) async fn start_agent_through(&self, cluster: Cluster) -> anyhow::Result<TestAgent> {
        self.start_in(cluster, &self.ledger()).await
    }

    async fn start_in(&self, cluster: Cluster, ledger: &Path) -> anyhow::Result<TestAgent> {
        let seat = Seat {
            cluster,
            name: "test".parse()?,
            uid: self.uid.clone(),
            ledger,
            namespace: &self.agent_namespace,
            instance: format!("{}-{}", self.user, self.sequence.fetch_add(1, Ordering::Relaxed)),
            guardrail: self.guardrail.clone(),
        };
        TestAgent::sit(seat, FaultPoints::default(), self.sequence.clone()).await
    }

    /// Lets go of `apps`, or of everything; only tells what would happen if it is not meant.
    pub(crate) async fn leave(&self, apps: &[&str], is_meant: bool) -> anyhow::Result<Vec<Parted>> {
        let kubeconfig = self.plane.kubeconfig_for(&self.user, &["system:masters"])?;
        let cluster = Cluster::connect(&ClusterConfig { kubeconfig: Some(kubeconfig) }).await?;
        let instance = format!("leave-{}", self.sequence.fetch_add(1, Ordering::Relaxed));
        let seat = LeavingSeat { cluster: &cluster, ledger: &self.ledger(), namespace: &self.agent_namespace, instance };
        let apps = apps.iter().map(|app| app.parse()).collect::<Result<_, _>>()?;
        leave(&seat, &Leaving { apps, is_meant }, &Clock::new(Timestamp::now)).await
    }

    /// The directory of the ledger.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.disk.path().join("ledger")
    }

    /// The user that the agent is.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The control plane.
    pub(crate) fn plane(&self) -> &ControlPlane {
        self.plane
    }

    pub(crate) async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["-n", &self.namespace];
        all.extend(args);
        self.plane.kubectl(&all).await
    }

    pub(crate) async fn apply(&self, object: &Value) -> anyhow::Result<String> {
        self.plane.kubectl_reading(&object.to_string(), &["apply", "-f", "-"]).await
    }

    /// Server-side apply by another field manager.
    pub(crate) async fn apply_as(&self, manager: &str, object: &Value) -> anyhow::Result<String> {
        let manager = format!("--field-manager={manager}");
        self.plane.kubectl_reading(&object.to_string(), &["apply", "--server-side", "--force-conflicts", &manager, "-f", "-"]).await
    }

    pub(crate) async fn wait_for(&self, args: &[&str], expected: &str) -> anyhow::Result<()> {
        self.wait_until(args, |found| found == expected).await
    }

    pub(crate) async fn wait_until(&self, args: &[&str], good: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        until(&format!("kubectl {args:?}"), || self.kubectl(args), good).await
    }

    /// Plays the kubelet: the pod of a Job comes to its end. It is that of this very Job and runs, as what is said of a pod before its node has
    /// taken it on would be written over.
    pub(crate) async fn end_job(&self, name: &str, phase: &str) -> anyhow::Result<()> {
        let uid = self.kubectl(&["get", "job", name, "-o", "jsonpath={.metadata.uid}"]).await?;
        let selector = format!("batch.kubernetes.io/controller-uid={uid}");
        let pods = ["get", "pods", "-l", &selector, "-o", "jsonpath={.items[*].status.phase} {.items[*].metadata.name}"];
        let is_one = |found: &str| found.strip_prefix("Running ").is_some_and(|pod| !pod.is_empty() && !pod.contains(' '));
        self.wait_until(&pods, is_one).await?;
        let found = self.kubectl(&pods).await?;
        let pod = found.trim_start_matches("Running ");
        let status = json!({"status": {"phase": phase}}).to_string();
        self.kubectl(&["patch", "pod", pod, "--subresource=status", "--type=merge", "-p", &status]).await.map(|_| ())
    }

    /// The agent's writes so far, without those to its own namespace.
    pub(crate) async fn agent_writes(&self, plane: &ControlPlane) -> anyhow::Result<Vec<String>> {
        let events = plane.audit_events().await?;
        let own = Some(self.agent_namespace.as_str());
        let mine = events.iter().filter(|event| event.user == self.user && event.is_write() && event.namespace.as_deref() != own);
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        Ok(mine.map(|event| format!("{} {} {}/{}", event.verb, text(&event.resource), text(&event.namespace), text(&event.name))).collect())
    }
}

type Apps<'a> = &'a [(&'a str, Vec<Value>)];

pub(crate) struct TestAgent {
    running: Running,
    hub: TestHub,
    /// Whose rights apps are written with, by their names; the agent's own for all others.
    pub(crate) runs_as: BTreeMap<String, ServiceAccount>,
    /// The tests that every app is asked to run.
    request: Mutex<Option<TestRequest>>,
    /// How all apps judge objects themselves.
    pub(crate) judged: Vec<HealthRule>,
}

impl TestAgent {
    /// Starts an agent with somebody at its fault points.
    pub(crate) async fn sit(seat: Seat<'_>, points: FaultPoints, sequence: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let hub = TestHub::numbering(seat.uid.clone(), sequence);
        let running = start_watched(seat, Clock::new(Timestamp::now), points).await?;
        hub.introduce_to(&running.intake)?;
        Ok(Self { running, hub, runs_as: BTreeMap::new(), request: Mutex::default(), judged: Vec::new() })
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    pub(crate) fn publish(&self, apps: Apps<'_>) -> anyhow::Result<()> {
        self.hub.publish(self.intake(), &self.publication(apps, &[], None, false)?)
    }

    /// Publishes with a request to run the tests of the apps, or without one.
    pub(crate) fn publish_testing(&self, apps: Apps<'_>, request: Option<&str>) -> anyhow::Result<()> {
        let request = request.map(|id| Ok::<_, anyhow::Error>(TestRequest { id: id.parse()?, by: "tester".into(), seconds: 300 }));
        *self.request.lock().expect("not poisoned") = request.transpose()?;
        self.publish(apps)
    }

    pub(crate) fn publish_withdrawing(&self, apps: Apps<'_>, withdrawn: &[(&str, &[&str])], approved: bool) -> anyhow::Result<()> {
        self.hub.publish(self.intake(), &self.publication(apps, withdrawn, None, approved)?)
    }

    /// Publishes an index whose content never comes: the hub is gone right after it was judged.
    pub(crate) fn publish_without_content(&self, apps: Apps<'_>) -> anyhow::Result<()> {
        self.hub.publish_without_content(self.intake(), &self.publication(apps, &[], None, false)?)
    }

    pub(crate) fn publish_unconfirmed(&self, apps: Apps<'_>, withdrawn: &[(&str, &[&str])]) -> anyhow::Result<()> {
        self.hub.publish_unconfirmed(self.intake(), &self.publication(apps, withdrawn, None, false)?)
    }

    pub(crate) fn publish_handing_over(&self, apps: Apps<'_>, from: &str, object: &str, to: &str) -> anyhow::Result<()> {
        self.hub.publish(self.intake(), &self.publication(apps, &[(from, &[object])], Some(to), false)?)
    }

    /// Says that the index in force is still wanted.
    pub(crate) fn confirm(&self) -> anyhow::Result<()> {
        self.hub.confirm(self.intake())
    }

    /// Publishes as the hub does that sends the same again after a restart, with its word that it still wants this.
    pub(crate) fn publish_again(&self, sequence: u64, apps: Apps<'_>, withdrawn: &[(&str, &[&str])]) -> anyhow::Result<()> {
        self.hub.publish_at_sequence(self.intake(), sequence, &self.publication(apps, withdrawn, None, false)?)?;
        self.confirm()
    }

    pub(crate) fn publish_at_sequence(&self, sequence: u64, apps: Apps<'_>) -> anyhow::Result<()> {
        self.hub.publish_at_sequence(self.intake(), sequence, &self.publication(apps, &[], None, false)?)
    }

    /// The newest accepted index.
    pub(crate) fn held(&self) -> Option<Digest> {
        self.intake().held()
    }

    fn publication(&self, apps: Apps<'_>, withdrawn: &[(&str, &[&str])], to: Option<&str>, approved: bool) -> anyhow::Result<Publication> {
        let mut publication = Publication::new();
        for (name, objects) in apps {
            let namespace = objects[0]["metadata"]["namespace"].as_str();
            let names = withdrawn.iter().filter(|(of, _)| of == name).flat_map(|(_, names)| names.iter().copied());
            let withdrawals = names.map(|object| Withdrawal {
                object: ObjectKey::new(GroupKind::new("", "ConfigMap"), namespace, object),
                to: to.map(|to| to.parse().expect("valid")),
            });
            let app = PublishedApp {
                objects: Some(objects.iter().map(published).collect::<anyhow::Result<_>>()?),
                withdrawals: withdrawals.collect(),
                approved,
                service_account: self.runs_as.get(*name).cloned(),
                test: self.request.lock().expect("not poisoned").clone(),
                judged: self.judged.clone(),
                ..PublishedApp::default()
            };
            publication.insert(name.parse()?, app);
        }
        Ok(publication)
    }

    fn intake(&self) -> &Intake {
        &self.running.intake
    }

    pub(crate) async fn wait_applied(&self, app: &str) -> anyhow::Result<()> {
        self.wait(|apps| apps.get(app).is_some_and(|app| app.wanted.is_some() && app.applied == app.wanted)).await.map(|_| ())
    }

    pub(crate) async fn wait(&self, good: impl Fn(&BTreeMap<String, AppState>) -> bool) -> anyhow::Result<BTreeMap<String, AppState>> {
        let by_name = |status: &Status| status.apps.iter().map(|(name, state)| (name.to_string(), AppState::clone(state))).collect();
        let status = self.wait_status(|status| !status.apps.is_empty() && good(&by_name(status))).await?;
        Ok(by_name(&status))
    }

    /// How the apps stand now.
    pub(crate) fn states(&self) -> BTreeMap<String, AppState> {
        self.running.status.borrow().apps.iter().map(|(name, state)| (name.to_string(), AppState::clone(state))).collect()
    }

    pub(crate) async fn wait_status(&self, good: impl Fn(&Status) -> bool) -> anyhow::Result<Status> {
        let mut status = self.running.status.clone();
        match tokio::time::timeout(PATIENCE, status.wait_for(|status| good(status))).await {
            Ok(found) => Ok(found?.clone()),
            Err(_) => bail!("the status is still {:#?}", self.running.status.borrow().clone()),
        }
    }
}

/// What the annotations of a test ask for.
fn published(value: &Value) -> anyhow::Result<PublishedObject> {
    let object = Object::from_value(value.clone())?;
    Ok(PublishedObject {
        manifest: value.clone(),
        wave: object.annotation("test/wave").and_then(|wave| wave.parse().ok()).unwrap_or(0),
        hook: object.annotation("test/hook").map(hook).transpose()?,
        policy: match object.annotation("test/if-not-present") {
            Some(_) => Policy { existing: Existing::IfNotPresent, prune: Prune::Never, ..Policy::default() },
            None => Policy { recreate: object.annotation("test/recreate").is_some(), ..Policy::default() },
        },
    })
}

/// `PreSync+BeforeHookCreation`: a phase and when the object is deleted.
fn hook(text: &str) -> anyhow::Result<Hook> {
    let (phase, delete) = text.split_once('+').context("phase+policy")?;
    let read = |word: &str| Value::String(word.to_owned());
    Ok(Hook {
        phases: BTreeSet::from([serde_json::from_value(read(phase))?]),
        delete: BTreeSet::from([serde_json::from_value(read(delete))?]),
    })
}
