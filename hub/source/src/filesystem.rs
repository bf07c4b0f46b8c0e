//! The files of this machine as a source tree: all of them, for building a kustomization where it lies, or a working directory as Git would
//! show it, for rendering before anything is committed. What is in the files is left to the pure crates; what was committed to the mirrors,
//! which read no directories at all.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hub_tree::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};

use crate::ignore;

/// What Git keeps for itself.
const GIT: &str = ".git";

/// Files of this machine. Each path is looked at once and each directory listed once in the life of the tree; only content is read again. So
/// make one for each build, or for all that shall see the same.
///
/// The id of a file or symlink is what the system says of it without opening it (device, inode, length, time of change), as Git's index takes
/// it: one that changed has another. What lies below a directory is not looked at before somebody asks, so that its id can say nothing of it:
/// it is equal to no other id, not even that of the same directory in another tree. A read set with a listing holds for this tree alone.
#[derive(Debug)]
pub struct FilesystemTree {
    root: PathBuf,
    view: View,
    memory: Mutex<Memory>,
}

/// What of the files is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// All that lies there. The root is that of the machine, from which absolute symlinks lead.
    Machine,
    /// What Git would show: no `.git`, nothing but files, directories and symlinks, and a repository inside as a submodule.
    WorkingDirectory,
}

/// What was learned so far.
#[derive(Debug)]
struct Memory {
    seen: HashMap<TreePath, Seen>,
    listings: HashMap<TreePath, Result<Vec<Entry>, String>>,
}

/// What lies at a path.
#[derive(Debug, Clone)]
enum Seen {
    Entry(Entry),
    Nothing,
    /// Something that has no content with an end, by its name.
    Special(&'static str),
    Unreadable(String),
}

impl FilesystemTree {
    /// All files of this machine; paths begin at `/`. Nothing is read yet.
    pub fn of_machine() -> Self {
        Self::new(PathBuf::from("/"), View::Machine)
    }

    /// The files below `path` as Git would show them, also those that it ignores or does not know yet. `.sourceignore` has no effect (see
    /// [`FilesystemTree::has_ignore_files`]).
    ///
    /// # Errors
    /// If no directory is there.
    pub fn of_working_directory(path: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(path)?;
        if !root.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self::new(root, View::WorkingDirectory))
    }

    fn new(root: PathBuf, view: View) -> Self {
        let entry = Entry { name: String::new(), kind: EntryKind::Directory, id: unlike_any_other() };
        let seen = HashMap::from([(TreePath::root(), Seen::Entry(entry))]);
        Self { root, view, memory: Mutex::new(Memory { seen, listings: HashMap::new() }) }
    }

