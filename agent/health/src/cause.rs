//! The cause line: why a workload is not healthy, told from its pods and from events. The object says "1 of 3 replicas are available"; its pods
//! say that an image is not there. Which pods and events are looked at is said here ([`search`]); reading them is the caller's.
//!
//! What a cause does to the health: pods that wait for capacity or quota make a workload that is on its way Waiting. A cause that will not pass
//! by itself (an image that cannot be pulled, a crash loop) leaves the health of kinds that have a deadline of their own to that deadline, as
//! Argo CD and kstatus do, and makes kinds that have none Degraded: nothing else ever would.

use serde_json::Value;
use shared_model::{GroupKind, Health};

use crate::condition::{condition, text};
use crate::scarcity::{exceeded_quota, unschedulable};
use crate::{Verdict, integer};

/// The most pods of one workload that are looked at: the newest and worst of them tell the cause, and a page of 20 pods is 200 KB.
pub const POD_LIMIT: usize = 20;

/// The most events of one namespace that are looked at; 100 events are 100 KB.
pub const EVENT_LIMIT: usize = 100;

/// The longest text of others that is repeated, in bytes: three lines of a terminal.
const TEXT_LIMIT: usize = 300;

/// Restarts after which a crash loop counts as failed for a kind without a deadline: the pauses of 10, 20, 40, 80 and 160 seconds between them
/// are five minutes, in which what it depends on may have come up.
const CRASHES: i64 = 5;

/// Where to look for the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The namespace.
    pub namespace: String,
    /// The label selector of its pods; `None` if it has no pods and only events tell.
    pub selector: Option<String>,
}

/// What was read beside an object that is not healthy. In its `Debug` would stand whatever pods say: it has none.
#[derive(Clone, Default)]
pub struct Evidence {
    /// Its pods, at most [`POD_LIMIT`].
    pub pods: Vec<Value>,
    /// Events about it or its pods (core/v1), at most [`EVENT_LIMIT`].
    pub events: Vec<Value>,
    /// The last line of the container that crashed, if it was asked for; see [`crashed`].
    pub last_line: Option<String>,
}

/// A container that crashed: its log's last line tells most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crashed {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Its present run has said nothing or does not exist; the one before crashed.
    pub previous: bool,
}

/// Whether objects of this kind may have pods or events that tell more than they do.
pub fn may_tell_more(kind: &GroupKind) -> bool {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", kind) => matches!(kind, "ReplicationController" | "PersistentVolumeClaim"),
        (
            "apps" | "batch" | "ray.io" | "serving.kserve.io" | "jobset.x-k8s.io" | "trainer.kubeflow.org" | "leaderworkerset.x-k8s.io",
            _,
        ) => true,
        ("batch.volcano.sh", kind) => kind == "Job",
        ("argoproj.io", kind) => matches!(kind, "Rollout" | "Workflow"),
        ("serving.knative.dev", kind) => kind == "Service",
        ("kubeflow.org", kind) => kind == "Notebook" || kind.ends_with("Job"),
        _ => false,
    }
}

