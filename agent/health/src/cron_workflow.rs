//! Argo's CronWorkflow: well as long as it can submit.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    for kind in ["SpecError", "SubmissionError"] {
        if let Some(error) = condition(object, kind).filter(|c| c.is_true()) {
            return Verdict::degraded(kind, error.message);
        }
    }
    match object.pointer("/spec/suspend").and_then(Value::as_bool) {
        Some(true) => Verdict::suspended("Suspended", "its schedule is suspended (spec.suspend)"),
        _ => Verdict::HEALTHY,
    }
}
