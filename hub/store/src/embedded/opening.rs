//! Opening a store's directory: one process, a format that is known, leftovers of a crash put aside, and everything examined before the
//! first answer. Whether an operator restores or reads what is left is theirs to decide; the errors say how.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disk::{self, AcknowledgedMark, DirectoryLock, Layout};
use super::layout::{IMPORTING, ROOT, Root, TREE, Tally, area};
use super::reading::{Engine, Examination};
use super::writing::BATCH_OPERATIONS;
use super::{SledConfig, WhenDamaged};
use crate::error::StoreError;
use crate::report::Damage;

/// The format of a store's directory. It changes when an older binary must not touch what a newer one wrote.
pub const FORMAT: u32 = 1;

const FORMAT_PREFIX: &str = "capstan-store ";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made, read or written.
    #[error("the store's directory {} cannot be used: give the process a directory that it may write", path.display())]
    Directory {
        /// Which path.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("the store in {} is in use by another process: stop that process first; two hubs never share a directory", path.display())]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// A newer Capstan wrote it.
    #[error("the store in {} has format {found} and this version knows up to {FORMAT}: run the newer Capstan again", path.display())]
    NewerFormat {
        /// Which directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The directory has a `FORMAT` file of something else.
    #[error("{} is not a Capstan store (its FORMAT file says \"{found}\"): choose another directory", path.display())]
    NotAStore {
        /// Which directory.
        path: PathBuf,
        /// What the file says, cut to 80 characters.
        found: String,
    },
    /// The embedded engine cannot open its files.
    #[error(
        "the engine cannot open the store in {}: {cause}. If the disk is full, free some space and start again; otherwise move the directory \
         aside and restore the latest backup into a new one",
        path.display()
    )]
    Engine {
        /// Which directory.
        path: PathBuf,
        /// What it said.
        cause: String,
    },
    /// The store opened, but holds other than what was written.
    #[error(
        "the store in {} is damaged in {count} places, first: {first}. Move the directory aside and restore the latest backup into a new one, \
         or open it for reading only to export what is readable",
        path.display()
    )]
    Damaged {
        /// Which directory.
        path: PathBuf,
        /// How many damages.
        count: u64,
        /// The first.
        first: Damage,
        /// The first [`DAMAGE_LIMIT`](crate::DAMAGE_LIMIT) of them.
        damages: Vec<Damage>,
    },
}

/// An opened store before its threads start.
pub(super) struct Opened {
    pub(super) engine: Engine,
    pub(super) examination: Examination,
    pub(super) root: Root,
    pub(super) mark: AcknowledgedMark,
    pub(super) log: File,
    pub(super) lock: DirectoryLock,
}

/// Opens or creates the store in `path`.
pub(super) fn open(path: &Path, config: &SledConfig) -> Result<Opened, OpenError> {
    let layout = Layout { root: path.to_owned() };
    let unusable = |source| OpenError::Directory { path: path.to_owned(), source };
    // A directory of something else is refused before anything in it is touched.
    read_format(&layout)?;
    prepare(&layout).map_err(unusable)?;
    let lock = lock(&layout)?;
    let known = read_format(&layout)?;
    if known {
        remove_unfinished(&layout).map_err(unusable)?;
    }
    let mark = AcknowledgedMark::open(&layout).map_err(unusable)?;
    let acknowledged = mark.read().map_err(unusable)?;

    wait_for_closing(&layout)?;
    quarantine_snapshots(&layout).map_err(unusable)?;
    let kept_ballast = release_ballast(&layout, config).map_err(unusable)?;
    let (engine, log) = match open_engine(&layout, config) {
        // Nothing was ever acknowledged here: the first start was cut short. Start over, and keep what was there for whoever wonders.
        Err(error) if !known && acknowledged.is_none() => {
            tracing::warn!(%error, "the first start of this store was cut short; starting it again");
            put_aside(&layout, &layout.engine()).map_err(unusable)?;
            open_engine(&layout, config)?
        }
        opened => opened?,
    };
    settle(&engine, &log, known || acknowledged.is_some()).map_err(|error| engine_error(&layout, &error.to_string()))?;

    let mut examination = engine.examine().map_err(|error| engine_error(&layout, &error.to_string()))?;
    let root = examination.root.unwrap_or_default();
    if let Some(acknowledged) = acknowledged
        && acknowledged > root.version
    {
        examination.report.damaged(Damage::RolledBack { acknowledged: acknowledged.0, found: root.version.0 });
    }
    if let Some(first) = examination.report.damages.first()
        && config.when_damaged == WhenDamaged::Refuse
    {
        let (count, first, damages) = (examination.report.damage_count, first.clone(), examination.report.damages.clone());
        return Err(OpenError::Damaged { path: path.to_owned(), count, first, damages });
    }
    if examination.report.damage_count == 0 {
        tidy(&engine, &examination).map_err(|error| engine_error(&layout, &error))?;
        if acknowledged.is_none_or(|acknowledged| acknowledged < root.version) {
            mark.write(root.version).and_then(|()| mark.sync()).map_err(unusable)?;
        }
        if !known {
            disk::write_durably(&layout, &layout.format(), format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes()).map_err(unusable)?;
        }
    }
    if !kept_ballast {
        restore_ballast(&layout, config);
    }
    Ok(Opened { engine, examination, root, mark, log, lock })
}

