//! `namePrefix` and `nameSuffix`: a text before or after the name of every resource, custom definitions, API services and namespaces excepted.

use shared_manifest::Text;

use crate::field_spec::{Create, FieldSpecs};
use crate::id::Kind;
use crate::problem::Fault;
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::{raw, restyled};

/// Before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Prefix,
    Suffix,
}

/// The transformer.
pub(crate) struct Affix {
    pub(crate) side: Side,
    pub(crate) text: Text,
    pub(crate) fields: FieldSpecs,
}

impl Transformer for Affix {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        resources.look(1)?;
        resources.work.write(self.text.len() * resources.len())?;
        for resource in resources.iter_mut(|resource| !is_exempt(resource)) {
            for field in self.fields.iter() {
                if !resource.original_id().is_selected(&field.kinds) {
                    continue;
                }
                if field.path.text == "metadata/name" && !self.text.is_empty() {
                    let affixes = if self.side == Side::Prefix { &mut resource.prefixes } else { &mut resource.suffixes };
                    affixes.push(self.text.clone());
                    resource.remember_id();
                }
                if !Kind::of(&resource.value).is_selected(&field.kinds) {
                    continue;
                }
                field.visit(&mut resource.value, Create::Scalar, &mut |value: &mut _| {
                    let old = raw(value);
                    let new = match self.side {
                        Side::Prefix => [&self.text, old].concat(),
                        Side::Suffix => [old, &self.text].concat(),
                    };
                    *value = restyled(value, &new);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn looks_at_each_alone(&self) -> bool {
        true
    }
}

/// A prefix and then a suffix: kustomize's former transformer for both.
pub(crate) struct Both(pub(crate) Affix, pub(crate) Affix);

impl Transformer for Both {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        self.0.apply(resources)?;
        self.1.apply(resources)
    }
}

fn is_exempt(resource: &Resource) -> bool {
    let id = resource.original_id();
    match id.kind {
        "CustomResourceDefinition" | "Namespace" => true,
        "APIService" => id.group == "apiregistration.k8s.io",
        _ => false,
    }
}
