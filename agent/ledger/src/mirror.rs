//! The copy of the ledger in the cluster: named parts that each fit into a Secret.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Read, Write};
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
pub(crate) struct Packer<F: FnMut(String, Vec<u8>) -> io::Result<()>>(GzEncoder<Pieces<F>>);

/// What is written into it, handed on as the parts `name-0`, `name-1` and so on, each as soon as it is full: all of them together are too much for
/// an agent's memory.
pub(crate) struct Pieces<F> {
    name: &'static str,
    full: usize,
    last: Vec<u8>,
    take: F,
}

impl<F: FnMut(String, Vec<u8>) -> io::Result<()>> Pieces<F> {
    /// Nothing yet.
    pub(crate) fn new(name: &'static str, take: F) -> Self {
        Self { name, full: 0, last: Vec::new(), take }
    }

    fn len(&self) -> usize {
        self.full * PART_LIMIT + self.last.len()
    }

    /// Hands on the last part; there is one at least.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.hand_on()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        (self.take)(format!("{}-{}", self.name, self.full), std::mem::take(&mut self.last))
    }
}

impl<F: FnMut(String, Vec<u8>) -> io::Result<()>> Write for Pieces<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() == PART_LIMIT {
            self.hand_on()?;
            self.full += 1;
        }
        let room = bytes.len().min(PART_LIMIT - self.last.len());
        self.last.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut(String, Vec<u8>) -> io::Result<()>> Packer<F> {
    /// Nothing yet.
    pub(crate) fn new(pieces: Pieces<F>) -> Self {
        Self(GzEncoder::new(pieces, Compression::default()))
    }

    /// Adds a blob. They come in the order of their digests, so that equal contents make equal archives.
    pub(crate) fn add(&mut self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.0.write_all(digest.as_bytes())?;
        self.0.write_all(&length.to_be_bytes())?;
        self.0.write_all(bytes)
    }

    /// Whether it is over [`MIRROR_LIMIT`] already.
    pub(crate) fn is_full(&self) -> bool {
        self.0.get_ref().len() > MIRROR_LIMIT
    }

    /// Ends the archive; says whether it is within [`MIRROR_LIMIT`].
    pub(crate) fn finish(self) -> io::Result<bool> {
        let pieces = self.0.finish()?;
        let fits = pieces.len() <= MIRROR_LIMIT;
        pieces.finish()?;
        Ok(fits)
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
        let mut archive = Vec::new();
        let mut packer = Packer::new(Pieces::new("content", |_, piece| archive.write_all(&piece)));
        blobs.iter().try_for_each(|(digest, bytes)| packer.add(digest, bytes)).expect("packed");
        assert!(packer.finish().expect("packed"), "it is small");
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
        let bytes: Vec<u8> = (0..2 * PART_LIMIT + 7).map(|n| (n % 251) as u8).collect();
        let mut parts = Vec::new();
        let mut pieces = Pieces::new("content", |name, piece| {
            parts.push((name, piece));
            Ok(())
        });
        pieces.write_all(&bytes).expect("written");
        assert_eq!((pieces.len(), pieces.full, pieces.last.len()), (bytes.len(), 2, 7));
        pieces.finish().expect("handed on");
        let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-0", "content-1", "content-2"]);
        assert_eq!(parts.into_iter().flat_map(|(_, piece)| piece).collect::<Vec<u8>>(), bytes);
    }
}
