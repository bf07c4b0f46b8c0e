//! References by name: where a resource's name (or namespace) has changed, the fields of other resources that hold the old one follow.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shared_manifest::{Text, Tree};

use crate::config::NameReference;
use crate::facts::Name;
use crate::field_spec::{Change, Create, FieldSpec, Paths, Visitor};
use crate::id::{Gvk, Id, Kind};
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::value::{raw, restyled, set};

/// The transformer.
pub(crate) struct NameReferences<'a> {
    pub(crate) references: &'a [NameReference],
    /// What they say of each kind.
    pub(crate) referrers: &'a Referrers,
}

/// The resources by the names they once had.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<Text, Vec<usize>>);

impl NameReferences<'_> {
    /// Updates all resources. Gives the names that it went by, and how many resources it looked at for each.
    pub(crate) fn apply(&self, resources: &mut Resources) -> Result<(Names, Vec<usize>), Fault> {
        let names = Names::of(resources);
        let mut kinds = Kinds::new(self.references, self.referrers);
        resources.look(1)?;
        let mut all_looked_at = Vec::with_capacity(resources.len());
        for index in 0..resources.len() {
            let list = resources.as_slice();
            let (value, looked_at) = kinds.update(&list[index], list, &names)?;
            if let Some(value) = value {
                resources.set_value(index, value);
            }
            resources.work.step(looked_at)?;
            all_looked_at.push(looked_at);
        }
        Ok((names, all_looked_at))
    }
}

impl Names {
    fn of(resources: &Resources) -> Self {
        let mut by_name: BTreeMap<Text, Vec<usize>> = BTreeMap::new();
        for (index, resource) in resources.iter().enumerate() {
            for (position, previous) in resource.previous.iter().enumerate() {
                if resource.previous[..position].iter().all(|earlier| earlier.name != previous.name) {
                    by_name.entry(previous.name.clone()).or_default().push(index);
                }
            }
        }
        Self(by_name)
    }

    /// The resources that were once called `name`.
    fn bearers(&self, name: &str) -> &[usize] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a value holds a former name, or something that is no name.
    fn may_be_in(&self, value: &Tree) -> bool {
        match value {
            Tree::Null(_) => false,
            Tree::List(items) => items.iter().any(|item| item.is_list() || self.may_be_in(item)),
            Tree::Map(fields) => fields.get("name").is_none_or(|name| self.knows(raw(name))),
            scalar => self.knows(raw(scalar)),
        }
    }
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
pub(crate) struct Kinds<'r> {
    references: &'r [NameReference],
    referrers: &'r Referrers,
    known: Vec<(Gvk, Arc<Referrals>)>,
    /// Room for what is found in one resource.
    marks: Vec<bool>,
}

/// The fields of one kind, each with what it refers to.
#[derive(Debug)]
pub(crate) struct Referrals {
    fields: Vec<(Gvk, FieldSpec)>,
    /// Their paths, by their places in `fields`.
    paths: Paths,
    /// Whether what one field holds is no matter of the others: then one walk changes all of them.
    are_apart: bool,
    /// The number of this set of paths.
    set: u64,
}

impl<'r> Kinds<'r> {
    pub(crate) fn new(references: &'r [NameReference], referrers: &'r Referrers) -> Self {
        Self { references, referrers, known: Vec::new(), marks: Vec::new() }
    }

    /// What becomes of one resource among all `resources`, if anything changes, and how many of them were looked at.
    pub(crate) fn update(
        &mut self,
        referrer: &Resource,
        resources: &[Arc<Resource>],
        names: &Names,
    ) -> Result<(Option<Tree>, usize), Reason> {
        let referrals = self.referrals_of(referrer.original_id().kind());
        let fields = &referrals.fields;
        if fields.is_empty() {
            return Ok((None, 0));
        }
        let account_namespaces = account_namespaces(referrer)?;
        let (mut has_former_name, mut has_what_is_no_name) = (false, false);
        referrals.paths.find(referrals.set, &referrer.value, &mut |_, name| match name {
            Some(name) => has_former_name = has_former_name || names.knows(name),
            None => has_what_is_no_name = true,
        });
        if !has_former_name && !has_what_is_no_name {
            return Ok((None, 0));
        }
        let (looked_at, writes) = (Cell::new(0), Cell::new(false));
        let mut updates = Updates {
            referrer,
            referrer_id: referrer.id(),
            fields,
            resources,
            names,
            account_namespaces: &account_namespaces,
            looked_at: &looked_at,
            writes: &writes,
        };
        let value = if referrals.are_apart && !has_what_is_no_name {
            referrals.paths.rewritten(referrals.set, &referrer.value, &mut updates)?
        } else {
            self.update_one_by_one(&referrals, &updates)?
        };
        Ok((value, looked_at.get()))
    }

