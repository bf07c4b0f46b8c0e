//! Knative Serving's Service: its configuration and its routes are ready (Argo CD's rule). What is Unknown is on its way, and what is scaled to
//! zero is well.

use serde_json::Value;

use crate::condition::{condition, ready_or_degraded};
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(verdict) = behind_generation(object) {
        return verdict;
    }
    // Ready sums them up, a moment later; the part says more than the sum.
    for (kind, code) in [("ConfigurationsReady", "ConfigurationNotReady"), ("RoutesReady", "RouteNotReady")] {
        if let Some(part) = condition(object, kind).filter(|c| c.is_false()) {
            return Verdict::degraded(code, part.text());
        }
    }
    ready_or_degraded(object)
}
