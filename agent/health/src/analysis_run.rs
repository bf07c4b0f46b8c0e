//! The AnalysisRun and Experiment of Argo Rollouts, which share their phases: a judgement that is being made, or was.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    let message = text(status, "message");
    match text(status, "phase") {
        "Successful" => Verdict::HEALTHY,
        "Failed" | "Error" => Verdict::degraded("AnalysisFailed", message),
        "Inconclusive" => Verdict::new(crate::Health::Unknown, "Inconclusive", message),
        _ => Verdict::progressing("AnalysisRunning", message),
    }
}
