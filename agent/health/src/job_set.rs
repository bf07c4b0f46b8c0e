//! A JobSet. One whose jobs all run has come up: a training of a week holds up nobody.

use serde_json::Value;

use crate::condition::{condition, text};
use crate::ending::{Ending, by_condition};
use crate::queue::suspended_or_queued;
use crate::{Verdict, integer};

/// Its end, as its conditions tell it.
pub(crate) fn ending(object: &Value) -> Option<Ending> {
    by_condition(object, "Completed")
}

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(failed) = condition(object, "Failed").filter(|c| c.is_true()) {
        return Verdict::degraded("JobSetFailed", failed.text());
    }
    if condition(object, "Completed").is_some_and(|c| c.is_true()) {
        return Verdict::HEALTHY;
    }
    if condition(object, "Suspended").is_some_and(|c| c.is_true()) || object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true)
    {
        return suspended_or_queued(object);
    }
    let statuses = object.pointer("/status/replicatedJobsStatus").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let jobs = object.pointer("/spec/replicatedJobs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for job in jobs {
        let (name, wanted) = (text(job, "name"), integer(job, "/replicas", 1));
        let status = statuses.iter().find(|status| text(status, "name") == name).unwrap_or(&Value::Null);
        let up: i64 = ["ready", "succeeded"].into_iter().map(|field| integer(status, &format!("/{field}"), 0)).sum();
        if up < wanted {
            let restarts = integer(object, "/status/restarts", 0);
            let restarts = if restarts > 0 { format!(", after {restarts} restarts") } else { String::new() };
            return Verdict::progressing("JobSetStarting", format!("{up} of {wanted} jobs of {name} run{restarts}"));
        }
    }
    Verdict::HEALTHY
}
