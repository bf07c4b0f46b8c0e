//! Releases and objects by digest, each in a file of its own. Which of them are kept is decided by `agent/agentd`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use shared_model::Digest;

use crate::disk::{read, sync_directory, write_file};
use crate::format::LedgerError;
use crate::mirror::{Packer, Pieces};

const DIRECTORY: &str = "blobs";

/// The contents of one ledger. Cheap to clone: all clones are the same directory. Reading needs no lock; two writers must not write the same
/// content at once.
#[derive(Debug, Clone)]
pub struct Contents {
    directory: PathBuf,
}

impl Contents {
    /// The contents below the ledger's directory, which is made if it is not there.
    pub(crate) fn open(ledger: &Path) -> Result<Self, LedgerError> {
        let directory = ledger.join(DIRECTORY);
        fs::create_dir_all(&directory).map_err(|source| LedgerError::Disk { path: directory.clone(), action: "written", source })?;
        Ok(Self { directory })
    }

    /// Whether the content with this digest is here. Its bytes are checked when they are read.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The content with this digest, checked.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, LedgerError> {
        let path = self.path(digest);
        let bytes = read(&path).map_err(|source| LedgerError::Disk { path, action: "read", source })?;
        let good = bytes.filter(|bytes| Digest::of(bytes) == *digest);
        good.ok_or(LedgerError::NoBlob { digest: *digest })
    }

    /// Stores contents; they are durable when this returns. The directory is synchronised once for all of them.
    pub fn write(&self, contents: &[(Digest, impl AsRef<[u8]>)]) -> Result<(), LedgerError> {
        for (digest, bytes) in contents {
            let path = self.path(digest);
            write_file(&path, bytes.as_ref()).map_err(|source| LedgerError::Disk { path, action: "written", source })?;
        }
        sync_directory(&self.directory).map_err(|source| LedgerError::Disk { path: self.directory.clone(), action: "written", source })
    }

    /// Gives these contents to `take` as parts of the copy, each as soon as it is full; they are written when the index changes. Says whether that
    /// was all: over [`crate::MIRROR_LIMIT`] compressed it ends early. This takes about a second for 20 MB: ask for it on a thread that may block.
    pub fn pack(&self, digests: &BTreeSet<Digest>, take: impl FnMut(String, Vec<u8>) -> io::Result<()>) -> Result<bool, LedgerError> {
        let failed = |source| LedgerError::Disk { path: self.directory.clone(), action: "read", source };
        let mut archive = Packer::new(Pieces::new("content", take));
        for digest in digests {
            archive.add(digest, &self.read(digest)?).map_err(failed)?;
            if archive.is_full() {
                return Ok(false);
            }
        }
        archive.finish().map_err(failed)
    }

    /// Removes all contents but these.
    pub fn keep(&self, keep: &BTreeSet<Digest>) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::Disk { path: self.directory.clone(), action: "written", source };
        let keep: BTreeSet<String> = keep.iter().map(Digest::hex).collect();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !keep.contains(entry.file_name().to_string_lossy().as_ref()) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes a content that turned out damaged, so that it counts as missing and is fetched again.
    pub fn discard(&self, digest: &Digest) {
        // What cannot be removed is found damaged again.
        let _: Result<(), _> = fs::remove_file(self.path(digest));
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.hex())
    }
}
