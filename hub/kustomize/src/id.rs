//! What a resource is called inside a build: group, version, kind, namespace and name, compared as kustomize compares them.

use std::fmt;

use shared_manifest::{Text, Tree, TreeMap};

use crate::transform::sort::{FIRST, LAST, kind_key};
use crate::value::{field, raw, text};

/// The namespace that kustomize gives to what has none.
pub(crate) const CLUSTER: &str = "_non_namespaceable_";

/// Group, version and kind. As a filter, an empty part matches anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Gvk {
    pub(crate) group: Text,
    pub(crate) version: Text,
    pub(crate) kind: Text,
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

/// Group, version and kind, borrowed from a resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

impl<'a> Kind<'a> {
    /// The kind that `value` states.
    pub(crate) fn of(value: &'a Tree) -> Self {
        // Nearly always these two are the first fields.
        let mut first = value.as_map().into_iter().flat_map(TreeMap::iter);
        let (api_version, kind) = match (first.next(), first.next()) {
            (Some((a, api_version)), Some((b, kind))) if a == "apiVersion" && b == "kind" => (Some(api_version), Some(kind)),
            _ => (field(value, "apiVersion"), field(value, "kind")),
        };
        let (group, version) = group_version(api_version.map_or("", raw));
        Self { group, version, kind: kind.map_or("", raw) }
    }

    /// Whether `filter` lets this group, version and kind through.
    pub(crate) fn is_selected(&self, filter: &Gvk) -> bool {
        let lets = |filter: &str, part: &str| filter.is_empty() || filter == part;
        lets(&filter.kind, self.kind) && lets(&filter.group, self.group) && lets(&filter.version, self.version)
    }

    /// The same, to keep.
    pub(crate) fn to_owned(self) -> Gvk {
        Gvk { group: self.group.into(), version: self.version.into(), kind: self.kind.into() }
    }

    /// Kind, group and version, to look it up by.
    pub(crate) fn parts(&self) -> (&'a str, &'a str, &'a str) {
        (self.kind, self.group, self.version)
    }
}

impl<'a> Id<'a> {
    /// The identity that `value` states.
    pub(crate) fn of(value: &'a Tree) -> Self {
        let Kind { group, version, kind } = Kind::of(value);
        let metadata = field(value, "metadata");
        let text_of = |name| metadata.and_then(|metadata| field(metadata, name)).map_or("", text);
        let written = text_of("namespace");
        let namespace = if is_cluster_scoped(group, version, kind) { CLUSTER } else { effective(written) };
        Self { group, version, kind, name: text_of("name"), namespace, written_namespace: written }
    }

    pub(crate) fn is_cluster_scoped(&self) -> bool {
        self.namespace == CLUSTER
    }

    /// Its group, version and kind alone.
    pub(crate) fn kind(&self) -> Kind<'a> {
        Kind { group: self.group, version: self.version, kind: self.kind }
    }

    /// Whether `filter` lets this group, version and kind through.
    pub(crate) fn is_selected(&self, filter: &Gvk) -> bool {
        self.kind().is_selected(filter)
    }

    /// Whether it is the same resource: the written namespace does not count, the effective one does.
    pub(crate) fn same(&self, other: &Id<'_>) -> bool {
        self.key() == other.key()
    }

    /// A number that equal identities share; others may share it, too.
    pub(crate) fn hash(&self) -> u64 {
        // Multiplying and turning mixes enough for a table of thousands, at a tenth of what a hash that resists attackers takes; whoever finds
        // names that share numbers makes a search through all objects of them, which the limit on objects bounds.
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let mix = |state: u64, word: u64| (state.rotate_left(23) ^ word).wrapping_mul(FACTOR);
        let mut state = 0;
        for part in [self.group, self.version, self.kind, self.namespace, self.name] {
            for chunk in part.as_bytes().chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                state = mix(state, u64::from_le_bytes(word));
            }
            state = mix(state, part.len() as u64);
        }
        state
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
    /// Kind, group and version, to look it up by.
    pub(crate) fn parts(&self) -> (&str, &str, &str) {
        (&self.kind, &self.group, &self.version)
    }

    /// Whether `filter`, read as a filter, lets this one, read as a kind, through.
    pub(crate) fn is_selected(&self, filter: &Self) -> bool {
        let lets = |filter: &str, part: &str| filter.is_empty() || filter == part;
        lets(&filter.group, &self.group) && lets(&filter.version, &self.version) && lets(&filter.kind, &self.kind)
    }

    /// What kustomize sorts field specifications by: the place of the kind in the legacy order, then group, version and kind.
    pub(crate) fn rank(&self) -> (usize, String) {
        let place = |kinds: &[&str]| kinds.iter().position(|kind| self.kind == *kind);
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
    match api_version.bytes().position(|byte| byte == b'/') {
        Some(slash) => (&api_version[..slash], &api_version[slash + 1..]),
        None => ("", api_version),
    }
}

/// Whether kustomize's built-in schema knows the kind as cluster-scoped. What it does not know it takes to be namespaced, newer tables
/// notwithstanding: a namespace set by mistake is part of the output to be equal to.
pub(crate) fn is_cluster_scoped(group: &str, version: &str, kind: &str) -> bool {
    // Most kinds are in no line of the table, and most of those are told by how they begin and end.
    may_be_cluster_scoped(kind)
        && CLUSTER_SCOPED
            .iter()
            .any(|(in_group, versions, kinds)| *in_group == group && versions.contains(&version) && kinds.contains(&kind))
}

/// Whether a kind begins and ends as one in the table does.
fn may_be_cluster_scoped(kind: &str) -> bool {
    let ([first, .., last], 4..) = (kind.as_bytes(), kind.len()) else { return false };
    matches!(
        (first, last),
        (b'C', b's' | b'n' | b't' | b'e' | b'g' | b'r')
            | (b'N', b'e' | b's')
            | (b'P', b'e' | b'n' | b'y' | b's')
            | (b'M' | b'V', b'n' | b't')
            | (b'A', b'e')
            | (b'F', b'a')
            | (b'I' | b'R', b's')
            | (b'S', b's')
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_table_is_recognized() {
        for (group, versions, kinds) in CLUSTER_SCOPED {
            for (version, kind) in versions.iter().flat_map(|version| kinds.iter().map(move |kind| (version, kind))) {
                assert!(is_cluster_scoped(group, version, kind), "{kind}");
            }
        }
        assert!(
            !is_cluster_scoped("apps", "v1", "Deployment") && !is_cluster_scoped("apps", "v1", "Node") && !is_cluster_scoped("", "v1", "")
        );
    }
}
