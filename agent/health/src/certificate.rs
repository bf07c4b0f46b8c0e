//! cert-manager's Certificate: issued or being issued (Argo CD's rule). While it is issued anew the old one still serves, so that Ready says
//! little then.

use serde_json::Value;

use crate::Verdict;
use crate::condition::{condition, ready_or_degraded};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(issuing) = condition(object, "Issuing").filter(|c| c.is_true()) {
        return Verdict::progressing("Issuing", issuing.text());
    }
    // Its observed generation stands at the condition.
    ready_or_degraded(object)
}
