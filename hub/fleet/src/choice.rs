//! Which directory an app takes on a cluster. Every look goes through the reader, so that names looked for and absent are remembered with
//! the render. What is in the directory is left to the render engines.

use hub_tree::{EntryKind, ReadError, Reader, TreePath};
use shared_model::{Reason, Severity};

use crate::problem::some_of;
use crate::resolve::Resolved;

/// The directory that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// The directory, as named; a reader follows symlinks on the way.
    pub path: TreePath,
    /// Its place in the list, from 0; later places are less special.
    pub index: usize,
    /// The directories before it, which are absent.
    pub skipped: Vec<TreePath>,
}

/// Why there is no directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// None of them is there.
    #[error("the source has none of the directories {}; make one, or correct source.path", some_of(tried))]
    NoneFound {
        /// What was looked for.
        tried: Vec<TreePath>,
    },
    /// One of them is a file.
    #[error("{path} is a file; source.path names the directory that it lies in")]
    NotADirectory {
        /// The file.
        path: TreePath,
    },
    /// Whether one is there cannot be told, so that none after it may be taken.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

impl From<&ChoiceError> for Reason {
    fn from(error: &ChoiceError) -> Self {
        let code = match error {
            ChoiceError::NoneFound { .. } => "PathNotFound",
            ChoiceError::NotADirectory { .. } => "PathNotADirectory",
            ChoiceError::Unreadable(_) => "Unreadable",
        };
        Self::new(Severity::Error, code, error.to_string())
    }
}

/// The first directory of `resolved` that is there, in the tree of its source.
///
/// # Errors
/// None is there, one is a file, or the tree cannot tell. What cannot be read is never passed over.
pub fn choose_path(resolved: &Resolved, reader: &Reader<'_>) -> Result<Choice, ChoiceError> {
    let mut skipped = Vec::new();
    for (index, path) in resolved.paths.iter().enumerate() {
        match reader.entry(path)? {
            None => skipped.push(path.clone()),
            Some((_, entry)) => match entry.kind {
                EntryKind::Directory => return Ok(Choice { path: path.clone(), index, skipped }),
                EntryKind::Submodule => return Err(ReadError::Submodule { path: path.clone() }.into()),
                // An archive of a chart.
                EntryKind::File if resolved.helm.is_some() => return Ok(Choice { path: path.clone(), index, skipped }),
                EntryKind::File | EntryKind::Symlink => return Err(ChoiceError::NotADirectory { path: path.clone() }),
            },
        }
    }
    Err(ChoiceError::NoneFound { tried: skipped })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_tree::{Budget, MemoryTree, Observation};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).expect("valid")
    }

    fn resolved(paths: &[&str]) -> Resolved {
        Resolved {
            app: "web".parse().expect("valid"),
            cluster: "gpu-a".parse().expect("valid"),
            namespace: None,
            service_account: None,
            vars: std::collections::BTreeMap::new(),
            kustomize: crate::KustomizeLayers::default(),
            post_build: None,
            source: None,
            paths: paths.iter().map(|p| path(p)).collect(),
            base: TreePath::root(),
            helm: None,
            first_of: true,
        }
    }

    #[test]
    fn the_first_that_is_there_is_taken_and_what_was_absent_is_remembered() {
        let tree = MemoryTree::of(&[("web/base/a.yaml", ""), ("web/overlays/eu/a.yaml", "")]);
        let reader = Reader::new(&tree, Budget::RENDER);
        let choice = choose_path(&resolved(&["web/overlays/gpu-a", "web/overlays/eu", "web/base"]), &reader).expect("chosen");
        assert_eq!((choice.index, choice.path.as_str()), (1, "web/overlays/eu"));
        let set = reader.into_read_set();
        let absent = (path("web/overlays/gpu-a"), Observation::Absent);
        assert!(set.iter().any(|(path, seen)| (path, seen) == (&absent.0, &absent.1)));
        let mut after = MemoryTree::of(&[("web/base/a.yaml", ""), ("web/overlays/eu/a.yaml", "")]);
        assert!(set.still_holds(&after));
        after.insert(path("web/overlays/gpu-a/a.yaml"), "".as_bytes());
        assert!(!set.still_holds(&after));
    }

    #[test]
    fn what_cannot_be_taken_is_not_passed_over() {
        let mut tree = MemoryTree::of(&[("web/base/a.yaml", ""), ("web/file", "")]);
        tree.insert_link(path("web/out"), "../../etc");
        let reader = Reader::new(&tree, Budget::RENDER);
        assert!(matches!(choose_path(&resolved(&["web/file", "web/base"]), &reader), Err(ChoiceError::NotADirectory { .. })));
        assert!(matches!(choose_path(&resolved(&["web/out", "web/base"]), &reader), Err(ChoiceError::Unreadable(_))));
        assert!(matches!(choose_path(&resolved(&["web/x", "web/y"]), &reader), Err(ChoiceError::NoneFound { tried }) if tried.len() == 2));
    }
}
