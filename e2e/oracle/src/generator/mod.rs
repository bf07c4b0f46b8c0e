//! Kustomizations made at random from a seed: several layers of bases, overlays and components with every field of the format, most of them
//! valid. `layers` puts them together; objects, patches and the like, and the ways of writing them, are next to it.

mod configurations;
mod fields;
mod known;
mod layers;
mod objects;
mod patches;
mod pen;
mod replacements;
mod words;

use std::collections::BTreeMap;

use crate::Chance;

/// Something to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The text of each file by its path from the root of the tree.
    pub files: BTreeMap<String, String>,
    /// The directory whose kustomization is built.
    pub dir: String,
}

/// The case of this seed.
#[must_use]
pub fn case(seed: u64) -> Case {
    layers::case(&mut Chance::of_seed(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_case_and_each_seed_another() {
        for seed in 0..50 {
            assert_eq!(case(seed), case(seed));
            assert_ne!(case(seed), case(seed + 1));
        }
    }
}
