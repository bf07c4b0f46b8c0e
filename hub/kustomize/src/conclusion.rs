//! What is done once, when all resources are there: hashes, references by name, variables, the order. Where a build before this one has come to the
//! same resources but for a few, it is done for those alone: what a reference becomes depends on nothing but the names of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_manifest::Tree;

use crate::config::Config;
use crate::field_spec::{FieldSpec, FieldSpecs};
use crate::id::Gvk;
use crate::kustomization::{BuildMetadata, Noted};
use crate::problem::{Fault, Reason};
use crate::resource::{Place, Resource};
use crate::resources::{Resources, Work};
use crate::transform::Transformer;
use crate::transform::hash::Hash;
use crate::transform::labels::Labels;
use crate::transform::name_reference::{Kinds, NameReferences, Names};
use crate::transform::sort::Sort;
use crate::transform::variables::{Variable, Variables};
use crate::value::{fits, text};

/// What the outermost kustomization asks for.
pub(crate) struct Wishes<'a> {
    pub(crate) config: Arc<Config>,
    pub(crate) variables: &'a BTreeMap<String, Variable>,
    pub(crate) sort: Sort,
    pub(crate) metadata: BuildMetadata,
}

/// An object with its place, as it leaves the build.
pub(crate) type Finished = (Tree, Place);

/// How a build was concluded.
#[derive(Debug)]
pub(crate) struct Concluded {
    /// The kustomization that was built. It is held so that no other one takes its place in memory.
    _of: Arc<Noted>,
    before: Vec<Arc<Resource>>,
    /// The same once hashes stood in the names.
    hashed: Vec<Arc<Resource>>,
    names: Arc<Names>,
    /// How many resources were looked at for the references of each.
    looked_at: Vec<usize>,
    /// The indexes of the resources in the order of the output.
    order: Vec<usize>,
    finished: Vec<Finished>,
}

impl Wishes<'_> {
    /// Whether the next build may go by what this one comes to: nothing of the user's decides what refers to what.
    pub(crate) fn are_plain(&self) -> bool {
        self.variables.is_empty() && self.metadata == BuildMetadata::default() && Config::is_built_in(&self.config)
    }

    /// Concludes a build.
    pub(crate) fn carry_out(&self, resources: Resources) -> Result<Vec<Finished>, Fault> {
        Ok(self.carry_out_noting(resources)?.1)
    }

    /// As [`Wishes::carry_out`]; also gives what the next build may go by, if that can be.
    pub(crate) fn carry_out_noting(&self, mut resources: Resources) -> Result<(Option<Notes>, Vec<Finished>), Fault> {
        let resources = &mut resources;
        Hash.apply(resources)?;
        let mut notes = self.are_plain().then(|| Notes { hashed: resources.as_slice().to_vec(), ..Notes::default() });
        let references = NameReferences { references: &self.config.names, referrers: &self.config.referrers };
        let (names, looked_at) = references.apply(resources)?;
        Variables { variables: self.variables, fields: &self.config.variables }.apply(resources)?;
        let mut kept: Vec<usize> = (0..resources.len()).collect();
        if resources.iter().any(is_local) {
            kept.retain(|index| !is_local(&resources.as_slice()[*index]));
            resources.retain(|resource| !is_local(resource));
        }
        let order = self.sort.order(resources);
        resources.reorder(&order);
        // A JSON patch may have given a resource the name of another.
        resources.check_unique()?;
        if let Some(notes) = &mut notes {
            (notes.names, notes.looked_at) = (Arc::new(names), looked_at);
            notes.order = order.into_iter().map(|index| kept[index]).collect();
        }
        if self.metadata.managed_by {
            let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "kustomize-v5.8.1".to_owned())]);
            Labels { labels, fields: FieldSpecs::new(vec![own_labels()]) }.apply(resources)?;
        }
        // What `buildMetadata` writes and what field specifications of the user's lead to is not counted.
        let is_plain = self.metadata == BuildMetadata::default() && Config::is_built_in(&self.config);
        let surely_fits = is_plain && resources.surely_fit(crate::OUTPUT_LIMIT);
        let finished: Vec<Finished> = resources.as_slice().iter().map(|resource| self.finish(resource)).collect();
        let mut left = crate::OUTPUT_LIMIT;
        if !surely_fits && !finished.iter().all(|(tree, _)| fits(tree, &mut left)) {
            return Err(too_big().into());
        }
        Ok((notes.filter(|_| surely_fits), finished))
    }

    fn finish(&self, resource: &Arc<Resource>) -> Finished {
        (Resource::clone(resource).finish(self.metadata.origin, self.metadata.transformations), resource.place.clone())
    }
}

