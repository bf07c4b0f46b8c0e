//! Reading a tree the way a render does: symlinks are followed inside the tree, every answer is remembered, and all of it within a budget.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mount::look;
use crate::{Content, ContentId, Entry, EntryKind, InvalidPath, Lookup, Mount, MountRefusal, SourceTree, TreePath};

/// How much one reader may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The largest file, in bytes.
    pub file_bytes: u64,
    /// All files together, in bytes.
    pub total_bytes: u64,
    /// Files, links and listings together.
    pub reads: u32,
}

impl Budget {
    /// The budget of one render: 5 MiB a file (Helm's limit for a chart's file), 100 MiB in all (Flux's limit for an artifact), and
    /// 50,000 reads, ten for each of the 5,000 objects that a release may hold.
    pub const RENDER: Self = Self { file_bytes: 5 << 20, total_bytes: 100 << 20, reads: 50_000 };
}

/// The longest chain of symlinks that is followed: Linux's `MAXSYMLINKS`.
const LINK_LIMIT: u32 = 40;

/// Why something could not be read. Being absent is not among the failures of a lookup: it is an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The path leads nowhere inside the tree.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// A symlink leads out of the tree.
    #[error("the symlink {path} leads out of the source, to \"{target}\"; nothing outside it can be read")]
    LinkEscapes {
        /// The link.
        path: TreePath,
        /// What it says.
        target: String,
    },
    /// Symlinks lead to each other.
    #[error("following {path} takes more than 40 symlinks; they probably lead to each other")]
    LinkLoop {
        /// Where it began.
        path: TreePath,
    },
    /// A submodule, whose content the source does not have.
    #[error("{path} lies in a Git submodule, which is not fetched")]
    Submodule {
        /// The submodule.
        path: TreePath,
    },
    /// The tree could not tell.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// What was asked for.
        path: TreePath,
        /// What the tree said.
        reason: String,
    },
    /// A budget is used up.
    #[error("{path} goes over the budget of {limit} {what}")]
    Budget {
        /// What was asked for.
        path: TreePath,
        /// The unit.
        what: &'static str,
        /// The budget.
        limit: u64,
    },
}

/// One answer of a tree, as remembered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Observation {
    /// A file or symlink with this content.
    Content(ContentId),
    /// A directory of which the existence mattered.
    Directory,
    /// A directory whose entries were listed; the id covers everything below it.
    Listing(ContentId),
    /// A submodule.
    Submodule(ContentId),
    /// Nothing.
    Absent,
    /// The tree could not tell. Such a set never still holds.
    Unreadable,
}

impl Observation {
    /// Whether `now` is the same answer.
    fn still_holds(&self, now: &Lookup<Entry>) -> bool {
        match (self, now) {
            (Self::Content(id), Lookup::Found(entry)) => matches!(entry.kind, EntryKind::File | EntryKind::Symlink) && entry.id == *id,
            (Self::Directory, Lookup::Found(entry)) => entry.kind == EntryKind::Directory,
            (Self::Listing(id), Lookup::Found(entry)) => entry.kind == EntryKind::Directory && entry.id == *id,
            (Self::Submodule(id), Lookup::Found(entry)) => entry.kind == EntryKind::Submodule && entry.id == *id,
            (Self::Absent, Lookup::Absent) => true,
            _ => false,
        }
    }
}

/// The entry at `path` itself, in the tree where it lies.
fn entry_in(tree: &dyn SourceTree, path: &TreePath) -> Lookup<Entry> {
    look(tree, path, |tree, path| tree.entry(path))
}

/// Everything that a render learned from a tree: the same answers mean the same result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadSet(BTreeMap<TreePath, Observation>);

impl ReadSet {
    /// The observations in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Observation)> {
        self.0.iter()
    }

    /// How many paths were observed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was observed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `tree` would give every answer again. Costs one entry lookup per path and reads no content.
    pub fn still_holds(&self, tree: &dyn SourceTree) -> bool {
        self.0.iter().all(|(path, then)| then.still_holds(&entry_in(tree, path)))
    }

    /// As [`ReadSet::still_holds`], for what is mounted alone: all that can differ where the main tree is the same.
    pub fn holds_in_mounts(&self, tree: &dyn SourceTree) -> bool {
        // Paths of mounted trees come last.
        let mounted = self.0.iter().rev().take_while(|(path, _)| path.mount().is_some());
        mounted.into_iter().all(|(path, then)| then.still_holds(&entry_in(tree, path)))
    }

    /// Adds what another reader learned from the same tree.
    pub fn merge(&mut self, other: Self) {
        for (path, observation) in other.0 {
            self.note(path, observation);
        }
    }

    fn add(&mut self, other: &Self) {
        for (path, observation) in &other.0 {
            self.note(path.clone(), observation.clone());
        }
    }

    /// A listing says more than the existence of the directory; nothing else can be seen twice differently in one tree.
    fn note(&mut self, path: TreePath, observation: Observation) {
        if observation == Observation::Directory && self.0.contains_key(&path) {
            return;
        }
        self.0.insert(path, observation);
    }
}

