//! The drift comparison of one object, and what is sent when it is applied.

use std::collections::BTreeSet;

use serde_json::Value;
use shared_manifest::{Change, FieldPath, Step, owned_diff, redact_changes};
use shared_model::{FieldChange, GroupKind};

use crate::ownership::holder;

/// Writers of the scale subresource that govern replicas for good. A person's `kubectl scale` is not among them: that is drift.
const AUTOSCALERS: [&str; 3] = ["kube-controller-manager", "keda-operator", "vpa-updater"];

/// The field that autoscalers govern.
const REPLICAS: &str = "/spec/replicas";

/// The fields by which Kueue holds back and starts what it queues, over all kinds that it knows. Setting them right would stop a running
/// training.
const QUEUED: [&str; 3] = ["/spec/suspend", "/spec/runPolicy/suspend", "/spec/parallelism"];

/// The label that hands an object to Kueue.
const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

/// How the owned values of a live object compare with what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// The differences, redacted, each with the manager that holds the field now.
    pub changes: Vec<FieldChange>,
    /// Fields (JSON pointers) that an autoscaler or a queue governs; they are no drift and are left to it from now on.
    pub yields: BTreeSet<String>,
}

/// Compares what is wanted with the live object. `ignore` are JSON pointers that are left out. `own` is our field manager.
pub fn compare(wanted: &Value, live: &Value, ignore: &BTreeSet<String>, own: &str) -> Comparison {
    let kind = kind_of(wanted);
    let mut wanted = wanted.clone();
    for pointer in ignore {
        remove(&mut wanted, pointer);
    }
    let mut comparison = Comparison::default();
    let mut changes: Vec<Change> = owned_diff(&kind, &wanted, live);
    changes.retain(|change| match governed(change, live, own) {
        Some(pointer) => {
            comparison.yields.insert(pointer.to_owned());
            false
        }
        None => true,
    });
    let holders: Vec<_> = changes.iter().map(|change| holder(live, &change.path, own)).collect();
    let redacted = redact_changes(&kind, changes);
    comparison.changes = redacted
        .into_iter()
        .zip(holders)
        .map(|(change, holder)| FieldChange {
            path: change.path.to_string(),
            wanted: change.after.map(|value| value.to_string()),
            found: change.before.map(|value| value.to_string()),
            since: holder.as_ref().and_then(|holder| holder.since),
            manager: holder.map(|holder| holder.manager),
        })
        .collect();
    comparison
}

/// The pointer to the changed field, if somebody other than a person governs it.
fn governed(change: &Change, live: &Value, own: &str) -> Option<&'static str> {
    if change.path == path_of(REPLICAS) {
        let holder = holder(live, &change.path, own)?;
        return (holder.subresource == "scale" && AUTOSCALERS.contains(&holder.manager.as_str())).then_some(REPLICAS);
    }
    let is_queued = live.pointer("/metadata/labels").is_some_and(|labels| labels.get(QUEUE_LABEL).is_some());
    QUEUED.into_iter().find(|pointer| is_queued && change.path == path_of(pointer))
}

/// What to send when `wanted` is applied over `live`: fields at `ignore` keep the live value. One that another manager applies is left out,
/// so that we do not come to own it; any other is sent as it is now, so that dropping it does not delete it (Flux's `ignore`).
pub fn prepare(wanted: &Value, live: Option<&Value>, ignore: &BTreeSet<String>, own: &str) -> Value {
    let mut prepared = wanted.clone();
    let Some(live) = live else { return prepared };
    for pointer in ignore {
        let governed = holder(live, &path_of(pointer), own).is_some_and(|holder| holder.applies || holder.subresource == "scale");
        match live.pointer(pointer) {
            Some(value) if !governed => {
                if let Some(slot) = prepared.pointer_mut(pointer) {
                    *slot = value.clone();
                }
            }
            _ => remove(&mut prepared, pointer),
        }
    }
    prepared
}

fn kind_of(object: &Value) -> GroupKind {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    GroupKind::of(text("apiVersion"), text("kind"))
}

fn path_of(pointer: &str) -> FieldPath {
    let step = |segment: &str| Step::Field(segment.replace("~1", "/").replace("~0", "~"));
    FieldPath(pointer.split('/').skip(1).map(step).collect())
}

/// Removes the value at a JSON pointer (RFC 6901); nothing happens if there is none.
fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(list)) => {
            if let Some(index) = last.parse().ok().filter(|index: &usize| *index < list.len()) {
                list.remove(index);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i64, manager: &str, subresource: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas}, "metadata": {"name": "api", "managedFields": [
            {"manager": manager, "operation": "Update", "subresource": subresource, "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}})
    }

    fn wanted() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"}, "spec": {"replicas": 2}})
    }

    #[test]
    fn a_change_names_the_field_both_values_the_manager_and_its_time() {
        let found = compare(&wanted(), &deployment(5, "kubectl-edit", ""), &BTreeSet::new(), "capstan");
        let change = &found.changes[0];
        assert_eq!((change.path.as_str(), change.wanted.as_deref(), change.found.as_deref()), ("spec.replicas", Some("2"), Some("5")));
        assert_eq!((change.manager.as_deref(), change.since.is_some()), (Some("kubectl-edit"), true));
    }

    #[test]
    fn an_autoscaler_is_yielded_to_and_a_person_is_not() {
        let autoscaled = compare(&wanted(), &deployment(5, "kube-controller-manager", "scale"), &BTreeSet::new(), "capstan");
        assert_eq!((autoscaled.changes.len(), autoscaled.yields.contains(REPLICAS)), (0, true));
        let by_hand = compare(&wanted(), &deployment(5, "kubectl", "scale"), &BTreeSet::new(), "capstan");
        assert_eq!((by_hand.changes.len(), by_hand.yields.len()), (1, 0));
    }

    #[test]
    fn what_kueue_started_is_not_stopped_again() {
        let job = |suspend: bool, labels: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train", "labels": labels}, "spec": {"suspend": suspend}});
        let queue = json!({"kueue.x-k8s.io/queue-name": "gpu"});
        let queued = compare(&job(true, queue.clone()), &job(false, queue), &BTreeSet::new(), "capstan");
        assert_eq!((queued.changes.len(), queued.yields.contains("/spec/suspend")), (0, true));
        let by_hand = compare(&job(true, json!({})), &job(false, json!({})), &BTreeSet::new(), "capstan");
        assert_eq!((by_hand.changes.len(), by_hand.yields.len()), (1, 0));
    }

    #[test]
    fn an_ignored_field_keeps_its_live_value_and_is_no_drift() {
        let ignore = BTreeSet::from([REPLICAS.to_owned()]);
        let live = deployment(5, "kubectl-edit", "");
        assert!(compare(&wanted(), &live, &ignore, "capstan").changes.is_empty());
        assert_eq!(prepare(&wanted(), Some(&live), &ignore, "capstan")["spec"]["replicas"], 5);
        assert_eq!(prepare(&wanted(), None, &ignore, "capstan")["spec"]["replicas"], 2);
        let scaled = deployment(5, "kube-controller-manager", "scale");
        assert_eq!(prepare(&wanted(), Some(&scaled), &ignore, "capstan")["spec"].get("replicas"), None);
    }
}
