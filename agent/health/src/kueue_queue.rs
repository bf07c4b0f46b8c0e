//! Kueue's ClusterQueue, LocalQueue and AdmissionCheck, which share their condition: active, stopped by a person, or unable.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    match condition(object, "Active") {
        Some(active) if active.is_true() => Verdict::HEALTHY,
        Some(active) if matches!(active.reason, "Stopped" | "ClusterQueueIsInactive") && is_stopped(object) => {
            Verdict::suspended("Stopped", active.message)
        }
        Some(active) if active.reason == "Stopped" => Verdict::suspended("Stopped", active.message),
        Some(active) if active.is_false() => Verdict::degraded("NotActive", active.text()),
        _ => Verdict::progressing("NotActive", "its controller has not judged it yet"),
    }
}

fn is_stopped(object: &Value) -> bool {
    object.pointer("/spec/stopPolicy").and_then(Value::as_str).is_some_and(|policy| policy != "None")
}