/// What a part of a render learned and took: that part need not be done again where all of it is still so.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    set: ReadSet,
    bytes: u64,
    reads: u32,
    /// The largest file, in bytes.
    largest: u64,
    /// The directory that all of it lies in, with the id that covers everything below.
    inside: Option<(TreePath, ContentId)>,
}

impl Observed {
    /// What was learned.
    pub fn set(&self) -> &ReadSet {
        &self.set
    }

    fn still_holds(&self, tree: &dyn SourceTree) -> bool {
        let is_same = |(path, id): &(TreePath, ContentId)| matches!(entry_in(tree, path), Lookup::Found(entry) if entry.kind == EntryKind::Directory && entry.id == *id);
        self.inside.as_ref().is_some_and(is_same) || self.set.still_holds(tree)
    }
}

#[derive(Debug, Default)]
struct Progress {
    set: ReadSet,
    bytes: u64,
    reads: u32,
    largest: u64,
    /// What was learned before each of the parts that are being observed, the outermost first.
    before: Vec<ReadSet>,
}

impl Progress {
    /// Ends the innermost part and gives what it learned, which stays known.
    fn leave(&mut self) -> ReadSet {
        let Some(before) = self.before.pop() else { return ReadSet::default() };
        let learned = std::mem::replace(&mut self.set, before);
        self.set.add(&learned);
        learned
    }
}

/// A tree with a memory and a budget. One reader serves one render and one thread.
pub struct Reader<'a> {
    tree: &'a dyn SourceTree,
    budget: Budget,
    progress: RefCell<Progress>,
}

impl<'a> Reader<'a> {
    /// Reads `tree` within `budget`.
    pub fn new(tree: &'a dyn SourceTree, budget: Budget) -> Self {
        Self { tree, budget, progress: RefCell::new(Progress::default()) }
    }

    /// What was learned, also by lookups that failed.
    pub fn into_read_set(self) -> ReadSet {
        self.progress.into_inner().set
    }

    /// Does `part`, which begins at `directory`, a real one, and gives what it learned and took besides its result. Of a part that
    /// did not get all its answers there is nothing to keep.
    pub fn observe<T>(&self, directory: &TreePath, part: impl FnOnce() -> T) -> (T, Option<Observed>) {
        let (bytes, reads, largest) = {
            let mut progress = self.progress.borrow_mut();
            let set = std::mem::take(&mut progress.set);
            progress.before.push(set);
            (progress.bytes, progress.reads, std::mem::take(&mut progress.largest))
        };
        let result = part();
        let mut progress = self.progress.borrow_mut();
        progress.set.note(directory.clone(), Observation::Directory);
        let set = progress.leave();
        let taken = (progress.bytes - bytes, progress.reads - reads, progress.largest);
        progress.largest = progress.largest.max(largest);
        drop(progress);
        let inside = match entry_in(self.tree, directory) {
            Lookup::Found(entry) if set.0.keys().all(|path| path.is_within(directory)) => Some((directory.clone(), entry.id)),
            _ => None,
        };
        let is_whole = !set.0.values().any(|observation| *observation == Observation::Unreadable);
        let (bytes, reads, largest) = taken;
        (result, is_whole.then_some(Observed { set, bytes, reads, largest, inside }))
    }

    /// Learns and counts what was observed before, if this tree would give every answer again and the budget has room for it; says whether it
    /// did. Where not, the part has to be done: a budget ends a render at the same place, whatever somebody remembers.
    pub fn adopt(&self, observed: &Observed) -> bool {
        let (bytes, reads) = {
            let progress = self.progress.borrow();
            (progress.bytes.saturating_add(observed.bytes), progress.reads.saturating_add(observed.reads))
        };
        let has_room = bytes <= self.budget.total_bytes && reads <= self.budget.reads && observed.largest <= self.budget.file_bytes;
        if !has_room || !observed.still_holds(self.tree) {
            return false;
        }
        let mut progress = self.progress.borrow_mut();
        (progress.bytes, progress.reads) = (bytes, reads);
        progress.largest = progress.largest.max(observed.largest);
        progress.set.add(&observed.set);
        true
    }