    /// Whether a directory that was seen has a `.sourceignore`, so that the hub may see less than this tree.
    pub fn has_ignore_files(&self) -> bool {
        let mut memory = self.memory();
        let is_directory = |seen: &Seen| matches!(seen, Seen::Entry(entry) if entry.kind == EntryKind::Directory);
        let directories: Vec<TreePath> = memory.seen.iter().filter(|(_, seen)| is_directory(seen)).map(|(path, _)| path.clone()).collect();
        directories.iter().any(|directory| {
            let file = self.find(&mut memory, &directory.child(ignore::FILE));
            matches!(file, Seen::Entry(entry) if entry.kind == EntryKind::File)
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `path` is on this machine.
    fn place(&self, path: &TreePath) -> PathBuf {
        self.root.join(path.as_str())
    }

    /// What lies at `path`, if every directory on the way is one and not a link to one.
    fn find(&self, memory: &mut Memory, path: &TreePath) -> Seen {
        if let Some(known) = memory.seen.get(path) {
            return known.clone();
        }
        let mut unknown = vec![path.clone()];
        let mut found = Seen::Nothing;
        while let Some(above) = unknown.last().and_then(TreePath::parent) {
            match memory.seen.get(&above) {
                Some(known) => {
                    found = known.clone();
                    break;
                }
                None => unknown.push(above),
            }
        }
        for path in unknown.into_iter().rev() {
            found = match found {
                Seen::Entry(above) if above.kind == EntryKind::Directory => self.look(&path),
                Seen::Unreadable(reason) => Seen::Unreadable(reason),
                Seen::Entry(_) | Seen::Nothing | Seen::Special(_) => Seen::Nothing,
            };
            memory.seen.insert(path, found.clone());
        }
        found
    }

    /// What the system says of `path`, which lies in a directory.
    fn look(&self, path: &TreePath) -> Seen {
        if self.view == View::WorkingDirectory && path.name() == GIT {
            return Seen::Nothing;
        }
        let place = self.place(path);
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if is_absence(&error) => return Seen::Nothing,
            Err(error) => return Seen::Unreadable(error.to_string()),
        };
        let kind = match (kind_of(&metadata), self.view) {
            (Ok(EntryKind::Directory), View::WorkingDirectory) if fs::symlink_metadata(place.join(GIT)).is_ok() => EntryKind::Submodule,
            (Ok(kind), _) => kind,
            (Err(special), View::Machine) => return Seen::Special(special),
            (Err(_), View::WorkingDirectory) => return Seen::Nothing,
        };
        let id = match kind {
            EntryKind::File | EntryKind::Symlink => stamp(&metadata),
            EntryKind::Directory | EntryKind::Submodule => unlike_any_other(),
        };
        Seen::Entry(Entry { name: path.name().to_owned(), kind, id })
    }

    fn read_directory(&self, memory: &mut Memory, path: &TreePath) -> io::Result<Vec<Entry>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.place(path))? {
            let name = entry?.file_name();
            names.push(name.into_string().map_err(|name| io::Error::other(format!("the name {name:?} in it is not UTF-8")))?);
        }
        names.sort();
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            match self.find(memory, &path.child(&name)) {
                Seen::Entry(entry) => entries.push(entry),
                Seen::Nothing | Seen::Special(_) => {}
                Seen::Unreadable(reason) => return Err(io::Error::other(format!("{name} in it: {reason}"))),
            }
        }
        Ok(entries)
    }

    /// The target of the symlink at `path`, relative to where it lies: `/` is the root of the machine and not outside of it.
    fn read_link(&self, path: &TreePath) -> io::Result<Arc<[u8]>> {
        let target = fs::read_link(self.place(path))?.into_os_string().into_encoded_bytes();
        match target.strip_prefix(b"/") {
            Some(absolute) if self.view == View::Machine => {
                let up = "../".repeat(path.segments().count().saturating_sub(1));
                Ok([up.as_bytes(), absolute].concat().into())
            }
            _ => Ok(target.into()),
        }
    }
}

impl SourceTree for FilesystemTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        self.find(&mut self.memory(), path).into()
    }

    /// What is neither file, directory nor link is left out.
    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        let mut memory = self.memory();
        match Lookup::from(self.find(&mut memory, path)) {
            Lookup::Found(entry) if entry.kind == EntryKind::Directory => {}
            Lookup::Found(_) | Lookup::Absent => return Lookup::Absent,
            Lookup::Unreadable(reason) => return Lookup::Unreadable(reason),
        }
        let known = memory.listings.get(path).cloned();
        let listing = known.unwrap_or_else(|| {
            let listing = self.read_directory(&mut memory, path).map_err(|error| error.to_string());
            memory.listings.insert(path.clone(), listing.clone());
            listing
        });
        match listing {
            Ok(entries) => Lookup::Found(entries),
            Err(reason) => Lookup::Unreadable(reason),
        }
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        let entry = match self.entry(path) {
            Lookup::Found(entry) => entry,
            Lookup::Absent => return Lookup::Absent,
            Lookup::Unreadable(reason) => return Lookup::Unreadable(reason),
        };
        let bytes = match entry.kind {
            EntryKind::File => read_file(&self.place(path), &entry.id, limit),
            EntryKind::Symlink => self.read_link(path),
            EntryKind::Directory | EntryKind::Submodule => return Lookup::Absent,
        };
        match bytes {
            Ok(bytes) if bytes.len() as u64 > limit => Lookup::Unreadable(too_large(limit).to_string()),
            Ok(bytes) => Lookup::Found(Content { id: entry.id, bytes }),
            Err(error) => Lookup::Unreadable(error.to_string()),
        }
    }
}

