//! The one thread that writes. It takes all requests that wait, judges them one after the other, writes them as few batches, makes them
//! durable with one flush and one fsync, and only then answers. Readers are kept out meanwhile, so that they see only what is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use shared_model::Digest;
use tokio::sync::{mpsc, oneshot};

use super::disk::{self, AcknowledgedMark};
use super::layout::{
    BlobHead, Head, IMPORTING, INLINE_LIMIT, PIECE_BYTES, Place, ROOT, Root, Tally, blob_member, blob_name, blob_piece_name, piece_name,
    record_member, record_name, seal, tree_name,
};
use super::reading::engine_failed;
use super::{Shared, Spool};
use crate::blob::BlobInfo;
use crate::commit::{Commit, CommitOutcome, Operation, check_fence, first_conflict};
use crate::error::StoreError;
use crate::key::{Key, Term, Version};
use crate::stream::{Part, StreamReader, Summary};

/// The most operations of one sled batch: one of 100,000 took 540 MB of memory, 100 of 1,000 took none that showed.
pub(super) const BATCH_OPERATIONS: usize = 1_000;

/// The most requests that share one flush. With 1 KB values and 4,000 flushes a second this is far more than two cores produce.
const GROUP_REQUESTS: usize = 512;

/// Requests that may wait for the writer before callers wait to hand theirs over: two groups.
pub(super) const QUEUED_REQUESTS: usize = 2 * GROUP_REQUESTS;

/// Free bytes below which even removals are refused, because the engine's log grows by them: two of its segments of 512 KiB for a batch, 16
/// times.
pub(super) const REMOVAL_RESERVE: u64 = 16 * 1024 * 1024;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer can be asked. Limits have been checked.
pub(super) enum Request {
    Commit(Commit, Reply<CommitOutcome>),
    Term(Reply<Term>),
    PutBlobs(Vec<(Digest, Bytes)>, Reply<()>),
    DeleteBlobs(Option<Term>, Vec<BlobInfo>, Reply<u64>),
    /// The file holds a stream that has been verified.
    Import(Spool, Reply<Summary>),
}

/// The writing side of a store.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) root: Root,
    pub(super) trees: BTreeMap<String, Tally>,
    pub(super) mark: AcknowledgedMark,
    /// A second handle of the engine's log: sled itself only calls `sync_file_range`, which reaches neither metadata nor the disk's cache.
    pub(super) log: File,
}

