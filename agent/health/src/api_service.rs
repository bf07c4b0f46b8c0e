//! APIService: available.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    match condition(object, "Available") {
        Some(available) if available.is_true() => Verdict::HEALTHY,
        Some(available) => Verdict::progressing("NotAvailable", available.text()),
        None => Verdict::progressing("NotAvailable", "its availability is not known yet"),
    }
}
