//! An agent in a process of its own is killed at each named point of its way. Whatever it had begun, it ends as the newest index says: nothing
//! is made or run twice, nothing goes that was not withdrawn, and what is there is always in its inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agent_agentd::{FaultPoint, FaultPoints, Guardrail, Seat};
use agent_cluster::{Cluster, ClusterConfig};
use agent_ledger::Ledger;
use agent_plan::Tracking;
use anyhow::{Context as _, bail, ensure};
use e2e_cluster::{AuditEvent, require_control_plane};
use serde_json::{Value, json};
use shared_model::{Generation, ObjectKey};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::PLANE;
use crate::bench::{Bench, TestAgent, config_map};

/// What works never waits for this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the victim's lines from the test harness's.
const SAYS: &str = "victim: ";

/// What the hub wants, one after the other. Each has hooks, a wave after the first, and something that must be made anew to change.
fn wanted(namespace: &str, stage: u64) -> (Vec<Value>, &'static [&'static str]) {
    let text = stage.to_string();
    let mut fixed = config_map(namespace, "fixed", &text);
    fixed["immutable"] = json!(true);
    fixed["metadata"]["annotations"] = json!({"test/recreate": "true"});
    let mut late = config_map(namespace, "late", &text);
    late["metadata"]["annotations"] = json!({"test/wave": "1"});
    let mut objects = vec![
        hook(namespace, "migrate", "PreSync+BeforeHookCreation", stage),
        hook(namespace, "announce", "PostSync+HookSucceeded", stage),
        config_map(namespace, "first", &text),
        config_map(namespace, "second", &text),
        config_map(namespace, "third", "the same"),
        fixed,
        late,
    ];
    if stage == 1 {
        objects.push(config_map(namespace, "leaves", "1"));
        return (objects, &[]);
    }
    objects.push(config_map(namespace, "comes", "2"));
    (objects, &["leaves"])
}

fn hook(namespace: &str, name: &str, when: &str, stage: u64) -> Value {
    let container = json!({"name": "run", "image": "example.test/run:1", "args": [stage.to_string()]});
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "annotations": {"test/hook": when}},
        "spec": {"template": {
            "metadata": {"annotations": {"fakelet.capstan.dev/fault": "succeeded"}},
            "spec": {"restartPolicy": "Never", "containers": [container]},
        }},
    })
}

// ---- The process that is killed ----

/// Environment of the victim, as one JSON text.
const VICTIM: &str = "CAPSTAN_FAULT_VICTIM";

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
#[ignore = "the agent that the tests of fault points start and kill"]
async fn victim_that_is_killed() -> anyhow::Result<()> {
    let _ = tracing_subscriber::fmt().with_env_filter("info,kube_client=off").with_writer(std::io::stderr).try_init();
    let orders: Value = serde_json::from_str(&std::env::var(VICTIM).context("it is started by another test")?)?;
    let text = |name: &str| orders[name].as_str().unwrap_or_default().to_owned();
    let (kubeconfig, ledger, namespace, point) = (text("kubeconfig"), text("ledger"), text("namespace"), text("point"));
    let cluster = Cluster::connect(&ClusterConfig { kubeconfig: Some(kubeconfig.into()) }).await?;
    let own = format!("{namespace}-agent");
    let armed = Arc::new(AtomicBool::new(true));
    let points = FaultPoints::watched(move |passed| {
        if passed.to_string() == point && armed.swap(false, Ordering::SeqCst) {
            println!("\n{SAYS}reached {passed}");
            // Here it ends: whatever else is under way may go on until the signal comes, as in a machine that dies.
            loop {
                std::thread::park();
            }
        }
    });
    let seat = Seat {
        uid: cluster.uid().await?,
        cluster,
        name: "test".parse()?,
        ledger: Path::new(&ledger),
        namespace: &own,
        // The lease of a pod that is known to be gone: its successor need not wait.
        instance: own.clone(),
        guardrail: Guardrail::open(&own),
    };
    let agent = TestAgent::sit(seat, points, Arc::new(AtomicU64::new(0))).await?;
    println!("\n{SAYS}started");
    // The hub's door writes files and may be where it dies: a thread of its own.
    let hub = std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(stage) = line?.trim().parse::<u64>() else { continue };
            let (objects, gone) = wanted(&namespace, stage);
            agent.publish_again(stage, &[("web", objects)], &[("web", gone)])?;
        }
        anyhow::Ok(())
    });
    tokio::task::spawn_blocking(move || hub.join()).await?.map_err(|_| anyhow::anyhow!("the hub's thread panicked"))?
}

