//! A store in memory for simulation and tests: the same answers as the durable one, without a disk, a thread or a wait. Durability is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shared_model::Digest;

use crate::blob::{self, BLOBS_PER_CALL, BlobInfo, BlobPage};
use crate::commit::{Commit, CommitOutcome, Operation, check_fence, first_conflict};
use crate::error::{Bound, StoreError, within};
use crate::key::{Key, Prefix, Term, Version};
use crate::report::{CheckReport, Scope};
use crate::stream::{Part, StreamReader, StreamWriter, Summary};
use crate::watch::Watches;
use crate::{Entry, PAGE_BYTES, PAGE_LIMIT, Page, Store, StoreFuture};

/// A store that forgets everything when it is dropped. Its futures are ready at once, so that a simulation stays deterministic.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    version: Version,
    term: Term,
    records: BTreeMap<Key, Entry>,
    blobs: BTreeMap<Digest, (Version, Bytes)>,
    watches: Watches,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A panic while the lock was held cannot have left half a change: each change is made after all that can fail.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl State {
    fn range(&self, prefix: &Prefix, start_after: Option<&Key>, limit: usize) -> Result<Page, StoreError> {
        within(Bound::PageEntries, limit, PAGE_LIMIT)?;
        let from = match start_after {
            Some(key) if key.as_str() >= prefix.as_str() => Excluded(key.as_str()),
            _ => Included(prefix.as_str()),
        };
        let mut page = Page::default();
        let mut bytes = 0;
        for (key, entry) in self.records.range::<str, _>((from, Unbounded)).take_while(|(key, _)| prefix.contains(key)) {
            if page.entries.len() == limit.max(1) || bytes >= PAGE_BYTES {
                page.next = page.entries.last().map(|(key, _)| key.clone());
                break;
            }
            bytes += entry.value.len();
            page.entries.push((key.clone(), entry.clone()));
        }
        Ok(page)
    }

    fn commit(&mut self, commit: Commit) -> Result<CommitOutcome, StoreError> {
        commit.check_limits()?;
        check_fence(commit.fence, self.term)?;
        if let Some(conflict) = first_conflict(&commit.conditions, |key| Ok(self.records.get(key).map(|entry| entry.version)))? {
            return Ok(conflict);
        }
        let version = self.version.next();
        let mut touched = BTreeSet::new();
        for operation in commit.operations {
            match operation {
                Operation::Put(key, value) => {
                    self.records.insert(key.clone(), Entry { value, version });
                    touched.insert(key);
                }
                Operation::Delete(key) => {
                    if self.records.remove(&key).is_some() {
                        touched.insert(key);
                    }
                }
            }
        }
        if !touched.is_empty() {
            self.version = version;
            self.watches.notify(&touched, version);
        }
        Ok(CommitOutcome::Committed(self.version))
    }

    fn put_blobs(&mut self, contents: Vec<Bytes>) -> Result<Vec<Digest>, StoreError> {
        blob::check_limits(&contents)?;
        if contents.is_empty() {
            return Ok(Vec::new());
        }
        self.version = self.version.next();
        let touched = self.version;
        let store = |content: Bytes| {
            let digest = Digest::of(&content);
            self.blobs.insert(digest, (touched, content));
            digest
        };
        Ok(contents.into_iter().map(store).collect())
    }

    fn list_blobs(&self, start_after: Option<Digest>, limit: usize) -> Result<BlobPage, StoreError> {
        within(Bound::PageEntries, limit, PAGE_LIMIT)?;
        let from = start_after.map_or(Unbounded, Excluded);
        let mut page = BlobPage::default();
        for (digest, (touched, content)) in self.blobs.range((from, Unbounded)) {
            if page.blobs.len() == limit.max(1) {
                page.next = page.blobs.last().map(|blob| blob.digest);
                break;
            }
            page.blobs.push(BlobInfo { digest: *digest, length: content.len() as u64, touched: *touched });
        }
        Ok(page)
    }

    fn delete_blobs(&mut self, fence: Option<Term>, blobs: &[BlobInfo]) -> Result<u64, StoreError> {
        within(Bound::Blobs, blobs.len(), PAGE_LIMIT)?;
        check_fence(fence, self.term)?;
        let mut removed = 0;
        for blob in blobs {
            if self.blobs.get(&blob.digest).is_some_and(|(touched, _)| *touched == blob.touched) {
                self.blobs.remove(&blob.digest);
                removed += 1;
            }
        }
        if removed > 0 {
            self.version = self.version.next();
        }
        Ok(removed)
    }

    fn export(&self, to: impl Write) -> Result<Summary, StoreError> {
        let mut writer = StreamWriter::begin(to, self.version, self.term)?;
        for (key, entry) in &self.records {
            writer.part(&Part::Record(key.clone(), entry.version, entry.value.clone()))?;
        }
        for (digest, (_, content)) in &self.blobs {
            writer.part(&Part::Blob(*digest, content.clone()))?;
        }
        writer.end()
    }

    fn import(&mut self, from: impl Read) -> Result<Summary, StoreError> {
        if !self.records.is_empty() || !self.blobs.is_empty() {
            return Err(StoreError::NotEmpty { records: self.records.len() as u64, blobs: self.blobs.len() as u64 });
        }
        let mut reader = StreamReader::begin(from)?;
        let version = reader.summary().version.max(self.version).next();
        let (mut records, mut blobs) = (BTreeMap::new(), BTreeMap::new());
        while let Some(part) = reader.next()? {
            match part {
                Part::Record(key, version, value) => drop(records.insert(key, Entry { value, version })),
                Part::Blob(digest, content) => drop(blobs.insert(digest, (version, content))),
            }
        }
        let summary = reader.summary();
        (self.version, self.term, self.records, self.blobs) = (version, summary.term.max(self.term), records, blobs);
        self.watches.notify_all(version);
        Ok(summary)
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &Key) -> StoreFuture<'a, Option<Entry>> {
        ready(Ok(self.state().records.get(key).cloned()))
    }

    fn range<'a>(&'a self, prefix: &Prefix, start_after: Option<&Key>, limit: usize) -> StoreFuture<'a, Page> {
        ready(self.state().range(prefix, start_after, limit))
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, CommitOutcome> {
        ready(self.state().commit(commit))
    }

    fn acquire_term(&self) -> StoreFuture<'_, Term> {
        let mut state = self.state();
        state.version = state.version.next();
        state.term = state.term.next();
        ready(Ok(state.term))
    }

    fn put_blobs(&self, contents: Vec<Bytes>) -> StoreFuture<'_, Vec<Digest>> {
        ready(self.state().put_blobs(contents))
    }

    fn get_blob(&self, digest: Digest) -> StoreFuture<'_, Option<Bytes>> {
        ready(Ok(self.state().blobs.get(&digest).map(|(_, content)| content.clone())))
    }

    fn has_blobs(&self, digests: Vec<Digest>) -> StoreFuture<'_, Vec<bool>> {
        let state = self.state();
        let has = || digests.iter().map(|digest| state.blobs.contains_key(digest)).collect();
        ready(within(Bound::Blobs, digests.len(), BLOBS_PER_CALL).map(|()| has()))
    }

    fn list_blobs(&self, start_after: Option<Digest>, limit: usize) -> StoreFuture<'_, BlobPage> {
        ready(self.state().list_blobs(start_after, limit))
    }

    fn delete_blobs(&self, fence: Option<Term>, blobs: Vec<BlobInfo>) -> StoreFuture<'_, u64> {
        ready(self.state().delete_blobs(fence, &blobs))
    }

    fn watch(&self, prefix: &Prefix) -> tokio::sync::watch::Receiver<u64> {
        let mut state = self.state();
        let now = state.version;
        state.watches.subscribe(prefix, now)
    }

    fn export(&self, to: Box<dyn Write + Send>) -> StoreFuture<'_, Summary> {
        ready(self.state().export(to))
    }

    fn import(&self, from: Box<dyn Read + Send>) -> StoreFuture<'_, Summary> {
        ready(self.state().import(from))
    }

    fn check(&self, _scope: Scope) -> StoreFuture<'_, CheckReport> {
        let state = self.state();
        ready(Ok(CheckReport { records: state.records.len() as u64, blobs: state.blobs.len() as u64, ..CheckReport::default() }))
    }
}
