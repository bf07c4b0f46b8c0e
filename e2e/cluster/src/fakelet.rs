//! A stand-in for scheduler and kubelet: one node with a heartbeat that takes every pending pod, makes it ready or lets it fail as an
//! annotation says, and lets deleted pods go. Nothing runs. What pods do to their owners is real: that is kube-controller-manager's work.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, future};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::ControlPlane;
use crate::plane::client_from;

/// Annotation of a pod that says how it fails: `never-ready`, `crash-loop`, `image-pull`, `unschedulable`, `failed`, or that it ends:
/// `succeeded`. It may change while the pod lives (`unschedulable` matters only before the pod has its node). Another value keeps the pod
/// Pending with reason `FakeletRefuses`.
pub const FAULT_ANNOTATION: &str = "fakelet.capstan.dev/fault";
/// Annotation of a pod: milliseconds between its binding and its becoming ready, or failing.
pub const AFTER_ANNOTATION: &str = "fakelet.capstan.dev/after";
/// The name of the node.
pub const NODE_NAME: &str = "fakelet";

/// Pause between two heartbeats: kubelet's, a quarter of the lease.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Life of the node's Lease: kubelet's default. The node is NotReady some 50 s after the fakelet has ended.
const LEASE_SECONDS: i32 = 40;
/// Pause before a step that the API server refused is tried again; the pod is looked at afresh then.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Restarts that a crash-looping container claims: enough for the kubelet's back-off to have begun.
const CRASHES: i32 = 3;

/// A running stand-in. Dropping it stops it: the heartbeat ends, pods stay as they are.
#[derive(Debug)]
pub struct Fakelet {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fakelet {
    /// Starts the stand-in for a plane and waits until its node is registered. In the audit log it is the user `fakelet`. It runs on a
    /// thread of its own, so that it does not end with the runtime of one test.
    ///
    /// # Errors
    /// The node cannot be made.
    pub async fn start(plane: &ControlPlane) -> anyhow::Result<Self> {
        let kubeconfig = plane.kubeconfig_for("fakelet", &["system:masters"])?;
        let (stop, stopped) = oneshot::channel();
        let (started, registered) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread =
            std::thread::Builder::new().name("fakelet".to_owned()).spawn(move || runtime.block_on(run(kubeconfig, started, stopped)))?;
        let fakelet = Self { stop: Some(stop), thread: Some(thread) };
        registered.await.context("the fakelet ended before its node was registered")??;
        Ok(fakelet)
    }
}

impl Drop for Fakelet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed by its thread; pods that do not get ready tell the test.
            let _ = thread.join();
        }
    }
}

async fn run(kubeconfig: PathBuf, started: oneshot::Sender<anyhow::Result<()>>, stopped: oneshot::Receiver<()>) {
    let registered = async {
        let client = client_from(&kubeconfig).await?;
        register(&client).await?;
        anyhow::Ok(client)
    };
    let client = match registered.await {
        Ok(client) => client,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(())).is_err() {
        return;
    }
    let heart = async {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            // During an outage there is nobody to hear it.
            if let Err(error) = beat(&client).await {
                tracing::debug!(%error, "heartbeat failed");
            }
        }
    };
    let keeper = Arc::new(Keeper { client: client.clone(), bound: Mutex::new(HashMap::new()), addresses: AtomicU32::new(1) });
    let pods = Controller::new(Api::<Pod>::all(client.clone()), watcher::Config::default())
        .run(keep, |_, _, _| Action::requeue(TRY_AGAIN), keeper)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "pod not kept");
            }
            future::ready(())
        });
    tokio::select! {
        () = heart => {}
        () = pods => {}
        _ = stopped => {}
    }
}

async fn register(client: &Client) -> anyhow::Result<()> {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/hostname": NODE_NAME, "kubernetes.io/os": "linux"}},
    });
    let nodes = Api::<Node>::all(client.clone());
    nodes.patch(NODE_NAME, &PatchParams::apply("fakelet").force(), &Patch::Apply(&node)).await?;
    Ok(beat(client).await?)
}

