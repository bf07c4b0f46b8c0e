//! Service: only one of type LoadBalancer has to wait, for its address.

use serde_json::Value;

use crate::Verdict;

pub(crate) fn assess(object: &Value) -> Verdict {
    let balanced = object.pointer("/spec/type").and_then(Value::as_str) == Some("LoadBalancer");
    let addresses = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array).map_or(0, Vec::len);
    if balanced && addresses == 0 {
        return Verdict::progressing("NoAddress", "its load balancer has no address yet");
    }
    Verdict::HEALTHY
}