/// What a build learns while it is concluded.
#[derive(Default)]
pub(crate) struct Notes {
    hashed: Vec<Arc<Resource>>,
    names: Arc<Names>,
    looked_at: Vec<usize>,
    order: Vec<usize>,
}

impl Notes {
    pub(crate) fn conclude(self, of: &Arc<Noted>, before: Vec<Arc<Resource>>, finished: Vec<Finished>) -> Concluded {
        let Self { hashed, names, looked_at, order } = self;
        Concluded { _of: of.clone(), before, hashed, names, looked_at, order, finished }
    }
}

impl Concluded {
    /// About how many bytes it is: the objects, and their texts once they are printed.
    pub(crate) fn bytes(&self) -> usize {
        self.before.iter().map(|resource| 2 * (resource.bytes + size_of::<Resource>())).sum()
    }

    /// What `resources` come to. `None` where that takes a whole conclusion: most of them are new,
    /// one of the new ones is not called as the old one in its place was, or the work comes near a budget.
    pub(crate) fn again(&self, of: &Arc<Noted>, wishes: &Wishes<'_>, resources: &Resources) -> Result<Option<Again>, Fault> {
        let list = resources.as_slice();
        if list.len() != self.before.len() || !wishes.are_plain() || !resources.surely_fit(crate::OUTPUT_LIMIT) {
            return Ok(None);
        }
        let new: Vec<usize> = (0..list.len()).filter(|index| !Arc::ptr_eq(&list[*index], &self.before[*index])).collect();
        let is_alike = |index: &usize| list[*index].is_called_as(&self.before[*index]);
        if new.len() > list.len() / 2 || !new.iter().all(is_alike) {
            return Ok(None);
        }
        if new.is_empty() {
            return Ok(Some(Again { next: None, finished: self.finished.clone() }));
        }
        let mut hashed = self.hashed.clone();
        new.iter().for_each(|index| hashed[*index] = list[*index].clone());
        let mut looked_at = self.looked_at.clone();
        let mut finished = self.finished.clone();
        let mut kinds = Kinds::new(&wishes.config.names, &wishes.config.referrers);
        let mut work = Work::default();
        for index in new {
            let (value, looked) = kinds.update(&hashed[index], &hashed, &self.names)?;
            looked_at[index] = looked;
            let mut resource = Resource::clone(&list[index]);
            if let Some(value) = value {
                resource.value = value;
            }
            let place = self.order.iter().position(|placed| *placed == index);
            match (place, is_local(&resource)) {
                (Some(place), false) => finished[place] = wishes.finish(&Arc::new(resource)),
                (None, true) => {}
                _ => return Ok(None),
            }
        }
        work.step(looked_at.iter().sum())?;
        let Some(_) = resources.work.with(work) else { return Ok(None) };
        let next = Self {
            _of: of.clone(),
            before: list.to_vec(),
            hashed,
            names: self.names.clone(),
            looked_at,
            order: self.order.clone(),
            finished: finished.clone(),
        };
        Ok(Some(Again { next: Some(next), finished }))
    }
}

/// A build that was concluded by the one before.
pub(crate) struct Again {
    /// What the next one may go by, if it is not the same.
    pub(crate) next: Option<Concluded>,
    pub(crate) finished: Vec<Finished>,
}

pub(crate) fn own_labels() -> FieldSpec {
    FieldSpec::new(Gvk::default(), "metadata/labels", true)
}

pub(crate) fn too_big() -> Reason {
    Reason::TooMuch { what: "bytes of objects", limit: crate::OUTPUT_LIMIT, remedy: "split the app" }
}

/// Whether the resource is for kustomize only.
fn is_local(resource: &Resource) -> bool {
    let annotation = resource.value["metadata"]["annotations"].get("config.kubernetes.io/local-config");
    annotation.is_some_and(|annotation| text(annotation) != "false")
}