/// Where to look for what ails `object`; `None` if its own status is all there is, or it has no namespace.
pub fn search(object: &Value) -> Option<Search> {
    let kind = GroupKind::of(text(object, "apiVersion"), text(object, "kind"));
    let metadata = object.get("metadata")?;
    let (namespace, name) = (text(metadata, "namespace").to_owned(), text(metadata, "name"));
    if namespace.is_empty() || name.is_empty() {
        return None;
    }
    let labelled = |label: &str, value: &str| (!value.is_empty()).then(|| format!("{label}={value}"));
    let status = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let selector = match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") | ("argoproj.io", "Rollout") => {
            selector_of(object.pointer("/spec/selector")?)
        }
        ("", "ReplicationController") => matched(object.pointer("/spec/selector")?),
        ("", "PersistentVolumeClaim") => return Some(Search { namespace, selector: None }),
        ("argoproj.io", "Workflow") => labelled("workflows.argoproj.io/workflow", name),
        ("serving.knative.dev", "Service") => labelled("serving.knative.dev/service", name),
        ("serving.kserve.io", "InferenceService") => labelled("serving.kserve.io/inferenceservice", name),
        ("serving.kserve.io", "LLMInferenceService") => {
            labelled("app.kubernetes.io/name", name).map(|selector| format!("{selector},app.kubernetes.io/part-of=llminferenceservice"))
        }
        ("ray.io", "RayCluster") => labelled("ray.io/cluster", name),
        ("ray.io", "RayJob") => labelled("ray.io/cluster", status("/status/rayClusterName")),
        ("ray.io", "RayService") => {
            let pending = status("/status/pendingServiceStatus/rayClusterName");
            let active = status("/status/activeServiceStatus/rayClusterName");
            labelled("ray.io/cluster", if pending.is_empty() { active } else { pending })
        }
        ("jobset.x-k8s.io", "JobSet") | ("trainer.kubeflow.org", "TrainJob") => labelled("jobset.sigs.k8s.io/jobset-name", name),
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet") => labelled("leaderworkerset.sigs.k8s.io/name", name),
        ("batch.volcano.sh", "Job") => labelled("volcano.sh/job-name", name),
        ("kubeflow.org", "Notebook") => labelled("notebook-name", name),
        ("kubeflow.org", kind) if kind.ends_with("Job") => labelled("training.kubeflow.org/job-name", name),
        _ => return None,
    };
    Some(Search { namespace, selector: Some(selector?) })
}

/// A selector with `matchLabels` and `matchExpressions`, as a query writes it.
fn selector_of(selector: &Value) -> Option<String> {
    let mut terms: Vec<String> = selector.get("matchLabels").and_then(matched).into_iter().collect();
    for requirement in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let values: Vec<&str> =
            requirement.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let (key, values) = (text(requirement, "key"), values.join(","));
        terms.push(match text(requirement, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    (!terms.is_empty()).then(|| terms.join(","))
}

fn matched(labels: &Value) -> Option<String> {
    let pairs = labels.as_object()?.iter().map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()));
    let pairs = pairs.collect::<Vec<_>>().join(",");
    (!pairs.is_empty()).then_some(pairs)
}

/// A cause, the more telling the greater its rank.
struct Cause {
    rank: Rank,
    code: &'static str,
    message: String,
    /// It will not pass by itself.
    lasting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It runs and does not answer.
    Probe,
    /// A volume or a network is not there yet.
    Starting,
    /// Capacity or quota.
    Scarce,
    /// It ends again and again.
    Crash,
    /// It cannot even start.
    Impossible,
}

/// The container whose last line would tell the cause, if that cause is a crash.
pub fn crashed(pods: &[Value]) -> Option<Crashed> {
    let (cause, pod, container) = pods
        .iter()
        .filter_map(|pod| worst_container(pod).map(|(cause, container)| (cause, pod, container)))
        .max_by_key(|(cause, ..)| cause.rank)?;
    let previous = container.pointer("/state/terminated").is_none() && container.pointer("/lastState/terminated").is_some();
    let pod = pod.pointer("/metadata/name").and_then(Value::as_str)?.to_owned();
    (cause.rank == Rank::Crash).then(|| Crashed { pod, container: text(container, "name").to_owned(), previous })
}

/// The verdict with the cause that the evidence tells, or as it was if that tells none.
pub fn explain(object: &Value, verdict: Verdict, evidence: &Evidence) -> Verdict {
    if !matches!(verdict.health, Health::Progressing | Health::Waiting | Health::Degraded)
        || object.pointer("/metadata/deletionTimestamp").is_some()
    {
        return verdict;
    }
    let Some(cause) = find(object, evidence) else { return verdict };
    let own = verdict.reason.as_ref().map_or("", |reason| &reason.message);
    if verdict.health == Health::Degraded {
        // How it failed is its own word, which others go by; the cause is told after it.
        let code = verdict.reason.as_ref().map_or(cause.code, |reason| &reason.code);
        return Verdict::new(Health::Degraded, code, format!("{own}; {}", cause.message));
    }
    let health = match verdict.health {
        _ if cause.rank == Rank::Scarce => Health::Waiting,
        health if !cause.lasting || has_deadline(object) => health,
        _ => Health::Degraded,
    };
    let own = if own.is_empty() { String::new() } else { format!(" ({own})") };
    let message = format!("{}{own}", cause.message);
    Verdict::new(health, cause.code, message)
}

