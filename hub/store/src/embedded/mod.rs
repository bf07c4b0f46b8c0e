//! The store of one hub in one directory, on sled 0.34. What sled does not promise is done around it: one fsync per group of writes, a
//! checksum per value, an account of all that is stored, large blobs in files. No type of sled leaves this module.

mod disk;
mod layout;
mod opening;
mod reading;
mod writing;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use shared_model::Digest;
use tokio::sync::{RwLock, mpsc, oneshot};
use tokio::task::spawn_blocking;

pub use layout::INLINE_LIMIT;
pub use opening::{FORMAT, OpenError};

use crate::blob::{self, BLOBS_PER_CALL, BlobInfo, BlobPage};
use crate::commit::{Commit, CommitOutcome};
use crate::error::{Bound, StoreError, within};
use crate::key::{Key, Prefix, Term, Version};
use crate::report::{CheckReport, Damage, Scope};
use crate::stream::{Part, StreamReader, StreamWriter, Summary};
use crate::watch::Watches;
use crate::{Entry, PAGE_LIMIT, Page, Store, StoreFuture};
use disk::DirectoryLock;
use layout::{Root, Tally};
use reading::Engine;
use writing::{QUEUED_REQUESTS, Reply, Request, Writer};

/// What an operator may want to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SledConfig {
    /// Memory that the engine may use for pages, in bytes. 64 MiB; more helps a hub with very many apps.
    pub cache_bytes: u64,
    /// Free bytes on the disk below which writes are refused, because the engine fails for good on a full disk. 256 MiB.
    pub disk_floor_bytes: u64,
    /// Bytes held in a file that is given up when the disk is full at start, because the engine cannot open then. 32 MiB; 0 for none.
    pub ballast_bytes: u64,
    /// What to do with a damaged store.
    pub when_damaged: WhenDamaged,
}

/// What opening does when it finds that something stored is missing or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDamaged {
    /// Refuse, naming what is damaged. For a hub.
    Refuse,
    /// Open without taking writes, so that what is intact can be read. For rescue by an operator.
    ReadOnly,
}

impl Default for SledConfig {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, disk_floor_bytes: 256 << 20, ballast_bytes: 32 << 20, when_damaged: WhenDamaged::Refuse }
    }
}

/// A store in a directory, for one process at a time. Dropping it waits for the write that is under way.
pub struct SledStore {
    shared: Arc<Shared>,
    /// `None` only while being dropped.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

/// What readers and the writer share.
struct Shared {
    engine: Engine,
    config: SledConfig,
    /// Readers share it; the writer has it alone from the first change to the last fsync. Fair, so that neither starves.
    gate: Arc<RwLock<()>>,
    watches: Mutex<Watches>,
    account: Mutex<Account>,
    /// Exports under way; blobs are not removed meanwhile.
    exports: AtomicUsize,
    /// Numbers the temporary files.
    spools: AtomicU64,
    /// The last field: held until the engine is closed.
    _lock: DirectoryLock,
}

/// What is known without reading.
#[derive(Debug, Default)]
struct Account {
    root: Root,
    records: u64,
    stopped: Option<String>,
    damages: Vec<Damage>,
    damage_count: u64,
}

impl SledStore {
    /// Opens the store in `path`, or creates one. It blocks for as long as all records take to read.
    pub fn open(path: impl AsRef<Path>, config: SledConfig) -> Result<Self, OpenError> {
        let opened = opening::open(path.as_ref(), &config)?;
        let report = opened.examination.report;
        let account = Account {
            root: opened.root,
            records: report.records,
            stopped: None,
            damages: report.damages,
            damage_count: report.damage_count,
        };
        let shared = Arc::new(Shared {
            engine: opened.engine,
            config,
            gate: Arc::new(RwLock::new(())),
            watches: Mutex::default(),
            account: Mutex::new(account),
            exports: AtomicUsize::new(0),
            spools: AtomicU64::new(0),
            _lock: opened.lock,
        });
        let (requests, waiting) = mpsc::channel(QUEUED_REQUESTS);
        let writer = Writer {
            shared: shared.clone(),
            requests: waiting,
            root: opened.root,
            trees: opened.examination.trees,
            mark: opened.mark,
            log: opened.log,
        };
        let writer = std::thread::Builder::new().name("store-writer".to_owned()).spawn(|| writer.run());
        let writer = writer.map_err(|source| OpenError::Directory { path: path.as_ref().to_owned(), source })?;
        Ok(Self { shared, requests: Some(requests), writer: Some(writer) })
    }

