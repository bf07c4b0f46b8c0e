//! What the tests stand on: a namespace of a real control plane, agents in it, and a hub played by a signing key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_agentd::{Guardrail, Intake, Running, Seat, Status, start};
use agent_cluster::Cluster;
use anyhow::{Context as _, bail};
use e2e_cluster::ControlPlane;
use serde_json::{Value, json};
use shared_manifest::{Object, YamlBudget, YamlMode, parse_yaml};
use shared_model::{AppName, AppState, Clock, ClusterUid, Digest, Epoch, Generation, GroupKind, ObjectKey, Timestamp};
use shared_release::{
    Approval, DataKey, Entry, Freshness, Hook, Index, IndexApp, Policy, Release, Root, SigningKey, Withdrawal, encode_object,
};

/// Long enough for a busy machine; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn manifest(yaml: &str) -> Value {
    parse_yaml(yaml, YamlMode::Kubernetes, YamlBudget::MANIFEST).expect("valid").remove(0).value
}

pub(crate) fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"value": value}})
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
        self.start_on(self.disk.path().join("ledger")).await
    }

    pub(crate) async fn start_agent_with_empty_disk(&self) -> anyhow::Result<TestAgent> {
        let next = self.sequence.fetch_add(1, Ordering::Relaxed);
        self.start_on(self.disk.path().join(format!("ledger-{next}"))).await
    }

    async fn start_on(&self, ledger: std::path::PathBuf) -> anyhow::Result<TestAgent> {
        let client = self.plane.client_for(&self.user, &["system:masters"]).await?;
        let clock = Clock::new(Timestamp::now);
        let instance = format!("{}-{}", self.user, self.sequence.fetch_add(1, Ordering::Relaxed));
        let seat = Seat {
            cluster: Cluster::with_client(client),
            name: "test".parse()?,
            uid: self.uid.clone(),
            ledger: &ledger,
            namespace: &self.agent_namespace,
            instance,
            guardrail: self.guardrail.clone(),
        };
        let running = start(seat, clock).await?;
        let hub = SigningKey::from_seed([3; 32]);
        let root = Root { version: 1, epoch: Epoch(1), keys: vec![hub.public()], authorities: Vec::new(), previous: None };
        running.intake.offer_root(&root.sign(&[&hub])).map_err(|reason| anyhow::anyhow!("{reason}"))?;
        Ok(TestAgent { running, hub, uid: self.uid.clone(), sequence: self.sequence.clone(), data_key: DataKey::from_bytes([5; 32]) })
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
        let mut last = String::new();
        let waiting = async {
            loop {
                last = self.kubectl(args).await.unwrap_or_else(|error| error.to_string());
                if good(&last) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            bail!("kubectl {args:?} still says {last:?}");
        }
        Ok(())
    }

    /// Plays the kubelet: the pod of a Job comes to its end.
    pub(crate) async fn end_job(&self, name: &str, phase: &str) -> anyhow::Result<()> {
        let selector = format!("job-name={name}");
        let pods = ["get", "pods", "-l", &selector, "-o", "jsonpath={.items[0].metadata.name}"];
        self.wait_until(&pods, |pod| !pod.is_empty() && !pod.contains(' ')).await?;
        let pod = self.kubectl(&pods).await?;
        let status = json!({"status": {"phase": phase}}).to_string();
        self.kubectl(&["patch", "pod", &pod, "--subresource=status", "--type=merge", "-p", &status]).await.map(|_| ())
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
    hub: SigningKey,
    uid: ClusterUid,
    sequence: Arc<AtomicU64>,
    data_key: DataKey,
}

impl TestAgent {
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    pub(crate) fn publish(&self, apps: Apps<'_>) -> anyhow::Result<()> {
        self.offer(apps, &[], None, false, true)?;
        self.confirm()
    }

    pub(crate) fn publish_withdrawing(&self, apps: Apps<'_>, withdrawn: &[(&str, &[&str])], approved: bool) -> anyhow::Result<()> {
        self.offer(apps, withdrawn, None, approved, true)?;
        self.confirm()
    }

    /// Publishes an index whose content never comes: the hub is gone right after it was judged.
    pub(crate) fn publish_without_content(&self, apps: Apps<'_>) -> anyhow::Result<()> {
        self.offer(apps, &[], None, false, false)?;
        self.confirm()
    }

    pub(crate) fn publish_unconfirmed(&self, apps: Apps<'_>, withdrawn: &[(&str, &[&str])]) -> anyhow::Result<()> {
        self.offer(apps, withdrawn, None, false, true)
    }

    pub(crate) fn publish_handing_over(&self, apps: Apps<'_>, from: &str, object: &str, to: &str) -> anyhow::Result<()> {
        self.offer(apps, &[(from, &[object])], Some(to), false, true)?;
        self.confirm()
    }

    /// Says that the index in force is still wanted.
    pub(crate) fn confirm(&self) -> anyhow::Result<()> {
        let held = self.intake().held().context("no index is held")?;
        let statement = Freshness { uid: self.uid.clone(), index: held, at: Timestamp::now() };
        self.intake().confirm(&statement.sign(&self.hub), Timestamp::now()).map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    pub(crate) fn publish_at_sequence(&self, sequence: u64, apps: Apps<'_>) -> anyhow::Result<()> {
        self.offer_at(sequence, apps, &[], None, false, true)
    }

    /// The newest accepted index.
    pub(crate) fn held(&self) -> Option<Digest> {
        self.intake().held()
    }

    fn offer(&self, apps: Apps<'_>, withdrawn: &[(&str, &[&str])], to: Option<&str>, approved: bool, deliver: bool) -> anyhow::Result<()> {
        self.offer_at(self.sequence.fetch_add(1, Ordering::Relaxed) + 1, apps, withdrawn, to, approved, deliver)
    }

    fn offer_at(
        &self,
        sequence: u64,
        apps: Apps<'_>,
        withdrawn: &[(&str, &[&str])],
        to: Option<&str>,
        approved: bool,
        deliver: bool,
    ) -> anyhow::Result<()> {
        let mut index = Index {
            cluster: "test".parse()?,
            uid: self.uid.clone(),
            generation: Generation::new(1, sequence),
            parent: None,
            apps: BTreeMap::new(),
        };
        let mut contents = BTreeMap::new();
        let mut keys = BTreeMap::new();
        for (name, objects) in apps {
            let app: AppName = name.parse()?;
            let key = self.data_key.app_key(&app);
            let release = release(&app, objects, &key, &mut contents)?;
            let (digest, bytes) = release.encode();
            contents.insert(digest, bytes);
            let namespace = objects[0]["metadata"]["namespace"].as_str().map(str::to_owned);
            let names: Vec<&str> = withdrawn.iter().filter(|(of, _)| of == name).flat_map(|(_, names)| names.iter().copied()).collect();
            let withdrawals: BTreeSet<Withdrawal> = names
                .into_iter()
                .map(|object| Withdrawal {
                    object: ObjectKey::new(GroupKind::new("", "ConfigMap"), namespace.as_deref(), object),
                    to: to.map(|to| to.parse().expect("valid")),
                })
                .collect();
            let mut content = IndexApp { release: Some(digest), withdrawals, ..IndexApp::default() };
            if approved {
                content.approval = Some(Approval { of: content.withdrawals_digest(&app), by: "tester".into(), at: Timestamp::now() });
            }
            keys.insert(app.clone(), key);
            index.apps.insert(app, content);
        }
        let refused = |reason| anyhow::anyhow!("{reason}");
        self.intake().set_keys(keys).map_err(refused)?;
        let signed = index.sign(&self.hub);
        self.intake().offer_index(&signed).map_err(refused)?;
        if !deliver {
            return Ok(());
        }
        loop {
            let missing = self.intake().missing(256);
            if missing.is_empty() {
                return Ok(());
            }
            let found: Option<Vec<_>> = missing.iter().map(|digest| Some((*digest, contents.get(digest)?.clone()))).collect();
            self.intake().store(&found.context("something is missing that the hub does not have")?).map_err(refused)?;
        }
    }

    fn intake(&self) -> &Intake {
        &self.running.intake
    }

    pub(crate) async fn wait_applied(&self, app: &str) -> anyhow::Result<()> {
        self.wait(|apps| apps.get(app).is_some_and(|app| app.wanted.is_some() && app.applied == app.wanted)).await.map(|_| ())
    }

    pub(crate) async fn wait(&self, good: impl Fn(&BTreeMap<String, AppState>) -> bool) -> anyhow::Result<BTreeMap<String, AppState>> {
        let by_name = |status: &Status| status.apps.iter().map(|(name, state)| (name.to_string(), state.clone())).collect();
        let status = self.wait_status(|status| !status.apps.is_empty() && good(&by_name(status))).await?;
        Ok(by_name(&status))
    }

    pub(crate) async fn wait_status(&self, good: impl Fn(&Status) -> bool) -> anyhow::Result<Status> {
        let mut status = self.running.status.clone();
        match tokio::time::timeout(PATIENCE, status.wait_for(|status| good(status))).await {
            Ok(found) => Ok(found?.clone()),
            Err(_) => bail!("the status is still {:#?}", self.running.status.borrow().clone()),
        }
    }
}

fn release(
    app: &AppName,
    objects: &[Value],
    key: &shared_release::AppKey,
    contents: &mut BTreeMap<Digest, Vec<u8>>,
) -> anyhow::Result<Release> {
    let mut entries = Vec::new();
    for value in objects {
        let object = Object::from_value(value.clone())?;
        let (digest, blob) = encode_object(&object, key)?;
        contents.insert(digest, blob);
        let hook = object.annotation("test/hook").map(hook).transpose()?;
        entries.push(Entry {
            object: object.key(),
            version: object.api_version().rsplit('/').next().unwrap_or_default().to_owned(),
            digest,
            sealed: object.is_secret().then(|| key.id().clone()),
            phase: hook.as_ref().and_then(|hook| hook.phases.first().copied()).unwrap_or_default(),
            wave: object.annotation("test/wave").and_then(|wave| wave.parse().ok()).unwrap_or(0),
            hook,
            policy: Policy::default(),
        });
    }
    Ok(Release::new(app.clone(), entries))
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
