//! Stand-ins for the workload controllers: what status a workload, claim or load balancer reaches, and when. Whether a write is
//! allowed is no concern here; these writes go to the store as the controllers' own.
//!
//! An image whose name contains `missing` cannot be pulled, one with `crash` crashes at once: a rollout to it never becomes ready. One with
//! `slow` is on its way for ever: what runs it neither becomes ready nor ends before somebody says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::fieldset::FieldSet;
use crate::managed::{Managers, Writer};
use crate::registry::Resource;
use crate::state::{State, rfc3339};

/// What stands in for the workload controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workloads {
    /// Nothing: status stays as it is written.
    None,
    /// Workloads get the status that their pods would give them; there are no pods.
    StatusOnly,
    /// As `StatusOnly`, and the ReplicaSets and pods of Deployments exist.
    Full,
}

/// The kinds that have a stand-in.
const KINDS: [(&str, &str); 9] = [
    // First, because it changes what the next have to reach.
    ("autoscaling", "horizontalpodautoscalers"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("policy", "poddisruptionbudgets"),
    ("", "persistentvolumeclaims"),
    ("", "services"),
    ("", "nodes"),
];

/// Since when each workload has been at its present generation, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Rollouts(BTreeMap<String, (i64, i64)>);

impl Rollouts {
    fn since(&mut self, o: &Value, now: i64) -> i64 {
        let uid = o["metadata"]["uid"].as_str().unwrap_or_default();
        let generation = o["metadata"]["generation"].as_i64().unwrap_or(0);
        let entry = self.0.entry(uid.to_owned()).or_insert((generation, now));
        if entry.0 != generation {
            *entry = (generation, now);
        }
        entry.1
    }
}

/// Brings every workload to where it should be at `now_ms`. Returns when something is due, in milliseconds.
pub(crate) fn advance(state: &mut State, mode: Workloads, now_ms: i64, delay_ms: i64) -> Option<i64> {
    if mode == Workloads::None {
        return None;
    }
    let now = now_ms / 1_000;
    let mut next: Option<i64> = None;
    let mut rollouts = std::mem::take(&mut state.rollouts);
    let mut seen = BTreeSet::new();
    for (group, plural) in KINDS {
        let key = (group.to_owned(), plural.to_owned());
        let Some(r) = state.resource_of(&key) else { continue };
        let objects: Vec<Arc<Value>> = state.collections.get(&key).into_iter().flat_map(|c| c.objects.values().cloned()).collect();
        for o in objects {
            if o["metadata"]["deletionTimestamp"].is_string() {
                continue;
            }
            seen.insert(o["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
            let due = rollouts.since(&o, now_ms) + delay_ms;
            let is_slow = is_slow(&o["spec"]["template"]);
            let ready = now_ms >= due && !is_slow;
            if plural == "horizontalpodautoscalers" {
                scale_target(state, &o, now);
            }
            let Some(status) = status_of(plural, &o, ready, now) else { continue };
            if !ready && !is_slow {
                next = Some(next.map_or(due, |n| n.min(due)));
            }
            if status != o["status"] {
                let mut new = (*o).clone();
                new["status"] = status;
                store_as(state, &r, &o, new, "status", now);
            }
            if mode == Workloads::Full && plural == "deployments" {
                pods(state, &o, ready, now);
            }
        }
    }
    rollouts.0.retain(|uid, _| seen.contains(uid));
    state.rollouts = rollouts;
    next
}

fn images(template: &Value) -> impl Iterator<Item = &str> {
    let containers = ["initContainers", "containers"].into_iter().flat_map(|l| template["spec"][l].as_array().into_iter().flatten());
    containers.filter_map(|c| c["image"].as_str())
}

/// Whether the pods of a template take for ever.
fn is_slow(template: &Value) -> bool {
    images(template).any(|i| i.contains("slow"))
}

/// Why the pods of a template will never run.
fn broken(template: &Value) -> Option<&'static str> {
    images(template).find_map(|i| match i {
        i if i.contains("missing") => Some("ImagePullBackOff"),
        i if i.contains("crash") => Some("CrashLoopBackOff"),
        _ => None,
    })
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, now: i64) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": rfc3339(now),
        "lastTransitionTime": rfc3339(now)})
}

