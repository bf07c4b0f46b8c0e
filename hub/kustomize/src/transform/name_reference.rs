//! References by name: where a resource's name (or namespace) has changed, the fields of other resources that hold the old one follow.

use std::collections::{BTreeMap, BTreeSet};

use shared_manifest::Value;

use crate::config::NameReference;
use crate::field_spec::{Create, FieldSpec};
use crate::id::{Gvk, Id};
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::text;

/// The transformer.
pub(crate) struct NameReferences<'a> {
    pub(crate) references: &'a [NameReference],
}

impl Transformer for NameReferences<'_> {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, resource) in resources.iter().enumerate() {
            let names: BTreeSet<&str> = resource.previous.iter().map(|previous| previous.name.as_str()).collect();
            for name in names {
                by_name.entry(name.to_owned()).or_default().push(index);
            }
        }
        for index in 0..resources.len() {
            let referrer = &resources.as_slice()[index];
            let original = referrer.original_id();
            let fields: Vec<(&Gvk, &FieldSpec)> = self
                .references
                .iter()
                .flat_map(|reference| reference.fields.iter().map(|field| (&reference.target, field)))
                .filter(|(_, field)| original.is_selected(&field.kinds))
                .collect();
            if fields.is_empty() {
                continue;
            }
            let mut value = referrer.value.clone();
            let account_namespaces = account_namespaces(referrer)?;
            for (target, field) in fields {
                let update = Update {
                    referrer,
                    field,
                    target,
                    resources: resources.as_slice(),
                    by_name: &by_name,
                    account_namespaces: &account_namespaces,
                };
                update.run(&mut value)?;
            }
            resources.get_mut(index).value = value;
        }
        Ok(())
    }
}

/// The namespaces whose service accounts a role binding names: it may refer into them.
fn account_namespaces(referrer: &Resource) -> Result<Vec<String>, Reason> {
    let Some(subjects) = referrer.value["subjects"].as_array().filter(|_| referrer.kind() == "RoleBinding") else { return Ok(Vec::new()) };
    let accounts = subjects.iter().filter(|subject| subject["kind"] == "ServiceAccount");
    let namespaces = accounts.filter_map(|account| account.get("namespace")).map(|namespace| match namespace {
        Value::String(namespace) => Ok(namespace.clone()),
        _ => {
            let problem = "the namespace of a service account is blank; remove the field or fill it in".to_owned();
            Err(Reason::Field { path: "subjects".to_owned(), id: referrer.id().to_string(), problem })
        }
    });
    namespaces.collect()
}

/// One field of one referrer, and what it may refer to.
struct Update<'a> {
    referrer: &'a Resource,
    field: &'a FieldSpec,
    target: &'a Gvk,
    resources: &'a [Resource],
    /// The resources by the names they once had.
    by_name: &'a BTreeMap<String, Vec<usize>>,
    account_namespaces: &'a [String],
}

