//! Argo's Workflow: runs to an end (Argo CD's rule). One that a person suspended is held on purpose, and so is one whose suspend step waits for
//! somebody to resume it.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;
use crate::ending::{End, Ending};

/// Its end, as its phase tells it. How long it stays then stands in its own spec or in the template that it refers to.
pub(crate) fn ending(object: &Value) -> Option<Ending> {
    let status = object.get("status")?;
    let (end, own) = match text(status, "phase") {
        "Succeeded" => (End::Succeeded, "secondsAfterSuccess"),
        "Failed" | "Error" => (End::failed(text(status, "message")), "secondsAfterFailure"),
        _ => return None,
    };
    let strategies = ["/spec/ttlStrategy", "/status/storedWorkflowTemplateSpec/ttlStrategy"];
    let strategy = strategies.into_iter().find_map(|pointer| object.pointer(pointer));
    let seconds = strategy.and_then(|strategy| [own, "secondsAfterCompletion"].into_iter().find_map(|field| strategy.get(field)?.as_i64()));
    Some(Ending::new(end, text(status, "finishedAt"), seconds))
}

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
