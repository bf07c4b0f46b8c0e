//! Any text: the fast path reads what the general path reads, the ways of reading agree with each other, and what is written reads back as what
//! it was.

use shared_manifest::{
    Tree, Value, YamlBudget, YamlMode, fast_and_general_agree, parse_trees, parse_yaml, parse_yaml_spanned, to_yaml, write_yaml,
};

use crate::reading_back;

const READING: YamlBudget = YamlBudget::MANIFEST;
/// What was read fits [`READING`]; written out, it may be a little longer.
const READING_BACK: YamlBudget = YamlBudget::BUNDLE;

const MODES: [YamlMode; 2] = [YamlMode::Kubernetes, YamlMode::Kustomize];

/// Checks a text; what is no UTF-8 does not get as far as a reader.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(difference) = fast_and_general_agree(text) {
        panic!("the fast path reads something else: {difference}");
    }
    for mode in MODES {
        check_ways_of_reading(text, mode);
        for document in parse_yaml(text, mode, READING).unwrap_or_default() {
            check_written_value(&document.value);
        }
        for document in parse_trees(text, mode, READING).unwrap_or_default() {
            check_written_tree(&document.tree);
        }
    }
}

/// Values, trees and spanned nodes are the same documents with the same problems.
fn check_ways_of_reading(text: &str, mode: YamlMode) {
    let values = parse_yaml(text, mode, READING);
    let trees = parse_trees(text, mode, READING);
    let nodes = parse_yaml_spanned(text, mode, READING);
    let plain =
        values.as_ref().map(|documents| documents.iter().map(|document| (document.value.clone(), document.line)).collect::<Vec<_>>());
    let from_trees = trees.as_ref().map(|documents| documents.iter().map(|document| (document.tree.to_value(), document.line)).collect());
    let from_nodes = nodes.as_ref().map(|nodes| nodes.iter().map(|node| (node.to_value(), node.line)).collect());
    assert_eq!(from_trees, plain, "trees and values differ as {mode:?} reads");
    assert_eq!(from_nodes, plain, "nodes and values differ as {mode:?} reads");
}

/// Both readings give back what was written.
fn check_written_value(value: &Value) {
    let written = to_yaml(value);
    for mode in MODES {
        let back = parse_yaml(&written, mode, READING_BACK).unwrap_or_else(|error| panic!("{error} as {mode:?} reads\n{written}"));
        assert_eq!(back.iter().map(|document| &document.value).collect::<Vec<_>>(), [value], "as {mode:?} reads\n{written}");
    }
}

/// kustomize's reading gives back what was written, and that is written the same again.
fn check_written_tree(tree: &Tree) {
    let mut written = String::new();
    write_yaml(tree, &mut written);
    if !reading_back::is_exact(tree) {
        return;
    }
    let back = parse_trees(&written, YamlMode::Kustomize, READING_BACK).unwrap_or_else(|error| panic!("{error}\n{written}"));
    let [document] = &back[..] else { panic!("{} documents\n{written}", back.len()) };
    let (value, value_back) = (tree.to_value(), document.tree.to_value());
    assert!(reading_back::is_same(&value, &value_back), "{value} reads back as {value_back}\n{written}");
    let mut again = String::new();
    write_yaml(&document.tree, &mut again);
    assert_eq!(again, written, "written again");
}
