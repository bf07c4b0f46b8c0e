//! A chart repository: a look at its `index.yaml`, which one request settles when nothing is new, and the archive that the index names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use reqwest::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{Method, StatusCode, Url};

use super::conversation::{Archive, Before, Found, came, kept};
use super::index::{Entry, Index};
use super::registry::{self, Token};
use super::spec::{ChartRepositorySpec, ChartRepositoryUrl, ChartSpec};
use super::store::ChartStore;
use super::version::newest_of;
use super::web::{Answer, Ask, Authorization, Web, shown};
use crate::error::FetchError;

/// How often a look asks whether another one is done with the index.
const TURN: Duration = Duration::from_millis(20);

/// One place that has charts, shared by all that follow a chart there: they read one copy of its index, and one of its tokens.
pub struct ChartRepository {
    spec: ChartRepositorySpec,
    store: Arc<ChartStore>,
    copy: Mutex<Option<Copy>>,
    tokens: Mutex<BTreeMap<String, Token>>,
}

/// An index as it was when it was asked for last.
struct Copy {
    index: Arc<Index>,
    etag: Option<String>,
    modified: Option<String>,
    confirmed: Instant,
}

impl ChartRepository {
    /// The place of `spec`, with its archives in `store`. Nothing is asked yet.
    pub fn new(store: &Arc<ChartStore>, spec: ChartRepositorySpec) -> Arc<Self> {
        Arc::new(Self { spec, store: store.clone(), copy: Mutex::new(None), tokens: Mutex::new(BTreeMap::new()) })
    }

    /// Where it is, and what may be shown there.
    pub fn spec(&self) -> &ChartRepositorySpec {
        &self.spec
    }

    pub(crate) fn store(&self) -> &Arc<ChartStore> {
        &self.store
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy, once no other look is at it. A look whose allowance ends meanwhile stops waiting.
    fn own_copy(&self, web: &Web) -> Result<MutexGuard<'_, Option<Copy>>, FetchError> {
        loop {
            match self.copy.try_lock() {
                Ok(copy) => return Ok(copy),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    web.goes_on()?;
                    std::thread::sleep(TURN);
                }
            }
        }
    }
}

impl fmt::Debug for ChartRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChartRepository").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// Looks at the index, and fetches the archive if it is new. The text is where the archive is.
pub(crate) fn look(
    web: &Web,
    place: &ChartRepository,
    spec: &ChartSpec,
    before: Option<&Before>,
) -> Result<(Found, Option<String>), FetchError> {
    let index = index(web, place)?;
    let entries = index.chart(&spec.chart).map_err(|similar| FetchError::UnknownChart {
        url: web.place(),
        chart: spec.chart.to_string(),
        similar,
    })?;
    let versions = entries.iter().map(|entry| entry.version.as_str());
    let picked = match spec.version.digest() {
        Some(digest) => entries.iter().position(|entry| entry.digest == Some(digest)),
        None => spec.version.pick(versions.clone()),
    };
    let entry = picked.and_then(|at| entries.get(at)).ok_or_else(|| FetchError::NoChartVersion {
        url: web.place(),
        chart: spec.chart.to_string(),
        wanted: spec.version.to_string(),
        newest: newest_of(versions),
    })?;
    let archive = archive(web, place, entry, before)?;
    Ok((Found { version: entry.version.clone(), archive, deprecated: entry.deprecated }, Some(entry.address.clone())))
}

/// The archive of an entry. Without a digest in the index, what came for this version from this address once is taken for what is there: the
/// server cannot be asked less for more.
fn archive(web: &Web, place: &ChartRepository, entry: &Entry, before: Option<&Before>) -> Result<Archive, FetchError> {
    let same = |before: &&Before| before.version == entry.version && before.origin.as_ref() == Some(&entry.address);
    let digest = entry.digest.or_else(|| before.filter(same).map(|before| before.archive));
    if let Some(kept) = digest.and_then(|digest| kept(place.store(), &digest)) {
        return Ok(kept);
    }
    if entry.address.starts_with("oci://") {
        return registry::fetch_address(web, place, &entry.address, entry.digest.as_ref());
    }
    let malformed = |_| web.unexpected(web.home(), &format!("the address of version {} in the index is no URL", entry.version));
    let url = web.home().join(&entry.address).map_err(malformed)?;
    let answer = get(web, &url, Vec::new())?;
    if answer.is_missing() {
        let detail = format!("the index has it as version {}, and the server says that it does not exist", entry.version);
        return Err(FetchError::NotAChart { url: shown(&answer.url), detail });
    }
    if !answer.status.is_success() {
        return Err(answer.failure(web));
    }
    let bytes = answer.body(web, place.store().limits().archive_bytes)?;
    came(&shown(&url), bytes, entry.digest.as_ref())
}

/// The index as it is now. Its bytes come only if it changed.
fn index(web: &Web, place: &ChartRepository) -> Result<Arc<Index>, FetchError> {
    let asked = Instant::now();
    let mut copy = place.own_copy(web)?;
    if let Some(copy) = copy.as_ref().filter(|copy| copy.confirmed >= asked) {
        // Another look asked while this one waited.
        return Ok(copy.index.clone());
    }
    let url = web.home().join("index.yaml").map_err(|_| web.unexpected(web.home(), "nothing can be below this URL"))?;
    let validators = copy.as_ref().map(|copy| [(IF_NONE_MATCH, copy.etag.clone()), (IF_MODIFIED_SINCE, copy.modified.clone())]);
    let validators = validators.into_iter().flatten().filter_map(|(name, value)| Some((name, value?)));
    let answer = get(web, &url, validators.collect())?;
    if answer.status == StatusCode::NOT_MODIFIED
        && let Some(copy) = copy.as_mut()
    {
        copy.confirmed = Instant::now();
        return Ok(copy.index.clone());
    }
    if !answer.status.is_success() {
        return Err(answer.failure(web));
    }
    let validator = |name| answer.headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok()).map(str::to_owned);
    let (etag, modified) = (validator(ETAG), validator(LAST_MODIFIED));
    let from = answer.url.clone();
    let bytes = answer.body(web, place.store().limits().index_bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| web.unexpected(&from, "its index is not UTF-8"))?;
    let index = Arc::new(Index::parse(text).map_err(|reason| web.unexpected(&from, &format!("its index cannot be read: {reason}")))?);
    *copy = Some(Copy { index: index.clone(), etag, modified, confirmed: Instant::now() });
    Ok(index)
}

fn get(web: &Web, url: &Url, headers: Vec<(reqwest::header::HeaderName, String)>) -> Result<Answer, FetchError> {
    web.ask(&Ask { method: Method::GET, url, headers, authorization: Authorization::Credentials })
}

impl ChartRepository {
    /// What a chart here is called in logs and records.
    pub(crate) fn address_of(&self, spec: &ChartSpec) -> String {
        match &self.spec.url {
            ChartRepositoryUrl::Http(_) => format!("{} {}", self.spec.url, spec.chart),
            ChartRepositoryUrl::Oci { .. } => format!("{}/{}", self.spec.url, spec.chart),
        }
    }
}
