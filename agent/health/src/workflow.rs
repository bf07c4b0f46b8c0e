//! Argo's Workflow: runs to an end (Argo CD's rule). One that a person suspended is held on purpose, and so is one whose suspend step waits for
//! somebody to resume it.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;

pub(crate) fn assess(object: &Value) -> Verdict {
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
