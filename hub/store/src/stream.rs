//! The format of an export: a header, one frame per record and blob, and a trailer that counts them and chains over all. Where the parts
//! come from and go to is left to the stores.
//!
//! ```text
//! header   "CAPSTAN-STORE\n"  format u16  version u64  term u64  crc32
//! record   1  length u32  version u64  key length u16  key  value  crc32
//! blob     2  length u32  digest  content  crc32
//! trailer  3  length u32  records u64  blobs u64  chain  crc32
//! ```
//! Numbers are big-endian. Each crc32 covers its part from the first byte. `chain` is SHA-256 over the previous chain and the SHA-256 of the
//! part, from the header on. Records come first, ordered by key, then blobs, ordered by digest.

use std::io::{self, Read, Write};

use bytes::Bytes;
use shared_model::Digest;

use crate::blob::BLOB_LIMIT;
use crate::commit::VALUE_LIMIT;
use crate::error::{StoreError, StreamFlaw};
use crate::key::{KEY_LIMIT, Key, Term, Version};

/// The newest stream format that is read, and the one that is written.
pub const STREAM_FORMAT: u16 = 1;

const MAGIC: &[u8] = b"CAPSTAN-STORE\n";
/// Magic, format, version, term, checksum.
const HEADER_BYTES: usize = 14 + 2 + 8 + 8 + 4;
const RECORD: u8 = 1;
const BLOB: u8 = 2;
const TRAILER: u8 = 3;
/// The largest payload of a frame: a digest and the largest blob. A length above it is a flaw, not a reason to allocate.
const FRAME_LIMIT: usize = 32 + BLOB_LIMIT;

/// What an export or import moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Records in the stream.
    pub records: u64,
    /// Blobs in the stream.
    pub blobs: u64,
    /// Length of the stream in bytes.
    pub bytes: u64,
    /// The store's version when the records were read.
    pub version: Version,
    /// The store's term then.
    pub term: Term,
}

/// One part of a stream.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Part {
    Record(Key, Version, Bytes),
    Blob(Digest, Bytes),
}

/// Writes a stream part by part.
pub(crate) struct StreamWriter<W> {
    to: W,
    chain: Digest,
    summary: Summary,
}

impl<W: Write> StreamWriter<W> {
    pub(crate) fn begin(mut to: W, version: Version, term: Term) -> Result<Self, StoreError> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&STREAM_FORMAT.to_be_bytes());
        header.extend_from_slice(&version.0.to_be_bytes());
        header.extend_from_slice(&term.0.to_be_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        to.write_all(&header).map_err(unwritable)?;
        let summary = Summary { records: 0, blobs: 0, bytes: header.len() as u64, version, term };
        Ok(Self { to, chain: Digest::of(&header), summary })
    }

    pub(crate) fn part(&mut self, part: &Part) -> Result<(), StoreError> {
        match part {
            Part::Record(key, version, value) => {
                self.summary.records += 1;
                let key_bytes = key.as_str().as_bytes();
                // A key has at most KEY_LIMIT bytes, so its length fits.
                let key_length = (key_bytes.len() as u16).to_be_bytes();
                self.frame(RECORD, &[&version.0.to_be_bytes(), &key_length, key_bytes, value])
            }
            Part::Blob(digest, content) => {
                self.summary.blobs += 1;
                self.frame(BLOB, &[digest.as_bytes(), content])
            }
        }
    }

    pub(crate) fn end(mut self) -> Result<Summary, StoreError> {
        let chain = *self.chain.as_bytes();
        let Summary { records, blobs, .. } = self.summary;
        self.frame(TRAILER, &[&records.to_be_bytes(), &blobs.to_be_bytes(), &chain])?;
        self.to.flush().map_err(unwritable)?;
        Ok(self.summary)
    }

    fn frame(&mut self, kind: u8, payload: &[&[u8]]) -> Result<(), StoreError> {
        let length: usize = payload.iter().map(|part| part.len()).sum();
        let mut frame = Vec::with_capacity(length + 9);
        frame.push(kind);
        // A payload has at most FRAME_LIMIT bytes, so its length fits.
        frame.extend_from_slice(&(length as u32).to_be_bytes());
        payload.iter().for_each(|part| frame.extend_from_slice(part));
        frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
        self.to.write_all(&frame).map_err(unwritable)?;
        self.chain = chained(self.chain, &frame);
        self.summary.bytes += frame.len() as u64;
        Ok(())
    }
}

/// Reads and verifies a stream part by part. Only after `next` has returned `Ok(None)` has the whole stream been verified.
pub(crate) struct StreamReader<R> {
    from: R,
    chain: Digest,
    summary: Summary,
    last_key: Option<Key>,
    last_digest: Option<Digest>,
}

