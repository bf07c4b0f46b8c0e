//! Pod: running and ready, or done. A pod that cannot be scheduled waits: capacity is not the app's fault (kstatus calls it failed after
//! 15 seconds, which fails every app that queues for a GPU).

use serde_json::Value;

use crate::Verdict;
use crate::condition::{condition, text};
use crate::scarcity::unschedulable;

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    let always = object.pointer("/spec/restartPolicy").and_then(Value::as_str).unwrap_or("Always") == "Always";
    if let Some(verdict) = waiting_container(status).filter(|_| always) {
        return verdict;
    }
    match text(status, "phase") {
        "Succeeded" => Verdict::HEALTHY,
        "Failed" => Verdict::degraded("PodFailed", format!("{} {}", text(status, "reason"), text(status, "message")).trim().to_owned()),
        "Running" if !always => Verdict::progressing("PodRunning", "runs to its end"),
        "Running" => match condition(object, "Ready") {
            Some(ready) if ready.is_true() => Verdict::HEALTHY,
            Some(ready) => Verdict::progressing("PodNotReady", ready.text()),
            None => Verdict::progressing("PodNotReady", "its readiness is not known yet"),
        },
        _ => match condition(object, "PodScheduled").filter(|c| c.is_false()) {
            Some(held) if held.reason == "SchedulingGated" => Verdict::waiting("SchedulingGated", held.message),
            Some(held) if held.reason == "Unschedulable" => Verdict::waiting("Unschedulable", unschedulable(held.message, Some(object))),
            _ => Verdict::progressing("PodPending", "its containers start"),
        },
    }
}

/// A container whose waiting reason is an error (Argo CD: `Err*`, `*Error`, `*BackOff`).
fn waiting_container(status: &Value) -> Option<Verdict> {
    ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|field| status.get(field)?.as_array())
        .flatten()
        .filter_map(|container| Some((container, container.pointer("/state/waiting")?)))
        .find_map(|(container, waiting)| {
            let reason = text(waiting, "reason");
            let bad = reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff");
            bad.then(|| Verdict::degraded(reason, format!("container {}: {}", text(container, "name"), text(waiting, "message"))))
        })
}
