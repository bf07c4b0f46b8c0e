//! cert-manager's Issuer and ClusterIssuer, which are one kind in two scopes: able to issue, or not (Argo CD's rule).

use serde_json::Value;

use crate::condition::ready_or_degraded;
use crate::{Verdict, behind_generation_if_told};

pub(crate) fn assess(object: &Value) -> Verdict {
    behind_generation_if_told(object).unwrap_or_else(|| ready_or_degraded(object))
}
