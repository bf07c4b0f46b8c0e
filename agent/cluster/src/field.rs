//! What one watch covers: a kind in the whole cluster, or in one namespace where the agent may look at no more.

use std::collections::{BTreeMap, BTreeSet};

use shared_model::{GroupKind, ObjectKey, Scope};

use crate::discovery::Resource;

/// A kind, everywhere or in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Field {
    /// The kind.
    pub(crate) kind: GroupKind,
    /// The namespace; everywhere if `None`.
    pub(crate) namespace: Option<String>,
}

impl Field {
    /// The kind in the whole cluster.
    pub(crate) fn whole(kind: &GroupKind) -> Self {
        Self { kind: kind.clone(), namespace: None }
    }

    /// Whether the object is in it.
    pub(crate) fn covers(&self, key: &ObjectKey) -> bool {
        self.kind == key.kind && (self.namespace.is_none() || self.namespace == key.namespace)
    }
}

/// How the objects of a field come to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// By a watch.
    Watched,
    /// By looking once at each: a namespace may be looked at by who may not list them all.
    LookedAt,
    /// Not at all: it is outside of what the agent was installed for.
    Outside,
}

/// The fields to watch `wanted` by: each kind as a whole, or once in each of `namespaces`.
pub(crate) fn divide(wanted: BTreeMap<GroupKind, Resource>, namespaces: Option<&BTreeSet<String>>) -> BTreeMap<Field, (Resource, Sight)> {
    let mut fields = BTreeMap::new();
    for (kind, resource) in wanted {
        let Some(namespaces) = namespaces else {
            fields.insert(Field::whole(&kind), (resource, Sight::Watched));
            continue;
        };
        if resource.scope == Scope::Cluster {
            let sight = if kind.group.is_empty() && kind.kind == "Namespace" { Sight::LookedAt } else { Sight::Outside };
            fields.insert(Field::whole(&kind), (resource, sight));
            continue;
        }
        for namespace in namespaces {
            let field = Field { kind: kind.clone(), namespace: Some(namespace.clone()) };
            fields.insert(field, (resource.clone(), Sight::Watched));
        }
    }
    fields
}
