//! Blobs as users of a store see them. Where their bytes are kept is left to each store.

use bytes::Bytes;
use shared_model::Digest;

use crate::error::{Bound, StoreError, within};
use crate::key::Version;

/// The largest blob in bytes: 64 MiB, well above the largest bundle seen (a chart of 20 MB).
pub const BLOB_LIMIT: usize = 64 * 1024 * 1024;

/// The most blobs of one call: with objects of 2 KB, 8 MB under one flush.
pub const BLOBS_PER_CALL: usize = 4_096;

/// The most bytes of one call: one blob of the largest size.
pub const BLOB_CALL_BYTES: usize = BLOB_LIMIT;

/// A stored blob, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub length: u64,
    /// When it was put last, as a version of the store. It changes with each put, so that removal can compare it.
    pub touched: Version,
}

/// A part of the list of blobs, in the order of digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobPage {
    /// The blobs.
    pub blobs: Vec<BlobInfo>,
    /// Where the next page starts (`start_after`); `None` if this is the last.
    pub next: Option<Digest>,
}

/// Refuses a call of too many or too large blobs.
pub(crate) fn check_limits(contents: &[Bytes]) -> Result<(), StoreError> {
    within(Bound::Blobs, contents.len(), BLOBS_PER_CALL)?;
    contents.iter().try_for_each(|content| within(Bound::BlobBytes, content.len(), BLOB_LIMIT))?;
    within(Bound::BlobCallBytes, contents.iter().map(Bytes::len).sum(), BLOB_CALL_BYTES)
}
