//! Any other kind, by the conventions that kstatus reads: `observedGeneration`, and the conditions Stalled, Reconciling and Ready.
//! An object that uses none of them is healthy by existing.

use serde_json::Value;

use crate::condition::condition;
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/status/observedGeneration").is_some()
        && let Some(verdict) = behind_generation(object)
    {
        return verdict;
    }
    if let Some(stalled) = condition(object, "Stalled").filter(|c| c.is_true()) {
        return Verdict::degraded("Stalled", stalled.text());
    }
    if let Some(reconciling) = condition(object, "Reconciling").filter(|c| c.is_true()) {
        return Verdict::progressing("Reconciling", reconciling.text());
    }
    match condition(object, "Ready") {
        Some(ready) if !ready.is_true() => Verdict::progressing("NotReady", ready.text()),
        _ => Verdict::HEALTHY,
    }
}
