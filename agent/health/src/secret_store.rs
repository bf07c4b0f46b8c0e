//! SecretStore and ClusterSecretStore of the External Secrets operator, which are one kind in two scopes: its provider takes the credentials, or
//! not (Argo CD's rule).

use serde_json::Value;

use crate::Verdict;
use crate::condition::ready_or_degraded;

pub(crate) fn assess(object: &Value) -> Verdict {
    ready_or_degraded(object)
}
