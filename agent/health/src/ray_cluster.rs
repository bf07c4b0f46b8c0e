//! A RayCluster. Its `state: ready` stays until it is suspended, whatever its pods do (ray#47462), so that conditions and counts are believed
//! and the word only where there are none.

use serde_json::Value;

use crate::condition::{condition, replica_failure, text};
use crate::queue::suspended_or_queued;
use crate::{Verdict, behind_generation, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return suspended_or_queued(object);
    }
    if status.get("observedGeneration").is_some()
        && let Some(verdict) = behind_generation(object)
    {
        return verdict;
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|c| c.is_true()) {
        return replica_failure(&failure);
    }
    if text(status, "state") == "failed" {
        return Verdict::degraded("RayClusterFailed", text(status, "reason"));
    }
    if let Some(head) = condition(object, "HeadPodReady").filter(|c| !c.is_true()) {
        return Verdict::progressing("HeadPodNotReady", head.text());
    }
    let [ready, desired] = ["readyWorkerReplicas", "desiredWorkerReplicas"].map(|name| integer(status, &format!("/{name}"), 0));
    if ready < desired {
        return Verdict::progressing("WorkersNotReady", format!("{ready} of {desired} workers are ready"));
    }
    let provisioned = condition(object, "RayClusterProvisioned").map_or_else(|| text(status, "state") == "ready", |c| c.is_true());
    if provisioned { Verdict::HEALTHY } else { Verdict::progressing("NotProvisioned", "its pods start") }
}
