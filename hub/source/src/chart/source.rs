//! A chart as the hub follows it: a version of its repository, refreshed as a Git source is, and a tree with its archive. A failed refresh
//! changes nothing that was good. When to refresh is left to `poll`.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hub_tree::SourceTree;
use shared_model::{Digest, Revision, Timestamp};

use super::archive::ChartArchive;
use super::conversation::{Archive, Before, look};
use super::repository::ChartRepository;
use super::spec::ChartSpec;
use super::store::Held;
use super::tree::ArchiveTree;
use crate::error::FetchError;
use crate::mirror::{CommitError, OpenError};
use crate::poll::Source;
use crate::record::{Record, Unusable};
use crate::state::{History, Refreshed, SourceState, guarded};

/// One chart of a repository. Its revisions have the version as reference, and as commit the SHA-256 of the archive in 64 hexadecimal digits.
pub struct ChartSource {
    place: Arc<ChartRepository>,
    spec: ChartSpec,
    dir: PathBuf,
    known: Mutex<Known>,
    /// Held during a refresh: there is one at a time.
    refreshing: Mutex<()>,
}

struct Known {
    state: SourceState,
    /// The archive of the last good revision stays on disk.
    held: Option<Held>,
    /// Where that archive came from.
    origin: Option<String>,
}

