//! PersistentVolume: usable, or its reclaiming failed. One that was released keeps its data until somebody decides, as its policy says.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;

pub(crate) fn assess(object: &Value) -> Verdict {
    let status = object.get("status").unwrap_or(&Value::Null);
    match text(status, "phase") {
        "Failed" => Verdict::degraded("VolumeFailed", format!("{} {}", text(status, "reason"), text(status, "message")).trim().to_owned()),
        "Available" | "Bound" | "Released" => Verdict::HEALTHY,
        _ => Verdict::progressing("VolumePending", "it is not available yet"),
    }
}
