//! A RayService: ready, and not on the way to another cluster.

use serde_json::Value;

use crate::condition::{condition, text};
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    if status.get("observedGeneration").is_some()
        && let Some(verdict) = behind_generation(object)
    {
        return verdict;
    }
    for kind in ["UpgradeInProgress", "RollbackInProgress"] {
        if let Some(moving) = condition(object, kind).filter(|c| c.is_true()) {
            return Verdict::progressing(kind, moving.text());
        }
    }
    let applications = ["activeServiceStatus", "pendingServiceStatus"]
        .into_iter()
        .filter_map(|name| status.get(name)?.get("applicationStatuses")?.as_object());
    for (name, application) in applications.flatten() {
        if matches!(text(application, "status"), "DEPLOY_FAILED" | "UNHEALTHY") {
            return Verdict::degraded(
                "ApplicationFailed",
                format!("application {name}: {} {}", text(application, "status"), text(application, "message")),
            );
        }
    }
    match condition(object, "Ready") {
        Some(ready) if ready.is_true() => Verdict::HEALTHY,
        Some(ready) => Verdict::progressing("NotReady", ready.text()),
        // Before conditions there was one word.
        None if text(status, "serviceStatus") == "Running" => Verdict::HEALTHY,
        None => Verdict::progressing("NotReady", text(status, "serviceStatus")),
    }
}
