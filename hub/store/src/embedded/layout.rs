//! How records and blobs lie in the engine: names of items, the seal around each value, and pieces. Pure; reading and writing are left to
//! the neighbours.
//!
//! One sled tree holds everything, so that one batch can be atomic over all of it. The first byte of an item's name is its area:
//!
//! ```text
//! m root            version u64, term u64, blob count u64, blob fingerprint u64
//! m importing       (nothing) while an import is written
//! m tree/NAME       record count u64, fingerprint u64
//! r KEY             version u64, length u32, first piece
//! p KEY 00 n:u16    version u64, piece n (from 1)
//! b DIGEST          touched u64, length u64, place u8
//! d DIGEST n:u16    piece n (from 0) of an inline blob
//! ```
//! Each value is sealed: format u8, crc32 over name and payload, payload. Values are cut into pieces of 4 KiB: sled 0.34 splits a leaf by its
//! number of items (above 16), whatever their size, and writes a page of 128 KB or more to a file of its own that it never syncs. 17 pieces
//! with their names and seals are 17 × (4,096 + 384 + 32) = 77 KB.

use shared_model::Digest;

use crate::error::Flaw;
use crate::key::{Key, Term, Version};
use crate::stream::number;

/// The format of each sealed value. Readers refuse another.
pub(super) const VALUE_FORMAT: u8 = 1;

/// The size of a piece in bytes; the module's text does the arithmetic.
pub(super) const PIECE_BYTES: usize = 4 * 1024;

/// The largest blob that is kept inside the engine, in bytes: 100 KiB, or 25 pieces. Larger ones are files.
pub const INLINE_LIMIT: usize = 100 * 1024;

const FORMAT_AND_CRC: usize = 5;

/// The areas, by the first byte of an item's name. The manifest's is `m`.
pub(super) mod area {
    pub(in super::super) const RECORD: u8 = b'r';
    pub(in super::super) const PIECE: u8 = b'p';
    pub(in super::super) const BLOB: u8 = b'b';
    pub(in super::super) const BLOB_PIECE: u8 = b'd';
}

/// The account of the whole store.
pub(super) const ROOT: &[u8] = b"mroot";
/// Present from the first to the last write of an import.
pub(super) const IMPORTING: &[u8] = b"mimporting";
/// In front of a tree's name, the account of its records.
pub(super) const TREE: &[u8] = b"mtree/";

/// Seals `payload` for the item `name`. The name is part of the checksum, so that a value cannot pass under another name.
pub(super) fn seal(name: &[u8], payload: &[&[u8]]) -> Vec<u8> {
    let mut sealed = vec![VALUE_FORMAT, 0, 0, 0, 0];
    payload.iter().for_each(|part| sealed.extend_from_slice(part));
    let crc = checksum(name, &sealed[FORMAT_AND_CRC..]);
    sealed[1..FORMAT_AND_CRC].copy_from_slice(&crc.to_be_bytes());
    sealed
}

/// The payload of a sealed value.
pub(super) fn unseal<'a>(name: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], Flaw> {
    let (&format, rest) = sealed.split_first().ok_or(Flaw::Short)?;
    let (crc, payload) = rest.split_first_chunk::<4>().ok_or(Flaw::Short)?;
    if checksum(name, payload).to_be_bytes() != *crc {
        return Err(Flaw::Checksum);
    }
    if format == VALUE_FORMAT { Ok(payload) } else { Err(Flaw::Format(format)) }
}

fn checksum(name: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name);
    hasher.update(payload);
    hasher.finalize()
}

/// What the first item of a record says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) length: usize,
}

impl Head {
    /// Items beside the head.
    pub(super) fn more_pieces(self) -> u16 {
        // A value has at most VALUE_LIMIT bytes: 25 pieces.
        self.length.div_ceil(PIECE_BYTES).saturating_sub(1) as u16
    }

    pub(super) fn seal(self, name: &[u8], first: &[u8]) -> Vec<u8> {
        seal(name, &[&self.version.0.to_be_bytes(), &(self.length as u32).to_be_bytes(), first])
    }

