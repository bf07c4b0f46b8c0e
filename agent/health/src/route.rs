//! A route of the Gateway API, of any protocol (HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute share their status): accepted by every parent,
//! with backends that are found.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition_of;

pub(crate) fn assess(object: &Value) -> Verdict {
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