impl Writer {
    /// Serves until the last handle of the store is gone.
    pub(super) fn run(mut self) {
        while let Some(request) = self.requests.blocking_recv() {
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(request)));
            if served.is_err() {
                self.shared.stop("BUG: the writer panicked");
            }
        }
        if let Err(error) = self.mark.sync() {
            tracing::warn!(%error, "the mark of the newest acknowledged write was not synced");
        }
    }

    /// Carries out `first` and what waits behind it.
    fn serve(&mut self, first: Request) {
        let shared = self.shared.clone();
        let durable_only = shared.gate.blocking_write();
        let mut group = Group::new(&shared, self.root, self.trees.clone());
        let mut import = None;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Import(spool, reply) => import = Some((spool, reply)),
                other => group.take(other),
            }
            let more = import.is_none() && group.answers.len() < GROUP_REQUESTS && group.staged() < BATCH_OPERATIONS;
            next = if more { self.requests.try_recv().ok() } else { None };
        }
        let answers = self.finish(group);
        let import = import.map(|(spool, reply)| (reply, self.import(&spool)));
        drop(durable_only);
        answers();
        if let Some((reply, result)) = import {
            // A caller that has gone away needs no answer.
            let _ = reply.send(result);
        }
    }

    /// Makes a group durable; what it returns gives the answers.
    fn finish(&mut self, mut group: Group<'_>) -> impl FnOnce() + use<> {
        group.close_batch();
        let batches = std::mem::take(&mut group.batches);
        let changes = !batches.is_empty();
        let written = |writer: &Self| if changes { writer.write(batches, &group.leftovers) } else { Ok(()) };
        let failure = self.shared.running().and_then(|()| written(self)).err();
        if let Some(StoreError::Stopped { cause }) = &failure {
            self.shared.stop(cause);
        } else if changes {
            (self.root, self.trees) = (group.root, group.trees);
            self.publish();
            for digest in &group.unlinked {
                if let Err(error) = fs::remove_file(self.shared.engine.layout.blob(*digest)) {
                    tracing::warn!(%digest, %error, "the file of a removed blob stays until the next start");
                }
            }
            let watches = self.shared.watches();
            group.touched.iter().for_each(|(version, keys)| watches.notify(keys, *version));
        }
        let answers = group.answers;
        move || answers.into_iter().for_each(|answer| answer(failure.clone()))
    }

    /// Applies batches and waits until they are on disk. After a failure nobody knows what is: the store must stop.
    fn write(&self, batches: Vec<sled::Batch>, leftovers: &BTreeSet<Vec<u8>>) -> Result<(), StoreError> {
        let engine = &self.shared.engine;
        for batch in batches {
            engine.items.apply_batch(batch).map_err(engine_failed)?;
        }
        let leftovers: Vec<_> = leftovers.iter().collect();
        for names in leftovers.chunks(BATCH_OPERATIONS) {
            let mut batch = sled::Batch::default();
            names.iter().for_each(|name| batch.remove(name.as_slice()));
            engine.items.apply_batch(batch).map_err(engine_failed)?;
        }
        engine.db.flush().map_err(engine_failed)?;
        self.log.sync_data().map_err(|error| StoreError::Stopped { cause: format!("fsync of the store failed: {error}") })
    }

    /// Lets the rest of the store know what is durable now.
    fn publish(&self) {
        if let Err(error) = self.mark.write(self.root.version) {
            tracing::warn!(%error, "the mark of the newest acknowledged write was not written");
        }
        self.shared.set_account(self.root, &self.trees);
    }

    /// Writes a verified stream into an empty store. A mark in the engine makes the next open empty it if this does not reach its end.
    fn import(&mut self, spool: &Spool) -> Result<Summary, StoreError> {
        self.shared.running()?;
        let bytes = spool.file.metadata().map_err(|error| StoreError::Spool { cause: error.to_string() })?.len();
        self.shared.may_write(bytes, false)?;
        let records = self.trees.values().map(|tally| tally.count).sum();
        if records > 0 || self.root.blobs.count > 0 {
            return Err(StoreError::NotEmpty { records, blobs: self.root.blobs.count });
        }
        let written = self.import_from(BufReader::new(&spool.file));
        if let Err(error) = &written {
            self.shared.stop(&format!("an import ended early ({error}); the next start empties the store again"));
        }
        written
    }

    fn import_from(&mut self, from: impl Read) -> Result<Summary, StoreError> {
        let mut batch = sled::Batch::default();
        batch.insert(IMPORTING, seal(IMPORTING, &[]));
        self.write(vec![batch], &BTreeSet::new())?;
        let shared = self.shared.clone();
        let mut reader = StreamReader::begin(from)?;
        let header = reader.summary();
        let root =
            Root { version: header.version.max(self.root.version).next(), term: header.term.max(self.root.term), blobs: Tally::default() };
        let mut group = Group::new(&shared, root, BTreeMap::new());
        while let Some(part) = reader.next()? {
            match part {
                Part::Record(key, version, value) => {
                    group.make_room(2 + value.len().div_ceil(PIECE_BYTES));
                    group.put(&key, None, &value, version);
                    group.heads.clear();
                }
                Part::Blob(digest, content) => group.put_blob(digest, &content, root.version)?,
            }
            group.blobs.clear();
            for batch in group.batches.drain(..) {
                shared.engine.items.apply_batch(batch).map_err(engine_failed)?;
            }
        }
        group.make_room(1);
        group.current.remove(IMPORTING);
        group.cost += 1;
        group.close_batch();
        self.write(std::mem::take(&mut group.batches), &BTreeSet::new())?;
        (self.root, self.trees) = (group.root, group.trees);
        self.publish();
        shared.watches().notify_all(self.root.version);
        Ok(reader.summary())
    }
}

/// Answers one request: with the given failure of its whole group, or with what was decided for it.
type Answer = Box<dyn FnOnce(Option<StoreError>) + Send>;

/// Requests that become durable together, each judged in the state that those before it leave.
struct Group<'a> {
    shared: &'a Shared,
    root: Root,
    trees: BTreeMap<String, Tally>,
    /// Records and blobs as the group leaves them.
    heads: BTreeMap<Key, Option<Head>>,
    blobs: BTreeMap<Digest, Option<BlobHead>>,
    batches: Vec<sled::Batch>,
    current: sled::Batch,
    /// Operations in the current batch, at most.
    cost: usize,
    dirty_trees: BTreeSet<String>,
    /// Pieces of earlier, longer values. They mean nothing to readers, so they go after the batches, outside their atomicity.
    leftovers: BTreeSet<Vec<u8>>,
    /// Files of removed blobs, to be removed once the removal is durable.
    unlinked: BTreeSet<Digest>,
    touched: Vec<(Version, BTreeSet<Key>)>,
    /// Bytes that the group will write.
    bytes: u64,
    answers: Vec<Answer>,
}

impl<'a> Group<'a> {
    fn new(shared: &'a Shared, root: Root, trees: BTreeMap<String, Tally>) -> Self {
        Self {
            shared,
            root,
            trees,
            heads: BTreeMap::new(),
            blobs: BTreeMap::new(),
            batches: Vec::new(),
            current: sled::Batch::default(),
            cost: 0,
            dirty_trees: BTreeSet::new(),
            leftovers: BTreeSet::new(),
            unlinked: BTreeSet::new(),
            touched: Vec::new(),
            bytes: 0,
            answers: Vec::new(),
        }
    }

