//! Any tree of files as a chart: it loads and renders or is refused, the same each time; and packed as an archive it is the same chart.

use std::collections::BTreeSet;

use hub_helm::{Chart, Request, template};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

use crate::template::{request, shown};
use crate::{archive, sections};

/// The directory that a chart's files are in within its archive.
const PREFIX: &str = "chart/";

pub(crate) fn check_input(input: &[u8]) {
    let files: Vec<(&str, &[u8])> = sections::split(input).into_iter().filter(|(name, _)| TreePath::parse(name).is_ok()).collect();
    let tree = tree(files.iter().copied());
    let request = request();
    check(&tree, &request);
    // An archive has no links and here no long names, and its maker has left out what .helmignore names, and hidden templates. Only in an
    // archive is something a file and a directory, or there twice: Helm reads the second Chart.yaml over the first.
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| *name).collect();
    let below_a_file = |name: &str| name.match_indices('/').any(|(at, _)| names.contains(&name[..at]));
    let is_long = |name: &str| PREFIX.len() + name.len() > archive::LONGEST_NAME;
    // Names that an archive spells otherwise, such as by backslashes, are the archive's own business.
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let is_plain = |name: &str| name.chars().all(is_letter) && TreePath::parse(name).is_ok_and(|path| path.as_str() == name);
    let is_hidden = |name: &str| name.split('/').any(|part| part.starts_with('.'));
    let is_odd = |name: &str| !is_plain(name) || is_hidden(name) || is_long(name) || below_a_file(name);
    if names.len() < files.len() || names.iter().any(|name| is_odd(name)) {
        return;
    }
    let packed = archive::packed(files.iter().map(|(name, content)| (format!("{PREFIX}{name}"), *content)));
    if let (Ok(loaded), Ok(unpacked)) = (load(&tree), Chart::from_archive(&packed)) {
        let (from_tree, from_archive) = (shown(template(&loaded, &request)), shown(template(&unpacked, &request)));
        assert_eq!(from_tree, from_archive, "from a tree, and from its archive");
    }
}

/// Loads and renders `tree` twice, and once more with what the first one has parsed.
pub(crate) fn check(tree: &MemoryTree, request: &Request) {
    let chart = match load(tree) {
        Ok(chart) => chart,
        Err(message) => {
            assert!(!message.is_empty(), "a refusal without words");
            assert_eq!(load(tree).err(), Some(message), "refused the second time");
            return;
        }
    };
    let first = template(&chart, request);
    if let Err(error) = &first {
        assert!(!error.to_string().is_empty(), "a refusal without words");
    }
    assert_eq!(template(&chart, request), first, "with what was parsed before");
    let again = load(tree).expect("it was loaded before");
    assert_eq!(template(&again, request), first, "loaded a second time");
}

fn load(tree: &MemoryTree) -> Result<Chart, String> {
    let reader = Reader::new(tree, Budget::RENDER);
    Chart::load(&reader, &TreePath::root()).map_err(|error| error.to_string())
}

/// A tree of these files; those with no valid path are left out.
pub(crate) fn tree<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for (name, content) in files {
        if let Ok(path) = TreePath::parse(name) {
            tree.insert(path, content);
        }
    }
    tree
}
