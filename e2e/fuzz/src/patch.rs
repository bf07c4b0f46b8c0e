//! Any object with any patch: merged by its kind and name, or aimed at everything. The input's sections are `base` and `patch`.

use hub_tree::{MemoryTree, TreePath};

use crate::{build, sections};

/// The ways in which a patch finds what it changes. A JSON patch has only the second.
const KUSTOMIZATIONS: [&str; 2] = [
    "resources: [base.yaml]\npatches: [{path: patch.yaml}]\n",
    "resources: [base.yaml]\npatches: [{path: patch.yaml, target: {name: .*}, options: {allowNameChange: true, allowKindChange: true}}]\n",
];

pub(crate) fn check(input: &[u8]) {
    let sections = sections::split(input);
    let [(_, base), (_, patch)] = sections[..] else { return };
    for kustomization in KUSTOMIZATIONS {
        let mut tree = MemoryTree::of(&[("kustomization.yaml", kustomization)]);
        for (name, content) in [("base.yaml", base), ("patch.yaml", patch)] {
            tree.insert(TreePath::root().child(name), content);
        }
        build::check(&tree, &TreePath::root());
    }
}
