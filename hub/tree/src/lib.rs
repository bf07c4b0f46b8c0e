//! A source tree as the pure crates see it: a lazy, read-only tree of entries that answers *found*, *absent* or *unreadable*.
//! Who fetched it and from where is the business of `hub/source`; what is in the files that of `hub/fleet` and the render engines.

mod memory;
mod mount;
mod path;
mod read;

use std::fmt;
use std::sync::Arc;

pub use memory::MemoryTree;
pub use mount::{Mount, MountRefusal, MountedTree, Mounts, Offer, Repository};
pub use path::{InvalidPath, PATH_LIMIT, TreePath};
pub use read::{Budget, Observation, Observed, ReadError, ReadSet, Reader};

/// The identity of content within one source: a Git object id, or a digest for other sources. Equal ids mean equal content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(Arc<[u8]>);

impl ContentId {
    /// The id with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its target is the link's content.
    Symlink,
    /// A commit of another repository (Git submodule); its content is not here.
    Submodule,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last segment of its path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its content's identity.
    pub id: ContentId,
}

/// The answer of a tree. Unreadable is never absent: a caller that cannot know must not conclude that something is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// It is certainly not there.
    Absent,
    /// It could not be read; the reason is for people.
    Unreadable(String),
}

/// The content of a file or the target of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its identity.
    pub id: ContentId,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// A tree of one revision. Lookups are exact: no implementation follows a symlink, [`Reader`] does. The paths that it is asked for are its own:
/// what lies in a mounted tree is asked of that one.
pub trait SourceTree: Send + Sync {
    /// The entry at `path`. The root is a directory.
    fn entry(&self, path: &TreePath) -> Lookup<Entry>;

    /// The entries of the directory at `path`, sorted by name bytewise. Something that is no directory is absent.
    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>>;

    /// The bytes of the file, or the target of the symlink, at `path`. A directory or submodule is absent.
    /// `limit` is the most bytes that are wanted; a larger file is unreadable and is not loaded.
    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content>;

    /// The tree that is mounted beside it under this name.
    ///
    /// # Errors
    /// Why there is none.
    fn mount(&self, _mount: &Mount) -> Result<&dyn SourceTree, MountRefusal> {
        Err(MountRefusal::NotOffered)
    }
}