impl ChartSource {
    /// Opens the source of `spec` at `place`. The last good revision is known at once, without the remote, also if another source of the same
    /// chart and version found it in an earlier life of the process.
    pub fn open(place: &Arc<ChartRepository>, spec: ChartSpec) -> Result<Self, OpenError> {
        let identity = Digest::of(format!("{}\n{}", place.address_of(&spec), spec.version).as_bytes());
        let dir = place.store().record_dir(&identity);
        let directory = |source| OpenError::Directory { path: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(directory)?;
        let record = match Record::read(&dir) {
            Ok(record) => record,
            Err(Unusable::Newer { version }) => return Err(OpenError::Newer { path: dir, version }),
            Err(Unusable::Io(source)) => return Err(directory(source)),
            Err(Unusable::Damaged { line }) => {
                tracing::warn!(chart = %place.address_of(&spec), line, "the record of a chart is damaged and set aside; it is fetched anew");
                Record::set_aside(&dir).map_err(directory)?;
                None
            }
        };
        let source = Self {
            place: place.clone(),
            spec,
            dir,
            known: Mutex::new(Known { state: SourceState::default(), held: None, origin: None }),
            refreshing: Mutex::new(()),
        };
        if let Some(record) = record {
            source.recall(record);
        }
        Ok(source)
    }

    /// Takes what a record says, as far as the archive is still there and whole.
    fn recall(&self, record: Record) {
        let held = record.last_good.as_ref().and_then(|(revision, _)| self.hold(revision).ok()).filter(|held| held.read().is_ok());
        if held.is_none() && record.last_good.is_some() {
            tracing::warn!(chart = %self.label(), "the archive of the last good version is not on disk; it is fetched anew");
        }
        let mut known = self.known();
        known.state.last_good = record.last_good.filter(|_| held.is_some());
        known.state.rewrites = record.rewrites;
        known.held = held;
    }

    /// Which chart it is, and what is followed of it.
    pub fn spec(&self) -> &ChartSpec {
        &self.spec
    }

    /// Where it comes from.
    pub fn repository(&self) -> &Arc<ChartRepository> {
        &self.place
    }

    /// What is known about it.
    pub fn state(&self) -> SourceState {
        self.known().state.clone()
    }

    /// The last good revision.
    pub fn current(&self) -> Option<Revision> {
        self.known().state.last_good.as_ref().map(|(revision, _)| revision.clone())
    }

    /// Looks at the repository and fetches the archive if it is new. Blocks, so that async code calls [`crate::refresh_in_background`];
    /// `interrupt` calls it off. On failure the last good revision stays.
    pub fn refresh(&self, interrupt: &AtomicBool) -> Result<Refreshed, FetchError> {
        let _alone = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let refreshed = guarded(&self.label(), || self.find(interrupt));
        let now = self.place.store().clock().now();
        self.known().state.attempted(now, refreshed.as_ref().err());
        refreshed
    }

    /// The tree of `revision`, also of an older one that is still on disk: one file, `<chart>-<version>.tgz`.
    pub fn tree(&self, revision: &Revision) -> Result<Arc<dyn SourceTree>, CommitError> {
        let held = self.hold(revision)?;
        Ok(Arc::new(ArchiveTree::new(&self.spec.chart, &revision.reference, held)))
    }

    /// The archive of `revision`, verified.
    pub fn archive(&self, revision: &Revision) -> Result<ChartArchive, CommitError> {
        let held = self.hold(revision)?;
        let bytes = held.read().map_err(|detail| self.missing(revision, detail))?;
        Ok(ChartArchive { name: self.spec.chart.clone(), version: revision.reference.clone(), digest: *held.digest(), bytes: bytes.into() })
    }

    fn hold(&self, revision: &Revision) -> Result<Held, CommitError> {
        let digest: Digest = format!("sha256:{}", revision.commit)
            .parse()
            .map_err(|_| self.missing(revision, "it is no digest of 64 hexadecimal digits".to_owned()))?;
        self.place.store().hold(&digest).ok_or_else(|| self.missing(revision, "it is not on disk".to_owned()))
    }

    fn missing(&self, revision: &Revision, detail: String) -> CommitError {
        CommitError::Archive { chart: self.label(), digest: revision.commit.chars().take(80).collect(), detail }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn before(&self) -> Option<Before> {
        let known = self.known();
        let (revision, _) = known.state.last_good.as_ref()?;
        let archive = *known.held.as_ref()?.digest();
        Some(Before { version: revision.reference.clone(), archive, origin: known.origin.clone() })
    }

    /// Looks, and makes what is there durable before it is known.
    fn find(&self, interrupt: &AtomicBool) -> Result<Refreshed, FetchError> {
        let (found, origin) = look(&self.place, &self.spec, self.before(), interrupt)?;
        let held = match found.archive {
            Archive::Kept(held) => held,
            Archive::Came(bytes) => self.place.store().put(&bytes).map_err(|error| self.disk(&error))?,
        };
        let revision = Revision { reference: found.version, commit: held.digest().hex() };
        let history = history(self.current().as_ref(), &revision);
        if found.deprecated && history != History::Unchanged {
            tracing::warn!(chart = %self.label(), %revision, "the publisher of the chart calls this version deprecated");
        }
        self.record(&revision, &history, held, origin)?;
        Ok(Refreshed { revision, history })
    }

    fn record(&self, revision: &Revision, history: &History, held: Held, origin: Option<String>) -> Result<(), FetchError> {
        let now: Timestamp = self.place.store().clock().now();
        let record = Record {
            url: self.place.address_of(&self.spec),
            reference: self.spec.version.to_string(),
            clone: 0,
            last_good: Some((revision.clone(), now)),
            rewrites: self.state().rewrites_with(revision, history, now),
        };
        self.place.store().write_record(&record, &self.dir).map_err(|error| self.disk(&error))?;
        let mut known = self.known();
        known.state.last_good = record.last_good;
        known.state.rewrites = record.rewrites;
        (known.held, known.origin) = (Some(held), origin);
        Ok(())
    }

    fn disk(&self, error: &std::io::Error) -> FetchError {
        FetchError::Disk { path: self.dir.display().to_string(), detail: error.to_string() }
    }
}

impl Source for ChartSource {
    fn label(&self) -> String {
        format!("{} {}", self.place.address_of(&self.spec), self.spec.version)
    }

    fn interval(&self) -> Duration {
        self.place.spec().interval
    }

    fn state(&self) -> SourceState {
        self.state()
    }

    fn refresh(&self, interrupt: &AtomicBool) -> Result<Refreshed, FetchError> {
        self.refresh(interrupt)
    }

    fn tree(&self, revision: &Revision) -> Result<Arc<dyn SourceTree>, CommitError> {
        self.tree(revision)
    }
}

impl fmt::Debug for ChartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChartSource").field("place", &self.place).field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// How a version of a chart follows the one before. The same version with other bytes was published anew, which no repository should allow.
fn history(before: Option<&Revision>, now: &Revision) -> History {
    match before {
        None => History::First,
        Some(before) if before == now => History::Unchanged,
        Some(before) if before.reference == now.reference => History::Rewritten { lost_commit: before.commit.clone() },
        Some(before) => History::OtherTag { before: before.reference.clone() },
    }
}
