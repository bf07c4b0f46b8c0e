//! Argo Workflows: a Workflow runs to an end; a CronWorkflow is well as long as it can submit (Argo CD's `argoproj.io` rules).

use serde_json::Value;

use crate::Verdict;
use crate::condition::{condition, text};

/// A Workflow.
pub(crate) fn workflow(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    let message = text(status, "message");
    match text(status, "phase") {
        "Succeeded" => Verdict::HEALTHY,
        "Failed" | "Error" => Verdict::degraded("WorkflowFailed", message),
        _ if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) => {
            Verdict::suspended("Suspended", "it is suspended (spec.suspend)")
        }
        "" | "Pending" => Verdict::progressing("WorkflowPending", message),
        _ => Verdict::progressing("WorkflowRunning", format!("{} {message}", text(status, "progress")).trim().to_owned()),
    }
}

/// A CronWorkflow.
pub(crate) fn cron(object: &Value) -> Verdict {
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
