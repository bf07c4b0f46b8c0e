//! Reading `status.conditions`.

use serde_json::Value;

use crate::Verdict;
use crate::scarcity::exceeded_quota;

/// One condition.
pub(crate) struct Condition<'a> {
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
    /// The generation of the spec that it was judged from, where it says so.
    pub(crate) generation: Option<i64>,
    /// When it became what it is, in RFC 3339; empty if it does not say.
    pub(crate) since: &'a str,
}

impl Condition<'_> {
    pub(crate) fn is_true(&self) -> bool {
        self.status == "True"
    }

    pub(crate) fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// `reason: message`, or whichever of them is there.
    pub(crate) fn text(&self) -> String {
        match (self.reason, self.message) {
            ("", message) => message.to_owned(),
            (reason, "") => reason.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// The condition of type `kind`.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    condition_of(object.get("status")?, kind)
}

/// The condition of type `kind` of a part of a status.
pub(crate) fn condition_of<'a>(status: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let conditions = status.get("conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| text(condition, "type") == kind)?;
    let generation = found.get("observedGeneration").and_then(Value::as_i64);
    let [status, reason, message, since] = ["status", "reason", "message", "lastTransitionTime"].map(|name| text(found, name));
    Some(Condition { status, reason, message, generation, since })
}

/// For kinds whose Ready is True or False when it is decided: False has failed, and everything else is on its way.
pub(crate) fn ready_or_degraded(object: &Value) -> Verdict {
    condition_or_degraded(object, "Ready", "NotReady")
}

/// The same for a condition of type `kind`; `code` is said when it is not True.
pub(crate) fn condition_or_degraded(object: &Value, kind: &str, code: &str) -> Verdict {
    let Some(found) = condition(object, kind) else { return Verdict::progressing(code, "its controller has not judged it yet") };
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    if found.generation.zip(generation).is_some_and(|(seen, now)| seen < now) {
        return Verdict::progressing("NotObserved", "its controller has not seen its newest spec");
    }
    match found.status {
        "True" => Verdict::HEALTHY,
        "False" => Verdict::degraded(code, found.text()),
        _ => Verdict::progressing(code, found.text()),
    }
}

/// What a condition ReplicaFailure says: a quota is waited for, anything else has failed.
pub(crate) fn replica_failure(failure: &Condition<'_>) -> Verdict {
    match exceeded_quota(failure.message) {
        Some(quota) => Verdict::waiting("QuotaExceeded", quota),
        None => Verdict::degraded("ReplicaFailure", failure.text()),
    }
}

/// The string field `name` of `value`, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