/// A condition keeps its times while it says the same.
fn keep_times(old: &Value, new: &mut Value) {
    // A status without conditions stays without: to index a value that is to be changed would add a null.
    for c in new.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let before = old["conditions"].as_array().into_iter().flatten().find(|o| o["type"] == c["type"]);
        let Some(before) = before else { continue };
        if before["status"] == c["status"] {
            c["lastTransitionTime"] = before["lastTransitionTime"].clone();
        }
        if before["status"] == c["status"]
            && before["reason"] == c["reason"]
            && before["message"] == c["message"]
            && before.get("lastUpdateTime").is_some()
        {
            c["lastUpdateTime"] = before["lastUpdateTime"].clone();
        }
    }
}

fn without_zeros(mut v: Value) -> Value {
    if let Some(m) = v.as_object_mut() {
        m.retain(|k, v| {
            *v != 0
                || matches!(
                    k.as_str(),
                    "replicas" | "currentNumberScheduled" | "desiredNumberScheduled" | "numberMisscheduled" | "numberReady"
                )
        });
    }
    v
}

fn status_of(plural: &str, o: &Value, ready: bool, now: i64) -> Option<Value> {
    let mut status = match plural {
        "deployments" => deployment(o, ready, now),
        "statefulsets" => stateful_set(o, ready),
        "daemonsets" => daemon_set(o, ready),
        "jobs" => job(o, ready, now)?,
        "persistentvolumeclaims" => json!({"phase": "Bound", "accessModes": o["spec"]["accessModes"],
            "capacity": o["spec"]["resources"]["requests"]}),
        "services" if o["spec"]["type"] == "LoadBalancer" => {
            json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10", "ipMode": "VIP"}]}})
        }
        "nodes" if o["status"]["conditions"].is_null() => {
            let mut s = o["status"].clone();
            s["conditions"] = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fakekube stands in",
                "lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(now)}]);
            s
        }
        "horizontalpodautoscalers" => autoscaler(o, now),
        "poddisruptionbudgets" => disruption_budget(o, now),
        _ => return None,
    };
    keep_times(&o["status"], &mut status);
    Some(without_zeros(status))
}

/// An autoscaler whose metrics ask for the fewest replicas that it allows.
fn autoscaler(o: &Value, now: i64) -> Value {
    let wanted = o["spec"]["minReplicas"].as_i64().unwrap_or(1);
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        let mut c = condition(kind, status, reason, message, now);
        // The kind has no such field.
        if let Some(c) = c.as_object_mut() {
            c.remove("lastUpdateTime");
        }
        c
    };
    json!({"currentReplicas": wanted, "desiredReplicas": wanted, "conditions": [
        condition("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size"),
        condition("ScalingActive", "True", "ValidMetricFound", "the HPA was able to successfully calculate a replica count"),
        condition("ScalingLimited", "False", "DesiredWithinRange", "the desired count is within the acceptable range")]})
}

/// A budget that sees no pods, as only those of Deployments exist here.
fn disruption_budget(o: &Value, now: i64) -> Value {
    let generation = &o["metadata"]["generation"];
    let stamp = rfc3339(now);
    let denied = json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "observedGeneration": generation, "lastTransitionTime": stamp});
    json!({"observedGeneration": generation, "conditions": [denied]})
}

/// Scales an autoscaler's Deployment into its range, as the autoscaler does it: through the scale subresource.
fn scale_target(state: &mut State, autoscaler: &Value, now: i64) {
    let (spec, namespace) = (&autoscaler["spec"], autoscaler["metadata"]["namespace"].as_str().unwrap_or_default());
    let Some(r) = state.find("apps", "v1", "deployments").filter(|_| spec["scaleTargetRef"]["kind"] == "Deployment") else { return };
    let Some(old) = state.get(&r, namespace, spec["scaleTargetRef"]["name"].as_str().unwrap_or_default()) else { return };
    let (current, least) = (old["spec"]["replicas"].as_i64().unwrap_or(1), spec["minReplicas"].as_i64().unwrap_or(1));
    let wanted = current.clamp(least, spec["maxReplicas"].as_i64().unwrap_or(least).max(least));
    // Nothing is scaled that somebody has set to zero.
    if current == 0 || wanted == current {
        return;
    }
    let mut new = (*old).clone();
    new["spec"]["replicas"] = json!(wanted);
    new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
    store_as(state, &r, &old, new, "scale", now);
}

