//! `patches`: strategic merge or JSON patches, for the resource they name or for all that a target selects.

use std::sync::Arc;

use shared_manifest::Tree;

use crate::id::Id;
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::selector::Selector;
use crate::transform::Transformer;
use crate::transform::patch_json::JsonPatch;
use crate::transform::patch_strategic::{Permission, StrategicPatch};

/// The transformer.
pub(crate) struct Patches {
    /// What to call the patch in messages.
    pub(crate) name: String,
    pub(crate) target: Option<Selector>,
    pub(crate) body: Arc<Body>,
    pub(crate) may: Permission,
}

/// What a text of patches says, in one of the two languages.
#[derive(Debug)]
pub(crate) enum Body {
    Strategic(Vec<Tree>),
    Json(JsonPatch),
}

impl Transformer for Patches {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        match (self.body.as_ref(), &self.target) {
            (Body::Strategic(patches), None) => {
                let schema = resources.schema.clone();
                for patch in patches {
                    resources.work.step(resources.len())?;
                    let target = resources.find(&Id::of(patch))?;
                    StrategicPatch::for_its_own(patch, self.may).apply_at(resources, target, &schema)?;
                }
                Ok(())
            }
            (Body::Strategic(patches), Some(target)) => match patches.as_slice() {
                [] => Ok(()),
                [patch] => {
                    resources.work.step(resources.len())?;
                    let selected = resources.select(target);
                    let patch = StrategicPatch { value: patch.clone(), may: self.may };
                    Ok(patch.apply_to_selected(resources, &selected)?)
                }
                _ => Err(self.refused("it has several patches and one target; give each an entry of its own")),
            },
            (Body::Json(patch), Some(target)) => {
                resources.work.step(resources.len())?;
                for index in resources.select(target) {
                    resources.get_mut(index).remember_id();
                    patch.apply_at(resources, index)?;
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
