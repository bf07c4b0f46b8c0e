//! Kubeflow's training jobs (PyTorchJob, TFJob, MPIJob, XGBoostJob, PaddleJob, JAXJob): one operator writes the same conditions to all of them.
//! One that runs has come up: a training of a week holds up nobody.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;
use crate::ending::{Ending, by_condition};
use crate::queue::suspended_or_queued;

/// Its end, as its conditions tell it.
pub(crate) fn ending(object: &Value) -> Option<Ending> {
    by_condition(object, "Succeeded")
}

pub(crate) fn assess(object: &Value) -> Verdict {
    let holds = |kind: &str| condition(object, kind).filter(|c| c.is_true());
    if let Some(failed) = holds("Failed") {
        return Verdict::degraded("TrainingFailed", failed.text());
    }
    if holds("Succeeded").is_some() {
        return Verdict::HEALTHY;
    }
    let suspend = object.pointer("/spec/runPolicy/suspend").and_then(Value::as_bool) == Some(true);
    if suspend || holds("Suspended").is_some() {
        return suspended_or_queued(object);
    }
    if let Some(restarting) = holds("Restarting") {
        return Verdict::progressing("TrainingRestarting", restarting.text());
    }
    match (holds("Running"), holds("Created")) {
        (Some(_), _) => Verdict::HEALTHY,
        (None, Some(created)) => Verdict::progressing("TrainingStarting", created.text()),
        (None, None) => Verdict::progressing("TrainingStarting", "its controller has not seen it"),
    }
}
