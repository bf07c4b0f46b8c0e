//! The resources of a build in their order, no two of one identity, and the ways to find some of them.

use std::sync::Arc;

use shared_manifest::{Tree, TreeMap};

use crate::id::Id;
use crate::merge::Schema;
use crate::problem::Reason;
use crate::resource::{Behavior, Resource};
use crate::selector::Selector;
use crate::value::{raw_text, set, text};

/// The most objects of one build: what one release may hold (`docs/architecture.md`).
pub(crate) const OBJECT_LIMIT: usize = 5_000;

/// The most steps of one build, where a step is one transformer, selector or patch looking at one object, or at a KiB of it: 130 transformers
/// for each of 5,000 objects of 2 KiB. A step costs up to half a microsecond, so that a build ends within a second.
pub(crate) const STEP_LIMIT: usize = 2_000_000;

/// In how many places of an object one transformer may put the same text: the field specifications of labels know at most ten.
const PLACES: usize = 16;

/// How many bytes of an object count as one step.
const BYTES_OF_A_STEP: usize = 1024;

/// The most bytes that the transformers of one build may write: twice the largest output of a build.
pub(crate) const WRITTEN_LIMIT: usize = 2 * crate::OUTPUT_LIMIT;

/// The work that went into resources.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    steps: usize,
    written: usize,
}

impl Work {
    /// Counts `count` steps.
    pub(crate) fn step(&mut self, count: usize) -> Result<(), Reason> {
        self.steps = self.steps.saturating_add(count);
        if self.steps <= STEP_LIMIT {
            return Ok(());
        }
        Err(Reason::TooMuch { what: "steps of transformers and patches over objects", limit: STEP_LIMIT, remedy: "split the app" })
    }

    /// Counts a walk through all of a resource of `bytes`.
    pub(crate) fn walk(&mut self, bytes: usize) -> Result<(), Reason> {
        self.step(1 + bytes / BYTES_OF_A_STEP)
    }

    /// Counts `bytes` that a transformer writes.
    pub(crate) fn write(&mut self, bytes: usize) -> Result<(), Reason> {
        self.written = self.written.saturating_add(bytes);
        if self.written <= WRITTEN_LIMIT {
            return Ok(());
        }
        let what = "bytes written by transformers, patches and replacements";
        Err(Reason::TooMuch { what, limit: WRITTEN_LIMIT, remedy: "write smaller values, or into fewer places" })
    }

    /// Adds the work that went into what is added.
    pub(crate) fn add(&mut self, other: Self) -> Result<(), Reason> {
        self.step(other.steps)?;
        self.write(other.written)
    }

    /// The work since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { steps: self.steps - before.steps, written: self.written - before.written }
    }

    /// Both, if it is so little that no budget is near; what is near is counted step by step.
    pub(crate) fn with(self, more: Self) -> Option<Self> {
        let (steps, written) = (self.steps + more.steps, self.written + more.written);
        (steps < STEP_LIMIT / 2 && written < WRITTEN_LIMIT / 2).then_some(Self { steps, written })
    }
}

/// An ordered set of resources.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resources {
    /// What patches are merged by.
    pub(crate) schema: Schema,
    /// What has been done to the resources.
    pub(crate) work: Work,
    list: Vec<Arc<Resource>>,
    /// The identities of `list`, while nobody may have changed them: adding one file after the other must not look at all objects each time.
    known: Option<Known>,
}

/// The places of resources by the hash of their identity: each plus one in the first free slot from where its hash says, 0 being free.
#[derive(Debug, Clone, Default)]
struct Known {
    slots: Vec<u32>,
    count: usize,
}

impl Known {
    /// Notes a resource whose place in `list` is or will be `place`, or gives the one that has its identity.
    fn add<'l>(&mut self, list: &'l [Arc<Resource>], resource: &Resource, place: usize) -> Result<(), &'l Resource> {
        if self.slots.len() < 2 * (self.count + 1) {
            let known: Vec<u32> = self.slots.iter().copied().filter(|slot| *slot > 0).collect();
            self.slots = vec![0; (4 * (self.count + 1)).next_power_of_two()];
            for slot in known {
                let free = self.free_slot(list[slot as usize - 1].hash(), |_| false);
                self.slots[free] = slot;
            }
        }
        let hash = resource.hash();
        let mut found = None;
        let free = self.free_slot(hash, |slot| {
            let known = list[slot as usize - 1].as_ref();
            if known.hash() == hash && known.id().same(&resource.id()) {
                found = Some(known);
            }
            found.is_some()
        });
        if let Some(found) = found {
            return Err(found);
        }
        self.slots[free] = u32::try_from(place + 1).unwrap_or(u32::MAX);
        self.count += 1;
        Ok(())
    }

    /// The first slot for `hash` that is free, or that `is_it` says yes to.
    fn free_slot(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = usize::try_from(hash >> 32).unwrap_or(0) & mask;
        while self.slots[at] > 0 && !is_it(self.slots[at]) {
            at = (at + 1) & mask;
        }
        at
    }
}

