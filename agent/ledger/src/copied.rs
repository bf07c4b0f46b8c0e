//! What is known of the copy in the cluster, so that a restarted agent need not read it again. Like [`crate::Settled`] it is a shortcut and nothing
//! more: lost or damaged it costs reading the copy once, so it is neither copied itself nor forced to the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared_model::Digest;

use crate::format::LedgerError;
use crate::mirror::{Marks, Parts};
use crate::shortcut::Shortcut;

const FILE: Shortcut = Shortcut { file: "copied", format: b"capstan.dev/ledger-copied.v1\n" };

/// What the copy holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// The parts by name.
    pub parts: BTreeMap<String, CopiedPart>,
    /// The contents that its parts hold, or that were found to be too many: [`contents_digest`] of them. `None` if that is not known.
    pub contents: Option<Digest>,
    /// [`crate::Ledger::core_revision`] of its state and inventory. `None` if that is not known.
    pub core: Option<(u64, u64)>,
}

/// One part of the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedPart {
    /// Its mark as the mirror gave it; `None` if it gave none.
    pub mark: Option<String>,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// What stands for a set of contents.
pub fn contents_digest(contents: &BTreeSet<Digest>) -> Digest {
    let bytes: Vec<u8> = contents.iter().flat_map(|digest| *digest.as_bytes()).collect();
    Digest::of(&bytes)
}

impl Copied {
    /// What was read just now.
    pub fn read_from(parts: &Parts, marks: &Marks) -> Self {
        let part =
            |(name, bytes): (&String, &Vec<u8>)| (name.clone(), CopiedPart { mark: marks.get(name).cloned(), digest: Digest::of(bytes) });
        Self { parts: parts.iter().map(part).collect(), ..Self::default() }
    }

    /// Whether the copy is still what this says: it has these parts, and nobody wrote one of them since.
    pub fn still_holds(&self, marks: &Marks) -> bool {
        let same = |(name, part): (&String, &CopiedPart)| part.mark.is_some() && part.mark.as_ref() == marks.get(name);
        self.parts.len() == marks.len() && self.parts.iter().all(same)
    }

    /// Reads what is in `directory`; nothing if it is not there or not whole.
    pub(crate) fn read(directory: &Path) -> Self {
        FILE.read(directory).and_then(|body| Self::decode(&body)).unwrap_or_default()
    }

    /// Writes it into `directory`, as JSON.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), LedgerError> {
        let part = |(name, part): (&String, &CopiedPart)| (name.clone(), (part.mark.clone(), part.digest.to_string()));
        let file = CopiedFile {
            parts: self.parts.iter().map(part).collect(),
            contents: self.contents.as_ref().map(ToString::to_string),
            core: self.core,
        };
        let body = serde_json::to_vec(&file).unwrap_or_else(|error| unreachable!("BUG: what was copied has only text keys: {error}"));
        FILE.write(directory, &body)
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let file: CopiedFile = serde_json::from_slice(body).ok()?;
        let part =
            |(name, (mark, digest)): (String, (Option<String>, String))| Some((name, CopiedPart { mark, digest: digest.parse().ok()? }));
        Some(Self {
            parts: file.parts.into_iter().map(part).collect::<Option<_>>()?,
            contents: file.contents.map(|digest| digest.parse()).transpose().ok()?,
            core: file.core,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct CopiedFile {
    parts: BTreeMap<String, (Option<String>, String)>,
    contents: Option<String>,
    core: Option<(u64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied() -> (Copied, Marks) {
        let parts: Parts = [("state-0", "a"), ("content-0", "b")].map(|(name, bytes)| (name.to_owned(), bytes.as_bytes().to_vec())).into();
        let marks: Marks = parts.keys().map(|name| (name.clone(), format!("uid/{name}"))).collect();
        (Copied { contents: Some(Digest::of(b"c")), core: Some((3, 9)), ..Copied::read_from(&parts, &marks) }, marks)
    }

    #[test]
    fn what_was_written_is_read_and_a_digest_that_is_none_counts_as_nothing() {
        let (copied, _) = copied();
        let directory = tempfile::tempdir().expect("a directory");
        copied.write(directory.path()).expect("written");
        assert_eq!(Copied::read(directory.path()), copied);
        assert_eq!(Copied::decode(br#"{"parts": {"state-0": ["uid/1", "none"]}, "contents": null, "core": null}"#), None);
    }

    #[test]
    fn a_part_that_was_written_removed_or_added_by_somebody_makes_the_copy_unknown() {
        let (copied, marks) = copied();
        assert!(copied.still_holds(&marks));
        let (mut written, mut removed, mut added) = (marks.clone(), marks.clone(), marks);
        written.insert("state-0".to_owned(), "another".to_owned());
        removed.remove("state-0");
        added.insert("state-1".to_owned(), "new".to_owned());
        for marks in [written, removed, added] {
            assert!(!copied.still_holds(&marks));
        }
    }
}
