//! The transformers, one per file. Each says which fields of a configuration it reads and what it does to the resources; in which order they
//! run is left to the target.

pub(crate) mod affix;
pub(crate) mod annotations;
pub(crate) mod hash;
pub(crate) mod images;
pub(crate) mod labels;
pub(crate) mod name_reference;
pub(crate) mod namespace;
pub(crate) mod patch;
pub(crate) mod patch_json;
pub(crate) mod patch_strategic;
pub(crate) mod replacement;
pub(crate) mod replicas;
pub(crate) mod shared;
pub(crate) mod sort;
pub(crate) mod value_add;
pub(crate) mod variables;

use crate::problem::Fault;
use crate::resources::Resources;

/// A step that changes resources.
pub(crate) trait Transformer {
    /// Changes `resources`.
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault>;

    /// Whether it looks at each resource alone, and makes of it what it makes of it whatever the others are.
    fn looks_at_each_alone(&self) -> bool {
        false
    }
}
