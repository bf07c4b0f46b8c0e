//! ResourceClaim (dynamic resource allocation, `resource.k8s.io`): devices such as GPUs are allocated to it, or it waits for them. It has no
//! deadline. Devices are allocated when a pod first uses the claim.

use serde_json::Value;

use crate::Verdict;
use crate::condition::text;

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/status/allocation").is_some_and(|allocation| !allocation.is_null()) {
        return Verdict::HEALTHY;
    }
    let requests = object.pointer("/spec/devices/requests").and_then(Value::as_array).into_iter().flatten();
    // Since v1beta2 what is asked for stands one level deeper.
    let wanted = requests.map(|request| request.get("exactly").unwrap_or(request)).map(|request| {
        let class = text(request, "deviceClassName");
        let class = if class.is_empty() { "one of several classes" } else { class };
        match text(request, "allocationMode") {
            "All" => format!("all devices of {class}"),
            _ => format!("{} of {class}", crate::integer(request, "/count", 1)),
        }
    });
    let wanted = wanted.take(WANTED).collect::<Vec<_>>().join(", ");
    Verdict::waiting("WaitsForDevices", format!("waits for a pod that uses it and for devices: {wanted}"))
}

/// The most requests that are told; a claim has at most 32.
const WANTED: usize = 8;
