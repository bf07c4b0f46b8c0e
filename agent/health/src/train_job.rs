//! Kubeflow Trainer's TrainJob. One whose jobs run has come up: a training of a week holds up nobody.

use serde_json::Value;

use crate::condition::{condition, text};
use crate::ending::{Ending, by_condition};
use crate::queue::suspended_or_queued;
use crate::{Verdict, integer};

/// Its end, as its conditions tell it.
pub(crate) fn ending(object: &Value) -> Option<Ending> {
    by_condition(object, "Complete")
}

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(failed) = condition(object, "Failed").filter(|c| c.is_true()) {
        return Verdict::degraded("TrainingFailed", failed.text());
    }
    if condition(object, "Complete").is_some_and(|c| c.is_true()) {
        return Verdict::HEALTHY;
    }
    if condition(object, "Suspended").is_some_and(|c| c.is_true()) || object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true)
    {
        return suspended_or_queued(object);
    }
    let jobs = object.pointer("/status/jobsStatus").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_up = |job: &&Value| ["ready", "succeeded"].into_iter().any(|field| integer(job, &format!("/{field}"), 0) > 0);
    match jobs.iter().find(|job| !is_up(job)) {
        None if !jobs.is_empty() => Verdict::HEALTHY,
        None => Verdict::progressing("TrainingStarting", "its jobs are not made yet"),
        Some(job) => Verdict::progressing("TrainingStarting", format!("job {} does not run yet", text(job, "name"))),
    }
}
