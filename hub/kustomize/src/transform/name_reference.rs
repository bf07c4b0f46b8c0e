//! References by name: where a resource's name (or namespace) has changed, the fields of other resources that hold the old one follow.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared_manifest::{Text, Tree};

use crate::config::NameReference;
use crate::field_spec::{Create, FieldSpec, Paths, Visitor};
use crate::id::{Gvk, Id, Kind};
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::{raw, restyled, set};

/// The transformer.
pub(crate) struct NameReferences<'a> {
    pub(crate) references: &'a [NameReference],
    /// What they say of each kind.
    pub(crate) referrers: &'a Referrers,
}

impl Transformer for NameReferences<'_> {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        let by_name = former_names(resources);
        let mut kinds = Kinds { references: self.references, referrers: self.referrers, known: Vec::new() };
        resources.look(1)?;
        for index in 0..resources.len() {
            let referrer = &resources.as_slice()[index];
            let referrals = kinds.referrals_of(referrer.original_id().kind());
            let Referrals { fields, paths } = referrals.as_ref();
            if fields.is_empty() {
                continue;
            }
            let account_namespaces = account_namespaces(referrer)?;
            let mut marks = vec![false; fields.len()];
            paths.mark(&referrer.value, &|value| may_be_former(&by_name, value), &mut marks);
            if !marks.contains(&true) {
                continue;
            }
            let mut value = referrer.value.clone();
            let looked_at = Cell::new(0);
            for (place, (target, field)) in fields.iter().enumerate() {
                if !marks[place] {
                    continue;
                }
                let writes = Cell::new(false);
                let mut update = Update {
                    referrer,
                    field,
                    target,
                    resources: resources.as_slice(),
                    by_name: &by_name,
                    account_namespaces: &account_namespaces,
                    looked_at: &looked_at,
                    writes: &writes,
                };
                field.visit(&mut value, Create::Never, &mut update)?;
                // What was written may be what a later field leads to.
                if writes.get() {
                    paths.mark(&value, &|value| may_be_former(&by_name, value), &mut marks);
                }
            }
            if !value.is_same(&referrer.value) {
                resources.contents_mut()[index].value = value;
            }
            resources.work.step(looked_at.get())?;
        }
        Ok(())
    }
}

/// The resources by the names they once had.
fn former_names(resources: &Resources) -> BTreeMap<Text, Vec<usize>> {
    let mut by_name: BTreeMap<Text, Vec<usize>> = BTreeMap::new();
    for (index, resource) in resources.iter().enumerate() {
        for (position, previous) in resource.previous.iter().enumerate() {
            if resource.previous[..position].iter().all(|earlier| earlier.name != previous.name) {
                by_name.entry(previous.name.clone()).or_default().push(index);
            }
        }
    }
    by_name
}

/// How many kinds are remembered beyond a build: all of Kubernetes and a few hundred definitions.
const KIND_LIMIT: usize = 1_000;

/// The fields of kinds that refer to something, found once for each kind and set of specifications, and not copied with them.
#[derive(Debug, Default)]
pub(crate) struct Referrers(Mutex<BTreeMap<Gvk, Arc<Referrals>>>);

impl Clone for Referrers {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The fields of the kinds of one build.
struct Kinds<'r> {
    references: &'r [NameReference],
    referrers: &'r Referrers,
    known: Vec<(Gvk, Arc<Referrals>)>,
}

/// The fields of one kind, each with what it refers to.
#[derive(Debug)]
pub(crate) struct Referrals {
    fields: Vec<(Gvk, FieldSpec)>,
    /// Their paths, by their places in `fields`.
    paths: Paths,
}

impl Kinds<'_> {
    fn referrals_of(&mut self, of: Kind<'_>) -> Arc<Referrals> {
        let place = self.known.binary_search_by(|(kind, _)| kind.parts().cmp(&of.parts()));
        let place = place.unwrap_or_else(|place| {
            let kind = of.to_owned();
            let mut all = self.referrers.0.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.get(&kind).cloned().unwrap_or_else(|| Arc::new(Referrals::of(of, self.references)));
            if all.len() < KIND_LIMIT && !all.contains_key(&kind) {
                all.insert(kind.clone(), known.clone());
            }
            self.known.insert(place, (kind, known));
            place
        });
        self.known[place].1.clone()
    }
}

impl Referrals {
    fn of(kind: Kind<'_>, references: &[NameReference]) -> Self {
        let all = references.iter().flat_map(|reference| reference.fields.iter().map(|field| (&reference.target, field)));
        let own = all.filter(|(_, field)| kind.is_selected(&field.kinds));
        let fields: Vec<_> = own.map(|(target, field)| (target.clone(), field.clone())).collect();
        let mut paths = Paths::default();
        fields.iter().enumerate().for_each(|(place, (_, field))| paths.add(&field.path, place));
        Self { fields, paths }
    }
}