impl<R: Read> StreamReader<R> {
    pub(crate) fn begin(mut from: R) -> Result<Self, StoreError> {
        let mut header = [0; HEADER_BYTES];
        let magic = read_up_to(&mut from, &mut header, 0)?;
        if magic < HEADER_BYTES {
            let flaw =
                if header[..magic.min(MAGIC.len())] == MAGIC[..magic.min(MAGIC.len())] { StreamFlaw::Truncated } else { StreamFlaw::Magic };
            return Err(flawed(magic as u64, flaw));
        }
        let (body, crc) = header.split_at(HEADER_BYTES - 4);
        if &body[..MAGIC.len()] != MAGIC {
            return Err(flawed(0, StreamFlaw::Magic));
        }
        let found = u16::from_be_bytes([body[14], body[15]]);
        if found > STREAM_FORMAT {
            return Err(flawed(14, StreamFlaw::NewerFormat { found, supported: STREAM_FORMAT }));
        }
        if crc32fast::hash(body).to_be_bytes() != crc {
            return Err(flawed(0, StreamFlaw::Checksum));
        }
        let (version, term) = (Version(number(&body[16..24])), Term(number(&body[24..32])));
        let summary = Summary { records: 0, blobs: 0, bytes: HEADER_BYTES as u64, version, term };
        Ok(Self { from, chain: Digest::of(&header), summary, last_key: None, last_digest: None })
    }

    /// The version and the term in the header, and what was read so far.
    pub(crate) fn summary(&self) -> Summary {
        self.summary
    }

    /// The next part; `None` after a trailer that agrees with all before it.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, StoreError> {
        let start = self.summary.bytes;
        let mut frame = vec![0; 5];
        self.fill(&mut frame, start)?;
        let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
        if length > FRAME_LIMIT || !(RECORD..=TRAILER).contains(&frame[0]) {
            return Err(flawed(start, StreamFlaw::Checksum));
        }
        self.grow(&mut frame, length + 4, start)?;
        let (body, crc) = frame.split_at(frame.len() - 4);
        if crc32fast::hash(body).to_be_bytes() != crc {
            return Err(flawed(start, StreamFlaw::Checksum));
        }
        let before = self.chain;
        self.chain = chained(self.chain, &frame);
        self.summary.bytes += frame.len() as u64;
        let payload = &body[5..];
        let content = |what| flawed(start, StreamFlaw::Content(what));
        match frame[0] {
            RECORD => {
                let part = record(payload).map_err(content)?;
                if self.last_digest.is_some() || self.last_key.as_ref().is_some_and(|last| *last >= part.0) || part.1 > self.summary.version
                {
                    return Err(content("a record is out of order"));
                }
                self.last_key = Some(part.0.clone());
                self.summary.records += 1;
                Ok(Some(Part::Record(part.0, part.1, part.2)))
            }
            BLOB => {
                let (digest, blob) = blob(payload).map_err(content)?;
                if self.last_digest.is_some_and(|last| last >= digest) {
                    return Err(content("a blob is out of order"));
                }
                self.last_digest = Some(digest);
                self.summary.blobs += 1;
                Ok(Some(Part::Blob(digest, blob)))
            }
            _ => self.trailer(payload, before, start).map(|()| None),
        }
    }

    fn trailer(&mut self, payload: &[u8], chain: Digest, start: u64) -> Result<(), StoreError> {
        if payload.len() != 48 {
            return Err(flawed(start, StreamFlaw::Content("the trailer has a wrong length")));
        }
        for (expected, found) in [(number(&payload[..8]), self.summary.records), (number(&payload[8..16]), self.summary.blobs)] {
            if expected != found {
                return Err(flawed(start, StreamFlaw::Count { expected, found }));
            }
        }
        if &payload[16..] != chain.as_bytes() {
            return Err(flawed(start, StreamFlaw::Checksum));
        }
        match read_up_to(&mut self.from, &mut [0], self.summary.bytes)? {
            0 => Ok(()),
            _ => Err(flawed(self.summary.bytes, StreamFlaw::Trailing)),
        }
    }

    fn fill(&mut self, bytes: &mut [u8], at: u64) -> Result<(), StoreError> {
        let read = read_up_to(&mut self.from, bytes, at)?;
        if read == bytes.len() { Ok(()) } else { Err(flawed(at + read as u64, StreamFlaw::Truncated)) }
    }

    /// Reads `more` bytes behind what `frame` has, without believing the length before the bytes are there.
    fn grow(&mut self, frame: &mut Vec<u8>, more: usize, start: u64) -> Result<(), StoreError> {
        let wanted = frame.len() + more;
        (&mut self.from).take(more as u64).read_to_end(frame).map_err(|error| unreadable(&error, start))?;
        if frame.len() == wanted { Ok(()) } else { Err(flawed(start + frame.len() as u64, StreamFlaw::Truncated)) }
    }
}

