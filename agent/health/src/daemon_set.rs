//! DaemonSet: updated and available on every node that it wants.

use serde_json::Value;

use crate::{Verdict, behind_generation, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(verdict) = behind_generation(object) {
        return verdict;
    }
    if object.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete") {
        return Verdict::HEALTHY;
    }
    let [wanted, updated, available] =
        ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"].map(|name| integer(object, &format!("/status/{name}"), 0));
    if updated < wanted {
        return Verdict::progressing("Updating", format!("updated on {updated} of {wanted} nodes"));
    }
    if available < wanted {
        return Verdict::progressing("NotAvailable", format!("available on {available} of {wanted} nodes"));
    }
    Verdict::HEALTHY
}
