//! PersistentVolumeClaim: bound.

use serde_json::Value;

use crate::Verdict;

pub(crate) fn assess(object: &Value) -> Verdict {
    match object.pointer("/status/phase").and_then(Value::as_str) {
        Some("Bound") => Verdict::HEALTHY,
        Some("Lost") => Verdict::degraded("ClaimLost", "the volume that it was bound to is gone"),
        _ => Verdict::progressing("ClaimPending", "it is not bound to a volume yet"),
    }
}
