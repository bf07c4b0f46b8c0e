//! `patches`: strategic merge or JSON patches, for the resource they name or for all that a target selects.

use crate::id::Id;
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::selector::Selector;
use crate::transform::Transformer;
use crate::transform::patch_json::JsonPatch;
use crate::transform::patch_strategic::StrategicPatch;

/// The transformer.
pub(crate) struct Patches {
    /// What to call the patch in messages.
    pub(crate) name: String,
    pub(crate) target: Option<Selector>,
    pub(crate) body: Body,
}

/// The two languages.
pub(crate) enum Body {
    Strategic(Vec<StrategicPatch>),
    Json(JsonPatch),
}

impl Transformer for Patches {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        match (&self.body, &self.target) {
            (Body::Strategic(patches), None) => {
                let schema = resources.schema.clone();
                for patch in patches {
                    let target = resources.find(&Id::of(&patch.value))?;
                    patch.apply_to(resources.get_mut(target), &schema)?;
                }
                Ok(())
            }
            (Body::Strategic(patches), Some(target)) => match patches.as_slice() {
                [] => Ok(()),
                [patch] => {
                    let selected = resources.select(target);
                    Ok(patch.apply_to_selected(resources, &selected)?)
                }
                _ => Err(self.refused("it has several patches and one target; give each an entry of its own")),
            },
            (Body::Json(patch), Some(target)) => {
                for index in resources.select(target) {
                    let resource = resources.get_mut(index);
                    resource.remember_id();
                    patch.apply_to(resource)?;
                }
                Ok(())
            }
            (Body::Json(_), None) => Err(self.refused("a JSON patch needs a target")),
        }
    }
}

impl Patches {
    fn refused(&self, problem: &str) -> Fault {
        Reason::Patch { patch: self.name.clone(), problem: problem.to_owned() }.into()
    }
}
