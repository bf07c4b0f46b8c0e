//! One build of a tree, and what must hold for each: it gives the same again and with files that another build has parsed, reads the same for
//! it, stays within its bounds, and prints what reads back as its objects.

use hub_kustomize::{BuildOptions, Built, Files, OUTPUT_LIMIT, build};
use hub_tree::{Budget, MemoryTree, ReadSet, Reader, TreePath};
use shared_manifest::{Tree, Value, YamlBudget, YamlMode, parse_trees};

use crate::reading_back;

/// Enough for all files of an input.
const SHARED_BYTES: usize = 1 << 20;

/// What is printed is an engine's output, and as deep as its files.
const READING_BACK: YamlBudget = YamlBudget { depth: YamlBudget::DEPTH_CEILING, ..YamlBudget::BUNDLE };

/// The most that a text may be longer than the objects in it: indentation, quotes and escapes.
const PRINTED_LIMIT: usize = 8 * OUTPUT_LIMIT;

/// What came out: the text or why not, and what was read for it.
type Outcome = (Result<String, String>, ReadSet);

/// Builds `directory` in every way.
pub(crate) fn check(tree: &MemoryTree, directory: &TreePath) {
    let alone = outcome(tree, directory, None);
    assert_eq!(outcome(tree, directory, None), alone, "a second build differs");
    let files = Files::new(SHARED_BYTES);
    for build in ["first", "second"] {
        assert_eq!(outcome(tree, directory, Some(&files)), alone, "the {build} build with shared files differs");
    }
}

fn outcome(tree: &MemoryTree, directory: &TreePath, files: Option<&Files>) -> Outcome {
    let reader = Reader::new(tree, Budget::RENDER);
    let built = build(&reader, directory, &BuildOptions { files, ..BuildOptions::default() });
    (built.map(printed).map_err(|error| error.to_string()), reader.into_read_set())
}

fn printed(built: Built) -> String {
    assert_eq!(built.trees.len(), built.places.len(), "every object has a place");
    let text = built.to_yaml();
    assert!(text.len() <= PRINTED_LIMIT, "{} bytes are printed", text.len());
    if built.trees.iter().all(reading_back::is_exact) {
        let back =
            parse_trees(&text, YamlMode::Kustomize, READING_BACK).unwrap_or_else(|error| panic!("{error} in what is printed\n{text}"));
        let back = Value::Array(back.iter().map(|document| document.tree.to_value()).collect());
        let objects = Value::Array(built.trees.iter().map(Tree::to_value).collect());
        assert!(reading_back::is_same(&objects, &back), "{objects} reads back as {back}\n{text}");
    }
    // An object that Kubernetes would refuse is an error, and nothing worse.
    let _ = built.into_objects();
    text
}
