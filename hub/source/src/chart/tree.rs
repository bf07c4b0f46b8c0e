//! The tree of one version of a chart: its archive and nothing else, read from disk and verified each time.

use hub_tree::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};

use super::archive::file_name;
use super::spec::ChartName;
use super::store::Held;

/// One archive as a tree. The archive stays on disk as long as the tree is there.
pub(crate) struct ArchiveTree {
    name: String,
    held: Held,
}

impl ArchiveTree {
    pub(crate) fn new(chart: &ChartName, version: &str, held: Held) -> Self {
        Self { name: file_name(chart, version), held }
    }

    fn id(&self) -> ContentId {
        ContentId::new(self.held.digest().as_bytes())
    }

    fn archive(&self) -> Entry {
        Entry { name: self.name.clone(), kind: EntryKind::File, id: self.id() }
    }
}

impl SourceTree for ArchiveTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        if path.is_root() {
            return Lookup::Found(Entry { name: String::new(), kind: EntryKind::Directory, id: self.id() });
        }
        if path.as_str() == self.name { Lookup::Found(self.archive()) } else { Lookup::Absent }
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        if path.is_root() { Lookup::Found(vec![self.archive()]) } else { Lookup::Absent }
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        if path.as_str() != self.name {
            return Lookup::Absent;
        }
        if self.held.length() > limit {
            return Lookup::Unreadable(format!("{} has {} bytes, more than {limit}", self.name, self.held.length()));
        }
        match self.held.read() {
            Ok(bytes) => Lookup::Found(Content { id: self.id(), bytes: bytes.into() }),
            Err(reason) => Lookup::Unreadable(format!("{} cannot be read: {reason}", self.name)),
        }
    }
}
