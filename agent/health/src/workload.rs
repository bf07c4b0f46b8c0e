//! Kueue's Workload: one that waits for quota waits, and one that was preempted or evicted will come again. Kueue's own deadline is the limit
//! of requeues and of run time: past it the Workload is deactivated by Kueue and not by a person, and that is a failure.

use serde_json::Value;

use crate::Verdict;
use crate::condition::{Condition, condition, text};
use crate::scarcity::kueue_quota;

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(finished) = condition(object, "Finished").filter(Condition::is_true) {
        return if finished.reason == "Failed" { Verdict::degraded("WorkloadFailed", finished.message) } else { Verdict::HEALTHY };
    }
    let evicted = condition(object, "Evicted").filter(Condition::is_true);
    if object.pointer("/spec/active").and_then(Value::as_bool) == Some(false) {
        return deactivated(condition(object, "DeactivationTarget").or(evicted));
    }
    if condition(object, "Admitted").is_some_and(|c| c.is_true()) {
        return match condition(object, "PodsReady").filter(Condition::is_false) {
            Some(pods) => Verdict::progressing("PodsNotReady", pods.text()),
            None => Verdict::HEALTHY,
        };
    }
    if let Some(evicted) = evicted {
        let count = crate::integer(object, "/status/requeueState/count", 0);
        let again = object.pointer("/status/requeueState/requeueAt").and_then(Value::as_str);
        let again = again.map_or(String::new(), |at| format!("; requeue {count} at {at}"));
        return Verdict::waiting("Evicted", format!("{}{again}", evicted.text()));
    }
    let queue = object.pointer("/spec/queueName").and_then(Value::as_str);
    let queue = queue.map_or(String::new(), |queue| format!(" (queue {queue})"));
    match condition(object, "QuotaReserved") {
        Some(quota) if quota.is_true() => waits_for_checks(object),
        Some(quota) => Verdict::waiting("WaitsForQuota", format!("{}{queue}", kueue_quota(quota.message))),
        None => Verdict::waiting("WaitsForQuota", format!("was not looked at by its queue yet{queue}")),
    }
}

/// Deactivated by a person, or by Kueue because it was tried too often, ran too long or a check refused it.
fn deactivated(why: Option<Condition<'_>>) -> Verdict {
    let Some(why) = why else { return Verdict::suspended("Deactivated", "it is not active (spec.active)") };
    let by_kueue = why.reason.starts_with("DeactivatedDueTo")
        || ["RequeuingLimitExceeded", "MaximumExecutionTimeExceeded", "AdmissionCheckRejected"]
            .iter()
            .any(|reason| why.reason.contains(reason));
    if by_kueue { Verdict::degraded("DeactivatedByKueue", why.text()) } else { Verdict::suspended("Deactivated", why.text()) }
}

/// Its quota is reserved; checks (a cloud's provisioning request, another cluster) are not through.
fn waits_for_checks(object: &Value) -> Verdict {
    let checks = object.pointer("/status/admissionChecks").and_then(Value::as_array).into_iter().flatten();
    let open = checks.filter(|check| !matches!(text(check, "state"), "Ready"));
    let told: Vec<_> = open
        .map(|check| format!("{} ({}) {}", text(check, "name"), text(check, "state"), text(check, "message")).trim().to_owned())
        .collect();
    let told = if told.is_empty() { "admission checks".to_owned() } else { told.join(", ") };
    Verdict::waiting("AdmissionChecks", format!("its quota is reserved; waits for {told}"))
}
