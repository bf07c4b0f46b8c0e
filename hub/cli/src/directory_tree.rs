//! A directory on disk as a source tree, for rendering before anything is committed. It shows what Git would: no `.git`, nothing but files,
//! directories and symlinks, and a repository inside as a submodule. It reads files that Git ignores or does not know yet, too, and leaves
//! `.sourceignore` to the hub (see [`DirectoryTree::has_ignore_files`]).

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hub_tree::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};
use shared_model::Digest;

/// The file whose rules only the hub applies.
const IGNORE_FILE: &str = ".sourceignore";

/// How deep directories are looked into for their identity: a path of 4,096 bytes has no more.
const DEPTH_LIMIT: usize = 2_048;

/// A directory as a tree. The identity of a directory is found out once: what changes below it afterwards is not noticed.
#[derive(Debug)]
pub struct DirectoryTree {
    root: PathBuf,
    directory_ids: Mutex<BTreeMap<TreePath, ContentId>>,
    has_ignore_files: AtomicBool,
}

/// The path leads to no directory that can be read.
#[derive(Debug)]
pub struct NotADirectory {
    /// The path as given.
    pub path: PathBuf,
    /// What the system says; `None` if something else lies there.
    pub error: Option<io::Error>,
}

impl DirectoryTree {
    /// The tree below `path`.
    ///
    /// # Errors
    /// If no directory is there.
    pub fn open(path: &Path) -> Result<Self, NotADirectory> {
        let refused = |error| NotADirectory { path: path.to_owned(), error };
        let root = fs::canonicalize(path).map_err(|error| refused(Some(error)))?;
        if !root.is_dir() {
            return Err(refused(None));
        }
        Ok(Self { root, directory_ids: Mutex::default(), has_ignore_files: AtomicBool::new(false) })
    }

    /// Whether a directory that was listed has a `.sourceignore`, so that the hub may see less than this tree.
    pub fn has_ignore_files(&self) -> bool {
        self.has_ignore_files.load(Ordering::Relaxed)
    }

    /// What lies at `path`, if every directory on the way is one and not a link to one.
    fn look(&self, path: &TreePath) -> io::Result<Option<(PathBuf, Metadata, EntryKind)>> {
        let mut place = self.root.clone();
        let mut metadata = fs::symlink_metadata(&place)?;
        let mut kind = EntryKind::Directory;
        for segment in path.segments() {
            if kind != EntryKind::Directory || segment == ".git" {
                return Ok(None);
            }
            place.push(segment);
            metadata = match fs::symlink_metadata(&place) {
                Ok(metadata) => metadata,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
                Err(error) => return Err(error),
            };
            kind = match kind_of(&place, &metadata) {
                Some(kind) => kind,
                None => return Ok(None),
            };
        }
        Ok(Some((place, metadata, kind)))
    }

    fn id(&self, path: &TreePath, place: &Path, metadata: &Metadata, kind: EntryKind, depth: usize) -> io::Result<ContentId> {
        if kind != EntryKind::Directory {
            return Ok(stamp(metadata));
        }
        let known = self.directory_ids.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some(id) = known {
            return Ok(id);
        }
        let mut listing = Vec::new();
        for (name, metadata, kind) in self.children(place, depth)? {
            let id = self.id(&path.child(&name), &place.join(&name), &metadata, kind, depth + 1)?;
            listing.extend_from_slice(format!("{name}\0{kind:?}\0{id}\n").as_bytes());
        }
        let id = ContentId::new(Digest::of(&listing).as_bytes());
        self.directory_ids.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), id.clone());
        Ok(id)
    }

    /// What a directory holds as Git sees it, sorted by name.
    fn children(&self, place: &Path, depth: usize) -> io::Result<Vec<(String, Metadata, EntryKind)>> {
        if depth > DEPTH_LIMIT {
            return Err(io::Error::other(format!("directories lie more than {DEPTH_LIMIT} deep inside of each other")));
        }
        let mut children = Vec::new();
        for entry in fs::read_dir(place)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(io::Error::other(format!("the name {:?} is not UTF-8", entry.file_name())));
            };
            let metadata = entry.metadata()?;
            if name != ".git"
                && let Some(kind) = kind_of(&entry.path(), &metadata)
            {
                children.push((name, metadata, kind));
            }
        }
        children.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        Ok(children)
    }

    fn entry_of(&self, path: &TreePath) -> io::Result<Option<Entry>> {
        let Some((place, metadata, kind)) = self.look(path)? else { return Ok(None) };
        let id = self.id(path, &place, &metadata, kind, 0)?;
        Ok(Some(Entry { name: path.name().to_owned(), kind, id }))
    }

    fn list_of(&self, path: &TreePath) -> io::Result<Option<Vec<Entry>>> {
        let Some((place, _, EntryKind::Directory)) = self.look(path)? else { return Ok(None) };
        let mut entries = Vec::new();
        for (name, metadata, kind) in self.children(&place, 0)? {
            if name == IGNORE_FILE {
                self.has_ignore_files.store(true, Ordering::Relaxed);
            }
            let id = self.id(&path.child(&name), &place.join(&name), &metadata, kind, 0)?;
            entries.push(Entry { name, kind, id });
        }
        Ok(Some(entries))
    }

    fn content_of(&self, path: &TreePath, limit: u64) -> io::Result<Option<Content>> {
        let Some((place, metadata, kind)) = self.look(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        match kind {
            EntryKind::File => File::open(&place)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map(|_| ())?,
            EntryKind::Symlink => bytes = fs::read_link(&place)?.into_os_string().into_encoded_bytes(),
            EntryKind::Directory | EntryKind::Submodule => return Ok(None),
        }
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("it is larger than the {limit} bytes allowed")));
        }
        Ok(Some(Content { id: stamp(&metadata), bytes: bytes.into() }))
    }
}