    /// Updates one field after the other, in their order: what is written into one may be what another leads to.
    fn update_one_by_one(&mut self, referrals: &Referrals, updates: &Updates<'_>) -> Result<Option<Tree>, Reason> {
        self.marks.clear();
        self.marks.resize(referrals.fields.len(), false);
        let mut value = updates.referrer.value.clone();
        self.mark(referrals, &value, updates.names);
        for (place, (_, field)) in referrals.fields.iter().enumerate() {
            if !self.marks[place] {
                continue;
            }
            updates.writes.set(false);
            field.visit(&mut value, Create::Never, &mut updates.of(place))?;
            if updates.writes.get() {
                self.mark(referrals, &value, updates.names);
            }
        }
        Ok(Some(value).filter(|value| !value.is_same(&updates.referrer.value)))
    }

    /// Marks the fields that hold a former name, or something that is no name.
    fn mark(&mut self, referrals: &Referrals, value: &Tree, names: &Names) {
        let marks = &mut self.marks;
        let mark = &mut |path: usize, name: Option<&Text>| marks[path] = marks[path] || name.is_none_or(|name| names.knows(name));
        referrals.paths.find(referrals.set, value, mark);
    }

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
        let are_apart = paths.ends_are_apart() && !fields.iter().any(|(_, field)| field.path.demands_a_list());
        static SETS: AtomicU64 = AtomicU64::new(0);
        Self { fields, paths, are_apart, set: SETS.fetch_add(1, Ordering::Relaxed) }
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

/// The fields of one referrer, and what they may refer to.
struct Updates<'a> {
    referrer: &'a Resource,
    referrer_id: Id<'a>,
    fields: &'a [(Gvk, FieldSpec)],
    resources: &'a [Arc<Resource>],
    names: &'a Names,
    account_namespaces: &'a [String],
    /// How many resources were looked at.
    looked_at: &'a Cell<usize>,
    /// Whether the last update has written anything.
    writes: &'a Cell<bool>,
}

impl Updates<'_> {
    /// The update of the field at this place.
    fn of(&self, place: usize) -> Update<'_> {
        let (target, field) = &self.fields[place];
        Update { all: self, target, field }
    }
}

impl Change for Updates<'_> {
    fn is_about(&self, found: &Name) -> bool {
        found.name.as_ref().is_none_or(|name| self.names.knows(name))
    }

    fn at_end(&mut self, paths: &[usize], value: &Tree) -> Result<Option<Tree>, Reason> {
        let mut changed: Option<Tree> = None;
        for path in paths {
            let mut update = self.of(*path);
            let present = changed.as_ref().unwrap_or(value);
            if !update.wants(present) {
                continue;
            }
            let mut present = present.clone();
            self.writes.set(false);
            update.visit(&mut present)?;
            if self.writes.get() {
                changed = Some(present);
            }
        }
        Ok(changed)
    }
}

/// One of those fields.
struct Update<'a> {
    all: &'a Updates<'a>,
    target: &'a Gvk,
    field: &'a FieldSpec,
}