/// What a kubelet does every 10 s: renews its Lease and says that the node is ready.
async fn beat(client: &Client) -> kube::Result<()> {
    let now = Timestamp::now();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": NODE_NAME},
        "spec": {"holderIdentity": NODE_NAME, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": format!("{now:.6}")},
    });
    let leases = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
    leases.patch(NODE_NAME, &PatchParams::apply("fakelet").force(), &Patch::Apply(&lease)).await?;
    let room = json!({"cpu": "64", "memory": "512Gi", "pods": "1000", "ephemeral-storage": "1Ti", "nvidia.com/gpu": "8"});
    let time = format!("{now:.0}");
    let status = json!({"status": {
        "capacity": room,
        "allocatable": room,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "FakeletReady", "message": "the fakelet beats",
            "lastHeartbeatTime": time, "lastTransitionTime": time,
        }],
    }});
    Api::<Node>::all(client.clone()).patch_status(NODE_NAME, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// What carries out the steps: the client, and what pods do not remember themselves.
struct Keeper {
    client: Client,
    /// When a pod, by uid, was first seen on the node. A pod's own times are whole seconds.
    bound: Mutex<HashMap<String, Instant>>,
    addresses: AtomicU32,
}

async fn keep(pod: Arc<Pod>, keeper: Arc<Keeper>) -> kube::Result<Action> {
    let step = next_step(&pod, keeper.on_node_for(&pod));
    match keeper.carry_out(&pod, step).await {
        // The pod has moved on; the watch brings what it is now.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(Action::await_change()),
        outcome => outcome,
    }
}

impl Keeper {
    fn on_node_for(&self, pod: &Pod) -> Duration {
        let (Some(uid), Some(NODE_NAME)) = (pod.uid(), node_of(pod)) else {
            return Duration::ZERO;
        };
        self.bound.lock().expect("nothing panics under this lock").entry(uid).or_insert_with(Instant::now).elapsed()
    }

    async fn carry_out(&self, pod: &Pod, step: Step) -> kube::Result<Action> {
        let name = pod.name_any();
        let pods = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        match step {
            Step::Nothing => {}
            Step::Wait(rest) => return Ok(Action::requeue(rest)),
            Step::Bind => {
                let binding = json!({
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": name, "uid": pod.uid()},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": NODE_NAME},
                });
                let _: Value = pods.create_subresource("binding", &name, &PostParams::default(), &binding).await?;
            }
            Step::Show(look) => {
                let number = self.addresses.fetch_add(1, Ordering::Relaxed);
                let [_, _, high, low] = number.to_be_bytes();
                let status = status(pod, &look, &format!("10.244.{high}.{low}"), Timestamp::now());
                // The uid is a precondition: a pod of the same name is another pod.
                let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
                pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            Step::Remove => {
                if let Some(uid) = pod.uid() {
                    self.bound.lock().expect("nothing panics under this lock").remove(&uid);
                }
                let only_this = Preconditions { uid: pod.uid(), resource_version: None };
                let now = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default().grace_period(0) };
                pods.delete(&name, &now).await?;
            }
        }
        Ok(Action::await_change())
    }
}

/// What is to be done with a pod now.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Nothing,
    Wait(Duration),
    Bind,
    Show(Look),
    Remove,
}

/// How a pod appears to those who judge its health; everything else in its status follows from it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Look {
    phase: &'static str,
    ready: bool,
    /// Why its containers wait: reason and message.
    waiting: Option<(&'static str, String)>,
    /// Why it has no node: reason and message.
    unscheduled: Option<(&'static str, String)>,
}

impl Look {
    fn of_phase(phase: &'static str) -> Self {
        Self { phase, ready: false, waiting: None, unscheduled: None }
    }

    fn refused(message: String) -> Self {
        Self { waiting: Some(("FakeletRefuses", message)), ..Self::of_phase("Pending") }
    }

    fn shown_by(&self, pod: &Pod) -> bool {
        let Some(status) = &pod.status else { return false };
        let condition = |kind: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
        let waiting = status.container_statuses.iter().flatten().find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            Some((waiting.reason.clone()?, waiting.message.clone().unwrap_or_default()))
        });
        let unscheduled = condition("PodScheduled").filter(|condition| condition.status == "False");
        status.phase.as_deref() == Some(self.phase)
            && condition("Ready").is_some_and(|condition| condition.status == "True") == self.ready
            && waiting.as_ref().map(|(reason, message)| (reason.as_str(), message))
                == self.waiting.as_ref().map(|(reason, message)| (*reason, message))
            && unscheduled.and_then(|condition| condition.reason.as_deref()) == self.unscheduled.as_ref().map(|(reason, _)| *reason)
    }
}

