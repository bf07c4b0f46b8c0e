//! `sortOptions`: the order of the output. Without options kustomize's legacy order applies: namespaces and definitions first, webhooks last.

use crate::fields::Fields;
use crate::id::Id;
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;

/// The transformer.
#[derive(Debug, Clone)]
pub(crate) enum Sort {
    /// As they came.
    Fifo,
    /// By kind: `first` in this order, then the rest, then `last`; then by group, version, kind, namespace and name.
    Legacy { first: Vec<String>, last: Vec<String> },
}

impl Default for Sort {
    fn default() -> Self {
        let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Self::Legacy { first: owned(FIRST), last: owned(LAST) }
    }
}

impl Sort {
    /// Reads `sortOptions`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let line = fields.line;
        let order = fields.text("order")?;
        let options = fields.nested("legacySortOptions", "legacySortOptions", |fields| {
            Ok((fields.plain_texts("orderFirst")?, fields.plain_texts("orderLast")?))
        })?;
        match (order.as_str(), options) {
            ("legacy", Some((first, last))) => Ok(Self::Legacy { first, last }),
            ("legacy", None) => Ok(Self::default()),
            ("fifo", None) => Ok(Self::Fifo),
            ("fifo", Some(_)) => {
                Err(Fault::at(line, Reason::Sort { problem: "legacySortOptions is set and the order is fifo; remove one" }))
            }
            _ => Err(Fault::at(line, Reason::Sort { problem: "order must be legacy or fifo" })),
        }
    }
}

impl Transformer for Sort {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        let Self::Legacy { first, last } = self else { return Ok(()) };
        let mut order: Vec<usize> = (0..resources.len()).collect();
        let list = resources.as_slice();
        order.sort_by_cached_key(|index| {
            let id = list[*index].id();
            // A kind in both lists is one of the last, as the later entry wins.
            let rank = match (position(last, id.kind), position(first, id.kind)) {
                (Some(index), _) => 1 + index,
                (None, Some(index)) => index - signed(first.len()),
                (None, None) => 0,
            };
            (rank, kind_key(id.group, id.version, id.kind), id_key(&id))
        });
        resources.reorder(&order);
        // A JSON patch may have given a resource the name of another.
        Ok(resources.check_unique()?)
    }
}

fn position(kinds: &[String], kind: &str) -> Option<i64> {
    kinds.iter().rposition(|known| known == kind).map(signed)
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Group, version and kind as a text to sort by; what is empty comes late.
pub(crate) fn kind_key(group: &str, version: &str, kind: &str) -> String {
    [or(group, "~G"), "_", or(version, "~V"), "_", or(kind, "~K")].concat()
}

fn or<'a>(part: &'a str, none: &'a str) -> &'a str {
    if part.is_empty() { none } else { part }
}

fn id_key(id: &Id<'_>) -> String {
    [or(id.written_namespace, "~X"), "|", or(id.name, "~N")].concat()
}

/// The kinds that come first, in this order.
pub(crate) const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// The kinds that come last, in this order.
pub(crate) const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
