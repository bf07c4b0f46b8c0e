//! What was found as wanted, so that a restarted agent need not read it again. It is a shortcut and nothing more: lost or damaged it costs one
//! read for each object, so it is neither copied into the cluster nor forced to the disk.

use std::collections::BTreeSet;
use std::path::Path;

use shared_model::Digest;

use crate::disk::{read, replace_file};
use crate::format::LedgerError;

const FILE: &str = "settled";

/// The file's first line. What begins with another one is not read.
const FORMAT: &[u8] = b"capstan.dev/ledger-settled.v1\n";

/// Digests of objects together with everything that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled(Vec<Digest>);

impl Settled {
    /// Whether this was found as wanted.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.0.binary_search(digest).is_ok()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what is in `directory`; nothing if it is not there or not whole.
    pub(crate) fn read(directory: &Path) -> Self {
        let bytes = read(&directory.join(FILE)).ok().flatten().unwrap_or_default();
        Self::decode(&bytes).unwrap_or_default()
    }

    /// Writes it into `directory`.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), LedgerError> {
        let path = directory.join(FILE);
        replace_file(&path, &self.encode()).map_err(|source| LedgerError::Disk { path, action: "written", source })
    }

    /// The first line, the digest of the rest, and the rest: 32 bytes for each.
    fn encode(&self) -> Vec<u8> {
        let body: Vec<u8> = self.0.iter().flat_map(|digest| *digest.as_bytes()).collect();
        [FORMAT, Digest::of(&body).as_bytes(), &body].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (sum, body) = bytes.strip_prefix(FORMAT)?.split_first_chunk::<32>()?;
        let (digests, rest) = body.as_chunks::<32>();
        let whole = rest.is_empty() && Digest::of(body).as_bytes() == sum && digests.is_sorted();
        whole.then(|| Self(digests.iter().map(|digest| Digest::from_bytes(*digest)).collect()))
    }
}

impl FromIterator<Digest> for Settled {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        Self(digests.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_or_newer_counts_as_nothing() {
        let settled: Settled = [b"b", b"a", b"c"].map(|text| Digest::of(text)).into_iter().collect();
        let directory = tempfile::tempdir().expect("a directory");
        settled.write(directory.path()).expect("written");
        assert_eq!(Settled::read(directory.path()), settled);
        assert!(settled.contains(&Digest::of(b"a")) && !settled.contains(&Digest::of(b"d")));
        let mut damaged = settled.encode();
        *damaged.last_mut().expect("not empty") ^= 1;
        let newer = [b"capstan.dev/ledger-settled.v2\n", &damaged[FORMAT.len()..]].concat();
        for bytes in [damaged, newer, settled.encode()[..100].to_vec(), Vec::new()] {
            assert_eq!(Settled::decode(&bytes), None);
        }
    }
}
