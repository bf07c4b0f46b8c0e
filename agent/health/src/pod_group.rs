//! Volcano's PodGroup, whose pods are scheduled all at once or not at all. Until then it waits, and says for what.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;
use crate::scarcity::needs_together;

pub(crate) fn assess(object: &Value) -> Verdict {
    let why = condition(object, "Unschedulable").filter(|c| c.is_true()).map_or(String::new(), |c| c.text());
    match object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default() {
        "Running" | "Completed" => Verdict::HEALTHY,
        "Unknown" => Verdict::degraded("PodGroupBroken", if why.is_empty() { "some of its pods are gone".to_owned() } else { why }),
        "" => Verdict::progressing("NotObserved", "its scheduler has not seen it"),
        phase => {
            let needs =
                needs_together(object.pointer("/spec/minResources")).map_or(String::new(), |needs| format!("; needs {needs} at once"));
            let queue = object.pointer("/spec/queue").and_then(Value::as_str).unwrap_or("default");
            Verdict::waiting("WaitsForCapacity", format!("{phase} in queue {queue}{needs} {why}").trim().to_owned())
        }
    }
}
