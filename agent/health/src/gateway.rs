//! The Gateway API: a GatewayClass that a controller accepted, a Gateway that is programmed with all its listeners, a route that every parent
//! accepted and whose backends are found (`gateway-api: apis/v1`).

use serde_json::Value;

use crate::Verdict;
use crate::condition::{Condition, condition, condition_of, text};

/// A GatewayClass.
pub(crate) fn class(object: &Value) -> Verdict {
    match condition(object, "Accepted") {
        Some(accepted) if accepted.is_true() => Verdict::HEALTHY,
        Some(accepted) if accepted.is_false() => Verdict::degraded("NotAccepted", accepted.text()),
        _ => Verdict::progressing("NotAccepted", "waits for a controller that implements it"),
    }
}

/// A Gateway.
pub(crate) fn gateway(object: &Value) -> Verdict {
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

/// A route of any protocol.
pub(crate) fn route(object: &Value) -> Verdict {
    let generation = crate::integer(object, "/metadata/generation", 0);
    let parents = object.pointer("/status/parents").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if parents.is_empty() {
        return Verdict::progressing("NotAttached", "no gateway has taken it so far");
    }
    for parent in parents {
        let name = parent.pointer("/parentRef/name").and_then(Value::as_str).unwrap_or_default();
        for kind in ["Accepted", "ResolvedRefs"] {
            let Some(found) = condition_of(parent, kind) else { continue };
            if found.generation.is_some_and(|seen| seen < generation) {
                return Verdict::progressing("NotObserved", format!("gateway {name} has not seen its newest spec"));
            }
            if found.is_false() {
                return Verdict::degraded(
                    if kind == "Accepted" { "NotAccepted" } else { "BackendNotFound" },
                    format!("gateway {name}: {}", found.text()),
                );
            }
        }
    }
    Verdict::HEALTHY
}