/// Makes the directories and makes their entries durable.
fn prepare(layout: &Layout) -> io::Result<()> {
    fs::create_dir_all(&layout.root)?;
    for directory in [layout.incoming(), layout.blobs(), layout.quarantine()] {
        fs::create_dir_all(directory)?;
    }
    disk::sync_directory(&layout.root)?;
    // The entry of the directory itself; a parent that may not be opened belongs to somebody who made it long ago.
    let _ = fs::canonicalize(&layout.root)?.parent().map(disk::sync_directory);
    Ok(())
}

fn lock(layout: &Layout) -> Result<DirectoryLock, OpenError> {
    DirectoryLock::take(layout).map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse { path: layout.root.clone() },
        TryLockError::Error(source) => OpenError::Directory { path: layout.lock(), source },
    })
}

/// Removes the temporary files of an earlier process. Only the holder of the lock may.
fn remove_unfinished(layout: &Layout) -> io::Result<()> {
    for unfinished in fs::read_dir(layout.incoming())? {
        fs::remove_file(unfinished?.path())?;
    }
    Ok(())
}

/// Whether the directory says that it is a store of a format that is known; `false` if it says nothing.
fn read_format(layout: &Layout) -> Result<bool, OpenError> {
    let path = layout.root.clone();
    match fs::read_to_string(layout.format()) {
        Ok(text) => match text.strip_prefix(FORMAT_PREFIX).and_then(|number| number.trim_end().parse::<u32>().ok()) {
            Some(found) if found > FORMAT => Err(OpenError::NewerFormat { path, found }),
            Some(FORMAT) => Ok(true),
            _ => Err(OpenError::NotAStore { path, found: text.trim_end().chars().take(80).collect() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // Not a directory at all.
        Err(source) => Err(OpenError::Directory { path, source }),
    }
}

/// Moves `snap.*.generating` out of the engine's way: such a leftover of a kill makes sled 0.34 refuse to open for ever (its issue 1527),
/// and holds nothing that the log does not.
fn quarantine_snapshots(layout: &Layout) -> io::Result<()> {
    let files = match fs::read_dir(layout.engine()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    for file in files {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(file = %name, "an unfinished snapshot of a killed process is put aside");
            put_aside(layout, &file.path())?;
        }
    }
    Ok(())
}

/// Moves `path` into the quarantine, replacing what an earlier start put there under the same name: one of each is enough to look at, and
/// a store that is killed again and again must not fill its disk.
fn put_aside(layout: &Layout, path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let file = fs::metadata(path).map(|metadata| metadata.is_file());
    let aside = if file? { layout.quarantine().join("snapshot") } else { layout.quarantine().join(name) };
    if aside.is_dir() {
        fs::remove_dir_all(&aside)?;
    }
    fs::rename(path, aside)?;
    path.parent().map_or(Ok(()), disk::sync_directory)
}

/// Gives the ballast back to a full disk, because the engine cannot even open without some space. Says whether the ballast is still there.
fn release_ballast(layout: &Layout, config: &SledConfig) -> io::Result<bool> {
    let whole = fs::metadata(layout.ballast()).is_ok_and(|metadata| metadata.len() >= config.ballast_bytes);
    if disk::free_bytes(&layout.root)? >= config.ballast_bytes {
        return Ok(whole);
    }
    match fs::remove_file(layout.ballast()) {
        Ok(()) => tracing::warn!("the disk is full; the store's ballast was given up so that it can open"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(false)
}

/// Makes the ballast again once there is room for it above the floor. Without it the store works as well.
fn restore_ballast(layout: &Layout, config: &SledConfig) {
    let room = disk::free_bytes(&layout.root).unwrap_or(0) >= config.disk_floor_bytes.saturating_add(config.ballast_bytes);
    if config.ballast_bytes > 0
        && room
        && let Err(error) = disk::write_ballast(&layout.ballast(), config.ballast_bytes)
    {
        tracing::warn!(%error, "the store has no ballast on its disk");
    }
}

/// How long to wait for the threads of an engine that this process closed a moment ago: they end within milliseconds, 10 s allow for a
/// machine that is a thousand times too busy.
const CLOSING: Duration = Duration::from_secs(10);

/// Waits until nobody has the engine's log locked. We hold the lock of the directory, so it can only be a former engine of this process,
/// whose threads outlive it by a little, or a foreign tool.
fn wait_for_closing(layout: &Layout) -> Result<(), OpenError> {
    let path = layout.engine_log();
    let unusable = |source| OpenError::Directory { path: path.clone(), source };
    let log = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        log => log.map_err(unusable)?,
    };
    let since = Instant::now();
    loop {
        match log.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if since.elapsed() < CLOSING => std::thread::sleep(Duration::from_millis(2)),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: layout.root.clone() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
}

/// Opens sled with its defaults, which is how it has been used most, but for the size of its cache and its timer. It panics on some damaged files instead of answering, and a second handle of its log for syncing.
fn open_engine(layout: &Layout, config: &SledConfig) -> Result<(Engine, File), OpenError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = sled::Config::new().path(layout.engine()).cache_capacity(config.cache_bytes).flush_every_ms(None).open()?;
        let items = db.open_tree("items")?;
        Ok::<_, sled::Error>(Engine { items, db, layout: layout.clone() })
    }));
    let engine = match opened {
        Ok(Ok(engine)) => engine,
        Ok(Err(error)) => return Err(engine_error(layout, &error.to_string())),
        Err(_) => return Err(engine_error(layout, "it panicked, as it does on some damaged files")),
    };
    let log = OpenOptions::new().read(true).write(true).open(layout.engine_log());
    let synced = log.and_then(|log| {
        log.sync_all()?;
        disk::sync_directory(&layout.engine())?;
        disk::sync_directory(&layout.root)?;
        Ok(log)
    });
    synced.map(|log| (engine, log)).map_err(|source| OpenError::Directory { path: layout.engine(), source })
}

fn engine_error(layout: &Layout, cause: &str) -> OpenError {
    OpenError::Engine { path: layout.root.clone(), cause: cause.to_owned() }
}

/// Gives a new store its root account, and empties one whose import did not reach its end.
fn settle(engine: &Engine, log: &File, existed: bool) -> Result<(), StoreError> {
    let flush = || {
        engine.db.flush().map_err(super::reading::engine_failed)?;
        log.sync_all().map_err(|error| StoreError::Stopped { cause: format!("fsync of the store failed: {error}") })
    };
    if engine.item(IMPORTING)?.is_some() {
        tracing::warn!("an import did not reach its end; the store is emptied again");
        for prefix in [&[area::RECORD][..], &[area::PIECE], &[area::BLOB], &[area::BLOB_PIECE], TREE] {
            remove_all(engine, engine.items.scan_prefix(prefix).keys().filter_map(Result::ok))?;
        }
        let root = engine.item(ROOT)?.and_then(|sealed| Root::unseal(&sealed).ok()).unwrap_or_default();
        let mut batch = sled::Batch::default();
        batch.insert(ROOT, Root { blobs: Tally::default(), ..root }.seal());
        batch.remove(IMPORTING);
        engine.items.apply_batch(batch).map_err(super::reading::engine_failed)?;
        flush()?;
    }
    // In a store that existed, a missing root is damage, which the examination reports.
    if !existed && engine.items.is_empty() {
        engine.items.insert(ROOT, Root::default().seal()).map_err(super::reading::engine_failed)?;
        flush()?;
    }
    Ok(())
}

/// Removes what crashes left and nothing refers to.
fn tidy(engine: &Engine, examination: &Examination) -> Result<(), String> {
    remove_all(engine, examination.orphans.iter().cloned()).map_err(|error| error.to_string())?;
    let files = engine.sweep_blob_files().map_err(|error| error.to_string())?;
    if files > 0 || !examination.orphans.is_empty() {
        tracing::info!(pieces = examination.orphans.len(), files, "leftovers of an interrupted write are removed");
    }
    Ok(())
}

fn remove_all(engine: &Engine, names: impl Iterator<Item = sled::IVec>) -> Result<(), StoreError> {
    let mut names = names.peekable();
    while names.peek().is_some() {
        let mut batch = sled::Batch::default();
        names.by_ref().take(BATCH_OPERATIONS).for_each(|name| batch.remove(name));
        engine.items.apply_batch(batch).map_err(super::reading::engine_failed)?;
    }
    Ok(())
}
