//! A tree in memory, for offline rendering of what was already read and for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_model::Digest;

use crate::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};

/// Files and symlinks by path; directories follow from them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    leaves: BTreeMap<TreePath, (EntryKind, Arc<[u8]>)>,
}

impl MemoryTree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file at `path`, replacing what was there.
    pub fn insert(&mut self, path: TreePath, bytes: impl Into<Arc<[u8]>>) {
        self.leaves.insert(path, (EntryKind::File, bytes.into()));
    }

    /// Puts a symlink at `path`.
    pub fn insert_link(&mut self, path: TreePath, target: &str) {
        self.leaves.insert(path, (EntryKind::Symlink, target.as_bytes().into()));
    }

    /// Takes away the file or symlink at `path`.
    pub fn remove(&mut self, path: &TreePath) {
        self.leaves.remove(path);
    }

    /// A tree of `(path, text)`; paths must be valid.
    ///
    /// # Panics
    /// On an invalid path: this is for trees that are written in source code.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::new();
        for (path, text) in files {
            let path = TreePath::parse(path).unwrap_or_else(|error| panic!("{error}"));
            tree.insert(path, text.as_bytes());
        }
        tree
    }

    fn directory_id(&self, path: &TreePath) -> ContentId {
        let mut listing = Vec::new();
        for (leaf, (kind, bytes)) in self.leaves.iter().filter(|(leaf, _)| leaf.is_within(path)) {
            listing.extend_from_slice(format!("{leaf}\0{kind:?}\0{}\n", Digest::of(bytes)).as_bytes());
        }
        ContentId::new(Digest::of(&listing).as_bytes())
    }

    fn leaf_id(bytes: &[u8]) -> ContentId {
        ContentId::new(Digest::of(bytes).as_bytes())
    }
}

impl SourceTree for MemoryTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        if let Some((kind, bytes)) = self.leaves.get(path) {
            return Lookup::Found(Entry { name: path.name().to_owned(), kind: *kind, id: Self::leaf_id(bytes) });
        }
        if path.is_root() || self.leaves.keys().any(|leaf| leaf.is_within(path)) {
            let id = self.directory_id(path);
            return Lookup::Found(Entry { name: path.name().to_owned(), kind: EntryKind::Directory, id });
        }
        Lookup::Absent
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        match self.entry(path) {
            Lookup::Found(entry) if entry.kind == EntryKind::Directory => {}
            _ => return Lookup::Absent,
        }
        let depth = path.segments().count();
        let mut names: Vec<&str> =
            self.leaves.keys().filter(|leaf| leaf.is_within(path)).filter_map(|leaf| leaf.segments().nth(depth)).collect();
        names.sort_unstable();
        names.dedup();
        let entries = names.into_iter().filter_map(|name| match self.entry(&path.child(name)) {
            Lookup::Found(entry) => Some(entry),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        });
        Lookup::Found(entries.collect())
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        match self.leaves.get(path) {
            Some((_, bytes)) if bytes.len() as u64 > limit => {
                Lookup::Unreadable(format!("{} bytes are more than the {limit} allowed", bytes.len()))
            }
            Some((_, bytes)) => Lookup::Found(Content { id: Self::leaf_id(bytes), bytes: bytes.clone() }),
            None => Lookup::Absent,
        }
    }
}
