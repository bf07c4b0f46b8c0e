//! Flux's kinds, which share their conditions: suspended, stalled, reconciling, or ready (kstatus; Argo CD's `toolkit.fluxcd.io` rules agree).
//! One whose dependency is not ready says Ready=False and waits; it has not failed.

use serde_json::Value;

use crate::condition::{condition, ready_or_degraded};
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Verdict::suspended("Suspended", "it is suspended (spec.suspend)");
    }
    // Alerts and providers have no status, nor has a Helm repository in a registry.
    if object.get("status").is_none_or(|status| status.as_object().is_some_and(serde_json::Map::is_empty)) {
        let is_oci = object.pointer("/spec/type").and_then(Value::as_str) == Some("oci");
        let has_status = match object.get("kind").and_then(Value::as_str) {
            Some("Alert" | "Provider") => false,
            Some("HelmRepository") => !is_oci,
            _ => true,
        };
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
    if let Some(waits) = condition(object, "Ready").filter(|ready| ready.is_false() && ready.reason == "DependencyNotReady") {
        return Verdict::waiting("DependencyNotReady", waits.message);
    }
    ready_or_degraded(object)
}
