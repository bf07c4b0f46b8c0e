//! The copy of the ledger in the cluster: named parts that each fit into a Secret.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read, Write};
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

/// For each part something that changes whenever anybody writes it, so that equal marks mean equal bytes.
pub type Marks = BTreeMap<String, String>;

/// What a mirror's call returns.
pub type MirrorFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, MirrorError>> + Send + 'a>>;

/// Where the copy is kept.
pub trait Mirror: Send + Sync {
    /// The marks of all parts; none if there is no copy yet.
    fn marks(&self) -> MirrorFuture<'_, Marks>;

    /// All parts with their marks; none if there is no copy yet.
    fn read(&self) -> MirrorFuture<'_, (Parts, Marks)>;

    /// Writes these parts and leaves all others; returns the marks that they have now.
    fn write(&self, parts: Parts) -> MirrorFuture<'_, Marks>;

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

/// Packs blobs one by one: for each its digest, its length as four bytes big-endian, its bytes; all of it gzip-compressed.
pub(crate) struct Packer(GzEncoder<Chunks>);

/// What is written into it, in pieces of [`PART_LIMIT`]: one piece of memory that grows to all of it would be there twice each time it grows.
#[derive(Default)]
pub(crate) struct Chunks {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Chunks {
    fn len(&self) -> usize {
        self.full.len() * PART_LIMIT + self.last.len()
    }

    /// The parts `name-0`, `name-1` and so on; one at least.
    pub(crate) fn into_parts(self, name: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.full.into_iter().chain([self.last]).enumerate().map(move |(n, piece)| (format!("{name}-{n}"), piece))
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.last.len() == PART_LIMIT {
            self.full.push(std::mem::take(&mut self.last));
        }
        let room = bytes.len().min(PART_LIMIT - self.last.len());
        self.last.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Packer {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self(GzEncoder::new(Chunks::default(), Compression::default()))
    }

    /// Adds a blob. They come in the order of their digests, so that equal contents make equal archives.
    pub(crate) fn add(&mut self, digest: &Digest, bytes: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        self.0.write_all(digest.as_bytes())?;
        self.0.write_all(&length.to_be_bytes())?;
        self.0.write_all(bytes)
    }

    /// Whether it is over [`MIRROR_LIMIT`] already.
    pub(crate) fn is_full(&self) -> bool {
        self.0.get_ref().len() > MIRROR_LIMIT
    }

    /// The archive; `None` if it is over [`MIRROR_LIMIT`].
    pub(crate) fn finish(self) -> std::io::Result<Option<Chunks>> {
        Ok(Some(self.0.finish()?).filter(|chunks| chunks.len() <= MIRROR_LIMIT))
    }
}

/// Undoes [`Packer`]: gives one blob after the other to `take`, so that no more than one is in memory unpacked. A blob that is not what its digest
/// says is an error, as is an archive that ends early; what was given before is good all the same.
pub(crate) fn unpack(archive: impl Read, mut take: impl FnMut(Digest, Vec<u8>) -> Result<(), String>) -> Result<(), String> {
    let mut reader = GzDecoder::new(archive).take(UNPACKED_LIMIT);
    loop {
        let mut digest = Vec::with_capacity(32);
        (&mut reader).take(32).read_to_end(&mut digest).map_err(|error| error.to_string())?;
        if digest.is_empty() {
            return Ok(());
        }
        let digest = <[u8; 32]>::try_from(digest).map_err(|_| "it ends within a digest")?;
        let mut length = [0; 4];
        reader.read_exact(&mut length).map_err(|error| format!("within a length: {error}"))?;
        let length = u64::from(u32::from_be_bytes(length));
        let mut blob = Vec::new();
        (&mut reader).take(length).read_to_end(&mut blob).map_err(|error| error.to_string())?;
        let digest = Digest::from_bytes(digest);
        if blob.len() as u64 != length || Digest::of(&blob) != digest {
            return Err(format!("the blob {digest} is another one, or not whole"));
        }
        take(digest, blob)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_unpacks_to_what_was_packed_and_a_damaged_one_is_refused() {
        let blobs: BTreeMap<_, _> =
            ["", "a", &"x".repeat(70_000)].map(|text| (Digest::of(text.as_bytes()), text.as_bytes().to_vec())).into();
        let mut packer = Packer::new();
        blobs.iter().try_for_each(|(digest, bytes)| packer.add(digest, bytes)).expect("packed");
        let archive = packer.finish().expect("packed").expect("small").last;
        let mut found = BTreeMap::new();
        let take = |digest, blob| {
            found.insert(digest, blob);
            Ok(())
        };
        assert_eq!(unpack(&archive[..], take), Ok(()));
        assert_eq!(found, blobs);
        assert!(unpack(&archive[..archive.len() - 20], |_, _| Ok(())).is_err());
        assert!(unpack(&b"no archive"[..], |_, _| Ok(())).is_err());
    }

    #[test]
    fn what_is_packed_comes_in_pieces_of_the_size_of_a_part() {
        let mut chunks = Chunks::default();
        let bytes: Vec<u8> = (0..2 * PART_LIMIT + 7).map(|n| (n % 251) as u8).collect();
        chunks.write_all(&bytes).expect("written");
        assert_eq!((chunks.len(), chunks.full.len(), chunks.last.len()), (bytes.len(), 2, 7));
        assert_eq!([chunks.full.concat(), chunks.last].concat(), bytes);
    }
}
