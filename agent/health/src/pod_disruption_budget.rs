//! PodDisruptionBudget: its controller could read the pods. Too few pods is the workload's health, not the budget's.

use serde_json::Value;

use crate::condition::condition;
use crate::{Verdict, behind_generation};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(verdict) = behind_generation(object) {
        return verdict;
    }
    match condition(object, "DisruptionAllowed") {
        Some(allowed) if allowed.is_false() && allowed.reason != "InsufficientPods" => Verdict::degraded("BudgetNotSynced", allowed.text()),
        _ => Verdict::HEALTHY,
    }
}
