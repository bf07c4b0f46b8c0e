//! Capstan's side: reads a tree, builds a directory, prints it as `kustomize build` does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use hub_kustomize::{BuildOptions, Built, Files};
use hub_source::FilesystemTree;
use hub_tree::{Budget, Lookup, Observation, Reader, SourceTree, TreePath};

/// The files below `root` as `capstan` reads them. It looks at each once: what shall look anew makes another.
pub(super) fn directory(root: &Path) -> anyhow::Result<FilesystemTree> {
    FilesystemTree::of_working_directory(root).with_context(|| format!("cannot read {}", root.display()))
}

/// The text that `kustomize build` prints for `dir`, with parsed files shared through `files` if there are any.
///
/// # Errors
/// The kustomization is refused.
pub(super) fn build(tree: &dyn SourceTree, dir: &str, files: Option<&Files>) -> anyhow::Result<String> {
    Ok(built(tree, dir, files)?.to_yaml())
}

/// As [`build`], not printed.
pub(super) fn built(tree: &dyn SourceTree, dir: &str, files: Option<&Files>) -> anyhow::Result<Built> {
    let reader = Reader::new(tree, Budget::RENDER);
    build_with(&reader, dir, files)
}

fn build_with(reader: &Reader<'_>, dir: &str, files: Option<&Files>) -> anyhow::Result<Built> {
    let path = TreePath::parse(dir)?;
    let options = BuildOptions { files, ..BuildOptions::default() };
    hub_kustomize::build(reader, &path, &options).with_context(|| format!("{dir} is refused"))
}

/// As [`build`], with the files that were read: all that another tool needs to build the same. Of what is refused they come as well. `None`
/// stands for them if one of them is no text.
pub(super) fn build_with_files_read(tree: &dyn SourceTree, dir: &str) -> (anyhow::Result<String>, Option<BTreeMap<String, String>>) {
    let reader = Reader::new(tree, Budget::RENDER);
    let text = build_with(&reader, dir, None).map(|built| built.to_yaml());
    let read = reader.into_read_set();
    let contents = read.iter().filter(|(_, observation)| matches!(observation, Observation::Content(_)));
    let files = contents.filter_map(|(path, _)| match tree.content(path, Budget::RENDER.file_bytes) {
        Lookup::Found(content) => Some(std::str::from_utf8(&content.bytes).ok().map(|text| (path.to_string(), text.to_owned()))),
        _ => None,
    });
    (text, files.collect())
}