    /// Runs `work` on a thread that may block, while nothing is being written.
    fn read<'a, T: Send + 'static>(&'a self, work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let shared = self.shared.clone();
            let unwritten = shared.gate.clone().read_owned().await;
            shared.running()?;
            blocking(move || {
                let result = work(&shared);
                drop(unwritten);
                if let Err(StoreError::Stopped { cause }) = &result {
                    shared.stop(cause);
                }
                result
            })
            .await
        })
    }

    /// Hands a request to the writer and waits for its answer.
    async fn write<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let ended = || StoreError::Stopped { cause: self.shared.stopped().unwrap_or_else(|| "the writer has ended".to_owned()) };
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        requests.send(request(reply)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// Runs `work` where blocking is allowed; a panic there is an answer.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::Stopped { cause: format!("BUG: reading the store ended early: {error}") }))
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // The writer catches its panics; there is nobody to tell here.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        // Only plain values are assigned under the lock, so a panic leaves nothing half done.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_account(&self, root: Root, trees: &BTreeMap<String, Tally>) {
        let mut account = self.account();
        account.root = root;
        account.records = trees.values().map(|tally| tally.count).sum();
    }

    /// Ends all service: what is durable is not known any more.
    fn stop(&self, cause: &str) {
        let mut account = self.account();
        if account.stopped.is_none() {
            tracing::error!(cause, "the store has stopped");
            account.stopped = Some(cause.to_owned());
        }
    }

    fn stopped(&self) -> Option<String> {
        self.account().stopped.clone()
    }

    fn running(&self) -> Result<(), StoreError> {
        self.stopped().map_or(Ok(()), |cause| Err(StoreError::Stopped { cause }))
    }

    /// Whether `bytes` more may be written now. What only removes may go below the floor, since it makes room.
    fn may_write(&self, bytes: u64, only_removes: bool) -> Result<(), StoreError> {
        if self.config.when_damaged == WhenDamaged::ReadOnly && self.account().damage_count > 0 {
            return Err(StoreError::ReadOnly);
        }
        let floor = if only_removes { self.config.disk_floor_bytes.min(writing::REMOVAL_RESERVE) } else { self.config.disk_floor_bytes };
        let free = self.free_bytes()?;
        if free.saturating_sub(bytes) < floor { Err(StoreError::DiskFloor { free, floor }) } else { Ok(()) }
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        disk::free_bytes(&self.engine.layout.root).map_err(|error| StoreError::Spool { cause: error.to_string() })
    }

    /// A new temporary file. It is removed when the handle goes.
    fn spool(&self) -> Result<Spool, StoreError> {
        let number = self.spools.fetch_add(1, Ordering::Relaxed);
        let path = self.engine.layout.incoming().join(format!("spool-{number}"));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        file.map(|file| Spool { file, path }).map_err(|error| StoreError::Spool { cause: error.to_string() })
    }

    /// Copies a stream into a file and verifies all of it on the way.
    fn receive(&self, from: impl Read) -> Result<Spool, StoreError> {
        let mut spool = self.spool()?;
        let mut copy = Copying { from, to: BufWriter::new(&spool.file) };
        let mut reader = StreamReader::begin(BufReader::new(&mut copy))?;
        while reader.next()?.is_some() {}
        let unwritten = |error: std::io::Error| StoreError::Spool { cause: error.to_string() };
        copy.to.flush().map_err(unwritten)?;
        drop(copy);
        spool.file.rewind().map_err(unwritten)?;
        Ok(spool)
    }

    /// Writes an export: records of one moment into a temporary file while nothing is written, then that file and all blobs to `to`, while
    /// the store goes on.
    fn export(&self, unwritten: impl Drop, to: impl Write) -> Result<Summary, StoreError> {
        let mut spool = self.spool()?;
        let spooled = |error: std::io::Error| StoreError::Spool { cause: error.to_string() };
        let root = self.account().root;
        let mut records = StreamWriter::begin(BufWriter::new(&spool.file), root.version, root.term)?;
        self.engine.export_records(&mut records)?;
        records.end()?;
        drop(unwritten);

        spool.file.rewind().map_err(spooled)?;
        let mut records = StreamReader::begin(BufReader::new(&spool.file))?;
        let mut writer = StreamWriter::begin(BufWriter::new(to), root.version, root.term)?;
        while let Some(record) = records.next()? {
            writer.part(&record)?;
        }
        self.each_blob(|digest, content| writer.part(&Part::Blob(digest, content?)))?;
        writer.end()
    }

    /// Calls `visit` with each blob's verified content. It keeps the writer out only while it looks at the engine, one blob at a time, so
    /// blobs that come or go meanwhile may be visited or not. Must run where blocking is allowed.
    fn each_blob(&self, mut visit: impl FnMut(Digest, Result<Bytes, StoreError>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = {
                let _unwritten = self.gate.blocking_read();
                self.engine.list_blobs(after, PAGE_LIMIT)?
            };
            for info in page.blobs {
                let source = {
                    let _unwritten = self.gate.blocking_read();
                    self.running()?;
                    self.engine
                        .blob_head(info.digest)
                        .and_then(|head| head.map(|head| self.engine.blob_source(info.digest, head)).transpose())
                };
                if let Some(source) = source.transpose() {
                    visit(info.digest, source.and_then(|source| source.read(info.digest)))?;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Adds the blobs whose content is damaged to what an examination found.
    fn check_blobs(&self, mut report: CheckReport) -> Result<CheckReport, StoreError> {
        self.each_blob(|_, content| match content {
            Err(StoreError::CorruptBlob { digest, flaw }) => {
                let known = report.damages.iter().any(|damage| matches!(damage, Damage::Blob(known, _) if *known == digest));
                if !known {
                    report.damaged(Damage::Blob(digest, flaw));
                }
                Ok(())
            }
            content => content.map(drop),
        })?;
        Ok(report)
    }
}

/// A temporary file of the store.
struct Spool {
    file: File,
    path: PathBuf,
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays is removed at the next open.
        let _ = fs::remove_file(&self.path);
    }
}

/// A reader that writes what it reads into a file.
struct Copying<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Copying<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.to.write_all(&buffer[..read])?;
        Ok(read)
    }
}