/// Decides from the pod alone and the time that it has been on the node.
fn next_step(pod: &Pod, on_node_for: Duration) -> Step {
    let here = match node_of(pod) {
        Some(NODE_NAME) => true,
        Some(_) => return Step::Nothing,
        None => false,
    };
    if pod.metadata.deletion_timestamp.is_some() {
        // With grace 0 it was told already; what keeps it are finalizers, and these are not ours.
        let told = pod.metadata.deletion_grace_period_seconds == Some(0);
        return if here && !told { Step::Remove } else { Step::Nothing };
    }
    if matches!(phase_of(pod), Some("Succeeded" | "Failed")) {
        return Step::Nothing;
    }
    let unless_shown = |look: Look| if look.shown_by(pod) { Step::Nothing } else { Step::Show(look) };
    let look = match wanted_look(pod) {
        Ok(look) => look,
        Err(refusal) => return unless_shown(Look::refused(refusal)),
    };
    if look.unscheduled.is_some() {
        return if here { Step::Nothing } else { unless_shown(look) };
    }
    if !here {
        return Step::Bind;
    }
    match delay(pod) {
        Err(refusal) => unless_shown(Look::refused(refusal)),
        Ok(delay) if on_node_for < delay => Step::Wait(delay - on_node_for),
        Ok(_) => unless_shown(look),
    }
}

fn wanted_look(pod: &Pod) -> Result<Look, String> {
    let waits = |phase, reason, message: &str| Look { waiting: Some((reason, message.to_owned())), ..Look::of_phase(phase) };
    Ok(match pod.annotations().get(FAULT_ANNOTATION).map(String::as_str) {
        None if runs_to_completion(pod) => Look::of_phase("Succeeded"),
        None => Look { ready: true, ..Look::of_phase("Running") },
        Some("never-ready") => Look::of_phase("Running"),
        Some("crash-loop") => waits("Running", "CrashLoopBackOff", "back-off 40s restarting failed container"),
        Some("image-pull") => waits("Pending", "ImagePullBackOff", "Back-off pulling image"),
        Some("unschedulable") => Look {
            unscheduled: Some(("Unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.".to_owned())),
            ..Look::of_phase("Pending")
        },
        Some("succeeded") => Look::of_phase("Succeeded"),
        Some("failed") => Look::of_phase("Failed"),
        Some(other) => return Err(format!("unknown {FAULT_ANNOTATION}: {other}")),
    })
}

fn delay(pod: &Pod) -> Result<Duration, String> {
    let Some(text) = pod.annotations().get(AFTER_ANNOTATION) else {
        return Ok(Duration::ZERO);
    };
    let milliseconds = text.parse().map_err(|_| format!("{AFTER_ANNOTATION} is {text}, not a number of milliseconds"))?;
    Ok(Duration::from_millis(milliseconds))
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

fn phase_of(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// A pod whose containers are not restarted after success, such as a Job's, is over at once.
fn runs_to_completion(pod: &Pod) -> bool {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    matches!(policy, Some("Never" | "OnFailure"))
}

/// The status that a kubelet would report for a pod that looks so.
fn status(pod: &Pod, look: &Look, address: &str, now: Timestamp) -> Value {
    let time = format!("{now:.0}");
    if let Some((reason, message)) = &look.unscheduled {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastTransitionTime": time,
        });
        return json!({"phase": look.phase, "conditions": [condition]});
    }
    let condition =
        |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": time});
    let spec = pod.spec.as_ref();
    let containers: Vec<Value> = spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|container| {
            let restarts = if look.waiting.as_ref().is_some_and(|(reason, _)| *reason == "CrashLoopBackOff") { CRASHES } else { 0 };
            let running = look.phase == "Running" && look.waiting.is_none();
            container_status(container, look.ready, running, restarts, &state(look, &time))
        })
        .collect();
    let finished = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": time, "finishedAt": time}});
    let init_containers: Vec<Value> = spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .map(|container| match container.restart_policy.as_deref() {
            Some("Always") => container_status(container, look.ready, look.ready, 0, &state(look, &time)),
            _ => container_status(container, true, false, 0, &finished),
        })
        .collect();
    json!({
        "phase": look.phase,
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": time,
        "conditions": [
            condition("PodScheduled", true),
            condition("PodReadyToStartContainers", true),
            condition("Initialized", true),
            condition("ContainersReady", look.ready),
            condition("Ready", look.ready),
        ],
        "containerStatuses": containers,
        "initContainerStatuses": init_containers,
    })
}

