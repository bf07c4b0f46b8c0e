//! A corpus in memory as a source tree that knows the identity of its content beforehand, as the tree of a Git revision does.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_tree::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};
use shared_model::Digest;

use crate::corpus::Corpus;

/// Files, symlinks and directories by path.
#[derive(Debug, Clone)]
pub struct Snapshot {
    items: BTreeMap<String, Item>,
}

#[derive(Debug, Clone)]
struct Item {
    entry: Entry,
    /// Of a file its content, of a symlink its target.
    bytes: Option<Arc<[u8]>>,
}

impl Snapshot {
    /// The tree of `corpus`.
    pub fn of(corpus: &Corpus) -> Self {
        let mut snapshot = Self { items: BTreeMap::new() };
        for (path, bytes) in &corpus.files {
            snapshot.put(path, EntryKind::File, bytes);
        }
        for (path, target) in &corpus.links {
            snapshot.put(path, EntryKind::Symlink, target.as_bytes());
        }
        snapshot.name_directories();
        snapshot
    }

    /// The tree after the file at `path` became `text`.
    #[must_use]
    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.put(path, EntryKind::File, text.as_bytes());
        self.name_directories();
        self
    }

    fn put(&mut self, path: &str, kind: EntryKind, bytes: &[u8]) {
        let id = ContentId::new(Digest::of(bytes).as_bytes());
        let entry = Entry { name: name(path).to_owned(), kind, id };
        self.items.insert(path.to_owned(), Item { entry, bytes: Some(bytes.into()) });
    }

    /// Each directory is named by the names and identities below it.
    fn name_directories(&mut self) {
        self.items.retain(|_, item| item.entry.kind != EntryKind::Directory);
        let mut listings: BTreeMap<String, Vec<u8>> = BTreeMap::from([(String::new(), Vec::new())]);
        for (path, item) in &self.items {
            let mut directory = path.as_str();
            while !directory.is_empty() {
                directory = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
                let listing = listings.entry(directory.to_owned()).or_default();
                listing.extend_from_slice(path.as_bytes());
                listing.extend_from_slice(item.entry.id.as_bytes());
            }
        }
        for (path, listing) in listings {
            let id = ContentId::new(Digest::of(&listing).as_bytes());
            let entry = Entry { name: name(&path).to_owned(), kind: EntryKind::Directory, id };
            self.items.insert(path, Item { entry, bytes: None });
        }
    }
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

impl SourceTree for Snapshot {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        self.items.get(path.as_str()).map_or(Lookup::Absent, |item| Lookup::Found(item.entry.clone()))
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        if self.items.get(path.as_str()).is_none_or(|item| item.entry.kind != EntryKind::Directory) {
            return Lookup::Absent;
        }
        let below = if path.is_root() { String::new() } else { format!("{path}/") };
        let inside = self.items.range(below.clone()..).take_while(|(path, _)| path.starts_with(&below));
        let children = inside.filter(|(path, _)| !path[below.len()..].is_empty() && !path[below.len()..].contains('/'));
        Lookup::Found(children.map(|(_, item)| item.entry.clone()).collect())
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        match self.items.get(path.as_str()) {
            Some(Item { bytes: Some(bytes), .. }) if bytes.len() as u64 > limit => {
                Lookup::Unreadable(format!("it is larger than the {limit} bytes allowed"))
            }
            Some(Item { entry, bytes: Some(bytes) }) => Lookup::Found(Content { id: entry.id.clone(), bytes: bytes.clone() }),
            _ => Lookup::Absent,
        }
    }
}
