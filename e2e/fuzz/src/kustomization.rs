//! Any tree of files: its kustomization builds or is refused, the same each time.

use crate::{build, sections};

pub(crate) fn check(input: &[u8]) {
    let (tree, directory) = sections::tree_of(input);
    build::check(&tree, &directory);
}
