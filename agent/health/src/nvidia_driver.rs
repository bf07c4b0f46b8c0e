//! NVIDIA's NVIDIADriver: the driver of one pool of nodes. A new one drains these nodes one after the other, which takes its time and is no fault;
//! one that selects the nodes of another (reason ConflictingNodeSelector) never will be ready.

use serde_json::Value;

use crate::Verdict;
use crate::condition::{Condition, condition};

pub(crate) fn assess(object: &Value) -> Verdict {
    let error = condition(object, "Error").filter(Condition::is_true);
    let message = || error.as_ref().map_or_else(|| condition(object, "Ready").map_or(String::new(), |c| c.text()), Condition::text);
    match object.pointer("/status/state").and_then(Value::as_str).unwrap_or_default() {
        "ready" => Verdict::HEALTHY,
        "" if error.is_none() => Verdict::progressing("NotObserved", "its operator has not seen it"),
        _ if error.as_ref().is_some_and(|c| matches!(c.reason, "ReconcileFailed" | "ConflictingNodeSelector")) => {
            Verdict::degraded("DriverFailed", message())
        }
        _ => Verdict::progressing("DriverNotReady", message()),
    }
}