impl Visitor for Update<'_> {
    /// A name that nothing has ever had needs no look; what is no name has to be refused.
    fn wants(&self, value: &Tree) -> bool {
        self.all.names.may_be_in(value)
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
                if let Some(found) = self.select(raw(scalar), |_, _| true, |a, b| a.name() == b.name())?
                    && found.name() != raw(scalar)
                {
                    *scalar = restyled(scalar, found.name());
                    self.all.writes.set(true);
                }
                Ok(())
            }
        }
    }

    /// A map with a name and perhaps a namespace, as the subjects of bindings are.
    fn set_in_map(&self, value: &mut Tree) -> Result<(), Reason> {
        let Some(name) = value.get("name").map(raw) else { return Err(self.refused("the map there has no `name`")) };
        let found = match value.get("namespace").map(raw) {
            None => self.select(name, |_, _| true, same_place)?,
            Some(namespace) => {
                let first_lived = |resource: &Resource, _: &Id<'_>| resource.original_id().namespace == namespace;
                let lives = |_: &Resource, id: &Id<'_>| id.namespace == namespace;
                self.all.looked_at.set(self.all.looked_at.get() + self.all.resources.len());
                let is_home = |resource: &Resource| {
                    let id = resource.id();
                    self.is_in_reach(&id) && first_lived(resource, &id)
                };
                if self.all.resources.iter().any(|resource| is_home(resource)) {
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
        self.all.writes.set(true);
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
    fn is_in_reach(&self, candidate: &Id<'_>) -> bool {
        let (referrer, written) = (&self.all.referrer_id, candidate.written_namespace);
        let has_account = || !written.is_empty() && self.all.account_namespaces.iter().any(|known| known == written);
        referrer.is_cluster_scoped() || candidate.is_cluster_scoped() || candidate.namespace == referrer.namespace || has_account()
    }

    /// The resource that was once called `name` and is of the right kind; none if there is none, an error if several are equally good.
    fn select(
        &self,
        name: &str,
        in_namespace: impl Fn(&Resource, &Id<'_>) -> bool,
        same: fn(&Resource, &Resource) -> bool,
    ) -> Result<Option<&Resource>, Reason> {
        let role = self.role();
        let candidates = self.all.names.bearers(name);
        self.all.looked_at.set(self.all.looked_at.get() + candidates.len());
        let mut found: Vec<&Resource> = candidates
            .iter()
            .map(|index| self.all.resources[*index].as_ref())
            .filter(|candidate| self.may_be_target(candidate))
            .filter(|candidate| {
                let id = candidate.id();
                self.is_in_reach(&id) && self.is_near(&id) && in_namespace(candidate, &id)
            })
            .filter(|candidate| candidate.previous_ids().any(|id| id.is_selected(self.target)))
            .filter(|candidate| role.as_ref().is_none_or(|role| candidate.previous_ids().any(|id| id.is_selected(role))))
            .collect();
        if let [only] = found.as_slice() {
            return Ok(Some(*only));
        }
        found.retain(|candidate| candidate.affixes_fit(self.all.referrer, true));
        if found.len() > 1 {
            found.retain(|candidate| candidate.affixes_fit(self.all.referrer, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [first, rest @ ..] if rest.iter().all(|other| same(first, other)) => Ok(Some(*first)),
            several => Err(Reason::Ambiguous {
                path: self.field.path.text.to_string(),
                id: self.all.referrer.id().to_string(),
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
        let role = self.all.referrer.value.get("roleRef")?;
        Some(Gvk { group: raw(role.get("apiGroup")?).into(), version: Text::default(), kind: raw(role.get("kind")?).into() })
    }

    /// Whether the candidate is in the referrer's namespace, in none, or a service account, which other namespaces may name.
    fn is_near(&self, candidate: &Id<'_>) -> bool {
        let referrer = &self.all.referrer_id;
        let is_near = candidate.kind == "ServiceAccount" || candidate.namespace == referrer.namespace;
        referrer.is_cluster_scoped() || candidate.is_cluster_scoped() || is_near
    }

    fn refused(&self, problem: &str) -> Reason {
        Reason::Field { path: self.field.path.text.to_string(), id: self.all.referrer.id().to_string(), problem: problem.to_owned() }
    }
}

fn same_place(a: &Resource, b: &Resource) -> bool {
    a.name() == b.name() && a.namespace() == b.namespace()
}
