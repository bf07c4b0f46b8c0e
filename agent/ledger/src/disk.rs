//! Files that are either the old or the new content after any crash, and on disk before the call returns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Has `write` write the content of `path` and makes it durable.
pub(crate) fn write_durably(path: &Path, write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>) -> io::Result<()> {
    write_by_way(path, |file| {
        let mut buffer = BufWriter::with_capacity(BUFFER, &mut *file);
        write(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        file.sync_all()
    })?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// What is written at once: a large document takes some tens of calls.
const BUFFER: usize = 64 << 10;

/// Writes `bytes` to `path` by way of a temporary file beside it. Readable for the owner only: some of it is secret. Durable once the
/// directory is synchronised.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_by_way(path, |file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
}

/// As [`write_file`], without making anything durable: after a crash the file may be damaged.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_by_way(path, |file| file.write_all(bytes))
}

fn write_by_way(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    write(&mut file)?;
    fs::rename(&temporary, path)
}

/// Makes renames and removals in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The content of `path`; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
