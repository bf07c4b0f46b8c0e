//! Archives of charts on disk, by digest: durable before they are offered, verified when they are read, and bounded. An archive that is held
//! stays; of the others the least recently used go first.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared_model::{Clock, Digest};

use super::spec::ChartLimits;
use crate::mirror::OpenError;
use crate::record::Record;

/// Where the archives are, below the store's directory.
const ARCHIVES: &str = "archives";
/// Where the records are of what each chart source found last.
const RECORDS: &str = "records";
/// How the name of an archive ends.
const ENDING: &str = ".tgz";
/// The most records that are kept: each is a directory with a file of about 300 bytes, so that 2,000 are below 10 MB on a disk with blocks of
/// 4 KiB. The oldest go when the store is opened.
const RECORD_LIMIT: usize = 2_000;

/// The archives of all charts of a hub. It belongs to one process.
pub struct ChartStore {
    dir: PathBuf,
    limits: ChartLimits,
    clock: Clock,
    shelf: Mutex<Shelf>,
    /// Held while a record is written: two sources may follow the same chart.
    recording: Mutex<()>,
}

#[derive(Default)]
struct Shelf {
    archives: BTreeMap<Digest, Kept>,
    /// Counts uses.
    uses: u64,
    /// Bytes of all archives.
    bytes: u64,
}

struct Kept {
    /// In bytes; 0 of one that is not there.
    length: u64,
    used: u64,
    holders: usize,
    /// Not damaged and not gone, as far as is known.
    there: bool,
}

/// An archive that stays on disk while this value is there.
pub(crate) struct Held {
    store: Arc<ChartStore>,
    digest: Digest,
    length: u64,
}

impl ChartStore {
    /// Opens the store in `dir`, which is made if needed.
    pub fn open(dir: &Path, limits: ChartLimits, clock: Clock) -> Result<Arc<Self>, OpenError> {
        let directory = |source| OpenError::Directory { path: dir.to_owned(), source };
        let archives = dir.join(ARCHIVES);
        fs::create_dir_all(&archives).map_err(directory)?;
        fs::create_dir_all(dir.join(RECORDS)).map_err(directory)?;
        let shelf = read_shelf(&archives).map_err(directory)?;
        forget_old_records(&dir.join(RECORDS)).map_err(directory)?;
        Ok(Arc::new(Self { dir: dir.to_owned(), limits, clock, shelf: Mutex::new(shelf), recording: Mutex::new(()) }))
    }

    pub(crate) fn limits(&self) -> &ChartLimits {
        &self.limits
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Writes the record in `dir`, durably.
    pub(crate) fn write_record(&self, record: &Record, dir: &Path) -> io::Result<()> {
        let _alone = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(dir)?;
        record.write(dir)
    }

    /// Where the record of what is called `identity` is.
    pub(crate) fn record_dir(&self, identity: &Digest) -> PathBuf {
        self.dir.join(RECORDS).join(&identity.hex()[..32])
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(ARCHIVES).join(format!("{}{ENDING}", digest.hex()))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the archive with this digest, if it is there. Its bytes are verified when they are read.
    pub(crate) fn hold(self: &Arc<Self>, digest: &Digest) -> Option<Held> {
        let mut shelf = self.shelf();
        shelf.uses += 1;
        let used = shelf.uses;
        let kept = shelf.archives.get_mut(digest).filter(|kept| kept.there)?;
        kept.used = used;
        kept.holders += 1;
        Some(Held { store: self.clone(), digest: *digest, length: kept.length })
    }

    /// Puts an archive on the disk and holds it. After a crash it is there whole or not at all.
    pub(crate) fn put(self: &Arc<Self>, bytes: &[u8]) -> io::Result<Held> {
        let digest = Digest::of(bytes);
        if let Some(held) = self.hold(&digest).filter(|held| held.read().is_ok()) {
            return Ok(held);
        }
        let length = bytes.len() as u64;
        let mut shelf = self.shelf();
        self.make_room(&mut shelf, length)?;
        let path = self.path(&digest);
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(self.dir.join(ARCHIVES))?.sync_all()?;
        shelf.uses += 1;
        let used = shelf.uses;
        let kept = shelf.archives.entry(digest).or_insert(Kept { length, used, holders: 0, there: false });
        let before = if kept.there { kept.length } else { 0 };
        *kept = Kept { length, used, holders: kept.holders + 1, there: true };
        shelf.bytes = shelf.bytes - before + length;
        drop(shelf);
        Ok(Held { store: self.clone(), digest, length })
    }

    /// Removes archives that nobody holds until `length` more bytes fit.
    fn make_room(&self, shelf: &mut Shelf, length: u64) -> io::Result<()> {
        while shelf.bytes + length > self.limits.cache_bytes {
            let unused = shelf.archives.iter().filter(|(_, kept)| kept.there && kept.holders == 0).min_by_key(|(_, kept)| kept.used);
            let Some((digest, freed)) = unused.map(|(digest, kept)| (*digest, kept.length)) else {
                return Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    format!("the charts in use and the new one have more than {} bytes; raise the limit", self.limits.cache_bytes),
                ));
            };
            fs::remove_file(self.path(&digest))?;
            shelf.archives.remove(&digest);
            shelf.bytes -= freed;
        }
        Ok(())
    }

