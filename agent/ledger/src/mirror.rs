//! The copy of the ledger in the cluster: named parts that each fit into a Secret.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::pin::Pin;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use shared_model::Digest;

/// The most bytes of one part: a Secret holds 1 MiB, base64 takes a third of it, and its other fields some.
pub const PART_LIMIT: usize = 700 << 10;

/// The most bytes of the desired state in all, compressed. Above it the copy holds everything but releases and objects, and a volume is
/// needed to survive a lost pod without the hub.
pub const MIRROR_LIMIT: usize = 8 << 20;

/// What the archive may hold after decompression: 16 times its limit, far above what gzip reaches on manifests (about 8).
const UNPACKED_LIMIT: u64 = 16 * MIRROR_LIMIT as u64;

/// Parts by name.
pub type Parts = BTreeMap<String, Vec<u8>>;

/// What a mirror's call returns.
pub type MirrorFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, MirrorError>> + Send + 'a>>;

/// Where the copy is kept.
pub trait Mirror: Send + Sync {
    /// All parts; none if there is no copy yet.
    fn read(&self) -> MirrorFuture<'_, Parts>;

    /// Writes these parts and leaves all others.
    fn write(&self, parts: Parts) -> MirrorFuture<'_, ()>;

    /// Removes these parts; it is no error if one is not there.
    fn remove(&self, names: Vec<String>) -> MirrorFuture<'_, ()>;
}

/// Why the copy could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's copy in the cluster cannot be {action}: {detail}")]
pub struct MirrorError {
    /// "read" or "written".
    pub action: &'static str,
    /// What the cluster said.
    pub detail: String,
}

/// Packs blobs: for each its digest, its length as four bytes big-endian, its bytes; all of it gzip-compressed.
pub(crate) fn pack(blobs: &BTreeMap<Digest, Vec<u8>>) -> std::io::Result<Vec<u8>> {
    let mut archive = GzEncoder::new(Vec::new(), Compression::default());
    for (digest, bytes) in blobs {
        let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        archive.write_all(digest.as_bytes())?;
        archive.write_all(&length.to_be_bytes())?;
        archive.write_all(bytes)?;
    }
    archive.finish()
}

/// Undoes [`pack`]. A blob that is not what its digest says is an error.
pub(crate) fn unpack(archive: &[u8]) -> Result<BTreeMap<Digest, Vec<u8>>, String> {
    let mut bytes = Vec::new();
    GzDecoder::new(archive).take(UNPACKED_LIMIT).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mut blobs = BTreeMap::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (digest, tail) = rest.split_first_chunk::<32>().ok_or("it ends within a digest")?;
        let (length, tail) = tail.split_first_chunk::<4>().ok_or("it ends within a length")?;
        let length = u32::from_be_bytes(*length) as usize;
        let (blob, tail) = tail.split_at_checked(length).ok_or("it ends within a blob")?;
        let digest = Digest::from_bytes(*digest);
        if Digest::of(blob) != digest {
            return Err(format!("the blob {digest} is another one"));
        }
        blobs.insert(digest, blob.to_vec());
        rest = tail;
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_unpacks_to_what_was_packed_and_a_damaged_one_is_refused() {
        let blobs: BTreeMap<_, _> =
            ["", "a", &"x".repeat(70_000)].map(|text| (Digest::of(text.as_bytes()), text.as_bytes().to_vec())).into();
        let archive = pack(&blobs).expect("packed");
        assert_eq!(unpack(&archive), Ok(blobs));
        assert!(unpack(&archive[..archive.len() - 20]).is_err());
        assert!(unpack(b"no archive").is_err());
    }
}
