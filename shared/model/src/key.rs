//! The identity of a Kubernetes object without its version: group, kind, namespace, name.

use std::fmt;

/// An API group and kind. The core group is the empty string. Versions are left out on purpose: `apps/v1` and `apps/v1beta1` name the
/// same object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// API group, empty for core.
    pub group: String,
    /// Kind, as in manifests.
    pub kind: String,
}

impl GroupKind {
    /// The kind `kind` of `group`.
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }

    /// The group of an `apiVersion` ("apps/v1" → "apps", "v1" → "").
    pub fn of(api_version: &str, kind: impl Into<String>) -> Self {
        Self::new(api_version.rsplit_once('/').map_or("", |(group, _)| group), kind)
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// Which object: group, kind, namespace and name. Ordered in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Group and kind.
    pub kind: GroupKind,
    /// Namespace; `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The object `name` of `kind`, in `namespace` if it has one.
    pub fn new(kind: GroupKind, namespace: Option<&str>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.map(str::to_owned), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    /// `Deployment.apps web/api`, `Namespace web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster as a whole.
    Cluster,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_as_people_say_it() {
        let api = ObjectKey::new(GroupKind::of("apps/v1", "Deployment"), Some("web"), "api");
        assert_eq!(api.to_string(), "Deployment.apps web/api");
        assert_eq!(ObjectKey::new(GroupKind::of("v1", "Namespace"), None, "web").to_string(), "Namespace web");
    }
}
