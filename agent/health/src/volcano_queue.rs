//! Volcano's Queue: open, or it takes nothing in.

use serde_json::Value;

use crate::{Health, Verdict};

pub(crate) fn assess(object: &Value) -> Verdict {
    match object.pointer("/status/state").and_then(Value::as_str).unwrap_or_default() {
        "Open" => Verdict::HEALTHY,
        "Closed" | "Closing" => Verdict::suspended("QueueClosed", "the queue takes nothing in"),
        "Unknown" => Verdict::new(Health::Unknown, "QueueUnknown", "its controller does not know its state"),
        _ => Verdict::progressing("NotObserved", "its controller has not seen it"),
    }
}
