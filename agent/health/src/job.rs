//! Job: complete or failed, and of most of them nothing in between is healthy. Argo CD and Flux agree on that, and what they move in here relies on
//! it: a migration as an ordinary Job in an early wave, or in an app that others depend on, has to be over before these go on. kstatus by itself
//! would call it current when it has started, and so do the rules for trainings beside this one (JobSet, TrainJob, PyTorchJob and the like), as such
//! a training holds up nobody. Of all others nothing tells which of the two they are, and a release that goes on beside a half done migration is
//! worse than one that waits visibly.
//!
//! An app whose other Jobs run for a week says so itself, in either of two ways: by expressions for Jobs of `batch/v1`
//! (`current: has(status.active) || has(status.completionTime)`, and `failed` for what is to stop a rollout), by which one that runs is healthy
//! for waves, dependencies and rollouts; or by `argocd.argoproj.io/ignore-healthcheck: "true"` on the Job, by which it has no part in the health
//! of its app, while later waves of the app wait for it. Neither changes when it has ended (`ending`): a running one that is deleted comes back.
//!
//! A suspended one is held on purpose by a person, and waits when Kueue holds it. Its own deadlines are activeDeadlineSeconds and backoffLimit.

use serde_json::Value;

use crate::condition::condition;
use crate::ending::{Ending, by_condition};
use crate::queue::suspended_or_queued;
use crate::{Verdict, integer};

/// Its end, as its conditions tell it.
pub(crate) fn ending(object: &Value) -> Option<Ending> {
    by_condition(object, "Complete")
}

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