fn deployment(o: &Value, ready: bool, now: i64) -> Value {
    let wanted = o["spec"]["replicas"].as_i64().unwrap_or(1);
    let generation = o["metadata"]["generation"].as_i64().unwrap_or(1);
    let name = o["metadata"]["name"].as_str().unwrap_or_default();
    let old = &o["status"];
    let set = format!("{name}-{}", template_hash(&o["spec"]["template"]));
    let fault = broken(&o["spec"]["template"]);
    let count = |field: &str| old[field].as_i64().unwrap_or(0);
    let serving_before = count("readyReplicas").min(wanted);
    // Another template than that of the pods that serve: one new pod more than wanted, until it is ready.
    let names_set = |c: &Value| c["type"] == "Progressing" && c["message"].as_str().is_some_and(|m| m.contains(&format!("\"{set}\"")));
    let is_new = !old["conditions"].as_array().into_iter().flatten().any(names_set);
    let surges = serving_before > 0 && (is_new || count("replicas") > count("updatedReplicas"));
    let (updated, serving, surplus, done) = match (fault, ready) {
        (None, true) => (wanted, wanted, 0, true),
        (None, false) if surges => (1.min(wanted), serving_before, 1.min(wanted), false),
        (None, false) => (wanted, serving_before, 0, false),
        (Some(_), _) => (1.min(wanted), serving_before, 0, false),
    };
    let progressing = match (fault, done) {
        (Some(_), _) if ready => {
            condition("Progressing", "False", "ProgressDeadlineExceeded", &format!("ReplicaSet \"{set}\" has timed out progressing."), now)
        }
        (_, true) => {
            condition("Progressing", "True", "NewReplicaSetAvailable", &format!("ReplicaSet \"{set}\" has successfully progressed."), now)
        }
        _ => condition("Progressing", "True", "ReplicaSetUpdated", &format!("ReplicaSet \"{set}\" is progressing."), now),
    };
    let available = if serving >= wanted {
        condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    } else {
        condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now)
    };
    json!({"observedGeneration": generation, "replicas": wanted + surplus, "updatedReplicas": updated, "readyReplicas": serving,
        "availableReplicas": serving, "unavailableReplicas": wanted + surplus - serving, "conditions": [available, progressing]})
}

fn stateful_set(o: &Value, ready: bool) -> Value {
    let wanted = o["spec"]["replicas"].as_i64().unwrap_or(1);
    let name = o["metadata"]["name"].as_str().unwrap_or_default();
    let revision = format!("{name}-{}", template_hash(&o["spec"]["template"]));
    let old = &o["status"];
    let done = ready && broken(&o["spec"]["template"]).is_none();
    let serving = if done { wanted } else { old["readyReplicas"].as_i64().unwrap_or(0).min(wanted) };
    let current = if done { json!(revision) } else { old["currentRevision"].as_str().map_or_else(|| json!(revision), |c| json!(c)) };
    json!({"observedGeneration": o["metadata"]["generation"], "replicas": wanted, "readyReplicas": serving, "availableReplicas": serving,
        "currentReplicas": if done { wanted } else { serving }, "updatedReplicas": if done { wanted } else { 0 },
        "currentRevision": current, "updateRevision": revision, "collisionCount": 0})
}

fn daemon_set(o: &Value, ready: bool) -> Value {
    // As many nodes as the smallest real cluster has.
    let wanted = 1;
    let done = ready && broken(&o["spec"]["template"]).is_none();
    let serving = if done { wanted } else { o["status"]["numberReady"].as_i64().unwrap_or(0) };
    json!({"observedGeneration": o["metadata"]["generation"], "currentNumberScheduled": wanted, "desiredNumberScheduled": wanted,
        "numberMisscheduled": 0, "numberReady": serving, "numberAvailable": serving, "numberUnavailable": wanted - serving,
        "updatedNumberScheduled": wanted})
}

