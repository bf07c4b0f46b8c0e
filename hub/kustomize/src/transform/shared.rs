//! Labels and annotations that are one value to kustomize: where one transformer adds a key to several maps of a resource, all of them get the
//! same node, and whoever sets it in one of them later sets it in all. Here every map has a value of its own, and what a later step has
//! changed in one of them is carried to the others. Who adds and who changes is left to the transformers.

use std::cell::RefCell;
use std::sync::Arc;

use shared_manifest::{Text, Tree};

use crate::field_spec::{Create, FieldPath, FieldSpec, Visitor};
use crate::id::Gvk;
use crate::problem::Reason;

/// One value in several maps of a resource.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    key: Text,
    /// What all of them held when they were last looked at.
    value: Tree,
    /// The ways to the maps.
    maps: Vec<Arc<FieldPath>>,
}

/// The most values that are kept track of in one resource: 5,000 objects with 100 of some 200 bytes are 100 MB.
const SHARED_LIMIT: usize = 100;

impl Shared {
    /// Notes what one transformer has added: for each map that had lacked one of `pairs` the pair's place and the way to the map. A key that
    /// one map lacked is shared by none.
    pub(crate) fn note(groups: &mut Vec<Self>, pairs: &[(Text, Tree)], mut added: Vec<(usize, Arc<FieldPath>)>) {
        added.sort_by_key(|(place, _)| *place);
        let several = added.chunk_by(|(a, _), (b, _)| a == b).filter(|maps| maps.len() > 1);
        let room = SHARED_LIMIT.saturating_sub(groups.len());
        groups.extend(several.take(room).map(|maps| {
            let (key, value) = pairs[maps[0].0].clone();
            Self { key, value, maps: maps.iter().map(|(_, path)| path.clone()).collect() }
        }));
    }

    /// Carries a change of one map to the others. Of several changes the last counts, in the order of the paths.
    pub(crate) fn settle(groups: &mut Vec<Self>, value: &mut Tree, may_change: impl Fn(&str) -> bool) {
        groups.retain_mut(|group| !may_change(&group.key) || group.settle_one(value));
    }

    /// Says whether several maps hold it still.
    fn settle_one(&mut self, value: &mut Tree) -> bool {
        let mut changed: Vec<(Text, Tree)> = Vec::new();
        let known = &self.value;
        let key = &self.key;
        self.maps.retain(|path| {
            let look = Look { key, found: RefCell::default() };
            visit(path, value, &mut &look);
            let found = look.found.into_inner();
            changed.extend(found.iter().filter(|found| *found != known).map(|found| (path.text.clone(), found.clone())));
            !found.is_empty()
        });
        if self.maps.len() > 1
            && let Some((_, last)) = changed.into_iter().max_by(|(a, _), (b, _)| a.cmp(b))
        {
            self.maps.iter().for_each(|path| visit(path, value, &mut Set { key, value: &last }));
            self.value = last;
        }
        self.maps.len() > 1
    }
}

/// Ways that cannot be followed any more lead to nothing.
fn visit(path: &Arc<FieldPath>, value: &mut Tree, visitor: &mut dyn Visitor) {
    let spec = FieldSpec { kinds: Gvk::default(), path: path.clone(), create: false };
    let _nothing_there = spec.visit(value, Create::Never, visitor);
}

/// Notes what stands under a key, and changes nothing.
struct Look<'k> {
    key: &'k Text,
    found: RefCell<Vec<Tree>>,
}

impl Visitor for &Look<'_> {
    fn wants(&self, value: &Tree) -> bool {
        self.found.borrow_mut().extend(value.get(self.key).cloned());
        false
    }

    fn visit(&mut self, _: &mut Tree) -> Result<(), Reason> {
        Ok(())
    }
}

struct Set<'k> {
    key: &'k Text,
    value: &'k Tree,
}

impl Visitor for Set<'_> {
    fn wants(&self, value: &Tree) -> bool {
        value.get(self.key).is_some_and(|present| present != self.value)
    }

    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        if let Some(present) = value.get_mut(self.key) {
            *present = self.value.clone();
        }
        Ok(())
    }
}