    /// The root of the tree that is mounted as `mount`.
    ///
    /// # Errors
    /// Why there is none; that is learned, too.
    pub fn mount(&self, mount: Mount) -> Result<TreePath, MountRefusal> {
        let refused = self.tree.mount(&mount).err();
        let root = TreePath::mounted(mount);
        match refused {
            None => Ok(root),
            Some(refusal) => {
                let is_certain = !matches!(refusal, MountRefusal::NotFetched { .. });
                self.note(root, if is_certain { Observation::Absent } else { Observation::Unreadable });
                Err(refusal)
            }
        }
    }

    /// The identity of what lies at `path` itself. It is not learned: this is to find what was kept, and decides nothing.
    pub fn peek(&self, path: &TreePath) -> Option<ContentId> {
        match entry_in(self.tree, path) {
            Lookup::Found(entry) => Some(entry.id),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        }
    }

    /// The entry that `path` leads to, with its real path after all symlinks. `None` if there is nothing.
    pub fn entry(&self, path: &TreePath) -> Result<Option<(TreePath, Entry)>, ReadError> {
        let found = self.walk(path)?;
        if let Some((real, entry)) = &found {
            let observation = match entry.kind {
                EntryKind::Directory => Observation::Directory,
                EntryKind::Submodule => Observation::Submodule(entry.id.clone()),
                EntryKind::File | EntryKind::Symlink => Observation::Content(entry.id.clone()),
            };
            self.note(real.clone(), observation);
        }
        Ok(found)
    }

    /// The file that `path` leads to. `None` if there is nothing, or no file.
    pub fn file(&self, path: &TreePath) -> Result<Option<Content>, ReadError> {
        let Some((real, entry)) = self.entry(path)? else { return Ok(None) };
        match entry.kind {
            EntryKind::File => self.content(&real).map(Some),
            EntryKind::Submodule => Err(ReadError::Submodule { path: real }),
            EntryKind::Directory | EntryKind::Symlink => Ok(None),
        }
    }

    /// The content of the file at `real`, a path that [`Reader::entry`] gave.
    pub fn read(&self, real: &TreePath) -> Result<Content, ReadError> {
        self.content(real)
    }

    /// Counts the file at `real` as one that was read: its content of `bytes` bytes is known from elsewhere. So a budget ends a render at the
    /// same place, whatever somebody remembers.
    pub fn count_known(&self, real: &TreePath, bytes: usize) -> Result<(), ReadError> {
        self.count(real)?;
        let limit = self.budget.file_bytes;
        if bytes as u64 > limit {
            return Err(self.unreadable(real.clone(), &format!("{bytes} bytes are more than the {limit} allowed")));
        }
        self.count_bytes(real, bytes)
    }

    /// The entries of the directory that `path` leads to, by name, with the directory's real path. `None` if there is no directory.
    pub fn list(&self, path: &TreePath) -> Result<Option<(TreePath, Vec<Entry>)>, ReadError> {
        let Some((real, entry)) = self.entry(path)? else { return Ok(None) };
        match entry.kind {
            EntryKind::Directory => {}
            EntryKind::Submodule => return Err(ReadError::Submodule { path: real }),
            EntryKind::File | EntryKind::Symlink => return Ok(None),
        }
        self.count(&real)?;
        match look(self.tree, &real, |tree, path| tree.list(path)) {
            Lookup::Found(entries) => {
                self.note(real.clone(), Observation::Listing(entry.id));
                Ok(Some((real, entries)))
            }
            Lookup::Absent => Err(self.unreadable(real, "it is a directory and has no listing")),
            Lookup::Unreadable(reason) => Err(self.unreadable(real, &reason)),
        }
    }

