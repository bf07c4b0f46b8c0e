//! Namespace: active. One that is being deleted is recognised for every kind before this rule is asked; its phase alone can say so too.

use serde_json::Value;

use crate::Verdict;

pub(crate) fn assess(object: &Value) -> Verdict {
    match object.pointer("/status/phase").and_then(Value::as_str) {
        Some("Terminating") => Verdict::progressing("NamespaceTerminating", "the namespace is being deleted"),
        _ => Verdict::HEALTHY,
    }
}