fn job(o: &Value, ready: bool, now: i64) -> Option<Value> {
    let old = &o["status"];
    let over = |k: &str| old["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == k && c["status"] == "True");
    if o["spec"]["suspend"] == true || over("Complete") || over("Failed") {
        return None;
    }
    let wanted = o["spec"]["completions"].as_i64().unwrap_or(1);
    let start = old["startTime"].as_str().map_or_else(|| rfc3339(now), str::to_owned);
    let end = |kind: &str, reason: &str, message: &str| {
        json!([{"type": kind, "status": "True", "reason": reason, "message": message, "lastProbeTime": rfc3339(now),
            "lastTransitionTime": rfc3339(now)}])
    };
    Some(match (ready, broken(&o["spec"]["template"])) {
        (true, None) => json!({"startTime": start, "completionTime": rfc3339(now), "succeeded": wanted, "ready": 0, "terminating": 0,
            "uncountedTerminatedPods": {}, "conditions": end("Complete", "CompletionsReached", "Reached expected number of succeeded pods")}),
        (true, Some("CrashLoopBackOff")) => {
            json!({"startTime": start, "failed": o["spec"]["backoffLimit"].as_i64().unwrap_or(6) + 1, "ready": 0,
            "terminating": 0, "uncountedTerminatedPods": {},
            "conditions": end("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")})
        }
        _ => json!({"startTime": start, "active": o["spec"]["parallelism"].as_i64().unwrap_or(1), "ready": 0, "terminating": 0,
            "uncountedTerminatedPods": {}}),
    })
}

/// A name for a template's content, as the controllers put behind a workload's name (FNV-1a, in their alphabet).
fn template_hash(template: &Value) -> String {
    let hash = template.to_string().bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut n = hash;
    (0..10)
        .map(|_| {
            let c = char::from(LETTERS[(n % LETTERS.len() as u64) as usize]);
            n /= LETTERS.len() as u64;
            c
        })
        .collect()
}

/// Writes as the controller manager would, through `subresource`, with its own entry among the managers.
fn store_as(state: &mut State, r: &Resource, old: &Value, mut new: Value, subresource: &str, now: i64) {
    let stamp = rfc3339(now);
    let mut managers = Managers::decode(old).unwrap_or_default();
    let api_version = r.api_version();
    let none = FieldSet::default();
    let w = Writer {
        manager: "kube-controller-manager",
        api_version: &api_version,
        subresource,
        now: &stamp,
        resets: if subresource == "status" { &r.status_resets } else { &none },
    };
    managers.update(r.schema.root(), old, &new, &w);
    managers.encode(&mut new);
    state.put(r, new);
}

/// The ReplicaSet of a Deployment's present template and its pods; older ones go.
fn pods(state: &mut State, d: &Value, ready: bool, now: i64) {
    let (Some(sets), Some(pods)) = (state.find("apps", "v1", "replicasets"), state.find("", "v1", "pods")) else { return };
    let text = |o: &Value, f: &str| o["metadata"][f].as_str().unwrap_or_default().to_owned();
    let (ns, name) = (text(d, "namespace"), text(d, "name"));
    let hash = template_hash(&d["spec"]["template"]);
    let set_name = format!("{name}-{hash}");
    let wanted = usize::try_from(d["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
    let owner = |kind: &str, api: &str, o: &Value| {
        json!([{"apiVersion": api, "kind": kind, "name": o["metadata"]["name"], "uid": o["metadata"]["uid"], "controller": true,
            "blockOwnerDeletion": true}])
    };
    let fault = broken(&d["spec"]["template"]);
    let mut template = d["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let set = match state.get(&sets, &ns, &set_name) {
        Some(s) => s,
        None => {
            let uid = state.uid();
            let mut selector = d["spec"]["selector"].clone();
            selector["matchLabels"]["pod-template-hash"] = json!(hash);
            state.put(
                &sets,
                json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": set_name, "namespace": ns, "uid": uid, "generation": 1, "creationTimestamp": rfc3339(now),
                    "labels": template["metadata"]["labels"], "ownerReferences": owner("Deployment", "apps/v1", d)},
                "spec": {"replicas": wanted, "selector": selector, "template": template}, "status": {"replicas": 0}}),
            )
        }
    };
    let running = ready && fault.is_none();
    for i in 0..wanted {
        let pod_name = format!("{set_name}-{i}");
        let status = pod_status(&template, running, fault, now);
        match state.get(&pods, &ns, &pod_name) {
            None => {
                let uid = state.uid();
                state.put(
                    &pods,
                    json!({"apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": pod_name, "namespace": ns, "uid": uid, "generation": 1, "creationTimestamp": rfc3339(now),
                        "labels": template["metadata"]["labels"], "ownerReferences": owner("ReplicaSet", "apps/v1", &set)},
                    "spec": template["spec"], "status": status}),
                );
            }
            Some(p) if p["status"]["phase"] != status["phase"] => {
                let mut p = (*p).clone();
                p["status"] = status;
                state.put(&pods, p);
            }
            Some(_) => {}
        }
    }
    let ready_pods = if running { wanted } else { 0 };
    let set_status = without_zeros(
        json!({"replicas": wanted, "fullyLabeledReplicas": wanted, "readyReplicas": ready_pods, "availableReplicas": ready_pods,
        "observedGeneration": 1}),
    );
    if set["status"] != set_status || set["spec"]["replicas"] != wanted {
        let mut s = (*set).clone();
        s["status"] = set_status;
        s["spec"]["replicas"] = json!(wanted);
        state.put(&sets, s);
    }
    // Old pods serve until the new ones do.
    let surplus = |p: &Value| {
        let n = text(p, "name");
        match n.strip_prefix(&format!("{set_name}-")) {
            Some(i) => i.parse::<usize>().is_ok_and(|i| i >= wanted),
            None => {
                running
                    && text(p, "namespace") == ns
                    && p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
                    && n.rsplit_once('-').and_then(|(s, _)| s.rsplit_once('-')).is_some_and(|(d, _)| d == name)
            }
        }
    };
    let key = (String::new(), "pods".to_owned());
    let gone: Vec<String> = state
        .collections
        .get(&key)
        .into_iter()
        .flat_map(|c| c.objects.values())
        .filter(|p| text(p, "namespace") == ns && surplus(p))
        .map(|p| text(p, "name"))
        .collect();
    for n in gone {
        state.take(&pods, &ns, &n);
    }
}