impl From<Seen> for Lookup<Entry> {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Entry(entry) => Self::Found(entry),
            Seen::Nothing => Self::Absent,
            Seen::Special(name) => Self::Unreadable(format!("it is a {name} and not a regular file")),
            Seen::Unreadable(reason) => Self::Unreadable(reason),
        }
    }
}

/// A patch is sometimes looked for as a file before it is read as text, and no file has so long a name.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename)
}

/// What it is; what it is called if nothing can be read from it that has an end.
fn kind_of(metadata: &Metadata) -> Result<EntryKind, &'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => Ok(EntryKind::File),
        () if kind.is_dir() => Ok(EntryKind::Directory),
        () if kind.is_symlink() => Ok(EntryKind::Symlink),
        () if kind.is_fifo() => Err("named pipe"),
        () if kind.is_socket() => Err("socket"),
        () => Err("device"),
    }
}

fn stamp(metadata: &Metadata) -> ContentId {
    let numbers = [metadata.dev(), metadata.ino(), metadata.len()].map(u64::to_be_bytes);
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()].map(i64::to_be_bytes);
    let mut bytes = [0; 56];
    bytes[..24].copy_from_slice(numbers.as_flattened());
    bytes[24..].copy_from_slice(times.as_flattened());
    ContentId::new(&bytes)
}

/// An id that no other entry of any tree of this process has: shorter than a stamp or a digest, and counted.
fn unlike_any_other() -> ContentId {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    ContentId::new(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes())
}

/// The bytes of the regular file that had the id `id` when it was looked at. Opening never waits, should a pipe have taken its place since.
fn read_file(place: &Path, id: &ContentId, limit: u64) -> io::Result<Arc<[u8]>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(place)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || stamp(&metadata) != *id {
        return Err(io::Error::other("it was changed while it was read; try again"));
    }
    match usize::try_from(metadata.len()) {
        // Files of the system, as those in /proc, do not know their length.
        Ok(0) => read_to_end(file, limit),
        Ok(length) if metadata.len() <= limit => {
            let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
            file.read_exact(Arc::get_mut(&mut bytes).unwrap_or_default())?;
            Ok(bytes)
        }
        _ => Err(too_large(limit)),
    }
}