/// Keeps blobs from being removed as long as it lives.
struct Exporting(Arc<Shared>);

impl Exporting {
    fn begin(shared: Arc<Shared>) -> Self {
        shared.exports.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.0.exports.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Store for SledStore {
    fn get<'a>(&'a self, key: &Key) -> StoreFuture<'a, Option<Entry>> {
        let key = key.clone();
        self.read(move |shared| shared.engine.record(&key))
    }

    fn range<'a>(&'a self, prefix: &Prefix, start_after: Option<&Key>, limit: usize) -> StoreFuture<'a, Page> {
        let (prefix, start_after) = (prefix.clone(), start_after.cloned());
        self.read(move |shared| {
            within(Bound::PageEntries, limit, PAGE_LIMIT)?;
            shared.engine.range(&prefix, start_after.as_ref(), limit)
        })
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, CommitOutcome> {
        Box::pin(async move {
            commit.check_limits()?;
            self.write(|reply| Request::Commit(commit, reply)).await
        })
    }

    fn acquire_term(&self) -> StoreFuture<'_, Term> {
        Box::pin(self.write(Request::Term))
    }

    fn put_blobs(&self, contents: Vec<Bytes>) -> StoreFuture<'_, Vec<Digest>> {
        Box::pin(async move {
            blob::check_limits(&contents)?;
            let named =
                blocking(move || Ok(contents.into_iter().map(|content| (Digest::of(&content), content)).collect::<Vec<_>>())).await?;
            let digests = named.iter().map(|(digest, _)| *digest).collect();
            self.write(|reply| Request::PutBlobs(named, reply)).await?;
            Ok(digests)
        })
    }

    fn get_blob(&self, digest: Digest) -> StoreFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            let find = move |shared: &Shared| match shared.engine.blob_head(digest)? {
                Some(head) => shared.engine.blob_source(digest, head).map(Some),
                None => Ok(None),
            };
            match self.read(find).await? {
                // A file is open by now and is read without holding up the writer.
                Some(source) => blocking(move || source.read(digest).map(Some)).await,
                None => Ok(None),
            }
        })
    }

    fn has_blobs(&self, digests: Vec<Digest>) -> StoreFuture<'_, Vec<bool>> {
        self.read(move |shared| {
            within(Bound::Blobs, digests.len(), BLOBS_PER_CALL)?;
            digests.into_iter().map(|digest| Ok(shared.engine.blob_head(digest)?.is_some())).collect()
        })
    }

    fn list_blobs(&self, start_after: Option<Digest>, limit: usize) -> StoreFuture<'_, BlobPage> {
        self.read(move |shared| {
            within(Bound::PageEntries, limit, PAGE_LIMIT)?;
            shared.engine.list_blobs(start_after, limit)
        })
    }

    fn delete_blobs(&self, fence: Option<Term>, blobs: Vec<BlobInfo>) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            within(Bound::Blobs, blobs.len(), PAGE_LIMIT)?;
            self.write(|reply| Request::DeleteBlobs(fence, blobs, reply)).await
        })
    }

    fn watch(&self, prefix: &Prefix) -> tokio::sync::watch::Receiver<u64> {
        let now: Version = self.shared.account().root.version;
        self.shared.watches().subscribe(prefix, now)
    }

    fn export(&self, to: Box<dyn Write + Send>) -> StoreFuture<'_, Summary> {
        Box::pin(async move {
            let exporting = Exporting::begin(self.shared.clone());
            let unwritten = self.shared.gate.clone().read_owned().await;
            self.shared.running()?;
            blocking(move || exporting.0.export(unwritten, to)).await
        })
    }

    fn import(&self, from: Box<dyn Read + Send>) -> StoreFuture<'_, Summary> {
        Box::pin(async move {
            self.shared.may_write(0, false)?;
            let shared = self.shared.clone();
            let spool = blocking(move || shared.receive(from)).await?;
            self.write(|reply| Request::Import(spool, reply)).await
        })
    }

    fn check(&self, scope: Scope) -> StoreFuture<'_, CheckReport> {
        let quick = |shared: &Shared| {
            let account = shared.account();
            CheckReport {
                records: account.records,
                blobs: account.root.blobs.count,
                damages: account.damages.clone(),
                damage_count: account.damage_count,
                stopped: account.stopped.clone(),
                disk: None,
            }
        };
        Box::pin(async move {
            let disk = Some((self.shared.free_bytes()?, self.shared.config.disk_floor_bytes));
            if scope == Scope::Quick || self.shared.stopped().is_some() {
                return Ok(CheckReport { disk, ..quick(&self.shared) });
            }
            let report = self.read(|shared| Ok(shared.engine.examine()?.report)).await?;
            let shared = self.shared.clone();
            let found = blocking(move || shared.check_blobs(report)).await?;
            let mut account = self.shared.account();
            (account.damages, account.damage_count) = (found.damages, found.damage_count);
            drop(account);
            Ok(CheckReport { disk, ..quick(&self.shared) })
        })
    }
}
