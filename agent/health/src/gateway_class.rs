//! GatewayClass: a controller accepted it (`gateway-api: apis/v1`). One that nobody implements stays on its way: its controller may come later.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    match condition(object, "Accepted") {
        Some(accepted) if accepted.is_true() => Verdict::HEALTHY,
        Some(accepted) if accepted.is_false() => Verdict::degraded("NotAccepted", accepted.text()),
        _ => Verdict::progressing("NotAccepted", "waits for a controller that implements it"),
    }
}
