//! Flux's commonMetadata: labels and annotations that every object gets at the very end. Selectors and templates stay as they are, and what an
//! object has under the same key gives way.

use std::collections::BTreeMap;

use shared_manifest::Object;

/// What all objects of an app get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommonMetadata {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl CommonMetadata {
    /// Sets them on `object`.
    pub(crate) fn apply(&self, object: &mut Object) {
        for (key, value) in &self.labels {
            object.set_label(key, value);
        }
        for (key, value) in &self.annotations {
            object.set_annotation(key, value);
        }
    }
}