/// What Git would make of it; `None` for sockets, devices and the like.
fn kind_of(place: &Path, metadata: &Metadata) -> Option<EntryKind> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        Some(EntryKind::Symlink)
    } else if kind.is_file() {
        Some(EntryKind::File)
    } else if kind.is_dir() {
        Some(if fs::symlink_metadata(place.join(".git")).is_ok() { EntryKind::Submodule } else { EntryKind::Directory })
    } else {
        None
    }
}

/// The identity of a file as far as one look at the disk tells: as Git's own index, it takes an unchanged file for the same content.
fn stamp(metadata: &Metadata) -> ContentId {
    let numbers = [metadata.dev(), metadata.ino(), metadata.len()].map(u64::to_be_bytes);
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()].map(i64::to_be_bytes);
    ContentId::new(&[numbers.as_flattened(), times.as_flattened()].concat())
}

fn lookup<T>(outcome: io::Result<Option<T>>) -> Lookup<T> {
    match outcome {
        Ok(Some(found)) => Lookup::Found(found),
        Ok(None) => Lookup::Absent,
        Err(error) => Lookup::Unreadable(error.to_string()),
    }
}

impl SourceTree for DirectoryTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        lookup(self.entry_of(path))
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        lookup(self.list_of(path))
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        lookup(self.content_of(path, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    /// `a/file`, `a/link -> file`, `linked -> a`, `sub/.git`, `.git/config`.
    fn example() -> (tempfile::TempDir, DirectoryTree) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for inner in ["a", "sub", ".git"] {
            fs::create_dir(root.join(inner)).unwrap();
        }
        for file in ["a/file", "sub/.git", "sub/content", ".git/config"] {
            fs::write(root.join(file), "text").unwrap();
        }
        std::os::unix::fs::symlink("file", root.join("a/link")).unwrap();
        std::os::unix::fs::symlink("a", root.join("linked")).unwrap();
        let tree = DirectoryTree::open(root).unwrap();
        (directory, tree)
    }

    fn listed(tree: &DirectoryTree, at: &str) -> Vec<(String, EntryKind)> {
        match tree.list(&path(at)) {
            Lookup::Found(entries) => entries.into_iter().map(|entry| (entry.name, entry.kind)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_looks_as_git_would_show_it() {
        let (_directory, tree) = example();
        let root = [("a", EntryKind::Directory), ("linked", EntryKind::Symlink), ("sub", EntryKind::Submodule)];
        assert_eq!(listed(&tree, ""), root.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!(listed(&tree, "a"), [("file".to_owned(), EntryKind::File), ("link".to_owned(), EntryKind::Symlink)]);
        let text = |at| match tree.content(&path(at), 100) {
            Lookup::Found(content) => String::from_utf8(content.bytes.to_vec()).ok(),
            _ => None,
        };
        assert_eq!([text("a/file"), text("a/link"), text("linked")], [Some("text".into()), Some("file".into()), Some("a".into())]);
    }

    #[test]
    fn no_lookup_follows_a_link_or_enters_what_git_would_not() {
        let (_directory, tree) = example();
        for hidden in ["linked/file", "sub/content", ".git", ".git/config", "a/file/x", "nothing"] {
            assert_eq!(tree.entry(&path(hidden)), Lookup::Absent, "{hidden}");
            assert_eq!(tree.content(&path(hidden), 100), Lookup::Absent, "{hidden}");
        }
        assert_eq!(tree.list(&path("linked")), Lookup::Absent);
    }

    #[test]
    fn a_file_over_the_limit_and_a_name_that_is_no_text_are_unreadable_and_not_absent() {
        use std::os::unix::ffi::OsStrExt;
        let (directory, tree) = example();
        assert!(matches!(tree.content(&path("a/file"), 3), Lookup::Unreadable(why) if why.contains("3 bytes")));
        assert!(matches!(tree.content(&path("a/file"), 4), Lookup::Found(_)));
        fs::write(directory.path().join(std::ffi::OsStr::from_bytes(b"a/\xff")), "").unwrap();
        assert!(matches!(tree.list(&path("a")), Lookup::Unreadable(why) if why.contains("UTF-8")));
    }

    #[test]
    fn the_identity_of_a_directory_covers_what_is_below() {
        let (directory, before) = example();
        let id = |tree: &DirectoryTree| match tree.entry(&TreePath::root()) {
            Lookup::Found(entry) => entry.id,
            other => panic!("{other:?}"),
        };
        let again = DirectoryTree::open(directory.path()).unwrap();
        assert_eq!(id(&before), id(&again));
        fs::write(directory.path().join("a/file"), "other text").unwrap();
        let after = DirectoryTree::open(directory.path()).unwrap();
        assert_ne!(id(&before), id(&after));
    }

    #[test]
    fn only_a_directory_is_a_tree() {
        let (directory, _tree) = example();
        assert!(DirectoryTree::open(&directory.path().join("a/file")).is_err());
        assert!(DirectoryTree::open(&directory.path().join("nothing")).unwrap_err().error.is_some());
    }
}
