//! FlowSchema: bound to a priority level that is there. The API server puts what dangles into its catch-all, so that this is a fault of the
//! configuration and not of the server.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    match condition(object, "Dangling") {
        Some(dangling) if dangling.is_true() => Verdict::degraded("Dangling", dangling.message),
        Some(_) => Verdict::HEALTHY,
        None => Verdict::progressing("NotObserved", "the API server has not looked at it yet"),
    }
}
