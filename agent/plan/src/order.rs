//! The order of objects within a wave: what others need comes first. Argo CD's kind order (`semantics` of gitops-engine's `sync_tasks.go`), with what
//! Flux adds to it (`fluxcd/pkg/ssa`, `sort.go`): classes before what names them, and webhooks after what answers them.

use shared_model::GroupKind;

/// Kinds from first to last; every other kind comes after these.
const KINDS: [&str; 34] = [
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
    "RuntimeClass",
    "VolumeSnapshotClass",
    "GatewayClass",
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
    "APIService",
];

/// Kinds that come after every other: they stop what is applied as long as what answers them does not run.
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The rank of a kind: lower is applied first and deleted last. CustomResourceDefinitions stand right after namespaces, before anything
/// that could be one of their objects (Argo CD reaches the same by moving them); only webhooks come after objects of custom kinds.
pub(crate) fn rank(kind: &GroupKind) -> u32 {
    let others = KINDS.len() + usize::from(LAST.contains(&kind.kind.as_str()));
    let position = KINDS.iter().position(|name| *name == kind.kind).unwrap_or(others);
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let order = "Namespace CustomResourceDefinition ServiceAccount ConfigMap RuntimeClass Service Deployment Job APIService Widget \
                     ValidatingWebhookConfiguration";
        let ranks: Vec<u32> = order.split(' ').map(|kind| rank(&GroupKind::new("", kind))).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }
}
