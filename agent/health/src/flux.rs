//! Flux's kinds: suspended, stalled, reconciling, or ready (kstatus; Argo CD's `toolkit.fluxcd.io` rules agree).

use serde_json::Value;

use crate::condition::{condition, ready_or_degraded};
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Verdict::suspended("Suspended", "it is suspended (spec.suspend)");
    }
    // Alerts and providers have no status.
    if object.get("status").is_none_or(|status| status.as_object().is_some_and(serde_json::Map::is_empty)) {
        let has_status = !matches!(object.get("kind").and_then(Value::as_str), Some("Alert" | "Provider"));
        return if has_status { Verdict::progressing("NotObserved", "its controller has not seen it") } else { Verdict::HEALTHY };
    }
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
    ready_or_degraded(object)
}
