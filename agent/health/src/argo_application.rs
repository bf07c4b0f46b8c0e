//! An Argo CD Application: as healthy as Argo CD says.

use serde_json::Value;

use crate::condition::text;
use crate::{Health, Verdict};

pub(crate) fn assess(object: &Value) -> Verdict {
    let health = object.pointer("/status/health").unwrap_or(&Value::Null);
    let message = text(health, "message");
    match text(health, "status") {
        "Healthy" => Verdict::HEALTHY,
        "Degraded" => Verdict::degraded("ApplicationDegraded", message),
        "Suspended" => Verdict::suspended("ApplicationSuspended", message),
        "Missing" => Verdict::new(Health::Missing, "ApplicationMissing", message),
        "Unknown" => Verdict::new(Health::Unknown, "ApplicationUnknown", message),
        _ => Verdict::progressing("ApplicationProgressing", message),
    }
}
