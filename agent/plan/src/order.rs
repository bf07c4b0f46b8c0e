//! The order of objects within a wave (Argo CD's kind order, `semantics` of gitops-engine's `sync_tasks.go`): what others need comes first.

use shared_model::GroupKind;

/// Kinds from first to last; every other kind comes after these.
const KINDS: [&str; 30] = [
    "Namespace",
    "CustomResourceDefinition",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
];

/// The rank of a kind: lower is applied first and deleted last. CustomResourceDefinitions stand right after namespaces, before anything
/// that could be one of their objects (Argo CD reaches the same by moving them); objects of custom kinds come last.
pub(crate) fn rank(kind: &GroupKind) -> u32 {
    let position = KINDS.iter().position(|name| *name == kind.kind).unwrap_or(KINDS.len());
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let order = ["Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap", "Service", "Deployment", "Job", "Widget"];
        assert!(order.is_sorted_by_key(|kind| rank(&GroupKind::new("", *kind))));
    }
}
