//! Argo's Rollout: as its phase says. A paused canary waits for somebody and has not failed.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    let message = text(status, "message");
    if object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Verdict::suspended("Paused", "the rollout is paused (spec.paused)");
    }
    // This kind writes the generation as a text.
    let generation = crate::integer(object, "/metadata/generation", 0).to_string();
    let observed = text(status, "observedGeneration");
    if observed != generation {
        let observed = if observed.is_empty() { "none" } else { observed };
        return Verdict::progressing("NotObserved", format!("its controller has seen generation {observed} of {generation}"));
    }
    match text(status, "phase") {
        "Healthy" => Verdict::HEALTHY,
        "Degraded" => Verdict::degraded("RolloutDegraded", message),
        "Paused" => Verdict::suspended("RolloutPaused", message),
        _ => Verdict::progressing("RolloutProgressing", message),
    }
}
