//! `labels` and `commonLabels`: labels on every resource and, if asked for, on selectors and the pod templates they select.

use std::collections::BTreeMap;

use crate::field_spec::{Create, FieldSpec};
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::{map_in, type_of};

/// The transformer.
pub(crate) struct Labels {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) fields: Vec<FieldSpec>,
}

impl Transformer for Labels {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        set_pairs(resources, &self.fields, &self.labels)
    }
}

/// Sets `pairs` in the maps that `fields` lead to.
pub(super) fn set_pairs(resources: &mut Resources, fields: &[FieldSpec], pairs: &BTreeMap<String, String>) -> Result<(), Fault> {
    if pairs.is_empty() {
        return Ok(());
    }
    for resource in resources.iter_mut() {
        for field in fields {
            field.visit(&mut resource.value, Create::Map, &mut |value| {
                let found = type_of(value);
                let Some(map) = map_in(value) else {
                    return Err(Reason::WrongType { field: field.path.to_string(), wanted: "a map", found, hint: "" });
                };
                map.extend(pairs.iter().map(|(key, text)| (key.clone(), text.as_str().into())));
                Ok(())
            })?;
        }
    }
    Ok(())
}
