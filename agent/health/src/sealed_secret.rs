//! A SealedSecret: unsealed, or not.

use serde_json::Value;

use crate::condition::{condition, condition_or_degraded};
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    if condition(object, "Synced").is_some()
        && let Some(verdict) = behind_generation(object)
    {
        return verdict;
    }
    condition_or_degraded(object, "Synced", "NotSynced")
}
