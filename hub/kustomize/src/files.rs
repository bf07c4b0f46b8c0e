//! Files as they were parsed, kept by the identity of their content, and what kustomizations came to, kept with all that was learned on the way;
//! shared by builds and threads: a rebuild does again what has changed, and a hundred variants of one base build it once. What files mean is
//! left to who reads them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hub_tree::{ContentId, TreePath};

use crate::base::Base;
use crate::conclusion::Concluded;
use crate::documents::Parsed;
use crate::kustomization::Noted;
use crate::made::Made;
use crate::transform::patch::Body;

/// Parsed files and built bases, bounded. Which of them are there never changes what a build gives.
#[derive(Debug)]
pub struct Files {
    /// Whether bases are kept, too.
    with_bases: bool,
    /// The most bytes of files in one generation.
    generation_bytes: usize,
    generations: Mutex<Generations>,
}

/// A file is put into the younger generation. When that is full it becomes the older one, and what nobody has asked for since then goes.
#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<Key, Entry>,
    young_bytes: usize,
    old: BTreeMap<Key, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    File(ContentId, Form),
    Base(BaseKey),
    /// What transformers made: by directory, the address of the kustomization that asks for them, and the number of the run in it.
    Made(TreePath, usize, usize),
    Concluded(TreePath, usize),
    /// A kustomization that was built in a directory.
    Built(TreePath, usize),
}

/// What a base is kept by: one for each of the states that decide what it comes to, besides what it reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BaseKey {
    pub(crate) directory: TreePath,
    /// The identities of its kustomization files, so that bases of many sources may lie at one path.
    pub(crate) kustomization: [Option<ContentId>; 3],
    pub(crate) root_only: bool,
    pub(crate) has_used_built_in: bool,
}

/// What a file was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Resources,
    Kustomization,
    Patch,
}

#[derive(Debug, Clone)]
struct Entry {
    /// The length of the file, or about the size of the base.
    bytes: usize,
    content: Content,
}

/// A parsed file.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Resources(Arc<[Parsed]>),
    /// With what is worth a look in it.
    Kustomization(Arc<Noted>),
    Patch(Arc<Body>),
    Base(Arc<Base>),
    Made(Arc<Made>),
    Concluded(Arc<Concluded>),
}

/// What a file weighs besides its bytes: its keys and the nodes of the maps that it is in.
const ENTRY_BYTES: usize = 512;

impl Files {
    /// Keeps files of up to `limit` bytes in all; their trees take about four times as much memory, and six times once they are printed again and
    /// again.
    pub fn new(limit: usize) -> Self {
        Self { with_bases: true, generation_bytes: limit / 2, generations: Mutex::default() }
    }

    /// As [`Files::new`], for one build: no bases are kept.
    pub(crate) fn of_one_build(limit: usize) -> Self {
        Self { with_bases: false, ..Self::new(limit) }
    }

    /// Whether bases are kept.
    pub(crate) fn keeps_bases(&self) -> bool {
        self.with_bases
    }

    /// The base that is kept under `key`. Whether it may be used is left to who asks.
    pub(crate) fn base(&self, key: &BaseKey) -> Option<Arc<Base>> {
        match self.find(Key::Base(key.clone()))? {
            (Content::Base(base), _) => Some(base),
            _ => None,
        }
    }

    /// Keeps a base of about `bytes` bytes.
    pub(crate) fn put_base(&self, key: BaseKey, bytes: usize, base: Base) {
        self.keep(Key::Base(key), Entry { bytes, content: Content::Base(Arc::new(base)) });
    }

    /// Whether `of` was built in `directory` before; it is now. What is built once and never again is not worth remembering.
    pub(crate) fn is_built_again(&self, directory: &TreePath, of: &Arc<Noted>) -> bool {
        let key = Key::Built(directory.clone(), Arc::as_ptr(of).addr());
        if self.find(key.clone()).is_some() {
            return true;
        }
        // Held with it, no other kustomization takes its place in memory.
        self.keep(key, Entry { bytes: 0, content: Content::Kustomization(of.clone()) });
        false
    }

    /// What the run numbered `run` of the transformers of `of`, in `directory`, made last.
    pub(crate) fn made(&self, directory: &TreePath, of: &Arc<Noted>, run: usize) -> Option<Arc<Made>> {
        match self.find(Key::Made(directory.clone(), Arc::as_ptr(of).addr(), run))? {
            (Content::Made(made), _) => Some(made),
            _ => None,
        }
    }

    /// Keeps what a run of transformers made.
    pub(crate) fn put_made(&self, directory: &TreePath, of: &Arc<Noted>, run: usize, made: Made) {
        let entry = Entry { bytes: made.bytes(), content: Content::Made(Arc::new(made)) };
        self.keep(Key::Made(directory.clone(), Arc::as_ptr(of).addr(), run), entry);
    }

    /// How the build of `of` in `directory` was concluded last.
    pub(crate) fn concluded(&self, directory: &TreePath, of: &Arc<Noted>) -> Option<Arc<Concluded>> {
        match self.find(Key::Concluded(directory.clone(), Arc::as_ptr(of).addr()))? {
            (Content::Concluded(concluded), _) => Some(concluded),
            _ => None,
        }
    }

    /// Keeps how a build was concluded.
    pub(crate) fn put_concluded(&self, directory: &TreePath, of: &Arc<Noted>, concluded: Concluded) {
        let entry = Entry { bytes: concluded.bytes(), content: Content::Concluded(Arc::new(concluded)) };
        self.keep(Key::Concluded(directory.clone(), Arc::as_ptr(of).addr()), entry);
    }

    /// The file with this content, if it is there, and its length in bytes.
    pub(crate) fn get(&self, id: &ContentId, form: Form) -> Option<(Content, usize)> {
        self.find(Key::File(id.clone(), form))
    }

    /// Keeps a file of `bytes` bytes.
    pub(crate) fn put(&self, id: &ContentId, form: Form, bytes: usize, content: Content) {
        self.keep(Key::File(id.clone(), form), Entry { bytes, content });
    }

    fn find(&self, key: Key) -> Option<(Content, usize)> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = generations.young.get(&key) {
            return Some((entry.content.clone(), entry.bytes));
        }
        let entry = generations.old.remove(&key)?;
        let found = (entry.content.clone(), entry.bytes);
        generations.put(key, entry, self.generation_bytes);
        Some(found)
    }

    fn keep(&self, key: Key, entry: Entry) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.put(key, entry, self.generation_bytes);
    }
}

impl Generations {
    fn put(&mut self, key: Key, entry: Entry, generation_bytes: usize) {
        let bytes = entry.bytes + ENTRY_BYTES;
        if bytes > generation_bytes {
            return;
        }
        if self.young_bytes + bytes > generation_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if let Some(replaced) = self.young.insert(key, entry) {
            self.young_bytes -= replaced.bytes + ENTRY_BYTES;
        }
        self.young_bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes_at_the_limit() {
        let files = Files::new(2 * 3 * (ENTRY_BYTES + 100));
        let id = |number: u8| ContentId::new(&[number]);
        let has = |number: u8| files.get(&id(number), Form::Resources).is_some();
        let put = |number: u8, bytes: usize| files.put(&id(number), Form::Resources, bytes, Content::Resources(Arc::default()));
        for number in 0..20 {
            put(number, 100);
            assert!(has(number) && has(0), "{number}");
            assert!(files.get(&id(number), Form::Patch).is_none());
        }
        assert!(!has(1), "nobody has asked for it since it came");
        put(30, 10_000);
        assert!(!has(30), "it is larger than a generation");
    }
}