fn read_to_end(file: File, limit: u64) -> io::Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it is larger than the {limit} bytes allowed"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use hub_tree::{Budget, Reader};

    use super::*;

    fn path(at: &Path) -> TreePath {
        let at = at.canonicalize().unwrap_or_else(|_| at.to_owned());
        TreePath::parse(at.to_str().unwrap().trim_start_matches('/')).unwrap()
    }

    /// `a/file`, `a/link -> file`, `relative -> a`, `absolute -> …/a`.
    fn example() -> (tempfile::TempDir, TreePath) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/file"), "text").unwrap();
        symlink("file", root.join("a/link")).unwrap();
        symlink("a", root.join("relative")).unwrap();
        symlink(root.canonicalize().unwrap().join("a"), root.join("absolute")).unwrap();
        let root = path(root);
        (directory, root)
    }

    fn text(at: &TreePath) -> Option<String> {
        let tree = FilesystemTree::of_machine();
        let content = Reader::new(&tree, Budget::RENDER).file(at).unwrap();
        content.map(|content| content.text().unwrap().to_owned())
    }

    #[test]
    fn a_file_is_read_directly_and_through_links_that_are_relative_or_absolute() {
        let (_directory, root) = example();
        for at in ["a/file", "a/link", "relative/file", "absolute/file", "absolute/link"] {
            assert_eq!(text(&root.join(at).unwrap()).as_deref(), Some("text"), "{at}");
        }
        for at in ["a", "nothing", "a/file/deeper", "absolute/nothing"] {
            assert_eq!(text(&root.join(at).unwrap()), None, "{at}");
        }
    }

    #[test]
    fn a_lookup_by_itself_follows_no_link() {
        let (_directory, root) = example();
        let tree = FilesystemTree::of_machine();
        assert_eq!(tree.entry(&root.child("relative").child("file")), Lookup::Absent);
        assert_eq!(tree.content(&root.child("absolute").child("file"), 9), Lookup::Absent);
        assert_eq!(tree.list(&root.child("relative")), Lookup::Absent);
        assert!(matches!(tree.entry(&TreePath::root()), Lookup::Found(entry) if entry.kind == EntryKind::Directory));
    }

    #[test]
    fn a_directory_is_listed_by_name() {
        let (directory, root) = example();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("a/socket")).unwrap();
        let Lookup::Found(entries) = FilesystemTree::of_machine().list(&root.child("a")) else { panic!("no listing") };
        let entries: Vec<_> = entries.into_iter().map(|entry| (entry.name, entry.kind)).collect();
        assert_eq!(entries, [("file".to_owned(), EntryKind::File), ("link".to_owned(), EntryKind::Symlink)]);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_being_opened() {
        let (directory, root) = example();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        let tree = FilesystemTree::of_machine();
        assert!(matches!(tree.content(&root.child("socket"), 9), Lookup::Unreadable(why) if why.contains("socket")));
        assert!(matches!(tree.entry(&TreePath::parse("dev/null").unwrap()), Lookup::Unreadable(why) if why.contains("device")));
    }

    #[test]
    fn a_file_over_the_limit_is_unreadable_and_one_without_a_length_is_read() {
        let (_directory, root) = example();
        let tree = FilesystemTree::of_machine();
        let file = root.child("a").child("file");
        assert!(matches!(tree.content(&file, 3), Lookup::Unreadable(why) if why.contains("3 bytes")));
        assert!(matches!(tree.content(&file, 4), Lookup::Found(_)));
        let version = TreePath::parse("proc/version").unwrap();
        assert!(matches!(tree.content(&version, 4096), Lookup::Found(content) if !content.bytes.is_empty()));
        assert!(matches!(tree.content(&version, 3), Lookup::Unreadable(_)));
    }

    #[test]
    fn a_file_that_changed_since_it_was_found_is_not_taken_for_what_it_was() {
        let (directory, root) = example();
        let tree = FilesystemTree::of_machine();
        let file = root.child("a").child("file");
        assert!(matches!(tree.entry(&file), Lookup::Found(_)));
        fs::write(directory.path().join("a/file"), "other text").unwrap();
        assert!(matches!(tree.content(&file, 99), Lookup::Unreadable(why) if why.contains("changed")));
    }

    #[test]
    fn a_text_that_is_too_long_for_a_name_is_absent() {
        let (_directory, root) = example();
        assert_eq!(FilesystemTree::of_machine().entry(&root.child(&"long".repeat(100))), Lookup::Absent);
    }

    /// `a/file`, `a/link -> file`, `linked -> a`, `absolute -> …/a`, `sub/.git`, `.git/config`, `a/socket`.
    fn working_directory() -> (tempfile::TempDir, FilesystemTree) {
        let (directory, _) = example();
        let root = directory.path();
        for inner in ["sub", ".git"] {
            fs::create_dir(root.join(inner)).unwrap();
        }
        for file in ["sub/.git", "sub/content", ".git/config"] {
            fs::write(root.join(file), "text").unwrap();
        }
        std::os::unix::net::UnixListener::bind(root.join("a/socket")).unwrap();
        let tree = FilesystemTree::of_working_directory(root).unwrap();
        (directory, tree)
    }

    fn below(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    fn listed(tree: &FilesystemTree, at: &str) -> Vec<(String, EntryKind)> {
        match tree.list(&below(at)) {
            Lookup::Found(entries) => entries.into_iter().map(|entry| (entry.name, entry.kind)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_working_directory_looks_as_git_would_show_it() {
        let (_directory, tree) = working_directory();
        let (files, links) = (EntryKind::File, EntryKind::Symlink);
        let root = [("a", EntryKind::Directory), ("absolute", links), ("relative", links), ("sub", EntryKind::Submodule)];
        assert_eq!(listed(&tree, ""), root.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!(listed(&tree, "a"), [("file".to_owned(), files), ("link".to_owned(), links)]);
        let text = |at| match tree.content(&below(at), 100) {
            Lookup::Found(content) => String::from_utf8(content.bytes.to_vec()).ok(),
            _ => None,
        };
        assert_eq!([text("a/file"), text("a/link"), text("relative")], [Some("text".into()), Some("file".into()), Some("a".into())]);
        assert!(text("absolute").is_some_and(|target| target.starts_with('/')), "as it was committed: it leads out");
    }

    #[test]
    fn no_lookup_in_a_working_directory_follows_a_link_or_enters_what_git_would_not() {
        let (_directory, tree) = working_directory();
        for hidden in ["relative/file", "sub/content", ".git", ".git/config", "a/file/x", "a/socket", "nothing"] {
            assert_eq!(tree.entry(&below(hidden)), Lookup::Absent, "{hidden}");
            assert_eq!(tree.content(&below(hidden), 100), Lookup::Absent, "{hidden}");
        }
        assert_eq!(tree.list(&below("relative")), Lookup::Absent);
    }

    #[test]
    fn only_a_directory_is_a_working_directory() {
        let (directory, _tree) = working_directory();
        let refused = |at: &str| FilesystemTree::of_working_directory(&directory.path().join(at)).unwrap_err().kind();
        assert_eq!([refused("a/file"), refused("nothing")], [ErrorKind::NotADirectory, ErrorKind::NotFound]);
    }

    #[test]
    fn a_name_that_is_no_text_makes_its_directory_unreadable_and_not_shorter() {
        let (directory, tree) = working_directory();
        fs::write(directory.path().join(OsStr::from_bytes(b"a/\xff")), "").unwrap();
        assert!(matches!(tree.list(&below("a")), Lookup::Unreadable(why) if why.contains("UTF-8")));
    }

    #[test]
    fn an_ignore_file_is_seen_in_a_directory_that_was_and_in_no_other() {
        let (directory, tree) = working_directory();
        fs::create_dir_all(directory.path().join("b/c")).unwrap();
        fs::write(directory.path().join("b/.sourceignore"), "").unwrap();
        assert!(matches!(tree.entry(&below("a/file")), Lookup::Found(_)));
        assert!(!tree.has_ignore_files());
        assert!(matches!(tree.entry(&below("b/c")), Lookup::Found(_)));
        assert!(tree.has_ignore_files());
    }

    #[test]
    fn what_was_seen_once_is_the_same_for_the_life_of_a_tree() {
        let (directory, tree) = working_directory();
        let (before, absent) = (tree.list(&below("a")), tree.entry(&below("new")));
        fs::write(directory.path().join("a/another"), "").unwrap();
        fs::write(directory.path().join("new"), "").unwrap();
        assert_eq!((tree.list(&below("a")), tree.entry(&below("new"))), (before, absent));
    }

    #[test]
    fn a_read_set_holds_in_another_tree_unless_a_file_changed_or_a_directory_was_listed() {
        let (directory, tree) = working_directory();
        let again = || FilesystemTree::of_working_directory(directory.path()).unwrap();
        let (reading, listing) = (Reader::new(&tree, Budget::RENDER), Reader::new(&tree, Budget::RENDER));
        reading.file(&below("a/link")).unwrap().unwrap();
        listing.list(&below("a")).unwrap().unwrap();
        let (read, listed) = (reading.into_read_set(), listing.into_read_set());
        assert!(read.still_holds(&tree) && listed.still_holds(&tree));
        assert!(read.still_holds(&again()) && !listed.still_holds(&again()));
        fs::write(directory.path().join("a/file"), "other text").unwrap();
        assert!(!read.still_holds(&again()));
    }
}