/// Whether the kind itself says at some time that this has failed. What runs to an end is judged by its controller alone: a hook that is called
/// failed while it still runs would end a rollout.
fn has_deadline(object: &Value) -> bool {
    let kind = text(object, "kind");
    matches!(kind, "Deployment" | "Rollout" | "JobSet" | "Workflow") || kind.ends_with("Job")
}

fn find(object: &Value, evidence: &Evidence) -> Option<Cause> {
    let mut causes: Vec<(Cause, &str)> = Vec::new();
    for pod in evidence.pods.iter().take(POD_LIMIT) {
        let created = pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default();
        causes.extend(of_pod(pod, evidence).map(|cause| (cause, created)));
    }
    // Of equals the newest: what a rollout replaces is of less interest.
    let of_pods = causes.into_iter().max_by(|(a, newest), (b, other)| (a.rank, *newest).cmp(&(b.rank, *other))).map(|(cause, _)| cause);
    let of_events = of_own_events(object, &evidence.events);
    [of_pods, of_events].into_iter().flatten().max_by_key(|cause| cause.rank)
}

fn of_pod(pod: &Value, evidence: &Evidence) -> Option<Cause> {
    let metadata = pod.get("metadata")?;
    let status = pod.get("status").unwrap_or(&Value::Null);
    let name = text(metadata, "name");
    if metadata.get("deletionTimestamp").is_some() || text(status, "phase") == "Succeeded" {
        return None;
    }
    if let Some((mut cause, container)) = worst_container(pod) {
        if let Some(line) = evidence.last_line.as_ref().filter(|_| {
            cause.rank == Rank::Crash
                && crashed(&evidence.pods).is_some_and(|crashed| crashed.pod == name && crashed.container == text(container, "name"))
        }) {
            cause.message = format!("{}; its last line: {}", cause.message, short(line));
        }
        return Some(cause);
    }
    let cause = |rank, code, lasting, message: String| Some(Cause { rank, code, message, lasting });
    if text(status, "phase") == "Failed" {
        let why = format!("{} {}", text(status, "reason"), short(text(status, "message")));
        return cause(Rank::Crash, "PodFailed", true, format!("pod {name} failed: {}", why.trim()));
    }
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|c| c.is_false()) {
        return match scheduled.reason {
            "SchedulingGated" => {
                cause(Rank::Scarce, "SchedulingGated", false, format!("pod {name} is held back: {}", short(scheduled.message)))
            }
            _ => cause(Rank::Scarce, "Unschedulable", false, format!("pod {name} {}", short(&unschedulable(scheduled.message, Some(pod))))),
        };
    }
    let ready = condition(pod, "Ready").is_some_and(|ready| ready.is_true());
    if ready {
        return None;
    }
    let event = newest(&evidence.events, |event| {
        is_about(event, metadata)
            && matches!(text(event, "reason"), "Unhealthy" | "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox")
    })?;
    let message = short(text(event, "message"));
    match text(event, "reason") {
        "Unhealthy" => cause(Rank::Probe, "ProbeFails", false, format!("pod {name}: {message}")),
        reason => cause(Rank::Starting, "PodCannotStart", false, format!("pod {name}: {reason}: {message}")),
    }
}

/// The container that is worst off, and what ails it.
fn worst_container(pod: &Value) -> Option<(Cause, &Value)> {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let statuses = ["initContainerStatuses", "containerStatuses"].into_iter().filter_map(|field| pod.get("status")?.get(field)?.as_array());
    let causes = statuses.flatten().filter_map(|status| Some((of_container(name, status)?, status)));
    causes.max_by_key(|(cause, _)| cause.rank)
}

