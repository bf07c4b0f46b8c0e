//! The tree of a commit, read from Git objects one by one as it is asked for; nothing is checked out. What is missing or damaged in the
//! object store is unreadable, never absent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::objs::Kind;
use gix::objs::tree::EntryKind as GitKind;
use hub_tree::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};

use crate::error::detail_of;
use crate::repository::commit_of;

/// The largest directory, in bytes of its object: 200,000 entries with names of about 50 bytes.
const DIRECTORY_BYTES: u64 = 16 << 20;

/// The most entries of directories that one source keeps decoded: at about 100 bytes each, 20 MB.
const CACHED_ENTRIES: usize = 200_000;

/// The most repository handles that one tree keeps for its readers; more are opened and dropped.
const HANDLES: usize = 8;

/// A tree of one commit.
pub(crate) struct GitTree {
    repository: gix::ThreadSafeRepository,
    root: ObjectId,
    handles: Mutex<Vec<gix::Repository>>,
    cache: Arc<TreeCache>,
}

/// One decoded directory, sorted by name bytewise.
struct Directory(Vec<GitEntry>);

struct GitEntry {
    name: String,
    kind: EntryKind,
    id: ObjectId,
    /// The name as Git has it is UTF-8; otherwise `name` only resembles it and what it names cannot be asked for.
    exact: bool,
}

impl Directory {
    fn get(&self, name: &str) -> Option<&GitEntry> {
        self.0.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok().map(|found| &self.0[found])
    }
}

/// Decoded directories by object id, shared by all revisions of a source: most directories are the same from commit to commit.
/// Two generations: what was not used since the younger one was last full is dropped.
#[derive(Default)]
pub(crate) struct TreeCache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<ObjectId, Arc<Directory>>,
    old: HashMap<ObjectId, Arc<Directory>>,
    young_entries: usize,
}

impl TreeCache {
    fn get(&self, id: &ObjectId) -> Option<Arc<Directory>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = generations.young.get(id) {
            return Some(directory.clone());
        }
        let directory = generations.old.remove(id)?;
        generations.put(*id, directory.clone());
        Some(directory)
    }

    fn put(&self, id: ObjectId, directory: Arc<Directory>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id, directory);
    }
}

impl Generations {
    fn put(&mut self, id: ObjectId, directory: Arc<Directory>) {
        if self.young_entries > CACHED_ENTRIES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_entries = 0;
        }
        self.young_entries += directory.0.len() + 1;
        self.young.insert(id, directory);
    }
}

/// What a path leads to.
enum Found {
    Root,
    Entry(Entry, ObjectId),
}

impl GitTree {
    /// The tree of `commit`.
    pub(crate) fn open(repository: gix::ThreadSafeRepository, commit: ObjectId, cache: Arc<TreeCache>) -> gix::Result<Self> {
        let handle = repository.to_thread_local();
        let commit = commit_of(&handle, commit)?;
        let root = handle.find_commit(commit)?.tree_id()?.detach();
        Ok(Self { repository, root, handles: Mutex::new(vec![handle]), cache })
    }

    fn with_handle<T>(&self, read: impl FnOnce(&gix::Repository) -> T) -> T {
        let handles = || self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = handles().pop();
        let handle = idle.unwrap_or_else(|| self.repository.to_thread_local());
        let result = read(&handle);
        let mut handles = handles();
        if handles.len() < HANDLES {
            handles.push(handle);
        }
        result
    }

    /// The bytes of an object of this kind, if it is there, whole, and not larger than `limit`. The size is known before it is loaded.
    fn object(&self, id: ObjectId, kind: Kind, limit: u64) -> Result<Vec<u8>, String> {
        self.with_handle(|repository| {
            let header = repository.try_find_header(id).map_err(|error| format!("object {id} is damaged: {}", detail_of(&error)))?;
            let header = header.ok_or_else(|| format!("object {id} is missing from the repository"))?;
            if header.kind() != kind {
                return Err(format!("object {id} is a {} and should be a {kind}", header.kind()));
            }
            if header.size() > limit {
                return Err(format!("{} bytes are more than the {limit} allowed", header.size()));
            }
            let object = repository.find_object(id).map_err(|error| format!("object {id} is damaged: {}", detail_of(&error)))?;
            Ok(object.detach().data)
        })
    }

    fn directory(&self, id: ObjectId) -> Result<Arc<Directory>, String> {
        if let Some(directory) = self.cache.get(&id) {
            return Ok(directory);
        }
        let directory = Arc::new(decode(&self.object(id, Kind::Tree, DIRECTORY_BYTES)?, id)?);
        self.cache.put(id, directory.clone());
        Ok(directory)
    }

    fn find(&self, path: &TreePath) -> Result<Option<Found>, String> {
        let mut found = Found::Root;
        let mut here = Some(self.root);
        for segment in path.segments() {
            let Some(id) = here else { return Ok(None) };
            let directory = self.directory(id)?;
            let Some(entry) = directory.get(segment) else { return Ok(None) };
            if !entry.exact {
                return Err(format!("the name \"{segment}\" is not UTF-8 in the repository; rename it"));
            }
            here = (entry.kind == EntryKind::Directory).then_some(entry.id);
            found = Found::Entry(visible(entry), entry.id);
        }
        Ok(Some(found))
    }
}

