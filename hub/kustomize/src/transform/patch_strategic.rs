//! `patchesStrategicMerge`, and how one strategic merge patch changes its target.

use shared_manifest::Value;

use crate::id::Id;
use crate::merge::{Schema, strategic_merge};
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::text;

/// One patch and what it may change of its target's identity.
pub(crate) struct StrategicPatch {
    pub(crate) value: Value,
    pub(crate) may_rename: bool,
    pub(crate) may_change_kind: bool,
}

impl StrategicPatch {
    /// Changes `target`; its kind, name and namespace stay unless the patch may change them.
    pub(crate) fn apply_to(&self, target: &mut Resource, schema: &Schema) -> Result<(), Reason> {
        let (kind, name, namespace) = (target.kind().to_owned(), target.name().to_owned(), target.namespace().to_owned());
        if self.may_rename || self.may_change_kind {
            target.remember_id();
        }
        let Some(merged) = strategic_merge(target.value.take(), self.value.clone(), schema)? else { return Ok(()) };
        target.value = merged;
        if !self.may_change_kind {
            target.value["kind"] = kind.into();
        }
        if !self.may_rename {
            target.set_metadata("name", &name);
        }
        target.set_metadata("namespace", &namespace);
        Ok(())
    }

    /// Changes the targets at `indexes`, whose version and group the patch takes over.
    pub(crate) fn apply_to_selected(&self, resources: &mut Resources, indexes: &[usize]) -> Result<(), Reason> {
        let schema = resources.schema.clone();
        for index in indexes {
            let target = resources.get_mut(*index);
            let mut value = self.value.clone();
            if let Some(fields) = value.as_object_mut() {
                fields.insert("apiVersion".to_owned(), target.value["apiVersion"].clone());
            }
            make_texts(&mut value);
            let patch = Self { value, may_rename: self.may_rename, may_change_kind: self.may_change_kind };
            patch.apply_to(target, &schema)?;
        }
        resources.drop_deleted();
        resources.check_unique()
    }
}

/// Makes every label and annotation of a patch a text, as kustomize does to patches with a target: null becomes "null" and removes nothing.
fn make_texts(patch: &mut Value) {
    let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for field in ["labels", "annotations"] {
        let Some(entries) = metadata.get_mut(field) else { continue };
        let is_empty = match entries {
            Value::Object(entries) => {
                for entry in entries.values_mut() {
                    *entry = if entry.is_null() { "null".into() } else { text(entry).into() };
                }
                entries.is_empty()
            }
            _ => true,
        };
        if is_empty {
            metadata.remove(field);
        }
    }
}

/// The transformer.
pub(crate) struct StrategicPatches {
    pub(crate) patches: Vec<StrategicPatch>,
}

impl Transformer for StrategicPatches {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        for patch in &self.patches {
            let target = resources.find(&Id::of(&patch.value))?;
            patch.apply_to_selected(resources, &[target])?;
        }
        Ok(())
    }
}