impl Resources {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Resource> {
        self.list.iter().map(Arc::as_ref)
    }

    /// The resources that `wanted` says, to change.
    pub(crate) fn iter_mut(&mut self, wanted: impl Fn(&Resource) -> bool) -> impl Iterator<Item = &mut Resource> {
        self.known = None;
        some_of(&mut self.list, wanted)
    }

    /// Whether what was read and what was written cannot be more than `limit` bytes: what is written stands in up to a dozen places.
    pub(crate) fn surely_fit(&self, limit: usize) -> bool {
        let read: usize = self.list.iter().map(|resource| resource.bytes).sum();
        read + PLACES * self.work.written < limit
    }

    /// Counts `times` looks at each of the resources.
    pub(crate) fn look(&mut self, times: usize) -> Result<(), Reason> {
        let bytes: usize = self.list.iter().map(|resource| resource.bytes).sum();
        self.work.step(times.saturating_mul(self.list.len() + bytes / BYTES_OF_A_STEP))
    }

    /// The resources to change, beside the work to count.
    pub(crate) fn parts_mut(&mut self) -> (&mut [Arc<Resource>], &mut Work) {
        self.known = None;
        (&mut self.list, &mut self.work)
    }

    /// The resources that `wanted` says, to change in everything but their identities.
    pub(crate) fn contents_mut(&mut self, wanted: impl Fn(&Resource) -> bool) -> impl Iterator<Item = &mut Resource> {
        some_of(&mut self.list, wanted)
    }

