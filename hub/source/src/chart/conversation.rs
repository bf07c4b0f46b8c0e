//! What a look at a chart's place gives: the version that is there now, and its archive unless the hub has it. It runs on a thread of its own
//! within an allowance, and changes nothing: who called it takes what it found.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use shared_model::Digest;

use super::archive::is_gzip;
use super::repository::ChartRepository;
use super::spec::{ChartRepositoryUrl, ChartSpec};
use super::store::{ChartStore, Held};
use super::web::Web;
use super::{registry, repository};
use crate::error::FetchError;
use crate::transport::Allowance;

/// What more than index and archive a conversation may receive: tags, manifests and tokens, 16 times 4 MiB.
const REST_BYTES: u64 = 64 << 20;

/// What is there now.
pub(crate) struct Found {
    pub(crate) version: String,
    pub(crate) archive: Archive,
    pub(crate) deprecated: bool,
}

/// The archive of a version.
pub(crate) enum Archive {
    /// It is on disk already.
    Kept(Held),
    /// It came, and is what was announced.
    Came(Vec<u8>),
}

/// What is known before a look, so that it need not be asked again.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// The version that was taken last.
    pub(crate) version: String,
    /// The digest of its archive.
    pub(crate) archive: Digest,
    /// The address that the archive came from, or the digest of the manifest that names it.
    pub(crate) origin: Option<String>,
}

/// A look at the place of `spec`.
pub(crate) fn look(
    place: &Arc<ChartRepository>,
    spec: &ChartSpec,
    before: Option<Before>,
    interrupt: &AtomicBool,
) -> Result<(Found, Option<String>), FetchError> {
    let limits = *place.store().limits();
    let bytes = limits.index_bytes as u64 + limits.archive_bytes as u64 + REST_BYTES;
    let allowance = Allowance::new(limits.time, bytes);
    let (talking, place, spec) = (allowance.clone(), place.clone(), spec.clone());
    let url = place.spec().url.to_string();
    let said = allowance.watched(interrupt, move || {
        let spec_of_place = place.spec();
        let home = spec_of_place.url.base(spec_of_place.plain_http);
        let home =
            home.map_err(|error| FetchError::NotAChartRepository { url: spec_of_place.url.to_string(), detail: error.to_string() })?;
        let web = Web::new(spec_of_place, &limits, home, &talking)?;
        match &spec_of_place.url {
            ChartRepositoryUrl::Http(_) => repository::look(&web, &place, &spec, before.as_ref()),
            ChartRepositoryUrl::Oci { path, .. } => registry::look(&web, &place, path, &spec, before.as_ref()),
        }
    });
    match (said, allowance.failure(&url)) {
        (Some(Ok(said)), _) => Ok(said),
        (_, Some(ended)) => Err(ended),
        (Some(Err(error)), None) => Err(error),
        (None, None) => Err(FetchError::Interrupted),
    }
}

/// An archive that is on disk: the one with this digest.
pub(crate) fn kept(store: &Arc<ChartStore>, digest: &Digest) -> Option<Archive> {
    store.hold(digest).map(Archive::Kept)
}

/// Bytes that came from `url`, verified.
pub(crate) fn came(url: &str, bytes: Vec<u8>, expected: Option<&Digest>) -> Result<Archive, FetchError> {
    if let Some(expected) = expected {
        let actual = Digest::of(&bytes);
        if actual != *expected {
            return Err(FetchError::WrongDigest { url: url.to_owned(), expected: expected.to_string(), actual: actual.to_string() });
        }
    }
    if !is_gzip(&bytes) {
        return Err(FetchError::NotAChart { url: url.to_owned(), detail: "it is not packed with gzip, as every chart is".to_owned() });
    }
    Ok(Archive::Came(bytes))
}