    /// Operations staged so far.
    fn staged(&self) -> usize {
        self.batches.len() * BATCH_OPERATIONS + self.cost
    }

    fn take(&mut self, request: Request) {
        let answer = match request {
            Request::Commit(commit, reply) => answer(reply, self.commit(&commit)),
            Request::Term(reply) => answer(reply, self.term()),
            Request::PutBlobs(blobs, reply) => answer(reply, self.put_blobs(&blobs)),
            Request::DeleteBlobs(fence, blobs, reply) => answer(reply, self.delete_blobs(fence, &blobs)),
            Request::Import(_, reply) => answer(reply, Err(StoreError::Stopped { cause: "BUG: an import in a group".to_owned() })),
        };
        self.answers.push(answer);
    }

    fn commit(&mut self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        check_fence(commit.fence, self.root.term)?;
        if let Some(conflict) = first_conflict(&commit.conditions, |key| Ok(self.head(key)?.map(|head| head.version)))? {
            return Ok(conflict);
        }
        // All that can fail comes before the first change.
        let before = commit.operations.iter().map(|operation| self.head(operation.key())).collect::<Result<Vec<_>, _>>()?;
        let bytes: u64 = commit.operations.iter().map(operation_bytes).sum();
        self.shared.may_write(self.bytes + bytes, commit.only_removes())?;
        let version = self.root.version.next();
        let mut touched = BTreeSet::new();
        self.make_room(commit.operations.iter().map(operation_cost).sum());
        for (operation, before) in commit.operations.iter().zip(before) {
            match operation {
                Operation::Put(key, value) => self.put(key, before, value, version),
                Operation::Delete(key) => match before {
                    Some(before) => self.delete(key, before),
                    None => continue,
                },
            }
            touched.insert(operation.key().clone());
        }
        if !touched.is_empty() {
            self.root.version = version;
            self.bytes += bytes;
            self.touched.push((version, touched));
        }
        Ok(CommitOutcome::Committed(self.root.version))
    }

    fn term(&mut self) -> Result<Term, StoreError> {
        self.shared.may_write(self.bytes, false)?;
        self.make_room(1);
        self.cost += 1;
        self.root.version = self.root.version.next();
        self.root.term = self.root.term.next();
        Ok(self.root.term)
    }

    fn put_blobs(&mut self, blobs: &[(Digest, Bytes)]) -> Result<(), StoreError> {
        let bytes: u64 = blobs.iter().map(|(_, content)| content.len() as u64).sum();
        self.shared.may_write(self.bytes + bytes, false)?;
        if blobs.is_empty() {
            return Ok(());
        }
        self.bytes += bytes;
        self.root.version = self.root.version.next();
        // The number is used up even if a file below fails.
        self.make_room(1);
        self.cost += 1;
        let touched = self.root.version;
        blobs.iter().try_for_each(|(digest, content)| self.put_blob(*digest, content, touched))
    }

    fn put_blob(&mut self, digest: Digest, content: &[u8], touched: Version) -> Result<(), StoreError> {
        let place = if content.len() > INLINE_LIMIT { Place::File } else { Place::Inline };
        let head = BlobHead { touched, length: content.len() as u64, place };
        let before = self.blob_head(digest)?;
        let staged = matches!(self.blobs.get(&digest), Some(Some(_)));
        self.make_room(1 + usize::from(head.pieces()));
        // What is there and intact is only stamped anew; what is damaged is written again.
        if !before.is_some_and(|before| staged || self.shared.engine.blob(digest, before).is_ok()) {
            match place {
                Place::File => disk::write_blob(&self.shared.engine.layout, digest, content)
                    .map_err(|error| StoreError::BlobFile { digest, cause: error.to_string() })?,
                Place::Inline => {
                    for (piece, bytes) in (0..).zip(content.chunks(PIECE_BYTES)) {
                        let name = blob_piece_name(digest, piece);
                        self.current.insert(&*name, seal(&name, &[bytes]));
                    }
                }
            }
        }
        if before.is_none() {
            self.root.blobs.add(blob_member(digest));
        }
        let name = blob_name(digest);
        self.current.insert(&*name, head.seal(&name));
        self.cost += 1 + usize::from(head.pieces());
        self.blobs.insert(digest, Some(head));
        self.unlinked.remove(&digest);
        Ok(())
    }