fn of_container(pod: &str, status: &Value) -> Option<Cause> {
    let container = text(status, "name");
    let waiting = status.pointer("/state/waiting").unwrap_or(&Value::Null);
    let (reason, message) = (text(waiting, "reason"), short(text(waiting, "message")));
    let image = matches!(
        reason,
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable" | "ImageInspectError"
    );
    if image {
        let told = format!("container {container} of pod {pod} cannot pull image {}: {message}", short(text(status, "image")));
        return Some(Cause { rank: Rank::Impossible, code: "ImageNotPulled", message: told, lasting: reason != "ErrImagePull" });
    }
    if matches!(
        reason,
        "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "PreCreateHookError"
            | "PreStartHookError"
            | "PostStartHookError"
    ) {
        let told = format!("container {container} of pod {pod} cannot start: {reason}: {message}");
        return Some(Cause { rank: Rank::Impossible, code: "ContainerCannotStart", message: told, lasting: true });
    }
    let ended = ["/state/terminated", "/lastState/terminated"].into_iter().find_map(|pointer| status.pointer(pointer));
    let exit = ended.map_or(0, |ended| integer(ended, "/exitCode", 0));
    let restarts = integer(status, "/restartCount", 0);
    let looping = reason == "CrashLoopBackOff";
    let is_up = status.get("ready").and_then(Value::as_bool) == Some(true);
    if !looping && (exit == 0 || is_up || status.pointer("/state/running").is_some() && restarts == 0) {
        return None;
    }
    let ended = ended.unwrap_or(&Value::Null);
    let why = match text(ended, "reason") {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let said = match short(text(ended, "message")) {
        message if message.is_empty() => String::new(),
        message => format!(": {message}"),
    };
    let again = if restarts == 0 { String::new() } else { format!(" after {restarts} restarts") };
    let told = format!("container {container} of pod {pod} crashed{again} with exit code {exit}{why}{said}");
    Some(Cause { rank: Rank::Crash, code: "Crashed", message: told, lasting: restarts >= CRASHES })
}

/// What events say about the object itself: pods that the API server refused to make, volumes that are not provisioned.
fn of_own_events(object: &Value, events: &[Value]) -> Option<Cause> {
    let metadata = object.get("metadata")?;
    let event = newest(events, |event| {
        is_about(event, metadata)
            && matches!(text(event, "reason"), "FailedCreate" | "ProvisioningFailed" | "WaitForFirstConsumer" | "FailedBinding")
    })?;
    let message = text(event, "message");
    let cause = |rank, code, lasting, message: String| Some(Cause { rank, code, message, lasting });
    match (text(event, "reason"), exceeded_quota(message)) {
        ("FailedCreate", Some(quota)) => cause(Rank::Scarce, "QuotaExceeded", false, quota),
        ("FailedCreate", None) => cause(Rank::Impossible, "PodsRefused", true, format!("its pods cannot be made: {}", short(message))),
        ("WaitForFirstConsumer", _) => cause(Rank::Scarce, "WaitsForConsumer", false, "its volume is made when a pod uses it".to_owned()),
        (reason, _) => cause(Rank::Starting, "VolumeNotMade", false, format!("{reason}: {}", short(message))),
    }
}

fn is_about(event: &Value, metadata: &Value) -> bool {
    let involved = event.get("involvedObject").unwrap_or(&Value::Null);
    match (text(involved, "uid"), text(metadata, "uid")) {
        ("", _) | (_, "") => text(involved, "name") == text(metadata, "name"),
        (involved, uid) => involved == uid,
    }
}

fn newest(events: &[Value], wanted: impl Fn(&Value) -> bool) -> Option<&Value> {
    let time = |event: &Value| {
        let series = event.pointer("/series/lastObservedTime").and_then(Value::as_str).unwrap_or_default();
        [series, text(event, "lastTimestamp"), text(event, "eventTime")].into_iter().max().map(str::to_owned)
    };
    events.iter().take(EVENT_LIMIT).filter(|event| wanted(event)).max_by_key(|event| time(event))
}

/// At most [`TEXT_LIMIT`] bytes of one line.
fn short(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= TEXT_LIMIT {
        return line;
    }
    let end = (0..=TEXT_LIMIT).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &line[..end])
}
