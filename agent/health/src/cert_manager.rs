//! cert-manager: a Certificate is issued or being issued; an Issuer can issue or cannot (Argo CD's `cert-manager.io` rules).

use serde_json::Value;

use crate::condition::{condition, ready_or_degraded};
use crate::{Verdict, behind_generation};

/// A Certificate. While it is issued anew the old one still serves, so that Ready says little about it.
pub(crate) fn certificate(object: &Value) -> Verdict {
    if let Some(issuing) = condition(object, "Issuing").filter(|c| c.is_true()) {
        return Verdict::progressing("Issuing", issuing.text());
    }
    // Its observed generation stands at the condition.
    ready_or_degraded(object)
}

/// An Issuer or ClusterIssuer.
pub(crate) fn issuer(object: &Value) -> Verdict {
    if object.pointer("/status/observedGeneration").is_some()
        && let Some(verdict) = behind_generation(object)
    {
        return verdict;
    }
    ready_or_degraded(object)
}
