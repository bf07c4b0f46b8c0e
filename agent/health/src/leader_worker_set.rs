//! A LeaderWorkerSet: available when all its groups are, each with leader and workers.

use serde_json::Value;

use crate::condition::condition;
use crate::{Verdict, integer};

pub(crate) fn assess(object: &Value) -> Verdict {
    if let Some(update) = condition(object, "UpdateInProgress").filter(|c| c.is_true()) {
        return Verdict::progressing("UpdateInProgress", update.text());
    }
    let wanted = integer(object, "/spec/replicas", 1);
    let [ready, updated] = ["readyReplicas", "updatedReplicas"].map(|name| integer(object, &format!("/status/{name}"), 0));
    if ready < wanted || updated < wanted {
        return Verdict::progressing("GroupsNotReady", format!("{ready} of {wanted} groups are ready, {updated} of them updated"));
    }
    match condition(object, "Available") {
        Some(available) if available.is_true() => Verdict::HEALTHY,
        other => Verdict::progressing("NotAvailable", other.map_or(String::new(), |available| available.text())),
    }
}
