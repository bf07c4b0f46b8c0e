//! Files of a store's directory beside the engine: durable small files, blobs by digest, free space. When they are written is left to the
//! writer and the opening.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shared_model::Digest;

use crate::error::Flaw;
use crate::key::Version;
use crate::stream::number;

/// The names in a store's directory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn format(&self) -> PathBuf {
        self.root.join("FORMAT")
    }
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }
    pub(super) fn acknowledged(&self) -> PathBuf {
        self.root.join("acknowledged")
    }
    pub(super) fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }
    pub(super) fn engine(&self) -> PathBuf {
        self.root.join("sled")
    }
    pub(super) fn engine_log(&self) -> PathBuf {
        self.engine().join("db")
    }
    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }
    /// Files that are not finished; emptied at open.
    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }
    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }
    /// `blobs/ab/cdef…`: 256 directories keep each one short.
    pub(super) fn blob(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs().join(&hex[..2]).join(&hex[2..])
    }
}

/// The lock that keeps other processes out of a directory, until it is dropped.
pub(super) struct DirectoryLock(File);

impl DirectoryLock {
    /// Takes the lock, or says that another has it.
    pub(super) fn take(layout: &Layout) -> Result<Self, TryLockError> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(layout.lock()).map_err(TryLockError::Error)?;
        file.try_lock().map(|()| Self(file))
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is being started at this moment has the file open too.
        let _ = self.0.unlock();
    }
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Bytes that this process may still write to the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Writes a file so that after a crash it is there whole or not at all: temporary file, fsync, rename, fsync of the directory.
pub(super) fn write_durably(layout: &Layout, path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = layout.incoming().join(name);
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Writes a blob's file, and its directory if it is the first there.
pub(super) fn write_blob(layout: &Layout, digest: Digest, content: &[u8]) -> io::Result<()> {
    let path = layout.blob(digest);
    if let Some(directory) = path.parent()
        && !directory.exists()
    {
        fs::create_dir_all(directory)?;
        sync_directory(&layout.blobs())?;
    }
    write_durably(layout, &path, content)
}

/// Reads a blob's file and verifies it.
pub(super) fn read_blob(file: &mut File, digest: Digest, length: u64) -> Result<Bytes, Flaw> {
    let mut content = Vec::new();
    // One byte more than expected shows a file that has grown, without reading all of it.
    file.take(length.saturating_add(1)).read_to_end(&mut content).map_err(|_| Flaw::Short)?;
    match content.len() as u64 {
        found if found < length => Err(Flaw::Short),
        _ if Digest::of(&content) != digest => Err(Flaw::Digest),
        _ => Ok(content.into()),
    }
}

/// The digests of all blob files. A file whose name is no digest is not ours and left alone.
pub(super) fn list_blob_files(layout: &Layout) -> io::Result<Vec<Digest>> {
    let mut digests = Vec::new();
    for directory in fs::read_dir(layout.blobs())? {
        let directory = directory?;
        for file in fs::read_dir(directory.path())? {
            let hex = format!("sha256:{}{}", directory.file_name().display(), file?.file_name().display());
            digests.extend(hex.parse::<Digest>());
        }
    }
    Ok(digests)
}

/// A file beside the engine that holds the newest version that was acknowledged. The engine, cut short, opens without complaint and without
/// its newest writes; this shows it. It is written after each flush and before the acknowledgement, not synced: a process that dies leaves
/// it exact, a power cut leaves it at worst too low, which is still true.
#[derive(Debug)]
pub(super) struct AcknowledgedMark(File);

impl AcknowledgedMark {
    pub(super) fn open(layout: &Layout) -> io::Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(layout.acknowledged());
        options.map(Self)
    }

    /// The mark, or `None` if there is none or it was torn.
    pub(super) fn read(&self) -> io::Result<Option<Version>> {
        let mut bytes = [0; 12];
        let read = self.0.read_at(&mut bytes, 0)?;
        let whole = read == bytes.len() && crc32fast::hash(&bytes[..8]).to_be_bytes() == bytes[8..];
        Ok(whole.then(|| Version(number(&bytes[..8]))))
    }

    pub(super) fn write(&self, version: Version) -> io::Result<()> {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&version.0.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..8]).to_be_bytes();
        bytes[8..].copy_from_slice(&crc);
        self.0.write_all_at(&bytes, 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Fills a file with `bytes` zeros that can be given back to a full disk.
pub(super) fn write_ballast(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    file.sync_all()
}