    /// Follows `path` from the root, segment by segment, so that a symlink in the middle is seen; only below a directory that is known to be
    /// a real one the last segment is enough.
    fn walk(&self, path: &TreePath) -> Result<Option<(TreePath, Entry)>, ReadError> {
        if path.parent().is_some_and(|parent| self.is_known_directory(&parent)) {
            match self.lookup(path)? {
                Some(entry) if entry.kind == EntryKind::Symlink => {}
                Some(entry) => return Ok(Some((path.clone(), entry))),
                None => {
                    self.note(path.clone(), Observation::Absent);
                    return Ok(None);
                }
            }
        }
        let mut todo: Vec<String> = path.segments().map(str::to_owned).collect();
        todo.reverse();
        let mut here = path.own_root();
        let mut entry = self.lookup(&here)?;
        let mut links = 0;
        while let Some(segment) = todo.pop() {
            match entry.as_ref().map(|entry| entry.kind) {
                Some(EntryKind::Directory) => {}
                Some(EntryKind::Submodule) => return Err(ReadError::Submodule { path: here }),
                _ => {
                    // A file has no entries; that it is a file is what was learned.
                    if let Some(entry) = entry {
                        self.note(here, Observation::Content(entry.id));
                    }
                    return Ok(None);
                }
            }
            let next = here.child(&segment);
            let Some(found) = self.lookup(&next)? else {
                self.note(next, Observation::Absent);
                return Ok(None);
            };
            if found.kind != EntryKind::Symlink {
                here = next;
                entry = Some(found);
                continue;
            }
            links += 1;
            if links > LINK_LIMIT {
                return Err(ReadError::LinkLoop { path: path.clone() });
            }
            self.note(next.clone(), Observation::Content(found.id));
            let content = self.content(&next)?;
            let target = String::from_utf8_lossy(&content.bytes).into_owned();
            let resolved = here.join(&target).map_err(|_| ReadError::LinkEscapes { path: next, target })?;
            let target: Vec<String> = resolved.segments().map(str::to_owned).collect();
            todo.extend(target.into_iter().rev());
            here = path.own_root();
            entry = self.lookup(&here)?;
        }
        Ok(entry.map(|entry| (here, entry)))
    }

    /// Whether a directory was seen at this path itself, and not behind a symlink.
    fn is_known_directory(&self, path: &TreePath) -> bool {
        let progress = self.progress.borrow();
        let mut sets = std::iter::once(&progress.set).chain(&progress.before);
        sets.any(|set| matches!(set.0.get(path), Some(Observation::Directory | Observation::Listing(_))))
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, ReadError> {
        match entry_in(self.tree, path) {
            Lookup::Found(entry) => Ok(Some(entry)),
            Lookup::Absent => Ok(None),
            Lookup::Unreadable(reason) => Err(self.unreadable(path.clone(), &reason)),
        }
    }

    fn content(&self, real: &TreePath) -> Result<Content, ReadError> {
        self.count(real)?;
        match look(self.tree, real, |tree, path| tree.content(path, self.budget.file_bytes)) {
            Lookup::Found(content) => {
                self.count_bytes(real, content.bytes.len())?;
                Ok(content)
            }
            Lookup::Absent => Err(self.unreadable(real.clone(), "its entry is there and its content is not")),
            Lookup::Unreadable(reason) => Err(self.unreadable(real.clone(), &reason)),
        }
    }

    fn count(&self, path: &TreePath) -> Result<(), ReadError> {
        let mut progress = self.progress.borrow_mut();
        progress.reads += 1;
        if progress.reads > self.budget.reads {
            return Err(ReadError::Budget { path: path.clone(), what: "reads", limit: self.budget.reads.into() });
        }
        Ok(())
    }

    fn count_bytes(&self, path: &TreePath, bytes: usize) -> Result<(), ReadError> {
        let mut progress = self.progress.borrow_mut();
        progress.bytes += bytes as u64;
        progress.largest = progress.largest.max(bytes as u64);
        if progress.bytes > self.budget.total_bytes {
            return Err(ReadError::Budget { path: path.clone(), what: "bytes in all", limit: self.budget.total_bytes });
        }
        Ok(())
    }

    fn note(&self, path: TreePath, observation: Observation) {
        self.progress.borrow_mut().set.note(path, observation);
    }

    fn unreadable(&self, path: TreePath, reason: &str) -> ReadError {
        self.note(path.clone(), Observation::Unreadable);
        ReadError::Unreadable { path, reason: reason.to_owned() }
    }
}

/// The text of a file.
impl Content {
    /// The content as text, without a byte order mark; `None` if it is not UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().map(|text| text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// The bytes, shared.
    pub fn shared(&self) -> Arc<[u8]> {
        self.bytes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryTree;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).expect("valid")
    }

    fn tree() -> MemoryTree {
        let mut tree = MemoryTree::of(&[("base/a.yaml", "a: 1"), ("base/b.yaml", "b: 2"), ("other/c.yaml", "c: 3")]);
        tree.insert_link(path("overlay/base"), "../base");
        tree.insert_link(path("out"), "../../etc/passwd");
        tree.insert_link(path("loop"), "loop");
        tree
    }

    #[test]
    fn a_symlink_is_followed_inside_and_refused_outside() {
        let tree = tree();
        let reader = Reader::new(&tree, Budget::RENDER);
        let content = reader.file(&path("overlay/base/a.yaml")).expect("readable").expect("found");
        assert_eq!(content.text(), Some("a: 1"));
        assert!(matches!(reader.file(&path("out")), Err(ReadError::LinkEscapes { .. })));
        assert!(matches!(reader.file(&path("loop")), Err(ReadError::LinkLoop { .. })));
    }

