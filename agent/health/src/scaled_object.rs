//! KEDA's ScaledObject: ready and scaling by its triggers (Argo CD's rule). One that scales by its fallback has lost its triggers.

use serde_json::Value;

use crate::Verdict;
use crate::condition::{Condition, condition};

pub(crate) fn assess(object: &Value) -> Verdict {
    let Some(ready) = condition(object, "Ready") else { return Verdict::progressing("NotReady", "its controller has not judged it yet") };
    if ready.is_false() {
        return Verdict::degraded("NotReady", ready.text());
    }
    if let Some(fallback) = condition(object, "Fallback").filter(Condition::is_true) {
        return Verdict::degraded("Fallback", fallback.text());
    }
    if !ready.is_true() {
        return Verdict::progressing("NotReady", ready.text());
    }
    match condition(object, "Paused").filter(Condition::is_true) {
        Some(paused) => Verdict::suspended("Paused", paused.text()),
        None => Verdict::HEALTHY,
    }
}
