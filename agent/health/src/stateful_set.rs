//! StatefulSet: all replicas ready and on the update revision, as far as its update strategy wants that.

use serde_json::Value;

use crate::condition::text;
use crate::{Verdict, behind_generation, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(verdict) = behind_generation(object) {
        return verdict;
    }
    let wanted = integer(object, "/spec/replicas", 1);
    let ready = integer(object, "/status/readyReplicas", 0);
    if ready < wanted {
        return Verdict::progressing("NotReady", format!("{ready} of {wanted} replicas are ready"));
    }
    if object.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete") {
        return Verdict::HEALTHY;
    }
    let updated = integer(object, "/status/updatedReplicas", 0);
    let partition = integer(object, "/spec/updateStrategy/rollingUpdate/partition", 0);
    if partition > 0 {
        let wanted = (wanted - partition).max(0);
        if updated < wanted {
            return Verdict::progressing("Updating", format!("{updated} of {wanted} replicas above the partition are updated"));
        }
        return Verdict::HEALTHY;
    }
    let status = object.get("status").unwrap_or(&Value::Null);
    if text(status, "currentRevision") != text(status, "updateRevision") {
        return Verdict::progressing("Updating", format!("{updated} of {wanted} replicas are updated"));
    }
    Verdict::HEALTHY
}