    #[test]
    fn a_read_set_holds_until_an_answer_would_change() {
        let before = tree();
        let reader = Reader::new(&before, Budget::RENDER);
        reader.file(&path("overlay/base/a.yaml")).expect("readable");
        reader.file(&path("base/missing.yaml")).expect("readable");
        let set = reader.into_read_set();
        assert!(set.still_holds(&before));

        for (change, holds) in [("base/a.yaml", false), ("base/missing.yaml", false), ("other/c.yaml", true)] {
            let mut after = tree();
            after.insert(path(change), "changed".as_bytes());
            assert_eq!(set.still_holds(&after), holds, "{change}");
        }
        let mut relinked = tree();
        relinked.insert_link(path("overlay/base"), "../other");
        assert!(!set.still_holds(&relinked));
    }

    #[test]
    fn a_listing_sees_new_names_and_an_existence_does_not() {
        let before = tree();
        let listed = Reader::new(&before, Budget::RENDER);
        assert_eq!(listed.list(&path("base")).expect("readable").expect("a directory").1.len(), 2);
        let looked = Reader::new(&before, Budget::RENDER);
        looked.entry(&path("base")).expect("readable");
        let mut after = tree();
        after.insert(path("base/new.yaml"), "".as_bytes());
        assert!(!listed.into_read_set().still_holds(&after));
        assert!(looked.into_read_set().still_holds(&after));
    }

    #[test]
    fn each_budget_ends_the_read_one_beyond_it() {
        let tree = tree();
        let (a, b) = (path("base/a.yaml"), path("base/b.yaml"));
        let read = |budget| {
            let reader = Reader::new(&tree, budget);
            reader.file(&a).and_then(|_| reader.file(&b)).map(|_| ())
        };
        let exact = Budget { file_bytes: 4, total_bytes: 8, reads: 2 };
        assert_eq!(read(exact), Ok(()));
        assert!(matches!(read(Budget { file_bytes: 3, ..exact }), Err(ReadError::Unreadable { .. })));
        assert!(matches!(read(Budget { total_bytes: 7, ..exact }), Err(ReadError::Budget { .. })));
        assert!(matches!(read(Budget { reads: 1, ..exact }), Err(ReadError::Budget { .. })));
    }

    #[test]
    fn a_part_that_was_observed_is_adopted_where_all_of_it_is_still_so() {
        let files = [("base/x", "1"), ("base/sub/y", "22"), ("other/z", "333")];
        let tree = MemoryTree::of(&files);
        let reader = Reader::new(&tree, Budget::RENDER);
        let part = |reader: &Reader<'_>| {
            for file in ["base/x", "base/sub/y", "other/z"] {
                reader.file(&path(file)).expect("readable").expect("a file");
            }
            reader.entry(&path("base/none")).expect("readable").is_none()
        };
        let (_, observed) = reader.observe(&path("base"), || part(&reader));
        let observed = observed.expect("all was readable");
        let alone = Reader::new(&tree, Budget::RENDER);
        alone.entry(&path("base")).expect("readable");
        part(&alone);
        assert_eq!(reader.into_read_set(), alone.into_read_set(), "what a part learns is learned");

        let adopts = |tree: &MemoryTree, budget: Budget| {
            let reader = Reader::new(tree, budget);
            let adopts = reader.adopt(&observed);
            assert_eq!(reader.into_read_set().len(), if adopts { 5 } else { 0 });
            adopts
        };
        assert!(adopts(&tree, Budget::RENDER) && adopts(&tree, Budget { reads: 3, total_bytes: 6, file_bytes: 3 }));
        for (reads, total_bytes, file_bytes) in [(2, 6, 3), (3, 5, 3), (3, 6, 2)] {
            assert!(!adopts(&tree, Budget { reads, total_bytes, file_bytes }), "{reads} {total_bytes} {file_bytes}");
        }
        for (changed, text) in [("base/x", "2"), ("base/none", ""), ("other/z", "3")] {
            let mut tree = MemoryTree::of(&files);
            tree.insert(path(changed), text.as_bytes());
            assert!(!adopts(&tree, Budget::RENDER), "{changed}");
        }
        let gone = MemoryTree::of(&[files[0], files[2]]);
        assert!(!adopts(&gone, Budget::RENDER));
        let mut more = MemoryTree::of(&files);
        more.insert(path("base/more"), b"4".as_slice());
        assert!(adopts(&more, Budget::RENDER), "nobody looked there");
    }
}
