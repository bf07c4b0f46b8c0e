//! `sortOptions`: the order of the output. Without options kustomize's legacy order applies: namespaces and definitions first, webhooks last.

use std::cmp::Ordering;

use crate::fields::Fields;
use crate::id::Id;
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;

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

impl Sort {
    /// The indexes of `resources` in this order.
    pub(crate) fn order(&self, resources: &Resources) -> Vec<usize> {
        let Self::Legacy { first, last } = self else { return (0..resources.len()).collect() };
        // A kind in both lists is one of the last, as the later entry wins.
        let rank = |id: &Id<'_>| match (position(last, id.kind), position(first, id.kind)) {
            (Some(index), _) => 1 + index,
            (None, Some(index)) => index - signed(first.len()),
            (None, None) => 0,
        };
        let ids = resources.iter().map(Resource::id).enumerate();
        let mut order: Vec<(i64, Id<'_>, usize)> = ids.map(|(index, id)| (rank(&id), id, index)).collect();
        order.sort_by(|(a_rank, a, _), (b_rank, b, _)| a_rank.cmp(b_rank).then_with(|| compare(a, b)));
        order.into_iter().map(|(_, _, index)| index).collect()
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

/// The order of [`kind_key`] and then of namespace and name, each pair as one text: what is made into texts only where it may matter.
fn compare(a: &Id<'_>, b: &Id<'_>) -> Ordering {
    let kinds = if (a.group, a.version) == (b.group, b.version) {
        or(a.kind, "~K").cmp(or(b.kind, "~K"))
    } else {
        kind_key(a.group, a.version, a.kind).cmp(&kind_key(b.group, b.version, b.kind))
    };
    kinds.then_with(|| {
        if a.written_namespace == b.written_namespace {
            or(a.name, "~N").cmp(or(b.name, "~N"))
        } else {
            let key = |id: &Id<'_>| [or(id.written_namespace, "~X"), "|", or(id.name, "~N")].concat();
            key(a).cmp(&key(b))
        }
    })
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
