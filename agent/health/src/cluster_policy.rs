//! NVIDIA's ClusterPolicy: all operands of the GPU operator. A cluster has one; a second is ignored. A new driver drains the nodes with GPUs one after the other, which takes its time and is no fault.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    let message = || ["Error", "Ready"].into_iter().find_map(|kind| Some(condition(object, kind)?.message.to_owned())).unwrap_or_default();
    match object.pointer("/status/state").and_then(Value::as_str).unwrap_or_default() {
        "ready" => Verdict::HEALTHY,
        "ignored" => Verdict::degraded("Ignored", "another one of its kind is in force; a cluster has one"),
        "disabled" => Verdict::suspended("Disabled", message()),
        "notReady" if condition(object, "Error").is_some_and(|c| c.is_true() && c.reason == "ReconcileFailed") => {
            Verdict::degraded("ReconcileFailed", message())
        }
        "notReady" => Verdict::progressing("OperandsNotReady", message()),
        _ => Verdict::progressing("NotObserved", "its operator has not seen it"),
    }
}
