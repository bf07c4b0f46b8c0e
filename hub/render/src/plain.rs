//! Plain manifests: the YAML and JSON files of a directory in the order of their paths, read as `kubectl apply` reads them.

use hub_kustomize::Place;
use hub_tree::{EntryKind, Reader, TreePath};
use shared_manifest::{YamlBudget, YamlMode, expand_list, parse_yaml};

use crate::builds::Made;
use crate::problem::RenderProblem;

/// A comment line with this text keeps a file out, as in Argo CD.
const SKIP_MARK: &str = "+argocd:skip-file-rendering";

/// The objects of the files in `directory`, and with `recurse` of those below. Directories that are symlinks are not entered.
pub(crate) fn objects(reader: &Reader<'_>, directory: &TreePath, recurse: bool) -> Result<Vec<(Made, Place)>, RenderProblem> {
    let mut objects = Vec::new();
    for file in files(reader, directory, recurse)? {
        let Some(content) = reader.file(&file)? else { continue };
        let text = content.text().ok_or_else(|| RenderProblem::NotText { file: file.clone() })?;
        if is_skipped(text) {
            continue;
        }
        let documents = parse_yaml(text, YamlMode::Kubernetes, YamlBudget::MANIFEST);
        for document in documents.map_err(|error| RenderProblem::Yaml { file: file.clone(), error })? {
            for value in expand_list(document.value) {
                objects.push((Made::Value(value), Place { file: file.clone(), line: document.line }));
            }
            if objects.len() > crate::OBJECT_LIMIT {
                return Err(RenderProblem::TooManyObjects { found: objects.len(), limit: crate::OBJECT_LIMIT });
            }
        }
    }
    Ok(objects)
}

/// The manifest files, by path.
fn files(reader: &Reader<'_>, directory: &TreePath, recurse: bool) -> Result<Vec<TreePath>, RenderProblem> {
    let mut files = Vec::new();
    let mut directories = vec![directory.clone()];
    while let Some(directory) = directories.pop() {
        let (real, entries) = reader.list(&directory)?.ok_or(RenderProblem::NoDirectory { path: directory })?;
        for entry in entries {
            let path = real.child(&entry.name);
            match entry.kind {
                EntryKind::Directory if recurse => directories.push(path),
                EntryKind::File | EntryKind::Symlink if is_manifest(&entry.name) => files.push(path),
                EntryKind::Directory | EntryKind::File | EntryKind::Symlink | EntryKind::Submodule => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}

fn is_skipped(text: &str) -> bool {
    text.contains(SKIP_MARK) && text.lines().any(|line| line.trim_start().starts_with('#') && line.contains(SKIP_MARK))
}
