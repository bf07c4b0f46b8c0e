//! A RayJob. One that runs has come up: a training of a week holds up nobody.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;
use crate::ending::{End, Ending};
use crate::queue::suspended_or_queued;

/// Its end, as its status tells it. Its `ttlSecondsAfterFinished` is that of its cluster; the RayJob itself stays.
pub(crate) fn ending(object: &Value) -> Option<Ending> {
    let status = object.get("status")?;
    let end = match (text(status, "jobDeploymentStatus"), text(status, "jobStatus")) {
        ("Complete", "SUCCEEDED") => End::Succeeded,
        ("Complete" | "Failed" | "ValidationFailed", job) => End::failed(format!("{job} {}", text(status, "message")).trim()),
        _ => return None,
    };
    Some(Ending::new(end, text(status, "endTime"), None))
}

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    let message = format!("{} {}", text(status, "reason"), text(status, "message"));
    let message = message.trim();
    match (text(status, "jobDeploymentStatus"), text(status, "jobStatus")) {
        ("Failed" | "ValidationFailed", _) | (_, "FAILED") => Verdict::degraded("RayJobFailed", message),
        ("Suspended" | "Suspending", _) => suspended_or_queued(object),
        ("Complete", "STOPPED") => Verdict::suspended("RayJobStopped", message),
        ("Complete", _) | ("Running", "RUNNING") => Verdict::HEALTHY,
        ("Waiting", _) => Verdict::waiting("RayJobWaits", "waits for somebody to submit the job"),
        ("", _) if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) => suspended_or_queued(object),
        (deployment, job) => Verdict::progressing("RayJobStarting", format!("{deployment} {job}").trim().to_owned()),
    }
}