    pub(crate) fn as_slice(&self) -> &[Arc<Resource>] {
        &self.list
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut Resource {
        self.known = None;
        Resource::to_change(&mut self.list[index])
    }

    /// Puts others into the place of all, each with the identity of the one before; `work` is all that was done.
    pub(crate) fn replace(&mut self, list: Vec<Arc<Resource>>, work: Work) {
        self.known = None;
        self.list = list;
        self.work = work;
    }

    /// Sets the value of one, which keeps its identity.
    pub(crate) fn set_value(&mut self, index: usize, value: Tree) {
        Resource::to_change(&mut self.list[index]).value = value;
    }

    /// Resources of which each may be another's equal.
    pub(crate) fn of(list: Vec<Arc<Resource>>, schema: &Schema, work: Work) -> Self {
        Self { schema: schema.clone(), work, list, known: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn into_vec(self) -> Vec<Arc<Resource>> {
        self.list
    }

    /// Puts the resources into another order; `order` holds each index once.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        self.known = None;
        let mut slots: Vec<Option<Arc<Resource>>> = std::mem::take(&mut self.list).into_iter().map(Some).collect();
        self.list = order.iter().filter_map(|index| slots.get_mut(*index).and_then(Option::take)).collect();
    }

    /// Drops what patches have deleted.
    pub(crate) fn drop_deleted(&mut self) {
        if self.iter().any(Resource::is_deleted) {
            self.retain(|resource| !resource.is_deleted());
        }
    }

    /// Keeps what `keep` says.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Resource) -> bool) {
        self.known = None;
        self.list.retain(|resource| keep(resource));
    }

    /// Adds `more` at the end.
    pub(crate) fn append(&mut self, more: Vec<Arc<Resource>>) -> Result<(), Reason> {
        if self.list.len() + more.len() > OBJECT_LIMIT {
            return Err(Reason::TooMuch { what: "objects", limit: OBJECT_LIMIT, remedy: "split the app" });
        }
        let mut known = match self.known.take() {
            Some(known) => known,
            None => identities(&self.list).map_err(|(first, second)| duplicate(first, second))?,
        };
        for resource in more {
            known.add(&self.list, &resource, self.list.len()).map_err(|first| duplicate(first, &resource))?;
            self.list.push(resource);
        }
        self.known = Some(known);
        Ok(())
    }

    /// Refuses two resources of one identity.
    pub(crate) fn check_unique(&mut self) -> Result<(), Reason> {
        if self.known.is_none() && self.may_hold_one_twice() {
            self.known = Some(identities(&self.list).map_err(|(first, second)| duplicate(first, second))?);
        }
        Ok(())
    }

    /// Whether two resources may have one identity.
    fn may_hold_one_twice(&self) -> bool {
        let mut hashes: Vec<u64> = self.iter().map(Resource::hash).collect();
        hashes.sort_unstable();
        hashes.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Adds a generated resource as its behavior says.
    pub(crate) fn absorb(&mut self, mut new: Resource) -> Result<(), Reason> {
        let id = new.id();
        let matches: Vec<usize> = self.indexes(|resource| resource.bears(id.name) && resource.ids().any(|known| known.same(&id)));
        match (matches.as_slice(), new.behavior) {
            ([], Behavior::Create) => self.append(vec![Arc::new(new)]),
            ([], _) => Err(Reason::NothingToMerge { id: id.to_string() }),
            ([index], Behavior::Create) => Err(Reason::GeneratedTwice { id: id.to_string(), first: self.list[*index].place.to_string() }),
            ([index], behavior) => {
                let old = self.list[*index].as_ref();
                take_over(&mut new, old);
                if behavior == Behavior::Merge {
                    merge_data(&mut new, old, "data");
                    merge_data(&mut new, old, "binaryData");
                    if old.origin.is_some() {
                        new.origin.clone_from(&old.origin);
                    }
                }
                self.known = None;
                self.list[*index] = Arc::new(new);
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
        let is_it = |resource: &Resource| resource.bears(id.name) && !resource.is_deleted() && resource.ids().any(|known| known.same(id));
        let found = self.indexes(is_it);
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
                && selector.takes_kind(now.group, now.version, now.kind)
                && (selector.takes_name(first.name) || selector.takes_name(now.name))
                && (selector.takes_namespace(first.namespace) || selector.takes_namespace(now.namespace))
                && selector.takes_metadata(resource)
        })
    }
}

fn some_of(list: &mut [Arc<Resource>], wanted: impl Fn(&Resource) -> bool) -> impl Iterator<Item = &mut Resource> {
    list.iter_mut().filter(move |resource| wanted(resource)).map(Resource::to_change)
}

/// The places of all resources by identity, or the first two of one identity.
fn identities(list: &[Arc<Resource>]) -> Result<Known, (&Resource, &Resource)> {
    let mut known = Known::default();
    for (place, resource) in list.iter().enumerate() {
        known.add(list, resource, place).map_err(|first| (first, resource.as_ref()))?;
    }
    Ok(known)
}

fn duplicate(first: &Resource, second: &Resource) -> Reason {
    Reason::Duplicate { id: second.id().to_string(), first: first.place.to_string(), second: second.place.to_string() }
}

/// Gives the replacement the old one's names, history, labels and annotations; its own labels and annotations win.
fn take_over(new: &mut Resource, old: &Resource) {
    for field in ["labels", "annotations"] {
        let entries = old.texts_of(field).chain(new.texts_of(field));
        let entries: TreeMap = entries.map(|(key, value)| (key.clone(), raw_text(value).into())).collect();
        new.set_texts_of(field, entries);
    }
    new.set_metadata("name", old.name());
    new.set_metadata("namespace", old.namespace());
    new.previous.clone_from(&old.previous);
    new.prefixes.clone_from(&old.prefixes);
    new.suffixes.clone_from(&old.suffixes);
    new.variables.clone_from(&old.variables);
    new.transformations.clone_from(&old.transformations);
    new.behavior = old.behavior;
    new.needs_hash &= old.needs_hash;
}

/// Adds the old entries that the new one does not set; an empty result removes the field.
fn merge_data(new: &mut Resource, old: &Resource, field: &str) {
    let entries = [&old.value[field], &new.value[field]].into_iter().filter_map(Tree::as_map).flat_map(TreeMap::iter);
    let merged: TreeMap = entries.map(|(key, value)| (key.clone(), text(value).into())).collect();
    if !merged.is_empty() {
        set(&mut new.value, field, merged.into());
    } else if let Some(fields) = new.value.as_map_mut() {
        fields.remove(field);
    }
}
