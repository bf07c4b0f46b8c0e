//! A tree in memory, for offline rendering of what was already read and for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared_model::Digest;

use crate::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};

/// Files and symlinks by path; directories follow from them.
#[derive(Debug, Default)]
pub struct MemoryTree {
    leaves: BTreeMap<TreePath, Leaf>,
    /// The ids of directories that were asked for since the last change: each covers everything below it.
    directories: Mutex<BTreeMap<TreePath, ContentId>>,
}

#[derive(Debug, Clone)]
struct Leaf {
    kind: EntryKind,
    bytes: Arc<[u8]>,
    id: ContentId,
}

impl Clone for MemoryTree {
    fn clone(&self) -> Self {
        Self { leaves: self.leaves.clone(), directories: Mutex::default() }
    }
}

impl MemoryTree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file at `path`, replacing what was there.
    pub fn insert(&mut self, path: TreePath, bytes: impl Into<Arc<[u8]>>) {
        self.put(path, EntryKind::File, bytes.into());
    }

    /// Puts a symlink at `path`.
    pub fn insert_link(&mut self, path: TreePath, target: &str) {
        self.put(path, EntryKind::Symlink, target.as_bytes().into());
    }

    /// Takes away the file or symlink at `path`.
    pub fn remove(&mut self, path: &TreePath) {
        self.leaves.remove(path);
        self.directories = Mutex::default();
    }

    fn put(&mut self, path: TreePath, kind: EntryKind, bytes: Arc<[u8]>) {
        let id = ContentId::new(Digest::of(&bytes).as_bytes());
        self.leaves.insert(path, Leaf { kind, bytes, id });
        self.directories = Mutex::default();
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

    /// What lies below a directory.
    fn below(&self, path: &TreePath) -> impl Iterator<Item = (&TreePath, &Leaf)> {
        let first = if path.is_root() { TreePath::root() } else { path.child("") };
        self.leaves.range(first..).take_while(move |(leaf, _)| leaf.is_within(path))
    }

    fn directory_id(&self, path: &TreePath) -> ContentId {
        let mut known = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known.get(path) {
            return id.clone();
        }
        let mut listing = Vec::new();
        for (leaf, Leaf { kind, id, .. }) in self.below(path) {
            listing.extend_from_slice(format!("{leaf}\0{kind:?}\0{id}\n").as_bytes());
        }
        let id = ContentId::new(Digest::of(&listing).as_bytes());
        known.insert(path.clone(), id.clone());
        id
    }
}

impl SourceTree for MemoryTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        let name = path.name().to_owned();
        if let Some(Leaf { kind, id, .. }) = self.leaves.get(path) {
            return Lookup::Found(Entry { name, kind: *kind, id: id.clone() });
        }
        if path.is_root() || self.below(path).next().is_some() {
            return Lookup::Found(Entry { name, kind: EntryKind::Directory, id: self.directory_id(path) });
        }
        Lookup::Absent
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        match self.entry(path) {
            Lookup::Found(entry) if entry.kind == EntryKind::Directory => {}
            _ => return Lookup::Absent,
        }
        let depth = path.segments().count();
        let mut names: Vec<&str> = self.below(path).filter_map(|(leaf, _)| leaf.segments().nth(depth)).collect();
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
            Some(Leaf { bytes, .. }) if bytes.len() as u64 > limit => {
                Lookup::Unreadable(format!("{} bytes are more than the {limit} allowed", bytes.len()))
            }
            Some(Leaf { bytes, id, .. }) => Lookup::Found(Content { id: id.clone(), bytes: bytes.clone() }),
            None => Lookup::Absent,
        }
    }
}