struct Victim {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Victim {
    /// Starts an agent that dies at `point`.
    async fn start(bench: &Bench<'_>, ledger: &Path, point: &str) -> anyhow::Result<Self> {
        let kubeconfig = bench.plane().kubeconfig_for(bench.user(), &["system:masters"])?;
        let orders = json!({"kubeconfig": kubeconfig, "ledger": ledger, "namespace": bench.namespace, "point": point});
        let log = bench.ledger().with_extension("log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "faults::kills::victim_that_is_killed", "--ignored", "--nocapture"])
            .env(VICTIM, orders.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("a pipe was asked for")?;
        let lines = BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines();
        let mut victim = Self { child, stdin, lines, log };
        victim.says("started").await?;
        Ok(victim)
    }

    async fn publish(&mut self, stage: u64) -> anyhow::Result<()> {
        Ok(self.stdin.write_all(format!("{stage}\n").as_bytes()).await?)
    }

    async fn says(&mut self, word: &str) -> anyhow::Result<()> {
        let wanted = format!("{SAYS}{word}");
        let waiting = async {
            while let Some(line) = self.lines.next_line().await? {
                if line == wanted {
                    return Ok(());
                }
            }
            bail!("it ended by itself")
        };
        let said = tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| Err(anyhow::anyhow!("it did not")));
        said.with_context(|| format!("the agent should have {word}; its last words:\n{}", self.last_words()))
    }

    async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

// ---- What must hold ----

/// A namespace in which an agent is killed, and what was seen there so far.
struct Scene<'a> {
    bench: Bench<'a>,
    ledgers: u64,
    floor: Generation,
    bystander: String,
}

impl<'a> Scene<'a> {
    async fn new() -> anyhow::Result<Scene<'static>> {
        let bench = Bench::new(PLANE.get().await?).await?;
        bench.kubectl(&["create", "configmap", "bystander"]).await?;
        // Somebody copied one of ours, tracking annotation and all: it is not ours for that.
        let copy = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "copied", "namespace": bench.namespace,
            "annotations": {"capstan.dev/tracking-id": format!("web:/ConfigMap:{}/leaves", bench.namespace)}}});
        bench.apply(&copy).await?;
        let bystander = bench.kubectl(&["get", "configmap", "bystander", "copied", "-o", "jsonpath={.items[*].metadata.uid}"]).await?;
        Ok(Scene { bench, ledgers: 0, floor: Generation::default(), bystander })
    }

    fn ledger(&self) -> PathBuf {
        self.bench.ledger().with_file_name(format!("ledger-{}", self.ledgers))
    }

    /// Kills an agent at each of `points`, one life after the other; the pod's disk goes with each life that `loses_disk` names.
    async fn die_at(&mut self, stage: u64, points: &[FaultPoint], loses_disk: &[FaultPoint]) -> anyhow::Result<()> {
        for point in points {
            let mut victim = Victim::start(&self.bench, &self.ledger(), &point.to_string()).await?;
            victim.publish(stage).await?;
            victim.says(&format!("reached {point}")).await?;
            victim.kill().await?;
            self.inventory_covers().await.with_context(|| format!("after the kill at {point} of stage {stage}"))?;
            if loses_disk.contains(point) {
                self.ledgers += 1;
            }
        }
        Ok(())
    }

    /// I6: whatever carries our annotation, written for itself, is in the ledger. I4: its floor never goes back.
    async fn inventory_covers(&mut self) -> anyhow::Result<()> {
        let ledger = Ledger::open(&self.ledger())?.ledger;
        ensure!(ledger.floor() >= self.floor, "the floor went back from {} to {}", self.floor, ledger.floor());
        self.floor = ledger.floor();
        let web = "web".parse()?;
        for (key, object) in self.objects().await? {
            let owned = ledger.inventory().get(&web, &key).with_context(|| format!("{key} is there and in no inventory"))?;
            let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
            ensure!(
                owned.uid.is_none() || owned.uid.as_deref() == uid || key.kind.kind == "Job" || key.name == "fixed",
                "{key} has another uid"
            );
        }
        Ok(())
    }

    /// What is there and says that it is ours.
    async fn objects(&self) -> anyhow::Result<BTreeMap<ObjectKey, Value>> {
        let list: Value = serde_json::from_str(&self.bench.kubectl(&["get", "configmaps,jobs", "-o", "json"]).await?)?;
        let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let ours = items.into_iter().filter_map(|object| {
            let tracking =
                object.pointer("/metadata/annotations/capstan.dev~1tracking-id").and_then(Value::as_str).and_then(Tracking::parse)?;
            let is_itself = object.pointer("/metadata/name").and_then(Value::as_str) == Some(&tracking.object.name);
            is_itself.then_some((tracking.object, object))
        });
        Ok(ours.collect())
    }

    async fn values(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let objects = self.objects().await?;
        let maps = objects.into_iter().filter(|(key, _)| key.kind.kind == "ConfigMap");
        Ok(maps.map(|(key, object)| (key.name, object["data"]["value"].as_str().unwrap_or_default().to_owned())).collect())
    }

    /// I7: lets one more agent live until everything is as `stage` says and its last hook came to its end.
    async fn converge(&mut self, stage: u64) -> anyhow::Result<()> {
        let mut victim = Victim::start(&self.bench, &self.ledger(), "none").await?;
        victim.publish(stage).await?;
        self.is_as_wanted(stage, true).await.with_context(|| victim.last_words())?;
        victim.kill().await?;
        self.inventory_covers().await
    }

    async fn is_as_wanted(&self, stage: u64, hooks_ran: bool) -> anyhow::Result<()> {
        let (objects, _) = wanted(&self.bench.namespace, stage);
        let maps = objects.iter().filter(|object| object["kind"] == "ConfigMap");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let expected: BTreeMap<String, String> = maps.map(|o| (text(&o["metadata"]["name"]), text(&o["data"]["value"]))).collect();
        let mut found = BTreeMap::new();
        let mut announced = 0;
        let waiting = async {
            loop {
                found = self.values().await?;
                announced = if hooks_ran { self.removed("announce").await? } else { stage };
                if found == expected && announced >= stage {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(done) => done,
            Err(_) => bail!("wanted {expected:?} and the last hook's object removed {stage} times; found {found:?} and {announced}"),
        }
    }

    async fn writes(&self) -> anyhow::Result<Vec<AuditEvent>> {
        let events = self.bench.plane().audit_events().await?;
        let mine = |event: &AuditEvent| event.user == self.bench.user() && event.namespace.as_deref() == Some(&self.bench.namespace);
        Ok(events.into_iter().filter(|event| mine(event) && event.is_write() && event.code < 300).collect())
    }

    async fn removed(&self, name: &str) -> anyhow::Result<u64> {
        let writes = self.writes().await?;
        Ok(writes.iter().filter(|event| event.verb == "delete" && event.name.as_deref() == Some(name)).count() as u64)
    }

    /// I5 and I7, from the audit log: what was made and what was deleted, and how often.
    async fn counts(&self) -> anyhow::Result<(BTreeMap<String, u64>, BTreeMap<String, u64>)> {
        let (mut made, mut deleted) = (BTreeMap::new(), BTreeMap::new());
        for event in self.writes().await? {
            let name = event.name.unwrap_or_default();
            match (event.verb.as_str(), event.code) {
                ("delete" | "deletecollection", _) => *deleted.entry(name).or_default() += 1,
                (_, 201) => *made.entry(name).or_default() += 1,
                _ => {}
            }
        }
        Ok((made, deleted))
    }

    /// I8: without a word from the hub, a new life heals what is done to its objects.
    async fn heals_alone(&self, stage: u64) -> anyhow::Result<()> {
        let victim = Victim::start(&self.bench, &self.ledger(), "none").await?;
        self.bench.kubectl(&["delete", "configmap", "first"]).await?;
        self.bench.kubectl(&["patch", "configmap", "second", "--type=merge", "-p", r#"{"data":{"value":"wrong"}}"#]).await?;
        self.is_as_wanted(stage, false).await.with_context(|| victim.last_words())?;
        victim.kill().await
    }

    async fn bystanders_live(&self) -> anyhow::Result<()> {
        let now = self.bench.kubectl(&["get", "configmap", "bystander", "copied", "-o", "jsonpath={.items[*].metadata.uid}"]).await?;
        ensure!(now == self.bystander, "what is not ours was touched");
        Ok(())
    }
}

/// Nothing else, and nothing more often. That it happened at all shows in what is there: the API server may do what a killed client asked for and
/// log no success.
fn at_most(counts: &BTreeMap<String, u64>, most: &[(&str, u64)]) -> anyhow::Result<()> {
    let over = counts.iter().find(|(name, count)| most.iter().find(|(known, _)| known == name).is_none_or(|(_, most)| *count > most));
    ensure!(over.is_none(), "{over:?} is more than {most:?} allows");
    Ok(())
}

/// The way of a first rollout, in the order in which it comes by.
const FIRST: [FaultPoint; 12] = [
    FaultPoint::IndexJudged,
    FaultPoint::IndexDurable,
    FaultPoint::ContentsDurable,
    FaultPoint::IntentDurable,
    FaultPoint::HookStarted,
    FaultPoint::HookEnded,
    FaultPoint::ObjectApplied,
    FaultPoint::BetweenObjects,
    FaultPoint::OrderDurable,
    FaultPoint::CopyBehind,
    FaultPoint::BetweenWaves,
    FaultPoint::HookDeleted,
];

/// The way of an update that makes one object anew and withdraws another.
const UPDATE: [FaultPoint; 12] = [
    FaultPoint::IndexJudged,
    FaultPoint::IndexDurable,
    FaultPoint::ContentsDurable,
    FaultPoint::HookDeleted,
    FaultPoint::IntentDurable,
    FaultPoint::HookStarted,
    FaultPoint::HookEnded,
    FaultPoint::ObjectReplaced,
    FaultPoint::ObjectApplied,
    FaultPoint::CopyWritten,
    FaultPoint::ObjectDeleted,
    FaultPoint::BetweenWaves,
];

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_at_each_point_of_a_rollout_and_of_an_update_makes_runs_and_deletes_everything_once() -> anyhow::Result<()>
{
    require_control_plane!(controllers);
    let reached: BTreeSet<FaultPoint> = FIRST.into_iter().chain(UPDATE).collect();
    assert_eq!(reached.len(), FaultPoint::ALL.len(), "each point is died at");
    let mut scene = Scene::new().await?;
    scene.die_at(1, &FIRST, &[]).await?;
    scene.converge(1).await?;
    scene.die_at(2, &UPDATE, &[]).await?;
    scene.converge(2).await?;
    scene.heals_alone(2).await?;
    scene.bystanders_live().await?;
    let (made, deleted) = scene.counts().await?;
    let once = [("second", 1), ("third", 1), ("late", 1), ("leaves", 1), ("comes", 1)];
    // Once for each content that cannot be changed in place, once for each run, and once more as a person deleted it.
    at_most(&made, &[&once[..], &[("fixed", 2), ("migrate", 2), ("announce", 2), ("first", 2)]].concat()).context("made")?;
    at_most(&deleted, &[("leaves", 1), ("fixed", 1), ("migrate", 1), ("announce", 2)]).context("deleted")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_loses_its_disk_with_its_life_ends_where_the_hub_wants_it() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let mut scene = Scene::new().await?;
    let early = [FaultPoint::OrderDurable, FaultPoint::CopyWritten];
    scene.die_at(1, &early, &[FaultPoint::CopyWritten]).await?;
    scene.converge(1).await?;
    let late = [FaultPoint::CopyBehind, FaultPoint::HookEnded, FaultPoint::ObjectReplaced, FaultPoint::BetweenWaves];
    scene.die_at(2, &late, &[]).await?;
    scene.ledgers += 1;
    scene.floor = Generation::default();
    scene.converge(2).await?;
    scene.heals_alone(2).await?;
    scene.bystanders_live().await?;
    let (_, deleted) = scene.counts().await?;
    // What ran and what the copy did not say yet may run once more; what is withdrawn goes once.
    at_most(&deleted, &[("leaves", 1), ("fixed", 2), ("migrate", 2), ("announce", 3)])
}
