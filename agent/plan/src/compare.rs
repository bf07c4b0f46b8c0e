//! The drift comparison of one object, and what is sent when it is applied.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;
use shared_manifest::{Change, owned_diff, redact_changes, stored};
use shared_model::{FieldChange, GroupKind};
use shared_release::Ignore;

use crate::governed::{governed, is_added_to, is_filled_in};
use crate::ignored;
use crate::ownership::{holder, is_held_by};
use crate::queued::{runs, starts_by, with_additions};

/// How the owned values of a live object compare with what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// The differences, redacted, each with the manager that holds the field now.
    pub changes: Vec<FieldChange>,
    /// Fields (JSON pointers) that an autoscaler or a queue governs; they are no drift and are left to it from now on.
    pub yields: BTreeSet<String>,
}

/// Compares what is wanted with the live object. `ignore` is left out of both. `own` is our field manager.
pub fn compare(wanted: &Value, live: &Value, ignore: &BTreeSet<Ignore>, own: &str) -> Comparison {
    let kind = kind_of(wanted);
    let mut comparison = Comparison::default();
    let wanted = stored(&kind, wanted);
    let queued = with_additions(&kind, &wanted, live, own);
    if let Cow::Owned(_) = queued {
        // Whoever writes it from now on looks at the live object first.
        comparison.yields.insert(starts_by(live));
    }
    let wanted = queued.as_ref();
    let (left_wanted, left_live) = ignored::without(&kind, wanted, live, ignore);
    let mut changes: Vec<Change> = owned_diff(&kind, &left_wanted, &left_live);
    let managers = ignored::managers(ignore);
    changes.retain(|change| managers.is_empty() || !is_held_by(live, &change.path, &managers));
    changes.retain(|change| !is_filled_in(change, live, own) && !is_added_to(&kind, change, live, own));
    changes.retain(|change| match governed(&kind, change, wanted, live, own) {
        Some(pointer) => {
            comparison.yields.insert(pointer);
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

/// What to send when `wanted` is applied over `live`: ignored fields keep the live value. One that another manager applies is left out, so that we
/// do not come to own it; any other is sent as it is now, so that dropping it does not delete it (Flux's `ignore`). What Kueue added to what it lets run
/// is sent with it. A Secret is sent as it is stored, so that it is owned key by key.
pub fn prepare(wanted: &Value, live: Option<&Value>, ignore: &BTreeSet<Ignore>, own: &str) -> Value {
    let kind = kind_of(wanted);
    let wanted = stored(&kind, wanted);
    let Some(live) = live else { return wanted.into_owned() };
    let queued = with_additions(&kind, &wanted, live, own);
    let wanted = if runs(live) { queued.as_ref() } else { wanted.as_ref() };
    if ignore.is_empty() { wanted.clone() } else { ignored::prepare(&kind, wanted, live, ignore, own) }
}

fn kind_of(object: &Value) -> GroupKind {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    GroupKind::of(text("apiVersion"), text("kind"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::governed::REPLICAS;

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
    fn a_secret_is_sent_and_compared_as_it_is_stored() {
        let secret = |fields: Value| {
            let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
            secret.as_object_mut().expect("a map").append(fields.as_object().cloned().as_mut().expect("a map"));
            secret
        };
        let wanted = secret(json!({"stringData": {"a": "1", "b": "2"}, "data": {"b": "MA==", "c": "Mw=="}}));
        let stored = secret(json!({"data": {"a": "MQ==", "b": "Mg==", "c": "Mw=="}}));
        assert_eq!(prepare(&wanted, None, &BTreeSet::new(), "capstan"), stored);
        let live = secret(json!({"data": {"a": "eA==", "b": "Mg==", "c": "Mw=="}}));
        assert_eq!(compare(&wanted, &live, &BTreeSet::new(), "capstan").changes.len(), 1);
        let ignore = BTreeSet::from([Ignore::Pointer("/data/a".to_owned())]);
        assert!(compare(&wanted, &live, &ignore, "capstan").changes.is_empty());
        assert_eq!(prepare(&wanted, Some(&live), &ignore, "capstan"), live);
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
        let ignore = BTreeSet::from([Ignore::Pointer(REPLICAS.to_owned())]);
        let live = deployment(5, "kubectl-edit", "");
        assert!(compare(&wanted(), &live, &ignore, "capstan").changes.is_empty());
        assert_eq!(prepare(&wanted(), Some(&live), &ignore, "capstan")["spec"]["replicas"], 5);
        assert_eq!(prepare(&wanted(), None, &ignore, "capstan")["spec"]["replicas"], 2);
        let scaled = deployment(5, "kube-controller-manager", "scale");
        assert_eq!(prepare(&wanted(), Some(&scaled), &ignore, "capstan")["spec"].get("replicas"), None);
    }
}
