//! `replicas`: how many replicas the workload of a name has.

use shared_manifest::Tree;

use crate::field_spec::{Create, FieldSpecs};
use crate::fields::Fields;
use crate::id::Kind;
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::in_quotes_of;

/// The transformer.
pub(crate) struct Replicas {
    pub(crate) replica: Replica,
    pub(crate) fields: FieldSpecs,
}

/// A workload's name and its count.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    name: String,
    count: i64,
    line: u32,
}

impl Replica {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        Ok(Self { name: fields.text("name")?, count: fields.integer("count")?, line: fields.line })
    }
}

impl Transformer for Replicas {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        let mut is_found = false;
        for field in self.fields.iter() {
            resources.work.step(resources.len())?;
            let named = resources.indexes(|resource| {
                resource.bears(&self.replica.name)
                    && !resource.is_deleted()
                    && resource.ids().any(|id| id.name == self.replica.name && id.is_selected(&field.kinds))
            });
            for index in named {
                is_found = true;
                let value = &mut resources.get_mut(index).value;
                if Kind::of(value).is_selected(&field.kinds) {
                    field.visit(value, Create::Scalar, &mut |value: &mut Tree| {
                        *value = in_quotes_of(value, self.replica.count.into());
                        Ok(())
                    })?;
                }
            }
        }
        if is_found { Ok(()) } else { Err(Fault::at(self.replica.line, Reason::NoReplicas { name: self.replica.name.clone() })) }
    }
}
