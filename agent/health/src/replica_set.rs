//! ReplicaSet: as many available replicas as it wants. What a quota holds back waits; it has no deadline.

use serde_json::Value;

use crate::condition::{condition, replica_failure};
use crate::{Verdict, behind_generation, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(verdict) = behind_generation(object) {
        return verdict;
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|c| c.is_true()) {
        return replica_failure(&failure);
    }
    let wanted = integer(object, "/spec/replicas", 1);
    let available = integer(object, "/status/availableReplicas", 0);
    if available < wanted {
        return Verdict::progressing("NotAvailable", format!("{available} of {wanted} replicas are available"));
    }
    Verdict::HEALTHY
}
