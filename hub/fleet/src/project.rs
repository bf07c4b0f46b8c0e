//! Projects: what the apps of a tenant may do. What is not said is not permitted. Who asks, and when, is left to `link`, render and plan.

use std::collections::BTreeSet;

use shared_model::{GroupKind, ObjectKey, ProjectName, Reason, Scope, Severity, SourceName};

use crate::fleet::{Cluster, Mismatch, Target};
use crate::problem::Location;
use crate::rule::glob_matches;

/// The name by which a project permits the fleet repository itself as a source.
pub const FLEET_SOURCE: &str = "fleet";

/// A tenant and what its apps may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Who it is, for people.
    pub description: String,
    /// Sources, as globs.
    pub sources: BTreeSet<String>,
    /// Namespaces, as globs.
    pub namespaces: BTreeSet<String>,
    /// Which clusters.
    pub target: Target,
    /// The service account that all its apps are written with, as `NAME` in each app's namespace or `NAMESPACE:NAME`.
    pub service_account: Option<String>,
    /// Kinds in namespaces; all if `None`.
    pub kinds: Option<Vec<KindGlob>>,
    /// Kinds outside namespaces.
    pub cluster_kinds: Vec<KindGlob>,
    /// Kinds that are not permitted, whatever else is said.
    pub denied_kinds: Vec<KindGlob>,
    /// Where it is defined.
    pub location: Location,
}

/// Kinds, as globs of group and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindGlob {
    /// The API group; empty is the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
}

impl KindGlob {
    /// Whether it takes `kind`.
    pub fn takes(&self, kind: &GroupKind) -> bool {
        glob_matches(&self.group, &kind.group) && glob_matches(&self.kind, &kind.kind)
    }
}

/// What a project does not permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A source.
    #[error("project {project} does not permit the source \"{source_name}\"; it permits {permitted}")]
    Source {
        /// The project.
        project: ProjectName,
        /// The source.
        source_name: String,
        /// What it permits, as text.
        permitted: String,
    },
    /// A namespace.
    #[error("project {project} does not permit the namespace \"{namespace}\"; it permits {permitted}")]
    Namespace {
        /// The project.
        project: ProjectName,
        /// The namespace.
        namespace: String,
        /// What it permits, as text.
        permitted: String,
    },
    /// A cluster.
    #[error("project {project} does not permit the cluster {cluster}: {mismatch}")]
    Cluster {
        /// The project.
        project: ProjectName,
        /// The cluster.
        cluster: shared_model::ClusterName,
        /// Why not.
        mismatch: Box<Mismatch>,
    },
    /// A kind of objects that is denied.
    #[error("project {project} denies objects of kind {kind}")]
    KindDenied {
        /// The project.
        project: ProjectName,
        /// The kind.
        kind: GroupKind,
    },
    /// A kind of objects that is not listed.
    #[error("project {project} does not permit objects of kind {kind}; {list} of the project does not list it")]
    KindNotListed {
        /// The project.
        project: ProjectName,
        /// The kind.
        kind: GroupKind,
        /// The list: "kinds" or "clusterKinds".
        list: &'static str,
    },
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        Self::new(Severity::Error, "NotPermitted", refusal.to_string())
    }
}

impl Project {
    /// Whether its apps may take manifests from `source`; `None` is the fleet repository.
    pub fn permits_source(&self, source: Option<&SourceName>) -> Result<(), Refusal> {
        let name = source.map_or(FLEET_SOURCE, SourceName::as_str);
        if self.sources.iter().any(|glob| glob_matches(glob, name)) {
            return Ok(());
        }
        Err(Refusal::Source { project: self.name.clone(), source_name: name.to_owned(), permitted: listed(&self.sources) })
    }

    /// Whether its apps may have objects in `namespace`.
    pub fn permits_namespace(&self, namespace: &str) -> Result<(), Refusal> {
        if self.namespaces.iter().any(|glob| glob_matches(glob, namespace)) {
            return Ok(());
        }
        Err(Refusal::Namespace { project: self.name.clone(), namespace: namespace.to_owned(), permitted: listed(&self.namespaces) })
    }

    /// Whether its apps may run on `cluster`.
    pub fn permits_cluster(&self, cluster: &Cluster) -> Result<(), Refusal> {
        match self.target.mismatch(cluster) {
            None => Ok(()),
            Some(mismatch) => {
                Err(Refusal::Cluster { project: self.name.clone(), cluster: cluster.name.clone(), mismatch: Box::new(mismatch) })
            }
        }
    }

    /// Whether its apps may have this object: its kind, and the namespace that it names, whatever the app's own is.
    pub fn permits_object(&self, object: &ObjectKey) -> Result<(), Refusal> {
        match &object.namespace {
            Some(namespace) => self.permits_namespace(namespace).and_then(|()| self.permits_kind(&object.kind, Scope::Namespaced)),
            None => self.permits_kind(&object.kind, Scope::Cluster),
        }
    }

    /// Whether its apps may have objects of `kind`.
    pub fn permits_kind(&self, kind: &GroupKind, scope: Scope) -> Result<(), Refusal> {
        let takes = |globs: &[KindGlob]| globs.iter().any(|glob| glob.takes(kind));
        if takes(&self.denied_kinds) {
            return Err(Refusal::KindDenied { project: self.name.clone(), kind: kind.clone() });
        }
        let (permitted, list) = match scope {
            Scope::Namespaced => (self.kinds.as_deref().is_none_or(takes), "\"kinds\""),
            Scope::Cluster => (takes(&self.cluster_kinds), "\"clusterKinds\""),
        };
        if permitted { Ok(()) } else { Err(Refusal::KindNotListed { project: self.name.clone(), kind: kind.clone(), list }) }
    }
}

fn listed(globs: &BTreeSet<String>) -> String {
    globs.iter().map(|glob| format!("\"{glob}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_tree::TreePath;

    fn kinds(pairs: &[(&str, &str)]) -> Vec<KindGlob> {
        pairs.iter().map(|(group, kind)| KindGlob { group: (*group).to_owned(), kind: (*kind).to_owned() }).collect()
    }

    #[test]
    fn what_is_not_said_is_not_permitted_and_a_denial_wins() {
        let project = Project {
            name: "ml".parse().expect("valid"),
            description: String::new(),
            sources: BTreeSet::from(["fleet".to_owned()]),
            namespaces: BTreeSet::from(["ml-*".to_owned()]),
            target: Target::default(),
            service_account: None,
            kinds: None,
            cluster_kinds: kinds(&[("", "Namespace")]),
            denied_kinds: kinds(&[("*", "Role*")]),
            location: Location { file: TreePath::root(), line: 1, column: 1 },
        };
        assert_eq!(project.permits_source(None), Ok(()));
        assert!(project.permits_source(Some(&"other".parse().expect("valid"))).is_err());
        assert_eq!(project.permits_namespace("ml-a"), Ok(()));
        assert!(project.permits_namespace("kube-system").is_err());
        let permits = |api: &str, kind: &str, scope| project.permits_kind(&GroupKind::of(api, kind), scope);
        assert_eq!(permits("apps/v1", "Deployment", Scope::Namespaced), Ok(()));
        assert!(matches!(permits("rbac.authorization.k8s.io/v1", "RoleBinding", Scope::Namespaced), Err(Refusal::KindDenied { .. })));
        assert_eq!(permits("v1", "Namespace", Scope::Cluster), Ok(()));
        assert!(matches!(permits("v1", "PersistentVolume", Scope::Cluster), Err(Refusal::KindNotListed { .. })));
    }
}
