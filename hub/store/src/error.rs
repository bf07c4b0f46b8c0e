//! What can go wrong with an open store. Losing a compare is not among it: that is [`CommitOutcome::Conflict`](crate::CommitOutcome).

use shared_model::Digest;

use crate::key::{Key, Term};

/// Why a store did not do what it was asked. Cloneable, because one failed flush answers every write that shared it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The writer's term is not the one issued last: another leader has taken over. Nothing was written.
    #[error("term {held} is fenced: the store's term is {highest}. Another hub leads now; stop writing and acquire a new term")]
    Fenced {
        /// The term that came with the write.
        held: Term,
        /// The highest term that the store has issued.
        highest: Term,
    },
    /// The disk is too full for writes. Reads still work.
    #[error(
        "the store's disk has {free} bytes free and writes stop below {floor}: free some space or enlarge the volume; reads still work"
    )]
    DiskFloor {
        /// Free bytes on the store's file system for this process.
        free: u64,
        /// The configured floor in bytes.
        floor: u64,
    },
    /// A stored record cannot be trusted. It is never reported as absent.
    #[error("the stored value of {key} is damaged ({flaw}): restore the store from its latest backup")]
    Corrupt {
        /// Which record.
        key: Key,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A stored blob cannot be trusted. Putting the same content again repairs it.
    #[error("the stored blob {digest} is damaged ({flaw}): store its content again or restore from the latest backup")]
    CorruptBlob {
        /// Which blob.
        digest: Digest,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A request is larger than a named bound. Nothing was written.
    #[error("{got} {bound} in one request; the limit is {limit}. Split the request")]
    Limit {
        /// Which bound.
        bound: Bound,
        /// What the request had.
        got: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// One commit has two operations on the same key, so that their order would decide. Nothing was written.
    #[error("the commit has two operations on {key}; a commit changes each key at most once")]
    Repeated {
        /// The key that occurs twice.
        key: Key,
    },
    /// The store stopped after a failure whose extent is unknown (a failed flush, a panic in the engine). Whether writes that were under
    /// way are durable is unknown; the next open tells.
    #[error("the store has stopped: {cause}. Look at the disk, then restart the process")]
    Stopped {
        /// The failure that stopped it.
        cause: String,
    },
    /// The store was opened although it is damaged and takes no writes.
    #[error("the store is damaged and opened for reading only: export what is readable, or restore it from its latest backup")]
    ReadOnly,
    /// A blob's file could not be written. The store goes on.
    #[error("the file of blob {digest} could not be written ({cause}): look at the store's disk, then try again")]
    BlobFile {
        /// Which blob.
        digest: Digest,
        /// What the file system said.
        cause: String,
    },
    /// A file for an export or import could not be made. The store goes on.
    #[error("the store's directory takes no temporary file ({cause}): look at its disk and permissions, then try again")]
    Spool {
        /// What the file system said.
        cause: String,
    },
    /// Import needs an empty store.
    #[error("import needs an empty store; this one has {records} records and {blobs} blobs. Import into a new directory")]
    NotEmpty {
        /// Records in the store.
        records: u64,
        /// Blobs in the store.
        blobs: u64,
    },
    /// The stream to import is not what export wrote. Nothing was imported.
    #[error("the stream to import is damaged at byte {offset}: {flaw}. Nothing was imported; use another backup")]
    Import {
        /// Where in the stream the first flaw was noticed, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        flaw: StreamFlaw,
    },
    /// The writer that was handed to export failed.
    #[error("the export could not be written: {cause}")]
    Export {
        /// What the writer said.
        cause: String,
    },
    /// Blobs are not removed while an export runs, because it might still need them.
    #[error("an export is running and blobs are kept until it ends: collect again later")]
    ExportRunning,
}

/// What is wrong with a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Checksum and content disagree.
    #[error("its checksum does not match")]
    Checksum,
    /// It is shorter than its own header says.
    #[error("it is cut short")]
    Short,
    /// It was written in a format that this binary does not know.
    #[error("it has format {0}, which this version does not know")]
    Format(u8),
    /// A part of it, or the file that holds it, is missing.
    #[error("a part of it is missing")]
    Missing,
    /// The content is not what its digest names.
    #[error("its content does not match its digest")]
    Digest,
}

/// What is wrong with a stream to import.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFlaw {
    /// The first bytes are not those of an export.
    #[error("it is not an export of a Capstan store")]
    Magic,
    /// A newer Capstan wrote it.
    #[error("it has format {found} and this version reads up to {supported}; import it with a newer Capstan")]
    NewerFormat {
        /// The stream's format.
        found: u16,
        /// The newest format that this binary reads.
        supported: u16,
    },
    /// The stream ends before its trailer.
    #[error("it ends too early")]
    Truncated,
    /// A part's checksum does not match.
    #[error("a checksum does not match")]
    Checksum,
    /// A part that is whole but cannot be: an invalid key, an unknown kind, a value beyond its limit, keys out of order.
    #[error("{0}")]
    Content(&'static str),
    /// The trailer counts other records or blobs than were read.
    #[error("the trailer counts {expected} parts and {found} were read")]
    Count {
        /// What the trailer says.
        expected: u64,
        /// What was read.
        found: u64,
    },
    /// Bytes after the trailer.
    #[error("something follows its end")]
    Trailing,
    /// The reader failed.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// The bounds of one request, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`COMMIT_PARTS`](crate::COMMIT_PARTS).
    CommitParts,
    /// [`COMMIT_BYTES`](crate::COMMIT_BYTES).
    CommitBytes,
    /// [`VALUE_LIMIT`](crate::VALUE_LIMIT).
    ValueBytes,
    /// [`PAGE_LIMIT`](crate::PAGE_LIMIT).
    PageEntries,
    /// [`BLOB_LIMIT`](crate::BLOB_LIMIT).
    BlobBytes,
    /// [`BLOBS_PER_CALL`](crate::BLOBS_PER_CALL).
    Blobs,
    /// [`BLOB_CALL_BYTES`](crate::BLOB_CALL_BYTES).
    BlobCallBytes,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CommitParts => "conditions and operations",
            Self::CommitBytes => "bytes of values",
            Self::ValueBytes => "bytes in a value",
            Self::PageEntries => "entries",
            Self::BlobBytes => "bytes in a blob",
            Self::Blobs => "blobs",
            Self::BlobCallBytes => "bytes of blobs",
        })
    }
}

/// Refuses `got` above `limit`.
pub(crate) fn within(bound: Bound, got: usize, limit: usize) -> Result<(), StoreError> {
    if got <= limit { Ok(()) } else { Err(StoreError::Limit { bound, got: got as u64, limit: limit as u64 }) }
}
