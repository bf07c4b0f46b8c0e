//! KServe's InferenceService. Two traps: `modelStatus.transitionStatus` stays InProgress after scaling to zero (kserve#6079), and a stopped
//! service is no broken one (kserve#4791).

use serde_json::Value;

use crate::condition::{condition, text};
use crate::{Verdict, behind_generation_if_told, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(stopped) = condition(object, "Stopped").filter(|c| c.is_true()) {
        return Verdict::suspended("Stopped", stopped.text());
    }
    if let Some(verdict) = behind_generation_if_told(object) {
        return verdict;
    }
    let model = object.pointer("/status/modelStatus").unwrap_or(&Value::Null);
    let transition = text(model, "transitionStatus");
    if matches!(transition, "BlockedByFailedLoad" | "InvalidSpec") {
        let failure = model.get("lastFailureInfo").unwrap_or(&Value::Null);
        let message = format!("{} {}", text(failure, "reason"), text(failure, "message"));
        return Verdict::degraded(transition, message.trim().to_owned());
    }
    let loading = || {
        let target = model.pointer("/states/targetModelState").and_then(Value::as_str).unwrap_or("Pending");
        Verdict::progressing("ModelLoading", format!("the model is {target}"))
    };
    match condition(object, "Ready") {
        // Without a copy there is nothing on its way: it was scaled to zero.
        Some(ready) if ready.is_true() => {
            let copies = integer(object, "/status/modelStatus/copies/totalCopies", 0);
            if transition == "InProgress" && copies > 0 { loading() } else { Verdict::HEALTHY }
        }
        Some(ready) if ready.is_false() && transition != "InProgress" => Verdict::degraded("NotReady", ready.text()),
        Some(_) | None => loading(),
    }
}