fn pod_status(template: &Value, running: bool, fault: Option<&str>, now: i64) -> Value {
    let stamp = rfc3339(now);
    let containers: Vec<Value> = template["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let state = match (running, fault) {
                (true, _) => json!({"running": {"startedAt": stamp}}),
                (false, Some(f)) => {
                    json!({"waiting": {"reason": f, "message": format!("back-off: {}", c["image"].as_str().unwrap_or_default())}})
                }
                (false, None) => json!({"waiting": {"reason": "ContainerCreating"}}),
            };
            let restarts = if fault == Some("CrashLoopBackOff") { 5 } else { 0 };
            json!({"name": c["name"], "image": c["image"], "imageID": "", "ready": running, "started": running, "restartCount": restarts,
                "state": state, "lastState": {}})
        })
        .collect();
    let yes = |v: bool| if v { "True" } else { "False" };
    let conditions: Vec<Value> = [("PodScheduled", true), ("Initialized", true), ("ContainersReady", running), ("Ready", running)]
        .iter()
        .map(|(t, v)| json!({"type": t, "status": yes(*v), "lastTransitionTime": stamp}))
        .collect();
    let phase = if running || fault == Some("CrashLoopBackOff") { "Running" } else { "Pending" };
    json!({"phase": phase, "qosClass": "BestEffort", "startTime": stamp, "conditions": conditions, "containerStatuses": containers})
}
