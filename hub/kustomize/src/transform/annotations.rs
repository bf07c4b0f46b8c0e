//! `commonAnnotations`: annotations on every resource and on the pod templates it holds.

use std::collections::BTreeMap;

use crate::field_spec::FieldSpecs;
use crate::problem::Fault;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::transform::labels::set_pairs;

/// The transformer.
pub(crate) struct Annotations {
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) fields: FieldSpecs,
}

impl Transformer for Annotations {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        set_pairs(resources, &self.fields, &self.annotations)
    }

    fn looks_at_each_alone(&self) -> bool {
        true
    }
}