    fn delete_blobs(&mut self, fence: Option<Term>, blobs: &[BlobInfo]) -> Result<u64, StoreError> {
        check_fence(fence, self.root.term)?;
        if self.shared.exports.load(Ordering::SeqCst) > 0 {
            return Err(StoreError::ExportRunning);
        }
        self.shared.may_write(self.bytes, true)?;
        let heads = blobs.iter().map(|blob| self.blob_head(blob.digest)).collect::<Result<Vec<_>, _>>()?;
        let mut removed = 0;
        for (blob, head) in blobs.iter().zip(heads) {
            // The same blob may be named twice in one call.
            let gone = matches!(self.blobs.get(&blob.digest), Some(None));
            let Some(head) = head.filter(|head| head.touched == blob.touched && !gone) else { continue };
            self.make_room(2 + usize::from(head.pieces()));
            (0..head.pieces()).for_each(|piece| self.current.remove(blob_piece_name(blob.digest, piece)));
            self.current.remove(blob_name(blob.digest));
            self.cost += 1 + usize::from(head.pieces());
            self.root.blobs.remove(blob_member(blob.digest));
            self.blobs.insert(blob.digest, None);
            if head.place == Place::File {
                self.unlinked.insert(blob.digest);
            }
            removed += 1;
        }
        if removed > 0 {
            self.root.version = self.root.version.next();
        }
        Ok(removed)
    }

    fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        match self.heads.get(key) {
            Some(staged) => Ok(*staged),
            None => self.shared.engine.head(key),
        }
    }

    fn blob_head(&self, digest: Digest) -> Result<Option<BlobHead>, StoreError> {
        match self.blobs.get(&digest) {
            Some(staged) => Ok(*staged),
            None => self.shared.engine.blob_head(digest),
        }
    }

    fn put(&mut self, key: &Key, before: Option<Head>, value: &[u8], version: Version) {
        let head = Head { version, length: value.len() };
        let mut pieces = value.chunks(PIECE_BYTES);
        let name = record_name(key);
        self.current.insert(&*name, head.seal(&name, pieces.next().unwrap_or_default()));
        for (number, piece) in (1..).zip(pieces) {
            let name = piece_name(key, number);
            self.leftovers.remove(&name);
            self.current.insert(&*name, seal(&name, &[&version.0.to_be_bytes(), piece]));
        }
        self.leave_over(key, head.more_pieces(), before);
        self.cost += 1 + usize::from(head.more_pieces());
        let tally = self.tally(key);
        tally.add(record_member(key, version));
        if let Some(before) = before {
            tally.remove(record_member(key, before.version));
        }
        self.heads.insert(key.clone(), Some(head));
    }

    fn delete(&mut self, key: &Key, before: Head) {
        self.current.remove(record_name(key));
        self.cost += 1;
        self.leave_over(key, 0, Some(before));
        self.tally(key).remove(record_member(key, before.version));
        self.heads.insert(key.clone(), None);
    }

    fn leave_over(&mut self, key: &Key, kept: u16, before: Option<Head>) {
        let old = before.map_or(0, Head::more_pieces);
        self.leftovers.extend((kept + 1..=old).map(|number| piece_name(key, number)));
    }

    fn tally(&mut self, key: &Key) -> &mut Tally {
        if self.dirty_trees.insert(key.tree().to_owned()) {
            self.cost += 1;
        }
        self.trees.entry(key.tree().to_owned()).or_default()
    }

    /// Begins a new batch if `operations` more do not fit into the current one beside the root account.
    fn make_room(&mut self, operations: usize) {
        if self.cost + operations + 1 > BATCH_OPERATIONS {
            self.close_batch();
        }
    }

    /// Ends the current batch with the accounts as of now, so that each batch leaves a store that agrees with itself.
    fn close_batch(&mut self) {
        if self.cost == 0 {
            return;
        }
        for tree in std::mem::take(&mut self.dirty_trees) {
            let name = tree_name(&tree);
            let tally = self.trees.get(&tree).copied().unwrap_or_default();
            self.current.insert(&*name, tally.seal(&name));
        }
        self.current.insert(ROOT, self.root.seal());
        self.batches.push(std::mem::take(&mut self.current));
        self.cost = 0;
    }
}

fn answer<T: Send + 'static>(reply: Reply<T>, result: Result<T, StoreError>) -> Answer {
    Box::new(move |failure| {
        // A caller that has gone away needs no answer.
        let _ = reply.send(failure.map_or(result, Err));
    })
}

/// Operations of the engine that one operation of a commit becomes, at most: head, further pieces, its tree's account.
fn operation_cost(operation: &Operation) -> usize {
    match operation {
        Operation::Put(_, value) => 2 + value.len() / PIECE_BYTES,
        Operation::Delete(_) => 2,
    }
}

fn operation_bytes(operation: &Operation) -> u64 {
    match operation {
        Operation::Put(key, value) => (key.as_str().len() + value.len()) as u64,
        Operation::Delete(key) => key.as_str().len() as u64,
    }
}
