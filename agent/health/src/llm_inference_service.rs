//! KServe's LLMInferenceService: Ready over its presets, its workloads and its router.

use serde_json::Value;

use crate::condition::condition;
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/status/observedGeneration").is_some()
        && let Some(verdict) = behind_generation(object)
    {
        return verdict;
    }
    let Some(ready) = condition(object, "Ready") else { return Verdict::progressing("NotReady", "its controller has not judged it yet") };
    if ready.is_true() {
        return Verdict::HEALTHY;
    }
    if ready.reason == "Stopped" {
        return Verdict::suspended("Stopped", ready.text());
    }
    if let Some(presets) = condition(object, "PresetsCombined").filter(|c| c.is_false()) {
        return Verdict::degraded("PresetsNotCombined", presets.text());
    }
    let parts = ["WorkloadsReady", "RouterReady"].into_iter().filter_map(|kind| condition(object, kind).filter(|c| c.is_false()));
    for part in parts {
        if part.reason.ends_with("Failed") || part.reason.ends_with("Error") || part.reason == "ProgressDeadlineExceeded" {
            return Verdict::degraded("NotReady", part.text());
        }
    }
    Verdict::progressing("NotReady", ready.text())
}
