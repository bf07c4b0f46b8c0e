//! A source's repository as the hub has it: refreshed from its remote, or read where it lies. A failed refresh changes nothing that was
//! good. When to refresh is left to `poll`, what a conversation with a remote is to `fetch`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gix::ObjectId;
use hub_tree::SourceTree;
use shared_model::{Revision, Timestamp};

use crate::commit::CommitInfo;
use crate::error::{FetchError, detail_of};
use crate::fetch;
use crate::ignore::IgnoringTree;
use crate::poll::Source;
use crate::record::{Record, Unusable};
use crate::reference::{Reference, Target, Unresolved, resolve};
use crate::repository::{commit_of, is_ancestor, list_references, open_repository};
use crate::spec::{SourceSpec, Surroundings};
use crate::state::{History, Refreshed, SourceState, guarded};
use crate::tree::{GitTree, TreeCache};

/// A mirror could not be opened. A remote that is away is no reason: that shows at the first refresh.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error("the mirror's directory {path} cannot be used; check the disk and the permissions")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// A newer hub wrote it.
    #[error("the mirror in {path} was written by a newer hub (format {version}, this one knows 1); run that hub, or delete the directory")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The format.
        version: u32,
    },
}

/// A tree or commit of a mirror could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Not a commit id.
    #[error("\"{text}\" is no commit id of 40 hexadecimal digits")]
    Malformed {
        /// What was asked for, cut to 80 characters.
        text: String,
    },
    /// It is not there, any more or yet.
    #[error(
        "commit {commit} is not in the mirror of source {name} ({detail}); refresh the source, or check that it was not force-pushed away"
    )]
    Missing {
        /// The source.
        name: String,
        /// The commit.
        commit: String,
        /// What failed.
        detail: String,
    },
    /// An archive of a chart is not there, any more or yet, or is damaged.
    #[error("the archive {digest} of chart {chart} cannot be had ({detail}); refresh the source")]
    Archive {
        /// The chart.
        chart: String,
        /// The digest of the archive.
        digest: String,
        /// What failed.
        detail: String,
    },
}

/// The mirror of one source.
pub struct Mirror {
    spec: SourceSpec,
    dir: PathBuf,
    surroundings: Surroundings,
    known: Mutex<Known>,
    /// Held during a refresh: there is one at a time.
    refreshing: Mutex<()>,
    trees: Arc<TreeCache>,
}

struct Known {
    clone: u64,
    state: SourceState,
}

/// What a refresh found, before it is recorded.
struct Found {
    revision: Revision,
    history: History,
    clone: u64,
}

