//! The files that only save a restarted agent some reading: their first line names the format, then comes the digest of the rest. One that is lost,
//! damaged or of another format counts as nothing, so that none of them is forced to the disk or copied into the cluster.

use std::path::Path;

use shared_model::Digest;

use crate::disk::{read, replace_file};
use crate::format::LedgerError;

/// One such file.
pub(crate) struct Shortcut {
    /// Its name in the ledger's directory.
    pub(crate) file: &'static str,
    /// Its first line.
    pub(crate) format: &'static [u8],
}

impl Shortcut {
    /// What is in `directory`; `None` if it is not there or not whole.
    pub(crate) fn read(&self, directory: &Path) -> Option<Vec<u8>> {
        let bytes = read(&directory.join(self.file)).ok()??;
        self.body(&bytes).map(<[u8]>::to_vec)
    }

    /// Writes `body` into `directory`.
    pub(crate) fn write(&self, directory: &Path, body: &[u8]) -> Result<(), LedgerError> {
        let path = directory.join(self.file);
        let bytes = [self.format, Digest::of(body).as_bytes(), body].concat();
        replace_file(&path, &bytes).map_err(|source| LedgerError::Disk { path, action: "written", source })
    }

    fn body<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (sum, body) = bytes.strip_prefix(self.format)?.split_first_chunk::<32>()?;
        (Digest::of(body).as_bytes() == sum).then_some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_newer_or_cut_short_counts_as_nothing() {
        let shortcut = Shortcut { file: "seen", format: b"capstan.dev/seen.v1\n" };
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(shortcut.read(directory.path()), None);
        shortcut.write(directory.path(), b"what was seen").expect("written");
        assert_eq!(shortcut.read(directory.path()).as_deref(), Some(&b"what was seen"[..]));
        let whole = std::fs::read(directory.path().join("seen")).expect("readable");
        let mut damaged = whole.clone();
        *damaged.last_mut().expect("not empty") ^= 1;
        let newer = [b"capstan.dev/seen.v2\n", &whole[shortcut.format.len()..]].concat();
        for bytes in [damaged, newer, whole[..30].to_vec(), Vec::new()] {
            assert_eq!(shortcut.body(&bytes), None);
        }
    }
}
