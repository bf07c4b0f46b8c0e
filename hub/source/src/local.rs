//! A small writer for repositories on this machine, which needs no git program. It is what the demo and the tests make their fleet
//! repositories with; the hub itself never writes to a source.

use std::path::{Path, PathBuf};

use gix::bstr::BStr;
use gix::objs::tree::EntryKind;
use hub_tree::TreePath;
use shared_model::Timestamp;

use crate::error::detail_of;
use crate::repository::{isolated, open_repository};
use crate::spec::Limits;

/// The branch that a local repository writes.
const BRANCH: &str = "refs/heads/main";

/// A repository on this machine of which the branch `main` is written.
#[derive(Debug, Clone)]
pub struct LocalRepository {
    path: PathBuf,
}

/// A local repository could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The path holds no repository, or none could be made there.
    #[error("{path} cannot be used as a repository: {detail}")]
    Unusable {
        /// The path.
        path: PathBuf,
        /// What failed.
        detail: String,
    },
    /// Not a path inside the tree.
    #[error("\"{path}\" is no file of a repository: {detail}")]
    Path {
        /// What was given.
        path: String,
        /// The rule that it breaks.
        detail: String,
    },
    /// A file to remove that is not there.
    #[error("{path} cannot be removed, because it is not there")]
    NothingToRemove {
        /// The file.
        path: String,
    },
    /// The commit could not be written, as when another one came first.
    #[error("the commit to {path} failed; if another writer came first, try again: {detail}")]
    Failed {
        /// The repository.
        path: PathBuf,
        /// What failed.
        detail: String,
    },
}

impl LocalRepository {
    /// Makes an empty bare repository, with its directory.
    pub fn init(path: &Path) -> Result<Self, WriteError> {
        let options = isolated(&Limits::DEFAULT);
        gix::ThreadSafeRepository::init_opts(path, gix::create::Kind::Bare, gix::create::Options::default(), options)
            .map_err(|error| WriteError::Unusable { path: path.to_owned(), detail: detail_of(&error) })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Takes a repository that is there, bare or with a work tree. A work tree is not touched.
    pub fn open(path: &Path) -> Result<Self, WriteError> {
        open_repository(path, &Limits::DEFAULT)
            .map_err(|error| WriteError::Unusable { path: path.to_owned(), detail: detail_of(&error) })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits changes to `main`: each path gets its bytes, or is removed. Gives the commit's id. `author` is both the name and, before
    /// `@localhost`, the address.
    pub fn commit(&self, changes: &[(&str, Option<&[u8]>)], message: &str, author: &str, time: Timestamp) -> Result<String, WriteError> {
        for (path, _) in changes {
            check(path)?;
        }
        self.write(changes, message, author, time).map_err(|failure| match failure {
            Problem::NothingToRemove(path) => WriteError::NothingToRemove { path },
            Problem::Git(error) => WriteError::Failed { path: self.path.clone(), detail: detail_of(&error) },
        })
    }

    fn write(&self, changes: &[(&str, Option<&[u8]>)], message: &str, author: &str, time: Timestamp) -> Result<String, Problem> {
        let repository = open_repository(&self.path, &Limits::DEFAULT)?.to_thread_local();
        let parent = match repository.try_find_reference(BRANCH)? {
            Some(mut branch) => Some(branch.peel_to_commit()?),
            None => None,
        };
        let tree = match &parent {
            Some(parent) => parent.tree_id()?.detach(),
            None => repository.empty_tree().id,
        };
        let mut editor = repository.edit_tree(tree)?;
        for (path, bytes) in changes {
            match bytes {
                Some(bytes) => {
                    let blob = repository.write_blob(bytes)?;
                    editor.upsert(*path, EntryKind::Blob, blob)?;
                }
                None if repository.find_tree(editor.write()?)?.lookup_entry_by_path(path)?.is_none() => {
                    return Err(Problem::NothingToRemove((*path).to_owned()));
                }
                None => {
                    editor.remove(*path)?;
                }
            }
        }
        let tree = editor.write()?.detach();
        let time = format!("{} +0000", time.as_second());
        let email = format!("{}@localhost", author.split_whitespace().next().unwrap_or("nobody").to_lowercase());
        let signature = gix::actor::SignatureRef { name: BStr::new(author), email: BStr::new(&email), time: &time };
        let parents = parent.iter().map(|parent| parent.id);
        Ok(repository.commit_as(signature, signature, BRANCH, message, tree, parents)?.detach().to_string())
    }
}

enum Problem {
    NothingToRemove(String),
    Git(gix::Error),
}

impl From<gix::Error> for Problem {
    fn from(error: gix::Error) -> Self {
        Self::Git(error)
    }
}

fn check(path: &str) -> Result<(), WriteError> {
    let wrong = |detail: String| WriteError::Path { path: path.chars().take(80).collect(), detail };
    let parsed = TreePath::parse(path).map_err(|error| wrong(error.to_string()))?;
    if parsed.is_root() || parsed.as_str() != path || parsed.segments().any(|segment| segment.eq_ignore_ascii_case(".git")) {
        return Err(wrong("write it relative to the root, without \".\", \"..\" or \".git\"".to_owned()));
    }
    Ok(())
}