fn record(payload: &[u8]) -> Result<(Key, Version, Bytes), &'static str> {
    let (version, rest) = payload.split_at_checked(8).ok_or("a record is too short")?;
    let (key_length, rest) = rest.split_at_checked(2).ok_or("a record is too short")?;
    let key_length = usize::from(u16::from_be_bytes([key_length[0], key_length[1]]));
    if key_length > KEY_LIMIT {
        return Err("a key is too long");
    }
    let (key, value) = rest.split_at_checked(key_length).ok_or("a record is too short")?;
    if value.len() > VALUE_LIMIT {
        return Err("a value is too long");
    }
    let key = std::str::from_utf8(key).ok().and_then(|text| text.parse().ok()).ok_or("a key is invalid")?;
    Ok((key, Version(number(version)), Bytes::copy_from_slice(value)))
}

fn blob(payload: &[u8]) -> Result<(Digest, Bytes), &'static str> {
    let (digest, content) = payload.split_first_chunk::<32>().ok_or("a blob is too short")?;
    let digest = Digest::from_bytes(*digest);
    if Digest::of(content) == digest { Ok((digest, Bytes::copy_from_slice(content))) } else { Err("a blob does not match its digest") }
}

fn chained(chain: Digest, part: &[u8]) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(chain.as_bytes());
    both[32..].copy_from_slice(Digest::of(part).as_bytes());
    Digest::of(&both)
}

/// The number in at most eight big-endian bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Fills `bytes` as far as the reader goes.
fn read_up_to(from: &mut impl Read, bytes: &mut [u8], at: u64) -> Result<usize, StoreError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error, at + filled as u64)),
        }
    }
    Ok(filled)
}

fn flawed(offset: u64, flaw: StreamFlaw) -> StoreError {
    StoreError::Import { offset, flaw }
}

fn unreadable(error: &io::Error, offset: u64) -> StoreError {
    flawed(offset, StreamFlaw::Unreadable(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unwritable(error: io::Error) -> StoreError {
    StoreError::Export { cause: error.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(parts: &[Part]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::begin(&mut bytes, Version(9), Term(3)).unwrap();
        parts.iter().for_each(|part| writer.part(part).unwrap());
        let summary = writer.end().unwrap();
        assert_eq!(summary.bytes, bytes.len() as u64);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Part>, StoreError> {
        let mut reader = StreamReader::begin(bytes)?;
        let mut parts = Vec::new();
        while let Some(part) = reader.next()? {
            parts.push(part);
        }
        Ok(parts)
    }

    fn sample() -> Vec<Part> {
        let blob = |content: &'static [u8]| Part::Blob(Digest::of(content), Bytes::from_static(content));
        let mut blobs = vec![blob(b"one"), blob(b"two"), blob(b"")];
        blobs.sort_by_key(|part| matches!(part, Part::Blob(digest, _) if *digest > Digest::of(b"one")));
        let record = |key: &str, value: &'static [u8]| Part::Record(key.parse().unwrap(), Version(4), Bytes::from_static(value));
        let mut parts = vec![record("a/1", b"first"), record("a/2", b""), record("b/1", &[7; 300])];
        blobs.sort_by_key(|part| match part {
            Part::Blob(digest, _) => *digest,
            Part::Record(..) => unreachable!("only blobs"),
        });
        parts.extend(blobs);
        parts
    }

    #[test]
    fn a_stream_reads_back_what_it_was_written_from() {
        assert_eq!(read(&written(&sample())).unwrap(), sample());
        assert_eq!(read(&written(&[])).unwrap(), []);
    }

    #[test]
    fn every_truncation_is_refused_at_the_byte_where_the_stream_ends() {
        let whole = written(&sample());
        for length in 0..whole.len() {
            let refused = read(&whole[..length]);
            assert_eq!(refused, Err(flawed(length as u64, StreamFlaw::Truncated)), "{length} bytes");
        }
    }

    #[test]
    fn every_flipped_bit_is_refused_at_or_before_its_own_byte() {
        let whole = written(&sample());
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                match read(&bytes) {
                    Err(StoreError::Import { offset, flaw: StreamFlaw::Truncated }) => assert!(offset >= at as u64),
                    Err(StoreError::Import { offset, .. }) => assert!(offset <= at as u64, "byte {at} bit {bit} refused at {offset}"),
                    other => panic!("byte {at} bit {bit}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_follows_the_end_is_refused() {
        let mut bytes = written(&sample());
        let end = bytes.len() as u64;
        bytes.push(0);
        assert_eq!(read(&bytes), Err(flawed(end, StreamFlaw::Trailing)));
    }

    #[test]
    fn a_newer_format_is_named_as_such() {
        let mut bytes = written(&[]);
        bytes[15] = 2;
        assert_eq!(read(&bytes), Err(flawed(14, StreamFlaw::NewerFormat { found: 2, supported: 1 })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_never_pass(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(&bytes).is_err());
            let mut behind_header = written(&[]);
            behind_header.truncate(HEADER_BYTES);
            behind_header.extend_from_slice(&bytes);
            prop_assert!(read(&behind_header).is_err());
        }
    }
}
