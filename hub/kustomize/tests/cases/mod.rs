//! Cases on disk: an input tree, the directory to build, and what kustomize printed or said.

use std::path::Path;

use hub_kustomize::{BuildError, BuildOptions, LoadRestriction};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

/// What a case expects.
pub(crate) enum Expected {
    /// This text.
    Yaml(String),
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

fn build(tree: &MemoryTree, directory: &str, load_restriction: LoadRestriction) -> Result<String, BuildError> {
    let reader = Reader::new(tree, Budget::RENDER);
    let path = TreePath::parse(directory).expect("a path");
    let options = BuildOptions { load_restriction, ..BuildOptions::default() };
    Ok(hub_kustomize::build(&reader, &path, &options)?.to_yaml())
}

/// What the case in `directory` expects.
pub(crate) fn expected(directory: &Path) -> Expected {
    for name in ["expected.err", "expected-error.txt"] {
        let refusal = directory.join(name);
        if refusal.exists() {
            return Expected::Refusal(text(&refusal));
        }
    }
    Expected::Yaml(text(&directory.join("expected.yaml")))
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&read(path)).into_owned()
}

/// What the file `flags` of a case says, which are flags of `kustomize build`.
fn load_restriction(directory: &Path) -> LoadRestriction {
    let flags = directory.join("flags");
    if !flags.exists() {
        return LoadRestriction::RootOnly;
    }
    match text(&flags).trim() {
        "--load-restrictor LoadRestrictionsNone" => LoadRestriction::Tree,
        other => panic!("{}: unknown flags {other:?}", flags.display()),
    }
}

/// Why the case in `directory` fails, or nothing if it passes.
pub(crate) fn failure(directory: &Path) -> Option<String> {
    let target = text(&directory.join("target"));
    let built = build(&tree(&directory.join("in")), target.trim(), load_restriction(directory));
    match (built, expected(directory)) {
        (Err(error), Expected::Refusal(_)) => unsaid(directory, &error.to_string()),
        (Ok(_), Expected::Refusal(message)) => Some(format!("builds, and kustomize refuses: {}", first_line(&message))),
        (Err(error), Expected::Yaml(_)) => Some(error.to_string()),
        (Ok(built), Expected::Yaml(expected)) => difference(&built, &expected),
    }
}

/// A case may ask for words that the refusal must say, one wish a line.
fn unsaid(directory: &Path, refusal: &str) -> Option<String> {
    let words = directory.join("our-error.txt");
    let wishes = if words.exists() { text(&words) } else { String::new() };
    let missing = wishes.lines().find(|wish| !refusal.contains(wish))?.to_owned();
    Some(format!("is refused without saying {missing:?}: {refusal}"))
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.starts_with("# Warning")).unwrap_or_default()
}

fn difference(built: &str, expected: &str) -> Option<String> {
    if built == expected {
        return None;
    }
    let line = built.lines().zip(expected.lines()).take_while(|(ours, theirs)| ours == theirs).count();
    let from = |text: &str| text.lines().skip(line.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
    Some(format!("line {} differs\n--- kustomize\n{}\n--- here\n{}", line + 1, from(expected), from(built)))
}
