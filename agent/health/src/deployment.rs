//! Deployment: rolled out when the newest template runs in all replicas and those are available (Argo CD and kstatus agree). What a quota holds
//! back waits until the deployment's own deadline (progressDeadlineSeconds) has passed.

use serde_json::Value;

use crate::condition::{condition, replica_failure};
use crate::{Verdict, behind_generation, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Verdict::suspended("Paused", "the rollout is paused (spec.paused)");
    }
    if let Some(verdict) = behind_generation(object) {
        return verdict;
    }
    if let Some(progressing) = condition(object, "Progressing").filter(|c| c.reason == "ProgressDeadlineExceeded") {
        return Verdict::degraded("ProgressDeadlineExceeded", progressing.message);
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|c| c.is_true()) {
        return replica_failure(&failure);
    }
    let wanted = integer(object, "/spec/replicas", 1);
    let [replicas, updated, available] =
        ["replicas", "updatedReplicas", "availableReplicas"].map(|name| integer(object, &format!("/status/{name}"), 0));
    if updated < wanted {
        return Verdict::progressing("Updating", format!("{updated} of {wanted} replicas are updated"));
    }
    if replicas > updated {
        return Verdict::progressing("Terminating", format!("{} old replicas still run", replicas - updated));
    }
    if available < updated {
        return Verdict::progressing("NotAvailable", format!("{available} of {updated} replicas are available"));
    }
    Verdict::HEALTHY
}
