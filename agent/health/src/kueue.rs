//! Kueue: a Workload that waits for quota waits, and one that was preempted will come again; a queue is active or says why not.

use serde_json::Value;

use crate::condition::condition;
use crate::{Health, Verdict};

/// A Workload.
pub(crate) fn workload(object: &Value) -> Verdict {
    if let Some(finished) = condition(object, "Finished").filter(|c| c.is_true()) {
        return if finished.reason == "Failed" { Verdict::degraded("WorkloadFailed", finished.message) } else { Verdict::HEALTHY };
    }
    if object.pointer("/spec/active").and_then(Value::as_bool) == Some(false) {
        return Verdict::suspended("Deactivated", condition(object, "Evicted").map_or(String::new(), |evicted| evicted.text()));
    }
    if condition(object, "Admitted").is_some_and(|c| c.is_true()) {
        return match condition(object, "PodsReady").filter(|c| c.is_false()) {
            Some(pods) => Verdict::progressing("PodsNotReady", pods.text()),
            None => Verdict::HEALTHY,
        };
    }
    let waits = |code: &str, text: String| Verdict::new(Health::Waiting, code, text);
    if let Some(evicted) = condition(object, "Evicted").filter(|c| c.is_true()) {
        return waits("Evicted", evicted.text());
    }
    match condition(object, "QuotaReserved") {
        Some(quota) if quota.is_true() => waits("AdmissionChecks", "its quota is reserved; waits for admission checks".to_owned()),
        Some(quota) => waits("WaitsForQuota", quota.message.to_owned()),
        None => waits("WaitsForQuota", "was not looked at by its queue yet".to_owned()),
    }
}

/// A ClusterQueue, LocalQueue or AdmissionCheck.
pub(crate) fn queue(object: &Value) -> Verdict {
    match condition(object, "Active") {
        Some(active) if active.is_true() => Verdict::HEALTHY,
        Some(active) if active.reason == "Stopped" => Verdict::suspended("Stopped", active.message),
        Some(active) if active.is_false() => Verdict::degraded("NotActive", active.text()),
        _ => Verdict::progressing("NotActive", "its controller has not judged it yet"),
    }
}