impl Update<'_> {
    fn run(&self, value: &mut Value) -> Result<(), Reason> {
        let field = FieldSpec { kinds: Gvk::default(), path: self.field.path.clone(), create: self.field.create };
        field.visit(value, Create::Never, &mut |value| match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.set(item)),
            other => self.set(other),
        })
    }

    fn set(&self, value: &mut Value) -> Result<(), Reason> {
        match value {
            Value::Null => Ok(()),
            Value::Object(_) => self.set_in_map(value),
            Value::Array(_) => Err(self.refused("a list inside of a list holds no name")),
            scalar => {
                let name = text(scalar);
                if let Some(found) = self.select(&name, |_| true, |a, b| a.name() == b.name())? {
                    *scalar = found.name().into();
                }
                Ok(())
            }
        }
    }

    /// A map with a name and perhaps a namespace, as the subjects of bindings are.
    fn set_in_map(&self, value: &mut Value) -> Result<(), Reason> {
        let Some(name) = value.get("name").map(text) else { return Err(self.refused("the map there has no `name`")) };
        let found = match value.get("namespace").map(text) {
            None => self.select(&name, |_| true, same_place)?,
            Some(namespace) => {
                let first_lived = |resource: &Resource| resource.original_id().namespace == namespace;
                let lives = |resource: &Resource| resource.id().namespace == namespace;
                if self.resources.iter().any(|resource| self.is_in_reach(resource) && first_lived(resource)) {
                    self.select(&name, first_lived, same_place)?
                } else {
                    self.select(&name, lives, same_place)?
                }
            }
        };
        let Some(found) = found else { return Ok(()) };
        if found.name() == name && found.namespace().is_empty() {
            return Ok(());
        }
        value["name"] = found.name().into();
        if !found.namespace().is_empty() {
            value["namespace"] = found.namespace().into();
        }
        Ok(())
    }

    /// Whether the referrer can refer to it at all: it lives in its namespace or in none, or a role binding names accounts of its namespace.
    fn is_in_reach(&self, candidate: &Resource) -> bool {
        let (referrer, id) = (self.referrer.id(), candidate.id());
        let has_account =
            || !candidate.namespace().is_empty() && self.account_namespaces.iter().any(|known| known == candidate.namespace());
        referrer.is_cluster_scoped() || id.is_cluster_scoped() || id.namespace == referrer.namespace || has_account()
    }

    /// The resource that was once called `name` and is of the right kind; none if there is none, an error if several are equally good.
    fn select(
        &self,
        name: &str,
        in_namespace: impl Fn(&Resource) -> bool,
        same: fn(&Resource, &Resource) -> bool,
    ) -> Result<Option<&Resource>, Reason> {
        let role = self.role();
        let mut found: Vec<&Resource> = self
            .by_name
            .get(name)
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(|index| &self.resources[*index])
            .filter(|candidate| self.is_in_reach(candidate) && in_namespace(candidate))
            .filter(|candidate| candidate.previous_ids().any(|id| id.is_selected(self.target)))
            .filter(|candidate| role.as_ref().is_none_or(|role| candidate.previous_ids().any(|id| id.is_selected(role))))
            .filter(|candidate| self.is_near(candidate))
            .collect();
        if let [only] = found.as_slice() {
            return Ok(Some(*only));
        }
        found.retain(|candidate| candidate.affixes_fit(self.referrer, true));
        if found.len() > 1 {
            found.retain(|candidate| candidate.affixes_fit(self.referrer, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [first, rest @ ..] if rest.iter().all(|other| same(first, other)) => Ok(Some(*first)),
            several => Err(Reason::Ambiguous {
                path: self.field.path.to_string(),
                id: self.referrer.id().to_string(),
                name: name.to_owned(),
                candidates: several.iter().map(|candidate| format!("{} ({})", candidate.id(), candidate.place)).collect(),
            }),
        }
    }

    /// For `roleRef/name`, the kind that the same `roleRef` names.
    fn role(&self) -> Option<Gvk> {
        if !self.field.path.ends_with("roleRef/name") {
            return None;
        }
        let role = self.referrer.value.get("roleRef")?;
        Some(Gvk { group: text(role.get("apiGroup")?), version: String::new(), kind: text(role.get("kind")?) })
    }

    /// Whether the candidate is in the referrer's namespace, in none, or a service account, which other namespaces may name.
    fn is_near(&self, candidate: &Resource) -> bool {
        let (referrer, id): (Id<'_>, Id<'_>) = (self.referrer.id(), candidate.id());
        referrer.is_cluster_scoped() || id.is_cluster_scoped() || id.kind == "ServiceAccount" || id.namespace == referrer.namespace
    }

    fn refused(&self, problem: &str) -> Reason {
        Reason::Field { path: self.field.path.to_string(), id: self.referrer.id().to_string(), problem: problem.to_owned() }
    }
}

fn same_place(a: &Resource, b: &Resource) -> bool {
    a.name() == b.name() && a.namespace() == b.namespace()
}
