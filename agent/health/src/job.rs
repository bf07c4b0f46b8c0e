//! Job: complete or failed (Argo CD and kstatus agree). A suspended one is held on purpose by a person, and waits when Kueue holds it. Its own
//! deadlines are activeDeadlineSeconds and backoffLimit.

use serde_json::Value;

use crate::condition::condition;
use crate::queue::suspended_or_queued;
use crate::{Verdict, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(failed) = condition(object, "Failed").filter(|c| c.is_true()) {
        return Verdict::degraded("JobFailed", failed.text());
    }
    if condition(object, "Complete").is_some_and(|c| c.is_true()) {
        return Verdict::HEALTHY;
    }
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return suspended_or_queued(object);
    }
    let [active, succeeded] = ["active", "succeeded"].map(|name| integer(object, &format!("/status/{name}"), 0));
    let completions = integer(object, "/spec/completions", 1);
    Verdict::progressing("JobRunning", format!("{succeeded} of {completions} completions, {active} pods active"))
}