    /// Forgets an archive that turned out damaged, so that it is fetched anew. Who holds it finds it missing.
    fn discard(&self, digest: &Digest) {
        let mut shelf = self.shelf();
        if let Some(kept) = shelf.archives.get_mut(digest).filter(|kept| kept.there) {
            let freed = kept.length;
            (kept.there, kept.length) = (false, 0);
            shelf.bytes -= freed;
        }
        // What cannot be removed is overwritten when it is fetched again.
        let _ = fs::remove_file(self.path(digest));
    }

    #[cfg(test)]
    fn kept(&self) -> Vec<Digest> {
        self.shelf().archives.keys().copied().collect()
    }
}

impl fmt::Debug for ChartStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChartStore").field("dir", &self.dir).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Held {
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes, verified; the error is for people.
    pub(crate) fn read(&self) -> Result<Vec<u8>, String> {
        let read = || {
            // One more than there should be: a file that grew is as wrong as one that shrank.
            let mut bytes = Vec::with_capacity(usize::try_from(self.length).unwrap_or_default() + 1);
            File::open(self.store.path(&self.digest))?.take(self.length + 1).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        match read() {
            Ok(bytes) if Digest::of(&bytes) == self.digest => Ok(bytes),
            Ok(_) => {
                self.store.discard(&self.digest);
                Err("its bytes on disk are damaged; it is fetched anew at the next refresh".to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.store.discard(&self.digest);
                Err("it is gone from the disk; it is fetched anew at the next refresh".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut shelf = self.store.shelf();
        if let Some(kept) = shelf.archives.get_mut(&self.digest) {
            kept.holders -= 1;
            if kept.holders == 0 && !kept.there {
                shelf.archives.remove(&self.digest);
            }
        }
    }
}

/// The archives of a directory, the oldest first in the order of use; what is half written is removed.
fn read_shelf(archives: &Path) -> io::Result<Shelf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(archives)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let digest = name.strip_suffix(ENDING).and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        let metadata = entry.metadata()?;
        match digest {
            Some(digest) if metadata.is_file() => found.push((metadata.modified()?, digest, metadata.len())),
            _ if name.ends_with(".new") => fs::remove_file(entry.path())?,
            _ => {}
        }
    }
    found.sort();
    let mut shelf = Shelf::default();
    for (_, digest, length) in found {
        shelf.uses += 1;
        shelf.bytes += length;
        shelf.archives.insert(digest, Kept { length, used: shelf.uses, holders: 0, there: true });
    }
    Ok(shelf)
}

/// Removes the records that were written longest ago, if there are too many: each refresh that succeeds writes its record.
fn forget_old_records(records: &Path) -> io::Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(records)? {
        let entry = entry?;
        found.push((entry.metadata()?.modified()?, entry.path()));
    }
    found.sort();
    let surplus = found.len().saturating_sub(RECORD_LIMIT);
    for (_, path) in found.into_iter().take(surplus) {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::Timestamp;

    fn open(dir: &Path, cache_bytes: u64) -> Arc<ChartStore> {
        let limits = ChartLimits { cache_bytes, ..ChartLimits::DEFAULT };
        ChartStore::open(dir, limits, Clock::new(|| Timestamp::UNIX_EPOCH)).expect("opened")
    }

    #[test]
    fn an_archive_is_read_back_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let digest = *open(dir.path(), 100).put(b"one").expect("kept").digest();
        let again = open(dir.path(), 100);
        assert_eq!(again.hold(&digest).expect("there").read(), Ok(b"one".to_vec()));
        assert!(again.hold(&Digest::of(b"two")).is_none());
    }

    #[test]
    fn the_least_recently_used_goes_first_and_what_is_held_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(dir.path(), 10);
        let first = store.put(b"aaa").expect("kept");
        let [second, third] = [b"bbb", b"ccc"].map(|bytes| *store.put(bytes).expect("kept").digest());
        drop(store.hold(&second));
        let fourth = store.put(b"ddd").expect("kept");
        let mut wanted = [*first.digest(), second, *fourth.digest()];
        wanted.sort();
        assert_eq!(store.kept(), wanted, "{third} was used longest ago");
        let error = store.put(b"0123456").map(drop).expect_err("two are held, and the rest is too small");
        assert!(error.to_string().contains("raise the limit"), "{error}");
        assert_eq!(first.read(), Ok(b"aaa".to_vec()));
    }

    #[test]
    fn a_damaged_archive_is_never_given_out_and_is_kept_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(dir.path(), 100);
        let held = store.put(b"whole").expect("kept");
        for damaged in [&b"whale"[..], b"who", b"whole and more"] {
            fs::write(store.path(held.digest()), damaged).expect("written");
            assert!(held.read().is_err());
            assert!(store.hold(held.digest()).is_none(), "it is forgotten");
            assert_eq!(store.put(b"whole").expect("kept again").read(), Ok(b"whole".to_vec()));
        }
        assert_eq!(store.shelf().bytes, 5);
        drop(held);
        assert_eq!(store.shelf().archives.values().map(|kept| (kept.holders, kept.there)).collect::<Vec<_>>(), [(0, true)]);
    }

    #[test]
    fn what_was_half_written_is_removed_and_what_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(open(dir.path(), 100).put(b"one").expect("kept"));
        let archives = dir.path().join(ARCHIVES);
        fs::write(archives.join(format!("{}.new", "0".repeat(64))), b"ha").expect("written");
        fs::write(archives.join("README"), b"mine").expect("written");
        assert_eq!(open(dir.path(), 100).kept(), [Digest::of(b"one")]);
        let left: Vec<_> = fs::read_dir(archives).expect("listed").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
