//! Cases on disk: an input tree, the directory to build, and what kustomize printed or said.

use std::path::Path;

use hub_kustomize::{BuildError, BuildOptions, build_values};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};
use shared_manifest::{Value, YamlBudget, YamlMode, parse_yaml};

/// What a case expects.
pub(crate) enum Expected {
    /// These objects in this order.
    Objects(Vec<Value>),
    /// A refusal; what kustomize said.
    Refusal(String),
}

/// The tree in the directory `root`.
pub(crate) fn tree(root: &Path) -> MemoryTree {
    let mut tree = MemoryTree::new();
    add(&mut tree, root, &TreePath::root());
    tree
}

fn add(tree: &mut MemoryTree, directory: &Path, path: &TreePath) {
    let entries = directory.read_dir().unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let entry = entry.expect("a directory entry");
        let child = path.child(entry.file_name().to_str().expect("UTF-8"));
        let kind = entry.file_type().expect("a file type");
        if kind.is_symlink() {
            let target = entry.path().read_link().expect("a link");
            tree.insert_link(child, target.to_str().expect("UTF-8"));
        } else if kind.is_dir() {
            add(tree, &entry.path(), &child);
        } else {
            tree.insert(child, read(&entry.path()));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its cases")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Builds `directory` of `tree`.
pub(crate) fn build_in(tree: &MemoryTree, directory: &str) -> Result<Vec<Value>, BuildError> {
    let reader = Reader::new(tree, Budget::RENDER);
    let path = TreePath::parse(directory).expect("a path");
    build_values(&reader, &path, &BuildOptions::default()).map(|(values, _)| values)
}

/// What the case in `directory` expects.
pub(crate) fn expected(directory: &Path) -> Expected {
    let refusal = directory.join("expected.err");
    if refusal.exists() {
        return Expected::Refusal(String::from_utf8_lossy(&read(&refusal)).into_owned());
    }
    let text = String::from_utf8(read(&directory.join("expected.yaml"))).expect("UTF-8");
    let documents = parse_yaml(&text, YamlMode::Kustomize, YamlBudget::BUNDLE).expect("expected.yaml is YAML");
    Expected::Objects(documents.into_iter().map(|document| document.value).collect())
}

/// Why the case in `directory` fails, or nothing if it passes.
pub(crate) fn failure(directory: &Path) -> Option<String> {
    let target = String::from_utf8(read(&directory.join("target"))).expect("UTF-8");
    let built = build_in(&tree(&directory.join("in")), target.trim());
    match (built, expected(directory)) {
        (Err(_), Expected::Refusal(_)) => None,
        (Ok(_), Expected::Refusal(message)) => Some(format!("builds, and kustomize refuses: {}", first_line(&message))),
        (Err(error), Expected::Objects(_)) => Some(error.to_string()),
        (Ok(built), Expected::Objects(objects)) => difference(&built, &objects),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.starts_with("# Warning")).unwrap_or_default()
}

fn difference(built: &[Value], expected: &[Value]) -> Option<String> {
    let name = |value: &Value| format!("{} {}", value["kind"], value["metadata"]["name"]);
    for (index, (object, expected)) in built.iter().zip(expected).enumerate() {
        if object != expected {
            let (ours, theirs) = (shared_manifest::to_yaml(object), shared_manifest::to_yaml(expected));
            return Some(format!("object {index}, {}, differs\n--- kustomize\n{theirs}--- here\n{ours}", name(expected)));
        }
    }
    let (ours, theirs) = (built.len(), expected.len());
    (ours != theirs).then(|| format!("{ours} objects instead of {theirs}"))
}
