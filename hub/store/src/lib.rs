//! Durable state of the hub: records under keys, blobs under digests, one trait, two implementations. It knows no word of the hub's
//! vocabulary: which trees there are and what their values mean is left to its users.
//!
//! [`SledStore`] keeps everything in one directory for one hub; [`MemoryStore`] keeps nothing and serves simulation. Both pass
//! [`conformance`]. An answer that says "done" means: on disk, through `fsync`.

mod blob;
mod commit;
pub mod conformance;
mod embedded;
mod error;
mod key;
mod memory;
mod report;
mod stream;
mod watch;

use std::fmt;
use std::future::Future;
use std::io::{Read, Write};
use std::pin::Pin;

use bytes::Bytes;
use shared_model::Digest;

pub use blob::{BLOB_CALL_BYTES, BLOB_LIMIT, BLOBS_PER_CALL, BlobInfo, BlobPage};
pub use commit::{COMMIT_BYTES, COMMIT_PARTS, Commit, CommitOutcome, Condition, Operation, VALUE_LIMIT};
pub use embedded::{FORMAT, INLINE_LIMIT, OpenError, SledConfig, SledStore, WhenDamaged};
pub use error::{Bound, Flaw, StoreError, StreamFlaw};
pub use key::{InvalidKey, KEY_LIMIT, Key, Prefix, TREE_LIMIT, Term, Version};
pub use memory::MemoryStore;
pub use report::{CheckReport, DAMAGE_LIMIT, Damage, Scope};
pub use stream::{STREAM_FORMAT, Summary};

/// What each operation of a store returns.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The most entries of one page of a range or of blobs.
pub const PAGE_LIMIT: usize = 1_000;

/// Where a page ends early, in bytes of values: 4 MiB. A page holds at most this and one more value of 100 KiB, instead of the 100 MB that
/// 1,000 values could have.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A stored value. Its `Debug` tells the length only: values may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was put.
    pub value: Bytes,
    /// The commit that put it; what [`Condition::Version`] compares with.
    pub version: Version,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} bytes at version {})", self.value.len(), self.version)
    }
}

/// A part of a range, in the order of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<(Key, Entry)>,
    /// Where the next page starts (`start_after`); `None` if this is the last.
    pub next: Option<Key>,
}

/// Durable state. Used as `Arc<dyn Store>`.
///
/// Reads see only what is durable, and each call sees one moment. A future that is dropped before it ends may or may not have had its
/// effect; reading tells.
pub trait Store: Send + Sync {
    /// The value of `key`, or `None` if it has none. A damaged value is an error, never `None`.
    fn get<'a>(&'a self, key: &Key) -> StoreFuture<'a, Option<Entry>>;

    /// At most `limit` (up to [`PAGE_LIMIT`]) entries below `prefix` whose key is greater than `start_after`.
    fn range<'a>(&'a self, prefix: &Prefix, start_after: Option<&Key>, limit: usize) -> StoreFuture<'a, Page>;

    /// Carries out all operations of `commit` at once if its term is the newest and its conditions hold.
    fn commit(&self, commit: Commit) -> StoreFuture<'_, CommitOutcome>;

    /// Issues the next term and shuts out all earlier ones.
    fn acquire_term(&self) -> StoreFuture<'_, Term>;

    /// Stores contents under their digests, with one flush for all, and returns the digests in the same order. Content that is there
    /// already is stamped anew ([`BlobInfo::touched`]), so that a collection under way leaves it, and repaired if it was damaged. At most
    /// [`BLOBS_PER_CALL`] blobs of at most [`BLOB_LIMIT`] bytes, [`BLOB_CALL_BYTES`] together. If it fails, some may have been stored.
    fn put_blobs(&self, contents: Vec<Bytes>) -> StoreFuture<'_, Vec<Digest>>;

    /// The content named by `digest`, verified, or `None` if it is not stored.
    fn get_blob(&self, digest: Digest) -> StoreFuture<'_, Option<Bytes>>;

    /// For each digest whether its blob is stored, in the same order; at most [`BLOBS_PER_CALL`]. A blob that nothing refers to yet may be
    /// collected right after: put what a new record will refer to, do not only ask.
    fn has_blobs(&self, digests: Vec<Digest>) -> StoreFuture<'_, Vec<bool>>;

    /// At most `limit` (up to [`PAGE_LIMIT`]) blobs whose digest is greater than `start_after`, for collection.
    fn list_blobs(&self, start_after: Option<Digest>, limit: usize) -> StoreFuture<'_, BlobPage>;

    /// Removes those of `blobs` (up to [`PAGE_LIMIT`]) that nobody has put again since they were listed (same [`BlobInfo::touched`]), and
    /// returns how many that were. A collector lists, waits for longer than a render takes, looks for references, then removes.
    fn delete_blobs(&self, fence: Option<Term>, blobs: Vec<BlobInfo>) -> StoreFuture<'_, u64>;

    /// A receiver that always holds the version of the latest commit that touched `prefix`; it starts with a value that counts as seen.
    fn watch(&self, prefix: &Prefix) -> tokio::sync::watch::Receiver<u64>;

    /// Writes all records as of one moment, and all blobs that were there then, as one checksummed stream. The store stays in use.
    fn export(&self, to: Box<dyn Write + Send>) -> StoreFuture<'_, Summary>;

    /// Fills an empty store from such a stream, with the same versions and a term at least as high. The whole stream is verified first;
    /// if it has a flaw, the store stays empty.
    fn import(&self, from: Box<dyn Read + Send>) -> StoreFuture<'_, Summary>;

    /// How the store is: in an instant, or after reading and verifying everything.
    fn check(&self, scope: Scope) -> StoreFuture<'_, CheckReport>;
}
