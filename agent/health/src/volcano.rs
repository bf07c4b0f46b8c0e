//! Volcano: a Job, the PodGroup in which its pods are scheduled together, and a Queue. What is pending waits for capacity, which is nobody's
//! fault. A job that runs has come up.

use serde_json::Value;

use crate::condition::{condition, text};
use crate::{Health, Verdict, integer};

/// A Job.
pub(crate) fn job(object: &Value) -> Verdict {
    let state = object.pointer("/status/state").unwrap_or(&Value::Null);
    let message = format!("{} {}", text(state, "reason"), text(state, "message"));
    let message = message.trim();
    match text(state, "phase") {
        "Running" | "Completed" => Verdict::HEALTHY,
        "Failed" | "Terminated" => Verdict::degraded("VolcanoJobFailed", message),
        "Aborted" => Verdict::suspended("Aborted", message),
        "" | "Pending" => {
            let (running, needed) = (integer(object, "/status/running", 0), integer(object, "/status/minAvailable", 0));
            Verdict::new(
                Health::Waiting,
                "WaitsForCapacity",
                format!("{running} of at least {needed} pods run {message}").trim().to_owned(),
            )
        }
        phase => Verdict::progressing("VolcanoJobChanging", format!("{phase} {message}").trim().to_owned()),
    }
}

/// A PodGroup.
pub(crate) fn pod_group(object: &Value) -> Verdict {
    let why = condition(object, "Unschedulable").filter(|c| c.is_true()).map_or(String::new(), |c| c.text());
    match object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default() {
        "Running" | "Completed" => Verdict::HEALTHY,
        "Unknown" => Verdict::degraded("PodGroupBroken", if why.is_empty() { "some of its pods are gone".to_owned() } else { why }),
        phase => Verdict::new(Health::Waiting, "WaitsForCapacity", format!("{phase} {why}").trim().to_owned()),
    }
}

/// A Queue.
pub(crate) fn queue(object: &Value) -> Verdict {
    match object.pointer("/status/state").and_then(Value::as_str).unwrap_or_default() {
        "Open" => Verdict::HEALTHY,
        "Closed" | "Closing" => Verdict::suspended("QueueClosed", "the queue takes nothing in"),
        "Unknown" => Verdict::new(Health::Unknown, "QueueUnknown", "its controller does not know its state"),
        _ => Verdict::progressing("NotObserved", "its controller has not seen it"),
    }
}