fn state(look: &Look, time: &str) -> Value {
    let ended = |code: u8, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": time, "finishedAt": time}});
    match (&look.waiting, look.phase) {
        (Some((reason, message)), _) => json!({"waiting": {"reason": reason, "message": message}}),
        (None, "Succeeded") => ended(0, "Completed"),
        (None, "Failed") => ended(1, "Error"),
        (None, _) => json!({"running": {"startedAt": time}}),
    }
}

fn container_status(container: &Container, ready: bool, started: bool, restarts: i32, state: &Value) -> Value {
    json!({
        "name": container.name,
        "image": container.image,
        "imageID": container.image.as_ref().map(|image| format!("fakelet://{image}")),
        "ready": ready,
        "started": started,
        "restartCount": restarts,
        // The other states are named, so that a merge takes away what was there before.
        "state": {
            "running": state.get("running"),
            "waiting": state.get("waiting"),
            "terminated": state.get("terminated"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: Option<&str>, annotations: &[(&str, &str)], status: &Value) -> Pod {
        let annotations: HashMap<_, _> = annotations.iter().copied().collect();
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": annotations},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "restartPolicy": "Always"},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_bound_then_shown_then_left_alone_whatever_its_fate() {
        for fault in ["", "never-ready", "crash-loop", "image-pull", "succeeded", "failed"] {
            let annotations: Vec<_> = [(FAULT_ANNOTATION, fault)].into_iter().filter(|_| !fault.is_empty()).collect();
            let pending = pod(None, &annotations, &json!({"phase": "Pending"}));
            assert_eq!(next_step(&pending, Duration::ZERO), Step::Bind, "{fault}");
            let bound = pod(Some(NODE_NAME), &annotations, &json!({"phase": "Pending"}));
            let Step::Show(look) = next_step(&bound, Duration::ZERO) else { panic!("{fault}") };
            let shown = pod(Some(NODE_NAME), &annotations, &status(&bound, &look, "10.244.0.1", Timestamp::UNIX_EPOCH));
            assert_eq!(next_step(&shown, Duration::ZERO), Step::Nothing, "{fault}");
        }
    }

    #[test]
    fn an_unschedulable_pod_stays_without_node_until_the_annotation_goes() {
        let pending = pod(None, &[(FAULT_ANNOTATION, "unschedulable")], &json!({"phase": "Pending"}));
        let Step::Show(look) = next_step(&pending, Duration::ZERO) else { panic!() };
        let shown = status(&pending, &look, "", Timestamp::UNIX_EPOCH);
        assert_eq!(next_step(&pod(None, &[(FAULT_ANNOTATION, "unschedulable")], &shown), Duration::ZERO), Step::Nothing);
        assert_eq!(next_step(&pod(None, &[], &shown), Duration::ZERO), Step::Bind);
    }

    #[test]
    fn a_fault_that_is_taken_away_lets_the_pod_recover() {
        let bound = pod(Some(NODE_NAME), &[(FAULT_ANNOTATION, "crash-loop")], &json!({"phase": "Pending"}));
        let Step::Show(look) = next_step(&bound, Duration::ZERO) else { panic!() };
        let crashing = status(&bound, &look, "10.244.0.1", Timestamp::UNIX_EPOCH);
        let healed = next_step(&pod(Some(NODE_NAME), &[], &crashing), Duration::ZERO);
        assert!(matches!(healed, Step::Show(Look { ready: true, .. })), "{healed:?}");
    }

    #[test]
    fn a_delayed_pod_waits_for_the_rest_of_its_time() {
        let bound = pod(Some(NODE_NAME), &[(AFTER_ANNOTATION, "300")], &json!({"phase": "Pending"}));
        assert_eq!(next_step(&bound, Duration::from_millis(100)), Step::Wait(Duration::from_millis(200)));
        assert!(matches!(next_step(&bound, Duration::from_millis(300)), Step::Show(_)));
    }

    #[test]
    fn a_misspelt_annotation_is_refused_and_not_taken_for_health() {
        for annotation in [(FAULT_ANNOTATION, "crashloop"), (AFTER_ANNOTATION, "1s")] {
            let bound = pod(Some(NODE_NAME), &[annotation], &json!({"phase": "Pending"}));
            let Step::Show(look) = next_step(&bound, Duration::from_secs(9)) else { panic!() };
            assert_eq!((look.phase, look.ready, look.waiting.unwrap().0), ("Pending", false, "FakeletRefuses"));
        }
    }

    #[test]
    fn pods_of_other_nodes_are_not_touched() {
        assert_eq!(next_step(&pod(Some("other"), &[], &json!({"phase": "Pending"})), Duration::ZERO), Step::Nothing);
    }
}
