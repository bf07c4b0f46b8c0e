//! The resources of a build in their order, no two of one identity, and the ways to find some of them.

use std::collections::{BTreeMap, BTreeSet};

use shared_manifest::Map;

use crate::id::Id;
use crate::merge::Schema;
use crate::problem::Reason;
use crate::resource::{Behavior, Resource};
use crate::selector::Selector;
use crate::value::text;

/// The most objects of one build: what one release may hold (`docs/architecture.md`).
pub(crate) const OBJECT_LIMIT: usize = 5_000;

/// An ordered set of resources.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// What patches are merged by.
    pub(crate) schema: Schema,
    list: Vec<Resource>,
    /// The identities of `list`, while nobody may have changed them: adding one file after the other must not look at all objects each time.
    known: Option<BTreeSet<String>>,
}

impl Resources {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Resource> {
        self.known = None;
        self.list.iter_mut()
    }

    pub(crate) fn as_slice(&self) -> &[Resource] {
        &self.list
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut Resource {
        self.known = None;
        &mut self.list[index]
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn into_vec(self) -> Vec<Resource> {
        self.list
    }

    /// Puts the resources into another order; `order` holds each index once.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        let mut slots: Vec<Option<Resource>> = std::mem::take(&mut self.list).into_iter().map(Some).collect();
        self.list = order.iter().filter_map(|index| slots.get_mut(*index).and_then(Option::take)).collect();
    }

    /// Drops what patches have deleted.
    pub(crate) fn drop_deleted(&mut self) {
        self.retain(|resource| !resource.is_deleted());
    }

    /// Keeps what `keep` says.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Resource) -> bool) {
        self.known = None;
        self.list.retain(keep);
    }

    /// Adds `more` at the end.
    pub(crate) fn append(&mut self, more: Vec<Resource>) -> Result<(), Reason> {
        if self.list.len() + more.len() > OBJECT_LIMIT {
            return Err(Reason::TooMuch { what: "objects", limit: OBJECT_LIMIT, remedy: "split the app" });
        }
        let mut known = self.known.take().unwrap_or_else(|| self.list.iter().map(key).collect());
        for resource in more {
            if !known.insert(key(&resource)) {
                let first = self.list.iter().find(|first| first.id().same(&resource.id()));
                return Err(duplicate(first.unwrap_or(&resource), &resource));
            }
            self.list.push(resource);
        }
        self.known = Some(known);
        Ok(())
    }

    /// Refuses two resources of one identity.
    pub(crate) fn check_unique(&self) -> Result<(), Reason> {
        let mut seen = BTreeMap::new();
        for resource in &self.list {
            if let Some(first) = seen.insert(resource.id().key(), resource) {
                return Err(duplicate(first, resource));
            }
        }
        Ok(())
    }

    /// Adds a generated resource as its behavior says.
    pub(crate) fn absorb(&mut self, mut new: Resource) -> Result<(), Reason> {
        let id = new.id();
        let matches: Vec<usize> = self.indexes(|resource| resource.ids().any(|known| known.same(&id)));
        match (matches.as_slice(), new.behavior) {
            ([], Behavior::Create) => self.append(vec![new]),
            ([], _) => Err(Reason::NothingToMerge { id: id.to_string() }),
            ([index], Behavior::Create) => Err(Reason::GeneratedTwice { id: id.to_string(), first: self.list[*index].place.to_string() }),
            ([index], behavior) => {
                let old = &self.list[*index];
                take_over(&mut new, old);
                if behavior == Behavior::Merge {
                    merge_data(&mut new, old, "data");
                    merge_data(&mut new, old, "binaryData");
                    if old.origin.is_some() {
                        new.origin.clone_from(&old.origin);
                    }
                }
                self.known = None;
                self.list[*index] = new;
                Ok(())
            }
            (several, _) => Err(Reason::PatchTarget { id: id.to_string(), found: several.len() }),
        }
    }

    /// The indexes of what `wanted` says.
    pub(crate) fn indexes(&self, mut wanted: impl FnMut(&Resource) -> bool) -> Vec<usize> {
        self.list.iter().enumerate().filter(|(_, resource)| wanted(resource)).map(|(index, _)| index).collect()
    }

    /// The one resource that is or was called `id`.
    pub(crate) fn find(&self, id: &Id<'_>) -> Result<usize, Reason> {
        let found = self.indexes(|resource| !resource.is_deleted() && resource.ids().any(|known| known.same(id)));
        match found.as_slice() {
            [index] => Ok(*index),
            _ => Err(Reason::PatchTarget { id: id.to_string(), found: found.len() }),
        }
    }

    /// The indexes of what `selector` selects by its present or its first name.
    pub(crate) fn select(&self, selector: &Selector) -> Vec<usize> {
        self.indexes(|resource| {
            let (now, first) = (resource.id(), resource.original_id());
            !resource.is_deleted()
                && (selector.takes_namespace(first.namespace) || selector.takes_namespace(now.namespace))
                && (selector.takes_name(first.name) || selector.takes_name(now.name))
                && selector.takes_kind(now.group, now.version, now.kind)
                && selector.takes_metadata(resource)
        })
    }
}

/// An identity as one text.
fn key(resource: &Resource) -> String {
    let (group, version, kind, namespace, name) = resource.id().key();
    [group, version, kind, namespace, name].join("\n")
}

fn duplicate(first: &Resource, second: &Resource) -> Reason {
    Reason::Duplicate { id: second.id().to_string(), first: first.place.to_string(), second: second.place.to_string() }
}

/// Gives the replacement the old one's names, history, labels and annotations; its own labels and annotations win.
fn take_over(new: &mut Resource, old: &Resource) {
    for field in ["labels", "annotations"] {
        let mut entries = Map::new();
        for (key, text) in old.texts_of(field).into_iter().chain(new.texts_of(field)) {
            entries.insert(key.to_owned(), text.into());
        }
        new.set_texts_of(field, entries);
    }
    new.set_metadata("name", old.name());
    new.set_metadata("namespace", old.namespace());
    new.previous.clone_from(&old.previous);
    new.prefixes.clone_from(&old.prefixes);
    new.suffixes.clone_from(&old.suffixes);
    new.variables.clone_from(&old.variables);
    new.behavior = old.behavior;
    new.needs_hash &= old.needs_hash;
}

/// Adds the old entries that the new one does not set; an empty result removes the field.
fn merge_data(new: &mut Resource, old: &Resource, field: &str) {
    let mut merged = Map::new();
    for entries in [&old.value[field], &new.value[field]].into_iter().filter_map(|value| value.as_object()) {
        merged.extend(entries.iter().map(|(key, value)| (key.clone(), text(value).into())));
    }
    let Some(fields) = new.value.as_object_mut() else { return };
    if merged.is_empty() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), merged.into());
    }
}
