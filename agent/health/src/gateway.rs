//! Gateway: programmed, with all its listeners (`gateway-api: apis/v1`).

use serde_json::Value;

use crate::Verdict;
use crate::condition::{Condition, condition, condition_of, text};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(refused) = condition(object, "Accepted").filter(Condition::is_false) {
        return Verdict::degraded("NotAccepted", refused.text());
    }
    let listeners = object.pointer("/status/listeners").and_then(Value::as_array).into_iter().flatten();
    for listener in listeners {
        let is_broken = |kind: &str, bad: bool| condition_of(listener, kind).filter(|c| if bad { c.is_true() } else { c.is_false() });
        if let Some(broken) = is_broken("Conflicted", true).or_else(|| is_broken("ResolvedRefs", false)) {
            return Verdict::degraded("ListenerBroken", format!("listener {}: {}", text(listener, "name"), broken.text()));
        }
    }
    match condition(object, "Programmed") {
        Some(programmed) if programmed.is_true() => Verdict::HEALTHY,
        Some(programmed) if programmed.is_false() && programmed.reason == "Invalid" => {
            Verdict::degraded("NotProgrammed", programmed.text())
        }
        Some(programmed) => Verdict::progressing("NotProgrammed", programmed.text()),
        None => Verdict::progressing("NotProgrammed", "waits for its controller"),
    }
}
