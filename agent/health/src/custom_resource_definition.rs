//! CustomResourceDefinition: established, with its names accepted.

use serde_json::Value;

use crate::Verdict;
use crate::condition::condition;

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(names) = condition(object, "NamesAccepted").filter(|c| c.is_false()) {
        return Verdict::degraded("NamesNotAccepted", names.text());
    }
    if let Some(schema) = condition(object, "NonStructuralSchema").filter(|c| c.is_true()) {
        return Verdict::degraded("NonStructuralSchema", schema.text());
    }
    match condition(object, "Established") {
        Some(established) if established.is_true() => Verdict::HEALTHY,
        _ => Verdict::progressing("NotEstablished", "the API server does not serve the kind yet"),
    }
}
