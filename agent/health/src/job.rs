//! Job: complete or failed, and of most of them nothing in between is healthy. Argo CD and Flux agree on that, and what they move in here relies on
//! it: a migration as an ordinary Job in an early wave, or in an app that others depend on, has to be over before these go on. kstatus by itself
//! would call it current when it has started, and so do the rules for trainings beside this one (JobSet, TrainJob, PyTorchJob and the like), as such
//! a training holds up nobody. A Job that is queued by Kueue, or asks for devices, is taken for such a training: it is healthy when as many of its
//! pods are ready as run at once. Of all others nothing tells which of the two they are, and a release that goes on beside a half done migration is
//! worse than one that waits visibly. What is to be awaited to its end although it needs a GPU is a hook.
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
use crate::queue::{is_queued, suspended_or_queued};
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
    let at_once = integer(object, "/spec/parallelism", 1);
    let completions = integer(object, "/spec/completions", at_once);
    if is_training(object) {
        let ready = integer(object, "/status/ready", 0);
        if active > 0 && ready >= at_once.min(completions.saturating_sub(succeeded).max(1)) {
            return Verdict::HEALTHY;
        }
        return Verdict::progressing(
            "JobStarting",
            format!("{ready} of {at_once} pods are ready, {succeeded} of {completions} completions"),
        );
    }
    Verdict::progressing("JobRunning", format!("{succeeded} of {completions} completions, {active} pods active"))
}

/// Whether the Job needs what a cluster has little of: then it is one of those that run for a week.
fn is_training(object: &Value) -> bool {
    let pod = object.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    let claims = pod.get("resourceClaims").and_then(Value::as_array).is_some_and(|claims| !claims.is_empty());
    let mut containers = ["initContainers", "containers"].into_iter().filter_map(|list| pod.get(list)?.as_array()).flatten();
    is_queued(object) || claims || containers.any(asks_for_devices)
}

/// Whether a container asks for what a device plugin gives: such names have a domain, and Kubernetes' own resources have none.
fn asks_for_devices(container: &Value) -> bool {
    let limits = container.pointer("/resources/limits").and_then(Value::as_object);
    limits.is_some_and(|limits| limits.keys().any(|name| name.contains('/') && !name.contains("kubernetes.io/")))
}
