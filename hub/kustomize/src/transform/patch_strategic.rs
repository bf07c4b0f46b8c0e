//! `patchesStrategicMerge`, and how one strategic merge patch changes its target.

use std::sync::Arc;

use shared_manifest::{Tree, TreeMap};

use crate::id::Id;
use crate::merge::{Schema, strategic_merge};
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::{new_text, raw_text, set, size};

/// How many comparisons of list items count as one step.
const COMPARISONS_OF_A_STEP: usize = 16;

/// What a patch may change of its target's identity.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Permission {
    pub(crate) rename: bool,
    pub(crate) change_kind: bool,
}

/// One patch.
pub(crate) struct StrategicPatch {
    pub(crate) value: Tree,
    pub(crate) may: Permission,
}

impl StrategicPatch {
    /// Changes the resource at `index`; its kind, name and namespace stay unless the patch may change them.
    pub(crate) fn apply_at(&self, resources: &mut Resources, index: usize, schema: &Schema) -> Result<(), Reason> {
        resources.work.write(size(&self.value))?;
        resources.work.walk(4 * resources.as_slice()[index].bytes)?;
        let target = resources.get_mut(index);
        let (kind, name, namespace) = (target.kind().to_owned(), target.name().to_owned(), target.namespace().to_owned());
        if self.may.rename || self.may.change_kind {
            target.remember_id();
        }
        let merged = strategic_merge(std::mem::take(&mut target.value), self.value.clone(), schema)?;
        if let Some(value) = merged.value {
            target.value = value;
            if !self.may.change_kind && target.kind() != kind {
                set(&mut target.value, "kind", kind.into());
            }
            if !self.may.rename {
                target.set_metadata("name", &name);
            }
            target.set_metadata("namespace", &namespace);
            target.settle_shared(|_| true);
        }
        let steps = target.shared.len() + merged.comparisons / COMPARISONS_OF_A_STEP;
        resources.work.step(steps)
    }

    /// The patch for the one resource that it names. In one that may change names or kinds annotations are texts, because kustomize notes in
    /// them what it may.
    pub(crate) fn for_its_own(value: &Tree, may: Permission) -> Self {
        let mut value = value.clone();
        if may.rename || may.change_kind {
            make_texts(&mut value, &["annotations"]);
        }
        Self { value, may }
    }

    /// Changes the targets at `indexes`, whose version and group the patch takes over.
    pub(crate) fn apply_to_selected(&self, resources: &mut Resources, indexes: &[usize]) -> Result<(), Reason> {
        let schema = resources.schema.clone();
        let mut patch = Self { value: self.value.clone(), may: self.may };
        make_texts(&mut patch.value, &["labels", "annotations"]);
        for index in indexes {
            let version = resources.as_slice()[*index].value["apiVersion"].clone();
            set(&mut patch.value, "apiVersion", version);
            patch.apply_at(resources, *index, &schema)?;
        }
        resources.drop_deleted();
        resources.check_unique()
    }
}

/// Makes every label or annotation of a patch a text, as kustomize does to patches with a target: null becomes "null" and removes nothing.
fn make_texts(patch: &mut Tree, fields: &[&str]) {
    let Some(metadata) = patch.get_mut("metadata").and_then(Tree::as_map_mut) else { return };
    for field in fields {
        match metadata.get_mut(field) {
            Some(Tree::Map(entries)) if !entries.is_empty() => {
                let entries: &mut TreeMap = Arc::make_mut(entries);
                entries.values_mut().for_each(|entry| *entry = new_text(raw_text(entry)));
            }
            _ => drop(metadata.remove(field)),
        }
    }
}

/// The transformer.
pub(crate) struct StrategicPatches {
    pub(crate) patches: Vec<Tree>,
}

impl Transformer for StrategicPatches {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        for patch in &self.patches {
            resources.work.step(resources.len())?;
            let target = resources.find(&Id::of(patch))?;
            StrategicPatch { value: patch.clone(), may: Permission::default() }.apply_to_selected(resources, &[target])?;
        }
        Ok(())
    }
}
