//! Kubeflow's Notebook: its one pod is ready, or it was stopped.

use serde_json::Value;

use crate::condition::text;
use crate::{Verdict, integer};

/// The annotation by which a notebook is stopped.
const STOPPED: &str = "kubeflow-resource-stopped";

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/metadata/annotations").and_then(|annotations| annotations.get(STOPPED)).is_some() {
        return Verdict::suspended("Stopped", "the notebook is stopped");
    }
    if integer(object, "/status/readyReplicas", 0) > 0 {
        return Verdict::HEALTHY;
    }
    let waiting = object.pointer("/status/containerState/waiting").unwrap_or(&Value::Null);
    let reason = text(waiting, "reason");
    if reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff") {
        return Verdict::degraded(reason, text(waiting, "message"));
    }
    Verdict::progressing("NotebookStarting", format!("{reason} {}", text(waiting, "message")).trim().to_owned())
}
