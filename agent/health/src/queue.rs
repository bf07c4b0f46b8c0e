//! What Kueue does to the objects that it queues: it suspends them until there is room.

use serde_json::Value;

use crate::Verdict;

/// The label that hands an object to Kueue.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// Whether Kueue decides when the object runs.
pub(crate) fn is_queued(object: &Value) -> bool {
    object.pointer("/metadata/labels").is_some_and(|labels| labels.get(QUEUE).is_some())
}

/// An object that does not run because it is suspended: by Kueue it waits, by a person it is held on purpose.
pub(crate) fn suspended_or_queued(object: &Value) -> Verdict {
    match object.pointer("/metadata/labels").and_then(|labels| labels.get(QUEUE)).and_then(Value::as_str) {
        Some(queue) => Verdict::waiting("Queued", format!("waits in Kueue's queue {queue}; its Workload says for what")),
        None => Verdict::suspended("Suspended", "it is suspended (spec.suspend)"),
    }
}
