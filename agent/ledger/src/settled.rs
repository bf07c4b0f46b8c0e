//! What was found as wanted, so that a restarted agent need not read it again. It is a shortcut and nothing more: lost or damaged it costs one
//! read for each object, so it is neither copied into the cluster nor forced to the disk.

use std::collections::BTreeSet;
use std::path::Path;

use shared_model::Digest;

use crate::format::LedgerError;
use crate::shortcut::Shortcut;

const FILE: Shortcut = Shortcut { file: "settled", format: b"capstan.dev/ledger-settled.v1\n" };

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
        FILE.read(directory).and_then(|body| Self::decode(&body)).unwrap_or_default()
    }

    /// Writes it into `directory`: 32 bytes for each.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), LedgerError> {
        let body: Vec<u8> = self.0.iter().flat_map(|digest| *digest.as_bytes()).collect();
        FILE.write(directory, &body)
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (digests, rest) = body.as_chunks::<32>();
        let whole = rest.is_empty() && digests.is_sorted();
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
    fn what_was_written_is_read_and_what_is_out_of_order_or_cut_short_counts_as_nothing() {
        let settled: Settled = [b"b", b"a", b"c"].map(|text| Digest::of(text)).into_iter().collect();
        let directory = tempfile::tempdir().expect("a directory");
        settled.write(directory.path()).expect("written");
        assert_eq!(Settled::read(directory.path()), settled);
        assert!(settled.contains(&Digest::of(b"a")) && !settled.contains(&Digest::of(b"d")));
        let backwards: Vec<u8> = settled.0.iter().rev().flat_map(|digest| *digest.as_bytes()).collect();
        for body in [&backwards[..], &backwards[..40]] {
            assert_eq!(Settled::decode(body), None);
        }
    }
}
