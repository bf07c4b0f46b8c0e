//! How many deletions one change may ask without an approval, and the kinds that always need one. A rule of the index: the hub tells operators
//! by it beforehand, and the agent has the last word by the same.

use shared_model::{GroupKind, ObjectKey};

/// How many deletions one change may ask of an app that owns `owned` objects in a cluster: min(10, max(1, 20 %)).
pub fn deletion_budget(owned: usize) -> usize {
    (owned / 5).clamp(1, 10)
}

/// Whether the deletion of an object of this kind takes other things with it and cannot be taken back: it waits for an approval, always.
pub fn waits_always(object: &ObjectKey) -> bool {
    let GroupKind { group, kind } = &object.kind;
    matches!(
        (group.as_str(), kind.as_str()),
        ("", "Namespace" | "PersistentVolume" | "PersistentVolumeClaim") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_fifth_and_at_least_one_and_at_most_ten() {
        let budgets: Vec<usize> = [0, 1, 5, 9, 10, 49, 50, 1_000].into_iter().map(deletion_budget).collect();
        assert_eq!(budgets, [1, 1, 1, 1, 2, 9, 10, 10]);
    }

    #[test]
    fn what_holds_data_or_other_objects_waits_always() {
        let waits = |api_version: &str, kind: &str| waits_always(&ObjectKey::new(GroupKind::of(api_version, kind), None, "x"));
        assert!(waits("v1", "Namespace") && waits("v1", "PersistentVolumeClaim") && waits("v1", "PersistentVolume"));
        assert!(waits("apiextensions.k8s.io/v1", "CustomResourceDefinition"));
        assert!(!waits("v1", "ConfigMap") && !waits("example.com/v1", "Namespace"));
    }
}