impl Mirror {
    /// Opens the mirror of `spec` in `dir`, which is made if needed and belongs to this mirror alone. The last good revision is known at
    /// once, without the remote; one of another URL or reference is forgotten.
    pub fn open(dir: &Path, spec: SourceSpec, surroundings: Surroundings) -> Result<Self, OpenError> {
        let directory = |source| OpenError::Directory { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(directory)?;
        let record = match Record::read(dir) {
            Ok(record) => record,
            Err(Unusable::Newer { version }) => return Err(OpenError::Newer { path: dir.to_owned(), version }),
            Err(Unusable::Io(source)) => return Err(directory(source)),
            Err(Unusable::Damaged { line }) => {
                tracing::warn!(source = %spec.name, line, "the record of a mirror is damaged and set aside; it is fetched anew");
                Record::set_aside(dir).map_err(directory)?;
                None
            }
        };
        let record = record.filter(|record| record.url == spec.url.to_string());
        remove_leftovers(dir, record.as_ref().map(|record| record.clone)).map_err(directory)?;
        let clone = record.as_ref().map_or(0, |record| record.clone);
        let mut state = SourceState::default();
        if let Some(record) = record {
            let same = record.reference == spec.reference.to_string();
            state = SourceState { last_good: record.last_good.filter(|_| same), rewrites: record.rewrites, ..SourceState::default() };
        }
        let mirror = Self {
            spec,
            dir: dir.to_owned(),
            surroundings,
            known: Mutex::new(Known { clone, state }),
            refreshing: Mutex::new(()),
            trees: Arc::new(TreeCache::default()),
        };
        mirror.forget_what_is_not_there();
        Ok(mirror)
    }

    /// What it mirrors.
    pub fn spec(&self) -> &SourceSpec {
        &self.spec
    }

    /// What is known about the source.
    pub fn state(&self) -> SourceState {
        self.known().state.clone()
    }

    /// Looks at the remote and fetches what is new. Blocks, so that async code calls [`crate::refresh_in_background`]; `interrupt` calls it
    /// off. On failure the last good revision stays.
    pub fn refresh(&self, interrupt: &AtomicBool) -> Result<Refreshed, FetchError> {
        let _alone = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = guarded(&self.spec.url, || self.find(interrupt));
        self.conclude(found)
    }

    /// The tree of `revision`, also of an older one that is still in the mirror, without the files that the source ignores.
    pub fn tree(&self, revision: &Revision) -> Result<Arc<dyn SourceTree>, CommitError> {
        let id = self.commit_id(&revision.commit)?;
        let missing = |error: gix::Error| self.missing(&revision.commit, &error);
        let repository = self.open_current().map_err(missing)?;
        let tree = GitTree::open(repository, id, self.trees.clone()).map_err(missing)?;
        Ok(Arc::new(IgnoringTree::new(Arc::new(tree), self.spec.ignore.as_deref())))
    }

    /// Who made a commit, when and why.
    pub fn commit_info(&self, commit: &str) -> Result<CommitInfo, CommitError> {
        let id = self.commit_id(commit)?;
        let read = || CommitInfo::read(&self.open_current()?.to_thread_local(), id);
        read().map_err(|error| self.missing(commit, &error))
    }

    fn commit_id(&self, text: &str) -> Result<ObjectId, CommitError> {
        ObjectId::from_hex(text.as_bytes()).map_err(|_| CommitError::Malformed { text: text.chars().take(80).collect() })
    }

    fn missing(&self, commit: &str, error: &gix::Error) -> CommitError {
        CommitError::Missing { name: self.spec.name.to_string(), commit: commit.to_owned(), detail: detail_of(error) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clone_path(&self, clone: u64) -> PathBuf {
        self.dir.join(format!("clone-{clone}"))
    }

    fn repository_path(&self, clone: u64) -> PathBuf {
        self.spec.url.local_path().map_or_else(|| self.clone_path(clone), Path::to_owned)
    }

    /// Opened anew each time: an open repository does not see more than 31 packs that came after it.
    fn open_current(&self) -> gix::Result<gix::ThreadSafeRepository> {
        let clone = self.known().clone;
        open_repository(&self.repository_path(clone), &self.surroundings.limits)
    }

    /// A record may outlive its clone, as when a disk was restored in part. Then nothing is good until it is fetched again.
    fn forget_what_is_not_there(&self) {
        let Some((revision, _)) = self.state().last_good else { return };
        let there = self
            .commit_id(&revision.commit)
            .is_ok_and(|id| self.open_current().is_ok_and(|repository| commit_of(&repository.to_thread_local(), id).is_ok()));
        if !there && self.spec.url.local_path().is_none() {
            tracing::warn!(source = %self.spec.name, %revision, "the mirror does not hold its last good revision; it is fetched anew");
            self.known().state.last_good = None;
        }
    }

    fn find(&self, interrupt: &AtomicBool) -> Result<Found, FetchError> {
        let before = self.state().last_good.map(|(revision, _)| revision);
        let clone = self.known().clone;
        match self.spec.url.local_path() {
            Some(path) => self.find_here(path, before.as_ref(), clone),
            None => self.find_there(before.as_ref(), clone, interrupt),
        }
    }

    /// Reads the references of a repository on this machine.
    fn find_here(&self, path: &Path, before: Option<&Revision>, clone: u64) -> Result<Found, FetchError> {
        if !path.exists() {
            return Err(FetchError::LocalPathMissing { path: path.display().to_string() });
        }
        let url = || path.display().to_string();
        let repository = open_repository(path, &self.surroundings.limits)
            .map_err(|error| FetchError::NotARepository { url: url(), detail: detail_of(&error) })?
            .to_thread_local();
        let listed = list_references(&repository, self.spec.reference.prefix())
            .map_err(|error| FetchError::Corrupt { url: url(), detail: detail_of(&error) })?;
        let target = resolve(&self.spec.reference, &listed).map_err(|unresolved| self.unresolved(unresolved))?;
        let id = commit_of(&repository, target.object).map_err(|error| match &self.spec.reference {
            Reference::Commit(_) => self.unresolved(Unresolved::Unknown { similar: Vec::new() }),
            _ => FetchError::Corrupt { url: url(), detail: detail_of(&error) },
        })?;
        Ok(found(&self.spec.reference, &repository, before, &target, id, clone))
    }

    /// Lists the remote's references, and fetches if what is followed moved.
    fn find_there(&self, before: Option<&Revision>, clone: u64, interrupt: &AtomicBool) -> Result<Found, FetchError> {
        let disk = |path: &Path, error: &gix::Error| FetchError::Disk { path: path.display().to_string(), detail: detail_of(error) };
        let new_clone = |clone: u64| {
            let path = self.clone_path(clone);
            remove_if_there(&path).map_err(|error| FetchError::Disk { path: path.display().to_string(), detail: error.to_string() })?;
            let made = fetch::init(&path, &self.surroundings.limits).map_err(|error| disk(&path, &error))?;
            Ok(made.to_thread_local())
        };
        let mut clone = clone;
        let mut repository =
            match open_repository(&self.clone_path(clone), &self.surroundings.limits).map(|opened| opened.to_thread_local()) {
                Ok(repository) if fetch::is_whole(&repository) => repository,
                // A clone that cannot be used is replaced; one that is not there yet is made.
                _ => {
                    clone += u64::from(before.is_some());
                    new_clone(clone)?
                }
            };

        let target = match &self.spec.reference {
            commit @ Reference::Commit(_) => resolve(commit, &[]),
            named => {
                let listed = fetch::list(&repository, &self.spec, &self.surroundings, named.prefix(), interrupt)?;
                resolve(named, &listed)
            }
        };
        let target = target.map_err(|unresolved| self.unresolved(unresolved))?;
        if let Ok(id) = commit_of(&repository, target.object) {
            return Ok(found(&self.spec.reference, &repository, before, &target, id, clone));
        }

        if fetch::packs(&self.clone_path(clone)) >= self.surroundings.limits.packs {
            clone += 1;
            repository = new_clone(clone)?;
        }
        let id = fetch::fetch(&repository, &self.spec, &self.surroundings, &target.source, interrupt)?;
        let path = self.clone_path(clone);
        let fetched = open_repository(&path, &self.surroundings.limits)
            .map_err(|error| FetchError::Corrupt { url: path.display().to_string(), detail: detail_of(&error) })?
            .to_thread_local();
        Ok(found(&self.spec.reference, &fetched, before, &target, id, clone))
    }

    fn unresolved(&self, unresolved: Unresolved) -> FetchError {
        let url = self.spec.url.to_string();
        match (unresolved, &self.spec.reference) {
            (Unresolved::NoVersion { newest }, Reference::Semver(range)) => {
                FetchError::NoVersionMatches { url, range: range.to_string(), newest }
            }
            (Unresolved::NoVersion { newest: similar } | Unresolved::Unknown { similar }, reference) => {
                let wanted = reference.to_string().replacen('=', " ", 1);
                FetchError::UnknownReference { url, wanted, similar }
            }
        }
    }

    /// Takes the outcome into the state, durably when it is good.
    fn conclude(&self, found: Result<Found, FetchError>) -> Result<Refreshed, FetchError> {
        let now = self.surroundings.clock.now();
        let recorded = found.and_then(|found| self.record(&found, now).map(|()| found));
        self.known().state.attempted(now, recorded.as_ref().err());
        recorded.map(|Found { revision, history, .. }| Refreshed { revision, history })
    }

    /// Writes what was found to disk, then makes it known.
    fn record(&self, found: &Found, now: Timestamp) -> Result<(), FetchError> {
        let rewrites = self.state().rewrites_with(&found.revision, &found.history, now);
        let record = Record {
            url: self.spec.url.to_string(),
            reference: self.spec.reference.to_string(),
            clone: found.clone,
            last_good: Some((found.revision.clone(), now)),
            rewrites: rewrites.clone(),
        };
        record.write(&self.dir).map_err(|error| FetchError::Disk { path: self.dir.display().to_string(), detail: error.to_string() })?;
        let mut known = self.known();
        if known.clone != found.clone {
            // The clone before stays for trees that are still read; the one before that goes.
            for old in 0..known.clone {
                if let Err(error) = remove_if_there(&self.clone_path(old)) {
                    tracing::warn!(source = %self.spec.name, %error, "an old clone could not be removed");
                }
            }
        }
        known.clone = found.clone;
        known.state.last_good = record.last_good;
        known.state.rewrites = rewrites;
        Ok(())
    }
}

impl Source for Mirror {
    fn label(&self) -> String {
        self.spec.name.to_string()
    }

    fn interval(&self) -> Duration {
        self.spec.interval
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

fn found(
    reference: &Reference,
    repository: &gix::Repository,
    before: Option<&Revision>,
    target: &Target,
    id: ObjectId,
    clone: u64,
) -> Found {
    let revision = Revision { reference: target.label.clone(), commit: id.to_string() };
    let history = match before {
        None => History::First,
        Some(before) if *before == revision => History::Unchanged,
        Some(before) if before.reference != revision.reference && matches!(reference, Reference::Semver(_)) => {
            History::OtherTag { before: before.reference.clone() }
        }
        Some(before) if before.commit == revision.commit || is_ancestor(repository, &before.commit, id) => History::FastForward,
        Some(before) => History::Rewritten { lost_commit: before.commit.clone() },
    };
    Found { revision, history, clone }
}

/// Removes what a process that was killed left behind: clones that no record names, packs that were being received, and locks.
fn remove_leftovers(dir: &Path, clone: Option<u64>) -> io::Result<()> {
    let current = clone.map(|clone| format!("clone-{clone}"));
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("clone-") && Some(&name) != current.as_ref() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let Some(current) = current.map(|current| dir.join(current)).filter(|current| current.exists()) else { return Ok(()) };
    remove_files(&current.join("objects/pack"), |name| !name.starts_with("pack-") && !name.starts_with("multi-pack-index"))?;
    // The mirror is this process's alone: a lock that is there now is that of a process that was killed, and nobody would ever release it.
    let is_lock = |name: &str| name.ends_with(".lock");
    remove_files(&current, is_lock)?;
    remove_files(&current.join("refs"), is_lock)?;
    remove_files(&current.join("refs/capstan"), is_lock)
}

/// Removes the files in `dir` whose names are `unwanted`.
fn remove_files(dir: &Path, unwanted: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() && unwanted(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
