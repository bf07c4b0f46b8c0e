//! Volcano's Job. What is pending waits for capacity, which is nobody's fault; a job that runs has come up, however long it runs.

use serde_json::Value;

use crate::condition::text;
use crate::ending::{End, Ending};
use crate::scarcity::needs_together;
use crate::{Verdict, integer};

/// Its end, as its phase tells it. What was aborted can be resumed.
pub(crate) fn ending(object: &Value) -> Option<Ending> {
    let state = object.pointer("/status/state")?;
    let end = match text(state, "phase") {
        "Completed" => End::Succeeded,
        "Failed" | "Terminated" => End::failed(text(state, "message")),
        _ => return None,
    };
    let to_live = object.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_i64);
    Some(Ending::new(end, text(state, "lastTransitionTime"), to_live))
}

pub(crate) fn assess(object: &Value) -> Verdict {
    let state = object.pointer("/status/state").unwrap_or(&Value::Null);
    let message = format!("{} {}", text(state, "reason"), text(state, "message"));
    let message = message.trim();
    match text(state, "phase") {
        "Running" | "Completed" => Verdict::HEALTHY,
        "Failed" | "Terminated" => Verdict::degraded("VolcanoJobFailed", message),
        "Aborted" => Verdict::suspended("Aborted", message),
        "" => Verdict::progressing("NotObserved", "its controller has not seen it"),
        "Pending" => {
            let (running, needed) = (integer(object, "/status/running", 0), integer(object, "/status/minAvailable", 0));
            let needs = needs_together(object.pointer("/spec/minResources")).map_or(String::new(), |needs| format!(", which need {needs}"));
            Verdict::waiting("WaitsForCapacity", format!("{running} of at least {needed} pods run{needs} {message}").trim().to_owned())
        }
        phase => Verdict::progressing("VolcanoJobChanging", format!("{phase} {message}").trim().to_owned()),
    }
}