    /// The head and the first piece.
    pub(super) fn unseal<'a>(name: &[u8], sealed: &'a [u8]) -> Result<(Self, &'a [u8]), Flaw> {
        let payload = unseal(name, sealed)?;
        let (version, rest) = payload.split_at_checked(8).ok_or(Flaw::Short)?;
        let (length, first) = rest.split_at_checked(4).ok_or(Flaw::Short)?;
        Ok((Self { version: Version(number(version)), length: number(length) as usize }, first))
    }
}

/// Where a blob's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Inline,
    File,
}

/// What the index says about a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlobHead {
    pub(super) touched: Version,
    pub(super) length: u64,
    pub(super) place: Place,
}

impl BlobHead {
    pub(super) fn seal(self, name: &[u8]) -> Vec<u8> {
        let place = match self.place {
            Place::Inline => 0,
            Place::File => 1,
        };
        seal(name, &[&self.touched.0.to_be_bytes(), &self.length.to_be_bytes(), &[place]])
    }

    pub(super) fn unseal(name: &[u8], sealed: &[u8]) -> Result<Self, Flaw> {
        match *unseal(name, sealed)? {
            [ref numbers @ .., place @ (0 | 1)] if numbers.len() == 16 => Ok(Self {
                touched: Version(number(&numbers[..8])),
                length: number(&numbers[8..]),
                place: if place == 0 { Place::Inline } else { Place::File },
            }),
            _ => Err(Flaw::Short),
        }
    }

    /// Items beside the index entry.
    pub(super) fn pieces(self) -> u16 {
        match self.place {
            // At most INLINE_LIMIT bytes: 25 pieces.
            Place::Inline => (self.length as usize).div_ceil(PIECE_BYTES) as u16,
            Place::File => 0,
        }
    }
}

pub(super) fn record_name(key: &Key) -> Vec<u8> {
    named(area::RECORD, key.as_str().as_bytes())
}

/// A key has no NUL, so the name of one key's piece is never that of another's.
pub(super) fn piece_name(key: &Key, piece: u16) -> Vec<u8> {
    let mut name = named(area::PIECE, key.as_str().as_bytes());
    name.push(0);
    name.extend_from_slice(&piece.to_be_bytes());
    name
}

/// The key and the number in the name of a piece.
pub(super) fn parse_piece_name(name: &[u8]) -> Option<(Key, u16)> {
    let (rest, piece) = name.split_last_chunk::<2>()?;
    let key = rest.strip_prefix(&[area::PIECE])?.strip_suffix(&[0])?;
    Some((parse_key(key)?, u16::from_be_bytes(*piece)))
}

/// The key in the name of a record.
pub(super) fn parse_record_name(name: &[u8]) -> Option<Key> {
    parse_key(name.strip_prefix(&[area::RECORD])?)
}

fn parse_key(bytes: &[u8]) -> Option<Key> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

pub(super) fn blob_name(digest: Digest) -> Vec<u8> {
    named(area::BLOB, digest.as_bytes())
}

pub(super) fn blob_piece_name(digest: Digest, piece: u16) -> Vec<u8> {
    let mut name = named(area::BLOB_PIECE, digest.as_bytes());
    name.extend_from_slice(&piece.to_be_bytes());
    name
}

pub(super) fn parse_blob_name(name: &[u8]) -> Option<Digest> {
    Some(Digest::from_bytes(name.strip_prefix(&[area::BLOB])?.try_into().ok()?))
}

fn named(area: u8, rest: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(rest.len() + 4);
    name.push(area);
    name.extend_from_slice(rest);
    name
}

pub(super) fn tree_name(tree: &str) -> Vec<u8> {
    [TREE, tree.as_bytes()].concat()
}

/// How many members a set has, and a sum over them: two sets with equal tallies are equal, but for a chance of 1 in 2⁶⁴. It is kept by
/// adding and taking away, whatever the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    sum: u64,
}

impl Tally {
    pub(super) fn add(&mut self, member: u64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(member);
    }

