//! CertificateSigningRequest: signed, refused, or waiting for somebody's approval.

use serde_json::Value;

use crate::Verdict;
use crate::condition::{Condition, condition};

pub(crate) fn assess(object: &Value) -> Verdict {
    for kind in ["Denied", "Failed"] {
        if let Some(refused) = condition(object, kind).filter(Condition::is_true) {
            return Verdict::degraded(if kind == "Denied" { "RequestDenied" } else { "RequestFailed" }, refused.text());
        }
    }
    if object.pointer("/status/certificate").and_then(Value::as_str).is_some_and(|certificate| !certificate.is_empty()) {
        return Verdict::HEALTHY;
    }
    match condition(object, "Approved") {
        Some(_) => Verdict::progressing("NotSigned", "it is approved and not signed yet"),
        None => Verdict::waiting("WaitsForApproval", "nobody has approved or denied it so far"),
    }
}
