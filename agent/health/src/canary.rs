//! Flagger's Canary: one that waits for a confirmation waits, and has not failed.

use serde_json::Value;

use crate::Verdict;
use crate::condition::{condition, text};

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    let message = condition(object, "Promoted").map_or(String::new(), |promoted| promoted.message.to_owned());
    match text(status, "phase") {
        _ if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) => {
            Verdict::suspended("Suspended", "the canary is suspended (spec.suspend)")
        }
        "Initialized" | "Succeeded" => Verdict::HEALTHY,
        "Failed" => Verdict::degraded("CanaryFailed", message),
        "Waiting" | "WaitingPromotion" => Verdict::waiting("CanaryWaits", message),
        phase => Verdict::progressing("CanaryProgressing", format!("{phase} {message}").trim().to_owned()),
    }
}
