//! Katib's Experiment: a search over trials. One whose trials run has come up; `MaxFailedTrialCount` is its own limit of failures.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    let holds = |kind: &str| condition(object, kind).filter(|c| c.is_true());
    if let Some(failed) = holds("Failed") {
        return Verdict::degraded("ExperimentFailed", failed.text());
    }
    if holds("Succeeded").is_some() {
        return Verdict::HEALTHY;
    }
    if let Some(restarting) = holds("Restarting") {
        return Verdict::progressing("ExperimentRestarting", restarting.text());
    }
    match (holds("Running"), holds("Created")) {
        (Some(_), _) => Verdict::HEALTHY,
        (None, Some(created)) => Verdict::progressing("ExperimentStarting", created.text()),
        (None, None) => Verdict::progressing("ExperimentStarting", "its controller has not seen it"),
    }
}