impl SourceTree for GitTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        answer(self.find(path).map(|found| {
            found.map(|found| match found {
                Found::Root => Entry { name: String::new(), kind: EntryKind::Directory, id: ContentId::new(self.root.as_bytes()) },
                Found::Entry(entry, _) => entry,
            })
        }))
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        let id = match self.find(path) {
            Ok(Some(Found::Root)) => self.root,
            Ok(Some(Found::Entry(entry, id))) if entry.kind == EntryKind::Directory => id,
            Ok(_) => return Lookup::Absent,
            Err(reason) => return Lookup::Unreadable(reason),
        };
        answer(self.directory(id).map(|directory| Some(directory.0.iter().map(visible).collect())))
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        match self.find(path) {
            Ok(Some(Found::Entry(entry, id))) if matches!(entry.kind, EntryKind::File | EntryKind::Symlink) => {
                answer(self.object(id, Kind::Blob, limit).map(|bytes| Some(Content { id: entry.id, bytes: bytes.into() })))
            }
            Ok(_) => Lookup::Absent,
            Err(reason) => Lookup::Unreadable(reason),
        }
    }
}

fn answer<T>(found: Result<Option<T>, String>) -> Lookup<T> {
    match found {
        Ok(Some(found)) => Lookup::Found(found),
        Ok(None) => Lookup::Absent,
        Err(reason) => Lookup::Unreadable(reason),
    }
}

fn visible(entry: &GitEntry) -> Entry {
    Entry { name: entry.name.clone(), kind: entry.kind, id: ContentId::new(entry.id.as_bytes()) }
}

/// Decodes a directory. One with names that no path can hold, or the same name twice, was not made by Git and is unreadable as a whole:
/// it could make one path mean two things.
fn decode(bytes: &[u8], id: ObjectId) -> Result<Directory, String> {
    let mut entries = Vec::new();
    for entry in gix::objs::TreeRefIter::from_bytes(bytes, id.kind()) {
        let entry = entry.map_err(|error| format!("the directory {id} is damaged: {error}"))?;
        let name = entry.filename.to_str_lossy();
        if matches!(&*name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(format!("the directory {id} holds the name {name:?}, which no file can have"));
        }
        let kind = match entry.mode.kind() {
            GitKind::Tree => EntryKind::Directory,
            GitKind::Blob | GitKind::BlobExecutable => EntryKind::File,
            GitKind::Link => EntryKind::Symlink,
            GitKind::Commit => EntryKind::Submodule,
        };
        let exact = entry.filename.to_str().is_ok();
        entries.push(GitEntry { name: name.into_owned(), kind, id: entry.oid.to_owned(), exact });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        if pair.iter().all(|entry| entry.exact) {
            return Err(format!("the directory {id} holds {:?} twice", pair[0].name));
        }
        // Two names that only look alike: neither can be asked for.
        let mut alike: Vec<GitEntry> = Vec::with_capacity(entries.len());
        for entry in entries {
            match alike.last_mut() {
                Some(last) if last.name == entry.name => last.exact = false,
                _ => alike.push(entry),
            }
        }
        entries = alike;
    }
    Ok(Directory(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (mode, name) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(&[7; 20]);
        }
        bytes
    }

    fn decoded(entries: &[(&str, &[u8])]) -> Result<Vec<(String, EntryKind, bool)>, String> {
        let id = ObjectId::null(gix::hash::Kind::Sha1);
        decode(&raw(entries), id).map(|directory| directory.0.into_iter().map(|e| (e.name, e.kind, e.exact)).collect())
    }

    #[test]
    fn each_kind_of_entry_is_seen_as_what_it_is() {
        let entries = decoded(&[("100644", b"a.yaml"), ("100755", b"b.sh"), ("120000", b"c"), ("160000", b"d"), ("40000", b"e")]);
        let kinds = [EntryKind::File, EntryKind::File, EntryKind::Symlink, EntryKind::Submodule, EntryKind::Directory];
        let names = ["a.yaml", "b.sh", "c", "d", "e"];
        let wanted = names.iter().zip(kinds).map(|(name, kind)| ((*name).to_owned(), kind, true)).collect();
        assert_eq!(entries, Ok(wanted));
    }

    #[test]
    fn a_directory_that_git_would_not_make_is_unreadable() {
        for names in [&["..", "a"][..], &["."], &[".git/../x"], &["a/b"], &["a", "a"]] {
            let entries: Vec<(&str, &[u8])> = names.iter().map(|name| ("100644", name.as_bytes())).collect();
            assert!(decoded(&entries).is_err(), "{names:?}");
        }
        assert!(decode(b"100644 a", ObjectId::null(gix::hash::Kind::Sha1)).is_err());
    }

    #[test]
    fn the_cache_keeps_what_is_used_and_is_bounded() {
        let cache = TreeCache::default();
        let id = |n: u32| ObjectId::from_hex(format!("{n:040x}").as_bytes()).expect("hex");
        let entry = || GitEntry { name: String::new(), kind: EntryKind::File, id: id(0), exact: true };
        let directory = Arc::new(Directory((0..10_000).map(|_| entry()).collect()));
        for n in 1..=100 {
            cache.put(id(n), directory.clone());
            assert!(cache.get(&id(1)).is_some(), "the root of each revision is used all the time");
        }
        let kept = (1..=100).filter(|n| cache.get(&id(*n)).is_some()).count();
        assert!((10..=25).contains(&kept), "{kept} directories of 10,000 entries");
    }

    #[test]
    fn a_name_that_is_not_utf8_is_listed_and_marked() {
        let entries = decoded(&[("100644", b"caf\xe9"), ("100644", b"caf\xe8"), ("100644", b"tea")]).expect("decoded");
        assert_eq!(entries, [("caf\u{fffd}".to_owned(), EntryKind::File, false), ("tea".to_owned(), EntryKind::File, true)]);
    }
}