    pub(super) fn remove(&mut self, member: u64) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(member);
    }

    pub(super) fn seal(self, name: &[u8]) -> Vec<u8> {
        seal(name, &[&self.count.to_be_bytes(), &self.sum.to_be_bytes()])
    }

    pub(super) fn unseal(name: &[u8], sealed: &[u8]) -> Result<Self, Flaw> {
        match unseal(name, sealed)? {
            payload if payload.len() == 16 => Ok(Self { count: number(&payload[..8]), sum: number(&payload[8..]) }),
            _ => Err(Flaw::Short),
        }
    }
}

/// A record as a member of its tree's tally: its key at its version, so that a lost overwrite shows as well as a lost key.
pub(super) fn record_member(key: &Key, version: Version) -> u64 {
    // FNV-1a; it guards against loss, not against an author.
    let hash = key.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    spread(hash ^ spread(version.0))
}

/// A blob as a member of the tally of blobs.
pub(super) fn blob_member(digest: Digest) -> u64 {
    number(&digest.as_bytes()[..8])
}

/// Lets each bit of `number` reach all of the result (the finaliser of SplitMix64).
fn spread(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The account of the whole store, as of the last durable write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Root {
    pub(super) version: Version,
    pub(super) term: Term,
    pub(super) blobs: Tally,
}

impl Root {
    pub(super) fn seal(self) -> Vec<u8> {
        let Tally { count, sum } = self.blobs;
        seal(ROOT, &[self.version.0, self.term.0, count, sum].map(u64::to_be_bytes).each_ref().map(|bytes| &bytes[..]))
    }

    pub(super) fn unseal(sealed: &[u8]) -> Result<Self, Flaw> {
        match unseal(ROOT, sealed)? {
            payload if payload.len() == 32 => {
                let numbers = |at: usize| number(&payload[at..at + 8]);
                Ok(Self { version: Version(numbers(0)), term: Term(numbers(8)), blobs: Tally { count: numbers(16), sum: numbers(24) } })
            }
            _ => Err(Flaw::Short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_under_its_own_name_only_and_unchanged_only() {
        let sealed = seal(b"rtree/a", &[b"pay", b"load"]);
        assert_eq!(unseal(b"rtree/a", &sealed), Ok(&b"payload"[..]));
        assert_eq!(unseal(b"rtree/b", &sealed), Err(Flaw::Checksum));
        assert_eq!(unseal(b"rtree/a", &sealed[..4]), Err(Flaw::Short));
        for at in 1..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x10;
            assert_eq!(unseal(b"rtree/a", &flipped), Err(Flaw::Checksum), "byte {at}");
        }
        let mut newer = sealed;
        newer[0] = 2;
        assert_eq!(unseal(b"rtree/a", &newer), Err(Flaw::Format(2)));
    }

    #[test]
    fn the_names_of_items_read_back() {
        let key: Key = "tree/a/b".parse().unwrap();
        assert_eq!(parse_record_name(&record_name(&key)), Some(key.clone()));
        assert_eq!(parse_piece_name(&piece_name(&key, 258)), Some((key, 258)));
        let digest = Digest::of(b"x");
        assert_eq!(parse_blob_name(&blob_name(digest)), Some(digest));
    }

    #[test]
    fn a_tally_tells_a_lost_key_a_lost_overwrite_and_a_swap_apart_from_the_whole() {
        let member = |key: &str, version| record_member(&key.parse().unwrap(), Version(version));
        let tally = |members: &[u64]| {
            let mut tally = Tally::default();
            members.iter().for_each(|&member| tally.add(member));
            tally
        };
        let whole = tally(&[member("t/a", 1), member("t/b", 2)]);
        assert_eq!(whole, tally(&[member("t/b", 2), member("t/a", 1)]));
        assert_ne!(whole, tally(&[member("t/a", 1)]));
        assert_ne!(whole, tally(&[member("t/a", 1), member("t/b", 1)]));
        assert_ne!(whole, tally(&[member("t/a", 2), member("t/b", 1)]));
        let mut less = whole;
        less.remove(member("t/b", 2));
        assert_eq!(less, tally(&[member("t/a", 1)]));
    }
}
