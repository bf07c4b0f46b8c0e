//! The conversations with a remote: listing its references, and fetching the history of one of them into a bare clone.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gix::ObjectId;
use gix::bstr::BStr;
use gix::remote::Direction;
use gix::remote::fetch::Tags;

use crate::error::{FetchError, classify, detail_of};
use crate::reference::Listed;
use crate::repository::{commit_of, isolated};
use crate::spec::{Limits, SourceSpec, Surroundings};
use crate::transport::{Allowance, connect, ssh_failure};

/// The one reference of a clone: what was fetched last.
const FETCHED: &str = "refs/capstan/fetched";

/// The longest listing of references: 200,000 of them with names of about 100 bytes.
const LISTING_BYTES: u64 = 32 << 20;

/// Makes an empty bare repository.
pub(crate) fn init(path: &Path, limits: &Limits) -> gix::Result<gix::ThreadSafeRepository> {
    gix::ThreadSafeRepository::init_opts(path, gix::create::Kind::Bare, gix::create::Options::default(), isolated(limits))
}

/// How many packs the clone at `path` has.
pub(crate) fn packs(path: &Path) -> usize {
    let entries = fs::read_dir(path.join("objects/pack"));
    entries.map_or(0, |entries| entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "pack")).count())
}

/// The remote's references that begin with `prefix`.
pub(crate) fn list(
    repository: &gix::Repository,
    spec: &SourceSpec,
    surroundings: &Surroundings,
    prefix: &str,
    interrupt: &AtomicBool,
) -> Result<Vec<Listed>, FetchError> {
    let allowance = Allowance::new(surroundings.limits.listing_time, LISTING_BYTES);
    let refspec = if prefix == "HEAD" { format!("HEAD:{FETCHED}") } else { format!("{prefix}*:refs/capstan/listed/*") };
    let listed = converse(repository, spec, surroundings, refspec, &allowance, interrupt, |connection| {
        let (map, _) = connection.ref_map(gix::progress::Discard, gix::remote::ref_map::Options::default())?;
        Ok(map.remote_refs)
    })?;
    let listed = listed.iter().filter_map(|reference| {
        let (name, object, peeled) = reference.unpack();
        let object = peeled.or(object)?.to_owned();
        Some(Listed { name: name.to_string(), object })
    });
    Ok(listed.filter(|listed| listed.name.starts_with(prefix)).collect())
}

/// Fetches `source`, a full reference name or a commit id, with its history. Gives the commit.
pub(crate) fn fetch(
    repository: &gix::Repository,
    spec: &SourceSpec,
    surroundings: &Surroundings,
    source: &str,
    interrupt: &AtomicBool,
) -> Result<ObjectId, FetchError> {
    let allowance = Allowance::new(surroundings.limits.fetch_time, surroundings.limits.fetch_bytes);
    let refspec = format!("+{source}:{FETCHED}");
    let receiving = allowance.clone();
    let object = converse(repository, spec, surroundings, refspec, &allowance, interrupt, move |connection| {
        let options = gix::remote::ref_map::Options::default();
        let outcome = connection.prepare_fetch(gix::progress::Discard, options)?.receive(gix::progress::Discard, receiving.stop())?;
        Ok(outcome.ref_map.mappings.first().and_then(|mapping| mapping.remote.as_id().map(ToOwned::to_owned)))
    })?;
    let object =
        object.ok_or_else(|| FetchError::UnknownReference { url: spec.url.to_string(), wanted: source.to_owned(), similar: Vec::new() })?;
    // Opened anew, because the handle that fetched may not see the pack.
    let corrupt = |error: gix::Error| FetchError::Corrupt { url: spec.url.to_string(), detail: detail_of(&error) };
    let fresh = isolated(&surroundings.limits).open(repository.git_dir()).map_err(corrupt)?.to_thread_local();
    let commit = commit_of(&fresh, object).map_err(corrupt)?;
    sync(repository.git_dir())
        .map_err(|error| FetchError::Disk { path: repository.git_dir().display().to_string(), detail: error.to_string() })?;
    Ok(commit)
}

/// Puts the packs of a clone on the disk, so that what is then recorded as good is there after a power failure.
fn sync(clone: &Path) -> io::Result<()> {
    let packs = clone.join("objects/pack");
    for entry in fs::read_dir(&packs)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(packs)?.sync_all()
}

type GixConnection<'a, 'repo> = gix::remote::Connection<'a, 'a, 'repo, Box<dyn gix::protocol::transport::client::blocking_io::Transport>>;

/// Connects and talks, within the allowance.
fn converse<T: Send + 'static>(
    repository: &gix::Repository,
    spec: &SourceSpec,
    surroundings: &Surroundings,
    refspec: String,
    allowance: &Arc<Allowance>,
    interrupt: &AtomicBool,
    talk: impl FnOnce(GixConnection<'_, '_>) -> gix::Result<T> + Send + 'static,
) -> Result<T, FetchError> {
    let conversation = Conversation {
        repository: repository.clone(),
        spec: spec.clone(),
        surroundings: surroundings.clone(),
        refspec,
        allowance: allowance.clone(),
    };
    let said = allowance.watched(interrupt, move || conversation.hold(talk));
    match (said, allowance.failure(&spec.url)) {
        (Some(Ok(said)), _) => Ok(said),
        (_, Some(ended)) => Err(ended),
        (Some(Err(error)), None) => Err(error),
        (None, None) => Err(FetchError::Interrupted),
    }
}

struct Conversation {
    repository: gix::Repository,
    spec: SourceSpec,
    surroundings: Surroundings,
    refspec: String,
    allowance: Arc<Allowance>,
}

impl Conversation {
    fn hold<T>(self, talk: impl FnOnce(GixConnection<'_, '_>) -> gix::Result<T>) -> Result<T, FetchError> {
        let url = self.spec.url.to_string();
        let remote = self
            .repository
            .remote_at_without_url_rewrite(url.as_str())
            .and_then(|remote| remote.with_fetch_tags(Tags::None).with_refspecs([BStr::new(&self.refspec)], Direction::Fetch))
            .map_err(|error| FetchError::Unexpected { url, detail: detail_of(&error) })?;
        let link = connect(&self.spec, &self.surroundings, &self.allowance)?;
        let mut connection = remote.to_connection_with_transport(link.transport);
        connection.set_transport_options(link.options);
        // Never the credential helpers of whoever runs the hub: those are programs.
        connection.set_credentials(|_| Ok(None));
        talk(connection).map_err(|error| {
            let complaints = link.child.map(|child| child.complaints()).unwrap_or_default();
            ssh_failure(&self.spec, &complaints).unwrap_or_else(|| classify(&self.spec, &self.surroundings.limits, &error))
        })
    }
}

/// Whether the clone holds what it fetched last.
pub(crate) fn is_whole(repository: &gix::Repository) -> bool {
    match repository.try_find_reference(FETCHED) {
        Ok(Some(mut reference)) => reference.peel_to_commit().is_ok_and(|commit| commit.tree().is_ok()),
        Ok(None) => true,
        Err(_) => false,
    }
}
