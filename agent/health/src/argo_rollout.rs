//! Argo Rollouts: a Rollout, and the AnalysisRun and Experiment that judge it. A paused canary waits for somebody and has not failed.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;

/// A Rollout.
pub(crate) fn rollout(object: &Value) -> Verdict {
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

/// An AnalysisRun or Experiment.
pub(crate) fn analysis(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    let message = text(status, "message");
    match text(status, "phase") {
        "Successful" => Verdict::HEALTHY,
        "Failed" | "Error" => Verdict::degraded("AnalysisFailed", message),
        "Inconclusive" => Verdict::new(crate::Health::Unknown, "Inconclusive", message),
        _ => Verdict::progressing("AnalysisRunning", message),
    }
}
