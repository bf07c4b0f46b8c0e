//! Knative: Ready is True, False or on its way (`knative.dev/pkg/apis`: a condition that is Unknown is reconciling).

use serde_json::Value;

use crate::condition::ready_or_degraded;
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    behind_generation(object).unwrap_or_else(|| ready_or_degraded(object))
}