/// The namespaces whose service accounts a role binding names: it may refer into them.
fn account_namespaces(referrer: &Resource) -> Result<Vec<String>, Reason> {
    if referrer.kind() != "RoleBinding" {
        return Ok(Vec::new());
    }
    let subjects = referrer.value["subjects"].as_list().unwrap_or_default();
    let accounts = subjects.iter().filter(|subject| raw(&subject["kind"]) == "ServiceAccount");
    let namespaces = accounts.filter_map(|account| account.get("namespace")).map(|namespace| match namespace {
        text if text.is_text() || matches!(text, Tree::Date(_)) => Ok(raw(text).to_owned()),
        _ => {
            let problem = "the namespace of a service account is no text; remove the field or fill it in".to_owned();
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
    by_name: &'a BTreeMap<Text, Vec<usize>>,
    account_namespaces: &'a [String],
    /// How many resources were looked at.
    looked_at: &'a Cell<usize>,
    /// Whether it has written anything.
    writes: &'a Cell<bool>,
}

/// Whether a value holds a former name, or something that is no name.
fn may_be_former(by_name: &BTreeMap<Text, Vec<usize>>, value: &Tree) -> bool {
    match value {
        Tree::Null(_) => false,
        Tree::List(items) => items.iter().any(|item| item.is_list() || may_be_former(by_name, item)),
        Tree::Map(fields) => fields.get("name").is_none_or(|name| by_name.contains_key(raw(name))),
        scalar => by_name.contains_key(raw(scalar)),
    }
}

impl Visitor for Update<'_> {
    /// A name that nothing has ever had needs no look; what is no name has to be refused.
    fn wants(&self, value: &Tree) -> bool {
        may_be_former(self.by_name, value)
    }

    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        match value.as_list_mut() {
            Some(items) => items.iter_mut().try_for_each(|item| self.set(item)),
            None => self.set(value),
        }
    }
}

impl Update<'_> {
    fn set(&self, value: &mut Tree) -> Result<(), Reason> {
        match value {
            Tree::Null(_) => Ok(()),
            Tree::Map(_) => self.set_in_map(value),
            Tree::List(_) => Err(self.refused("a list inside of a list holds no name")),
            scalar => {
                if let Some(found) = self.select(raw(scalar), |_| true, |a, b| a.name() == b.name())?
                    && found.name() != raw(scalar)
                {
                    *scalar = restyled(scalar, found.name());
                    self.writes.set(true);
                }
                Ok(())
            }
        }
    }

    /// A map with a name and perhaps a namespace, as the subjects of bindings are.
    fn set_in_map(&self, value: &mut Tree) -> Result<(), Reason> {
        let Some(name) = value.get("name").map(raw) else { return Err(self.refused("the map there has no `name`")) };
        let found = match value.get("namespace").map(raw) {
            None => self.select(name, |_| true, same_place)?,
            Some(namespace) => {
                let first_lived = |resource: &Resource| resource.original_id().namespace == namespace;
                let lives = |resource: &Resource| resource.id().namespace == namespace;
                self.looked_at.set(self.looked_at.get() + self.resources.len());
                if self.resources.iter().any(|resource| self.is_in_reach(resource) && first_lived(resource)) {
                    self.select(name, first_lived, same_place)?
                } else {
                    self.select(name, lives, same_place)?
                }
            }
        };
        let Some(found) = found else { return Ok(()) };
        if found.name() == name && found.namespace().is_empty() {
            return Ok(());
        }
        self.writes.set(true);
        set(value, "name", restyled(&value["name"], found.name()));
        if !found.namespace().is_empty() {
            set(value, "namespace", restyled(&value["namespace"], found.namespace()));
        }
        Ok(())
    }

    /// Whether a candidate was ever of the kind that the field refers to, by the kind alone: quicker than its identities.
    fn may_be_target(&self, candidate: &Resource) -> bool {
        self.target.kind.is_empty() || candidate.previous.iter().any(|previous| previous.kind == self.target.kind)
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
        let candidates = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        self.looked_at.set(self.looked_at.get() + candidates.len());
        let mut found: Vec<&Resource> = candidates
            .iter()
            .map(|index| &self.resources[*index])
            .filter(|candidate| self.may_be_target(candidate))
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
                path: self.field.path.text.to_string(),
                id: self.referrer.id().to_string(),
                name: name.to_owned(),
                candidates: several.iter().map(|candidate| format!("{} ({})", candidate.id(), candidate.place)).collect(),
            }),
        }
    }

    /// For `roleRef/name`, the kind that the same `roleRef` names.
    fn role(&self) -> Option<Gvk> {
        if !self.field.path.text.ends_with("roleRef/name") {
            return None;
        }
        let role = self.referrer.value.get("roleRef")?;
        Some(Gvk { group: raw(role.get("apiGroup")?).into(), version: Text::default(), kind: raw(role.get("kind")?).into() })
    }

    /// Whether the candidate is in the referrer's namespace, in none, or a service account, which other namespaces may name.
    fn is_near(&self, candidate: &Resource) -> bool {
        let (referrer, id): (Id<'_>, Id<'_>) = (self.referrer.id(), candidate.id());
        referrer.is_cluster_scoped() || id.is_cluster_scoped() || id.kind == "ServiceAccount" || id.namespace == referrer.namespace
    }

    fn refused(&self, problem: &str) -> Reason {
        Reason::Field { path: self.field.path.text.to_string(), id: self.referrer.id().to_string(), problem: problem.to_owned() }
    }
}

fn same_place(a: &Resource, b: &Resource) -> bool {
    a.name() == b.name() && a.namespace() == b.namespace()
}
