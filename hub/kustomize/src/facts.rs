//! What is remembered of a map that several builds share: what a walk through all of it would find again. It goes when the map changes, which
//! `shared_manifest` sees to; what the walks are for is left to the transformers.

use std::sync::{Arc, OnceLock};

use shared_manifest::{Text, TreeMap};

use crate::value::is_collection;

/// What is asked about a map.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    Images,
    References,
    Settled,
}

/// The facts of one map.
#[derive(Default)]
pub(crate) struct Facts {
    /// The images of all containers in it.
    pub(crate) images: OnceLock<Box<[Text]>>,
    /// What in it may refer to another resource, as the first set of paths finds it that looks.
    pub(crate) references: OnceLock<References>,
    /// That strategic merge has nothing to change in it by itself.
    pub(crate) settled: OnceLock<Settled>,
}

/// Names that stand where references stand.
pub(crate) struct References {
    /// The set of paths, and how far the way to the map has come in it.
    pub(crate) paths: (u64, usize),
    pub(crate) found: Box<[Name]>,
}

/// What stands at the end of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// The number of the path.
    pub(crate) path: usize,
    /// The name; `None` for what is no name, or where the path cannot be followed.
    pub(crate) name: Option<Text>,
}

/// A map that stays as it is where a patch does not mention it.
pub(crate) struct Settled {
    /// What the built-in schema says about it.
    pub(crate) kind: usize,
    /// What looking at it costs.
    pub(crate) comparisons: usize,
}

impl Facts {
    /// The facts of `map`, if it is one that something else holds, too, and more than a few scalars, and the question is not a new one.
    pub(crate) fn of(map: &Arc<TreeMap>, question: Question) -> Option<&Self> {
        if Arc::strong_count(map) > 1 && map.values().any(is_collection) { map.remembered(question as u32) } else { None }
    }

    /// What is known of `map` by now.
    pub(crate) fn known(map: &TreeMap) -> Option<&Self> {
        map.recalled()
    }
}
