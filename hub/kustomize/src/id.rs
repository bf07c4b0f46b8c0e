//! What a resource is called inside a build: group, version, kind, namespace and name, compared as kustomize compares them.

use std::fmt;

use shared_manifest::Value;

use crate::transform::sort::{FIRST, LAST, kind_key};

/// The namespace that kustomize gives to what has none.
pub(crate) const CLUSTER: &str = "_non_namespaceable_";

/// Group, version and kind. As a filter, an empty part matches anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

/// An identity, borrowed from a resource. Equal ids are the same resource; `namespace` is the effective one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    /// As effective: "default" for none, [`CLUSTER`] for what cannot have one.
    pub(crate) namespace: &'a str,
    /// As written.
    pub(crate) written_namespace: &'a str,
}

impl<'a> Id<'a> {
    /// The identity that `value` states.
    pub(crate) fn of(value: &'a Value) -> Self {
        let (group, version) = group_version(value["apiVersion"].as_str().unwrap_or_default());
        let kind = value["kind"].as_str().unwrap_or_default();
        let metadata = &value["metadata"];
        let written = metadata["namespace"].as_str().unwrap_or_default();
        let namespace = if is_cluster_scoped(group, version, kind) { CLUSTER } else { effective(written) };
        Self { group, version, kind, name: metadata["name"].as_str().unwrap_or_default(), namespace, written_namespace: written }
    }

    pub(crate) fn is_cluster_scoped(&self) -> bool {
        self.namespace == CLUSTER
    }

    /// Whether `filter` lets this group, version and kind through.
    pub(crate) fn is_selected(&self, filter: &Gvk) -> bool {
        let lets = |filter: &str, part: &str| filter.is_empty() || filter == part;
        lets(&filter.group, self.group) && lets(&filter.version, self.version) && lets(&filter.kind, self.kind)
    }

    /// Whether it is the same resource: the written namespace does not count, the effective one does.
    pub(crate) fn same(&self, other: &Id<'_>) -> bool {
        self.key() == other.key()
    }

    /// What makes it the same resource.
    pub(crate) fn key(&self) -> (&'a str, &'a str, &'a str, &'a str, &'a str) {
        (self.group, self.version, self.kind, self.namespace, self.name)
    }
}

impl fmt::Display for Id<'_> {
    /// `Deployment.apps web/api`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if self.written_namespace.is_empty() { write!(f, " {}", self.name) } else { write!(f, " {}/{}", self.written_namespace, self.name) }
    }
}

impl Gvk {
    /// Whether `filter`, read as a filter, lets this one, read as a kind, through.
    pub(crate) fn is_selected(&self, filter: &Self) -> bool {
        let lets = |filter: &str, part: &str| filter.is_empty() || filter == part;
        lets(&filter.group, &self.group) && lets(&filter.version, &self.version) && lets(&filter.kind, &self.kind)
    }
}

impl Gvk {
    /// What kustomize sorts field specifications by: the place of the kind in the legacy order, then group, version and kind.
    pub(crate) fn rank(&self) -> (usize, String) {
        let place = |kinds: &[&str]| kinds.iter().position(|kind| *kind == self.kind);
        let rank = match (place(FIRST), place(LAST)) {
            (Some(index), _) => index,
            (None, Some(index)) => FIRST.len() + 1 + index,
            (None, None) => FIRST.len(),
        };
        (rank, kind_key(&self.group, &self.version, &self.kind))
    }
}

/// "" means "default".
pub(crate) fn effective(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}

/// The parts of an apiVersion.
pub(crate) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Whether kustomize's built-in schema knows the kind as cluster-scoped. What it does not know it takes to be namespaced, newer tables
/// notwithstanding: a namespace set by mistake is part of the output to be equal to.
pub(crate) fn is_cluster_scoped(group: &str, version: &str, kind: &str) -> bool {
    CLUSTER_SCOPED.iter().any(|(in_group, versions, kinds)| *in_group == group && versions.contains(&version) && kinds.contains(&kind))
}

/// From the table compiled into kustomize 5.8.1 (Kubernetes 1.21).
const CLUSTER_SCOPED: &[(&str, &[&str], &[&str])] = &[
    ("", &["v1"], &["ComponentStatus", "Namespace", "Node", "NodeProxyOptions", "PersistentVolume"]),
    ("admissionregistration.k8s.io", &["v1", "v1beta1"], &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]),
    ("apiextensions.k8s.io", &["v1", "v1beta1"], &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["v1", "v1beta1"], &["APIService"]),
    ("certificates.k8s.io", &["v1", "v1beta1"], &["CertificateSigningRequest"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1"], &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["v1", "v1beta1"], &["IngressClass"]),
    ("node.k8s.io", &["v1", "v1beta1"], &["RuntimeClass"]),
    ("policy", &["v1beta1"], &["PodSecurityPolicy"]),
    ("rbac.authorization.k8s.io", &["v1", "v1beta1"], &["ClusterRole", "ClusterRoleBinding"]),
    ("scheduling.k8s.io", &["v1", "v1beta1"], &["PriorityClass"]),
    ("storage.k8s.io", &["v1", "v1beta1"], &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]),
];
